"""Files that others write at the same time, or that cannot be read or written now."""

import asyncio
import errno
import os
import subprocess
import sys
import threading
from datetime import datetime
from pathlib import Path

import pytest

from indipydriver.instruments import Focuser, InstrumentDriver
from indipydriver.instruments.parkdata import ParkData, read_park_data, write_park_data
from indipydriver.instruments.settings import Settings, write_atomically
from indipydriver.instruments.shots import keep
from indipydriver.instruments.simulators import CCDSimulator, FocuserSimulator, TelescopeSimulator
from indipydriver.testing import DriverHarness, driver_test
from tests.instruments.sessions import Session


@driver_test
async def test_a_setting_that_is_refused_does_not_cost_the_others(home):
    async with Session(FocuserSimulator()) as client:
        await client.connect()
        await client.press("FOCUS_REVERSE_MOTION", "INDI_ENABLED")
        await client.until("FOCUS_REVERSE_MOTION", "Ok")
        await client.press("CONFIG_PROCESS", "CONFIG_SAVE")
        await client.until("CONFIG_PROCESS", "Ok")
    path = home / ".indi" / "Focuser Simulator_config.xml"
    path.write_text(path.read_text().replace("100000", "2000", 1))  # it is beyond that
    async with Session(FocuserSimulator()) as client:
        device = await client.connect()
        await client.press("CONFIG_PROCESS", "CONFIG_LOAD")
        await client.until("CONFIG_PROCESS", "Ok")
        assert device.reversed
        assert any("FOCUS_MAX could not be restored" in text for text in client.texts)


@pytest.fixture
def unreadable(monkeypatch):
    """All files of the process are in use."""

    def fail(path):
        raise OSError(errno.EMFILE, "too many open files", str(path))

    def begin():
        monkeypatch.setattr(Path, "read_bytes", fail)

    return begin


def test_files_that_cannot_be_read_now_stay_as_they_are(home, unreadable, monkeypatch):
    write_park_data("A", ParkData(True, 1, 2))
    settings = Settings("S")
    settings.save({"X": "<newTextVector device='S' name='X'><oneText name='X'>1</oneText></newTextVector>"})
    unreadable()
    with pytest.raises(OSError, match="too many open files"):
        write_park_data("B", ParkData(False))
    with pytest.raises(OSError, match="too many open files"):
        settings.save({"Y": "<newTextVector device='S' name='Y'><oneText name='Y'>1</oneText></newTextVector>"})
    monkeypatch.undo()
    monkeypatch.setenv("HOME", str(home))
    assert read_park_data("A") == ParkData(True, 1, 2)
    assert [saved.name for saved in Settings("S").load()] == ["X"]


