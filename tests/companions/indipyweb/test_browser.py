"""Chromium over the whole: log in, set each kind, send a file, look at an image, two people, a lost server, a phone."""

import asyncio
import contextlib
import json
import re
import shutil
from pathlib import Path
from urllib.parse import urlencode

import pytest

pytest.importorskip("starlette", reason="the web client needs the extra web")
pytest.importorskip("playwright", reason="browser tests need playwright")

import uvicorn
from playwright.async_api import async_playwright

from indipyweb.store.keeping import Pin
from tests.support import asynchronous, require
from tests.support.fits import fits

from .parts import AWKWARD, PASSWORD, soon, website

CHROMIUM = shutil.which("chromium")
pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]
GROUP = "G/1 &"
CONTRAST = """
() => {
  const parse = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const part = (c) => { c /= 255; return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; };
  const light = ([r, g, b]) => 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  const found = [];
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    const box = node.getBoundingClientRect();
    if (!own || !box.width || !box.height || node.closest(".unseen, .skip, :disabled")) continue;
    const style = getComputedStyle(node);
    let behind = node, back = [0, 0, 0, 0];
    while (behind && !(back[3] === undefined || back[3] > 0)) {
      back = parse(getComputedStyle(behind).backgroundColor); behind = behind.parentElement;
    }
    const a = light(parse(style.color)), b = light(back);
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.6 && style.fontWeight >= 700);
    if (ratio < (large ? 3 : 4.5)) found.push(node.className + " " + node.textContent.trim().slice(0, 20) + " " + ratio.toFixed(2));
  }
  return found;
}
"""
UNLABELLED = """
() => [...document.querySelectorAll("input:not([type=hidden]), select, button, a, img, svg[role]")].filter((node) => {
  const by = (node.getAttribute("aria-labelledby") || "").split(" ").map((id) => document.getElementById(id)).filter(Boolean);
  const label = node.labels && node.labels.length ? node.labels[0].textContent : "";
  const name = node.getAttribute("aria-label") || by.map((n) => n.textContent).join("") || label || node.textContent;
  return !(name.trim() || node.hasAttribute("alt"));
}).map((node) => node.outerHTML.slice(0, 120))
"""


@pytest.fixture(autouse=True)
def _chromium():
    require("chromium")


