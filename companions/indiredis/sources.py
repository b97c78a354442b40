"""Where instruments come from: an INDI server on the network, or driver programs that are run here."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import secrets
import shutil
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any, Final

from indipyclient.addresses import Endpoint
from indipyclient.client import Client
from indipyclient.connect import Connect, connector
from indipyclient.model.model import Model
from indipyclient.reconnect import LinkState, Retry, Status
from indipydriver.protocol.messages import AnyMessage

from .errors import BridgeError
from .servers import IndiServer

__all__ = ["Driver", "OnMessage", "OnStatus", "client_of", "driver_hub", "link_texts", "server_client"]

logger = logging.getLogger("indiredis")

Driver = str | Sequence[str] | object
"""A program, a program with its arguments, or an IPyDriver."""
OnStatus = Callable[[Status, list[str]], None]
OnMessage = Callable[[AnyMessage], None]
LONGEST_WAIT: Final = 5.0


def link_texts(before: Status | None, status: Status, where: str) -> list[str]:
    """The messages about changes of a link; a failure that persists is reported once."""
    if status.state is LinkState.READY:
        return [f"Connected to {where}"]
    if status.state is LinkState.LOST and (before is None or before.reason != status.reason):
        word = "refused" if status.reason.startswith("nothing listens") else "failed"
        return [f"Connection {word} on {where}, re-trying..."]
    return []


def client_of(
    connector: Connect,
    endpoint: Endpoint,
    on_status: OnStatus,
    on_message: OnMessage | None = None,
    *,
    idle: float = math.inf,
    texts: bool = True,
) -> Client:
    """A client that keeps no BLOBs, reconnects quickly, and reports changes of its link.

    Args:
        connector: Creates the link.
        endpoint: Where the other end is, for messages.
        on_status: Called when the link has come or gone, with human-readable texts.
        on_message: Called with each message.
        idle: Seconds of silence after which the other end is tested.
        texts: Whether there are such texts.
    """
    client = Client(connect=connector, retry=Retry(0.5, 1.8, LONGEST_WAIT), idle=idle)
    client.endpoint = endpoint
    client.model = Model(keep_blobs=False)
    last: Status | None = None

    def changed(status: Status) -> None:
        nonlocal last
        if status.state is LinkState.CONNECTING:
            return
        before, last = last, status
        found = link_texts(before, status, str(endpoint)) if texts else []
        for text in found:
            logger.info("%s", text)
        on_status(status, found)

    client.on_status = changed
    client.on_message = on_message
    return client


def server_client(server: IndiServer, on_status: OnStatus, on_message: OnMessage | None = None) -> Client:
    """A client for an INDI server."""
    endpoint = Endpoint(server.host, server.port)
    return client_of(connector(endpoint), endpoint, on_status, on_message, idle=20.0)


def _program(driver: Driver) -> tuple[str, list[str]]:
    words = [driver] if isinstance(driver, str) else [str(word) for word in driver]  # type: ignore[attr-defined]
    if not words:
        raise BridgeError("a driver without a name")
    return words[0], words[1:]


@contextlib.asynccontextmanager
async def driver_hub(
    drivers: Driver | Iterable[Driver], on_status: OnStatus, on_message: OnMessage | None = None
) -> AsyncIterator[Client]:
    """Run drivers, and a client for them.

    A server in this process runs them: it restarts programs that end, reads their standard error, lets drivers
    snoop on each other, and passes BLOBs only to those who want them.

    Args:
        drivers: Programs, programs with arguments, or IPyDrivers; or a single one of these.
        on_status: As for :func:`client_of`.
        on_message: As for :func:`client_of`.

    Raises:
        FileNotFoundError: There is no such program.
    """
    from indipyserver import IPyServer, bind_unix

    alone = isinstance(drivers, str) or hasattr(drivers, "serve")
    wanted: list[Any] = [drivers] if alone else [*drivers]  # type: ignore[misc]
    if not wanted:
        raise BridgeError("there are no drivers to run")
    programs = [_program(driver) for driver in wanted if not hasattr(driver, "serve")]
    for program, _ in programs:
        if shutil.which(program) is None:
            raise FileNotFoundError(2, "there is no such program", program)
    name = f"/tmp/indiredis-{os.getpid()}-{secrets.token_hex(8)}"
    server = IPyServer(host=(), unix_socket=bind_unix(name))
    for driver in wanted:
        if hasattr(driver, "serve"):
            server.add_driver(driver)
    for program, arguments in programs:
        server.add_exdriver(program, *arguments)
    running = asyncio.create_task(server.asyncrun(), name="the drivers")
    try:
        await asyncio.wait(
            [running, starting := asyncio.ensure_future(server.started.wait())], return_when=asyncio.FIRST_COMPLETED
        )
        starting.cancel()
        if running.done():
            await running
        for program, _ in programs:
            logger.info("Driver %s started", program)
        endpoint = Endpoint("", 0, name)
        yield client_of(connector(endpoint), endpoint, on_status, on_message, texts=False)
    finally:
        server.shutdown()
        await asyncio.wait([running], timeout=10)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
