"""The keys, and what is on the screen then: every kind of vector, and everything that can go wrong."""

import asyncio

import pytest

pytest.importorskip("textual", reason="the terminal client needs the extra term")

from textual import events

from indipyclient import TimedOut
from indipyterm import settings as files
from indipyterm.settings import Settings
from tests.support import asynchronous, eventually, free_port
from tests.support.fits import fits

from .observatory import (
    AWKWARD,
    AWKWARD_DEVICE,
    CAMERA,
    DOME,
    OBSERVATORY,
    SAID,
    TELESCOPE,
    blob,
    define,
    delete,
    say,
    switch,
    update,
)
from .terminal import members, terminal

MOUNT = ("Number", "Telescope", "EQUATORIAL_EOD_COORD")

# What is seen


@asynchronous
@pytest.mark.parametrize("size", [(80, 24), (120, 40), (40, 12), (200, 60), (20, 6)])
async def test_any_size(size):
    async with terminal(OBSERVATORY, SAID, size=size) as screen:
        lines = screen.lines()
        assert len(lines) == size[1]
        assert all(len(line) <= size[0] for line in lines)
        if size[0] >= 80:
            await screen.sees(
                "Telescope", "!ALERT", "Equatorial JNow", "5:35:17", "(*) Connect", "4 devices", "1 ALERT"
            )
            await screen.sees("Shutter does not answer", "Slewing to 05:40:00")
        if size[0] >= 120:
            await screen.sees("CONNECTION", "OneOfMany")


@asynchronous
async def test_resizing():
    async with terminal(OBSERVATORY) as screen:
        await screen.go("Telescope", "GEOGRAPHIC_COORD", "ELEV")
        for size in ((120, 40), (30, 8), (10, 3), (80, 24), (300, 100), (80, 24)):
            await screen.pilot.resize_terminal(*size)
            await screen.pilot.pause()
            assert len(screen.lines()) == size[1]
        await screen.sees("> Elevation")


@asynchronous
async def test_devices_and_groups():
    async with terminal(OBSERVATORY) as screen:
        await screen.press("right_square_bracket")
        await screen.sees("> CCD 1"[1:].strip(), "Duration (s)")
        await screen.press("2")
        await screen.sees("Bad pixel map")
        await screen.sees_no("Duration (s)")
        await screen.press("0", "left_square_bracket")
        await screen.sees("Equatorial JNow")
        await screen.press("greater_than_sign", "greater_than_sign")
        await screen.sees("Slew rate")
        await screen.sees_no("Equatorial JNow")
        await screen.press("alt+3")
        await screen.sees("Shutter")
        await screen.press("h", "h", "j", "l")  # to the list, to the next device, and back
        await screen.sees("Humidity")
        await screen.press("a")
        await screen.sees("! Shutter does not answer")


@asynchronous
async def test_the_mouse():
    async with terminal(OBSERVATORY) as screen:
        await screen.pilot.click("#devices", offset=(3, 1))
        await screen.sees("Duration (s)")
        await screen.pilot.click("#table", offset=(4, 3))
        await screen.pilot.pause()
        assert screen.main.table.current()[1].name == "CCD_EXPOSURE_VALUE"
        await screen.pilot.click("#table", offset=(4, 3))
        await screen.pilot.pause()
        assert screen.main.pane.editing
        await screen.press("escape")
        await screen.pilot.click("#groups", offset=(screen.line_of("0 All").index("2 Image") - 21, 0))
        await screen.sees("Bad pixel map")


@asynchronous
async def test_only_a_click_of_the_left_button_presses_a_switch():
    """Not a drag that ends there, with which people select a text, a button that pastes or opens a menu, a click beside
    it, or the one that brings the window to the front."""
    async with terminal(TELESCOPE) as screen:
        pilot = screen.pilot

        async def drag(begin: tuple[int, int], end: tuple[int, int]) -> None:
            await pilot._post_mouse_events([events.MouseMove, events.MouseDown], "#table", begin, button=1)
            await pilot._post_mouse_events([events.MouseMove, events.MouseUp, events.Click], "#table", end, button=1)
            await screen.settled()

        await screen.go("Telescope", "TELESCOPE_TRACK_STATE", "TRACK_OFF")
        table = screen.main.table
        y, place = table.sheet.place_of(table.sheet.spot_of(("Telescope", "TELESCOPE_TRACK_STATE"), "TRACK_OFF"))
        x = table.sheet.lines[y].places[place].x
        await drag((4, 1), (x, y))
        await drag((x, y - 1), (x, y))
        await drag((x, y), (x + 5, y))
        for button in (2, 3):
            await pilot.click("#table", offset=(x, y), button=button)
            await screen.settled()
        await pilot.click("#table", offset=(x + 30, y))  # beside it
        await screen.go("Telescope", "TELESCOPE_TRACK_STATE", "TRACK_ON")
        await pilot.click("#table", offset=(x, y - 1))  # on the title
        await screen.go("Telescope", "TELESCOPE_TRACK_STATE", "TRACK_OFF")
        table.aim.settle = 0.3
        later = table._now() + 100.0
        table._now = lambda: later
        screen.app.post_message(events.AppBlur())
        screen.app.post_message(events.AppFocus())
        await screen.settled()
        await pilot.click("#table", offset=(x, y))  # which brings the window to the front
        await screen.sees("the lines have just moved: look, and press again")
        assert not [e for e in await screen.link.everything() if e.tag.startswith("new")]
        table._now = lambda: later + 1.0
        await drag((x, y), (x + 1, y))  # a hand is not quite still
        assert members(await screen.sent("newSwitchVector")) == {"TRACK_ON": "Off", "TRACK_OFF": "On"}


