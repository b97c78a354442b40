"""What does not come in time, does not end, or goes while it is looked at; and what is nobody else's to see."""

import asyncio
import html
import json
import re
import sqlite3
from collections import Counter
from urllib.parse import quote

import pytest

pytest.importorskip("starlette", reason="the web client needs the extra web")

from indipyclient.errors import TimedOut
from indipydriver import Device, IPyDriver
from indipydriver.propertymembers import TextMember
from indipydriver.propertyvectors import TextVector
from indipydriver.protocol.messages import DefMember, DefVector, DelProperty
from indipydriver.protocol.tags import Permission, State, SwitchRule, VectorKind
from indipyweb import app as gate
from indipyweb import connections
from indipyweb.commands import Commands, Denied
from indipyweb.events import OF_GUESTS, StreamCounts, TooManyStreams
from indipyweb.security.permissions import Actor, Role
from indipyweb.serving import ADDABLE, REMOTE
from indipyweb.site import Filter
from tests.support import asynchronous

from .parts import AWKWARD, FORM, PASSWORD, Everything, soon, website

JSON = {"accept": "application/json"}
SECRET = "hunter2 is secret"


class Texts(IPyDriver):
    """A password that is only written, and never answered; a key that is only written; and texts of several lines."""

    def __init__(self):
        self.got = []
        super().__init__(
            Device(
                "Texts",
                [
                    TextVector("PASSWORD", "Password", "Main", "wo", "Ok", [TextMember("P", membervalue="")]),
                    TextVector("KEY", "Key", "Main", "wo", "Ok", [TextMember("K", membervalue="")]),
                    TextVector(
                        "TWO",
                        "Two",
                        "Main",
                        "rw",
                        "Ok",
                        [TextMember("A", membervalue="one\ntwo"), TextMember("B", membervalue="b")],
                    ),
                ],
            )
        )

    async def rxevent(self, event):
        self.got.append((event.vectorname, dict(event)))
        if event.vectorname == "KEY":
            await event.vector.send_setVector(state="Ok")
        if event.vectorname == "TWO":
            for member, value in event.items():
                event.vector[member] = value
            await event.vector.send_setVector(state="Ok")


@asynchronous
async def test_who_may_no_more_ends_no_request(tmp_path):
    """The rights were looked at when it began; the rest of the form came when the account was gone."""
    async with website(tmp_path) as site, site.browser("admin") as admin:
        site.web.users.add("boss", Role.ADMIN, site.web.passwords.hash_now(PASSWORD))
        token = site.web.users.new_token("user", "", writes=True, days=1)
        rest, waits = asyncio.Event(), Counter()

        async def slowly(path, begin, end):
            yield begin
            waits[path] += 1
            await rest.wait()
            yield end

        async with site.browser("boss") as boss, site.browser() as script:
            new = slowly("/users/add", b"name=evil&role=admin&", b"password=correct+horse+battery")
            adding = asyncio.create_task(boss.post("/users/add", content=new, headers=FORM))
            values = slowly("/api", b'{"members": {"N"', b": 7}}")
            header = {"authorization": f"Bearer {token}", "content-type": "application/json"}
            path = f"/api/{AWKWARD.replace('/', '%2F')}/NUM"
            setting = asyncio.create_task(script.post(path, content=values, headers=header))
            await soon(lambda: len(waits) == 2)
            assert (await admin.post("/users/delete", data={"name": "boss"})).status_code == 303
            (known,) = site.web.users.tokens("user")
            site.web.users.delete_token("user", known.id)
            rest.set()
            assert (await adding).status_code == 403
            assert (await setting).status_code == 403
        assert site.web.users.get("evil") is None
        assert site.driver.got == []


@asynchronous
async def test_what_is_only_written_is_shown_to_nobody(tmp_path):
    texts = Texts()
    async with website(tmp_path, Everything(), texts) as site, site.browser("user") as user, site.browser() as guest:
        await soon(lambda: site.web.first.model.get("Texts", "PASSWORD"))
        form = {"d": "Texts", "p": "PASSWORD", "m.P": SECRET}
        assert (await user.post("/set", data=form, headers=JSON)).json()["state"] == "sent"
        await soon(lambda: texts.got)
        page = (await guest.get("/device", params={"d": "Texts"})).text
        assert "user asked a new value" in page
        assert SECRET not in page
        assert SECRET not in site.web.first.delta(Filter("Texts"), 0)[1]
        # Most do not repeat it: it shows no other value, but none.
        answer = await user.post("/set", data={"d": "Texts", "p": "KEY", "m.K": SECRET}, headers=JSON)
        assert answer.json()["text"] == "Done."
        texts["Texts"]["PASSWORD"]["P"] = SECRET  # some devices repeat it
        await texts["Texts"]["PASSWORD"].send_setVector(state="Ok")
        await soon(lambda: site.web.first.model.get("Texts", "PASSWORD").members["P"].value == SECRET)
        for path in ("/api", "/api/Texts", "/api/Texts/PASSWORD", "/api?since=x.1"):
            assert SECRET not in (await guest.get(path)).text
        for browser in (user, guest):
            page = (await browser.get("/device", params={"d": "Texts"})).text
            assert "PASSWORD" in page
            assert SECRET not in page
        assert site.web.audit.last()
        await soon(lambda: any(deed.what == "set" for deed in site.web.audit.last()))
        assert SECRET not in str(site.web.audit.last())


