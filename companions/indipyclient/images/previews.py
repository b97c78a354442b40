"""Previews, each made by a separate process and kept while there is room."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

__all__ = ["Preview", "Previews", "PreviewsBusy"]

TIME: Final = 8.0
"""Seconds that a preview may take."""
_WAITING: Final = 24
_KEPT: Final = 48 << 20
LARGEST: Final = 512 << 20
_LATE: Final = "it takes too long"
_START: Final = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); from indipyclient.images.worker import main; main(sys.argv[1:])"
)


class PreviewsBusy(Exception):
    """Too many previews are already waiting."""


@dataclass(frozen=True, slots=True)
class Preview:
    """A preview.

    Attributes:
        facts: Facts about the image; ``problem`` says why there is no picture.
        png: The picture; b"" if the file itself can be shown, or there is none.
    """

    facts: dict[str, Any]
    png: bytes


class Previews:
    """Makes previews, one at a time, and keeps the last ones.

    Args:
        in_thread: Calls a function in a thread, as :func:`asyncio.to_thread` does.
    """

    def __init__(self, in_thread: Callable[..., Awaitable[Preview]] = asyncio.to_thread) -> None:
        self._in_thread = in_thread
        self._known: OrderedDict[Hashable, Preview] = OrderedDict()
        self._bytes = 0
        self._making: dict[Hashable, asyncio.Task[Preview]] = {}
        self._turn: asyncio.Lock | None = None
        self._closed = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None

    def close(self) -> None:
        """Make no more; the present one is abandoned."""
        self._closed.set()
        if self._process is not None:
            self._process.kill()
        for task in self._making.values():
            task.cancel()

    async def get(
        self, key: Hashable, source: bytes | Path, format: str, most: int, crop: tuple[int, int, int] | None = None
    ) -> Preview:
        """The preview of a file.

        Args:
            key: Identifies the file in its present state.
            source: Its bytes, or its path.
            format: Its suffixes.
            most: The most columns and rows that it may have.
            crop: A part of it, one to one.

        Raises:
            PreviewsBusy: Try again later.
            OSError: The file cannot be read.
        """
        whole = (key, most, crop)
        found = self._known.get(whole)
        if found is not None:
            self._known.move_to_end(whole)
            return found
        task = self._making.get(whole)
        if task is None:
            if len(self._making) >= _WAITING:
                raise PreviewsBusy
            task = self._making[whole] = asyncio.create_task(self._make(whole, source, format, most, crop))
            task.add_done_callback(lambda _: self._making.pop(whole, None))
        return await asyncio.shield(task)

    async def _make(
        self, key: Hashable, source: bytes | Path, format: str, most: int, crop: tuple[int, int, int] | None
    ) -> Preview:
        if self._turn is None:
            self._turn = asyncio.Lock()
        async with self._turn:
            wanted = json.dumps({"format": format[-32:], "most": most, "crop": crop})
            made = await self._in_thread(_run, source, wanted, self._begun)
        if made.facts.get("problem") == _LATE:  # the machine is busy, which is temporary
            return made
        self._known[key] = made
        self._bytes += len(made.png)
        while self._bytes > _KEPT and len(self._known) > 1:
            _, old = self._known.popitem(last=False)
            self._bytes -= len(old.png)
        while len(self._known) > 100:
            _, old = self._known.popitem(last=False)
            self._bytes -= len(old.png)
        return made

    def _begun(self, process: subprocess.Popen[bytes]) -> None:
        """Called in a thread."""
        self._process = process
        if self._closed.is_set():
            process.kill()


def _run(
    source: bytes | Path, wanted: str, begun: Callable[[subprocess.Popen[bytes]], None] = lambda process: None
) -> Preview:
    with contextlib.ExitStack() as stack:
        if isinstance(source, Path):
            file: Any = stack.enter_context(open(source, "rb"))
        elif hasattr(os, "memfd_create"):
            file = stack.enter_context(open(os.memfd_create("preview"), "r+b", buffering=0))
            _write(file, source)
        else:
            file = stack.enter_context(tempfile.TemporaryFile())
            file.write(source)
            file.flush()
        size = os.fstat(file.fileno()).st_size
        if not 0 < size <= LARGEST:
            return Preview({"problem": "the file is empty" if not size else "the file is too large"}, b"")
        where = str(Path(__file__).resolve().parents[2])
        command = [sys.executable, "-I", "-S", "-c", _START, where, wanted]
        with subprocess.Popen(command, stdin=file, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            begun(process)
            try:
                said, _ = process.communicate(timeout=TIME)
            except subprocess.TimeoutExpired:
                process.kill()
                return Preview({"problem": _LATE}, b"")
    head, _, picture = said.partition(b"\n")
    if process.returncode or not head:  # even in the middle of the picture
        return Preview({"problem": "it takes too much memory or time"}, b"")
    return Preview(json.loads(head), picture)


def _write(file: Any, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view[: 1 << 22]) :]
