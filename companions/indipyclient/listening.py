"""Following what devices say, without missing anything silently."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Final

from .engine import Engine
from .model.delta import Note
from .model.kept import EACH
from .model.model import Change, Model
from .model.tap import TapQueue
from .streams import Lost, Tap

__all__ = ["follow"]

MESSAGES: Final = 10_000
"""Messages that may wait for a reader."""
MESSAGE_BYTES: Final = 16 << 20


def follow(engine: Engine, device: str | None, initial: bool) -> AsyncGenerator[Note, None]:
    """See :meth:`indipyclient.client.Client.messages`."""
    stream: Tap[Note] = Tap(TapQueue(MESSAGES, MESSAGE_BYTES), lambda tap: None)
    sink = _NoteSink(stream, engine.model, device)
    engine.add_tap(sink, device, None)  # now, and not when the first is wanted: a command may be sent before
    known = [note for note in engine.model.notes() if device in (None, note.device)] if initial else []
    return _notes(engine, stream, sink, known)


async def _notes(engine: Engine, stream: Tap[Note], sink: _NoteSink, known: list[Note]) -> AsyncGenerator[Note, None]:
    try:
        for note in known:
            yield note
        async for item in stream:
            yield sink.lost(item) if isinstance(item, Lost) else item
    finally:
        engine.remove_tap(sink)


class _NoteSink:
    """Takes changes, like a tap, and puts their messages into a stream.

    Args:
        stream: Receives them.
        model: Has just applied the changes.
        device: Only messages of this device; None for all.
    """

    holds_up = False

    def __init__(self, stream: Tap[Note], model: Model, device: str | None) -> None:
        self._stream = stream
        self._model = model
        self._device = device
        self._rev = model.rev

    def put(self, change: Change, size: int) -> None:
        for note in self._model.notes(None, self._rev):
            if self._device in (None, note.device):
                self._stream.put(note, EACH + len(note.text))
        self._rev = self._model.rev

    def lost(self, lost: Lost) -> Note:
        """The message that takes the place of those."""
        text = f"{lost.count} messages are lost: they came faster than they were read"
        return Note(self._device, None, text, None, self._model.rev, 0.0)

    def close(self) -> None:
        self._stream.close()
