"""The pages over a real driver: each kind of vector is set and read back, and streams tell what has changed."""

import asyncio
import errno
import json
import math
import re
import tempfile
from urllib.parse import urlencode

import pytest

pytest.importorskip("starlette", reason="the web client needs the extra web")

from indipydriver import Device, IPyDriver
from indipydriver.propertymembers import LightMember, NumberMember, SwitchMember
from indipydriver.propertyvectors import LightVector, NumberVector, SwitchVector
from indipydriver.protocol.messages import Message
from indipyweb.app import build_app
from indipyweb.context import Web
from indipyweb.events import EventStream, StreamCounts, TooManyStreams
from indipyweb.pages.plots import LINES
from indipyweb.security.passwords import Passwords
from indipyweb.security.permissions import Actor, Role
from indipyweb.settings import Settings
from indipyweb.site import Filter
from indipyweb.store.keeping import PINS, Pin
from indipyweb.views import MARKS
from tests.companions.indipyclient.scripted import DEFINE, scripted
from tests.support import ROOT, asynchronous, running_server

from .parts import AWKWARD, Everything, Site, accounts, poll, soon, website

JSON = {"accept": "application/json"}
STATIC = ROOT / "companions/indipyweb/static"


class Stream:
    """Reads a stream of the application, without a socket."""

    def __init__(self, app, path, query="", cookie="", last=""):
        self.events = []
        self.ended = False
        headers = [(b"host", b"localhost:8000"), (b"cookie", cookie.encode())]
        if last:
            headers.append((b"last-event-id", last.encode()))
        scope = {
            "type": "http",
            "method": "GET",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": headers,
            "client": ("127.0.0.1", 5),
            "scheme": "http",
            "server": ("localhost", 8000),
            "root_path": "",
        }
        self.hold = asyncio.Event()
        self.hold.set()
        self._gone = asyncio.Event()
        self.status = 0
        self._text = ""
        self._task = asyncio.create_task(app(scope, self._receive, self._send))

    async def _receive(self):
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message):
        if message["type"] == "http.response.start":
            self.status = message["status"]
            return
        await self.hold.wait()
        self._text += message.get("body", b"").decode()
        self.ended = not message.get("more_body")
        *whole, self._text = self._text.split("\n\n")
        for block in whole:
            fields = dict(line.split(": ", 1) for line in block.splitlines())
            if "event" in fields:
                self.events.append((fields["event"], json.loads(fields["data"]), fields.get("id")))

    def of(self, name):
        return [data for kind, data, _ in self.events if kind == name]

    async def leave(self):
        self._gone.set()
        await asyncio.wait([self._task], timeout=30)


async def send(browser, **fields):
    answer = await browser.post("/set", data={"d": AWKWARD, **fields}, headers=JSON)
    return answer.status_code, answer.json()


@asynchronous
async def test_each_kind_is_set_and_arrives_in_the_driver(tmp_path):
    async with website(tmp_path) as site, site.browser("user") as browser:
        got = site.driver.got
        for fields, arrived in (
            ({"p": "NUM", "m.N": "2:30"}, ("NUM", {"N": "2:30"})),
            ({"p": "TEXT", "m.T": "a\r\nb <i>", "o.T": "x"}, ("TEXT", {"T": "a\nb <i>"})),
            ({"p": "ONE", "press": "B <i>"}, ("ONE", {"B <i>": "On"})),
            ({"p": "MOST", "press": "A"}, ("MOST", {"A": "On"})),
            ({"p": "MOST", "press": "A", "to": "Off"}, ("MOST", {"A": "Off"})),
            ({"p": "ANY", "press": "C"}, ("ANY", {"C": "On"})),
        ):
            got.clear()
            status, facts = await send(browser, **fields)
            assert status == 200, facts
            assert facts["state"] == "ok", facts
            (name, values), *_ = got
            assert name == arrived[0]
            assert {k: v for k, v in values.items() if k in arrived[1]} == arrived[1]
        deeds = [deed for deed in site.web.audit.last() if deed.what == "set"]
        assert {deed.who for deed in deeds} == {"user"}
        assert len(deeds) == 6


