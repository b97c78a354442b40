"""How it ends: what has come and is not written, and what is being sent, is waited for, or named."""

import contextlib
import threading

import pytest

pytest.importorskip("textual", reason="the terminal client needs the extra term")

from indipyclient import turns
from indipyterm import receiving
from tests.support import asynchronous, eventually
from tests.support.fits import fits

from .observatory import CAMERA, TELESCOPE, blob, define, delete, switch, update
from .terminal import members, terminal

IMAGE = ("CCD 1", "CCD1")


class Disc:
    """A disc that takes nothing until it is told to."""

    def __init__(self, monkeypatch) -> None:
        self.takes = threading.Event()
        write = receiving._write

        def slowly(received, folder):
            self.takes.wait(30)
            return write(received, folder)

        monkeypatch.setattr(receiving, "_write", slowly)


@pytest.fixture
def disc(monkeypatch):
    found = Disc(monkeypatch)
    yield found
    found.takes.set()


@contextlib.asynccontextmanager
async def three_blobs(folder, **options):
    """Three have come, of which none is written."""
    async with terminal(CAMERA, folder=folder, **options) as screen:
        await screen.sent("enableBLOB")
        await screen.says(*(blob(*IMAGE, "CCD1", bytes([n])) for n in range(3)))
        await eventually(lambda: screen.session.receiver.unwritten() == {IMAGE: 3})
        yield screen


@asynchronous
async def test_quitting_waits_for_blobs_that_are_not_written(tmp_path, disc):
    async with three_blobs(tmp_path) as screen:
        await screen.press("q")
        await screen.sees("The program ends when this is finished:", "3 BLOBs of CCD 1 CCD1 not written", "y  quit now")
        await screen.press("n")
        await screen.sees_no("The program ends when")
        assert not screen.app._exit
        await screen.press("ctrl+q")
        await screen.sees("3 BLOBs of CCD 1 CCD1 not written")
        disc.takes.set()
        await eventually(lambda: screen.app._exit)
        assert sorted(path.read_bytes() for path in tmp_path.glob("CCD1*")) == [b"\0", b"\1", b"\2"]


@asynchronous
async def test_who_does_not_wait_is_told_what_was_not_written(tmp_path, disc, monkeypatch, capsys):
    monkeypatch.setattr(receiving, "LAST", 0.05)
    async with three_blobs(tmp_path) as screen:
        await screen.press("q", "y")
        await eventually(lambda: screen.app._exit)
    disc.takes.set()
    assert screen.app.unfinished == ["3 BLOBs of CCD 1 CCD1 not written"]
    assert capsys.readouterr().err == "indipyterm: 3 BLOBs of CCD 1 CCD1 not written\n"


@asynchronous
async def test_a_yes_that_was_typed_for_something_else_does_not_quit(tmp_path, disc):
    async with three_blobs(tmp_path, settle=0.05) as screen:
        screen.main.table.aim.settle = 60
        await screen.press("q", "y")
        await screen.sees("read this first, and press again")
        assert not screen.app._exit
        disc.takes.set()


@asynchronous
async def test_who_is_told_to_end_has_some_seconds_to_write(tmp_path, disc):
    async with three_blobs(tmp_path) as screen:
        screen.app.patience = 30
        screen.app.exit()
        threading.Timer(0.2, disc.takes.set).start()
    assert len(list(tmp_path.glob("CCD1*"))) == 3
    assert screen.app.unfinished == []


@asynchronous
async def test_without_a_folder_nothing_is_waited_for(disc):
    async with terminal(CAMERA) as screen:
        screen.session.receiver.receive(IMAGE, True)
        await screen.sent("enableBLOB")
        await screen.says(blob(*IMAGE, "CCD1", b"x"))
        await eventually(lambda: screen.session.receiver.last)
        await screen.press("q")
        await eventually(lambda: screen.app._exit)


