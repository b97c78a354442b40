"""A key acts on what the person could have read: the rule, and what a server or a quick hand can do in between."""

import asyncio
from time import sleep

import pytest

pytest.importorskip("textual", reason="the terminal client needs the extra term")

from textual import events

from indipyterm import inorder
from indipyterm.aim import SETTLE, Aim, meaning_of
from indipyterm.orders import abort_of, order_of, press_of
from tests.support import asynchronous, eventually

from .observatory import CAMERA, DOME, TELESCOPE, define, delete, switch, update
from .terminal import members, terminal
from .test_lines import model_of

A, B = (("D", "P"), "A"), (("D", "Q"), "B")


def meaning(label: str = "a", becomes: str = "On"):
    from indipyterm.aim import Meaning

    return Meaning(("Switch", "P"), label, becomes)


def aim(*spots, at: float = 0.0) -> Aim:
    found = Aim(0.3)
    for spot in spots:
        found.drawn(spot, meaning(), at)
    found.led(at)
    return found


# The rule


def test_a_row_must_have_been_on_the_screen():
    found = aim(A)
    assert "only just appeared" in found.why_not(B, meaning(), 1.0)
    assert "only just appeared" in found.why_not(A, meaning(), 0.2)
    assert found.why_not(A, meaning(), 0.31) == ""


def test_drawing_it_again_changes_nothing_but_another_meaning_does():
    found = aim(A)
    found.drawn(A, meaning(), 0.9)
    assert found.why_not(A, meaning(), 1.0) == ""
    assert "just changed" in found.why_not(A, meaning("b"), 1.0)
    found.drawn(A, meaning("b"), 1.0)
    assert "only just appeared" in found.why_not(A, meaning("b"), 1.2)
    assert found.why_not(A, meaning("b"), 1.31) == ""


def test_what_was_out_of_sight_has_to_be_read_again():
    found = aim(A, B)
    found.in_sight({B})
    assert "only just appeared" in found.why_not(A, meaning(), 5.0)
    assert found.why_not(B, meaning(), 5.0) == ""


def test_a_cursor_that_the_server_has_moved_is_told_first():
    found = aim(A, B)
    found.displaced(A)
    assert "A has gone, and the cursor is here now" in found.why_not(B, meaning(), 60.0)
    assert "just moved" in found.why_not(B, meaning(), 60.1)
    assert found.why_not(B, meaning(), 60.4) == ""


def test_a_hand_that_moves_it_on_knows_where_it_is():
    found = aim(A, B)
    found.displaced(A)
    found.led(50.0)
    assert found.why_not(B, meaning(), 50.0) == ""


def test_a_hand_that_finds_nothing_elsewhere_is_told_nevertheless():
    found = aim(A, B)
    found.displaced(A)
    found.missed(50.0)
    assert "A has gone, and the cursor is here now" in found.why_not(B, meaning(), 60.0)


def test_after_a_miss_the_row_must_be_read():
    found = aim(A, B)
    found.missed(50.0)
    assert "just moved" in found.why_not(A, meaning(), 50.2)
    assert found.why_not(A, meaning(), 50.31) == ""


def test_a_cursor_that_comes_back_rests_first():
    found = aim(A, B)
    found.displaced(A)
    found.returned(A, 10.0)
    assert "just moved" in found.why_not(A, meaning(), 10.2)
    assert found.why_not(A, meaning(), 10.4) == ""


def test_a_hand_that_moves_in_lines_that_have_just_shifted_rests_first():
    found = aim(A, B)
    found.shifted(10.0)
    assert found.why_not(A, meaning(), 10.1) == ""  # the cursor was there, and is
    found.led(10.2)
    assert "just moved" in found.why_not(B, meaning(), 10.3)
    assert found.why_not(B, meaning(), 10.51) == ""
    found.led(11.0)
    assert found.why_not(B, meaning(), 11.0) == ""


def test_a_whole_device_must_have_been_shown_too():
    found = aim(A)
    assert found.why_not_device("D", 0.2)
    assert found.why_not_device("D", 0.4) == ""
    assert found.why_not_device("E", 0.4)
    found.displaced((("E", "P"), "A"))
    assert "E has gone, and D is shown now" in found.why_not_device("D", 5.0)
    found.displaced((("D", "gone"), "A"))
    assert found.why_not_device("D", 6.0) == ""  # another row of the same device


def test_asking_whether_it_can_be_read_tells_nobody():
    found = aim(A)
    found.displaced(B)
    assert not found.is_read(A, meaning(), 5.0)
    assert found.why_not(A, meaning(), 5.0)


# What is sent is what was asked


