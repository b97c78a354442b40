"""Every example works: served in this process, and as the program that its first lines name."""

import base64
import builtins
import re
import subprocess
import sys

import pytest

from examples import camera, led, observatory, snooping, stdio_driver, thermostat
from indipydriver.instruments import InstrumentDriver
from indipydriver.protocol.messages import DefMember, DefVector, DelProperty, GetProperties, OneMember, SetVector
from indipydriver.protocol.tags import State, VectorKind
from indipydriver.testing import DriverHarness, driver_test
from tests.support import (
    ROOT,
    IndiClient,
    asynchronous,
    eventually,
    free_port,
    match,
    new_vector,
    parse,
    run,
    running_server,
    serving,
    started,
)

# Name of each example that serves a port, and a definition by which it is known.
SERVED = {
    "led": ("LED", "LIGHT"),
    "thermostat": ("Thermostat", "TARGET"),
    "camera": ("Camera", "CONNECTION"),
    "snooping": ("Roof", "DOME_SHUTTER"),
    "observatory": ("Filter Wheel", "CONNECTION"),
}


async def blob_of(client, device, name, timeout=10):
    """The next BLOB of this vector: its bytes, checked against its size."""
    vector = await client.expect(match("setBLOBVector", device=device, name=name), timeout)
    (blob,) = vector
    data = base64.b64decode(blob.text, validate=False)
    assert blob.get("size") == str(len(data))
    return data, blob.get("format")


