"""A user's code under strict type checkers, in no environment but with our packages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT

SAMPLES = [ROOT / "tests" / "typing" / name for name in ("user_driver.py", "user_overrides.py", "user_client.py")]
SAMPLES.append(ROOT / "tests" / "instruments" / "own_properties.py")

# What an author without annotations writes.
PLAIN = """
import indipydriver as ipd


class Plain(ipd.IPyDriver):
    async def rxevent(self, event):
        event.vector["X"] = event["X"]
        await event.vector.send_setVector()

    async def snoopevent(self, event):
        self["D"]["X"]["X"] = event["X"]
"""


def mypy(*files: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--no-incremental", *map(str, files)]
    environment = {**os.environ, "MYPYPATH": str(ROOT / "companions")}
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120, env=environment, check=False)


@pytest.mark.timeout(150)
def test_mypy_strict() -> None:
    pytest.importorskip("mypy")
    done = mypy(*SAMPLES)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.timeout(150)
def test_mypy_finds_what_is_wrong(tmp_path: Path) -> None:
    """The check can fail: arguments of wrong types are seen, so the packages' types are not Any."""
    pytest.importorskip("mypy")
    wrong = tmp_path / "wrong.py"
    lines = [
        "import indipyclient, indipydriver as ipd, indipyserver",
        "ipd.SwitchMember(3)",
        "ipd.getfloat('1').upper()",
        "indipyserver.IPyServer(ipd.Device('D', []))",
        "indipyclient.SyncClient().need('D', 'P')['M'].number.upper()",
    ]
    wrong.write_text("\n".join(lines))
    done = mypy(wrong)
    assert done.stdout.count("error:") == 4, done.stdout


@pytest.mark.timeout(150)
def test_a_driver_without_annotations(tmp_path: Path) -> None:
    """It is held to less, and has nothing to be mended."""
    pytest.importorskip("mypy")
    pytest.importorskip("basedpyright")
    plain = tmp_path / "plain.py"
    plain.write_text(PLAIN)
    command = [sys.executable, "-m", "mypy", "--check-untyped-defs", "--config-file=", "--no-incremental", str(plain)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert pyright(tmp_path, "standard", plain) == []


WRONG_PROPERTIES = """
from enum import Enum
from indipydriver.instruments import Choice, Number, Numbers, PropertyDevice, every

class Mode(Enum):
    OFF = "Off"

class Power(Numbers):
    voltage = Number()

class Box(PropertyDevice):
    level = Number(3)
    mode = Choice(Mode.OFF)
    power = Power()

    @level.command
    async def set_level(self, wanted: bytes) -> None:  # wrong
        self.level = "high"  # wrong
        self.mode = "OFF"  # wrong
        self.power.current = 3  # wrong
        await self.shwo()  # wrong

    @mode.command
    def set_mode(self, wanted: Mode) -> None: ...  # wrong

    @power.command
    async def set_power(self, wanted: Power) -> None:
        wanted.voltage.upper()  # wrong

    @every("1")  # wrong
    async def poll(self) -> None: ...

Number(min="5")  # wrong
"""


@pytest.mark.timeout(150)
def test_mypy_finds_what_is_wrong_with_declared_properties(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    wrong = tmp_path / "wrong.py"
    wrong.write_text(WRONG_PROPERTIES)
    found = [int(line.split(":")[1]) for line in mypy(wrong).stdout.splitlines() if ": error:" in line]
    lines = WRONG_PROPERTIES.splitlines()
    # An error about a decorated function is reported where its decorator stands.
    expected = {n - (lines[n - 2].strip().startswith("@")) for n, line in enumerate(lines, 1) if "# wrong" in line}
    assert set(found) == expected


@pytest.mark.timeout(150)
def test_pyright_strict(tmp_path: Path) -> None:
    """By basedpyright, which is pyright in a wheel, with pyright's own strict rules."""
    pytest.importorskip("basedpyright")
    assert pyright(tmp_path, "strict", *SAMPLES) == []


def pyright(folder: Path, mode: str, *files: Path) -> list[str]:
    """What it finds in these files."""
    settings = folder / "pyrightconfig.json"
    settings.write_text(
        json.dumps(
            {
                "include": [str(file) for file in files],
                "extraPaths": [str(ROOT), str(ROOT / "companions")],
                "typeCheckingMode": mode,
                "pythonVersion": "3.11",
            }
        )
    )
    command = [sys.executable, "-m", "basedpyright", "--outputjson", "--project", str(settings)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120, check=False)
    report = json.loads(done.stdout)
    assert report["summary"]["filesAnalyzed"] == len(files), done.stdout
    errors = [d for d in report["generalDiagnostics"] if d["severity"] == "error"]
    return [f"{d['file']}:{d['range']['start']['line'] + 1}: {d['message']}" for d in errors]
