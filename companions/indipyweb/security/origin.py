"""The origin of a request, and whether it is addressed to this server.  Pure."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import urlsplit

__all__ = ["HEADERS", "HTTPS_HEADERS", "host_of", "is_own_origin", "knows_host", "machine_names"]

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS: Final = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cache-control": "no-store",
}
HTTPS_HEADERS: Final = {"cross-origin-opener-policy": "same-origin"}
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})


def machine_names() -> frozenset[str]:
    """The names of this machine."""
    name = socket.gethostname().lower().rstrip(".")
    if not name:
        return frozenset({"localhost"})
    return frozenset({"localhost", name, name.partition(".")[0], f"{name.partition('.')[0]}.local"})


def host_of(header: str) -> str:
    """The host in a Host header, without its port; "" if it is invalid."""
    try:
        host = urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return ""
    return host.rstrip(".")


def knows_host(header: str, names: Iterable[str]) -> bool:
    """Whether the request is addressed to this server, by an address or one of its names.  Otherwise another site may
    have given its own name our address, to pass for ours."""
    if not header or any(char in header for char in "/\\@?# \t"):
        return False
    host = host_of(header)
    if not host:
        return False
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host in names or host.endswith(".localhost")
    return True


def is_own_origin(method: str, headers: Mapping[str, str], own: Iterable[str], *, identified: bool) -> bool:
    """Whether a request that changes something comes from a page of ours, or from no page.

    Args:
        method: The method of the request.
        headers: Its headers, by names in lower case.
        own: Origins that are ours.
        identified: The browser sends a cookie with it.
    """
    if method in SAFE:
        return True
    site = headers.get("sec-fetch-site")
    if site is not None:  # browsers send it over https, and to this machine
        return site in ("same-origin", "none")
    origin = headers.get("origin")
    if origin is not None:
        return origin in own
    return not identified
