"""The interface for programs: what there is, what has changed, commands, tokens, health and figures."""

import asyncio
import base64
import csv
import io
import json
import math
import time
from urllib.parse import quote

import pytest

pytest.importorskip("starlette", reason="the web client needs the extra web")

from indipyclient.model.history import Point
from indipydriver.protocol.messages import OneMember, SetVector
from indipydriver.protocol.tags import VectorKind
from indipyweb.histories import Histories
from indipyweb.security.limits import Buckets
from indipyweb.svgplot import nice_ticks, plot_of, points_since
from tests.support import asynchronous

from .parts import AWKWARD, Everything, poll, soon, website

DEVICE = quote(AWKWARD, safe="")


def script(site, *, writes=True, **more):
    token = site.web.users.new_token("user", "test", writes, 1)
    return site.browser(headers={"authorization": f"Bearer {token}"}, **more)


@asynchronous
async def test_what_there_is(tmp_path):
    async with website(tmp_path) as site, site.browser() as browser:
        whole = (await browser.get("/api")).json()
        assert whole["connected"] is True
        assert {"indihost", "indiport", "messages", "devices", "rev"} <= set(whole)
        device = (await browser.get(f"/api/{DEVICE}")).json()
        assert device["devicename"] == AWKWARD
        assert whole["devices"][AWKWARD] == device
        vector = (await browser.get(f"/api/{DEVICE}/NUM")).json()
        assert vector["members"]["N"]["floatvalue"] == 1
        assert (vector["vectortype"], vector["group"]) == ("NumberVector", "G/1 &")
        for path, what in ((f"/api/{DEVICE}/NUN", "NUM"), ("/api/Dev", AWKWARD), ("/api/a/b/c/d/e", None)):
            answer = await browser.get(path)
            assert answer.status_code == 404
            assert answer.json()["error"]
            if what:
                assert what in answer.json()["nearest"] or path == "/api/Dev"


@asynchronous
async def test_what_has_not_changed_is_not_sent_again(tmp_path):
    async with website(tmp_path) as site, site.browser() as browser:
        for path in ("/api", f"/api/{DEVICE}", f"/api/{DEVICE}/RO"):
            tag = (await browser.get(path)).headers["etag"]
            again = await browser.get(path, headers={"if-none-match": tag})
            assert (again.status_code, again.content) == (304, b"")
        site.driver.device["RO"]["V"] = 6
        await site.driver.device["RO"].send_setVector(state="Ok")
        await soon(lambda: site.web.first.model.get(AWKWARD, "RO")["V"].number == 6)
        assert (await browser.get(path, headers={"if-none-match": tag})).status_code == 200


@asynchronous
async def test_long_polling(tmp_path):
    async with website(tmp_path) as site, site.browser() as browser:
        rev = (await browser.get("/api")).json()["rev"]
        await soon(lambda: site.web.first.rev == site.web.first.model.rev)
        waiting = asyncio.create_task(browser.get("/api", params={"since": rev, "wait": "30"}, timeout=40))
        await soon(lambda: site.web.streams.total == 1)
        site.driver.device["RO"]["V"] = 7
        await site.driver.device["RO"].send_setVector(state="Ok")
        delta = (await waiting).json()
        assert site.web.streams.total == 0
        assert delta["reset"] is False
        assert delta["properties"][AWKWARD]["RO"]["members"]["V"]["value"] == "7"
        assert list(delta["properties"][AWKWARD]) == ["RO"]
        assert (await browser.get("/api", params={"since": "other.1"})).json()["reset"] is True
        assert (await browser.get("/api", params={"since": rev, "wait": "x"})).status_code == 400


