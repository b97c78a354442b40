"""Chromium over a bad network and long nights: answers that come late or never, drivers that return, a phone that sleeps."""

import asyncio
import json
import re
import shutil
from urllib.parse import urlencode

import pytest

pytest.importorskip("starlette", reason="the web client needs the extra web")
pytest.importorskip("playwright", reason="browser tests need playwright")

from indipyweb.events import OF_BROWSER
from tests.support import asynchronous, require
from tests.support.fits import fits

from .parts import AWKWARD, FORM, Everything, poll, soon
from .test_browser import GROUP, desk, press, prop, said
from .test_browser_aim import HIDDEN

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]


@pytest.fixture(autouse=True)
def _chromium():
    require("chromium")
    assert shutil.which("chromium")


async def put(vector, state="Ok", **members):
    for name, value in members.items():
        vector[name] = value
    await vector.send_setVector(state=state)


async def holds(page, text):
    """Wait until the field of the text holds this."""
    field = prop(page, "Text").get_by_label("T", exact=True)

    async def is_there():
        return await field.input_value() == text

    await poll(is_there)


@asynchronous
async def test_what_is_typed_while_a_command_is_answered_stays(tmp_path):
    async with desk(tmp_path) as here:
        page, device = await here.page("user"), here.site.driver.device
        await here.device(page)
        answer, asked = asyncio.Event(), asyncio.Event()

        async def late(route):
            asked.set()
            await answer.wait()
            await route.continue_()

        await page.route("**/set?*", late)
        field = prop(page, "Num <b>").get_by_role("textbox", name="x 10")
        await field.fill("2")
        await field.press("Enter")
        await asyncio.wait_for(asked.wait(), 30)
        await field.fill("1")  # the next value, of which not all is there yet
        answer.set()
        await said(page, "Num <b>", "Done.")
        await field.press_sequentially("0")
        assert await field.input_value() == "10"
        assert here.site.driver.got == [("NUM", {"N": "2"})]
        text = prop(page, "Text").get_by_label("T", exact=True)
        answer.clear()
        asked.clear()
        await text.fill("one")
        await text.press("Enter")
        await asyncio.wait_for(asked.wait(), 30)
        await text.press_sequentially(" two")
        answer.set()
        await said(page, "Text", "Done.")
        await put(device["TEXT"], T="of the device")
        await put(device["NUM"], N=3)
        await prop(page, "Num <b>").locator("output", has_text="3.0").wait_for()
        assert await text.input_value() == "one two"
        # Where nothing is typed, there is the present value, and not one of before that would be sent.
        await text.fill("of the device")
        await text.focus()
        await put(device["TEXT"], T="later")
        await holds(page, "later")
        await text.press("Enter")
        await soon(lambda: here.site.driver.got[-1] == ("TEXT", {"T": "later"}))


@asynchronous
async def test_a_tablet_that_cannot_be_updated_will_do(tmp_path):
    """Before 2023 browsers did not put the button into the data of a form, and before 2022 some did not name it."""
    async with desk(tmp_path) as here:
        page = await here.page("user")
        await page.add_init_script(
            "delete SubmitEvent.prototype.submitter; delete AbortSignal.timeout;"
            "const Data = FormData; window.FormData = function (form) { return new Data(form); };"
            "performance.getEntriesByType = () => []; delete Element.prototype.replaceChildren;"
        )
        await here.device(page)
        await press(page, "Any", "C")
        await said(page, "Any", "Done.")
        field = prop(page, "Num <b>").get_by_role("textbox", name="x 10")
        await field.fill("2")
        await field.press("Enter")
        await said(page, "Num <b>", "Done.")
        await prop(page, "Any").get_by_role("button", name="Any on the overview").click()
        await prop(page, "Any").get_by_role("button", name="Any on the overview", pressed=True).wait_for()
        assert [dict(members) for _, members in here.site.driver.got] == [{"C": "On"}, {"N": "2"}]
        await here.site.driver.device["LIGHT"].send_setVector(state="Alert", message="Rain")
        await page.locator("#alerts").get_by_text("Rain").wait_for()
        await page.goto(f"{here.url}/plot?{urlencode({'n': json.dumps([AWKWARD, 'NUM', 'N'])})}")
        await page.locator("#plot").evaluate("plot => { plot.firstElementChild.id = 'old'; }")
        await page.locator("#old").wait_for(state="detached")
        assert await page.locator("#link").text_content() == "connected"
        assert here.errors == []


