"""Chromium over the page over redis: log in, set each kind, send and fetch a BLOB, and no error in the console."""

import asyncio
import contextlib
import shutil
import threading

import pytest

pytest.importorskip("jinja2")
pytest.importorskip("playwright", reason="browser tests need playwright")

from playwright.async_api import TimeoutError as PlaywrightTimeout
from playwright.async_api import async_playwright
from waitress.server import create_server

import indiredis
from indiredis import indiwsgi, tools
from indiredis.web.security import hash_password
from tests.support import asynchronous, require, running_server

from .parts import bridge, redis_running, soon
from .test_web import Everything

CHROMIUM = shutil.which("chromium")
pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]
PASSWORD = "open the dome!"
DEVICE = "Dev <1>"
GROUP = "G/1 &"


@pytest.fixture(autouse=True)
def _chromium():
    require("chromium")


@contextlib.contextmanager
def served(application):
    """The application on a port, as `python3 -m indiredis` serves it; yields the port."""
    server = create_server(application, host="127.0.0.1", port=0, threads=8, clear_untrusted_proxy_headers=True)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield server.effective_port
    finally:
        server.close()
        server.task_dispatcher.shutdown()
        thread.join(10)


class Desk:
    """The page with instruments behind it, and a browser in front of it."""

    def __init__(self, browser, url, server, redis, driver, folder):
        self.browser, self.url, self.server = browser, url, server
        self.redis, self.driver, self.folder = redis, driver, folder
        self.errors = []

    async def page(self):
        context = await self.browser.new_context(accept_downloads=True)
        page = await context.new_page()
        page.set_default_timeout(30_000)
        page.on("console", lambda said: self.errors.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("response", lambda answer: self.errors.append(answer.url) if answer.status >= 400 else None)
        await page.goto(self.url)
        return page

    async def log_in(self, page, password=PASSWORD):
        await page.get_by_label("Password").fill(password)
        await page.get_by_role("button", name="Log in").click()

    async def device(self, page, group=GROUP):
        await page.get_by_role("link", name="Devices").or_(page.get_by_role("heading", name="Devices")).first.wait_for()
        await page.goto(self.url)
        await page.get_by_role("link", name=DEVICE, exact=True).click()
        await page.get_by_role("navigation", name="Groups").get_by_role("link", name=group, exact=True).click()
        await page.get_by_role("heading", name=DEVICE).wait_for()


async def press(page, button):
    """Press a button, and again if the page had just been built anew."""
    for _ in range(3):
        with contextlib.suppress(PlaywrightTimeout):
            async with page.expect_request(lambda request: request.method == "POST", timeout=5_000):
                await button.click()
            return
    raise AssertionError("nothing was sent")


def prop(page, label):
    return page.get_by_role("region", name=label)


@contextlib.asynccontextmanager
async def desk(folder, url="/", password=""):
    driver = Everything()
    async with redis_running() as redis, running_server(driver) as server:
        there = indiredis.indi_server("127.0.0.1", server.port)
        hashed = hash_password(password) if password else ""
        async with bridge(indiredis.run_inditoredis, there, redis.server, blob_folder=folder):
            await soon(lambda: "BLOB" in tools.properties(redis.rconn, redis.server, DEVICE))
            page = indiwsgi.make_wsgi_app(redis.server, blob_folder=folder, url=url, hashedpassword=hashed)
            with served(page) as port:
                async with async_playwright() as playwright:
                    chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
                    try:
                        yield Desk(chromium, f"http://127.0.0.1:{port}{url}", server, redis, driver, folder)
                    finally:
                        await chromium.close()


@asynchronous
async def test_log_in_set_each_kind_and_log_out(tmp_path):
    async with desk(tmp_path, "/obs/", PASSWORD) as here:
        page, got = await here.page(), here.driver.got
        await here.log_in(page, "a guess")
        await page.get_by_text("This is not the password").wait_for()
        await here.log_in(page)
        await page.get_by_role("button", name="Log out").wait_for()
        await here.device(page)
        await prop(page, "Num <b>").get_by_role("textbox", name="x 10").fill("2.5")
        await press(page, prop(page, "Num <b>").get_by_role("button", name="Set"))
        await page.get_by_text("Change to property Num <b> has been submitted").wait_for()
        await prop(page, "Num <b>").locator("td.value", has_text="2.5").wait_for()
        await prop(page, "Num <b>").locator(".state", has_text="Ok").wait_for()
        await prop(page, "Num <b>").get_by_role("textbox", name="x 10").fill("11")
        await press(page, prop(page, "Num <b>").get_by_role("button", name="Set"))
        await page.get_by_text("11 is not from 0 to 10").wait_for()
        await prop(page, "Text").get_by_role("textbox", name="T").fill("né <i>x</i>")
        await press(page, prop(page, "Text").get_by_role("button", name="Set"))
        await page.get_by_text("Change to property Text has been submitted").wait_for()
        for label, kind, name in (("One", "radio", "B <i>"), ("Most", "radio", "None of the above")):
            await prop(page, label).get_by_role(kind, name=name, exact=True).check()
            await press(page, prop(page, label).get_by_role("button", name="Set"))
            await page.get_by_text(f"Change to property {label} has been submitted").wait_for()
        for name in ("A", "C"):
            await prop(page, "Any").get_by_role("checkbox", name=name, exact=True).check()
        await press(page, prop(page, "Any").get_by_role("button", name="Set"))
        await page.get_by_text("Change to property Any has been submitted").wait_for()
        await soon(lambda: len(got) == 5, 30)
        values = {name: {member: str(value) for member, value in members.items()} for name, members in got}
        assert values == {
            "NUM": {"N": "2.5"},
            "TEXT": {"T": "né <i>x</i>"},
            "ONE": {"A": "Off", "B <i>": "On", "C": "Off"},
            "MOST": {"A": "Off", "B <i>": "Off", "C": "Off"},
            "ANY": {"A": "On", "B <i>": "Off", "C": "On"},
        }
        assert await page.evaluate("document.querySelectorAll('main i, main script').length") == 0
        assert await prop(page, "Light").get_by_role("button").count() == 0
        await page.get_by_role("button", name="Log out").click()
        await page.get_by_label("Password").wait_for()
        assert here.errors == []


@asynchronous
async def test_values_come_by_themselves_but_not_over_what_somebody_types(tmp_path):
    async with desk(tmp_path) as here:
        page = await here.page()
        await page.get_by_text("INDI is connected").wait_for()
        await here.device(page)
        await prop(page, "Num <b>").get_by_role("textbox", name="x 10").fill("7")
        vector = here.driver[DEVICE]["NUM"]
        vector["N"] = "3.5"
        await vector.send_setVector(state="Alert", message="a <b>word</b>")
        await prop(page, "Num <b>").locator("td.value", has_text="3.5").wait_for()
        await prop(page, "Num <b>").locator(".state.alert").wait_for()
        assert await prop(page, "Num <b>").get_by_role("textbox", name="x 10").input_value() == "7"
        await page.reload()
        await prop(page, "Num <b>").get_by_text("a <b>word</b>").wait_for()
        vector["N"] = "4.5"
        await vector.send_setVector(state="Ok", message="another")  # which builds the page anew
        await prop(page, "Num <b>").get_by_text("another").wait_for()
        await here.driver[DEVICE].send_delProperty()
        await page.goto(here.url)
        await page.get_by_text("Awaiting device information").wait_for()
        assert here.errors == []


@asynchronous
async def test_a_finger_that_was_on_its_way_when_the_page_was_built_anew_sends_nothing(tmp_path):
    async with desk(tmp_path) as here:
        page = await here.page()
        await page.add_init_script("window.ms = 0; performance.now = () => ms")
        await here.device(page)
        await page.reload()
        await prop(page, "Num <b>").get_by_role("button", name="Set").click()
        await prop(page, "Num <b>").get_by_role("textbox", name="x 10").fill("7")
        await page.evaluate("ms = 400")
        await prop(page, "Num <b>").get_by_role("button", name="Set").click()
        await page.get_by_text("Change to property Num <b> has been submitted").wait_for()
        await soon(lambda: here.driver.got)
        assert [dict(members) for _, members in here.driver.got] == [{"N": "7"}]
        # What was typed for a property is not sent to another one that has its name by now.
        await prop(page, "Num <b>").get_by_role("textbox", name="x 10").fill("8")
        await page.evaluate("ms = 800")
        vector = here.driver[DEVICE]["NUM"]
        vector.label = "The roof"
        await vector.send_defVector()
        keys = here.redis.rconn, here.redis.server, "NUM", DEVICE
        await soon(lambda: tools.attributes_dict(*keys)["label"] == "The roof")
        await prop(page, "Num <b>").get_by_role("button", name="Set").click()
        await page.get_by_text("The roof was not sent: it has been defined differently since").wait_for()
        await prop(page, "The roof").get_by_role("textbox", name="x 10").fill("9")
        await page.evaluate("ms = 800")
        await prop(page, "The roof").get_by_role("button", name="Set").click()
        await page.get_by_text("Change to property The roof has been submitted").wait_for()
        await soon(lambda: len(here.driver.got) > 1)
        assert [dict(members) for _, members in here.driver.got] == [{"N": "7"}, {"N": "9"}]
        assert here.errors == []


IN_HASTE = """(form) => {  // 5, twice, and then 6
    const sent = [], field = form.elements["m.N"];
    addEventListener("submit", (event) => {
        if (!event.defaultPrevented) sent.push(field.value);
        event.preventDefault();
    });
    for (const value of ["5", "6"]) {
        field.value = value;
        field.dispatchEvent(new Event("input", {bubbles: true}));
        form.requestSubmit();
        form.requestSubmit();
    }
    return sent;
}"""


@asynchronous
async def test_the_second_click_of_two_sends_nothing_though_the_page_has_followed(tmp_path):
    async with desk(tmp_path) as here:
        page = await here.page()
        await page.add_init_script("window.ms = 0; performance.now = () => ms")
        await here.device(page)
        button = prop(page, "Num <b>").get_by_role("button", name="Set")
        for value in ("7", "8"):
            await page.evaluate("ms = 800")
            await prop(page, "Num <b>").get_by_role("textbox", name="x 10").fill(value)
            await button.click()
            await page.get_by_text("Change to property Num <b> has been submitted").wait_for()
            await page.wait_for_function("ms === 0")
            await prop(page, "Text").get_by_role("button", name="Set").click()  # which may be in its place now
            for moment in (0, 100, 400, 600):
                await page.evaluate(f"ms = {moment}")
                await button.click()
        await soon(lambda: len(here.driver.got) > 1)
        assert [dict(members) for _, members in here.driver.got] == [{"N": "7"}, {"N": "8"}]
        # Nor does it end what the first has begun.
        await here.device(page, "Other")
        await page.evaluate("ms = 400")
        await prop(page, "Blob").get_by_role("button", name="Enable BLOBs").click()
        await page.wait_for_function("ms === 0")
        await page.evaluate("ms = 400")
        toggle = prop(page, "Blob").get_by_role("button", name="Enable BLOBs")  # until the page is built anew
        await toggle.or_(prop(page, "Blob").get_by_role("button", name="Disable BLOBs")).click()
        await prop(page, "Blob").get_by_role("button", name="Disable BLOBs").wait_for()
        assert here.errors == []


@asynchronous
async def test_a_command_that_a_later_one_has_overtaken_is_not_sent_nor_is_a_double_click(tmp_path):
    async with desk(tmp_path) as here:
        page, forms = await here.page(), []
        await page.add_init_script("window.ms = 0; performance.now = () => ms")
        await here.device(page)
        await page.evaluate("ms = 400")

        async def watch(route):
            forms.append((route.request.url, route.request.post_data))
            await route.continue_()

        await page.route("**/submit?*", watch)
        for value in ("3", "4"):
            await prop(page, "Num <b>").get_by_role("textbox", name="x 10").fill(value)
            await prop(page, "Num <b>").get_by_role("button", name="Set").dblclick()
            await soon(lambda value=value: any(f"m.N={value}" in data for _, data in forms))
            await page.get_by_text("Change to property Num <b> has been submitted").wait_for()
            await here.device(page)
            await page.evaluate("ms = 400")
        await soon(lambda: len(here.driver.got) == 2)
        assert len(forms) == 2
        url, data = forms[0]
        headers = {"content-type": "application/x-www-form-urlencoded", "origin": here.url.rstrip("/")}
        answer = await page.request.post(url, data=data, headers=headers)
        assert "was not sent: a later command has come before it" in await answer.text()
        assert [str(members["N"]) for _, members in here.driver.got] == ["3", "4"]
        here.redis.rconn.set(here.redis.server.keyprefix + "sent", "x")  # a redis that cannot tell; old ones know no GT
        answer = await page.request.post(url, data=data, headers=headers)
        assert "has been submitted" in await answer.text()
        form = prop(page, "Num <b>").locator("form", has=page.get_by_role("textbox", name="x 10"))
        assert await form.evaluate(IN_HASTE) == ["5", "6"]
        assert here.errors == []


@asynchronous
async def test_what_changes_while_the_page_is_on_its_way_is_not_missed(tmp_path):
    async with desk(tmp_path) as here:
        page = await here.page()
        asked, may_go_on = asyncio.Event(), asyncio.Event()

        async def hold(route):
            asked.set()
            await may_go_on.wait()
            await route.continue_()

        await page.route("**/changes", hold)
        await page.goto(here.url)
        await page.get_by_role("link", name=DEVICE, exact=True).wait_for()
        await asyncio.wait_for(asked.wait(), 30)
        await here.driver[DEVICE].send_delProperty()
        await soon(lambda: not tools.devices(here.redis.rconn, here.redis.server), 30)
        may_go_on.set()
        await page.get_by_text("Awaiting device information").wait_for()
        assert here.errors == []


@asynchronous
async def test_the_page_of_a_device_comes_back_with_it(tmp_path):
    async with desk(tmp_path) as here:
        page = await here.page()
        await here.device(page)
        await here.driver[DEVICE].send_delProperty()
        await page.get_by_text(f"There is no device {DEVICE}").wait_for()
        here.driver[DEVICE].enable = True
        for vector in here.driver[DEVICE].values():
            vector.enable = True
            await vector.send_defVector()
        await page.get_by_role("heading", name=DEVICE).wait_for()


@asynchronous
async def test_whether_there_is_a_connection_is_told_to_who_types_too_and_is_not_told_for_ever(tmp_path):
    async with desk(tmp_path) as here:
        page = await here.page()
        await here.device(page)
        await prop(page, "Num <b>").get_by_role("textbox", name="x 10").fill("7")
        await page.route("**/changes*", lambda route: route.abort())
        await page.get_by_text("The web server does not answer").wait_for()
        await page.unroute("**/changes*")
        await page.get_by_text("INDI is connected").wait_for()
        here.server.shutdown()
        await page.get_by_text("No connection to INDI").wait_for()
        assert await prop(page, "Num <b>").get_by_role("textbox", name="x 10").input_value() == "7"


@asynchronous
async def test_a_link_from_another_site_logs_nobody_out(tmp_path):
    async def another_site(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        body = f"<a href='{here.url}'>our dome</a>"
        writer.write(f"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n{body}".encode())
        writer.close()

    async with (
        desk(tmp_path, "/obs/", PASSWORD) as here,
        await asyncio.start_server(another_site, "127.0.0.1", 0) as web,
    ):
        page = await here.page()
        await here.log_in(page)
        await page.get_by_role("heading", name="Devices").wait_for()
        await page.goto(f"http://localhost:{web.sockets[0].getsockname()[1]}/")
        await page.get_by_text("our dome").click()
        await page.get_by_role("heading", name="Devices").wait_for(timeout=5_000)


@asynchronous
async def test_a_text_of_many_lines_that_nobody_touches_stays_as_it_is(tmp_path):
    async with desk(tmp_path) as here:
        page = await here.page()
        await page.goto(f"{here.url}properties?d=Dev+%3C1%3E&g=Pairs")
        for name, text in (("WHO", "you"), ("WHAT", "two\nlines")):
            await prop(page, "Notes").get_by_role("textbox", name=name).fill(text)
            await press(page, prop(page, "Notes").get_by_role("button", name="Set"))
            await page.get_by_text("Change to property Notes has been submitted").wait_for()
            await page.goto(f"{here.url}properties?d=Dev+%3C1%3E&g=Pairs")
        await soon(lambda: len(here.driver.got) == 2)
        assert [dict(members) for _, members in here.driver.got] == [
            {"WHO": "you", "WHAT": "many\nlines"},
            {"WHO": "I", "WHAT": "two\nlines"},
        ]
        assert here.errors == []


@asynchronous
async def test_a_blob_there_and_back(tmp_path):
    picture = bytes(range(256)) * 40
    async with desk(tmp_path, "/obs/", PASSWORD) as here:
        page = await here.page()
        await here.log_in(page)
        await page.get_by_role("button", name="Log out").wait_for()
        await here.device(page, "Other")
        await prop(page, "Blob").get_by_text("Nothing yet received").wait_for()
        await press(page, prop(page, "Blob").get_by_role("button", name="Enable BLOBs"))
        await prop(page, "Blob").get_by_role("button", name="Disable BLOBs").wait_for()
        await (
            prop(page, "Blob")
            .locator("input[type=file]")
            .set_input_files({"name": "flat 1.fits", "mimeType": "image/fits", "buffer": picture})
        )
        await press(page, prop(page, "Blob").get_by_role("button", name="Send"))
        await page.get_by_text("Change to property Blob has been submitted").wait_for()
        await soon(lambda: here.driver.got, 30)
        value = here.driver.got[0][1]["X"]
        assert (value[0] if isinstance(value, tuple) else value) == picture
        vector = here.driver[DEVICE]["BLOB"]
        vector["X"] = picture[::-1]
        vector.data["X"].blobformat = ".fits"
        await vector.send_setVectorMembers(members=["X"])
        link = prop(page, "Blob").get_by_role("link", name=".fits")
        await link.wait_for()
        async with page.expect_download() as waiting:
            await link.click()
        download = await waiting.value
        assert await asyncio.to_thread(lambda path: path.read_bytes(), await download.path()) == picture[::-1]
        await page.get_by_role("link", name="BLOB Folder").click()
        async with page.expect_download() as waiting:
            await page.get_by_role("main").get_by_role("link", name=".fits").click()
        assert (await waiting.value).suggested_filename.endswith(".fits")
        here.errors = [error for error in here.errors if "ERR_ABORTED" not in error]
        assert here.errors == []
