"""What holds in the router, whoever sends what: endpoints of all roles and rights, told by a program.

The first byte of the program chooses the bounds of the tables; each record is: one byte for what is done and by whom,
and what that endpoint sends.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any, Final

from indipydriver.protocol.decode import decode
from indipydriver.protocol.frame import BlobFrame, Frame
from indipydriver.protocol.framer import Framer, Limits
from indipydriver.protocol.messages import EnableBlob
from indipydriver.protocol.tags import BlobMode, Verb
from indipyserver.routing.endpoint import Delivery, Endpoint, Role
from indipyserver.routing.rights import Rights
from indipyserver.routing.router import Router

from .inputs import SEPARATOR, silent

__all__ = ["router"]

LIMITS: Final = Limits(frame=4096, blob=8192, start_tag=1024, junk=2048, name=64, members=16)
HERE: Final = "here"
_FRAMES, _COMES_OR_GOES, _REFRESH, _RELEASE, _SITE = range(5)
_ACTIONS: Final = (_FRAMES,) * 16 + (_COMES_OR_GOES, _COMES_OR_GOES, _REFRESH, _RELEASE, _SITE)
_DATA: Final = frozenset({Verb.DEF, Verb.SET, Verb.NEW, Verb.DELETE})
_COMPLAINTS: Final = 40  # kinds: each is a line in the log, and a peer must not be able to invent them
_TIGHT: Final = {
    ("indipyserver.routing.interest", "MAX_INTERESTS"): 6,
    ("indipyserver.routing.devices", "MAX_DEVICES"): 3,
    ("indipyserver.routing.devices", "MAX_PROPERTIES"): 3,
    ("indipyserver.routing.devices", "MAX_DEFINED"): 8,
    ("indipyserver.routing.routes", "MAX_ROUTES"): 4,
}
"""Bounds that a short program reaches."""


@contextlib.contextmanager
def _bounds(tight: bool) -> Iterator[dict[str, int]]:
    """The bounds by name; for a while as in _TIGHT, if they are to be."""
    found = [(sys.modules[module], name, value) for (module, name), value in _TIGHT.items() if module in sys.modules]
    kept = [(module, name, getattr(module, name)) for module, name, _ in found if hasattr(module, name)]
    if tight:
        for module, name, _ in kept:
            setattr(module, name, _TIGHT[module.__name__, name])
    try:
        yield {name: getattr(module, name) for module, name, _ in kept}
    finally:
        for module, name, value in kept:
            setattr(module, name, value)


def _endpoints() -> list[Endpoint]:
    def endpoint(label: str, role: Role, rights: Rights | None = None, **more: Any) -> Endpoint:
        made = Endpoint(label, role, **more)
        if rights is not None:
            made.restrict(rights)
        return made

    return [
        endpoint("client", Role.CLIENT),
        endpoint("client 2", Role.CLIENT),
        endpoint("driver", Role.DRIVER),
        endpoint("driver 2", Role.DRIVER),
        endpoint("local driver", Role.DRIVER),
        endpoint("below", Role.REMOTE),
        endpoint("below, one device", Role.REMOTE, only_device="A"),
        endpoint("below, no BLOBs", Role.REMOTE, takes_blobs=False),
        endpoint("may look", Role.CLIENT, Rights(read_only=True)),
        endpoint("sees A and M*", Role.CLIENT, Rights(devices=("A", "M*"))),
        endpoint("may look at B", Role.CLIENT, Rights(True, ("B",))),
    ]


_COUNT: Final = len(_endpoints())
_LOCAL: Final = 4  # its devices are claimed when it comes


class _World:
    """A router, its endpoints, and what each of them has been sent."""

    def __init__(self, cached: bool) -> None:
        self.cached = cached
        self.now = 0.0
        self.router = Router(HERE, clock=lambda: self.now)  # on a busy machine the real one goes on between two frames
        self.endpoints = _endpoints()
        self.got: list[tuple[int, bytes]] = []  # who, what; in order for each
        self.index = {id(endpoint): number for number, endpoint in enumerate(self.endpoints)}
        self.enabled: dict[tuple[int, str, str], BlobMode] = {}  # what we have asked of servers
        for number in range(_COUNT):
            self.attach(number)

    def attach(self, number: int) -> None:
        self.router.attach(self.endpoints[number])
        if number == _LOCAL:
            for device in ("D", "Mount 1"):
                if device not in self.router.devices:
                    self.router.claim(device, self.endpoints[number])

    def come_or_go(self, number: int) -> None:
        endpoint = self.endpoints[number]
        if endpoint in self.router.endpoints:
            self.take(None, self.router.detach(endpoint, "it has gone"), ())
            for key in [key for key in self.enabled if key[0] == number]:
                del self.enabled[key]
            return
        new = _endpoints()[number]
        self.endpoints[number] = new
        self.index[id(new)] = number
        self.attach(number)

    def process(self, number: int, frames: list[Frame]) -> None:
        source = self.endpoints[number]
        if source not in self.router.endpoints:
            return
        self.now += 0.3
        if self.cached:
            self.take(source, self.router.route(source, frames), frames)
            return
        for frame in frames:
            self.router._routes.forget()
            self.take(source, self.router.route(source, [frame]), [frame])

    def take(self, source: Endpoint | None, deliveries: list[Delivery], sent: list[Frame] | tuple[()]) -> None:
        """Look at each delivery, and note it."""
        theirs = {id(frame) for frame in sent}
        there = self.router.endpoints
        for frames, receivers in deliveries:
            assert frames, "a delivery of nothing"
            assert receivers, "a delivery to nobody"
            assert len(frames) == 1 or not any(isinstance(frame, BlobFrame) for frame in frames), "a BLOB goes alone"
            assert len({id(endpoint) for endpoint in receivers}) == len(receivers), "one receiver twice"
            for endpoint in receivers:
                assert endpoint in there, f"{endpoint} is not here and gets {frames}"
                number = self.index[id(endpoint)]
                for frame in frames:
                    _may_get(source, endpoint, frame, id(frame) in theirs)
                    if frame.tag.verb is Verb.ENABLE_BLOB:
                        self._note_enabled(number, frame)
                    self.got.append((number, frame.raw))

    def _note_enabled(self, number: int, frame: Frame) -> None:
        request = decode(frame)
        assert isinstance(request, EnableBlob)
        assert request.device is not None
        assert request.name is not None
        self.enabled[number, request.device, request.name] = request.mode


def _may_get(source: Endpoint | None, endpoint: Endpoint, frame: Frame, theirs: bool) -> None:
    """May this endpoint get this frame, which that source has caused or (`theirs`) sent itself?"""
    tag, device, name = frame.address
    if device:
        assert endpoint.may_see(device), f"{endpoint} sees {frame}"
    if endpoint is source and theirs:
        snoops_on_itself = endpoint.role is Role.DRIVER and (
            tag.verb is Verb.GET or (device is not None and endpoint.interest.names(device, name))
        )
        assert snoops_on_itself, f"{endpoint} hears itself: {frame}"
    if tag.verb is Verb.NEW and source is not None:
        assert not source.rights.read_only, f"{source} has commanded: {frame}"
    if source is not None and theirs and device:
        assert source.may_see(device), f"{source} does not see what it sends: {frame}"
    if not isinstance(frame, BlobFrame) or not frame.spans:
        return
    assert endpoint.takes_blobs, f"{endpoint} takes no BLOBs and gets {frame}"
    if tag.verb is Verb.NEW and endpoint.role not in (Role.CLIENT, Role.UPSTREAM):
        return  # a command for its owner
    assert device is not None
    assert endpoint.interest.blob_mode(device, name or "") is not BlobMode.NEVER, f"{endpoint} has not enabled {frame}"
    assert endpoint.interest.covers(device, name), f"{endpoint} has not asked for {frame}"


def _bounded(router: Router, bounds: dict[str, int]) -> None:
    owned: dict[int, int] = {}
    bits = sum(endpoint.bit for endpoint in router.endpoints)
    assert bits.bit_count() == len(router.endpoints)
    for device in router.devices:
        record = router.devices.get(device)
        assert record is not None
        assert record.owner in router.endpoints, f"{device} belongs to somebody who is not here"
        assert len(record.properties) <= bounds["MAX_PROPERTIES"]
        owned[id(record.owner)] = owned.get(id(record.owner), 0) + 1
        for prop in record.properties.values():
            kept = prop.missing | prop.unseen | prop.takers
            assert not kept & ~bits, "something is kept of somebody who is not here"
    claimed = 2
    assert all(count <= bounds["MAX_DEVICES"] + claimed for count in owned.values()), "too many devices"
    for endpoint in router.endpoints:
        assert len(endpoint.complaints) <= _COMPLAINTS, (
            f"{endpoint} has invented complaints: {list(endpoint.complaints)[:5]}"
        )
        wanted = endpoint.interest
        assert len(wanted.devices) + len(wanted.properties) <= bounds["MAX_INTERESTS"], "too many interests"
        assert len(endpoint.routes) <= bounds.get("MAX_ROUTES", 8192), "too many routes"


def _links_asked(world: _World) -> None:
    """BLOBs that somebody wants of another server have been asked for there."""
    router = world.router
    for device in router.devices:
        record = router.devices.get(device)
        assert record is not None
        owner = record.owner
        if owner.role not in (Role.REMOTE, Role.UPSTREAM) or not owner.takes_blobs:
            continue
        for name, prop in record.properties.items():
            if not prop.is_blob:
                continue
            takers = [p for p in router.endpoints if p is not owner and p.takes_blobs]
            wanted = any(p.interest.wants_blob(device, name) for p in takers)
            asked = world.enabled.get((world.index[id(owner)], device, name), BlobMode.NEVER)
            assert not wanted or asked is BlobMode.ALSO, (
                f"{device} {name} is wanted of {owner}, which has not been asked"
            )


def router(data: bytes) -> None:
    """Run the program twice, with routes that are remembered and without: the same goes out."""
    options, *records = data.split(SEPARATOR)
    option = options[0] if options else 0
    tight = option % 4 == 0
    steps = _steps(records)
    with _bounds(tight) as bounds, silent("indipyserver.ipyserver"):
        world = _run(steps, True, bounds)
        if option % 2:
            other = _run(steps, False, bounds)
            assert [p.complaints for p in world.endpoints] == [p.complaints for p in other.endpoints]
            for number in range(_COUNT):
                ways = [[raw for who, raw in each.got if who == number] for each in (world, other)]
                assert ways[0] == ways[1], f"{world.endpoints[number]} gets something else where nothing is remembered"
        for number in range(_COUNT):
            if world.endpoints[number] in world.router.endpoints:
                world.come_or_go(number)
        assert not list(world.router.devices), "devices are left when all have gone"
        assert not world.router.endpoints


def _steps(records: list[bytes]) -> list[tuple[int, int, list[Frame]]]:
    """What the program says: which endpoint, what it does, and what its framer makes of what it sends."""
    framers: dict[int, Framer] = {}
    steps: list[tuple[int, int, list[Frame]]] = []
    for record in records:
        if not record:
            continue
        number, action = record[0] % _COUNT, _ACTIONS[record[0] // _COUNT % len(_ACTIONS)]
        frames: list[Frame] = []
        if action == _FRAMES:
            framer = framers.setdefault(number, Framer(LIMITS))
            frames = framer.feed(record[1:])
        if action == _COMES_OR_GOES or (action == _FRAMES and framer.failed):
            framers.pop(number, None)
        steps.append((number, action, frames))
    return steps


def _run(steps: list[tuple[int, int, list[Frame]]], cached: bool, bounds: dict[str, int]) -> _World:
    world = _World(cached)
    for number, action, frames in steps:
        if action == _FRAMES:
            if frames:
                world.process(number, frames)
        elif action == _COMES_OR_GOES:
            world.come_or_go(number)
        elif action == _REFRESH and world.endpoints[number] in world.router.endpoints:
            world.take(None, world.router.refresh(world.endpoints[number]), ())
        elif action == _RELEASE:
            world.take(None, world.router.release("D"), ())
        elif action == _SITE:
            world.take(None, world.router.site_message("it rains"), ())
    _bounded(world.router, bounds)
    _links_asked(world)
    return world
