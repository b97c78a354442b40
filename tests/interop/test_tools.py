"""Clients and a server that nobody here wrote: indi_getprop, indi_setprop, indipyclient and indiserver.

Each of them works with every example.
"""

import asyncio
import base64
import contextlib
import hashlib
import signal

import pytest

from examples import camera, led, observatory, snooping, stdio_driver, thermostat
from tests.support import (
    ROOT,
    IndiClient,
    asynchronous,
    eventually,
    free_port,
    gone,
    match,
    pypi,
    require,
    run,
    running_server,
    serving,
    started,
)

pytestmark = pytest.mark.interop

EXAMPLES = {
    "led": lambda: [led.make_driver(led.SimulatedLED())],
    "thermostat": lambda: [thermostat.make_driver(period=0.02)],
    "camera": lambda: [camera.make_driver()],
    "snooping": lambda: snooping.make_drivers(period=0.02),
    "observatory": lambda: [observatory.make_driver()],
    "stdio_driver": lambda: [stdio_driver.make_driver()],
}

# For each example: a command in the words of indi_setprop, its kind, and the answer.
COMMANDS = [
    ("led", "LED.LIGHT.LAMP=On", "Switch", ("setSwitchVector", {"LAMP": "On"})),
    ("thermostat", "Thermostat.TARGET.TARGET=15.5", "Number", ("setNumberVector", {"TARGET": "15.5"})),
    ("camera", "Camera.CONNECTION.CONNECT=On", "Switch", ("setSwitchVector", {"CONNECT": "On"})),
    ("snooping", "Rain Sensor.SIMULATION.RAIN=On", "Switch", ("setSwitchVector", {"RAIN": "On"})),
    ("observatory", "Filter Wheel.CONNECTION.CONNECT=On", "Switch", ("setSwitchVector", {"CONNECT": "On"})),
    ("stdio_driver", "Echo.TEXT.TEXT=two words", "Text", ("setTextVector", {"TEXT": "two words"})),
    ("stdio_driver", "Echo.NUMBER.NUMBER=-2.5", "Number", ("setNumberVector", {"NUMBER": "-2.5"})),
    ("stdio_driver", "Echo.SWITCH.A;B=On;On", "Switch", ("setSwitchVector", {"A": "On", "B": "On"})),
]

BLOCK = 2880  # of FITS
FITS_SIZE = BLOCK + (size := 2 * camera.WIDTH * camera.HEIGHT) + -size % BLOCK


def split(command):
    """Device, property and members of a command in the words of indi_setprop."""
    address, _, value = command.partition("=")
    device, name, members = address.split(".")
    return device, name, dict(zip(members.split(";"), value.split(";"), strict=True))


async def getprop(port, *words, timeout=3, **options):
    return await run(require("indi_getprop"), "-p", str(port), "-t", str(timeout), *words, **options)


async def setprop(port, *words):
    result = await run(require("indi_setprop"), "-p", str(port), "-t", "5", *words)
    assert result.returncode == 0, result
    return result


# indi_getprop and indi_setprop with our server


@pytest.mark.parametrize("example", EXAMPLES)
@asynchronous
async def test_getprop_sees_every_value(example):
    drivers = EXAMPLES[example]()
    async with running_server(*drivers) as server:
        result = await getprop(server.port, timeout=1)
    assert result.returncode == 0, result
    seen = {line.partition("=")[0] for line in result.stdout.splitlines()}
    vectors = [vector for driver in drivers for device in driver.values() for vector in device.values()]
    there = {
        f"{vector.devicename}.{vector.name}.{member}"
        for vector in vectors
        if vector.enable and vector.vectortype != "BLOBVector"
        for member in vector
    }
    assert seen == there


@pytest.mark.parametrize(("example", "command", "kind", "answer"), COMMANDS, ids=[row[1] for row in COMMANDS])
@pytest.mark.parametrize("typed", [False, True], ids=["asks first", "just sends"])
@asynchronous
async def test_setprop_controls_it(example, command, kind, answer, typed):
    device, name, members = split(command)
    tag, values = answer
    async with running_server(*EXAMPLES[example]()) as server, IndiClient(server.port) as watcher:
        await watcher.get_properties()
        await watcher.expect(match(f"def{kind}Vector", device=device, name=name))
        flag = {"Text": ["-x"], "Number": ["-n"], "Switch": ["-s"]}[kind] if typed else []
        await setprop(server.port, *flag, command)
        await watcher.expect(match(tag, device=device, name=name, values=values))
        for member, value in members.items():
            arrived = match(f"set{kind}Vector", name=name, state="Ok", values={member: value})
            if example != "thermostat":
                await eventually(lambda arrived=arrived: any(map(arrived, watcher.received)))
                shown = await getprop(server.port, "-1", f"{device}.{name}.{member}")
                assert shown.stdout == value + "\n"


