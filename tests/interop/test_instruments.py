"""Instruments beside libindi's own: settings that both read and write, and snooping in both directions."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from indipydriver.instruments import InstrumentDriver
from indipydriver.instruments.simulators import (
    CCDSimulator,
    FilterSimulator,
    FocuserSimulator,
    RotatorSimulator,
    TelescopeSimulator,
)
from indipydriver.instruments.sky import sexagesimal, to_j2000
from indipyserver import IPyServer
from tests.support import IndiClient, asynchronous, eventually, match, new_vector, require, running_server

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Settings of our drivers and of libindi's are in one place."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("INDICONFIG", "INDIDEV"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@contextlib.asynccontextmanager
async def session(
    home: Path, driver: InstrumentDriver | None, program: str = ""
) -> AsyncIterator[tuple[IPyServer, IndiClient]]:
    """A server with a driver of ours, a program of libindi's, or both; all devices are connected."""
    async with running_server(*[driver] if driver else []) as server, IndiClient(server.port) as client:
        await client.get_properties()
        if program:
            require(program)
            server.add_exdriver(program, env={"HOME": str(home)})
        await eventually(lambda: len(devices(client)) == len(driver or ()) + bool(program), 20)
        for device in devices(client):
            await client.send(new_vector("Switch", device, "CONNECTION", CONNECT="On"))
            await comes(client, "setSwitchVector", device, "CONNECTION", state="Ok", values={"CONNECT": "On"})
        yield server, client


def devices(client: IndiClient) -> list[str]:
    seen = [
        e.get("device", "") for e in client.received if e.tag == "defSwitchVector" and e.get("name") == "CONNECTION"
    ]
    return list(dict.fromkeys(seen))


async def comes(client: IndiClient, tag: str, device: str, name: str, **more: object) -> None:
    wanted = match(tag, device=device, name=name, **more)  # type: ignore[arg-type]
    await eventually(lambda: any(map(wanted, client.received)), 20)


async def press(client: IndiClient, device: str, vector: str, member: str) -> None:
    client.received.clear()
    await client.send(new_vector("Switch", device, vector, **{member: "On"}))
    await comes(client, "setSwitchVector", device, vector, state="Ok")


FOCUSER, WHEEL = "Focuser Simulator", "Filter Simulator"


@asynchronous
async def test_libindi_reads_what_we_have_saved(home: Path) -> None:
    async with session(home, InstrumentDriver(FilterSimulator())) as (_, client):
        await client.send(new_vector("Text", WHEEL, "FILTER_NAME", FILTER_SLOT_NAME_2="Clear & <bright>"))
        await comes(client, "setTextVector", WHEEL, "FILTER_NAME", state="Ok")
        await press(client, WHEEL, "CONFIG_PROCESS", "CONFIG_SAVE")
    async with session(home, None, "indi_simulator_wheel") as (_, client):
        await press(client, WHEEL, "CONFIG_PROCESS", "CONFIG_LOAD")
        await comes(client, "setTextVector", WHEEL, "FILTER_NAME", values={"FILTER_SLOT_NAME_2": "Clear & <bright>"})


@asynchronous
async def test_we_read_what_libindi_has_saved_and_keep_all_of_it(home: Path) -> None:
    path = home / ".indi" / f"{FOCUSER}_config.xml"
    async with session(home, None, "indi_simulator_focus") as (_, client):
        await client.send(new_vector("Number", FOCUSER, "FOCUS_MAX", FOCUS_MAX_VALUE=61000))
        await comes(client, "setNumberVector", FOCUSER, "FOCUS_MAX", state="Ok")
        await press(client, FOCUSER, "CONFIG_PROCESS", "CONFIG_SAVE")
    before = {vector.get("name") for vector in ET.parse(path).getroot()}
    focuser = FocuserSimulator()
    async with session(home, InstrumentDriver(focuser)) as (_, client):
        await press(client, FOCUSER, "CONFIG_PROCESS", "CONFIG_LOAD")
        await comes(client, "setNumberVector", FOCUSER, "FOCUS_MAX", values={"FOCUS_MAX_VALUE": "61000"})
        await press(client, FOCUSER, "CONFIG_PROCESS", "CONFIG_SAVE")
    after = {vector.get("name") for vector in ET.parse(path).getroot()}
    assert before - after == set()
    assert before - set(focuser) != set()  # what only libindi knows has survived
    async with session(home, None, "indi_simulator_focus") as (_, client):
        await press(client, FOCUSER, "CONFIG_PROCESS", "CONFIG_LOAD")
        await comes(client, "setNumberVector", FOCUSER, "FOCUS_MAX", values={"FOCUS_MAX_VALUE": "61000"})


