"""A device that changes hands while both owners have a BLOB that is being converted for the same client.

Conversions end in any order; the client must get what is said of the device in the order in which it was said.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from indipydriver.protocol.frame import Batch, BlobFrame, address
from indipydriver.protocol.framer import Framer
from indipydriver.transport.attached import AttachedFrame, Descriptor
from indipyserver.relay import conversions
from indipyserver.relay.attachments import IN_LOOP, convert
from indipyserver.relay.peer import Peer
from indipyserver.relay.switchboard import Switchboard
from indipyserver.routing.endpoint import Role
from indipyserver.routing.outbox import OutboxLimits
from tests.support import asynchronous, eventually
from tests.support.links import FakeLink

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory files are Linux's")

SIZE = IN_LOOP + 3


class Noting(FakeLink):
    """Notes tag and device of all that is written."""

    def __init__(self, label: str) -> None:
        super().__init__(label, takes_all=True)
        self.got: list[str] = []

    def write(self, batch: Batch) -> None:
        super().write(batch)
        for frame in Framer(as_sent=True).feed(b"".join(batch.buffers)):
            self.got.append(f"{frame.tag.text} {frame.device}")


def blob(device: str) -> AttachedFrame:
    descriptor = Descriptor(os.memfd_create("b"))
    os.ftruncate(descriptor.fd, SIZE)
    raw = (
        f"<setBLOBVector device='{device}' name='IMG'><oneBLOB name='b' size='{SIZE}' attached='true'/></setBLOBVector>"
    )
    return AttachedFrame(address("setBLOBVector", device, "IMG"), raw.encode(), [descriptor], [SIZE])


class Site:
    """Two drivers and a client that takes base64; A has the device C, B has E."""

    def __init__(self) -> None:
        self.board = Switchboard("here")
        self.a, self.link_a = self.peer("A", Role.DRIVER)
        self.b, self.link_b = self.peer("B", Role.DRIVER)
        client, self.client = self.peer("client", Role.CLIENT)
        self.feed(client, "<getProperties version='1.7'/>")
        for device, driver in (("C", self.a), ("E", self.b)):
            self.feed(client, f"<enableBLOB device='{device}'>Also</enableBLOB>")
            self.feed(driver, f"<defBLOBVector device='{device}' name='IMG'><defBLOB name='b'/></defBLOBVector>")
        self.client.got.clear()

    def peer(self, label: str, role: Role) -> tuple[Peer, Noting]:
        link = Noting(label)
        peer = Peer(self.board, link, role, limits=OutboxLimits(), hang_time=0)
        self.board.add(peer)
        return peer, link

    def feed(self, peer: Peer, text: str) -> None:
        peer.frames_received(Framer().feed(text.encode()))

    def about(self, device: str) -> list[str]:
        return [what for what in self.client.got if what.endswith(f" {device}")]


@asynccontextmanager
async def conversions_by_hand(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[dict[str, threading.Event]]:
    """The BLOB of each device is converted when it is told so."""
    may = {"C": threading.Event(), "E": threading.Event()}

    def wait_and_convert(box: list[BlobFrame | Exception]) -> None:
        frame = box[0]
        assert isinstance(frame, BlobFrame)
        assert may[frame.device or ""].wait(10)
        convert(box)

    monkeypatch.setattr(conversions, "convert", wait_and_convert)
    try:
        yield may
    finally:
        for event in may.values():
            event.set()


C_OF_B = "<defTextVector device='C' name='t'><defText name='t'>of B</defText></defTextVector>"


@pytest.mark.parametrize("first", ["C", "E"])
@asynchronous
async def test_the_new_definition_comes_after_the_blob_and_the_deletion(
    first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with conversions_by_hand(monkeypatch) as may:
        site = Site()
        site.b.frames_received([blob("E")])
        site.a.frames_received([blob("C")])
        site.feed(site.a, "<delProperty device='C'/>")
        site.feed(site.b, C_OF_B)
        for device in (first, "E" if first == "C" else "C"):
            may[device].set()
            await asyncio.sleep(0.02)
        await eventually(lambda: len(site.client.got) == 4)
        assert site.about("C") == ["setBLOBVector C", "delProperty C", "defTextVector C"]


@pytest.mark.parametrize("first", ["C", "E"])
@asynchronous
async def test_what_the_new_owner_says_later_comes_after_its_definition(
    first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with conversions_by_hand(monkeypatch) as may:
        site = Site()
        site.a.frames_received([blob("C")])
        site.feed(site.a, "<delProperty device='C'/>")
        site.feed(site.b, C_OF_B)
        site.b.frames_received([blob("E")])
        site.feed(
            site.b, "<setTextVector device='C' name='t' state='Ok'><oneText name='t'>later</oneText></setTextVector>"
        )
        for device in (first, "E" if first == "C" else "C"):
            may[device].set()
            await asyncio.sleep(0.02)
        await eventually(lambda: len(site.client.got) == 5)
        assert site.about("C") == ["setBLOBVector C", "delProperty C", "defTextVector C", "setTextVector C"]


@pytest.mark.parametrize("first", ["C", "E"])
@asynchronous
async def test_no_ghost_is_left_when_the_new_owner_goes(first: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with conversions_by_hand(monkeypatch) as may:
        site = Site()
        site.a.frames_received([blob("C")])
        site.feed(site.a, "<delProperty device='C'/>")
        site.feed(site.b, C_OF_B)
        site.b.frames_received([blob("E")])
        site.link_b.abort()
        site.link_b.receiver.link_closed(None)
        for device in (first, "E" if first == "C" else "C"):
            may[device].set()
            await asyncio.sleep(0.02)
        await eventually(lambda: not site.board._backlogs)
        assert site.about("C")[-1] == "delProperty C"
        assert site.about("E")[-1] == "delProperty E"
