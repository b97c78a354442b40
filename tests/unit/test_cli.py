"""The command line: what it understands, what it refuses, and what it says."""

import io
import logging
import re
import sys

import pytest

import indipyserver
from indipydriver.protocol.framer import Framer
from indipyserver.cli import console
from indipyserver.cli.main import main
from indipyserver.cli.options import build_parser
from indipyserver.spec import ProgramSpec, PythonSpec, RemoteSpec, parse_spec


def parsed(*argv):
    return build_parser().parse_intermixed_args(argv)


# Flags


def test_defaults_are_those_of_indiserver():
    options = parsed("driver")
    assert (options.port, options.max_queue, options.max_stream_queue, options.restarts) == (7624, 128, 5, 10)
    assert options.host is options.unix_socket is options.fifo is options.log_dir is options.log_level is None
    assert (options.verbose, options.max_clients) == (0, 128)


@pytest.mark.parametrize(
    ("argv", "name", "value"),
    [
        ("-p 7625", "port", 7625),
        ("-p7625", "port", 7625),
        ("--port 0", "port", 0),
        ("-m 4096", "max_queue", 4096),
        ("--max-queue 1", "max_queue", 1),
        ("-d 0", "max_stream_queue", 0),
        ("--max-stream-queue=7", "max_stream_queue", 7),
        ("-r 0", "restarts", 0),
        ("--restarts 3", "restarts", 3),
        ("-u /tmp/mine", "unix_socket", "/tmp/mine"),
        ("--unix-socket mine", "unix_socket", "mine"),
        ("--no-unix-socket", "unix_socket", ""),
        ("-f /tmp/fifo", "fifo", "/tmp/fifo"),
        ("--fifo fifo", "fifo", "fifo"),
        ("-l /tmp", "log_dir", "/tmp"),
        ("--log-dir .", "log_dir", "."),
        ("-v", "verbose", 1),
        ("-vv", "verbose", 2),
        ("-v -v -v", "verbose", 3),
        ("--verbose --verbose", "verbose", 2),
        ("--host a --host ::1", "host", ["a", "::1"]),
        ("--max-clients 3", "max_clients", 3),
        ("--log-level debug", "log_level", "debug"),
    ],
)
def test_flags(argv, name, value):
    assert getattr(parsed(*argv.split(), "driver"), name) == value
    assert getattr(parsed("driver", *argv.split()), name) == value


def test_short_flags_may_be_clustered():
    options = parsed("-vvr", "3", "one", "-vp7000", "two")
    assert (options.verbose, options.restarts, options.port) == (3, 3, 7000)
    assert options.drivers == [ProgramSpec("one"), ProgramSpec("two")]


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ("-p abc driver", "'abc' is not a whole number"),
        ("-p 7_624 driver", "'7_624' is not a whole number"),
        ("-p \u0667\u0666\u0662\u0664 driver", "is not a whole number"),
        (f"-p {'7' * 5000} driver", "is not a whole number"),
        ("-p 65536 driver", "not from 0 to 65535"),
        ("-m 0 driver", "not from 1"),
        ("-m -1 driver", "not from 1"),
        ("-d -1 driver", "not from 0"),
        ("-r -1 driver", "not from 0"),
        ("--max-clients 0 driver", "not from 1"),
        ("-p", "expected one argument"),
        ("--host= driver", "0.0.0.0 or :: means all"),
        ("-x driver", "unrecognized arguments: -x"),
        ("--fif o driver", "unrecognized arguments: --fif"),
        ("driver dev@", "DEVICE@HOST:PORT"),
        ("--log-level loud driver", "invalid choice"),
    ],
)
def test_wrong_usage_is_explained(argv, says, capsys):
    assert main(argv.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert says in err
    assert err.startswith("usage: ")


def test_without_words_it_explains_itself(capsys):
    assert main([]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "usage: " in err
    assert "examples:" in err


def test_help_has_examples(capsys):
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert "examples:" in out
    assert "%(" not in out
    for flag in ("-l", "-m", "-d", "-u", "-p", "-r", "-f", "-v"):
        assert f"  {flag}" in out


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"indipyserver {indipyserver.version}\n"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/usr/local/bin/indiserver", "indiserver"),
        ("/venv/bin/indipyserver", "indipyserver"),
        ("/x/indipyserver/__main__.py", "indipyserver"),
        ("-c", "indipyserver"),
        ("", "indipyserver"),
    ],
)
def test_usage_takes_the_name_of_the_program(path, name, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [path])
    assert main(["-x"]) == 2
    assert capsys.readouterr().err.startswith(f"usage: {name} ")


