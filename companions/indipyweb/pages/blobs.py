"""The folder of BLOBs: its files, their thumbnails, downloads, and deleting them."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote

from starlette.responses import Response, StreamingResponse

from indipyclient.images.png import kind_of
from indipyclient.images.previews import PreviewsBusy

from ..disk import Disk
from ..visit import Answer, Problem, Visit

__all__ = ["delete", "download", "listing", "thumbnail"]

SHOWN: Final = 100
_SLICE: Final = 1 << 20
_PICTURES: Final = (".fits", ".fit", ".fts", ".fits.gz", ".fits.z", ".png", ".jpg", ".jpeg")

_DATABASE: Final = re.compile(r"\.db(-wal|-shm|-journal)?$", re.IGNORECASE)


class File(NamedTuple):
    """A file.

    Attributes:
        name: Its name in the folder.
        size: Its size in bytes.
        at: When it was written, in seconds since 1970.
        has_picture: Its name is that of an image.
    """

    name: str
    size: int
    at: float
    has_picture: bool


def _files(folder: Path) -> list[File]:
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if not _is_shown(entry.name) or not entry.is_file(follow_symlinks=False):
                continue
            facts = entry.stat(follow_symlinks=False)
            is_picture = entry.name.lower().endswith(_PICTURES)
            found.append(File(entry.name, facts.st_size, facts.st_mtime, is_picture))
    return sorted(found, key=lambda file: -file.at)


def _is_shown(name: str) -> bool:
    """Whether it may be seen: not a hidden file, not a database, such as that of the accounts, and not one whose name
    no link can give, as it is not UTF-8."""
    is_text = name == name.encode("utf-8", "replace").decode()
    return is_text and not name.startswith(".") and not _DATABASE.search(name)


def _folder(visit: Visit) -> Path:
    folder = visit.web.settings.blobfolder
    if folder is None:
        raise Problem(404, "No folder for BLOBs is set: see Set-up, or the option --blobfolder.")
    return folder


async def _path(visit: Visit, name: str) -> Path:
    """A regular file of the folder.

    Raises:
        Problem: There is no such file, or the disk does not respond.
    """
    path = _folder(visit) / name
    ok = name and name == os.path.basename(name) and _is_shown(name) and "\0" not in name and "\\" not in name
    try:
        if ok and await visit.web.disk.soon(_is_plain, path):
            return path
    except TimeoutError as error:
        raise Problem(503, f"The folder cannot be read: {error.strerror}.") from None
    except (OSError, ValueError):
        pass
    raise Problem(404, "There is no such file.")


def _is_plain(path: Path) -> bool:
    return stat.S_ISREG(os.lstat(path).st_mode)


def _facts(path: Path) -> os.stat_result:
    """The status of a file that can be read."""
    with open(path, "rb") as file:
        file.read(1)
        return os.fstat(file.fileno())


async def listing(visit: Visit) -> Answer:
    """The files, newest first."""
    folder = visit.web.settings.blobfolder
    try:
        files = await visit.web.disk.soon(_files, folder) if folder is not None else []
    except OSError as error:
        raise Problem(500, f"The folder cannot be read: {error.strerror}.") from error
    page = visit.number("page", 1)
    pages = max(1, -(-len(files) // SHOWN))
    page = min(max(page, 1), pages)
    return visit.render(
        "blobs.html",
        title="BLOB files",
        folder=folder,
        files=files[(page - 1) * SHOWN : page * SHOWN],
        total=len(files),
        bytes=sum(file.size for file in files),
        page=page,
        pages=pages,
        problem=" ".join(site.problem for site in visit.web.sites.values() if site.problem),
    )


async def download(visit: Visit) -> Answer:
    """A file."""
    path = await _path(visit, visit.query("name"))
    try:
        facts = await visit.web.disk.soon(_facts, path)
    except OSError as error:
        raise Problem(404, f"The file cannot be read: {error.strerror}.") from error
    return StreamingResponse(
        _slices(visit.web.disk, path, facts),
        media_type="application/octet-stream",
        headers={
            "content-length": str(facts.st_size),
            "content-disposition": f"attachment; filename*=UTF-8''{quote(path.name, safe='')}",
            "content-security-policy": "sandbox; default-src 'none'",
        },
    )


async def _slices(disk: Disk, path: Path, facts: os.stat_result) -> AsyncIterator[bytes]:
    """Send it as fast as it is taken; a slow browser keeps neither a file open nor a thread busy."""
    for begin in range(0, facts.st_size, _SLICE):
        yield await disk.soon(_slice, path, facts, begin)


def _slice(path: Path, facts: os.stat_result, begin: int) -> bytes:
    with open(path, "rb") as file:
        file.seek(begin)
        found = file.read(min(_SLICE, facts.st_size - begin))
        now = os.fstat(file.fileno())
    if (now.st_ino, now.st_size, now.st_mtime_ns) != (facts.st_ino, facts.st_size, facts.st_mtime_ns):
        raise OSError("the file has changed")
    return found


async def thumbnail(visit: Visit) -> Answer:
    """A small picture of a file."""
    path = await _path(visit, visit.query("name"))
    suffix = "".join(path.suffixes[-2:])
    try:
        facts = await visit.web.disk.soon(_facts, path)
        # A browser may cache it only with its time: the file may be rewritten.
        is_meant = visit.query("at") == str(facts.st_mtime)
        headers = {"cache-control": "private, max-age=3600"} if is_meant else {}
        made = await visit.web.thumbnails.get(("file", path.name, facts.st_mtime_ns, facts.st_size), path, suffix, 160)
        if made.png:
            return Response(made.png, media_type="image/png", headers=headers)
        data = await visit.web.disk.soon(path.read_bytes) if facts.st_size <= 4 << 20 else b""
    except PreviewsBusy:
        raise Problem(503, "Too many images wait to be drawn.") from None
    except OSError as error:  # it may be gone by now
        raise Problem(404, f"The file cannot be read: {error.strerror}.") from error
    kind = kind_of(data)
    if kind:
        return Response(data, media_type=kind, headers=headers)
    raise Problem(404, str(made.facts.get("problem", "There is no picture of it.")))


async def delete(visit: Visit) -> Answer:
    """Delete a file."""
    path = await _path(visit, (await visit.form()).get("name", ""))
    visit.check_again()
    try:
        await visit.web.disk.soon(path.unlink)
    except TimeoutError:
        raise Problem(503, "The disk does not answer: it is not known whether the file is deleted.") from None
    except OSError as error:
        raise Problem(409, f"Not deleted: {error.strerror}.") from error
    visit.note("file deleted", path.name)
    return visit.redirect("/blobs")
