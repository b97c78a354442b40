"""Which descriptor belongs to which element: always told rightly, or the link ends."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import sys
from collections.abc import Sequence
from functools import partial

import pytest

from indipydriver.errors import RemoteProtocolError
from indipydriver.protocol.decode import decode
from indipydriver.protocol.frame import Batch, Frame, address
from indipydriver.protocol.framer import Limits
from indipydriver.protocol.messages import OneBlob, SetVector
from indipydriver.transport import descriptor
from indipydriver.transport.attached import MAX_IN_FLIGHT, AttachedFrame, Descriptor, PassingLink
from indipydriver.transport.link import LOW_WATER, SLICE
from indipydriver.transport.memoryfile import FILE_WEIGHT
from tests.support import asynchronous, eventually

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="descriptors are passed on Linux")

TEXT = b"<setTextVector device='C' name='T' state='Ok'><oneText name='t'>x</oneText></setTextVector>\n"


class Receiver:
    """Notes what a link delivers, data decoded."""

    def __init__(self) -> None:
        self.seen: list[tuple[str | None, list[bytes]]] = []
        self.raws: list[bytes] = []
        self.faults: list[str] = []
        self.closed: list[Exception | None] = []
        self.drained = 0

    def frames_received(self, frames: list[Frame]) -> None:
        for frame in frames:
            self.raws.append(frame.raw)
            message = decode(frame.inline() if isinstance(frame, AttachedFrame) else frame)
            assert isinstance(message, SetVector)
            self.seen.append((frame.name, [one.data for one in message.members if isinstance(one, OneBlob)]))

    def fault_received(self, fault: RemoteProtocolError) -> None:
        self.faults.append(fault.reason)

    def link_drained(self) -> None:
        self.drained += 1

    def link_closed(self, error: Exception | None) -> None:
        self.closed.append(error)


class Ends:
    """A link, and the socket at its other end."""

    def __init__(self, *, limits: Limits | None = None, buffer: int = 0, lenient: bool = False) -> None:
        ours, self.sock = socket.socketpair()
        ours.setblocking(False)
        if buffer:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
        self.receiver = Receiver()
        self.link = PassingLink("peer", ours, lenient=lenient, limits=limits)
        self.link.open(self.receiver)
        self.got = b""
        self.descriptors: list[int] = []

    def send(self, data: bytes, *files: int) -> None:
        """Send bytes with descriptors, which are closed here."""
        socket.send_fds(self.sock, [data], files)
        for fd in files:
            os.close(fd)

    def receive(self) -> None:
        """All that has come, with its descriptors."""
        self.sock.setblocking(False)
        try:
            while True:
                data, found, flags, _ = socket.recv_fds(self.sock, 1 << 20, 16)
                assert not flags & socket.MSG_CTRUNC
                self.got += data
                self.descriptors += found
        except BlockingIOError:
            pass

    async def settled(self) -> None:
        """All that was sent has been taken."""
        for _ in range(6):
            await asyncio.sleep(0.005)

    async def __aenter__(self) -> Ends:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.link.abort()
        self.sock.close()
        for fd in self.descriptors:
            os.close(fd)
        await asyncio.sleep(0)


def memory(data: bytes, size: int = 1 << 20) -> int:
    fd = os.memfd_create("blob")
    os.write(fd, data)
    if size:
        os.ftruncate(fd, size)
    return fd


def vector(name: str, *children: bytes) -> bytes:
    return b"<setBLOBVector device='C' name='%s' state='Ok'>%s</setBLOBVector>\n" % (name.encode(), b"".join(children))


def attached(name: str, size: int, text: bytes = b"") -> bytes:
    start = b"<oneBLOB name='%s' size='%d' len='%d' format='.x' attached='true'" % (name.encode(), size, size)
    return start + (b">" + text + b"</oneBLOB>" if text else b"/>")


GOOD = [vector(f"GOOD{n}", attached("b", 8)) for n in range(3)]
PICTURES = [(f"GOOD{n}", [b"picture%d" % n]) for n in range(3)]

COUNTABLE: dict[str, tuple[Sequence[bytes], int]] = {
    "text beside the member": ([vector("BAD", b"debug", attached("b", 8))], 1),
    "text behind the member": ([vector("BAD", attached("b", 8), b"debug")], 1),
    "text within the member": ([vector("BAD", attached("b", 8, b"&amp;"))], 1),
    "a first length beyond its file": ([vector("BAD", attached("a", 9 << 20), attached("b", 8))], 2),
    "a last length beyond its file": ([vector("BAD", attached("a", 8), attached("b", 9 << 20))], 2),
    "no length": ([vector("BAD", b"<oneBLOB name='b' format='.x' attached='true'/>", attached("c", 8))], 2),
    "a length that is no number": ([vector("BAD", attached("b", 8).replace(b"'8'", b"'x'"))], 1),
    "an attribute twice": ([vector("BAD", attached("b", 8).replace(b"<oneBLOB", b"<oneBLOB name='b'"))], 1),
    "an end tag too many": ([vector("BAD", attached("b", 8), b"</oneBLOB>", attached("c", 8))], 2),
    "in pieces": ([b"<setBLOBVector device='C' name='BAD'>x<oneBLOB ", attached("b", 8)[9:], b"</setBLOBVector>"], 1),
}


@pytest.mark.parametrize("what", COUNTABLE)
@asynchronous
async def test_a_malformed_blob_takes_its_own_descriptors_along_and_no_others(what: str) -> None:
    pieces, count = COUNTABLE[what]
    async with Ends() as ends:
        for piece in pieces[:-1]:
            ends.send(piece)
        ends.send(pieces[-1], *(memory(b"wrong!!!") for _ in range(count)))
        for n, good in enumerate(GOOD):
            ends.send(good, memory(b"picture%d" % n))
        await eventually(lambda: len(ends.receiver.seen) == 3)
        assert ends.receiver.seen == PICTURES
        assert len(ends.receiver.faults) == 1
        assert not ends.receiver.closed


@asynchronous
async def test_files_that_may_block_or_cannot_be_read_are_not_taken() -> None:
    """To read a file of a network or FUSE file system may take for ever, and to ask for its length, too."""
    read_end, write_end = os.pipe()
    os.close(write_end)
    with open("/proc/self/exe", "rb") as ordinary:
        blind = os.open(f"/proc/self/fd/{(fd := memory(b'picture!'))}", os.O_WRONLY)
        os.close(fd)
        bad = [os.dup(ordinary.fileno()), blind, read_end, os.open("/", os.O_RDONLY), os.open("/dev/zero", os.O_RDONLY)]
        async with Ends() as ends:
            for fd in bad:
                ends.send(vector("BAD", attached("b", 8)), fd)
            ends.send(GOOD[0], memory(b"picture0"))
            await eventually(lambda: len(ends.receiver.seen) == 1)
            assert ends.receiver.seen == PICTURES[:1]
            assert ends.receiver.faults == ["the descriptor of an attached BLOB is not a readable memory file"] * 5
            assert not ends.receiver.closed


@asynchronous
async def test_several_members_with_data_in_files_in_the_text_and_without_any() -> None:
    inline = b"<oneBLOB name='i' size='3' format='.x'>QUJD</oneBLOB>"
    empty = b"<oneBLOB name='e' size='0' enclen='0' format=''></oneBLOB>"
    async with Ends() as ends:
        for children in (
            (attached("a", 1), inline, attached("b", 2)),
            (inline, attached("a", 1), attached("b", 2, b"\n  ")),
            (empty, attached("a", 1), empty, inline, attached("b", 2)),
            (attached("a", 1), attached("b", 2), empty),
        ):
            ends.send(vector("V", *children), memory(b"1"), memory(b"22"))
        await eventually(lambda: len(ends.receiver.seen) == 4)
        assert [data for _, data in ends.receiver.seen] == [
            [b"1", b"ABC", b"22"],
            [b"ABC", b"1", b"22"],
            [b"1", b"ABC", b"22"],
            [b"1", b"22"],
        ]
        assert not ends.receiver.faults


UNCERTAIN: dict[str, Sequence[tuple[bytes, int]]] = {
    "no descriptor": [(vector("BAD", attached("b", 8)), 0)],
    "one of two": [(vector("BAD", attached("a", 8), attached("b", 8)), 1)],
    "no descriptor for what is malformed": [(vector("BAD", b"x", attached("b", 8)), 0)],
    "one too many": [(vector("BAD", attached("b", 8)), 2)],
    "one without an element": [(TEXT, 1), (vector("BAD", attached("b", 8)), 1)],
    "one with an inline BLOB": [(vector("BAD", b"<oneBLOB name='b' size='3' format='.x'>QUJD</oneBLOB>"), 1)],
    "an element that breaks off": [(vector("BAD", attached("b", 8))[:-20], 1), (TEXT, 0)],
    "one whose tag is broken": [(vector("BAD", attached("b", 8).replace(b"'true'/>", b"'true<'/>")), 1)],
    "a comment with a member": [(vector("BAD", b"<!--", attached("a", 8), b"-->", attached("b", 8)), 1)],
    "a start that is lost": [(vector("BAD", attached("b", 8))[5:], 1)],
    "a start that is lost, and a good one": [
        (b"<setBLO debug BVector>" + attached("b", 8), 1),
        (vector("BAD", attached("b", 8)), 1),
    ],
    "a member that hides": [(vector("BAD", attached("b", 8).replace(b"true", b"&#116;rue"), attached("c", 8)), 2)],
    "more than are allowed in one message": [(vector("BAD", *[attached("b", 8)] * 17), 17)],
    "more than may wait": [(b"<setBLOBVector device='C' name='BAD'>" + attached("b", 8), 16)] * 5,
}


@pytest.mark.parametrize("what", UNCERTAIN)
@asynchronous
async def test_the_link_ends_when_it_cannot_be_told_whose_a_descriptor_is(what: str) -> None:
    gc.collect()  # what earlier tests have left is not to be counted
    before = len(os.listdir("/proc/self/fd"))
    async with Ends() as ends:
        ends.send(GOOD[0], memory(b"picture0"))
        for data, count in UNCERTAIN[what]:
            ends.send(data, *(memory(b"wrong!!!") for _ in range(count)))
        for n, good in enumerate(GOOD[1:], 1):
            ends.send(good, memory(b"picture%d" % n))
        await eventually(lambda: ends.receiver.closed)
        assert isinstance(ends.receiver.closed[0], RemoteProtocolError)
        assert ends.receiver.faults[-1] == ends.receiver.closed[0].reason
        assert [seen for seen in ends.receiver.seen if seen[1] not in ([], [b"ABC"])] == PICTURES[:1]
    assert len(os.listdir("/proc/self/fd")) == before


# What indiserver makes of what its clients send: each element in a message of its own, with as many descriptors as it
# has members, but perhaps not as we see it.
OF_A_SERVER: dict[str, tuple[bytes, int]] = {
    "no descriptor": UNCERTAIN["no descriptor"][0],
    "one of two": UNCERTAIN["one of two"][0],
    "no descriptor for what is malformed": UNCERTAIN["no descriptor for what is malformed"][0],
    "a member within something": (vector("BAD", b"<x>", attached("b", 8), b"</x>"), 0),
    "one too many": UNCERTAIN["one too many"][0],
    "one with a text": (TEXT.replace(b"<oneText", attached("b", 8) + b"<oneText"), 1),
    "one with an inline BLOB": UNCERTAIN["one with an inline BLOB"][0],
    "one with what is no element of INDI": (b"<foo device='C'>" + attached("b", 8) + b"</foo>", 1),
    "one on its own": (attached("b", 8), 1),
    "one before an element of INDI": (vector("BAD", attached("b", 8), TEXT), 1),
    "one after an element of INDI": (vector("BAD", TEXT, attached("b", 8)), 1),
    "one before another vector with one": (vector("BAD", attached("b", 8), vector("BAD", attached("c", 8))), 2),
    "one before what we cannot read": (vector("BAD", attached("b", 8), b"<_x/>"), 1),
    "one after what we cannot read": (vector("BAD", b"<_x/>", attached("b", 8)), 1),
    "one within what we cannot read": (vector("BAD", b"<_x>", attached("b", 8), b"</_x>"), 1),
    "one before too large a tag": (vector("BAD", attached("b", 8), b"<x a='%s'/>" % (b"x" * 2000)), 1),
    "one after too large a tag": (vector("BAD", b"<x a='%s'/>" % (b"x" * 2000), attached("b", 8)), 1),
    "one before a tag that does not end": (vector("BAD", attached("b", 8), b"<x a='%s" % (b"x" * 2000)), 1),
    "one within too large an element": (
        TEXT.replace(b">x<", b">%s<" % (b"x" * 3000)).replace(b"</s", attached("b", 8) + b"</s"),
        1,
    ),
    "one behind too large a start tag": (vector("BAD' label='%s" % ("x" * 2000), attached("b", 8)), 1),
    "one in too large a BLOB": (
        vector("BAD", b"<oneBLOB name='a'>%s</oneBLOB>" % (b"QUJD" * 1000), attached("b", 8)),
        1,
    ),
    "one in what is too much that is none of INDI": (b"<foo>%s</foo>\n" % (b"x" * 2000 + attached("b", 8)), 1),
}


OF_A_SERVER_LIMITS = Limits(frame=2500, blob=3000, start_tag=1000, junk=1000)


def reached(link: PassingLink, count: int) -> bool:
    return link.bytes_received >= count


@pytest.mark.parametrize("at_once", [0, 70, 110, 150, 190, SLICE], ids=lambda size: f"in {size}" if size else "single")
@pytest.mark.parametrize("what", OF_A_SERVER)
@asynchronous
async def test_a_server_that_passes_on_odd_elements_is_still_heard(
    what: str, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One by one, or all together, read in pieces of so many bytes."""
    monkeypatch.setattr(descriptor, "FIRST_PORTION", at_once or SLICE)
    monkeypatch.setattr(descriptor, "portion_after", lambda *_: at_once or SLICE)
    async with Ends(lenient=True, limits=OF_A_SERVER_LIMITS) as ends:
        if at_once:
            ends.link.pause_reading()
        data, count = OF_A_SERVER[what]
        for n in range(20):
            ends.send(data, *(memory(b"wrong!!!") for _ in range(count)))
            sent = (n + 1) * len(data) + n * len(GOOD[0])
            await eventually(partial(reached, ends.link, 0 if at_once else sent))
            ends.send(GOOD[n % 3], memory(b"picture%d" % (n % 3)))
        ends.send(GOOD[0], memory(b"picture0"))
        ends.send(b"<setTextVector device='C' name='END'/>")
        ends.link.resume_reading()
        await eventually(lambda: ("END", []) in ends.receiver.seen)
        pictures = [seen for seen in ends.receiver.seen if seen[1] not in ([], [b"ABC"])]
        assert pictures == [PICTURES[n % 3] for n in range(20)] + PICTURES[:1]
        assert ends.receiver.faults
        assert not ends.receiver.closed
        gc.collect()
        before = len(os.listdir("/proc/self/fd"))
    assert len(os.listdir("/proc/self/fd")) == before - 2