@asynchronous
async def test_an_order_lapses_when_what_it_is_about_changes():
    dome = switch("Dome", "SHUTTER", [("OPEN", "Open", "Off"), ("CLOSE", "Close", "On")], rule="OneOfMany")
    async with terminal(dome + switch("Dome", "ABORT", [("ABORT", "Abort", "Off")])) as screen:
        client = screen.session.client
        order = press_of(client.need("Dome", "SHUTTER"), "OPEN")
        assert dict(order) == {("Dome", "SHUTTER"): {"OPEN": "On", "CLOSE": "Off"}}
        assert order.why_not(client) == ""
        abort = abort_of(client, "Dome")
        assert dict(abort) == {("Dome", "ABORT"): {"ABORT": "On"}}
        await screen.says(dome, update("Switch", "Dome", "ABORT", {"ABORT": "On"}, "Busy"))
        await eventually(lambda: client.need("Dome", "ABORT")["ABORT"].on)
        assert order.why_not(client) == ""  # it was only said again
        assert abort.why_not(client) == ""  # an abort is an abort
        await screen.says(update("Switch", "Dome", "SHUTTER", {"OPEN": "On", "CLOSE": "Off"}))
        await eventually(lambda: client.need("Dome", "SHUTTER")["OPEN"].on)
        assert "has changed meanwhile" in order.why_not(client)
        await screen.says(delete("Dome", "ABORT"))
        await eventually(lambda: client.get("Dome", "ABORT") is None)
        assert "ABORT is gone" in abort.why_not(client)
        order = order_of(client.need("Dome", "SHUTTER"), {"OPEN": "On"})
        screen.link.close()
        await eventually(lambda: not client.connected)
        assert "not connected" in screen.session.carry_out(order)


def three(*states: str) -> str:
    names = ("ONE", "TWO", "PARK")
    return "".join(
        switch("Alpha", name, [(name, name.lower(), "Off")], state=state, rule="AtMostOne")
        for name, state in zip(names, states or ("Ok",) * 3, strict=True)
    )


CONNECTED = switch("Tel", "CONNECTION", [("CONNECT", "Connect", "On"), ("DISCONNECT", "Disconnect", "Off")]) + define(
    "Number", "Tel", "EQ", [("RA", "RA", 1)], state="Busy"
)


def slow(screen) -> None:
    """From now on it takes a minute to read a line; those that are there have been read."""
    aim = screen.main.table.aim
    aim.settle = 60
    aim._rows = {spot: (found[0], -1e9) for spot, found in aim._rows.items()}


async def commands(screen) -> list[tuple[str, str]]:
    """Device and name of all that was sent."""
    return [(e.get("device"), e.get("name")) for e in await screen.link.everything() if e.tag.startswith("new")]


@asynchronous
async def test_a_press_does_not_hit_the_neighbour_of_what_was_deleted():
    async with terminal(three()) as screen:
        await screen.press("j")
        assert screen.main.table.current()[0].name == "TWO"
        await screen.says(delete("Alpha", "TWO"))
        await eventually(lambda: screen.main.table.current()[0].name == "PARK")
        await screen.press("space")
        await screen.sees("TWO has gone, and the cursor is here now: nothing was sent")
        assert await commands(screen) == []
        await screen.readable()
        await screen.press("space")
        assert await commands(screen) == [("Alpha", "PARK")]


@asynchronous
async def test_a_press_does_not_hit_the_neighbour_of_what_left_the_filter():
    async with terminal(three("Alert", "Alert", "Alert")) as screen:
        await screen.press("slash")
        await screen.type("state:alert")
        await screen.press("enter", "j")
        assert screen.main.table.current()[0].name == "TWO"
        screen.main.table.built_at -= 2
        await screen.says(update("Switch", "Alpha", "TWO", {"TWO": "Off"}))
        await eventually(lambda: screen.main.table.current()[0].name == "PARK")
        await screen.press("space")
        await screen.sees("nothing was sent")
        assert await commands(screen) == []


@asynchronous
async def test_a_press_does_not_hit_another_device_when_its_own_is_deleted():
    async with terminal(three() + DOME) as screen:
        await screen.says(delete("Alpha"))
        await screen.sees("1 device")
        await screen.press("space")
        await screen.sees("nothing was sent")
        assert await commands(screen) == []


@asynchronous
async def test_the_device_and_the_cursor_come_back():
    async with terminal(DOME + three()) as screen:
        await screen.go("Alpha", "TWO")
        await screen.says(delete("Alpha"))
        await screen.sees_no("Alpha")
        await screen.says(three())
        await screen.sees("two")
        assert screen.main.table.current()[0].name == "TWO"
        await screen.readable()
        await screen.press("space")
        assert await commands(screen) == [("Alpha", "TWO")]


@asynchronous
async def test_a_device_and_a_cursor_that_the_person_has_left_stay_away():
    async with terminal(DOME + three()) as screen:
        await screen.go("Alpha", "TWO")
        await screen.says(delete("Alpha"))
        await screen.sees_no("Alpha")
        await screen.go("Dome", "DOME_SHUTTER")
        await screen.says(three())
        await screen.sees("Alpha")
        assert screen.main.browser.device == "Dome"


@asynchronous
async def test_a_row_that_was_defined_anew_as_something_else_has_to_be_read():
    async with terminal(three(), settle=SETTLE) as screen:
        await screen.readable()
        await screen.says(switch("Alpha", "ONE", [("ONE", "now something else", "Off")], rule="AtMostOne"))
        await screen.sees("now something else")
        screen.main.table.aim.settle = 60
        await screen.press("space")
        await screen.sees("only just appeared")
        screen.main.table.aim.settle = 0
        await screen.press("space")
        assert await commands(screen) == [("Alpha", "ONE")]