@asynchronous
async def test_a_double_click_sends_one_command(tmp_path):
    async with desk(tmp_path) as here:
        page = await here.page("user")
        await here.device(page)
        answer, asked = asyncio.Event(), []

        async def late(route):
            asked.append(route.request.post_data)
            await answer.wait()
            await route.continue_()

        await page.route("**/set?*", late)
        box = prop(page, "Num <b>")
        field = box.get_by_role("textbox", name="x 10")
        await field.fill("2")
        await box.get_by_role("button", name="Set").dblclick()
        await field.fill("3")  # something else is a command of its own
        await field.press("Enter")
        await field.press("Enter")
        answer.set()
        await soon(lambda: len(here.site.driver.got) == 2)
        await said(page, "Num <b>", "Done.")
        await poll(lambda: field.evaluate("field => !field.value"))
        await field.fill("3")
        await field.press("Enter")
        await soon(lambda: len(here.site.driver.got) == 3)
        assert [members["N"] for _, members in here.site.driver.got] == ["2", "3", "3"]
        assert len(asked) == 3


@asynchronous
async def test_a_double_click_that_is_answered_at_once_and_a_key_that_is_held_send_one_command(tmp_path):
    """It said that nothing was sent, and a second one was.  Remote desktops repeat a key that is let go of late."""
    async with desk(tmp_path) as here:
        page, got = await here.page("user"), here.site.driver.got
        await here.device(page)
        await page.evaluate("performance.now = () => 1e6; Date.now = () => 1e12")  # all of it is within a moment
        box = prop(page, "Num <b>")
        await box.get_by_role("textbox", name="x 10").fill("2")
        for _ in range(2):
            await box.get_by_role("button", name="Set").click()
            await said(page, "Num <b>", "Done.")
        await box.get_by_role("textbox", name="x 10").fill("3")
        await page.keyboard.press("Enter")
        await soon(lambda: len(got) == 2)
        await prop(page, "Text").get_by_label("T", exact=True).fill("one")
        for _ in range(5):
            await page.keyboard.down("Enter")  # again while it is down: it repeats
            await said(page, "Text", "Done.")
        await page.keyboard.up("Enter")
        await prop(page, "Any").get_by_role("button", name="A", exact=True).focus()
        for _ in range(5):
            await page.keyboard.down("Enter")
            await said(page, "Any", "Done.")
        await page.keyboard.up("Enter")
        await prop(page, "Any").get_by_role("button", name="C", exact=True).focus()
        await page.keyboard.press("Enter")
        await soon(lambda: got[-1] == ("ANY", {"C": "On"}))
        assert [dict(members) for _, members in got] == [{"N": "2"}, {"N": "3"}, {"T": "one"}, {"A": "On"}, {"C": "On"}]
        await here.device(page, "Other")
        for name in ("a.txt", "b.txt"):
            upload = {"name": name, "mimeType": "text/plain", "buffer": name.encode()}
            await prop(page, "Upload").locator("input[type=file]").set_input_files(upload)
            await prop(page, "Upload").get_by_role("button", name="Send").focus()
            for _ in range(2):
                await page.keyboard.press("Enter")
            await soon(lambda name=name: got[-1][1] == name.encode())
            await said(page, "Upload", "Done.")
        assert [each[1] for each in got[5:]] == [b"a.txt", b"b.txt"]


@asynchronous
async def test_who_presses_again_after_a_moment_is_not_ignored(tmp_path):
    async with desk(tmp_path) as here:
        page, sent = await here.page("user"), []
        await here.device(page)

        async def lose_the_first(route):
            sent.append(route)
            if len(sent) > 1:
                await route.continue_()

        await page.route("**/set?*", lose_the_first)
        await press(page, "Any", "C")
        await page.wait_for_timeout(800)
        await press(page, "Any", "C")
        await said(page, "Any", "Done.")
        assert [dict(members) for _, members in here.site.driver.got] == [{"C": "On"}]
        await sent[0].abort()
        await page.evaluate("fetch('/health').then((answer) => answer.status)")
        assert "Done" in await prop(page, "Any").locator(".told").text_content()


