"""Servers under measurement: each is a process that is started here, on loopback, and ended by its id."""

import contextlib
import json
import os
import resource
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
_GRACE: Final = 3.0
_TICK: Final = os.sysconf("SC_CLK_TCK")


class Failed(Exception):
    """A measurement that did not come to its end; the text says why."""


def free_port() -> int:
    """A port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """One server process: only its own processor time counts, not that of the drivers it has started."""

    def __init__(self, command: list[str], port: int, directory: str, env: dict[str, str] | None = None) -> None:
        self.port = port
        self._log = Path(directory) / "server.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=directory,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def ended(self) -> bool:
        return self.process.poll() is not None

    def cpu(self) -> float:
        """Seconds of processor time so far: of its process clock on Linux, to the nanosecond."""
        pid = self.process.pid
        with contextlib.suppress(OSError):
            return time.clock_gettime((~pid << 3) | 2)
        with contextlib.suppress(OSError, IndexError):
            user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
            return (int(user) + int(system)) / _TICK
        raise Failed(self.last_words() or "the processor time of other processes cannot be read here")

    def memory(self, key: str = "VmHWM") -> float:
        """Resident memory in MB, by default the most it ever was."""
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
                if line.startswith(key):
                    return int(line.split()[1]) * 1024 / 1e6
        return 0.0

    def last_words(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(_GRACE)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()


@dataclass(frozen=True)
class Contender:
    """A server that can be measured.

    Attributes:
        name: What the tables call it.
        program: indiserver, or the Python interpreter that runs server.py.
        path: PYTHONPATH for it.
        loop: The package whose event loop it runs on, or "" for asyncio's own.
    """

    name: str
    program: str
    path: str | None = None
    loop: str = ""

    @property
    def is_python(self) -> bool:
        return Path(self.program).name != "indiserver"

    @contextlib.contextmanager
    def serve(
        self,
        role: str = "",
        *,
        clients: int = 5,
        beside: Sequence[tuple[str, dict[str, Any]]] = (),
        remotes: Sequence[int] = (),
        inside: dict[str, int] | None = None,
        profile: str = "",
        **options: Any,
    ) -> Iterator[Server]:
        """A server with one driver: a process in this role with these options, or one inside the server.

        Args:
            role: What the driver does.
            clients: How many it must take.
            beside: Roles and options of more drivers.
            remotes: Ports of other servers that it serves.
            inside: What the driver inside the server does.
            profile: A file for its profile.
            options: Those of the driver.
        """
        with tempfile.TemporaryDirectory(prefix="indi-bench-") as directory:
            port = free_port()
            roles = [(role, options), *beside] if role else beside
            drivers = [_driver_program(directory, number, *one) for number, one in enumerate(roles)]
            env = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
            if self.is_python:
                config = {"port": port, "clients": clients, "drivers": drivers, "remotes": remotes}
                config |= {"profile": profile, "loop": self.loop, **(inside or {})}
                command = [self.program, "-P", str(Path(__file__).with_name("server.py")), json.dumps(config)]
                if self.path is not None:
                    env["PYTHONPATH"] = self.path
            else:
                command = [self.program, "-p", str(port), "-u", f"{directory}/socket", "-r", "0", *drivers]
                command += [f"@127.0.0.1:{remote}" for remote in remotes]
            server = Server(command, port, directory, env)
            try:
                yield server
            finally:
                server.stop()


def _driver_program(directory: str, number: int, role: str, options: dict[str, Any]) -> str:
    """The path of a program that runs driver.py: not every server passes arguments on."""
    words = [sys.executable, "-S", "-m", "tests.bench.driver", role]
    words += [f"--{key}={value}" for key, value in options.items()]
    path = Path(directory) / f"bench_driver_{number}"
    path.write_text(f"#!/bin/sh\ncd {shlex.quote(str(ROOT))} && exec {shlex.join(words)}\n")
    path.chmod(0o755)
    return str(path)


def ours() -> Contender:
    """This checkout, run by this interpreter."""
    return Contender("ours", sys.executable, str(ROOT))


def allow_files(count: int) -> None:
    """Raise the limit of open files, of this process and those that it starts, if it is lower than this.

    Raises:
        Failed: It cannot be raised so far.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (count, max(hard, count)))
        except (ValueError, OSError):
            raise Failed(f"{count} open files are needed, and {hard} are allowed") from None


def contender(text: str) -> Contender:
    """What --against names: "indiserver", NAME=PYTHON, or uvloop=PYTHON for this checkout on that event loop.

    Raises:
        ValueError: It is not there.
    """
    name, _, python = text.partition("=")
    program = shutil.which(python or name)
    if program is None or (not python and name != "indiserver"):
        raise ValueError(f"{text!r} is neither an installed indiserver nor NAME=PYTHON")
    if name == "uvloop":
        return Contender(name, program, str(ROOT), loop=name)
    return Contender(name, program)