# Words


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("indi_simulator_ccd", ProgramSpec("indi_simulator_ccd")),
        ("/opt/my drivers/one", ProgramSpec("/opt/my drivers/one")),
        ("/opt/release@2/driver", ProgramSpec("/opt/release@2/driver")),
        ("./driver.py", ProgramSpec("./driver.py")),
        ("@host", RemoteSpec("@host", None, "host")),
        ("*@host", RemoteSpec("*@host", None, "host")),
        ("@host:1", RemoteSpec("@host:1", None, "host", 1)),
        ("My Cam@host:7625", RemoteSpec("My Cam@host:7625", "My Cam", "host", 7625)),
        ("a@b@host", RemoteSpec("a@b@host", "a@b", "host")),
        ("@[fe80::1%eth0]:65535", RemoteSpec("@[fe80::1%eth0]:65535", None, "fe80::1%eth0", 65535)),
        ("Cam@[::1]", RemoteSpec("Cam@[::1]", "Cam", "::1")),
        ("package.module:make", PythonSpec("package.module:make", "package.module", "make")),
        ("module:Class.make", PythonSpec("module:Class.make", "module", "Class.make")),
        ("dir name/file.py:make", PythonSpec("dir name/file.py:make", "dir name/file.py", "make")),
        ("./a@b/file.py:make", PythonSpec("./a@b/file.py:make", "./a@b/file.py", "make")),
    ],
)
def test_words(text, word):
    assert parse_spec(text) == word


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "needs a name"),
        ("a\0b", "needs a name"),
        ("@", "DEVICE@HOST:PORT"),
        ("dev@", "DEVICE@HOST:PORT"),
        ("dev@:7624", "DEVICE@HOST:PORT"),
        ("dev@ho st", "DEVICE@HOST:PORT"),
        ("dev@host:", "not a port"),
        ("dev@host:0", "not a port"),
        ("dev@host:65536", "not a port"),
        ("dev@host:-1", "not a port"),
        ("dev@host:http", "not a port"),
        ("dev@host:٣", "not a port"),
        ("@::1", "in brackets"),
        ("@fe80::1:7624", "in brackets"),
        ("@[::1]7624", "only :PORT"),
        ("host:7624", "@host:7624"),
        ("[::1]:7624", "@[::1]:7624"),
        ("./a b/led.py:", "does not name a function of ./a b/led.py, as in ./a b/led.py:make_driver"),
        ("led.py:make-driver", "does not name a function of led.py, "),
        ("package.module:", "package.module:make_driver"),
    ],
)
def test_what_is_no_word(text, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        parse_spec(text)


# The log


def record(text, level=logging.WARNING, **more):
    return logging.makeLogRecord({"msg": text, "levelno": level, "created": 1_600_000_000.9, **more})


def test_a_log_line_is_as_indiserver_writes_it():
    assert console.LogFormatter().format(record("text")) == "2020-09-13T12:26:40: text"


def test_nothing_in_a_log_line_commands_the_terminal_or_forges_a_line():
    line = console.LogFormatter().format(record("a\x1b[2Jb\x9bc\r\n2020-01-01T00:00:00: forged\u202e"))
    assert line == "2020-09-13T12:26:40: a\\x1b[2Jb\\x9bc\\r\n    2020-01-01T00:00:00: forged\\u202e"
    line = console.LogFormatter().format(record("a\u200fb\u200bc\ufeff\tB\u00fcro \u2192"))
    assert line == "2020-09-13T12:26:40: a\\u200fb\\u200bc\\ufeff\tB\u00fcro \u2192"


def test_colours_are_for_terminals_only(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert not console.is_terminal(io.StringIO())
    assert console.is_terminal(Terminal())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not console.is_terminal(Terminal())
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert not console.is_terminal(Terminal())
    assert "\x1b[31m" in console.LogFormatter(colour=True).format(record("text", logging.ERROR))


class FakePeer:
    label = "driver x"
    trace = None


def traced(verbose, xml, caplog):
    peer = FakePeer()
    console.MessageTracer(verbose).peer_added(peer)
    (frame,) = Framer().feed(xml)
    with caplog.at_level(logging.DEBUG, "indipyserver.traffic"):
        peer.trace("from", frame)
        peer.trace("to", frame)
    return [r.getMessage() for r in caplog.records]


def test_a_line_per_message(caplog):
    xml = b'<delProperty device="A&amp;B" name="P"/>'
    assert traced(2, xml, caplog) == [
        f"driver x: received <delProperty> A&B.P, {len(xml)} bytes",
        f"driver x: sent <delProperty> A&B.P, {len(xml)} bytes",
    ]


def test_the_xml_of_a_message_without_blobs(caplog):
    xml = b'<setBLOBVector device="A" name="P"><oneBLOB name="B" size="3" format=".x">AAAA</oneBLOB></setBLOBVector>'
    lines = traced(3, xml, caplog)
    assert (
        lines[0] == f"driver x: received <setBLOBVector> A.P, {len(xml)} bytes\n" + xml.replace(b"AAAA", b"").decode()
    )
