"""Who may use what: one rule for each route, and no route without a rule.  Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final

__all__ = ["RULES", "Actor", "Need", "Role", "allows", "rule_of"]


class Role(IntEnum):
    """What a user may do; a higher role includes all lower ones."""

    NOBODY = 0
    VIEWER = 1
    USER = 2
    ADMIN = 3


class Need(StrEnum):
    """Who may use a route."""

    OPEN = "open"  # everybody, even if guest access is off
    READ = "read"  # everybody who may watch: including guests, unless guest access is off
    ACCOUNT = "account"  # everybody who has logged in
    SET = "set"  # everybody who may set values
    ADMIN = "admin"  # administrators


@dataclass(frozen=True, slots=True)
class Actor:
    """The sender of a request.

    Attributes:
        name: The name of the account; "" for a guest.
        role: What they may do.
        address: The address from which it came.
        session: The id of the session; "" for guests and tokens.
        by_token: The sender is identified by a token.
    """

    name: str
    role: Role
    address: str = ""
    session: str = ""
    by_token: bool = False


def allows(need: Need, actor: Actor) -> bool:
    """Whether this user may use it."""
    if need is Need.OPEN:
        return True
    if need is Need.ACCOUNT:
        return bool(actor.name) and actor.role >= Role.VIEWER
    return actor.role >= {Need.READ: Role.VIEWER, Need.SET: Role.USER, Need.ADMIN: Role.ADMIN}[need]


RULES: Final[dict[tuple[str, str], Need]] = {
    # Pages
    ("GET", "/"): Need.READ,
    ("GET", "/device"): Need.READ,
    ("GET", "/part"): Need.READ,
    ("GET", "/events"): Need.READ,
    ("GET", "/alerts"): Need.READ,
    ("GET", "/messages"): Need.READ,
    ("POST", "/set"): Need.SET,
    ("GET", "/overview"): Need.ACCOUNT,
    ("POST", "/pin"): Need.ACCOUNT,
    ("GET", "/plot"): Need.READ,
    ("GET", "/plot.csv"): Need.READ,
    ("GET", "/image"): Need.ACCOUNT,
    ("GET", "/image.png"): Need.ACCOUNT,
    ("GET", "/image/file"): Need.ACCOUNT,
    ("GET", "/blobs"): Need.ACCOUNT,
    ("GET", "/blobs/file"): Need.ACCOUNT,
    ("GET", "/blobs/thumbnail"): Need.ACCOUNT,
    ("POST", "/blobs/delete"): Need.ADMIN,
    # Accounts
    ("GET", "/login"): Need.OPEN,
    ("POST", "/login"): Need.OPEN,
    ("POST", "/logout"): Need.OPEN,
    ("GET", "/setup"): Need.OPEN,  # with the one-time link
    ("POST", "/setup"): Need.OPEN,
    ("POST", "/theme"): Need.OPEN,
    ("GET", "/account"): Need.ACCOUNT,
    ("POST", "/account/name"): Need.ACCOUNT,
    ("POST", "/account/password"): Need.ACCOUNT,
    ("POST", "/account/token"): Need.ACCOUNT,
    ("POST", "/account/token/delete"): Need.ACCOUNT,
    ("POST", "/account/session/end"): Need.ACCOUNT,
    ("POST", "/account/delete"): Need.ACCOUNT,
    ("GET", "/users"): Need.ADMIN,
    ("POST", "/users/add"): Need.ADMIN,
    ("POST", "/users/role"): Need.ADMIN,
    ("POST", "/users/password"): Need.ADMIN,
    ("POST", "/users/delete"): Need.ADMIN,
    ("GET", "/system"): Need.ADMIN,
    ("POST", "/system"): Need.ADMIN,
    ("GET", "/system/backup"): Need.ADMIN,
    ("GET", "/audit"): Need.ADMIN,
    ("GET", "/server"): Need.ADMIN,
    ("POST", "/server"): Need.ADMIN,
    # For programs
    ("GET", "/health"): Need.OPEN,
    ("GET", "/metrics"): Need.READ,
    ("GET", "/api"): Need.READ,
    ("GET", "/api/{rest:path}"): Need.READ,
    ("POST", "/api/{rest:path}"): Need.SET,
    # Static files
    ("GET", "/static/{name}"): Need.OPEN,
    ("GET", "/favicon.ico"): Need.OPEN,
}


def rule_of(method: str, path: str) -> Need:
    """The rule of a route.

    Raises:
        LookupError: It has none.
    """
    try:
        return RULES[method, path]
    except KeyError:
        raise LookupError(f"{method} {path} has no rule in indipyweb.security.permissions.RULES") from None
