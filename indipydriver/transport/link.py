"""The contract between links, which move frames, and those who use them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, Protocol

from ..errors import RemoteProtocolError
from ..protocol.frame import Batch, Frame

__all__ = ["FIRST_PORTION", "LEAST_PORTION", "LONGEST_TURN", "LOW_WATER", "SLICE", "Link", "Receiver", "portion_after"]

SLICE: Final = 256 * 1024
"""Bytes read or written at once: enough to make system calls cheap, little enough that
one BLOB does not hold up the other links of the loop."""

LOW_WATER: Final = SLICE
"""When no more bytes than this are queued in a link, it asks for more: ``link_drained``."""

FIRST_PORTION: Final = 32 << 10
"""Received bytes that a new link handles at once."""

LEAST_PORTION: Final = 4 << 10
"""Received bytes that any link may handle at once, however long that takes."""

LONGEST_TURN: Final = 0.05
"""Seconds that handling one portion should take at most."""


def portion_after(portion: int, count: int, seconds: float) -> int:
    """How many bytes to handle at once the next time, so that other links get their turns.

    Args:
        portion: The portion so far.
        count: How many bytes were handled.
        seconds: How long that took.
    """
    if seconds > LONGEST_TURN:
        return max(LEAST_PORTION, int(count * LONGEST_TURN / seconds))
    if portion <= count and seconds < LONGEST_TURN / 2:
        return min(SLICE, 2 * portion)
    return portion


class Receiver(Protocol):
    """What a link calls, always from the event loop, never from within a call made to the link
    (except for :meth:`link_drained`, which may come from within ``flush``)."""

    def frames_received(self, frames: list[Frame]) -> None:
        """Complete, well-formed frames, in order of arrival."""

    def fault_received(self, fault: RemoteProtocolError) -> None:
        """The peer sent something that was skipped.  After a FrameTooLarge the link closes itself,
        unless its peer passes on what others send."""

    def link_drained(self) -> None:
        """``unsent`` has fallen to LOW_WATER or less, after having been above it; or what was full
        has room again."""

    def link_closed(self, error: Exception | None) -> None:
        """Called once, last of all.  None is a normal end, from either side."""


class Link(Protocol):
    """Moves frames to and from one peer.

    Attributes:
        label: Who is at the other end, for logs.
    """

    label: str

    @property
    def unsent(self) -> int:
        """Bytes that have been written to the link and have not yet left this process."""

    @property
    def peer_paused(self) -> bool:
        """The other end has paused reading: it is busy, not gone.  Known only for links within a process."""

    @property
    def full_vectors(self) -> Collection[tuple[str | None, str | None]]:
        """Vectors, by device and name, for which the other end takes no commands now, though it takes all else.  When
        one has room again, ``link_drained`` is called.  Empty except on links within a process."""

    @property
    def full_news(self) -> bool:
        """The other end takes no news now, though it takes commands.  When it has room again, ``link_drained`` is
        called.  False except on links within a process."""

    @property
    def bytes_received(self) -> int:
        """Bytes received so far."""

    @property
    def bytes_sent(self) -> int:
        """Bytes sent so far."""

    def open(self, receiver: Receiver) -> None:
        """Start reading.  To be called once, with the event loop running."""

    def write(self, batch: Batch) -> None:
        """Queue frames.  Never blocks, never fails: on a closed link they are dropped.

        Whoever writes calls :meth:`flush` before returning to the event loop.
        """

    def flush(self) -> None:
        """Send as much of what is queued as the peer takes now; the rest follows by itself."""

    def pause_reading(self) -> None:
        """Deliver no more frames until :meth:`resume_reading`."""

    def resume_reading(self) -> None:
        """Go on delivering frames."""

    def close(self) -> None:
        """Send what is queued, then end.  ``link_closed`` follows; a peer that takes nothing
        can delay it for ever, so callers with a deadline call :meth:`abort` when it has passed."""

    def abort(self) -> None:
        """End now, dropping what is queued.  ``link_closed`` follows."""
