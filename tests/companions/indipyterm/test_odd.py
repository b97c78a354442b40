"""What is stale is nowhere shown as live; names of files that no system takes; properties without number or end."""

import asyncio

import pytest

pytest.importorskip("textual", reason="the terminal client needs the extra term")

from textual.widgets import TextArea

from indipyclient.model.commands import LARGEST
from indipyterm import receiving
from indipyterm.receiving import folder_of
from indipyterm.screens.files import FileChooser
from tests.support import asynchronous, eventually
from tests.support.fits import fits

from .observatory import DOME, TELESCOPE, blob, define, delete, switch, update
from .terminal import terminal

LONG = "/" + "x" * 300
CAMERA = define("BLOB", "Cam", "CCD1", [("CCD1", "Image", "")])
ALPHA, BETA = (define("Number", device, "X", [("P", "p", 1)], state="Ok") for device in ("Alpha", "Beta"))


@asynchronous
async def test_a_device_that_is_not_defined_again_is_nowhere_shown_as_live():
    async with terminal(ALPHA + BETA) as screen:
        screen.link.close()
        await screen.sees("LOST")
        screen.link = await screen.server.client(ALPHA)
        await screen.sees(" up ")
        client, devices = screen.session.client, screen.main.devices
        await eventually(lambda: not client.is_stale(client.need("Alpha", "X")))
        await eventually(lambda: [devices.pieces(y)[-1][1] for y in (0, 1)] == ["ok", "stale"])
        screen.main.go_to(client.need("Beta", "X"))
        await screen.settled()
        await screen.press("v")
        await screen.sees("may be out of date")
        await screen.press("escape", "p")
        await screen.sees("not defined again yet")


@asynchronous
async def test_a_file_is_sent_with_its_last_suffix(tmp_path):
    async with terminal(define("BLOB", "Cam", "FILE", [("FILE", "File", "")], perm="rw")) as screen:
        prop = screen.session.client.need("Cam", "FILE")
        for name, format in (("M31 2.5s.fits", ".fits"), ("M31 2.5s.fits.fz", ".fits.fz")):
            (tmp_path / name).write_bytes(b"pixels")
            screen.session.send_file(prop, "FILE", tmp_path / name, lambda why, done: None)
            assert next(iter(await screen.sent("newBLOBVector"))).get("format") == format
            await screen.says(update("BLOB", "Cam", "FILE", [], state="Ok"))
            await eventually(lambda: not screen.session._files)


@asynchronous
async def test_a_file_that_no_server_takes_is_not_read(tmp_path):
    async with terminal(define("BLOB", "Cam", "FILE", [("FILE", "File", "")], perm="rw")) as screen:
        prop, said = screen.session.client.need("Cam", "FILE"), []
        with open(tmp_path / "video.ser", "wb") as file:
            file.truncate(LARGEST + 1)
        screen.session.send_file(prop, "FILE", tmp_path / "video.ser", lambda *words: said.append(words))
        await eventually(lambda: said)
        assert said == [("video.ser is too large: no server takes more than 383 MiB", "")]


@asynchronous
async def test_nothing_is_kept_for_properties_that_go_in_large_numbers(monkeypatch):
    monkeypatch.setattr("indipyclient.model.model.GRAVES", 3)
    names = [f"P{number}" for number in range(9)]
    async with terminal("".join(define("Number", "D", name, [("x", "x", 1)]) for name in names)) as screen:
        session = screen.session
        await eventually(lambda: len(session.client.model) == len(names))
        session.edit(session.client.need("D", "P1"), "x", "2")
        await screen.says("".join(delete("D", name) for name in names[1:]))
        await eventually(lambda: not len(session.edits))


