"""The command: its options, what it says, the first start, and an INDI server in the same process."""

import asyncio
import contextlib
import html
import os
import re
import signal
import subprocess
import sys
import urllib.request
from dataclasses import replace

import pytest

pytest.importorskip("starlette", reason="the web client needs the extra web")

import httpx

from indipyweb import get_dbhost, get_dbport, make_app, running
from indipyweb.cli import build_parser, main
from indipyweb.listening import manager_address, problem_of
from indipyweb.running import settings_of
from indipyweb.store.database import Database
from indipyweb.store.keeping import Parameters
from tests.support import ROOT, asynchronous, eventually

from .parts import PASSWORD, poll, website

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "companions")])}
DRIVER = "tests/companions/indipyweb/parts.py:Everything"


def test_the_help_has_the_options_of_the_contract():
    text = build_parser().format_help()
    flat = " ".join(text.split())
    assert text.startswith("usage: indipyweb [options]\n\nWeb server to communicate to an INDI service.\n")
    for words in (
        "--port PORT Listening port of the web server.",
        "--host HOST Hostname/IP of the web server.",
        "--dbfolder DBFOLDER Folder where the database will be set.",
        "--securecookie SECURECOOKIE Set True to enforce https only for cookies.",
        "--version show program's version number and exit",
    ):
        assert words in flat


def test_wrong_options_are_named(tmp_path, capsys):
    for words, text in (
        (["--dbfolder", "/nowhere/at/all"], "is not a folder"),
        (["--dbfolder", str(tmp_path), "--indi", "a:99999"], "--indi"),
        (["--dbfolder", str(tmp_path), "--port", "99999"], "not a port: 99999"),
        (["--dbfolder", str(tmp_path), "--blobfolder", "/nowhere"], "--blobfolder"),
        (["--dbfolder", str(tmp_path), "--basepath", "a b"], "--basepath"),
        *[
            (["--dbfolder", str(tmp_path), "--public-url", url], "--public-url: not an address")
            for url in ("obs", "https://", "http://[::1", "https://obs:99999", "ftp://obs")
        ],
        (["--dbfolder", str(tmp_path), "--host-name", "http://obs"], "--host-name: not a name: http://obs"),
        (["--dbfolder", "~nobody.at.all"], "--dbfolder: ~nobody.at.all: this home folder is not known"),
        (["--dbfolder", str(tmp_path), "--blobfolder", "~nobody.at.all/x"], "this home folder is not known"),
        (["--dbfolder", str(tmp_path), "--port", "0", "--admin-password-file", "~nobody.at.all/x"], "is not known"),
        (["--dbfolder", str(tmp_path), "--host", "nowhere.invalid"], "--host: nowhere.invalid is not an address"),
        (["--dbfolder", str(tmp_path), "--port", "0", "--web-manager", "nowhere.invalid"], "--web-manager"),
        (["--dbfolder", str(tmp_path), "--admin-password-file", "/nowhere"], "--admin-password-file"),
        (["--dbfolder", str(tmp_path), "--port", "0", "--serve", "no.such:driver"], "--serve"),
    ):
        assert main(words) == 2
        assert text in capsys.readouterr().err
    (tmp_path / "indipyweb.db").write_bytes(b"no database at all" * 100)
    assert main(["--dbfolder", str(tmp_path)]) == 2


