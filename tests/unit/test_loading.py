"""Code that provides no driver: the text says what was meant, with file and line."""

import logging
import sys
import warnings

import pytest

from indipyserver.loading import load_drivers
from indipyserver.spec import parse_spec

GOOD = "import indipydriver as ipd\ndef make_driver():\n    return ipd.IPyDriver(ipd.Device('D', []))\n"
DEVICE = "import indipydriver as ipd\ndevice = ipd.Device('D', [])\n"


def load(tmp_path, code, attribute="make_driver"):
    path = tmp_path / f"code_{abs(hash(code))}.py"
    path.write_text(code, encoding="utf-8")
    return load_drivers(parse_spec(f"{path}:{attribute}"))


@pytest.fixture(autouse=True)
def _modules(monkeypatch):
    monkeypatch.setattr(sys, "path", sys.path[:])
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("code_"):
            del sys.modules[name]


def test_what_is_right(tmp_path):
    (driver,) = load(tmp_path, GOOD)
    assert list(driver) == ["D"]


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("def make_driver():\n    pass\n", r"make_driver\(\) returned None: is a `return` missing\?"),
        (
            "async def make_driver():\n    pass\n",
            r"make_driver is a coroutine: write `def make_driver\(\)`, without async",
        ),
        (
            "import indipydriver as ipd\nclass D(ipd.IPyDriver):\n    pass\n\ndef make_driver():\n    return D\n",
            r"make_driver\(\) returned a class: write D\(\.\.\.\)$",
        ),
        (
            "import indipydriver as ipd\nclass D(ipd.IPyDriver):\n    def __init__(self):\n        self.x = 1\n\ndef make_driver():\n    return D()\n",
            r"returned a D that is not a driver yet: its __init__\(\) does not call super\(\)\.__init__\(\)$",
        ),
        ("def make_driver():\n    return 5\n", r"make_driver\(\) returned something that is not an IPyDriver: 5"),
        ("def make_driver():\n    return 'led'\n", r"returned something that is not an IPyDriver: 'led'"),
        ("def make_driver():\n    return {'led': 5}\n", r"returned something that is not an IPyDriver: {'led': 5}"),
        (
            "def make_driver():\n    return {}['no']\n",
            r"code_\w+\.py:2 in make_driver: return {}\['no'\]: KeyError: 'no'",
        ),
        ("import no_such\n", r"code_\w+\.py:1: import no_such: ModuleNotFoundError: No module named 'no_such'"),
        ("def make_driver(\n", r"code_\w+\.py:1: SyntaxError: '\(' was never closed"),
        ("def made():\n    pass\n", r"there is no 'make_driver' in .*\.py; it has made"),
        (
            f"{DEVICE}def make_driver():\n    return device\n",
            "returned the device 'D' without a driver: put it into one",
        ),
        (f"{DEVICE}def make_driver():\n    return [device]\n", "returned the device 'D' without a driver"),
        (
            "from indipydriver.instruments import *\nclass Mine(PropertyDevice):\n    mode = Number('x')\n",
            r":2: class Mine\(PropertyDevice\): ValueError: .*; in the declaration of Mine\.mode",
        ),
        ("import json\njson.loads('')\n", r"code_\w+\.py:2: json\.loads\(''\): JSONDecodeError: "),
    ],
)
def test_what_was_meant(code, says, tmp_path):
    with pytest.raises(ImportError, match=says):
        load(tmp_path, code)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ImportError, match=r"there is no file .*/nosuch\.py$"):
        load_drivers(parse_spec(f"{tmp_path}/nosuch.py:make_driver"))


@pytest.mark.parametrize("serve", ["asyncio.run(server.asyncrun())", "server.run()"])
def test_a_script_that_serves_when_it_is_imported(tmp_path, serve):
    import asyncio

    code = f"import asyncio\nfrom indipyserver import IPyServer\n{GOOD}server = IPyServer(make_driver(), port=0)\n{serve}\n"

    async def loading():
        load(tmp_path, code)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ImportError, match='put that below `if __name__ == "__main__":`'):
            asyncio.run(loading())


@pytest.mark.parametrize(
    ("code", "is_shown"), [("1 / 0\n", True), ("def make_driver(\n", True), ("def made():\n    pass\n", False)]
)
def test_a_traceback_is_that_of_the_authors_code(code, is_shown, tmp_path, caplog):
    """With -v. Where nothing of the author's has run, it says nothing but what the message does."""
    caplog.set_level(logging.INFO, "indipyserver")
    caplog.set_level(logging.INFO, "indipyserver.cli")
    with pytest.raises(ImportError):
        load(tmp_path, code)
    assert ("Traceback" in caplog.text) == is_shown
