"""The requests that Ekos sends to INDI Web Manager, in its order, and what the interface does not do."""

import asyncio
import contextlib
import sqlite3
import tempfile
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

pytest.importorskip("starlette", reason="the web client needs the extra web")

from indipyserver import IPyServer
from indipyweb import running as command
from indipyweb.cli import build_parser
from indipyweb.context import Web
from indipyweb.driverlist import installed
from indipyweb.launcher import Launcher
from indipyweb.security.passwords import Passwords
from indipyweb.serving import Controlled, NotControlled
from indipyweb.settings import Settings
from indipyweb.store.database import Database
from indipyweb.store.profiles import Profile, Profiles
from indipyweb.webmanager import build_manager
from tests.support import ROOT, asynchronous, running

from .parts import poll, website

LIST = f"""<?xml version="1.0"?>
<driversList><devGroup group="CCDs">
<device label="Stdio Driver"><driver name="x">{ROOT}/tests/fixtures/drivers/nothing_here</driver><version>2.0</version></device>
<device label="LED"><driver name="LED">{{program}}</driver><version>1.1</version></device>
<device label="Evil"><driver name="e">sh -c 'rm -rf /'</driver></device>
</devGroup></driversList>"""


@contextlib.asynccontextmanager
async def manager(folder):
    """The interface over a server that is controlled, and a driver that is installed."""
    program = folder / "indi_led"
    program.write_text(f"#!/bin/sh\nexec python3 {ROOT}/examples/stdio_driver.py\n")
    program.chmod(0o755)
    lists = folder / "lists"
    lists.mkdir()
    (lists / "drivers.xml").write_text(LIST.format(program=program))
    (lists / "broken.xml").write_text("<driversList><dev")
    (lists / "two.xml").write_text(
        '<devGroup group="A"><device label="Two"><driver>indi_two</driver></device></devGroup>'
    )
    (lists / "bomb.xml").write_text('<!DOCTYPE x [<!ENTITY a "b">]><driversList/>')
    path = str(folder / "control")
    server = IPyServer(host="127.0.0.1", port=0, control=path)
    async with running(server):
        web = Web(Settings(folder), passwords=Passwords(1, 8))
        launcher = Launcher(Controlled(path, server.port), [lists])
        app = build_manager(web, launcher)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8624") as ekos:
            try:
                yield ekos, web, launcher
            finally:
                web.db.close()


@asynchronous
async def test_ekos_makes_a_profile_and_starts_it(tmp_path):
    async with manager(tmp_path) as (ekos, web, _launcher):
        assert (await ekos.get("/api/info/version")).json()["version"]
        assert (await ekos.get("/api/server/status")).json() == [{"status": "False", "active_profile": ""}]
        assert (await ekos.post("/api/profiles/My Night")).status_code == 200
        sent = {"port": 7624, "driver_source": "", "autoconnect": 1}
        assert (await ekos.put("/api/profiles/My Night", json=sent)).status_code == 200
        drivers = [{"label": "LED"}, {"label": "Unknown"}, {"remote": "Dome@localhost:1"}]
        assert (await ekos.post("/api/profiles/My Night/drivers", json=drivers)).status_code == 200
        assert (await ekos.get("/api/profiles/My Night/labels")).json() == [{"label": "LED"}, {"label": "Unknown"}]
        assert [profile["name"] for profile in (await ekos.get("/api/profiles")).json()] == ["My Night"]
        assert (await ekos.get("/api/profiles/My Night")).json()["port"] == 7624
        assert (await ekos.post("/api/server/start/My Night")).status_code == 200

        async def led_runs():
            found = (await ekos.get("/api/server/drivers")).json()
            return found if any(one["binary"].endswith("/indi_led") for one in found) else None

        found = await poll(led_runs)
        assert {one["label"] for one in found} >= {"LED"}
        assert (await ekos.get("/api/server/status")).json() == [{"status": "True", "active_profile": "My Night"}]
        assert (await ekos.post("/api/drivers/restart/LED")).status_code == 200
        assert (await ekos.post("/api/drivers/restart/Unknown")).status_code == 503
        assert (await ekos.post("/api/server/stop")).status_code == 200
        assert (await ekos.get("/api/server/drivers")).json() == []
        assert (await ekos.delete("/api/profiles/My Night")).status_code == 200
        assert (await ekos.get("/api/profiles")).json() == []
        said = {"profile started", "profile stopped", "driver restart", "save profile", "delete profile"}
        assert {deed.what for deed in web.audit.last()} == said