@asynchronous
async def test_the_same_definition_again_is_no_news():
    async with terminal(three(), settle=SETTLE) as screen:
        await screen.readable()
        rev = screen.session.client.model.rev
        await screen.says(three())
        await eventually(lambda: screen.session.client.model.rev >= rev + 3)
        await asyncio.sleep(0.15)
        await screen.press("space")
        assert await commands(screen) == [("Alpha", "ONE")]


@asynchronous
async def test_a_toggle_that_turned_by_itself_is_not_turned_back():
    fan = switch("Dome", "OPTIONS", [("FAN", "Fan", "Off")], rule="AnyOfMany")
    async with terminal(fan) as screen:
        slow(screen)
        assert screen.main.table.can_be_read
        await screen.says(update("Switch", "Dome", "OPTIONS", {"FAN": "On"}))
        await eventually(lambda: screen.session.client.need("Dome", "OPTIONS")["FAN"].on)
        await screen.press("space")
        assert await commands(screen) == []


@asynchronous
async def test_a_hand_that_moves_while_lines_are_inserted():
    async with terminal(three()) as screen:
        table = screen.main.table
        slow(screen)
        await screen.says(delete("Alpha", "TWO"))
        await screen.sees_no("two")
        await screen.press("j", "space")  # to the line where TWO has been
        assert table.current()[0].name == "PARK"
        await screen.sees("the lines have just moved")
        assert await commands(screen) == []


@asynchronous
async def test_moving_among_lines_that_stand_still_needs_no_patience():
    async with terminal(three()) as screen:
        slow(screen)
        await screen.burst("j", "j", "space", "k", "space")
        assert await commands(screen) == [("Alpha", "PARK"), ("Alpha", "TWO")]


@asynchronous
async def test_a_cursor_that_is_out_of_sight_is_shown_first():
    many = "".join(switch("D", f"P{n}", [("GO", f"go {n}", "Off")], rule="AtMostOne") for n in range(40))
    async with terminal(many) as screen:
        table = screen.main.table
        table.scroll_to(y=30, animate=False, immediate=True)  # as the wheel of a mouse does
        await screen.settled()
        assert "go 0" not in screen.text()
        await screen.press("space")
        await screen.sees("the cursor was out of sight", "go 0")
        assert await commands(screen) == []
        await screen.readable()
        await screen.press("space")
        assert await commands(screen) == [("D", "P0")]


@asynchronous
async def test_nothing_is_pressed_that_the_server_has_not_defined_again():
    async with terminal(three() + DOME) as screen:
        await screen.go("Dome", "DOME_SHUTTER")
        screen.link.close()
        await screen.sees("LOST")
        screen.link = await screen.server.client(three())
        await screen.sees(" up ")
        await screen.press("space")
        await screen.sees("is not defined again yet: nothing was sent")
        await screen.says(DOME)
        await eventually(lambda: not screen.session.client.is_stale(screen.main.table.current()[0]))
        assert await commands(screen) == []


# The editor


@asynchronous
@pytest.mark.parametrize("anew", [False, True])
async def test_what_is_typed_for_a_property_that_goes_presses_nothing(anew):
    goto = define("Number", "Tel", "EQ", [("RA", "RA", 1)])
    park = switch("Tel", "PARK", [("PARK", "Park", "Off"), ("UNPARK", "Unpark", "On")], rule="OneOfMany")
    async with terminal(goto + park) as screen:
        await screen.press("enter", "5")
        await screen.says(delete("Tel", "EQ"))
        await screen.sees("what you were editing has gone")
        if anew:
            await screen.says(goto)
            await screen.sees("Park", "RA")
        await screen.press("space", "4", "0", "space", "0", "0", "ctrl+s", "tab", "enter", "s", "left", "ctrl+w")
        await screen.burst("space", "enter", "q")
        screen.app.post_message(events.Paste("23:00:00"))
        await screen.settled()
        assert screen.main.pane.editing
        assert screen.main.pane.editor.value == "5"
        await screen.press("escape")
        assert not screen.main.pane.editing
        assert await commands(screen) == []
        assert not len(screen.session.edits)


@asynchronous
async def test_an_editor_whose_property_means_something_else_is_dead_too():
    async with terminal(define("Number", "D", "X", [("A", "Focus", 1)])) as screen:
        await screen.press("enter", "5")
        await screen.says(define("Number", "D", "X", [("A", "Heater", 1)]))
        await screen.sees("what you were editing has gone")
        await screen.press("ctrl+s", "escape")
        assert await commands(screen) == []


@asynchronous
async def test_an_editor_survives_the_same_definition_and_a_lost_server():
    async with terminal(TELESCOPE) as screen:
        await screen.go("Telescope", "GEOGRAPHIC_COORD", "ELEV")
        await screen.press("enter", "9")
        await screen.says(TELESCOPE)
        screen.link.close()
        await screen.sees("LOST")
        await screen.press("5", "ctrl+s")
        await screen.sees("not connected", "=> 95")
        screen.link = await screen.server.client(TELESCOPE)
        await screen.sees(" up ")
        await eventually(lambda: not screen.session.client.is_stale(screen.main.table.current()[0]))
        await screen.readable()
        await screen.press("s")
        assert members(await screen.sent("newNumberVector"))["ELEV"] == "95"


