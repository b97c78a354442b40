"""Accounts, in the table of PyPI's program, and their tokens."""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ..security.permissions import Role
from .database import Database

__all__ = ["NAME_RULE", "Refusal", "Token", "User", "Users"]

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,31}")
NAME_RULE: Final = "2 to 32 letters, digits, dots, dashes or underscores, the first one a letter or digit"
FULLNAME: Final = 60
_USABLE: Final = "password != '!'"
"""A password that nobody can enter: the account exists, but cannot be used until it gets another one."""
_TOKENS: Final = 20
_SET_PASSWORD: Final = "UPDATE users SET password = ?, salt = ? WHERE username = ?"
_END_TOKENS: Final = "DELETE FROM tokens WHERE username = ?"
_NO_SALT: Final = b""


class Refusal(ValueError):
    """The request cannot be carried out; the text says why."""


@dataclass(frozen=True, slots=True)
class User:
    """An account.

    Attributes:
        name: The login name.
        role: What it may do.
        fullname: The full name of the person.
        password: The stored hash.
        salt: The salt of hashes of PyPI's program.
    """

    name: str
    role: Role
    fullname: str
    password: str | bytes
    salt: bytes


@dataclass(frozen=True, slots=True)
class Token:
    """A token with which a script identifies itself.

    Attributes:
        id: The beginning of its hash, which identifies it.
        user: Its account.
        label: Its purpose.
        writes: It may set values.
        created: When it was created, in seconds since 1970.
        expires: When it expires.
    """

    id: str
    user: str
    label: str
    writes: bool
    created: float
    expires: float


def _role(auth: object) -> Role:
    return {"admin": Role.ADMIN, "user": Role.USER}.get(str(auth), Role.VIEWER)


def _word(role: Role) -> str:
    return role.name.lower()


