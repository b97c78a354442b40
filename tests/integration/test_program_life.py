"""Programs and their process groups: nothing of them is left, whoever refuses to end, and nobody is hit by mistake."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

import indipyserver.process
import indipyserver.sources.exdriver
from indipyserver import IPyServer
from indipyserver.process import Child, start
from indipyserver.sources.backoff import Backoff
from tests.support import IndiClient, asynchronous, eventually, gone, match, running_server, started
from tests.support.drivers import echo_driver

STUBBORN = (
    "import os, signal, time\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "os.read(0, 4096)\n"
    "os.write(1, b\"<defLightVector device='D' name='x' state='Ok'/>\")\n"
    "time.sleep(60)\n"
)
WAYS = pytest.mark.parametrize("pipes", [True, False], ids=["pipes", "local socket"])
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only the kernel of Linux offers this")


@pytest.fixture(autouse=True)
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indipyserver.sources.exdriver, "STOP_GRACE", 0.2)
    monkeypatch.setattr(indipyserver.sources.exdriver, "KILL_GRACE", 0.2)


@pytest.fixture
def no_pidfd(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS, on Linux before 5.3, and in some containers."""
    monkeypatch.delattr(os, "pidfd_open", raising=False)


def stubborn(server: IPyServer, **options: Any) -> Any:
    return server.add_exdriver(sys.executable, "-c", STUBBORN, **{"restarts": 0, **options})


@contextlib.asynccontextmanager
async def seen_by_client(server: IPyServer) -> AsyncIterator[IndiClient]:
    async with IndiClient(server.port) as client:
        await client.get_properties()
        await client.expect(match("defLightVector", device="D"), timeout=15)
        yield client


def descriptors() -> set[str]:
    """What is open in this process."""
    found = set()
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # that of the listing itself
            found.add(f"{fd} {os.readlink(f'/proc/self/fd/{fd}')}")
    return found


# Cancelled


@pytest.mark.parametrize("times", [1, 2, 3])
@WAYS
@asynchronous
async def test_however_often_a_server_is_cancelled_no_program_and_no_peer_is_left(times: int, pipes: bool) -> None:
    server = IPyServer(host="127.0.0.1", port=0)
    part = stubborn(server, pipes=pipes)
    run = asyncio.create_task(server.asyncrun())
    await server.started.wait()
    async with seen_by_client(server):
        process = part.process
    await eventually(lambda: server.board.clients == [], timeout=20)  # it lingers for 5 s
    for _ in range(times):
        run.cancel()
        await asyncio.sleep(0.02)
    await asyncio.wait([run])
    await eventually(lambda: process.returncode is not None or process.poll() is not None)
    assert gone(process.pid)
    assert part.peer not in server.board.peers
    assert "D" not in server.board.router.devices
    assert part.process is None


@pytest.mark.parametrize("delay", [0.0, 0.05, 0.25, 0.45])
@asynchronous
async def test_a_program_whose_task_is_cancelled_while_it_is_removed(delay: float) -> None:
    async with running_server(shutdown_grace=0.5) as server:
        part = stubborn(server)
        async with seen_by_client(server) as client:
            process = part.process
            task = server._sources._tasks[part]
            removing = asyncio.create_task(server.remove(part))
            await asyncio.sleep(delay)
            task.cancel()
            await removing
            await client.expect(match("delProperty", device="D"))
            await eventually(lambda: process.poll() is not None)
            assert gone(process.pid)


