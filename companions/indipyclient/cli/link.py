"""The client and its event loop, for verbs that stay connected."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from ..client import Client
from .outcome import Status, say, told
from .server import QUIET, endpoint_of, patterns_of, tls_of

__all__ = ["QUIET", "Status", "client_of", "patterns_of", "run", "say"]


def client_of(options: argparse.Namespace, *, reconnect: bool = False, history: int = 0) -> Client:
    """The client that the options describe.

    Raises:
        ValueError: The address is invalid.
        OSError: A certificate cannot be read.
    """
    return Client(str(endpoint_of(options)), tls=tls_of(options), history=history, reconnect=reconnect)


def run(work: Callable[[], Coroutine[Any, Any, int]]) -> int:
    """Run it, and turn errors into a line and a status."""
    return told(lambda: asyncio.run(work()))
