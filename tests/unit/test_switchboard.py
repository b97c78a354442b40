"""What waits until a BLOB has its other form, and who waits."""

from __future__ import annotations

import asyncio
import base64
import os
import socket
import sys
import threading
import weakref
from collections.abc import Callable
from typing import ClassVar

import pytest

from indipydriver.protocol.frame import Batch, BlobFrame, Frame, address
from indipydriver.protocol.framer import Framer
from indipydriver.transport.attached import AttachedFrame, Descriptor
from indipydriver.transport.descriptor import DescriptorLink
from indipydriver.transport.link import Link
from indipyserver.relay import conversions
from indipyserver.relay.attachments import IN_LOOP, convert
from indipyserver.relay.peer import Peer
from indipyserver.relay.switchboard import Switchboard
from indipyserver.routing.endpoint import Role
from indipyserver.routing.outbox import OutboxLimits
from indipyserver.sources.localdriver import LocalDriver
from tests.support import asynchronous, eventually
from tests.support.links import PATIENCE, FakeLink, Recorder

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory files are Linux's")

LARGE = IN_LOOP + 3


class Words(FakeLink):
    """A link whose other end takes everything, and notes the words that tests look for."""

    def __init__(self, label: str) -> None:
        super().__init__(label, takes_all=True)
        self.got: list[str] = []

    def write(self, batch: Batch) -> None:
        super().write(batch)
        text = b"".join(batch.buffers)
        for word in (b"attached", b"QUFB", b"pingReply", b"delProperty", b"after1", b"after2", b"other"):
            if word in text:
                self.got.append(word.decode())

    def abort(self) -> None:
        super().abort()
        self.receiver.link_closed(None)


class Table:
    """A switchboard with a driver, and clients that want all."""

    def __init__(self) -> None:
        self.board = Switchboard("here")
        self.driver, self.of_driver = self.peer("driver", Role.DRIVER)
        self.other, self.of_other = self.peer("other driver", Role.DRIVER)
        self.local, self.to_local = self.peer("local", Role.CLIENT)
        self.local.takes_descriptors = True
        self.tcp, self.to_tcp = self.peer("tcp", Role.CLIENT)
        for client in (self.local, self.tcp):
            self.feed(client, b"<getProperties version='1.7'/><enableBLOB device='C'>Also</enableBLOB>")
        self.feed(self.driver, b"<defBLOBVector device='C' name='IMG'><defBLOB name='b'/></defBLOBVector>")
        self.feed(self.other, b"<defTextVector device='O' name='t'><defText name='b'>x</defText></defTextVector>")

    def peer(self, label: str, role: Role) -> tuple[Peer, Words]:
        link = Words(label)
        peer = Peer(self.board, link, role, limits=OutboxLimits(), hang_time=0)
        self.board.add(peer)
        return peer, link

    def feed(self, peer: Peer, data: bytes) -> None:
        frames = Framer().feed(data)
        assert frames
        peer.frames_received(frames)

    def text(self, word: str, device: str = "C") -> Frame:
        return Framer(as_sent=True).feed(b"<message device='%s' message='%s'/>" % (device.encode(), word.encode()))[0]


def inline(size: int, *, text: bytes | None = None) -> BlobFrame:
    data = base64.b64encode(b"\x01AAA" + b"\x00" * (size - 4)) if text is None else text
    (frame,) = Framer(as_sent=True).feed(
        b"<setBLOBVector device='C' name='IMG'><oneBLOB name='b' size='%d' format='.x'>QUFB%s</oneBLOB></setBLOBVector>"
        % (size, data)
    )
    assert isinstance(frame, BlobFrame)
    return frame


def attached(
    size: int, data: bytes = b"AAA", flags: int = os.O_RDWR, *, device: str = "C", command: bool = False
) -> AttachedFrame:
    memory = Descriptor(os.memfd_create("b"))
    os.write(memory.fd, data)
    os.ftruncate(memory.fd, size)
    tag = "newBLOBVector" if command else "setBLOBVector"
    raw = f"<{tag} device='{device}' name='IMG'><oneBLOB name='b' size='{size}' attached='true'/></{tag}>".encode()
    fd = Descriptor(os.open(f"/proc/self/fd/{memory.fd}", flags))
    return AttachedFrame(address(tag, device, "IMG"), raw, [fd], [size])


BLOB = inline(LARGE)
PING = b"<pingRequest uid='1'/>"


@asynchronous
async def test_each_kind_of_client_gets_its_form_and_what_follows_afterwards() -> None:
    for frame in (inline(LARGE), attached(LARGE), inline(20), attached(20)):
        table = Table()
        table.driver.frames_received([frame, table.text("after1"), *Framer().feed(PING)])
        await eventually(lambda table=table: table.of_driver.got == ["pingReply"])
        assert table.to_local.got == ["attached", "after1"]
        assert table.to_tcp.got == ["QUFB", "after1"]
        assert not table.of_driver.paused


