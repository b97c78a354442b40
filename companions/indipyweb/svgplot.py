"""Lines over time as paths of SVG.  Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from indipyclient.model.history import Point

__all__ = ["Line", "Plot", "nice_ticks", "plot_of", "points_since"]

WIDTH: Final = 600
HEIGHT: Final = 240
COLUMNS: Final = 300
_LEAST: Final = 1e-300
"""Smaller differences count as one value: fractions of such numbers are 0."""


@dataclass(frozen=True, slots=True)
class Line:
    """One number.

    Attributes:
        label: Its label.
        path: The attribute ``d``; "" if there is nothing to show.
        low: The smallest value.
        high: The largest value.
        last: The last value.
        count: The number of points.
    """

    label: str
    path: str
    low: float
    high: float
    last: float
    count: int


@dataclass(frozen=True, slots=True)
class Plot:
    """Some lines over the same time.

    Attributes:
        lines: In the order of the numbers.
        ticks: Positions and texts of the scale, if all lines share one.
        times: Positions and texts of the time axis.
    """

    lines: list[Line]
    ticks: list[tuple[float, str]]
    times: list[tuple[float, str]]


def nice_ticks(low: float, high: float) -> list[float]:
    """Three to six round numbers between two."""
    span = high - low
    if not math.isfinite(span) or span <= 0:
        return [low] if math.isfinite(low) else []
    step = 10.0 ** math.floor(math.log10(span / 3))
    for factor in (5, 2):
        if span / (step * factor) >= 3:
            step *= factor
            break
    first = math.ceil(low / step)
    return [float(f"{(first + n) * step:.12g}") for n in range(8) if (first + n) * step <= high + step * 1e-9]


def points_since(points: Sequence[Point], begin: float, gaps: Sequence[tuple[float, float]] = ()) -> list[Point]:
    """Those since a time, and the value at that time, if it is known: a number that does not change has no newer
    point."""
    before = [p for p in points if p.time < begin][-1:]
    known = [p for p in before if not any(first <= begin and end > p.time for first, end in gaps)]
    return [Point(p.time, p.last, p.last, p.last) for p in known] + [p for p in points if p.time >= begin]


def plot_of(
    numbers: Sequence[tuple[str, Sequence[Point], Sequence[tuple[float, float]]]],
    now: float,
    seconds: float,
    *,
    same: bool = False,
) -> Plot:
    """The lines of some numbers.

    Args:
        numbers: Labels, values, oldest first, and times for which nothing is known.
        now: The end, by the clock of the values.
        seconds: The length of time to show.
        same: Whether they share one scale.
    """
    begin = now - seconds
    shown = [(label, points_since(points, begin, gaps), gaps) for label, points, gaps in numbers]
    ends = [(min(p.min for p in points), max(p.max for p in points)) for _, points, _ in shown if points]
    is_one = same or len(shown) == 1
    common = _widened(min(e[0] for e in ends), max(e[1] for e in ends)) if ends and is_one else None
    lines = []
    for label, points, gaps in shown:
        if not points:
            lines.append(Line(label, "", math.nan, math.nan, math.nan, 0))
            continue
        low, high = min(p.min for p in points), max(p.max for p in points)
        bounds = common or _widened(low, high)
        lines.append(Line(label, _path(points, begin, seconds, bounds, gaps), low, high, points[-1].last, len(points)))
    ticks = []
    if common:
        ticks = [(_y(value, common), f"{value:.6g}") for value in nice_ticks(*common)]
    minutes = seconds / 60
    times = [(WIDTH * part / 4, _ago(minutes * (1 - part / 4))) for part in range(5)]
    return Plot(lines, ticks, times)


def _ago(minutes: float) -> str:
    if minutes < 0.01:
        return "now"
    return f"-{minutes / 60:.3g} h" if minutes >= 60 else f"-{minutes:.3g} min"


def _widened(low: float, high: float) -> tuple[float, float]:
    if not math.isfinite(1.2 * (high - low)):
        return low, high
    if high - low > _LEAST:
        return low - 0.05 * (high - low), high + 0.05 * (high - low)
    margin = max(abs(low) * 0.01, 10 * _LEAST) if low else 1.0
    return low - margin, high + margin


def _y(value: float, bounds: tuple[float, float]) -> float:
    low, high = bounds
    part = (value / 2 - low / 2) / (high / 2 - low / 2)  # the difference of the largest numbers is not finite
    return round(HEIGHT * (1 - min(max(part, 0.0), 1.0)), 1)


def _path(
    points: Sequence[Point],
    begin: float,
    seconds: float,
    bounds: tuple[float, float],
    gaps: Sequence[tuple[float, float]],
) -> str:
    """Up and down in each column, level between them, and broken where the link was down."""
    columns: dict[int, tuple[float, float, float, float]] = {}
    for p in points:
        column = _column(p.time, begin, seconds)
        old = columns.get(column)
        columns[column] = (
            (min(old[0], p.min), max(old[1], p.max), p.last, p.time) if old else (p.min, p.max, p.last, p.time)
        )
    path: list[str] = []
    x, before = 0, -math.inf

    def level(time: float) -> bool:
        """Go on to this time, or to the gap before it; returns whether there was none."""
        lost = min((first for first, end in gaps if first < time and end > before), default=time)
        path.append(f"H{max(x, _column(lost, begin, seconds) * WIDTH // COLUMNS)}")
        return lost == time

    for column, (low, high, last, time) in sorted(columns.items()):
        is_level = bool(path) and level(time)
        x, before = column * WIDTH // COLUMNS, time
        path.append(f"V{_y(low, bounds)}" if is_level else f"M{x} {_y(low, bounds)}")
        if high > low:
            path.append(f"V{_y(high, bounds)}V{_y(last, bounds)}")
    if path:
        level(begin + seconds)
    return "".join(path)


def _column(time: float, begin: float, seconds: float) -> int:
    return min(max(int((time - begin) / seconds * COLUMNS), 0), COLUMNS)
