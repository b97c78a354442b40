"""pytest, with the branch coverage of the parts that do no I/O; `python -m tests` uses it in CI for a full run.

    python -m tests.cover tests/unit

The files are those of the table SANS_IO in tests/unit/test_import_contracts.py. Only tests of the directories COUNTS
are traced, and none that is marked `measured` or is in a file of LARGE: the others run at full speed. Below FLOOR the
run fails.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import coverage
import pytest

from tests.unit.test_import_contracts import SANS_IO

ROOT = Path(__file__).resolve().parent.parent
COUNTS = ("unit",)
# Files of tests that do the same very many times, and take three times as long when they are traced.
LARGE = ("test_command_floods", "test_framer_bounds", "test_router_bounds", "test_stream_turns")
FLOOR = 98.0  # per cent of all lines and branches
TIMEOUT = 600  # seconds for one test: those that feed bytes one by one take many times longer when they are traced


def files() -> list[str]:
    """The files of the modules that do no I/O; of a package those below it."""
    found: list[Path] = []
    for name in SANS_IO:
        path = ROOT.joinpath(*name.split("."))
        found += path.rglob("*.py") if path.is_dir() else [path.with_suffix(".py")]
    missing = [str(path) for path in found if not path.exists()]
    if missing or not found:
        raise FileNotFoundError(f"SANS_IO names what is not there: {', '.join(missing)}")
    return sorted(map(str, found))


class Tracing:
    """Traces while modules are imported, and in those tests that count."""

    def __init__(self, measuring: coverage.Coverage) -> None:
        self._measuring = measuring

    def pytest_collection_finish(self) -> None:
        self._measuring.stop()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        counts = item.path.relative_to(ROOT / "tests").parts[0] in COUNTS and item.path.stem not in LARGE
        if not counts or item.get_closest_marker("measured"):
            return (yield)
        self._measuring.start()
        try:
            return (yield)
        finally:
            self._measuring.stop()


def main(arguments: list[str]) -> int:
    """Run pytest; returns its exit status, or 1 if too little was covered."""
    # Of all that coverage warns of, only this can happen here: a module was imported when tracing had not begun.
    measuring = coverage.Coverage(data_file=None, config_file=False, branch=True, include=files())
    measuring.start()
    status = int(pytest.main(["-o", f"timeout={TIMEOUT}", *arguments], plugins=[Tracing(measuring)]))
    measuring.stop()
    covered = measuring.report(show_missing=True, skip_covered=True, precision=1)
    if status == 0 and covered < FLOOR:
        sys.stdout.write(f"tests: {covered:.2f} % of the sans-I/O parts are covered, {FLOOR} % are wanted\n")
        return 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
