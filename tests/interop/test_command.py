"""The command in the place of indiserver: indilib's simulators, and its tools as clients."""

import asyncio
import os
import re
import sys

import pytest

from tests.support import ROOT, IndiClient, asynchronous, eventually, free_port, gone, match, require, run, started

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]

SIMULATORS = {
    "indi_simulator_telescope": "Telescope Simulator",
    "indi_simulator_ccd": "CCD Simulator",
    "indi_simulator_focus": "Focuser Simulator",
    "indi_simulator_wheel": "Filter Simulator",
    "indi_simulator_dome": "Dome Simulator",
    "indi_simulator_weather": "Weather Simulator",
}


def server(*words, home, **options):
    """The command, with simulators that keep their files in a directory of the test."""
    command = (sys.executable, "-m", "indipyserver", "-p", "0", "--no-unix-socket")
    return started(*command, *words, cwd=ROOT, HOME=str(home), **options)


async def port_of(program):
    await eventually(lambda: "serving" in program.stderr() or program.process.poll() is not None, timeout=15)
    found = re.search(r"serving .* port (\d+)", program.stderr())
    assert found, program.stderr()
    return int(found[1])


async def getprop(port, *words, timeout=5, **options):
    return await run(require("indi_getprop"), "-p", str(port), "-t", str(timeout), *words, **options)


async def value(port, address):
    result = await getprop(port, "-1", address)
    return result.stdout.strip()


async def becomes(port, address, wanted, timeout=30):
    """Wait until indi_getprop shows this value."""
    async with asyncio.timeout(timeout):
        while (shown := await value(port, address)) != wanted:
            await asyncio.sleep(0.1)
    return shown


async def setprop(port, *words):
    result = await run(require("indi_setprop"), "-p", str(port), "-t", "5", *words)
    assert result.returncode == 0, result


@asynchronous
async def test_six_simulators_connect_move_and_expose(tmp_path):
    for program in SIMULATORS:
        require(program)
    with server(*SIMULATORS, home=tmp_path) as program:
        port = await port_of(program)
        async with IndiClient(port) as client:
            await client.get_properties()
            await eventually(lambda: set(SIMULATORS.values()) <= {e.get("device") for e in client.received}, timeout=20)
            for device in SIMULATORS.values():
                await setprop(port, f"{device}.CONNECTION.CONNECT=On")
            for device in SIMULATORS.values():
                await becomes(port, f"{device}.CONNECTION.CONNECT", "On")
            await becomes(port, "Filter Simulator.FILTER_SLOT._STATE", "Idle")
            await setprop(port, "Filter Simulator.FILTER_SLOT.FILTER_SLOT_VALUE=3")
            await becomes(port, "Filter Simulator.FILTER_SLOT.FILTER_SLOT_VALUE", "3")
            await setprop(port, "Telescope Simulator.TELESCOPE_PARK.UNPARK=On")
            await setprop(port, "Telescope Simulator.EQUATORIAL_EOD_COORD.RA;DEC=12;80")
            await becomes(port, "Telescope Simulator.EQUATORIAL_EOD_COORD._STATE", "Busy")
            await setprop(port, "Focuser Simulator.ABS_FOCUS_POSITION.FOCUS_ABSOLUTE_POSITION=50500")
            await becomes(port, "Focuser Simulator.ABS_FOCUS_POSITION.FOCUS_ABSOLUTE_POSITION", "50500")
            await becomes(port, "CCD Simulator.CCD_EXPOSURE._STATE", "Idle")
            await client.enable_blob("CCD Simulator")
            for _ in range(3):
                await setprop(port, "CCD Simulator.CCD_EXPOSURE.CCD_EXPOSURE_VALUE=0.1")
                blob = await client.expect(match("setBLOBVector", device="CCD Simulator", name="CCD1"), timeout=30)
                assert blob[0].get("format") == ".fits"
                assert int(blob[0].get("size")) > 1_000_000
        await becomes(port, "Telescope Simulator.EQUATORIAL_EOD_COORD._STATE", "Ok", timeout=60)
        drivers = program.children()
        assert len(drivers) == len(SIMULATORS)
        program.interrupt()
        assert await program.wait() == 130
        assert all(map(gone, drivers))


