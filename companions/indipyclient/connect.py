"""Links to a server: TCP with or without TLS, or a local socket that passes BLOBs as descriptors."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable

from indipydriver.protocol.limits import Limits
from indipydriver.transport.connecting import NameService
from indipydriver.transport.connecting import connect as connect_to
from indipydriver.transport.link import Link
from indipydriver.transport.stream import StreamLink

from .addresses import Endpoint
from .reaching import local_names

__all__ = ["Connect", "connector"]

Connect = Callable[[], Awaitable[Link]]
"""Creates a link; raises OSError if that fails."""


def connector(
    endpoint: Endpoint,
    *,
    tls: ssl.SSLContext | None = None,
    server_hostname: str | None = None,
    limits: Limits | None = None,
) -> Connect:
    """A function that creates links to a server.

    Args:
        endpoint: Where it is.
        tls: What its certificate must fulfil; None: the link is plain.
        server_hostname: The name in its certificate, if it is not that of the endpoint.
        limits: What it may send.
    """
    label = str(endpoint)
    if endpoint.path:
        return lambda: _connect_local(endpoint.path, label, limits)
    names = NameService()

    async def connect() -> Link:
        sock = await connect_to(await names.look_up(endpoint.host, endpoint.port))
        link = StreamLink(label, limits)
        await link.use(sock, endpoint.host, tls, server_hostname)
        return link

    return connect


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