@asynchronous
async def test_commands_and_what_came_of_them(tmp_path):
    async with website(tmp_path) as site, script(site) as browser:
        del browser.headers["origin"]  # as scripts are
        answer = await browser.post(f"/api/{DEVICE}/NUM", json={"members": {"N": 5.5}, "wait": 30})
        assert answer.status_code == 200, answer.text
        assert (answer.json()["result"], answer.json()["confirmed"]) == ("ok", True)
        assert site.driver.got[-1] == ("NUM", {"N": "5.5"})
        answer = await browser.post(f"/api/{DEVICE}/ANY", json={"members": {"A": True}, "wait": 30})
        assert answer.status_code == 200
        answer = await browser.post(f"/api/{DEVICE}/REFUSES", json={"members": {"R": 1}, "wait": 30})
        assert (answer.status_code, answer.json()["message"]) == (409, "no <way>")
        data = base64.b64encode(b"\0bytes").decode()
        answer = await browser.post(
            f"/api/{DEVICE}/UP", json={"members": {"X": {"data": data, "format": ".bin"}}, "wait": 30}
        )
        assert answer.status_code == 200, answer.text
        assert site.driver.got[-1] == ("UP", b"\0bytes", ".bin")
        answer = await browser.post(f"/api/{DEVICE}/NUM", json={"members": {"N": 2}, "wait": 0})
        assert answer.status_code in (200, 202)
        for body, status in (
            ({"members": {"N": 99}}, 422),
            ({"members": {"N": "x"}}, 422),
            ({"members": {"N": True}}, 422),
            ({"members": {"N": None}}, 422),
            ({"members": {"N": [1]}}, 422),
            ({"members": {"Q": 1}}, 404),
            ({"members": {}}, 400),
            ({"members": {"N": 1}, "wait": -1}, 400),
            ({"members": {"N": 1}, "wait": "x"}, 400),
            ([], 400),
            ("x", 400),
        ):
            answer = await browser.post(f"/api/{DEVICE}/NUM", json=body)
            assert answer.status_code == status, (body, answer.text)
            assert "error" in answer.json()
        limits = (await browser.post(f"/api/{DEVICE}/NUM", json={"members": {"N": 99}})).json()["limits"]
        assert limits == {"N": {"min": "0", "max": "10", "step": "0.5"}}
        for content in (b"{", b"[" * 100_000, b"1" * 5000, b"\xff"):
            answer = await browser.post(
                f"/api/{DEVICE}/NUM", content=content, headers={"content-type": "application/json"}
            )
            assert answer.status_code == 400
        answer = await browser.post(f"/api/{DEVICE}/NUM", data={"members": "x"})
        assert answer.status_code == 415
        assert (await browser.post(f"/api/{DEVICE}/RO", json={"members": {"V": 1}})).status_code == 403
        assert (await browser.post(f"/api/{DEVICE}/NONE", json={"members": {"V": 1}})).status_code == 404


@asynchronous
async def test_tokens_do_what_they_are_for(tmp_path):
    async with website(tmp_path) as site, script(site, writes=False) as reader, site.browser("user") as person:
        assert (await reader.get("/api")).status_code == 200
        assert (await reader.post(f"/api/{DEVICE}/NUM", json={"members": {"N": 1}})).status_code == 403
        page = (await person.post("/account/token", data={"label": "night <b>", "days": "2", "writes": "1"})).text
        token = page.partition('class="token">')[2].partition("<")[0]
        assert token.startswith("indi_")
        assert "night &lt;b&gt;" in page
        async with site.browser(headers={"authorization": f"Bearer {token}"}) as other:
            answer = await other.post(f"/api/{DEVICE}/NUM", json={"members": {"N": 1}, "wait": 30})
            assert answer.status_code == 200
            assert (await other.get("/account")).status_code == 303  # pages are for people
        id = site.web.users.of_token(token)[1].id
        assert (await person.post("/account/token/delete", data={"id": id})).status_code == 303
        async with site.browser(headers={"authorization": f"Bearer {token}"}) as other:
            assert (await other.get("/api")).status_code == 401
        # A wrong token is no guest.
        async with site.browser(headers={"authorization": "Bearer nonsense"}) as other:
            assert (await other.get("/api")).status_code == 401


