"""Hardware that is lost may have been without power: what was known of it no longer counts once it is connected again."""

import asyncio
from datetime import datetime, timedelta

import pytest

from indipydriver.instruments import (
    Camera,
    Dome,
    DustCap,
    FilterWheel,
    Focuser,
    Guider,
    LightBox,
    Mount,
    Number,
    Outputs,
    PowerBox,
    Reading,
    Rotator,
    WeatherStation,
)
from indipydriver.testing import driver_test
from tests.instruments.sessions import Session


class Logged:
    """Notes what it is told; loses its hardware when it is told to."""

    is_lost = False

    def __init__(self, *args):
        self.log = []
        super().__init__(*args)

    async def poll(self):
        if self.is_lost:
            self.is_lost = False
            raise ConnectionError("no power")


class AMount(Logged, Mount):
    has_pier_side = True

    async def slew_to(self, ra, dec):
        self.coordinates = ra, dec

    async def set_tracking(self, on):
        self.log.append(on)

    async def park(self):
        pass

    async def unpark(self):
        pass


class ACamera(Logged, Camera):
    async def expose(self, shot):
        return bytes(2 * shot.columns * shot.rows)

    async def set_temperature(self, celsius):
        self.log.append(celsius)
        self.temperature = celsius

    async def set_cooler(self, on):
        self.log.append(on)


class ADome(Logged, Dome):
    async def turn_to(self, azimuth):
        pass

    async def open_shutter(self):
        pass

    async def close_shutter(self):
        pass


class AWheel(Logged, FilterWheel):
    async def select(self, slot):
        self.log.append(slot)


class ARotator(Logged, Rotator):
    async def turn_to(self, angle):
        self.log.append(angle)


class ACap(Logged, DustCap):
    async def close_cap(self):
        pass

    async def open_cap(self):
        pass


class ALamp(Logged, LightBox):
    async def set_light(self, on):
        pass


class ABox(Logged, PowerBox):
    channels = ("Camera", "Mount")
    heaters = ("Lens",)

    async def set_channel(self, number, on):
        pass

    async def set_heater(self, number, on):
        pass

    async def set_duty(self, number, percent):
        pass


class Relays(Logged, Outputs):
    outputs = ("Fan",)

    async def set_output(self, number, on):
        pass


class Station(Logged, WeatherStation):
    readings = (Reading("WEATHER_TEMPERATURE", "Temperature (C)", -10, 30),)
    answers = True

    async def read_weather(self):
        if not self.answers:
            await asyncio.sleep(1000)
        return {"WEATHER_TEMPERATURE": 10}


async def disconnect_and_connect(client):
    """It may be switched off meanwhile."""
    await client.press("CONNECTION", "DISCONNECT")
    await client.connect()


async def lose_and_connect(client):
    client.device.is_lost = True
    await client.until("CONNECTION", "Alert", 5)
    await client.connect()


@driver_test
async def test_a_mount_that_had_no_power_does_not_track():
    async with Session(AMount()) as client:
        device = await client.connect()
        device.pier_side = "EAST"
        await client.press("TELESCOPE_TRACK_STATE", "TRACK_ON")
        await client.until("EQUATORIAL_EOD_COORD", "Ok")
        await lose_and_connect(client)
        assert client.on("TELESCOPE_TRACK_STATE") == ["TRACK_OFF"]
        assert client.state("EQUATORIAL_EOD_COORD") == "Idle"
        assert client.on("TELESCOPE_PIER_SIDE") == []
        await client.number("EQUATORIAL_EOD_COORD", RA=1, DEC=2)
        await client.advance(2)
        assert device.log == [True, True]


@driver_test
async def test_a_mount_that_is_disconnected_goes_on_tracking():
    async with Session(AMount()) as client:
        await client.connect()
        await client.press("TELESCOPE_TRACK_STATE", "TRACK_ON")
        await client.press("CONNECTION", "DISCONNECT")
        await client.connect()
        assert client.on("TELESCOPE_TRACK_STATE") == ["TRACK_ON"]


