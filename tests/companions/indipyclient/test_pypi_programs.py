"""PyPI's terminal and web clients, unmodified, on this project's indipyclient in the place of theirs."""

import asyncio
import json
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from examples import thermostat
from tests.support import ROOT, asynchronous, free_port, running_server, started, wait_for_port

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]

TERMINAL = """
import asyncio, sys
import indipyclient
from indipyterm import IPyTerm
from textual.widgets import Button, Input

async def main():
    app = IPyTerm(host="127.0.0.1", port=int(sys.argv[1]))
    async with app.run_test(size=(120, 40)) as pilot:

        async def until(look):
            for _ in range(400):
                await pilot.pause(0.02)
                found = look()
                if found:
                    return found
            raise SystemExit(f"never: {texts()}")

        def button(label):
            return [b for b in app.screen.query(Button) if str(b.label) == label]

        def texts():
            return [str(w.render()) for w in app.screen.query("Static")]

        (await until(lambda: button("Thermostat")))[0].press()
        field = (await until(lambda: list(app.screen.query(Input)) if button("Submit") else None))[0]
        field.value = "21.5"
        field.focus()
        await pilot.press("enter")
        button("Submit")[0].press()
        await until(lambda: "21.5" in texts())
        print("set from the terminal")

print(indipyclient.__file__)
asyncio.run(main())
"""

WEB = """
import pathlib, sqlite3, sys
import indipyclient
from indipyweb.web.userdata import setupdbase

folder, web, indi = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
setupdbase("127.0.0.1", web, pathlib.Path(folder))
with sqlite3.connect(folder + "/indipyweb.db") as database:
    database.execute("UPDATE parameters SET indihost = '127.0.0.1', indiport = ?", (indi,))
    database.commit()
print(indipyclient.__file__, flush=True)
sys.argv[1:] = ["--host", "127.0.0.1", "--port", str(web), "--dbfolder", folder]
import runpy
runpy.run_module("indipyweb", run_name="__main__")
"""


@pytest.fixture(scope="session")
def path() -> str:
    """A PYTHONPATH with their programs and our client."""
    target = Path(sys.prefix) / "pypi" / "programs"
    if not (target / "complete").exists():
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--upgrade"]
        wanted = ["indipyterm==0.1.8", "indipyweb==0.2.1"]
        try:
            subprocess.run([*command, "--target", str(target), *wanted], check=True, capture_output=True, timeout=200)
        except (subprocess.SubprocessError, OSError) as error:
            pytest.skip(f"cannot install {' and '.join(wanted)}: {error} {getattr(error, 'stderr', b'')!r}")
        shutil.rmtree(target / "indipyclient")
        (target / "complete").touch()
    return f"{target}:{ROOT / 'companions'}:{ROOT}"


@asynchronous
async def test_the_terminal_shows_a_device_and_sets_it(path, tmp_path):
    script = tmp_path / "terminal.py"
    script.write_text(TERMINAL)
    async with running_server(thermostat.make_driver()) as server:
        with started(sys.executable, str(script), str(server.port), cwd=tmp_path, PYTHONPATH=path) as program:
            assert await program.wait(60) == 0, program.stdout() + program.stderr()
            assert str(ROOT / "companions") in program.stdout()
            assert "set from the terminal" in program.stdout()


@asynchronous
async def test_the_web_client_knows_the_devices(path, tmp_path):
    script = tmp_path / "web.py"
    script.write_text(WEB)
    web = free_port()

    def get(where):
        with urllib.request.urlopen(f"http://127.0.0.1:{web}{where}", timeout=10) as answer:
            return answer.read().decode()

    async with running_server(thermostat.make_driver()) as server:
        arguments = [str(script), str(tmp_path), str(web), str(server.port)]
        with started(sys.executable, *arguments, cwd=tmp_path, PYTHONPATH=path) as program:
            await wait_for_port(web, program, 60)
            async with asyncio.timeout(20):
                while not (found := json.loads(await asyncio.to_thread(get, "/api/Thermostat/TARGET"))):
                    await asyncio.sleep(0.1)
            assert found["members"]["TARGET"]["floatvalue"] == 18.0
            assert "indipyweb" in await asyncio.to_thread(get, "/indipyweb")
            assert str(ROOT / "companions") in program.stdout()