NO_HOME = """
import os, pwd, sys
os.environ.pop("HOME", None)
def unknown(uid):
    raise KeyError(uid)
pwd.getpwuid = unknown
from indipyweb.driverlist import installed
from indipyweb.cli import main
installed()
sys.exit(main(["--dbfolder", "~", "--port", "0"]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no passwd")
def test_a_home_folder_that_is_not_known_is_a_sentence():
    command = [sys.executable, "-c", NO_HOME]
    found = subprocess.run(command, check=False, env=ENVIRONMENT, capture_output=True, text=True, timeout=60)
    said = "indipyweb: --dbfolder: ~: this home folder is not known; write the whole path\n"
    assert (found.returncode, found.stderr) == (2, said)


def test_a_folder_of_set_up_that_is_not_known_keeps_nobody_from_set_up(tmp_path, caplog):
    set_up(tmp_path, blobfolder="~nobody.at.all/blobs")
    assert settings_of(build_parser().parse_args(["--dbfolder", str(tmp_path)])).blobfolder is None
    assert "BLOBs are not saved" in caplog.text


def test_what_is_no_secure_cookie_is_told(tmp_path, caplog):
    assert not settings_of(build_parser().parse_args(["--dbfolder", str(tmp_path), "--securecookie", "yes"])).secure
    assert "--securecookie yes counts as False" in caplog.text


def test_without_the_extra_it_says_how_to_get_it(monkeypatch, capsys):
    monkeypatch.setattr("indipyweb.cli.find_spec", lambda name: None)
    assert main([]) == 2
    assert capsys.readouterr().err == "indipyweb needs more packages: pip install 'indipydriver[web]'\n"


def test_options_win_over_the_database(tmp_path):
    parser = build_parser()
    settings = settings_of(parser.parse_args(["--dbfolder", str(tmp_path)]))
    assert (settings.host, settings.port, settings.servers) == ("localhost", 8000, ("localhost:7624",))
    words = ["--dbfolder", str(tmp_path), "--host", "::1", "--port", "81", "--indi", "a", "--indi", "/tmp/b"]
    settings = settings_of(parser.parse_args([*words, "--securecookie", "True"]))
    assert (settings.host, settings.port, settings.servers) == ("::1", 81, ("a:7624", "/tmp/b"))
    assert settings.cookie == "__Host-indipyweb-81"
    below = settings_of(parser.parse_args([*words, "--securecookie", "True", "--basepath", "/dome/1"]))
    assert below.cookie == "__Host-indipyweb-81-dome-1"  # two below one host do not log each other out
    shown = [*words, "--public-url", "https://obs.example:8443/"]  # nor two behind ports of a proxy
    assert settings_of(parser.parse_args(shown)).cookie == "__Host-indipyweb-https-obs-example-8443"


def test_the_folder_of_blobs_stays_where_it_is_when_a_driver_goes_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = settings_of(build_parser().parse_args(["--dbfolder", ".", "--blobfolder", "."]))
    assert settings.blobfolder == tmp_path


def test_the_application_for_servers_of_others(tmp_path):
    app = make_app(tmp_path, basepath="indi/")
    assert app.web.settings.basepath == "/indi"
    assert (get_dbhost(), get_dbport()) == ("localhost", 8000)
    app.web.db.close()


class Running:
    """The command in a process of its own."""

    def __init__(self, process):
        self.process = process
        self.said = ""

    async def hear(self, pattern):
        """Wait for a line of its log."""
        async with asyncio.timeout(30):
            while (found := re.search(pattern, self.said)) is None:
                line = (await self.process.stderr.readline()).decode()
                assert line, self.said
                self.said += line
        return found

    @classmethod
    async def start(cls, *words, cwd=ROOT, **more):
        command = [sys.executable, "-m", "indipyweb", *map(str, words)]
        pipe = asyncio.subprocess.PIPE
        return cls(await asyncio.create_subprocess_exec(*command, env=ENVIRONMENT, cwd=cwd, stderr=pipe, **more))

    async def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        rest = await asyncio.wait_for(self.process.stderr.read(), 30)
        await asyncio.wait_for(self.process.wait(), 30)
        return self.process.returncode, self.said + rest.decode()


ENDS_IN_ORDER = """
import asyncio
from indipydriver import Device, IPyDriver
from indipydriver.propertymembers import TextMember
from indipydriver.propertyvectors import TextVector

class Parks(IPyDriver):
    async def hardware(self):
        try:
            print("open", file=open("state", "w"))
            await asyncio.sleep(3600)
        finally:
            print("parks", flush=True)
            print("parked", file=open("state", "w"))

def make():
    return Parks(Device("D", [TextVector("T", "T", "g", "ro", "Ok", [TextMember("M")])]))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this platform has no SIGHUP")
