"""BLOBs of a server: which are received, where they go, and what is known of the last one."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from indipyclient import Client, ClientError, Lost, Property, ReceivedBlob, VectorKind

from .received import Received

__all__ = ["Receiver", "folder_of"]

Key = tuple[str, str]
AWAITED: Final = 100
"""Properties that are gone and whose BLOBs are still awaited, at most."""
_LOGGER = logging.getLogger(__name__)


def folder_of(text: str) -> Path:
    """The folder that a person named, which must be there and be one to write to.

    Raises:
        ValueError: It is not.
    """
    path = Path(os.path.expanduser(text.strip()))
    if not text.strip():
        raise ValueError("no folder")
    if not os.path.isdir(path):  # which says False, where Path raises, of a name that is too long or out of reach
        raise ValueError(f"{path} is not a folder" if os.path.exists(path) else f"there is no folder {path}")
    if not os.access(path, os.W_OK | os.X_OK):
        raise ValueError(f"{path} cannot be written to")
    return path.resolve()


class Receiver:
    """Asks for BLOBs, and writes them to a folder if there is one.

    Args:
        client: Started.
        folder: Where they go; None: they are only kept until the next one.
        everything: Receive the BLOBs of all properties, also of those that come later.
        told: Called with the key of a property when one has come.
        lost: Called with the key of a property and words, when one has come and was not written, or could not be kept.

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
        self._client = client
        self.losses: dict[Key, int] = {}
        self._told = told
        self._lost = lost
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._refused: set[Key] = set()
        self._gone: dict[Key, None] = {}

    def defined(self, prop: Property) -> None:
        """There is a BLOB property, perhaps a new one."""
        self._gone.pop(prop.key, None)
        if prop.kind is VectorKind.BLOB and self.everything and prop.key not in self._refused:
            self.receive(prop.key, True)

    def deleted(self, device: str, name: str | None) -> None:
        """BLOBs of a property that is gone are still awaited, as it may be back at once; but not of any number."""
        gone = [key for key in self._tasks if key[0] == device and name in (None, key[1])]
        for key in gone:
            if self._client.get(*key) is None:
                self._gone[key] = None
        while self.everything and len(self._gone) > AWAITED:
            key = next(iter(self._gone))
            del self._gone[key]
            self._tasks.pop(key).cancel()
            for where in [where for where in self.last if where[:2] == key]:
                del self.last[where]

    def is_receiving(self, key: Key) -> bool:
        """BLOBs of this property are asked for."""
        return key in self._tasks

    def receive(self, key: Key, on: bool) -> None:
        """Ask for BLOBs of this property, or no longer."""
        if on:
            self._refused.discard(key)
            if key not in self._tasks:
                self._tasks[key] = asyncio.create_task(self._run(key), name=f"BLOBs of {key[0]}.{key[1]}")
            return
        self._refused.add(key)
        self._gone.pop(key, None)
        task = self._tasks.pop(key, None)
        if task is not None:
            task.cancel()

    async def aclose(self) -> None:
        """No more."""
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, key: Key) -> None:
        try:
            async with self._client.blobs(*key) as stream:
                async for blob in stream:
                    if isinstance(blob, Lost):
                        self._lose(key, blob.count, "they came faster than they could be taken")
                    else:
                        await self._take(blob)
        except ClientError:  # the client is closed
            self._tasks.pop(key, None)
            self._gone.pop(key, None)

    def _lose(self, key: Key, count: int, why: str) -> None:
        self.losses[key] = self.losses.get(key, 0) + count
        self._lost(key, why)

    async def _take(self, blob: ReceivedBlob) -> None:
        path, problem = None, ""
        if self.folder is not None:
            try:
                path = await asyncio.to_thread(_write, blob, self.folder)
            except OSError as error:
                problem = f"not written: {error.strerror or error}"
            except Exception as error:  # whatever it is, the next one is to be received
                problem = f"not written: {type(error).__name__}: {error}"
        where = (blob.device, blob.name, blob.member)
        before = self.last.get(where)
        from .pictures import facts

        try:
            found = await asyncio.to_thread(facts, blob.data, blob.format)
        except Exception:  # a header is no reason to miss the next BLOB
            _LOGGER.exception("no facts of a BLOB of %s.%s", *where[:2])
            found = []
        now = asyncio.get_running_loop().time()
        count = before.count + 1 if before else 1
        self.last[where] = Received(len(blob.data), blob.format, path, count, now, found, problem)
        self._told(where[:2])
        if problem:
            self._lose(where[:2], 1, problem)


def _write(blob: ReceivedBlob, folder: Path) -> Path:
    """A folder that has gone is not made again: what was there was a disc, perhaps."""
    if not os.path.isdir(folder):
        raise FileNotFoundError(errno.ENOENT, f"the folder is not there: {folder}")
    return blob.write_to(folder)
