"""BLOBs that were received, and the files they go to."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from indipydriver.errors import ValueFormatError
from indipydriver.protocol.messages import OneBlob, SetVector
from indipydriver.protocol.tags import VectorKind
from indipydriver.protocol.values import inflate, parse_timestamp

from .model.model import Change, What
from .streams import Tap

__all__ = ["BlobSink", "ReceivedBlob", "safe_name", "safe_suffix", "write_new"]

_LONGEST: Final = 100
_INFLATED: Final = 1 << 30
_numbers: Final = itertools.count()  # several threads may write the same bytes at the same time


@dataclass(frozen=True, slots=True)
class ReceivedBlob:
    """One BLOB as it came.

    Attributes:
        device: Whose.
        name: Of which property.
        member: Of which member.
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
        """The timestamp, aware and in UTC."""
        return parse_timestamp(self.timestamp)

    def inflated(self, limit: int = _INFLATED) -> bytes:
        """The bytes, no longer compressed if the device did that (``.z``).

        Raises:
            ValueFormatError: It is no zlib stream, or holds more than the limit.
        """
        return inflate(self.data, limit) if self.format.endswith(".z") else self.data

    def write_to(self, folder: str | os.PathLike[str], limit: int = _INFLATED) -> Path:
        """Write it to a new file ``<member>_<time><format>`` in a folder; blocks.

        What the device compressed is written as it was before; a stream that is broken, or longer then, as it came.

        Args:
            folder: Where; made if it is not there.
            limit: Bytes that it may have after inflating.

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
    """A part of a file name that no peer can lead elsewhere: letters, digits, dot, dash and underscore."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text).lstrip(".-")[:_LONGEST] or "blob"


def safe_suffix(format: str) -> str:
    """The suffixes of a file, likewise; with the dot that some devices leave out."""
    cleaned = re.sub(r"\.{2,}", ".", re.sub(r"[^A-Za-z0-9._-]+", "", format)).rstrip(".")[:_LONGEST]
    return cleaned if not cleaned or cleaned.startswith(".") else f".{cleaned}"


def write_new(
    folder: str | os.PathLike[str], name: str, format: str, data: bytes, time: datetime | None = None
) -> Path:
    """Write bytes to a file that was not there before; it appears when it is complete.

    Args:
        folder: Where; made if it is not there.
        name: Of the member.
        format: Suffixes.
        data: What to write.
        time: For the name; None for now.
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
    """Rename, unless there is a file of that name already."""
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


class BlobSink:
    """Takes changes, as a tap does, and puts their BLOBs into a stream.

    Args:
        stream: Where they go.
        member: Of which member; None for all.
    """

    holds_up = False

    def __init__(self, stream: Tap[ReceivedBlob], member: str | None) -> None:
        self._stream = stream
        self._member = member

    def put(self, change: Change, size: int) -> None:
        for blob in _blobs_of(change):
            if self._member in (None, blob.member):
                self._stream.put(blob, len(blob.data))

    def close(self) -> None:
        self._stream.close()


def _blobs_of(change: Change) -> list[ReceivedBlob]:
    message = change.message
    if change.what is not What.SET or not isinstance(message, SetVector) or message.kind is not VectorKind.BLOB:
        return []
    return [
        ReceivedBlob(message.device, message.name, one.name, one.data, one.format, one.size, message.timestamp)
        for one in message.members
        if isinstance(one, OneBlob)
    ]