@driver_test
async def test_what_is_assigned_in_connect_counts_after_a_power_cut():
    class Knows(AMount):
        async def connect(self):
            self.tracking = True

    async with Session(Knows()) as client:
        await client.connect()
        await lose_and_connect(client)
        assert client.on("TELESCOPE_TRACK_STATE") == ["TRACK_ON"]


@driver_test
async def test_a_cooler_that_had_no_power_is_switched_on_again():
    async with Session(ACamera()) as client:
        device = await client.connect()
        await client.number("CCD_TEMPERATURE", CCD_TEMPERATURE_VALUE=-10)
        await client.until("CCD_TEMPERATURE", "Ok")
        assert device.log == [True, -10]
        device.cooler_power = 80
        await lose_and_connect(client)
        assert client.on("CCD_COOLER") == ["COOLER_OFF"]
        assert client.value("CCD_COOLER_POWER") == 0
        await client.number("CCD_TEMPERATURE", CCD_TEMPERATURE_VALUE=-20)
        await client.advance(2)
        assert device.log == [True, -10, True, -20]


@driver_test
async def test_a_cooler_and_the_tracking_are_switched_on_again_after_a_disconnection():
    async with Session(ACamera()) as client:
        device = await client.connect()
        for celsius in (-10, -20):
            await client.number("CCD_TEMPERATURE", CCD_TEMPERATURE_VALUE=celsius)
            await client.until("CCD_TEMPERATURE", "Ok")
        assert device.log == [True, -10, -20]
        await disconnect_and_connect(client)
        await client.number("CCD_TEMPERATURE", CCD_TEMPERATURE_VALUE=-15)
        await client.until("CCD_TEMPERATURE", "Ok")
        assert device.log[3:] == [True, -15]
    async with Session(AMount()) as client:
        device = await client.connect()
        for again in (False, False, True, False):
            if again:
                assert device.log == [True]
                await disconnect_and_connect(client)
            await client.number("EQUATORIAL_EOD_COORD", RA=1, DEC=2)
            await client.advance(2)
        assert device.log == [True, True]


@driver_test
async def test_nobody_knows_where_the_shutter_of_a_lost_dome_is():
    async with Session(ADome()) as client:
        device = await client.connect()
        device.shutter_open = True
        await lose_and_connect(client)
        assert device.shutter_open is None
        assert (client.state("DOME_SHUTTER"), client.on("DOME_SHUTTER")) == ("Idle", [])


@driver_test
async def test_nobody_knows_whether_a_lost_cap_is_closed():
    async with Session(ACap()) as client:
        device = await client.connect()
        await client.press("CAP_PARK", "PARK")
        await client.until("CAP_PARK", "Ok", 1, PARK="On")
        await lose_and_connect(client)
        assert device.closed is None


@pytest.mark.parametrize("again", [lose_and_connect, disconnect_and_connect])
@pytest.mark.parametrize(("kind", "vector", "value"), [(AWheel, "FILTER_SLOT", 3), (ARotator, "ABS_ROTATOR_ANGLE", 30)])
def test_what_had_no_power_is_moved_to_where_it_was(kind, vector, value, again):
    @driver_test
    async def run():
        async with Session(kind()) as client:
            device = await client.connect()
            member = next(iter(client.values(vector)))
            for _ in range(2):
                await client.number(vector, **{member: value})
                await client.advance(1)
            assert device.log == [value]
            await again(client)
            for _ in range(2):
                await client.number(vector, **{member: value})
                await client.advance(1)
            assert device.log == [value, value]

    run()


@driver_test
async def test_what_had_no_power_is_off():
    for kind, vector, member, off in (
        (ABox, "POWER_CHANNELS", "POWER_CHANNEL_1", []),
        (ABox, "DEW_CHANNELS", "DEW_CHANNEL_1", []),
        (ALamp, "FLAT_LIGHT_CONTROL", "FLAT_LIGHT_ON", ["FLAT_LIGHT_OFF"]),
        (Relays, "DIGITAL_OUTPUT_1", "ON", ["OFF"]),
    ):
        async with Session(kind()) as client:
            await client.connect()
            await client.press(vector, member)
            assert client.on(vector) == [member]
            await client.press("CONNECTION", "DISCONNECT")
            await client.connect()
            assert client.on(vector) == [member], kind
            await lose_and_connect(client)
            assert client.on(vector) in (off, []), kind