class Desk:
    """A web server with a port, and browsers in front of it."""

    def __init__(self, site, port, chromium):
        self.site, self.port, self.chromium = site, port, chromium
        self.errors = []

    async def page(self, name="", *, width=1280, height=850, host="localhost"):
        context = await self.chromium.new_context(viewport={"width": width, "height": height}, accept_downloads=True)
        page = await context.new_page()
        page.set_default_timeout(30_000)
        page.on("console", lambda said: self.errors.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.url = f"http://{host}:{self.port}"
        if name:
            await page.goto(f"{self.url}/login")
            await page.get_by_label("Name", exact=True).fill(name)
            await page.get_by_label("Password", exact=True).fill(PASSWORD)
            await page.get_by_role("button", name="Log in", exact=True).click()
            await page.get_by_role("button", name="Log out").wait_for()
        return page

    async def device(self, page, group=GROUP):
        await page.goto(f"{self.url}/")
        await page.get_by_role("main").get_by_role("link", name=AWKWARD, exact=True).click()
        await page.get_by_role("navigation", name="Groups").get_by_role("link", name=group).click()
        await page.get_by_role("heading", name=AWKWARD).wait_for()


@contextlib.asynccontextmanager
async def desk(folder, *drivers, **settings):
    async with website(folder, *drivers, **settings) as site:
        config = uvicorn.Config(site.app, host="0.0.0.0", port=0, log_level="error", lifespan="off", ws="none")
        server = uvicorn.Server(config)
        running = asyncio.create_task(server._serve())
        await soon(lambda: server.started)
        port = server.servers[0].sockets[0].getsockname()[1]
        async with async_playwright() as playwright:
            chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            try:
                yield Desk(site, port, chromium)
            finally:
                await chromium.close()
                site.web.close_streams()
                server.should_exit = True
                async with asyncio.timeout(30):
                    await running


def prop(page, label):
    return page.locator(".prop").filter(has=page.get_by_role("heading", name=label, exact=True))


async def press(page, label, name):
    """Press a button, and again if the page says that it has just changed: after the command before."""
    button = prop(page, label).get_by_role("button", name=name, exact=True)
    await button.click()
    told = await prop(page, label).locator(".told").text_content()
    if "that has just changed" in told:
        await page.wait_for_timeout(350)
        await button.click()


async def said(page, label, text):
    await prop(page, label).locator(".told", has_text=text).wait_for()


@asynchronous
async def test_each_kind_is_set_on_a_desktop(tmp_path):
    async with desk(tmp_path) as here:
        page, got = await here.page("user"), here.site.driver.got
        await here.device(page)
        await prop(page, "Num <b>").get_by_role("textbox", name="x 10").fill("2.5")
        await press(page, "Num <b>", "Set")
        await said(page, "Num <b>", "Done.")
        await prop(page, "Num <b>").locator("output", has_text="2.5").wait_for()
        assert await prop(page, "Num <b>").get_by_role("textbox", name="x 10").input_value() == ""
        await prop(page, "Text").get_by_label("T", exact=True).fill("new <i>text</i>")
        await press(page, "Text", "Set")
        await said(page, "Text", "Done.")
        for label, name in (("One", "B <i>"), ("Most", "A"), ("Any", "C")):
            await press(page, label, name)
            await said(page, label, "Done.")
            pressed = prop(page, label).get_by_role("button", name=name, exact=True, pressed=True)
            await pressed.wait_for()
        await soon(lambda: len(got) == 5)
        assert got[0] == ("NUM", {"N": "2.5"})
        assert got[1] == ("TEXT", {"T": "new <i>text</i>"})
        # What is out of range is not sent, and what the device refuses is said with its words.
        await prop(page, "Num <b>").get_by_role("textbox", name="x 10").fill("11")
        await press(page, "Num <b>", "Set")
        await said(page, "Num <b>", "is not from 0 to 10")
        await prop(page, "Refuses").get_by_role("textbox", name="R", exact=True).fill("1")
        await press(page, "Refuses", "Set")
        await said(page, "Refuses", "Refused: no <way>")
        await page.get_by_role("region", name="Alerts").get_by_text("no <way>").wait_for()
        await page.get_by_role("button", name="Seen").click()
        await page.get_by_role("region", name="Alerts").wait_for(state="hidden")
        assert len(got) == 5
        here.errors[:] = [error for error in here.errors if "422" not in error]  # the answer to what was out of range
        assert here.errors == []


@asynchronous
async def test_the_keyboard_alone_will_do(tmp_path):
    async with desk(tmp_path) as here:
        page = await here.page()
        await page.goto(f"{here.url}/login")
        await page.get_by_label("Name", exact=True).focus()
        await page.keyboard.type("user")
        await page.keyboard.press("Tab")
        await page.keyboard.type(PASSWORD)
        await page.keyboard.press("Enter")
        await page.get_by_role("button", name="Log out").wait_for()
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.textContent") == "Skip to the content"
        await page.keyboard.press("Enter")
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.textContent") == AWKWARD
        await page.keyboard.press("Enter")
        await page.get_by_role("heading", name=AWKWARD).wait_for()
        field = prop(page, "Num <b>").get_by_role("textbox", name="x 10")
        await field.focus()
        await page.keyboard.press("ArrowUp")
        assert await field.input_value() == "1.5"
        await page.keyboard.press("Enter")
        await said(page, "Num <b>", "Done.")
        assert here.site.driver.got == [("NUM", {"N": "1.5"})]
        one = prop(page, "One").get_by_role("button", name="A", exact=True)
        await one.focus()
        await page.keyboard.press("Space")
        await said(page, "One", "Done.")
        assert here.errors == []


@asynchronous
async def test_a_phone_at_another_address_sends_a_file_and_sees_the_image(tmp_path):
    data = bytes(range(256)) * 500
    file = tmp_path / "map.bin"
    file.write_bytes(data)
    async with desk(tmp_path) as here:
        page = await here.page("user", width=390, height=844, host="127.0.0.2")  # plain http, not localhost
        await here.device(page, "Other")
        await prop(page, "Upload").locator("input[type=file]").set_input_files(str(file))
        await press(page, "Upload", "Send")
        await soon(lambda: here.site.driver.got)
        assert here.site.driver.got == [("UP", data, ".bin")]
        assert await page.evaluate("document.documentElement.scrollWidth") <= 390
        small = await page.evaluate(
            """[...document.querySelectorAll("main button, main input:not([type=hidden]), nav a")]
            .filter((n) => n.getBoundingClientRect().height && n.getBoundingClientRect().height < 43.5)
            .map((n) => n.outerHTML.slice(0, 90))"""
        )
        assert small == []
        vector = here.site.driver.device["IMAGE"]

        async def come():
            vector["I"] = fits(120, 90)
            await vector.send_setVectorMembers(members=["I"])
            await asyncio.sleep(0.1)
            return here.site.web.first.model.get(AWKWARD, "IMAGE")["I"].data

        async with asyncio.timeout(30):
            while not await come():
                pass
        await prop(page, "Image").get_by_role("link", name="Image", exact=True).click()
        picture = page.get_by_role("img", name="Newest image")
        await picture.wait_for()
        await page.wait_for_function("document.querySelector('#picture img').naturalWidth === 120")
        await picture.click()
        await page.get_by_role("button", name="Whole image").click()
        async with page.expect_download() as loading:
            await page.get_by_role("link", name="Download").click()
        download = await loading.value
        assert Path(await download.path()).read_bytes() == fits(120, 90)
        await come()
        await page.get_by_text("A newer image has come.").wait_for()
        assert await page.evaluate("document.documentElement.scrollWidth") <= 390
        assert here.errors == []


@asynchronous
async def test_two_people_and_a_server_that_is_lost(tmp_path):
    async with desk(tmp_path) as here:
        one, other = await here.page("user"), await here.page("admin")
        for page in (one, other):
            await here.device(page)
        # What one types stays, whatever the other sets.
        await prop(other, "Text").get_by_label("T", exact=True).fill("half a sent")
        await prop(one, "Text").get_by_label("T", exact=True).fill("first")
        await press(one, "Text", "Set")
        await prop(one, "Num <b>").get_by_role("textbox", name="x 10").fill("7")
        await press(one, "Num <b>", "Set")
        await prop(other, "Num <b>").locator("output", has_text="7.0").wait_for()
        assert await prop(other, "Text").get_by_label("T", exact=True).input_value() == "half a sent"
        assert await prop(other, "Text").locator(".told").text_content() == ""
        # A hidden tab has no stream, and catches up.
        await soon(lambda: here.site.web.streams.total == 2)
        await one.evaluate("Object.defineProperty(document, 'hidden', {get: () => window.away, configurable: true})")
        await one.evaluate("window.away = true; document.dispatchEvent(new Event('visibilitychange'))")
        await soon(lambda: here.site.web.streams.total == 1)
        await prop(other, "Num <b>").get_by_role("textbox", name="x 10").fill("8")
        await press(other, "Num <b>", "Set")
        await prop(other, "Num <b>").locator("output", has_text="8.0").wait_for()
        await one.evaluate("window.away = false; document.dispatchEvent(new Event('visibilitychange'))")
        await prop(one, "Num <b>").locator("output", has_text="8.0").wait_for()
        # The link goes, and comes back.
        client = here.site.web.first.client
        client._retry.first = client._retry.longest = 2.0
        client._engine.session.abort()
        await other.get_by_text("What is shown may be out of date.").wait_for()
        assert await prop(other, "Num <b>").get_by_role("button", name="Set").is_disabled()
        await other.get_by_text("What is shown may be out of date.").wait_for(state="hidden")
        assert await prop(other, "Num <b>").get_by_role("button", name="Set").is_enabled()
        assert here.errors == []


@asynchronous
async def test_everything_has_a_name_and_can_be_read_in_each_theme(tmp_path):
    async with desk(tmp_path) as here:
        page = await here.page("admin")
        await here.site.driver.device["LIGHT"].send_setVector(state="Alert")
        await here.site.driver.device["TEXT"].send_setVector(state="Busy")
        for theme in ("light", "dark", "night"):
            await here.device(page)
            await page.get_by_label("Theme").select_option(theme)
            for path in ("", "/", "/users", "/account", "/system", "/audit", "/plot", "/overview"):
                if path:
                    await page.goto(f"{here.url}{path}")
                assert await page.evaluate("document.documentElement.dataset.theme") == theme
                assert await page.evaluate(CONTRAST) == [], (theme, path)
                assert await page.evaluate(UNLABELLED) == [], path
                assert await page.locator("h1").count() == 1
        assert here.errors == []


@asynchronous
async def test_the_outcome_is_that_of_the_last_command_in_whatever_order_it_comes(tmp_path, monkeypatch):
    monkeypatch.setattr("indipyweb.pages.panel._AT_ONCE", 0.0)
    async with desk(tmp_path) as here:
        page = await here.page("user")
        await here.device(page)
        box = prop(page, "Num <b>")
        field, button = box.get_by_role("textbox", name="x 10"), box.get_by_role("button", name="Set")
        answered = asyncio.Event()

        async def late(route):
            """The answer to the request comes when the stream has told the outcome."""
            answer = await route.fetch()
            await box.locator(".told.t-ok").wait_for()
            await route.fulfill(response=answer)
            answered.set()

        await page.route("**/set?*", late)
        await field.fill("4")
        await button.click()
        await asyncio.wait_for(answered.wait(), 30)
        await page.wait_for_function("[...document.querySelectorAll('.in input')].every((field) => !field.value)")
        await said(page, "Num <b>", "Done.")

        async def too_large(route):
            await route.fulfill(status=413, body="This is too large.", content_type="text/plain")

        await page.unroute("**/set?*")
        await page.route("**/set?*", too_large)
        await field.fill("5")
        await button.click()
        await said(page, "Num <b>", "Not sent")
        assert await field.input_value() == "5"


@asynchronous
async def test_a_weak_link_leaves_nothing_out_and_an_open_tab_keeps_no_login(tmp_path):
    async with desk(tmp_path) as here:
        page, site = await here.page("user"), here.site
        await here.device(page)
        asked = 0

        async def once(route):
            nonlocal asked
            asked += 1
            await (route.abort("internetdisconnected") if asked == 1 else route.continue_())

        await page.route(re.compile("/part"), once)
        text = site.driver.device["TEXT"]
        await text.send_delProperty()
        await prop(page, "Text").wait_for(state="detached")
        text.enable = True
        await text.send_defVector()
        await prop(page, "Text").wait_for()
        assert asked > 1
        # A plot says when it stands still.
        await page.clock.install()
        await page.goto(f"{here.url}/plot?" + urlencode({"n": json.dumps([AWKWARD, "RO", "V"])}))
        await page.route(re.compile("/plot"), lambda route: route.abort("internetdisconnected"))
        await page.clock.run_for(6000)
        await page.locator("#link", has_text="out of reach").wait_for()
        await page.unroute(re.compile("/plot"))
        await page.clock.run_for(6000)
        await page.get_by_text("connected", exact=True).wait_for()
        # Images that are followed.
        image = site.driver.device["IMAGE"]

        async def expose(side):
            image["I"] = fits(side, side)
            await image.send_setVectorMembers(members=["I"])

        await expose(20)
        await soon(lambda: site.web.first.model.get(AWKWARD, "IMAGE")["I"].data)
        await page.goto(f"{here.url}/image?" + urlencode({"d": AWKWARD, "p": "IMAGE", "m": "I"}))
        await expose(30)
        await page.locator("#newer").wait_for()
        await page.get_by_role("checkbox", name="always").check()
        await page.get_by_text("30 \u00d7 30").wait_for()
        (session,) = site.web.sessions.of("user")
        session.used -= 100
        used = session.used
        await expose(40)
        await page.get_by_text("40 \u00d7 40").wait_for()
        assert session.used == used


@asynchronous
async def test_the_overview_follows_what_comes_and_goes(tmp_path):
    async with desk(tmp_path) as here:
        page, text = await here.page("user"), here.site.driver.device["TEXT"]
        for name in ("NUM", "TEXT"):
            here.site.web.pins.toggle("user", Pin(here.site.web.first.name, AWKWARD, name))
        await text.send_delProperty()
        await soon(lambda: here.site.web.first.model.get(AWKWARD, "TEXT") is None)
        await page.goto(f"{here.url}/overview")
        absent = page.get_by_role("heading", name="Not there now")
        await absent.wait_for()
        assert await page.locator(".absent li:visible").all_inner_texts() == [f"{AWKWARD}: TEXT \nTake away"]
        text.enable = True
        await text.send_defVector()
        await page.locator(".prop").filter(has_text="Text").wait_for()
        await absent.wait_for(state="hidden")
        await text.send_delProperty()
        await absent.wait_for()
        assert await page.locator(".prop").count() == 1
        assert here.errors == []
