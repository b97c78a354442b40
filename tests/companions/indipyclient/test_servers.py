"""The client with real servers: ours, Debian's indiserver with simulators, PyPI's indipyserver."""

import asyncio
import contextlib
import sys

import pytest

from examples import camera, observatory, stdio_driver, thermostat
from indipyclient import Blob, Client, NotConnected, Refused, State
from indipydriver.transport.memoryfile import AttachedFrame
from indipyserver import IPyServer
from indipyserver.certificates import server_context
from tests.support import (
    asynchronous,
    eventually,
    free_port,
    pypi,
    require,
    running,
    running_server,
    started,
    wait_for_port,
)
from tests.support.certificates import certificates, trusting


@asynchronous
async def test_a_camera_from_connecting_to_the_picture(tmp_path):
    async with running_server(camera.make_driver()) as server, Client("127.0.0.1", server.port) as client:
        await client.wait_device("Camera")
        await client.press("Camera", "CONNECTION", "CONNECT")
        await client.wait_property("Camera", "CCD_EXPOSURE")
        paths = []
        saving = asyncio.ensure_future(
            client.save_blobs(tmp_path, "Camera", "CCD1", saved=lambda _, path: paths.append(path), count=1)
        )
        outcome = await client.set("Camera", "CCD_EXPOSURE", CCD_EXPOSURE_VALUE=0.3, timeout=20)
        assert outcome.acknowledged
        await asyncio.wait_for(saving, 10)
        assert paths[0].read_bytes().startswith(b"SIMPLE  =                    T")
        assert paths[0].suffix == ".fits"


@asynchronous
async def test_blobs_go_out_and_come_back_whole_over_tcp_and_local_sockets(tmp_path):
    path = str(tmp_path / "indi")
    async with running_server(stdio_driver.make_driver(), unix_socket=path) as server:
        for address in (f"127.0.0.1:{server.port}", path):
            async with Client(address) as client, client.blobs("Echo") as blobs:
                await client.wait_property("Echo", "BLOB")
                data = bytes(range(256)) * 12_000
                await client.set("Echo", "BLOB", DATA=Blob(data, ".raw"))
                blob = await asyncio.wait_for(blobs.next(), 10)
                assert (blob.data, blob.format) == (data, ".raw")


@asynchronous
async def test_a_server_that_restarts_is_found_again():
    port = free_port()
    client = Client("127.0.0.1", port)
    await client.start(wait=False)
    try:
        for _ in range(2):
            async with running(IPyServer(thermostat.make_driver(), host="127.0.0.1", port=port)):
                device = await client.wait_device("Thermostat", timeout=10)
                assert device.properties
            await eventually(lambda: not client.connected, timeout=1)
    finally:
        await client.aclose()


@asynchronous
async def test_tls():
    directory = certificates()
    context = server_context(directory / "server.pem", directory / "server.key")
    async with running_server(thermostat.make_driver(), ssl=context) as server:
        async with Client("localhost", server.port, tls=trusting()) as client:
            assert await client.wait_device("Thermostat")
        with pytest.raises(NotConnected, match="not trusted"):
            async with Client("localhost", server.port, tls=True, reconnect=False):
                pass


@contextlib.asynccontextmanager
async def indiserver(*drivers):
    """Debian's server with these drivers; gives its port."""
    server = require("indiserver")
    for driver in drivers:
        require(driver)
    port = free_port()
    with started(server, "-p", str(port), "-u", f"/tmp/indi-test-{port}", *drivers, INDICONFIG="/dev/null") as program:
        await wait_for_port(port, program)
        yield port


