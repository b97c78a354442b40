"""pytest, with the branch coverage of the parts that do no I/O; `python -m tests` uses it in CI for a full run.

    python -m tests.cover tests/unit

The files are those of the table SANS_IO in tests/unit/test_import_contracts.py. What traces them in each process that
runs tests is tests/tracing.py. Below FLOOR the run fails.
"""

import os
import sys
import tempfile
from pathlib import Path

import coverage
import pytest

from tests.unit.test_import_contracts import SANS_IO

ROOT = Path(__file__).resolve().parent.parent
FOLDER = "INDI_COVERED"  # environment variable: where each process writes what it has covered
FLOOR = 98.0  # per cent of all lines and branches


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


def measuring(ending: str = "") -> coverage.Coverage:
    """The coverage of those files; each process saves its own, under its own ending."""
    file = Path(os.environ[FOLDER], "covered" + ending)
    return coverage.Coverage(data_file=str(file), config_file=False, branch=True, include=files())


def main(arguments: list[str]) -> int:
    """Run pytest; returns its exit status, or 1 if too little was covered."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ[FOLDER] = folder
        status = int(pytest.main(["-p", "tests.tracing", *arguments]))
        together = measuring()
        together.combine()
        covered = together.report(show_missing=True, skip_covered=True, precision=1)
    if status == 0 and covered < FLOOR:
        sys.stdout.write(f"tests: {covered:.2f} % of the sans-I/O parts are covered, {FLOOR} % are wanted\n")
        return 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