@pytest.mark.parametrize("what", [what for what in OF_A_SERVER if "too" in what and what != "one too many"])
@asynchronous
async def test_what_is_too_large_takes_its_descriptors_along_and_is_one_fault(what: str) -> None:
    async with Ends(lenient=True, limits=OF_A_SERVER_LIMITS) as ends:
        data, count = OF_A_SERVER[what]
        for n in range(3):
            ends.send(data, *(memory(b"wrong!!!") for _ in range(count)))
            await eventually(partial(reached, ends.link, (n + 1) * len(data) + n * len(GOOD[0])))
            ends.send(GOOD[n], memory(b"picture%d" % n))
        await eventually(lambda: [seen for seen in ends.receiver.seen if seen[1]] == PICTURES)
        assert len(ends.receiver.faults) == 3, ends.receiver.faults


@pytest.mark.parametrize("lenient", [False, True], ids=["strict", "lenient"])
@asynchronous
async def test_descriptors_that_the_kernel_has_dropped_end_the_link(lenient: bool) -> None:
    """A process that may open no more files gets the bytes without them."""
    import resource

    fds = [memory(b"picture!") for _ in range(2)]
    async with Ends(lenient=lenient) as ends:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        socket.send_fds(ends.sock, [vector("BAD", attached("a", 8), attached("b", 8))], fds)
        os.close(fds[0])
        os.close(fds[1])
        lowest = os.dup(0)
        os.close(lowest)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + 1, hard))  # one of the two
        try:
            await eventually(lambda: ends.receiver.faults)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert "descriptors were lost" in ends.receiver.faults[0]
        assert not ends.receiver.seen
        if lenient:  # it is that element which has lost them
            ends.send(GOOD[0], memory(b"picture0"))
            await eventually(lambda: ends.receiver.seen == PICTURES[:1])
            assert not ends.receiver.closed
        else:
            await eventually(lambda: ends.receiver.closed)


