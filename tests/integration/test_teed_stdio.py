"""``driver | tee log`` under a server that gives its drivers a local socket: standard output is another file.

The socket is read as it is without ``tee``, with the descriptors that come through it.
"""

import asyncio
import base64
import contextlib
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from indipydriver.protocol.frame import Batch
from indipydriver.transport.attached import AttachedFrame
from indipydriver.transport.link import Link
from indipydriver.transport.stdio import open_stdio
from tests.support import ROOT, asynchronous, eventually
from tests.support.links import PATIENCE, Recorder, turns
from tests.support.programs import environment

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="descriptors are passed on Linux")

DRIVER = ROOT / "examples" / "stdio_driver.py"
UPLOAD = (
    b'<newBLOBVector device="Echo" name="BLOB">'
    b'<oneBLOB name="DATA" size="%d" format=".bin" attached="true"/></newBLOBVector>\n'
)
INLINE = (
    b'<newBLOBVector device="Echo" name="BLOB"><oneBLOB name="DATA" size="%d" format=".bin">%s</oneBLOB>'
    b"</newBLOBVector>\n"
)
ANSWER = re.compile(rb"<oneBLOB([^>]*)>([^<]*)</oneBLOB>")


def send_attached(server: socket.socket, content: bytes) -> None:
    fd = os.memfd_create("blob")
    os.write(fd, content)
    socket.send_fds(server, [UPLOAD % len(content)], [fd])
    os.close(fd)


def answers(data: bytes) -> list[bytes]:
    found = []
    for attributes, text in ANSWER.findall(data):
        assert b"attached" not in attributes
        found.append(base64.b64decode(text))
    return found


@pytest.mark.parametrize("last", ["tee {log}", "tee {log} >{copy}"], ids=["to the socket", "to a file"])
def test_a_driver_behind_tee_takes_blobs_in_both_forms_and_answers_inline(last: str, tmp_path: Path) -> None:
    log, copy = tmp_path / "log", tmp_path / "copy"
    copy.touch()
    here, its = socket.socketpair()
    here.settimeout(PATIENCE)
    program = f"{shlex.quote(sys.executable)} {shlex.quote(str(DRIVER))}"
    line = f"{program} | {last.format(log=shlex.quote(str(log)), copy=shlex.quote(str(copy)))}"
    process = subprocess.Popen(["sh", "-c", line], stdin=its, stdout=its, env=environment(), start_new_session=True)
    its.close()
    contents = [os.urandom(700_000), b"ABC", os.urandom(5000)]
    received = b""
    try:
        with here:
            send_attached(here, contents[0])
            here.sendall(INLINE % (3, base64.b64encode(contents[1])))
            send_attached(here, contents[2])
            give_up = time.monotonic() + 30
            while received.count(b"</oneBLOB>") < 3 and time.monotonic() < give_up:
                if "copy" in last:
                    received = copy.read_bytes()
                    time.sleep(0.01)
                else:
                    received += here.recv(1 << 20)
            here.shutdown(socket.SHUT_WR)
            assert process.wait(20) == 0
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert answers(received) == contents
    assert log.read_bytes().startswith(received[:1000])


@contextlib.asynccontextmanager
async def teed(linger: float = 0.0) -> AsyncIterator[tuple[Link, Recorder, socket.socket, int]]:
    """A link, its receiver, where the server writes, and where the driver's output arrives."""
    before = os.listdir("/proc/self/fd")
    threads = set(threading.enumerate())
    server, its = socket.socketpair()
    arriving, stdout = os.pipe()
    os.set_blocking(arriving, False)
    link, recorder = open_stdio(its.fileno(), stdout, linger=linger), Recorder()
    link.open(recorder)
    try:
        yield link, recorder, server, arriving
    finally:
        link.abort()
        await recorder.until_closed()
        assert os.get_blocking(stdout)
        assert its.getblocking()
        for fd in (arriving, stdout):
            with contextlib.suppress(OSError):
                os.close(fd)
        its.close()
        server.close()
        for thread in set(threading.enumerate()) - threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()
    assert recorder.wrong == []
    assert os.listdir("/proc/self/fd") == before


