"""What is stale is nowhere shown as live; names of files that no system takes; properties without number or end."""

import pytest

pytest.importorskip("textual", reason="the terminal client needs the extra term")

from indipyterm import receiving
from indipyterm.receiving import folder_of
from indipyterm.screens.files import FileChooser
from tests.support import asynchronous, eventually

from .observatory import define, delete
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
        await screen.sees("perhaps no longer")
        await screen.press("escape", "p")
        await screen.sees("not defined again yet")


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
        await eventually(lambda: len(receiver._tasks) == 4)
        assert receiver.is_receiving(("Cam", "CCD1"))
        assert receiver.is_receiving(("Cam", "B5"))  # as it may be back at once
        await screen.says(define("BLOB", "Cam", "B0", [("B", "b", "")]))
        await eventually(lambda: receiver.is_receiving(("Cam", "B0")))
