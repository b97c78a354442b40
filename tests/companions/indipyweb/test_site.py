"""What a stream is told of a site: true ages, limits and groups, whenever it comes."""

import json
import os
import re
import signal
import socket
import sys

import httpx
import pytest

pytest.importorskip("starlette", reason="the web client needs the extra web")

import asyncio

from indipyweb.site import Filter
from tests.support import asynchronous

from .parts import AWKWARD, poll, soon, website
from .test_command import ENVIRONMENT

GROUP = "G/1 &"


@asynchronous
async def test_whoever_comes_later_is_told_the_age_of_now(tmp_path, monkeypatch):
    async with website(tmp_path) as site:
        one, vector, since = site.web.first, site.driver.device["NUM"], site.web.first.rev
        await vector.send_setVector(state="Ok")
        await soon(lambda: one.rev > since)
        loop = asyncio.get_running_loop()

        def age():
            (facts,) = json.loads(one.delta(Filter(AWKWARD), since)[1])["set"].values()
            return facts["age"]

        before, time = age(), loop.time
        monkeypatch.setattr(loop, "time", lambda: time() + 60)
        assert age() >= before + 59
        monkeypatch.undo()


@asynchronous
async def test_a_property_that_moves_leaves_its_group(tmp_path):
    async with website(tmp_path) as site:
        one, vector, since = site.web.first, site.driver.device["NUM"], site.web.first.rev
        vector.group = "Elsewhere"
        await vector.send_defVector()
        await soon(lambda: one.rev > since)

        def told(group):
            return json.loads(one.delta(Filter(AWKWARD, group), since)[1])

        assert told(GROUP)["del"] == [[AWKWARD, "NUM"]]
        assert not told(GROUP)["set"]
        assert "del" not in told("Elsewhere")
        assert len(told("Elsewhere")["set"]) == 1
        assert "del" not in told(None)


@asynchronous
async def test_a_page_that_comes_back_does_not_keep_what_was_deleted_beside_what_was_defined_again(tmp_path):
    """As when a telescope was disconnected and connected while the tablet was in a pocket."""
    async with website(tmp_path) as site:
        one, vector, key = site.web.first, site.driver.device["NUM"], (AWKWARD, "NUM")
        before, since = one.id_of(key), one.rev
        await vector.send_delProperty()
        await soon(lambda: one.rev == one.model.rev and one.model.get(*key) is None)
        middle = one.rev
        vector.enable = True
        await vector.send_defVector()
        await soon(lambda: one.rev == one.model.rev and one.model.get(*key) is not None)

        def told(rev):
            return json.loads(one.delta(Filter(AWKWARD), rev)[1])

        assert one.id_of(key) != before
        assert told(since)["del"] == [[AWKWARD, "NUM"]]
        assert str(one.id_of(key)) in told(since)["set"]
        assert "del" not in told(middle)


@asynchronous
async def test_an_alert_does_not_say_what_was_said_when_all_was_well(tmp_path):
    async with website(tmp_path) as site:
        one, vector = site.web.first, site.driver.device["NUM"]
        for message, text in ((None, ""), ("It is stuck", "It is stuck"), (None, "")):
            await vector.send_setVector(state="Ok", message="All is well")
            await soon(
                lambda: one.rev == one.model.rev and not any(alert.over is False for alert in one.alerts.values())
            )
            await vector.send_setVector(state="Alert", message=message)
            await soon(lambda: any(not alert.over for alert in one.alerts.values()))
            assert [alert["text"] for alert in one.alert_facts()] == [text]
        (facts,) = json.loads(one.delta(Filter(AWKWARD), one.rev - 1)[1])["set"].values()
        assert re.fullmatch(r"\d\d:\d\d:\d\d All is well", facts["msg"])


@asynchronous
async def test_limits_that_come_with_values_are_drawn(tmp_path):
    async with website(tmp_path) as site:
        one = site.web.first
        prop = one.model.get(AWKWARD, "NUM")
        before, member = one.shape(prop), prop["N"]
        assert one.shape(prop) == before
        object.__setattr__(prop, "members", {"N": member._replace(value="3")})
        assert one.shape(prop) == before
        object.__setattr__(prop, "members", {"N": member._replace(max="500")})
        assert one.shape(prop) != before


@asynchronous
async def test_the_page_of_messages_of_a_device_follows_that_one(tmp_path):
    async with website(tmp_path) as site, site.browser() as browser:
        assert 'data-device="A"' in (await browser.get("/messages?d=A")).text
        assert "<body" in (found := (await browser.get("/messages")).text)
        assert "data-device=" not in found.partition("<body")[2].partition(">")[0]


@asynchronous
async def test_uvicorn_ends_though_pages_are_open(tmp_path):
    (tmp_path / "served.py").write_text(f"import indipyweb\napp = indipyweb.make_app({str(tmp_path)!r})\n")
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    environment = {**ENVIRONMENT, "PYTHONPATH": os.pathsep.join([ENVIRONMENT["PYTHONPATH"], str(tmp_path)])}
    words = ("-m", "uvicorn", "served:app", "--port", str(port), "--log-level", "error")
    process = await asyncio.create_subprocess_exec(sys.executable, *words, env=environment)
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as browser:

            async def is_up():
                try:
                    return (await browser.get("/health")).status_code == 200
                except httpx.TransportError:
                    return False

            await poll(is_up)
            async with browser.stream("GET", "/events") as stream:
                lines = stream.aiter_lines()
                assert await anext(lines) == "retry: 2000"
                process.send_signal(signal.SIGTERM)
                said = [line async for line in lines]
        assert "event: bye" in said
        await asyncio.wait_for(process.wait(), 30)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
