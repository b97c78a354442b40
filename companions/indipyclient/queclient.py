"""A client that talks to the rest of a program through two queues."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import queue
from datetime import datetime
from typing import Any, Final, NamedTuple

from .devices import Snap, SnapDevice
from .ipyclient import IPyClient
from .snapshots import SnapVector

__all__ = ["EventItem", "QueClient", "runqueclient"]

LOOK_EVERY: Final = 0.05
"""Seconds between two checks of a deque, or of a full queue, which do not signal changes."""
WAIT_AT_ONCE: Final = 0.25
"""Seconds for which a thread waits for an item at a time, and by which the end may be delayed."""


class EventItem(NamedTuple):
    """What is put into `rxque`.

    Attributes:
        eventtype: As in :mod:`indipyclient.events`, or ``snapshot``, or ``State`` when something was sent.
        devicename: The device, or None.
        vectorname: The vector, or None.
        timestamp: The time of the event.
        snapshot: A snapshot of everything; in the answer to a request, of what was requested.
    """

    eventtype: str
    devicename: str | None
    vectorname: str | None
    timestamp: datetime | None
    snapshot: Snap | SnapDevice | SnapVector | None


class _Answer(NamedTuple):
    """The answer to an item of `txque`, which takes its turn: a full `rxque` does not hold up the items that follow."""

    eventtype: str
    devicename: str | None
    vectorname: str | None
    timestamp: datetime | None


class QueClient(IPyClient):
    """An :class:`IPyClient` that takes commands from one queue and puts events into another.

    Items of `txque`: None to end; ``(devicename, vectorname, value)`` where the value is a dict of new values,
    ``"snapshot"``, ``"Get"`` for definitions, or ``"Never"``, ``"Also"`` or ``"Only"`` for BLOBs.

    Args:
        txque: A queue.Queue, asyncio.Queue or collections.deque.
        rxque: One of these, too; it gets an :class:`EventItem` for each event.
        indihost: Name or address of the server.
        indiport: Its port.
        blobfolder: The folder for BLOBs; None: they are not saved.

    Raises:
        TypeError: A queue is none of these.
    """

    def __init__(
        self, txque: Any, rxque: Any, indihost: str = "localhost", indiport: int = 7624, blobfolder: Any = None
    ) -> None:
        for each in (txque, rxque):
            if not isinstance(each, (queue.Queue, asyncio.Queue, collections.deque)):
                raise TypeError(f"a queue.Queue, asyncio.Queue or collections.deque, not {type(each).__name__}")
        super().__init__(indihost, indiport, txque=txque, rxque=rxque)
        self.BLOBfolder = blobfolder

    async def rxevent(self, event: Any) -> None:
        await self._put_item(event.eventtype, event.devicename, event.vectorname, event.timestamp, self.snapshot())

    async def _put_item(
        self,
        eventtype: str,
        devicename: str | None,
        vectorname: str | None,
        timestamp: datetime | None,
        snapshot: Snap | SnapDevice | SnapVector | None,
    ) -> None:
        item = EventItem(eventtype, devicename, vectorname, timestamp, snapshot)
        rxque = self.clientdata["rxque"]
        if isinstance(rxque, collections.deque):
            rxque.append(item)
        elif isinstance(rxque, asyncio.Queue):
            await rxque.put(item)
        else:
            while True:
                try:
                    rxque.put_nowait(item)
                except queue.Full:
                    if self.stop:
                        return
                    await asyncio.sleep(LOOK_EVERY)
                else:
                    return

    async def _indi_handle(self, item: Any) -> None:
        if not isinstance(item, _Answer):
            await super()._indi_handle(item)
            return
        names = item.devicename, item.vectorname
        try:
            snapshot = self._part(*names) if item.eventtype == "snapshot" else self.snapshot()
            await self._put_item(item.eventtype, *names, item.timestamp, snapshot)
        except Exception as error:  # caused by this item; the next one is not affected
            self.refuse_to_send(f"{item.devicename!r} {item.vectorname!r}: failed: {error}")

    async def hardware(self) -> None:
        while not self.stop:
            item = await self._take()
            if item is None:
                self.shutdown()
            elif isinstance(item, (tuple, list)) and len(item) == 3:
                try:
                    await self._do(*item)
                except Exception as error:  # caused by this item; the next one is not affected
                    self.refuse_to_send(f"{item[0]!r} {item[1]!r}: failed: {error}")

    async def _take(self) -> Any:
        txque = self.clientdata["txque"]
        if isinstance(txque, asyncio.Queue):
            return await txque.get()
        while not self.stop:
            if isinstance(txque, collections.deque):
                with contextlib.suppress(IndexError):
                    return txque.popleft()
                await asyncio.sleep(LOOK_EVERY)
                continue
            with contextlib.suppress(queue.Empty):
                return txque.get_nowait()
            await asyncio.to_thread(_wait_for_item, txque)
        return None

    async def _do(self, devicename: str | None, vectorname: str | None, value: Any) -> None:
        if value == "snapshot":
            self._indi_events.put(_Answer("snapshot", devicename, vectorname, None))
        elif value == "Get":
            await self.send_getProperties(devicename, vectorname)
        elif value in ("Never", "Also", "Only"):
            if devicename:
                await self.send_enableBLOB(value, devicename, vectorname)
        elif isinstance(value, dict) and devicename and vectorname:
            await self.send_newVector(devicename, vectorname, members=value)
            device = self.data.get(devicename)
            vector = device.data.get(vectorname) if device is not None else None
            if vector is not None:
                self._indi_events.put(_Answer("State", devicename, vectorname, vector.timestamp))

    def _part(self, devicename: str | None, vectorname: str | None) -> Snap | SnapDevice | SnapVector | None:
        snap = self.snapshot()
        if not devicename:
            return snap
        device = snap.get(devicename)
        if device is None or not vectorname:
            return device
        return device.get(vectorname)


def _wait_for_item(waiting: queue.Queue[Any]) -> None:
    """Wait without taking an item: this ends shortly after the client, and the next item may be for another."""
    with waiting.not_empty:
        waiting.not_empty.wait_for(waiting._qsize, WAIT_AT_ONCE)  # noqa: SLF001  # qsize() wants the lock


def runqueclient(
    txque: Any, rxque: Any, indihost: str = "localhost", indiport: int = 7624, blobfolder: Any = None
) -> None:
    """Make a :class:`QueClient` and run it; blocks until None is put into `txque`."""

    async def run() -> None:
        await QueClient(txque, rxque, indihost, indiport, blobfolder).asyncrun()

    asyncio.run(run())