@asynchronous
async def test_who_turns_back_before_a_slow_mount_has_answered_turns_off_what_is_on_by_then(tmp_path):
    """A mount of libindi that gets South alone while North is On goes on to the north."""
    answer = asyncio.Event()

    class Slow(Everything):
        async def rxevent(self, event):
            self.got.append((event.vectorname, dict(event)))
            await answer.wait()
            for member, value in event.items():
                event.vector[member] = value
            await event.vector.send_setVector(state="Ok")

    driver = Slow()
    async with website(tmp_path, driver) as site, site.browser("user") as browser:

        async def press(name):
            return await browser.post("/set", data={"d": AWKWARD, "p": "MOST", "press": name, "to": "On"}, headers=JSON)

        north = asyncio.create_task(press("A"))
        await soon(lambda: driver.got)
        south = asyncio.create_task(press("C"))
        await soon(lambda: len(site.web.commands._tasks) == 2)
        answer.set()
        await soon(lambda: len(driver.got) == 2)
        assert driver.got == [("MOST", {"A": "On"}), ("MOST", {"A": "Off", "C": "On"})]
        await asyncio.gather(north, south)


@asynchronous
@pytest.mark.parametrize("rule", ["AtMostOne", "AnyOfMany", "OneOfMany"])
async def test_abort_aborts_though_a_driver_has_left_it_on(tmp_path, rule):
    got = []

    class Mount(IPyDriver):
        async def rxevent(self, event):
            got.append(dict(event))
            for member, value in event.items():  # and it stays On
                event.vector[member] = value
            await event.vector.send_setVector(state="Ok")

    abort = SwitchVector("ABORT_MOTION", "Abort", "Main", "rw", rule, "Ok", [SwitchMember("ABORT", "Abort")])
    async with (
        website(tmp_path, Everything(), Mount(Device("Mount", [abort]))) as site,
        site.browser("user") as browser,
    ):
        await soon(lambda: site.web.first.model.get("Mount", "ABORT_MOTION"))
        for to in ("On", "Off", "Off"):  # as the page shows it
            fields = {"d": "Mount", "p": "ABORT_MOTION", "press": "ABORT", "to": to}
            assert (await browser.post("/set", data=fields, headers=JSON)).json()["text"] == "Done."
        assert got == [{"ABORT": "On"}] * 3


@asynchronous
async def test_a_file_for_which_the_disk_has_no_room_is_the_servers_fault(tmp_path, monkeypatch):
    def full(self):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", full)
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda *args, **kwargs: full(None))
    async with website(tmp_path) as site, site.browser("user") as browser:
        sent = {"m.X": ("dark.fits", bytes(3 << 20))}
        answer = await browser.post("/set", data={"d": AWKWARD, "p": "UP"}, files=sent, headers=JSON)
        assert answer.status_code == 503
        assert "No space left" in answer.text
        assert site.driver.got == []


@asynchronous
async def test_a_file_arrives_byte_for_byte(tmp_path):
    data = bytes(range(256)) * 9000
    async with website(tmp_path) as site, site.browser("user") as browser:
        answer = await browser.post(
            "/set", data={"d": AWKWARD, "p": "UP"}, files={"m.X": ("dark frame.fits.gz", data)}, headers=JSON
        )
        assert answer.json()["state"] in ("ok", "sent"), answer.text
        await soon(lambda: site.driver.got)
        assert site.driver.got == [("UP", data, ".fits.gz")]
        for name in ("f.1", "f.x", "f.99999999999999999999", "x.X", "X"):
            sent = {name: ("x", b"1")}
            answer = await browser.post("/set", data={"d": AWKWARD, "p": "UP"}, files=sent, headers=JSON)
            assert answer.status_code == 422
        answer = await browser.post("/set", data={"d": AWKWARD, "p": "UP"}, files={"f.0": ("x.y", b"1")}, headers=JSON)
        await soon(lambda: len(site.driver.got) == 2)
        assert site.driver.got[1] == ("UP", b"1", ".y")
        answer = await browser.post("/set", data={"d": AWKWARD, "p": "UP"}, files={"m.Y": ("x", b"1")}, headers=JSON)
        assert answer.status_code == 422


