"""Any keys at any moment, while the server says anything: the program goes on, and sends nothing that was not asked for."""

import random

import pytest

pytest.importorskip("textual", reason="the terminal client needs the extra term")

from tests.support import asynchronous, eventually
from tests.support.fits import fits

from .observatory import (
    AWKWARD,
    AWKWARD_DEVICE,
    CAMERA,
    DOME,
    OBSERVATORY,
    TELESCOPE,
    WEATHER,
    blob,
    define,
    delete,
    say,
    switch,
    update,
)
from .terminal import terminal

KEYS = (
    "up down left right j k h l pageup pagedown home end G g J K tab shift+tab right_square_bracket "
    "left_square_bracket alt+1 alt+4 0 1 2 3 9 greater_than_sign less_than_sign slash n N a ctrl+p colon enter enter "
    "space s ctrl+s S u plus minus v p P b y Y r exclamation_mark c d m question_mark escape escape escape escape 5 x "
    "backspace full_stop full_stop ctrl+u o left_curly_bracket right_curly_bracket f1 equals_sign ctrl+r delete"
).split()

SAYINGS = (
    OBSERVATORY,
    TELESCOPE,
    CAMERA,
    DOME,
    WEATHER,
    AWKWARD,
    delete("Telescope"),
    delete("CCD 1"),
    delete("CCD 1", "CCD1"),
    delete(AWKWARD_DEVICE, None, "gone [/b]"),
    delete("Telescope", "EQUATORIAL_EOD_COORD"),
    say("hello [red]", "Telescope"),
    say("site [/]"),
    update("Number", "Telescope", "EQUATORIAL_EOD_COORD", {"RA": 1}, "Busy"),
    update("Number", "Telescope", "EQUATORIAL_EOD_COORD", {"RA": 2}, "Alert", "[no]"),
    update("Switch", "Dome", "OPTIONS", {"FAN": "On"}),
    update("Light", "Telescope", "SCOPE_STATUS", {"LIMITS": "Alert", "MOTOR": "Idle"}),
    update("Text", "CCD 1", "FITS_HEADER", {"OBJECT": "x" * 3000}),
    blob("CCD 1", "CCD1", "CCD1", fits(40, 30)),
    blob("CCD 1", "CCD1", "CCD1", b"SIMPLE  =", ".fits.z"),
    switch("Telescope", "EQUATORIAL_EOD_COORD", [("RA", "now a switch", "Off")]),
    define("Text", "Telescope", "GEOGRAPHIC_COORD", [("LAT", "now a text", "a\nb")]),
    define("Number", "Telescope", "GEOGRAPHIC_COORD", []),
    "<garbage/>",
)


@asynchronous
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.timeout(120)
async def test_any_keys_while_the_server_says_anything(seed):
    dice = random.Random(seed)
    sizes = [(80, 24), (120, 40), (30, 10), (12, 4), (81, 25)]
    async with terminal(OBSERVATORY, AWKWARD, size=sizes[seed]) as screen:
        for number in range(110):
            if dice.random() < 0.4 and not 40 <= number <= 55:
                await screen.link.send(dice.choice(SAYINGS))
            if dice.random() < 0.03:
                await screen.pilot.resize_terminal(*dice.choice(sizes))
            if number == 40 + seed:
                screen.link.close()
            elif number == 55:  # the keys between are pressed while the server is lost
                screen.link = await screen.server.client(OBSERVATORY, timeout=20)
            key = dice.choice(KEYS)
            await screen.pilot.press(key)
            assert screen.app._exception is None, key
            assert len(screen.lines()) == screen.app.size.height
        for _ in range(6):
            await screen.pilot.press("escape")
        await screen.pilot.resize_terminal(100, 30)
        await screen.link.send(OBSERVATORY)
        await eventually(lambda: screen.app.screen is screen.main or screen.app._exit)
        if not screen.app._exit and screen.app.workspace is not None:
            await screen.sees("Telescope")


@asynchronous
async def test_looking_around_sends_nothing():
    async with terminal(OBSERVATORY, AWKWARD) as screen:
        for key in KEYS:
            if key not in ("enter", "space", "exclamation_mark", "r", "o", "b", "ctrl+p", "colon", "ctrl+r"):
                await screen.pilot.press(key)
        assert {e.tag for e in await screen.link.everything()} <= {"getProperties"}