@asynchronous
async def test_drivers_end_in_order_when_the_terminal_is_closed(tmp_path):
    (tmp_path / "parks.py").write_text(ENDS_IN_ORDER)
    words = ("--port", 0, "--indi-port", 0, "--serve", "parks.py:make")
    running = await Running.start(*words, cwd=tmp_path, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL))
    await running.hear("setup.token=")
    state = tmp_path / "state"
    await eventually(lambda: state.exists() and "open" in state.read_text(), timeout=30)
    assert (await running.end(signal.SIGHUP))[0] == 0
    assert "parked" in state.read_text()


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this platform has no SIGHUP")
@asynchronous
async def test_drivers_may_print_when_the_terminal_is_gone(tmp_path):
    (tmp_path / "parks.py").write_text(ENDS_IN_ORDER)
    ours, theirs = os.openpty()
    terminal = os.ttyname(theirs)  # of which a new session that opens it gets SIGHUP
    os.close(theirs)
    words = [sys.executable, "-m", "indipyweb", "--port", "0", "--indi-port", "0", "--serve", "parks.py:make"]
    process = await asyncio.create_subprocess_exec(
        "sh", "-c", f'exec "$@" <{terminal} >{terminal} 2>&1', "sh", *words, "--dbfolder", str(tmp_path), cwd=tmp_path,
        env=ENVIRONMENT, start_new_session=True, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    )  # fmt: skip
    state = tmp_path / "state"
    try:
        await eventually(lambda: state.exists() and "open" in state.read_text(), timeout=30)
        os.close(ours)
        async with asyncio.timeout(20):
            await process.wait()
        assert "parked" in state.read_text()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("8624", ("localhost", 8624)),
        ("0", ("localhost", 0)),
        (":81", ("localhost", 81)),
        ("obs", ("obs", 8624)),
        ("obs.example.org:81", ("obs.example.org", 81)),
        ("0.0.0.0:8624", ("0.0.0.0", 8624)),
        ("*:8624", ("*", 8624)),
        ("[::1]:81", ("::1", 81)),
        ("[::1]", ("::1", 8624)),
        ("::1", ("::1", 8624)),
        ("[fe80::1%eth0]:81", ("fe80::1%eth0", 81)),
        *[
            (text, None)
            for text in ("obs:", "obs:x", "obs:65536", "[::1]:", "[::1", "a:b:c", "a b:1", "[::1]x:1", "x:-1")
        ],
    ],
)
def test_where_the_web_manager_listens(text, meant):
    if meant is None:
        with pytest.raises(ValueError, match=r"not a port|not an address"):
            manager_address(text)
    else:
        assert manager_address(text) == meant


def set_up(folder, **changes):
    database = Database(folder)
    replace(Parameters(), **changes).save(database)
    database.close()


def test_what_set_up_says_of_the_indi_server_is_read_whole(tmp_path):
    for host, wanted in (
        ("::1", "[::1]:7777"),
        ("[::1]", "[::1]:7777"),
        ("obs", "obs:7777"),
        ("obs:7000", "obs:7000"),
        ("/tmp/indi", "/tmp/indi"),
    ):
        set_up(tmp_path, indihost=host, indiport=7777)
        assert settings_of(build_parser().parse_args(["--dbfolder", str(tmp_path)])).servers == (wanted,)
        app = make_app(tmp_path)
        assert app.web.settings.servers == (wanted,)
        app.web.close()


def test_a_folder_of_set_up_that_is_not_there_keeps_nothing_from_starting(tmp_path, caplog):
    set_up(tmp_path, blobfolder=str(tmp_path / "usb"))
    settings = settings_of(build_parser().parse_args(["--dbfolder", str(tmp_path)]))
    assert settings.blobfolder == tmp_path / "usb"
    assert "does not exist" in caplog.text


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid", "a" * 70, "a\0b", "x y"])
def test_an_address_of_set_up_that_is_none_keeps_nothing_from_starting(tmp_path, host, caplog):
    set_up(tmp_path, host=host, port=8000)
    options = build_parser().parse_args(["--dbfolder", str(tmp_path)])
    settings, sock = running._listening(replace(settings_of(options), port=0), options)
    address = sock.getsockname()
    sock.close()
    assert address[0] in ("127.0.0.1", "::1")
    assert (settings.host, settings.port) == ("localhost", address[1])
    assert "is not an address of this machine" in caplog.text
    options = build_parser().parse_args(["--dbfolder", str(tmp_path), "--host", host])
    with pytest.raises(running.Wrong, match="--host"):
        running._listening(settings_of(options), options)


def test_a_port_of_set_up_that_is_taken_says_what_wins_over_it(tmp_path):
    with contextlib.closing(running.listen("localhost", 0)) as taken:
        set_up(tmp_path, port=taken.getsockname()[1])
        options = build_parser().parse_args(["--dbfolder", str(tmp_path)])
        with pytest.raises(OSError, match="--port PORT wins"):
            running._listening(settings_of(options), options)
        assert main(["--dbfolder", str(tmp_path)]) == 1