@asynchronous
async def test_what_is_edited_stays_in_the_list_until_that_is_over():
    async with terminal(
        three("Alert", "Alert", "Ok") + define("Number", "Z", "X", [("A", "a", 1)], state="Alert")
    ) as screen:
        await screen.press("slash")
        await screen.type("state:alert")
        await screen.press("enter", "G")
        await screen.readable()
        await screen.press("enter", "7")
        screen.main.table.built_at -= 2
        await screen.says(update("Number", "Z", "X", state="Ok"), delete("Alpha", "ONE"))
        await screen.sees_no("one")
        editor, table = screen.main.pane.editor, screen.main.table

        def stands_on() -> tuple[str, str] | None:
            y = editor.region.y - table.region.y
            return table.sheet.lines[y].key if 0 <= y < len(table.sheet.lines) else None

        await eventually(lambda: stands_on() == ("Z", "X"))
        await screen.press("enter")
        assert screen.session.edits.of(("Z", "X")) == {"A": "7"}


@asynchronous
async def test_the_editor_stays_while_the_person_looks_at_another_window():
    async with terminal(TELESCOPE) as screen:
        await screen.go("Telescope", "GEOGRAPHIC_COORD", "ELEV")
        await screen.press("enter", "9")
        screen.app.post_message(events.AppBlur())
        await screen.pilot.pause()
        screen.app.post_message(events.AppFocus())
        await screen.pilot.pause()
        await screen.press("5", "ctrl+s")
        assert members(await screen.sent("newNumberVector"))["ELEV"] == "95"


@asynchronous
async def test_edits_of_what_is_defined_as_something_else_are_dropped_and_that_is_told():
    async with terminal(define("Number", "D", "X", [("A", "Focus", 1), ("B", "b", 1)])) as screen:
        await screen.press("enter", "5", "tab", "6", "enter")
        await screen.sees("=> 5", "=> 6")
        await screen.says(define("Number", "D", "X", [("A", "Heater", 1), ("B", "b", 1)]))
        await screen.sees("what you had typed is dropped", "=> 6")
        assert screen.session.edits.of(("D", "X")) == {"B": "6"}


# A place that the program has looked for


def test_who_lets_the_program_look_for_a_row_reads_what_it_has_found():
    found = aim(A, B)
    found.led(10.0, afar=True)
    assert "just moved" in found.why_not(B, meaning(), 10.1)
    assert found.why_not(B, meaning(), 10.31) == ""


@asynchronous
@pytest.mark.parametrize("states", [("Ok", "Ok", "Alert"), ("Ok", "Ok", "Ok")])
async def test_a_press_typed_behind_a_jump_to_the_next_alert(states):
    async with terminal(three(*states)) as screen:
        slow(screen)
        await screen.burst("a", "space")
        assert await commands(screen) == []


@asynchronous
async def test_a_press_typed_behind_a_filter():
    async with terminal(three()) as screen:
        slow(screen)
        await screen.burst("slash", *"park", "enter", "space")
        assert await commands(screen) == []


@asynchronous
@pytest.mark.parametrize("key", ["7", "alt+7", "n"])
async def test_a_press_typed_behind_a_key_that_leads_nowhere(key):
    async with terminal(three()) as screen:
        slow(screen)
        await screen.burst(key, "space")
        assert await commands(screen) == []


@asynchronous
async def test_a_hand_that_moves_after_lines_have_shifted_and_before_they_are_drawn():
    async with terminal(three()) as screen:
        table = screen.main.table
        slow(screen)
        shifted = []

        def rebuild(**how) -> None:
            type(table).rebuild(table, **how)
            if how and not shifted:
                table.move(1)
                shifted.append(table.why_not())

        table.rebuild = rebuild
        await screen.says(delete("Alpha", "TWO"))
        await eventually(lambda: shifted)
        assert table.current()[0].name == "PARK"
        assert shifted == ["the lines have just moved: look, and press again"]


@asynchronous
async def test_a_question_that_was_not_read_is_not_answered():
    async with terminal(CONNECTED) as screen:
        await screen.press("right")
        slow(screen)
        await screen.burst("space", "y")
        await screen.sees("Disconnect it?", "read this first, and press again")
        assert await commands(screen) == []
        screen.app.screen._settle = 0
        await screen.press("y")
        assert await commands(screen) == [("Tel", "CONNECTION")]


# Typed ahead


@asynchronous
@pytest.mark.parametrize(
    ("after", "shown"), [("2", "10"), ("up", "10"), ("escape", "10"), ("minus", "10"), ("ctrl+pagedown", "10")]
)
async def test_keys_after_a_value_is_sent_are_not_for_the_editor(after, shown):
    async with terminal(define("Number", "Foc", "POS", [("P", "p", 5)])) as screen:
        await screen.press("enter", "ctrl+u")
        await screen.burst("1", "0", "ctrl+s", after)
        assert members(await screen.sent("newNumberVector")) == {"P": shown}


