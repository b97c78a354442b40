"""Serves a recording on an ``IPyServer``, for example for tests of clients."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import Iterator

from .files import Recording

__all__ = ["replayed", "serve"]


async def serve(
    path: str | os.PathLike[str],
    *,
    host: str = "127.0.0.1",
    port: int = 7624,
    speed: float = 1.0,
    loop: bool = False,
    started: threading.Event | asyncio.Event | None = None,
    told: list[int] | None = None,
    stop: asyncio.Event | None = None,
) -> None:
    """Serve a recording until it is cancelled, or `stop` is set.

    Args:
        path: The recording.
        host: The address to listen on.
        port: The port; 0 for any.
        speed: Seconds of the recording per second.
        loop: Begin again at the end.
        started: Set when clients can connect.
        told: Receives the port.
        stop: Ends it.

    Raises:
        ValueError: It is not a recording, or the speed is not above 0.
        OSError: It cannot be read, or the port is taken.
    """
    from indipyserver import IPyServer  # the only part that needs it

    recording = Recording(path)  # to fail here, and not in the driver
    if not speed > 0:
        raise ValueError(f"the speed must be above 0, not {speed}")
    server = IPyServer(host=host, port=port)
    server.add_exdriver(sys.executable, *_player(recording, speed, loop), env={"PYTHONPATH": _paths()})
    running = asyncio.create_task(server.asyncrun())
    waiting = [asyncio.create_task(server.started.wait())]
    try:
        await asyncio.wait([running, *waiting], return_when=asyncio.FIRST_COMPLETED)
        if not running.done():
            if told is not None:
                told.append(server.port)
            if started is not None:
                started.set()
            if stop is not None:
                waiting.append(asyncio.create_task(stop.wait()))
                await asyncio.wait([running, waiting[-1]], return_when=asyncio.FIRST_COMPLETED)
        if not running.done() and stop is not None:
            server.shutdown()
        await running
    finally:
        server.shutdown()
        for task in waiting:
            task.cancel()
        await asyncio.gather(running, *waiting, return_exceptions=True)


def _player(recording: Recording, speed: float, loop: bool) -> list[str]:
    """The arguments of Python for the driver that plays it."""
    path = str(recording.path.resolve())
    return ["-m", "indipyclient.recording.player", path, repr(speed), *["loop"] * loop]


def _paths() -> str:
    """Where this process found its packages, the player finds them."""
    return os.pathsep.join(entry for entry in map(os.path.abspath, sys.path) if os.path.isdir(entry))


@contextlib.contextmanager
def replayed(path: str | os.PathLike[str], *, speed: float = 1.0, loop: bool = False) -> Iterator[int]:
    """Serve a recording on a free port of this machine as long as the block runs; gives the port.

    It runs in a thread, so it serves tests with and without ``async``.

    Args:
        path: The recording.
        speed: Seconds of the recording per second.
        loop: Begin again at the end.

    Raises:
        ValueError: It is not a recording.
        OSError: It cannot be read.
    """
    events = asyncio.new_event_loop()
    stop = asyncio.Event()
    started = threading.Event()
    told: list[int] = []
    failed: list[BaseException] = []

    def run() -> None:
        asyncio.set_event_loop(events)
        try:
            events.run_until_complete(
                serve(path, port=0, speed=speed, loop=loop, started=started, told=told, stop=stop)
            )
        except BaseException as error:
            failed.append(error)
        finally:
            started.set()
            events.close()

    thread = threading.Thread(target=run, name=f"replay of {path}", daemon=True)
    thread.start()
    started.wait()
    if failed:
        thread.join()
        raise failed[0]
    try:
        yield told[0]
    finally:
        with contextlib.suppress(RuntimeError):  # it has ended by itself
            events.call_soon_threadsafe(stop.set)
        thread.join()
