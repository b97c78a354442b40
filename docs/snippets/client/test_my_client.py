import asyncio
import contextlib

from examples import thermostat
from indipyclient import Client
from indipyclient.recording.recorder import record
from indipyclient.recording.replay import replayed
from indipyserver import IPyServer


async def too_cold(client):
    """What is tested: is the room colder than it should be?"""
    room = await client.wait_property("Thermostat", "TEMPERATURE")
    target = await client.wait_property("Thermostat", "TARGET")
    return room["ROOM"].number < target["TARGET"].number


@contextlib.asynccontextmanager
async def served(driver):
    """A client of a server with this driver, on a free port."""
    server = IPyServer(driver, host="127.0.0.1", port=0)
    serving = asyncio.create_task(server.asyncrun())
    await server.started.wait()
    async with Client("127.0.0.1", server.port) as client:
        yield client
    server.shutdown()
    await serving


def test_with_a_driver_in_the_same_process():
    async def session():
        async with served(thermostat.make_driver()) as client:
            await client.wait_property("Thermostat", "TARGET")
            await client.set("Thermostat", "TARGET", TARGET=30, confirm="answered")
            assert await too_cold(client)

    asyncio.run(session())


# a recording


def make_recording(path):
    """What `indipyclient record` does; your recordings are files beside your tests."""

    async def session():
        async with served(thermostat.make_driver()) as client:
            await client.wait_property("Thermostat", "HEATER")
            await record(client, path, duration=0.2)

    asyncio.run(session())


def test_with_a_recording(tmp_path):
    make_recording(tmp_path / "night.indi")

    async def session(port):
        async with Client("127.0.0.1", port) as client:
            assert await too_cold(client)

    with replayed(tmp_path / "night.indi", speed=10) as port:
        asyncio.run(session(port))