@asynchronous
async def test_blobs_over_the_api(tmp_path):
    async with website(tmp_path) as site, script(site) as browser, site.browser() as guest:
        url = f"/api/{DEVICE}/IMAGE/I/blob"
        assert (await browser.get(url)).status_code == 404
        vector = site.driver.device["IMAGE"]

        async def come():
            vector["I"] = b"\0\1\2"
            await vector.send_setVectorMembers(members=["I"])
            await asyncio.sleep(0.1)
            return site.web.first.model.get(AWKWARD, "IMAGE")["I"].data

        await poll(come)
        answer = await browser.get(url)
        assert answer.content == b"\0\1\2"
        again = await browser.get(url, headers={"if-none-match": answer.headers["etag"]})
        assert again.status_code in (200, 304)
        assert (await guest.get(url)).status_code == 401


@asynchronous
async def test_too_many_requests(tmp_path):
    async with website(tmp_path) as site, site.browser() as browser:
        site.web.api_rate = Buckets(0.01, 10.0)  # however slow this machine is
        codes = [(await browser.get(f"/api/{DEVICE}/RO")).status_code for _ in range(20)]
        assert codes == [*[200] * 10, *[429] * 10]


@asynchronous
async def test_health_and_figures(tmp_path):
    async with website(tmp_path) as site, site.browser() as browser:
        health = (await browser.get("/health")).json()
        assert health["status"] == "ok"
        assert health["servers"][0]["up"] is True
        text = (await browser.get("/metrics")).text
        name = AWKWARD.replace('"', '\\"')
        assert f'device="{name}",property="NUM",member="N"}} 1.0' in text
        assert "indi_link_up{" in text
        for line in text.splitlines():
            assert line.startswith("#") or len(line.rpartition(" ")[2]) > 0
            assert line.isprintable()


# Plots


@asynchronous
async def test_numbers_are_plotted_and_exported(tmp_path):
    async with website(tmp_path) as site, site.browser() as browser:
        vector = site.driver.device["RO"]
        for value in (1, 9, 4):
            vector["V"] = value
            await vector.send_setVector(state="Ok")
            await soon(lambda: site.web.first.model.get(AWKWARD, "RO")["V"].number == value)
            await soon(lambda: site.web.first.rev == site.web.first.model.rev)
        names = [json.dumps([AWKWARD, "RO", "V"]), json.dumps([AWKWARD, "NUM", "N"]), "nonsense", "[1,2,3]", "[" * 5000]
        page = (await browser.get("/plot", params={"n": names})).text
        assert '<path class="line l1" d="M' in page
        assert "<td>4</td><td>1</td><td>9</td>" in page
        table = list(csv.reader(io.StringIO((await browser.get("/plot.csv", params={"n": names[:1]})).text)))
        assert table[0] == ["time", "device", "property", "member", "min", "max", "last"]
        assert table[-1][-1] == "4.0"
        assert max(float(row[5]) for row in table[1:]) == 9


def test_a_line_is_broken_where_nothing_is_known():
    points = [Point(float(n), n, n, n) for n in range(0, 600, 10)]
    whole = plot_of([("a", points, [])], 600.0, 600.0).lines[0].path
    broken = plot_of([("a", points, [(291.0, 299.0)])], 600.0, 600.0).lines[0].path
    assert whole.count("M") == 1
    assert broken.count("M") == 2
    assert plot_of([("a", [], [])], 1.0, 600.0).lines[0].path == ""
    huge = plot_of([("a", [Point(1.0, -1.7e308, 1.7e308, 0.0)], [])], 2.0, 600.0).lines[0].path
    assert "nan" not in huge
    assert "inf" not in huge


def test_a_number_that_does_not_change_is_drawn_and_exported():
    """Drivers send a number when it changes: one that has stood still for an hour has a value all the same."""
    line = plot_of([("a", [Point(0.0, 1.0, 7.0, 5.0)], [])], 3600.0, 600.0).lines[0]
    assert (line.path, line.count) == ("M0 120.0H600", 1)
    assert (line.low, line.high, line.last) == (5.0, 5.0, 5.0)  # the others were before
    points = points_since([Point(0.0, 1.0, 1.0, 1.0), Point(5.0, 2.0, 9.0, 2.0), Point(20.0, 3.0, 3.0, 3.0)], 10.0)
    assert points == [Point(5.0, 2.0, 2.0, 2.0), Point(20.0, 3.0, 3.0, 3.0)]