ROTATOR, REVERSE = "Rotator Simulator", "ROTATOR_REVERSE"


@asynchronous
async def test_what_libindi_has_saved_counts_as_soon_as_we_are_connected(home: Path) -> None:
    """And the reverse: what we save when we are told to, libindi loads."""
    async with session(home, None, "indi_simulator_rotator") as (_, client):
        await press(client, ROTATOR, REVERSE, "INDI_ENABLED")
        await press(client, ROTATOR, "CONFIG_PROCESS", "CONFIG_SAVE")
    rotator = RotatorSimulator()
    async with session(home, InstrumentDriver(rotator)) as (_, client):
        await comes(client, "setSwitchVector", ROTATOR, REVERSE, state="Ok", values={"INDI_ENABLED": "On"})
        assert rotator.reversed
        await client.send(new_vector("Switch", ROTATOR, "CONNECTION", DISCONNECT="On"))
        await comes(client, "delProperty", ROTATOR, REVERSE)
        await press(client, ROTATOR, "CONFIG_PROCESS", "CONFIG_SAVE")
    async with session(home, None, "indi_simulator_rotator") as (_, client):
        client.received.clear()
        await press(client, ROTATOR, "CONFIG_PROCESS", "CONFIG_LOAD")
        await comes(client, "setSwitchVector", ROTATOR, REVERSE, state="Ok", values={"INDI_ENABLED": "On"})


async def picture(client: IndiClient, device: str) -> bytes:
    """The header of a picture."""
    client.received.clear()
    await client.enable_blob(device)
    await client.send(new_vector("Number", device, "CCD_EXPOSURE", CCD_EXPOSURE_VALUE=0.2))
    wanted = match("setBLOBVector", device=device, name="CCD1")
    await eventually(lambda: any(map(wanted, client.received)), 40)
    element = next(filter(wanted, client.received))
    return base64.b64decode("".join((element[0].text or "").split()))


@asynchronous
async def test_our_camera_watches_a_mount_of_libindi(home: Path) -> None:
    camera = CCDSimulator()
    async with session(home, InstrumentDriver(camera), "indi_simulator_telescope") as (_, client):
        mount = "Telescope Simulator"
        await client.send(new_vector("Text", camera.devicename, "ACTIVE_DEVICES", ACTIVE_TELESCOPE=mount))
        await comes(client, "setTextVector", camera.devicename, "ACTIVE_DEVICES", state="Ok")
        await eventually(lambda: (mount, "EQUATORIAL_EOD_COORD") in camera.driver.snoopvectors, 5)  # type: ignore[union-attr]
        for _ in range(20):  # it asks within a second
            if b"OBJCTRA" in (data := await picture(client, camera.devicename)):
                break
            await asyncio.sleep(0.5)
        assert b"TELESCOP= 'Telescope Simulator'" in data
        assert b"OBJCTRA" in data


@asynchronous
async def test_a_camera_of_libindi_watches_our_mount(home: Path) -> None:
    mount = TelescopeSimulator()
    ccd = "CCD Simulator"
    async with session(home, InstrumentDriver(mount), "indi_simulator_ccd") as (_, client):
        await client.send(new_vector("Switch", mount.devicename, "ON_COORD_SET", SYNC="On"))
        await client.send(new_vector("Number", mount.devicename, "EQUATORIAL_EOD_COORD", RA=5, DEC=22))
        await comes(client, "setNumberVector", mount.devicename, "EQUATORIAL_EOD_COORD", values={"RA": "5.0"})
        await client.send(new_vector("Switch", mount.devicename, "TELESCOPE_TRACK_STATE", TRACK_ON="On"))
        await comes(client, "setNumberVector", mount.devicename, "EQUATORIAL_EOD_COORD", state="Ok")
        for _ in range(20):
            data = await picture(client, ccd)
            if b"OBJCTRA" in data:
                break
            await asyncio.sleep(0.5)
        theirs = [float(part) for part in data[data.index(b"OBJCTRA") + 11 :][:11].split()]
        ours = [float(part) for part in sexagesimal(to_j2000(5, 22, datetime.now(UTC))[0]).split()]
        assert theirs[:2] == ours[:2]
        assert abs(theirs[2] - ours[2]) < 2.5  # seconds of time: we leave out nutation and aberration