@asynchronous
async def test_a_value_is_kept_and_sent_by_keys_that_come_at_once():
    async with terminal(define("Number", "Foc", "POS", [("P", "p", 5), ("Q", "q", 1)])) as screen:
        await screen.press("enter", "ctrl+u")
        await screen.burst("1", "0", "tab", "7", "enter", "s")
        assert members(await screen.sent("newNumberVector")) == {"P": "10", "Q": "7"}


@asynchronous
async def test_keys_stay_in_order_while_the_program_stands_still(monkeypatch):
    """For longer than a key waits, as on a slow machine that is told of thousands of properties."""
    monkeypatch.setattr(inorder, "PATIENCE", 0.5)
    async with terminal(define("Number", "D", "X", [("P", "p", 5)])) as screen:
        await screen.readable()
        in_order = screen.app.in_order
        settled, pauses = in_order._settled, [0.7]

        def stand_still() -> None:
            if pauses:
                sleep(pauses.pop())

        async def slowly() -> None:
            stand_still()
            await settled()

        monkeypatch.setattr(in_order, "_settled", slowly)
        await screen.burst("enter", "2", "5", "ctrl+s")
        assert members(await screen.sent("newNumberVector")) == {"P": "25"}


@asynchronous
async def test_what_was_typed_for_an_editor_that_did_not_open_is_dropped():
    edits = define("Number", "Foc", "POS", [("P", "p", 5)]) + define("Text", "Foc", "T", [("A", "a", "x")])
    async with terminal(edits) as screen:
        await screen.press("plus")
        screen.main.table.aim.settle = 60
        screen.main.table.aim._rows.clear()
        await screen.burst(
            "enter", *"Sky", "space", "q", "s", "exclamation_mark", "exclamation_mark", "enter", "S", "q"
        )
        await screen.sees("only just appeared")
        assert not screen.main.pane.editing
        assert not screen.app._exit
        assert await commands(screen) == []
        screen.main.table.aim.settle = 0
        screen.main.table.repaint()
        await screen.readable()
        await asyncio.sleep(0.6)
        await screen.press("s")
        assert await commands(screen) == [("Foc", "POS")]


@asynchronous
async def test_what_is_typed_ahead_for_a_dialog_is_for_the_dialog():
    async with terminal(three()) as screen:
        await screen.burst("o", *"obs1", "space")
        await screen.sees("Open a server", "obs1")
        await screen.press("escape")
        await screen.burst("m", "space", "escape", "question_mark", "space", "escape")
        assert await commands(screen) == []


@asynchronous
@pytest.mark.parametrize("keys", [("down", "tab", "space"), ("down", "right", "space"), ("down", "enter", "space")])
async def test_the_device_list_and_the_values_are_of_one_device(keys):
    devices = "".join(switch(name, f"P{name}", [("GO", name, "Off")], rule="AtMostOne") for name in ("alpha", "beta"))
    async with terminal(devices) as screen:
        screen.main.devices.focus()
        await screen.pilot.pause()
        await screen.burst(*keys)
        assert screen.main.browser.device == "beta"
        assert [device for device, _ in await commands(screen) if device != "beta"] == []


# Questions


@asynchronous
async def test_a_question_lapses_when_what_it_is_about_changes():
    async with terminal(TELESCOPE) as screen:
        await screen.go("Telescope", "CONNECTION", "DISCONNECT")
        await screen.press("space")
        await screen.sees("Disconnect it?")
        await screen.says(update("Switch", "Telescope", "CONNECTION", {"CONNECT": "Off", "DISCONNECT": "On"}))
        await screen.sees("has changed meanwhile: nothing was sent")
        await screen.says(update("Switch", "Telescope", "CONNECTION", {"CONNECT": "On", "DISCONNECT": "Off"}))
        await screen.sees("*) Connect")
        await screen.press("y")
        await screen.sees_no("Disconnect it?")
        assert await commands(screen) == []


@asynchronous
async def test_abort_is_of_the_device_that_was_shown():
    async with terminal(TELESCOPE + CAMERA) as screen:
        await screen.press("exclamation_mark")
        await screen.sees("every ABORT switch of Telescope: TELESCOPE_ABORT_MOTION")
        await screen.press("right_square_bracket")
        await screen.readable()
        await screen.press("exclamation_mark")
        await screen.sees("every ABORT switch of CCD 1: CCD_ABORT_EXPOSURE")
        assert await commands(screen) == []
        await screen.press("exclamation_mark")
        assert await commands(screen) == [("CCD 1", "CCD_ABORT_EXPOSURE")]


@asynchronous
async def test_abort_does_not_go_over_to_another_device():
    async with terminal(TELESCOPE + CAMERA) as screen:
        await screen.press("exclamation_mark")
        await screen.says(delete("Telescope"))
        await screen.sees("1 device")
        await screen.press("exclamation_mark")
        await screen.sees("Telescope has gone, and CCD 1 is shown now: nothing was sent")
        assert await commands(screen) == []


@asynchronous
async def test_abort_comes_at_once_when_it_is_pressed_twice_in_haste():
    async with terminal(TELESCOPE) as screen:
        await screen.burst("exclamation_mark", "exclamation_mark")
        assert await commands(screen) == [("Telescope", "TELESCOPE_ABORT_MOTION")]


