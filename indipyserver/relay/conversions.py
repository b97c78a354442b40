"""BLOBs that some receivers need in the other form, and what has to wait for them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

from indipydriver.errors import MalformedFrame
from indipydriver.protocol.frame import BlobFrame, Frame
from indipydriver.protocol.tags import Verb
from indipydriver.transport.memoryfile import AttachedFrame, length_in_base64
from indipydriver.transport.threads import in_thread

from .attachments import IN_LOOP, Backlog, convert, converted, needs_conversion
from .peer import Peer, put_for_all

__all__ = ["MOST_LEFT", "Conversions"]

logger = logging.getLogger("indipyserver.ipyserver")

MOST_LEFT: Final = 64
"""Commands and BLOBs of peers that have gone, which wait for a BLOB to be converted; each may have descriptors."""


class Conversions:
    """Converts each BLOB once for all receivers that need its other form, and keeps the order of each sender.

    Args:
        flush: Sends what has been queued for these receivers; the second argument is the sender.

    Attributes:
        backlogs: What waits, by sender.
    """

    def __init__(self, flush: Callable[[Iterable[Peer], Peer | None], None]) -> None:
        self._flush = flush
        self.backlogs: dict[Peer | None, Backlog] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def put_pong(self, source: Peer | None, frames: list[Frame]) -> None:
        """Answer a ping when everything before it is done."""
        self._backlog_of(source).add(frames, [source] if source is not None else [], source)

    def put(
        self, source: Peer | None, frame: BlobFrame, receivers: Iterable[Peer], touched: dict[Peer, None]
    ) -> list[Peer]:
        """Give a BLOB in its other form, attached or inline, to the receivers that accept only that.

        Returns:
            The receivers that accept it as it is.
        """
        others: list[Peer] = []
        same: list[Peer] = []
        for peer in receivers:
            if needs_conversion(frame, peer):
                others.append(peer)
            else:
                same.append(peer)
        if not others:
            return same
        form: BlobFrame | Exception | None = frame.encoded if isinstance(frame, AttachedFrame) else None
        if form is None and (sum(frame.lengths) if isinstance(frame, AttachedFrame) else frame.size) <= IN_LOOP:
            form = converted(frame)
        if form is None:
            self._backlog_of(source).add([frame], others, source, to_convert=True)
        else:
            put_for_all(self._without_fault(source, form), others, touched, source)
        return same

    @property
    def uploads(self) -> int:
        """Bytes of the attached BLOBs in commands that wait to be encoded, as base64."""
        frames = [frame for backlog in self.backlogs.values() for entry in backlog.entries for frame in entry.frames]
        return sum(
            sum(map(length_in_base64, frame.lengths))
            for frame in frames
            if isinstance(frame, AttachedFrame) and frame.address.tag.verb is Verb.NEW
        )

    def sender_gone(self, sender: Peer) -> None:
        """Note that a sender has gone: its commands and BLOBs are dropped if those that have gone left too many."""
        left = [entry for backlog in self.backlogs.values() for entry in backlog.entries if entry.is_left]
        if len(left) > MOST_LEFT:
            dropped = [entry for entry in left if entry.sender is sender]
            for entry in dropped:
                entry.drop()
            if dropped:
                sender.complain("left", "has gone, as have too many others: what waits of it is dropped")

    def _backlog_of(self, source: Peer | None) -> Backlog:
        """The backlog of this source; work on a new one begins in the next turn of the loop."""
        backlog = self.backlogs.get(source)
        if backlog is not None:
            return backlog
        backlog = self.backlogs[source] = Backlog(source)
        task = asyncio.get_running_loop().create_task(self._work_off(backlog))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return backlog

    async def _work_off(self, backlog: Backlog) -> None:
        source = backlog.source
        try:
            # Answer a ping only when everything before it is done: connections made or closed earlier may still be
            # among the events of this turn of the loop.
            await asyncio.sleep(0)
            touched: dict[Peer, None] = {}
            while backlog.entries:
                entry = backlog.entries[0]
                if entry.after:
                    self._flush(touched, source)
                    touched.clear()
                    for older in entry.after:  # only older ones, so that no two wait for each other
                        await older.wait()
                if entry.to_convert:
                    self._flush(touched, source)
                    touched.clear()
                    (frame,) = entry.frames
                    assert isinstance(frame, BlobFrame)
                    entry.box.append(frame)
                    del frame
                    await in_thread(partial(convert, entry.box))
                    entry.frames = self._without_fault(entry.sender, entry.box.pop()) if entry.box else []
                backlog.pop()
                try:
                    put_for_all(entry.frames, entry.receivers, touched, entry.sender)
                finally:
                    entry.done()
                del entry  # no descriptor of it stays open when a ping behind it is answered
            self._flush(touched, source)
        finally:
            del self.backlogs[source]
            backlog.end()

    def _without_fault(self, source: Peer | None, form: BlobFrame | Exception) -> list[Frame]:
        """The BLOB to be delivered; an error is reported, and nothing is delivered."""
        if not isinstance(form, Exception):
            return [form]
        if isinstance(form, MalformedFrame) and source is not None:
            source.fault_received(form)
        elif isinstance(form, (MalformedFrame, OSError)):
            if source is not None:
                source.complain("blob", f"sent a BLOB that cannot be read: {form}")
        else:
            logger.error("a BLOB is dropped: %r", form)
        return []

    def keep_order(self, source: Peer | None, frames: list[Frame], receivers: Iterable[Peer]) -> list[Peer]:
        """The receivers that need not wait for a BLOB; the others get the frames behind it."""
        free: list[Peer] = []
        later: dict[tuple[Backlog, ...], list[Peer]] = {}
        backlogs = list(self.backlogs.values())
        if (own := self.backlogs.get(source)) is not None:
            backlogs.remove(own)
            backlogs.insert(0, own)
        devices = {frame.device for frame in frames}
        for peer in receivers:
            if holding := tuple(backlog for backlog in backlogs if backlog.holds_up(peer, source, devices)):
                later.setdefault(holding, []).append(peer)
            else:
                free.append(peer)
        first = frames[0]
        for (backlog, *others), peers in later.items():
            after = [other.entries[-1].given for other in others if other.entries]
            if isinstance(first, BlobFrame):
                converting = {peer for peer in peers if needs_conversion(first, peer)}
                for to_convert in (False, True):  # all receivers of one form at once, because each form is made once
                    if chosen := [peer for peer in peers if (peer in converting) is to_convert]:
                        backlog.add(frames, chosen, source, to_convert=to_convert, after=after)
            else:
                backlog.add(frames, peers, source, after=after)
        return free

    async def settle(self, deadline: float) -> None:
        """Wait until all BLOBs have been converted, or until this time of the loop."""
        if self._tasks:
            left = deadline - asyncio.get_running_loop().time()
            await asyncio.wait(self._tasks, timeout=max(0.0, left))
