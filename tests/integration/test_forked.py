"""Drivers that use multiprocessing: what is forked has its own life, and holds nothing open."""

import contextlib
import os
import signal
import subprocess
import sys
import textwrap

import pytest

from indipyserver import bind_unix
from tests.support import ROOT, asynchronous, eventually, gone, run, started

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


def outliving_child():
    # It outlives what the test has started.
    if not (process := os.fork()):
        os.setsid()
        for fd in range(3):
            os.dup2(os.open(os.devnull, os.O_RDWR), fd)
        time.sleep(60)
        os._exit(0)
    return process


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
        def make_held():
            print(outliving_child(), flush=True)
            return make_driver()
    """
    name = str(tmp_path / "local")
    program = await said(tmp_path, code, "-m", "indipyserver", "-p", "0", "-u", name, "program.py:make_held")
    process = int(program.stdout)
    try:
        bind_unix(name).close()
    finally:
        os.kill(process, signal.SIGKILL)


@asynchronous
async def test_a_script_may_go_into_the_background_with_a_local_socket(tmp_path):
    """It binds the socket, forks and ends; the child serves."""
    code = """
        from indipyserver import bind_unix

        sock = bind_unix(os.path.abspath("local"))
        if process := os.fork():
            sys.exit(os.waitpid(process, 0)[1])

        async def main():
            server = IPyServer(port=0, unix_socket=sock)
            serving = asyncio.create_task(server.asyncrun())
            await asyncio.wait([serving, asyncio.create_task(server.started.wait())], return_when="FIRST_COMPLETED")
            reader, writer = await asyncio.open_unix_connection(sock.getsockname())
            writer.write(b"<pingRequest uid='1'/>")
            await reader.readuntil(b">")
            server.shutdown()
            await serving
            print("all is well", flush=True)

        asyncio.run(main())
    """
    program = await said(tmp_path, code)
    assert "all is well" in program.stdout, program.stderr


@pytest.mark.parametrize("end", ["server.shutdown()", "os.kill(os.getpid(), signal.SIGKILL)"], ids=["ended", "killed"])
@asynchronous
async def test_who_controls_a_server_learns_of_its_end_though_a_child_goes_on(tmp_path, end):
    code = f"""
        from indipyserver import Control

        async def main():
            server = IPyServer(port=0, control="control")
            serving = asyncio.create_task(server.asyncrun())
            await server.started.wait()
            while not server.stop:
                await asyncio.sleep(0.05)
                if os.path.exists("follows"):
                    print(outliving_child(), flush=True)
                    {end}
            await serving

        async def follow():
            async with Control("control") as control:
                async for event in control.follow():
                    open("follows", "w").close()

        if process := os.fork():
            while not os.path.exists("control"):
                time.sleep(0.02)
            try:
                asyncio.run(asyncio.wait_for(follow(), 20))
            except ConnectionError as error:
                print(error, flush=True)
        else:
            asyncio.run(main())
    """
    program = await said(tmp_path, code)
    process, _, text = program.stdout.partition("\n")
    os.kill(int(process), signal.SIGKILL)
    assert "closed" in text or "lost" in text, program.stderr


@asynchronous
async def test_a_child_does_not_hold_the_input_of_a_program_with_pipes(tmp_path):
    code = """
        from indipyserver.process import start

        async def main():
            begun = start("x", "/bin/sh", ["-c", "cat; exit 3"], {}, pipes=True)
            process = child()
            begun.link.abort()
            print("ended:", await begun.child.wait(20))
            begun.child.kill()
            print("status", begun.child.process.returncode, flush=True)
            process.kill()

        asyncio.run(main())
    """
    program = await said(tmp_path, code)
    assert program.stdout == "ended: True\nstatus 3\n", program.stderr


POOL = """
from concurrent.futures import ProcessPoolExecutor

class Pool(ipd.IPyDriver):
    async def hardware(self):
        self.pool = pool = ProcessPoolExecutor(1, mp_context=fork)
        loop = asyncio.get_running_loop()
        print(await loop.run_in_executor(pool, os.getpid), flush=True)
        working = loop.run_in_executor(pool, time.sleep, 60) if os.path.exists("work") else None
        while not self.stop:
            await asyncio.sleep(0.05)


def make_pool():
    return Pool(ipd.Device("D", []))
"""


@asynchronous
async def test_no_process_of_a_pool_is_left_when_the_command_begins_anew_or_does_not_wait_for_it(tmp_path):
    """Each holds both ends of the pipe that its work comes by, and would wait for ever."""
    program = tmp_path / "program.py"
    program.write_text(DRIVER + POOL, encoding="utf-8")
    command = (sys.executable, "-m", "indipyserver", "-p", "0", "--no-unix-socket", "--reload", "program.py:make_pool")
    with started(*command, cwd=tmp_path, PYTHONPATH=str(ROOT)) as server:

        def processes():
            return list(map(int, server.stdout().split()))

        try:
            await eventually(processes, timeout=30)
            (tmp_path / "work").touch()
            program.write_text(DRIVER + POOL + "# changed\n", encoding="utf-8")
            await eventually(lambda: len(processes()) == 2, timeout=30)
            await eventually(lambda: gone(processes()[0]), timeout=30)
            server.process.terminate()
            await server.wait(30)
            await eventually(lambda: gone(processes()[1]), timeout=30)
            assert "the processes of a ProcessPoolExecutor; ending without it" in server.stderr()
        finally:
            for process in processes():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)


@asynchronous
async def test_the_command_ends_what_a_driver_has_started_and_forgotten(tmp_path):
    code = """
        class Forgetful(ipd.IPyDriver):
            async def hardware(self):
                begun = fork.Event()
                process = fork.Process(target=sleep, args=(begun,))
                process.start()
                begun.wait(20)
                print(process.pid, flush=True)
                os.kill(os.getpid(), signal.SIGTERM)

        def make_forgetful():
            return Forgetful(ipd.Device("D", []))
    """
    words = ("-m", "indipyserver", "-p", "0", "--no-unix-socket", "program.py:make_forgetful")
    program = await said(tmp_path, code, *words)
    process = int(program.stdout)
    try:
        assert f"process {process}; ending it" in program.stderr
        await eventually(lambda: gone(process), timeout=30)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


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
            print(started, outliving_child(), flush=True)
            os.kill(os.getpid(), signal.SIGKILL)

        asyncio.run(main())
    """
    program = await said(tmp_path, code)
    started, process = map(int, program.stdout.split())
    try:
        await eventually(lambda: gone(started), timeout=30)
    finally:
        os.kill(process, signal.SIGKILL)
