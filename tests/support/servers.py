"""Servers and coroutines inside a test."""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from indipyserver import IPyServer

GRACE = 15  # seconds that a server may take to end; its own limit is less


def asynchronous(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Make a test of a coroutine, fixtures and parameters included."""

    @functools.wraps(test)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        asyncio.run(test(*args, **kwargs))

    return wrapper


async def eventually(condition: Callable[[], object], timeout: float = 5, every: float = 0.01) -> None:
    """Wait for something that cannot be awaited; AssertionError after `timeout` seconds."""
    try:
        async with asyncio.timeout(timeout):
            while not condition():
                await asyncio.sleep(every)
    except TimeoutError:
        raise AssertionError(f"{condition} did not become true in {timeout} s") from None


@contextlib.asynccontextmanager
async def running_server(*drivers: Any, **options: Any) -> AsyncIterator[IPyServer]:
    """An IPyServer with these drivers on a free port of loopback; its number is ``server.port``."""
    server = IPyServer(*drivers, host="127.0.0.1", port=0, **options)
    async with running(server):
        yield server


@contextlib.asynccontextmanager
async def running(server: IPyServer) -> AsyncIterator[IPyServer]:
    """A server that has been built already; what makes it fail comes out of here."""

    async def until_started() -> None:
        await server.started.wait()

    task = asyncio.create_task(server.asyncrun())
    waiting = asyncio.create_task(until_started())
    try:
        await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            await task
            raise AssertionError("the server has ended before it was started")
        yield server
    finally:
        waiting.cancel()
        server.shutdown()
        async with asyncio.timeout(GRACE):
            await task


async def quiet(*servers: IPyServer, window: float = 0.25) -> None:
    """Wait for a window in which no element comes from anybody; AssertionError if there is none soon."""
    seen = -1
    for _ in range(20):
        before, seen = seen, sum(peer.received for server in servers for peer in server.board.peers)
        if before == seen:
            return
        await asyncio.sleep(window)
    raise AssertionError(f"never quiet: {seen} elements by now")