# Numbers


@asynchronous
async def test_a_number_is_edited_sent_and_accepted():
    async with terminal(TELESCOPE) as screen:
        await screen.go("Telescope", "GEOGRAPHIC_COORD", "LAT")
        await screen.press("enter")
        await screen.type("52.5")
        await screen.press("enter")
        await screen.sees("=> 52.5", "1 unsent")
        await screen.press("s")
        await screen.sees("-> 52.5", "sent 0s")
        assert members(await screen.sent("newNumberVector")) == {"LAT": "52.5", "LONG": "0", "ELEV": "46"}
        await screen.says(update("Number", "Telescope", "GEOGRAPHIC_COORD", state="Busy"))
        await screen.sees("acknowledged")
        await screen.says(update("Number", "Telescope", "GEOGRAPHIC_COORD", {"LAT": 52.5}))
        await screen.sees("accepted after", "52.5000")
        await screen.sees_no("->")


@asynchronous
async def test_sexagesimal_numbers_are_typed_as_they_are_shown():
    async with terminal(TELESCOPE) as screen:
        await screen.go("Telescope", "EQUATORIAL_EOD_COORD", "RA")
        await screen.press("enter")
        assert screen.main.pane.editor.value == "5:35:17"
        await screen.type("5:40")
        await screen.press("tab")
        await screen.type("-5:30:00")
        await screen.press("ctrl+s")
        assert members(await screen.sent("newNumberVector")) == {"RA": "5:40", "DEC": "-5:30:00"}


@asynchronous
async def test_shift_tab_goes_back_to_the_member_before_and_loses_nothing():
    """Focus on another pane would drop a value that cannot be sent yet, and give its next keys to that pane."""
    async with terminal(TELESCOPE) as screen:
        await screen.go("Telescope", "GEOGRAPHIC_COORD", "LAT")
        await screen.press("down", "enter")
        await screen.type("10")
        await screen.press("shift+tab")
        assert screen.main.pane.table.editing == (("Telescope", "GEOGRAPHIC_COORD"), "LAT")
        await screen.type("95")
        await screen.press("shift+tab", "tab")
        assert screen.main.pane.editing
        assert screen.main.pane.editor.value == "95", "it is beyond its limits, so it stays"
        await screen.press("backspace", "shift+tab")
        assert not screen.main.pane.editing, "there is no member before"
        assert screen.main.table.has_focus
        assert screen.session.edits.of(("Telescope", "GEOGRAPHIC_COORD")) == {"LONG": "10", "LAT": "9"}
        assert not [e for e in await screen.link.everything() if e.tag.startswith("new")]


@pytest.mark.parametrize("typed", ["10", "999"])
@pytest.mark.parametrize("turn", ["row", "messages", "wheel"])
@asynchronous
async def test_the_mouse_does_not_leave_an_editor_whose_keys_go_elsewhere(typed, turn):
    async with terminal(TELESCOPE, size=(80, 12)) as screen:
        await screen.go("Telescope", "GEOGRAPHIC_COORD", "LONG")
        await screen.press("enter")
        await screen.type(typed)
        if turn == "row":
            above = screen.main.pane.editor.region.y - screen.main.table.region.y - 1
            await screen.pilot.click("#table", offset=(4, above))
        elif turn == "messages":
            await screen.pilot.click("#messages")
        else:
            for _ in range(8):
                await screen.pilot._post_mouse_events([events.MouseScrollDown], "#table", offset=(4, 4))
        await eventually(lambda: not screen.main.pane.editing)
        kept = screen.session.edits.of(("Telescope", "GEOGRAPHIC_COORD"))
        assert kept == ({"LONG": "10"} if typed == "10" else {})
        assert screen.main.keys.said == ("" if kept else "not kept: max 360")


@pytest.mark.parametrize("how", ["ctrl+s", "palette"])
@asynchronous
async def test_what_is_being_typed_is_sent_with_the_rest(how):
    """Not what was typed before, on which the editor lies."""
    place = ("Telescope", "GEOGRAPHIC_COORD")
    async with terminal(TELESCOPE, settings=Settings(keys={"edit.send": "f6"})) as screen:
        await screen.go(*place, "LAT")
        screen.session.edit(screen.session.client.need(*place), "LAT", "33")
        await screen.press("enter")
        await screen.type("10")
        if how == "palette":
            await screen.app.run_action("send", default_namespace=screen.main)
        else:
            await screen.press(how)
        assert members(await screen.sent("newNumberVector"))["LAT"] == "10"
        assert not screen.main.pane.editing


