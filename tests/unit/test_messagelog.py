"""The message log: indiserver's format, and files nobody but us can name."""

import logging
import threading
import time
from datetime import UTC, datetime

import pytest

from indipydriver.protocol.framer import Framer
from indipyserver.observers.messagelog import MessageLog
from indipyserver.routing.endpoint import Endpoint, Role
from tests.support import allowed

NOW = datetime(2024, 2, 29, 23, 59, 58, 987654, UTC)
DRIVER = Endpoint("driver", Role.DRIVER)


def logged(tmp_path, xml, role=Role.DRIVER):
    frames = Framer().feed(xml.encode() if isinstance(xml, str) else xml)
    assert frames
    log = MessageLog(tmp_path, clock=lambda: NOW)
    log.received(Endpoint("somebody", role), frames)
    log.close()
    return {path.name: path.read_text() for path in tmp_path.rglob("*")}


def test_the_format_is_that_of_indiserver(tmp_path):
    xml = '<message device="CCD" timestamp="2023-01-02T03:04:05.6" message="a &lt; b"/>'
    assert logged(tmp_path, xml) == {"2023-01-02.islog": "2023-01-02T03:04:05.6: CCD: a < b\n"}


@pytest.mark.parametrize(
    ("xml", "line"),
    [
        ('<message message="hello"/>', ": hello"),
        ("<message device='C' message = 'single quotes'/>", "C: single quotes"),
        ('<delProperty device="C" message="gone"/>', "C: gone"),
        ('<setTextVector device="C" name="T" message="m"><oneText name="A">x</oneText></setTextVector>', "C: m"),
        ('<message device="C" message="&#65;&#x42;&amp;&quot;"/>', 'C: AB&"'),
        ('<message device="C" message="größer"/>', "C: größer"),
        ('<setBLOBVector device="C" name="B" message="m"><oneBLOB name="A">AAAA</oneBLOB></setBLOBVector>', "C: m"),
    ],
)
def test_whatever_has_a_message(tmp_path, xml, line):
    assert logged(tmp_path, xml) == {"2024-02-29.islog": f"2024-02-29T23:59:58: {line}\n"}


@pytest.mark.parametrize(
    "xml",
    [
        '<message device="C"/>',
        '<message device="C" message=""/>',
        '<setTextVector device="C" name="message"><oneText name="A"> message="x" </oneText></setTextVector>',
        '<delProperty device="C"/>',
    ],
)
def test_what_has_none(tmp_path, xml):
    assert logged(tmp_path, xml) == {}


@pytest.mark.parametrize("role", [Role.CLIENT, Role.UPSTREAM])
def test_clients_are_not_logged(tmp_path, role):
    assert logged(tmp_path, '<message message="hello"/>', role) == {}


def test_drivers_of_other_servers_are(tmp_path):
    assert logged(tmp_path, '<message message="hello"/>', Role.REMOTE)


@pytest.mark.parametrize(
    "timestamp",
    ["../../evil", "/etc/passw", "2024-13-01T00:00:00", "2024-02-30", "²024-01-01", "20240101T0", "", "   "],
)
def test_a_timestamp_never_names_a_file(tmp_path, timestamp):
    xml = f'<message device="C" timestamp="{timestamp}" message="m"/>'
    assert logged(tmp_path, xml) == {"2024-02-29.islog": "2024-02-29T23:59:58: C: m\n"}


def test_a_relative_directory_is_that_of_the_start_wherever_a_driver_goes(tmp_path, monkeypatch):
    (tmp_path / "logs").mkdir()
    monkeypatch.chdir(tmp_path)
    log = MessageLog("logs", clock=lambda: NOW)
    monkeypatch.chdir("/")
    log.received(DRIVER, Framer().feed(b'<message device="A" message="x"/>'))
    log.close()
    assert [path.name for path in (tmp_path / "logs").iterdir()] == ["2024-02-29.islog"]


def test_a_message_is_one_line(tmp_path):
    xml = '<message device="C&#10;D" timestamp="2023-01-02&#10;x" message="a&#10;2023-01-01: C: forged&#9;b"/>'
    (text,) = logged(tmp_path, xml).values()
    assert text == "2023-01-02 x: C D: a 2023-01-01: C: forged b\n"


def test_messages_of_several_days_in_order(tmp_path):
    xml = "".join(
        f'<message device="C" timestamp="2023-01-0{day}T00:00:00" message="{n}"/>' for n, day in enumerate("1211")
    )
    files = logged(tmp_path, xml)
    assert [line[-1] for line in files["2023-01-01.islog"].splitlines()] == ["0", "2", "3"]
    assert [line[-1] for line in files["2023-01-02.islog"].splitlines()] == ["1"]