@asynchronous
async def test_a_phone_offers_the_keys_that_a_number_needs_and_its_comma_will_do(tmp_path):
    """The keyboard for decimals has no minus sign on some phones, no colon, and in many countries no point."""
    device = Device(
        "Keys",
        [
            NumberVector("UP", "Up", "Main", "rw", "Ok", [NumberMember("N", "N", "%.1f", "0", "10", "1", "1")]),
            NumberVector("BOTH", "Both", "Main", "rw", "Ok", [NumberMember("N", "N", "%.1f", "-9", "9", "1", "1")]),
            NumberVector("ANY", "Any", "Main", "rw", "Ok", [NumberMember("N", "N", "%.1f", "0", "0", "0", "1")]),
            NumberVector("HOURS", "Hours", "Main", "rw", "Ok", [NumberMember("N", "N", "%9.6m", "0", "24", "0", "1")]),
        ],
    )
    async with website(tmp_path, Everything(), IPyDriver(device)) as site, site.browser("user") as browser:
        await soon(lambda: site.web.first.model.get("Keys", "HOURS"))
        page = (await browser.get("/device?d=Keys")).text
        assert re.findall(r'name="m.N" type="text" inputmode="(\w+)"', page) == ["decimal", "text", "text", "text"]
        assert (await send(browser, p="NUM", **{"m.N": " 2,5 "}))[0] == 200
        assert site.driver.got == [("NUM", {"N": "2.5"})]


@asynchronous
async def test_what_cannot_be_set_is_said_and_not_sent(tmp_path):
    async with website(tmp_path) as site, site.browser("user") as browser:
        for fields, status, text in (
            ({"p": "NUM", "m.N": "11"}, 422, "from 0 to 10"),
            ({"p": "NUM", "m.N": "x"}, 422, "Not sent"),
            ({"p": "NUM", "m.N": "nan"}, 422, "not a number"),
            ({"p": "NUM", "m.N": "1,000"}, 422, "not a number"),
            ({"p": "NUM", "m.N": ""}, 422, "no new value"),
            ({"p": "NUM", "m.Q": "1"}, 404, "no member"),
            ({"p": "ONE", "press": "Z"}, 422, "no such switch"),
            ({"p": "RO", "m.V": "1"}, 403, "read-only"),
            ({"p": "LIGHT", "m.L": "Ok"}, 403, "read-only"),
            ({"p": "NOTHING", "m.L": "Ok"}, 404, "no such property"),
        ):
            answered, facts = await send(browser, **fields)
            assert answered == status, facts
            assert text in facts.get("text", facts.get("error", "")), facts
        assert site.driver.got == []
        status, facts = await send(browser, p="REFUSES", **{"m.R": "2"})
        assert (facts["state"], facts["text"]) == ("refused", "Refused: no <way>")


@asynchronous
async def test_without_a_script_the_page_says_what_came_of_it(tmp_path):
    async with website(tmp_path) as site, site.browser("user") as browser:
        answer = await browser.post("/set", data={"d": AWKWARD, "p": "NUM", "m.N": "3"})
        assert answer.status_code == 303
        where = answer.headers["location"]
        page = await browser.get(where)
        assert '<p class="told t-ok">Done.</p>' in page.text
        assert ">3.0</output>" in page.text
        answer = await browser.post("/set", data={"d": AWKWARD, "p": "NUM", "m.N": "99"})
        assert answer.status_code == 422
        assert "from 0 to 10" in answer.text
        async with site.browser("admin") as other:  # what others did is not said to them
            page = await other.get(where)
            assert "t-ok" not in page.text