@asynchronous
async def test_what_is_not_installed_is_not_started(tmp_path):
    async with manager(tmp_path) as (ekos, _web, launcher):
        known = await launcher.installed()
        assert set(known) == {"LED", "Stdio Driver", "Two"}
        custom = {"Label": "x", "Exec": "/bin/sh", "Name": "x"}
        assert (await ekos.post("/api/profiles/custom/add", json=custom)).status_code == 403
        await ekos.post("/api/profiles/p")
        await ekos.post("/api/profiles/p/drivers", json=[{"label": "/bin/sh"}, {"remote": "x.py:make"}])
        await ekos.post("/api/server/start/p")
        assert (await ekos.get("/api/server/drivers")).json() == []
        for content, status in ((b"{", 400), (b"[1]", 400), (b"{}", 400), (b"[" * 100_000, 400)):
            assert (await ekos.post("/api/profiles/p/drivers", content=content)).status_code == status
        assert (await ekos.put("/api/profiles/p", json={"port": 0})).status_code == 400
        assert (await ekos.put("/api/profiles/p", json={"port": "x"})).status_code == 400
        assert (await ekos.post("/api/server/start/none")).status_code == 404
        assert (await ekos.post(f"/api/profiles/{'x' * 65}")).status_code == 400


@asynchronous
async def test_browsers_and_other_names_are_refused(tmp_path, caplog):
    async with manager(tmp_path) as (ekos, web, _launcher):
        for _ in range(2):
            assert (await ekos.get("/api/profiles", headers={"host": "obs.lan:8624"})).status_code == 403
        assert caplog.text.count("not known as 'obs.lan:8624'; see --host-name") == 1
        web.host_names |= {"obs.lan"}
        assert (await ekos.get("/api/profiles", headers={"host": "obs.lan:8624"})).status_code == 200
        for headers in (
            {"origin": "http://127.0.0.1:8624"},
            {"origin": "http://evil.example"},
            {"sec-fetch-site": "same-origin"},
            {"host": "evil.example:8624"},
        ):
            assert (await ekos.post("/api/server/stop", headers=headers)).status_code == 403
        assert (await ekos.get("/api/profiles", headers={"host": "evil.example"})).status_code == 403
        for length in (str(2 << 20), "9" * 5000):
            big = {"content-length": length}
            assert (await ekos.post("/api/profiles/p/drivers", content=b"x", headers=big)).status_code == 413


@asynchronous
async def test_a_server_that_is_not_there_is_said(tmp_path):
    launcher = Launcher(Controlled(str(tmp_path / "nothing"), 1), [])
    assert await launcher.running() == []
    with pytest.raises(NotControlled):
        await launcher.stop()


def test_lists_that_are_not_there_are_empty(tmp_path):
    assert installed([tmp_path / "nothing"]) == {}


@asynchronous
async def test_what_ekos_sends_of_drivers_of_its_own_makes_no_profile(tmp_path):
    async with manager(tmp_path) as (ekos, _web, _launcher):
        custom = {"Label": "x", "Exec": "/bin/sh", "Name": "x"}
        assert (await ekos.post("/api/profiles/custom", json=custom)).status_code == 403
        assert (await ekos.get("/api/profiles")).json() == []


@asynchronous
async def test_what_others_change_while_a_body_is_on_its_way_stays(tmp_path):
    async with manager(tmp_path) as (ekos, web, _launcher):
        web.profiles.save(Profile("Night"))

        async def slow():
            web.profiles.save(Profile("Night", autostart=True))  # by somebody at the page of the server
            yield b"[]"

        length = {"content-length": "2"}
        answer = await ekos.post("/api/profiles/Night/drivers", content=slow(), headers=length)
        assert answer.status_code == 200
        assert web.profiles.get("Night").autostart


