"""An element that comes alone takes a shorter way to its only receiver: nobody may notice."""

from __future__ import annotations

import asyncio
import re
import socket
import sys
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indipydriver.transport.descriptor import DescriptorLink
from indipyserver.relay.peer import Peer
from indipyserver.relay.switchboard import Switchboard
from indipyserver.routing.endpoint import Role
from indipyserver.routing.outbox import OutboxLimits

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="links over descriptors need POSIX")

DRIVERS, CLIENTS = ("driver 1", "driver 2"), ("client 1", "client 2", "client 3")
_DEVICE = st.sampled_from("AB")
_NAME = st.sampled_from("nm")


def _definition(device: str, name: str) -> str:
    return (
        f'<defNumberVector device="{device}" name="{name}" state="Ok" perm="rw"><defNumber name="x" format="%g" '
        'min="0" max="0" step="0">1</defNumber></defNumberVector>\n'
    )


def _update(device: str, name: str, value: float, end: str) -> str:
    vector = f'<setNumberVector device="{device}" name="{name}" state="Ok"><oneNumber name="x">{value}</oneNumber>'
    return f"{vector}</setNumberVector>{end}"


def _command(device: str, name: str) -> str:
    member = "<oneNumber name='x'>5</oneNumber>"
    return f"<newNumberVector device='{device}' name='{name}'>{member}</newNumberVector>\n"


_UPDATES = st.builds(
    _update, _DEVICE, _NAME, st.integers(0, 99), st.sampled_from(["\n", "\n", "\n", "\n", "", "\n\n", "\r\n", " "])
)
_OF_DEVICES = st.one_of(
    _UPDATES,
    st.tuples(_UPDATES, _UPDATES).map("".join),
    _UPDATES.map(lambda text: text[:40]),  # the rest never comes
    _UPDATES.map(lambda text: "\n" + text),
    _UPDATES.map(lambda text: '<?xml version="1.0"?>' + text),
    _UPDATES.map(lambda text: text.replace("Number", "BLOB").replace('"x">', '"x" size="3" format=".x">QUJD')[:-1]),
    st.builds(_definition, _DEVICE, _NAME),
    _DEVICE.map(lambda device: f'<delProperty device="{device}"/>\n'),
    _DEVICE.map(lambda device: f'<message device="{device}" message="x"/>\n'),
    st.just("<getProperties version='1.7' device='A'/>\n"),
    st.just("<pingRequest uid='1'/>\n"),
    st.just("junk"),
)
_OF_CLIENTS = st.one_of(
    st.just("<getProperties version='1.7'/>\n"),
    _DEVICE.map(lambda device: f"<getProperties version='1.7' device='{device}'/>\n"),
    st.builds(lambda d, n: f"<getProperties version='1.7' device='{d}' name='{n}'/>\n", _DEVICE, _NAME),
    st.builds(
        lambda d, mode: f"<enableBLOB device='{d}'>{mode}</enableBLOB>\n",
        _DEVICE,
        st.sampled_from(["Also", "Only", "Never"]),
    ),
    st.builds(_command, _DEVICE, _NAME),
    st.just("<getProperties version='1.7' device='*'/>\n"),
    st.just("gone"),
)
_STEPS = st.tuples(
    st.one_of(
        st.tuples(st.sampled_from(DRIVERS), _OF_DEVICES),
        st.tuples(st.sampled_from(CLIENTS), _OF_CLIENTS),
    ),
    st.lists(
        st.one_of(
            st.builds(_update, _DEVICE, _NAME, st.integers(0, 99), st.just("\n")).map(
                lambda text: ("driver 1" if "A" in text else "driver 2", text)
            ),
            st.tuples(st.just("client 1"), st.sampled_from([_command("A", "n"), _command("B", "m")])),
        ),
        max_size=6,
    ),
).map(lambda step: [step[0], *step[1]])
_BEGINNING = [
    ("client 1", "<getProperties version='1.7'/>\n"),
    ("driver 1", _definition("A", "n")),
    ("driver 2", _definition("B", "m")),
]


class Site:
    """A switchboard with its peers, and what has come out at the other ends of their links."""

    def __init__(self, *, shortcuts: bool) -> None:
        self.board = Switchboard("here")
        self.peers: dict[str, Peer] = {}
        self.ends: dict[str, socket.socket] = {}
        self.out = dict.fromkeys((*DRIVERS, *CLIENTS), b"")
        self.taken: Counter[str] = Counter()
        for name in self.out:
            near, far = socket.socketpair()
            near.setblocking(False)
            far.setblocking(False)
            role = Role.CLIENT if name in CLIENTS else Role.REMOTE
            peer = Peer(self.board, DescriptorLink(name, sock=near), role, limits=OutboxLimits(), hang_time=0)
            link = peer.link
            assert isinstance(link, DescriptorLink)
            if role is Role.CLIENT:
                link.demand_progress(60.0)
            if shortcuts:
                self._count(link, name)
            else:
                link.shortcut = None
            self.peers[name], self.ends[name] = peer, far
            self.board.add(peer)

    def _count(self, link: DescriptorLink, name: str) -> None:
        shortcut = link.shortcut
        assert shortcut is not None

        def counted(*element: object) -> bool:
            taken = shortcut(*element)  # type: ignore[arg-type]
            self.taken["from clients" if name in CLIENTS else "from drivers"] += taken
            return taken

        link.shortcut = counted

    async def step(self, name: str, text: str) -> None:
        if text == "gone":
            self.ends[name].close()
        elif self.ends[name].fileno() >= 0 and not self.peers[name].closed:
            self.ends[name].send(text.encode())
        for _ in range(6):
            await asyncio.sleep(0)
        for each, end in self.ends.items():
            try:
                self.out[each] += end.recv(1 << 20)
            except OSError:  # nothing has come, or it is closed
                continue

    def outcome(self) -> dict[str, object]:
        return {
            name: (
                re.sub(rb" timestamp=.[^\s]*", b"", self.out[name]),
                peer.received,
                peer.sent,
                peer.dropped,
                peer.closed,
            )
            for name, peer in self.peers.items()
        }

    async def close(self) -> None:
        for name, peer in self.peers.items():
            peer.link.abort()
            self.ends[name].close()
        await asyncio.sleep(0)


def test_nobody_notices() -> None:
    met: Counter[str] = Counter()

    async def compare(steps: list[tuple[str, str]]) -> None:
        sites = [Site(shortcuts=True), Site(shortcuts=False)]
        try:
            for name, text in [*_BEGINNING, *steps]:
                for site in sites:
                    await site.step(name, text)
                assert sites[0].outcome() == sites[1].outcome()
        finally:
            for site in sites:
                await site.close()
        met.update(sites[0].taken)
        met["steps"] += len(steps)

    @settings(max_examples=150, deadline=None)
    @given(st.lists(_STEPS, max_size=12))
    def never(steps: list[list[tuple[str, str]]]) -> None:
        asyncio.run(compare([step for some in steps for step in some]))

    never()
    assert min(met["from drivers"], met["from clients"]) >= 100, f"it is hardly ever taken: {met}"
