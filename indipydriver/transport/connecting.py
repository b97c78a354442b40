"""How another machine is reached by its name: all its addresses are tried, and none can hold up the others."""

from __future__ import annotations

import asyncio
import concurrent.futures
import errno
import socket
import threading
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import Any, Final, TypeAlias

from .forked import ours_only
from .sockets import tune_socket

__all__ = ["AddressInfo", "NameService", "connect"]

HEAD_START: Final = 0.25
"""Seconds that an address has to itself before the next one is tried beside it (RFC 8305)."""
MAX_ADDRESSES: Final = 16
"""Addresses of one name that are tried: all are under way after 4 s."""

AddressInfo: TypeAlias = tuple[int, int, int, str, Any]
"""What :func:`socket.getaddrinfo` gives for one address."""


class NameService:
    """Looks up names, in a thread that nobody waits for when the process ends.

    An executor's threads are waited for, and an unanswered look-up takes as long as the system's resolver likes.
    One look-up of a name runs at a time: whoever asks again meanwhile gets the same answer.
    """

    def __init__(self) -> None:
        self._running: concurrent.futures.Future[list[AddressInfo]] | None = None

    async def look_up(self, host: str, port: int) -> list[AddressInfo]:
        """All addresses of a host.

        Raises:
            OSError: There is none, or none can be found.
            ValueError: It cannot be the name of a host.
        """
        future = self._running
        if future is None:
            future = self._running = concurrent.futures.Future()
            future.set_running_or_notify_cancel()  # the caller may give up, but the look-up cannot be cancelled
            try:
                threading.Thread(target=_look_up, args=(future, host, port), name=f"{host}?", daemon=True).start()
            except RuntimeError as error:
                self._running = None
                raise OSError(errno.EAGAIN, f"no thread: {error}") from error
        try:
            return await asyncio.wrap_future(future)
        finally:
            if future.done():
                self._running = None


def _look_up(future: concurrent.futures.Future[list[AddressInfo]], host: str, port: int) -> None:
    try:
        future.set_result(list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))
    except Exception as error:
        future.set_exception(error)


async def connect(addresses: Sequence[AddressInfo]) -> socket.socket:
    """A connection to the first address that answers; each has a head start before the next one.

    Args:
        addresses: Best first.

    Raises:
        OSError: None can be reached.
    """
    waiting = _alternating(addresses)
    tasks: list[asyncio.Task[socket.socket]] = []
    won: asyncio.Task[socket.socket] | None = None
    try:
        while waiting or not all(task.done() for task in tasks):
            if waiting:
                tasks.append(asyncio.ensure_future(_connect(waiting.pop(0))))
            under_way = [task for task in tasks if not task.done()]
            if under_way:  # with eager tasks one may have failed already
                await asyncio.wait(
                    under_way, timeout=HEAD_START if waiting else None, return_when=asyncio.FIRST_COMPLETED
                )
            won = next(filter(_has_connected, tasks), None)
            if won is not None:
                return won.result()
        raise _plainest([task.exception() for task in tasks])
    finally:
        for task in tasks:
            if task is not won and not task.cancel() and _has_connected(task):
                task.result().close()


def _has_connected(task: asyncio.Task[socket.socket]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None


async def _connect(info: AddressInfo) -> socket.socket:
    family, kind, proto, _, address = info
    sock = ours_only(socket.socket(family, kind, proto))
    try:
        tune_socket(sock)
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


def _alternating(addresses: Iterable[AddressInfo]) -> list[AddressInfo]:
    """Each address once, the families in turn, beginning with that of the first."""
    families: dict[int, list[AddressInfo]] = {}
    for info in dict.fromkeys(addresses):
        families.setdefault(info[0], []).append(info)
    turns = zip_longest(*families.values())
    return [info for turn in turns for info in turn if info is not None][:MAX_ADDRESSES]


def _plainest(errors: Iterable[BaseException | None]) -> BaseException:
    """The most telling error: a machine that refuses exists; otherwise the error of the best address."""
    found = [error for error in errors if error is not None]
    refused = next((error for error in found if isinstance(error, ConnectionRefusedError)), None)
    return refused or (found[0] if found else OSError(errno.EADDRNOTAVAIL, "the name has no address"))
