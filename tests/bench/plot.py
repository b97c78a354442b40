"""Draws how cost grows, and writes the tables of figures into the page that explains them.

    python -m tests.bench.plot [FIGURES.json] [--page PAGE.md]

The pictures go beside the file with the figures.  It wants matplotlib (the extra "bench").
"""

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from .table import by_server, cpu, fleet, latency, life, memory, number, plain, rate, storm

DOCS = Path(__file__).parents[2] / "docs" / "explanation"
SHOWN = (
    "relay-1", "relay-10", "relay-30", "relay-100", "relay-1000", "relay-c", "single", "trip", "commands", "inside",
    "definitions-4000", "definitions-inside", "blob-72-1", "blob-72-4", "blob-line-1", "blob-line-4",
    "blob-attached-1", "blob-attached-4", "storm-few", "storm-10", "storm-25", "storm-50", "fleet", "tree", "life",
)  # fmt: skip
DELAYS = ("trip", "tree", "beside-nothing", "beside-c", "beside-attached")
PARTS = ("framer", "decode", "encode", "router")
COLOURS = {"ours": "#1d6fb8", "indiserver": "#c2571a", "pypi": "#6b7280"}
NAMES = {"ours": "indipyserver", "indiserver": "indiserver (C++)"}
GREY = "#7a7f87"  # readable on a light page and on a dark one

mpl.rcParams.update(
    {
        "svg.hashsalt": "indipydriver",  # the same figures give the same file
        "svg.fonttype": "none",
        "font.family": "sans-serif",
        "font.size": 10,
        "text.color": GREY,
        "axes.labelcolor": GREY,
        "axes.edgecolor": GREY,
        "xtick.color": GREY,
        "ytick.color": GREY,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "grid.color": GREY,
        "grid.alpha": 0.25,
    }
)


class Plot:
    """One picture: cost over something, a line for each server."""

    def __init__(self, report: dict[str, Any], title: str, across: str, up: str) -> None:
        self.report = report
        self.figure = Figure(figsize=(6.4, 3.6), layout="constrained")
        self.axes: Axes = self.figure.add_subplot()
        self.axes.set_title(title, loc="left", color=GREY, fontsize=11)
        self.axes.set_xlabel(across)
        self.axes.set_ylabel(up)
        self.axes.grid(True)

    def lines(self, points: Sequence[tuple[float, str]], key: str, factor: float = 1.0, total: bool = False) -> None:
        """A line for each server through the figures of these benchmarks, where there are any; in total, times x."""
        for server in self.report["contenders"]:
            xs, ys = [], []
            for x, name in points:
                figures = self.report["benchmarks"].get(name, {}).get("figures", {}).get(server, {})
                if figures.get(key) is not None:
                    xs.append(x)
                    ys.append(figures[key] * factor * (x if total else 1))
            if len(xs) > 1:
                self.axes.plot(xs, ys, marker="o", label=NAMES.get(server, server), color=COLOURS.get(server))

    def save(self, path: Path, ticks: Sequence[float], *, log: bool = True, label: Any = "{:g}".format) -> None:
        axes = self.axes
        if log:
            axes.set_xscale("log")
            axes.set_yscale("log")
            for set_formatter in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
                set_formatter(FuncFormatter(_tick))
        else:
            axes.set_xlim(left=0)
            axes.set_ylim(bottom=0)
        axes.set_xticks(ticks, [label(tick) for tick in ticks])
        axes.xaxis.set_minor_locator(NullLocator())
        if axes.lines:
            axes.legend(frameon=False, labelcolor=GREY)
        self.figure.savefig(path, metadata={"Date": None, "Creator": None}, transparent=True)
        # matplotlib leaves blanks at the ends of lines
        path.write_text("".join(line.rstrip() + "\n" for line in path.read_text().splitlines()))


def _tick(value: float, _: object) -> str:
    """Only 1, 2 and 5 of each decade."""
    return f"{value:g}" if f"{value:.0e}"[0] in "125" else ""


def _size(value: float) -> str:
    return f"{value / (1 << 20):g} MiB" if value >= 1 << 20 else f"{value / 1024:g} KiB"