@asynchronous
async def test_setprop_switches_the_led_on():
    lamp = led.SimulatedLED()
    async with running_server(led.make_driver(lamp)) as server:
        await setprop(server.port, "LED.LIGHT.LAMP=On")
        await eventually(lambda: lamp.is_lit)
        await setprop(server.port, "LED.LIGHT.LAMP=Off")
        await eventually(lambda: not lamp.is_lit)


@asynchronous
async def test_getprop_saves_the_picture_whole(tmp_path):
    async with running_server(camera.make_driver()) as server, IndiClient(server.port) as watcher:
        await watcher.get_properties()
        await watcher.expect(match("defSwitchVector", name="CONNECTION"))
        await setprop(server.port, "Camera.CONNECTION.CONNECT=On")
        await watcher.expect(match("defBLOBVector", name="CCD1"))
        command = [require("indi_getprop"), "-p", str(server.port), "-t", "30", "Camera.CCD1.CCD1"]
        with started(*command, cwd=tmp_path) as program:
            # It ends with the first picture that comes after it has asked for one.
            while program.process.poll() is None:
                await setprop(server.port, "Camera.CCD_EXPOSURE.CCD_EXPOSURE_VALUE=0.1")
                await watcher.expect(match("setNumberVector", name="CCD_EXPOSURE", state="Ok"))
            assert await program.wait() == 0
    (file,) = tmp_path.iterdir()
    assert file.name == "Camera.CCD1.CCD1.fits"
    picture = file.read_bytes()
    assert len(picture) == FITS_SIZE
    assert picture.startswith(b"SIMPLE  =                    T")


# indipyclient with our server


@contextlib.asynccontextmanager
async def indipyclient(port, **settings):
    """A running client of that package; its attribute `events` is a queue of all events."""
    package = pypi.indipyclient()

    class Client(package.IPyClient):
        async def rxevent(self, event):
            await self.events.put(event)

        async def event(self, eventtype, vectorname, timeout=10, **attributes):
            """The next event of this type for this vector with these attributes."""
            async with asyncio.timeout(timeout):
                while True:
                    event = await self.events.get()
                    if (
                        event.eventtype == eventtype
                        and getattr(event, "vectorname", None) == vectorname
                        and all(getattr(event, name, None) == value for name, value in attributes.items())
                    ):
                        return event

    client = Client("127.0.0.1", port)
    client.events = asyncio.Queue()
    for name, value in settings.items():
        setattr(client, name, value)
    task = asyncio.create_task(client.asyncrun())
    try:
        yield client
    finally:
        client.shutdown()
        await asyncio.wait_for(task, 10)


@pytest.mark.parametrize("example", EXAMPLES)
@asynchronous
async def test_indipyclient_sees_every_vector(example):
    drivers = EXAMPLES[example]()
    devices = {name: device for driver in drivers for name, device in driver.items()}
    async with running_server(*drivers) as server, indipyclient(server.port) as client:
        for devicename, device in devices.items():
            for name, vector in device.items():
                if vector.enable:
                    await eventually(lambda d=devicename, n=name: d in client and n in client[d], 15)
                    seen = client[devicename][name]
                    assert seen.vectortype == vector.vectortype
                    assert (seen.label, seen.group) == (vector.label, vector.group)
                    assert list(seen) == list(vector)


@pytest.mark.parametrize(("example", "command", "kind", "answer"), COMMANDS, ids=[row[1] for row in COMMANDS])
@asynchronous
async def test_indipyclient_controls_it(example, command, kind, answer):
    device, name, members = split(command)
    async with running_server(*EXAMPLES[example]()) as server, indipyclient(server.port) as client:
        await eventually(lambda: device in client and name in client[device], 15)
        await client.send_newVector(device, name, members=members)
        await eventually(
            lambda: (
                client[device][name].state == "Ok"
                and all(client[device][name][member] == value for member, value in members.items())
            ),
            15,
        )


@asynchronous
async def test_indipyclient_gets_the_picture_whole():
    async with (
        running_server(camera.make_driver()) as server,
        indipyclient(server.port, enableBLOBdefault="Also") as client,
    ):
        await client.event("Define", "CONNECTION")
        await client.send_newVector("Camera", "CONNECTION", members={"CONNECT": "On"})
        await client.event("DefineBLOB", "CCD1")
        await client.send_newVector("Camera", "CCD_EXPOSURE", members={"CCD_EXPOSURE_VALUE": "0.7"})
        picture = (await client.event("SetBLOB", "CCD1"))["CCD1"]
        assert len(picture) == FITS_SIZE
        assert picture.startswith(b"SIMPLE  =                    T")
        await client.event("Set", "CCD_EXPOSURE", state="Ok")


