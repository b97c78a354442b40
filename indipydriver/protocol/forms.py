"""Templates for what a driver sends repeatedly, whose constant parts are encoded once.

Nearly all updates and definitions of a vector differ only in state, timestamp and values.  A form is what
:func:`~.encode.encode` makes of one of them, with gaps for these; whatever cannot simply be filled in is left to
`encode`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Final

from ..errors import LocalProtocolError
from .encode import PASSING, WORDS, encode
from .escaping import is_plain
from .frame import Frame
from .messages import DefVector, SetVector
from .tags import State, VectorKind

__all__ = ["Form", "Forms"]

_MOST_FORMS: Final = 8  # of a vector: its definition, an update of all members, and one of some that change together
_STATE: Final = f' state="{State.OK}"'
_TIME: Final = ' timestamp="0"'


class Form:
    """The form of an update or a definition.

    Args:
        message: One of them, but not an update of BLOBs. Its state, timestamp, message and values are not used.

    Raises:
        LocalProtocolError: It cannot be sent.
    """

    __slots__ = ("_address", "_has_values", "_text", "_words")

    def __init__(self, message: SetVector | DefVector) -> None:
        self._words = WORDS.get(message.kind)
        self._has_values = message.kind is not VectorKind.BLOB
        filler = min(self._words) if self._words else "0" if self._has_values else ""
        members = tuple([member._replace(value=filler) for member in message.members])  # type: ignore[call-arg]
        example = encode(message._replace(members=members, state=State.OK, timestamp="0", message=""))  # type: ignore[arg-type]
        self._address = example.address
        # In attributes, neither quotes nor brackets are written as such.
        text = example.raw.decode().replace("%", "%%")
        text = text.replace(_STATE, ' state="%s"', 1).replace(_TIME, ' timestamp="%s"', 1)
        self._text = text.replace(f">{filler}<", ">%s<") if self._has_values else text

    def fill(self, state: State, timestamp: str, values: Sequence[str]) -> Frame | None:
        """The element with these values, one for each member; None if it takes more than filling them in.

        Args:
            state: As it is sent.
            timestamp: As :func:`~.values.format_timestamp` writes it.
            values: As they have to arrive; a definition of BLOBs has none, and ignores them.
        """
        if not self._has_values:
            values = ()
        elif "" in values or not is_plain("".join(values)) or (self._words and not self._words.issuperset(values)):
            return None
        raw = (self._text % (state, timestamp, *values)).encode()
        return Frame(self._address, raw) if len(raw) <= PASSING else None


class Forms:
    """The forms of one vector, each made when it pays off."""

    __slots__ = ("_forms", "_seen")

    def __init__(self) -> None:
        self._forms: dict[Hashable, Form | None] = {}  # None: no form is possible
        self._seen: set[Hashable] = set()  # what has been encoded once

    def encode(
        self,
        what: Hashable,
        state: State,
        timestamp: str,
        text: str,
        values: Sequence[str],
        message: Callable[[], SetVector | DefVector],
        *,
        comes_again: bool = False,
    ) -> Frame:
        """The frame of a message.

        Args:
            what: Everything that the message says except the next four; different for an update and a definition.
            state: Its state.
            timestamp: Its timestamp.
            text: Its text, usually empty.
            values: The values of its members.
            message: Makes the message.
            comes_again: More like it will follow; otherwise, a form is made for the second one.

        Raises:
            LocalProtocolError: As from :func:`~.encode.encode`.
        """
        if text:
            return encode(message())
        forms = self._forms
        form = forms.get(what)
        if form is not None:
            return form.fill(state, timestamp, values) or encode(message())
        made = message()
        frame = encode(made)
        if what in forms:
            return frame
        if comes_again or what in self._seen:
            if len(forms) >= _MOST_FORMS:
                # A thread may send while the event loop answers a request: neither changes what the other looks at.
                forms = self._forms = dict(list(forms.items())[1:])
            forms[what] = _form_of(made)
        elif len(self._seen) >= _MOST_FORMS:
            self._seen = {what}
        else:
            self._seen.add(what)
        return frame


def _form_of(message: SetVector | DefVector) -> Form | None:
    try:
        return Form(message)
    except LocalProtocolError:  # with the shortest text in place of empty ones, it is too long
        return None
