"""The process of one server of the soak; what is served and planted comes as JSON."""

import asyncio
import contextlib
import ctypes
import json
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from tests.support.certificates import certificates
from tests.support.faults import echo_program
from tests.support.programs import ROOT, started
from tests.support.victim import Victim

PLANTS = ("swap", "mix", "drop command", "drop picture", "twice", "rights", "descriptors", "tasks")
"""Faults that can be planted in a server, to see that they are noticed."""


@contextlib.asynccontextmanager
async def served(**options: Any) -> AsyncIterator[Victim]:
    """A server in a process of its own; its ports are those of the server and then of its listeners."""
    options["certificates"] = str(certificates())
    with started(sys.executable, "-m", "tests.soak.server", json.dumps(options), cwd=ROOT) as program:
        async with asyncio.timeout(30):
            while not program.stdout().endswith("\n"):
                if program.process.poll() is not None:
                    raise AssertionError(f"the server has ended:\n{program.stderr()}")
                await asyncio.sleep(0.01)
        yield Victim(program, json.loads(program.stdout()))


async def serve(
    *,
    certificates: str,
    directory: str,
    echoes: list[str],
    echo_programs: list[str],
    cameras: list[str],
    camera_programs: list[str],
    snoopers: list[tuple[str, list[str], list[str]]],
    snooper_programs: list[tuple[str, list[str]]],
    remotes: list[tuple[int, bool]],
    listeners: list[dict[str, Any]],
    unix_socket: str,
    plant: str = "",
) -> None:
    from indipyserver import IPyServer
    from indipyserver.certificates import client_context, server_context
    from indipyserver.sources.backoff import Backoff
    from tests.support.drivers import echo_driver

    from .drivers import Camera, Snooper

    logger = logging.getLogger("soak")
    keys = Path(certificates)
    tls = server_context(keys / "server.pem", keys / "server.key")
    echo = echo_driver(*echoes)
    echo.log_dir = directory
    drivers = [echo, *(Camera(name, directory) for name in cameras), *(Snooper(*each) for each in snoopers)]
    server = IPyServer(*drivers, host="127.0.0.1", port=0, maxconnections=250, unix_socket=unix_socket)
    here = [sys.executable, "-u", "-m", "tests.soak.programs"]
    commands = [echo_program(device, f"{directory}/{device}") for device in echo_programs]
    commands += [[*here, "camera", device, directory] for device in camera_programs]
    commands += [[*here, "snooper", device, directory, *watched] for device, watched in snooper_programs]
    for command in commands:
        server.add_exdriver(*command, backoff=Backoff(0.05, 1.0), restarts=1_000_000)
    for port, encrypted in remotes:
        context = client_context(keys / "ca.pem") if encrypted else None
        server.add_remote("127.0.0.1", port, blob_enable=True, backoff=Backoff(0.05, 0.5), ssl=context)
    entrances = []
    for each in listeners:
        context = tls if each.pop("tls", False) else None
        entrances.append(server.add_listener("127.0.0.1", 0, ssl=context, **each))
    loop = asyncio.get_running_loop()

    def tell() -> None:
        with contextlib.suppress(OSError, AttributeError):  # glibc only: what is free is no growth
            ctypes.CDLL(None).malloc_trim(0)
        logger.info("tasks %d peers %d", len(asyncio.all_tasks()), len(server.board.peers))

    loop.add_signal_handler(signal.SIGUSR2, tell)
    if plant:
        from .plants import plant_fault

        plant_fault(plant, server)
    task = asyncio.ensure_future(server.asyncrun())
    waiting = asyncio.ensure_future(server.started.wait())
    await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
    sys.stdout.write(json.dumps([server.port, *(entrance.port for entrance in entrances)]) + "\n")
    sys.stdout.flush()
    await task


if __name__ == "__main__":
    os.environ.setdefault("PYTHONPATH", str(ROOT))  # for the programs
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    asyncio.run(serve(**json.loads(sys.argv[1])))
