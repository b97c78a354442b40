"""Links whose other end has gone while reading is paused: its last elements are there, and nobody takes them."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Callable

import pytest

from indipydriver import Device, IPyDriver, SwitchMember, SwitchVector
from indipydriver.protocol.framer import Framer
from indipydriver.transport import framed, stdio
from indipydriver.transport.descriptor import DescriptorLink
from indipydriver.transport.framed import FramedLink
from tests.conformance.links import Recorder
from tests.support import asynchronous, eventually

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells what has hung up")

COMMAND = b'<newSwitchVector device="X" name="s"><oneSwitch name="a">On</oneSwitch></newSwitchVector>\n'


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(framed, "_LOOK_TIME", 0.01)
    monkeypatch.setattr(stdio, "_ABANDONED", 0.05)


def over_a_socket() -> tuple[FramedLink, Callable[[bytes], object], Callable[[], None]]:
    near, far = socket.socketpair()
    link = stdio.open_stdio(near.fileno(), near.fileno())

    def close() -> None:
        far.close()

    near.detach()
    return link, far.sendall, close


def over_pipes() -> tuple[FramedLink, Callable[[bytes], object], Callable[[], None]]:
    (stdin, far_out), (far_in, stdout) = os.pipe(), os.pipe()

    def close() -> None:
        os.close(far_out)
        os.close(far_in)

    return stdio.open_stdio(stdin, stdout), lambda data: os.write(far_out, data), close


def over_threads() -> tuple[FramedLink, Callable[[bytes], object], Callable[[], None]]:
    stdin, far_out = os.pipe()
    stdout = os.open(os.devnull, os.O_WRONLY)

    def close() -> None:
        os.close(far_out)

    return stdio.open_stdio(stdin, stdout), lambda data: os.write(far_out, data), close


WAYS = pytest.mark.parametrize("way", [over_a_socket, over_pipes, over_threads])


@WAYS
@asynchronous
async def test_the_link_ends(
    way: Callable[..., tuple[FramedLink, Callable[[bytes], object], Callable[[], None]]],
) -> None:
    link, send, close = way()
    receiver = Recorder()
    link.open(receiver)
    link.pause_reading()
    send(COMMAND)
    await asyncio.sleep(0.1)
    assert not receiver.closed, "the other end is there"
    close()
    await eventually(lambda: receiver.closed)


@WAYS
@asynchronous
async def test_what_is_taken_in_time_is_not_lost(
    way: Callable[..., tuple[FramedLink, Callable[[bytes], object], Callable[[], None]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stdio, "_ABANDONED", 10.0)
    link, send, close = way()
    receiver = Recorder()
    link.open(receiver)
    link.pause_reading()
    send(COMMAND * 10)
    close()
    await asyncio.sleep(0.1)
    assert not receiver.closed
    link.resume_reading()
    await eventually(lambda: receiver.closed)
    assert len(receiver.frames) == 10


@asynchronous
async def test_a_link_of_a_client_keeps_what_the_client_has_sent() -> None:
    near, far = socket.socketpair()
    near.setblocking(False)
    link, receiver = DescriptorLink("client", sock=near), Recorder()
    link.open(receiver)
    link.pause_reading()
    far.sendall(COMMAND)
    far.close()
    await asyncio.sleep(0.1)
    assert not receiver.closed
    assert link.is_dead()
    link.resume_reading()
    await eventually(lambda: receiver.closed)
    assert len(receiver.frames) == 1


@pytest.mark.parametrize("commands", [1, 400])
@WAYS
@asynchronous
async def test_a_driver_ends_when_its_server_has_gone_though_its_hardware_does_not_answer(
    way: Callable[..., tuple[FramedLink, Callable[[bytes], object], Callable[[], None]]], commands: int
) -> None:
    reached = asyncio.Event()

    class Stuck(IPyDriver):
        async def rxevent(self, event: object) -> None:
            reached.set()
            await asyncio.Event().wait()

    vector = SwitchVector("s", "", "", "rw", "AnyOfMany", "Idle", [SwitchMember("a")])
    link, send, close = way()
    run = asyncio.ensure_future(Stuck(Device("X", [vector])).serve(link, shutdown_grace=0.1))
    send(COMMAND * commands)
    await reached.wait()
    close()
    async with asyncio.timeout(10):
        await asyncio.gather(run, return_exceptions=True)


@asynchronous
async def test_half_an_element_is_not_kept_for_a_run_that_cannot_come() -> None:
    near, far = socket.socketpair()
    link = stdio.open_stdio(near.fileno(), near.fileno())
    kept: list[Framer] = []
    link.left_within = kept.append
    receiver = Recorder()
    link.open(receiver)
    far.sendall(COMMAND[:30])
    await eventually(lambda: link.unfinished)
    near.sendall(b"unread")  # so the end is a reset
    far.close()
    await eventually(lambda: receiver.closed)
    near.close()
    assert not kept
