"""The folder for BLOBs, with file names that no device can lead elsewhere."""

from __future__ import annotations

import contextlib
import os
import re
import time
from pathlib import Path
from typing import Final

from indipyclient.blobs import safe_suffix
from indipydriver.protocol.messages import OneBlob, SetVector
from indipydriver.protocol.values import format_timestamp

from .records import Stored

__all__ = ["blob_name", "open_folder", "remove_parts", "write_blob"]

_PART: Final = re.compile(r"\.\d+\.[0-9a-f]+\.part")
_OLD: Final = 3600.0
"""Seconds after which nobody writes such a file any more."""


def open_folder(folder: str | os.PathLike[str]) -> Path:
    """The folder as an absolute path, created if it does not exist.

    Raises:
        ValueError: None was given, or it is a file.
    """
    if not folder:
        raise ValueError("a folder for BLOBs is needed: blob_folder")
    path = Path(folder).expanduser().absolute()
    if path.exists() and not path.is_dir():
        raise ValueError(f"the folder for BLOBs is a file: {path}")
    path.mkdir(parents=True, exist_ok=True)
    return path


def remove_parts(folder: Path) -> None:
    """Remove what bridges that were killed, or lost their power, have left; blocks."""
    with contextlib.suppress(OSError):
        for entry in [*os.scandir(folder)]:
            if _PART.fullmatch(entry.name):
                with contextlib.suppress(OSError):  # perhaps it is that of another user
                    if entry.stat(follow_symlinks=False).st_mtime < time.time() - _OLD:
                        os.unlink(entry)


def blob_name(timestamp: str | None, format: str) -> tuple[str, str]:
    """The two parts of a file name: the timestamp with ``_`` for ``:``, and the suffixes."""
    stem = re.sub(r"[^A-Za-z0-9._+-]+", "_", (timestamp or "").replace(":", "_")).lstrip(".-_")[:64]
    return stem or format_timestamp().replace(":", "_"), safe_suffix(format)


def write_blob(folder: Path, message: SetVector, one: OneBlob) -> Stored:
    """Write a received BLOB to a new file; blocks.  The file appears when it is complete.

    Raises:
        OSError: It cannot be written.
    """
    stem, suffix = blob_name(message.timestamp, one.format)
    part = folder / f".{os.getpid()}.{id(one):x}.part"
    try:
        with open(part, "wb") as file:
            file.write(one.data)
        number = 0
        while True:
            path = folder / f"{stem}{f'_{number}' if number else ''}{suffix}"
            try:
                _name(part, path)
                break
            except FileExistsError:
                number += 1
    finally:
        part.unlink(missing_ok=True)
    size = one.size if one.size is not None else len(one.data)
    return Stored(str(size), one.format, str(path), message.timestamp or "")


def _name(part: Path, path: Path) -> None:
    """Give a file its name.

    Raises:
        FileExistsError: The name is taken.
    """
    try:
        os.link(part, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
        os.replace(part, path)
