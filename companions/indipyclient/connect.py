"""Links to a server: TCP with or without TLS, or a local socket that passes BLOBs as descriptors."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Final

from indipydriver.protocol.limits import Limits
from indipydriver.transport.link import Link
from indipydriver.transport.stream import StreamLink

from .addresses import Endpoint
from .reaching import local_names

__all__ = ["Connect", "connect"]

Connect = Callable[[], Awaitable[Link]]
"""What makes a link; it raises OSError where there is none."""

HEAD_START: Final = 0.25
"""Seconds that an address of a name has to itself before the next one is tried beside it (RFC 8305)."""


async def connect(
    endpoint: Endpoint,
    *,
    tls: ssl.SSLContext | None = None,
    server_hostname: str | None = None,
    limits: Limits | None = None,
) -> Link:
    """A link to the server, not yet opened.

    Raises:
        OSError: It cannot be reached, or its certificate is not trusted.
    """
    loop = asyncio.get_running_loop()
    label = str(endpoint)
    if endpoint.path:
        return await _connect_local(endpoint.path, label, limits)
    _, link = await loop.create_connection(
        lambda: StreamLink(label, limits),
        endpoint.host,
        endpoint.port,
        ssl=tls,
        server_hostname=server_hostname if tls is not None else None,
        happy_eyeballs_delay=HEAD_START,
    )
    return link


async def _connect_local(path: str, label: str, limits: Limits | None) -> Link:
    names = local_names(path)
    from indipydriver.transport.attached import PassingLink

    loop = asyncio.get_running_loop()
    for last, name in enumerate(names, 1 - len(names)):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            await loop.sock_connect(sock, name)
        except (ConnectionRefusedError, FileNotFoundError) as error:
            sock.close()
            if not last:
                raise type(error)(error.errno, f"nothing listens on {path}") from None
        except BaseException:
            sock.close()
            raise
        else:
            return PassingLink(label, sock, lenient=True, limits=limits)
    raise AssertionError("unreachable")