@asynchronous
async def test_a_stream_tells_what_has_changed_and_only_that(tmp_path):
    async with website(tmp_path) as site:
        token, _ = site.web.sessions.begin("user", "127.0.0.1")
        web, first = site.web, site.web.first
        since = f"since={first.model.epoch}.{first.rev}"
        import urllib.parse

        query = f"{since}&{urllib.parse.urlencode({'d': AWKWARD, 'g': 'G/1 &'})}"
        stream = Stream(site.app, "/events", query, f"indipyweb_8000={token}")
        await soon(lambda: stream.of("hello"))
        assert stream.of("hello")[0]["reset"] is False
        assert stream.of("hello")[0]["link"]["up"] is True
        site.driver.device["NUM"]["N"] = 4.5
        await site.driver.device["NUM"].send_setVector(state="Busy")
        id = str(first.id_of((AWKWARD, "NUM")))
        await soon(lambda: any(id in delta["set"] for delta in stream.of("delta")))
        piece = next(delta["set"][id] for delta in stream.of("delta") if id in delta["set"])
        assert piece["m"] == [["4.5", "4.5"]]
        assert piece["s"] == "Busy"
        before = len(stream.of("delta"))
        await site.driver.device["RO"].send_setVector(state="Ok")  # of another group
        await site.driver.device["LIGHT"].send_setVector(state="Alert")
        light = str(first.id_of((AWKWARD, "LIGHT")))
        await soon(lambda: any(light in delta["set"] for delta in stream.of("delta")[before:]))
        assert not any(str(first.id_of((AWKWARD, "RO"))) in delta["set"] for delta in stream.of("delta"))
        await soon(lambda: stream.of("alerts"))
        assert stream.of("alerts")[-1][0]["l"] == "Light"
        await stream.leave()
        assert web.streams.total == 0
        # A stream that comes back knows where it was.
        last = [id for _, _, id in stream.events if id][-1]
        again = Stream(site.app, "/events", query, f"indipyweb_8000={token}", last)
        await soon(lambda: again.of("hello"))
        assert again.of("hello")[0]["reset"] is False
        stranger = Stream(site.app, "/events", "since=other.5", f"indipyweb_8000={token}")
        await soon(lambda: stranger.of("hello"))
        assert stranger.of("hello")[0]["reset"] is True
        await again.leave()
        await stranger.leave()


@asynchronous
async def test_a_stream_tells_what_came_of_a_command_that_took_long(tmp_path, monkeypatch):
    from indipyweb.pages import panel

    monkeypatch.setattr(panel, "_AT_ONCE", 0.0)

    async with website(tmp_path) as site:
        token, _ = site.web.sessions.begin("user", "127.0.0.1")
        stream = Stream(site.app, "/events", "", f"indipyweb_8000={token}")
        other_token, _ = site.web.sessions.begin("user", "127.0.0.1")
        other = Stream(site.app, "/events", "", f"indipyweb_8000={other_token}")
        await soon(lambda: stream.of("hello") and other.of("hello"))
        async with site.browser() as browser:
            browser.cookies.set("indipyweb_8000", token, domain="localhost.local")
            _, facts = await send(browser, p="NUM", **{"m.N": "6"})
            assert facts["state"] == "sent"
        await soon(lambda: stream.of("outcome"))
        assert stream.of("outcome")[0]["state"] == "ok"
        assert other.of("outcome") == []
        await stream.leave()
        await other.leave()
        # A tab that had no stream meanwhile is told when it comes back.
        again = Stream(site.app, "/events", "", f"indipyweb_8000={token}")
        await soon(lambda: again.of("hello"))
        assert [done["state"] for done in again.of("hello")[0]["done"]] == ["ok"]
        await again.leave()


@asynchronous
async def test_a_tab_that_is_not_read_holds_up_nobody_and_gets_the_present(tmp_path):
    async with website(tmp_path) as site:
        frozen, lively = Stream(site.app, "/events", ""), Stream(site.app, "/events", "")
        await soon(lambda: frozen.of("hello") and lively.of("hello"))
        frozen.hold.clear()
        vector = site.driver.device["RO"]
        for n in range(300):
            vector["V"] = n
            await vector.send_setVector(state="Ok")
        await soon(lambda: site.web.first.model.get(AWKWARD, "RO")["V"].number == 299)
        await soon(lambda: lively.of("delta"))
        frozen.hold.set()
        await poll(lambda: asyncio.sleep(0, frozen.of("delta")))
        assert len(frozen.of("delta")) < 60
        await frozen.leave()
        await lively.leave()