@pytest.mark.interop
@asynchronous
async def test_a_simulated_telescope_slews():
    async with indiserver("indi_simulator_telescope") as port, Client("127.0.0.1", port) as client:
        mount = "Telescope Simulator"
        await client.wait_property(mount, "CONNECTION")
        await client.press(mount, "CONNECTION", "CONNECT")
        await client.wait_device(mount, connected=True)
        await client.wait_property(mount, "EQUATORIAL_EOD_COORD")
        await client.settle()
        await client.press(mount, "TELESCOPE_PARK", "UNPARK")
        now = client.need(mount, "EQUATORIAL_EOD_COORD")
        ra, dec = now["RA"].number, now["DEC"].number
        outcome = await client.set(mount, "EQUATORIAL_EOD_COORD", RA=(ra + 0.2) % 24, DEC=min(dec, 80) - 3, timeout=40)
        assert outcome.acknowledged
        assert outcome.prop["DEC"].number == pytest.approx(min(dec, 80) - 3, abs=0.1)


@pytest.mark.interop
@asynchronous
async def test_a_simulated_camera_sends_its_picture_over_tcp_and_the_local_socket(monkeypatch):
    def inline(frame):
        raise AssertionError("what comes as a file is not encoded")

    monkeypatch.setattr(AttachedFrame, "inline", inline)
    async with indiserver("indi_simulator_ccd") as port:
        for address in (f"127.0.0.1:{port}", f"/tmp/indi-test-{port}"):
            async with Client(address) as client, client.blobs("CCD Simulator", "CCD1") as blobs:
                await client.wait_property("CCD Simulator", "CONNECTION")
                await client.press("CCD Simulator", "CONNECTION", "CONNECT")
                await client.wait_property("CCD Simulator", "CCD_EXPOSURE")
                await client.settle()
                await client.set("CCD Simulator", "CCD_EXPOSURE", CCD_EXPOSURE_VALUE=0.1, timeout=30)
                blob = await asyncio.wait_for(blobs.next(), 20)
                assert blob.inflated().startswith(b"SIMPLE  =                    T")


PYPI_SERVER = """
import asyncio, sys
from indipydriver import IPyDriver, Device, NumberVector, NumberMember
from indipyserver import IPyServer

class Driver(IPyDriver):
    async def rxevent(self, event):
        event.vector["V"] = event["V"]
        await event.vector.send_setVector(state="Alert" if float(event["V"]) > 5 else "Ok", message="as you like")

member = NumberMember("V", "Value", "%5.2f", 0, 10, 0.5, 1)
vector = NumberVector("N", "Numbers", "Main", "rw", "Ok", [member])
driver = Driver(Device("Their device", [vector]))
asyncio.run(IPyServer(driver, host="127.0.0.1", port=int(sys.argv[1])).asyncrun())
"""


@pytest.mark.interop
@pytest.mark.timeout(200)
@asynchronous
async def test_pypis_server(tmp_path):
    packages = pypi.directory("indipydriver==3.1.2", "indipyserver==0.0.6")
    port = free_port()
    script = tmp_path / "server.py"
    script.write_text(PYPI_SERVER)
    with started(sys.executable, str(script), str(port), cwd=tmp_path, PYTHONPATH=str(packages)) as program:
        await wait_for_port(port, program)
        async with Client("127.0.0.1", port) as client:
            await client.wait_property("Their device", "N")
            outcome = await client.set("Their device", "N", V=3)
            assert (outcome.confirmed, outcome.prop.state) == (True, State.OK)
            with pytest.raises(Refused, match="as you like"):
                await client.set("Their device", "N", V=7)


@asynchronous
async def test_every_property_of_an_observatory_is_known_as_it_is():
    drivers = [observatory.make_driver()]
    async with running_server(*drivers) as server, Client("127.0.0.1", server.port) as client:
        devices = {name: device for driver in drivers for name, device in driver.items()}
        for name in devices:
            await client.wait_device(name)
        await client.settle()
        for devicename, device in devices.items():
            for name, vector in device.items():
                if vector.enable:
                    prop = client.need(devicename, name)
                    assert (prop.label, prop.group, list(prop)) == (vector.label, vector.group, list(vector))
