"""--reload: the command starts again when the Python code that it serves has changed."""

import signal
import sys

import pytest

from tests.integration.test_cli import start_line
from tests.support import ROOT, asynchronous, eventually, gone, started

DRIVER = """
from indipydriver import Device, IPyDriver, TextMember, TextVector

def make_driver():
    vector = TextVector("T", "T", "Main", "ro", "Ok", [TextMember("A", "A")])
    return IPyDriver(Device("%s", [vector]))
"""
PROGRAM = """#!{python}
import sys
print("program runs", file=sys.stderr, flush=True)
for line in sys.stdin:
    pass
"""


@pytest.fixture
def code(tmp_path):
    path = tmp_path / "my_driver.py"
    path.write_text(DRIVER % "First")
    return path


def reloading(code, *words):
    return started(sys.executable, "-m", "indipyserver", "-v", "-p", "0", "--no-unix-socket", "--reload",
                   f"{code}:make_driver", *words, cwd=ROOT)  # fmt: skip


async def says(program, words, timeout=30):
    await eventually(lambda: words in program.stderr() or program.process.poll() is not None, timeout)
    assert words in program.stderr(), program.stderr()


@asynchronous
async def test_a_changed_file_is_served_and_programs_begin_anew_too(code, tmp_path):
    other = tmp_path / "program"
    other.write_text(PROGRAM.format(python=sys.executable))
    other.chmod(0o755)
    with reloading(code, str(other)) as program:
        await start_line(program)
        await says(program, "(First) is served")
        await says(program, "program runs")
        code.write_text(DRIVER % "Second")
        await says(program, "my_driver.py changed: restarting")
        await says(program, "(Second) is served")
        await eventually(lambda: program.stderr().count("program runs") == 2, timeout=30)
        program.process.send_signal(signal.SIGTERM)
        await eventually(lambda: program.process.poll() is not None, timeout=30)
        assert program.process.returncode == 128 + signal.SIGTERM
        pids = [line.rpartition(" ")[2] for line in program.stderr().splitlines() if "has started, process" in line]
        assert len(pids) == 2
        await eventually(lambda: all(gone(int(pid)) for pid in pids), timeout=30)


@asynchronous
async def test_what_does_not_compile_changes_nothing_and_what_fails_waits_for_the_next_change(code):
    with reloading(code) as program:
        await says(program, "(First) is served")
        code.write_text("def make_driver(:\n")
        await says(program, "my_driver.py:1: invalid syntax; the server goes on unchanged")
        assert "restarting" not in program.stderr()
        code.write_text("raise OSError('no port')\n")
        await says(program, "does not provide a driver: my_driver.py:1: raise OSError('no port')")
        await says(program, "serving nothing on ")
        (code.parent / "beside.py").write_text("NAME = 'Third'\n")
        await says(program, "beside.py changed")
        code.write_text("from beside import NAME\n" + DRIVER.replace('"%s"', "NAME"))
        await says(program, "(Third) is served")


@asynchronous
async def test_a_driver_that_ends_waits_for_the_next_change_too(code):
    code.write_text(
        DRIVER.replace("IPyDriver(Device(", "Ends(Device(") % "Short"
        + """
class Ends(IPyDriver):
    async def hardware(self):
        self.shutdown()
"""
    )
    with reloading(code) as program:
        await says(program, "(Short) is served")
        code.write_text(DRIVER % "Long")
        await says(program, "(Long) is served")


@asynchronous
async def test_it_begins_anew_where_it_was_begun_though_a_driver_has_gone_elsewhere(code, tmp_path):
    code.write_text("import os\n" + DRIVER % "First" + "\nos.chdir(os.sep)\n")
    words = ["-v", "-p", "0", "--no-unix-socket", "--reload", "my_driver.py:make_driver"]
    with started(sys.executable, "-m", "indipyserver", *words, cwd=tmp_path, PYTHONPATH=str(ROOT)) as program:
        await says(program, "(First) is served")
        code.write_text(DRIVER % "Second")
        await says(program, "(Second) is served")