@asynchronous
async def test_a_device_without_abort_says_so_at_the_first_press():
    async with terminal(define("Text", "D", "T", [("A", "a", "x")])) as screen:
        await screen.press("exclamation_mark")
        await screen.sees("D has no switch named ABORT")


@asynchronous
async def test_the_palette_sends_what_it_says():
    async with terminal(define("Number", "Tel", "EQ", [("RA", "ra", 1), ("DEC", "dec", 2)])) as screen:
        await screen.go("Tel", "EQ", "DEC")
        await screen.press("enter", "7", "enter")
        await screen.press("ctrl+p")
        await screen.type("set Tel.EQ.RA=5")
        await screen.sees("set Tel.EQ RA=5")
        await screen.press("enter")
        assert members(await screen.sent("newNumberVector")) == {"RA": "5", "DEC": "2"}
        assert screen.session.edits.of(("Tel", "EQ")) == {"DEC": "7"}


@asynchronous
async def test_the_palette_does_not_press_a_switch_for_somebody_who_sends():
    """The same action edits, presses and sends files, and says so; but another one begins with the word."""
    async with terminal(switch("D", "PARK", [("PARK", "Park", "Off")], rule="AtMostOne")) as screen:
        await screen.readable()
        await screen.press("colon")
        await screen.type("send")
        await screen.press("enter")
        await screen.sees("nothing to send")
        assert await commands(screen) == []


@asynchronous
async def test_the_palette_does_what_was_typed_last(monkeypatch):
    from indipyterm.commands import Commands

    search = Commands.search

    async def slow_search(self, query):
        await asyncio.sleep(0.1)
        async for hit in search(self, query):
            yield hit

    monkeypatch.setattr(Commands, "search", slow_search)
    async with terminal(define("Number", "Tel", "EQ", [("RA", "ra", 1), ("DEC", "dec", 2)])) as screen:
        await screen.press("ctrl+p")
        await screen.type("set Tel.EQ.RA=5")
        await screen.sees("set Tel.EQ RA=5")
        await screen.burst("0", "enter", "enter")  # the first Enter chooses, the second does it
        assert members(await screen.sent("newNumberVector")) == {"RA": "50", "DEC": "2"}


@asynchronous
async def test_all_edits_are_not_sent_to_a_server_that_has_only_just_been_shown():
    async with terminal(three()) as screen, terminal(define("Number", "Foc", "POS", [("P", "p", 5)])) as other:
        await screen.press("o")
        await screen.type(f"127.0.0.1:{other.server.port}")
        await screen.press("enter")
        link = await other.server.client(define("Number", "Foc", "POS", [("P", "p", 5)]))
        await screen.readable()
        await screen.press("plus", "left_curly_bracket")
        await screen.readable()
        slow(screen)
        await screen.burst("right_curly_bracket", "S")
        await screen.sees("Foc has only just appeared")
        assert not [e for e in await link.everything() if e.tag.startswith("new")]


def test_the_meaning_of_a_row_is_what_a_person_reads():
    def of(**changes):
        rows = {"label": "P", "rule": "AnyOfMany", "perm": "rw", "group": "G", "state": "Ok", **changes}
        prop = model_of(switch("D", "P", [("A", rows.pop("member", "a"), rows.pop("value", "Off"))], **rows)).get(
            "D", "P"
        )
        return meaning_of(prop, prop["A"])

    assert of() == of(state="Busy") == of(group="H")
    others = [of(label="Q"), of(rule="OneOfMany"), of(perm="ro"), of(member="b"), of(value="On")]
    assert all(other != of() for other in others)
    assert of(rule="OneOfMany", value="On") == of(rule="OneOfMany")  # it goes On either way


@asynchronous
@pytest.mark.parametrize("away", ["alt+2", "click", "ctrl+p"])
async def test_an_editor_does_not_stay_when_something_else_is_shown(away):
    async with terminal(TELESCOPE + CAMERA, size=(100, 30)) as screen:
        await screen.go("Telescope", "GEOGRAPHIC_COORD", "LAT")
        await screen.press("enter", "1", "0")
        assert screen.main.pane.editing
        if away == "click":  # on the group "Motion"
            await screen.pilot.click("#groups", offset=(screen.line_of("2 Motion").index("2 Motion") - 20, 0))
            await screen.settled()
            await screen.sees_no("Latitude")
        elif away == "ctrl+p":
            await screen.press("ctrl+p")
            await screen.type("temperature")
            await screen.press("enter")
            await screen.sees("> Temperature")
        else:
            await screen.press(away)
            await screen.sees("Duration")
        assert not screen.main.pane.editing
        assert not screen.main.pane.editor.display
        assert screen.session.edits.of(("Telescope", "GEOGRAPHIC_COORD")) == {"LAT": "10"}