@driver_test
async def test_lights_of_the_weather_are_those_of_this_connection():
    async with Session(Station()) as client:
        device = await client.connect()
        await client.until("WEATHER_STATUS", "Ok")
        device.answers = False
        await lose_and_connect(client)
        assert set(client.values("WEATHER_STATUS").values()) == {"Idle"}
        assert client.values("SAFETY_STATUS") == {"SAFETY": "Idle"}


@driver_test
async def test_what_the_file_says_of_parking_counts_at_the_next_connection(home):
    file = home / ".indi" / "ParkData.xml"
    async with Session(AMount()) as client:
        device = await client.connect()
        await client.press("TELESCOPE_PARK", "PARK")
        await client.until("TELESCOPE_PARK", "Ok", 2, PARK="On")
        await client.press("CONNECTION", "DISCONNECT")
        assert "true" in file.read_text()
        file.write_text(file.read_text().replace("true", "false"))  # another driver has unparked it meanwhile
        await client.connect()
        assert (device.parked, client.on("TELESCOPE_PARK")) == (False, ["UNPARK"])
        await client.press("TELESCOPE_PARK", "PARK")
        await client.until("TELESCOPE_PARK", "Ok", 2, PARK="On")
        await client.press("CONNECTION", "DISCONNECT")
        file.unlink()
        await client.connect()
        assert "[INFO] No parking data found: the mount is taken to be unparked." in client.texts
        assert (device.parked, client.on("TELESCOPE_PARK")) == (False, ["UNPARK"])


@driver_test
async def test_what_could_not_be_saved_of_parking_still_counts(home):
    (home / ".indi").write_text("not a folder")
    async with Session(AMount()) as client:
        device = await client.connect()
        await client.press("TELESCOPE_PARK", "PARK")
        await client.until("TELESCOPE_PARK", "Ok", 2, PARK="On")
        await client.press("CONNECTION", "DISCONNECT")
        await client.connect()
        assert (device.parked, client.on("TELESCOPE_PARK")) == (True, ["PARK"])


@driver_test
async def test_what_the_author_has_said_of_parking_still_counts():
    async with Session(AMount()) as client:
        device = await client.connect()
        device.parked = True
        await client.press("CONNECTION", "DISCONNECT")
        await client.connect()
        assert (device.parked, client.on("TELESCOPE_PARK")) == (True, ["PARK"])


@pytest.mark.parametrize(
    ("kind", "vector", "attribute"), [(AWheel, "FILTER_SLOT", "slot"), (ARotator, "ABS_ROTATOR_ANGLE", "angle")]
)
def test_what_nobody_has_read_is_moved_and_what_was_read_is_not(kind, vector, attribute):
    @driver_test
    async def run():
        async with Session(kind()) as client:
            device = await client.connect()
            member, first = next(iter(client.values(vector))), client.value(vector)
            await client.number(vector, **{member: first})
            await client.advance(1)
            assert device.log == [first]
            await lose_and_connect(client)
            setattr(device, attribute, first)  # as poll() does
            await client.number(vector, **{member: first})
            await client.advance(1)
            assert device.log == [first]
            assert client.state(vector) == "Ok"

    run()


@driver_test
async def test_a_mount_that_was_tracking_is_not_even_defined_as_tracking():
    async with Session(AMount()) as client:
        device = await client.connect()
        await client.press("TELESCOPE_TRACK_STATE", "TRACK_ON")
        await client.until("TELESCOPE_TRACK_STATE", "Busy")
        device.is_lost = True
        await client.until("CONNECTION", "Alert", 5)
        begin = len(client.messages)
        await client.connect()
        about = [one for one in client.messages[begin:] if getattr(one, "name", None) == "TELESCOPE_TRACK_STATE"]
        assert [(one.state, *(member.value for member in one.members)) for one in about] == [("Idle", "Off", "On")]