@asynchronous
async def test_off_that_overtakes_on_is_the_last_word(tmp_path):
    async with desk(tmp_path) as here:
        page = await here.page("user")
        await here.device(page)
        go, passed = asyncio.Event(), []

        async def weak(route):
            if "press=A" in route.request.post_data:
                await go.wait()
            await route.continue_()
            passed.append(route.request.post_data)

        await page.route("**/set?*", weak)
        await press(page, "Any", "A")
        await press(page, "Any", "C")
        await said(page, "Any", "Done.")
        go.set()
        await said(page, "Any", "Not sent: a later command has come before it.")
        assert [dict(members) for _, members in here.site.driver.got] == [{"C": "On"}]
        await press(page, "Any", "B <i>")
        await said(page, "Any", "Done.")
        assert len(passed) == 3
        # The pages of a tab follow each other.
        go.clear()
        await press(page, "Any", "A")
        await page.reload()
        await page.wait_for_timeout(350)
        await press(page, "Any", "C")
        await said(page, "Any", "Done.")
        go.set()
        await soon(lambda: len(passed) == 5)
        assert [dict(members) for _, members in here.site.driver.got[2:]] == [{"C": "Off"}]
        # Nor is one carried out twice that a browser has sent again.
        for data, told in ((passed[2], "a later command has come"), (passed[3], "it has come already")):
            answer = await page.request.post(f"{here.url}/set", data=data, headers=FORM | {"origin": here.url})
            assert answer.status == 409
            assert told in await answer.text()
        assert len(here.site.driver.got) == 3


@asynchronous
async def test_a_command_that_a_bad_link_delivers_late_is_not_sent(tmp_path, monkeypatch):
    async with desk(tmp_path) as here:
        page, late = await here.page("user"), 0.0
        await here.device(page)

        async def deliver(route):
            await asyncio.sleep(late)
            await route.continue_()

        await page.route("**/set?*", deliver)
        field = prop(page, "Num <b>").get_by_role("textbox", name="x 10")
        await page.locator("#link", has_text=re.compile("^connected$")).wait_for()
        await soon(lambda: here.site.web.streams.total == 1)
        await field.fill("2")
        await field.press("Enter")
        await said(page, "Num <b>", "Done.")
        monkeypatch.setattr("indipyweb.visit.TOO_LATE", 0.5)
        late = 1.0
        await field.fill("3")
        await field.press("Enter")
        await said(
            page, "Num <b>", "Not sent: it was on its way for 1 s. Look at the present values, and send it again."
        )
        assert await field.input_value() == "3"
        assert here.site.driver.got == [("NUM", {"N": "2"})]


@asynchronous
async def test_a_proxy_that_answers_for_a_lost_web_server_is_not_taken_for_it(tmp_path):
    async with desk(tmp_path) as here:
        page = await here.page("user")
        await page.clock.install()
        await page.route(re.compile("/events"), lambda route: route.fulfill(status=502, body="bad gateway"))
        await here.device(page)
        async with page.expect_response(re.compile("/events")):
            await page.clock.run_for(5000)
        await page.locator("#link", has_text="web server out of reach").wait_for()
        assert await prop(page, "Num <b>").get_by_role("button", name="Set").is_disabled()
        await page.unroute(re.compile("/events"))
        await page.clock.run_for(5000)
        await page.locator("#link", has_text=re.compile("^connected$")).wait_for()
        assert await prop(page, "Num <b>").get_by_role("button", name="Set").is_enabled()