@asynchronous
async def test_what_is_edited_stays_when_it_goes_to_another_group():
    def of(group):
        return define("Number", "D", "P", [("A", "here", 1)], group=group)

    others = "".join(define("Number", "D", f"O{n}", [("A", f"other {n}", 1)], group="One") for n in range(3))
    async with terminal(of("One") + others) as screen:
        await screen.press("1", "g")
        await screen.readable()
        await screen.press("enter", "7")
        y = screen.main.pane.editor.styles.offset.y.value
        await screen.says(of("Two"))
        await eventually(lambda: screen.session.client.need("D", "P").group == "Two")
        await asyncio.sleep(0.2)
        await screen.settled()
        assert "here" in screen.line_of("> ")
        assert screen.main.pane.editor.styles.offset.y.value == y
        await screen.press("ctrl+s")
        assert members(await screen.sent("newNumberVector", name="P")) == {"A": "7"}


NUMBER = define("Number", "A", "N", [("a", "Aaa", 1)], "Numbers")
POWER = switch("A", "S", [("x", "Xxx", "Off"), ("y", "Yyy", "Off")], "Power", rule="AnyOfMany")


async def now_enter_counts(screen):
    """And nothing has been sent before."""
    await asyncio.sleep(0.2)  # a key that is held down comes again sooner
    await screen.press("enter")
    assert members(await screen.sent("newSwitchVector")) == {"x": "On"}
    await screen.says(update("Switch", "A", "S", {"x": "On"}))
    await screen.sees("[x] Xxx")
    await screen.readable()
    await screen.press("enter")
    assert members(await screen.sent("newSwitchVector")) == {"x": "Off"}  # so the first was all that was sent


@asynchronous
async def test_what_is_typed_for_a_property_that_has_just_gone_presses_nothing(monkeypatch):
    """Its line is still on the screen, but the editor cannot be opened: what follows was typed for it."""
    async with terminal(NUMBER + POWER) as screen:
        await screen.go("A", "N", "a")
        held = []
        with monkeypatch.context() as late:
            late.setattr(screen.main, "changed", lambda *news: held.append(news))
            await screen.says(delete("A", "N"))
            await eventually(lambda: held and screen.session.client.get("A", "N") is None)
            await screen.burst("enter")
        for news in held:
            screen.main.changed(*news)
        await screen.settled()
        await screen.burst("5", "1", "4", "enter")
        await asyncio.sleep(0.6)  # a pause, after which keys count again
        await screen.press("enter")
        await screen.sees("a has gone, and the cursor is here now: nothing was sent")
        await now_enter_counts(screen)


@asynchronous
async def test_the_enter_that_ends_what_was_typed_for_nothing_presses_nothing_either():
    async with terminal(NUMBER + POWER, settle=0.05) as screen:
        await screen.go("A", "N", "a")
        await screen.says(delete("A", "N"))
        await screen.sees_no("Aaa")
        for key in ("enter", "5", "enter"):  # slow enough to have read the line, and too fast for a look at the screen
            await screen.burst(key)
            await asyncio.sleep(0.1)
        await screen.sees("a has gone, and the cursor is here now: nothing was sent")
        await asyncio.sleep(0.6)
        await now_enter_counts(screen)


@asynchronous
@pytest.mark.parametrize("begin", ["enter", "click"])
async def test_what_is_typed_for_a_value_that_cannot_be_set_presses_nothing(begin):
    """25 Enter: the second group, and what is under the cursor there."""
    weather = define("Number", "A", "N", [("a", "Aaa", 1)], perm="ro", group="1")
    async with terminal(weather + switch("A", "S", [("x", "Heater", "Off")], rule="AnyOfMany", group="2")) as screen:
        await screen.go("A", "N", "a")
        if begin == "click":
            await click(screen, 30, screen.lines().index(screen.line_of("Aaa")), 50.0)
        await screen.burst(*["enter"] * (begin == "enter"), "2", "5", "enter")
        await screen.sees("read-only")
        assert await commands(screen) == []


@asynchronous
async def test_enter_at_once_again_counts():
    """As the message asks: look, and press again."""
    async with terminal(NUMBER + POWER, settle=0.05) as screen:
        await screen.go("A", "N", "a")
        await screen.says(delete("A", "N"))
        await screen.sees_no("Aaa")
        for _ in range(2):
            await screen.burst("enter")
            await asyncio.sleep(0.1)
        assert members(await screen.sent("newSwitchVector")) == {"x": "On"}