@asynchronous
async def test_a_text_of_several_lines_that_nobody_touched_stays(tmp_path):
    """A field of one line has no line breaks, so they are missing in the form."""
    texts = Texts()
    async with website(tmp_path, Everything(), texts) as site, site.browser("user") as browser:
        await soon(lambda: site.web.first.model.get("Texts", "TWO"))
        form = {"d": "Texts", "p": "TWO", "o.A": "one\r\ntwo", "m.A": "onetwo", "o.B": "b"}
        for value in ("c", "b"):
            form["m.B"] = value
            assert (await browser.post("/set", data=form, headers=JSON)).json()["state"] == "ok"
            assert texts.got[-1] == ("TWO", {"A": "one\ntwo", "B": value})


@pytest.mark.parametrize("word", ["/tmp/run@me", "./run@me", "../run@me", "..@h", "/bin/sh", "a@b@c", "@", "indi_x;y"])
def test_no_word_of_a_page_is_a_program(word):
    assert not ADDABLE.fullmatch(word)
    assert not REMOTE.fullmatch(word)


def test_other_servers_are_words_of_a_page():
    for word in ("@obs", "CCD 1@obs:7625", "*@[::1]:7624", "Dome@tls://obs"):
        assert ADDABLE.fullmatch(word)
        assert REMOTE.fullmatch(word)


@asynchronous
async def test_databases_are_no_files_of_cameras(tmp_path):
    (tmp_path / "2024_indipyweb.DB").write_bytes(b"an old copy")
    (tmp_path / "picture.fits").write_bytes(b"x")
    async with website(tmp_path, blobfolder=tmp_path) as site, site.browser("admin") as browser:
        text = (await browser.get("/blobs")).text
        assert "picture.fits" in text
        assert "indipyweb.db" not in text.lower().replace("2024_", "")
        for name in ("indipyweb.db", "indipyweb.db-wal", "2024_indipyweb.DB"):
            assert (tmp_path / name).exists()
            for path in ("/blobs/file", "/blobs/thumbnail"):
                assert (await browser.get(path, params={"name": name})).status_code == 404
            assert (await browser.post("/blobs/delete", data={"name": name})).status_code == 404
            assert (tmp_path / name).exists()


@asynchronous
async def test_numbers_and_letters_that_are_none(tmp_path):
    many = "1" * 5000
    async with website(tmp_path) as site, site.browser("user") as browser:
        for path in (f"/?page={many}", f"/blobs?page={many}"):
            assert (await browser.get(path)).status_code == 200
        assert (await browser.post("/account/token", data={"days": many})).status_code == 422
        part = b'--x\r\nContent-Disposition: form-data; name="name"\r\n\r\n\\ud800\r\n--x--\r\n'
        kind = {"content-type": "multipart/form-data; boundary=x; charset=unicode_escape"}
        assert (await browser.post("/login", content=part, headers=kind)).status_code == 400


@asynchronous
async def test_only_files_for_devices_are_large(tmp_path):
    kind = {"content-type": "multipart/form-data; boundary=x"}
    async with website(tmp_path) as site, site.browser() as browser:
        assert (await browser.post("/login", content=b"x" * (2 << 20), headers=kind)).status_code == 413


@asynchronous
async def test_a_body_that_never_ends_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(gate, "PATIENCE", 0.05)

    async def endless():
        yield b"name="
        await asyncio.Event().wait()

    async with website(tmp_path) as site, site.browser() as browser:
        assert (await browser.post("/login", content=endless(), headers=FORM)).status_code == 400