@asynchronous
async def test_a_blob_that_would_be_too_large_as_base64_is_dropped() -> None:
    """It may have to go on to a server below, which has the same limit and would cut the link."""
    async with Ends(limits=Limits(blob=4000)) as ends:
        ends.send(vector("BAD", attached("b", 2980)), memory(b"x" * 3000))
        ends.send(vector("V", attached("b", 2800)), memory(b"x" * 3000))
        await eventually(lambda: len(ends.receiver.seen) == 1)
        assert ends.receiver.seen == [("V", [b"x" * 2800])]
        assert "as base64" in ends.receiver.faults[0]


def frame(data: bytes = b"DATA", name: str = "IMG") -> AttachedFrame:
    raw = vector(name, attached("b", len(data))).rstrip()
    return AttachedFrame(address("setBLOBVector", "C", name), raw, [Descriptor(memory(data, 0))], [len(data)])


def text_of(size: int) -> Frame:
    return Frame(address("message"), b"<message message='" + b"x" * (size - 22) + b"'/>")


@pytest.mark.parametrize("before", [100, SLICE - 150, SLICE - 60, SLICE - 1, SLICE, 3 * SLICE - 10])
@asynchronous
async def test_descriptors_go_with_the_first_byte_of_their_element_wherever_a_slice_ends(before: int) -> None:
    async with Ends(buffer=1 << 20) as ends:
        ends.link.write(Batch([text_of(before)], sealed=True))
        for n in range(3):
            ends.link.write(Batch([frame(b"picture%d" % n)], sealed=True))
        ends.link.flush()
        for _ in range(20):
            await asyncio.sleep(0.001)
            ends.receive()
        assert ends.got.count(b"</setBLOBVector>") == 3
        assert [os.pread(fd, 8, 0) for fd in ends.descriptors] == [b"picture0", b"picture1", b"picture2"]