class AFocuser(Logged, Focuser):
    step = Number(1.0, saved=True)
    heat = Number(0.0, saved=True)

    async def move_to(self, position):
        self.position = position

    async def set_reverse(self, reverse):
        self.log.append(("reverse", reverse))

    async def set_backlash(self, steps):
        self.log.append(("backlash", steps))

    @step.command
    async def set_step(self, size):
        self.log.append(("step", size))

    @heat.task
    async def keep_warm(self, percent):
        self.log.append(("heat", percent))


@driver_test
async def test_hardware_that_was_without_power_is_told_its_settings_again():
    async with Session(AFocuser()) as client:
        device = await client.connect()
        await client.press("FOCUS_REVERSE_MOTION", "INDI_ENABLED")
        await client.number("FOCUS_BACKLASH_STEPS", FOCUS_BACKLASH_VALUE=50)
        await client.press("FOCUS_BACKLASH_TOGGLE", "INDI_ENABLED")
        await client.number("FOCUS_BACKLASH_STEPS", FOCUS_BACKLASH_VALUE=30)
        await client.number("STEP", STEP=2)
        await client.number("HEAT", HEAT=70)
        await client.advance(1)
        for is_lost in (True, False, True):  # or it was switched off when it had been disconnected
            device.log.clear()
            if is_lost:
                device.is_lost = True
                await client.until("CONNECTION", "Alert", 5)
            else:
                await client.press("CONNECTION", "DISCONNECT")
            await client.connect()
            assert {*device.log} == {("reverse", True), ("backlash", 30), ("step", 2.0)}
            assert device.reversed
            assert device.backlash == 30


@driver_test
async def test_hardware_that_was_without_power_is_not_told_what_nobody_has_set(home):
    async with Session(AFocuser()) as client:
        device = await client.connect()
        device.is_lost = True
        await client.until("CONNECTION", "Alert", 5)
        await client.connect()
        assert device.log == []
        await client.press("FOCUS_REVERSE_MOTION", "INDI_ENABLED")
        await client.advance(1)
    async with Session(AFocuser()) as client:  # it is restored
        device = await client.connect()
        device.is_lost = True
        await client.until("CONNECTION", "Alert", 5)
        await client.connect()
        assert device.log.count(("reverse", True)) == 2


@driver_test
async def test_the_weather_is_not_safe_while_a_station_that_was_lost_is_being_closed():
    class Hanging(Station):
        async def disconnect(self):
            await asyncio.sleep(30)

    async with Session(Hanging()) as client:
        device = await client.connect()
        await client.until("SAFETY_STATUS", "Ok")
        device.is_lost = True
        await client.advance(3)
        for name in ("SAFETY_STATUS", "WEATHER_STATUS"):
            assert client.state(name) == "Idle"
            assert set(client.values(name).values()) == {"Idle"}
        await client.until("CONNECTION", "Alert", 60)
        await client.connect()
        await client.until("SAFETY_STATUS", "Ok", 3)


class Unplugged(Logged):
    """Does not answer as long as its cable is unplugged; its hardware goes on."""

    is_there = True

    def note(self, what):
        if not self.is_there:
            raise ConnectionError("no cable")
        self.log.append(what)

    async def connect(self):
        self.note("connect")

    async def poll(self):
        if not self.is_there:
            raise ConnectionError("no cable")


class ByHand(Unplugged, Mount):
    async def slew_to(self, ra, dec):
        pass

    async def abort(self):
        self.note("abort")

    async def start_motion(self, direction, rate):
        self.note(f"start {direction.name}")

    async def stop_motion(self, direction):
        self.note(f"stop {direction.name}")


class Turns(Unplugged, Dome):
    async def turn_to(self, azimuth):
        pass

    async def start_turning(self, clockwise):
        self.note("start")

    async def abort(self):
        self.note("abort")


class Gate(Unplugged, Outputs):
    outputs = ("Gate",)

    async def set_output(self, number, on):
        self.note(on)


