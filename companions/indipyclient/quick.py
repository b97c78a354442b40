"""Updates in the usual form, read by two regular expressions.

Most of what a client receives are updates, and making a tree of each takes longer than everything else together.
Whatever is not exactly of this form goes to the decoder of the core, which has the same results: a property test
compares the two.
"""

from __future__ import annotations

import re
from typing import Final

from indipydriver.protocol.decode import decode
from indipydriver.protocol.frame import Frame
from indipydriver.protocol.messages import AnyMessage, OneMember, SetVector
from indipydriver.protocol.scan import WHITE_SPACE
from indipydriver.protocol.tags import State, VectorKind, Verb

__all__ = ["read", "read_update"]

_SHAPES: Final[dict[VectorKind, tuple[re.Pattern[str], re.Pattern[str]]]] = {
    kind: (
        re.compile(
            rf'<set{kind}Vector((?: [a-zA-Z]++="[^"<&\t\r\n]*+")++) *+>'
            rf'((?:[ \n]*+<one{kind} name="[^"<&\t\r\n]++">[^<&\r]*+</one{kind}>)++)[ \n]*+</set{kind}Vector>'
        ),
        re.compile(rf'<one{kind} name="([^"]++)">([^<]*+)<'),
    )
    for kind in VectorKind
    if kind is not VectorKind.BLOB
}
_WHITE_TEXT: Final = WHITE_SPACE.decode()
_new: Final = tuple.__new__  # OneMember(...) takes twice as long
_STATES: Final = {state.value: state for state in State}
_WORDS: Final = {VectorKind.SWITCH: frozenset(("On", "Off")), VectorKind.LIGHT: frozenset(_STATES)}


def read(frame: Frame) -> AnyMessage:
    """What a frame means, like :func:`indipydriver.protocol.decode.decode`.

    Raises:
        MalformedFrame: It means nothing.
    """
    if frame.tag.verb is Verb.SET:
        return read_update(frame) or decode(frame)
    return decode(frame)


def read_update(frame: Frame) -> SetVector | None:
    """The update, or None if it is not of the usual form."""
    kind = frame.tag.kind
    shape = _SHAPES.get(kind) if kind is not None else None
    if kind is None or shape is None:
        return None
    whole = shape[0].fullmatch(frame.raw.decode())
    if whole is None:
        return None
    parts = whole[1].split('"')  # ` device=`, `Mount`, ` name=`, and so on
    attributes = dict(zip(parts[::2], parts[1::2], strict=False))
    state = attributes.get(" state=")
    device, name = attributes.get(" device="), attributes.get(" name=")
    if not device or not name or (state is not None and state not in _STATES):
        return None
    pairs = shape[1].findall(whole[2])
    if kind is VectorKind.TEXT:
        members = [
            _new(OneMember, (n, v if v[:1] != "\n" else v.strip(_WHITE_TEXT), None, None, None)) for n, v in pairs
        ]
    else:
        members = [_new(OneMember, (n, v.strip(), None, None, None)) for n, v in pairs]
        words = _WORDS.get(kind)
        if words is not None and not words.issuperset([member.value for member in members]):
            return None
    timeout = attributes.get(" timeout=")
    return SetVector(
        kind,
        device,
        name,
        tuple(members),
        _STATES[state] if state is not None else None,
        None if timeout is None or kind is VectorKind.LIGHT else timeout.strip() or None,
        attributes.get(" timestamp=") or None,
        attributes.get(" message=") or None,
    )