@asynchronous
async def test_a_tab_that_is_never_read_is_cut(tmp_path, monkeypatch):
    monkeypatch.setattr("indipyweb.events.STUCK", 0.1)
    async with website(tmp_path) as site:
        frozen = Stream(site.app, "/events", "")
        await soon(lambda: frozen.of("hello"))
        frozen.hold.clear()
        await site.driver.device["RO"].send_setVector(state="Busy")
        await soon(lambda: site.web.streams.total == 0)
        assert site.web.streams.cut == 1
        await frozen.leave()


@asynchronous
async def test_a_stream_ends_with_the_login(tmp_path, monkeypatch):
    monkeypatch.setattr("indipyweb.events.PING", 0.05)
    async with website(tmp_path) as site:
        site.web.options.set_flag("guests", False)
        token, _ = site.web.sessions.begin("user", "127.0.0.1")
        stream = Stream(site.app, "/events", "", f"indipyweb_8000={token}")
        await soon(lambda: stream.of("ping"))
        site.web.sessions.end("user")
        await soon(lambda: stream.of("session") and stream.ended)
        await stream.leave()


def test_streams_are_counted():
    counts = StreamCounts()
    for _ in range(8):
        counts.add("a")
    with pytest.raises(TooManyStreams):
        counts.add("a")
    for n in range(56):
        counts.add(str(n))
    with pytest.raises(TooManyStreams):
        counts.add("b")
    counts.remove("a")
    counts.add("b")


@asynchronous
async def test_a_lost_server_is_said_and_values_stay(tmp_path):
    async with scripted() as server:
        web = Web(Settings(tmp_path, servers=(f"localhost:{server.port}",), blobs=False), passwords=Passwords(1, 8))
        accounts(web)
        site = Site(web, build_app(web), server, None)
        await web.start()
        link = await server.client(DEFINE)
        await soon(lambda: web.first.model.get("Mount", "EQ") and web.first.rev == web.first.model.rev)
        stream = Stream(site.app, "/events", "")
        await soon(lambda: stream.of("hello"))
        link.reset()
        await soon(lambda: stream.of("link"))
        assert stream.of("link")[0]["up"] is False
        async with site.browser("user") as browser:
            page = await browser.get("/device", params={"d": "Mount"})
            assert "2:00:00</output>" in page.text
            assert '<p id="lost" class="lost">' in page.text
            assert "may be out of date" in page.text
            answer = await browser.post("/set", data={"d": "Mount", "p": "EQ", "m.RA": "1"}, headers=JSON)
            assert answer.status_code == 503
            assert (await browser.get("/health")).json()["status"] == "degraded"
            await soon(lambda: [end for _, end in web.first.gaps(600)] == [math.inf])  # plots end there
            back = await server.client(timeout=30)  # it comes back by itself
            await soon(lambda: stream.of("link")[-1]["up"])
            # Nothing waits for its property, to be sent when nobody looks any more.
            answer = await browser.post("/set", data={"d": "Mount", "p": "EQ", "m.RA": "1"}, headers=JSON)
            assert (answer.status_code, answer.json()["state"]) == (503, "bad")
            assert "has not defined it again" in answer.json()["text"]
            await back.send(DEFINE)
            await soon(lambda: not web.first.model.has_stale)
            page = await browser.get("/device", params={"d": "Mount"})
            assert '<p id="lost" class="lost" hidden>' in page.text
            assert "newNumberVector" not in [element.tag for element in await back.everything()]
        assert len(web.first.histories.gaps) == 1
        await stream.leave()
        await web.aclose()


