"""Figures as a table in Markdown."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

Figures = dict[str, Any]

NAMES = {"ours": "ours", "indiserver": "indiserver", "pypi": "PyPI", "uvloop": "ours on uvloop"}
SERVERS = ("ours", "indiserver", "pypi")


def number(value: float | None) -> str:
    """Three figures that count."""
    if value is None:
        return ""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def ratio(here: Figures, there: Figures | None, key: str) -> str:
    """One figure by the other, if both are there."""
    if not there or not here.get(key) or not there.get(key):
        return ""
    return f"{here[key] / there[key]:.2f}"


def markdown(header: list[str], rows: list[list[str]]) -> str:
    """Columns of equal width; all but the first two are numbers, but for the note at the end."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    left = (0, 1, len(header) - 1)
    line = "|".join(("-" * (w + 2)) if i in left else "-" * (w + 1) + ":" for i, w in enumerate(widths))
    lines = [_line(header, widths, left), f"|{line}|", *(_line(row, widths, left) for row in rows)]
    return "\n".join(lines)


def _line(cells: Iterable[str], widths: list[int], left: tuple[int, ...]) -> str:
    padded = [
        cell.ljust(width) if index in left else cell.rjust(width)
        for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "| " + " | ".join(padded) + " |"


def tables(report: Figures, earlier: Figures | None = None, which: Iterable[str] | None = None) -> str:
    """The table of a report.

    Args:
        report: What a run has written to its --json file.
        earlier: The same of an earlier run, for a column with the ratio of processor times.
        which: Only the benchmarks with these names.
    """
    results: dict[str, Figures] = report["benchmarks"]
    others = [name for name in report["contenders"] if name != "ours"]
    header = ["what", "server", "rate /s", "CPU µs", "per", "± %", "MB", "p50 ms", "p99 ms"]
    header += [f"CPU/{name}" for name in others]
    if earlier:
        header.append("CPU/earlier")
    header.append("note")
    rows = []
    for name in which or results:
        if name not in results:
            continue
        entry = results[name]
        for server, figures in entry["figures"].items():
            row = [entry["title"], server, number(figures.get("rate")), number(figures.get("cpu")), entry["unit"]]
            spread = figures.get("spread")
            row.append("" if spread is None else f"{spread * 50:.0f}")
            row += [number(figures.get("memory"))]
            row += ["" if figures.get(key) is None else f"{figures[key]:.3f}" for key in ("p50", "p99")]
            row += ["" if server == other else ratio(figures, entry["figures"].get(other), "cpu") for other in others]
            if earlier:
                before = earlier["benchmarks"].get(name, {}).get("figures", {}).get(server)
                row.append(ratio(figures, before, "cpu"))
            note = figures.get("failure") or figures.get("note", "")
            if figures.get("sent"):
                note = f"all there in {figures['seconds']:.2f} s; {note}"
            row.append(note)
            rows.append(row)
    keep = [i for i, title in enumerate(header) if i < 2 or title == "per" or any(row[i] for row in rows)]
    return markdown([header[i] for i in keep], [[row[i] for i in keep] for row in rows])


def by_server(
    report: Figures,
    which: Iterable[str],
    cell: Callable[[Figures], str],
    unit: str = "",
    *,
    ratios: str = "",
    servers: Sequence[str] = SERVERS,
) -> str:
    """A narrow table: a row for each benchmark, a column for each server, and how ours compares with the others.

    Args:
        report: What a run has written to its --json file.
        which: The benchmarks with these names, as far as there is anything in a cell.
        cell: The text for the figures of one server.
        unit: Title of a second column with the unit of each benchmark; "" for none.
        ratios: The figure of ours that is divided by that of the others; "" for none.
        servers: The columns, as far as there is anything in them.
    """
    rows = []
    shown = [server for server in servers if server in report["contenders"]]
    others = [server for server in shown if server != "ours"] if ratios else []
    for name in which:
        entry = report["benchmarks"].get(name, {"figures": {}})
        figures = [entry["figures"].get(server, {}) for server in shown]
        cells = [cell(one) for one in figures]
        if any(cells):
            ours = entry["figures"].get("ours", {})
            shares = [ratio(ours, entry["figures"].get(other), ratios) for other in others]
            rows.append([entry["title"], *([entry["unit"]] if unit else []), *cells, *shares])
    if not rows:
        return "Not measured yet."
    header = ["what", *([unit] if unit else []), *(NAMES[name] for name in shown), *(f"/ {NAMES[o]}" for o in others)]
    keep = [i for i in range(len(header)) if any(row[i] for row in rows)]
    return plain([header[i] for i in keep], [[row[i] for i in keep] for row in rows])


def plain(header: list[str], rows: list[list[str]]) -> str:
    """All columns but the first are numbers."""
    rule = ["---", *("---:" for _ in header[1:])]
    return "\n".join("| " + " | ".join(row) + " |" for row in (header, rule, *rows))


def cpu(figures: Figures) -> str:
    """Processor time."""
    return number(figures.get("cpu"))


def fleet(figures: Figures) -> str:
    """Processor time in each second, and how far it falls behind; or how far it came."""
    if figures.get("cpu") is None:
        return str(figures.get("failure", ""))
    pace = "" if figures["rate"] > 0.95 else f", at {figures['rate']:.0%} of the pace"
    return f"{figures['cpu'] / 1e6:.2f} s{pace}"


def life(figures: Figures) -> str:
    """How many clients a second get what they want, and what becomes of the memory."""
    if figures.get("cpu") is None:
        return str(figures.get("failure", ""))
    return f"{figures['rate']:.0f} a second, {figures['cpu'] / 1e3:.1f} ms each, {figures['note']}"


def rate(figures: Figures) -> str:
    """How many a second, or how far it came."""
    return str(figures.get("failure") or number(figures.get("rate")))


def memory(figures: Figures) -> str:
    """Resident megabytes."""
    return number(figures.get("memory"))


def latency(figures: Figures) -> str:
    """The median, and what one in a hundred exceeds."""
    if figures.get("p50") is None:
        return str(figures.get("failure", ""))
    blobs = str(figures.get("note", "")).removesuffix(" of BLOBs")
    return f"{figures['p50']:.2f} / {figures['p99']:.2f}" + (f" at {blobs}" if blobs else "")


def storm(figures: Figures) -> str:
    """How long it took, and how many times what is needed was sent; or how far it came."""
    if not figures.get("sent"):
        return str(figures.get("failure", ""))
    return f"{figures['seconds']:.2f} s, {str(figures['note']).removesuffix(' what is needed')}"
