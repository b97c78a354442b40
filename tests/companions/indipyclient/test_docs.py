"""The programs of the pages about clients run as they stand, but for the port; the pages name what there is."""

import asyncio
import importlib
import inspect
import os
import re
import shlex
import signal
import sys

import pytest

import indipyclient
from examples import camera, thermostat
from indipyclient.cli.main import VERBS
from tests.support import ROOT, asynchronous, eventually, running_server, started

DOCS = ROOT / "docs"
SNIPPETS = DOCS / "snippets" / "client"
PAGES = {path: path.read_text(encoding="utf-8") for path in [*DOCS.rglob("*.md"), ROOT / "README.md"]}
PATH = os.pathsep.join(map(str, (ROOT / "companions", ROOT)))

# Runs a program, but for the port of the server.
RUNNER = """
import os, runpy, sys
import indipyclient
port = int(os.environ["PORT"])
for each in (indipyclient.Client, indipyclient.SyncClient, indipyclient.IPyClient):
    begin = each.__init__
    def init(self, host="localhost", *args, _begin=begin, **kwargs):
        kwargs.pop("indihost", None), kwargs.pop("indiport", None)
        _begin(self, "127.0.0.1" if host == "localhost" else host, port if not args else args[0], *args[1:], **kwargs)
    each.__init__ = init
runpy.run_path(sys.argv[1], run_name="__main__")
"""

# What each prints before it has ended, or is ended.
SAYS = {
    "follow.py": r"^Room: [\d.]+\n[\d.]+ \(\w+\)",
    "set_target.py": r"^19\.5 after \d+ s",
    "expose.py": r"^images/CCD1_\d+_\d\d_\d\d_\d\d\.fits$",
    "script.py": r"^0\.1 s took .*\n0\.2 s took [\s\S]*^Camera CCD_EXPOSURE Ok",
    "all_images.py": r"^CCD1 \d+ images/CCD1_\d+",
    "keep_going.py": r"^(19\.5|18\.0)$",
    "classic.py": r"^[\d.]+\n",
}
ENDLESS = {"follow.py", "all_images.py", "classic.py"}


def test_every_program_is_shown_and_run():
    shown = {name for text in PAGES.values() for name in re.findall(r"snippets/client/(\w+\.py)", text)}
    there = {path.name for path in SNIPPETS.glob("*.py")}
    assert shown == there
    assert there == {*SAYS, "test_my_client.py"}


@pytest.mark.parametrize("name", SAYS)
@asynchronous
async def test_a_program(name, tmp_path):
    async with running_server(thermostat.make_driver(0.02), camera.make_driver()) as server:
        command = [sys.executable, "-c", RUNNER, str(SNIPPETS / name)]
        with started(*command, cwd=tmp_path, PYTHONPATH=PATH, PORT=str(server.port)) as program:
            if name == "all_images.py":  # somebody has to take some
                await asyncio.sleep(0.8)
                expose = [sys.executable, "-c", RUNNER, str(SNIPPETS / "script.py")]
                with started(*expose, cwd=tmp_path, PYTHONPATH=PATH, PORT=str(server.port)) as other:
                    assert await other.wait(20) == 0, other.stderr()
            if name in ENDLESS:
                await eventually(lambda: re.search(SAYS[name], program.stdout(), re.M), 15)
                program.signal(signal.SIGKILL)
                return
            assert await program.wait(30) == 0, program.stderr()
            assert re.search(SAYS[name], program.stdout(), re.M), program.stdout()


@asynchronous
async def test_the_tests_of_the_how_to_pass(tmp_path):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", "."]
    with started(*command, str(SNIPPETS / "test_my_client.py"), cwd=tmp_path, PYTHONPATH=PATH) as program:
        assert await program.wait(40) == 0, program.stdout()
        assert "2 passed" in program.stdout()


def commands():
    for path, text in PAGES.items():
        for block in re.findall(r"^```sh\n(.*?)^```", text, re.M | re.S):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                if words[:1] == ["indipyclient"]:
                    end = next((n for n, word in enumerate(words) if word in ("&&", "|", ">")), len(words))
                    yield pytest.param(words[1:end], id=f"{path.name}: {line}")


@pytest.mark.parametrize("words", list(commands()))
def test_a_command_of_the_pages_is_read(words, monkeypatch):
    module = importlib.import_module(f"indipyclient.cli.{words[0]}")
    taken = []
    monkeypatch.setattr(module, "run" if hasattr(module, "run") else "told", lambda work: taken.append(work) or 0)
    assert module.main(words[1:]) == 0
    assert taken


def test_every_verb_and_status_is_in_the_reference():
    page = PAGES[DOCS / "reference" / "client-command.md"]
    assert [verb for verb in VERBS if f"| `{verb}" not in page] == []
    from indipyclient.cli.outcome import Status

    assert [status for status in Status if f"\n| {int(status)} |" not in page] == []


def test_every_public_method_is_in_the_reference():
    page = PAGES[DOCS / "reference" / "client-api.md"]
    for name in ("Client", "IPyClient"):
        found = re.search(rf"autoclass:: indipyclient\.{name}\n   :members: (.*)", page)
        named = set(found[1].split(", "))
        own = {key for cls in getattr(indipyclient, name).__mro__[:2] for key in vars(cls) if not key.startswith("_")}
        internal = {"define_vector", "delete_known", "vector_changed", "send_indi", "send", "refuse_to_send", "model",
                    "look_at_timeout", "raise_clientevent", "stored_user_string", "keep_blob",
                    "take_update"}  # fmt: skip
        assert own - named - internal == set(), name
    assert inspect.getdoc(indipyclient.Client)
    documented = "\n".join(PAGES[path] for path in PAGES if path.parent.name == "reference")
    skipped = {
        "LinkState",
        "BlobMode",
        "Permission",
        "State",
        "SwitchRule",
        "VectorKind",
        "What",
        "getfloat",
        "version",
    }
    errors = set(importlib.import_module("indipyclient.errors").__all__)
    events = set(importlib.import_module("indipyclient.events").__all__)
    missing = [
        n for n in indipyclient.__all__ if n not in skipped | errors | events and f"indipyclient.{n}" not in documented
    ]
    assert missing == []
