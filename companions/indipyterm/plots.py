"""Numbers over time as text: a sparkline of one line, and a plot of dots."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Final, NamedTuple

__all__ = ["Plot", "Sample", "plot", "scaled", "sparkline"]

LARGEST: Final = sys.float_info.max
_BARS: Final = "▁▂▃▄▅▆▇█"
_DOTS: Final = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))


class Sample(NamedTuple):
    """A number in one span of time."""

    time: float
    low: float
    high: float
    last: float


class Plot(NamedTuple):
    """A plot as lines of text.

    Attributes:
        rows: From the top.
        low: Value of the lowest row of dots.
        high: Value of the highest.
        begin: Time of the first column.
        end: Time of the last.
    """

    rows: list[str]
    low: float
    high: float
    begin: float
    end: float


def scaled(value: float, span: float) -> str:
    """A number with as many digits as a scale of this length needs."""
    if not (math.isfinite(value) and math.isfinite(span)) or abs(value) >= 1e9 or 0 < span < 1e-6:
        return f"{value:.4g}"
    digits = max(0, 2 - math.floor(math.log10(span))) if span > 0 else 3
    return f"{value:.{digits}f}"


def sparkline(samples: Sequence[Sample], columns: int, now: float, seconds: float) -> str:
    """The last `seconds` in one line; in gaps the last value holds."""
    if columns < 1 or not samples:
        return ""
    begin = now - seconds
    found: list[float | None] = [None] * columns
    held: float | None = None
    for sample in samples:
        place = int((sample.time - begin) / seconds * columns)
        if place < 0:
            held = sample.last
        else:
            found[min(place, columns - 1)] = sample.last
    values = []
    for value in found:
        held = value if value is not None else held
        values.append(held)
    known = [value for value in values if value is not None]
    if not known:
        return ""
    low, high = min(known), max(known)
    return "".join(" " if v is None else _BARS[_step(v, low, high, len(_BARS))] for v in values)


def _step(value: float, low: float, high: float, steps: int) -> int:
    # Halves, as the difference of the largest numbers is not finite; of the smallest ones it is nothing.
    reach = high / 2 - low / 2
    return min(int((value / 2 - low / 2) / reach * steps), steps - 1) if reach > 0 else 0


def plot(samples: Sequence[Sample], columns: int, rows: int, now: float, seconds: float) -> Plot | None:
    """Dots from the lowest to the highest value of each column, the last value held in between; None if there is
    nothing to show."""
    begin = now - seconds
    shown = [s for s in samples if s.time + 1 >= begin and math.isfinite(s.last)]
    before = [s for s in samples if s.time + 1 < begin and math.isfinite(s.last)]
    if before:
        last = before[-1].last
        shown.insert(0, Sample(begin, last, last, last))
    if not shown or columns < 1 or rows < 1:
        return None
    low, high = min(s.low for s in shown), max(s.high for s in shown)
    if high <= low:
        margin = abs(low) * 0.01 or 1.0
        low, high = max(low - margin, -LARGEST), min(high + margin, LARGEST)
    wide, tall = columns * 2, rows * 4
    spans: list[tuple[float, float] | None] = [None] * wide
    ends: list[float | None] = [None] * wide
    for sample in shown:
        x = min(max(int((sample.time - begin) / seconds * wide), 0), wide - 1)
        old = spans[x]
        spans[x] = (min(old[0], sample.low), max(old[1], sample.high)) if old else (sample.low, sample.high)
        ends[x] = sample.last
    cells = [[0] * columns for _ in range(rows)]
    held: float | None = None
    for x in range(wide):
        here = spans[x]
        if here is None:
            if held is None:
                continue
            here = (held, held)
        elif held is not None:
            here = (min(here[0], held), max(here[1], held))
        bottom, top = _step(here[0], low, high, tall), _step(here[1], low, high, tall)
        for y in range(bottom, top + 1):
            line = tall - 1 - y
            cells[line // 4][x // 2] |= _DOTS[line % 4][x % 2]
        held = ends[x] if ends[x] is not None else held
    return Plot(["".join(chr(0x2800 + cell) for cell in row) for row in cells], low, high, begin, now)