def test_a_directory_that_cannot_be_written_to_is_one_warning(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    directory = tmp_path / "later"
    log = MessageLog(directory, clock=lambda: NOW)
    for _ in range(3):
        log.received(DRIVER, Framer().feed(b'<message message="hello"/>'))
        assert log.flush()
    assert [r.levelname for r in caplog.records] == ["WARNING"]
    assert "No such file" in caplog.text
    directory.mkdir()
    log.received(DRIVER, Framer().feed(b'<message message="back"/>'))
    log.close()
    assert "3 were lost" in caplog.text
    assert len(caplog.records) == 2
    assert (directory / "2024-02-29.islog").read_text() == "2024-02-29T23:59:58: : back\n"


def test_a_full_disk_is_one_warning(tmp_path, caplog):
    target = tmp_path / "2024-02-29.islog"
    target.symlink_to("/dev/full")
    log = MessageLog(tmp_path, clock=lambda: NOW)
    for _ in range(3):
        log.received(DRIVER, Framer().feed(b'<message message="hello"/>'))
        assert log.flush()
    log.close()
    assert len(caplog.records) == 1
    assert "No space left" in caplog.text


@pytest.fixture
def slow(tmp_path, monkeypatch):
    """A log on a disk that takes nothing until it is told to."""
    may_write = threading.Event()

    def opened(path, mode):
        assert may_write.wait(10)
        return open(path, mode)

    monkeypatch.setattr("indipyserver.observers.messagelog.open", opened, raising=False)
    yield MessageLog(tmp_path, clock=lambda: NOW, most=1000), may_write
    may_write.set()


@pytest.mark.measured
def test_a_disk_that_takes_nothing_holds_up_nobody(slow, tmp_path, caplog):
    log, may_write = slow
    begin = time.monotonic()
    for number in range(1000):
        log.received(DRIVER, Framer().feed(b'<message message="%d"/>' % number))
    assert time.monotonic() - begin < allowed(2)
    assert not log.flush(0.01)
    assert log.lost
    assert len(caplog.records) == 1
    assert "too slowly" in caplog.text
    lost = log.lost
    may_write.set()
    assert log.flush()
    log.received(DRIVER, Framer().feed(b'<message message="after"/>'))
    log.close()
    lines = (tmp_path / "2024-02-29.islog").read_text().splitlines()
    assert len(lines) == 1001 - lost
    assert [line.rpartition(" ")[2] for line in lines] == [*map(str, range(1000 - lost)), "after"]
    assert f"{lost} were lost" in caplog.text


def test_without_a_thread_messages_are_lost_and_nothing_else_until_there_is_one(tmp_path, caplog, monkeypatch):
    """Who sends the message is not to be told that this machine has no more threads."""

    def cannot(_):
        raise RuntimeError("can't start new thread")

    log = MessageLog(tmp_path, clock=lambda: NOW)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", cannot)
        for _ in range(2):
            log.received(DRIVER, Framer().feed(b'<message message="lost"/>'))
    assert log.lost == 2
    assert caplog.text.count("can't start new thread") == 1
    log.received(DRIVER, Framer().feed(b'<message message="after"/>'))
    log.close()
    assert (tmp_path / "2024-02-29.islog").read_text().endswith(": after\n")
    assert "2 were lost" in caplog.text


@pytest.mark.measured
def test_a_disk_that_never_answers_does_not_keep_the_end(slow, caplog):
    log, _ = slow
    for _ in range(3):
        log.received(DRIVER, Framer().feed(b'<message message="hello"/>'))
    begin = time.monotonic()
    log.close(0.05)
    assert time.monotonic() - begin < allowed(2)
    assert "in time" in caplog.text


def test_nothing_is_left_behind_when_it_is_closed_and_it_can_be_used_again(tmp_path):
    log = MessageLog(tmp_path, clock=lambda: NOW)
    before = set(threading.enumerate())  # a slow disk's thread of another test may still end
    for number in range(3):
        log.received(DRIVER, Framer().feed(b'<message message="%d"/>' % number))
        assert len(set(threading.enumerate()) - before) == 1
        log.close()
        assert not set(threading.enumerate()) - before
    assert len((tmp_path / "2024-02-29.islog").read_text().splitlines()) == 3
    log.close()