@asynchronous
async def test_names_with_markup_stay_text(tmp_path):
    async with website(tmp_path) as site, site.browser("user") as browser:
        for path, query in (("/", {}), ("/device", {"d": AWKWARD}), ("/plot", {"n": json.dumps([AWKWARD, "RO", "V"])})):
            text = (await browser.get(path, params=query)).text
            assert "<b>&" not in text
            assert "<script>alert" not in text
            assert "Dev &lt;b&gt;" in text
        text = (await browser.get("/device", params={"d": AWKWARD, "g": "G/1 &"})).text
        assert "&lt;script&gt;alert(1)" in text
        assert (await browser.get("/device", params={"d": "<script>"})).status_code == 404
        assert "<script>" not in (await browser.get("/device", params={"d": "<script>"})).text


@asynchronous
async def test_a_message_is_told_once(tmp_path):
    """The page and the stream know those up to the same change, though the model knows later ones."""
    async with website(tmp_path) as site, site.browser() as browser:
        first = site.web.first
        await soon(lambda: first.rev == first.model.rev)
        first.client._engine.message_received(Message(AWKWARD, "one <note>"))
        assert first.model.rev > first.rev
        told = []
        for _ in range(2):
            rev, text = first.delta(Filter(), first.rev - 1)
            told += json.loads(text).get("msg", [])
            for path in ("/messages", "/device?" + urlencode({"d": AWKWARD})):
                assert ("one &lt;note&gt;" in (await browser.get(path)).text) == (rev == first.model.rev)
            first.client._engine.batch_received()
            await soon(lambda: first.rev == first.model.rev)
        assert [note["text"] for note in told] == ["one <note>"]


@asynchronous
async def test_pins_are_ones_own_and_in_ones_order(tmp_path):
    async with website(tmp_path) as site, site.browser("user") as browser, site.browser("admin") as other:
        for name in ("NUM", "TEXT"):
            answer = await browser.post("/pin", data={"d": AWKWARD, "p": name}, headers=JSON)
            assert answer.json() == {"pinned": True}
        await browser.post("/pin", data={"d": AWKWARD, "p": "TEXT", "move": "-1"})
        page = (await browser.get("/overview")).text
        assert page.index("Text</h3>") < page.index("Num &lt;b&gt;</h3>")
        assert "Nothing is here yet" in (await other.get("/overview")).text
        await browser.post("/pin", data={"d": AWKWARD, "p": "TEXT"}, headers=JSON)
        assert "Text</h3>" not in (await browser.get("/overview")).text
        for n in range(PINS - 1):
            site.web.pins.toggle("user", Pin("", "", str(n)))
        answer = await browser.post("/pin", data={"d": AWKWARD, "p": "TEXT"}, headers=JSON)
        assert (answer.status_code, "remove one" in answer.json()["error"]) == (409, True)
        assert (await browser.post("/pin", data={"d": AWKWARD, "p": "NUM"}, headers=JSON)).json() == {"pinned": False}


@asynchronous
async def test_ten_thousand_devices_make_no_large_page(tmp_path):
    from indipydriver.protocol.messages import DefMember, DefVector
    from indipydriver.protocol.tags import Permission, State, VectorKind

    async with website(tmp_path) as site, site.browser("user") as browser:
        model = site.web.first.model
        for n in range(9_990):
            member = DefMember("V", "1")
            perm = Permission.READ_ONLY
            model.apply(DefVector(VectorKind.TEXT, f"Device {n}", "P", State.OK, (member,), "x", "G", perm))
        await site.driver.device["RO"].send_setVector(state="Ok")
        await soon(lambda: site.web.first.rev == model.rev)
        answer = await browser.get("/")
        assert len(answer.content) < 100_000
        assert "Page 1 of 100" in answer.text
        assert "Device 9876" in (await browser.get("/", params={"q": "9876"})).text
        _, text = site.web.first.delta(Filter("Device 5"), 0)
        assert len(text) < 20_000
        metrics = (await browser.get("/metrics")).text
        assert metrics.count("\n") < 6000


