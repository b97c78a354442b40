"""Everything that is known about a property and a member."""

from __future__ import annotations

import asyncio

from ..session import Session
from ..widgets.detail import greyed, known
from ..widgets.lines import Piece
from .page import Page

__all__ = ["FactsScreen"]


class FactsScreen(Page):
    """The content of the right pane of wide terminals."""

    def __init__(self, session: Session, key: tuple[str, str], member: str) -> None:
        super().__init__()
        self._session, self._key, self._member = session, key, member

    def title_text(self) -> str:
        return ".".join(part for part in (*self._key, self._member) if part)

    def rows(self, columns: int) -> list[list[Piece]]:
        prop = self._session.client.get(*self._key)
        if prop is None:
            return [[("it is gone", "dim")]]
        now = asyncio.get_running_loop().time()
        rows = known(self._session, prop, prop.members.get(self._member), columns, now)
        return greyed(rows) if self._session.client.is_stale(prop) else rows