class Users:
    """The accounts.

    Args:
        database: The database.
        clock: Seconds since 1970.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._db = database
        self._clock = clock

    def get(self, name: str) -> User | None:
        """The account with this name."""
        rows = self._db.read("SELECT username, auth, fullname, password, salt FROM users WHERE username = ?", name)
        if not rows:
            return None
        username, auth, fullname, password, salt = rows[0]
        kept = salt if isinstance(salt, bytes) else _NO_SALT
        return User(username, _role(auth), fullname or "", password, kept)

    def all(self) -> list[User]:
        """All accounts, by name."""
        names = [name for (name,) in self._db.read("SELECT username FROM users ORDER BY username")]
        return [user for user in map(self.get, names) if user is not None]

    def has_admin(self) -> bool:
        """Whether an administrator can log in."""
        return bool(self._db.read(f"SELECT 1 FROM users WHERE auth = 'admin' AND {_USABLE} LIMIT 1"))

    def add(self, name: str, role: Role, hashed: str, fullname: str = "") -> None:
        """Create an account.

        Raises:
            Refusal: It exists already, or the name cannot be used.
        """
        if not _NAME.fullmatch(name):
            raise Refusal(f"A name must have {NAME_RULE}.")
        if self._db.read("SELECT 1 FROM users WHERE lower(username) = lower(?)", name):
            raise Refusal(f"There is already an account {name}.")
        row = (name, hashed, _word(role), _NO_SALT, fullname[:FULLNAME])
        # PyPI's program leaves the tokens of accounts that it deletes.
        self._db.write_many((_END_TOKENS, (name,)), ("INSERT INTO users VALUES(?, ?, ?, ?, ?)", row))

    def set_password(self, name: str, hashed: str) -> None:
        """Store the hash of a new password; the account's tokens end, as somebody else may know them."""
        self._db.write_many((_SET_PASSWORD, (hashed, _NO_SALT, name)), (_END_TOKENS, (name,)))

    def set_hash(self, name: str, hashed: str) -> None:
        """Store a better hash of the same password."""
        self._db.write(_SET_PASSWORD, hashed, _NO_SALT, name)

    def disable(self, name: str) -> None:
        """Disable an account until it gets a password."""
        self.set_password(name, "!")

    def set_fullname(self, name: str, fullname: str) -> None:
        """Set the full name."""
        self._db.write("UPDATE users SET fullname = ? WHERE username = ?", fullname[:FULLNAME], name)

    def set_role(self, name: str, role: Role) -> None:
        """Set the role.  Tokens that may set values end for good when the account becomes one that only watches.

        Raises:
            Refusal: Nobody would be left who may do everything.
        """
        change = (
            "UPDATE users SET auth = ? WHERE username = ? AND (? = 'admin' OR auth != 'admin' OR EXISTS("
            f"SELECT 1 FROM users WHERE auth = 'admin' AND username != ? AND {_USABLE}))"
        )
        is_viewer = "username = ? AND writes AND EXISTS (SELECT 1 FROM users WHERE username = ? AND auth = ?)"
        changed = self._db.write_many(
            (change, (_word(role), name, _word(role), name)),
            (f"DELETE FROM tokens WHERE {is_viewer}", (name, name, _word(Role.VIEWER))),
        )
        if not changed[0]:
            raise Refusal("The last administrator stays one.")

    def delete(self, name: str) -> None:
        """Delete an account with everything that belongs to it.

        Raises:
            Refusal: Nobody would be left who may do everything.
        """
        delete = (
            "DELETE FROM users WHERE username = ? AND (auth != 'admin' OR EXISTS("
            f"SELECT 1 FROM users WHERE auth = 'admin' AND username != ? AND {_USABLE}))"
        )
        is_gone = "username = ? AND NOT EXISTS (SELECT 1 FROM users WHERE username = ?)"
        own = [(f"DELETE FROM {table} WHERE {is_gone}", (name, name)) for table in ("tokens", "pins")]
        # At once: a remaining token would stand for a later account of the same name.
        if not self._db.write_many((delete, (name, name)), *own)[0]:
            raise Refusal("The last administrator cannot be deleted.")

    # Tokens

    def new_token(self, user: str, label: str, writes: bool, days: float) -> str:
        """Create a token, which is returned, but not stored.

        Raises:
            Refusal: There are too many.
        """
        now = self._clock()
        self._db.write("DELETE FROM tokens WHERE expires < ?", now)
        if len(self.tokens(user)) >= _TOKENS:
            raise Refusal(f"An account has up to {_TOKENS} tokens; delete one first.")
        token = f"indi_{secrets.token_urlsafe(32)}"
        days = min(max(days, 0.01), 3650)
        row = (_digest(token), user, label[:FULLNAME] or "token", int(writes), now, now + days * 86400)
        self._db.write("INSERT INTO tokens VALUES(?, ?, ?, ?, ?, ?)", *row)
        return token

    def tokens(self, user: str) -> list[Token]:
        """Those of an account that have not expired."""
        rows = self._db.read(
            "SELECT substr(hash, 1, 16), username, label, writes, created, expires FROM tokens"
            " WHERE username = ? AND expires >= ? ORDER BY created",
            *(user, self._clock()),
        )
        return [Token(row[0], row[1], row[2], bool(row[3]), row[4], row[5]) for row in rows]

    def delete_token(self, user: str, id: str) -> bool:
        """Delete one of an account's tokens."""
        return bool(self._db.write("DELETE FROM tokens WHERE username = ? AND substr(hash, 1, 16) = ?", user, id))

    def of_token(self, token: str) -> tuple[User, Token] | None:
        """The account that a token stands for."""
        rows = self._db.read(
            "SELECT substr(hash, 1, 16), username, label, writes, created, expires FROM tokens"
            " WHERE hash = ? AND expires >= ?",
            *(_digest(token), self._clock()),
        )
        user = self.get(rows[0][1]) if rows else None
        if user is None:
            return None
        row = rows[0]
        return user, Token(row[0], row[1], row[2], bool(row[3]), row[4], row[5])


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
