"""The backlog behind a BLOB that is being converted into the form that its receivers accept."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Collection, Iterable, Sequence
from typing import TypeVar

from indipydriver.protocol.frame import BlobFrame, Frame
from indipydriver.protocol.tags import Verb
from indipydriver.transport.memoryfile import AttachedFrame, attach, attachable

from .peer import Peer

__all__ = ["IN_LOOP", "Backlog", "Entry", "convert", "converted", "needs_conversion"]

_T = TypeVar("_T")

IN_LOOP = 192 << 10
"""Bytes of the largest BLOB converted in the event loop: 0.3 ms, no more than it takes to hand it to a thread."""


def needs_conversion(frame: BlobFrame, peer: Peer) -> bool:
    """Does this peer accept only the other form of the BLOB?

    Clients on a local socket get every BLOB attached, as from indiserver; all other peers get it inline.
    """
    if isinstance(frame, AttachedFrame):
        return not (peer.takes_descriptors and frame.can_be_passed)
    return peer.takes_descriptors and attachable(frame)


def convert(box: list[BlobFrame | Exception]) -> None:
    """Replace the BLOB in a box with its other form, or with the error.

    A thread keeps the arguments and the result of its last job for a moment; with a box it keeps no descriptors.
    If the BLOB has been dropped, the box is empty and stays so.
    """
    try:
        frame = box.pop()
    except IndexError:
        return
    assert isinstance(frame, BlobFrame)
    box.append(converted(frame))


def converted(frame: BlobFrame) -> BlobFrame | Exception:
    """The other form of a BLOB, or the error."""
    try:
        if isinstance(frame, AttachedFrame):
            return frame.inline()
        try:
            return attach(frame)
        except OSError:  # no free descriptor or memory: every client can also read base64
            return frame
    except Exception as error:
        return error.with_traceback(None)


class Entry:
    """Frames for some receivers.

    Attributes:
        frames: The frames; a BLOB is alone.
        receivers: Who gets them.
        sender: Who sent them, not always the peer that the backlog belongs to.
        to_convert: The frame is a BLOB, and the receivers need its other form.
        box: What is being converted; see :func:`convert`.
        after: Set when entries of other backlogs, which are older, have been given to their receivers.
        devices: What they are about.
    """

    __slots__ = ("_given", "after", "box", "devices", "frames", "receivers", "sender", "to_convert")

    def __init__(
        self,
        frames: list[Frame],
        receivers: list[Peer],
        sender: Peer | None,
        to_convert: bool,
        after: Sequence[asyncio.Event],
    ) -> None:
        self.frames = frames
        self.receivers = receivers
        self.sender = sender
        self.to_convert = to_convert
        self.box: list[BlobFrame | Exception] = []
        self.after = after
        self.devices = {frame.device for frame in frames}
        self._given: asyncio.Event | None = None

    @property
    def given(self) -> asyncio.Event:
        """Set when it has been given to its receivers."""
        if self._given is None:
            self._given = asyncio.Event()
        return self._given

    @property
    def is_left(self) -> bool:
        """Whether it has commands or a BLOB of a sender that has gone."""
        if not self.frames or self.sender is None or not self.sender.closed:
            return False
        first = self.frames[0]
        return isinstance(first, BlobFrame) or first.address.tag.verb is Verb.NEW

    def drop(self) -> None:
        """Give its receivers nothing, unless its BLOB is being converted at this moment."""
        self.frames = []
        self.box.clear()
        self.to_convert = False

    def done(self) -> None:
        """Note that it has been given to its receivers."""
        if self._given is not None:
            self._given.set()


class Backlog:
    """What one peer has sent and its receivers have not been given yet, in order.

    Args:
        source: The peer.

    Attributes:
        entries: What waits, behind a BLOB to be converted or the answer to a ping.
    """

    def __init__(self, source: Peer | None) -> None:
        self.source = source
        self.entries: deque[Entry] = deque()
        self._waiting: Counter[Peer] = Counter()
        self._senders: Counter[Peer | None] = Counter()  # of what waits
        self._devices: Counter[str | None] = Counter()  # of what waits
        self._held: set[Peer] = set()  # senders of BLOBs to be converted, which are not read until everything is done

    def add(
        self,
        frames: list[Frame],
        receivers: Iterable[Peer],
        sender: Peer | None,
        *,
        to_convert: bool = False,
        after: Sequence[asyncio.Event] = (),
    ) -> None:
        """Add to the end; see :class:`Entry`."""
        entry = Entry(frames, list(receivers), sender, to_convert, after)
        self.entries.append(entry)
        self._senders[sender] += 1
        self._waiting.update(entry.receivers)
        self._devices.update(entry.devices)
        if to_convert and sender is not None:
            self._held.add(sender)
            sender.pause(self)

    def pop(self) -> Entry:
        """Take the first entry."""
        entry = self.entries.popleft()
        _take_off(self._senders, (entry.sender,))
        _take_off(self._waiting, entry.receivers)
        _take_off(self._devices, entry.devices)
        return entry

    def holds_up(self, peer: Peer, source: Peer | None, devices: Collection[str | None]) -> bool:
        """Must what that source now sends to this peer wait here?

        For the source of the backlog everything waits: the answer to its ping means that all before it is done.
        What comes from one sender stays in order.
        When that source is gone, or has deleted a device, news of its devices comes from others.

        Args:
            peer: Who is to get something.
            source: Who sends it.
            devices: The devices that it is about.
        """
        if peer is not self.source and not self._waiting[peer]:
            return False
        if source is self.source or self._senders[source] or self.source is None or self.source.closed:
            return True
        return peer is not self.source and any(device in self._devices for device in devices if device is not None)

    def end(self) -> None:
        """Note that everything is done."""
        for entry in self.entries:
            entry.done()
        for peer in self._held:
            peer.resume(self)
        self._held.clear()


def _take_off(counts: Counter[_T], gone: Iterable[_T]) -> None:
    for each in gone:
        counts[each] -= 1
        if not counts[each]:
            del counts[each]