@asynchronous
async def test_an_element_that_is_taken_in_parts_has_its_descriptors_once() -> None:
    """A small buffer at the other end makes each write a partial one."""
    inline = b"<oneBLOB name='i' size='300000' format='.x'>%s</oneBLOB>" % (b"QUJD" * 100_000)
    raw = vector("V", attached("a", 1), inline, attached("b", 2)).rstrip()
    big = AttachedFrame(
        address("setBLOBVector", "C", "V"), raw, [Descriptor(memory(b"1", 0)), Descriptor(memory(b"22", 0))], [1, 2]
    )
    async with Ends(buffer=4096) as ends:
        ends.link.write(Batch([big], sealed=True))
        ends.link.write(Batch([frame()], sealed=True))
        ends.link.flush()
        for _ in range(1000):
            ends.receive()
            await asyncio.sleep(0)
            if ends.link.unsent == 0:
                break
        ends.receive()
        assert ends.got == raw + b"\n" + frame().raw + b"\n"
        assert [os.pread(fd, 8, 0) for fd in ends.descriptors] == [b"1", b"22", b"DATA"]


@asynchronous
async def test_files_count_until_they_are_sent() -> None:
    async with Ends() as ends:
        small, large = Batch([frame()], sealed=True), Batch([frame(b"x" * (3 * FILE_WEIGHT))], sealed=True)
        assert small.weight == small.size + FILE_WEIGHT
        assert large.weight >= large.size + 3 * FILE_WEIGHT
        ends.link.write(small)
        ends.link.write(large)
        assert ends.link.unsent == small.weight + large.weight > LOW_WATER
        ends.link.flush()
        assert ends.link.unsent == 0
        assert ends.link.bytes_sent == small.size + large.size
        assert ends.receiver.drained == 1


