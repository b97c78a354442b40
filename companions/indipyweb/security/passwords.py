"""Passwords: how they are stored, which ones are accepted, and checks one at a time."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Callable
from typing import Any, Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

__all__ = ["Passwords", "PasswordsBusy", "is_default", "problem_of"]

Result = TypeVar("Result")
LEAST: Final = 12
MOST: Final = 256
_WAITING: Final = 8
_DEFAULT: Final = "password!"
_PARTS: Final = """
password passwort qwerty qwertz azerty asdf zxcv letmein welcome admin administrator monkey dragon iloveyou sunshine
princess football baseball superman batman trustno observatory telescope indi astronomy changeme secret login guest
""".split()


class PasswordsBusy(Exception):
    """Too many are waiting already."""


def problem_of(password: str, name: str) -> str:
    """Why a new password is not accepted, or ""."""
    if not LEAST <= len(password) <= MOST:
        return f"A password must have {LEAST} to {MOST} characters."
    plain = password.lower()
    if name and name.lower() in plain and len(plain) - len(name) < 6:
        return "The password is too similar to the name."
    rest = plain
    for part in _PARTS:
        rest = rest.replace(part, "")
    letters = {char for char in rest if not char.isdigit() and char not in "!.-_ "}
    if len(set(plain)) < 5 or plain.isdigit() or (len(letters) < 3 and rest != plain):
        return "This password is too easy to guess."
    return ""


def is_default(password: str | bytes, salt: bytes) -> bool:
    """Whether it is the well-known initial password of PyPI's program."""
    return isinstance(password, bytes) and _legacy(_DEFAULT, password, salt)


def _legacy(password: str, kept: bytes, salt: bytes) -> bool:
    made = hashlib.scrypt(password.encode("utf-8", "replace"), salt=salt, n=2048, r=8, p=1, dklen=64)
    return hmac.compare_digest(made, kept)


class Passwords:
    """Hashes and checks them in a thread, one at a time: each takes much memory.

    Args:
        time_cost: The time cost of Argon2id.
        memory_cost: The memory cost, in KiB.
    """

    def __init__(self, time_cost: int = 3, memory_cost: int = 65536) -> None:
        self._hasher = PasswordHasher(
            time_cost=time_cost, memory_cost=memory_cost, parallelism=1, salt_len=16, hash_len=32
        )
        self._turn: asyncio.Lock | None = None
        self._waiting = 0
        self._nobody = ""

    async def hash(self, password: str) -> str:
        """The hash to store.

        Raises:
            PasswordsBusy: Try again later.
        """
        return await self._in_turn(self.hash_now, password)

    def hash_now(self, password: str) -> str:
        """The same; blocks."""
        return self._hasher.hash(password.encode("utf-8", "replace"))

    async def check(self, password: str, kept: str | bytes | None, salt: bytes = b"") -> bool:
        """Whether the password is right; it takes as long if there is no such account.

        Raises:
            PasswordsBusy: Try again later.
        """
        return await self._in_turn(self._check, password[: MOST + 1], kept, salt)

    def is_old(self, kept: str | bytes) -> bool:
        """Whether it should be hashed anew."""
        if isinstance(kept, bytes):
            return True
        try:
            return self._hasher.check_needs_rehash(kept)
        except InvalidHashError:
            return True

    def _check(self, password: str, kept: str | bytes | None, salt: bytes) -> bool:
        if isinstance(kept, bytes):
            return _legacy(password, kept, salt)
        is_known = kept is not None and kept.startswith("$argon2")
        if not is_known and not self._nobody:
            self._nobody = self.hash_now("nobody has this password")
        try:
            return self._hasher.verify(kept if is_known and kept else self._nobody, password) and is_known
        except Argon2Error:
            return False

    async def _in_turn(self, function: Callable[..., Result], *arguments: Any) -> Result:
        if self._turn is None:
            self._turn = asyncio.Lock()
        if self._waiting >= _WAITING:
            raise PasswordsBusy
        self._waiting += 1
        try:
            async with self._turn:
                return await asyncio.to_thread(function, *arguments)
        finally:
            self._waiting -= 1