@asynchronous
async def test_blobs_that_have_come_are_written_when_no_more_are_wanted(tmp_path, disc):
    async with three_blobs(tmp_path) as screen:
        receiver = screen.session.receiver
        receiver.receive(IMAGE, False)
        assert not receiver.is_receiving(IMAGE)
        receiver.receive(IMAGE, True)
        await screen.says(blob(*IMAGE, "CCD1", b"\3"))
        await eventually(lambda: receiver.unwritten() == {IMAGE: 4})
        disc.takes.set()
        await eventually(lambda: len(list(tmp_path.glob("CCD1*"))) == 4)
        await eventually(lambda: receiver.last[*IMAGE, "CCD1"].count == 4)
        assert not receiver.unwritten()
        assert receiver.is_receiving(IMAGE)


@asynchronous
async def test_blobs_of_properties_that_went_for_good_are_written(tmp_path, disc, monkeypatch):
    monkeypatch.setattr(receiving, "AWAITED", 2)
    async with three_blobs(tmp_path) as screen:
        receiver = screen.session.receiver
        await screen.says(delete(*IMAGE))
        for name in ("B0", "B1"):
            await screen.says(define("BLOB", "Cam", name, [("B", "b", "")]))
            await eventually(lambda name=name: receiver.is_receiving(("Cam", name)))
            await screen.says(delete("Cam", name))
        await eventually(lambda: not receiver.is_receiving(IMAGE))
        disc.takes.set()
        await eventually(lambda: len(list(tmp_path.glob("CCD1*"))) == 3)
        await eventually(lambda: not receiver.unwritten())
        assert (*IMAGE, "CCD1") not in receiver.last


@asynchronous
async def test_a_server_is_closed_when_its_blobs_are_written(tmp_path, disc):
    async with three_blobs(tmp_path) as screen:
        await screen.press("ctrl+w")
        await screen.sees("no server: o opens one")
        assert screen.app._unfinished() == ["3 BLOBs of CCD 1 CCD1 not written"]
        disc.takes.set()
        await eventually(lambda: len(list(tmp_path.glob("CCD1*"))) == 3)
        await eventually(lambda: not screen.app.sessions())


@asynchronous
async def test_a_server_that_cannot_finish_is_closed_all_the_same(tmp_path, disc, monkeypatch):
    monkeypatch.setattr(receiving, "LAST", 0.05)
    monkeypatch.setattr("indipyterm.app.LONG_PATIENCE", 0.05)
    async with three_blobs(tmp_path) as screen:
        await screen.press("ctrl+w")
        await screen.sees("is closed: 3 BLOBs of CCD 1 CCD1 not written")
        disc.takes.set()


def a_file(folder, monkeypatch) -> None:
    (folder / "files").mkdir()
    (folder / "files" / "pixels.bin").write_bytes(b"x" * 100)
    monkeypatch.chdir(folder / "files")


async def send_it(screen) -> None:
    await screen.go("CCD 1", "UPLOAD")
    await screen.press("enter")
    await screen.sees("pixels.bin")
    await screen.press("enter")


async def send_it_and_quit(screen) -> None:
    await send_it(screen)
    await screen.sent("newBLOBVector")
    await screen.press("q")
    await screen.sees("pixels.bin not sent")


@asynchronous
async def test_the_facts_below_an_image_are_its_own(tmp_path, disc):
    """And the file: the one before is in another, and this one may not be written yet."""
    async with terminal(CAMERA, folder=tmp_path, size=(110, 30)) as screen:
        await screen.sent("enableBLOB")
        disc.takes.set()
        await screen.says(blob(*IMAGE, "CCD1", fits(20, 20)))
        await eventually(lambda: screen.session.receiver.last)
        await screen.go(*IMAGE)
        await screen.press("v")
        (first,) = tmp_path.glob("CCD1*")
        await screen.sees("size 20 x 20", first.name)
        disc.takes.clear()
        await screen.says(blob(*IMAGE, "CCD1", fits(30, 20)))
        await screen.sees("size 30 x 20")
        await screen.sees_no(first.name)
        disc.takes.set()
        await eventually(lambda: len(list(tmp_path.glob("CCD1*"))) == 2)
        (second,) = {*tmp_path.glob("CCD1*")} - {first}
        await screen.sees(second.name, "size 30 x 20")


@asynchronous
async def test_quitting_waits_for_a_file_until_the_device_has_it(tmp_path, monkeypatch):
    a_file(tmp_path, monkeypatch)
    async with terminal(CAMERA) as screen:
        await send_it_and_quit(screen)
        await screen.says(update("BLOB", "CCD 1", "UPLOAD", state="Busy"))
        await eventually(lambda: screen.app._exit)
    assert screen.app.unfinished == []