HOLDS = """
import sys
from indipydriver.instruments.settings import config_folder, locked
with locked(config_folder()):
    print("held", flush=True)
    sys.stdin.readline()
    entry = "<parkdata><device name='B'><parkstatus>true</parkstatus></device></parkdata>"
    (config_folder() / "ParkData.xml").write_text(entry)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="files are not locked there")
def test_another_driver_may_be_about_to_write_where_it_is_parked(home):
    environment = {**os.environ, "HOME": str(home), "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", HOLDS]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, env=environment, text=True, **pipes) as other:
        assert other.stdout.readline() == "held\n"
        writing = threading.Thread(target=write_park_data, args=("A", ParkData(True)))
        writing.start()
        other.communicate("go on\n", timeout=30)
    writing.join(30)
    assert (read_park_data("A"), read_park_data("B")) == (ParkData(True), ParkData(True))


def test_images_of_two_cameras_have_two_names(tmp_path, monkeypatch):
    both = threading.Barrier(2, timeout=30)
    fsync = os.fsync

    def wait(descriptor):
        both.wait()  # both have chosen their names
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", wait)
    threads = [
        threading.Thread(target=keep, args=(data, str(tmp_path), "IMAGE_XXX", ".fits", datetime.now))
        for data in (b"one", b"two")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert {path.name for path in tmp_path.iterdir()} == {"IMAGE_001.fits", "IMAGE_002.fits"}
    assert {path.read_bytes() for path in tmp_path.iterdir()} == {b"one", b"two"}


def test_an_image_that_cannot_be_written_leaves_no_empty_file(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        keep(b"image", str(tmp_path), "IMAGE_XXX", ".fits", datetime.now)
    assert list(tmp_path.iterdir()) == []


@driver_test
async def test_clients_get_an_image_that_belongs_to_nobody():
    async with Session(CCDSimulator()) as client:
        await client.connect()
        await client.press("UPLOAD_MODE", "UPLOAD_BOTH")
        await client.text("UPLOAD_SETTINGS", UPLOAD_DIR="~no-such-user/images", UPLOAD_PREFIX="XXX")
        await client.number("CCD_EXPOSURE", CCD_EXPOSURE_VALUE=0.1)
        await client.until("CCD_EXPOSURE", "Alert", 5)
        assert client.values("CCD1")["CCD1"][:6] == b"SIMPLE"
        assert client.state("CCD_FILE_PATH") == "Alert"


@driver_test
async def test_clients_get_an_image_that_cannot_be_kept(monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    async with Session(CCDSimulator()) as client:
        await client.connect()
        await client.press("UPLOAD_MODE", "UPLOAD_BOTH")
        await client.number("CCD_EXPOSURE", CCD_EXPOSURE_VALUE=0.1)
        await client.until("CCD_EXPOSURE", "Alert", 5)
        assert client.values("CCD1")["CCD1"][:6] == b"SIMPLE"
        assert client.state("CCD_FILE_PATH") == "Alert"
        assert any("no space left" in text for text in client.texts)


def test_the_first_settings_are_copied_whole_or_not_at_all(home, monkeypatch):
    settings = Settings("S")
    settings.path.parent.mkdir()
    settings.path.write_text("<INDIDriver><newTextVector device='S' name='X'></newTextVector></INDIDriver>")

    def full(descriptor):
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert [saved.name for saved in settings.load()] == ["X"]
    assert not settings.default_path.exists()


def test_a_file_system_without_permissions_keeps_files(tmp_path, monkeypatch):
    def refuse(*args):
        raise PermissionError(errno.EPERM, "operation not permitted")

    monkeypatch.setattr(os, "chmod", refuse)
    write_atomically(tmp_path / "image.fits", b"image")
    assert (tmp_path / "image.fits").read_bytes() == b"image"


@driver_test
async def test_settings_of_other_devices_in_the_same_file_are_not_purged(home, monkeypatch):
    monkeypatch.setenv("INDICONFIG", str(home / "all.xml"))
    async with DriverHarness(InstrumentDriver(FocuserSimulator("One"), FocuserSimulator("Two"))) as client:
        for name in ("One", "Two"):
            await client.set_switch(name, "CONFIG_PROCESS", CONFIG_SAVE="On")
            await client.wait_for(name, "CONFIG_PROCESS", state="Ok", timeout=5)
        await client.set_switch("One", "CONFIG_PROCESS", CONFIG_PURGE="On")
        await client.wait_for("One", "CONFIG_PROCESS", state="Ok", timeout=5)
        left = (home / "all.xml").read_text()
        assert 'device="Two"' in left
        assert 'device="One"' not in left
        await client.set_switch("Two", "CONFIG_PROCESS", CONFIG_PURGE="On")
        await client.wait_for("Two", "CONFIG_PROCESS", state="Ok", timeout=5)
        assert not (home / "all.xml").exists()


@driver_test
async def test_what_a_client_sets_while_the_settings_are_loaded_is_saved():
    class Geared(Focuser):
        async def move_to(self, position):
            pass

        async def set_reverse(self, reverse):
            await asyncio.sleep(3)

    async with Session(Geared()) as client:
        device = await client.connect()
        await client.press("FOCUS_REVERSE_MOTION", "INDI_ENABLED")
        await client.press("CONFIG_PROCESS", "CONFIG_SAVE")
        loading = asyncio.create_task(client.press("CONFIG_PROCESS", "CONFIG_LOAD"))
        await asyncio.sleep(0.5)
        assert client.state("FOCUS_REVERSE_MOTION") == "Busy"
        await client.number("FOCUS_MAX", FOCUS_MAX_VALUE=43_210)
        assert "43210" in device.settings.path.read_text()
        await loading


@pytest.mark.skipif(os.name != "posix", reason="there are other permissions")
def test_files_have_the_permissions_that_the_user_wants(tmp_path):
    path = tmp_path / "settings.xml"
    before = os.umask(0o077)
    try:
        write_atomically(path, "mine")
        assert path.stat().st_mode & 0o777 == 0o600
        os.umask(0o002)
        write_atomically(path, "still mine")
        assert path.stat().st_mode & 0o777 == 0o600
        write_atomically(tmp_path / "other.xml", "of the group too")
        assert (tmp_path / "other.xml").stat().st_mode & 0o777 == 0o664
    finally:
        os.umask(before)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["other.xml", "settings.xml"]


class Geared(Focuser):
    maximum = 500

    def __init__(self, name=None):
        super().__init__(name)
        self.steps = None

    async def move_to(self, position):
        pass

    async def set_backlash(self, steps):
        self.steps = steps


@driver_test
async def test_a_backlash_that_is_switched_off_is_kept():
    async with Session(Geared()) as client:
        await client.connect()
        await client.press("FOCUS_BACKLASH_TOGGLE", "INDI_ENABLED")
        await client.number("FOCUS_BACKLASH_STEPS", FOCUS_BACKLASH_VALUE=50)
        await client.press("FOCUS_BACKLASH_TOGGLE", "INDI_DISABLED")
        await client.until("FOCUS_BACKLASH_TOGGLE", "Ok")
    async with Session(Geared()) as client:
        device = await client.connect()
        await client.press("CONFIG_PROCESS", "CONFIG_LOAD")
        await client.until("CONFIG_PROCESS", "Ok")
        assert (device.backlash, client.value("FOCUS_BACKLASH_STEPS")) == (0, 50)
        assert not any("disabled" in text for text in client.texts)  # nobody has tried to set it
        await client.press("FOCUS_BACKLASH_TOGGLE", "INDI_ENABLED")
        await client.until("FOCUS_BACKLASH_TOGGLE", "Ok")
        assert device.steps == device.backlash == 50


@driver_test
async def test_a_short_focuser_may_be_made_shorter():
    """Its largest position is below what libindi's focusers allow."""
    async with Session(Geared()) as client:
        await client.connect()
        await client.number("FOCUS_MAX", FOCUS_MAX_VALUE=400)
        assert client.state("FOCUS_MAX") == "Ok"
    async with Session(Geared()) as client:
        await client.connect()
        await client.press("CONFIG_PROCESS", "CONFIG_LOAD")
        await client.until("CONFIG_PROCESS", "Ok")
        assert client.value("FOCUS_MAX") == 400