def draw(report: dict[str, Any], directory: Path) -> None:
    """All pictures."""
    directory.mkdir(parents=True, exist_ok=True)
    clients = (1, 10, 30, 100, 1000)
    plot = Plot(report, "One update for many clients", "clients", "CPU µs per update")
    plot.lines([(n, f"relay-{n}") for n in clients], "cpu")
    plot.save(directory / "clients.svg", clients)

    counts = (500, 1000, 2000, 4000)
    plot = Plot(report, "One client asks for everything", "devices, of 20 properties each", "ms until all is there")
    plot.lines([(n / 20, f"definitions-{n}") for n in counts], "seconds", 1000)
    plot.save(directory / "devices.svg", [n / 20 for n in counts], log=False)

    sizes = [(1 << 14, "size-16K"), (1 << 16, "size-64K"), (1 << 18, "size-256K"), (1 << 20, "size-1M")]
    sizes += [(1 << 22, "size-4M"), (1 << 24, "blob-72-1")]
    plot = Plot(report, "BLOBs in lines of 72, to one client", "size of one BLOB", "CPU ms per MB")
    plot.lines(sizes, "cpu", 1e-3)
    plot.save(directory / "blobs.svg", [size for size, _ in sizes], label=_size)

    crowds = (10, 25, 50)
    plot = Plot(report, "Clients connect at once, 4000 properties", "clients", "CPU seconds in all")
    plot.lines([(n, f"storm-{n}") for n in crowds], "cpu", 4000e-6, total=True)
    plot.save(directory / "storm.svg", crowds, log=False)


def _parts(entries: Sequence[dict[str, Any]]) -> str:
    """The table of what runs alone, without a server."""
    rows = []
    for entry in entries:
        figures = entry["figures"]["ours"]
        title = ", ".join(filter(None, (entry["title"], figures.get("note"))))
        rows.append([title, entry["unit"], number(figures.get("rate")), cpu(figures)])
    return plain(["what", "per", "per second", "µs"], rows)


def _spread(report: dict[str, Any]) -> float:
    """How far apart the runs are on average."""
    found = [
        figures["spread"]
        for entry in report["benchmarks"].values()
        for figures in entry["figures"].values()
        if figures.get("spread") is not None
    ]
    return sum(found) / len(found) if found else 0.0


def fill(page: Path, report: dict[str, Any], on_uvloop: dict[str, Any]) -> None:
    """Put what a run, and one with uvloop, have found between the marks in the page."""
    conditions = report["conditions"]
    parts = [name for name in report["benchmarks"] if name.startswith(PARTS)]
    with_uvloop = [name for name in SHOWN if name in on_uvloop["benchmarks"]]
    contents = {
        "conditions": (
            f"CPython {conditions['python']} on {conditions['system']} ({conditions['machine']}), "
            f"{conditions['processors']} processors shared with other work, "
            f"medians of up to {conditions['runs']} runs,\nwhich lie {_spread(report):.0%} apart on average."
        ),
        "processor time": by_server(report, SHOWN, cpu, unit="µs per", ratios="cpu"),
        "rates": by_server(report, [name for name in SHOWN if name not in ("fleet", "life")], rate, ratios="rate"),
        "latencies": by_server(report, DELAYS, latency),
        "storms": by_server(report, [name for name in SHOWN if name.startswith("storm")], storm),
        "fleet": by_server(report, ["fleet"], fleet),
        "life": by_server(report, ["life"], life),
        "memory": by_server(report, SHOWN, memory),
        "uvloop": by_server(on_uvloop, with_uvloop, cpu, unit="µs per", ratios="cpu", servers=("ours", "uvloop")),
        "parts": _parts([report["benchmarks"][name] for name in parts]),
    }
    text = page.read_text(encoding="utf-8")
    for name, content in contents.items():
        mark = re.compile(rf"(<!-- {name}: .*? -->\n).*?(<!-- end -->)", re.DOTALL)
        text = mark.sub(lambda match, content=content: f"{match[1]}\n{content}\n\n{match[2]}", text)
    page.write_text(text, encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.plot", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("figures", type=Path, nargs="?", default=DOCS / "figures" / "figures.json")
    parser.add_argument("--page", type=Path, default=DOCS / "performance.md")
    args = parser.parse_args(argv)
    report = json.loads(args.figures.read_text())
    draw(report, args.figures.parent)
    if args.page.exists():
        fill(args.page, report, json.loads(args.figures.with_name("uvloop.json").read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