@asynchronous
async def test_a_peer_that_does_not_read_is_sent_a_bounded_number_of_files() -> None:
    """The kernel would take some 200, and count them against all processes of this user."""
    async with Ends() as ends:
        for n in range(100):
            ends.link.write(Batch([frame(b"%08d" % n)], sealed=True))
        ends.link.flush()
        await ends.settled()
        assert MAX_IN_FLIGHT // FILE_WEIGHT - 1 <= ends.link.bytes_sent // (frame().size + 1) <= MAX_IN_FLIGHT >> 20
        async with asyncio.timeout(10):
            while ends.link.unsent:
                ends.receive()
                await asyncio.sleep(0.001)
        ends.receive()
        assert [os.pread(fd, 8, 0) for fd in ends.descriptors] == [b"%08d" % n for n in range(100)]


@asynchronous
async def test_a_local_client_that_has_closed_does_not_linger_and_one_that_listens_does() -> None:
    for how, lingers in ((socket.SHUT_WR, True), (None, False)):
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        receiver = Receiver()
        link = PassingLink("client", ours, linger=5.0)
        link.open(receiver)
        theirs.sendall(TEXT)
        await eventually(lambda receiver=receiver: receiver.seen)
        if how is None:
            theirs.close()
        else:
            theirs.shutdown(how)
        await asyncio.sleep(0.02)
        assert (not receiver.closed) is lingers
        link.abort()
        theirs.close()
        await asyncio.sleep(0)


