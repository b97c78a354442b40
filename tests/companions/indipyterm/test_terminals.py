"""The program in a pseudo-terminal: colours of poorer terminals, and how it leaves the terminal behind."""

import asyncio
import os
import re
import signal

import pytest

pytest.importorskip("textual", reason="the terminal client needs the extra term")
pytest.importorskip("pty", reason="there are no pseudo-terminals")

from tests.support import asynchronous

from .observatory import OBSERVATORY
from .speed import program


@asynchronous
@pytest.mark.parametrize(("number", "status"), [("SIGTERM", 143), ("SIGHUP", 129)])
async def test_a_signal_to_end_leaves_the_terminal_as_it_was(number, status):
    async with program(OBSERVATORY) as (terminal, _):
        await terminal.prints(b"Equatorial")
        assert terminal.modes() != terminal.before
        os.kill(terminal.pid, getattr(signal, number))
        assert await terminal.ends() == status
        await terminal.prints(b"\x1b[?1049l")  # the screen that was there before
        assert terminal.modes() == terminal.before
        for mode in (b"1000", b"1003", b"1004", b"2004", b"25"):
            on = terminal.output.rfind(b"\x1b[?" + mode + b"h")
            off = terminal.output.rfind(b"\x1b[?" + mode + b"l")
            assert (on > off) if mode == b"25" else (on < off), mode


async def colours(**environment: str) -> list[str]:
    """The parameters of all colours that are printed."""
    async with program(OBSERVATORY, **environment) as (terminal, _):
        await terminal.prints(b"Equatorial")
        terminal.press(b"j")
        await asyncio.sleep(0.3)
        terminal.press(b"]")
        await terminal.prints(b"Image")
        return re.findall(r"\x1b\[([\d;]+)m", terminal.output.decode(errors="replace"))


@asynchronous
async def test_sixteen_colours():
    found = await colours(TERM="xterm", COLORTERM="")
    numbers = {int(number) for part in found for number in part.split(";")}
    assert numbers & set(range(30, 38)) | numbers & set(range(90, 98))
    assert not numbers & {38, 48}, "more than 16 colours"


@asynchronous
async def test_no_colour():
    for part in await colours(NO_COLOR="1"):
        numbers = list(map(int, part.split(";")))
        while numbers:
            number = numbers.pop(0)
            if number in (38, 48):
                assert numbers.pop(0) == 2
                red, green, blue, *numbers = numbers
                assert red == green == blue, part
            else:
                assert number < 30 or number in (39, 49), part