@WAYS
@pytest.mark.parametrize("watched", ["with pidfd", "without pidfd"])
@asynchronous
async def test_who_ends_a_program_again_after_a_cancellation_waits_no_longer_than_it_lives(
    watched: str, pipes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was said to run on although it was killed: nobody looked any more whether it had ended."""
    if watched == "without pidfd":
        monkeypatch.delattr(os, "pidfd_open", raising=False)
    begun = start("x", "/bin/sleep", ["60"], {}, pipes=pipes)
    ending = asyncio.create_task(begun.child.stop(60, 60))
    await asyncio.sleep(0)
    ending.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await ending
    async with asyncio.timeout(30):
        await begun.child.stop(60, 60)
    assert begun.child.remains == ""
    await eventually(lambda: begun.child.process.returncode == -signal.SIGKILL)
    begun.link.abort()
    os.close(begun.errors)


@asynchronous
async def test_a_program_that_is_being_ended_because_it_hangs_is_removed_at_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(indipyserver.sources.exdriver, "STOP_GRACE", 60)
    async with running_server() as server:
        part = stubborn(server)
        async with seen_by_client(server) as client:
            part.peer.cut(TimeoutError("it hangs"))
            await asyncio.sleep(0.1)  # it gets its grace time
            assert part.process is not None
            async with asyncio.timeout(30):
                await server.remove(part)
            await client.expect(match("delProperty", device="D"))
    assert "is still running" not in caplog.text


@asynchronous
async def test_a_program_is_not_started_again_before_it_has_ended_though_nobody_waits_for_that(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The second life would share all it has with the first, which closed it."""
    async with running_server() as server:
        part = stubborn(server)
        async with seen_by_client(server):
            first = part.process
            halting = asyncio.create_task(server.services.halt(part))
            await asyncio.sleep(0.05)
            halting.cancel()
            await asyncio.wait((halting,))
            assert first.poll() is None
            with pytest.raises(ValueError, match="just being stopped"):
                server.services.resume(part)
            await server.services.halt(part)  # which waits for it
            assert gone(first.pid)
            server.services.resume(part)
            await eventually(lambda: part.process is not None)
            assert part.process is not first
    assert "Exception in callback" not in caplog.text


@asynchronous
async def test_all_of_a_program_ends_at_once_when_the_server_cannot_wait() -> None:
    async with running_server() as server:
        part = stubborn(server)
        part.kill()  # it does not run yet
        async with seen_by_client(server) as client:
            process = part.process
            part.kill()
            part.kill()
            await client.expect(match("delProperty", device="D"))
            await eventually(lambda: part.process is None)
            assert process.returncode == -signal.SIGKILL
            part.kill()


@asynchronous
async def test_a_signal_handler_may_end_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have interrupted the start of a thread, and waits for ever if it starts another."""

    def refuse(*args: object) -> None:
        raise AssertionError("more than a signal")

    async with running_server() as server:
        part = stubborn(server)
        async with seen_by_client(server) as client:
            with monkeypatch.context() as patched:
                patched.setattr(threading.Thread, "start", refuse)
                patched.setattr(subprocess.Popen, "poll", refuse)
                part.kill()
            await client.expect(match("delProperty", device="D"))


# Not permitted, or not possible


def refusing(error: type[OSError] | None, real: Any = os.killpg) -> Any:
    def killpg(group: int, number: int) -> None:
        if error is not None:
            raise error(errno.EPERM, "Operation not permitted")

    return killpg


@pytest.mark.parametrize(
    ("error", "words"),
    [(PermissionError, "not permitted"), (None, "although it was killed")],
    ids=["of another user", "in the kernel"],
)
@WAYS
@asynchronous
async def test_a_program_that_cannot_be_ended_is_let_go_and_said_to_go_on(
    error: type[OSError] | None,
    words: str,
    pipes: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Under sudo no signal reaches it; one that waits for its USB device in the kernel does not end by any."""
    pids = []

    class _OsWith:
        def __init__(self, **changes: Any) -> None:
            self.__dict__.update(changes)

        def __getattr__(self, name: str) -> Any:
            return getattr(os, name)

    monkeypatch.setattr(indipyserver.process, "_hold_alive", lambda *_: None)
    try:
        async with running_server(echo_driver("A")) as server:
            part = stubborn(server, pipes=pipes)
            async with seen_by_client(server) as client:
                pids.append(part.process.pid)
                with monkeypatch.context() as patch:
                    patch.setattr(indipyserver.process, "os", _OsWith(killpg=refusing(error)))
                    patch.setattr(indipyserver.process, "_hold_alive", lambda *_: None)
                    async with asyncio.timeout(5):
                        await server.remove(part)
                deleted = await client.expect(match("delProperty", device="D"))
                assert "is still running" in (deleted.get("message") or "")
                assert part.peer not in server.board.peers
        assert any(
            words in record.getMessage() and "is still running" in record.getMessage() for record in caplog.records
        )
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root")
@asynchronous
async def test_a_program_of_another_user_ends_with_its_input_or_is_left(caplog: pytest.LogCaptureFixture) -> None:
    """The real thing: the server gives its privileges up after it has started the program."""
    processes = []

    try:
        async with running_server() as server:
            part = stubborn(server)
            async with seen_by_client(server) as client:
                processes.append(part.process)
                os.setresuid(65534, 65534, 0)
                try:
                    await server.remove(part)
                finally:
                    os.setresuid(0, 0, 0)
                await client.expect(match("delProperty", device="D"))
        assert "not permitted" in caplog.text
    finally:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@linux
@pytest.mark.parametrize("leaves", [True, False], ids=["leaves a child", "alone"])
@asynchronous
async def test_a_group_gets_no_signal_once_the_status_of_its_leader_is_collected(
    leaves: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From then on the number may be that of another group."""
    program = "sleep 60 & echo $! >&2; exit 0" if leaves else "exit 0"
    begun = start("x", "/bin/sh", ["-c", program], {}, pipes=False)
    signals: list[tuple[int, bool]] = []
    real = os.killpg

    def killpg(group: int, number: int) -> None:
        if number:
            signals.append((number, os.path.exists(f"/proc/{group}")))
        real(group, number)

    monkeypatch.setattr(os, "killpg", killpg)
    assert await begun.child.wait(10)
    assert begun.child.process.returncode is None, "the status has been collected"
    await asyncio.sleep(0.05)
    await begun.child.stop(0.2, 0.2)
    begun.child.kill()
    begun.child.signal(signal.SIGTERM)
    assert signals == [(signal.SIGKILL, True)]
    assert begun.child.process.returncode == 0
    if leaves:
        left = int(os.read(begun.errors, 100))
        await eventually(lambda: gone(left))
    begun.link.abort()
    os.close(begun.errors)


# Without pidfd_open


@pytest.mark.usefixtures("no_pidfd")
def test_programs_hold_no_threads_that_others_need() -> None:
    """Name look-ups and large BLOBs stood still with as many programs as the default executor has threads."""

    async def run() -> None:
        async with running_server() as server:
            parts = [
                server.add_exdriver(sys.executable, "-c", "import time; time.sleep(60)", restarts=0)
                for _ in range(min(32, (os.cpu_count() or 1) + 4) + 1)
            ]
            await eventually(lambda: all(part.process is not None for part in parts), timeout=20)
            async with asyncio.timeout(10):
                assert await asyncio.to_thread(lambda: 42) == 42
            process = parts[0].process
            os.kill(process.pid, signal.SIGKILL)
            await eventually(lambda: parts[0].process is None)
            assert process.returncode == -signal.SIGKILL

    before = threading.active_count()
    asyncio.run(run())
    for thread in threading.enumerate():
        if thread.name.startswith("wait for"):
            thread.join(5)
    assert threading.active_count() <= before


@pytest.mark.usefixtures("no_pidfd")
@asynchronous
async def test_a_program_is_stopped_without_pidfd_too() -> None:
    async with running_server() as server:
        part = stubborn(server)
        async with seen_by_client(server) as client:
            pid = part.process.pid
            await server.remove(part)
            await client.expect(match("delProperty", device="D"))
            assert gone(pid)


@pytest.mark.usefixtures("no_pidfd")
def test_a_loop_that_is_closed_while_a_program_goes_on() -> None:
    """Its thread finds nobody to tell, and says nothing."""

    async def run() -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True)
        Child(process)
        return process

    with asyncio.run(run()) as process:
        process.communicate(b"\n")
    for thread in threading.enumerate():
        if thread.name == f"wait for {process.pid}":
            thread.join(5)
            assert not thread.is_alive()


# Starting


@linux
@WAYS
@pytest.mark.parametrize("step", range(8))
@asynchronous
async def test_a_start_that_fails_half_way_leaves_nothing(
    step: int, pipes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No descriptors, no memory, no more processes: at each step in turn."""
    steps: Iterator[int] = iter(range(100))
    left: list[int] = []

    def failing(real: Any, error: int) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            if next(steps) == step:
                raise OSError(error, os.strerror(error))
            made = real(*args, **kwargs)
            if hasattr(made, "pid"):
                left.append(made.pid)
            return made

        return call

    before = descriptors()
    with monkeypatch.context() as patch:
        patch.setattr(os, "pipe", failing(os.pipe, errno.EMFILE))
        patch.setattr(
            indipyserver.process.socket, "socketpair", failing(indipyserver.process.socket.socketpair, errno.EMFILE)
        )
        patch.setattr(subprocess, "Popen", failing(subprocess.Popen, errno.EAGAIN))
        patch.setattr(indipyserver.process, "Child", failing(Child, errno.EAGAIN))
        if step < (7 if pipes else 6):  # subprocess has a pipe of its own
            with pytest.raises(OSError, match=r"Too many|unavailable"):
                start("x", "/bin/cat", [], {}, pipes=pipes)
        else:
            begun = start("x", "/bin/cat", [], {}, pipes=pipes)
            assert left
            begun.link.abort()
            os.close(begun.errors)
            await begun.child.stop(5.0, 5.0)
    assert descriptors() == before
    assert all(map(gone, left))


REFUSED: dict[str, tuple[str, list[str], dict[str, Any], str]] = {
    "a directory": ("DIR", [], {}, "it is a directory"),
    "not executable": ("DIR/plain", [], {}, "chmod +x"),
    "no interpreter": ("DIR/text", [], {}, "#! line"),
    "a missing interpreter": ("DIR/orphan", [], {}, "#! line"),
    "no such path": ("DIR/none", [], {}, "there is no such file"),
    "not on PATH": ("no-such-driver", [], {}, "on PATH"),
    "too many arguments": ("/bin/cat", ["x" * 100_000] * 100, {}, "too long"),
    "a large environment": ("/bin/cat", [], {"env": {f"A{n}": "x" * 100_000 for n in range(100)}}, "too long"),
    "a name of other bytes": ("/there/is/no\udcff\x1b[31m", [], {}, "no\\udcff\\x1b"),
}


@pytest.mark.parametrize("case", REFUSED)
@asynchronous
async def test_why_a_program_cannot_be_started_is_told(
    case: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    program, args, options, words = REFUSED[case]
    program = program.replace("DIR", str(tmp_path))
    for name, text, mode in (("text", "no", 0o755), ("plain", "#!/bin/sh\n", 0o644), ("orphan", "#!/no/ne\n", 0o755)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(mode)
    async with running_server(echo_driver("A")) as server, IndiClient(server.port) as client:
        await client.get_properties()
        await client.expect(match("defNumberVector", device="A"))
        before = descriptors()
        part = server.add_exdriver(program, *args, **options)
        message = await client.expect(match("message"))
        assert "cannot be started" in (message.get("message") or "")
        assert part.process is None
        assert descriptors() == before
        await client.settle()
    told = [record for record in caplog.records if "cannot be started" in record.getMessage()]
    assert [record.levelno for record in told] == [logging.ERROR]
    assert words in told[0].getMessage()


@linux
@asynchronous
async def test_what_the_machine_lacks_is_logged_once_and_not_with_each_try(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries = []

    def failing(*args: Any, **kwargs: Any) -> Any:
        tries.append(1)
        if len(tries) < 6:
            raise OSError(errno.EMFILE, "Too many open files")
        return start(*args, **kwargs)

    monkeypatch.setattr(indipyserver.sources.exdriver, "_LACK_TIME", 0.01)
    monkeypatch.setattr(indipyserver.sources.exdriver, "start", failing)
    async with running_server() as server:
        stubborn(server)
        async with seen_by_client(server):
            pass
    assert len(tries) == 6
    assert caplog.text.count("cannot be started at the moment") == 1


class _Unwatching(asyncio.SelectorEventLoop):
    """A loop that watches no descriptors for its users, as the one of Windows."""

    def _no(self, *args: Any) -> Any:
        raise NotImplementedError

    add_reader = remove_reader = add_writer = remove_writer = _no


@pytest.mark.parametrize("lacking", ["killpg", "add_reader"])
def test_where_there_are_no_programs_as_drivers_that_is_said(
    lacking: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from indipyserver.relay.switchboard import Switchboard
    from indipyserver.routing.outbox import OutboxLimits
    from indipyserver.sources.exdriver import ExDriver, Program

    before = descriptors() if os.path.isdir("/proc/self/fd") else set()
    loop: asyncio.AbstractEventLoop = asyncio.SelectorEventLoop()
    if lacking == "killpg":
        monkeypatch.delattr(os, "killpg")
    else:
        loop.close()
        loop = _Unwatching()
    try:
        driver = ExDriver(Switchboard("x"), Program(sys.executable), limits=OutboxLimits())
        loop.run_until_complete(asyncio.wait_for(driver.run(), 5))
    finally:
        loop.close()
    assert "cannot be started" in caplog.text
    assert "POSIX" in caplog.text
    if before:
        assert descriptors() == before


# Ending with the server


WRAPPED = """
import asyncio, sys
from indipyserver import IPyServer

async def main():
    server = IPyServer(host="127.0.0.1", port=0)
    server.add_exdriver("/bin/sh", "-c", sys.argv[1], sys.executable, pipes=sys.argv[2] == "True", restarts=0)
    task = asyncio.create_task(server.asyncrun())
    await server.started.wait()
    print(server.port, flush=True)
    await task

asyncio.run(main())
"""
CHILD = (
    "import os, signal, time\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "print(\"<defTextVector device='D' name='pid' state='Ok' perm='ro'><defText name='p'>%d</defText></defTextVector>\""
    " % os.getpid(), flush=True)\n"
    "time.sleep(60)\n"
)


@linux
@WAYS
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["SIGKILL", "SIGTERM"])
@pytest.mark.parametrize("depth", [1, 2], ids=["behind a script", "behind two scripts"])
@asynchronous
async def test_a_deaf_driver_behind_a_script_does_not_survive_the_server(number: int, depth: int, pipes: bool) -> None:
    """What the kernel kills with its parent is the script alone; the driver does not look at its input."""
    script = f'"$0" -c {_quoted(CHILD)}; true'
    for _ in range(depth - 1):
        script = f'/bin/sh -c {_quoted(script)} "$0"; true'
    with started(sys.executable, "-c", WRAPPED, script, str(pipes)) as program:
        await eventually(program.stdout, timeout=20)
        async with IndiClient(int(program.stdout())) as client:
            await client.get_properties()
            element = await client.expect(match("defTextVector", device="D"), timeout=20)
            pid = int(element[0].text or "")
            assert not gone(pid)
            program.signal(number)
            await program.wait(20)
        await eventually(lambda: gone(pid))


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


@linux
@asynchronous
async def test_a_program_that_closes_all_it_has_inherited_is_served(tmp_path: Path) -> None:
    """And one that starts others, which keep its link open, is found to have ended."""
    program = (
        "import os, subprocess, sys\n"
        "os.closerange(3, 100)\n"
        "os.read(0, 4096)\n"
        "os.write(1, b\"<defLightVector device='D' name='x' state='Ok'/>\")\n"
        "if sys.argv[1:]: subprocess.Popen(['/bin/sleep', '60'], start_new_session=True, close_fds=False); sys.exit(5)\n"
        "os.read(0, 4096)\n"
    )
    async with running_server() as server:
        part = server.add_exdriver(sys.executable, "-c", program, restarts=0)
        async with seen_by_client(server) as client:
            await server.remove(part)
            await client.expect(match("delProperty", device="D"))
            part = server.add_exdriver(sys.executable, "-c", program, "leave", restarts=0)
            await client.expect(lambda e: "given up" in (e.get("message") or ""), timeout=10)
            deleted = await client.expect(match("delProperty", device="D"))
            assert "status 5" in (deleted.get("message") or "")


# Being replaced, and running again


@asynchronous
async def test_a_program_that_is_missing_while_it_is_replaced_comes_back(tmp_path: Path) -> None:
    """A package manager removes the old file before it writes the new one."""
    program = tmp_path / "driver"
    text = (
        f"#!{sys.executable}\nimport os\nos.read(0, 4096)\n"
        "os.write(1, b\"<defLightVector device='D' name='x' state='Ok'/>\")\nos.read(0, 4096)\n"
    )
    program.write_text(text)
    program.chmod(0o755)
    async with running_server() as server:
        part = server.add_exdriver(str(program), restarts=50, backoff=Backoff(0.05, 0.05))
        async with seen_by_client(server) as client:
            program.unlink()
            os.kill(part.process.pid, signal.SIGKILL)
            await client.expect(match("delProperty", device="D"))
            message = await client.expect(lambda e: "cannot be started" in (e.get("message") or ""))
            assert "restarting in" in (message.get("message") or "")
            program.write_text(text)  # not yet executable
            await asyncio.sleep(0.1)
            program.chmod(0o755)
            await client.expect(match("defLightVector", device="D"))
            assert part.restarted >= 2


@linux
@asynchronous
async def test_a_program_that_is_being_written_is_started_when_it_is_complete(tmp_path: Path) -> None:
    program = tmp_path / "driver"
    shutil.copy("/bin/cat", program)
    with program.open("r+b"):  # the kernel executes no file that somebody may change
        async with running_server() as server, IndiClient(server.port) as client:
            await client.get_properties()
            part = server.add_exdriver(str(program), restarts=50, backoff=Backoff(0.05, 0.05))
            message = await client.expect(match("message"))
            assert "restarting in" in (message.get("message") or "")
            assert part.process is None
    async with running_server() as server:
        part = server.add_exdriver(str(program), restarts=50, backoff=Backoff(0.05, 0.05))
        await eventually(lambda: part.process is not None)


@asynchronous
async def test_a_program_is_started_again_wherever_a_driver_has_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was looked for, and looked for its own files, where a driver in this process had gone."""
    said = program_that_finds_its_settings(tmp_path)
    monkeypatch.chdir(tmp_path)
    async with running_server() as server:
        part = server.add_exdriver("./driver", config="settings", backoff=Backoff(0.01, 0.01))
        await eventually(lambda: said.exists() and said.read_text(), timeout=30)
        monkeypatch.chdir("/")
        os.kill(part.process.pid, signal.SIGKILL)
        await eventually(lambda: said.read_text() == f"{tmp_path}\n" * 2, timeout=30)


@pytest.mark.parametrize("options", [{"config": "settings"}, {"config": "settings", "prefix": "its"}])
@asynchronous
async def test_a_program_is_started_where_the_command_was_wherever_a_driver_has_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, str]
) -> None:
    said = program_that_finds_its_settings(tmp_path)
    (tmp_path / "its/bin").mkdir(parents=True)
    (tmp_path / "its/bin/driver").symlink_to(tmp_path / "driver")
    monkeypatch.chdir("/")
    async with running_server() as server:
        server.services.folder = str(tmp_path)
        (part,) = server.services.start("driver" if "prefix" in options else "./driver", **options)
        await eventually(lambda: said.exists() and said.read_text() == f"{tmp_path}\n", timeout=30)
        assert part.label == ("driver driver" if "prefix" in options else "driver ./driver")


@asynchronous
async def test_a_program_is_started_though_the_folder_of_the_start_has_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    async with running_server() as server:
        part = server.add_exdriver("cat")
        await eventually(lambda: part.running, timeout=30)
        other = server.add_exdriver("./cat")
        await eventually(lambda: any("no such file" in line.text for line in other.recent.last(5)), timeout=30)


@asynchronous
async def test_a_program_is_started_in_a_folder_that_only_somebody_else_may_enter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As with `sudo -u somebody` in one's own home: who is there may stay, but could not go there."""
    user = os.geteuid()
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.chdir(folder)
        os.chmod(folder, 0)
        os.seteuid(user or 65534)
        try:
            begun = start("x", "/bin/cat", [], {}, pipes=False, folder=folder)
        finally:
            os.seteuid(user)
        begun.link.abort()
        await begun.child.stop(30, 30)
        os.close(begun.errors)


def program_that_finds_its_settings(folder: Path) -> Path:
    """A program in this folder; returns the file in which it writes where it was started, if its settings are there."""
    program = folder / "driver"
    program.write_text('#!/bin/sh\n[ -f "$INDICONFIG" ] && pwd >> ' + f"'{folder}/said'\nread line\nread line\n")
    program.chmod(0o755)
    (folder / "settings").touch()
    return folder / "said"


@asynchronous
async def test_a_program_that_stays_missing_is_given_up(tmp_path: Path) -> None:
    program = tmp_path / "driver"
    program.write_text("#!/bin/sh\nexit 3\n")
    program.chmod(0o755)
    async with running_server() as server, IndiClient(server.port) as client:
        await client.get_properties()
        server.add_exdriver(str(program), restarts=3, backoff=Backoff(0.1, 0.1))
        await client.expect(lambda e: "status 3" in (e.get("message") or ""))
        program.unlink()
        message = await client.expect(lambda e: "given up after 3 restarts" in (e.get("message") or ""))
        assert "cannot be started" in (message.get("message") or "")


def test_a_second_run_gives_a_program_all_its_restarts_again(caplog: pytest.LogCaptureFixture) -> None:
    backoff = Backoff(0.01, 0.02)
    server = IPyServer(host="127.0.0.1", port=0)
    parts = [server.add_exdriver("/bin/false", restarts=2, backoff=backoff) for _ in range(2)]

    async def run() -> None:
        task = asyncio.create_task(server.asyncrun())
        await eventually(lambda: caplog.text.count("given up") == 2)
        server.shutdown()
        await task

    for _ in range(2):
        caplog.clear()
        asyncio.run(run())
        assert caplog.text.count("; restart ") == 4
        assert [part.restarted for part in parts] == [2, 2]
