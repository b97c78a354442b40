"""Plays a script of steps at a :class:`tests.support.site.Site`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from functools import partial
from typing import Any, TypeAlias

from indipydriver.transport.link import SLICE

from .site import DEVICES, NAMES, Site
from .siteactor import Actor
from .sitedriver import LocalActor
from .sitelink import PatientLoop, played
from .siterules import ABOVES, SOURCES, Kind, Said

__all__ = ["MOST", "Play", "Step", "play"]

Step: TypeAlias = tuple[Any, ...]

MOST = 9
"""Endpoints with a line to the server, at most."""


class Play:
    """Does what a script says at a site."""

    def __init__(self, with_locals: bool = False, sockets: bool = False) -> None:
        self.with_locals = with_locals
        self.sockets = sockets
        self.site = Site()
        self.values = 0

    async def run(self, script: list[Step]) -> None:
        site = self.site
        asyncio.get_running_loop().set_exception_handler(site.raised)
        if self.with_locals or self.sockets:
            self.start(0)
            self.start(1)
        driver, client = site.join(Kind.CAMERA if self.sockets else Kind.DRIVER), site.join(Kind.CLIENT)
        self.home(driver)
        if self.with_locals or self.sockets:
            self.local(0, [("get", (1, 0), "snoop")])
            self.local(1, [("get", (1, 0), "device")])
        for name in NAMES:
            self.do(driver, [("define", (0, NAMES.index(name)), "Ok", "change")])
        if self.sockets:
            self.do(site.join(Kind.NEIGHBOUR), [("get", (0, 0), "all"), ("mode", (0, 0), "all", "Also")])
        self.do(client, [("get", (0, 0), "all")])
        await site.settle()
        try:
            for each in script:
                more = getattr(self, each[0].replace(" ", "_"))(*each[1:])
                if more is not None:
                    await more
                await site.settle()
            await site.finish()
            await site.close_down()
        finally:
            site.abandon()

    # Steps

    def nothing(self) -> None:
        pass

    def wait(self, seconds: float) -> Awaitable[None]:
        return self.site.wait(seconds)

    def quiet(self) -> Awaitable[None]:
        """All is read, and answered."""
        return self.site.finish()

    def shut(self, index: int, rate: int) -> Awaitable[None] | None:
        """The server ends the connection of a client."""
        clients = [a for a in self.site.actors if a.commands]
        if not clients:
            return None
        clients[index % len(clients)].patient = True
        return self.site.shut(clients[index % len(clients)], rate)

    def source(self, index: int, read: list[Step]) -> None:
        self.pick(index, [a for a in self.site.actors if a.kind in SOURCES], read)

    def client(self, index: int, read: list[Step]) -> None:
        self.pick(index, [a for a in self.site.actors if a.commands], read)

    def anybody(self, index: int, read: list[Step]) -> None:
        self.pick(index, self.site.actors, read)

    def pick(self, index: int, actors: list[Actor], read: list[Step]) -> None:
        if actors:
            self.do(actors[index % len(actors)], read)

    def flood(self, index: int, where: tuple[int, int], count: int, suffix: str) -> None:
        one: Step = ("image", where, suffix, 200_000) if suffix else ("set", where, "Busy", 200_000)
        self.source(index, [one] * count)

    def storm(self, index: int, where: tuple[int, int], by_client: bool) -> None:
        """More than any queue of events holds."""
        if by_client:
            self.client(index, [("new", where, 0)] * 300)
        else:
            self.source(index, [("set", where, "Ok", 0)] * 300)

    def orders(self, index: int, device: int, name: int, count: int) -> None:
        self.client(index, [("new", (device, name), 200_000)] * count)

    def tree(self) -> None:
        """Servers above and below come, and all that have something to say want to hear of all."""
        for kind in (Kind.ABOVE, Kind.REMOTE):
            self.join(kind)
        for actor in self.site.actors:
            if actor.kind in SOURCES:
                self.do(actor, [("define", (0, 0), "Ok", "now"), ("get", (0, 0), "all")])

    def behind(self, index: int, other: int, read: list[Step]) -> None:
        """A source takes nothing, while there is much to be taken; then comes some of it together with commands."""
        sources = [a for a in self.site.actors if a.kind in SOURCES]
        if sources:
            slow = sources[index % len(sources)]
            slow.link.rate = 0
            slow.patient = True
            self.flood(other, (0, 0), 5, "")
            above = [a for a in sources if a.kind in ABOVES]
            if above:
                self.do(above[0], [("set", (0, 0), "Ok", 0), *read])

    def rate(self, index: int, rate: int | None) -> None:
        if self.site.actors:
            actor = self.site.actors[index % len(self.site.actors)]
            actor.link.rate = rate
            actor.patient = actor.patient or rate is not None

    def answers(self, index: int, answers: bool) -> None:
        actors = [a for a in self.site.actors if a.kind in SOURCES]
        if actors:
            actor = actors[index % len(actors)]
            actor.answers = answers
            if answers:
                self.site.answer(actor)

    def join(self, kind: Kind) -> None:
        if len(self.site.actors) < MOST:
            actor = self.site.join(kind)
            if kind in SOURCES:
                self.home(actor)

    def leave(self, index: int, how: str) -> None:
        if self.site.actors:
            actor = self.site.actors[index % len(self.site.actors)]
            actor.patient = True
            if how == "finish":  # what is held back is never read
                actor.link.finish()
            else:
                actor.link.break_off()

    # Local sockets

    def camera(self, index: int, read: list[Step]) -> None:
        self.pick(index, [a for a in self.site.actors if a.kind is Kind.CAMERA], read)

    def brim(self, index: int, room: int) -> None:
        """What leaves the server's buffer room for so many bytes of the attached BLOB behind it."""
        cameras = [a for a in self.site.actors if a.kind is Kind.CAMERA]
        if cameras:
            actor = cameras[index % len(cameras)]
            device, name = self.at(actor, (0, 0), "text")
            size = SLICE - room - 1 - len(self.site.element("set", device, name, state="Ok", value="full").raw)
            full = self.site.element("set", device, name, state="Ok", value="full", size=size)
            actor.mine[device, name] = "Ok", "full"
            self.site.say(actor, [full])
            self.site.say(actor, self._attached(actor, (0, 0), ["attached"], ".fits", 100))

    def film(self, index: int, count: int) -> None:
        self.camera(index, [("attached", (0, 0), ["attached"], ".fits", 280_000)] * count)

    def threads(self, quick: bool) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, PatientLoop)
        loop.be_quick(quick)

    # Drivers of this process

    def local(self, index: int, read: list[Step]) -> None:
        if self.site.locals:
            local = self.site.locals[index % len(self.site.locals)]
            for what in read:
                local.do(partial(self.local_step, local, *what))

    def start(self, index: int) -> None:
        self.site.join_local("LM"[index % 2])

    def stop(self, index: int) -> None:
        if self.site.locals:
            self.site.locals[index % len(self.site.locals)].driver.shutdown()

    def busy(self, index: int, busy: bool) -> None:
        if self.site.locals:
            free = self.site.locals[index % len(self.site.locals)].driver.free
            free.clear() if busy else free.set()

    async def local_step(self, local: LocalActor, what: str, where: Any = (0, 0), *arguments: Any) -> None:
        """The same elements, by the ways of an author."""
        driver = local.driver
        device = driver[local.device]
        foreign = DEVICES[where[0] - 1] if where[0] else "A"
        name = NAMES[where[1]]
        vector: Any = device[name]
        if driver.stop:
            return
        match what:
            case "define":
                vector.enable = device.enable = True
                vector.state = arguments[0]
                if name != "img" and arguments[1] == "change":
                    vector["m"] = self.value()
                await vector.send_defVector(timestamp=local.time())
            case "set" if name != "img":
                vector["m"] = self.value()
                await vector.send_setVector(timestamp=local.time(), state=arguments[0])
            case "state":
                await vector.send_setVectorMembers(timestamp=local.time(), state=arguments[0])
            case "image":
                blob = device["img"]
                blob["m"] = b"pixel" * (1 + arguments[1] // 5)
                await blob.send_setVectorMembers(timestamp=local.time(), members=["m"])
            case "delete" if arguments[0] == "device":
                await device.send_delProperty(timestamp=local.time())
            case "delete":
                await vector.send_delProperty(timestamp=local.time())
            case "message" if arguments[0]:
                await driver.send_message("text", timestamp=local.time())
            case "message":
                await device.send_device_message("text", timestamp=local.time())
            case "get" if arguments[0] == "all":
                await driver.send_getProperties()
            case "get" if foreign == local.device:
                pass
            case "get" if arguments[0] == "device":
                await driver.send_getProperties(foreign)
            case "get" if arguments[0] == "property":
                await driver.send_getProperties(foreign, name)
            case "get":
                driver.snoop(foreign, name)

    # Elements

    def home(self, actor: Actor) -> None:
        """The device that it mostly speaks of: each that is free, in turn."""
        taken = [self.homes.get(other) for other in self.site.actors]
        free = [device for device in DEVICES[:3] if device not in taken]
        self.homes[actor] = free[0] if free else DEVICES[0]

    @property
    def homes(self) -> dict[Actor, str]:
        return self.__dict__.setdefault("_homes", {})

    def do(self, actor: Actor, read: list[Step]) -> None:
        said: list[Said] = []
        for what, *arguments in read:
            said += getattr(self, "_" + what.replace(" ", "_"))(actor, *arguments)
        if said:
            self.site.say(actor, said)

    def at(self, actor: Actor, where: tuple[int, int], kind: str = "") -> tuple[str, str]:
        device = DEVICES[where[0] - 1] if where[0] else self.homes.get(actor, DEVICES[0])
        names = [name for name in NAMES if name.startswith("img") == (kind == "image")] if kind else NAMES
        return device, names[where[1] % len(names)]

    def value(self) -> str:
        self.values += 1
        return f"v{self.values}"

    def _define(self, actor: Actor, where: tuple[int, int], state: str, how: str) -> list[Said]:
        """Define something: as it is now, as it was last defined, or otherwise."""
        key = self.at(actor, where)
        known = actor.mine.get(key)
        if known is None or how == "change":
            known = actor.mine[key] = state, "" if key[1].startswith("img") else self.value()
        if how == "again":
            known = actor.mine[key] = actor.defined.get(key, known)
        actor.defined[key] = known
        return [self.site.element("def", *key, state=known[0], value=known[1])]

    def _reset(self, actor: Actor, where: tuple[int, int], state: str) -> list[Said]:
        """Something else is said, and then what was defined before."""
        _, name = self.at(actor, where, "text")
        here = (where[0], NAMES.index(name))
        return self._set(actor, here, state, 0) + self._define(actor, here, state, "again")

    def _set(self, actor: Actor, where: tuple[int, int], state: str, size: int) -> list[Said]:
        key = self.at(actor, where, "text")
        value = self.value()
        if key in actor.mine:
            actor.mine[key] = state, value
        return [self.site.element("set", *key, state=state, value=value, size=size)]

    def _state(self, actor: Actor, where: tuple[int, int], state: str, empty: bool) -> list[Said]:
        key = self.at(actor, where)
        if key in actor.mine:
            actor.mine[key] = state, actor.mine[key][1]
        return [self.site.element("set", *key, state=state, empty=empty)]

    def _image(self, actor: Actor, where: tuple[int, int], suffix: str, size: int) -> list[Said]:
        key = self.at(actor, where, "image")
        if key in actor.mine:
            actor.mine[key] = "Ok", ""
        return [self.site.element("set", *key, state="Ok", suffix=suffix, size=size)]

    def _attached(self, actor: Actor, where: tuple[int, int], members: list[str], suffix: str, size: int) -> list[Said]:
        if actor.kind is not Kind.CAMERA:
            return []
        actor.patient = actor.patient or "stray" in members  # whose descriptors follow, nobody can tell
        return [self.site.attached(*self.at(actor, where, "image"), members, suffix, size)]

    def _delete(self, actor: Actor, where: tuple[int, int], what: str) -> list[Said]:
        device, name = self.at(actor, where)
        if what == "nameless":
            return [self.site.element("del", device, "")]
        if what == "odd":
            return [self.site.element("del", "", name)]
        for key in list(actor.mine):
            if what == "all" or (key[0] == device and (what == "device" or key[1] == name)):
                del actor.mine[key]
        if what == "all":
            return [self.site.element("del")]
        return [self.site.element("del", device, name if what == "property" else None)]

    def _message(self, actor: Actor, where: tuple[int, int], site: bool, size: int) -> list[Said]:
        return [self.site.element("message", None if site else self.at(actor, where)[0], size=size)]

    def _ping(self, actor: Actor) -> list[Said]:
        return [self.site.element("ping")]

    def _get(self, actor: Actor, where: tuple[int, int], what: str) -> list[Said]:
        device, name = self.at(actor, where)
        arguments = {"all": (), "device": (device,), "property": (device, name), "empty": ("", "")}
        return [self.site.element("get", *arguments.get(what, (device, "")))]

    def _mode(self, actor: Actor, where: tuple[int, int], what: str, mode: str) -> list[Said]:
        device, name = self.at(actor, where, "image")
        arguments = {"all": (), "device": (device,), "property": (device, name)}
        return [self.site.element("mode", *arguments[what], value=mode)]

    def _new(self, actor: Actor, where: tuple[int, int], size: int) -> list[Said]:
        return [self.site.element("new", *self.at(actor, where, "text"), value=self.value(), size=size)]

    def _new_image(self, actor: Actor, where: tuple[int, int], suffix: str, size: int) -> list[Said]:
        return [self.site.element("new", *self.at(actor, where, "image"), suffix=suffix, size=size)]


def play(script: list[Step], *, with_locals: bool = False, sockets: bool = False) -> None:
    played(Play(with_locals, sockets).run(script))
