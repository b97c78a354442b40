"""The input of a driver outlives its run: what the first run has read of an element is there for the second."""

import asyncio
import contextlib
import os
import pty
import socket
import sys
import tty
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import indipydriver as ipd
from indipydriver.errors import FrameTooLarge
from indipydriver.protocol.framer import Limits
from indipydriver.transport.link import Link
from indipydriver.transport.stdio import open_stdio
from tests.support import asynchronous, eventually
from tests.support.links import Recorder, turns

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="pseudo-terminals and descriptors")

Ends = tuple[int, int, int, int]
"""Where a driver reads and writes, and where its server does."""


@contextlib.contextmanager
def a_socket() -> Iterator[Ends]:
    server, its = socket.socketpair()
    with server, its:
        yield its.fileno(), its.fileno(), server.fileno(), server.fileno()


@contextlib.contextmanager
def a_socket_and_a_pipe() -> Iterator[Ends]:
    with a_socket() as (stdin, _, _, server), pipe() as (reader, writer):
        yield stdin, writer, reader, server


@contextlib.contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    fds = os.pipe()
    yield fds
    for fd in fds:
        os.close(fd)


@contextlib.contextmanager
def two_pipes() -> Iterator[Ends]:
    with pipe() as (stdin, to_driver), pipe() as (from_driver, stdout):
        yield stdin, stdout, from_driver, to_driver


@contextlib.contextmanager
def a_terminal() -> Iterator[Ends]:
    ours, its = pty.openpty()
    tty.setraw(its)
    yield its, its, ours, ours
    os.close(ours)  # its reader finds the end
    os.close(its)


every_kind = pytest.mark.parametrize("kind", [a_socket, a_socket_and_a_pipe, two_pipes, a_terminal])
Kind = Callable[[], contextlib.AbstractContextManager[Ends]]


class Hearing(ipd.IPyDriver):
    def __init__(self) -> None:
        members = [ipd.BLOBMember("b")]
        vectors = [
            ipd.TextVector("v", "", "", "rw", "Ok", [ipd.TextMember("t")]),
            ipd.BLOBVector("w", "", "", "rw", "Ok", members),
        ]
        super().__init__(ipd.Device("D", vectors))
        self.heard: list[Any] = []

    async def rxevent(self, event: Any) -> None:
        self.heard.append(next(iter(event.values())))


def command(text: str) -> bytes:
    return b"<newTextVector device='D' name='v'><oneText name='t'>%s</oneText></newTextVector>\n" % text.encode()


async def run(driver: Hearing, ends: Ends, hears: int, reads: Callable[[Link], bool] = lambda _: True) -> None:
    """One run, until the driver has heard so much, and its link has read something."""
    link = open_stdio(*ends[:2])
    running = asyncio.create_task(driver.serve(link))
    await eventually(lambda: len(driver.heard) == hears and reads(link))
    driver.shutdown()
    async with asyncio.timeout(10):
        await running


@every_kind
@pytest.mark.parametrize("cut", [1, 14, 40, 70, 80])
def test_an_element_that_is_cut_by_the_end_of_a_run_belongs_to_the_next(kind: Kind, cut: int) -> None:
    driver = Hearing()
    with kind() as ends:
        server = ends[3]
        first, second, third = command("first"), command("second"), command("third")
        for number in range(2):  # each in an event loop of its own
            os.write(server, first + second[:cut])
            asyncio.run(run(driver, ends, 3 * number + 1, lambda link: bool(link.unfinished)))  # type: ignore[attr-defined]
            os.write(server, second[cut:] + third)
            asyncio.run(run(driver, ends, 3 * number + 3))
    assert driver.heard == ["first", "second", "third"] * 2


@every_kind
def test_commands_that_were_received_end_with_their_run(kind: Kind) -> None:
    """As under a server: they were for a driver that has been shut down."""

    class Slow(Hearing):
        async def rxevent(self, event: Any) -> None:
            await super().rxevent(event)
            if event["t"] == "0":
                await self.shutdownrequested.wait()

    driver = Slow()
    with kind() as ends:
        sent = b"".join(command(str(number)) for number in range(5))
        os.write(ends[3], sent)
        asyncio.run(run(driver, ends, 1, lambda link: link.bytes_received == len(sent)))
        os.write(ends[3], command("later"))
        asyncio.run(run(driver, ends, 2))
    assert driver.heard == ["0", "later"]


