"""Peers that have said all they had to say, and standard input and output of every kind."""

import asyncio
import contextlib
import errno
import os
import pty
import socket
import threading
import tty
from pathlib import Path

import pytest

from indipydriver.protocol.frame import Batch, Frame
from indipydriver.transport.descriptor import DescriptorLink
from indipydriver.transport.link import Link
from indipydriver.transport.stdio import ThreadLink, open_stdio
from indipydriver.transport.stream import StreamLink
from tests.support.links import PATIENCE, Recorder, turns

from .links import blob, number, tcp_sockets, text


def run(check, *arguments) -> None:
    before = os.listdir("/proc/self/fd")
    asyncio.run(check(*arguments), debug=True)
    assert os.listdir("/proc/self/fd") == before


async def descriptor_link(sock: socket.socket, linger: float) -> Link:
    return DescriptorLink("client", sock=sock, linger=linger)


async def stream_link(sock: socket.socket, linger: float) -> Link:
    link = StreamLink("client", linger=linger)
    await asyncio.get_running_loop().connect_accepted_socket(lambda: link, sock)
    return link


every_kind = pytest.mark.parametrize("make", [descriptor_link, stream_link])


@every_kind
@pytest.mark.parametrize("answers", [1, 100_000])
def test_a_half_closed_client_gets_its_answers(make, answers):
    """``printf ... | nc`` wants them."""

    async def check() -> None:
        here, client = tcp_sockets()
        loop = asyncio.get_running_loop()
        recorder = Recorder()
        batch = Batch([number(i) for i in range(answers)], sealed=True)

        def answer(_: object) -> None:
            loop.call_later(0.02, later)

        def later() -> None:
            link.write(batch)
            link.flush()

        recorder.on_frames = answer
        link = await make(here, 0.2)
        link.open(recorder)
        with client:
            client.send(b"<getProperties version='1.7'/>")
            client.shutdown(socket.SHUT_WR)
            received = b""
            async with asyncio.timeout(PATIENCE):
                while data := await loop.sock_recv(client, 1 << 20):
                    received += data
        assert received == batch.buffers[0]
        assert await recorder.until_closed() is None
        assert recorder.wrong == []

    run(check)


@every_kind
@pytest.mark.parametrize(
    "said",
    [b"", b"<getProp", b"<newBLOBVector device='A' name='b'><oneBLOB name='x' size='9' format='.x'>AAAA"],
)
def test_who_has_said_nothing_or_half_an_element_is_not_waited_for(make, said):
    async def check() -> None:
        here, client = tcp_sockets()
        recorder = Recorder()
        link = await make(here, 1000)
        link.input_ended = lambda: recorder.wrong.append("asked what is to become of it")
        link.open(recorder)
        with client:
            client.send(said)
            client.shutdown(socket.SHUT_WR)
            assert await recorder.until_closed() is None
            assert recorder.wrong == []

    run(check)


@every_kind
@pytest.mark.parametrize("how", ["close", "abort"])
def test_whoever_wants_to_decides_what_becomes_of_a_half_closed_client(make, how):
    async def check() -> None:
        here, client = tcp_sockets()
        recorder = Recorder()
        link = await make(here, 0.001)
        told = []
        link.input_ended = lambda: told.append(link.lingering)
        link.open(recorder)
        with client:
            client.send(b"<getProperties version='1.7'/>\n")
            client.shutdown(socket.SHUT_WR)
            await recorder.until(lambda: recorder.frames)
            for _ in range(5):
                await asyncio.sleep(0.01)
                link.pause_reading()
                link.resume_reading()
            assert told == [True]
            assert recorder.closed == []
            link.write(Batch([number(1)], sealed=True))
            getattr(link, how)()
            assert await recorder.until_closed() is None
            assert bool(client.recv(1)) == (how == "close")

    run(check)


def test_a_client_that_never_said_a_word_is_not_waited_for():
    async def check() -> None:
        here, client = tcp_sockets()
        recorder = Recorder()
        link = DescriptorLink("client", sock=here, linger=1000)
        link.open(recorder)
        client.close()
        assert await recorder.until_closed() is None

    run(check)


@every_kind
@pytest.mark.parametrize("how", ["close", "abort"])
def test_lingering_can_be_cut_short(make, how):
    async def check() -> None:
        here, client = tcp_sockets()
        recorder = Recorder()
        link = await make(here, 1000)
        link.open(recorder)
        with client:
            client.send(b"<getProperties version='1.7'/>")
            client.shutdown(socket.SHUT_WR)
            await recorder.until(lambda: recorder.frames)
            await turns()
            getattr(link, how)()
            assert await recorder.until_closed() is None

    run(check)