async def read(arriving: int, count: int) -> bytes:
    data = b""

    def enough() -> bool:
        nonlocal data
        with contextlib.suppress(BlockingIOError):
            data += os.read(arriving, 1 << 20)
        return len(data) >= count

    await eventually(enough)
    return data


@asynchronous
async def test_descriptors_come_in_and_bytes_go_out() -> None:
    async with teed() as (link, recorder, server, arriving):
        send_attached(server, b"picture")
        server.sendall(b"<getProperties version='1.7'/>\n")
        await recorder.until(lambda: len(recorder.frames) == 2)
        assert isinstance(recorder.frames[0], AttachedFrame)
        recorder.frames.clear()
        answer = b"<message message='%s'/>\n" % (b"x" * 1_000_000)
        for _ in range(3):
            link.write(Batch.of_bytes(answer))
        link.flush()
        link.flush()
        assert link.unsent
        assert await read(arriving, 3 * len(answer)) == 3 * answer
        await recorder.until(lambda: recorder.drained)
        await eventually(lambda: link.unsent == 0)
        assert link.bytes_sent == 3 * len(answer)


@asynchronous
async def test_pausing_leaves_what_comes_in_the_socket() -> None:
    async with teed() as (link, recorder, server, _):
        link.pause_reading()
        recorder.may_read = False
        send_attached(server, b"picture")
        await turns(20)
        recorder.may_read = True
        link.resume_reading()
        await recorder.until(lambda: recorder.frames)
        recorder.frames.clear()


@asynchronous
async def test_close_lets_out_what_is_queued() -> None:
    async with teed() as (link, recorder, _, arriving):
        answer = b"<message message='%s'/>\n" % (b"x" * 1_000_000)
        link.write(Batch.of_bytes(answer))
        link.close()
        await turns()
        assert not recorder.closed
        assert await read(arriving, len(answer)) == answer
        assert await recorder.until_closed() is None


@pytest.mark.parametrize("end", [socket.socket.close, lambda server: server.shutdown(socket.SHUT_WR)])
@asynchronous
async def test_answers_are_waited_for_when_the_input_ends(end: Callable[[socket.socket], None]) -> None:
    """Standard output leads elsewhere, so that nobody reads the socket means nothing."""
    async with teed(linger=0.1) as (link, recorder, server, arriving):
        server.sendall(b"<getProperties version='1.7'/>\n")
        end(server)
        await recorder.until(lambda: recorder.frames)
        await turns()
        assert not recorder.closed
        link.write(Batch.of_bytes(b"<message/>\n"))
        link.flush()
        assert await read(arriving, 11) == b"<message/>\n"
        assert await recorder.until_closed() is None


@asynchronous
async def test_it_is_over_when_nobody_reads_the_output() -> None:
    async with teed() as (link, recorder, server, arriving):
        os.close(arriving)
        server.sendall(b"<getProperties version='1.7'/>\n")
        link.write(Batch.of_bytes(b"<message/>\n"))
        link.flush()
        assert isinstance(await recorder.until_closed(), BrokenPipeError)
        assert len(recorder.frames) == 1


@asynchronous
async def test_a_link_that_is_closed_before_it_is_opened() -> None:
    server, its = socket.socketpair()
    reading, stdout = os.pipe()
    link, recorder = open_stdio(its.fileno(), stdout), Recorder()
    link.close()
    link.open(recorder)
    assert await recorder.until_closed() is None
    server.close()
    its.close()
    os.close(reading)
    os.close(stdout)


@asynchronous
async def test_a_write_that_is_under_way_does_not_delay_the_end() -> None:
    async with teed() as (link, recorder, _, arriving):
        link.write(Batch.of_bytes(b"x" * 1_000_000))
        link.flush()
        await asyncio.sleep(0.02)
        link.abort()
        assert await recorder.until_closed() is None
        os.close(arriving)
