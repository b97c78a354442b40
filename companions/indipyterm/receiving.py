"""BLOBs of a server: which are received, where they are saved, and what is known about the last one."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Container, Iterable
from pathlib import Path
from typing import Final

from indipyclient import Client, ClientError, Lost, Property, ReceivedBlob, Tap, VectorKind

from .received import Received

__all__ = ["Receiver", "folder_of"]

Key = tuple[str, str]
AWAITED: Final = 100
"""The most deleted properties whose BLOBs are still awaited."""
FORMAT: Final = 64
"""Characters of a format that are kept."""
LAST: Final = 2.0
"""Seconds for the BLOB being written, when nobody waits any longer."""
_LOGGER = logging.getLogger(__name__)


def folder_of(text: str) -> Path:
    """The folder that the user named, which must exist and be writable.

    Raises:
        ValueError: It is not.
    """
    path = Path(os.path.expanduser(text.strip()))
    if not text.strip():
        raise ValueError("no folder")
    if not os.path.isdir(path):  # returns False, where Path raises, for a name that is too long or out of reach
        raise ValueError(f"{path} is not a folder" if os.path.exists(path) else f"there is no folder {path}")
    if not os.access(path, os.W_OK | os.X_OK):
        raise ValueError(f"{path} cannot be written to")
    return path.resolve()


class _Reception:
    """The BLOBs of a property, from the request until the last one is written.

    Args:
        key: The key of the property.
        before: Its predecessor, whose BLOBs may still wait.

    Attributes:
        task: The task that takes them.
        over: No more are requested.
        dropped: Waiting ones are not written either.
        busy: One is being written.
    """

    task: asyncio.Task[None]

    def __init__(self, key: Key, before: _Reception | None) -> None:
        self.key = key
        self.before = before
        self.over = False
        self.dropped = False
        self._stream: Tap[ReceivedBlob] | None = None
        self.busy = False

    @property
    def waiting(self) -> int:
        """How many were received and are not written."""
        return (self._stream.waiting if self._stream is not None else 0) + self.busy

    def end(self) -> None:
        """Request no more."""
        self.over = True
        if self._stream is not None:
            self._stream.close()

    def drop(self) -> None:
        """Also drop waiting ones, except one that is being written."""
        self.end()
        self.dropped = True

    async def run(self, client: Client, take: Callable[[ReceivedBlob | Lost], Awaitable[None]]) -> None:
        """Take them until no more are requested, and then those that wait."""
        async with client.blobs(*self.key) as stream:
            self._stream = stream
            if self.before is not None:
                await asyncio.wait([self.before.task])
                self.before = None
            await self._take(stream, take, lambda: self.over)
        await self._take(stream, take, lambda: self.dropped)

    async def _take(
        self,
        stream: Tap[ReceivedBlob],
        take: Callable[[ReceivedBlob | Lost], Awaitable[None]],
        enough: Callable[[], bool],
    ) -> None:
        if enough():
            return
        async for found in stream:
            self.busy = isinstance(found, ReceivedBlob)
            try:
                await take(found)
            finally:
                self.busy = False
            if enough():
                return


class Receiver:
    """Requests BLOBs, and writes them to a folder if there is one.

    Args:
        client: A started client.
        folder: The folder for them; None: each is only kept until the next one.
        everything: Receive the BLOBs of all properties, including later ones.
        told: Called with the key of a property when one was received.
        lost: Called with the key of a property and the reason when a BLOB was not written or could not be kept.

    Attributes:
        last: The last BLOB by device, property and member.
        losses: How many were lost, by property.
    """

    def __init__(
        self,
        client: Client,
        folder: Path | None,
        *,
        everything: bool,
        told: Callable[[Key], None],
        lost: Callable[[Key, str], None] = lambda key, why: None,
    ) -> None:
        self.folder = folder
        self.everything = everything
        self.last: dict[tuple[str, str, str], Received] = {}
        self._members: dict[Key, set[str]] = {}  # properties with a last BLOB
        self._client = client
        self.losses: dict[Key, int] = {}
        self._told = told
        self._lost = lost
        self._receptions: dict[Key, _Reception] = {}
        self._ending: dict[_Reception, None] = {}  # BLOBs of these may still wait
        self._refused: set[Key] = set()
        self._gone: dict[Key, None] = {}

    def defined(self, prop: Property) -> None:
        """Handle the definition of a BLOB property, which may be new, or have other members."""
        self._gone.pop(prop.key, None)
        self._forget(prop.key, prop.members)
        if prop.kind is VectorKind.BLOB and self.everything and prop.key not in self._refused:
            self.receive(prop.key, True)

    def deleted(self, device: str, name: str | None) -> None:
        """Keep waiting for BLOBs of a deleted property, which may be back at once; but not for any number of them."""
        gone = [key for key in self._receptions if key[0] == device] if name is None else [(device, name)]
        for key in gone:
            if key in self._receptions and self._client.get(*key) is None:
                self._gone[key] = None
        while self.everything and len(self._gone) > AWAITED:
            key = next(iter(self._gone))
            self._end(key)
            self._forget(key)
        while len(self._ending) > AWAITED:
            reception = next(iter(self._ending))
            del self._ending[reception]
            reception.drop()
            if reception.waiting > reception.busy:
                self._lose(reception.key, reception.waiting - reception.busy, "they came faster than they were written")

    def _forget(self, key: Key, but: Container[str] = ()) -> None:
        """The last BLOBs of members that no longer exist."""
        members = self._members.get(key, set())
        for member in [member for member in members if member not in but]:
            members.discard(member)
            del self.last[*key, member]
        if not members:
            self._members.pop(key, None)

    def awaited(self) -> list[Key]:
        """Properties of which BLOBs are asked for."""
        return list(self._receptions)

    def is_receiving(self, key: Key) -> bool:
        """Whether BLOBs of this property are requested."""
        return key in self._receptions

    def receive(self, key: Key, on: bool) -> None:
        """Request BLOBs of this property, or stop that; received ones are written in any case."""
        if not on:
            self._refused.add(key)
            self._end(key)
            return
        self._refused.discard(key)
        if key not in self._receptions:
            before = next((each for each in reversed(self._ending) if each.key == key), None)
            reception = self._receptions[key] = _Reception(key, before)
            reception.task = asyncio.create_task(self._run(reception), name=f"BLOBs of {key[0]}.{key[1]}")

    def _end(self, key: Key) -> None:
        self._gone.pop(key, None)
        reception = self._receptions.pop(key, None)
        if reception is not None:
            self._ending[reception] = None
            reception.end()

    async def _run(self, reception: _Reception) -> None:
        try:
            await reception.run(self._client, lambda found: self._take(reception.key, found))
        except ClientError:  # the client is closed
            pass
        finally:
            self._ending.pop(reception, None)
            if self._receptions.get(reception.key) is reception:
                del self._receptions[reception.key]
                self._gone.pop(reception.key, None)

    def unwritten(self) -> dict[Key, int]:
        """How many received BLOBs are not written to the folder yet, by property."""
        return self._waiting((*self._receptions.values(), *self._ending))

    def _waiting(self, receptions: Iterable[_Reception]) -> dict[Key, int]:
        found: Counter[Key] = Counter()
        for reception in receptions if self.folder is not None else ():
            found[reception.key] += reception.waiting
        return +found

    def tasks(self) -> list[asyncio.Task[None]]:
        """Those that still have something to write after the end of requests."""
        return [reception.task for reception in self._ending]

    def stop(self) -> None:
        """Request no more; received ones are still written."""
        self.everything = False
        for key in list(self._receptions):
            self._end(key)

    async def aclose(self) -> dict[Key, int]:
        """End; returns how many were not written, by property."""
        self.stop()
        left = list(self._ending)
        for reception in left:
            reception.drop()
        busy = [reception.task for reception in left if reception.busy]
        if busy:
            await asyncio.wait(busy, timeout=LAST)
        unwritten = self._waiting(left)
        for reception in left:
            reception.task.cancel()
        await asyncio.gather(*(reception.task for reception in left), return_exceptions=True)
        return unwritten

    def _lose(self, key: Key, count: int, why: str) -> None:
        self.losses[key] = self.losses.get(key, 0) + count
        self._lost(key, why)

    async def _take(self, key: Key, found: ReceivedBlob | Lost) -> None:
        if isinstance(found, Lost):
            self._lose(key, found.count, "they came faster than they could be taken")
        else:
            await self._keep(found)

    async def _keep(self, blob: ReceivedBlob) -> None:
        path, problem = None, ""
        if self.folder is not None:
            try:
                path = await asyncio.to_thread(_write, blob, self.folder)
            except OSError as error:
                problem = f"not written: {error.strerror or error}"
            except Exception as error:  # whatever it is, the next one must be received
                problem = f"not written: {type(error).__name__}: {error}"
        where = (blob.device, blob.name, blob.member)
        before = self.last.get(where)
        from .pictures import facts

        try:
            found = await asyncio.to_thread(facts, blob.data, blob.format)
        except Exception:  # a bad header must not cost the next BLOB
            _LOGGER.exception("no facts of a BLOB of %s.%s", *where[:2])
            found = []
        now = asyncio.get_running_loop().time()
        count = before.count + 1 if before else 1
        prop = self._client.get(*where[:2])
        if blob.member in prop.members if prop is not None else where[:2] in self._receptions:
            self._members.setdefault(where[:2], set()).add(blob.member)
            format = blob.format[:FORMAT]
            self.last[where] = Received(len(blob.data), format, path, count, now, found, problem)
        self._told(where[:2])
        if problem:
            self._lose(where[:2], 1, problem)


def _write(blob: ReceivedBlob, folder: Path) -> Path:
    """Check the folder, which is not created again: it may have been the mount point of a disk."""
    if not os.path.isdir(folder):
        raise FileNotFoundError(errno.ENOENT, f"the folder does not exist: {folder}")
    return blob.write_to(folder)
