"""One command for a bare machine: make an environment, install what the tests need, run them.

    python3 -m tests                    everything, in two parts
    python3 -m tests tests/unit -x      whatever follows goes to pytest

The environment is `.venv` in the repository; it is used again the next time and refreshed when
pyproject.toml has changed. With INDI_REQUIRE_INTEROP=1 a test that would be skipped fails. With CI=true a run of
everything also measures what it covers of the parts that do no I/O, and fails when that is too little: tests/cover.py.

The parts of a run of everything: the tests that measure nothing, several at once, because many wait for programs most
of the time; and those that measure, one after the other.
"""

import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".venv"
EXTRAS = "term,redis,mqtt,web,test,lint,docs"


def environment_python() -> Path:
    """The interpreter inside the environment."""
    return ENVIRONMENT / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def wanted() -> str:
    """What the environment depends on; it is made anew when this changes."""
    text = f"{sys.version} {EXTRAS} {ROOT}\n".encode() + (ROOT / "pyproject.toml").read_bytes()
    return hashlib.sha256(text).hexdigest()


def prepare() -> None:
    """Make `.venv` and install this project with its extras, unless that has been done."""
    stamp = ENVIRONMENT / "installed"
    if environment_python().exists() and stamp.exists() and stamp.read_text() == wanted():
        return
    print(f"tests: making {ENVIRONMENT} ...", flush=True)
    venv.create(ENVIRONMENT, clear=True, with_pip=True)
    print(f"tests: installing this project and its extras {EXTRAS} ...", flush=True)
    pip = [environment_python(), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run([*pip, "--editable", f".[{EXTRAS}]"], cwd=ROOT, stdin=subprocess.DEVNULL, check=True)
    stamp.write_text(wanted())


def runs(arguments: list[str], covered: bool) -> list[list[str]]:
    """The runs of pytest: their arguments to the interpreter."""
    if arguments:
        return [["pytest", *arguments]]
    at_once = str((os.cpu_count() or 1) + 1)
    return [
        ["tests.cover" if covered else "pytest", "-n", at_once, "--dist", "worksteal", "-m", "not measured"],
        ["pytest", "-m", "measured"],
    ]


def main() -> int:
    """Prepare the environment and run pytest in it; returns the exit status of the first run that failed."""
    if sys.version_info < (3, 11):
        print(f"tests: Python 3.11 or newer is needed, this is {sys.version.split()[0]}")
        return 2
    try:
        prepare()
    except subprocess.CalledProcessError as error:
        print(f"tests: this command failed with status {error.returncode}: {' '.join(map(str, error.cmd))}")
        if "ensurepip" in error.cmd:
            print("tests: Python's venv is incomplete here; on Debian: apt-get install python3-venv")
        else:
            print("tests: pip's own words are above; it needs to reach a package index")
        return 2
    # The programs of the environment (indipyserver among them) come before those of the machine.
    path = os.pathsep.join([str(environment_python().parent), os.environ.get("PATH", os.defpath)])
    worst = 0
    for arguments in runs(sys.argv[1:], os.environ.get("CI") == "true"):
        print("tests: running", *arguments, flush=True)
        command = [environment_python(), "-m", *arguments]
        try:
            status = subprocess.run(command, check=False, cwd=ROOT, env={**os.environ, "PATH": path}).returncode
        except KeyboardInterrupt:  # pytest has got it too and has said what it did
            return 130
        worst = worst or status
    return worst


if __name__ == "__main__":
    sys.exit(main())
