"""Which changes of files make --reload begin anew."""

import asyncio
import logging
import os
import sys

import pytest

from indipyserver.cli import reloading
from indipyserver.cli.reloading import Changes
from indipyserver.spec import parse_spec
from tests.support import asynchronous, eventually

WORKS = "def make_driver():\n    return %d\n"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.setattr(reloading, "_CHECK_PAUSE", 0.01)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path not in ("", ".")])  # as for a console script
    return tmp_path


async def changed(changes):
    return [os.path.basename(path) for path in await asyncio.wait_for(changes.wait(), 30)]


def write(path, text):
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


async def nothing_changes(changes):
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(changes.wait(), 0.1)


@pytest.mark.parametrize(
    ("spec", "file"),
    [
        ("my_module:make_driver", "my_module.py"),
        ("my_package.module:make_driver", "my_package/module.py"),
        ("my_file.py:make_driver", "my_file.py"),
        ("./my_folder/my_file.py:make_driver", "my_folder/my_file.py"),
        ("./my_folder/my_program.py", "my_folder/my_program.py"),
    ],
)
@pytest.mark.parametrize("there", [True, False])
@asynchronous
async def test_files_and_modules_are_watched_also_if_they_are_still_to_be_written(spec, file, there, here):
    if there:
        write(here / file, WORKS % 1)
    changes = Changes([parse_spec(spec)])
    write(here / file, WORKS % 20)
    assert await changed(changes) == [os.path.basename(file)]


@pytest.mark.parametrize("mistake", ["def x(:\n", "oops\n", "raise SystemExit\n"])
@asynchronous
async def test_a_package_with_a_mistake_is_watched_and_not_imported(mistake, here):
    write(here / "broken_package" / "__init__.py", mistake)
    write(here / "broken_package" / "module.py", WORKS % 1)
    changes = Changes([parse_spec("broken_package.module:make_driver")])
    assert "broken_package" not in sys.modules
    write(here / "broken_package" / "__init__.py", "")
    assert await changed(changes) == ["__init__.py"]


@asynchronous
async def test_what_is_wrong_with_a_file_is_told_and_the_next_change_counts(here, caplog):
    write(here / "my_module.py", WORKS % 1)
    changes = Changes([parse_spec("my_module:make_driver")])
    (here / "folder.py").mkdir()
    (here / "link.py").symlink_to("link.py")
    await nothing_changes(changes)
    assert caplog.records == []
    write(here / "my_module.py", "x = " + "-" * 200_000 + "1\n")
    await nothing_changes(changes)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "my_module.py: " in caplog.text
    write(here / "my_module.py", WORKS % 20)
    assert await changed(changes) == ["my_module.py"]


@asynchronous
async def test_while_one_file_does_not_compile_a_change_of_another_does_not_count(here, caplog):
    """The driver that is served would be gone, although it was said that it stays."""
    write(here / "my_module.py", WORKS % 1)
    write(here / "other.py", "A = 1\n")
    changes = Changes([parse_spec("my_module:make_driver")])
    waiting = asyncio.ensure_future(changed(changes))
    write(here / "my_module.py", "def x(:\n")
    await eventually(lambda: "my_module.py:1" in caplog.text, timeout=30)
    write(here / "other.py", "A = 234\n")
    await eventually(lambda: waiting.done() or caplog.text.count("my_module.py:1") == 2, timeout=30)
    assert not waiting.done()
    write(here / "my_module.py", WORKS % 20)
    assert await waiting == ["my_module.py", "other.py"]


def test_it_begins_anew_where_it_is_though_it_could_not_go_there(here, monkeypatch):
    """As with `sudo -u somebody` in one's own home: who is there may stay, but could not go there."""
    begun = []

    def refuse(path):
        raise PermissionError(path)

    monkeypatch.setattr(os, "chdir", refuse)
    monkeypatch.setattr(os, "execv", lambda program, words: begun.append(os.getcwd()))
    reloading.begin_anew(str(here))
    assert begun == [str(here)]
    with pytest.raises(PermissionError):
        reloading.begin_anew("/")
