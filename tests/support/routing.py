"""A router whose parties are only names, and what each of them has received."""

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
from indipyserver.routing.endpoint import Delivery, Party, Role
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
    """A router, the time, and what each party has received."""

    def __init__(self, name: str = "here") -> None:
        self.now = 0.0
        self.router = Router(name, clock=lambda: self.now)
        self.inbox: dict[Party, list[Frame]] = {}
        self.defined: dict[Party, dict[object, Frame]] = {}

    def add(self, label: str, role: Role = Role.CLIENT, **kwargs: object) -> Party:
        party = Party(label, role, **kwargs)  # type: ignore[arg-type]
        self.router.attach(party)
        self.inbox[party] = []
        return party

    def driver(self, device: str, *names: str) -> Party:
        """A driver with a device whose properties it has defined."""
        party = self.add(f"driver of {device}", Role.DRIVER)
        self.send(party, *(define(device, name) for name in names or ("p",)))
        return party

    def client(self, *asks: GetProperties) -> Party:
        """A client that has asked, and been answered by those who own what it asks for."""
        party = self.add(f"client {len(self.inbox)}")
        self.send(party, *asks)
        self.answer()
        return party

    def answer(self) -> None:
        """All parties that have defined something define it again, as they do when they are asked."""
        for source, frames in list(self.defined.items()):
            if source in self.router.parties:
                self.send(source, *frames.values())

    def send(self, source: Party, *what: Frame | AnyMessage) -> None:
        frames = [item if isinstance(item, Frame) else encode(item) for item in what]
        for frame in frames:
            if frame.tag.verb is Verb.DEF:
                self.defined.setdefault(source, {})[frame.address] = frame
        self.deliver(self.router.process(source, frames))

    def deliver(self, deliveries: list[Delivery]) -> None:
        for out, receivers in deliveries:
            for party in receivers:
                if party in self.inbox:
                    self.inbox[party] += out

    def leave(self, party: Party, reason: str = "") -> None:
        self.deliver(self.router.detach(party, reason))
        del self.inbox[party]

    def above(self, *, read_only: bool = False, devices: tuple[str, ...] = ()) -> Party:
        """A server that has connected to this one."""
        party = self.limited(read_only=read_only, devices=devices)
        self.send(party, GetProperties("*"))
        assert party.role is Role.UPSTREAM
        return party

    def limited(self, *asks: GetProperties, read_only: bool = False, devices: tuple[str, ...] = ()) -> Party:
        """A client of a listener with fewer rights."""
        party = Party(f"client {len(self.inbox)}", Role.CLIENT)
        party.restrict(Rights(read_only, devices))
        self.router.attach(party)
        self.inbox[party] = []
        self.send(party, *asks)
        return party

    def raw(self, party: Party) -> bytes:
        """The bytes the party has received since the last look."""
        frames, self.inbox[party] = self.inbox[party], []
        return b"\n".join(frame.raw for frame in frames)

    def take(self, party: Party) -> list[str]:
        """What the party has received since the last look, as "tag device name"."""
        frames, self.inbox[party] = self.inbox[party], []
        return [" ".join(filter(None, (f.tag.text, f.device, f.name))) for f in frames]

    def quiet(self) -> None:
        for party in self.inbox:
            self.inbox[party] = []


def elements(text: bytes) -> list[Frame]:
    """What another program sends."""
    return list(Framer().feed(text))