def test_a_peer_that_resets_is_heard_to_the_end():
    """What it said before it went away counts, though it takes nothing any more."""

    async def check() -> None:
        here, there = socket.socketpair()
        here.setblocking(False)
        recorder = Recorder()
        link = DescriptorLink("peer", sock=here)
        link.open(recorder)
        there.send(number(1).raw)
        there.close()
        link.write(Batch([number(2)], sealed=True))
        link.flush()
        error = await recorder.until_closed()
        assert recorder.frames == [number(1)]
        assert error is None or isinstance(error, BrokenPipeError)

    run(check)


@pytest.mark.parametrize("sockets", [tcp_sockets, socket.socketpair])
def test_a_paused_peer_that_goes_while_something_waits_for_it_is_heard_to_the_end(sockets):
    """It had stopped reading long before, so the loop waits for it to take more."""

    async def check() -> None:
        here, there = sockets()
        here.setblocking(False)
        recorder = Recorder()
        link = DescriptorLink("peer", sock=here)
        link.open(recorder)
        link.pause_reading()
        recorder.may_read = False
        link.write(Batch([blob(8 << 20)], sealed=True))
        link.flush()
        await turns(20)
        assert link.unsent
        for i in range(20):
            there.sendall(number(i).raw)
        there.close()
        await asyncio.sleep(0.05)
        assert not recorder.closed
        recorder.may_read = True
        link.resume_reading()
        error = await recorder.until_closed()
        assert isinstance(error, ConnectionError)
        assert recorder.frames == [number(i) for i in range(20)]
        assert not recorder.wrong

    run(check)


def test_a_peer_that_is_gone_can_be_paused_while_it_is_heard_to_the_end():
    async def check() -> None:
        here, there = socket.socketpair()
        for end in (here, there):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 << 20)
            end.setblocking(False)
        recorder = Recorder()
        link = DescriptorLink("peer", sock=here)

        def pause(_: list[Frame]) -> None:
            recorder.may_read = False
            link.pause_reading()

        link.open(recorder)
        link.pause_reading()
        sent = []
        with contextlib.suppress(BlockingIOError):
            for i in range(1000):
                there.send(text(i, 4096).raw)
                sent.append(text(i, 4096))
        there.close()
        link.write(Batch([number(0)], sealed=True))
        link.flush()
        recorder.on_frames = pause
        rounds = 0
        while not recorder.closed:
            rounds += 1
            before = len(recorder.frames)
            recorder.may_read = True
            link.resume_reading()
            await recorder.until(lambda before=before: len(recorder.frames) > before or recorder.closed)
            await turns()
        assert recorder.frames == sent
        assert rounds >= 2
        assert isinstance(recorder.closed[0], BrokenPipeError)
        assert not recorder.wrong

    run(check)


@pytest.mark.parametrize("how", ["close", "abort"])
@pytest.mark.parametrize("paused", [False, True])
def test_a_peer_that_is_gone_is_heard_no_more_when_its_link_is_closed(how, paused):
    async def check() -> None:
        here, there = socket.socketpair()
        here.setblocking(False)
        recorder = Recorder()
        link = DescriptorLink("peer", sock=here)
        link.open(recorder)
        there.send(number(1).raw)
        there.close()
        link.write(Batch([number(2)], sealed=True))
        link.flush()
        if paused:
            link.pause_reading()
            await turns()
        assert not recorder.closed
        getattr(link, how)()
        assert await recorder.until_closed() is None
        assert recorder.frames == []

    run(check)


def test_two_loops_in_two_threads_do_not_mix_their_bytes():
    """A read lets the other thread run, which may read too."""
    results: list[bool] = []

    async def talk(device: int) -> None:
        here, there = socket.socketpair()
        here.setblocking(False)
        recorder = Recorder()
        link = DescriptorLink("peer", sock=here)
        link.open(recorder)
        with there:
            frame = number(device)
            for _ in range(200):
                await asyncio.get_running_loop().run_in_executor(None, there.sendall, frame.raw * 300)
            await recorder.until(lambda: len(recorder.frames) == 60_000)
            results.append(recorder.frames == [frame] * 60_000 and not recorder.faults)
            link.abort()
            await recorder.until_closed()

    threads = [threading.Thread(target=lambda i=i: asyncio.run(talk(10**6 + i))) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True, True]


# Standard input and output


