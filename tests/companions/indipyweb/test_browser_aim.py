"""Chromium, and a person whose finger is on its way while the page changes: nothing is sent that was not seen."""

import asyncio
import shutil
from urllib.parse import urlencode

import pytest

pytest.importorskip("starlette", reason="the web client needs the extra web")
pytest.importorskip("playwright", reason="browser tests need playwright")

from tests.support import asynchronous, require

from .parts import AWKWARD, poll, soon, website
from .test_browser import GROUP, desk, prop, said

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]
HIDDEN = """(away) => {
    Object.defineProperty(document, "hidden", {value: away, configurable: true});
    document.dispatchEvent(new Event("visibilitychange"));
}"""
CHANGED = "Not sent: that has just changed. Look, and press again."


@pytest.fixture(autouse=True)
def _chromium():
    require("chromium")
    assert shutil.which("chromium")


async def stopped(here, page):
    """The page of the device, whose clock stands still after everything has been seen for long."""
    await page.clock.install(time=0)
    await here.device(page)
    await soon(lambda: here.site.web.streams.total == 1)
    await page.clock.pause_at(3_600_000)


def button(page, label, name):
    return prop(page, label).get_by_role("button", name=name, exact=True)


async def tap(page, locator):
    box = await locator.bounding_box()
    await page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)


@asynchronous
async def test_a_switch_that_turns_under_the_finger_is_not_turned_back(tmp_path):
    async with desk(tmp_path) as here:
        page, vector = await here.page("user", height=3000), here.site.driver.device["ANY"]
        await stopped(here, page)
        for press in (lambda: tap(page, button(page, "Any", "C")), lambda: button(page, "Any", "C").press("Enter")):
            vector["C"] = "On"  # by somebody else
            await vector.send_setVector(state="Ok")
            await prop(page, "Any").get_by_role("button", name="C", exact=True, pressed=True).wait_for()
            await press()
            await said(page, "Any", CHANGED)
            assert here.site.driver.got == []
            await page.clock.run_for(400)
            await press()
            await said(page, "Any", "Done.")
            await prop(page, "Any").get_by_role("button", name="C", exact=True, pressed=False).wait_for()
            assert here.site.driver.got.pop()[1]["C"] == "Off"
            await page.clock.run_for(400)
        assert here.errors == []


@asynchronous
async def test_what_comes_under_the_finger_is_not_pressed(tmp_path):
    async with desk(tmp_path) as here:
        page, device = await here.page("user", width=390, height=3000), here.site.driver.device
        await stopped(here, page)
        target = button(page, "Most", "A")
        before = await target.bounding_box()
        await device["NUM"].send_setVector(state="Ok", message="a message\n" * 5)
        await prop(page, "Num <b>").locator(".msg", has_text="a message").wait_for()
        after = await target.bounding_box()
        assert after["y"] > before["y"] + before["height"] / 2
        await tap(page, target)
        await said(page, "Most", CHANGED)
        assert here.site.driver.got == []
        await target.press("Enter")  # a key presses what has the focus, wherever that is
        await said(page, "Most", "Done.")
        await page.clock.run_for(400)
        await tap(page, button(page, "Most", "B <i>"))
        await soon(lambda: len(here.site.driver.got) == 2)
        # Who scrolls has seen where everything has gone.
        await page.set_viewport_size({"width": 390, "height": 500})
        await page.clock.run_for(400)
        target = button(page, "One", "A")
        await target.scroll_into_view_if_needed()
        await page.mouse.wheel(0, 40)
        await poll(lambda: page.evaluate("scrollY > 40"))
        await tap(page, target)
        await soon(lambda: len(here.site.driver.got) == 3)
        await page.set_viewport_size({"width": 390, "height": 3000})
        await page.clock.run_for(400)
        # A button that has moved, but not away from the finger, is the one that was seen.
        target = button(page, "Any", "A")
        before = await target.bounding_box()
        await page.evaluate(
            "document.getElementById('props').style.paddingTop = '8px'; dispatchEvent(new Event('resize'))"
        )
        assert 4 < (await target.bounding_box())["y"] - before["y"] < 12
        await page.mouse.click(before["x"] + 10, before["y"] + before["height"] - 4)
        await soon(lambda: len(here.site.driver.got) == 4)
        assert here.errors == []


@asynchronous
async def test_what_was_drawn_anew_is_not_pressed_at_once(tmp_path):
    async with desk(tmp_path) as here:
        page, device = await here.page("user", height=3000), here.site.driver.device
        await stopped(here, page)
        device["ANY"].label = "Anything"
        await device["ANY"].send_defVector()
        await asyncio.wait_for(drawn(page, "Anything"), 30)
        for press in (
            lambda: tap(page, button(page, "Anything", "A")),
            lambda: button(page, "Anything", "A").press("Enter"),
        ):
            await press()
            await said(page, "Anything", CHANGED)
        assert here.site.driver.got == []
        await page.clock.run_for(400)
        await tap(page, button(page, "Anything", "A"))
        await said(page, "Anything", "Done.")
        assert here.errors == []


@asynchronous
async def test_a_page_that_is_loaded_again_by_itself_is_new_to_everybody(tmp_path):
    async with desk(tmp_path) as here:
        page = await here.page("user", height=3000)
        await page.add_init_script("window.ms = 0; performance.now = Date.now = () => ms")
        await here.device(page)
        await tap(page, button(page, "Any", "A"))  # somebody has gone there
        await said(page, "Any", "Done.")
        await page.reload()
        await tap(page, button(page, "Any", "C"))
        await said(page, "Any", CHANGED)
        await page.evaluate("ms = 400")
        await tap(page, button(page, "Any", "C"))
        await said(page, "Any", "Done.")
        assert [[*members] for _, members in here.site.driver.got] == [["A"], ["C"]]
        assert here.errors == []