@asynchronous
async def test_what_a_peer_said_before_it_took_nothing_more_is_kept_while_its_link_is_paused() -> None:
    async with Ends() as ends:
        ends.link.pause_reading()
        ends.send(TEXT)
        ends.sock.close()
        ends.link.write(Batch([text_of(100)], sealed=True))
        ends.link.flush()
        await ends.settled()
        assert not ends.receiver.seen
        assert not ends.receiver.closed
        ends.link.resume_reading()
        await eventually(lambda: ends.receiver.closed)
        assert [name for name, _ in ends.receiver.seen] == ["T"]


@asynchronous
async def test_a_link_that_has_ended_keeps_no_half_of_a_blob() -> None:
    """Whoever has sent commands that wait is known, with its link, until these have been taken."""
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    ends = Ends()
    ends.send(GOOD[0][:-30], memory(b"picture0"))
    await eventually(lambda: ends.link.unfinished)
    assert len(os.listdir("/proc/self/fd")) == before + 3
    ends.sock.close()
    await eventually(lambda: ends.receiver.closed)
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before


@asynchronous
async def test_descriptors_that_are_refused_are_closed_at_once() -> None:
    """Without the garbage collector: an exception that is raised from a variable would keep them in a circle."""
    gc.collect()
    gc.disable()
    try:
        async with Ends(lenient=True) as ends:
            before = len(os.listdir("/proc/self/fd"))
            for _ in range(5):
                ends.send(GOOD[0], os.open("/dev/null", os.O_RDONLY))
            await eventually(lambda: len(ends.receiver.faults) == 5)
            assert len(os.listdir("/proc/self/fd")) == before
    finally:
        gc.enable()


