"""Recordings as files: a gzip file of lines, and beside it a folder of BLOBs."""

from __future__ import annotations

import errno
import gzip
import json
import math
import os
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from indipydriver.protocol.messages import AnyMessage, OneBlob

from ..blobs import safe_name, safe_suffix
from .form import FORMAT, VERSION, LinkChange, from_dict, header, to_dict

__all__ = ["Line", "Recording", "Writer"]

FLUSH_EVERY: Final = 5.0
"""Seconds of a recording that a crash may cost."""

LONGEST_LINE: Final = 16 << 20
"""Bytes; no INDI element is as long."""


class Line(NamedTuple):
    """One recorded message.

    Attributes:
        t: Seconds since the beginning.
        message: The message.
    """

    t: float
    message: AnyMessage | LinkChange


def _folder_of(path: Path) -> Path:
    return path.with_name(path.name + ".blobs")


class Writer:
    """Writes a recording; it must be closed.

    Args:
        path: The file; neither it nor its folder of BLOBs may exist yet.
        server: Which server is recorded, for the header.

    Attributes:
        lines: Written so far.
        blobs: Written so far.
        lost: Messages that are missing because they arrived faster than they could be written.

    Raises:
        FileExistsError: The file or its folder of BLOBs exists already.
        OSError: It cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str], server: str) -> None:
        self.path = Path(path)
        folder = _folder_of(self.path)
        if folder.is_dir() and next(folder.iterdir(), None) is not None:  # perhaps of a recording that was moved
            raise FileExistsError(errno.EEXIST, "there are BLOBs of another recording", str(folder))
        self.lines = 0
        self.blobs = 0
        self.lost = 0
        self._raw = open(self.path, "xb")  # noqa: SIM115  # it is open as long as this is
        self._file = gzip.GzipFile(fileobj=self._raw, mode="wb", mtime=0)
        self._flushed = -1  # how many lines had been written then
        self._write(header(server, datetime.now(UTC).isoformat(timespec="milliseconds")))

    def add(self, t: float, message: AnyMessage | LinkChange) -> None:
        """Add a message, this many seconds after the beginning.

        Raises:
            OSError: It cannot be written.
        """
        found = to_dict(message, self._save)
        if found is None:
            return
        self._write({"t": round(t, 6), **found})
        self.lines += 1

    def flush(self) -> None:
        """Hand what was written to the system, so that a crash does not cost it.

        Raises:
            OSError: It cannot be written.
        """
        if self.lines != self._flushed:
            self._file.flush()
            self._flushed = self.lines

    def _write(self, found: dict[str, Any]) -> None:
        self._file.write(json.dumps(found, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")

    def _save(self, blob: OneBlob) -> str:
        folder = _folder_of(self.path)
        folder.mkdir(exist_ok=True)
        self.blobs += 1
        name = f"{self.blobs:06d}_{safe_name(blob.name)}{safe_suffix(blob.format)}"
        (folder / name).write_bytes(blob.data)
        return f"{folder.name}/{name}"

    def close(self) -> None:
        """Finish the file."""
        try:
            self._file.close()
        finally:
            self._raw.close()


class Recording:
    """A recording to read.  If it was cut off by a crash, it is valid up to that point.

    Args:
        path: The file.

    Attributes:
        server: Which server was recorded.
        started: When it was started, as an ISO time in UTC.

    Raises:
        ValueError: It is not a recording, or of a newer version than this program knows.
        OSError: It cannot be read.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        first = next(self._objects(), None)
        if not isinstance(first, dict) or first.get("format") != FORMAT:
            raise ValueError(f"{self.path} is not a recording")
        if first.get("version") != VERSION:
            raise ValueError(f"{self.path} is of version {first.get('version')}, and {VERSION} can be read")
        self.server: str = str(first.get("server", ""))
        self.started: str = str(first.get("started", ""))

    def __iter__(self) -> Iterator[Line]:
        """Line by line, from the beginning.

        Raises:
            ValueError: A line is not valid.
        """
        lines = self._objects()
        next(lines, None)
        for found in lines:
            try:
                t = float(found["t"])
            except (KeyError, TypeError, ValueError, OverflowError):
                t = math.nan
            if not math.isfinite(t):
                raise ValueError(f"{self.path}: a line without a time")
            yield Line(t, from_dict(found, self._load))

    def _objects(self) -> Iterator[Any]:
        with gzip.open(self.path, "rb") as file:
            while True:
                try:
                    line = file.readline(LONGEST_LINE)
                except (EOFError, zlib.error):  # cut off
                    return
                except gzip.BadGzipFile:
                    raise ValueError(f"{self.path} is not a recording") from None
                if not line.endswith(b"\n"):
                    if len(line) == LONGEST_LINE:
                        raise ValueError(f"{self.path} has a line of more than {LONGEST_LINE} bytes")
                    return
                try:
                    yield json.loads(line)
                except (ValueError, RecursionError):
                    raise ValueError(f"{self.path} has a line that is not JSON") from None

    def _load(self, name: str) -> bytes:
        """The bytes of a BLOB; b"" if they are missing.  Paths that lead out of its folder are ignored."""
        folder = _folder_of(self.path)
        path = folder / Path(name).name
        try:
            return path.read_bytes()
        except (OSError, ValueError):  # or an invalid name
            return b""