@pytest.mark.parametrize("action", ["send_all", "undo", "edit", "press", "step(1)"])
@asynchronous
async def test_the_palette_does_not_pass_over_what_is_being_typed(action):
    place = ("Telescope", "GEOGRAPHIC_COORD")
    async with terminal(TELESCOPE) as screen:
        await screen.go(*place, "LAT")
        screen.session.edit(screen.session.client.need(*place), "LAT", "33")
        await screen.press("enter")
        await screen.type("10")
        await screen.app.run_action(action, default_namespace=screen.main)
        await screen.settled()
        assert screen.main.pane.editor.value == "10"
        assert screen.main.keys.said.startswith("first end what you are typing")
        assert screen.session.edits.of(place) == {"LAT": "33"}
        assert not [e for e in await screen.link.everything() if e.tag.startswith("new")]
        await screen.press("enter")
        assert screen.session.edits.of(place) == {"LAT": "10"}


@asynchronous
async def test_a_server_is_not_closed_over_what_is_being_typed():
    async with terminal(TELESCOPE) as screen:
        await screen.go("Telescope", "GEOGRAPHIC_COORD", "LAT")
        await screen.press("enter")
        await screen.type("10")
        await screen.app.run_action("close_server", default_namespace=screen.main)
        await screen.sees("1 unsent edit. Close it?")
        await screen.press("n")
        assert screen.main.pane.editor.value == "10"


@pytest.mark.parametrize(
    ("text", "value", "says"), [("12\n13", "12", True), ("12\r\n", "12", False), ("\n12", "", True)]
)
@asynchronous
async def test_a_paste_of_several_lines_does_not_look_whole(text, value, says):
    async with terminal(TELESCOPE) as screen:
        await screen.go("Telescope", "GEOGRAPHIC_COORD", "LAT")
        await screen.press("enter", "ctrl+u")
        event = events.Paste(text)
        event.set_sender(screen.app)
        screen.app._driver.send_message(event)
        await screen.settled()
        assert screen.main.pane.editor.value == value
        assert (screen.main.keys.said == "only the first line of what you pasted was taken") is says


@asynchronous
async def test_a_copied_address_means_nothing_else():
    odd = define("Text", "A=B *", "P.Q", [("_STATE", "x", "v"), ("M?", "y", "w")])
    async with terminal(odd) as screen:
        await screen.go("A=B *", "P.Q", "_STATE")
        await screen.press("y")
        assert screen.app.clipboard == r"A\=B \*.P\.Q.\_STATE"


@asynchronous
async def test_a_value_beyond_its_limits_stays_in_the_editor():
    async with terminal(TELESCOPE) as screen:
        await screen.go("Telescope", "GEOGRAPHIC_COORD", "LAT")
        await screen.press("enter")
        await screen.type("95")
        await screen.sees("max 90")
        await screen.press("enter", "ctrl+s")
        assert screen.main.pane.editing
        await screen.press("backspace", "enter")
        await screen.sees("=> 9")
        await screen.press("u")
        await screen.sees_no("=>")
        await screen.press("enter")
        await screen.type("abc")
        await screen.sees("not a number")
        await screen.press("escape")
        assert not screen.main.pane.editing
        assert not len(screen.session.edits)
        assert not [e for e in await screen.link.everything() if e.tag.startswith("new")]


@asynchronous
async def test_steps():
    async with terminal(CAMERA) as screen:
        await screen.go("CCD 1", "CCD_TEMPERATURE")
        await screen.press("plus", "plus", "plus", "minus")
        await screen.sees("=> -9.82")
        await screen.press("enter", "up", "up", "enter")
        await screen.sees("=> -9.62")


@asynchronous
async def test_a_refused_command_is_told_with_the_words_of_the_driver():
    async with terminal(TELESCOPE) as screen:
        await screen.go("Telescope", "GEOGRAPHIC_COORD", "ELEV")
        await screen.press("enter")
        await screen.type("100")
        await screen.press("ctrl+s")
        await screen.sent("newNumberVector")
        await screen.says(
            update("Number", "Telescope", "GEOGRAPHIC_COORD", state="Alert", message="[b]Not[/b] while tracking")
        )
        await screen.sees("REFUSED", "! refused: [b]Not[/b] while tracking", "46.0")
        await screen.press("escape")
        await screen.sees_no("REFUSED")


@asynchronous
async def test_no_answer_is_told(monkeypatch):
    monkeypatch.setattr("indipyclient.commanding.patience", lambda prop: 0.3)
    async with terminal(TELESCOPE) as screen:
        await screen.go("Telescope", "GEOGRAPHIC_COORD", "ELEV")
        await screen.press("enter")
        await screen.type("100")
        await screen.press("ctrl+s")
        await screen.sees("no answer: has not answered after 0.3 s")


@asynchronous
async def test_a_property_that_goes_while_it_is_edited():
    async with terminal(TELESCOPE) as screen:
        await screen.go("Telescope", "GEOGRAPHIC_COORD", "ELEV")
        await screen.press("enter")
        await screen.type("100")
        await screen.says(delete("Telescope", "GEOGRAPHIC_COORD"))
        await screen.sees("what you were editing has gone")
        await screen.press("9", "space", "enter", "tab", "up", "ctrl+s", "exclamation_mark", "q")
        assert screen.main.pane.editing
        assert screen.main.pane.editor.value == "100"
        await screen.press("escape")
        assert not screen.main.pane.editing
        await screen.press("j", "k")
        assert not [e for e in await screen.link.everything() if e.tag.startswith("new")]