@pytest.mark.parametrize(
    ("text", "begin", "last"),
    [
        ("x" * 99_999 + "\u202e", "x" * 76, "x·"),
        ("星" * 100_000, "星" * 37, "星" * 2),
        ("one\ttwo\n" * 20_000 + "the end", "one     two", "the end"),
    ],
    ids=["one line", "wide", "lines"],
)
@asynchronous
async def test_a_very_long_text_is_read_line_by_line(text, begin, last):
    async with terminal(define("Text", "D", "T", [("A", "a", text)])) as screen:
        await screen.go("D", "T", "A")
        await screen.press("v")
        await screen.sees(f"{len(text)} characters", f" {begin}")
        await screen.press("G")
        await screen.sees(last)
        assert "\u202e" not in screen.text()
        assert not screen.app.screen.query(TextArea)  # which lays out all of it
        await screen.press("escape")


def test_a_folder_whose_name_is_too_long_is_none():
    with pytest.raises(ValueError, match="there is no folder"):
        folder_of(LONG)


@asynchronous
async def test_names_that_are_too_long_are_told_in_the_dialogs():
    async with terminal(CAMERA) as screen:
        await screen.press("enter")
        chooser = screen.app.screen
        assert isinstance(chooser, FileChooser)
        chooser.query_one("#name").value = LONG
        await screen.press("enter")
        await screen.sees("there is no file")
        await screen.press("escape", "b")
        screen.app.screen.query_one("#folder").value = LONG
        await screen.press("enter")
        await screen.sees("there is no folder")