@asynchronous
async def test_a_simulator_below_two_servers(tmp_path):
    require("indi_simulator_wheel")
    with server("indi_simulator_wheel", home=tmp_path) as below:
        port = await port_of(below)
        with server(f"Filter Simulator@127.0.0.1:{port}", home=tmp_path) as above:
            port = await port_of(above)
            await becomes(port, "Filter Simulator.CONNECTION.CONNECT", "Off")
            await setprop(port, "Filter Simulator.CONNECTION.CONNECT=On")
            await becomes(port, "Filter Simulator.CONNECTION.CONNECT", "On")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
@asynchronous
async def test_the_fifo_as_web_managers_use_it(tmp_path):
    require("indi_simulator_focus")
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with server("-v", "-m", "100", "-f", str(fifo), home=tmp_path) as program:
        port = await port_of(program)
        async with IndiClient(port) as client:
            await client.get_properties()
            fifo.write_text('start indi_simulator_focus -n "Main Focuser"\n')
            await client.expect(match("def.*", device="Main Focuser"), timeout=15)
            assert await value(port, "Main Focuser.CONNECTION.CONNECT") == "Off"
            fifo.write_text('stop indi_simulator_focus -n "Main Focuser"\n')
            await client.expect(match("delProperty", device="Main Focuser"), timeout=15)
        await eventually(lambda: program.children() == [])
        assert program.process.poll() is None


@asynchronous
async def test_a_python_driver_beside_a_simulator(tmp_path):
    require("indi_simulator_gps")
    with server("indi_simulator_gps", "examples/led.py:make_driver", home=tmp_path) as program:
        port = await port_of(program)
        await setprop(port, "LED.LIGHT.LAMP=On")
        await becomes(port, "LED.LIGHT.LAMP", "On")
        await becomes(port, "GPS Simulator.CONNECTION.CONNECT", "Off")


@asynchronous
async def test_the_message_log_is_indiservers(tmp_path):
    """Both write the same file for the same driver, byte by byte."""
    elements = [
        '<message device="A" timestamp="2023-01-02T03:04:05" message="one &lt;&amp;&quot; two"/>',
        '<message timestamp="2023-01-02T03:04:06" message="of no device"/>',
        '<message device="A" timestamp="2023-01-02T03:04:06.5" message=""/>',
        '<defTextVector device="A" name="T" state="Ok" perm="ro" timestamp="2023-01-03T00:00:00" message="defined">',
        '<defText name="M">x</defText></defTextVector>',
        '<setTextVector device="A" name="T" timestamp="2023-01-03T00:00:01" message="set">',
        '<oneText name="M">y</oneText></setTextVector>',
        '<delProperty device="A" name="T" timestamp="2023-01-03T00:00:02" message="gone"/>',
        '<message device="A" timestamp="2023-01-02T03:04:07" message="last"/>',
    ]
    driver = tmp_path / "driver"
    driver.write_text(f"#!{sys.executable}\nimport sys\nprint({''.join(elements)!r}, flush=True)\nsys.stdin.read()\n")
    driver.chmod(0o755)
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.mkdir()
    theirs.mkdir()

    def files(directory):
        return {path.name: path.read_text() for path in directory.iterdir()}

    def complete(directory):
        return "last" in files(directory).get("2023-01-02.islog", "")

    with server("-l", str(ours), str(driver), home=tmp_path):
        await eventually(lambda: complete(ours), timeout=15)
    name = f"/tmp/indiserver-test-{os.getpid()}"
    indiserver = require("indiserver")
    with started(indiserver, "-p", str(free_port()), "-u", name, "-l", str(theirs), str(driver), HOME=str(tmp_path)):
        await eventually(lambda: complete(theirs), timeout=15)
    assert files(ours) == files(theirs)
    assert len(files(ours)) == 2
