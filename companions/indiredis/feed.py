"""What a bridge receives from an INDI server: the present state of what has changed, and every message in between."""

from __future__ import annotations

import asyncio
from typing import Final, NamedTuple

from indipyclient.client import Client
from indipyclient.model.delta import Delta
from indipyclient.model.model import Change, What
from indipyclient.model.properties import Property
from indipyclient.model.tap import Overflow
from indipyclient.streams import Cursor, Lost
from indipydriver.protocol.messages import AnyMessage, DefMember, DefVector, DelProperty
from indipydriver.protocol.tags import VectorKind
from indipydriver.protocol.values import format_timestamp

__all__ = ["Feed", "News", "definition_of"]

LIMIT: Final = 5000
LIMIT_BYTES: Final = 64 << 20
"""Changes, and bytes of memory that they take, that may wait while the other side is unreachable."""
CROWDED_BYTES: Final = 8 << 20
"""Bytes beyond which they contain something that should not wait in memory, such as an image."""


class News(NamedTuple):
    """Everything since the last call.

    Attributes:
        delta: What is different now.
        changes: Every change, in order.
        messages: The same as INDI messages, with deletions that nobody sent: of properties that were not defined again.
        lost: How many changes are missing from both lists because there were too many.
    """

    delta: Delta
    changes: list[Change]
    messages: list[AnyMessage]
    lost: int


class Feed:
    """Follows a client.

    Args:
        client: A started client.
        limit_bytes: How much may wait; None for :data:`LIMIT_BYTES`.
    """

    def __init__(self, client: Client, limit_bytes: int | None = None) -> None:
        self.client = client
        self.model = client.model
        self.rev = 0
        self._cursor = client.changes(initial=True)
        self._tap = client.tap(limit=LIMIT, limit_bytes=limit_bytes or LIMIT_BYTES, overflow=Overflow.DROP_OLDEST)
        self._poke = asyncio.Event()
        self._coming: asyncio.Task[Delta] | None = None

    def poke(self) -> None:
        """Make :meth:`next` return."""
        self._poke.set()

    async def next(self, timeout: float | None = None) -> News | None:
        """Wait for news, or for a poke, and take them; None when there are none, or when the client is closed.

        Args:
            timeout: Seconds.
        """
        if self.model.rev <= self.rev and not self._poke.is_set():
            await self._wait(timeout)
        self._poke.clear()
        return await self.take()

    async def _wait(self, timeout: float | None) -> None:
        if self._coming is None:
            self._coming = asyncio.ensure_future(_advance(self._cursor))
        poked = asyncio.ensure_future(self._poke.wait())
        try:
            await asyncio.wait({self._coming, poked}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            poked.cancel()
        if self._coming.done():
            coming, self._coming = self._coming, None
            coming.result()

    @property
    def is_crowded(self) -> bool:
        """Whether what waits should be taken, before there is no more room and the oldest are dropped."""
        return self._tap.waiting > LIMIT // 2 or self._tap.waiting_bytes > CROWDED_BYTES

    async def take(self) -> News | None:
        """What has changed until now, without waiting."""
        delta = self.model.since(self.rev)
        if not delta:
            return None
        self.rev = delta.rev
        changes: list[Change] = []
        lost = 0
        while self._tap.waiting:  # which does not wait, so this belongs to the same moment as the delta
            item = await self._tap.next()
            if isinstance(item, Lost):
                lost += item.count
            else:
                changes.append(item)
        return News(delta, changes, _messages(delta, changes), lost)

    def close(self) -> None:
        """Stop following."""
        self._cursor.close()
        self._tap.close()
        if self._coming is not None:
            self._coming.cancel()


async def _advance(cursor: Cursor) -> Delta:
    try:
        return await cursor.next()
    except StopAsyncIteration:
        raise ConnectionAbortedError("the client is closed") from None


def _messages(delta: Delta, changes: list[Change]) -> list[AnyMessage]:
    changes = [change for change in changes if not _is_for_all(change.message)]  # this is not passed on
    told = {change.rev for change in changes if change.what is What.DELETED}
    found: list[tuple[int, AnyMessage]] = [(change.rev, change.message) for change in changes]
    now = format_timestamp()
    found += [(grave.rev, _deletion(grave.device, grave.name, now)) for grave in delta.deleted if grave.rev not in told]
    found.sort(key=lambda pair: pair[0])
    return [message for _, message in found]


def _is_for_all(message: AnyMessage) -> bool:
    return isinstance(message, DelProperty) and message.device is None


def _deletion(device: str, name: str | None, now: str) -> DelProperty:
    text = f"Property {name} deleted from device {device}" if name is not None else f"{device} deleted"
    return DelProperty(device, name, now, text)


def definition_of(prop: Property) -> DefVector:
    """The definition of a property with the values that it has now."""
    members = []
    for member in prop.members.values():
        one = DefMember(member.name, "" if prop.kind is VectorKind.BLOB else member.value, member.label)
        if prop.kind is VectorKind.NUMBER:
            one = one._replace(format=member.format, min=member.min, max=member.max, step=member.step)
        members.append(one)
    light = prop.kind is VectorKind.LIGHT
    return DefVector(
        prop.kind,
        prop.device,
        prop.name,
        prop.state,
        tuple(members),
        label=prop.label,
        group=prop.group,
        perm=None if light else prop.perm,
        rule=prop.rule,
        timeout=None if light else prop.timeout,
        timestamp=prop.timestamp,
    )
