"""What the documentation shows works, and what it should name is named.

Code in it is either a file, which is run here, or stands in the text, and then it is run here too.
"""

import asyncio
import importlib
import inspect
import os
import pydoc
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from indipydriver.instruments import Instrument
from indipydriver.protocol.framer import Limits
from indipyserver import IPyServer
from indipyserver.cli.options import build_parser
from indipyserver.routing.outbox import OutboxLimits
from indipyserver.spec import PythonSpec
from indipyweb.cli import build_parser as build_web_parser
from tests.support import ROOT, IndiClient, asynchronous, match, new_vector, run, running, running_server

DOCS = ROOT / "docs"
sys.path.insert(0, str(DOCS / "_ext"))
import readable  # noqa: E402

SNIPPETS = DOCS / "snippets"
PAGES = sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts)
TEXTS = {path: path.read_text(encoding="utf-8") for path in [*PAGES, ROOT / "README.md", ROOT / "CHANGELOG.md"]}
NAMES = {path: str(path.relative_to(ROOT)) for path in TEXTS}

FENCE = re.compile(
    r"^(?P<indent> *)(?P<fence>```+)(?P<language>[\w-]*)\n(?P<code>.*?)^(?P=indent)(?P=fence)$", re.M | re.S
)
INCLUDED = re.compile(r"^<!-- literalinclude (?P<path>\S+)\n(?P<options>(?::.*\n)*)-->", re.M)
OPTION = re.compile(r"^:([\w-]+): *(.*)$", re.M)


def blocks(*languages):
    """Every code block in one of these languages: where it stands, and its text."""
    found = []
    for path, text in TEXTS.items():
        for number, block in enumerate(FENCE.finditer(readable.without_shown(text)), 1):
            if block["language"] in languages:
                found.append(pytest.param(block["code"], id=f"{NAMES[path]}:{number}"))
    return found


def environment(**more):
    """For a subprocess: the packages of this checkout, the snippets, and pins that need no Raspberry Pi."""
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, (ROOT, SNIPPETS))),
        "PYTHONDONTWRITEBYTECODE": "1",
        "GPIOZERO_PIN_FACTORY": "mock",
        **more,
    }


# Runs a program as it stands, but for the port: its servers take a free one, and stop when they have started.
RUNNER = """\
import asyncio, runpy, sys
from indipyserver import IPyServer

serve = IPyServer.asyncrun

async def asyncrun(self):
    self.port, self.host = 0, "localhost"
    for entrance in getattr(self, "_listeners", []):
        entrance._port = 0
    async def stop():
        await self.started.wait()
        await asyncio.sleep(0.1)
        self.shutdown()
    stopping = asyncio.create_task(stop())
    await serve(self)
    stopping.cancel()
    print("served", file=sys.stderr)

IPyServer.asyncrun = asyncrun
runpy.run_path(sys.argv[1], run_name="__main__")
"""


