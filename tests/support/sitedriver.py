"""A real IPyDriver at a :class:`tests.support.site.Site`: served in the process, through its own dispatcher."""

from __future__ import annotations

import asyncio
import base64
from collections import deque
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from indipydriver import BLOBMember, BLOBVector, Device, IPyDriver, TextMember, TextVector
from indipydriver.events import Event
from indipydriver.protocol.frame import Frame
from indipyserver.relay.peer import Peer
from indipyserver.sources.localdriver import LocalDriver

from .client import Cutter
from .siterules import Endpoint, Kind, Said

if TYPE_CHECKING:
    from .site import Site

_VERBS = {"getProperties": "get", "enableBLOB": "mode", "delProperty": "del", "pingRequest": "ping"}


class SiteDriver(IPyDriver):
    """Sets what it is told to, and shows what it snoops on; it waits with both while it is busy."""

    def __init__(self, device: str, names: tuple[str, ...]) -> None:
        vectors: list[Any] = [
            BLOBVector(name, "x", "", "rw", "Ok", [BLOBMember("m", "m", blobformat=".fits")])
            if name.startswith("img")
            else TextVector(name, "x", "", "rw", "Ok", [TextMember("m", "m", "v0")])
            for name in names
        ]
        super().__init__(Device(device, vectors))
        self.actor: LocalActor
        self.free = asyncio.Event()
        self.free.set()

    async def rxevent(self, event: Any) -> None:
        await self.pause()
        self.actor.told(event)
        vector = event.vector
        if "m" in event and not isinstance(vector, BLOBVector):
            vector["m"] = event["m"].partition(" ")[0]
        if vector.enable and vector.device.enable:
            await self.actor.answer_command(vector)

    async def pause(self) -> None:
        """Wait while it is busy, and then give the others a turn."""
        await self.free.wait()
        await asyncio.sleep(0)

    async def snoopevent(self, event: Any) -> None:
        await self.pause()
        self.actor.told(event)


class LocalActor(Endpoint):
    """The endpoint of such a driver, and what the test knows of it.

    Attributes:
        view: What it has been told of others.
    """

    __slots__ = ("device", "driver", "last", "local", "peer", "site", "task", "tasks", "todo", "view")

    def __init__(self, site: Site, device: str, names: tuple[str, ...], label: str) -> None:
        super().__init__(Kind.LOCAL, label)
        self.site = site
        self.device = device
        self.view: dict[tuple[str, str], list[str | None]] = {}
        self.last: dict[tuple[Endpoint, str], int] = {}
        self.driver = SiteDriver(device, names)
        self.driver.actor = self
        self.todo: deque[Callable[[], Coroutine[Any, Any, None]]] = deque()
        self.tasks: set[asyncio.Task[None]] = set()
        self.local = LocalDriver(site.board, self.driver, site.limits)
        self.peer: Peer
        self.task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        """Served until it ends; it is first noted what it owns, as the server does."""
        self.site.rules.came(self)
        self.site.rules.claimed(self, self.device)
        self.driver.expect_run()
        await self.local.run()
        self.site.local_ended(self)

    # What it is made to do, one after the other

    def do(self, what: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self.todo.append(what)
        if len(self.todo) == 1:
            task = asyncio.get_running_loop().create_task(self._work())
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def _work(self) -> None:
        while self.todo:
            await self.todo[0]()
            self.todo.popleft()

    async def answer_command(self, vector: Any) -> None:
        if isinstance(vector, BLOBVector):
            await vector.send_setVectorMembers(timestamp=self.time(), state="Ok")
        else:
            await vector.send_setVector(timestamp=self.time(), state="Ok")

    def time(self) -> datetime:
        """The timestamp that holds the next serial."""
        self.site.serial += 1
        return datetime(2026, 1, 1, microsecond=self.site.serial, tzinfo=UTC)

    # What it hears

    def told(self, event: Event) -> None:
        self.site.guarded(self.site.got, self, event.root)


def serial_of(timestamp: str | None) -> int:
    """The serial in a timestamp of the test; 0 for others."""
    if timestamp is None or not timestamp.startswith("2026-01-01T00:00:00."):
        return 0
    return int(timestamp.partition(".")[2].ljust(6, "0"))


def said_by(frame: Frame) -> Said:
    """What the server has read, in the words of the rules."""
    (element,) = Cutter().feed(frame.raw)
    tag = element.tag
    verb = _VERBS.get(tag, tag if tag == "message" else tag[:3])
    value = _value(element, verb)
    data = tag == "setBLOBVector" and len(element) > 0
    payloads = tuple(base64.b64decode(child.text or "") for child in element) if data else ()
    serial = serial_of(element.get("timestamp"))
    return Said(
        verb, element.get("device"), element.get("name"), serial, frame.raw, data, False, element.get("state"), value,
        payloads, reply=frame.reply,
    )  # fmt: skip


def _value(element: ET.Element, verb: str) -> str | None:
    if verb == "mode":
        return element.text
    if len(element) and "BLOB" not in element.tag:
        return (element[0].text or "").partition(" ")[0]
    return "" if verb == "def" else None
