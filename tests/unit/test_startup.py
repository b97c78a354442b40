"""What a start loads, and what it leaves for later; no message has to wait for an import."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import indipydriver

ROOT = Path(__file__).parents[2]

# What a server that runs no Python driver, and was asked for nothing special, has no use for.
UNUSED_OURS = [
    *(f"indipydriver.{module}" for module in "device events ipydriver propertymembers propertyvectors".split()),
    *(f"indipydriver.{module}" for module in "runtime shapes testing transport.stdio vectorbase".split()),
    *(
        f"indipyserver.{module}"
        for module in "check cli.checking cli.ctl cli.demo cli.fifo control observers.messagelog".split()
    ),
]
UNUSED_LIBRARY = (
    "bz2 decimal hashlib ipaddress json lzma pathlib random secrets shutil statistics tempfile urllib".split()
)


def run(code: str) -> list[str]:
    """The words that a new interpreter prints."""
    words = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=50, check=False
    )
    assert words.returncode == 0, words.stderr
    return words.stdout.split()


def test_the_command_loads_only_what_every_server_needs() -> None:
    # What asyncio and argparse bring along depends on the version of Python, and is not ours to avoid.
    loaded = run(
        "import argparse, asyncio, sys\nbefore = set(sys.modules)\n"
        "import indipyserver.cli.main, indipyserver.cli.serving\nprint(*(set(sys.modules) - before))"
    )
    assert "indipyserver.ipyserver" in loaded
    assert sorted({*UNUSED_OURS, *UNUSED_LIBRARY} & set(loaded)) == []


@pytest.mark.parametrize("words", [["--version"], ["ctl", "--help"], ["--check", "nothing"]])
def test_what_serves_nothing_loads_no_server(words: list[str]) -> None:
    code = (
        "import contextlib, io, sys\nfrom indipyserver.cli.main import main\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):\n"
        f"    main({words})\nprint(*sys.modules)"
    )
    loaded = run(code)
    assert "indipyserver.cli.main" in loaded
    assert "indipyserver.cli.serving" not in loaded


def test_the_shapes_wait_for_the_first_framer() -> None:
    sizes = run(
        "import indipyserver.cli.serving\n"
        "from indipydriver.protocol import framer, shapes\n"
        "print(shapes.common.cache_info().currsize)\n"
        "framer.Framer()\n"
        "print(shapes.common.cache_info().currsize)"
    )
    assert sizes == ["0", "1"]


SESSION = """
import asyncio, sys
import indipydriver as ipd
from indipyserver import IPyServer

class Driver(ipd.IPyDriver):
    async def rxevent(self, event):
        if isinstance(event, ipd.newNumberVector):
            event.vector["n"] = event["n"]
            await event.vector.send_setVector()
            self["D"]["BLOB"]["b"] = b"data"
            await self["D"]["BLOB"].send_setVectorMembers(members=["b"])

number = ipd.NumberVector("NUMBER", "", "", "rw", "Ok", [ipd.NumberMember("n", membervalue=1)])
blob = ipd.BLOBVector("BLOB", "", "", "ro", "Ok", [ipd.BLOBMember("b", blobformat=".x")])

async def main():
    server = IPyServer(Driver(ipd.Device("D", [number, blob])), port=0)
    serving = asyncio.ensure_future(server.asyncrun())
    await server.started.wait()
    await asyncio.sleep(0)
    before = set(sys.modules)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"<getProperties version='1.7'/><enableBLOB device='D'>Also</enableBLOB>")
    await reader.readuntil(b"</defBLOBVector>")
    writer.write(b"<newNumberVector device='D' name='NUMBER'><oneNumber name='n'>7</oneNumber></newNumberVector>")
    writer.write(b"junk <newNumberVector  device='D' name='NUMBER'>\\n<oneNumber name='n' odd='&#65;'>8</oneNumber>")
    writer.write(b"</newNumberVector>")
    for _ in range(2):
        await reader.readuntil(b"</setBLOBVector>")
    writer.close()
    print("then", *(set(sys.modules) - before))
    server.shutdown()
    await serving

asyncio.run(main())
"""


def test_no_message_waits_for_an_import() -> None:
    """From a connection to its BLOBs: everything has been imported before the server listens."""
    assert run(SESSION) == ["then"]


def imported_for_type_checkers() -> dict[str, str]:
    """Where the package says that its names are, to type checkers."""
    tree = ast.parse(Path(indipydriver.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    found = {}
    for node in block.body:
        assert isinstance(node, ast.ImportFrom)
        found.update(dict.fromkeys((alias.name for alias in node.names), node.module))
    return found


def test_type_checkers_and_python_find_the_same_names() -> None:
    places = imported_for_type_checkers()
    assert sorted(places) == sorted(set(indipydriver.__all__) - {"version"})
    for name, module in places.items():
        thing = getattr(indipydriver, name)
        assert thing.__module__ in (f"indipydriver.{module}", "indipydriver.protocol.values"), name
    assert set(indipydriver.__all__) <= set(dir(indipydriver))


def test_every_name_can_be_the_first_to_be_asked_for() -> None:
    assert run("import indipydriver\nprint(indipydriver.events.Message is indipydriver.Message)") == ["True"]
    assert run("from indipydriver import *\nprint(IPyDriver.__name__, getfloat('1:30'))") == ["IPyDriver", "1.5"]


def test_a_name_that_does_not_exist_is_refused() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Devise'"):
        indipydriver.Devise  # noqa: B018
