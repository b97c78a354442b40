"""A whole server with endpoints that do what a script says, and an independent opinion of who must hear what.

Nothing here opens a socket or takes time: see :mod:`tests.support.sitelink`. What is checked:

* each endpoint gets what :class:`tests.support.siterules.Rules` says, once, in the order of each source, and nothing else;
* when all that is said has been heard, who has asked knows the state of everything as its owner has said it;
* what waits is bounded, nothing waits for ever, and nothing stays when all have gone.
"""

from __future__ import annotations

import asyncio
import base64
import gc
import itertools
import os
from collections import Counter
from collections.abc import Callable
from typing import Any
from xml.etree.ElementTree import Element

from indipydriver.protocol.encode import encode
from indipydriver.protocol.frame import Frame
from indipydriver.protocol.messages import GetProperties
from indipydriver.runtime.eventqueues import MAX_COMMAND_BYTES
from indipydriver.transport.link import LOW_WATER
from indipyserver.relay.observer import Observer
from indipyserver.relay.peer import Peer
from indipyserver.relay.switchboard import Switchboard
from indipyserver.routing.endpoint import Role
from indipyserver.routing.outbox import OutboxLimits
from indipyserver.routing.rights import Rights
from indipyserver.routing.router import Router

from .siteactor import Actor
from .sitedriver import LocalActor, said_by, serial_of
from .siteelements import Elements
from .sitelink import PatientLoop
from .siterules import ABOVES, BELOWS, CLIENTS, DRIVERS, HIDDEN, PATTERN, Endpoint, Kind, Rules, Said
from .sitesizes import sizes
from .sitesocket import SocketEnd, files_open

__all__ = ["DEVICES", "LIMITS", "NAMES", "ONE_READ", "Site"]

DEVICES = ("A", "B", HIDDEN, "L", "M")
"""L and M are those of drivers of this process."""
NAMES = ("t", "u", "img")
ONE_READ = 300_000
"""Bytes that come in one read, at most."""
LIMITS = OutboxLimits(total=900_000, stream=300_000, commands=300_000, snoop=500_000)

EVENTS = len(NAMES) * (MAX_COMMAND_BYTES + ONE_READ)
"""Bytes of commands that wait within a driver, at most: for each vector."""

_ROLES = {kind: Role.DRIVER if kind in DRIVERS else Role.REMOTE for kind in (Kind.DRIVER, Kind.CAMERA, *BELOWS)}
_RIGHTS = {
    Kind.LIMITED: Rights.of(devices=PATTERN),
    Kind.LIMITED_ABOVE: Rights.of(devices=PATTERN),
    Kind.WATCHER: Rights.of(read_only=True),
    Kind.WATCHER_ABOVE: Rights.of(read_only=True),
}
_SITES = itertools.count(1)
_DATA = ("def", "set", "del", "message")


