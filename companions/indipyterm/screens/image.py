"""The last image of a camera, in half blocks."""

from __future__ import annotations

import asyncio

from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual.app import ComposeResult
from textual.strip import Strip
from textual.widget import Widget

from indipyclient.images.picture import Picture, picture_of

from ..pictures import Colour, facts, half_blocks
from ..received import size_shown
from ..session import Session
from .page import Label, Page

__all__ = ["ImageScreen"]


class _Canvas(Widget, can_focus=True):
    """Two pixels on each character."""

    DEFAULT_CSS = "_Canvas { height: 1fr; }"

    def __init__(self) -> None:
        super().__init__(id="body")
        self._strips: list[Strip] = []

    def put(self, picture: Picture | None) -> None:
        """Show this, in the middle."""
        self._strips = []
        ground = Style.parse(f"on {self.app.get_css_variables()['background']}")
        if picture is not None:
            left = max((self.size.width - picture.width) // 2, 0)
            styles: dict[tuple[Colour, Colour], Style] = {}
            for row in half_blocks(picture):
                segments = [Segment(" " * left, ground)]
                for pair in row:
                    style = styles.get(pair)
                    if style is None:
                        upper, lower = (Color.from_rgb(*colour) for colour in pair)
                        style = styles[pair] = Style(color=upper, bgcolor=lower)
                    segments.append(Segment("▀", style))
                self._strips.append(Strip(segments))
        self._ground = ground
        self.refresh()

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        if y < len(self._strips):
            return self._strips[y].adjust_cell_length(width, self._ground)
        return Strip.blank(width, self.rich_style)


class ImageScreen(Page):
    """An image that is redrawn when a new one arrives."""

    def __init__(self, session: Session, key: tuple[str, str], member: str) -> None:
        super().__init__()
        self._session, self._key, self._member = session, key, member
        self._canvas = _Canvas()
        self._seen: tuple[bytes, int, int] | None = None
        self._is_drawing = False
        self._drawn: tuple[int, list[tuple[str, str]]] | None = None  # size and facts of what is shown
        self._facts = Label("", "dim")

    def compose(self) -> ComposeResult:
        yield self.top
        yield self._canvas
        yield self._facts
        yield self.bottom

    def title_text(self) -> str:
        found = self._session.receiver.last.get((*self._key, self._member))
        text = f"{self._key[0]}   {self._key[1]}: {self._member}"
        return f"{text}   {size_shown(found.size)} {found.format}" if found else text

    def rows(self, columns: int) -> list[list[tuple[str, str]]]:
        return []

    def on_resize(self) -> None:
        self.call_after_refresh(self.look_again)

    def look_again(self) -> None:
        self.top.put(f" {self.title_text()}")
        self._tell_facts()
        prop = self._session.client.get(*self._key)
        member = prop.members.get(self._member) if prop else None
        data = member.data if member else None
        if data is None or member is None:
            self._facts.put("nothing has been received")
            return
        columns, rows = self._canvas.size
        seen = self._seen
        same = seen is not None and seen[0] is data and seen[1:] == (columns, rows)
        if same or self._is_drawing or columns < 2 or rows < 1:
            return
        self._seen = data, columns, rows
        self._is_drawing = True  # images may arrive faster than they are drawn: then the newest is next
        self.run_worker(self._draw(data, member.format, columns, rows))

    async def _draw(self, data: bytes, format: str, columns: int, rows: int) -> None:
        try:
            await self._show(data, format, columns, rows)
        finally:
            self._is_drawing = False
        self.look_again()

    async def _show(self, data: bytes, format: str, columns: int, rows: int) -> None:
        self._drawn = None
        try:
            _, picture = await asyncio.to_thread(picture_of, data, format, columns, rows * 2)
            self._drawn = len(data), await asyncio.to_thread(facts, data, format)
        except Exception as error:  # whatever is in it, the program must go on
            self._canvas.put(None)
            self._facts.put(f" no preview: {str(error) or type(error).__name__}", "alert")
            return
        self._canvas.put(picture)
        self._tell_facts()

    def _tell_facts(self) -> None:
        """Those of the picture; with the file that it is in, which may be written later."""
        if self._drawn is None:
            return
        words = [f"{name} {value}" for name, value in self._drawn[1]]
        found = self._session.receiver.last.get((*self._key, self._member))
        if found and found.path and (found.size, found.facts) == self._drawn:
            words.insert(0, found.path.name)
        self._facts.put(" " + "   ".join(words), "dim")