@asynchronous
@pytest.mark.parametrize("key", ["space", "enter"])
async def test_a_key_that_is_held_down_does_not_press_on_and_on(key):
    """A relay would flap until the key is let go, and a button would be pressed thirty times a second."""
    step = switch("D", "STEP", [("GO", "Step", "Off")], rule="AtMostOne")
    async with terminal(step) as screen:
        begin = events.Key(key, None).time

        async def press(*times: float) -> None:
            for time in times:
                event = events.Key(key, " " if key == "space" else "\r")
                event.time = begin + time
                event.set_sender(screen.app)
                screen.app._driver.send_message(event)
            await screen.settled()

        async def is_sent() -> None:
            assert members(await screen.sent("newSwitchVector")) == {"GO": "On"}
            await screen.says(update("Switch", "D", "STEP", {"GO": "Off"}))

        await press(10.0)
        await is_sent()
        await press(10.5)  # it begins to come again, or the person has pressed it twice
        await is_sent()
        await press(*(10.5 + number / 30 + number // 20 * 0.3 for number in range(1, 60)))  # the line has stalled twice
        await screen.sees("let it go, and press again")
        assert len([e for e in await screen.link.everything() if e.tag == "newSwitchVector"]) == 2
        await press(13.7)
        await is_sent()


@asynchronous
@pytest.mark.parametrize("where", ["devices", "filter", "palette"])
@pytest.mark.parametrize("after", [0.03, 0.4])
async def test_the_key_that_leads_to_the_values_does_not_press_what_is_there(where, after):
    """Enter comes twice, or is held down until it begins to come again."""
    async with terminal(switch("D", "STEP", [("GO", "Step", "Off")], rule="AtMostOne"), size=(100, 30)) as screen:
        await screen.readable()
        await screen.press({"devices": "left", "filter": "slash", "palette": "colon"}[where])
        await screen.type({"devices": "", "filter": "step", "palette": "theme"}[where])
        begin = events.Key("enter", "\r").time

        async def press(*times: float) -> None:
            for time in times:
                event = events.Key("enter", "\r")
                event.time = begin + time
                event.set_sender(screen.app)
                screen.app._driver.send_message(event)
            await screen.settled()

        await press(10.0, 10.0 + after, 10.03 + after)
        await screen.sees("that was for what was here before")
        assert await commands(screen) == []
        await press(11.0)
        assert members(await screen.sent("newSwitchVector")) == {"GO": "On"}


async def click(screen, x: int, y: int, *times: float) -> None:
    begin = events.Key("enter", "\r").time
    for time in times:
        for kind in (events.MouseDown, events.MouseUp):
            event = kind(None, x, y, 0, 0, 1, False, False, False, x, y)
            event.time = begin + time
            event.set_sender(screen.app)
            screen.app._driver.send_message(event)
    await screen.settled()


@asynchronous
async def test_a_double_click_presses_once():
    step = switch("D", "STEP", [("GO", "Step", "Off"), ("BACK", "Back", "Off")], rule="AtMostOne")
    async with terminal(step) as screen:
        await screen.readable()
        y = screen.lines().index(screen.line_of("( ) Step"))
        step, back = (screen.line_of("( ) Step").index(word) for word in ("Step", "Back"))

        async def is_sent(name: str) -> None:
            assert members(await screen.sent("newSwitchVector"))[name] == "On"
            await screen.says(update("Switch", "D", "STEP", {"GO": "Off", "BACK": "Off"}))
            await screen.sees("( ) Step")

        await click(screen, step, y, 10.0, 10.2, 10.4)
        await screen.sees("double click, presses once")
        await is_sent("GO")
        await click(screen, step, y, 21.0)  # on purpose
        await is_sent("GO")
        await click(screen, back, y, 31.0, 31.2, 31.4)  # the first one puts the cursor there
        await is_sent("BACK")
        assert await commands(screen) == [("D", "STEP")] * 3


@asynchronous
async def test_who_turns_back_before_a_slow_mount_has_answered_turns_off_what_is_on_by_then():
    """A mount of libindi that gets South alone while North is On goes on to the north."""
    motion = switch("Tel", "MOTION", [("N", "North", "Off"), ("S", "South", "Off")], rule="AtMostOne")
    async with terminal(motion) as screen:
        await screen.go("Tel", "MOTION", "N")
        await screen.press("space")
        assert members(await screen.sent("newSwitchVector")) == {"N": "On"}
        await screen.go("Tel", "MOTION", "S")
        await screen.press("space")
        assert members(await screen.sent("newSwitchVector")) == {"N": "Off", "S": "On"}


@asynchronous
async def test_a_double_click_in_the_palette_does_not_press_what_is_behind_it():
    switches = [switch("D", f"S{n}", [("GO", f"Step {n}", "Off")], rule="AtMostOne") for n in range(8)]
    async with terminal(*switches) as screen:
        await screen.readable()
        await screen.press("c", "colon")
        await screen.type("dark")
        await screen.sees("dark, light, night")
        y = screen.lines().index(screen.line_of("dark, light, night"))
        await screen.press("escape")
        table = screen.main.table
        line = table.sheet.lines[y - table.region.y]
        await screen.go(*line.key)
        await screen.press("colon")
        await screen.type("dark")
        await screen.sees("dark, light, night")
        await click(screen, line.places[0].x + table.region.x, y, 50.0, 50.2)
        await screen.sees("that was for what was here before")
        assert screen.app.theme == "light"
        assert await commands(screen) == []


@asynchronous
async def test_a_key_that_has_waited_acts_on_what_was_there_when_it_was_pressed():
    """On a slow machine, behind earlier keys: the line has come since."""
    async with terminal(switch("D", "PARK", [("PARK", "Park", "Off")], rule="AtMostOne")) as screen:
        screen.main.table.aim.settle = 0.3
        await screen.readable()
        event = events.Key("space", " ")
        event.time -= 100.0
        event.set_sender(screen.app)
        screen.app._driver.send_message(event)
        await screen.sees("only just appeared")
        await screen.press("space")
        assert members(await screen.sent("newSwitchVector")) == {"PARK": "On"}
        assert await commands(screen) == [("D", "PARK")]
