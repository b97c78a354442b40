"""The program in a pseudo-terminal: colours of poorer terminals, and how it leaves the terminal behind."""

import asyncio
import contextlib
import os
import re
import signal
import threading
import tty
from pathlib import Path

import pytest

pytest.importorskip("textual", reason="the terminal client needs the extra term")
pytest.importorskip("pty", reason="there are no pseudo-terminals")

from tests.support import asynchronous, eventually

from .observatory import OBSERVATORY, TELESCOPE, blob, say, update
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


def is_stopped(terminal) -> bool:
    return Path(f"/proc/{terminal.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


@asynchronous
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc")
@pytest.mark.parametrize("number", ["SIGTSTP", "SIGSTOP"])
async def test_it_goes_on_after_it_was_suspended(number):
    async with program(OBSERVATORY) as (terminal, _):
        await terminal.prints(b"Equatorial")
        for _ in range(2):
            os.kill(terminal.pid, getattr(signal, number))
            await eventually(lambda: is_stopped(terminal), 30)
            if number == "SIGTSTP":  # which a program hears
                await terminal.prints(b"\x1b[?1049l")
                assert terminal.modes() == terminal.before
            terminal.output.clear()
            os.kill(terminal.pid, signal.SIGCONT)
            await terminal.prints(b"Equatorial")
            assert terminal.modes() != terminal.before
        terminal.press(b"?")
        await terminal.prints(b"Keys")
        terminal.press(b"q")
        await terminal.prints(b"Equatorial")
        terminal.press(b"q")
        assert await terminal.ends() == 0
        await terminal.prints(b"\x1b[?1049l")
        assert terminal.modes() == terminal.before


@asynchronous
async def test_a_terminal_that_stands_still_is_as_it_was_when_it_goes_on():
    async with program(OBSERVATORY) as (terminal, link):
        await terminal.prints(b"Equatorial")
        terminal.stand_still()
        for n in range(60):  # more than a terminal keeps
            await link.send(say("x" * 300 + str(n), "Telescope"))
            os.write(terminal._fd, b"d")  # other colours: all is drawn anew
            await asyncio.sleep(0.05)
        os.kill(terminal.pid, signal.SIGTERM)
        assert await terminal.ends() == 143
        terminal.go_on()
        await terminal.prints(b"\x1b[?1049l")
        await terminal.prints(b"\x1b[?1003l")


@asynchronous
async def test_what_was_not_sent_is_told_when_the_terminal_is_as_it_was(tmp_path):
    path = tmp_path / "pixels.bin"
    path.write_bytes(b"x" * 1000)
    async with program(OBSERVATORY) as (terminal, link):
        await terminal.prints(b"Equatorial")
        terminal.press(b"/upload\r")
        await terminal.prints(b"Bad pixels")
        await asyncio.sleep(1)  # as long as a person looks
        terminal.press(b"\r")
        await terminal.prints(b"Send a file as")
        terminal.press(f"{path}\r".encode())
        await link.expect(lambda e: e.tag == "newBLOBVector", timeout=30)
        terminal.press(b"q")
        await terminal.prints(b"pixels.bin not sent")
        await asyncio.sleep(1)
        terminal.press(b"y")
        assert await terminal.ends() == 0
        await terminal.prints(b"indipyterm: pixels.bin not sent")
        screen, _, after = terminal.output.rpartition(b"\x1b[?1049l")
        assert screen
        assert b"indipyterm: pixels.bin not sent" in after


@asynchronous
async def test_a_terminal_that_goes_without_a_signal_ends_the_program():
    async with program(OBSERVATORY, ignoring=[signal.SIGHUP]) as (terminal, _):
        await terminal.prints(b"Equatorial")
        terminal.hang_up()
        assert await terminal.ends() == 129


def test_a_terminal_that_has_gone_is_seen():
    from indipyterm.hangup import is_hung_up

    ours, theirs = os.openpty()
    with open(theirs) as stream:
        assert not is_hung_up(stream)
        os.close(ours)
        assert is_hung_up(stream)
    assert not is_hung_up(stream)
    assert not is_hung_up(None)


def read(terminal, count: int) -> str:
    found = b""
    while len(found) < count:
        found += os.read(terminal, count - len(found))
    return found.decode()


def test_a_terminal_that_stands_still_holds_up_nobody(monkeypatch):
    from indipyterm import hangup

    monkeypatch.setattr(hangup, "MOST", 20_000)
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    caught_up = threading.Event()
    with open(theirs, "w", newline="") as stream:
        outlet = hangup.Outlet(stream, caught_up.set)
        assert outlet.isatty()
        for n in range(10):  # more than a terminal keeps, and more than is kept for it
            outlet.write(f"{n}" * 10_000)
        assert not caught_up.is_set()
        assert read(ours, 20_000).startswith("0" * 10_000 + "1" * 5000)
        os.set_blocking(ours, False)
        while not caught_up.wait(0.001):
            with contextlib.suppress(BlockingIOError):
                os.read(ours, 1000)
        os.set_blocking(ours, True)
        outlet.write("again")
        found = b""
        while not found.endswith(b"again"):
            found += os.read(ours, 1000)
        outlet.close()
    os.close(ours)


def test_what_is_printed_last_does_not_wait_for_a_terminal_that_stands_still():
    from indipyterm import hangup

    ours, theirs = os.openpty()
    tty.setraw(theirs)
    with open(theirs, "w", newline="") as stream:
        outlet = hangup.Outlet(stream)
        outlet.write("x" * 500_000)
        assert read(ours, 1) == "x"  # it is being printed
        outlet.write("y")
        outlet.drop()
        outlet.write("the end")
        outlet.close()
        found = ""
        while not found.endswith("the end"):
            found += os.read(ours, 1000).decode()
        assert found.strip("x") == hangup.MENDED + "the end"
        assert len(found) < 200_000
        outlet.write("and again")  # the program was suspended
        assert read(ours, 9) == "and again"
        outlet.close()
    os.close(ours)


def test_what_a_terminal_that_has_gone_does_not_take_is_dropped():
    from indipyterm.hangup import Outlet

    ours, theirs = os.openpty()
    stream = open(theirs, "w")  # noqa: SIM115  # what has not been written cannot be, so that closing it fails
    outlet = Outlet(stream)
    outlet.write("seen")
    assert read(ours, 4) == "seen"
    os.close(ours)
    for _ in range(3):
        outlet.write("not seen")
    outlet.close()
    outlet.write("not seen")
    with contextlib.suppress(OSError):
        stream.close()


@asynchronous
async def test_blobs_are_saved_while_the_terminal_stands_still(tmp_path):
    async with program(OBSERVATORY, arguments=["--blobfolder", str(tmp_path)]) as (terminal, link):
        await terminal.prints(b"Equatorial")
        terminal.stand_still()
        mount = ("Number", "Telescope", "EQUATORIAL_EOD_COORD")
        for n in range(45):  # as many pictures, of which each has some hundred bytes
            await link.send(update(*mount, {"RA": n / 3, "DEC": n}), say("x" * 300 + str(n), "Telescope"))
            await asyncio.sleep(0.1)
        await link.send(blob("CCD 1", "CCD1", "CCD1", b"image"))
        await eventually(lambda: list(tmp_path.glob("CCD1*")), 30)
        await link.send(update(*mount, {"RA": 23.25}))
        terminal.go_on()
        await terminal.prints(b"23:15:0")


@asynchronous
@pytest.mark.parametrize("odd", [b"\xe9", b"\xe2\x82", b"\x1b[M \xe0\xf0", b"\x1b[200~Caf\xe9 !!sq\x1b[201~"])
async def test_a_byte_that_is_not_utf8_does_not_end_the_program(odd):
    """Such as a letter of a terminal for Latin 1, a click far to the right in an old one, and pasted text."""
    async with program(OBSERVATORY) as (terminal, link):
        await terminal.prints(b"Equatorial")
        terminal.press(odd)
        await asyncio.sleep(0.3)  # else the next key may be taken for a part of it
        terminal.press(b"?")
        await terminal.prints(b"Keys")
        terminal.press(b"q")
        await terminal.prints(b"Equatorial")
        terminal.press(b"q")
        assert await terminal.ends() == 0
        assert b"Traceback" not in terminal.output
        assert not [e for e in await link.everything() if e.tag.startswith("new")]


@asynchronous
async def test_a_click_of_an_old_terminal_that_comes_in_two_parts_presses_nothing():
    async with program(TELESCOPE) as (terminal, link):
        await terminal.prints(b"Equatorial")
        await asyncio.sleep(0.5)  # the first switch has been read: the space bar would press it
        terminal.press(b"\x1b[M")
        await asyncio.sleep(0.5)
        terminal.press(b" 00?")
        await terminal.prints(b"Keys")
        assert not [e for e in await link.everything() if e.tag.startswith("new")]


@asynchronous
async def test_gnu_screen_is_not_asked_for_a_mouse():
    """It would hold back Escape until the next key, which then looks like Alt and that key."""
    async with program(OBSERVATORY, STY="1234.pts-0.observatory") as (terminal, _):
        await terminal.prints(b"Equatorial")
        assert b"\x1b[?1000h" not in terminal.output
        assert b"\x1b[?1003h" not in terminal.output


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
