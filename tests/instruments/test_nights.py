"""What happens in a night: partners that were read long ago, motions in place of others, settings that are hidden."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pytest

from indipydriver.instruments import (
    Camera,
    Dome,
    FilterWheel,
    Focuser,
    InstrumentDriver,
    LightBox,
    Network,
    Serial,
)
from indipydriver.testing import DriverHarness, driver_test, run
from tests.instruments.sessions import Session

EOD, TARGET, PARK = "EQUATORIAL_EOD_COORD", "TARGET_EOD_COORD", "TELESCOPE_PARK"
DOME_PARK, SHUTTER = "DOME_PARK", "DOME_SHUTTER"


# --- exposures


@pytest.mark.parametrize("aborts", [False, True])
@driver_test
async def test_an_exposure_begins_when_what_was_there_has_ended(aborts, monkeypatch):
    loop = asyncio.get_running_loop()

    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.fromtimestamp(loop.time(), tz)

    monkeypatch.setattr("indipydriver.instruments.chips.datetime", Clock)
    began = []

    class Slow(Camera):
        width = height = 8

        async def expose(self, shot):
            began.append(shot.began.timestamp() - loop.time())
            try:
                await asyncio.sleep(shot.seconds)
            finally:
                await asyncio.sleep(2)
            return bytes(128)

        async def abort(self):
            await asyncio.sleep(2)

    async with Session(Slow()) as client:
        await client.connect()
        await client.number("CCD_EXPOSURE", CCD_EXPOSURE_VALUE=60)
        await client.advance(1)
        if aborts:
            await client.press("CCD_ABORT_EXPOSURE", "ABORT")
        await client.number("CCD_EXPOSURE", CCD_EXPOSURE_VALUE=1)
        await client.until("CCD_EXPOSURE", "Ok", 20)
        assert began == pytest.approx([0, 0], abs=0.01)


# --- settings


class Wheel(FilterWheel):
    filters = ("A", "B", "C")

    async def select(self, slot):
        pass


@driver_test
async def test_what_is_not_defined_is_not_overwritten_when_settings_are_saved(home):
    file = home / ".indi" / "Wheel_config.xml"
    async with Session(Wheel()) as client:
        await client.connect()
        await client.text("FILTER_NAME", FILTER_SLOT_NAME_1="Lum")
        await client.advance(1)
        assert "Lum" in file.read_text()
    async with Session(Wheel()) as client:
        await client.number("POLLING_PERIOD", PERIOD_MS=500)
        await client.press("CONFIG_PROCESS", "CONFIG_SAVE")
        await client.until("CONFIG_PROCESS", "Ok")
        assert "Lum" in file.read_text()
        assert file.read_text().count("'FILTER_NAME'") + file.read_text().count('"FILTER_NAME"') == 1
        await client.connect()
        await client.press("CONFIG_PROCESS", "CONFIG_LOAD")
        await client.until("FILTER_NAME", "Ok", FILTER_SLOT_NAME_1="Lum")


@driver_test
async def test_a_brightness_for_each_filter_is_kept_as_long_as_the_wheel_is_not_known(home):
    class Light(LightBox):
        async def set_light(self, on):
            pass

        async def set_brightness(self, value):
            pass

    file = home / ".indi" / "L_config.xml"
    async with DriverHarness(InstrumentDriver(Light("L"), Wheel("W"))) as client:
        await client.set_text("L", "ACTIVE_DEVICES", ACTIVE_FILTER="W")
        for name in "WL":
            await client.set_switch(name, "CONNECTION", CONNECT="On")
        await client.advance(3)
        await client.set_number("L", "FLAT_LIGHT_FILTER_INTENSITY", FILTER_1=77, FILTER_2=88, FILTER_3=99)
        await client.advance(1)
        assert "88" in file.read_text()
    async with DriverHarness(InstrumentDriver(Light("L"), Wheel("W"))) as client:
        await client.set_switch("L", "CONNECTION", CONNECT="On")
        await client.set_switch("L", "CONFIG_PROCESS", CONFIG_SAVE="On")
        await client.wait_for("L", "CONFIG_PROCESS", state="Ok")
        assert "88" in file.read_text()


@driver_test
async def test_the_address_and_the_levels_that_are_hidden_now_are_restored():
    class Wired(Focuser):
        connections = (Serial(), Network(port=4001))

        async def move_to(self, position):
            pass

    async with Session(Wired()) as client:
        await client.press("CONNECTION_MODE", "CONNECTION_TCP")
        await client.text("DEVICE_ADDRESS", ADDRESS="192.0.2.50", PORT="4002")
        await client.press("DEBUG", "ENABLE")
        await client.set_switch(client.name, "LOGGING_LEVEL", LOG_DEBUG="On")
        await client.press("CONFIG_PROCESS", "CONFIG_SAVE")
        await client.until("CONFIG_PROCESS", "Ok")
        await client.press("DEBUG", "DISABLE")
        await client.press("CONNECTION_MODE", "CONNECTION_SERIAL")
        await client.advance(1)
    async with Session(Wired()) as client:
        await client.advance(1)
        assert "DEVICE_ADDRESS" not in client.defined()
        await client.press("CONFIG_PROCESS", "CONFIG_SAVE")
        await client.until("CONFIG_PROCESS", "Ok")
    async with Session(Wired()) as client:
        await client.advance(1)
        await client.press("CONNECTION_MODE", "CONNECTION_TCP")
        await client.press("DEBUG", "ENABLE")
        await client.settle()
        assert client.values("DEVICE_ADDRESS") == {"ADDRESS": "192.0.2.50", "PORT": "4002"}
        assert "LOG_DEBUG" in client.on("LOGGING_LEVEL")


# --- calls in threads that never return


def test_calls_that_never_return_hold_up_neither_a_roof_nor_an_image():
    class Roof(Dome):
        async def open_roof(self):
            pass

        async def close_roof(self):
            pass

    class Small(Camera):
        width = height = 8

        async def expose(self, shot):
            return bytes(128)

    release = threading.Event()

    async def night():
        executor = ThreadPoolExecutor(1)
        executor.submit(release.wait)  # as of a library whose device hangs
        asyncio.get_running_loop().set_default_executor(executor)
        async with DriverHarness(InstrumentDriver(Roof("R"), Small("C"))) as client:
            for name in "RC":
                await client.set_switch(name, "CONNECTION", CONNECT="On")
                await client.wait_for(name, "CONNECTION", state="Ok", timeout=30)
            await client.set_switch("R", "DOME_PARK", PARK="On")
            await client.wait_for("R", "DOME_PARK", state="Ok", values={"PARK": "On"}, timeout=30)
            await client.set_switch("C", "UPLOAD_MODE", UPLOAD_BOTH="On")
            await client.set_switch("C", "CCD_COMPRESSION", INDI_ENABLED="On")
            await client.set_number("C", "CCD_EXPOSURE", CCD_EXPOSURE_VALUE=0.01)
            await client.wait_for("C", "CCD1", state="Ok", timeout=30)
        release.set()

    try:
        run(night, real_time=True)
    finally:
        release.set()