@asynchronous
async def test_a_file_can_be_chosen_where_the_current_folder_has_gone(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    async with terminal(CAMERA) as screen:
        gone.rmdir()
        await screen.press("enter")
        assert isinstance(screen.app.screen, FileChooser)


@asynchronous
async def test_blobs_of_properties_that_come_and_go_are_not_awaited_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(receiving, "AWAITED", 3)
    async with terminal(CAMERA, folder=tmp_path) as screen:
        receiver, client = screen.session.receiver, screen.session.client
        for number in range(6):
            name = f"B{number}"
            await screen.says(define("BLOB", "Cam", name, [("B", "b", "")]))
            await eventually(lambda name=name: receiver.is_receiving(("Cam", name)))
            await screen.says(delete("Cam", name))
            await eventually(lambda name=name: client.get("Cam", name) is None)
        await eventually(lambda: len(receiver._receptions) == 4)
        assert receiver.is_receiving(("Cam", "CCD1"))
        assert receiver.is_receiving(("Cam", "B5"))  # as it may be back at once
        await screen.says(define("BLOB", "Cam", "B0", [("B", "b", "")]))
        await eventually(lambda: receiver.is_receiving(("Cam", "B0")))


@asynchronous
async def test_a_device_is_no_longer_in_alert_when_what_was_in_alert_has_gone():
    async with terminal(TELESCOPE + DOME) as screen:
        devices = screen.main.devices
        await eventually(lambda: devices.pieces(1)[-1][0] == "ALERT")
        await screen.says(delete("Dome", "DOME_SHUTTER"))
        await eventually(lambda: devices.pieces(1)[-1][0] == "Ok   ")


@asynchronous
async def test_what_is_pinned_is_there_again_when_it_comes_back():
    async with terminal(ALPHA + BETA) as screen:
        await screen.press("P", "right_square_bracket")
        await screen.sees("pinned")
        await screen.says(delete("Alpha", "X"))
        await screen.sees_no("pinned")
        await screen.says(ALPHA)
        await screen.sees("pinned")


@asynchronous
async def test_numbers_without_bounds_do_not_end_the_program():
    about = {"format": "%g", "step": "1e-320"}
    async with terminal(define("Number", "D", "N", [("A", "a", 1, about)]), size=(120, 40)) as screen:
        await screen.press("enter", "escape", "plus")
        await screen.says(update("Number", "D", "N", {"A": "5e-324"}), update("Number", "D", "N", {"A": "0"}))
        await screen.sees("Ok    N")
        await screen.press("p")
        await screen.sees("now 0")
        assert screen.app._exception is None


@asynchronous
async def test_a_fault_in_the_display_does_not_stop_it(monkeypatch):
    async with terminal(ALPHA) as screen:
        changed = screen.main.changed
        faults = [ZeroDivisionError("odd")]
        monkeypatch.setattr(screen.main, "changed", lambda *args: _raise(faults) or changed(*args))
        await screen.says(update("Number", "Alpha", "X", {"P": 2}))
        await screen.sees("something cannot be shown: ZeroDivisionError: odd")
        await screen.says(update("Number", "Alpha", "X", {"P": 3}))
        await eventually(lambda: " 3" in screen.line_of("> p"))


def _raise(faults):
    if faults:
        raise faults.pop()


@asynchronous
async def test_images_that_come_faster_than_they_are_drawn_are_drawn_all_the_same(monkeypatch):
    import threading

    from indipyterm.screens import image

    drawn, may_draw = [], threading.Event()

    def slowly(data, *more):
        drawn.append(data)
        may_draw.wait(30)
        return picture_of(data, *more)

    picture_of = image.picture_of
    monkeypatch.setattr(image, "picture_of", slowly)
    async with terminal(CAMERA) as screen:
        screen.session.receiver.receive(("Cam", "CCD1"), True)
        await screen.sent("enableBLOB")
        images = [fits(20 + n, 20) for n in range(4)]
        await screen.says(blob("Cam", "CCD1", "CCD1", images[0]))
        await eventually(lambda: screen.session.receiver.last)
        await screen.press("v")
        await eventually(lambda: len(drawn) == 1)
        for n, data in enumerate(images[1:]):
            await screen.says(blob("Cam", "CCD1", "CCD1", data))
            await eventually(lambda n=n: screen.session.receiver.last["Cam", "CCD1", "CCD1"].count == n + 2)
        may_draw.set()
        await screen.sees("▀")
        await eventually(lambda: len(drawn) == 2)
        assert drawn == [images[0], images[-1]]
        monkeypatch.setattr(image, "picture_of", lambda *more: _raise([MemoryError()]))
        await screen.says(blob("Cam", "CCD1", "CCD1", images[1]))
        await screen.sees("no preview: MemoryError")


@asynchronous
@pytest.mark.parametrize("text", ["two\nlines", "x" * 5000])
async def test_an_edit_is_not_cut_to_what_fits_in_a_line(text):
    async with terminal(define("Text", "D", "T", [("A", "a", "short")])) as screen:
        prop = screen.session.client.need("D", "T")
        screen.session.edit(prop, "A", text)
        await screen.press("enter")
        assert screen.app.screen is not screen.main  # the page for long texts
        await screen.press("ctrl+s")
        assert screen.session.edits.of(prop.key) == {"A": text}


@asynchronous
async def test_a_text_that_is_kept_by_a_key_that_comes_twice_is_not_sent():
    async with terminal(define("Text", "D", "T", [("A", "a", "two\nlines")])) as screen:
        await screen.press("enter")
        await screen.burst("1", "ctrl+s", "ctrl+s")
        await screen.sees("that was for what was here before")
        assert screen.session.edits.of(("D", "T")) == {"A": "1two\nlines"}


@asynchronous
@pytest.mark.parametrize("text", ["two\nlines", "x" * 5000])
async def test_tab_from_the_member_before_opens_the_page_too(text):
    async with terminal(define("Text", "D", "T", [("A", "a", "short"), ("B", "b", text)])) as screen:
        await screen.press("enter")
        await screen.burst("1", "tab", "+", "ctrl+s")
        assert screen.session.edits.of(("D", "T")) == {"A": "1", "B": f"+{text}"}


@asynchronous
async def test_what_cannot_be_shown_of_an_edit_is_kept_with_it():
    async with terminal(define("Text", "D", "T", [("A", "a", "short")])) as screen:
        prop = screen.session.client.need("D", "T")
        screen.session.edit(prop, "A", "mark \u200e here")
        await screen.press("enter", "enter", "s")
        sent = await screen.sent("newTextVector")
        assert sent[0].text == "mark \u200e here"


@asynchronous
@pytest.mark.parametrize("size", [(40, 10), (80, 24)])
async def test_the_file_that_is_chosen_is_seen(tmp_path, monkeypatch, size):
    folder = tmp_path / "files"
    folder.mkdir()
    for n in range(30):
        (folder / f"file{n:02}").write_text("x")
    monkeypatch.chdir(folder)
    async with terminal(CAMERA, size=size) as screen:
        screen.main.action_edit()
        await screen.sees("file00", "Enter opens or")
        for n in range(1, 17):
            await screen.press("down")
            await screen.sees(f"file{n:02}")
        await screen.pilot.resize_terminal(40, 9)
        await screen.sees("file16", "Enter opens or")


@asynchronous
async def test_a_fault_while_a_key_is_waited_for_holds_up_no_other_key(monkeypatch):
    async with terminal(ALPHA + BETA) as screen:
        faults = [RuntimeError("odd")]
        settled = screen.app.in_order._settled

        async def fails():
            _raise(faults)
            await settled()

        monkeypatch.setattr(screen.app.in_order, "_settled", fails)
        await screen.press("j", "right_square_bracket")
        await screen.sees("Beta  0 All")
        assert not faults


@asynchronous
async def test_a_folder_that_is_opened_by_clicks(tmp_path, monkeypatch):
    for n in range(5):
        (tmp_path / f"dir{n}").mkdir()
    (tmp_path / "dir3" / "pixels").write_text("x")
    monkeypatch.chdir(tmp_path)
    async with terminal(CAMERA) as screen:
        screen.main.action_edit()
        await screen.sees("dir3/")
        chooser = screen.app.screen
        for _ in range(2):
            await screen.pilot.click("#files", offset=(3, 4))
            await screen.settled()
        await screen.sees("../", "pixels")
        assert chooser._files.at == 1
        await screen.pilot.click("#files", offset=(3, 1))
        await screen.pilot.click("#files", offset=(3, 1), button=3)
        await screen.settled()
        assert screen.app.screen is chooser
        await screen.type("none")  # what is typed is for the field still
        await screen.press("enter")
        await screen.sees_no("pixels")
        assert screen.app.screen is chooser
        await screen.press("ctrl+u", "enter")
        assert (await screen.sent("newBLOBVector"))[0].get("size") == "1"


@asynchronous
@pytest.mark.parametrize("size", [(80, 4), (4, 24)])
async def test_the_palette_does_not_end_the_program_in_terminals_without_room(size):
    async with terminal(TELESCOPE) as screen:
        await screen.press("colon", "s")
        await screen.pilot.resize_terminal(*size)
        await screen.settled()
        for again in (False, True):
            await screen.press(*["colon"] * again, "down", "pagedown", "pageup", "end")
            assert screen.app._exception is None
        await screen.pilot.resize_terminal(80, 24)
        await screen.press("escape", "colon", "s")
        await screen.sees("send all edits")


@asynchronous
async def test_nothing_is_kept_of_members_that_are_no_more(tmp_path):
    async with terminal(CAMERA, folder=tmp_path) as screen:
        receiver = screen.session.receiver
        for n in range(3):
            await screen.says(define("BLOB", "Cam", "CCD1", [(f"M{n}", "m", ""), ("SAME", "same", "")]))
            await screen.says(blob("Cam", "CCD1", f"M{n}", b"x"), blob("Cam", "CCD1", "SAME", b"x"))
            await eventually(lambda n=n: receiver.last.get(("Cam", "CCD1", "SAME")) is not None)
            await eventually(lambda n=n: receiver.last["Cam", "CCD1", "SAME"].count == n + 1)
        await eventually(lambda: [where[2] for where in receiver.last] == ["SAME", "M2"])


@asynchronous
@pytest.mark.parametrize("size", [(30, 9), (80, 24)])
async def test_a_question_is_read_whole(size):
    name = "Mount 赤道儀 of the observatory"
    members = [("CONNECT", "On", "On"), ("DISCONNECT", "Off", "Off")]
    busy = define("Number", name, "N", [("A", "a", 1)], state="Busy")
    async with terminal(switch(name, "CONNECTION", members, rule="OneOfMany") + busy, size=size) as screen:
        await screen.go(name, "CONNECTION", "DISCONNECT")
        await screen.press("space")
        await screen.sees("Mount", "is Busy.", "it?", "y  yes")


@asynchronous
async def test_whoever_opens_a_folder_does_not_send_what_is_in_it(tmp_path, monkeypatch):
    """By a double click, or by Enter that is held down."""
    for folder in (tmp_path / "flats", tmp_path / "zero"):
        folder.mkdir()
    (tmp_path / "flats" / "pixels").write_text("x")
    monkeypatch.chdir(tmp_path)
    async with terminal(CAMERA) as screen:
        screen.main.action_edit()
        await screen.sees("flats/")
        chooser = screen.app.screen
        await screen.pilot.click("#files", offset=(3, 1), times=3)
        await screen.sees("pixels")
        await screen.settled()
        assert screen.app.screen is chooser
        chooser.action_parent()
        chooser._settle = 1000.0
        await screen.press("enter")
        await screen.sees("pixels")
        await screen.press("enter")
        await screen.sees("read this first")
        assert screen.app.screen is chooser
        chooser._settle = 0.0
        await screen.press("enter")
        assert (await screen.sent("newBLOBVector"))[0].get("size") == "1"


@asynchronous
async def test_enter_that_comes_twice_does_not_send_the_first_file(tmp_path, monkeypatch):
    """Nobody has seen its name yet."""
    folder = tmp_path / "flats"
    folder.mkdir()
    (folder / "pixels").write_text("x")
    monkeypatch.chdir(folder)
    async with terminal(CAMERA) as screen:
        await screen.readable()
        screen.main.table.aim.settle = 1000.0
        now = screen.main.table._now() + 2000.0
        screen.main.table._now = lambda: now
        await screen.burst("enter", "enter")
        await screen.sees("pixels", "read this first")
        chooser = screen.app.screen
        chooser._settle = 0.0
        await screen.press("enter")
        assert (await screen.sent("newBLOBVector"))[0].get("size") == "1"


@asynchronous
async def test_whoever_quits_now_does_not_wait_for_a_file(tmp_path, monkeypatch):
    (tmp_path / "pixels").write_bytes(bytes(8_000_000))
    for name in ("LAST_BYTES", "LEAVING"):
        monkeypatch.setattr(f"indipyclient.session.{name}", 1000.0)
    async with terminal(CAMERA) as screen:
        await screen.readable()
        prop, member = screen.main.table.current()
        screen.session.send_file(prop, member.name, tmp_path / "pixels", lambda why, done: None)
        await eventually(lambda: screen.session.client._engine.session.unsent > 1_000_000, 30)
        async with asyncio.timeout(30):
            assert await screen.session.aclose() == ["pixels not sent"]


@asynchronous
async def test_a_whole_name_that_is_typed_means_that_file(tmp_path, monkeypatch):
    """Not the first one that has it in its name; and of a part, one has to see first what it finds."""
    for name in ("dark_flat.fits", *(f"a flat.fits of {n}" for n in range(20))):
        (tmp_path / name).write_text("wrong")
    (tmp_path / "flat.fits").write_text("x")
    monkeypatch.chdir(tmp_path)
    async with terminal(CAMERA) as screen:
        screen.main.action_edit()
        await screen.sees("a flat.fits of 10")
        chooser = screen.app.screen
        chooser._settle = 1000.0
        await screen.type("flat")
        await screen.press("enter")
        await screen.sees("read this first")
        await screen.type(".fits")
        await screen.sees(" flat.fits ")
        await screen.press("enter")
        assert (await screen.sent("newBLOBVector"))[0].get("size") == "1"