@asynchronous
async def test_those_that_take_the_blob_as_it_is_do_not_wait() -> None:
    for frame, at_once, later in ((inline(LARGE), "to_tcp", "to_local"), (attached(LARGE), "to_local", "to_tcp")):
        table = Table()
        table.driver.frames_received([frame, table.text("after1")])
        assert len(getattr(table, at_once).got) == 2
        assert getattr(table, later).got == []
        assert table.of_driver.paused
        table.other.frames_received([table.text("other", "O")])  # another source is not held up either
        assert getattr(table, later).got == ["other"]
        await eventually(lambda table=table, later=later: len(getattr(table, later).got) == 3)
        assert getattr(table, later).got[2] == "after1"
        assert not table.of_driver.paused


@asynchronous
async def test_several_blobs_keep_their_order() -> None:
    table = Table()
    table.driver.frames_received(
        [attached(LARGE), table.text("after1"), inline(LARGE), table.text("after2"), attached(20), inline(20)]
    )
    await eventually(lambda: len(table.to_local.got) == len(table.to_tcp.got) == 6)
    assert table.to_local.got == ["attached", "after1", "attached", "after2", "attached", "attached"]
    assert table.to_tcp.got == ["QUFB", "after1", "QUFB", "after2", "QUFB", "QUFB"]


@asynchronous
async def test_the_inline_form_is_made_once_for_all_who_have_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[AttachedFrame] = []
    encode = AttachedFrame._encode
    monkeypatch.setattr(AttachedFrame, "_encode", lambda frame: made.append(frame) or encode(frame))
    table = Table()
    more = [table.peer(f"tcp{number}", Role.CLIENT) for number in range(3)]
    for client, _ in more:
        table.feed(client, b"<getProperties version='1.7'/><enableBLOB device='C'>Also</enableBLOB>")
    table.feed(table.driver, b"<defBLOBVector device='C' name='IMG'><defBLOB name='b'/></defBLOBVector>")
    for _, link in more:
        link.got.clear()
    table.driver.frames_received([attached(LARGE), attached(LARGE), attached(20)])
    await eventually(lambda: all(link.got == ["QUFB"] * 3 for link in (table.to_tcp, *(link for _, link in more))))
    assert len(made) == 3
    assert table.to_local.got == ["attached"] * 3


FAULTS: dict[str, Callable[[], BlobFrame]] = {
    "a file that cannot be read": lambda: attached(LARGE, flags=os.O_WRONLY),
    "a small one that cannot be read": lambda: attached(20, flags=os.O_WRONLY),
    "no base64": lambda: inline(9, text=b"!" * 300_000),
    "little that is no base64": lambda: inline(9, text=b"!"),
}


@pytest.mark.parametrize("fault", FAULTS)
@asynchronous
async def test_a_blob_that_cannot_be_converted_costs_nothing_but_itself(fault: str) -> None:
    table = Table()
    table.driver.frames_received([FAULTS[fault](), table.text("after1"), *Framer().feed(PING)])
    await eventually(lambda: table.of_driver.got == ["pingReply"])
    assert table.to_local.got[-1] == table.to_tcp.got[-1] == "after1"
    assert [len(table.to_local.got), len(table.to_tcp.got)].count(1) == 1
    assert sum(table.driver.complaints.values()) == 1
    assert not table.of_driver.paused


@asynchronous
async def test_an_unforeseen_fault_costs_nothing_but_the_blob(monkeypatch: pytest.MonkeyPatch) -> None:
    def out_of_memory(self: AttachedFrame) -> BlobFrame:
        raise MemoryError

    monkeypatch.setattr(AttachedFrame, "inline", out_of_memory)
    table = Table()
    table.driver.frames_received([attached(LARGE), table.text("after1")])
    await eventually(lambda: table.to_tcp.got == ["after1"])


@asynchronous
async def test_no_descriptor_left_means_base64_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(name: str, flags: int = 0) -> int:
        raise OSError(24, "Too many open files")

    table = Table()
    monkeypatch.setattr(os, "memfd_create", none_left)
    table.driver.frames_received([inline(LARGE), table.text("after1")])
    await eventually(lambda: table.to_local.got == ["QUFB", "after1"])


@asynchronous
async def test_clients_that_come_upload_and_go_do_not_use_up_the_descriptors() -> None:
    table = Table()
    clients = []
    for _ in range(conversions.MOST_LEFT + 20):
        client, _ = table.peer("uploader", Role.CLIENT)
        client.frames_received([attached(LARGE, command=True)])
        client.link.abort()
        clients.append(client)
    (backlog,) = table.board._backlogs.values()
    assert sum(bool(entry.frames) for entry in backlog.entries) == conversions.MOST_LEFT
    assert [sum(client.complaints.values()) for client in clients[-21:]] == [0] + [1] * 20
    table.driver.frames_received([table.text("after1")])
    await eventually(lambda: not table.board._backlogs)
    assert table.of_driver.got == ["QUFB"] * conversions.MOST_LEFT
    assert table.to_tcp.got[-1] == "after1"


