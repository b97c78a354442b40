"""Makes one preview in a process of its own, with limits: the file is its standard input."""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import sys
from typing import Any, Final

from .fits import NoImage, beginning, open_fits
from .picture import picture_of
from .png import encode, kind_of

__all__ = ["main", "preview"]

MEMORY: Final = 1536 << 20
PROCESSOR: Final = 6
_CARDS: Final = 500


def preview(
    data: bytes | memoryview, format: str, most: int, crop: tuple[int, int, int] | None
) -> tuple[dict[str, Any], bytes]:
    """Facts about a file, and a picture of it; b"" if there is none."""
    kind = kind_of(data)
    if kind:
        return {"kind": kind}, b""
    try:
        fits, picture = picture_of(data, format, most, most, crop)
    except NoImage as error:
        return {"problem": str(error), "cards": _cards(data, format)}, b""
    facts = {**picture.facts, "kind": "image/png", "cards": fits.cards[:_CARDS]}
    return facts, encode(picture.width, picture.height, picture.channels, picture.pixels)


def _cards(data: bytes | memoryview, format: str) -> list[tuple[str, str, str]]:
    with contextlib.suppress(NoImage):
        return open_fits(beginning(data, format), whole=False).cards[:_CARDS]
    return []


def _bound_oneself() -> None:
    with contextlib.suppress(Exception):
        os.nice(10)
    with contextlib.suppress(Exception):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (PROCESSOR, PROCESSOR))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main(words: list[str]) -> int:
    """Read the standard input, and write the facts on a line, followed by the picture."""
    _bound_oneself()
    wanted = json.loads(words[0])
    with mmap.mmap(0, 0, access=mmap.ACCESS_READ) as mapped:
        view = memoryview(mapped)
        try:
            crop = tuple(wanted["crop"]) if wanted.get("crop") else None
            facts, picture = preview(view, wanted["format"], wanted["most"], crop)
            sys.stdout.buffer.write(json.dumps(facts).encode() + b"\n" + picture)
            sys.stdout.buffer.flush()
        finally:
            os._exit(0)  # views of the mapping need not be released one by one
