"""Nothing keeps a person from an abort: not a server that changes, not keys that were dropped, not a key held down."""

import pytest

pytest.importorskip("textual", reason="the terminal client needs the extra term")

from textual import events

from indipyterm.aim import Aim
from indipyterm.orders import abort_of
from tests.support import asynchronous, eventually

from .observatory import define, delete, switch, update
from .terminal import terminal
from .test_aim import A, B, commands, meaning

ABORT = switch("Tel", "ABORT_MOTION", [("ABORT", "Abort", "Off")], rule="AtMostOne")
OTHER = switch("Tel", "FOCUS_ABORT", [("ABORT", "Abort", "Off")], rule="AtMostOne")
NUMBERS = "".join(define("Number", "Tel", f"N{number}", [("P", f"p{number}", number)]) for number in range(5))


@asynchronous
async def test_an_abort_switch_that_is_not_defined_again_does_not_hold_up_the_others():
    async with terminal(ABORT + OTHER) as screen:
        screen.link.close()
        await screen.sees("LOST")
        screen.link = await screen.server.client(ABORT)
        client = screen.session.client
        await eventually(lambda: client.connected and not client.is_stale(client.need("Tel", "ABORT_MOTION")))
        assert [key for key, _ in abort_of(client, "Tel")] == [("Tel", "ABORT_MOTION")]
        await screen.press("exclamation_mark", "exclamation_mark")
        assert await commands(screen) == [("Tel", "ABORT_MOTION")]


@asynchronous
async def test_an_abort_after_an_editor_that_did_not_open():
    async with terminal(ABORT + NUMBERS) as screen:
        await screen.go("Tel", "N0")
        await screen.says(delete("Tel", "N0"))
        await eventually(lambda: screen.main.table.current()[0].name != "N0")
        await screen.burst("enter", "exclamation_mark", "exclamation_mark")
        assert await commands(screen) == [("Tel", "ABORT_MOTION")]


@asynchronous
@pytest.mark.parametrize(("presses", "sent"), [(2, []), (4, [("Tel", "ABORT_MOTION")])])
async def test_an_abort_in_a_text_is_none_until_it_is_pressed_again_and_again(presses, sent):
    async with terminal(ABORT + NUMBERS) as screen:
        await screen.go("Tel", "N0")
        await screen.says(delete("Tel", "N0"))
        await eventually(lambda: screen.main.table.current()[0].name != "N0")
        await screen.burst("enter", *"Stop", *["exclamation_mark"] * presses)
        assert await commands(screen) == sent


def test_lines_that_shift_within_a_device_do_not_hold_up_its_abort():
    found = Aim(0.3)
    found.drawn(A, meaning(), 0.0)
    found.led(0.0, "D")
    found.shifted(5.0)
    found.led(5.1, "D")
    assert "just moved" in found.why_not(A, meaning(), 5.2)
    assert found.why_not_device("D", 5.2) == ""


def test_a_row_that_comes_and_goes_does_not_hold_up_the_abort_of_its_device():
    found = Aim(0.3)
    for spot in (A, B):
        found.drawn(spot, meaning(), 0.0)
    found.led(0.0, "D")
    for now in (5.0, 5.2, 5.4):
        found.displaced(A, "D")
        found.returned(A, now)
        assert "just moved" in found.why_not(A, meaning(), now + 0.1)
        assert found.why_not_device("D", now + 0.1) == ""


def test_a_cursor_that_comes_back_from_another_device_rests_first():
    found = Aim(0.3)
    found.drawn(A, meaning(), 0.0)
    found.led(0.0, "D")
    found.displaced(A, "E")
    found.returned(A, 5.0)
    assert found.why_not_device("D", 5.2)
    assert found.why_not_device("D", 5.4) == ""


@asynchronous
async def test_a_key_that_is_held_down_does_not_hold_up_the_next_one():
    async with terminal(ABORT + NUMBERS) as screen:
        in_order, table = screen.app.in_order, screen.main.table
        waits, settled = [], in_order._settled

        async def counted() -> None:
            waits.append(table.current()[0].name)
            await settled()

        in_order._settled = counted
        await screen.burst(*["j"] * 12, *["up"] * 2, "exclamation_mark", "exclamation_mark")
        assert table.current()[0].name == "N2"
        assert await commands(screen) == [("Tel", "ABORT_MOTION")]
        assert len(waits) <= 5


@asynchronous
async def test_an_abort_key_that_is_held_down_aborts_once():
    """Each abort waits for the answer to the one before: they would end what is begun seconds after the key was let go."""
    async with terminal(ABORT) as screen:
        await screen.readable()
        begin = events.Key("exclamation_mark", "!").time

        async def press(*times: float) -> None:
            for time in times:
                event = events.Key("exclamation_mark", "!")
                event.time = begin + time
                event.set_sender(screen.app)
                screen.app._driver.send_message(event)
            await screen.settled()

        await press(10.0, *(10.5 + number / 30 for number in range(60)))
        await screen.sees("let it go, and press again")
        await screen.sent("newSwitchVector")
        await screen.says(update("Switch", "Tel", "ABORT_MOTION", {"ABORT": "Off"}))
        await press(20.0, 20.2)
        await screen.sent("newSwitchVector")
        assert await commands(screen) == [("Tel", "ABORT_MOTION")] * 2


@asynchronous
async def test_a_key_that_is_typed_again_and_again_in_the_editor_is_typed_as_often():
    async with terminal(define("Number", "D", "X", [("P", "p", 5)])) as screen:
        await screen.press("enter", "ctrl+u")
        await screen.burst("1", *["0"] * 9)
        assert screen.main.pane.editor.value == "1000000000"


def test_keys_of_the_user_for_abort_are_urgent_too():
    from indipyterm.keymap import keys_of

    assert keys_of("value.abort", {}) == ["exclamation_mark"]
    assert keys_of("value.abort", {"value.abort": "f9,x"}) == ["f9", "x"]


@asynchronous
async def test_an_abort_where_nothing_is_shown_says_so():
    async with terminal(ABORT) as screen:
        await screen.press("slash")
        await screen.type("zzz")
        await screen.press("enter", "exclamation_mark")
        await screen.sees("there is nothing here")
