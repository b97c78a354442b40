"""The command line of the benchmarks."""

import argparse
import json
import os
import platform
import pstats
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import __doc__ as description
from . import parts, servers, sites
from .benchmark import Benchmark, Scale, median
from .processes import Contender, contender, ours
from .table import number, tables

BENCHMARKS: list[Benchmark] = [*parts.BENCHMARKS, *servers.BENCHMARKS, *sites.BENCHMARKS]


def chosen(names: Sequence[str]) -> list[Benchmark]:
    """Those whose names are given, or begin with what is given; all, if nothing is.

    Raises:
        ValueError: There is none of that name.
    """
    if not names:
        return BENCHMARKS
    for name in names:
        if not any(_matches(benchmark, name) for benchmark in BENCHMARKS):
            raise ValueError(f"there is no benchmark {name!r}; --list names them")
    return [benchmark for benchmark in BENCHMARKS if any(_matches(benchmark, name) for name in names)]


def _matches(benchmark: Benchmark, name: str) -> bool:
    return benchmark.name == name or benchmark.name.startswith(name + "-")


def measure(benchmark: Benchmark, contenders: Sequence[Contender], runs: int, scale: Scale) -> dict[str, Any]:
    """Figures of each contender: medians of runs in which they take turns, so that a busy moment hits all."""
    found: dict[str, list[Any]] = {one.name: [] for one in contenders if benchmark.suits(one)}
    for _ in range(min(runs, benchmark.runs)):
        for one in contenders:
            done = found.get(one.name)
            if done is None or (done and done[-1].failure):  # it would fail again
                continue
            done.append(benchmark.run(one, scale))
    figures = {name: median(results).as_dict() for name, results in found.items()}
    return {"title": benchmark.title, "unit": benchmark.unit, "figures": figures}


def conditions(args: argparse.Namespace) -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "python": platform.python_version(),
        "processors": os.cpu_count(),
        "system": platform.system(),
        "machine": platform.machine(),
        "runs": args.runs,
        "scale": args.scale,
    }


def progress(benchmark: Benchmark, entry: dict[str, Any]) -> str:
    told = []
    for name, figures in entry["figures"].items():
        if figures.get("failure"):
            told.append(f"{name}: {figures['failure']}")
        else:
            told.append(f"{name}: {number(figures['cpu'])} µs per {benchmark.unit}, {number(figures['rate'])}/s")
    return f"{benchmark.name}: " + "; ".join(told)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m tests.bench", description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = made.add_argument
    add("names", nargs="*", metavar="NAME", help="a benchmark, or the beginning of the names of several")
    add("--list", action="store_true", help="name the benchmarks")
    add("--against", action="append", default=[], metavar="SERVER",
        help="indiserver, NAME=PYTHON for an interpreter that has other packages of the same names, or "
        "uvloop=PYTHON for this server on that event loop")  # fmt: skip
    add("--runs", type=int, default=3, help="the table shows the median of so many (default: %(default)s)")
    add("--scale", type=float, default=1.0, help="factor for the number of messages (default: %(default)s)")
    add("--limit", type=float, default=60.0, help="seconds that a measurement may take (default: %(default)s)")
    add("--quick", action="store_true", help="one run, a tenth of the messages, 20 seconds")
    add("--json", type=Path, metavar="FILE", help="write all figures there; what FILE has of other benchmarks stays")
    add("--compare", type=Path, metavar="FILE", help="add a column: processor time by that of this earlier run")
    add("--profile", action="store_true", help="run our server in cProfile, and print where its time goes")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_args(argv)
    if args.list:
        for benchmark in BENCHMARKS:
            print(f"{benchmark.name:20} {benchmark.title}")
        return 0
    if args.quick:
        args.runs, args.scale, args.limit = 1, 0.1, 20.0
    try:
        contenders = [ours(), *map(contender, args.against)]
        benchmarks = chosen(args.names)
        earlier = json.loads(args.compare.read_text()) if args.compare else None
    except (ValueError, OSError) as error:
        print(f"tests.bench: {error}", file=sys.stderr)
        return 2
    scale = Scale(args.scale, args.limit)
    if args.profile:
        return profile(benchmarks, scale)
    report: dict[str, Any] = {
        "conditions": conditions(args),
        "contenders": [one.name for one in contenders],
        "benchmarks": {},
    }
    if hasattr(signal, "SIGTERM"):
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are ended
    for benchmark in benchmarks:
        entry = report["benchmarks"][benchmark.name] = measure(benchmark, contenders, args.runs, scale)
        print(progress(benchmark, entry), flush=True)
        if args.json:
            save(args.json, report)
    print("\n" + tables(report, earlier))
    return 0


def save(path: Path, report: dict[str, Any]) -> None:
    """Write the figures, and keep what is there of other benchmarks."""
    merged = dict(report)
    if path.exists():
        before = json.loads(path.read_text())
        merged["benchmarks"] = before["benchmarks"] | report["benchmarks"]
        merged["contenders"] = list(dict.fromkeys([*before["contenders"], *report["contenders"]]))
    order = [benchmark.name for benchmark in BENCHMARKS if benchmark.name in merged["benchmarks"]]
    merged["benchmarks"] = {name: merged["benchmarks"][name] for name in order}
    path.write_text(json.dumps(merged, indent=1) + "\n")


def profile(benchmarks: Sequence[Benchmark], scale: Scale) -> int:
    """Where the time of our server goes; its figures mean nothing then."""
    for benchmark in benchmarks:
        if benchmark.of == "parts":
            continue
        with tempfile.TemporaryDirectory() as directory:
            file = str(Path(directory) / "profile")
            result = benchmark.run(ours(), Scale(scale.size, scale.limit, file))
            print(f"\n== {benchmark.name} {result.failure}")
            pstats.Stats(file).sort_stats("tottime").print_stats(25)
    return 0


if __name__ == "__main__":
    sys.exit(main())