@asynchronous
async def test_parts_that_come_late_are_not_taken_for_the_present(tmp_path):
    async with desk(tmp_path) as here:
        page, device = await here.page("user"), here.site.driver.device
        await here.device(page)
        number, asked, answer, answered = device["NUM"], asyncio.Queue(), asyncio.Queue(), asyncio.Queue()

        async def late(route):
            response = await route.fetch()
            asked.put_nowait(None)
            await answer.get()
            await route.fulfill(response=response)
            answered.put_nowait(None)

        async def again():
            number.enable = True
            await number.send_defVector()
            async with asyncio.timeout(30):
                await asked.get()

        await page.route(re.compile("/part"), late)
        await number.send_delProperty()
        await prop(page, "Num <b>").wait_for(state="detached")
        await again()
        await put(number, "Alert", N=7)
        await page.get_by_role("region", name="Alerts").wait_for()
        assert asked.empty()  # one after another, as a later answer could come first
        answer.put_nowait(None)
        await prop(page, "Num <b>").locator("output", has_text="7.0").wait_for()
        assert await prop(page, "Num <b>").locator("header .word").text_content() == "Alert"
        # One that is deleted while it is on its way does not come.
        await number.send_delProperty()
        await prop(page, "Num <b>").wait_for(state="detached")
        while not asked.empty():
            asked.get_nowait()
        await again()
        await number.send_delProperty()
        await soon(lambda: here.site.web.first.model.get(AWKWARD, "NUM") is None)
        await put(device["TEXT"], T="the stream has said it")
        await holds(page, "the stream has said it")
        while not answered.empty():
            answered.get_nowait()
        answer.put_nowait(None)
        await asyncio.wait_for(answered.get(), 30)
        await put(device["TEXT"], T="and more")
        await holds(page, "and more")
        assert await prop(page, "Num <b>").count() == 0


@asynchronous
async def test_the_page_of_a_device_comes_back_when_its_driver_does(tmp_path):
    async with desk(tmp_path) as here:
        page, device = await here.page("user"), here.site.driver.device
        await page.clock.install()
        await here.device(page)
        await device.send_delProperty()
        await page.locator("h1 .conn", has_text="is gone").wait_for()
        await page.evaluate(HIDDEN, True)
        await page.clock.run_for(6000)
        here.site.web.first.model.epoch = "another"  # as after a restart of the web server
        await page.evaluate(HIDDEN, False)
        await page.locator("#link", has_text="waiting for the device").wait_for()
        device.enable = True
        for vector in device.values():
            vector.enable = True
            await vector.send_defVector()
        await soon(lambda: len(here.site.web.first.model) >= 10)
        await page.clock.run_for(4000)
        await prop(page, "Num <b>").or_(page.locator("h1 .conn", has_text="connected")).first.wait_for()
        await page.goto(f"{here.url}/device?{urlencode({'d': AWKWARD, 'g': GROUP})}")
        await prop(page, "Num <b>").wait_for()


@asynchronous
async def test_the_page_of_an_image_follows_it_into_another_group(tmp_path):
    async with desk(tmp_path) as here:
        page, image, model = await here.page("user"), here.site.driver.device["IMAGE"], here.site.web.first.model
        await page.goto(f"{here.url}/image?" + urlencode({"d": AWKWARD, "p": "IMAGE", "m": "I"}))
        await soon(lambda: here.site.web.streams.total == 1)
        image.group = "Moved"
        await image.send_defVector()
        await soon(lambda: model.get(AWKWARD, "IMAGE").group == "Moved")
        await soon(lambda: here.site.web.first.rev == model.rev)
        assert await page.locator("#newer").is_hidden()
        for _ in range(20):  # until the server knows that BLOBs are wanted
            image["I"] = b"new"
            await image.send_setVectorMembers(members=["I"])
            await asyncio.sleep(0.1)
        await page.locator("#newer").wait_for()
        assert here.errors == []


@asynchronous
async def test_all_alerts_are_shown_also_beside_an_image_and_ages_go_on_in_sleep(tmp_path):
    async with desk(tmp_path) as here:
        page, device = await here.page("user"), here.site.driver.device
        await page.add_init_script("window.slept = 0; const now = Date.now.bind(Date); Date.now = () => now() + slept;")
        await here.device(page)
        await prop(page, "Num <b>").locator(".age", has_text="ago").wait_for()
        await page.evaluate("window.slept = 3600e3")  # while performance.now() stands still
        await prop(page, "Num <b>").locator(".age", has_text="1 h ago").wait_for()
        await page.goto(f"{here.url}/image?" + urlencode({"d": AWKWARD, "p": "IMAGE", "m": "I"}))
        for vector in device.values():
            await vector.send_setVector(state="Alert") if vector.vectortype != "BLOBVector" else None
        await page.locator("#alerts li").nth(7).wait_for()
        await page.goto(f"{here.url}/")
        assert await page.locator("#alerts li").count() == 8


