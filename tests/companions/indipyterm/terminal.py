"""A terminal client in a test, in front of a server that says what the test tells it to."""

import asyncio
import contextlib

from textual import events

from indipyterm.app import IPyTerm
from indipyterm.settings import Settings
from tests.companions.indipyclient.scripted import Connection, ScriptedServer, scripted
from tests.support import eventually


class Screen:
    """What is on the screen, and hands on its keys."""

    def __init__(self, app: IPyTerm, pilot, server: ScriptedServer | None = None) -> None:
        self.app, self.pilot, self.server = app, pilot, server
        self.link: Connection | None = None

    @property
    def main(self):
        return self.app.main

    @property
    def session(self):
        return self.app.workspace.session

    def lines(self) -> list[str]:
        """The screen, line by line."""
        strips = self.app.screen._compositor.render_strips(self.app.size)
        return ["".join(segment.text for segment in strip).rstrip() for strip in strips]

    def text(self) -> str:
        return "\n".join(self.lines())

    async def press(self, *keys: str) -> None:
        for key in keys:
            await self.pilot.press(key)
            await self.settled()

    async def settled(self) -> None:
        """Wait until the keys have done what they do, and that is on the screen."""
        reached = asyncio.Event()
        if self.app.call_later(reached.set):
            await eventually(lambda: reached.is_set() or not self.app.is_running, 30)
        await eventually(lambda: self.app.in_order.idle or not self.app.is_running, 30)
        await self.pilot.pause()

    async def burst(self, *keys: str) -> None:
        """All these keys in one read of the terminal."""
        for key in keys:
            event = events.Key(key, {"space": " ", "enter": "\r", "tab": "\t"}.get(key, key if len(key) == 1 else None))
            event.set_sender(self.app)
            self.app._driver.send_message(event)
        await self.settled()

    async def type(self, text: str) -> None:
        names = {" ": "space", ":": "colon", ".": "full_stop", "-": "minus", "/": "slash", "=": "equals_sign"}
        await self.press(*(names.get(char, char) for char in text))

    async def sees(self, *words: str, timeout: float = 5) -> str:
        """Wait until all these words are on the screen; returns it."""
        try:
            await eventually(lambda: all(word in self.text() for word in words), timeout)
        except AssertionError:
            missing = [word for word in words if word not in self.text()]
            raise AssertionError(f"not on the screen: {missing}\n{self.text()}") from None
        return self.text()

    async def sees_no(self, word: str, timeout: float = 5) -> None:
        """Wait until a word is no longer there."""
        try:
            await eventually(lambda: word not in self.text(), timeout)
        except AssertionError:
            raise AssertionError(f"still on the screen: {word}\n{self.text()}") from None

    def line_of(self, word: str) -> str:
        """The first line with this word."""
        return next((line for line in self.lines() if word in line), f"no {word} in\n{self.text()}")

    async def go(self, device: str, name: str, member: str | None = None) -> None:
        """Put the cursor there."""
        self.main.go_to(self.session.client.need(device, name), member)
        await self.readable()

    async def readable(self) -> None:
        """Wait until a key would act on what is under the cursor."""
        await self.settled()
        await eventually(lambda: self.main.table.can_be_read)

    async def sent(self, tag: str, **attributes: str):
        """What the client sends next of this kind."""
        return await self.link.expect(
            lambda e: e.tag == tag and all(e.get(key) == value for key, value in attributes.items())
        )

    async def says(self, *texts: str) -> None:
        """The server says something."""
        await self.link.send(*texts)


def members(element) -> dict[str, str]:
    """Members of what was sent."""
    return {child.get("name"): (child.text or "").strip() for child in element}


@contextlib.asynccontextmanager
async def terminal(
    *greeting: str,
    size=(80, 24),
    folder=None,
    settings: Settings | None = None,
    port=None,
    settle: float = 0.0,
    host="127.0.0.1",
):
    """A terminal client that has been told this; it takes `settle` seconds to read a line."""
    async with scripted(host) as server:
        app = IPyTerm(host, port or server.port, folder, settings=settings or Settings())
        app.main.table.aim.settle = settle
        app.patience = 0.0
        async with app.run_test(size=size) as pilot:
            screen = Screen(app, pilot, server)
            if port is None:
                screen.link = await server.client(*greeting)
                if greeting:
                    await eventually(lambda: screen.main.devices.names)
                    await asyncio.sleep(0.12)
                    await pilot.pause()
                    if size[1] >= 8 and screen.main.table.sheet.spots:  # else there is nothing to read
                        await eventually(lambda: screen.main.table.can_be_read)
            yield screen
