"""Where the web server listens: addresses as users write them, and sockets."""

from __future__ import annotations

import errno
import ipaddress
import re
import socket
from typing import Final

__all__ = ["LOOPBACK", "NoAddress", "listen", "manager_address", "plain_host", "problem_of", "shown"]

LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
MANAGER: Final = 8624
"""The port of INDI Web Manager."""
_ABSENT: Final = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


class NoAddress(OSError):
    """It is not an address of this machine, at least at present."""


def plain_host(text: str) -> str:
    """An address without the brackets of IPv6."""
    text = text.strip()
    return text[1:-1] if text.startswith("[") and text.endswith("]") else text


def shown(host: str) -> str:
    """An address as it is written before a port."""
    return f"[{host}]" if ":" in host else host


def manager_address(text: str) -> tuple[str, int]:
    """Host and port of ``8624``, ``HOST``, ``HOST:8624`` and ``[::1]:8624``; port 0 for a free one.

    Raises:
        ValueError: It is none of these.
    """
    text = text.strip()
    match = re.fullmatch(r"(\[[^\[\]\s]+\]|[^:\[\]\s]*)(?::([^:]*))?", text)
    host, port = (match[1], match[2]) if match is not None else (text, None)
    if text.isdecimal():
        host, port = "", text
    elif match is None and not _is_ipv6(text):
        raise ValueError(f"not an address and a port: {text!r}; write HOST:PORT or [IPv6]:PORT")
    if port is None:
        return plain_host(host), MANAGER
    if not (port.isascii() and port.isdecimal() and len(port) <= 5 and int(port) < 65536):
        raise ValueError(f"not a port: {port!r}")
    return plain_host(host) or "localhost", int(port)


def listen(host: str, port: int, *, backlog: int = 128) -> socket.socket:
    """A socket that listens there; ``*`` stands for all addresses.

    Args:
        host: Name or address of this machine.
        port: 0 picks a free one.
        backlog: How many connections may wait; 0 only checks whether the address is available.

    Raises:
        NoAddress: The host is not an address of this machine.
        OSError: It is not available for another reason; the text says which.
    """
    where = f"cannot listen on {shown(host)}:{port}"
    try:
        flags = socket.AI_PASSIVE
        found = socket.getaddrinfo("" if host == "*" else host, port, type=socket.SOCK_STREAM, flags=flags)
    except (OSError, ValueError) as error:  # the latter for invalid names
        raise NoAddress(f"{host} is not an address of this machine: {_reason(error)}") from None
    family, kind, protocol, _, address = min(found, key=lambda item: item[0] != socket.AF_INET)
    try:
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
            if backlog:
                sock.listen(backlog)
            sock.setblocking(False)
        except BaseException:
            sock.close()
            raise
    except OSError as error:
        if error.errno in _ABSENT:
            raise NoAddress(f"{host} is not an address of this machine: {_reason(error)}") from None
        raise OSError(error.errno, f"{where}: {_reason(error)}") from None
    return sock


def problem_of(host: str, port: int) -> str:
    """Why nothing can listen there, or ""; blocks while a name is looked up."""
    try:
        listen(host, port, backlog=0).close()
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