async def send_image(here, width):
    device, model = here.site.driver.device, here.site.web.first.model
    device["IMAGE"]["I"] = fits(width, 30)
    await device["IMAGE"].send_setVectorMembers(state="Ok", members=["I"])
    await soon(lambda: model.get(AWKWARD, "IMAGE").members["I"].data)


@asynchronous
async def test_the_page_of_an_image_follows_a_driver_that_is_restarted_and_a_server_that_is_busy(tmp_path):
    async with desk(tmp_path) as here:
        page, device, model = await here.page("user"), here.site.driver.device, here.site.web.first.model
        await send_image(here, 40)
        await page.goto(f"{here.url}/image?" + urlencode({"d": AWKWARD, "p": "IMAGE", "m": "I"}))
        await page.locator(".facts", has_text=re.compile("40 . 30")).wait_for()
        await device.send_delProperty()
        await soon(lambda: model.get(AWKWARD, "IMAGE") is None)
        device.enable = True
        for vector in device.values():
            vector.enable = True
            await vector.send_defVector()
        await soon(lambda: model.get(AWKWARD, "IMAGE"))
        assert not await page.locator("#newer").is_visible()  # there is none so far
        await send_image(here, 50)
        await page.locator("#newer").wait_for()
        await page.evaluate("sessionStorage.setItem('indipyweb-follow', '1')")
        await page.reload()
        await page.locator(".facts", has_text=re.compile("50 . 30")).wait_for()
        await page.locator("#newer", has_text="as they come").wait_for()
        refused = asyncio.Event()

        async def once(route):
            if "auto=1" in route.request.url and not refused.is_set():
                refused.set()
                await route.fulfill(status=503, body="busy")
            else:
                await route.continue_()

        await page.route(re.compile("/image[?]"), once)
        await send_image(here, 60)
        await page.locator(".facts", has_text=re.compile("60 . 30")).wait_for()
        assert refused.is_set()


@asynchronous
async def test_a_plot_without_answers_says_so_and_asks_once_at_a_time(tmp_path):
    async with desk(tmp_path) as here:
        page = await here.page("user")
        await page.clock.install()
        await page.goto(f"{here.url}/plot?" + urlencode({"n": json.dumps([AWKWARD, "RO", "V"])}))
        await page.locator("#link", has_text=re.compile("^connected$")).wait_for()
        await page.evaluate("AbortSignal.timeout = () => (window.late = new AbortController()).signal")
        asked = []

        async def never(route):
            asked.append(route)

        await page.route(re.compile("/plot[?]"), never)
        await page.clock.run_for(30_000)
        await soon(lambda: asked)
        assert len(asked) == 1
        await page.evaluate("late.abort()")
        await page.locator("#link", has_text="web server out of reach").wait_for()
        await page.unroute(re.compile("/plot[?]"))
        await page.clock.run_for(6000)
        await page.locator("#link", has_text=re.compile("^connected$")).wait_for()


@asynchronous
async def test_what_a_hidden_tab_has_asked_for_hides_no_alert_and_a_login_that_is_over_is_said(tmp_path):
    async with desk(tmp_path) as here:
        page, device, web = await here.page("user"), here.site.driver.device, here.site.web
        await page.clock.install()
        await here.device(page)
        answer, asked, answered = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def late(route):
            response = await route.fetch()
            asked.set()
            await answer.wait()
            await route.fulfill(response=response)
            answered.set()

        await page.route(re.compile("/alerts"), late)
        await page.evaluate(HIDDEN, True)
        await page.clock.run_for(6000)
        await page.clock.run_for(15_000)
        await asyncio.wait_for(asked.wait(), 30)
        await page.evaluate(HIDDEN, False)
        await put(device["NUM"], "Alert", N=7)
        await page.locator("#alerts li").wait_for()
        answer.set()
        await asyncio.wait_for(answered.wait(), 30)
        await put(device["TEXT"], T="and more")
        await holds(page, "and more")
        assert await page.locator("#alerts li").count() == 1
        await page.unroute(re.compile("/alerts"))
        web.options.set_flag("guests", False)
        await page.evaluate(HIDDEN, True)
        await page.clock.run_for(6000)
        await soon(lambda: web.streams.total == 0)
        web.sessions.end("user")
        await page.evaluate(HIDDEN, False)
        await page.get_by_label("Password", exact=True).wait_for()  # and not a web server out of reach


