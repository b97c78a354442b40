"""Code that provides no driver: the text says what was meant, with file and line."""

import sys
import warnings

import pytest

from indipyserver.loading import load_drivers
from indipyserver.spec import parse_spec

GOOD = "import indipydriver as ipd\ndef make_driver():\n    return ipd.IPyDriver(ipd.Device('D', []))\n"


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
        ("def make_driver():\n    return 5\n", r"make_driver\(\) returned something that is not an IPyDriver: 5"),
        (
            "def make_driver():\n    return {}['no']\n",
            r"code_\w+\.py:2 in make_driver: return {}\['no'\]: KeyError: 'no'",
        ),
        ("import no_such\n", r"code_\w+\.py:1: import no_such: ModuleNotFoundError: No module named 'no_such'"),
        ("def make_driver(\n", r"code_\w+\.py:1: SyntaxError: '\(' was never closed"),
        ("def made():\n    pass\n", r"there is no 'make_driver' in .*\.py; it has made"),
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
