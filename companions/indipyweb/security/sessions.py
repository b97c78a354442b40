"""Logins: held in memory as hashes, for an hour without use and a night at most.  Pure except for randomness."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

__all__ = ["IDLE", "LONGEST", "Session", "Sessions"]

IDLE: Final = 3600.0
LONGEST: Final = 12 * 3600.0
_OF_ONE: Final = 20


@dataclass(slots=True)
class Session:
    """A login.

    Attributes:
        id: Identifies it, but is not a secret.
        user: The account.
        address: The address from which it was made.
        agent: The browser, according to itself.
        created: When it was created, by the clock.
        used: When it was last used.
    """

    id: str
    user: str
    address: str
    agent: str
    created: float
    used: float


class Sessions:
    """All logins.

    Args:
        clock: Monotonic seconds.
        idle: Seconds without use after which one ends.
        longest: Seconds after which it ends in any case.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, idle: float = IDLE, longest: float = LONGEST
    ) -> None:
        self._clock = clock
        self._idle = idle
        self._longest = longest
        self._known: dict[str, Session] = {}

    def begin(self, user: str, address: str, agent: str = "") -> tuple[str, Session]:
        """Create a login; returns the token for the browser."""
        now = self._clock()
        for key, session in list(self._known.items()):
            if not self._is_alive(session, now):
                del self._known[key]
        own = sorted((s.used, key) for key, s in self._known.items() if s.user == user)
        for _, key in own[: max(0, len(own) - _OF_ONE + 1)]:
            del self._known[key]
        token = secrets.token_urlsafe(32)
        session = Session(secrets.token_hex(8), user, address, agent[:120], now, now)
        self._known[_digest(token)] = session
        return token, session

    def alive(self) -> Iterator[tuple[str, Session, float, float]]:
        """The valid logins, each with the hash of its token, its age, and its idle time."""
        now = self._clock()
        for key, session in self._known.items():
            if self._is_alive(session, now):
                yield key, session, now - session.created, now - session.used

    def resume(self, key: str, id: str, user: str, address: str, agent: str, age: float, unused: float) -> None:
        """Continue a login from before the restart, if it is still valid."""
        now = self._clock()
        session = Session(id, user, address, agent, now - age, now - unused)
        if self._is_alive(session, now):
            self._known[key] = session

    def get(self, token: str, *, use: bool = True) -> Session | None:
        """The login of a token; None if it is over."""
        session = self._known.get(_digest(token)) if token else None
        now = self._clock()
        if session is None or not self._is_alive(session, now):
            return None
        if use:
            session.used = now
        return session

    def is_alive(self, id: str) -> bool:
        """Whether it is still valid."""
        now = self._clock()
        return any(session.id == id and self._is_alive(session, now) for session in self._known.values())

    def _is_alive(self, session: Session, now: float) -> bool:
        return now - session.used < self._idle and now - session.created < self._longest

    def of(self, user: str) -> list[Session]:
        """Those of one account."""
        now = self._clock()
        return [s for s in self._known.values() if s.user == user and self._is_alive(s, now)]

    def end(self, user: str, id: str | None = None, but: str | None = None) -> None:
        """End one of an account's logins, or all, or all but one."""
        for key, session in list(self._known.items()):
            if session.user == user and id in (None, session.id) and (but is None or session.id != but):
                del self._known[key]


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