def test_a_port_that_is_none_is_a_sentence():
    for name in SERVED:
        command = [sys.executable, str(ROOT / "examples" / f"{name}.py"), "abc"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 2
        assert done.stderr.endswith(f"{name}.py: error: argument port: invalid int value: 'abc'\n")


# The LED


@asynchronous
async def test_the_led_goes_on_and_off():
    lamp = led.SimulatedLED()
    async with running_server(led.make_driver(lamp)) as server, IndiClient(server.port) as client:
        await client.get_properties()
        await client.expect(match("defSwitchVector", device="LED", name="LIGHT", values={"LAMP": "Off"}))
        for value in ("On", "Off", "On"):
            await client.send(new_vector("Switch", "LED", "LIGHT", LAMP=value))
            await client.expect(match("setSwitchVector", name="LIGHT", state="Ok", values={"LAMP": value}))
            assert lamp.is_lit == (value == "On")


def test_the_led_is_a_pin_where_there_are_some(monkeypatch):
    gpiozero = pytest.importorskip("gpiozero")
    mock = pytest.importorskip("gpiozero.pins.mock")
    monkeypatch.setattr(gpiozero.Device, "pin_factory", mock.MockFactory())
    lamp = led.open_led()
    try:
        assert isinstance(lamp, gpiozero.LED)
        lamp.on()
        assert lamp.pin.state
    finally:
        lamp.close()


@pytest.mark.filterwarnings("ignore:Falling back from")
def test_the_log_says_so_if_the_pins_cannot_be_used(monkeypatch, caplog):
    """Clients cannot see it: the LED stays dark, and the switch is On and Ok."""
    gpiozero = pytest.importorskip("gpiozero")
    monkeypatch.setattr(gpiozero.Device, "pin_factory", None)
    monkeypatch.delenv("GPIOZERO_PIN_FACTORY")
    assert isinstance(led.open_led(), led.SimulatedLED)
    assert "GPIO 17 cannot be used, so the LED is simulated: Unable to load any" in caplog.text


def test_the_log_says_so_if_there_is_no_gpiozero(monkeypatch, caplog):
    real_import = builtins.__import__

    def without_gpiozero(name, *args):
        if name.partition(".")[0] == "gpiozero":
            raise ModuleNotFoundError(f"No module named {name!r}")
        return real_import(name, *args)

    monkeypatch.setattr(builtins, "__import__", without_gpiozero)
    assert isinstance(led.open_led(), led.SimulatedLED)
    assert "GPIO 17 cannot be used, so the LED is simulated: No module named 'gpiozero'" in caplog.text


# The thermostat


@asynchronous
async def test_the_room_reaches_its_target():
    async with running_server(thermostat.make_driver(period=0.01)) as server, IndiClient(server.port) as client:
        await client.get_properties()
        await client.expect(match("defNumberVector", name="TARGET"))
        await client.expect(match("(def|set)LightVector", name="HEATER", values={"HEATER": "Busy"}))
        await client.send(new_vector("Number", "Thermostat", "TARGET", TARGET=16))
        await client.expect(match("setNumberVector", name="TARGET", state="Busy"))
        await client.expect(match("setNumberVector", name="TARGET", state="Ok"), timeout=20)
        measured = await client.expect(match("setNumberVector", name="TEMPERATURE"))
        assert 15.5 < float(measured[0].text) < 16.5
        assert any("reached" in element.get("message", "") for element in client.received)


@asynchronous
async def test_a_target_out_of_range_is_refused():
    async with running_server(thermostat.make_driver()) as server, IndiClient(server.port) as client:
        await client.get_properties()
        await client.expect(match("defNumberVector", name="TARGET"))
        await client.send(new_vector("Number", "Thermostat", "TARGET", TARGET=99))
        refused = await client.expect(match("setNumberVector", name="TARGET", state="Alert"))
        assert refused.get("message")
        await client.get_properties(device="Thermostat", name="TARGET")
        await client.expect(match("defNumberVector", name="TARGET", values={"TARGET": "18"}))


@driver_test
async def test_nothing_heats_when_nobody_looks_at_the_thermometer():
    room = thermostat.Room()
    async with DriverHarness(InstrumentDriver(thermostat.Thermostat(room, 0.5))) as harness:
        await harness.advance(2)
        assert room.heating
    assert not room.heating


# The camera

BLOCK = 2880  # of FITS


async def connect_camera(client):
    await client.get_properties()
    await client.expect(match("defSwitchVector", name="CONNECTION"))
    await client.enable_blob("Camera")
    await client.send(new_vector("Switch", "Camera", "CONNECTION", CONNECT="On"))
    await client.expect(match("setSwitchVector", name="CONNECTION", state="Ok", values={"CONNECT": "On"}))
    await client.expect(match("defBLOBVector", name="CCD1"))


@asynchronous
async def test_the_camera_counts_down_and_sends_a_picture():
    async with running_server(camera.make_driver()) as server, IndiClient(server.port) as client:
        await connect_camera(client)
        await client.send(new_vector("Number", "Camera", "CCD_EXPOSURE", CCD_EXPOSURE_VALUE=1.2))
        data, suffix = await blob_of(client, "Camera", "CCD1")
        await client.expect(match("setNumberVector", name="CCD_EXPOSURE", state="Ok"))
        assert suffix == ".fits"
        assert data.startswith(b"SIMPLE  =                    T")
        pixels = 2 * camera.WIDTH * camera.HEIGHT
        assert len(data) == BLOCK + pixels + -pixels % BLOCK
        busy = match("setNumberVector", name="CCD_EXPOSURE", state="Busy")
        left = [float(element[0].text) for element in client.received if busy(element)]
        assert len(left) >= 3
        assert left == sorted(left, reverse=True)
        assert 1.1 < left[0] <= 1.2


@asynchronous
async def test_an_exposure_is_aborted_and_the_next_one_works():
    async with running_server(camera.make_driver()) as server, IndiClient(server.port) as client:
        await connect_camera(client)
        await client.send(new_vector("Number", "Camera", "CCD_EXPOSURE", CCD_EXPOSURE_VALUE=600))
        await client.expect(match("setNumberVector", name="CCD_EXPOSURE", state="Busy"))

        await client.send(new_vector("Switch", "Camera", "CCD_ABORT_EXPOSURE", ABORT="On"))
        await client.expect(match("setNumberVector", name="CCD_EXPOSURE", state="Idle"))
        assert not any(map(match("setBLOBVector"), client.received))

        await client.send(new_vector("Number", "Camera", "CCD_EXPOSURE", CCD_EXPOSURE_VALUE=0.05))
        await blob_of(client, "Camera", "CCD1")


@asynchronous
async def test_disconnecting_the_camera_deletes_what_it_defined():
    async with running_server(camera.make_driver()) as server, IndiClient(server.port) as client:
        await connect_camera(client)
        await client.send(new_vector("Number", "Camera", "CCD_EXPOSURE", CCD_EXPOSURE_VALUE=600))
        await client.expect(match("setNumberVector", name="CCD_EXPOSURE", state="Busy"))
        await client.send(new_vector("Switch", "Camera", "CONNECTION", CONNECT="Off", DISCONNECT="On"))
        await client.expect(match("setSwitchVector", name="CONNECTION", state="Idle"))
        for name in ("CCD_EXPOSURE", "CCD_ABORT_EXPOSURE", "CCD_INFO", "CCD1"):
            await client.expect(match("delProperty", device="Camera", name=name))
        # and it can be connected again, with no exposure under way
        await connect_camera(client)
        await client.send(new_vector("Number", "Camera", "CCD_EXPOSURE", CCD_EXPOSURE_VALUE=0.05))
        await blob_of(client, "Camera", "CCD1")


# The roof and the rain sensor


async def roof_is(client, position):
    await client.expect(match("setNumberVector", name="ROOF_POSITION", values={"OPEN": str(position)}))
    await client.expect(match("setSwitchVector", name="DOME_SHUTTER", state="Ok"))


async def open_roof(client, roof):
    await client.get_properties()
    await client.expect(match("defSwitchVector", device="Roof", name="DOME_SHUTTER"))
    await eventually(lambda: roof.dry)  # it has heard of the sensor
    await client.send(new_vector("Switch", "Roof", "DOME_SHUTTER", SHUTTER_OPEN="On"))
    await client.expect(match("setSwitchVector", name="DOME_SHUTTER", state="Busy", values={"SHUTTER_OPEN": "On"}))
    await roof_is(client, 100)


@asynchronous
async def test_the_roof_closes_when_it_rains_and_stays_closed():
    sensor, roof = snooping.make_drivers(period=0.01)
    async with running_server(sensor, roof) as server, IndiClient(server.port) as client:
        await open_roof(client, roof)

        await client.send(new_vector("Switch", "Rain Sensor", "SIMULATION", RAIN="On"))
        await client.expect(match("setLightVector", name="WEATHER_STATUS", values={"RAIN": "Alert"}))
        await client.expect(match("setSwitchVector", name="DOME_SHUTTER", message="Rain: closing the roof"))
        await roof_is(client, 0)

        await client.send(new_vector("Switch", "Roof", "DOME_SHUTTER", SHUTTER_OPEN="On"))
        await client.expect(match("setSwitchVector", name="DOME_SHUTTER", state="Alert"))

        await client.send(new_vector("Switch", "Rain Sensor", "SIMULATION", RAIN="Off"))
        await client.expect(match("setLightVector", name="WEATHER_STATUS", values={"RAIN": "Ok"}))
        await eventually(lambda: roof.dry)
        await client.send(new_vector("Switch", "Roof", "DOME_SHUTTER", SHUTTER_OPEN="On"))
        await roof_is(client, 100)


@driver_test
async def test_the_roof_stays_open_as_long_as_a_quiet_sensor_answers():
    rain = (DefMember("RAIN", "Ok"),)
    answer = DefVector(VectorKind.LIGHT, "Rain Sensor", "WEATHER_STATUS", State.OK, rain)
    async with DriverHarness(snooping.make_roof()) as harness:
        await harness.send(answer)
        await harness.set_switch("Roof", "DOME_SHUTTER", SHUTTER_OPEN="On")
        for _ in range(20):
            asked = harness.messages.count(GetProperties("Rain Sensor", "WEATHER_STATUS"))
            await harness.advance(31)
            assert harness.messages.count(GetProperties("Rain Sensor", "WEATHER_STATUS")) == asked + 1
            await harness.send(answer)
        harness.assert_values("Roof", "ROOF_POSITION", OPEN="100")
        await harness.advance(100)
        harness.assert_values("Roof", "ROOF_POSITION", OPEN="0")


@asynchronous
async def test_the_roof_closes_when_the_sensor_is_gone():
    sensor, roof = snooping.make_drivers(period=0.01)
    async with running_server(sensor, roof) as server, IndiClient(server.port) as client:
        await open_roof(client, roof)
        await sensor["Rain Sensor"].send_delProperty()
        await roof_is(client, 0)
        assert not roof.dry


@pytest.mark.parametrize("what", [DefVector, SetVector])
@driver_test
async def test_the_roof_closes_when_the_sensor_cannot_read_its_instrument(what):
    """The sensor says so by its state; its light still shows the last weather that it has read."""
    members = ((DefMember if what is DefVector else OneMember)("RAIN", "Ok"),)
    news = what(VectorKind.LIGHT, "Rain Sensor", "WEATHER_STATUS", members=members, state=State.OK)
    async with DriverHarness(snooping.make_roof()) as harness:
        for state, position in ((State.OK, "100"), (State.ALERT, "0"), (State.OK, "100")):
            await harness.send(news._replace(state=state))
            if state == State.OK:
                await harness.set_switch("Roof", "DOME_SHUTTER", SHUTTER_OPEN="On")
            await harness.advance(10)
            harness.assert_values("Roof", "ROOF_POSITION", OPEN=position)


@driver_test
async def test_the_roof_opens_again_though_the_sensor_sends_only_what_has_changed():
    async with DriverHarness(snooping.make_roof()) as harness:
        for state, light in (("Ok", "Ok"), ("Alert", None), ("Ok", None)):
            members = (OneMember("RAIN", light),) if light else ()
            await harness.send(SetVector(VectorKind.LIGHT, "Rain Sensor", "WEATHER_STATUS", members, State(state)))
        await harness.set_switch("Roof", "DOME_SHUTTER", SHUTTER_OPEN="On")
        await harness.advance(10)
        harness.assert_values("Roof", "ROOF_POSITION", OPEN="100")
        await harness.send(DelProperty("Rain Sensor", "WEATHER_STATUS"))
        await harness.send(SetVector(VectorKind.LIGHT, "Rain Sensor", "WEATHER_STATUS", (), State.OK))
        await harness.advance(10)
        harness.assert_values("Roof", "ROOF_POSITION", OPEN="0")


# Several devices in one driver


async def connect_all(client, *devices):
    await client.get_properties()
    for device in devices:
        await eventually(lambda device=device: any(map(match("def.*", device=device), client.received)))
        await client.send(new_vector("Switch", device, "CONNECTION", CONNECT="On"))
    for device in devices:
        connected = match("setSwitchVector", device=device, name="CONNECTION", state="Ok", values={"CONNECT": "On"})
        await eventually(lambda connected=connected: any(map(connected, client.received)))


@asynchronous
async def test_each_device_of_the_observatory_does_its_own():
    async with running_server(observatory.make_driver()) as server, IndiClient(server.port) as client:
        await connect_all(client, "Focuser", "Filter Wheel", "Flat Panel")
        commands = [
            new_vector("Number", "Focuser", "ABS_FOCUS_POSITION", FOCUS_ABSOLUTE_POSITION=11200),
            new_vector("Number", "Filter Wheel", "FILTER_SLOT", FILTER_SLOT_VALUE=3),
            new_vector("Switch", "Flat Panel", "FLAT_LIGHT_CONTROL", FLAT_LIGHT_ON="On"),
        ]
        await client.send("".join(commands))
        answers = {
            "FLAT_LIGHT_CONTROL": {"FLAT_LIGHT_ON": "On", "FLAT_LIGHT_OFF": "Off"},
            "ABS_FOCUS_POSITION": {"FOCUS_ABSOLUTE_POSITION": "11200"},
            "FILTER_SLOT": {"FILTER_SLOT_VALUE": "3"},
        }
        for name, values in answers.items():
            done = match("set.*", name=name, state="Ok", values=values)
            await eventually(lambda done=done: any(map(done, client.received)))


@asynchronous
async def test_the_focuser_is_stopped_on_its_way():
    async with running_server(observatory.make_driver()) as server, IndiClient(server.port) as client:
        await connect_all(client, "Focuser")
        await client.expect(match("defNumberVector", name="ABS_FOCUS_POSITION"))
        await client.send(new_vector("Number", "Focuser", "ABS_FOCUS_POSITION", FOCUS_ABSOLUTE_POSITION=50000))
        await client.expect(match("setNumberVector", name="ABS_FOCUS_POSITION", state="Busy"))
        await client.send(new_vector("Switch", "Focuser", "FOCUS_ABORT_MOTION", ABORT="On"))
        stopped = await client.expect(match("setNumberVector", name="ABS_FOCUS_POSITION", state="Idle"))
        assert 10_000 <= float(stopped[0].text) < 50_000


# The driver with vectors of every kind


@asynchronous
async def test_the_echo_driver_gives_back_every_kind():
    async with running_server(stdio_driver.make_driver()) as server, IndiClient(server.port) as client:
        await client.get_properties()
        await client.expect(match("defNumberVector", name="COUNTER"))
        await client.enable_blob("Echo")
        await client.send(new_vector("Text", "Echo", "TEXT", TEXT="a & b <é>"))
        await client.expect(match("setTextVector", name="TEXT", state="Ok", values={"TEXT": "a & b <é>"}))
        await client.send(new_vector("Number", "Echo", "NUMBER", NUMBER="-0:30"))
        await client.expect(match("setNumberVector", name="NUMBER", state="Ok"))
        await client.send(new_vector("Switch", "Echo", "SWITCH", A="On", B="On"))
        await client.expect(match("setLightVector", name="LIGHT", values={"BOTH": "Ok"}))
        await client.send(new_vector("Switch", "Echo", "SWITCH", B="Off"))
        await client.expect(match("setLightVector", name="LIGHT", values={"BOTH": "Idle"}))
        picture = base64.b64encode(b"\x00picture\xff").decode()
        await client.send(
            "<newBLOBVector device='Echo' name='BLOB'>"
            f"<oneBLOB name='DATA' size='9' format='.png'>{picture}</oneBLOB></newBLOBVector>"
        )
        assert await blob_of(client, "Echo", "BLOB") == (b"\x00picture\xff", ".png")


@asynchronous
async def test_five_megabytes_arrive_whole_while_others_are_sent():
    async with running_server(stdio_driver.make_driver()) as server, IndiClient(server.port) as client:
        await client.get_properties()
        await client.expect(match("defBLOBVector", name="BLOB"))
        await client.enable_blob("Echo")
        await client.send(new_vector("Switch", "Echo", "SEND", SEND="On"))
        data, suffix = await blob_of(client, "Echo", "BLOB", timeout=20)
        assert data == stdio_driver.payload()
        assert suffix == ".bin"
        await client.expect(match("setSwitchVector", name="SEND", state="Ok"))
        await client.expect(match("setNumberVector", name="COUNTER"))


# As programs: with -S nothing that is installed is found, so the checkout alone must do


@pytest.mark.parametrize("name", SERVED)
@pytest.mark.parametrize("way", ["file", "module"])
@asynchronous
async def test_it_runs_from_a_bare_checkout(name, way, tmp_path):
    device, vector = SERVED[name]
    port = free_port()
    words, cwd = (
        ([str(ROOT / "examples" / f"{name}.py")], tmp_path) if way == "file" else (["-m", f"examples.{name}"], ROOT)
    )
    async with serving(sys.executable, "-S", *words, str(port), port=port, cwd=cwd) as program:
        async with IndiClient(port) as client:
            await client.get_properties()
            await client.expect(match("def.*", device=device, name=vector))
        program.interrupt()
        assert await program.wait() == 130
        assert "Traceback" not in program.stderr()
        assert f"on localhost port {port}" in program.stderr()


@asynchronous
async def test_it_does_not_say_that_it_serves_when_the_port_is_taken():
    async with running_server() as server:
        port = str(server.port)
        result = await run(sys.executable, "-S", "-m", "examples.led", port, cwd=ROOT)
    assert (result.returncode, result.stdout) == (1, "")
    assert re.search(rf"^cannot listen on localhost port {port}: .*\n\Z", result.stderr, re.M)


@asynchronous
async def test_the_readme_command_serves_three_devices():
    with started(sys.executable, "-S", "-m", "examples", "--port", "0", cwd=ROOT) as program:
        await eventually(lambda: "Press Ctrl-C to stop" in program.stdout() or program.process.poll() is not None, 15)
        greeting = re.search(r"Serving three INDI devices on localhost:(\d+)", program.stdout())
        assert greeting, program.stderr()
        async with IndiClient(int(greeting[1])) as client:
            await client.get_properties()
            wanted = {"Thermostat", "Camera", "LED"}
            await eventually(lambda: wanted <= {element.get("device") for element in client.received})
        program.interrupt()
        assert await program.wait() == 0
        assert "Traceback" not in program.stderr()


@asynchronous
async def test_the_readme_command_says_when_the_port_is_taken():
    async with running_server() as server:
        port = str(server.port)
        result = await run(sys.executable, "-S", "-m", "examples", "--host", "127.0.0.1", "--port", port, cwd=ROOT)
    assert result.returncode == 1
    assert port in result.stderr
    assert "--port" in result.stderr
    assert "Traceback" not in result.stderr


@asynchronous
async def test_the_readme_command_says_what_a_port_is():
    result = await run(sys.executable, "-S", "-m", "examples", "--port", "99999", cwd=ROOT)
    assert result.returncode == 2
    assert result.stderr.endswith("error: port must be from 0 to 65535, not 99999\n")
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("way", ["file", "module"])
@asynchronous
async def test_the_echo_driver_talks_over_its_standard_streams(way, tmp_path):
    words, cwd = (
        ([str(ROOT / "examples" / "stdio_driver.py")], tmp_path)
        if way == "file"
        else (["-m", "examples.stdio_driver"], ROOT)
    )
    with started(sys.executable, "-S", *words, cwd=cwd, stdin=subprocess.PIPE) as program:

        def received(predicate):
            return any(map(predicate, parse(program.stdout().encode())))

        program.process.stdin.write(b"<getProperties version='1.7'/>")
        program.process.stdin.flush()
        await eventually(lambda: received(match("defNumberVector", name="COUNTER")), 10)
        program.process.stdin.write(new_vector("Switch", "Echo", "SEND", SEND="On").encode())
        program.process.stdin.flush()
        await eventually(lambda: received(match("setSwitchVector", name="SEND", state="Ok")), 20, every=0.3)
        (vector,) = filter(match("setBLOBVector"), parse(program.stdout().encode()))
        assert base64.b64decode(vector[0].text) == stdio_driver.payload()
        program.process.stdin.close()
        assert await program.wait() == 0
        assert program.stderr() == ""