@asynchronous
async def test_what_a_gone_peer_was_not_given_is_not_kept() -> None:
    """The error of the system call has a traceback, and with it what was to be sent: nobody must keep that.

    Memory files take no memory of Python's, so it may be long before the garbage collector looks for them.
    """
    gc.collect()
    gc.disable()
    try:
        before = len(os.listdir("/proc/self/fd"))
        ends = Ends()
        held = Descriptor(memory(b"picture0"))
        frame = AttachedFrame(address("setBLOBVector", "C", "B"), GOOD[0], [held], [8])
        ends.link.pause_reading()  # it cannot find out by reading
        ends.sock.close()
        ends.link.write(Batch([frame], sealed=True))
        ends.link.flush()
        del frame, held
        assert len(os.listdir("/proc/self/fd")) == before + 1  # the socket, whose rest is still to be read
        ends.link.resume_reading()
        await eventually(lambda: ends.receiver.closed)
        assert isinstance(ends.receiver.closed[0], OSError)
        assert len(os.listdir("/proc/self/fd")) == before
    finally:
        gc.enable()


@pytest.mark.parametrize("hidden", [b"attached='&#116;rue'", b"attached='tru\x01e'", b"atta\x01ched='true'"])
@pytest.mark.parametrize("verb", [b"set", b"new"])
@asynchronous
async def test_what_only_mending_makes_an_attached_blob_is_none(verb: bytes, hidden: bytes) -> None:
    member = b"<oneBLOB name='b' size='8' format='.x' " + hidden + b"/>"
    bad = vector("BAD", member).replace(b"setBLOB", verb + b"BLOB")
    async with Ends() as ends:
        ends.send(bad)
        await eventually(lambda: ends.receiver.raws or ends.receiver.faults)
        assert bool(ends.receiver.faults) is (verb == b"new")  # an empty BLOB in a command
        assert not any(b"attached" in raw for raw in ends.receiver.raws)
        ends.send(bad, memory(b"whose?!!"))
        await eventually(lambda: ends.receiver.closed)
        assert ends.receiver.faults[-1] == "a descriptor that belongs to no element"


@asynchronous
async def test_who_ends_elements_makes_progress_wherever_a_read_ends() -> None:
    loop = asyncio.get_running_loop()
    half = len(TEXT) // 2
    async with Ends() as ends:
        ends.link.demand_progress(0.2)
        ends.send(TEXT[:half])
        until = loop.time() + 0.7
        while loop.time() < until:  # far fewer than 1 KiB in 0.2 s
            await asyncio.sleep(0.05)
            if ends.receiver.closed:
                break
            ends.send(TEXT[half:] + TEXT[:half])
        assert not ends.receiver.closed
        assert not ends.receiver.faults


@asynchronous
async def test_attached_blobs_of_one_read_are_together_no_larger_than_one_may_be() -> None:
    """Reading stops behind a BLOB whose receiver is busy, but not within a read; sparse files cost a peer nothing."""
    async with Ends(limits=Limits(blob=30_000)) as ends:
        files = [memory(b"", 10_000) for _ in range(5)]
        ends.send(b"".join(vector(f"V{n}", attached("b", 10_000)) for n in range(5)), *files)
        await eventually(lambda: len(ends.receiver.seen) + len(ends.receiver.faults) == 5)
        assert [name for name, _ in ends.receiver.seen] == ["V0", "V1"]
        assert all("together" in fault for fault in ends.receiver.faults)
        ends.send(vector("V5", attached("b", 10_000)), memory(b"", 10_000))
        await eventually(lambda: len(ends.receiver.seen) == 3)
