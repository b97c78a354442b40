"""What is needed to reach a server, with or without an event loop: local sockets, TLS, and texts for failures."""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING, Final

from .addresses import Endpoint

if TYPE_CHECKING:
    import ssl

__all__ = ["CONNECT_TIMEOUT", "describe", "local_names", "tls_context"]

CONNECT_TIMEOUT: Final = 10.0


def tls_context(tls: bool | ssl.SSLContext | None) -> ssl.SSLContext | None:
    """True stands for the certificates that this machine trusts."""
    if tls is True:
        import ssl  # imported here: it takes a tenth of the time of a short command

        return ssl.create_default_context()
    return tls or None


def local_names(path: str) -> list[str]:
    """Under which names a server may listen: libindi 1.9.9 does in the abstract space on Linux, where there is no file.

    Raises:
        OSError: This system has no local sockets.
    """
    if not hasattr(socket, "AF_UNIX"):
        raise OSError(f"{path}: there are no local sockets on this system")
    return ["\0" + path, path] if sys.platform.startswith("linux") else [path]


def describe(error: BaseException, endpoint: Endpoint) -> str:
    """Why there is no link, as a text that says what to do."""
    ssl = sys.modules.get("ssl")
    if ssl is not None and isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate of {endpoint} is not trusted: {error.verify_message}"
    if ssl is not None and isinstance(error, ssl.SSLError):
        return f"{endpoint} does not speak TLS, or an incompatible version: {error.reason or error}"
    if isinstance(error, socket.gaierror):
        return f"no host {endpoint.host!r}: {error.strerror}"
    if isinstance(error, ConnectionRefusedError):
        return f"nothing listens on {endpoint}: is the server running?"
    if isinstance(error, TimeoutError):
        return f"{endpoint} does not answer"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return f"{endpoint}: {text}"