def test_a_number_is_drawn_until_the_link_is_lost_and_from_its_return():
    """The present gap has no end yet; and the time of a point is the beginning of its second."""
    lost = plot_of([("a", [Point(0.0, 5.0, 5.0, 5.0)], [(300.0, math.inf)])], 600.0, 600.0).lines[0].path
    assert lost == "M0 120.0H300"
    known = Histories()
    known.add_gap(300.2, 420.7)
    points = [Point(0.0, 5.0, 5.0, 5.0), Point(420.0, 5.0, 5.0, 5.0)]
    back = plot_of([("a", points, known.gaps_of(600))], 600.0, 600.0).lines[0].path
    assert back == "M0 120.0H300M420 120.0H600"
    assert known.gaps_of(3600) == [(300.2, 420.0)]


@asynchronous
async def test_a_number_that_becomes_none_is_drawn_no_further(tmp_path):
    """A sensor that fails sends NaN, and no value is as it was before."""
    async with website(tmp_path) as site, site.browser() as browser:
        vector, histories, now = site.driver.device["RO"], site.web.first.histories, time.monotonic()
        key = (AWKWARD, "RO", "V")
        await soon(lambda: histories.points(key, 600))
        engine = site.web.first.client._engine  # drivers of this project send none, and those of libindi do
        engine.message_received(SetVector(VectorKind.NUMBER, *key[:2], (OneMember("V", "nan"),)))
        engine.batch_received()
        await soon(lambda: [end for _, end in site.web.first.gaps(600, key)] == [math.inf])
        assert site.web.first.gaps(600) == site.web.first.gaps(600, (AWKWARD, "NUM", "N")) == []
        ends = [
            plot_of([("", histories.points(key, 600), site.web.first.gaps(600, key))], now + n, 600.0)
            for n in (300, 900)
        ]
        assert [bool(plot.lines[0].path) for plot in ends] == [True, False]
        assert not ends[0].lines[0].path.endswith("H600")
        vector["V"] = 7
        await vector.send_setVector(state="Ok")
        await soon(lambda: [end < math.inf for _, end in site.web.first.gaps(600, key)] == [True])
        assert (await browser.get("/plot", params={"n": json.dumps(key)})).status_code == 200


def test_scales_are_round():
    assert nice_ticks(0.0, 10.0) == [0, 2, 4, 6, 8, 10]
    assert nice_ticks(5.0, 5.0) == [5]
    assert nice_ticks(float("nan"), 1.0) == []


def test_histories_are_bounded(monkeypatch):
    monkeypatch.setattr("indipyweb.histories.MOST", 2)
    known = Histories()
    assert known.points(("a", "b", "c"), 600) == []
    for n in range(30):
        known.add_gap(n, n + 1)
    assert len(known.gaps) == 20


@asynchronous
async def test_a_file_goes_to_a_device_as_it_is(tmp_path, monkeypatch):
    async with website(tmp_path) as site, script(site) as browser:
        url = f"/api/{DEVICE}/UP/X/blob"
        data = bytes(range(256)) * 20_000  # 5 MB
        answer = await browser.post(url, content=data, params={"format": ".fits.z", "wait": "30"}, timeout=40)
        assert answer.status_code == 200, answer.text
        assert site.driver.got[-1] == ("UP", data, ".fits.z")
        assert (await browser.get(url)).content == data
        for path, params, content, status in (
            (url, {}, b"", 422),
            (url, {"wait": "x"}, b"x", 400),
            (url, {"wait": "nan"}, b"x", 400),
            (url, {"format": "x" * 33}, b"x", 422),
            (url, {"format": ".fits\n"}, b"x", 422),
            (f"/api/{DEVICE}/UP/Y/blob", {}, b"x", 404),
            (f"/api/{DEVICE}/IMAGE/I/blob", {}, b"x", 403),
            (f"/api/{DEVICE}/NUM/N/blob", {}, b"x", 422),
            (f"/api/{DEVICE}/NONE/N/blob", {}, b"x", 404),
            (f"/api/{DEVICE}/UP/X/other", {}, b"x", 404),
        ):
            answer = await browser.post(path, params=params, content=content)
            assert answer.status_code == status, (path, params, answer.text)
            assert "error" in answer.json()
        monkeypatch.setattr(site.web, "uploads", 4)
        assert (await browser.post(url, content=b"x")).status_code == 429
        async with script(site, writes=False) as reader:
            assert (await reader.post(url, content=b"x")).status_code == 403