@asynchronous
async def test_streams_that_a_tab_has_lost_do_not_keep_it_from_a_new_one(tmp_path):
    async with desk(tmp_path) as here:
        page, web = await here.page("user"), here.site.web
        await page.goto("about:blank")
        cookies = "; ".join(f"{one['name']}={one['value']}" for one in await page.context.cookies())
        begun = []
        for _ in range(12):  # a phone that goes in and out of the Wi-Fi: nobody has told the server
            reader, writer = await asyncio.open_connection("127.0.0.1", here.port)
            begun.append((reader, writer))
            head = f"GET /events?tab=one HTTP/1.1\r\nHost: localhost:{here.port}\r\nCookie: {cookies}\r\n\r\n"
            writer.write(head.encode())
            assert b" 200 " in await asyncio.wait_for(reader.readline(), 30)
        for reader, _ in begun[:-1]:
            await asyncio.wait_for(reader.readuntil(b"\r\n0\r\n\r\n"), 30)  # they have ended
        assert web.streams.total == 1
        for _, writer in begun:
            writer.close()
        await soon(lambda: web.streams.total == 0)
        await here.device(page)
        await soon(lambda: web.streams.total == 1)
        async with page.expect_request(re.compile("/events")) as first:
            await page.reload()
        async with page.expect_request(re.compile("/events")) as second:
            await page.evaluate("dispatchEvent(new Event('pagehide')); dispatchEvent(new Event('pageshow'))")
        tabs = [re.search("tab=[a-z0-9]{6,}", (await one.value).url).group() for one in (first, second)]
        assert tabs[0] == tabs[1]


@asynchronous
async def test_a_property_that_moves_while_its_part_is_waited_for_is_not_drawn(tmp_path):
    async with desk(tmp_path) as here:
        page, device = await here.page("user"), here.site.driver.device
        await here.device(page)
        asked, answer = asyncio.Event(), asyncio.Event()

        async def late(route):
            asked.set()
            await answer.wait()
            await route.continue_()

        await page.route(re.compile("/part"), late)
        device["TEXT"].label = "Text 2"
        await device["TEXT"].send_defVector()
        await asyncio.wait_for(asked.wait(), 30)
        device["NUM"].label = "Num 2"
        await device["NUM"].send_defVector()
        await put(device["LIGHT"], L="Alert")  # of which the page tells that it knows the label
        await prop(page, "Light").locator(".row .word", has_text="Alert").wait_for()
        device["NUM"].group = "Other"
        await device["NUM"].send_defVector()
        await prop(page, "Num <b>").wait_for(state="detached")
        answer.set()
        await prop(page, "Text 2").wait_for()
        await put(device["LIGHT"], L="Ok")
        await prop(page, "Light").locator(".row .word", has_text="Ok").wait_for()
        device["ANY"].label = "Any 2"
        await device["ANY"].send_defVector()
        await prop(page, "Any 2").wait_for()  # nothing is waited for any more
        assert await prop(page, "Num 2").count() == 0