HELD = """
window.held = []; window.isHeld = false;
const listen = EventSource.prototype.addEventListener;
EventSource.prototype.addEventListener = function (name, handle) {
  const late = (event) => { if (window.isHeld) window.held.push(() => handle(event)); else handle(event); };
  listen.call(this, name, name === "delta" ? late : handle);
};
"""


@asynchronous
async def test_a_page_that_was_hidden_takes_nothing_while_the_changes_are_still_on_their_way(tmp_path):
    """What greets it comes first; the rest is longer, and over a weak link it takes its time."""
    async with desk(tmp_path) as here:
        page, any_, first = await here.page("user"), here.site.driver.device["ANY"], here.site.web.first
        await page.add_init_script(HELD)
        await page.clock.install()
        await here.device(page)
        await soon(lambda: here.site.web.streams.total == 1)
        await page.evaluate(HIDDEN, True)
        await page.clock.run_for(6000)
        await soon(lambda: here.site.web.streams.total == 0)
        any_["A"] = "On"
        await any_.send_setVector(state="Ok")
        await soon(lambda: first.model.get(AWKWARD, "ANY").members["A"].on and first.rev == first.model.rev)
        await page.evaluate("window.isHeld = true")
        await page.evaluate(HIDDEN, False)
        await poll(lambda: page.evaluate("window.held.length"))
        assert await button(page, "Any", "A").is_disabled()
        await page.evaluate("window.isHeld = false; window.held.forEach((go) => go())")
        assert await button(page, "Any", "A").is_enabled()
        assert await button(page, "Any", "A").get_attribute("aria-pressed") == "true"


@asynchronous
async def test_a_page_that_was_hidden_takes_nothing_before_it_has_caught_up(tmp_path):
    async with desk(tmp_path) as here:
        page = await here.page("user")
        await page.clock.install()
        await here.device(page)
        await soon(lambda: here.site.web.streams.total == 1)
        field = prop(page, "Text").get_by_label("T", exact=True)
        await field.fill("half a")
        may_go_on = asyncio.Event()
        may_go_on.set()

        async def hold(route):
            await may_go_on.wait()
            await route.continue_()

        async def looked_at():
            may_go_on.clear()
            await page.evaluate(HIDDEN, False)
            assert await button(page, "Any", "A").is_disabled()
            assert await page.locator("#lost").is_hidden()
            may_go_on.set()
            await poll(button(page, "Any", "A").is_enabled)

        await page.route("**/events?*", hold)
        await page.evaluate(HIDDEN, True)
        await page.clock.run_for(6000)
        await soon(lambda: here.site.web.streams.total == 0)
        await looked_at()
        # A phone that sleeps stands still, and its connection is gone when it wakes.
        await page.evaluate(HIDDEN, True)
        await page.clock.set_system_time(await page.evaluate("Date.now() + 3600000"))
        await looked_at()
        await page.keyboard.type(" sent")
        await page.keyboard.press("Enter")
        await soon(lambda: here.site.driver.got == [("TEXT", {"T": "half a sent"})])
        assert here.errors == []


@asynchronous
async def test_a_command_that_means_something_else_by_now_is_not_sent(tmp_path):
    async with website(tmp_path) as site, site.browser("user") as browser:
        vector = site.driver.device["ANY"]
        page = (await browser.get(f"/device?{urlencode({'d': AWKWARD, 'g': GROUP})}")).text
        means = page.partition('value="ANY"><input type="hidden" name="means" value="')[2][:8]
        form = {"d": AWKWARD, "p": "ANY", "means": means, "press": "A", "to": "On"}
        assert (await browser.post("/set", data=form)).status_code == 303
        site.driver.got.clear()
        vector.label = "The other roof"
        await vector.send_defVector()
        await soon(lambda: site.web.first.model.get(AWKWARD, "ANY").label == vector.label)
        answer = await browser.post("/set", data=form)
        assert answer.status_code == 409
        assert "Not sent: the device has defined it differently since this was shown." in answer.text
        answer = await browser.post("/set", data=form, headers={"accept": "application/json"})
        assert answer.status_code == 409
        assert site.driver.got == []
        del form["means"]  # programs that know nothing of it
        assert (await browser.post("/set", data=form)).status_code == 303


async def drawn(page, label):
    while not await prop(page, label).count():
        await page.clock.run_for(50)


@asynchronous
async def test_a_double_click_deletes_one_file(tmp_path):
    """The page had come anew when the second click came, with the next file, or Start, in the place of the first."""
    folder = tmp_path / "blobs"
    folder.mkdir()
    for number in range(4):
        (folder / f"{number}.dat").write_bytes(b"x")
    async with desk(tmp_path, blobfolder=folder) as here:
        page = await here.page("admin")
        await page.add_init_script("Date.now = () => 1e12")  # all of it is within a moment
        await page.goto(f"{here.url}/blobs")
        delete = page.get_by_role("button", name="Delete")
        box = await delete.first.bounding_box()
        for left in (3, 3):
            await page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
            await page.get_by_text(f"{left} files").wait_for()
        await page.evaluate("Date.now = () => 1e12 + 1000")
        await delete.first.click()
        await page.get_by_text("2 files").wait_for()
        assert len(list(folder.iterdir())) == 2
