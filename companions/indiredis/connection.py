"""One connection to redis that sends a whole transaction at once, and never repeats a command by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from .errors import need
from .logs import Command
from .servers import RedisServer

__all__ = ["RedisLink", "pack"]

TIMEOUT: Final = 5.0
SLOWEST: Final = 1_000_000
"""Bytes a second of a line that is not given up while an image is on its way."""
REPLIES_AT_ONCE: Final = 2000


def pack(commands: Sequence[Command]) -> bytes:
    """The bytes of commands in redis' protocol."""
    pieces: list[bytes] = []
    for command in commands:
        pieces.append(b"*%d\r\n" % len(command))
        for word in command:
            data = word if isinstance(word, bytes) else str(word).encode(errors="surrogateescape")
            pieces.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(pieces)


class RedisLink:
    """A connection; use it with ``async with``.

    Args:
        server: The redis server.
        name: The name of the connection in redis.
    """

    def __init__(self, server: RedisServer, name: str) -> None:
        redis = need("redis.asyncio", "redis")
        retry = need("redis.asyncio.retry", "redis").Retry(need("redis.backoff", "redis").NoBackoff(), 0)
        self.failures = (need("redis.exceptions", "redis").RedisError, OSError)
        self._response_error: type[Exception] = need("redis.exceptions", "redis").ResponseError
        self._broken = False  # or in the middle of something
        self._connection = redis.Connection(
            host=server.host,
            port=server.port,
            db=server.db,
            password=server.password or None,
            client_name=name,
            retry=retry,
            socket_timeout=TIMEOUT,
            socket_connect_timeout=TIMEOUT,
            socket_keepalive=True,
            protocol=2,
        )

    async def __aenter__(self) -> RedisLink:
        await self._connection.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._connection.disconnect(nowait=True)

    async def pipeline(self, commands: Sequence[Command]) -> list[Any]:
        """Run commands in turn; the error of a command takes the place of its reply."""
        replies: list[Any] = []
        for begin in range(0, len(commands), REPLIES_AT_ONCE):
            part = commands[begin : begin + REPLIES_AT_ONCE]
            replies += await self._exchange(pack(part), len(part))
        return replies

    async def transaction(self, commands: Sequence[Command]) -> list[Any]:
        """Run commands as one transaction: nobody sees redis in between, and either all are run or none.

        Returns:
            The replies; the error of a command takes the place of its reply.
        """
        if not commands:
            return []
        data = pack([("MULTI",), *commands, ("EXEC",)])
        *queued, result = await self._exchange(data, len(commands) + 2)
        if isinstance(result, Exception):
            first = next((reply for reply in queued if isinstance(reply, Exception)), result)
            raise first
        return list(result)

    async def _exchange(self, data: bytes, count: int) -> list[Any]:
        connection = self._connection
        if self._broken or not connection.is_connected:  # it would reconnect as if nothing had been lost
            raise ConnectionResetError("the connection to redis was lost")
        self._broken = True
        connection.socket_timeout = TIMEOUT + len(data) / SLOWEST
        await connection.send_packed_command([data], check_health=False)
        replies: list[Any] = []
        for index in range(count):
            try:
                replies.append(await connection.read_response(disconnect_on_error=True))
            except self._response_error as error:
                replies.append(error)
            if index % 256 == 255:
                await asyncio.sleep(0)  # the reader does not suspend while bytes are available
        self._broken = False
        return replies