def completed(*arguments, cwd):
    """Python with these arguments, when it has ended."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def run_program(path, cwd):
    done = completed("-W", "error", "-c", RUNNER, path, cwd=cwd)
    assert done.returncode == 0, done.stderr
    if path.name != "serial_dome.py":  # it has no port here, and says so
        assert "Traceback" not in done.stderr
    return done.stderr


# --- files that the pages show --------------------------------------------------------------------------------


PROGRAMS = [path for path in sorted(SNIPPETS.glob("*.py")) if not path.name.startswith("test_")]


# Those with TLS need certificates, and have a test of their own.
@pytest.mark.parametrize(
    "program", [path for path in PROGRAMS if not path.name.startswith("tls_")], ids=lambda path: path.name
)
def test_a_program_serves(program, tmp_path):
    assert "served" in run_program(program, tmp_path)


def test_the_tests_of_the_tutorial_pass(tmp_path):
    tests = sorted(SNIPPETS.glob("test_*.py"))
    assert tests
    for path in [*tests, *PROGRAMS]:
        shutil.copy(path, tmp_path)
    quiet = ("-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", tmp_path)
    done = completed("-m", "pytest", *quiet, *(path.name for path in tests), cwd=tmp_path)
    assert done.returncode == 0, done.stdout


def test_every_snippet_is_shown():
    shown = {(page.parent / found["path"]).resolve() for page in PAGES for found in INCLUDED.finditer(TEXTS[page])}
    assert sorted(path.name for path in SNIPPETS.iterdir() if path.is_file() and path not in shown) == []


def test_markers_of_includes_are_there():
    for page in PAGES:
        for found in INCLUDED.finditer(TEXTS[page]):
            text = (page.parent / found["path"]).resolve().read_text(encoding="utf-8")
            for name, value in OPTION.findall(found["options"]):
                if name in ("start-after", "start-at", "end-before", "end-at"):
                    assert value.strip('"') in text, (NAMES[page], value)
                elif name == "pyobject":
                    assert re.search(rf"^ *(class|def|async def) {value.split('.')[-1]}\b", text, re.M), (
                        NAMES[page],
                        value,
                    )


# --- code that stands in the text -----------------------------------------------------------------------------


@pytest.mark.parametrize("code", blocks("python"))
def test_python_in_the_text_runs(code, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(code, encoding="utf-8")
    run_program(program, tmp_path)


def commands(code):
    """The commands of a shell block, each as words; what is piped or redirected is cut."""
    for line in code.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        for end in ("|", ">", "&&"):
            if end in words:
                words = words[: words.index(end)]
        if words:
            yield words


KNOWN = {
    *"cat cd chmod echo head kill ln mkdir mkfifo mv openssl pip pkill python3 ssh sudo journalctl .".split(),
    *"indi_getprop indi_setprop indiserver indipyserver indipyclient indipyterm indipyweb ~/bin/indiserver".split(),
    *"PYTHONASYNCIODEBUG=1 PYTHONPATH=~/indipydriver".split(),
}
OTHER_MODULES = {"pip", "pytest", "sphinx", "venv"}


@pytest.mark.parametrize("code", blocks("sh", "shell", "console", "bash"))
def test_commands_in_the_text_exist(code):
    for words in commands(code):
        assert words[0] in KNOWN, words
        if words[0].startswith("PYTHON"):
            words = words[1:]
        if words[0] == "indipyserver":
            options = build_parser().parse_intermixed_args(words[1:])
            for word in options.drivers:
                if isinstance(word, PythonSpec):
                    names = {
                        "roof": None,
                        "rain": None,
                        "mydriver": None,
                        "my_focuser": "minimal_focuser",
                    }
                    stem = names.get(Path(word.source).stem, Path(word.source).stem)
                    assert stem is None or (SNIPPETS / f"{stem}.py").exists(), word
        elif words[0] == "indipyweb":
            build_web_parser().parse_args(words[1:])
        elif words[0] == "python3" and words[1] == "-m":
            ours = Path(*words[2].split("."), "__main__.py")
            there = [ROOT / ours, ROOT / "companions" / ours]
            assert words[2] in OTHER_MODULES or any(path.exists() for path in there), words
            if words[2] == "pytest":  # the files that it is given; what --new writes is no snippet
                named = {SNIPPETS / name for name in words[3:] if name != "test_my_focuser.py"}
                assert all(path.exists() or (SNIPPETS / "client" / path.name).exists() for path in named), words
        elif words[0] == "python3":
            name = Path(words[1])
            there = [ROOT / name, SNIPPETS / name]
            assert any(path.exists() for path in there), words


def test_the_unit_starts_what_exists():
    unit = (SNIPPETS / "indipyserver.service").read_text(encoding="utf-8")
    (line,) = re.findall(r"^ExecStart=(.*)$", unit, re.M)
    program, *words = shlex.split(line)
    assert Path(program).name == "indipyserver"
    options = build_parser().parse_intermixed_args(words)
    assert [word.text for word in options.drivers] == ["heater.py:make_driver", "indi_asi_ccd"]
    assert f"mkfifo -m 660 {options.fifo}" in unit


# --- what the pages promise -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    if shutil.which("openssl") is None:
        if os.environ.get("INDI_REQUIRE_INTEROP"):
            pytest.fail("openssl is missing")
        pytest.skip("openssl is missing")
    folder = tmp_path_factory.mktemp("certificates")
    subprocess.run(["sh", SNIPPETS / "certificates.sh"], cwd=folder, capture_output=True, check=True)
    return folder


def load(name):
    """One of the snippets, as a module."""
    sys.path.insert(0, str(SNIPPETS))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(SNIPPETS))


def test_the_certificates_of_the_how_to_satisfy_the_strict_rules(certificates):
    """Those of RFC 5280, which Python 3.13 applies."""
    for name in ("pier.local.pem", "office.local.pem"):
        command = ["openssl", "verify", "-x509_strict", "-CAfile", "ca.pem", name]
        subprocess.run(command, cwd=certificates, capture_output=True, check=True)


@asynchronous
async def test_the_office_reaches_the_pier_with_tls(certificates, monkeypatch):
    monkeypatch.chdir(certificates)
    pier = load("tls_server").make_server()
    pier.host, pier.port = "127.0.0.1", 0
    pier._listeners[0]._port = 0
    async with running(pier):
        office = load("tls_remote").make_server("127.0.0.1", pier.port)
        office.port = 0
        async with running(office), IndiClient(office.port) as client:
            await client.get_properties()
            await client.expect(match("defNumberVector", device="Dew Heater"))
            await client.send(new_vector("Number", "Dew Heater", "TARGET", WARMER=2))
            await client.expect(match("setNumberVector", name="TARGET", state="Busy"))
        async with IndiClient(pier._listeners[0].port) as local:  # without TLS, on the same machine
            await local.get_properties()
            await local.expect(match("defNumberVector", device="Dew Heater"))
        async with IndiClient(pier.port) as stranger:  # without a certificate
            await stranger.get_properties()
            await asyncio.wait_for(stranger.closed.wait(), 5)
            assert stranger.received == []


@asynchronous
async def test_the_camera_of_the_tutorial_gives_a_picture():
    async with running_server(load("simple_camera").make_driver()) as server, IndiClient(server.port) as client:
        await client.get_properties()
        await client.enable_blob("My Camera")
        await client.expect(match("defSwitchVector", name="CONNECTION"))
        await client.send(new_vector("Switch", "My Camera", "CONNECTION", CONNECT="On"))
        await client.expect(match("defBLOBVector", name="CCD1"))
        await client.send(new_vector("Number", "My Camera", "CCD_EXPOSURE", CCD_EXPOSURE_VALUE=0.1))
        picture = await client.expect(match("setBLOBVector", name="CCD1"))
        assert picture[0].get("format") == ".fits"
        assert int(picture[0].get("size")) % 2880 == 0
        await client.expect(match("setNumberVector", name="CCD_EXPOSURE", state="Ok"))


@asynchronous
async def test_the_driver_for_files_takes_and_gives(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    driver = load("blobs").make_driver()
    async with running_server(driver) as server, IndiClient(server.port) as client:
        await client.get_properties()
        await client.enable_blob("Drive")
        await client.expect(match("defBLOBVector", name="TAKE"))
        await client.send(
            "<newBLOBVector device='Drive' name='TAKE'>"
            "<oneBLOB name='FILE' size='5' format='.txt'>aGVsbG8=</oneBLOB></newBLOBVector>"
        )
        await client.expect(match("setBLOBVector", name="TAKE", state="Ok", message="5 bytes saved"))
        assert (tmp_path / "received.txt").read_bytes() == b"hello"
        await driver.send_file("received.txt")
        given = await client.expect(match("setBLOBVector", name="GIVE"))
        assert (given[0].get("format"), given[0].get("size")) == (".txt", "5")
        await driver.send_compressed(bytes(1000))
        given = await client.expect(match("setBLOBVector", name="GIVE"))
        assert (given[0].get("format"), given[0].get("size")) == (".bin.z", "1000")


def test_the_drivers_for_threads_and_ports_work():
    from indipydriver.testing import DriverHarness
    from indipydriver.testing import run as run_driver

    class Port:
        azimuth = b"10.0"
        arrived, late, asked = b"", b"", 0  # the answer to the second question comes with that to the third

        def reset_input_buffer(self):
            self.arrived = b""

        def write(self, question):
            self.asked += 1
            answer = self.azimuth + b"\r"
            if question.startswith(b"GOTO"):
                self.azimuth, answer = question.split()[1], b"OK\r"
            if self.asked == 2:
                self.late = answer
            else:
                self.arrived, self.late = self.arrived + self.late + answer, b""

        def read_until(self, end):
            answer, end, self.arrived = self.arrived.partition(end)
            return answer + end

    class Library:  # without a thread: virtual time does not wait for threads that the loop has not started
        def start(self, callback):
            callback(22.0)

    class Button:
        when_pressed = when_released = None
        is_pressed = True

    async def session():
        async with DriverHarness(load("blocking").make_driver()) as harness:
            await harness.set_number("Focuser", "ABS_FOCUS_POSITION", FOCUS_ABSOLUTE_POSITION=1200)
            await harness.wait_for("Focuser", "ABS_FOCUS_POSITION", state="Ok")
            harness.assert_values("Focuser", "ABS_FOCUS_POSITION", FOCUS_ABSOLUTE_POSITION="1200")
        async with DriverHarness(load("callbacks").make_driver(Library()), shutdown_grace=0) as harness:
            await harness.wait_for("Sensor", "TEMPERATURE", values={"AIR": "22.0"})
        async with DriverHarness(load("serial_dome").make_driver(Port)) as harness:
            await harness.wait_for("Dome", "ABS_DOME_POSITION", values={"DOME_ABSOLUTE_POSITION": "10.0"}, timeout=5)
            await harness.wait_for("Dome", "ABS_DOME_POSITION", state="Alert", timeout=5)
            await harness.wait_for("Dome", "ABS_DOME_POSITION", state="Ok", timeout=5)
            await harness.advance(0.5)
            await harness.set_number("Dome", "ABS_DOME_POSITION", DOME_ABSOLUTE_POSITION=90)
            harness.assert_state("Dome", "ABS_DOME_POSITION", "Busy")
            await harness.wait_for("Dome", "ABS_DOME_POSITION", values={"DOME_ABSOLUTE_POSITION": "90.0"}, timeout=5)
        button = Button()
        async with DriverHarness(load("button").make_driver(lambda: button), shutdown_grace=0) as harness:
            await harness.wait_for("Slit", "LIMIT", values={"OPEN": "Alert"})
            button.when_released()
            await harness.wait_for("Slit", "LIMIT", values={"OPEN": "Ok"})

    run_driver(session)


@asynchronous
async def test_a_link_gives_the_command_another_name(tmp_path):
    (tmp_path / "indipyserver").write_text(
        f"#!{sys.executable}\nimport sys\nfrom indipyserver.cli.main import main\nsys.exit(main())\n"
    )
    (tmp_path / "indipyserver").chmod(0o755)
    (tmp_path / "indiserver").symlink_to("indipyserver")
    done = await run(str(tmp_path / "indiserver"), "--help", PYTHONPATH=str(ROOT))
    assert done.stdout.startswith("usage: indiserver ")


# --- what the reference must name -----------------------------------------------------------------------------


REFERENCE = "\n".join(text for path, text in TEXTS.items() if path.parent.name == "reference")


def test_every_limit_is_in_the_reference():
    text = TEXTS[DOCS / "reference" / "limits.md"]
    for limits in (Limits, OutboxLimits):
        for field in fields(limits):
            assert f"`{limits.__name__}.{field.name}`" in text, field.name
    others = {"drivers", "host", "port", "unix_socket", "unix_any_user", "ssl", "audit", "control"}
    for name in inspect.signature(IPyServer).parameters:
        assert name in others or f"`{name}" in text, f"{name} of IPyServer"
    for method in (IPyServer.add_exdriver, IPyServer.add_remote):
        for name in {"restarts", "backoff"} & set(inspect.signature(method).parameters):
            assert f"`{name}` of `{method.__name__}`" in text


def test_the_limits_are_what_the_reference_says():
    text = TEXTS[DOCS / "reference" / "limits.md"]
    mib, kib = 1 << 20, 1 << 10
    limits, outbox = Limits(), OutboxLimits()
    for name, size in (("frame", 1 * mib), ("blob", 512 * mib), ("start_tag", 16 * kib), ("junk", 64 * kib)):
        assert getattr(limits, name) == size
    assert (limits.attributes, limits.attribute_value, limits.name, limits.members) == (32, 4 * kib, 256, 1024)
    assert (outbox.total, outbox.stream, outbox.commands, outbox.snoop) == (128 * mib, 5 * mib, 1 * mib, 8 * mib)
    defaults = {name: parameter.default for name, parameter in inspect.signature(IPyServer).parameters.items()}
    assert (defaults["maxconnections"], defaults["hang_time"], defaults["shutdown_grace"]) == (128, 30, 5)
    assert defaults["client_limits"].blob == 64 * mib
    for size in ("128 MiB", "5 MiB", "1 MiB", "8 MiB", "16 KiB", "64 KiB", "4 KiB", "512 MiB", "256 bytes"):
        assert f": {size}" in text, size
    assert ", 64 MiB from clients\n" in text


UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "ms": 0.001}
# What is limited, the number with its unit, and, where the limit is changed, the constant.
CONSTANT = re.compile(
    r"^\S.*: (?P<number>\d+(?:[ ,]\d{3})*(?:\.\d+)?)(?P<power>\^31 - 1)?(?: (?P<unit>KiB|MiB|bytes|ms|s)\b)?.*\n"
    r": `(?P<constant>indipy(?:driver|server)\.[\w.]+)`",
    re.M,
)


def test_the_constants_are_what_the_reference_says():
    found = 0
    for entry in CONSTANT.finditer(TEXTS[DOCS / "reference" / "limits.md"]):
        number = float(re.sub("[ ,]", "", entry["number"])) * UNITS.get(entry["unit"], 1)
        if entry["power"]:
            number = number**31 - 1
        module, _, name = entry["constant"].rpartition(".")
        if name.isupper():
            assert getattr(importlib.import_module(module), name) == number, entry["constant"]
            found += 1
    assert found > 30


def test_every_flag_is_in_the_reference():
    sys.path.insert(0, str(DOCS / "_ext"))
    try:
        import commandline
    finally:
        sys.path.remove(str(DOCS / "_ext"))
    page = TEXTS[DOCS / "reference" / "command-line.md"]
    assert all(f"<!-- commandline {part}\n" in page for part in commandline.PARTS)
    text = commandline.flags()
    for action in build_parser()._actions:
        for flag in action.option_strings:
            assert re.search(rf"`[^`]*{flag}\b[^`]*`", text), flag
    assert "%(" not in text


def test_the_limits_of_the_command_are_named_beside_the_others():
    text = TEXTS[DOCS / "reference" / "limits.md"]
    for flag in ("--max-queue", "--max-stream-queue", "--max-clients", "--restarts"):
        assert f"`{flag}`" in text


def test_every_event_is_in_the_reference():
    import indipydriver

    table = TEXTS[DOCS / "reference" / "events.md"]
    events = [name for name in indipydriver.__all__ if name[:3] in ("def", "set", "new", "get", "del", "Mes")]
    assert [name for name in events if name != "getfloat" and f"| `{name}`" not in table] == []


def test_every_error_is_in_the_reference():
    from indipydriver import errors

    table = TEXTS[DOCS / "reference" / "errors.md"]
    assert [name for name in errors.__all__ if f"| `{name}`" not in table] == []


def test_every_element_is_in_the_compliance_page():
    from indipydriver.protocol.tags import TAGS

    text = TEXTS[DOCS / "reference" / "compliance.md"]
    assert [tag for tag in TAGS if f"`{tag}`" not in text and f"`{tag} " not in text] == []


def test_tests_that_are_named_exist():
    named = [(page, *found) for page in PAGES for found in re.findall(r"`([\w/]+\.py)::(\w+)`", TEXTS[page])]
    assert len(named) > 30
    for page, path, test in named:
        text = (ROOT / "tests" / path).read_text(encoding="utf-8")
        assert re.search(rf"^(async )?def {test}\(", text, re.M), (NAMES[page], path, test)


def test_modules_loggers_and_files_that_are_named_exist():
    sources = [path for package in ("indipydriver", "indipyserver") for path in (ROOT / package).rglob("*.py")]
    loggers = {name for path in sources for name in re.findall(r'getLogger\("([\w.]+)"\)', path.read_text("utf-8"))}
    for path, text in TEXTS.items():
        for name in re.findall(r"`((?:indipydriver|indipyserver|examples)/[\w/]+\.py)`", text):
            assert (ROOT / name).exists(), (NAMES[path], name)
        for name in re.findall(r"`((?:indipydriver|indipyserver)(?:\.\w+)+)`", text):
            if name not in ("indipydriver.service", "indipyserver.service", *loggers):
                assert pydoc.locate(name) is not None, (NAMES[path], name)


def test_every_page_is_linked_from_the_start_of_its_part():
    for part in ("tutorials", "how-to", "reference", "explanation"):
        index = TEXTS[DOCS / part / "index.md"]
        for page in (DOCS / part).rglob("*.md"):
            assert page.stem == "index" or f"]({page.relative_to(DOCS / part)})" in index, page


@pytest.mark.parametrize("drawing", sorted((DOCS / "diagrams").glob("*.svg")), ids=lambda path: path.name)
def test_every_drawing_is_shown(drawing):
    assert any(f"diagrams/{drawing.name})" in text for text in TEXTS.values())


# --- the pages as a code host shows them ------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda page: NAMES[page])
def test_a_page_holds_what_it_shows(page):
    """To mend it: python3 docs/_ext/readable.py."""
    assert TEXTS[page] == readable.refreshed(TEXTS[page], page.parent)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: NAMES[page])
def test_a_page_can_be_read_without_sphinx(page):
    shown = re.sub(r"<!--.*?-->", "", TEXTS[page], flags=re.S)
    assert re.findall(r"^(?::::|`{3,})\{.*", shown, re.M) == []


def test_the_website_gets_the_directives():
    page = "# A\n\n:::{literalinclude} ../snippets/led1.py\n:language: python\n:::\n\nEnd\n"
    plain = readable.refreshed(page, DOCS / "tutorials")
    assert "\nclass LEDDriver(ipd.IPyDriver):\n" in plain
    assert readable.for_sphinx(plain) == page
    assert readable.refreshed(plain, DOCS / "tutorials") == plain


def test_the_drawings_are_current():
    """To mend it: python3 docs/_ext/readable.py, which needs graphviz."""
    import diagram

    assert [name for name, graph in diagram.sources().items() if not diagram.is_current(name, graph)] == []


def test_the_reference_is_not_empty_without_sphinx():
    text = TEXTS[DOCS / "reference" / "driver-api.md"]
    assert (
        "**`send_setVector(message='', timestamp=None, timeout=None, state=None, allvalues=True)`** *(coroutine)*"
        in text
    )
    assert "- `membername`: None turns all Off, which OneOfMany does not allow." in text


def test_the_reference_without_sphinx_shows_what_authors_may_override():
    page = readable.without_shown(TEXTS[DOCS / "reference" / "instruments-api.md"])
    shown = TEXTS[DOCS / "reference" / "instruments-api.md"]
    of_each = dict(re.findall(r"^#### `(\w+)`\n(.*?)(?=^#### |\Z)", shown, re.M | re.S))
    instruments = re.findall(r"autoclass:: indipydriver\.instruments\.(\w+)", page)
    missing = []
    for name in instruments:
        kind = getattr(importlib.import_module("indipydriver.instruments"), name)
        of_kind = [
            member
            for member, value in inspect.getmembers(kind, inspect.isfunction)
            if hasattr(value, "_indi_optional") and not hasattr(Instrument, member)
        ]
        missing += [f"{name}.{member}" for member in of_kind if f"**`{member}(" not in of_each[name]]
    assert missing == []
    assert "**`start_motion(" in of_each["Mount"]


def test_the_led_of_the_tutorial_needs_no_pins(tmp_path):
    """gpiozero may be installed where there are none."""
    env = {name: value for name, value in environment().items() if name != "GPIOZERO_PIN_FACTORY"}
    code = "import led; led.open_led(17).on()"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"pin 17 cannot be used, so it is only printed: .+\npin 17 is on\n", done.stdout)


def test_the_readme_and_the_pages_name_no_path_of_a_machine():
    for path, text in TEXTS.items():
        assert not re.search(r"(?<![\w.~])/(?:work|root|tmp/venv)\b", text), NAMES[path]
