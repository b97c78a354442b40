"""A user's code under strict type checkers, in no environment but with our packages."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT

SAMPLE = ROOT / "tests" / "typing" / "user_driver.py"


def mypy(*files: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--no-incremental", *map(str, files)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120, check=False)


@pytest.mark.timeout(150)
def test_mypy_strict() -> None:
    pytest.importorskip("mypy")
    done = mypy(SAMPLE)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.timeout(150)
def test_mypy_finds_what_is_wrong(tmp_path: Path) -> None:
    """The check can fail: arguments of wrong types are seen, so the packages' types are not Any."""
    pytest.importorskip("mypy")
    wrong = tmp_path / "wrong.py"
    wrong.write_text("import indipydriver as ipd\nipd.SwitchMember(3)\nipd.getfloat('1').upper()\n")
    done = mypy(wrong)
    assert done.stdout.count("error:") == 2, done.stdout


@pytest.mark.timeout(150)
def test_pyright_strict(tmp_path: Path) -> None:
    """By basedpyright, which is pyright in a wheel, with pyright's own strict rules."""
    pytest.importorskip("basedpyright")
    settings = tmp_path / "pyrightconfig.json"
    settings.write_text(
        json.dumps(
            {"include": [str(SAMPLE)], "extraPaths": [str(ROOT)], "typeCheckingMode": "strict", "pythonVersion": "3.11"}
        )
    )
    command = [sys.executable, "-m", "basedpyright", "--outputjson", "--project", str(settings)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120, check=False)
    report = json.loads(done.stdout)
    errors = [d for d in report["generalDiagnostics"] if d["severity"] == "error"]
    assert report["summary"]["filesAnalyzed"] == 1, done.stdout
    assert errors == [], "\n".join(f"{d['range']['start']['line'] + 1}: {d['message']}" for d in errors)