@asynchronous
async def test_a_command_that_comes_late_is_not_sent(tmp_path, monkeypatch):
    async with website(tmp_path) as site, site.browser("user") as browser, site.browser() as script:
        token = site.web.users.new_token("user", "t", True, 1)
        script.headers["authorization"] = f"Bearer {token}"
        api = f"/api/{quote(AWKWARD, safe='')}"
        loop, got = asyncio.get_running_loop(), site.driver.got
        form = {"d": AWKWARD, "p": "NUM", "m.N": "7"}
        for at in (loop.time() - 60, -1e300):  # it waited in the browser's machine
            answer = await browser.post("/set", data={**form, "at": f"{at}"}, headers=JSON)
            assert answer.status_code == 412
            assert answer.json()["error"].startswith("Not sent: it was on its way for ")
        time = loop.time

        async def slowly(*pieces):
            """It is on its way for a minute."""
            yield pieces[0]
            monkeypatch.setattr(loop, "time", lambda: time() + 60)
            yield pieces[1]

        monkeypatch.setattr(gate, "PATIENCE", 100)
        fields = slowly(f"d={quote(AWKWARD)}&p=NUM&".encode(), b"m.N=7")
        assert (await browser.post("/set", content=fields, headers=FORM)).status_code == 412
        monkeypatch.setattr(loop, "time", time)
        body = slowly(b'{"members": ', b'{"N": 7}}')
        answer = await script.post(f"{api}/NUM", content=body, headers={"content-type": "application/json"})
        assert (answer.status_code, "on its way for 60 s" in answer.text) == (412, True)
        monkeypatch.setattr(loop, "time", time)
        assert got == []
        # A file takes its time, and so does whoever looks at a page for long, or has a strange clock.
        assert (await script.post(f"{api}/UP/X/blob", content=slowly(b"ab", b"c"))).status_code == 200
        monkeypatch.setattr(loop, "time", time)
        for at in ("", "x", "nan", "inf", f"{time() + 1e6}", f"{time() - 5}"):
            assert (await browser.post("/set", data={**form, "at": at}, headers=JSON)).json()["state"] == "ok"
        assert [name for name, *_ in got] == ["UP", *["NUM"] * 6]


class Peer(asyncio.Transport):
    """Somebody who says little, and takes nothing."""

    def __init__(self):
        super().__init__()
        self.ended = ""
        self.waiting = 1 << 20

    def get_write_buffer_size(self):
        return self.waiting

    def get_extra_info(self, name, default=None):
        return default

    def is_closing(self):
        return bool(self.ended)

    def close(self):
        self.ended = self.ended or "closed"

    def abort(self):
        self.ended = "aborted"

    def write(self, data):
        pass

    def pause_reading(self):
        pass

    def resume_reading(self):
        pass


def _connection(application=None):
    import uvicorn
    from uvicorn.server import ServerState

    config = uvicorn.Config(application or (lambda *_: None), http=connections.Connection, lifespan="off")
    config.load()
    made = connections.Connection(config, ServerState(), {}, asyncio.get_running_loop())
    peer = Peer()
    made.connection_made(peer)
    return made, peer


@asynchronous
async def test_connections_that_say_nothing_end(monkeypatch):
    monkeypatch.setattr(connections, "HEAD", 0.05)
    _, silent = _connection()
    slow, peer = _connection()
    head = iter(b"GET / HTTP/1.1\r\nHost: " + b"x" * 10_000)

    async def drip():
        while not peer.ended:
            slow.data_received(bytes([next(head)]))
            await asyncio.sleep(0.001)

    await asyncio.wait_for(drip(), 30)
    await soon(lambda: silent.ended)


