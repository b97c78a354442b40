"""Peers that have said all they had to say, and standard input and output of every kind."""

import asyncio
import errno
import os
import pty
import socket
import threading
import tty
from pathlib import Path

import pytest

from indipydriver.protocol.frame import Batch
from indipydriver.transport.descriptor import DescriptorLink
from indipydriver.transport.stdio import ThreadLink, open_stdio

from .links import PATIENCE, Recorder, blob, number, tcp_sockets, turns


def run(check, *arguments) -> None:
    before = os.listdir("/proc/self/fd")
    asyncio.run(check(*arguments), debug=True)
    assert os.listdir("/proc/self/fd") == before


@pytest.mark.parametrize("answers", [1, 100_000])
def test_a_half_closed_client_gets_its_answers(answers):
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
        link = DescriptorLink("client", sock=here, linger=0.2)
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


def test_a_client_that_never_said_a_word_is_not_waited_for():
    async def check() -> None:
        here, client = tcp_sockets()
        recorder = Recorder()
        link = DescriptorLink("client", sock=here, linger=1000)
        link.open(recorder)
        client.close()
        assert await recorder.until_closed() is None

    run(check)


@pytest.mark.parametrize("how", ["close", "abort"])
def test_lingering_can_be_cut_short(how):
    async def check() -> None:
        here, client = tcp_sockets()
        recorder = Recorder()
        link = DescriptorLink("client", sock=here, linger=1000)
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
