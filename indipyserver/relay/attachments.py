"""What waits until a BLOB has been brought into the form that its receivers take."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable

from indipydriver.protocol.frame import BlobFrame, Frame
from indipydriver.transport.memoryfile import AttachedFrame, attach, attachable

from .peer import Peer

__all__ = ["IN_LOOP", "Backlog", "Entry", "convert", "converted", "needs_conversion"]

IN_LOOP = 192 << 10
"""Bytes of a BLOB, at most, that are encoded or decoded at once: 0.3 ms, as much as it takes to have a thread do it."""


def needs_conversion(frame: BlobFrame, peer: Peer) -> bool:
    """Does this peer take the other form of the BLOB only?

    Clients on a local socket get every BLOB attached, as from indiserver, and all others get it inline.
    """
    if isinstance(frame, AttachedFrame):
        return not (peer.takes_descriptors and frame.can_be_passed)
    return peer.takes_descriptors and attachable(frame)


def convert(box: list[BlobFrame | Exception]) -> None:
    """Replace the BLOB in a box by its other form, or by what is wrong with it.

    A thread keeps the arguments and the result of what it has done for a moment longer; this way it keeps no
    descriptors.
    """
    frame = box.pop()
    assert isinstance(frame, BlobFrame)
    box.append(converted(frame))


def converted(frame: BlobFrame) -> BlobFrame | Exception:
    """The other form of a BLOB, or what is wrong with it."""
    try:
        if isinstance(frame, AttachedFrame):
            return frame.inline()
        try:
            return attach(frame)
        except OSError:  # no descriptor is free, or no memory: every client reads base64, too
            return frame
    except Exception as error:
        return error.with_traceback(None)


class Entry:
    """Frames for some receivers.

    Attributes:
        frames: The frames; a BLOB goes alone.
        receivers: Who gets them.
        sender: Who has sent them, which may be another one than the backlog is of.
        to_convert: It is a BLOB, and they take its other form.
    """

    __slots__ = ("frames", "receivers", "sender", "to_convert")

    def __init__(self, frames: list[Frame], receivers: list[Peer], sender: Peer | None, to_convert: bool) -> None:
        self.frames = frames
        self.receivers = receivers
        self.sender = sender
        self.to_convert = to_convert


class Backlog:
    """What one peer has sent and others have not been given yet, in order.

    Args:
        source: The peer.

    Attributes:
        entries: What waits; begins with a BLOB to be converted.
    """

    def __init__(self, source: Peer | None) -> None:
        self.source = source
        self.entries: deque[Entry] = deque()
        self._waiting: Counter[Peer] = Counter()

    def add(
        self, frames: list[Frame], receivers: Iterable[Peer], sender: Peer | None, *, to_convert: bool = False
    ) -> None:
        """Add to the end."""
        entry = Entry(frames, list(receivers), sender, to_convert)
        self.entries.append(entry)
        self._waiting.update(entry.receivers)

    def pop(self) -> Entry:
        """Take the first entry."""
        entry = self.entries.popleft()
        for peer in entry.receivers:
            self._waiting[peer] -= 1
            if not self._waiting[peer]:
                del self._waiting[peer]
        return entry

    def holds_up(self, peer: Peer, source: Peer | None) -> bool:
        """Has this peer to wait for what comes from that source now?

        Its source waits for all, as the answer to its ping says that what was before it is done.  When the source is
        gone, others speak of its devices.
        """
        if peer is not self.source and not self._waiting[peer]:
            return False
        return source is self.source or self.source is None or self.source.closed
