"""Records what a server sends while a client is connected."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from indipydriver.protocol.tags import BlobMode, VectorKind

from ..client import Client
from ..model.model import What
from ..streams import Lost
from ..waiting import within
from .files import FLUSH_EVERY, Writer
from .form import LinkChange
from .player import definition

__all__ = ["record"]

WAITING = 100_000
"""Messages that may wait for the disk."""


async def record(
    client: Client,
    path: str | os.PathLike[str],
    *,
    blobs: bool = False,
    duration: float | None = None,
    progress: Callable[[Writer], None] = lambda writer: None,
) -> Writer:
    """Record the present values, and then everything that the server sends, until `duration` is over.

    Args:
        client: A connected client.
        path: The file, which must not exist yet; BLOBs go to a folder beside it, which must be empty.
        blobs: Ask for the BLOBs of all devices, and record them.
        duration: Seconds; None until it is cancelled or the client is closed.
        progress: Called from time to time.

    Returns:
        What was written.

    Raises:
        OSError: It cannot be written.
    """
    loop = asyncio.get_running_loop()
    with_blobs: set[str] = set()
    writer = Writer(path, str(client.endpoint))
    tap = client.tap(limit=WAITING, limit_bytes=512 << 20)
    began = loop.time()
    beside = (
        loop.create_task(_watch_link(client, lambda up: writer.add(loop.time() - began, LinkChange(up)))),
        loop.create_task(_flush(writer)),
    )
    for task in beside:
        task.add_done_callback(lambda _: tap.close())  # it cannot be written any more
    try:
        for prop in list(client.model):
            if not client.is_stale(prop):
                writer.add(0.0, definition(prop))
                if blobs and prop.kind is VectorKind.BLOB and prop.device not in with_blobs:
                    with_blobs.add(prop.device)
                    await client.enable_blobs(prop.device, None, BlobMode.ALSO)
        async with within(duration):
            while True:
                try:
                    change = await tap.next()
                except StopAsyncIteration:
                    break
                now = loop.time() - began
                if isinstance(change, Lost):
                    writer.lost += change.count
                    continue
                writer.add(now, change.message)
                progress(writer)
                if blobs and change.what is What.DEFINED and change.prop is not None:
                    prop = change.prop
                    if prop.kind is VectorKind.BLOB and prop.device not in with_blobs:
                        with_blobs.add(prop.device)
                        await client.enable_blobs(prop.device, None, BlobMode.ALSO)
    finally:
        failed = [task.exception() for task in beside if task.done() and not task.cancelled()]
        for task in beside:
            task.cancel()
        tap.close()
        writer.close()
        await asyncio.gather(*beside, return_exceptions=True)
    for error in filter(None, failed):
        raise error
    return writer


async def _flush(writer: Writer) -> None:
    """Runs even if nothing more is received."""
    while True:
        writer.flush()
        await asyncio.sleep(FLUSH_EVERY)


async def _watch_link(client: Client, tell: Callable[[bool], None]) -> None:
    while True:
        await client.wait_link(False)
        tell(False)
        if not await client.wait_link(True):  # the client has ended
            return
        tell(True)