PARK = switch("Mount", "PARK", [("PARK", "Park", "On"), ("UNPARK", "Unpark", "Off")])


@asynchronous
@pytest.mark.parametrize("key", ["q", "ctrl+w"])
async def test_quitting_waits_for_a_command_that_waits_for_the_answer_to_another(key):
    """Somebody has pressed the wrong switch, corrects that, and goes."""
    async with terminal(PARK) as screen:
        await screen.go("Mount", "PARK", "UNPARK")
        await screen.press("space", "left", "space", key)
        assert members(await screen.sent("newSwitchVector"))["UNPARK"] == "On"
        assert members(await screen.sent("newSwitchVector"))["PARK"] == "On"
        await eventually(lambda: screen.app._exit or not screen.app.workspaces)
        assert not screen.app.unfinished


@asynchronous
async def test_a_command_that_was_held_back_until_the_server_was_lost_is_told(monkeypatch):
    monkeypatch.setattr(turns, "HELD", 60.0)
    async with terminal(PARK) as screen:
        await screen.go("Mount", "PARK", "UNPARK")
        await screen.press("space", "left", "space", "q")
        await screen.sees("Mount PARK not sent")
        screen.link.close()
        await screen.sees("Mount PARK not sent: not connected")
        assert not screen.app._exit


@asynchronous
async def test_what_fails_while_somebody_quits_is_told(tmp_path, monkeypatch):
    a_file(tmp_path, monkeypatch)
    async with terminal(CAMERA) as screen:
        await send_it_and_quit(screen)
        screen.link.close()
        await screen.sees("pixels.bin not sent: sent, and nobody knows whether")
        assert not screen.app._exit
        await screen.press("y")
        await eventually(lambda: screen.app._exit)
    assert "pixels.bin not sent: sent, and nobody knows" in screen.app.unfinished[0]


@asynchronous
async def test_a_file_that_is_too_large_is_told(tmp_path, monkeypatch):
    def bytes_of(path):
        raise MemoryError

    a_file(tmp_path, monkeypatch)
    async with terminal(CAMERA) as screen:
        monkeypatch.setattr("indipyterm.session.bytes_of", bytes_of)
        await send_it(screen)
        await screen.sees("pixels.bin is too large")


@asynchronous
@pytest.mark.parametrize("where", [[], ["question_mark"], ["o"], ["slash"], ["enter"], ["colon"]])
async def test_ctrl_q_asks_wherever_it_is_pressed(where):
    async with terminal(TELESCOPE) as screen:
        prop = screen.session.client.need("Telescope", "GEOGRAPHIC_COORD")
        screen.session.edit(prop, "LAT", "1")
        await screen.go("Telescope", "GEOGRAPHIC_COORD", "ELEV")
        await screen.press(*where, "ctrl+q")
        await screen.sees("1 unsent edit (s sends). Quit?")
        await screen.press("ctrl+q")
        assert not screen.app._exit
        await screen.press("y")
        await eventually(lambda: screen.app._exit)


@asynchronous
@pytest.mark.parametrize("device", ["short", "long\n"])
async def test_what_is_typed_and_not_kept_is_an_unsent_edit_too(device):
    async with terminal(define("Text", "D", "T", [("A", "a", device)])) as screen:
        await screen.press("enter", "x", "ctrl+q")
        await screen.sees("1 unsent edit (s sends). Quit?")
        await screen.press("n")
        await screen.press("escape", "ctrl+q")
        await eventually(lambda: screen.app._exit)


@asynchronous
async def test_ctrl_q_quits_only_where_it_is_a_key_to_quit():
    from indipyterm.settings import Settings

    settings = Settings(keys={"app.quit": "f10", "view.compact": "ctrl+q"})
    abort = switch("Telescope", "ABORT", [("ABORT", "Abort", "Off")])
    async with terminal(abort, settings=settings) as screen:
        await screen.press("ctrl+q")
        assert not screen.app._exit
        assert screen.main.table.mode.value == "compact"
        await screen.press("f10")
        await eventually(lambda: screen.app._exit)
