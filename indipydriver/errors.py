"""The exceptions of both packages.

::

    IndiError
    +- ProtocolError
    |  +- LocalProtocolError (ValueError)     we were asked to send something illegal
    |  +- RemoteProtocolError                 the peer sent something illegal
    |     +- MalformedFrame                   not an INDI element, or not well-formed
    |     +- FrameTooLarge                    beyond a limit; the peer is cut off, or it is skipped
    +- ValueFormatError (ValueError, TypeError)  text of a number, a time or a word list
    +- DefinitionError (ValueError)           names that are missing, wrong or duplicate
    |  +- NameTypeError (AttributeError)      a name that is not a str
    +- LinkClosed (ConnectionError)           the other end is gone
    +- NotRunning (AttributeError, RuntimeError)  something was sent before the driver runs
    +- SlowPeer                               a peer that does not take what is sent to it
    +- DriverExited                           a driver's process has ended
"""

from __future__ import annotations

__all__ = [
    "DefinitionError",
    "DriverExited",
    "FrameTooLarge",
    "IndiError",
    "LinkClosed",
    "LocalProtocolError",
    "MalformedFrame",
    "NameTypeError",
    "NotRunning",
    "ProtocolError",
    "RemoteProtocolError",
    "SlowPeer",
    "ValueFormatError",
]


class IndiError(Exception):
    """The base class of all exceptions that these packages define."""


class ProtocolError(IndiError):
    """Something that INDI 1.7 does not allow."""


class LocalProtocolError(ProtocolError, ValueError):
    """We were asked to send something illegal: a mistake in this program."""


class RemoteProtocolError(ProtocolError):
    """The peer sent something illegal.

    Attributes:
        tag: Name of the element, or None when it could not be read.
        device: Its ``device`` attribute, or None.
        name: Its ``name`` attribute, or None.
        excerpt: The first bytes of what was refused, control characters escaped.
    """

    def __init__(
        self,
        reason: str,
        *,
        tag: str | None = None,
        device: str | None = None,
        name: str | None = None,
        excerpt: str = "",
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.tag = tag
        self.device = device
        self.name = name
        self.excerpt = excerpt

    def __str__(self) -> str:
        return f"{self.reason}: {self.excerpt}" if self.excerpt else self.reason


class MalformedFrame(RemoteProtocolError):
    """Not an INDI element, or not well-formed; it is dropped."""


class FrameTooLarge(RemoteProtocolError):
    """An element, a start tag or a run of junk beyond its limit.

    Attributes:
        size: Bytes received when it was noticed.
        limit: The limit, in bytes.
    """

    def __init__(self, reason: str, *, size: int, limit: int, tag: str | None = None, excerpt: str = "") -> None:
        super().__init__(f"{reason}: {size} bytes, the limit is {limit}", tag=tag, excerpt=excerpt)
        self.size = size
        self.limit = limit


class ValueFormatError(IndiError, ValueError, TypeError):
    """The text of a number, a time or one of INDI's words cannot be read."""


class DefinitionError(IndiError, ValueError):
    """A device, vector or member with a missing, wrong or duplicate name."""


class NameTypeError(DefinitionError, AttributeError):
    """A name that is not a str; an AttributeError too, as scripts written for the PyPI package may expect."""


class LinkClosed(IndiError, ConnectionError):
    """The other end of a link is gone."""


class NotRunning(IndiError, AttributeError, RuntimeError):
    """Something was sent before the driver runs, or by something that is not in a driver.

    It is an AttributeError too, as scripts written for the PyPI package may expect.
    """


class SlowPeer(IndiError):
    """A peer that does not take what is sent to it; it is cut off.

    Attributes:
        label: Who it is.
        queued: How much waits for it, in bytes.
        limit: How much may wait, in bytes.
    """

    def __init__(self, label: str, queued: int, limit: int) -> None:
        super().__init__(f"{label} is {queued} bytes behind, the limit is {limit}")
        self.label = label
        self.queued = queued
        self.limit = limit


class DriverExited(IndiError):
    """A driver's process has ended.

    Attributes:
        returncode: Exit status, or minus the number of the signal that killed it.
        restarts: How often it has been restarted so far.
        stderr_tail: The last lines it wrote to its standard error.
    """

    def __init__(self, label: str, returncode: int, restarts: int = 0, stderr_tail: tuple[str, ...] = ()) -> None:
        how = f"was killed by signal {-returncode}" if returncode < 0 else f"ended with status {returncode}"
        super().__init__(f"{label} {how}")
        self.label = label
        self.returncode = returncode
        self.restarts = restarts
        self.stderr_tail = stderr_tail
