"""A server in a process of its own, to be treated badly and looked at from outside (Linux).

    async with victim(maxconnections=4) as server:
        async with IndiClient(server.port) as client: ...
        assert server.memory() < 60

It serves an Echo with the devices A and B, unless told otherwise.
"""

import asyncio
import contextlib
import json
import logging
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from .programs import ROOT, Program, started

MIB = 1 << 20


class Victim:
    """The server, seen from outside."""

    def __init__(self, program: Program, ports: list[int]) -> None:
        self.program = program
        self.port, *self.more_ports = ports

    @property
    def pid(self) -> int:
        return self.program.pid

    @property
    def alive(self) -> bool:
        return self.program.process.poll() is None

    def _status(self, key: str) -> int:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(key + ":"):
                return int(line.split()[1])
        raise KeyError(key)

    def memory(self) -> float:
        """MiB resident now."""
        return self._status("VmRSS") / 1024

    def peak(self) -> float:
        """MiB resident at most, since the start."""
        return self._status("VmHWM") / 1024

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def cpu(self) -> float:
        """Seconds of CPU used so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100

    async def tasks_and_peers(self) -> tuple[int, int]:
        """How many asyncio tasks and peers it has now."""
        pattern = r"tasks (\d+) peers (\d+)\n"
        before = len(re.findall(pattern, self.log))
        self.program.signal(signal.SIGUSR2)
        async with asyncio.timeout(10):
            while len(found := re.findall(pattern, self.log)) == before:
                await asyncio.sleep(0.01)
        return int(found[-1][0]), int(found[-1][1])

    @property
    def log(self) -> str:
        return self.program.stderr()


@contextlib.asynccontextmanager
async def victim(**options: Any) -> AsyncIterator[Victim]:
    """A running server; the options are those of `serve`."""
    with started(sys.executable, "-m", "tests.support.victim", json.dumps(options), cwd=ROOT) as program:
        async with asyncio.timeout(20):
            while not program.stdout().endswith("\n"):
                if program.process.poll() is not None:
                    raise AssertionError(f"the server has ended:\n{program.stderr()}")
                await asyncio.sleep(0.01)
        yield Victim(program, json.loads(program.stdout()))


async def serve(
    *,
    devices: list[str] | None = None,
    nofile: int | None = None,
    outbox: dict[str, int] | None = None,
    client_limits: dict[str, int] | None = None,
    exdrivers: list[list[str]] | None = None,
    driver_options: dict[str, Any] | None = None,
    first_wait: float = 0.05,
    remotes: list[int] | None = None,
    remotes_blob: bool = True,
    listeners: list[dict[str, Any]] | None = None,
    log_dir: str | None = None,
    executed_dir: str | None = None,
    **options: Any,
) -> None:
    """What runs in the process; prints the ports as a JSON list when clients can connect."""
    from indipydriver.protocol.framer import Limits
    from indipyserver import IPyServer
    from indipyserver.observers.messagelog import MessageLog
    from indipyserver.routing.outbox import OutboxLimits
    from indipyserver.sources.backoff import Backoff

    from .drivers import echo_driver

    if nofile is not None:
        import resource

        resource.setrlimit(resource.RLIMIT_NOFILE, (nofile, nofile))
    if client_limits is not None:
        options["client_limits"] = Limits(**client_limits)
    names = ["A", "B"] if devices is None else devices
    drivers = [echo_driver(*names)] if names else []
    for driver in drivers:
        driver.log_dir = executed_dir
    server = IPyServer(*drivers, host="127.0.0.1", port=0, limits=OutboxLimits(**(outbox or {})), **options)
    for command in exdrivers or []:
        server.add_exdriver(*command, backoff=Backoff(first_wait, 1.0), **(driver_options or {}))
    for port in remotes or []:
        server.add_remote("127.0.0.1", port, blob_enable=remotes_blob, backoff=Backoff(first_wait, 0.5))
    entrances = [server.add_listener("127.0.0.1", 0, **each) for each in listeners or []]
    if log_dir is not None:
        server.add_observer(MessageLog(log_dir))
    task = asyncio.ensure_future(server.asyncrun())
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(
        signal.SIGUSR2,
        lambda: logging.getLogger("victim").info(
            "tasks %d peers %d", len(asyncio.all_tasks()), len(server.board.peers)
        ),
    )
    waiting = asyncio.ensure_future(server.started.wait())
    await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
    sys.stdout.write(json.dumps([server.port, *(entrance.port for entrance in entrances)]) + "\n")
    sys.stdout.flush()
    await task


if __name__ == "__main__":
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    asyncio.run(serve(**json.loads(sys.argv[1])))