@asynchronous
async def test_halves_of_characters_are_no_names(tmp_path):
    async with manager(tmp_path) as (ekos, _web, _launcher):
        await ekos.post("/api/profiles/p")
        for content in (b'[{"label": "\\ud800"}]', b'[{"label": "\xed\xa0\x80"}]'):
            assert (await ekos.post("/api/profiles/p/drivers", content=content)).status_code == 400
        assert (await ekos.get("/api/profiles/p/labels")).json() == []


@asynchronous
async def test_a_database_that_is_locked_is_said(tmp_path):
    async with manager(tmp_path) as (ekos, web, _launcher):
        with contextlib.closing(sqlite3.connect(web.db.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            answer = await ekos.post("/api/profiles/p")
        assert answer.status_code == 503
        assert "locked" in answer.json()["error"]


@asynchronous
async def test_a_profile_at_boot_waits_for_its_server(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("indipyweb.launcher._PAUSE", 0.02)
    made = []

    class Late:
        """Cannot be reached at first."""

        async def look(self):
            made.append("look")
            if len(made) < 5:
                raise NotControlled("there is no server")
            return {"drivers": []}

        async def add_installed(self, binary, name, skeleton=""):
            made.append(name)

    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / "drivers.xml").write_text(LIST.format(program="/bin/true"))
    launcher = Launcher(Late(), [lists])
    caplog.set_level("INFO", "indipyweb")
    await launcher.start_at_boot(lambda: Profile("night", labels=("LED", "Unknown")))
    assert made[-1] == "LED"
    assert launcher.active == "night"
    assert caplog.text.count("profile night waits for the INDI server: there is no server") == 1
    assert "profile night is started" in caplog.text
    assert "no driver Unknown" in caplog.text
    made.clear()
    monkeypatch.setattr("indipyweb.launcher.BOOT", 0.0)
    given_up = Launcher(Late(), [lists])
    await given_up.start_at_boot(lambda: Profile("night", labels=("LED",)))
    assert given_up.active == ""
    assert "not started: there is no server" in caplog.text


@asynchronous
async def test_a_profile_at_boot_is_the_one_that_is_chosen_when_the_server_comes(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("indipyweb.launcher._PAUSE", 0.02)
    caplog.set_level("INFO", "indipyweb")
    (tmp_path / "drivers.xml").write_text(LIST.format(program="/bin/true"))
    for change, wanted in (
        (lambda profiles: profiles.save(Profile("night", autostart=True, labels=("Stdio Driver",))), ["Stdio Driver"]),
        (lambda profiles: profiles.save(Profile("other", autostart=True, labels=("LED",))), ["LED"]),
        (lambda profiles: profiles.save(Profile("night", labels=("LED",))), []),
        (lambda profiles: profiles.delete("night"), []),
    ):
        added = []
        profiles = Profiles(Database(Path(tempfile.mkdtemp(dir=tmp_path))))
        profiles.save(Profile("night", autostart=True, labels=("LED", "Stdio Driver")))

        class Late:
            """Comes when somebody has changed the profiles."""

            async def look(self, profiles=profiles, change=change, looked=added):
                if not looked:
                    looked.append(None)
                    change(profiles)
                    raise NotControlled("there is no server")
                return {"drivers": []}

            async def add_installed(self, binary, name, skeleton="", added=added):
                added.append(name)

        launcher = Launcher(Late(), [tmp_path])
        await launcher.start_at_boot(profiles.at_boot)
        assert added[1:] == wanted
        assert bool(launcher.active) == bool(wanted)
        profiles._db.close()
    assert caplog.text.count("profile night is no longer started at boot") == 2


@asynchronous
async def test_the_log_says_why_a_profile_was_not_started_at_boot(tmp_path, caplog):
    class There:
        """A server that serves something, or answers nonsense."""

        drivers = ({"id": 1, "state": "running"},)

        async def look(self):
            return {"drivers": self.drivers}

    launcher = Launcher(There(), [tmp_path])
    await launcher.start_at_boot(lambda: Profile("night"))
    assert "profile night is not started: the INDI server has drivers already" in caplog.text
    There.drivers = ({},)
    await launcher.start_at_boot(lambda: Profile("broken"))
    assert "profile broken is not started" in caplog.text
    assert launcher.active == ""


@asynchronous
async def test_the_log_says_that_a_profile_at_boot_has_no_server_here(tmp_path, caplog):
    web = Web(Settings(tmp_path, servers=("obs.example:7624",)), passwords=Passwords(1, 8))
    web.profiles.save(Profile("night", autostart=True))
    options = build_parser().parse_args([])
    assert command._manager(web, options, None) == []
    assert "profile night is not started: no INDI server shown here is on this machine" in caplog.text
    web.db.close()


def test_a_folder_of_lists_that_is_another_users_hides_no_others(tmp_path, monkeypatch):
    (tmp_path / "d.xml").write_text(LIST.format(program="/bin/true"))
    closed = tmp_path / "closed"
    is_dir = Path.is_dir

    def refused(path):
        if path == closed:
            raise PermissionError(13, "Permission denied")
        return is_dir(path)

    monkeypatch.setattr(Path, "is_dir", refused)
    assert set(installed([closed, tmp_path])) == {"LED", "Stdio Driver"}


def test_lists_that_cannot_be_read_hide_no_others(tmp_path):
    (tmp_path / "a.xml").write_bytes(b'<?xml version="1.0" encoding="nonsense"?><driversList/>')
    (tmp_path / "b.xml").write_bytes(b'<?xml version="1.0" encoding="utf-7"?><driversList/>')
    (tmp_path / "c.xml").write_bytes(b"\xff\xfe\0\0")
    (tmp_path / "d.xml").write_text(LIST.format(program="/bin/true"))
    assert set(installed([tmp_path])) == {"LED", "Stdio Driver"}


@asynchronous
async def test_a_profile_at_boot_does_not_stop_one_that_somebody_starts(tmp_path):
    began, goes_on = asyncio.Event(), asyncio.Event()
    added = []

    class Slow:
        """Takes its time to look."""

        async def look(self):
            began.set()
            await goes_on.wait()
            return {"drivers": [{"id": n, "state": "running"} for n, _ in enumerate(added)]}

        async def add_installed(self, binary, name, skeleton=""):
            added.append(name)

        async def do(self, deed, driver):
            added.append(f"{deed} {driver}")

    (tmp_path / "drivers.xml").write_text(LIST.format(program="/bin/true"))
    launcher = Launcher(Slow(), [tmp_path])
    person = asyncio.create_task(launcher.start(Profile("mine", labels=("LED",))))
    await began.wait()
    boot = asyncio.create_task(launcher.start_at_boot(lambda: Profile("boot", labels=("Stdio Driver",))))
    goes_on.set()
    await asyncio.gather(person, boot)
    assert added == ["LED"]
    assert launcher.active == "mine"


@asynchronous
async def test_a_driver_that_somebody_else_removes_stops_nothing(tmp_path):
    there = {1: "running", 2: "running", 3: "running"}

    class Shared:
        """Somebody else removes a driver at the same time."""

        async def look(self):
            return {"drivers": [{"id": n, "state": state} for n, state in there.items()]}

        async def do(self, deed, driver):
            there.pop(2, None)
            if driver not in there:
                raise NotControlled(f"nothing that is served has the number {driver}")
            if driver == 3 and stuck:
                raise NotControlled("it does not end")
            del there[driver]

    stuck = True
    launcher = Launcher(Shared(), [tmp_path])
    with pytest.raises(NotControlled, match="does not end"):
        await launcher.stop()
    assert there == {3: "running"}
    stuck = False
    there.update({1: "running", 2: "running"})
    await launcher.stop()
    assert there == {}


@asynchronous
async def test_a_person_is_led_to_the_pages(tmp_path):
    async with manager(tmp_path) as (ekos, web, _launcher):
        for host, address in (("127.0.0.1:8624", "http://127.0.0.1:8000"), ("[::1]:8624", "http://[::1]:8000")):
            answer = await ekos.get("/", headers={"host": host, "sec-fetch-site": "none"})
            assert (answer.status_code, answer.headers["location"]) == (303, f"{address}/server")
        assert (await ekos.get("/", headers={"host": "evil.example"})).status_code == 403
        web.settings = replace(web.settings, public_url="https://obs.example.org", basepath="/indi")
        assert (await ekos.get("/")).headers["location"] == "https://obs.example.org/indi/server"


@asynchronous
async def test_one_profile_is_started_at_boot_and_the_audit_knows_who_said_so(tmp_path):
    async with manager(tmp_path) as (ekos, web, _launcher):
        for name in ("first", "second"):
            await ekos.post(f"/api/profiles/{name}")
            await ekos.put(f"/api/profiles/{name}", json={"port": 7624, "autostart": 1})
        assert [(p.name, p.autostart) for p in web.profiles.all()] == [("first", False), ("second", True)]
        await ekos.post("/api/profiles/second/drivers", json=[{"label": "LED"}])
        await ekos.delete("/api/profiles/first")
        deeds = [(deed.who, deed.what, deed.subject, deed.detail) for deed in web.audit.last()]
        assert deeds[:2] == [
            ("(web manager)", "delete profile", "first", ""),
            ("(web manager)", "save profile", "second", "LED"),
        ]
        assert [what for _, what, _, _ in deeds[2:]] == ["at boot", "save profile"] * 2


@asynchronous
async def test_a_profile_that_is_saved_again_is_still_started_at_boot(tmp_path):
    async with website(tmp_path) as site, site.browser("admin") as browser:
        web = site.web
        web.controlled[web.first.name] = Controlled(str(tmp_path / "none"), 1)
        web.launcher = Launcher(web.controlled[web.first.name])
        for more in (
            {"do": "new profile", "labels": "A"},
            {"do": "at boot"},
            {"do": "at boot"},  # of a page that does not know yet
            {"do": "save profile", "labels": "A\nB"},
        ):
            assert (await browser.post("/server", data={"profile": "night", **more})).status_code == 303
        assert web.profiles.get("night") == Profile("night", autostart=True, labels=("A", "B"))
        answer = await browser.post("/server", data={"profile": "night", "do": "new profile", "labels": "C"})
        assert (answer.status_code, "there is a profile night already" in answer.text) == (409, True)
        assert web.profiles.get("night").labels == ("A", "B")
        # Of a page from before somebody has deleted it.
        assert (await browser.post("/server", data={"profile": "gone", "do": "save profile"})).status_code == 404
        await browser.post("/server", data={"profile": "night", "do": "not at boot"})
        assert not web.profiles.get("night").autostart


@asynchronous
async def test_a_page_of_before_acts_on_no_other_driver(tmp_path):
    class Anew:
        """A server that was started anew: its first driver is another one."""

        def __init__(self):
            self.done = []

        async def look(self):
            return {"drivers": [{"id": 1, "label": "Mount"}], "status": {"since": 5.5}}

        async def do(self, deed, driver):
            self.done.append((deed, driver))

    async with website(tmp_path) as site, site.browser("admin") as browser:
        server = site.web.controlled[site.web.first.name] = Anew()
        # Several drivers of one program may have one label.
        for label, since, status in (("Camera", "5.5", 409), ("Mount", "4.5", 409), ("Mount", "5.5", 303)):
            data = {"do": "stop", "driver": "1", "label": label, "since": since}
            assert (await browser.post("/server", data=data)).status_code == status
        assert server.done == [("stop", 1)]


@asynchronous
async def test_the_page_of_one_server_starts_no_profile_on_another_one(tmp_path):
    async with website(tmp_path) as site, site.browser("admin") as browser:
        web = site.web
        web.controlled[web.first.name] = Controlled(str(tmp_path / "none"), 1)
        web.launcher = Launcher(Controlled(str(tmp_path / "other"), 2))
        web.profiles.save(Profile("night"))
        for deed in ("start profile", "delete profile", "save profile"):
            answer = await browser.post("/server", data={"profile": "night", "do": deed})
            assert answer.status_code == 404
        assert web.profiles.get("night") == Profile("night")