@pytest.mark.parametrize(
    ("kind", "start", "stop"), [(Mount, "start_motion", "stop_motion"), (Dome, "start_turning", "abort")]
)
def test_what_can_be_started_can_be_stopped(kind, start, stop):
    async def method(self, *values):
        pass

    methods = {"slew_to": method, "turn_to": method, start: method}
    with pytest.raises(TypeError, match=rf"Endless does not override {stop}\(\)"):
        type("Endless", (kind,), methods)()
    type("Endless", (kind,), {**methods, stop: method})()


MOVED = [
    (ByHand, "TELESCOPE_MOTION_NS", "MOTION_NORTH", ["connect", "start NORTH"], "stop NORTH"),
    (Turns, "DOME_MOTION", "DOME_CW", ["connect", "start"], "abort"),
    (Gate, "DIGITAL_OUTPUT_1", "ON", ["connect", True], False),
]


async def start_it(client, name, member):
    device = await client.connect()
    if isinstance(device, Gate):
        await client.number("PULSE_0", DURATION=60_000)
    await client.press(name, member)
    await client.advance(1)
    return device


@pytest.mark.parametrize(("kind", "name", "member", "log", "stop"), MOVED)
@driver_test
async def test_what_moves_until_it_is_stopped_is_stopped_when_its_hardware_is_back(kind, name, member, log, stop):
    async with Session(kind()) as client:
        device = await start_it(client, name, member)
        device.is_there = False
        await client.until("CONNECTION", "Alert", 10)
        await client.press("CONNECTION", "CONNECT")  # in vain
        await client.advance(1)
        assert device.log == log
        device.is_there = True
        await client.connect()
        await client.advance(1)
        assert device.log == [*log, "connect", stop]
        assert client.on(name) in ([], ["OFF"])
        await client.press("CONNECTION", "DISCONNECT")
        assert device.log == [*log, "connect", stop]  # once is enough


@pytest.mark.parametrize(("kind", "name", "member", "log", "stop"), MOVED)
@driver_test
async def test_it_is_stopped_when_a_client_disconnects_it(kind, name, member, log, stop):
    async with Session(kind()) as client:
        device = await start_it(client, name, member)
        await client.press("CONNECTION", "DISCONNECT")
        assert device.log == [*log, stop]


@pytest.mark.parametrize(("kind", "name", "member", "log", "stop"), MOVED)
@driver_test
async def test_it_is_stopped_when_the_driver_ends(kind, name, member, log, stop):
    async with Session(kind()) as client:
        device = await start_it(client, name, member)
    assert device.log == [*log, stop]


@driver_test
async def test_a_motion_that_cannot_be_stopped_does_not_hold_up_a_disconnection():
    class Stuck(ByHand):
        async def stop_motion(self, direction):
            raise OSError("jammed")

    async with Session(Stuck()) as client:
        await start_it(client, "TELESCOPE_MOTION_NS", "MOTION_NORTH")
        await client.press("CONNECTION", "DISCONNECT")
        assert client.state("CONNECTION") == "Idle"
        assert "[ERROR] It could not be stopped, and may go on: jammed" in str(client.messages)


@driver_test
async def test_an_output_that_was_turned_on_later_stays_on():
    class Once(Gate):
        fails = False

        async def set_output(self, number, on):
            if self.fails and not on:
                raise ValueError("no answer")
            self.note(on)

    async with Session(Once()) as client:
        device = await client.connect()
        device.fails = True
        await client.number("PULSE_0", DURATION=100)
        await client.press("DIGITAL_OUTPUT_1", "ON")
        await client.advance(1)
        assert client.state("DIGITAL_OUTPUT_1") == "Alert"
        device.fails = False
        await client.number("PULSE_0", DURATION=0)
        await client.press("DIGITAL_OUTPUT_1", "ON")
        await client.press("CONNECTION", "DISCONNECT")
        assert device.log == ["connect", True, True]


@driver_test
async def test_an_output_that_is_switched_off_at_the_second_attempt_is_shown_as_off():
    class Flaky(Gate):
        fails = 1

        async def set_output(self, number, on):
            if not on and self.fails:
                self.fails -= 1
                raise OSError("no answer")
            self.note(on)

    async with Session(Flaky()) as client:
        device = await client.connect()
        await client.number("PULSE_0", DURATION=60_000)
        await client.press("DIGITAL_OUTPUT_1", "ON")
        await disconnect_and_connect(client)
        assert device.log == ["connect", True, False, "connect"]
        assert client.on("DIGITAL_OUTPUT_1") == ["OFF"]