@asynchronous
async def test_an_edit_is_not_overwritten_by_what_comes():
    async with terminal(TELESCOPE) as screen:
        await screen.go("Telescope", "EQUATORIAL_EOD_COORD", "RA")
        await screen.press("enter")
        await screen.type("7")
        await screen.says(update(*MOUNT, {"RA": 6, "DEC": 1}, "Busy"))
        await screen.sees("6:00:00")
        assert screen.main.pane.editor.value == "7"
        await screen.press("enter")
        await screen.says(update(*MOUNT, {"RA": 6.5}, "Busy"))
        await screen.sees("6:30:00  => 7")


@asynchronous
async def test_what_is_typed_at_once_goes_to_the_editor_and_the_filter():
    async with terminal(TELESCOPE) as screen:
        await screen.go("Telescope", "GEOGRAPHIC_COORD", "LAT")
        screen.main.action_edit()
        assert screen.main.focused is screen.main.pane.editor
        await screen.press("escape")
        screen.main.action_filter()
        assert screen.main.focused is screen.main.filter_field


# Switches


@asynchronous
async def test_one_of_many():
    async with terminal(TELESCOPE) as screen:
        await screen.go("Telescope", "TELESCOPE_SLEW_RATE", "MAX")
        await screen.press("space")
        assert members(await screen.sent("newSwitchVector")) == {"CENTER": "Off", "MAX": "On"}
        await screen.says(update("Switch", "Telescope", "TELESCOPE_SLEW_RATE", {"CENTER": "Off", "MAX": "On"}))
        await screen.sees("(*) Max", "( ) Center")


@asynchronous
async def test_any_of_many_and_at_most_one():
    async with terminal(DOME + CAMERA) as screen:
        await screen.go("Dome", "OPTIONS", "FAN")
        await screen.press("space")
        assert members(await screen.sent("newSwitchVector")) == {"FAN": "On"}
        await screen.go("CCD 1", "CCD_ABORT_EXPOSURE")
        await screen.press("enter")
        assert members(await screen.sent("newSwitchVector")) == {"ABORT": "On"}


@asynchronous
async def test_disconnecting_a_busy_device_is_asked_first():
    async with terminal(TELESCOPE) as screen:
        await screen.go("Telescope", "CONNECTION", "DISCONNECT")
        await screen.press("space")
        await screen.sees("Telescope is Busy. Disconnect it?")
        await screen.press("n")
        await screen.sees_no("Disconnect it?")
        await screen.press("space")
        await screen.sees("Disconnect it?")
        await screen.press("y")
        assert members(await screen.sent("newSwitchVector")) == {"CONNECT": "Off", "DISCONNECT": "On"}


@asynchronous
async def test_abort_is_pressed_twice():
    async with terminal(TELESCOPE) as screen:
        await screen.press("exclamation_mark")
        await screen.sees("once more presses every ABORT switch of Telescope")
        await screen.press("exclamation_mark")
        sent = await screen.sent("newSwitchVector")
        assert (sent.get("name"), members(sent)) == ("TELESCOPE_ABORT_MOTION", {"ABORT": "On"})
        await screen.sees("pressed 1 ABORT switch")


# Texts, lights, BLOBs


@asynchronous
async def test_a_text_is_edited():
    async with terminal(CAMERA) as screen:
        await screen.go("CCD 1", "FITS_HEADER", "OBJECT")
        await screen.press("enter")
        await screen.type("M 31")
        await screen.press("ctrl+s")
        assert members(await screen.sent("newTextVector")) == {"OBSERVER": "A. Cannon", "OBJECT": "M 31"}


@asynchronous
async def test_a_long_text_is_viewed_and_edited_in_a_screen_of_its_own():
    async with terminal(AWKWARD) as screen:
        await screen.go(AWKWARD_DEVICE, "[bold]NAME[/]", "LINES")
        await screen.press("enter")
        await screen.sees("one", "two")
        await screen.press("ctrl+s")
        assert not len(screen.session.edits)  # nothing was changed
        await screen.press("enter", "x", "ctrl+s")
        await screen.sees("=>")
        assert screen.session.edits.of((AWKWARD_DEVICE, "[bold]NAME[/]"))["LINES"] == "xone\ntwo\tthree"
        await screen.go(AWKWARD_DEVICE, "[bold]NAME[/]", "LONG")
        await screen.press("v")
        await screen.sees("10000 characters")
        await screen.press("escape")


@asynchronous
async def test_read_only_properties_are_not_edited():
    async with terminal(OBSERVATORY) as screen:
        await screen.go("Weather", "WEATHER_PARAMETERS")
        await screen.press("enter")
        await screen.sees("Parameters: read-only")
        await screen.press("plus", "space", "s", "u")
        await screen.go("Telescope", "SCOPE_STATUS")
        await screen.press("enter", "space")
        assert not screen.main.pane.editing