@asynchronous
async def test_a_part_that_comes_late_hides_nothing_that_the_stream_has_said(tmp_path):
    async with desk(tmp_path) as here:
        page, device = await here.page("user"), here.site.driver.device
        await here.device(page)
        number, asked, answer = device["NUM"], asyncio.Queue(), asyncio.Queue()

        async def late(route):
            response = await route.fetch()
            asked.put_nowait(None)
            await answer.get()
            await route.fulfill(response=response)

        async def labelled(text):
            number.label = text
            await number.send_defVector()

        await page.route(re.compile("/part"), late)
        # It changes, and back again, while the change is on its way.
        await labelled("Num 2")
        await asyncio.wait_for(asked.get(), 30)
        await labelled("Num <b>")
        await put(number, "Busy", N=9)
        await prop(page, "Num <b>").locator("output", has_text="9.0").wait_for()
        node = await prop(page, "Num <b>").element_handle()
        answer.put_nowait(None)
        await node.wait_for_element_state("hidden")  # another one has come in its place
        answer.put_nowait(None)
        await prop(page, "Num <b>").locator("output", has_text="9.0").wait_for(timeout=10_000)
        assert await prop(page, "Num <b>").locator("header .word").text_content() == "Busy"
        # A value that comes after the part was drawn.
        await asyncio.wait_for(asked.get(), 30)
        await labelled("Num 3")
        await asyncio.wait_for(asked.get(), 30)
        await put(number, "Ok", N=7)
        await put(device["TEXT"], T="the stream has said it")
        await holds(page, "the stream has said it")
        answer.put_nowait(None)
        await prop(page, "Num 3").locator("output", has_text="7.0").wait_for()
        assert await prop(page, "Num 3").locator("header .word").text_content() == "Ok"


class _Keeps(Everything):
    """It accepts texts, and keeps the old ones."""

    async def rxevent(self, event):
        if event.vectorname == "TEXT":
            await event.vector.send_setVector(state="Ok")
        else:
            await super().rxevent(event)


@asynchronous
async def test_a_text_that_the_device_did_not_take_is_not_shown_as_its_value(tmp_path):
    async with desk(tmp_path, _Keeps()) as here:
        page, device = await here.page("user"), here.site.driver.device
        await here.device(page)
        text = prop(page, "Text").get_by_label("T", exact=True)
        before, asked, answer = await text.input_value(), asyncio.Event(), asyncio.Event()

        async def late(route):
            response = await route.fetch()
            asked.set()
            await answer.wait()
            await route.fulfill(response=response)

        await page.route(re.compile("/set"), late)
        await text.fill("typed")
        await press(page, "Text", "Set")
        await asyncio.wait_for(asked.wait(), 30)
        await put(device["NUM"], N=4)
        await prop(page, "Num <b>").locator("output", has_text="4.0").wait_for()  # the stream has said the outcome
        answer.set()
        await said(page, "Text", "Accepted; it shows another value.")
        assert await text.input_value() == before


@asynchronous
async def test_tabs_behind_the_one_in_front_leave_it_its_connections(tmp_path):
    """A browser has six to one web server, and waits for one that is free without a word."""
    async with desk(tmp_path) as here:
        front = await here.page("user")
        await here.device(front)
        await soon(lambda: here.site.web.streams.total == 1)
        behind = [await front.context.new_page() for _ in range(7)]
        for page in behind:
            await page.add_init_script(f"({HIDDEN})(true)")
            await page.goto(front.url)
            await page.get_by_role("heading", name=AWKWARD).wait_for()
        assert here.site.web.streams.total == 1
        await behind[-1].evaluate(HIDDEN, False)
        await soon(lambda: here.site.web.streams.total == 2)
        await press(front, "Any", "A")
        await said(front, "Any", "Done.")
        await prop(behind[-1], "Any").get_by_role("button", name="A", exact=True, pressed=True).wait_for()


@asynchronous
async def test_a_window_too_many_says_so_and_the_others_go_on(tmp_path):
    async with desk(tmp_path) as here:
        front = await here.page("user")
        await here.device(front)
        others = [await front.context.new_page() for _ in range(6)]
        for page in others:
            await page.goto(front.url)
            await page.get_by_role("heading", name=AWKWARD).wait_for()
        await others[-1].locator("#lost", has_text="Too many pages are open at the same time").wait_for()
        assert here.site.web.streams.total == OF_BROWSER
        await press(front, "Any", "A")
        await said(front, "Any", "Done.")
        for page in others[:3]:
            await page.close()
        await others[-1].locator("#link", has_text=re.compile("^connected$")).wait_for()