@asynchronous
async def test_a_request_that_is_answered_may_take_its_time(monkeypatch):
    monkeypatch.setattr(connections, "HEAD", 0.02)
    go = asyncio.Event()

    async def application(scope, receive, send):
        await go.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    made, peer = _connection(application)
    made.data_received(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    await asyncio.sleep(0.1)
    assert not peer.ended
    go.set()
    await soon(lambda: made.cycle.response_complete)


@asynchronous
async def test_a_connection_that_takes_nothing_is_cut(monkeypatch):
    monkeypatch.setattr(connections, "UNREAD", 0.02)
    made, peer = _connection()
    made.pause_writing()
    made.resume_writing()
    assert made._stuck is None
    made.pause_writing()
    await soon(lambda: peer.ended == "aborted")
    made.connection_lost(None)


@asynchronous
async def test_a_slow_link_is_not_cut(monkeypatch):
    monkeypatch.setattr(connections, "UNREAD", 0.02)
    made, peer = _connection()
    made.pause_writing()
    for _ in range(5):
        looking = made._stuck
        peer.waiting -= 1000  # of a large answer, which is more than 4096 bytes in a second
        await soon(lambda looking=looking: made._stuck is not looking)
    assert not peer.ended
    await soon(lambda: peer.ended == "aborted")
    made.connection_lost(None)


def test_guests_leave_room_for_streams():
    counts = StreamCounts()
    for n in range(OF_GUESTS):
        counts.add(str(n), is_guest=True)
    with pytest.raises(TooManyStreams):
        counts.add("guest", is_guest=True)
    counts.add("user")


@asynchronous
async def test_one_account_does_not_wait_in_the_place_of_all(tmp_path, monkeypatch):
    texts = Texts()
    monkeypatch.setattr("indipyweb.commands.MOST_OF_ONE", 3)
    async with website(tmp_path, Everything(), texts) as site:
        await soon(lambda: site.web.first.model.get("Texts", "PASSWORD"))
        commands: Commands = site.web.commands
        dead = site.web.first.model.get("Texts", "PASSWORD")
        script, person = Actor("script", Role.USER, "a"), Actor("ann", Role.USER, "b")
        for _ in range(3):
            commands.start(site.web.first, dead, {"P": "x"}, script)
        with pytest.raises(Denied, match="Too many"):
            commands.start(site.web.first, dead, {"P": "x"}, script)
        stop = commands.start(site.web.first, site.web.first.model.get(AWKWARD, "NUM"), {"N": 2}, person)
        await soon(stop.done.is_set)
        assert stop.state == "ok"
        await soon(lambda: commands._waiting["ann"] == 0)  # when its task has ended, too


@asynchronous
async def test_what_was_never_sent_is_not_said_to_be_unanswered(tmp_path):
    async with website(tmp_path) as site:
        model = site.web.first.model
        command = site.web.commands.start(
            site.web.first, model.get(AWKWARD, "NUM"), {"N": 2}, Actor("ann", Role.USER, "a")
        )
        await soon(command.done.is_set)
        site.web.commands._failed(command, TimedOut("not defined again", elapsed=5.0, sent=False))
        assert command.text.startswith("Not sent")
        site.web.commands._failed(command, TimedOut("no answer", elapsed=5.0, sent=True))
        assert command.text == "No answer after 5 s."


@asynchronous
async def test_what_went_while_nobody_counted_is_forgotten(tmp_path):
    """A model remembers so many of what went; after more it says only that it has forgotten."""
    async with website(tmp_path) as site:
        web, model = site.web.first, site.web.first.model
        known = len(web._ids)
        number = DefMember("V", "1")
        for n in range(2000):
            kind, state = (VectorKind.NUMBER, State.ALERT) if n < 20 else (VectorKind.TEXT, State.OK)
            model.apply(DefVector(kind, f"Device {n}", "P", state, (number,), "x", "G", Permission.READ_ONLY))
        await site.driver.device["RO"].send_setVector(state="Ok")
        await soon(lambda: web.rev == model.rev and len(web._ids) == known + 2000)
        assert len(web.alerts) == 20
        for n in range(2000):
            model.apply(DelProperty(f"Device {n}", None, None, None))
        await site.driver.device["RO"].send_setVector(state="Busy")
        await soon(lambda: web.rev == model.rev and model.get(AWKWARD, "RO").state is State.BUSY)
        assert (len(web._ids), len(web._keys), len(web.alerts)) == (known, known, 0)
        assert set(web._devices) == {AWKWARD}
        assert {key[0] for key in web.histories._known} == {AWKWARD}


@asynchronous
async def test_a_database_that_is_locked_is_said(tmp_path):
    async with website(tmp_path) as site, site.browser("admin") as browser:
        other = sqlite3.connect(tmp_path / "indipyweb.db")
        other.execute("BEGIN IMMEDIATE")
        answer = await browser.post("/users/delete", data={"name": "viewer"})
        assert answer.status_code == 503
        assert "locked" in answer.text
        form = {"d": AWKWARD, "p": "NUM", "m.N": "3"}
        assert (await browser.post("/set", data=form, headers=JSON)).json()["state"] == "ok"
        setup = {"host": "localhost", "port": "8000", "indihost": "elsewhere", "indiport": "7624", "guests": "1"}
        assert (await browser.post("/system", data=setup)).status_code == 503
        assert "elsewhere" not in (await browser.get("/system")).text
        with pytest.raises(sqlite3.OperationalError):
            site.web.options.set_flag("guests", False)
        assert site.web.options.flag("guests", True)
        other.rollback()
        other.close()

        def broken(name):
            raise sqlite3.OperationalError("disk I/O error")

        site.web.users.get = broken  # so that it is not even known who asks
        answer = await browser.get("/")
        assert (answer.status_code, "disk I/O error" in answer.text) == (503, True)
        del site.web.users.get
        assert (await browser.post("/users/delete", data={"name": "viewer"})).status_code == 303


@asynchronous
async def test_a_copy_that_could_not_be_made_is_not_left(tmp_path, monkeypatch):
    async with website(tmp_path) as site:
        for path in (tmp_path / "nowhere" / "x.db", tmp_path):
            with monkeypatch.context() as patch:
                patch.setattr(site.web.db, "path", path)
                with pytest.raises(sqlite3.Error):
                    site.web.db.backup(tmp_path / "copy")
            assert not (tmp_path / "copy").exists()


@asynchronous
async def test_the_end_waits_for_nobody_and_is_told(tmp_path):
    driver = Everything()
    driver.rxevent = lambda event: asyncio.sleep(0)  # it says nothing
    async with website(tmp_path, driver) as site, site.browser("user") as browser:
        token = site.web.users.new_token("user", "t", True, 1)
        headers = {"authorization": f"Bearer {token}"}
        url = f"/api/{quote(AWKWARD, safe='')}"
        body = {"members": {"N": 2}, "wait": 60}
        waiting = asyncio.create_task(browser.post(f"{url}/NUM", json=body, headers=headers))
        await soon(lambda: site.web.commands._tasks)

        async def never():
            yield b"x"
            await asyncio.Event().wait()

        coming = asyncio.create_task(browser.post(f"{url}/UP/X/blob", content=never(), headers=headers))
        await soon(lambda: site.web.uploads)
        site.web.close_streams()
        assert (await waiting).status_code == 202
        coming.cancel()  # as the server does with what goes on for too long
        assert (await coming).status_code == 503


@asynchronous
async def test_what_is_only_written_is_shown_to_nobody_and_sent_when_it_is_typed(tmp_path):
    async with website(tmp_path) as site, site.browser("user") as browser:
        model, first = site.web.first.model, site.web.first
        for kind, value in ((VectorKind.TEXT, "s3cr3t"), (VectorKind.NUMBER, "424242"), (VectorKind.SWITCH, "On")):
            members = (DefMember("V", value),)
            rule = {"rule": SwitchRule.ANY_OF_MANY} if kind is VectorKind.SWITCH else {}
            wo = Permission.WRITE_ONLY
            model.apply(DefVector(kind, "Lock", kind.value, State.OK, members, "", "", wo, **rule))
        await site.driver.device["RO"].send_setVector(state="Ok")
        await soon(lambda: first.rev == model.rev)
        number = json.dumps(["Lock", "Number", "V"])
        for path in ("/device?d=Lock", "/api", "/api/Lock", "/api?since=x.0", "/metrics", "/plot?d=Lock", "/overview"):
            for more in ("", f"&n={number}"):
                text = (await browser.get(path + more if "?" in path else path)).text
                assert "s3cr3t" not in text
                assert "424242" not in text
        assert number not in (await browser.get("/plot.csv", params={"n": number})).text
        assert not first.histories.points(("Lock", "Number", "V"), 600)
        said = json.loads(first.delta(Filter("Lock"), 0)[1])["set"].values()
        assert [piece["m"] for piece in said] == [[[""]], [[""]], [["On"]]]  # a switch is no secret
        for kind in ("Text", "Number"):
            answer = await browser.post("/set", data={"d": "Lock", "p": kind, "o.V": "", "m.V": ""})
            assert (answer.status_code, "no new value" in answer.text) == (422, True)


@asynchronous
async def test_without_a_script_a_switch_goes_where_its_button_says(tmp_path):
    async with website(tmp_path) as site, site.browser("user") as browser:
        where = {"d": AWKWARD, "g": "G/1 &"}
        for name in ("ANY", "MOST"):
            for word in ("On", "Off"):
                page = (await browser.get("/device", params=where)).text
                form = page[page.index(f'name="p" value="{name}"') :]
                target = html.unescape(re.search('value="A" formaction="([^"]*)"', form)[1])
                vector = site.driver.device[name]  # somebody else is quicker
                vector["A"] = word
                await vector.send_setVector(state="Ok")
                site.driver.got.clear()
                await soon(lambda name=name, word=word: site.web.first.model.get(AWKWARD, name)["A"].value == word)
                await browser.post(target, data={"d": AWKWARD, "p": name, "press": "A"})
                assert site.driver.got == [(name, {"A": word})]
