"""A web server in the loop of a test, over a real INDI server, and browsers without a screen."""

import asyncio
import contextlib
from dataclasses import replace

import httpx

from indipydriver import Device, IPyDriver
from indipydriver.propertymembers import BLOBMember, LightMember, NumberMember, SwitchMember, TextMember
from indipydriver.propertyvectors import BLOBVector, LightVector, NumberVector, SwitchVector, TextVector
from indipyweb.app import build_app
from indipyweb.context import Web
from indipyweb.security.passwords import Passwords
from indipyweb.security.permissions import Role
from indipyweb.settings import Settings
from tests.support import eventually, running_server

PASSWORD = "correct horse battery"
AWKWARD = 'Dev <b>&"x"/1'
FORM = {"content-type": "application/x-www-form-urlencoded"}


class Everything(IPyDriver):
    """One property of each kind, with names that are awkward in a page; it does what it is told."""

    def __init__(self, name=AWKWARD):
        self.got = []
        switches = lambda: [SwitchMember(n, n) for n in ("A", "B <i>", "C")]  # noqa: E731
        main = "G/1 &"
        vectors = [
            NumberVector(
                "NUM", "Num <b>", main, "rw", "Ok", [NumberMember("N", "x 10", "%.1f", "0", "10", "0.5", "1")]
            ),
            NumberVector("REFUSES", "Refuses", main, "rw", "Ok", [NumberMember("R", "R", "%g", "0", "0", "0", "1")]),
            TextVector("TEXT", "Text", main, "rw", "Ok", [TextMember("T", membervalue="<script>alert(1)</script>")]),
            SwitchVector("ONE", "One", main, "rw", "OneOfMany", "Ok", switches()),
            SwitchVector("MOST", "Most", main, "rw", "AtMostOne", "Ok", switches()),
            SwitchVector("ANY", "Any", main, "rw", "AnyOfMany", "Ok", switches()),
            LightVector("LIGHT", "Light", main, "Ok", [LightMember("L", membervalue="Busy")]),
            BLOBVector("UP", "Upload", "Other", "rw", "Ok", [BLOBMember("X")]),
            BLOBVector("IMAGE", "Image", "Other", "ro", "Ok", [BLOBMember("I", blobformat=".fits")]),
            NumberVector(
                "RO", "Read <only>", "Other", "ro", "Ok", [NumberMember("V", "V", "%.2f", "0", "0", "0", "5")]
            ),
        ]
        super().__init__(Device(name, vectors))
        self.device = self[name]

    async def rxevent(self, event):
        name, vector = event.vectorname, event.vector
        if name == "REFUSES":
            await vector.send_setVector(message="no <way>", state="Alert")
            return
        if name == "UP":
            self.got.append((name, bytes(event["X"]), event.sizeformat["X"][1]))
            vector["X"] = event["X"]
            await vector.send_setVectorMembers(state="Ok", members=["X"])
            return
        self.got.append((name, dict(event)))
        for member, value in event.items():
            vector[member] = value
        await vector.send_setVector(state="Ok")


class Site:
    """The web server, and what it stands on."""

    def __init__(self, web, app, server, driver):
        self.web, self.app, self.server, self.driver = web, app, server, driver

    def browser(self, name="", *, host="localhost:8000", headers=(), address="127.0.0.1"):
        """A browser that has logged in, or not."""
        transport = httpx.ASGITransport(self.app, client=(address, 5))
        client = httpx.AsyncClient(transport=transport, base_url=f"http://{host}")
        client.headers.update({"origin": f"http://{host}", **dict(headers)})
        if name:
            token, _ = self.web.sessions.begin(name, address)
            plain = host.partition(":")[0]
            client.cookies.set(self.web.settings.cookie, token, domain=plain if "." in plain else f"{plain}.local")
        return client


def accounts(web):
    """One of each role, with one password; what a test does not look at is not hashed well."""
    for name, role in (("viewer", Role.VIEWER), ("user", Role.USER), ("admin", Role.ADMIN)):
        web.users.add(name, role, web.passwords.hash_now(PASSWORD))


@contextlib.asynccontextmanager
async def website(folder, *drivers, clock=None, people=True, **settings):
    """A web server over an INDI server with these drivers."""
    driver = drivers[0] if drivers else Everything()
    async with running_server(driver, *drivers[1:]) as server:
        chosen = replace(Settings(folder, servers=(f"localhost:{server.port}",)), **settings)
        more = {"clock": clock} if clock else {}
        web = Web(chosen, passwords=Passwords(1, 8), **more)
        if people:
            accounts(web)
        app = build_app(web)
        await web.start()
        try:
            await eventually(lambda: web.first.rev == web.first.model.rev and len(web.first.model) >= 10, timeout=30)
            yield Site(web, app, server, driver)
        finally:
            await web.aclose()


async def soon(condition, timeout=30):
    """Wait for a condition."""
    await eventually(condition, timeout=timeout)


async def poll(function, timeout=30):
    """Wait until a coroutine function returns something true, and return that."""
    async with asyncio.timeout(timeout):
        while not (found := await function()):
            await asyncio.sleep(0.02)
        return found