@asynchronous
async def test_what_is_too_large_is_said_as_json(tmp_path):
    async with website(tmp_path) as site, script(site) as browser:
        large = {"content-length": str(2 << 20), "content-type": "application/json"}
        answer = await browser.post(f"/api/{DEVICE}/UP", content=b"{}", headers=large)
        assert answer.status_code == 413
        assert "/MEMBER/blob" in answer.json()["error"]
        huge = {"content-length": str(65 << 20)}
        assert (await browser.post(f"/api/{DEVICE}/UP/X/blob", content=b"x", headers=huge)).status_code == 413
        # What only looks like a BLOB is JSON.
        for path in (f"/api/{DEVICE}/UP%2FX%2Fblob", f"/api/{DEVICE}/blob", "/set/a/b/blob"):
            assert (await browser.post(path, content=b"x", headers=large)).status_code == 413


@asynchronous
async def test_halves_of_characters_are_refused_and_break_nothing(tmp_path):
    async with website(tmp_path) as site, script(site) as browser:
        for body in (
            b'{"members": {"\\ud800": 1}}',
            b'{"members": {"T": "\\ud800"}}',
            b'{"members": {"T": "\xed\xa0\x80"}}',
            b'{"members": {"X": {"data": "AA==", "format": "\\udfff"}}}',
        ):
            for name in ("TEXT", "UP", "NUM"):
                answer = await browser.post(
                    f"/api/{DEVICE}/{name}", content=body, headers={"content-type": "application/json"}
                )
                assert answer.status_code == 400, (body, name, answer.text)
        assert site.driver.got == []
        assert site.web.first.model.connected


@asynchronous
async def test_files_that_wait_take_so_much_memory_and_no_more(tmp_path, monkeypatch):
    monkeypatch.setattr("indipyweb.commands.BYTES", 1000)
    driver = Everything()
    driver.rxevent = lambda event: asyncio.sleep(0)  # it says nothing
    async with website(tmp_path, driver) as site, script(site) as browser:
        url = f"/api/{DEVICE}/UP/X/blob"
        assert (await browser.post(url, content=b"x" * 600, params={"wait": "0"})).status_code == 202
        assert (await browser.post(url, content=b"x" * 600, params={"wait": "0"})).status_code == 429
        assert (await browser.post(url, content=b"x" * 400, params={"wait": "0"})).status_code == 202
        await site.web.commands.aclose()
        assert (await browser.post(url, content=b"x" * 600, params={"wait": "0"})).status_code == 202


@asynchronous
async def test_an_ipv6_network_is_one_guest(tmp_path):
    async with website(tmp_path) as site:
        site.web.api_rate = Buckets(0.0, 5.0)
        codes = []
        for n in range(7):
            async with site.browser(address=f"2001:db8::{n:x}") as browser:
                codes.append((await browser.get("/api/nothing")).status_code)
        assert codes == [*[404] * 5, 429, 429]


@pytest.mark.parametrize(
    "values", [(0.0, 5e-324), (5e-324, 5e-324), (1e-322, 0.0), (-5e-324, 5e-324), (1e-310, 2e-310)]
)
def test_numbers_that_are_next_to_nothing_can_be_plotted(values):
    points = [Point(590.0 + n, value, value, value) for n, value in enumerate(values)]
    for same in (False, True):
        plot = plot_of([("a", points, []), ("b", points, [])], 600.0, 600.0, same=same)
        assert all(line.path for line in plot.lines)
    texts = [text for _, text in plot_of([("a", points, [])], 600.0, 600.0).ticks]
    assert len(set(texts)) == len(texts) > 2


def test_small_numbers_have_a_scale():
    assert nice_ticks(0.0, 4e-13) == [0.0, 1e-13, 2e-13, 3e-13, 4e-13]
    assert nice_ticks(0.1, 0.4) == [0.1, 0.2, 0.3, 0.4]