@asynchronous
async def test_servers_that_come_and_go_with_images_do_not_use_up_the_descriptors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each has a device of its own, so that all their images wait for a thread, and none for another."""
    table, free = Table(), threading.Event()
    table.feed(table.tcp, b"<enableBLOB>Also</enableBLOB>")
    monkeypatch.setattr(conversions, "convert", lambda box: (free.wait(PATIENCE), convert(box)))
    images = []
    for number in range(conversions.MOST_LEFT + 20):
        device = f"C{number}"
        server, _ = table.peer("above", Role.UPSTREAM)
        table.feed(server, f"<defBLOBVector device='{device}' name='IMG'><defBLOB name='b'/></defBLOBVector>".encode())
        image = attached(LARGE, device=device)
        images.append(weakref.ref(image))
        server.frames_received([image])
        del image
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        server.link.abort()
    await eventually(lambda: sum(image() is not None for image in images) == conversions.MOST_LEFT)
    free.set()
    await eventually(lambda: not table.board._backlogs)
    assert table.to_tcp.got.count("QUFB") == conversions.MOST_LEFT
    assert table.to_tcp.got.count("delProperty") == len(images), "a device of which nothing else is known is gone, too"


@asynchronous
async def test_the_last_blob_of_a_driver_comes_before_the_deletion_of_its_devices() -> None:
    for frame, to in ((inline(LARGE), "to_local"), (attached(LARGE), "to_tcp")):
        table = Table()
        table.driver.frames_received([frame, table.text("after1")])
        table.driver.link.abort()
        again, _ = table.peer("its next life", Role.DRIVER)
        table.feed(again, b"<defTextVector device='C' name='t'><defText name='t'>other</defText></defTextVector>")
        table.feed(again, b"<message device='C' message='after2'/>")
        await eventually(lambda table=table, to=to: len(getattr(table, to).got) == 5)
        assert getattr(table, to).got[1:] == ["after1", "delProperty", "other", "after2"]
        assert len(table.to_local.got) == len(table.to_tcp.got)


class BriefDriver:
    """Defines a BLOB, sends one, and ends."""

    data: ClassVar[dict[str, None]] = {"C": None}

    def keys(self) -> list[str]:
        return ["C"]

    def devices(self) -> list[object]:
        return []

    def expect_run(self) -> None:
        pass

    def expect_no_run(self) -> None:
        pass

    def shutdown(self) -> None:
        pass

    async def serve(self, link: Link) -> None:
        link.open(Recorder())
        for frame in (
            *Framer().feed(b"<defBLOBVector device='C' name='IMG'><defBLOB name='b'/></defBLOBVector>"),
            BLOB,
        ):
            link.write(Batch([frame]))
            link.flush()
            await asyncio.sleep(0)
            await asyncio.sleep(0)


@asynchronous
async def test_the_last_blob_of_a_python_driver_comes_before_the_deletion_of_its_devices() -> None:
    table = Table()
    table.driver.link.abort()
    await LocalDriver(table.board, BriefDriver(), OutboxLimits()).run()
    await eventually(lambda: "delProperty" in table.to_local.got[1:])
    assert table.to_local.got[1:] == ["attached", "delProperty"]


@asynchronous
async def test_nothing_is_taken_from_a_peer_that_has_been_removed() -> None:
    """It could claim a device that nobody would ever take from it."""
    board = Switchboard("here")
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    link = DescriptorLink("remote", sock=ours)
    peer = Peer(board, link, Role.REMOTE, limits=OutboxLimits(), hang_time=0)
    board.add(peer)
    theirs.sendall(b"<defTextVector device='C' name='t'><defText name='t'>x</defText></defTextVector>")
    theirs.close()
    board.send(peer, Framer().feed(PING)[0])  # which fails; what the other end has said is still to be read
    link.abort()
    board.remove(peer, None)
    for _ in range(5):
        await asyncio.sleep(0)
    assert list(board.router.devices) == []


@asynchronous
async def test_a_receiver_that_goes_meanwhile_is_no_trouble() -> None:
    table = Table()
    table.driver.frames_received([attached(LARGE), table.text("after1")])
    table.tcp.link.abort()
    await eventually(lambda: not table.of_driver.paused)
    table.driver.frames_received([table.text("after2")])
    assert table.to_local.got == ["attached", "after1", "after2"]


@asynchronous
async def test_settle_waits_for_what_is_being_converted_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    table = Table()
    await table.board.settle(loop.time() + 5)
    table.driver.frames_received([attached(LARGE)])
    await table.board.settle(loop.time() + 5)
    assert table.to_tcp.got == ["QUFB"]

    release = asyncio.Event()

    def never(box: list[BlobFrame | Exception]) -> None:
        asyncio.run_coroutine_threadsafe(release.wait(), loop).result()
        convert(box)

    monkeypatch.setattr(conversions, "convert", never)
    table.driver.frames_received([attached(LARGE), *Framer().feed(PING)])
    await table.board.settle(loop.time() + 0.02)
    assert table.of_driver.got == []
    release.set()
    await table.board.settle(loop.time() + 5)
    assert table.of_driver.got == ["pingReply"]


@asynchronous
async def test_an_answer_to_a_ping_lets_the_other_events_of_the_turn_pass() -> None:
    table = Table()
    order: list[str] = []
    loop = asyncio.get_running_loop()
    table.feed(table.local, PING)
    loop.call_soon(lambda: order.append(f"event, {len(table.to_local.got)} answers"))
    table.feed(table.local, PING)
    await eventually(lambda: table.to_local.got == ["pingReply"] * 2)
    assert order == ["event, 0 answers"]


@asynchronous
async def test_what_follows_a_blob_stays_behind_it_when_another_driver_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    table = Table()
    release = asyncio.Event()

    def slow_for_one(box: list[BlobFrame | Exception]) -> None:
        (frame,) = box
        if isinstance(frame, BlobFrame) and frame.device == "O":
            asyncio.run_coroutine_threadsafe(release.wait(), loop).result()
        del frame
        convert(box)

    monkeypatch.setattr(conversions, "convert", slow_for_one)
    table.feed(table.tcp, b"<enableBLOB device='O'>Also</enableBLOB>")
    table.feed(table.other, b"<defBLOBVector device='O' name='IMG'><defBLOB name='b'/></defBLOBVector>")
    theirs = attached(LARGE)
    raw = theirs.raw.replace(b"'C'", b"'O'")
    table.driver.frames_received([attached(LARGE)])
    table.other.frames_received([AttachedFrame(address("setBLOBVector", "O", "IMG"), raw, theirs.descriptors, [LARGE])])
    table.driver.link.abort()
    table.other.frames_received([table.text("after1", "O")])
    await eventually(lambda: table.to_tcp.got[:2] == ["QUFB", "delProperty"])
    await asyncio.sleep(0.02)
    assert table.to_tcp.got == ["QUFB", "delProperty"]
    release.set()
    await eventually(lambda: table.to_tcp.got == ["QUFB", "delProperty", "QUFB", "after1"])


@pytest.mark.parametrize("role", [Role.REMOTE, Role.DRIVER])
@pytest.mark.parametrize("to", ["to_local", "to_tcp"])
@asynchronous
async def test_a_device_that_changes_hands_is_deleted_before_it_is_defined_again(role: Role, to: str) -> None:
    """The next owner, which has been refused before, may be quicker than the last BLOB of the one before it."""
    table = Table()
    table.driver.link.abort()
    (first, _), (second, _) = table.peer("first", role), table.peer("second", role)
    table.feed(first, b"<defBLOBVector device='C' name='IMG'><defBLOB name='b'/></defBLOBVector>")
    again = b"<defTextVector device='C' name='t'><defText name='t'>other</defText></defTextVector>"
    table.feed(second, again)
    got = getattr(table, to).got
    got.clear()
    first.frames_received([inline(LARGE) if to == "to_local" else attached(LARGE)])
    table.feed(first, b"<delProperty device='C'/>")
    table.feed(second, again)
    table.feed(table.other, b"<message device='O' message='after1'/>")
    assert got == ["after1"]  # of another device: it need not wait
    await eventually(lambda: len(got) == 4)
    assert got[1:] == ["attached" if to == "to_local" else "QUFB", "delProperty", "other"]


@asynchronous
async def test_who_sends_blobs_behind_those_of_its_last_life_is_not_read_until_all_are_converted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    release = threading.Event()

    def late(box: list[BlobFrame | Exception]) -> None:
        release.wait(PATIENCE)
        convert(box)

    monkeypatch.setattr(conversions, "convert", late)
    table = Table()
    table.driver.frames_received([attached(LARGE)])
    table.driver.link.abort()
    again, of_again = table.peer("its next life", Role.DRIVER)
    table.feed(again, b"<defBLOBVector device='C' name='IMG'><defBLOB name='b'/></defBLOBVector>")
    assert not of_again.paused
    again.frames_received([attached(LARGE)])
    assert of_again.paused
    release.set()
    await eventually(lambda: table.to_tcp.got == ["QUFB", "delProperty", "QUFB"])
    await eventually(lambda: not of_again.paused)