@asynchronous
async def test_properties_with_very_many_members_are_drawn_in_parts(tmp_path):
    class Large(IPyDriver):
        def __init__(self):
            lights = [
                LightVector(f"L{n}", f"L{n}", "Main", "Ok", [LightMember(f"{m}") for m in range(1000)])
                for n in range(3)
            ]
            super().__init__(Device("Large", lights))

    async with website(tmp_path, Everything(), Large()) as site, site.browser() as guest:
        model = site.web.first.model
        await soon(lambda: len(model.names("Large")) == 3)
        page = (await guest.get("/device", params={"d": "Large"})).text
        assert page.count('<section class="prop') == 2
        assert "1 more properties" in page
        ids = [site.web.first.id_of(("Large", name)) for name in ("L0", "L1", "L2")]
        part = (await guest.get("/part", params={"ids": ",".join(map(str, ids))})).text
        assert part.count('<section class="prop') == 2
        assert f'data-left="{ids[2]}"' in part
        assert "data-left" not in (await guest.get("/part", params={"ids": str(ids[2])})).text
        for epoch, status in ((model.epoch, 200), ("before", 409)):  # numbers begin anew with the web server
            assert (await guest.get("/part", params={"ids": "1", "epoch": epoch})).status_code == status


@asynchronous
async def test_several_servers_in_one(tmp_path):
    first, second = Everything("First"), Everything("Second")
    async with running_server(first) as one, running_server(second) as other:
        names = (f"localhost:{one.port}", f"localhost:{other.port}")
        web = Web(Settings(tmp_path, servers=names), passwords=Passwords(1, 8))
        accounts(web)
        site = Site(web, build_app(web), one, first)
        await web.start()
        try:
            await soon(lambda: all(len(each.model) >= 10 for each in web.sites.values()))
            async with site.browser("user") as browser:
                assert "Second" not in (await browser.get("/")).text
                assert "Second" in (await browser.get("/", params={"s": names[1]})).text
                assert (await browser.get("/", params={"s": "nothing"})).status_code == 404
                answer = await browser.post(
                    "/set", params={"s": names[1]}, data={"d": "Second", "p": "NUM", "m.N": "4"}, headers=JSON
                )
                assert answer.json()["state"] == "ok"
                # What came of it is said beside no property of the other server, which has the same number.
                said = {"d": "First", "g": "G/1 &", "c": answer.json()["id"]}
                assert "t-ok" not in (await browser.get("/device", params=said)).text
                assert "t-ok" in (await browser.get("/device", params={**said, "s": names[1], "d": "Second"})).text
                whose = web.sessions.of("user")[0].id
                for name, count in zip(names, (0, 1), strict=True):
                    assert len(web.commands.since(0, name, whose)) == len(web.commands.lately(name, whose)) == count
                assert list((await browser.get("/api", params={"server": names[1]})).json()["devices"]) == ["Second"]
            assert (first.got, second.got) == ([], [("NUM", {"N": "4"})])
        finally:
            await web.aclose()


@asynchronous
async def test_a_tab_that_is_left_open_does_not_keep_a_login(tmp_path):
    async with website(tmp_path) as site, site.browser("user") as browser:
        (session,) = site.web.sessions.of("user")
        session.used -= 100
        before = session.used
        await browser.get("/alerts")
        await browser.get("/part", params={"ids": "1"}, headers={"x-refresh": "1"})
        await browser.get("/image", params={"auto": "1"})  # it follows a camera
        await browser.get("/image.png")
        await browser.get("/static/panel.css")
        assert session.used == before
        await browser.get("/")
        assert session.used > before


# Without colours