@pytest.mark.parametrize("again", [lose_and_connect, disconnect_and_connect])
def test_a_station_that_is_connected_again_gives_no_alarm_before_it_is_read(again):
    @driver_test
    async def run():
        async with Session(Station()) as client:
            await client.connect()
            await client.number("WEATHER_TEMPERATURE", MAX_OK=25)  # which is set again
            await client.advance(3600)
            before = len(client.history("WEATHER_STATUS"))
            await again(client)
            await client.until("WEATHER_STATUS", "Ok", 3)
            assert {state for state, *_ in client.history("WEATHER_STATUS")[before:]} <= {"Idle", "Ok"}
            assert not any("no more readings" in text for text in client.texts)

    run()


@pytest.mark.parametrize("again", [lose_and_connect, disconnect_and_connect])
def test_a_voltage_a_speed_and_a_rate_are_set_again(again, home):
    class Adjustable(Logged, PowerBox, Focuser, Guider):
        variable = ("Camera", "Flat panel")
        heaters = ("Lens",)

        async def set_variable(self, number, on):
            self.log.append(("variable", number, on))

        async def set_voltage(self, number, volts):
            self.log.append(("voltage", number, volts))

        async def set_heater(self, number, on):
            self.log.append(("heater", number, on))

        async def set_duty(self, number, percent):
            self.log.append(("duty", number, percent))

        async def move_by(self, steps):
            pass

        async def set_speed(self, speed):
            self.log.append(("speed", speed))

        async def guide(self, direction, seconds):
            pass

        async def set_guide_rate(self, west_east, north_south):
            self.log.append(("rate", west_east, north_south))

    @driver_test
    async def run():
        async with Session(Adjustable()) as client:
            device = await client.connect()
            assert device.log == []
            await client.number("VARIABLE_VOLTAGES", VAR_CHANNEL_2=9)
            await client.press("VARIABLE_CHANNELS", "VAR_CHANNEL_2")
            await client.number("DEW_DUTY_CYCLES", DEW_CHANNEL_1=40)
            await client.number("FOCUS_SPEED", FOCUS_SPEED_VALUE=7)
            await client.number("GUIDE_RATE", GUIDE_RATE_WE=0.7, GUIDE_RATE_NS=0.8)
            await client.advance(1)
            device.log.clear()
            await again(client)
            assert sorted(device.log) == [("duty", 1, 40), ("rate", 0.7, 0.8), ("speed", 7), ("voltage", 2, 9)]
            assert client.value("DEW_DUTY_CYCLES") == 40

    run()


@pytest.mark.parametrize("slept", [0, 36000])
@pytest.mark.parametrize("again", [lose_and_connect, disconnect_and_connect])
def test_a_mount_that_has_forgotten_the_time_is_told_what_it_is_now(again, slept, monkeypatch):
    asleep = 0.0

    class Clock(AMount):
        async def set_time(self, utc, offset):
            self.log.append((utc.replace(tzinfo=None), offset))

    @driver_test
    async def run():
        nonlocal asleep
        monkeypatch.setattr("time.time", lambda: asyncio.get_running_loop().time() + asleep)
        async with Session(Clock()) as client:
            device = await client.connect()
            await again(client)
            assert device.log == []  # nobody has told it
            await client.text("TIME_UTC", UTC="2026-11-22T20:00:00", OFFSET="1")
            await client.advance(3600)
            asleep = slept
            await again(client)
            if slept:  # nobody knows what it is now
                assert device.log == [(datetime(2026, 11, 22, 20), 1)]
                return
            told = datetime(2026, 11, 22, 21)
            assert device.log == [(datetime(2026, 11, 22, 20), 1), (pytest.approx(told, abs=timedelta(seconds=5)), 1)]
            assert client.values("TIME_UTC")["UTC"] == device.log[-1][0].isoformat()

    run()