@asynchronous
async def test_blobs_are_received_into_a_folder(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    async with terminal(CAMERA, folder=folder) as screen:
        wish = await screen.sent("enableBLOB")
        assert (wish.get("device"), wish.text) == ("CCD 1", "Also")
        data = fits(64, 48)
        await screen.says(blob("CCD 1", "CCD1", "CCD1", data))
        await eventually(lambda: list(folder.glob("*.fits")))
        assert next(folder.glob("*.fits")).read_bytes() == data
        await screen.go("CCD 1", "CCD1")
        await screen.sees("11.5 kB .fits")
        await screen.press("v")
        await screen.sees("64 x 48, 16 bit", "object M 42", "▀")
        await screen.press("escape", "b")
        await screen.sees("received, as are those of all devices", str(folder)[:30], "no. 1", "exptime: 2.0")
        await screen.press("ctrl+r")
        await screen.sees("not received")
        end = await screen.link.expect(lambda e: e.tag == "enableBLOB" and e.text == "Never")
        assert end.get("name") == "CCD1"


@asynchronous
async def test_blobs_are_received_without_a_folder():
    async with terminal(CAMERA) as screen:
        await screen.go("CCD 1", "CCD1")
        await screen.press("v")
        await screen.sees("nothing has been received")
        await screen.press("b", "enter")
        await screen.sent("enableBLOB")
        await screen.says(blob("CCD 1", "CCD1", "CCD1", b"no image", ".txt"))
        await screen.sees("8 B .txt")
        await screen.press("v")
        await screen.sees("no preview: this is not a FITS file")


@asynchronous
async def test_a_folder_that_is_none_is_told():
    async with terminal(CAMERA) as screen:
        await screen.go("CCD 1", "CCD1")
        await screen.press("b")
        await screen.type("/no/such/folder")
        await screen.press("enter")
        await screen.sees("there is no folder /no/such/folder")
        await screen.press("escape")


@asynchronous
async def test_a_file_that_cannot_be_written_is_told(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    async with terminal(CAMERA, folder=folder) as screen:
        await screen.sent("enableBLOB")
        folder.rmdir()
        folder.write_text("now a file")
        await screen.says(blob("CCD 1", "CCD1", "CCD1", b"x"))
        await screen.sees("not written:")
        await screen.sees("1 BLOB LOST", "BLOB LOST: CCD 1 CCD1: not written")
        folder.unlink()
        await screen.says(blob("CCD 1", "CCD1", "CCD1", b"x"))
        await screen.sees("2 BLOBs LOST", "does not exist")
        assert not folder.exists()  # it was a disc, perhaps, and what is in its place is not
        folder.mkdir()
        await screen.says(blob("CCD 1", "CCD1", "CCD1", b"x"))
        await eventually(lambda: list(folder.iterdir()))
        await screen.go("CCD 1", "CCD1")
        await screen.sees("2 BLOBs LOST")
        await screen.press("b")
        await screen.sees("2 LOST since the start", "no. 3")


@asynchronous
async def test_a_full_disc_is_told_and_the_next_blob_is_written(tmp_path, monkeypatch):
    from indipyclient import ReceivedBlob

    write_to = ReceivedBlob.write_to
    problems = [OSError(28, "No space left on device"), RuntimeError("odd")]
    monkeypatch.setattr(ReceivedBlob, "write_to", lambda self, folder: _raise(problems) or write_to(self, folder))
    async with terminal(CAMERA, folder=tmp_path, size=(120, 40)) as screen:
        bells = []
        monkeypatch.setattr(screen.app, "bell", lambda: bells.append(1))
        await screen.sent("enableBLOB")
        for _ in range(3):
            await screen.says(blob("CCD 1", "CCD1", "CCD1", b"x"))
        await eventually(lambda: list(tmp_path.iterdir()))
        await screen.sees("2 BLOBs LOST")
        assert len(bells) == 1
        await screen.go("CCD 1", "CCD1")
        await screen.sees("2 since the start")


def _raise(problems):
    if problems:
        raise problems.pop(0)


@asynchronous
async def test_blobs_that_came_too_fast_are_told(monkeypatch):
    from indipyclient import Lost

    class Stream:
        waiting = 0

        def close(self):
            pass

        async def __aenter__(self):
            return self

        async def __aexit__(self, *_):
            pass

        def __aiter__(self):
            return self._items()

        async def _items(self):
            yield Lost(3)
            await asyncio.sleep(3600)

    async with terminal(CAMERA) as screen:
        monkeypatch.setattr(screen.session.client, "blobs", lambda *key: Stream())
        screen.session.receiver.receive(("CCD 1", "CCD1"), True)
        await screen.sees("3 BLOBs LOST", "they came faster than they could be taken")


@asynchronous
async def test_another_address_family():
    try:
        async with terminal(OBSERVATORY, host="::1") as screen:
            await screen.sees(f"[::1]:{screen.server.port}", "Equatorial JNow")
            await screen.press("o")
            await screen.type(f"[::1]:{screen.server.port}")
            await screen.press("enter")
            assert len(screen.app.workspaces) == 1
            await screen.go("Dome", "OPTIONS", "FAN")
            await screen.press("space")
            assert members(await screen.sent("newSwitchVector")) == {"FAN": "On"}
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")


@asynchronous
async def test_a_server_is_remembered_when_it_was_reached():
    async with terminal(CAMERA) as screen:
        name = screen.session.name
        await eventually(lambda: name in files.recent_servers())
        await screen.press("o")
        await screen.sees("used before", name)
        await screen.press("down", "enter")
        assert len(screen.app.workspaces) == 1


@asynchronous
async def test_a_file_is_sent(tmp_path, monkeypatch):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "pixels.tar.gz").write_bytes(b"\0\1\2" * 1000)
    (tmp_path / ".hidden").write_text("x")
    monkeypatch.chdir(tmp_path)
    async with terminal(CAMERA) as screen:
        await screen.go("CCD 1", "UPLOAD")
        await screen.press("enter")
        await screen.sees("Send a file as Bad pixel map", "sub/")
        assert ".hidden" not in screen.text()
        await screen.press("alt+h")
        await screen.sees(".hidden")
        await screen.type("sub")
        await screen.press("enter")
        await screen.sees("pixels.tar.gz", "3.0 kB")
        await screen.press("enter")
        sent = await screen.sent("newBLOBVector")
        assert (sent[0].get("size"), sent[0].get("format")) == ("3000", ".tar.gz")
        await screen.says(update("BLOB", "CCD 1", "UPLOAD"))
        await screen.sees("accepted after")


@asynchronous
async def test_lights():
    async with terminal(TELESCOPE) as screen:
        await screen.sees("Limits Ok", "Motor Busy")
        await screen.says(update("Light", "Telescope", "SCOPE_STATUS", {"LIMITS": "Alert"}, "Alert"))
        await screen.sees("Limits ALERT")


# The link


@asynchronous
async def test_a_lost_server_shows_at_once_and_comes_back():
    async with terminal(OBSERVATORY) as screen:
        await screen.go("Telescope", "GEOGRAPHIC_COORD", "LAT")
        await screen.press("enter")
        await screen.type("50")
        await screen.press("enter")
        screen.link.close()
        await screen.sees("LOST", "next try in", timeout=2)
        await screen.sees("51.4779", "=> 50", "Equatorial JNow")
        await screen.press("s")
        await screen.sees("not connected:")
        assert dict(screen.session.edits.of(("Telescope", "GEOGRAPHIC_COORD"))) == {"LAT": "50"}
        await screen.press("space", "enter")
        screen.link = await screen.server.client(OBSERVATORY)
        await screen.sees(" up ")
        await screen.sees("=> 50")
        await screen.press("s")
        assert members(await screen.sent("newNumberVector"))["LAT"] == "50"


@asynchronous
async def test_a_command_whose_answer_is_lost():
    async with terminal(TELESCOPE) as screen:
        await screen.go("Telescope", "GEOGRAPHIC_COORD", "ELEV")
        await screen.press("enter")
        await screen.type("100")
        await screen.press("ctrl+s")
        await screen.sent("newNumberVector")
        screen.link.reset()
        await screen.sees("sent, and nobody knows whether it was")


@asynchronous
async def test_a_server_that_is_not_there():
    async with terminal(port=free_port()) as screen:
        await screen.sees("NOT CONNECTED", "nothing listens")
        await screen.press(
            "j", "enter", "space", "s", "u", "p", "v", "b", "r", "y", "Y", "c", "a", "n", "exclamation_mark", "G", "1"
        )
        await screen.press("question_mark")
        await screen.sees("Moving", "member above")
        await screen.press("escape", "m", "escape", "o")
        await screen.sees("Open a server")
        await screen.type("[::1")
        await screen.press("enter")
        await screen.sees("not the address of a server")
        await screen.press("escape")


@asynchronous
async def test_several_servers():
    async with terminal(OBSERVATORY) as screen, terminal(CAMERA) as other:
        await screen.press("o")
        await screen.type(f"127.0.0.1:{other.server.port}")
        await screen.press("enter")
        link = await other.server.client(define("Text", "Second", "T", [("A", "a", "from the second server")]))
        await screen.sees("from the second server")
        assert len(screen.app.workspaces) == 2
        await screen.press("left_curly_bracket")
        await screen.sees("Equatorial JNow")
        link.close()
        await screen.sees(f"127.0.0.1:{other.server.port} LOST")
        await screen.press("right_curly_bracket", "ctrl+w")
        await screen.sees_no(f"127.0.0.1:{other.server.port}")
        await screen.sees("Equatorial JNow")
        await screen.press("ctrl+w")
        await screen.sees("no server: o opens one")
        await screen.press("j", "enter", "m", "question_mark", "escape")


# Messages, filter, palette, help


@asynchronous
async def test_messages():
    async with terminal(OBSERVATORY, SAID) as screen:
        await screen.press("m")
        await screen.sees("Messages of all devices", "[ERROR] Shutter", "Exposure done")
        await screen.says(say("[red]careful[/red]", "Telescope"))
        await screen.sees("[red]careful[/red]")
        await screen.press("d")
        await screen.sees("Messages of Telescope")
        await screen.sees_no("Exposure done")
        await screen.press("d", "slash")
        await screen.type("power")
        await screen.sees_no("careful")
        await screen.sees("check power")
        await screen.press("enter", "escape")
        await screen.sees("Equatorial JNow")


@asynchronous
async def test_a_message_is_put_together_once(monkeypatch):
    from indipyterm.screens import log

    made = []
    shown = log._shown
    monkeypatch.setattr(log, "_shown", lambda note, *rest: made.append(note.text) or shown(note, *rest))
    async with terminal(OBSERVATORY) as screen:
        long = "赤道" * 300
        await screen.says(*(say(f"{n} {long}", "Dome") for n in range(20)))
        await screen.press("m")
        await screen.sees("赤道")
        await screen.says(*(say(f"more {n}", "Dome") for n in range(20)))
        await screen.sees("more 19")
        before = len(made)
        screen.app.screen.look_again()
        assert len(made) == before == len(set(made))
        assert max(map(len, screen.lines())) <= 80


def test_messages_are_cut_at_blanks_and_where_there_are_none():
    from indipyterm.words import wrapped

    assert wrapped("one two three", 7) == ["one two", "three"]
    assert wrapped("w" * 25, 10) == ["w" * 10, "w" * 10, "w" * 5]
    assert wrapped("a 赤道儀 b", 4) == ["a", "赤道", "儀 b"]
    assert wrapped("", 10) == [""]


@asynchronous
async def test_the_filter():
    async with terminal(OBSERVATORY) as screen:
        await screen.press("slash")
        await screen.type("abort")
        await screen.press("enter")
        await screen.sees("2 properties of all devices", "│ CCD 1", "│ Telescope")
        first = screen.main.table.current()[0].key
        await screen.press("n")
        second = screen.main.table.current()[0].key
        assert {first[1], second[1]} == {"TELESCOPE_ABORT_MOTION", "CCD_ABORT_EXPOSURE"}
        await screen.press("slash", "ctrl+u")
        await screen.type("name:connection device:dome")
        await screen.press("enter", "space")
        assert members(await screen.sent("newSwitchVector")) == {"CONNECT": "On"}
        await screen.says(update("Switch", "Dome", "CONNECTION", {"CONNECT": "On"}))
        await screen.press("slash", "ctrl+u")
        await screen.type("abort")
        await screen.press("enter", "n")
        second = screen.main.table.current()[0].key
        await screen.press("escape")
        await screen.sees("0 All")
        assert screen.main.table.current()[0].key == second
        await screen.press("slash")
        await screen.type("state:busy")
        await screen.press("enter")
        await screen.sees("Equatorial JNow")
        await screen.says(update(*MOUNT, state="Ok"))
        await asyncio.sleep(1.1)
        await screen.says(update(*MOUNT, state="Ok"))
        await screen.sees("0 properties of all devices")


@pytest.mark.parametrize("sent", [True, False])
@asynchronous
async def test_what_could_not_be_sent_in_time_is_still_there(sent):
    """Behind a command that waits for a large file, for example."""
    place = ("Telescope", "GEOGRAPHIC_COORD")
    async with terminal(TELESCOPE) as screen:

        async def set_in_vain(*_, **__):
            raise TimedOut("Telescope.GEOGRAPHIC_COORD: in vain", sent=sent)

        screen.session.client.set = set_in_vain
        await screen.go(*place, "LAT")
        await screen.press("enter", "ctrl+u", "3", "ctrl+s")
        await screen.sees("no answer: in vain" if sent else "not sent: in vain")
        assert screen.session.edits.of(place) == ({} if sent else {"LAT": "3"})


@pytest.mark.parametrize("turn", ["table", "devices", "shift+tab", "alt+2"])
@asynchronous
async def test_a_filter_whose_field_was_left_is_not_shown_there(turn):
    async with terminal(OBSERVATORY) as screen:
        await screen.press("slash")
        await screen.type("abort")
        if turn in ("table", "devices"):
            await screen.pilot.click(f"#{turn}", offset=(3, 1))
        else:
            await screen.press(turn)
        await screen.settled()
        main = screen.main
        assert not main.filter_field.display
        assert main.groups.display
        assert main.browser.filter.text == ("abort" if turn in ("table", "shift+tab") else "")
        assert main.focused is (main.devices if turn in ("devices", "shift+tab") else main.table)


@asynchronous
async def test_the_palette():
    async with terminal(OBSERVATORY) as screen:
        await screen.press("ctrl+p")
        await screen.type("shutter")
        await screen.sees("go to Dome: Shutter")
        await screen.press("enter")
        await screen.sees("! Shutter does not answer")
        await screen.press("colon")
        await screen.type("set Telescope.GEOGRAPHIC_COORD.ELEV=200")
        await screen.sees("set Telescope.GEOGRAPHIC_COORD ELEV=200")
        await screen.press("enter")
        assert members(await screen.sent("newNumberVector"))["ELEV"] == "200"
        await screen.press("ctrl+p")
        await screen.type("set Telescope.GEOGRAPHIC_COORD.LAT=200")
        await screen.sees("is not from -90 to 90")
        await screen.press("escape")


@asynchronous
async def test_own_keys_are_in_force_and_in_the_help():
    settings = Settings(keys={"value.plot": "ctrl+t", "app.quit": "ctrl+q"})
    async with terminal(TELESCOPE, settings=settings, size=(80, 60)) as screen:
        await screen.go("Telescope", "EQUATORIAL_EOD_COORD")
        await screen.sees("Ctrl-T plot")
        await screen.press("q")
        await screen.press("p")
        await screen.sees("Equatorial JNow")
        await screen.press("ctrl+t")
        await screen.sees("5 min")
        await screen.press("plus", "plus")
        await screen.sees("30 min")
        await screen.press("escape", "question_mark")
        await screen.sees("Ctrl-T")


@asynchronous
async def test_compact_pin_themes_and_facts():
    async with terminal(OBSERVATORY) as screen:
        await screen.press("c")
        await screen.sees("RA 5:35:17")
        await screen.go("Telescope", "GEOGRAPHIC_COORD", "LAT")
        await screen.press("enter")
        await screen.type("1")
        await screen.press("enter")
        await screen.sees("Latitude => 1")
        await screen.press("c", "P", "right_square_bracket")
        await screen.sees("Location pinned", "Duration (s)")
        for theme in ("light", "night", "dark"):
            await screen.press("d")
            assert screen.app.theme == theme
        await screen.go("Telescope", "GEOGRAPHIC_COORD", "LAT")
        await screen.press("v")
        await screen.sees("Telescope.GEOGRAPHIC_COORD.LAT", "-90 .. 90", "unsent")


@asynchronous
async def test_quitting_asks_when_there_are_unsent_edits():
    async with terminal(TELESCOPE) as screen:
        await screen.go("Telescope", "GEOGRAPHIC_COORD", "LAT")
        await screen.press("enter")
        await screen.type("1")
        await screen.press("enter", "q")
        await screen.sees("1 unsent edit (s sends). Quit?")
        await screen.press("n", "S")
        await screen.sent("newNumberVector")
        await screen.press("q")
        await eventually(lambda: screen.app._exit)


@asynchronous
async def test_the_address_and_the_value_are_copied():
    async with terminal(TELESCOPE) as screen:
        await screen.go("Telescope", "EQUATORIAL_EOD_COORD", "DEC")
        await screen.press("y")
        assert screen.app.clipboard == "Telescope.EQUATORIAL_EOD_COORD.DEC"
        await screen.press("Y")
        assert screen.app.clipboard == "-5:23:28"


# Awkward servers


@asynchronous
async def test_awkward_names():
    async with terminal(AWKWARD, size=(100, 40)) as screen:
        text = await screen.sees(
            "[red]Device", "A/B [x]", "[link=x]mark[/link] up", "[on red]value[/]", "עברית", "赤道儀"
        )
        assert not set(text) & set("\u202e\u202c\u2028\x7f\u200b\t")
        assert "one⏎two" in text
        await screen.sees("…")
        for key in ("J", "J", "v", "escape", "K", "enter", "escape", "slash"):
            await screen.press(key)
        await screen.type("dots")
        await screen.press("enter", "enter", "escape", "p", "escape", "c", "y", "escape")
        await screen.press("ctrl+p")
        await screen.type("odd")
        await screen.sees("go to Odd & <b>[red]Device[/red]</b>")
        await screen.press("escape", "m", "escape")


@asynchronous
async def test_control_characters_do_not_reach_the_terminal_by_the_editor():
    async with terminal(define("Text", "D", "T", [("A", "a", "x\x9b31m\u202ey"), ("B", "b", "1\n\x9b2")])) as screen:
        await screen.go("D", "T", "A")
        await screen.press("enter")
        assert screen.main.pane.editor.value == "x·31m·y"
        await screen.press("enter")
        assert not len(screen.session.edits)
        await screen.go("D", "T", "B")
        await screen.press("enter")
        await screen.sees("·2")
        await screen.press("ctrl+s")
        assert not len(screen.session.edits)


@asynchronous
async def test_a_property_changes_its_kind_and_its_members():
    async with terminal(define("Number", "D", "X", [("A", "a", 1), ("B", "b", 2)])) as screen:
        await screen.go("D", "X", "B")
        await screen.press("enter")
        await screen.type("5")
        await screen.press("enter")
        await screen.sees("=> 5")
        await screen.says(switch("D", "X", [("A", "a", "On"), ("C", "c", "Off")]))
        await screen.sees("(*) a  ( ) c")
        assert not len(screen.session.edits)
        await screen.press("space", "j", "k", "l", "h")


@asynchronous
async def test_everything_is_deleted_and_defined_again():
    async with terminal(OBSERVATORY) as screen:
        for _ in range(3):
            await screen.says(*(delete(name) for name in ("Telescope", "CCD 1", "Dome", "Weather")))
            await screen.sees("0 devices")
            await screen.press("j", "enter", "p", "space")
            await screen.says(OBSERVATORY)
            await screen.sees("4 devices")
        await screen.sees("Equatorial JNow")


@asynchronous
async def test_five_thousand_members():
    text = "".join(
        define("Number", "Big", f"P{n}", [(f"M{m}", f"Member {m}", n + m) for m in range(10)], group=f"G{n % 7}")
        for n in range(500)
    )
    async with terminal(text) as screen:
        await eventually(lambda: len(screen.session.client.model) == 500, 15)
        await eventually(lambda: screen.main.table.sheet.spots == 5000, 10)
        await screen.press("G")
        await screen.sees("> Member 9")
        await screen.press("g")
        await screen.says(*(update("Number", "Big", f"P{n}", {"M0": 7}) for n in range(500)))
        await screen.sees("Ok    P0")
