"""The last messages."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from textual import events
from textual.message import Message

from indipyclient import Note

from ..session import Session
from ..words import clean, fit, shorten
from .lines import Lines, Piece

__all__ = ["MessagePane", "note_pieces"]


def note_time(note: Note, seconds_ago: float) -> str:
    """The time of a message: the device's own if it is valid, otherwise the time of arrival; UTC."""
    stamp = note.timestamp or ""
    if len(stamp) >= 19 and stamp[10] in "T " and stamp[13] == ":":
        return stamp[11:19]
    return f"{datetime.fromtimestamp(datetime.now(UTC).timestamp() - seconds_ago, UTC):%H:%M:%S}"


def note_pieces(note: Note, columns: int, seconds_ago: float, bad: bool) -> list[Piece]:
    """One message on one line."""
    room = max(columns - 9 - 14, 10)
    text = clean(note.text)
    return [
        (f"{clean(note_time(note, seconds_ago))} ", "dim"),
        (fit(clean(note.device or "server"), 12) + " ", "label"),
        ("! " if bad else "  ", "alert" if bad else ""),
        (shorten(text, room), "alert" if bad else ""),
    ]


_BAD = ("[ERROR]", "[WARN", "error", "fail", "alert", "refused", "cannot", "not possible")


def sounds_bad(note: Note) -> bool:
    """Whether its text reports trouble."""
    text = note.text[:200].lower()
    return any(word.lower() in text for word in _BAD)


class MessagePane(Lines):
    """Messages, newest first."""

    DEFAULT_CSS = "MessagePane { scrollbar-size: 0 0; }"

    class Opened(Message):
        """Asks for the page of all messages."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._notes: list[Note] = []

    def show(self, session: Session | None) -> None:
        """Show the messages of this server."""
        notes = session.client.notes()[-50:] if session else []
        notes.reverse()
        if notes != self._notes:
            self._notes = notes
            self.recount()

    def count(self) -> int:
        return len(self._notes)

    def pieces(self, y: int) -> list[Piece]:
        note = self._notes[y]
        return note_pieces(note, self.columns, asyncio.get_running_loop().time() - note.at, sounds_bad(note))

    def on_click(self, _: events.Click) -> None:
        self.post_message(self.Opened())

    def on_resize(self) -> None:
        self.recount()