@asynchronous
async def test_indipyclient_sends_a_blob_and_gets_five_megabytes():
    async with (
        running_server(stdio_driver.make_driver()) as server,
        indipyclient(server.port, enableBLOBdefault="Also") as client,
    ):
        await client.event("DefineBLOB", "BLOB")
        data = bytes(range(256)) * 100
        await client.send_newVector("Echo", "BLOB", members={"DATA": (data, 0, ".raw")})
        assert (await client.event("SetBLOB", "BLOB"))["DATA"] == data
        await client.send_newVector("Echo", "SEND", members={"SEND": "On"})
        assert (await client.event("SetBLOB", "BLOB", timeout=20))["DATA"] == stdio_driver.payload()


# The example for stdio under Debian's indiserver


@contextlib.asynccontextmanager
async def echo_under_indiserver():
    """indiserver with the stdio example; gives the port and the running program."""
    port = free_port()
    driver = str(ROOT / "examples" / "stdio_driver.py")
    command = [require("indiserver"), "-p", str(port), "-u", f"/tests/indiserver/{port}", "-v", driver]
    async with serving(*command, port=port) as program:
        yield port, program


@asynchronous
async def test_every_kind_of_vector_under_indiserver():
    async with echo_under_indiserver() as (port, _), IndiClient(port) as watcher:
        await watcher.get_properties()
        await watcher.expect(match("defNumberVector", device="Echo", name="COUNTER"), 15)
        for flag, command in (
            ([], "Echo.TEXT.TEXT=plain words"),
            (["-x"], "Echo.TEXT.TEXT=déjà vu"),
            ([], "Echo.NUMBER.NUMBER=12.25"),
            (["-n"], "Echo.NUMBER.NUMBER=-99"),
            ([], "Echo.SWITCH.A=On"),
            (["-s"], "Echo.SWITCH.B=On"),
        ):
            _, name, members = split(command)
            await setprop(port, *flag, command)
            await watcher.expect(match("set.*Vector", device="Echo", name=name, state="Ok", values=members))
        # indi_setprop cannot set lights, and nobody can: this one follows the switches
        await watcher.expect(match("setLightVector", name="LIGHT", values={"BOTH": "Ok"}))
        shown = await getprop(port, "Echo.*.*", timeout=1)
        for line in ("Echo.TEXT.TEXT=déjà vu", "Echo.NUMBER.NUMBER=-99", "Echo.SWITCH.B=On", "Echo.LIGHT.BOTH=Ok"):
            assert line in shown.stdout.splitlines()


@asynchronous
async def test_five_megabytes_under_indiserver(tmp_path):
    async with echo_under_indiserver() as (port, _), IndiClient(port) as watcher:
        await watcher.get_properties()
        await watcher.expect(match("defBLOBVector", device="Echo", name="BLOB"), 15)
        command = [require("indi_getprop"), "-p", str(port), "-t", "40", "Echo.BLOB.DATA"]
        with started(*command, cwd=tmp_path) as program:
            while program.process.poll() is None:
                await setprop(port, "Echo.SEND.SEND=On")
                await watcher.expect(match("setSwitchVector", name="SEND", state="Ok"), 20)
                count = await watcher.expect(match("setNumberVector", name="COUNTER", state="Ok"))
            assert await program.wait() == 0
        assert float(count[0].text) > 0
    (file,) = tmp_path.iterdir()
    assert file.name == "Echo.BLOB.DATA.bin"
    assert hashlib.sha256(file.read_bytes()).digest() == hashlib.sha256(stdio_driver.payload()).digest()


@asynchronous
async def test_an_upload_under_indiserver():
    """indiserver puts it into a memory file, whose descriptor it gives to the driver."""
    async with echo_under_indiserver() as (port, _), IndiClient(port) as client:
        await client.get_properties()
        await client.expect(match("defBLOBVector", device="Echo", name="BLOB"), 15)
        await client.enable_blob("Echo")
        for size in (3, 100_000, 3_000_000):
            data = stdio_driver.payload()[:size]
            member = f'<oneBLOB name="DATA" size="{size}" format=".bin">{base64.b64encode(data).decode()}</oneBLOB>'
            # Its client may have put a oneBLOB where there is no room for one.
            await client.send(f'<newTextVector device="Echo" name="TEXT">{member}</newTextVector>')
            await client.send(f'<newBLOBVector device="Echo" name="BLOB">{member}</newBLOBVector>')
            answer = await client.expect(match("setBLOBVector", device="Echo", name="BLOB"), 20)
            assert base64.b64decode(answer[0].text) == data


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])
@asynchronous
async def test_the_driver_ends_with_indiserver(number):
    async with echo_under_indiserver() as (port, program), IndiClient(port) as watcher:
        await watcher.get_properties()
        await watcher.expect(match("defNumberVector", device="Echo", name="COUNTER"), 15)
        drivers = program.children()
        assert drivers
        program.signal(number)
        await program.wait()
        await eventually(lambda: all(map(gone, drivers)), 10)
