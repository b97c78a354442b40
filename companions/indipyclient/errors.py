"""What can go wrong for a client, each with what to do about it.

::

    ClientError (IndiError)
    +- NotConnected (ConnectionError)    nothing was sent
    +- LinkLost (ConnectionError)        sent, but the outcome is unknown
    +- Unknown (KeyError)                no such device, property or member; .known has the nearest names
    |  +- NoSuchDevice  NoSuchProperty  NoSuchMember
    |  +- PropertyGone                   it was deleted while something was waited for
    +- NotWritable (TypeError)           the device only shows it
    +- WrongKind (TypeError)             a switch was expected and it is a number, for example
    +- BadValue (ValueError)             checked before anything is sent
    +- Refused                           the device answered with Alert
    +- TimedOut (TimeoutError)           no answer in time
    +- Overrun                           a reader was too slow and asked to be told
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING, Final

from indipydriver.errors import IndiError

if TYPE_CHECKING:
    from .model.properties import Property

__all__ = [
    "BadValue",
    "ClientError",
    "LinkLost",
    "NoSuchDevice",
    "NoSuchMember",
    "NoSuchProperty",
    "NotConnected",
    "NotWritable",
    "Overrun",
    "PropertyGone",
    "Refused",
    "TimedOut",
    "Unknown",
    "WrongKind",
]


_LOOKED_AT: Final = 1000
"""Names that are compared with an unknown one: of 100,000, from a hostile server, it takes a minute."""


class ClientError(IndiError):
    """The base class of everything that this library raises.

    Attributes:
        sent: Whether something had been sent before the failure.
    """

    sent = False


class NotConnected(ClientError, ConnectionError):
    """There is no connection to the server, so nothing was sent."""


class LinkLost(ClientError, ConnectionError):
    """The connection ended while an answer was awaited: the command may or may not have been carried out."""

    sent = True


class Unknown(ClientError, KeyError):
    """There is no such name.

    Attributes:
        name: The requested name.
        known: Up to three similar names.
    """

    what = "name"

    def __init__(self, name: str, among: Iterable[str] = (), where: str = "") -> None:
        from difflib import get_close_matches  # imported here: it is rarely needed, and every command loads this module

        self.name = name
        self.known = tuple(get_close_matches(name, list(islice(among, _LOOKED_AT)), 3, 0.4))
        self._where = where
        super().__init__(name)

    def __str__(self) -> str:
        text = f"no {self.what} {self.name!r}"
        if self._where:
            text += f" of {self._where}"
        if self.known:
            text += f"; did you mean {' or '.join(map(repr, self.known))}?"
        return text


class NoSuchDevice(Unknown):
    """The server has no device of this name."""

    what = "device"


class NoSuchProperty(Unknown):
    """The device has no property of this name, or not yet."""

    what = "property"


class NoSuchMember(Unknown):
    """The property has no member of this name."""

    what = "member"


class PropertyGone(NoSuchProperty):
    """The property was deleted while a call was waiting for it."""

    sent = True

    def __str__(self) -> str:
        return f"{self._where}.{self.name} was deleted before it answered"


class NotWritable(ClientError, TypeError):
    """The property is read-only."""


class WrongKind(ClientError, TypeError):
    """The property is not of the kind that this call needs."""


class BadValue(ClientError, ValueError):
    """The property does not take this value; detected before anything was sent.

    Attributes:
        min: Smallest value, of a number with a range.
        max: Largest value.
        step: Its step.
    """

    def __init__(
        self, text: str, *, min: float | None = None, max: float | None = None, step: float | None = None
    ) -> None:
        super().__init__(text)
        self.min = min
        self.max = max
        self.step = step


class Refused(ClientError):
    """The device answered with Alert, or the server has not passed the command on, as on a read-only connection.

    Attributes:
        message: The message of the property, or a later one of the device; or that of the server.
        last: The property as it is now.
    """

    sent = True

    def __init__(self, text: str, *, message: str = "", last: Property | None = None) -> None:
        super().__init__(f"{text}: {message}" if message else text)
        self.message = message
        self.last = last


class TimedOut(ClientError, TimeoutError):
    """What a call waited for has not happened in time.

    Attributes:
        state: The final state of the property, or None if there is none.
        elapsed: Seconds.
        last: The property as it was last seen.
    """

    def __init__(self, text: str, *, elapsed: float = 0.0, last: Property | None = None, sent: bool = False) -> None:
        super().__init__(text)
        self.elapsed = elapsed
        self.last = last
        self.state = last.state if last is not None else None
        self.sent = sent


class Overrun(ClientError):
    """A tap with the policy CLOSE has lost items, because its reader was too slow."""