def test_commands_from_a_file_are_answered_into_a_file(tmp_path: Path):
    """``driver < commands > answers``, where there is nothing to watch; the answers come after the end."""
    commands, answers = tmp_path / "commands", tmp_path / "answers"
    commands.write_bytes(b"".join(number(i).raw + b"\n" for i in range(10_000)))

    async def check() -> None:
        with commands.open("rb") as stdin, answers.open("wb") as stdout:
            recorder = Recorder()
            link = open_stdio(stdin.fileno(), stdout.fileno(), linger=0.2)
            assert isinstance(link, ThreadLink)

            def answer(frames: list) -> None:
                asyncio.get_running_loop().call_later(0.01, later, frames)

            def later(frames: list) -> None:
                link.write(Batch(frames, sealed=True))
                link.flush()

            recorder.on_frames = answer
            link.open(recorder)
            assert await recorder.until_closed() is None
            assert recorder.wrong == []

    run(check)
    assert answers.read_bytes() == commands.read_bytes()


def test_an_empty_file_ends_it_at_once(tmp_path: Path):
    async def check() -> None:
        with open(os.devnull, "rb") as stdin, (tmp_path / "answers").open("wb") as stdout:
            recorder = Recorder()
            link = open_stdio(stdin.fileno(), stdout.fileno(), linger=1000)
            link.open(recorder)
            assert await recorder.until_closed() is None

    run(check)


def test_a_terminal():
    async def check() -> None:
        master, slave = pty.openpty()
        tty.setraw(slave)
        os.set_blocking(master, False)
        here, there = Recorder(), Recorder()
        link = open_stdio(slave, slave, linger=0)
        assert isinstance(link, ThreadLink)
        link.open(here)
        peer = DescriptorLink("terminal", pipes=(master, master))
        peer.open(there)
        image = blob(1 << 18)
        link.write(Batch([image]))
        link.write(Batch([number(1)], sealed=True))
        link.flush()
        peer.write(Batch([number(2)], sealed=True))
        peer.flush()
        await there.until(lambda: len(there.frames) == 2)
        await here.until(lambda: here.frames)
        assert there.frames == [image, number(1)]
        assert here.frames == [number(2)]
        assert os.get_blocking(slave)
        peer.abort()  # hangs up
        assert await here.until_closed() is None
        await there.until_closed()
        os.close(slave)

    run(check)


def test_descriptors_that_somebody_made_non_blocking(tmp_path: Path):
    async def check() -> None:
        (stdin, write_there), (read_there, stdout) = os.pipe(), os.pipe()
        for fd in (stdin, stdout, write_there, read_there):
            os.set_blocking(fd, False)
        here, there = Recorder(), Recorder()
        link = ThreadLink("standard input", stdin, stdout)
        link.open(here)
        peer = DescriptorLink("here", pipes=(read_there, write_there))
        peer.pause_reading()
        peer.open(there)
        image = blob(1 << 20)
        link.write(Batch([image]))
        link.flush()
        await asyncio.sleep(0.05)
        peer.resume_reading()
        await there.until(lambda: there.frames)
        assert there.frames == [image]
        peer.write(Batch([number(1)], sealed=True))
        peer.close()
        assert await here.until_closed() is None
        assert here.frames == [number(1)]
        os.close(stdin)
        os.close(stdout)

    run(check)


def test_a_reader_that_is_gone():
    async def check() -> None:
        (stdin, write_there), (read_there, stdout) = os.pipe(), os.pipe()
        os.close(read_there)
        recorder = Recorder()
        link = ThreadLink("standard input", stdin, stdout)
        link.open(recorder)
        link.write(Batch([number(1)], sealed=True))
        link.flush()
        error = await recorder.until_closed()
        assert isinstance(error, BrokenPipeError)
        assert error.errno == errno.EPIPE
        for fd in (write_there, stdin, stdout):
            os.close(fd)

    run(check)


def test_stdio_of_a_socket_keeps_its_blocking_mode_whatever_the_default_timeout():
    async def check() -> None:
        ours, theirs = socket.socketpair()
        socket.setdefaulttimeout(5.0)
        try:
            link = open_stdio(ours.fileno(), ours.fileno(), linger=0)
        finally:
            socket.setdefaulttimeout(None)
        assert os.get_blocking(ours.fileno())
        recorder = Recorder()
        link.open(recorder)
        theirs.sendall(number(1).raw)
        theirs.close()
        assert await recorder.until_closed() is None
        assert recorder.frames == [number(1)]
        ours.close()

    run(check)


def test_stdio_of_pipes_keeps_the_blocking_mode_of_what_it_was_given():
    async def check() -> None:
        (stdin, write_there), (read_there, stdout) = os.pipe(), os.pipe()
        link = open_stdio(stdin, stdout, linger=0)
        assert isinstance(link, DescriptorLink)
        assert os.get_blocking(stdin)
        assert os.get_blocking(stdout)
        recorder = Recorder()
        link.open(recorder)
        os.write(write_there, number(1).raw)
        os.close(write_there)
        assert await recorder.until_closed() is None
        assert recorder.frames == [number(1)]
        for fd in (stdin, stdout, read_there):
            os.close(fd)

    run(check)
