"""The base of all panes, which draw only the visible lines, made of pieces."""

from __future__ import annotations

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Offset, Size
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widget import Widget

from ..themes import styles

__all__ = ["Bar", "Lines", "Piece", "strip_of"]

Piece = tuple[str, str]


def strip_of(pieces: list[Piece], columns: int, table: dict[str, Style], ground: str = "") -> Strip:
    """A line of exactly this many columns."""
    strip = Strip([Segment(text, table[style]) for text, style in pieces if text])
    return strip.adjust_cell_length(columns, table[ground])


class Bar(Widget):
    """One line at the top or the bottom."""

    DEFAULT_CSS = "Bar { height: 1; }"

    ground = "bar"

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._drawn: list[Piece] | None = None

    def pieces(self) -> list[Piece]:
        """Its present content."""
        raise NotImplementedError

    def render_line(self, y: int) -> Strip:
        self._drawn = self.pieces()
        return strip_of(self._drawn, self.size.width, styles(self.app.theme), self.ground)

    def look_again(self) -> None:
        """Redraw it if its content has changed."""
        if not self.display:
            return
        if self._drawn is None or self.pieces() != self._drawn:
            self.refresh()


class Lines(ScrollView):
    """Lines that are scrolled."""

    DEFAULT_CSS = """
    Lines {
        overflow-x: hidden;
        overflow-y: auto;
        scrollbar-size: 1 1;
        scrollbar-gutter: stable;
    }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._painted: dict[int, list[Piece]] = {}
        self._down = Offset()

    def count(self) -> int:
        """How many lines there are."""
        raise NotImplementedError

    def pieces(self, y: int) -> list[Piece]:
        """The content of a line, counted from the top."""
        raise NotImplementedError

    @property
    def columns(self) -> int:
        """Width of a line."""
        return self.scrollable_content_region.width

    def render_line(self, y: int) -> Strip:
        line = self.scroll_offset.y + y
        pieces = self.pieces(line) if 0 <= line < self.count() else []
        self._painted[line] = pieces
        return strip_of(pieces, self.columns, styles(self.app.theme))

    def recount(self) -> None:
        """Note that the lines have changed."""
        self._painted.clear()
        self.virtual_size = Size(self.columns, self.count())
        self.refresh()

    def in_sight(self) -> range:
        """The visible lines."""
        top = self.scroll_offset.y
        return range(top, min(top + self.size.height, self.count()))

    def on_mouse_down(self, event: events.MouseDown) -> None:
        self._down = event.screen_offset

    def line_of_click(self, event: events.Click) -> int | None:
        """The line of a click; None of other buttons, and of a drag, with which people select text."""
        moved = event.screen_offset - self._down
        line = self.scroll_offset.y + event.y
        is_meant = event.button == 1 and not moved.y and abs(moved.x) <= 1
        return line if is_meant and line < self.count() else None

    def redraw(self, first: int, last: int) -> None:
        """Redraw these lines, excluding the last, if they are visible and have changed."""
        seen = self.in_sight()
        for y in range(max(first, seen.start), min(last, seen.stop)):
            if self._painted.get(y) != self.pieces(y):
                self.refresh_line(y)

    def look_again(self) -> None:
        """Redraw what depends on the time."""
        self.redraw(0, self.count())

    def keep_in_sight(self, y: int, *, margin: int = 1) -> None:
        """Scroll so that this line is visible."""
        height = self.size.height
        if height <= 0:
            return
        margin = min(margin, (height - 1) // 2)
        top = self.scroll_offset.y
        if y - margin < top:
            self.scroll_to(y=max(y - margin, 0), animate=False, immediate=True)
        elif y + margin >= top + height:
            self.scroll_to(y=y + margin - height + 1, animate=False, immediate=True)
