"""Programs that tests run, and end: only those they have started themselves."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest

ROOT = Path(__file__).parents[2]


def require(program: str) -> str:
    """Path of a program; where there is none the test is skipped (in CI it fails: see conftest.py)."""
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is not installed")
    return path


def free_port() -> int:
    """A port that nobody listened on a moment ago, for programs that cannot say which one they took."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def environment(**changes: str) -> dict[str, str]:
    """This process's, with the interpreter that runs the tests first on PATH and nothing buffered."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    return {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1", **changes}


@dataclass(frozen=True)
class Finished:
    """What a program left behind."""

    returncode: int
    stdout: str
    stderr: str


async def run(*command: str, timeout: float = 20, **options: Any) -> Finished:
    """Run a program to its end; AssertionError when it takes longer than `timeout` seconds."""
    with started(*command, **options) as program:
        await program.wait(timeout)
        return Finished(program.process.returncode, program.stdout(), program.stderr())


class Program:
    """A program under way; its output goes to files, so that it never waits for a reader."""

    def __init__(self, process: "subprocess.Popen[bytes]", out: IO[bytes], err: IO[bytes]) -> None:
        self.process = process
        self._out, self._err = out, err

    @property
    def pid(self) -> int:
        return self.process.pid

    def stdout(self) -> str:
        """All it has written to its standard output so far."""
        return self._read(self._out)

    def stderr(self) -> str:
        """All it has written to its standard error so far."""
        return self._read(self._err)

    @staticmethod
    def _read(file: IO[bytes]) -> str:
        # The program writes at the position of the same open file: read without moving it.
        return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode(errors="replace")

    def signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        self.process.send_signal(number)

    def interrupt(self) -> None:
        """What Ctrl-C does."""
        self.signal(signal.SIGINT)

    async def wait(self, timeout: float = 10) -> int:
        """Its exit status; AssertionError when it takes longer than `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                while self.process.poll() is None:
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise AssertionError(
                f"{self.process.args} has not ended in {timeout} s; it wrote\n{self.stdout()}\n{self.stderr()}"
            ) from None
        assert self.process.returncode is not None
        return self.process.returncode

    def children(self) -> list[int]:
        """Processes that it has started and that are still there (Linux)."""
        found: list[int] = []
        for task in Path(f"/proc/{self.pid}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                found += map(int, task.read_text().split())
        return found


@contextlib.contextmanager
def started(
    *command: str, cwd: Path | str | None = None, stdin: Any = subprocess.DEVNULL, **env: str
) -> Iterator[Program]:
    """A program that runs as long as the block, in a process group of its own that ends with it.

    Args:
        command: The program and its arguments.
        cwd: Where it runs; else here.
        stdin: As for subprocess; nothing unless given.
        env: Changes to the environment.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(
            command, cwd=cwd, stdin=stdin, stdout=out, stderr=err, env=environment(**env), start_new_session=True
        )
        try:
            yield Program(process, out, err)
        finally:
            with contextlib.suppress(ProcessLookupError):  # also what it has left behind in its group
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if process.stdin:
                with contextlib.suppress(OSError):
                    process.stdin.close()


def gone(pid: int) -> bool:
    """The process has ended, though nobody may have collected its status yet (Linux)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (OSError, IndexError):
        return True


async def wait_for_port(port: int, program: Program, timeout: float = 15) -> None:
    """Wait until the program accepts connections; AssertionError when it ends or takes too long."""
    try:
        async with asyncio.timeout(timeout):
            while True:
                if program.process.poll() is not None:
                    raise AssertionError(f"{program.process.args} has ended:\n{program.stdout()}\n{program.stderr()}")
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    await writer.wait_closed()
                    return
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"{program.process.args} does not listen on {port}:\n{program.stderr()}") from None


@contextlib.asynccontextmanager
async def serving(*command: str, port: int, **options: Any) -> AsyncIterator[Program]:
    """A program that serves `port`, ready to be connected to."""
    with started(*command, **options) as program:
        await wait_for_port(port, program)
        yield program