@driver_test
async def test_the_rate_of_a_parked_mount_is_restored():
    async with Session(TelescopeSimulator()) as client:
        await client.connect()
        await client.press("TELESCOPE_TRACK_MODE", "TRACK_LUNAR")
        await client.until("TELESCOPE_TRACK_MODE", "Ok")
        client.device.parked = True
        await client.press("TELESCOPE_TRACK_MODE", "TRACK_SOLAR")
        assert (client.state("TELESCOPE_TRACK_MODE"), client.on("TELESCOPE_TRACK_MODE")) == ("Alert", ["TRACK_LUNAR"])
    device = TelescopeSimulator()
    async with Session(device) as client:
        device.parked = True
        await client.connect()
        await client.press("CONFIG_PROCESS", "CONFIG_LOAD")
        await client.until("CONFIG_PROCESS", "Ok")
        assert client.on("TELESCOPE_TRACK_MODE") == ["TRACK_LUNAR"]
        assert not any("could not be restored" in text for text in client.texts)


@driver_test
async def test_settings_in_a_folder_of_somebody_else_are_set_nevertheless(monkeypatch):
    def refuse(path, **how):
        raise PermissionError(errno.EACCES, "permission denied", str(path))

    async with Session(Geared()) as client:
        await client.connect()
        monkeypatch.setattr(Path, "exists", refuse)
        await client.number("FOCUS_MAX", FOCUS_MAX_VALUE=400)
        await client.until("FOCUS_MAX", "Ok")
        await client.advance(1)
        monkeypatch.undo()
        assert client.state("FOCUS_MAX") == "Ok"
        assert any("could not be saved" in text for text in client.texts)


@driver_test
async def test_what_a_full_disk_could_not_take_is_saved_with_what_is_set_next(home, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, "no space left")

    async with Session(FocuserSimulator()) as client:
        await client.connect()
        await client.number("FOCUS_MAX", FOCUS_MAX_VALUE=90_000)
        await client.advance(1)
        monkeypatch.setattr(os, "fsync", full)
        await client.number("FOCUS_MAX", FOCUS_MAX_VALUE=70_000)
        await client.advance(1)
        assert sum("could not be saved" in text for text in client.texts) == 1
        monkeypatch.undo()
        monkeypatch.setenv("HOME", str(home))
        await client.press("FOCUS_REVERSE_MOTION", "INDI_ENABLED")
        await client.advance(1)
        assert sum("could not be saved" in text for text in client.texts) == 1
    saved = {one.name: one.values for one in Settings("Focuser Simulator").load()}
    assert saved["FOCUS_MAX"] == {"FOCUS_MAX_VALUE": "70000"}
    assert saved["FOCUS_REVERSE_MOTION"]["INDI_ENABLED"] == "On"
