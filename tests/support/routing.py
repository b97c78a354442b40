"""A router whose endpoints are only names, and what each of them has received."""

from __future__ import annotations

from indipydriver.protocol.encode import encode
from indipydriver.protocol.frame import Frame
from indipydriver.protocol.framer import Framer
from indipydriver.protocol.messages import (
    AnyMessage,
    DefMember,
    DefVector,
    GetProperties,
    NewVector,
    OneBlob,
    OneMember,
    SetVector,
)
from indipydriver.protocol.tags import Permission, State, VectorKind, Verb
from indipyserver.routing.endpoint import Delivery, Endpoint, Role
from indipyserver.routing.rights import Rights
from indipyserver.routing.router import Router

TEXT, BLOB = VectorKind.TEXT, VectorKind.BLOB


def define(device: str, name: str, kind: VectorKind = TEXT, value: str = "x", timestamp: str | None = None) -> Frame:
    members = (DefMember("m", "" if kind is BLOB else value),)
    return encode(DefVector(kind, device, name, State.OK, members, perm=Permission.READ_WRITE, timestamp=timestamp))


def update(device: str, name: str, value: str = "x") -> Frame:
    return encode(SetVector(TEXT, device, name, (OneMember("m", value),), State.OK))


def blob(device: str, name: str, data: bytes = b"image") -> Frame:
    return encode(SetVector(BLOB, device, name, (OneBlob("m", data, len(data), ".fits"),), State.OK))


def command(device: str, name: str) -> Frame:
    return encode(NewVector(TEXT, device, name, (OneMember("m", "y"),)))


class Site:
    """A router, the time, and what each endpoint has received."""

    def __init__(self, name: str = "here") -> None:
        self.now = 0.0
        self.router = Router(name, clock=lambda: self.now)
        self.inbox: dict[Endpoint, list[Frame]] = {}
        self.defined: dict[Endpoint, dict[object, Frame]] = {}

    def add(self, label: str, role: Role = Role.CLIENT, **kwargs: object) -> Endpoint:
        endpoint = Endpoint(label, role, **kwargs)  # type: ignore[arg-type]
        self.router.attach(endpoint)
        self.inbox[endpoint] = []
        return endpoint

    def driver(self, device: str, *names: str) -> Endpoint:
        """A driver with a device whose properties it has defined."""
        endpoint = self.add(f"driver of {device}", Role.DRIVER)
        self.send(endpoint, *(define(device, name) for name in names or ("p",)))
        return endpoint

    def client(self, *asks: GetProperties) -> Endpoint:
        """A client that has asked, and been answered by those who own what it asks for."""
        endpoint = self.add(f"client {len(self.inbox)}")
        self.send(endpoint, *asks)
        self.answer()
        return endpoint

    def answer(self) -> None:
        """All endpoints that have defined something define it again, as they do when they are asked."""
        for source, frames in list(self.defined.items()):
            if source in self.router.endpoints:
                self.send(source, *frames.values())

    def send(self, source: Endpoint, *what: Frame | AnyMessage) -> None:
        frames = [item if isinstance(item, Frame) else encode(item) for item in what]
        for frame in frames:
            if frame.tag.verb is Verb.DEF:
                self.defined.setdefault(source, {})[frame.address] = frame
        self.deliver(self.router.route(source, frames))

    def deliver(self, deliveries: list[Delivery]) -> None:
        for out, receivers in deliveries:
            for endpoint in receivers:
                if endpoint in self.inbox:
                    self.inbox[endpoint] += out

    def leave(self, endpoint: Endpoint, reason: str = "") -> None:
        self.deliver(self.router.detach(endpoint, reason))
        del self.inbox[endpoint]

    def above(self, *, read_only: bool = False, devices: tuple[str, ...] = ()) -> Endpoint:
        """A server that has connected to this one."""
        endpoint = self.limited(read_only=read_only, devices=devices)
        self.send(endpoint, GetProperties("*"))
        assert endpoint.role is Role.UPSTREAM
        return endpoint

    def limited(self, *asks: GetProperties, read_only: bool = False, devices: tuple[str, ...] = ()) -> Endpoint:
        """A client of a listener with fewer rights."""
        endpoint = Endpoint(f"client {len(self.inbox)}", Role.CLIENT)
        endpoint.restrict(Rights(read_only, devices))
        self.router.attach(endpoint)
        self.inbox[endpoint] = []
        self.send(endpoint, *asks)
        return endpoint

    def raw(self, endpoint: Endpoint) -> bytes:
        """The bytes the endpoint has received since the last look."""
        frames, self.inbox[endpoint] = self.inbox[endpoint], []
        return b"\n".join(frame.raw for frame in frames)

    def take(self, endpoint: Endpoint) -> list[str]:
        """What the endpoint has received since the last look, as "tag device name"."""
        frames, self.inbox[endpoint] = self.inbox[endpoint], []
        return [" ".join(filter(None, (f.tag.text, f.device, f.name))) for f in frames]

    def quiet(self) -> None:
        for endpoint in self.inbox:
            self.inbox[endpoint] = []


def elements(text: bytes) -> list[Frame]:
    """What another program sends."""
    return list(Framer().feed(text))
