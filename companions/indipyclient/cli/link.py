"""The client and its event loop, for verbs that stay connected."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from ..client import Client
from .outcome import Status, say, told
from .server import QUIET, endpoint_of, patterns_of, tls_of

__all__ = ["QUIET", "Status", "client_of", "ended_by_sigterm", "patterns_of", "run", "say"]


def client_of(options: argparse.Namespace, *, reconnect: bool = False, history: int = 0) -> Client:
    """The client that the options describe.

    Raises:
        ValueError: The address is invalid.
        OSError: A certificate cannot be read.
    """
    return Client(str(endpoint_of(options)), tls=tls_of(options), history=history, reconnect=reconnect)


@contextlib.contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """The signal cancels the block, and that is no error."""
    task = asyncio.current_task()
    assert task is not None
    told: list[bool] = []

    def end() -> None:
        told.append(task.cancel())

    with contextlib.suppress(NotImplementedError):  # of an event loop without signals
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end)
    try:
        yield
    except asyncio.CancelledError:
        if not told:
            raise
        for _ in told:
            task.uncancel()


def run(work: Callable[[], Coroutine[Any, Any, int]]) -> int:
    """Run it, and turn errors into a line and a status."""
    return told(lambda: asyncio.run(work()))