@every_kind
def test_so_does_a_blob_that_takes_several_runs(kind: Kind) -> None:
    driver = Hearing()
    blob = b"<newBLOBVector device='D' name='w'><oneBLOB name='b' size='6000' format='.x'>"
    pieces = [blob, b"QUJD" * 1000, b"REVG" * 1000 + b"</oneBLOB>", b"</newBLOBVector>\n" + command("after")]
    with kind() as ends:
        total = 0
        for piece in pieces[:-1]:
            os.write(ends[3], piece)
            total += len(piece)
            asyncio.run(run(driver, ends, 0, lambda link, total=total: link.unfinished == total))  # type: ignore[attr-defined, misc]
        os.write(ends[3], pieces[-1])
        asyncio.run(run(driver, ends, 2))
    assert driver.heard == [b"ABC" * 1000 + b"DEF" * 1000, "after"]


@pytest.mark.parametrize("kind", [a_socket, a_socket_and_a_pipe])
def test_a_descriptor_stays_with_its_element(kind: Kind) -> None:
    driver = Hearing()
    element = (
        b"<newBLOBVector device='D' name='w'><oneBLOB name='b' size='7' format='.x' attached='true'/></newBLOBVector>\n"
    )
    before = len(os.listdir("/proc/self/fd"))
    with kind() as ends:
        fd = os.memfd_create("blob")
        os.write(fd, b"picture")
        with socket.socket(fileno=os.dup(ends[3])) as server:
            socket.send_fds(server, [element[:20]], [fd])
        os.close(fd)
        asyncio.run(run(driver, ends, 0, lambda link: link.unfinished == 20))  # type: ignore[attr-defined]
        os.write(ends[3], element[20:])
        asyncio.run(run(driver, ends, 1))
    assert driver.heard == [b"picture"]
    assert len(os.listdir("/proc/self/fd")) == before


@every_kind
@asynchronous
async def test_what_is_too_large_is_skipped_to_its_end(kind: Kind) -> None:
    """It is one fault."""
    limits = Limits(junk=1000)
    with kind() as ends:
        os.write(ends[3], b"x" * 1500)
        faults = []
        for _ in range(2):
            link, recorder = open_stdio(*ends[:2], limits=limits), Recorder()
            link.open(recorder)
            await recorder.until(lambda recorder=recorder: recorder.faults or recorder.frames)  # type: ignore[misc]
            link.abort()
            await recorder.until_closed()
            faults += [type(fault) for fault in recorder.faults]
            os.write(ends[3], b"x" * 1500 + command("one"))
        assert faults == [FrameTooLarge]
        assert [frame.address.tag.text for frame in recorder.frames] == ["newTextVector"]


@every_kind
@asynchronous
async def test_other_limits_begin_anew(kind: Kind) -> None:
    """They may have been exceeded already."""
    with kind() as ends:
        os.write(ends[3], command("one")[:40])
        link, recorder = open_stdio(*ends[:2]), Recorder()
        link.open(recorder)
        await eventually(lambda: link.unfinished == 40)  # type: ignore[attr-defined]
        link.close()
        await recorder.until_closed()
        link, recorder = open_stdio(*ends[:2], limits=Limits(frame=5000)), Recorder()
        assert link.unfinished == 0  # type: ignore[attr-defined]
        link.close()
        link.open(recorder)
        await recorder.until_closed()


@every_kind
@asynchronous
async def test_a_link_that_is_never_opened_leaves_what_there_is(kind: Kind) -> None:
    with kind() as ends:
        os.write(ends[3], command("one")[:40])
        link, recorder = open_stdio(*ends[:2]), Recorder()
        link.open(recorder)
        await eventually(lambda: link.unfinished == 40)  # type: ignore[attr-defined]
        link.close()
        await recorder.until_closed()
        link, recorder = open_stdio(*ends[:2]), Recorder()
        link.abort()
        link.open(recorder)
        await recorder.until_closed()
        link, recorder = open_stdio(*ends[:2]), Recorder()
        assert link.unfinished == 40  # type: ignore[attr-defined]
        link.abort()
        link.open(recorder)
        await recorder.until_closed()


@asynchronous
async def test_nothing_is_kept_of_an_input_that_has_ended() -> None:
    """What would complete it never comes, and it may be large."""
    with two_pipes() as ends:
        link, recorder = open_stdio(*ends[:2], linger=0), Recorder()
        link.open(recorder)
        os.write(ends[3], command("one")[:40])
        await eventually(lambda: link.unfinished == 40)  # type: ignore[attr-defined]
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, ends[3])
        os.close(null)
        await recorder.until_closed()
        await turns()
        link, recorder = open_stdio(*ends[:2]), Recorder()
        assert link.unfinished == 0  # type: ignore[attr-defined]
        link.abort()
        link.open(recorder)
        await recorder.until_closed()