@asynchronous
async def test_set_up_takes_no_address_that_cannot_be_listened_on(tmp_path, monkeypatch):
    async with website(tmp_path) as site, site.browser("admin") as browser:
        form = {"host": "localhost", "port": "8000", "indihost": "::1", "indiport": "7625", "guests": "1"}

        async def save(**changes):
            return await browser.post("/system", data={**form, **changes})

        with contextlib.closing(running.listen("localhost", 0)) as taken:
            port = str(taken.getsockname()[1])
            for changes, text in (
                ({"host": "192.0.2.1"}, "192.0.2.1 is not an address of this machine"),
                ({"host": "no.such.host.invalid"}, "is not an address"),
                ({"host": "a" * 70}, "is not an address"),
                ({"port": port}, "cannot listen on"),
                ({"blobfolder": str(tmp_path / "none")}, "is not a folder"),
                ({"blobfolder": "~nobody-of-this-name/x"}, "home"),
            ):
                answer = await save(**changes)
                assert answer.status_code == 422, changes
                assert text in answer.text
            assert get_parameters(site) == Parameters()
            site.web.parameters = Parameters(port=int(port))  # which --port has won over
            assert (await save(port=port, guests="0")).status_code == 200
        monkeypatch.chdir(tmp_path)
        (tmp_path / "blobs").mkdir()
        assert (
            await save(blobfolder="blobs", host="127.0.0.1" if problem_of("::1", 0) else "[::1]")
        ).status_code == 200
        found = get_parameters(site)
        assert found.blobfolder == str(tmp_path / "blobs")
        (tmp_path / "blobs").rmdir()  # a disk that is not mounted now
        assert (await save(blobfolder=found.blobfolder, guests="0")).status_code == 200
        assert "[" not in found.host


def get_parameters(site):
    return Parameters.load(site.web.db)


def test_the_web_manager_needs_a_server_on_this_machine(tmp_path, capsys):
    words = ["--dbfolder", str(tmp_path), "--port", "0", "--indi", "obs.invalid", "--web-manager", "0"]
    assert main(words) == 2
    assert "on this machine only" in capsys.readouterr().err


@asynchronous
async def test_the_web_manager_listens_on_ipv6_too(tmp_path):
    if problem_of("::1", 0):
        pytest.skip("this machine has no IPv6")
    words = ("--dbfolder", tmp_path, "--port", 0, "--indi", "localhost:1", "--web-manager", "[::1]:0")
    web = await Running.start(*words)
    try:
        port = (await web.hear(r"INDI Web Manager on port (\d+)"))[1]
        async with httpx.AsyncClient(base_url=f"http://[::1]:{port}") as ekos:
            assert (await ekos.get("/api/server/status", timeout=30)).status_code == 200
    finally:
        status, _ = await web.end()
    assert status == 0


@asynchronous
async def test_the_first_start_with_drivers_of_its_own(tmp_path):
    web = await Running.start(
        "--dbfolder", tmp_path, "--host", "0.0.0.0", "--port", 0, "--indi-port", 0, "--serve", DRIVER
    )
    try:
        link = (await web.hear(r"(http://localhost:\d+)/setup\?token=\S+"))[0]
        assert "only this machine may connect" in web.said
        base = link.partition("/setup")[0]
        async with httpx.AsyncClient(base_url=base, headers={"origin": base}) as browser:
            token = link.partition("token=")[2]
            form = {"token": token, "name": "ann", "password": PASSWORD, "again": PASSWORD}
            assert (await browser.post("/setup", data=form)).status_code == 303

            async def devices():
                return (await browser.get("/api")).json()["devices"]

            (name,) = await poll(devices)
            page = await browser.get("/server")
            assert "Everything" in page.text or "driver" in page.text
            assert "running" in page.text
            answer = await browser.post("/server", data={"do": "add", "spec": "/bin/sh"})
            assert answer.status_code == 409
            assert "only libindi" in answer.text
            hidden = {
                field: html.unescape(re.search(rf'name="{field}" value="([^"]*)"', page.text)[1])
                for field in ("driver", "since", "label")
            }
            answer = await browser.post("/server", data={"do": "stop", **hidden})
            assert answer.status_code == 303

            async def gone():
                return not await devices()

            await poll(gone)
            assert (await browser.post("/server", data={"do": "start", **hidden})).status_code == 303
            assert list(await poll(devices)) == [name]
            # A stream that is open does not keep the command from ending.
            async with browser.stream("GET", "/events") as stream:
                async for line in stream.aiter_lines():
                    if line.startswith("event: hello"):
                        break
                status, said = await web.end()
    finally:
        if web.process.returncode is None:
            web.process.kill()
            await web.process.wait()
    assert "Traceback" not in said
    assert status == 0
    # The next start needs no link.
    (tmp_path / "password").write_text("another battery staple\n")
    again = await Running.start("--dbfolder", tmp_path, "--port", 0, "--indi", "localhost:1", "--no-blobs")
    try:
        base = (await again.hear(r"serving localhost:1 on (http://\S+)"))[1]

        def ask():
            with urllib.request.urlopen(f"{base}/health", timeout=30) as answer:
                return answer.status

        assert await asyncio.to_thread(ask) == 200
    finally:
        _, said = await again.end()
    assert "setup?token" not in said
