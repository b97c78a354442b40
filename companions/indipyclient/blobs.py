"""Received BLOBs, and the files to which they are saved."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import io
import itertools
import logging
import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from indipydriver.errors import ValueFormatError
from indipydriver.protocol.messages import OneBlob, SetVector
from indipydriver.protocol.tags import VectorKind
from indipydriver.protocol.values import inflate, parse_timestamp

from .errors import BadValue
from .model.commands import LARGEST
from .model.model import Change, What
from .streams import Lost, Tap

__all__ = [
    "BlobSink",
    "ReceivedBlob",
    "blobs_in",
    "blobs_of",
    "bytes_of",
    "safe_name",
    "safe_suffix",
    "save_each",
    "take_piece",
    "until_over",
    "write_new",
]

logger = logging.getLogger("indipyclient")

_LONGEST: Final = 100
_INFLATED: Final = 1 << 30
_PIECE: Final = 1 << 20
_numbers: Final = itertools.count()  # several threads may write the same bytes at the same time


@dataclass(frozen=True, slots=True)
class ReceivedBlob:
    """One received BLOB.

    Attributes:
        device: Its device.
        name: Its property.
        member: Its member.
        data: The bytes; still compressed if `format` ends in ``.z``.
        format: Suffixes, such as ``.fits``.
        size: Length after inflating, as the device said, or None.
        timestamp: As the device wrote it, or None.
    """

    device: str
    name: str
    member: str
    data: bytes
    format: str
    size: int | None
    timestamp: str | None

    @property
    def time(self) -> datetime | None:
        """The timestamp, timezone-aware and in UTC."""
        return parse_timestamp(self.timestamp)

    def inflated(self, limit: int = _INFLATED) -> bytes:
        """The bytes, decompressed if the device has compressed them (``.z``).

        Raises:
            ValueFormatError: It is not a zlib stream, or holds more than the limit.
        """
        return inflate(self.data, limit) if self.format.endswith(".z") else self.data

    def write_to(self, folder: str | os.PathLike[str], limit: int = _INFLATED) -> Path:
        """Write it to a new file ``<member>_<time><format>`` in a folder; blocks.

        Compressed data is decompressed first; if its stream is broken or exceeds the limit, it is written as received.

        Args:
            folder: The folder; created if it does not exist.
            limit: The most bytes that it may have after inflating.

        Returns:
            The path of the file.

        Raises:
            OSError: It cannot be written.
        """
        data, format = self.data, self.format
        with contextlib.suppress(ValueFormatError):
            data = self.inflated(limit)
            format = format.removesuffix(".z")
        return write_new(folder, self.member, format, data, self.time)


def safe_name(text: str) -> str:
    """A safe part of a file name, which cannot lead elsewhere: letters, digits, dot, dash and underscore."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text).lstrip(".-")[:_LONGEST] or "blob"


def safe_suffix(format: str) -> str:
    """Safe suffixes of a file name, with the dot that some devices leave out."""
    cleaned = re.sub(r"\.{2,}", ".", re.sub(r"[^A-Za-z0-9._-]+", "", format)).rstrip(".")[:_LONGEST]
    return cleaned if not cleaned or cleaned.startswith(".") else f".{cleaned}"


def write_new(
    folder: str | os.PathLike[str], name: str, format: str, data: bytes, time: datetime | None = None
) -> Path:
    """Write bytes to a new file, which appears when it is complete.

    Args:
        folder: The folder; created if it does not exist.
        name: The name of the member.
        format: Suffixes.
        data: What to write.
        time: The time in the file name; None for now.
    """
    directory = Path(folder)
    directory.mkdir(parents=True, exist_ok=True)
    stem = f"{safe_name(name)}_{(time or datetime.now(UTC)).strftime('%Y%m%d_%H_%M_%S')}"
    suffix = safe_suffix(format)
    part = directory / f".{stem}{suffix}.{os.getpid()}.{next(_numbers)}.part"
    file = open(part, "xb")  # noqa: SIM115  # what is there already is not ours to remove
    try:
        with file:
            file.write(data)
        number = 0
        while True:
            path = directory / f"{stem}{f'_{number}' if number else ''}{suffix}"
            try:
                _rename_new(part, path)
            except FileExistsError:
                number += 1
            else:
                return path
    finally:
        part.unlink(missing_ok=True)


