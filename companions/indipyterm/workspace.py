"""The servers that are open, and what a screen may ask of the application."""

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
    """A server, and what is looked at there."""

    session: Session
    browser: Browser = field(default_factory=Browser)


class Terminal(Protocol):
    """The application, as its screens see it."""

    @property
    def settings(self) -> Settings:
        """What the user prefers."""

    @property
    def workspaces(self) -> Sequence[Workspace]:
        """The servers."""

    @property
    def chosen(self) -> int:
        """Number of the one that is shown."""

    @property
    def workspace(self) -> Workspace | None:
        """The one that is shown."""

    def void_typing(self) -> None:
        """What is typed on without a pause was for an editor that was not opened."""

    def choose(self, index: int) -> None:
        """Show the server with this number."""

    def open_server(self, address: str) -> None:
        """Show the server at this address."""

    def close_server(self, session: Session) -> None:
        """End a connection."""

    def leave(self) -> None:
        """End, when nothing is unfinished or the person does not wait for it."""
