"""One INDI server for the web: its state, its followers, and the outcomes of commands."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import time
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from indipyclient import (
    Client,
    Delta,
    LinkState,
    Note,
    Property,
    ReceivedBlob,
    State,
    VectorKind,
)
from indipyclient.blobs import blobs_in
from indipyclient.model.properties import Key

from .disk import GRACE, Disk
from .histories import Gap, Histories, NumberKey
from .unsaved import Unsaved
from .views import device_facts, dumps, is_secret, note_facts, piece, shape_of

__all__ = ["Alert", "Filter", "Site"]

logger = logging.getLogger("indipyweb")

TICK: Final = 0.1
_ALERTS: Final = 50
_OVER: Final = 600.0
"""Seconds for which an alert that is over is still shown."""
_ENCODED: Final = 64
FOLDER_MOST: Final = 2 << 30
"""Bytes in the folder of BLOBs; beyond that, none are saved."""
INFLATED: Final = 512 << 20
"""Bytes of a BLOB; compressed data that would inflate beyond this is saved as received."""


@dataclass(frozen=True, slots=True)
class Filter:
    """What a page follows.

    Attributes:
        device: The properties of this device; None for none.
        group: Only those of this group.
        keys: These properties as well.
    """

    device: str | None = None
    group: str | None = None
    keys: frozenset[Key] = frozenset()

    def wants(self, prop: Property) -> bool:
        """Whether this property is included."""
        if prop.key in self.keys:
            return True
        return prop.device == self.device and (self.group is None or (prop.group or "Main") == self.group)


@dataclass(slots=True)
class Alert:
    """A property went to Alert.

    Attributes:
        rev: Number of the change.
        at: The time, by the monotonic clock.
        device: Its device.
        label: Its label.
        name: Its name.
        text: Its message.
        clock: The time, in UTC.
        over: It is no longer in Alert.
    """

    rev: int
    at: float
    device: str
    label: str
    name: str
    text: str
    clock: str
    over: bool = False


class Site:
    """An INDI server.

    Args:
        name: The name that pages use for it.
        client: A client that has not been started.
        folder: The folder for BLOBs, or None.
        disk: Saves them.

    Attributes:
        alerts: By property, oldest first.
        histories: The histories of its numbers.
        rev: Number of the last change that was processed; streams use these numbers.
        saved: How many BLOBs were saved.
        problem: Why the last BLOB was not saved, or "".
    """

    def __init__(self, name: str, client: Client, folder: Path | None = None, disk: Disk | None = None) -> None:
        self.name = name
        self.client = client
        self.model = client.model
        self.folder = folder
        self.histories = Histories()
        self.alerts: OrderedDict[Key, Alert] = OrderedDict()
        self.alerts_rev = 0
        self.rev = 0
        self.saved = 0
        self.problem = ""
        self.closing = False
        self._disk = disk or Disk()
        self._ids: dict[Key, int] = {}
        self._keys: dict[int, Key] = {}
        self._images: dict[Key, tuple[int, str]] = {}
        self._last_image = 0
        self._born: dict[Key, int] = {}  # the change since which a number has stood for a property
        self._shapes: dict[Key, tuple[object, str]] = {}
        self._last_id = 0
        self._waiters: set[asyncio.Event] = set()
        self._encoded: OrderedDict[tuple[Filter, int, int, int], str] = OrderedDict()
        self._tasks: list[asyncio.Task[None]] = []
        self._unsaved = Unsaved()
        self._saver: asyncio.Task[None] | None = None
        self._lost_at: float | None = None
        self._devices: dict[str, tuple[int, dict[str, Any] | None]] = {}

    # Life

    async def start(self) -> None:
        """Begin to follow it; does not wait for the link."""
        self.client.on_status = lambda status: self.wake()
        self.client.on_message = self._heard
        await self.client.start(wait=False)
        self._tasks = [asyncio.create_task(self._follow(), name=f"web: {self.name}")]

    async def aclose(self) -> None:
        """End."""
        self.close_streams()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.client.aclose()
        saver = self._saver  # the BLOBs that have come are still saved
        if saver is not None:
            _, late = await asyncio.wait([saver], timeout=GRACE)
            if late:
                logger.error("some BLOBs of %s were not saved: the disk is too slow", self.name)
                saver.cancel()
            await asyncio.gather(saver, return_exceptions=True)

    def close_streams(self) -> None:
        """End the streams."""
        self.closing = True
        self.wake()

    async def _follow(self) -> None:
        async with self.client.changes(interval=TICK, initial=True) as cursor:
            async for delta in cursor:
                try:
                    self._take(delta, time.monotonic())
                except Exception:
                    logger.exception("a change of %s could not be processed", self.name)
                self.rev = delta.rev
                self.wake()

    def _take(self, delta: Delta, now: float) -> None:
        if delta.deleted or delta.reset:  # after very many, they are not listed
            self._bury()
        for prop in delta.properties:
            self.id_of(prop.key)
            if not is_secret(prop):
                self.histories.add(prop, now)
            self._judge(prop, delta, now)
        if not delta.connected and delta.session:
            self._lost_at = self._lost_at or now
        elif delta.connected and self._lost_at is not None:
            self.histories.add_gap(self._lost_at, now)
            self._lost_at = None
        for name in _devices_in(delta):
            device = self.model.device(name)
            facts = device_facts(device) if device is not None else None
            if self._devices.get(name, (0, {}))[1] != facts:
                self._devices.pop(name, None)  # moved to the end: they are in the order of their changes
                self._devices[name] = (delta.rev, facts)
        if delta.reset:
            self._devices = {name: known for name, known in self._devices.items() if self.model.device(name)}
        if len(self._devices) > 2 * len(self.model.names()) + 2000:
            self._devices = {name: known for name, known in self._devices.items() if known[1] is not None}
        for key, alert in list(self.alerts.items()):
            if alert.over and now - alert.at > _OVER:
                del self.alerts[key]
                self.alerts_rev = delta.rev

    def _judge(self, prop: Property, delta: Delta, now: float) -> None:
        known = self.alerts.get(prop.key)
        if State.ALERT in delta.passed(prop):
            entered = prop.entered[list(State).index(State.ALERT)]
            if known is None or known.rev != entered:
                clock = time.strftime("%H:%M:%S", time.gmtime())
                said = self.model.notes(prop.device, entered)  # what it said before may have been that all is well
                text = next((note.text for note in said if note.name == prop.name), "")
                fresh = Alert(entered, now, prop.device, prop.label, prop.name, text[:300], clock)
                self.alerts.pop(prop.key, None)
                known = self.alerts[prop.key] = fresh
                self.alerts_rev = delta.rev
                while len(self.alerts) > _ALERTS:
                    self.alerts.popitem(last=False)
        if known is not None and known.over != (prop.state is not State.ALERT):
            known.over = not known.over
            known.at = now
            self.alerts_rev = delta.rev

    def _bury(self) -> None:
        """Forget what no longer exists."""
        model = self.model
        for key in [key for key in self._ids if model.get(*key) is None]:
            self._keys.pop(self._ids.pop(key), None)
            self._shapes.pop(key, None)
            self._born.pop(key, None)
            if self.alerts.pop(key, None) is not None:
                self.alerts_rev = model.rev
        self.histories.keep(lambda device, name: model.get(device, name) is not None)
        self._images = {key: known for key, known in self._images.items() if model.get(*key) is not None}

    def _heard(self, message: object) -> None:
        """Note the BLOBs of a message, and have them saved; called before the model knows of it."""
        for blob in blobs_in(message):
            prop = self.model.get(blob.device, blob.name)
            if not blob.data or prop is None or prop.kind is not VectorKind.BLOB:
                continue
            self._last_image += 1
            self._images[prop.key] = (self._last_image, blob.timestamp or "")
            if self.folder is None:
                continue
            for lost in self._unsaved.put(blob):
                self._not_saved(f"BLOBs of {lost.device} came faster than they could be saved")
            if self._saver is None or self._saver.done():
                self._saver = asyncio.create_task(self._save_all(self.folder), name=f"web: BLOBs of {self.name}")

    async def _save_all(self, folder: Path) -> None:
        while (blob := self._unsaved.take()) is not None:
            try:
                await self._save_one(folder, blob)
            except Exception:
                logger.exception("a BLOB of %s was not saved", blob.device)

    def _not_saved(self, problem: str) -> None:
        if problem != self.problem:
            logger.error("%s", problem)
        self.problem = problem

    async def _save_one(self, folder: Path, blob: ReceivedBlob) -> None:
        try:
            async with self._disk.saving:
                await self._disk.do(_write, folder, blob)
        except OSError as error:
            self._not_saved(f"A BLOB of {blob.device} was not saved: {error.strerror or error}")
        else:
            self.saved += 1
            self.problem = ""

    # Names

    def id_of(self, key: Key) -> int:
        """The number by which pages name a property while it exists."""
        found = self._ids.get(key)
        if found is None:
            self._last_id += 1
            found = self._ids[key] = self._last_id
            self._keys[found] = key
            self._born[key] = self.model.rev
        return found

    def property_of(self, id: int) -> Property | None:
        """The property with a number."""
        key = self._keys.get(id)
        return self.model.get(*key) if key else None

    def shape(self, prop: Property) -> str:
        """See :func:`shape_of`."""
        known = self._shapes.get(prop.key)
        limits = [(m.min, m.max, m.step) for m in prop.members.values()] if prop.kind is VectorKind.NUMBER else []
        if known is None or known[0] != (prop.defined, limits):  # devices change limits with values, too
            known = self._shapes[prop.key] = ((prop.defined, limits), shape_of(prop))
        return known[1]

    def last_blob(self, key: Key) -> tuple[int, str]:
        """The number of the last BLOB of a property, and its time as the device wrote it, or "": a definition, as for
        somebody who connects, and a state have times of their own."""
        return self._images.get(key, (0, ""))

    def gaps(self, seconds: float, key: NumberKey | None = None) -> list[Gap]:
        """The times in the last seconds for which all values, or those of one number, are unknown, including the
        present one."""
        known = self.histories.gaps_of(seconds, key)
        return known if self._lost_at is None else [*known, (self._lost_at, math.inf)]

    def notes(self, device: str | None = None) -> list[Note]:
        """The messages of a device, or all, up to :attr:`rev`: streams tell later ones."""
        return [note for note in self.model.notes(device) if note.rev <= self.rev]

    # Streams

    @contextlib.contextmanager
    def news(self) -> Iterator[asyncio.Event]:
        """An event that is set when there may be news."""
        event = asyncio.Event()
        self._waiters.add(event)
        try:
            yield event
        finally:
            self._waiters.discard(event)

    def wake(self) -> None:
        """Make streams check whether there is something for them."""
        for event in self._waiters:
            event.set()

    def link(self) -> dict[str, Any]:
        """The state of the link."""
        status = self.client.status
        up = self.model.connected
        found: dict[str, Any] = {"up": up, "n": self.model.session, "name": self.name, "why": ""}
        if not up:
            found["why"] = status.reason or ("connecting" if status.state is LinkState.CONNECTING else "")
            if status.next_try is not None:
                found["next"] = round(max(0.0, status.next_try - asyncio.get_running_loop().time()), 1)
        return found

    def alert_facts(self) -> list[dict[str, Any]]:
        """The alerts for a page, newest first."""
        return [
            {"n": a.rev, "d": a.device, "l": a.label, "text": a.text, "t": a.clock, "over": a.over}
            for a in reversed(self.alerts.values())
        ]

    def delta(self, wanted: Filter, since: int) -> tuple[int, str]:
        """What has changed since, as JSON; the same text for all readers with the same position."""
        rev = self.rev
        key = (wanted, since, rev, int(asyncio.get_running_loop().time()))
        text = self._encoded.get(key)
        if text is None:
            text = self._encoded[key] = dumps(self._facts(wanted, since))
            while len(self._encoded) > _ENCODED:
                self._encoded.popitem(last=False)
        return rev, text

    def _facts(self, wanted: Filter, since: int) -> dict[str, Any]:
        delta = self.model.since(since)
        now = asyncio.get_running_loop().time()
        found: dict[str, Any] = {"rev": self.rev, "n": delta.session, "up": delta.connected}
        if delta.reset:
            found["reset"] = True
        found["set"] = {
            str(self.id_of(prop.key)): piece(prop, delta, now, self.shape(prop), self.last_blob(prop.key)[0])
            for prop in delta.properties
            if wanted.wants(prop)
        }
        # What was defined again has another number: a page that was hidden shows it with the one of before.
        gone = [
            [g.device, g.name]
            for g in delta.deleted
            if g.name is None or self._born.get((g.device, g.name), math.inf) > g.rev
        ]
        if wanted.group is not None:  # what has moved to another group
            gone += [
                [p.device, p.name]
                for p in delta.properties
                if p.device == wanted.device and delta.is_new(p) and not wanted.wants(p)
            ]
        if gone:
            found["del"] = gone
        devices = {}
        for name, (changed, facts) in reversed(self._devices.items()):
            if changed <= since:
                break
            devices[name] = facts
        if devices and not delta.reset:
            found["dev"] = devices
        notes = [
            note_facts(n)
            for n in delta.notes
            if n.rev <= self.rev and n.text and (wanted.device is None or n.device in (None, wanted.device))
        ]
        if notes:
            found["msg"] = notes[-50:]
        if self.alerts_rev > since or delta.reset:
            found["alerts"] = self.alert_facts()
        return found


def _devices_in(delta: Delta) -> set[str]:
    found = {prop.device for prop in delta.properties} | {grave.device for grave in delta.deleted}
    return found | {note.device for note in delta.notes if note.device}


def _write(folder: Path, blob: ReceivedBlob) -> None:
    left = FOLDER_MOST - _bytes_in(folder)
    if len(blob.data) > left:
        raise OSError(f"the folder holds more than {FOLDER_MOST >> 30} GiB already")
    blob.write_to(folder, min(left, INFLATED))


def _bytes_in(folder: Path) -> int:
    """The bytes of its files, except those that have gone meanwhile."""
    total = 0
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                total += entry.stat(follow_symlinks=False).st_size if entry.is_file(follow_symlinks=False) else 0
    return total