def _rename_new(part: Path, path: Path) -> None:
    """Rename, unless a file of that name exists already."""
    try:
        os.link(part, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        with open(path, "xb"):
            pass
        try:
            os.replace(part, path)
        except BaseException:
            path.unlink()
            raise


def bytes_of(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a file that is to be sent; blocks.  No more is read than can be sent, even if it grows meanwhile.

    Raises:
        BadValue: It is more than a server takes, or not a file: a device, or a pipe.
        OSError: It cannot be read.
    """
    name = os.path.basename(path)
    found = io.BytesIO()
    with open(path, "rb", buffering=0, opener=_open_at_once) as file:
        facts = os.fstat(file.fileno())
        if not stat.S_ISREG(facts.st_mode):
            raise BadValue(f"{name} is not a file")
        if facts.st_size > LARGEST:
            raise _too_large(name)
        while piece := file.read(_PIECE):
            take_piece(found, piece, name)
    return found.getvalue()


def take_piece(found: io.BytesIO, piece: bytes, name: str) -> None:
    """Add a piece of what is to be sent.

    Raises:
        BadValue: There is more than a server takes.
    """
    if found.tell() + len(piece) > LARGEST:
        raise _too_large(name)
    found.write(piece)


def _too_large(name: str) -> BadValue:
    return BadValue(f"{name} is too large: no server takes more than {LARGEST >> 20} MiB")


def _open_at_once(path: str, flags: int) -> int:
    """Open without waiting until somebody writes, as opening a pipe would."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


@contextlib.contextmanager
def until_over(saving: set[asyncio.Future[None]]) -> Iterator[None]:
    """Add something to these that is done when the block is over."""
    over = asyncio.get_running_loop().create_future()
    saving.add(over)
    try:
        yield
    finally:
        saving.discard(over)
        if not over.done():
            over.set_result(None)


async def save_each(
    stream: Tap[ReceivedBlob],
    folder: str | os.PathLike[str],
    saved: Callable[[ReceivedBlob, Path], None],
    count: int | None,
    wanted: Callable[[ReceivedBlob], bool] = lambda blob: True,
) -> int:
    """See :meth:`indipyclient.client.Client.save_blobs`; `wanted` says which ones."""
    work = asyncio.ensure_future(_save_each(stream, folder, saved, count, wanted))
    try:
        return await asyncio.shield(work)
    finally:
        if not work.done():  # cancelled: what has been received is still written
            stream.close()
            try:
                await asyncio.wait([work])
                work.result()
            finally:
                work.cancel()


async def _save_each(
    stream: Tap[ReceivedBlob],
    folder: str | os.PathLike[str],
    saved: Callable[[ReceivedBlob, Path], None],
    count: int | None,
    wanted: Callable[[ReceivedBlob], bool],
) -> int:
    await asyncio.to_thread(_make_folder, folder)  # and not with the first BLOB, when nobody may be there
    written = failed = 0
    failure: OSError | None = None
    async for blob in stream:
        if isinstance(blob, Lost):
            logger.warning("%d BLOBs are lost: they came faster than they could be written to %s", blob.count, folder)
            continue
        if not wanted(blob):
            continue
        try:
            path = await asyncio.to_thread(blob.write_to, folder)
        except OSError as error:  # there may be room for the others that have been received
            stream.close()
            failed += 1
            failure = failure or error
            continue
        saved(blob, path)
        written += 1
        if count is not None and written >= count:
            break
    if failure is not None:
        if failed > 1:
            logger.warning("%d BLOBs cannot be written to %s", failed, folder)
        if failure.filename is None:
            failure.filename = str(folder)
        raise failure
    return written


def _make_folder(folder: str | os.PathLike[str]) -> None:
    """Make a folder, if it does not exist.

    Raises:
        OSError: It cannot be made, or nothing can be written there.
    """
    os.makedirs(folder, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))


class BlobSink:
    """Takes changes, like a tap, and puts their BLOBs into a stream.

    Args:
        stream: Receives them.
        member: The member; None for all.
    """

    def __init__(self, stream: Tap[ReceivedBlob], member: str | None) -> None:
        self._stream = stream
        self._member = member

    @property
    def holds_up(self) -> bool:
        return self._stream.holds_up

    def put(self, change: Change, size: int) -> None:
        for blob in blobs_of(change):
            if self._member in (None, blob.member):
                self._stream.put(blob, len(blob.data))

    def close(self) -> None:
        self._stream.close()


def blobs_of(change: Change) -> list[ReceivedBlob]:
    """What a change of a property has brought."""
    return blobs_in(change.message) if change.what is What.SET else []


def blobs_in(message: object) -> list[ReceivedBlob]:
    """What a message brings, whether or not its property is known."""
    if not isinstance(message, SetVector) or message.kind is not VectorKind.BLOB:
        return []
    return [
        ReceivedBlob(message.device, message.name, one.name, one.data, one.format, one.size, message.timestamp)
        for one in message.members
        if isinstance(one, OneBlob)
    ]
