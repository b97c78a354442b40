"""Histories of keys in redis: their lengths, and what counts as a new entry.  Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

__all__ = ["DEFAULTS", "NOTHING", "Command", "LogStore", "Logs", "log_lengths"]

Command = Sequence[str | bytes | int]
"""A redis command with its arguments."""

DEFAULTS: Final = {
    "devices": 5,
    "properties": 5,
    "attributes": 5,
    "elements": 5,
    "messages": 5,
    "textvector": 5,
    "numbervector": 50,
    "switchvector": 5,
    "lightvector": 5,
    "blobvector": 5,
}
NOTHING: Final = ["--None--"]
"""The log entry for a device whose last property has gone."""
GONE: Final = 50_000
GONE_SIZE: Final = 16 << 20
"""How many logs of what is gone are kept, and characters of their newest entries: some drivers keep inventing names."""


class LogStore(StrEnum):
    """The form of a log."""

    STREAM = "stream"
    LIST = "list"


def log_lengths(wanted: Mapping[str, int] | None) -> dict[str, int]:
    """The defaults with changes; at least 1 entry is kept.

    Raises:
        ValueError: There is no such log, or a length is not a whole number.
    """
    lengths = dict(DEFAULTS)
    for name, length in (wanted or {}).items():
        if name not in DEFAULTS:
            raise ValueError(f"there is no log {name!r}: {', '.join(DEFAULTS)}")
        if not isinstance(length, int):
            raise ValueError(f"the length of a log must be a whole number, not {length!r}")
        lengths[name] = max(1, length)
    return lengths


class Logs:
    """Makes the commands that add entries, and remembers the newest ones.

    Args:
        lengths: By kind; see :func:`log_lengths`.
        form: Streams, or the lists that old programs read.
    """

    def __init__(self, lengths: Mapping[str, int] | None = None, form: LogStore | str = LogStore.STREAM) -> None:
        self.lengths = log_lengths(lengths)
        self.form = LogStore(form)
        self.newest: dict[str, str] = {}
        self._gone: dict[str, int] = {}  # logs of what is gone, oldest first, and the sizes of their newest entries
        self._gone_size = 0

    def add(self, kind: str, key: str, data: Any, received: str) -> list[Command]:
        """Commands that add an entry; none if it is the same as the newest.

        Args:
            kind: A key of :data:`DEFAULTS`.
            key: The key of the log.
            data: Anything that can be dumped as JSON.
            received: When it was received, as text.
        """
        self._gone_size -= self._gone.pop(key, 0)
        text = json.dumps(data)
        if self.newest.get(key) == text:
            return []
        self.newest[key] = text
        length = self.lengths[kind]
        if self.form is LogStore.LIST:
            return [("LPUSH", key, f"{received} {text}"), ("LTRIM", key, 0, length - 1)]
        return [("XADD", key, "MAXLEN", length, "*", "timestamp", received, "datastring", text)]

    def retire(self, keys: Iterable[str]) -> None:
        """These are of something that is gone, until they are added to."""
        for key in keys:
            if (text := self.newest.get(key)) is not None:
                self._gone_size += len(text) - self._gone.pop(key, 0)
                self._gone[key] = len(text)

    def too_many(self) -> Iterator[str]:
        """Forget the oldest logs of what is gone, which are to be deleted."""
        while len(self._gone) > GONE or self._gone_size > GONE_SIZE:
            key = next(iter(self._gone))
            self._gone_size -= self._gone.pop(key)
            self.newest.pop(key, None)
            yield key

    def ask_newest(self, key: str) -> Command:
        """The command that reads the newest entry."""
        if self.form is LogStore.LIST:
            return ("LINDEX", key, 0)
        return ("XREVRANGE", key, "+", "-", "COUNT", 1)

    def seed(self, key: str, reply: Any) -> bool:
        """Take the reply to :meth:`ask_newest`; False if the key holds anything but a log of this form.

        Raises:
            Exception: redis cannot say at present, such as while it runs a script.
        """
        if isinstance(reply, Exception):
            if not str(reply).startswith("WRONGTYPE"):
                raise reply
            self.newest.pop(key, None)
            return False
        text = self._text(reply)
        if text is None:
            self.newest.pop(key, None)
        else:
            self.newest[key] = text
        return True

    def _text(self, reply: Any) -> str | None:
        if not reply:
            return None
        if self.form is LogStore.LIST:
            return str(_decoded(reply).partition(" ")[2])
        fields = reply[0][1]
        if not isinstance(fields, dict):
            fields = dict(zip(fields[::2], fields[1::2], strict=True))
        return next((_decoded(value) for name, value in fields.items() if _decoded(name) == "datastring"), None)


def _decoded(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
