"""Links to a server: TCP with or without TLS, or a local socket that passes BLOBs as descriptors."""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
from collections.abc import Awaitable, Callable
from typing import Final

from indipydriver.protocol.limits import Limits
from indipydriver.transport.link import Link
from indipydriver.transport.stream import StreamLink

from .addresses import Endpoint

__all__ = ["CONNECT_TIMEOUT", "Connect", "connect", "describe", "tls_context"]

Connect = Callable[[], Awaitable[Link]]
"""What makes a link; it raises OSError where there is none."""

CONNECT_TIMEOUT: Final = 10.0
HEAD_START: Final = 0.25
"""Seconds that an address of a name has to itself before the next one is tried beside it (RFC 8305)."""


def tls_context(tls: bool | ssl.SSLContext | None) -> ssl.SSLContext | None:
    """True stands for the certificates that this machine trusts."""
    if tls is True:
        return ssl.create_default_context()
    return tls or None


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
    if not hasattr(socket, "AF_UNIX"):
        raise OSError(f"{path}: there are no local sockets on this system")
    from indipydriver.transport.attached import PassingLink

    loop = asyncio.get_running_loop()
    # libindi 1.9.9 listens in the abstract space on Linux, where there is no file.
    names = ["\0" + path, path] if sys.platform.startswith("linux") else [path]
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


def describe(error: BaseException, endpoint: Endpoint) -> str:
    """Why there is no link, in words that say what to do about it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate of {endpoint} is not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"{endpoint} does not speak TLS, or not ours: {error.reason or error}"
    if isinstance(error, socket.gaierror):
        return f"no host {endpoint.host!r}: {error.strerror}"
    if isinstance(error, ConnectionRefusedError):
        return f"nothing listens on {endpoint}: is the server running?"
    if isinstance(error, TimeoutError):
        return f"{endpoint} does not answer"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return f"{endpoint}: {text}"
