"""The file of --config: what it may say, and what is said of a file that makes no sense."""

import os

import pytest

from indipyserver.cli.arguments import read_arguments
from indipyserver.cli.main import main
from indipyserver.cli.options import build_parser


@pytest.fixture
def site(tmp_path):
    """Writes a file; returns its path."""

    def write(text):
        path = tmp_path / "site.toml"
        path.write_text(text)
        return str(path)

    return write


def read(path, *words):
    return read_arguments(build_parser(), ["--config", path, *words])


def test_a_file_of_an_editor_that_marks_utf_8_and_ends_lines_with_two_characters(site):
    assert read(site("\ufeffport = 7700\r\n")).port == 7700


def test_options_and_drivers(site, tmp_path):
    options = read(
        site("""
            port = 7700
            host = ["localhost", "::1"]
            listen = "*:7626,read-only"
            no-unix-socket = true
            audit = false
            verbose = 2
            log-level = "debug"
            max-queue = 32
            log-dir = "messages"
            tls-cert = "/etc/indi/pier.pem"
            drivers = ["indi_simulator_ccd", "@dome.local", "led.py:make_driver", "package.module:make", "./mine"]

            [[driver]]
            run = "indi_simulator_ccd"
            name = "Guide Camera"
            config = "guide.xml"
            prefix = "/opt/indi"

            [[driver]]
            run = "indi_mine"
            prefix = "build"
        """)
    )
    assert (options.port, options.host, options.unix_socket, options.audit) == (7700, ["localhost", "::1"], "", False)
    assert [listen.port for listen in options.listen] == [7626]
    assert (options.verbose, options.log_level, options.max_queue) == (2, "debug", 32)
    assert options.log_dir == os.path.join(tmp_path, "messages")
    assert options.tls_cert == "/etc/indi/pier.pem"
    assert [(spec.text, more) for spec, more in options.configured] == [
        ("indi_simulator_ccd", {}),
        ("@dome.local", {}),
        (f"{tmp_path}/led.py:make_driver", {}),
        ("package.module:make", {}),
        (f"{tmp_path}/./mine", {}),
        ("indi_simulator_ccd", {"name": "Guide Camera", "config": f"{tmp_path}/guide.xml", "prefix": "/opt/indi"}),
        ("indi_mine", {"prefix": f"{tmp_path}/build"}),
    ]


def test_the_command_line_goes_before_the_file(site):
    path = site('port = 7700\nhost = "::1"\nrestarts = 3\ndrivers = ["a"]')
    options = read(path, "-p", "0", "--host", "localhost", "-v", "b")
    assert (options.port, options.host, options.restarts, options.verbose) == (0, ["localhost"], 3, 1)
    assert [spec.text for spec, _ in options.configured] == ["a"]
    assert [spec.text for spec in options.drivers] == ["b"]


def test_a_demonstration_with_and_without_its_name(site):
    assert read(site("demo = true")).demo == "examples"
    assert read(site('demo = "observatory"')).demo == "observatory"


def test_a_text_that_looks_like_an_option_is_none(site):
    assert read(site('fifo = "-v"\ndrivers = ["a"]')).verbose == 0
    with pytest.raises(SystemExit):
        read(site('host = "--audit"\nport = "-p"'))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("port = 99999", "port: 99999 is not from 0 to 65535"),
        ('port = "x"', "port: 'x' is not a whole number"),
        ("port = [1, 2]", "port: a text or a number is wanted, not [1, 2]"),
        ("port = 2024-01-01", "port: a text or a number is wanted"),
        ("host = true", "host: a text or a number is wanted or a list of them, not True"),
        ('log-level = "loud"', "log-level: invalid choice: 'loud'"),
        ("verbose = 4", "verbose: a number from 0 to 3 is wanted"),
        ('audit = "yes"', "audit: true or false is wanted"),
        ("prot = 7624", "prot: there is no such key; there are drivers, driver, audit"),
        ('check = "x"', "check: there is no such key"),
        ('config = "other.toml"', "config: there is no such key"),
        ('drivers = "indi_simulator_ccd"', "drivers: this must be a list of drivers"),
        ("drivers = [7]", "drivers: a driver is a text"),
        ('drivers = ["localhost:7624"]', "drivers: 'localhost:7624' looks like another server"),
        ('[driver]\nrun = "a"', "driver: this must be a list of [[driver]]s"),
        ('[[driver]]\nname = "a"', 'driver: [[driver]] needs a `run = "DRIVER"`'),
        ('[[driver]]\nrun = "a"\nport = 1', "driver: a driver is a text"),
        ('[[driver]]\nrun = "a"\nport = "1"', "driver: a driver has no 'port'"),
        ('[[driver]]\nrun = "@a"\nname = "1"', "driver: '@a' is not a program, so it takes no name"),
        ("port 7624", "Expected '=' after a key"),
        ("a = " + "[" * 5000, ""),
    ],
)
def test_what_makes_no_sense_is_named(site, text, words, capsys):
    path = site(text)
    assert main(["--config", path]) == 2
    error = capsys.readouterr().err
    assert f"error: {path}: " in error
    assert words in error


def test_a_file_that_cannot_be_read(tmp_path, capsys):
    assert main(["--config", str(tmp_path / "none.toml")]) == 2
    assert "none.toml: No such file or directory" in capsys.readouterr().err
    (tmp_path / "site.toml").write_bytes(b"port = 7624 # \xff")
    assert main(["--config", str(tmp_path / "site.toml")]) == 2
    assert "site.toml: " in capsys.readouterr().err
    (tmp_path / "site.toml").write_bytes(b"#" * 2_000_000)
    assert main(["--config", str(tmp_path / "site.toml")]) == 2
    assert "it has more than 1 MiB" in capsys.readouterr().err


def test_it_is_for_serving(site, capsys):
    assert main(["--config", site("port = 0"), "--check", "a.py:b"]) == 2
    assert "--config is for serving" in capsys.readouterr().err
