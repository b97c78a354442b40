"""The open servers, and what a screen may ask of the application."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from .browser import Browser
from .session import Session
from .settings import Settings

__all__ = ["Terminal", "Workspace"]


@dataclass(slots=True)
class Workspace:
    """A server, and what is shown of it."""

    session: Session
    browser: Browser = field(default_factory=Browser)


class Terminal(Protocol):
    """The interface of the application for its screens."""

    @property
    def settings(self) -> Settings:
        """The user's preferences."""

    @property
    def workspaces(self) -> Sequence[Workspace]:
        """The servers."""

    @property
    def chosen(self) -> int:
        """The number of the server that is shown."""

    @property
    def workspace(self) -> Workspace | None:
        """The server that is shown."""

    @property
    def strokes(self) -> int:
        """How often a finger has pressed a key or a button, held down or not; a double click counts once."""

    @property
    def strayed(self) -> bool:
        """The present key or click has come again, and what it was for at first has given way to something else."""

    @property
    def lateness(self) -> float:
        """Seconds since the present key was pressed, which has waited for earlier ones."""

    def void_typing(self) -> None:
        """Drop keys that are typed without a pause, because they were for an editor that was not opened."""

    def choose(self, index: int) -> None:
        """Show the server with this number."""

    def open_server(self, address: str) -> None:
        """Show the server at this address."""

    def close_server(self, session: Session) -> None:
        """End a connection."""

    def leave(self) -> None:
        """End when nothing is unfinished, or the user does not want to wait."""
