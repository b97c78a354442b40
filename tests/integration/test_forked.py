"""Drivers that use multiprocessing: what is forked has its own life, and holds nothing open."""

import os
import signal
import subprocess
import sys
import textwrap

import pytest

from tests.support import ROOT, asynchronous, eventually, gone, run

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX")

DRIVER = """
import asyncio, multiprocessing, os, signal, sys, time
import indipydriver as ipd
from indipyserver import IPyServer

signal.signal(signal.SIGTERM, signal.SIG_DFL)  # whatever this was started under
fork = multiprocessing.get_context("fork")


def sleep(begun):
    begun.set()
    time.sleep(60)


def child():
    begun = fork.Event()
    process = fork.Process(target=sleep, args=(begun,), daemon=True)
    process.start()
    assert begun.wait(20)
    return process


def end_a_child():
    process = child()
    if signal.getsignal(signal.SIGUSR1) != signal.SIG_DFL:  # pkill sends a server's to all that have its name
        os.kill(process.pid, signal.SIGUSR1)
    process.terminate()
    process.join(20)
    status = process.exitcode
    process.kill()
    return status


class Driver(ipd.IPyDriver):
    async def hardware(self):
        status = await asyncio.to_thread(end_a_child)
        await asyncio.sleep(0)
        print(f"the child: {status}, to end: {self.stop}", file=sys.stderr, flush=True)
        os._exit(0)


def make_driver():
    return Driver(ipd.Device("D", []))
"""


async def said(tmp_path, code, *command):
    program = tmp_path / "program.py"
    program.write_text(DRIVER + textwrap.dedent(code), encoding="utf-8")
    command = command or (str(program),)
    return await run(sys.executable, *command, cwd=tmp_path, stdin=subprocess.PIPE, timeout=40, PYTHONPATH=str(ROOT))


@pytest.mark.parametrize(
    ("code", "command"),
    [
        ("make_driver().run()", ()),
        ("IPyServer(make_driver(), port=0).run()", ()),
        ("", ("-m", "indipyserver", "-p", "0", "program.py:make_driver")),
    ],
    ids=["driver", "server", "command"],
)
@asynchronous
async def test_a_driver_ends_its_child_and_not_itself(tmp_path, code, command):
    """As the pools of multiprocessing do at their end."""
    program = await said(tmp_path, code, *command)
    assert "the child: -15, to end: False" in program.stderr


@asynchronous
async def test_a_child_holds_neither_clients_nor_the_port(tmp_path):
    code = """
        async def main():
            server = IPyServer(port=0)
            serving = asyncio.create_task(server.asyncrun())
            await server.started.wait()
            port = server.port
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"<pingRequest uid='1'/>")
            await reader.readuntil(b">")
            process = await asyncio.to_thread(child)
            server.shutdown()
            await serving
            assert await asyncio.wait_for(reader.read(), 20) is not None
            another = IPyServer(port=port)
            serving = asyncio.create_task(another.asyncrun())
            await asyncio.wait([serving, asyncio.create_task(another.started.wait())], return_when="FIRST_COMPLETED")
            another.shutdown()
            await serving
            process.kill()
            print("all is well", flush=True)

        asyncio.run(main())
    """
    program = await said(tmp_path, code)
    assert "all is well" in program.stdout, program.stderr


@asynchronous
async def test_a_child_that_is_forked_as_a_driver_is_made_does_not_hold_the_local_socket(tmp_path):
    code = """
        from indipyserver.clients.sockets import bind_unix

        name = os.path.abspath("local")
        sock = bind_unix(name)  # the command does this first
        process = child()
        sock.close()
        if not sys.platform.startswith("linux"):
            os.unlink(name)
        bind_unix(name).close()
        process.kill()
        print("all is well", flush=True)
    """
    program = await said(tmp_path, code)
    assert "all is well" in program.stdout, program.stderr


@asynchronous
async def test_a_child_does_not_hold_the_fifo(tmp_path):
    code = """
        from indipyserver.cli.fifo import Fifo

        async def main():
            os.mkfifo("fifo")
            first = Fifo("fifo", None)
            first.open()
            process = await asyncio.to_thread(child)
            await first.close()
            second = Fifo("fifo", None)
            second.open()
            await second.close()
            process.kill()
            print("all is well", flush=True)

        asyncio.run(main())
    """
    program = await said(tmp_path, code)
    assert "all is well" in program.stdout, program.stderr


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only the kernel of Linux offers this")
@asynchronous
async def test_a_child_does_not_keep_programs_of_a_server_that_was_killed(tmp_path):
    code = """
        from indipyserver.process import start

        async def main():
            begun = start("x", "/bin/sh", ["-c", "sleep 60 & echo $! >&2; wait"], {}, pipes=False)
            os.set_blocking(begun.errors, True)
            started = os.read(begun.errors, 100).decode().strip()
            if not (process := os.fork()):
                os.setsid()  # it outlives what the test has started
                for fd in range(3):
                    os.dup2(os.open(os.devnull, os.O_RDWR), fd)
                time.sleep(60)
                os._exit(0)
            print(started, process, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)

        asyncio.run(main())
    """
    program = await said(tmp_path, code)
    started, process = map(int, program.stdout.split())
    try:
        await eventually(lambda: gone(started), timeout=30)
    finally:
        os.kill(process, signal.SIGKILL)