@asynchronous
async def test_states_are_told_apart_by_shape_or_word(tmp_path):
    async with website(tmp_path) as site, site.browser("admin") as browser:
        await browser.post("/pin", data={"d": AWKWARD, "p": "NUM"})
        await browser.post("/set", data={"d": AWKWARD, "p": "REFUSES", "m.R": "1"})
        found = set()
        for path in ("/", f"/device?{urlencode({'d': AWKWARD, 'g': 'G/1 &'})}", "/overview"):
            page = (await browser.get(path)).text
            for shown in re.finditer(r'class="[^"]*\bs-(\w+)"[^>]*>', page):
                assert MARKS[shown[1]] in page[shown.end() : shown.end() + 80], page[shown.start() : shown.end() + 80]
                found.add(shown[1])
            for tab in re.findall(r'<a [^>]*data-group="[^"]*".*?</a>', page):
                assert re.search(r"(Idle|Ok|Busy|Alert)</span></a>$", tab), tab  # for those who listen
        assert found == {"Ok", "Busy", "Alert"}
    assert len(set(MARKS.values())) == 4
    script = (STATIC / "panel.js").read_text(encoding="utf-8")
    assert re.search(r"MARKS = \{ (.*?) \};", script)[1] == ", ".join(f'{k}: "{v}"' for k, v in MARKS.items())


def test_the_lines_of_a_plot_are_told_apart_by_their_dashes():
    style = (STATIC / "panel.css").read_text(encoding="utf-8")
    lines = re.findall(r"\.l(\d) \{ stroke: var\(--l\1\);(?: stroke-dasharray: ([\d ]+);)? \}", style)
    assert [int(number) for number, _ in lines] == list(range(1, LINES + 1))
    assert len({dashes for _, dashes in lines}) == LINES


@asynchronous
async def test_the_legend_of_a_plot_shows_the_lines_as_they_are(tmp_path):
    async with website(tmp_path) as site, site.browser() as browser:
        keys = [json.dumps([AWKWARD, "NUM", "N"]), json.dumps([AWKWARD, "RO", "V"])]
        page = (await browser.get("/plot", params={"n": keys})).text
        for number in (1, 2):
            assert re.search(rf'<svg class="swatch".*?<path class="line l{number}"', page)


@asynchronous
async def test_what_happens_while_something_is_being_sent_does_not_wait_for_a_ping(tmp_path, monkeypatch):
    monkeypatch.setattr("indipyweb.events.PING", 3600.0)
    async with website(tmp_path) as site:
        web, found = site.web, site.web.first
        at_it, go, told = asyncio.Event(), asyncio.Event(), []

        async def send(message):
            told.append(message.get("body", b""))
            if b"7.25" in told[-1]:
                at_it.set()
                await go.wait()  # a slow link

        actor = Actor("user", Role.USER, "127.0.0.1")
        stream = EventStream(found, Filter(AWKWARD), None, web.commands, web.streams, actor, lambda: True)
        running = asyncio.create_task(stream({}, asyncio.Event().wait, send))
        number = site.driver.device["NUM"]
        number["N"] = 7.25
        await number.send_setVector()
        await asyncio.wait_for(at_it.wait(), 30)
        rev = found.rev
        number["N"] = 8.5
        await number.send_setVector()
        await soon(lambda: found.rev > rev)
        await asyncio.sleep(0.3)  # the site has woken its streams: that is what must not be forgotten
        go.set()
        async with asyncio.timeout(10):  # the client library, which asks after 20 s of silence, would wake them too
            await soon(lambda: any(b"8.5" in text for text in told))
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@asynchronous
async def test_what_happens_while_a_stream_begins_is_told(tmp_path):
    async with website(tmp_path) as site:
        web, found = site.web, site.web.first
        begun, go, told = asyncio.Event(), asyncio.Event(), []

        async def send(message):
            told.append(message.get("body", b""))
            if told[-1] and not begun.is_set():
                begun.set()
                await go.wait()  # a slow link

        actor = Actor("user", Role.USER, "127.0.0.1")
        stream = EventStream(found, Filter(AWKWARD), None, web.commands, web.streams, actor, lambda: True)
        running = asyncio.create_task(stream({}, asyncio.Event().wait, send))
        await asyncio.wait_for(begun.wait(), 30)
        await site.driver.device["NUM"].send_setVector(state="Alert")
        await soon(lambda: found.alerts)
        go.set()
        await soon(lambda: any(b"event: alerts" in text for text in told))
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
