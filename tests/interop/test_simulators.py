"""Six of libindi's simulators under one server, used by indi_setprop, indi_getprop and PyPI's indipyclient."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from indipyserver import IPyServer
from tests.interop.test_tools import indipyclient
from tests.support import IndiClient, asynchronous, eventually, match, new_vector, require, run, running_server, started

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]

SIMULATORS = {
    "indi_simulator_telescope": "Telescope Simulator",
    "indi_simulator_ccd": "CCD Simulator",
    "indi_simulator_focus": "Focuser Simulator",
    "indi_simulator_wheel": "Filter Simulator",
    "indi_simulator_dome": "Dome Simulator",
    "indi_simulator_weather": "Weather Simulator",
}
CCD = "CCD Simulator"


@contextlib.asynccontextmanager
async def simulators(home: Path, *programs: str, pipes: bool = False) -> AsyncIterator[tuple[IPyServer, IndiClient]]:
    """A server with these simulators, all connected, and a client that sees everything."""
    async with running_server() as server, IndiClient(server.port) as client:
        await client.get_properties()
        for program in programs:
            require(program)
            server.add_exdriver(program, env={"HOME": str(home)}, pipes=pipes)
        for program in programs:
            await client.send(await connection(client, SIMULATORS[program]))
        for program in programs:
            await comes(
                client, "setSwitchVector", SIMULATORS[program], "CONNECTION", state="Ok", values={"CONNECT": "On"}
            )
        yield server, client


async def connection(client: IndiClient, device: str) -> str:
    await comes(client, "defSwitchVector", device, "CONNECTION")
    return new_vector("Switch", device, "CONNECTION", CONNECT="On")


async def comes(client: IndiClient, tag: str, device: str, name: str, timeout: float = 20, **more: Any) -> None:
    """Wait until it has come, or see that it has: simulators do not answer in the order of the questions."""
    wanted = match(tag, device=device, name=name, **more)
    await eventually(lambda: any(map(wanted, client.received)), timeout)


async def setprop(server: IPyServer, *words: str) -> None:
    result = await run(require("indi_setprop"), "-p", str(server.port), "-t", "10", *words)
    assert result.returncode == 0, result


async def getprop(server: IPyServer, address: str) -> str:
    result = await run(require("indi_getprop"), "-p", str(server.port), "-t", "10", "-1", address)
    assert result.returncode == 0, result
    return result.stdout.strip()


async def becomes(server: IPyServer, address: str, wanted: str, timeout: float = 40) -> None:
    async with asyncio.timeout(timeout):
        while await getprop(server, address) != wanted:
            await asyncio.sleep(0.1)


def assert_fits_is_whole(data: bytes) -> None:
    """Header and pixels are there, in blocks of 2880 bytes, and nothing else."""
    assert data.startswith(b"SIMPLE  =                    T")
    end = re.search(rb"(?:.{80})*?END {77}", data, re.DOTALL)
    assert end is not None
    header = -(-end.end() // 2880) * 2880
    keys = dict(re.findall(rb"(BITPIX|NAXIS[12]?) *= *(\d+)", data[:header]))
    assert keys[b"NAXIS"] == b"2"
    pixels = int(keys[b"NAXIS1"]) * int(keys[b"NAXIS2"]) * int(keys[b"BITPIX"]) // 8
    assert pixels > 1_000_000
    assert len(data) == header + -(-pixels // 2880) * 2880


@asynchronous
async def test_all_six_connect_and_move(tmp_path: Path) -> None:
    async with simulators(tmp_path, *SIMULATORS) as (server, client):
        await comes(client, "def.*", "Telescope Simulator", "TELESCOPE_PARK")
        await comes(client, "def.*", "Dome Simulator", "ABS_DOME_POSITION")
        await comes(client, "def.*", "Weather Simulator", "WEATHER_CONTROL")
        await setprop(server, "Telescope Simulator.TELESCOPE_PARK.UNPARK=On")
        await setprop(server, "Telescope Simulator.EQUATORIAL_EOD_COORD.RA;DEC=6;85")
        await becomes(server, "Telescope Simulator.EQUATORIAL_EOD_COORD._STATE", "Busy")
        await setprop(server, "Focuser Simulator.ABS_FOCUS_POSITION.FOCUS_ABSOLUTE_POSITION=51000")
        await setprop(server, "Filter Simulator.FILTER_SLOT.FILTER_SLOT_VALUE=4")
        await setprop(server, "Weather Simulator.WEATHER_CONTROL.Wind=25")
        await setprop(server, "Dome Simulator.DOME_SHUTTER.SHUTTER_OPEN=On")
        await becomes(server, "Focuser Simulator.ABS_FOCUS_POSITION.FOCUS_ABSOLUTE_POSITION", "51000")
        await becomes(server, "Filter Simulator.FILTER_SLOT.FILTER_SLOT_VALUE", "4")
        await becomes(server, "Weather Simulator.WEATHER_CONTROL.Wind", "25")
        await becomes(server, "Dome Simulator.DOME_SHUTTER._STATE", "Ok")
        await becomes(server, "Telescope Simulator.EQUATORIAL_EOD_COORD._STATE", "Ok", timeout=90)
        assert abs(float(await getprop(server, "Telescope Simulator.EQUATORIAL_EOD_COORD.RA")) - 6) < 0.01
        assert abs(float(await getprop(server, "Telescope Simulator.EQUATORIAL_EOD_COORD.DEC")) - 85) < 0.1


@pytest.mark.parametrize(("count", "pipes"), [(20, False), (4, True)], ids=["descriptors", "base64"])
@asynchronous
async def test_exposures_in_a_row(count: int, pipes: bool, tmp_path: Path) -> None:
    """Begun by indi_setprop and indipyclient in turn, received by indi_getprop and indipyclient at the same time."""
    async with (
        simulators(tmp_path, "indi_simulator_ccd", pipes=pipes) as (server, watcher),
        indipyclient(server.port, enableBLOBdefault="Also") as client,
    ):
        await comes(watcher, "defBLOBVector", CCD, "CCD1")
        await client.event("DefineBLOB", "CCD1")
        for number in range(count):
            directory = tmp_path / str(number)
            directory.mkdir()
            command = [require("indi_getprop"), "-p", str(server.port), "-t", "20", f"{CCD}.CCD1.CCD1"]
            with started(*command, cwd=directory) as program:
                await eventually(lambda: sum(p.interest.wants_blob(CCD, "CCD1") for p in server.connectionpool) == 2)
                if number % 2:
                    await client.send_newVector(CCD, "CCD_EXPOSURE", members={"CCD_EXPOSURE_VALUE": "0.01"})
                else:
                    await setprop(server, f"{CCD}.CCD_EXPOSURE.CCD_EXPOSURE_VALUE=0.01")
                assert await program.wait(20) == 0, program.stderr()
            picture = (await client.event("SetBLOB", "CCD1", timeout=20))["CCD1"]
            assert_fits_is_whole(picture)
            (file,) = directory.iterdir()
            assert file.name == f"{CCD}.CCD1.CCD1.fits"
            # On pipes libindi breaks its lines, and libindi's clients count the breaks as data: not our doing.
            assert file.read_bytes()[: len(picture)] == picture
            assert pipes or file.stat().st_size == len(picture)
            await eventually(lambda: sum(p.interest.wants_blob(CCD, "CCD1") for p in server.connectionpool) == 1)


@asynchronous
async def test_the_camera_snoops_on_the_telescope(tmp_path: Path) -> None:
    """libindi's drivers ask for each other; the camera writes where the telescope looks into its pictures."""
    async with simulators(tmp_path, "indi_simulator_telescope", "indi_simulator_ccd") as (server, client):
        await comes(client, "defBLOBVector", CCD, "CCD1")
        await comes(client, "defNumberVector", "Telescope Simulator", "EQUATORIAL_EOD_COORD")
        camera = server.exdrivers[1].peer
        assert camera is not None
        await eventually(lambda: camera.interest.names("Telescope Simulator", "EQUATORIAL_EOD_COORD"))
        await client.enable_blob(CCD)
        await client.settle()
        await client.send(new_vector("Number", CCD, "CCD_EXPOSURE", CCD_EXPOSURE_VALUE="0.1"))
        await client.expect(match("setBLOBVector", device=CCD), timeout=20)
