"""Who may send forms: same origin, a token of the session, and perhaps a password. Pure except for random numbers."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import socket
from collections.abc import Iterable, Mapping
from typing import Final

__all__ = [
    "HEADERS",
    "check_password",
    "cookie_of",
    "hash_password",
    "is_own_host",
    "is_own_link",
    "is_own_origin",
    "is_token",
    "new_token",
    "own_names",
]

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS: Final = [
    ("Content-Security-Policy", POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), microphone=(), geolocation=()"),
    ("Cache-Control", "no-store"),
]
_COST: Final = 1 << 15


def hash_password(password: str, salt: bytes | None = None) -> str:
    """The stored form of a password."""
    salt = salt or secrets.token_bytes(16)
    made = hashlib.scrypt(password.encode(), salt=salt, n=_COST, r=8, p=1, maxmem=160 << 20)
    return f"scrypt${salt.hex()}${made.hex()}"


def check_password(password: str, hashed: str) -> bool:
    """Whether the password is right; the unsalted SHA-512 of old configuration files is also accepted."""
    if hashed.startswith("scrypt$"):
        _, salt, _ = hashed.split("$")
        return hmac.compare_digest(hash_password(password, bytes.fromhex(salt)), hashed)
    return hmac.compare_digest(hashlib.sha512(password.encode()).hexdigest(), hashed.lower())


def new_token() -> str:
    """256 random bits."""
    return secrets.token_urlsafe(32)


def is_token(given: str, token: str) -> bool:
    """Whether a form carries the token of its session."""
    return bool(token) and hmac.compare_digest(given.encode(), token.encode())


def cookie_of(environ: Mapping[str, object], name: str) -> str:
    """A cookie of a request, or "", whatever other programs at this host have put beside it."""
    pairs = (pair.strip().partition("=") for pair in str(environ.get("HTTP_COOKIE", "")).split(";"))
    return next((value for key, _, value in pairs if key == name), "")


def is_own_origin(environ: Mapping[str, object]) -> bool:
    """Whether a form comes from a page of ours, according to the browser's headers."""
    site = environ.get("HTTP_SEC_FETCH_SITE")
    if site == "same-origin":
        return True  # even if a web server in between speaks TLS, so that the origin has another scheme
    if site not in (None, "none"):
        return False
    origin = environ.get("HTTP_ORIGIN")
    if origin is None:
        return True  # browsers always send it for forms across sites; the token is checked in any case
    scheme = environ.get("wsgi.url_scheme", "http")
    return str(origin) == f"{scheme}://{environ.get('HTTP_HOST', '')}"


def is_own_link(environ: Mapping[str, object]) -> bool:
    """Whether no page of another site has led here, according to the browser."""
    return environ.get("HTTP_SEC_FETCH_SITE") in (None, "none", "same-origin")


def own_names(more: Iterable[str] = ()) -> frozenset[str]:
    """Names under which a page may be reached, besides addresses."""
    machine = socket.gethostname().lower()
    names = {"localhost", machine, f"{machine}.local", f"{machine.partition('.')[0]}.local"}
    return frozenset(names | {name.lower() for name in more})


def is_own_host(environ: Mapping[str, object], names: frozenset[str]) -> bool:
    """Whether the browser addressed this page by an address, or by one of these names.

    A site of somebody else can give its own name the address of this machine, and would then count as the same site.
    """
    host = environ.get("HTTP_HOST")
    if host is None:
        return True  # browsers always send it
    name = str(host).lower()
    name = name.partition("]")[0].lstrip("[") if name.startswith("[") else name.partition(":")[0]
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name in names or name.endswith(".localhost")
    return True