class _Watcher(Observer):
    """Tells the site what the server reads."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def received(self, peer: Peer, frames: list[Frame]) -> None:
        try:
            self._site._watch(peer, frames)
        except BaseException as error:  # the server would only log it
            self._site.wrong.append(error)
            raise


class Site(Elements):
    """A server and its endpoints."""

    def __init__(self) -> None:
        super().__init__(f"site{next(_SITES)}")
        self.rules = Rules()
        self.board = Switchboard("here")
        self.actors: list[Actor] = []
        self.wrong: list[BaseException] = []
        self.limits = LIMITS
        self.locals: list[LocalActor] = []
        self.board.observe(_Watcher(self))
        self.count = 0
        self.has_sockets = False
        self._largest = 0

    # Who is there

    def join(self, kind: Kind) -> Actor:
        """Somebody comes."""
        self.count += 1
        actor = Actor(self, kind, f"{kind.value} {self.count}")
        role = _ROLES.get(kind, Role.CLIENT)
        only = "A" if kind is Kind.ONLY_A else None

        self.has_sockets = self.has_sockets or isinstance(actor.link, SocketEnd)
        near = actor.link.link if isinstance(actor.link, SocketEnd) else actor.link

        def closed(error: Exception | None) -> None:
            if not actor.patient and kind is not Kind.NEIGHBOUR:  # who reads with each tick only is soon behind
                self.wrong.append(AssertionError(f"{actor} was cut off: {error}"))
            if isinstance(actor.link, SocketEnd):
                actor.link.close()
                self.ended(actor)
            if role is Role.DRIVER:  # as for a program, whoever has started it takes it away
                asyncio.get_running_loop().call_soon(self._remove, actor, error)

        actor.peer = Peer(
            self.board, near, role, limits=LIMITS, on_closed=closed, stays=role is Role.DRIVER,
            only_device=only, takes_blobs=actor.takes_blobs,
        )  # fmt: skip
        if kind in _RIGHTS:
            actor.peer.restrict(_RIGHTS[kind])
        self.actors.append(actor)
        self.rules.came(actor)
        self.board.add(actor.peer)
        if role is Role.DRIVER:
            self.board.send(actor.peer, encode(GetProperties()))
        elif role is Role.REMOTE:
            self.board.send(actor.peer, encode(GetProperties(only or "*")))
        if kind in ABOVES:
            self.say(actor, [self.element("get", "*")])
        return actor

    def _remove(self, actor: Actor, error: Exception | None) -> None:
        self.rules.gone(actor)
        self.board.remove(actor.peer, error)

    def ended(self, actor: Actor) -> None:
        """The link of an actor ends; the server is told next."""
        self.actors.remove(actor)
        actor.closed = True
        if isinstance(actor.link, SocketEnd):
            del actor.link.link  # what it holds, if anything, is not to be held by us
        if actor.kind not in DRIVERS:
            self.rules.gone(actor)

    def join_local(self, device: str) -> LocalActor | None:
        """A driver of this process starts, unless its device is there already."""
        if device in self.rules.owners or any(local.device == device for local in self.locals):
            return None
        self.count += 1
        local = LocalActor(self, device, NAMES, f"{Kind.LOCAL.value} {self.count}")
        self.locals.append(local)
        return local

    def local_ended(self, local: LocalActor) -> None:
        """Its run is over."""
        self.locals.remove(local)
        self.rules.gone(local)

    def _watch(self, source: Peer, frames: list[Frame]) -> None:
        """The server reads what somebody has sent whose link is not ours."""
        sockets = [actor for actor in self.actors if isinstance(actor.link, SocketEnd)]
        for endpoint in [*self.locals, *sockets]:
            if (endpoint.local.peer if isinstance(endpoint, LocalActor) else endpoint.peer) is source:
                for frame in frames:
                    said = said_by(frame)
                    if said.serial:
                        said = self.said.setdefault(said.serial, said)
                    self.heard(endpoint, said)

    # What they say

    def heard(self, source: Endpoint, said: Said) -> None:
        """The server reads an element."""
        self.rules.hear(source, said)

    def say(self, actor: Actor, read: list[Said]) -> None:
        """Send these elements, in one read if they are not too long for it."""
        part: list[Said] = []
        size = 0
        for said in read:
            weight = len(said.raw) + (sum(map(len, said.payloads)) if said.files else 0)
            if part and size + weight > ONE_READ:
                actor.link.feed(part)
                part, size = [], 0
            part.append(said)
            size += weight
            self._largest = max(self._largest, size + len(part))
        actor.link.feed(part)

    # What they hear

    def got(self, actor: Actor | LocalActor, element: Element) -> None:
        """An actor takes an element."""
        tag, device, name = element.tag, element.get("device"), element.get("name")
        where = f"{actor} got <{tag} {device!r} {name!r}>"
        if actor.kind in CLIENTS:
            assert element.get("via") is None, f"{where} with {element.get('via')}"
            assert tag[:3] in ("def", "set", "new", "del", "mes") or tag == "pingReply", where
        assert actor.sees(device), f"{where}, which does not exist for it"
        if not actor.sees(HIDDEN):
            assert HIDDEN not in (element.get("message") or ""), f"{where} that names {HIDDEN}"
        if tag == "pingReply":
            actor.pongs += 1
            self._check_done(actor, int(element.get("uid") or 0), where)
            return
        text = element.get("message") or ""
        if tag == "message" and ("is refused" in text or "can only be commanded there" in text):
            assert isinstance(actor, Actor), where
            actor.refusals[device] += 1
            return
        if tag in ("getProperties", "enableBLOB"):
            assert isinstance(actor, Actor), where
        if tag == "getProperties":
            assert actor.kind not in CLIENTS, where
            if actor.kind in DRIVERS:
                assert element.get("version") == "1.7", where
            self._asked(actor, device, name)
            return
        if tag == "enableBLOB":
            assert actor.kind in ABOVES or actor.kind in BELOWS, where
            assert actor.takes_blobs, where
            actor.enabled[device or "", name or ""] = element.text or ""
            return
        said = self.said.get(serial_of(element.get("timestamp")))
        if said is not None:
            self._check(actor, said, element, where)
        self._show(actor, element)

    def _check(self, actor: Actor | LocalActor, said: Said, element: Element, where: str) -> None:
        """This may come now, and nothing is missing before it."""
        source = actor.allowed.get(said.serial)
        assert source is not None, f"{where}, which it must not get: {said}"
        key = self.rules.lane(source, actor, said)
        last = actor.last.get(key, 0)
        assert said.serial > last, f"{where}: {said} came after {self.said[last]}"
        actor.last[key] = said.serial
        owed = actor.owed.get(key, [])
        while owed and owed[0].serial <= said.serial:
            missed = owed.pop(0)
            assert missed is said or self._excused(actor, missed), f"{where}: {said} came without {missed} before it"
        if said.data:
            got = tuple(self._data(actor, child) for child in element)
            assert got == said.payloads, f"{where} {said} with the data of {[data[:12] for data in got]}"

    def _check_done(self, source: Actor | LocalActor, serial: int, where: str) -> None:
        """The BLOBs that a camera has attached before a ping have gone to all who take what they get."""
        for actor in self.actors:
            if isinstance(actor.link, SocketEnd) or actor.patient or actor.link.paused:
                continue
            late = [said for said in actor.owed.get((source, "data"), []) if said.files and said.serial < serial]
            assert not late, f"{where} before {actor} got {late}"

    def _data(self, actor: Actor | LocalActor, child: Element) -> bytes:
        if child.get("attached") != "true":
            return base64.b64decode(child.text or "")
        assert actor.kind is Kind.NEIGHBOUR, f"{actor} got an attached BLOB"
        assert isinstance(actor, Actor)
        assert actor.link.files, f"{actor} got an attached BLOB without its descriptor"
        file = actor.link.files.popleft()
        try:
            return os.pread(file, int(child.get("len") or child.get("size") or 0), 0)
        except OSError:
            return b"unreadable"
        finally:
            os.close(file)

    def _excused(self, actor: Actor | LocalActor, said: Said) -> bool:
        """A slow endpoint may miss some of this."""
        peer = actor.local.peer if isinstance(actor, LocalActor) else actor.peer
        if peer is None or not peer.dropped or said.verb not in _DATA:
            return False
        return said.stream or actor.kind in DRIVERS or actor.kind in BELOWS

    def _show(self, actor: Actor | LocalActor, element: Element) -> None:
        """Do as a client does with what it is told."""
        tag, device, name = element.tag, element.get("device") or "", element.get("name") or ""
        value = (element[0].text or "").partition(" ")[0] if len(element) and element[0].text else None
        if tag.startswith("def"):
            actor.view[device, name] = [element.get("state"), value]
        elif tag.startswith("set"):
            shown = actor.view.get((device, name))
            if shown is not None:
                shown[0] = element.get("state", shown[0])
                if "BLOB" not in tag:
                    shown[1] = value or shown[1]
        elif tag == "delProperty":
            for key in [key for key in actor.view if key[0] == device and name in ("", key[1])]:
                del actor.view[key]

    def _asked(self, actor: Actor, device: str | None, name: str | None) -> None:
        if device is not None and device.startswith("*"):
            device = name = None
        actor.questions.append((device, name))
        if actor.answers:
            self.answer(actor)

    def answer(self, actor: Actor) -> None:
        """Define what it was asked for, one read for each request."""
        questions, actor.questions = actor.questions, []
        for device, name in questions:
            read = [
                self.element("def", *key, state=state, value=value)
                for key, (state, value) in actor.mine.items()
                if device in (None, key[0]) and name in (None, key[1])
            ]
            if read:
                self.say(actor, read)

    # Time

    def guarded(self, what: Callable[..., None], *arguments: Any) -> None:
        """Do it; what is wrong is noted, and not raised here."""
        try:
            what(*arguments)
        except AssertionError as error:
            self.wrong.append(error)

    def raised(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Something was raised out of a callback."""
        self.wrong.append(context.get("exception") or AssertionError(context["message"]))

    async def settle(self) -> None:
        """All that can happen now happens; no time passes that anybody could notice."""
        more = True
        while more:
            more = False
            for actor in list(self.actors):
                more = actor.link.tick() or more
            await asyncio.sleep(1e-6)
        if self.wrong:
            raise self.wrong[0]
        self.check_bounds()

    async def wait(self, seconds: float) -> None:
        """Time passes."""
        for _ in range(int(seconds)):
            await asyncio.sleep(1)
            await self.settle()

    # What must hold

    def check_bounds(self) -> None:
        """What waits for each is within the limits, but for what came in one read."""
        read = max(ONE_READ, self._largest) + 4096
        senders = sum(1 for actor in self.actors if actor.commands)
        for actor in self.actors:
            peer = actor.peer
            if peer.role in (Role.CLIENT, Role.UPSTREAM):
                bound = max(LIMITS.total, LOW_WATER) + read
            else:
                bound = max(LIMITS.commands, LOW_WATER) + max(LIMITS.snoop, LOW_WATER) + (2 + senders) * read
            assert 0 <= peer.queued <= bound, f"{peer.queued} bytes wait for {actor}, more than {bound}"
            assert min(peer.sent, peer.dropped, peer.received) >= 0
            assert not peer.closed or actor.patient, f"{actor} was cut off, though it took all: {peer.last_error}"

        peers = [actor.peer for actor in self.actors]
        bound = (len(peers) + len(self.locals)) * (LIMITS.total + LOW_WATER + read)
        held = sum(files_open(self.name)) if any(isinstance(actor.link, SocketEnd) for actor in self.actors) else 0
        assert held <= bound, f"{held} bytes of files are open for {len(peers)} endpoints, more than {bound}"
        for local in self.locals:
            size = sum(len(said.raw) for owed in local.owed.values() for said in owed if said.verb == "new")
            bound = LIMITS.commands + LOW_WATER + EVENTS + senders * read
            assert size <= bound, f"{size} bytes of commands wait for {local}, more than {bound}"
            owned = local.local.peer
            assert owned is None or not owned.closed, f"{local} was cut off: {owned.last_error}"

    async def finish(self) -> None:
        """All read again and answer; then everybody knows everything, and nothing waits."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, PatientLoop)
        loop.be_quick(True)
        for actor in self.actors:
            actor.link.rate = None
            actor.answers = True
        for local in self.locals:
            local.driver.free.set()
        for _ in range(4):
            for actor in list(self.actors):
                self.answer(actor)
            await self.settle()
        for local in self.locals:
            missed = [said for owed in local.owed.values() for said in owed if not self._excused(local, said)]
            assert not missed, f"{local} never got {missed}"
            assert not local.local.peer or not local.local.peer.queued
            self._check_view(local)
        for actor in self.actors:
            assert not actor.link.paused, f"{actor} is still held"
            assert actor.link.idle, f"what {actor} has sent is not read"
            assert not actor.peer.queued, f"{actor.peer.queued} bytes wait for {actor}"
            assert actor.pongs == actor.pings, f"{actor} was answered {actor.pongs} of {actor.pings} pings"
            assert actor.refusals == actor.refused, f"{actor} was told of {actor.refusals}, not of {actor.refused}"
            self._check_counts(actor)
            for owed in actor.owed.values():
                missed = [said for said in owed if not self._excused(actor, said)]
                assert not missed, f"{actor} never got {missed}"
            self._check_view(actor)
            self._check_blobs(actor)

    def _check_counts(self, actor: Actor) -> None:
        """Nothing waits for it: all that was sent has come, but for frames of videos that were replaced."""
        sent, dropped = actor.peer.sent, actor.peer.dropped
        words = f"{actor} took {actor.taken} elements; {sent} were sent and {dropped} dropped"
        if actor.commands:
            assert actor.taken == sent - dropped, words
        else:
            assert sent - dropped <= actor.taken <= sent, words
        # What comes over a socket is read as fast as it is sent, and those who take some with each tick may be behind.
        assert not dropped or actor.patient or self.has_sockets, words

    async def shut(self, actor: Actor, rate: int) -> None:
        """The server ends a connection: who goes on reading gets what waits, and nothing else."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, PatientLoop)
        loop.be_quick(True)
        await self.settle()
        if actor.peer.closed or actor.closed:
            return
        actor.closing = True
        actor.peer.close()
        actor.link.rate = rate
        for _ in range(4000):
            if actor.closed:
                break
            actor.link.tick()
            await asyncio.sleep(1e-6)
        assert actor.closed, f"the connection of {actor} does not end; {actor.peer.queued} bytes wait"
        missed = [said for owed in actor.owed.values() for said in owed if not self._excused(actor, said)]
        assert not missed, f"{actor} never got {missed}, which waited when its connection was to end"

    def _check_view(self, actor: Actor | LocalActor) -> None:
        """It knows the last of all it has asked for."""
        truth = self.rules.truth
        for key, known in truth.items():
            if known.state is None or self.rules.owners[key[0]] is actor or not actor.covers(*key, actor.asked):
                continue
            shown = actor.view.get(key)
            only = actor.mode(key[0], None) == "Only" and not key[1].startswith("img")
            if only and (shown is None or key in actor.missing):
                continue
            assert shown is not None, f"{actor} does not know {key}"
            if key[1].startswith("img"):
                continue  # what comes with data is only for those who want that
            assert shown == [known.state, known.value], f"{actor} knows {key} as {shown}, and it is {known}"
        for key in actor.view:
            if actor.covers(*key, actor.asked) and self.rules.owners.get(key[0]) is not actor:
                assert key in truth, f"{actor} still shows {key}"

    def _check_blobs(self, actor: Actor) -> None:
        """A server is asked for those BLOBs that somebody wants, and for no others."""
        if actor.kind not in ABOVES and actor.kind not in BELOWS:
            return
        for device, name in self.rules.truth:
            if name.startswith("img") and self.rules.owners[device] is actor:
                wanted = self.rules.wanted(actor, device, name)
                asked = actor.enabled.get((device, name), "Never") != "Never"
                assert asked == wanted, (
                    f"{actor} sends the data of {device} {name}: {asked}, and it is wanted: {wanted}"
                )

    def abandon(self) -> None:
        """Close what is open, after a failure."""
        for actor in self.actors:
            if isinstance(actor.link, SocketEnd):
                actor.link.close()

    async def close_down(self) -> None:
        """All go; nothing of them stays."""
        for actor in list(self.actors):
            actor.patient = True
            actor.link.finish()
        for local in self.locals:
            local.driver.shutdown()
        await self.settle()
        await self.wait(100)  # no timer may hold on to anybody
        assert not self.actors
        assert not self.locals
        assert not self.board.peers
        if files_open(self.name):
            gc.collect()
        assert not files_open(self.name), "descriptors stay open"
        fresh = Counter(sizes(Router("here")))
        left = Counter(sizes(self.board.router))
        assert left == fresh, f"the router keeps {left - fresh}"
