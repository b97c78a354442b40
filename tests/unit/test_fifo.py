"""The grammar of the FIFO: what indiserver understands, and what is refused where it went astray."""

import asyncio
import errno
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indipyserver.cli.fifo import MAX_LINE, CommandError, Fifo, Lines, Start, Stop, parse_command
from indipyserver.spec import ProgramSpec, PythonSpec, RemoteSpec
from tests.support import asynchronous

CCD = ProgramSpec("indi_ccd")


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("start indi_ccd", Start(CCD)),
        ("  start\tindi_ccd \r", Start(CCD)),
        ('start indi_ccd -n "My Cam"', Start(CCD, name="My Cam")),
        ("start indi_ccd -n Cam", Start(CCD, name="Cam")),
        (
            'start indi_ccd -p "/opt/p" -s "s k.xml" -c "c.xml" -n "N"',
            Start(CCD, name="N", config="c.xml", skeleton="s k.xml", prefix="/opt/p"),
        ),
        ('start "indi_ccd" -n "a@b"', Start(CCD, name="a@b")),
        ('start "/my drivers/ccd"', Start(ProgramSpec("/my drivers/ccd"))),
        ('start indi_ccd -n "Bob\'s"', Start(CCD, name="Bob's")),
        ('start "My Cam"@host:7625', Start(RemoteSpec("My Cam@host:7625", "My Cam", "host", 7625))),
        ("start My Cam@host", Start(RemoteSpec("My Cam@host", "My Cam", "host"))),
        ("start @host", Start(RemoteSpec("@host", None, "host"))),
        ("start a.b:make", Start(PythonSpec("a.b:make", "a.b", "make"))),
        ("stop indi_ccd", Stop("indi_ccd")),
        ('stop indi_ccd -n "My Cam"', Stop("indi_ccd", "My Cam")),
        ('stop "My Cam"@host:7625', Stop("My Cam@host:7625")),
        ("start Größe", Start(ProgramSpec("Größe"))),
        ("", None),
        (" \t ", None),
    ],
)
def test_commands(line, command):
    assert parse_command(line) == command


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("bogus indi_ccd", "neither start nor stop"),
        ("START indi_ccd", "neither start nor stop"),
        ("start", "start needs a DRIVER"),
        ("stop", "stop needs a DRIVER"),
        ('stop ""', "stop needs a DRIVER"),
        ('start ""', "needs a name"),
        ('start -n "x"', "start needs a DRIVER"),
        ("start a b", "double quotes"),
        ('start indi_ccd -x "y"', "'-x' is not an option"),
        ("start indi_ccd -n", "needs a value"),
        ('start indi_ccd -n ""', "needs a value"),
        ('start indi_ccd -n "a" -n "b"', "twice"),
        ('start indi_ccd -n "a', "quote is missing"),
        ('start indi_ccd -n "a" b', "'b' is not an option"),
        ('start drv@host -n "a"', "takes no options"),
        ("start dev@", "DEVICE@HOST:PORT"),
        ("start @host:http", "not a port"),
        ('stop indi_ccd -c "x"', "-n only"),
        ("start a\0b", "control characters"),
        ("start \x1b[2J", "control characters"),
    ],
)
def test_what_is_no_command(line, says):
    with pytest.raises(CommandError) as caught:
        parse_command(line)
    assert says in str(caught.value)


@given(st.text())
def test_any_line_is_a_command_or_an_error(line):
    try:
        command = parse_command(line)
    except CommandError:
        return
    assert command is None or isinstance(command, Start | Stop)


@given(st.lists(st.text(st.characters(blacklist_characters="\n", blacklist_categories=["Cs"]), max_size=20)), st.data())
def test_lines_are_the_same_in_any_pieces(texts, data):
    stream = "".join(text + "\n" for text in texts).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    lines = Lines()
    found = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += lines.feed(stream[start:end])
    assert found == texts
    assert not lines.unfinished


def test_a_line_without_its_end():
    lines = Lines()
    assert lines.feed(b"one\ntw") == ["one"]
    assert lines.unfinished
    assert lines.feed(b"o") == []
    assert lines.finish() == ["two"]
    assert lines.finish() == []


def test_a_line_that_is_too_long_is_one_error_and_leaves_the_next_alone():
    lines = Lines()
    found = []
    for _ in range(100):
        found += lines.feed(b"x" * 1000)
        assert len(lines._rest) <= MAX_LINE
    found += lines.feed(b"x\nstop y\n")
    assert len(found) == 2
    assert isinstance(found[0], CommandError)
    assert found[1] == "stop y"


def test_a_line_that_is_too_long_at_once():
    long, short = Lines().feed(b"x" * (MAX_LINE + 1) + b"\nstop y\n")
    assert isinstance(long, CommandError)
    assert short == "stop y"


@pytest.mark.parametrize("pieces", [[9000], [4000, 4000, 4000], [9000, 1, 20_000], [8193]])
@pytest.mark.parametrize("late_end", ["", "x\n"])
def test_a_line_that_is_too_long_and_has_no_end_leaves_the_next_writers_alone(pieces, late_end):
    lines = Lines()
    found = [line for piece in pieces for line in lines.feed(b"x" * piece)]
    found += lines.feed(late_end.encode())
    assert [type(line) for line in found] == [CommandError]
    assert lines.unfinished == (not late_end)  # then the time in which more may come is limited
    assert lines.finish() == []
    assert not lines.unfinished
    assert lines.feed(b"stop camera\nstop mount\n") == ["stop camera", "stop mount"]


def test_a_line_that_is_not_utf8():
    (error,) = Lines().feed(b"start \xff\n")
    assert "UTF-8" in str(error)


@pytest.fixture
def path(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    return str(tmp_path / "fifo")


async def open_and_close(*paths):
    fifos = [Fifo(path, None) for path in paths]
    try:
        for fifo in fifos:
            fifo.open()
    finally:
        for fifo in fifos:
            await fifo.close()


@asynchronous
async def test_two_readers_of_one_fifo_would_share_the_commands_out_so_the_second_is_refused(path):
    with pytest.raises(OSError, match="another process reads it"):
        await open_and_close(path, path)
    await open_and_close(path)  # and nothing has stayed open


@asynchronous
async def test_what_is_no_fifo_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="not a FIFO"):
        await open_and_close(str(tmp_path / "file"))
    with pytest.raises(FileNotFoundError):
        await open_and_close(str(tmp_path / "none"))


@asynchronous
async def test_where_nothing_watches_descriptors_a_fifo_is_refused(path, monkeypatch):
    monkeypatch.delattr(os, "readv")
    with pytest.raises(OSError, match="no FIFOs"):
        await open_and_close(path)


@asynchronous
async def test_a_fifo_that_cannot_be_read_any_more_is_reported_once_and_costs_no_time(path, monkeypatch, caplog):
    fifo = Fifo(path, None)
    fifo.open()

    def failing(fd: int, count: int) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("indipyserver.cli.fifo.os.read", failing)
    with open(path, "wb", buffering=0) as writer:
        writer.write(b"stop x\n")
    for _ in range(20):
        await asyncio.sleep(0)
    await fifo.close()
    assert len([record for record in caplog.records if "no longer be read" in record.getMessage()]) == 1
