"""What is saved counts from the first connection on, whether or not a client asks for it."""

import asyncio
from xml.etree import ElementTree as ET

import pytest

from indipydriver.instruments import FilterWheel, Focuser, Instrument, InstrumentDriver, Mount, Number, Outputs, Rotator
from indipydriver.testing import DriverHarness, driver_test
from tests.instruments.sessions import Session

CONFIG = "CONFIG_PROCESS"


class Meter(Instrument):
    """Has properties of both kinds, and values that come from the hardware."""

    level = Number(1, min=0, max=10, saved=True)
    limit = Number(5, min=0, max=10, saved=True)

    def __init__(self, name=None):
        super().__init__(name)
        self.sent = []

    @limit.command
    async def set_limit(self, value):
        self.sent.append(value)


def write(home, device, *elements):
    """A file of settings, as libindi's drivers write it."""
    path = home / ".indi" / f"{device}_config.xml"
    path.parent.mkdir(exist_ok=True)
    found = []
    for kind, name, values in elements:
        members = "".join(f"<one{kind} name='{m}'>\n      {v}\n  </one{kind}>" for m, v in values.items())
        found.append(f"<new{kind}Vector device='{device}' name='{name}'>{members}</new{kind}Vector>")
    path.write_text("<INDIDriver>\n" + "\n".join(found) + "\n</INDIDriver>\n")
    return path


def saved(path):
    """The first value of each property in a file."""
    return {vector.get("name"): vector[0].text.strip() for vector in ET.parse(path).getroot()}


@driver_test
async def test_what_is_saved_is_restored_at_the_first_connection(home):
    write(home, "Meter", ("Number", "LEVEL", {"LEVEL": 7}), ("Number", "LIMIT", {"LIMIT": 3}))
    async with Session(Meter()) as client:
        device = await client.connect()
        assert (client.value("LEVEL"), client.value("LIMIT"), device.sent) == (7, 3, [3])
        device.level = 2
        await client.press("CONNECTION", "DISCONNECT")
        await client.connect()
        assert (device.level, device.sent) == (2, [3, 3])  # as it is now: it is not the first any more
    assert saved(home / ".indi" / "Meter_config.xml")["LEVEL"] == "7"


@driver_test
async def test_each_run_has_a_first_connection(home):
    device = Meter()
    driver = InstrumentDriver(device)
    write(home, "Meter", ("Number", "LIMIT", {"LIMIT": 3}))
    for runs in (1, 2):
        async with DriverHarness(driver) as client:
            await client.set_switch("Meter", "CONNECTION", CONNECT="On")
            await client.wait_for("Meter", "LIMIT", state="Ok")
            assert device.sent == [3] * runs


@driver_test
async def test_what_a_client_sets_at_once_is_not_set_back(home):
    write(home, "Meter", ("Number", "LIMIT", {"LIMIT": 3}), ("Number", "LEVEL", {"LEVEL": 7}))

    class Slow(Meter):
        default_name = "Meter"
        limit = Number(5, min=0, max=10, saved=True)

        @limit.command
        async def set_limit(self, value):
            await asyncio.sleep(1)

    async with Session(Slow()) as client:
        device = await client.connect()
        await client.until("LIMIT", "Busy")
        await client.number("LEVEL", LEVEL=9)
        await client.until("LIMIT", "Ok", 2)
        await client.advance(1)
        assert (device.level, device.limit) == (9, 3)


@driver_test
async def test_nothing_moves_because_it_is_connected(home):
    write(
        home,
        "Wheel",
        ("Number", "FILTER_SLOT", {"FILTER_SLOT_VALUE": 3}),
        ("Text", "FILTER_NAME", {"FILTER_SLOT_NAME_1": "Lum"}),
    )
    turns = []

    class Wheel(FilterWheel):
        filters = ("A", "B", "C")

        async def select(self, slot):
            turns.append(slot)

    async with Session(Wheel()) as client:
        device = await client.connect()
        await client.advance(5)
        assert (turns, device.slot, device.names) == ([], 1, ["Lum", "B", "C"])
        await client.press(CONFIG, "CONFIG_LOAD")
        await client.until("FILTER_SLOT", "Ok", FILTER_SLOT_VALUE="3")
        assert turns == [3]


@driver_test
async def test_a_file_that_cannot_be_restored_is_told_of_and_it_is_connected(home):
    path = home / ".indi" / "Meter_config.xml"
    path.parent.mkdir()
    path.write_text("<INDIDriver>")
    async with Session(Meter()) as client:
        await client.connect()
        await client.advance(1)
        told = len(client.texts)
        await client.press("CONNECTION", "DISCONNECT")
        await client.connect()
        await client.advance(1)
        assert len(client.texts) == told
    async with Session(Meter()) as client:
        await client.connect()
        await client.advance(1)
        assert any(text.startswith("[ERROR]") and "cannot be read" in text for text in client.texts)
        await client.press(CONFIG, "CONFIG_SAVE")
        await client.until(CONFIG, "Ok")
    assert saved(path)["LEVEL"] == "1"


@driver_test
async def test_a_setting_that_the_hardware_refuses_does_not_keep_it_from_being_connected(home):
    write(home, "Meter", ("Number", "LIMIT", {"LIMIT": 3}), ("Number", "LEVEL", {"LEVEL": 7}))

    class Broken(Meter):
        default_name = "Meter"
        limit = Number(5, min=0, max=10, saved=True)
        polls = 0

        @limit.command
        async def set_limit(self, value):
            raise OSError("no answer")

        async def poll(self):
            self.polls += 1

    async with Session(Broken()) as client:
        device = await client.connect()
        await client.advance(3)
        assert (client.state("CONNECTION"), client.state("LIMIT"), device.level) == ("Ok", "Alert", 7)
        assert device.polls > 1


@driver_test
async def test_hardware_that_is_lost_while_it_is_restored_is_restored_when_it_is_back(home):
    write(home, "Meter", ("Number", "LIMIT", {"LIMIT": 3}), ("Number", "LEVEL", {"LEVEL": 7}))

    class Lost(Meter):
        default_name = "Meter"
        limit = Number(5, min=0, max=10, saved=True)
        is_lost = True

        @limit.command
        async def set_limit(self, value):
            if self.is_lost:
                raise ConnectionError("unplugged")

    async with Session(Lost()) as client:
        await client.press("CONNECTION", "CONNECT")
        await client.until("CONNECTION", "Alert")
        assert client.device.level == 1
        assert not any("could not be restored" in text for text in client.texts)
        client.device.is_lost = False
        device = await client.connect()
        assert (device.limit, device.level) == (3, 7)


@pytest.mark.parametrize("is_connected", [True, False])
@driver_test
async def test_all_that_is_marked_is_saved(is_connected, home):
    path = write(home, "Meter", ("Number", "LEVEL", {"LEVEL": 7}))
    async with Session(Meter()) as client:
        device = await client.connect()
        device.level = 8  # as by a knob
        if not is_connected:
            await client.press("CONNECTION", "DISCONNECT")
        await client.press(CONFIG, "CONFIG_SAVE")
        await client.until(CONFIG, "Ok")
        assert (saved(path)["LEVEL"], saved(path)["LIMIT"]) == ("8", "5")


@driver_test
async def test_what_has_not_been_restored_is_not_overwritten(home):
    path = write(home, "Meter", ("Number", "LEVEL", {"LEVEL": 7}))
    async with Session(Meter()) as client:
        await client.press(CONFIG, "CONFIG_SAVE")
        await client.until(CONFIG, "Ok")
        assert saved(path)["LEVEL"] == "7"
        await client.press("CONNECTION", "CONNECT")
        await client.press(CONFIG, "CONFIG_SAVE")
        await client.until(CONFIG, "Ok")
        assert (saved(path)["LEVEL"], saved(path)["LIMIT"]) == ("7", "5")


@driver_test
async def test_a_mount_and_a_focuser_know_what_was_set_last_night(home):
    told = []

    class M(Mount):
        async def slew_to(self, ra, dec): ...

        async def set_location(self, latitude, longitude, elevation):
            told.append((latitude, longitude))

    class F(Focuser):
        async def move_to(self, position): ...

    write(home, "M", ("Number", "GEOGRAPHIC_COORD", {"LAT": 50, "LONG": 10, "ELEV": 100}))
    write(home, "F", ("Number", "FOCUS_MAX", {"FOCUS_MAX_VALUE": 61000}))
    async with Session(M()) as client:
        device = await client.connect()
        assert (told, device.location[:2]) == ([(50, 10)], (50, 10))
    async with Session(F()) as client:
        await client.connect()
        assert client.value("FOCUS_MAX") == 61000
        await client.number("ABS_FOCUS_POSITION", FOCUS_ABSOLUTE_POSITION=61001)
        assert client.state("ABS_FOCUS_POSITION") == "Alert"


class Shy(Rotator):
    """Takes its time for each setting, and notes what it is told."""

    default_name = "Shy"

    def __init__(self, name=None):
        super().__init__(name)
        self.told = []

    async def connect(self):
        self.angle = 0

    async def set_reverse(self, reverse):
        await asyncio.sleep(0.2)
        self.told.append(reverse)

    async def turn_to(self, angle):
        self.told.append(angle)

    async def abort(self):
        self.told.append("abort")


SHY = (
    ("Switch", "ROTATOR_REVERSE", {"INDI_ENABLED": "On", "INDI_DISABLED": "Off"}),
    ("Number", "ROTATOR_LIMITS", {"ROTATOR_LIMITS_VALUE": 90}),
)


@driver_test
async def test_what_is_moved_at_once_keeps_in_the_safe_range_that_is_saved(home):
    write(home, "Shy", *SHY)
    async with Session(Shy()) as client:
        await client.press("CONNECTION", "CONNECT")
        await client.until("CONNECTION", "Ok")
        await client.number("ABS_ROTATOR_ANGLE", ANGLE=170)
        await client.advance(1)
        assert client.device.told == [True]
        assert client.state("ABS_ROTATOR_ANGLE") == "Alert"
        await client.number("ABS_ROTATOR_ANGLE", ANGLE=40)
        await client.advance(1)
        assert client.device.told == [True, 40]


@driver_test
async def test_what_waits_for_the_settings_is_stopped_at_once(home):
    write(home, "Shy", *SHY)
    async with Session(Shy()) as client:
        await client.press("CONNECTION", "CONNECT")
        await client.until("CONNECTION", "Ok")
        await client.number("ABS_ROTATOR_ANGLE", ANGLE=30)
        await client.press("ROTATOR_ABORT_MOTION", "ABORT")
        await client.advance(0.1)
        assert client.device.told == ["abort"]
        await client.advance(1)
        assert client.device.told == ["abort", True]
        assert client.state("ABS_ROTATOR_ANGLE") == "Idle"


@driver_test
async def test_what_waits_for_the_settings_is_not_carried_out_when_it_is_disconnected(home):
    write(home, "Shy", *SHY)
    async with Session(Shy()) as client:
        await client.press("CONNECTION", "CONNECT")
        await client.until("CONNECTION", "Ok")
        await client.number("ABS_ROTATOR_ANGLE", ANGLE=30)
        await client.press("CONNECTION", "DISCONNECT")
        await client.advance(1)
        assert client.device.told == []
        assert client.defined().count("CONNECTION") == 1
        assert client.on("CONNECTION") == ["DISCONNECT"]


@driver_test
async def test_an_output_that_is_switched_at_once_is_on_as_long_as_is_saved(home):
    log = []

    class Relays(Outputs):
        default_name = "Relays"
        outputs = ("Shutdown",)
        level = Number(1, saved=True)

        async def set_output(self, number, on):
            log.append(on)

        @level.command
        async def set_level(self, value):
            await asyncio.sleep(0.2)

    write(home, "Relays", ("Number", "LEVEL", {"LEVEL": 2}), ("Number", "PULSE_0", {"DURATION": 500}))
    async with Session(Relays()) as client:
        await client.press("CONNECTION", "CONNECT")
        await client.until("CONNECTION", "Ok")
        await client.press("DIGITAL_OUTPUT_1", "ON")
        await client.advance(2)
        assert log == [True, False]


@driver_test
async def test_hardware_that_is_lost_while_it_is_restored_is_told_again_what_clients_have_set(home):
    write(home, "Meter", ("Number", "LIMIT", {"LIMIT": 3}), ("Number", "LEVEL", {"LEVEL": 7}))

    class Weak(Meter):
        default_name = "Meter"
        level = Number(1, min=0, max=10, saved=True)
        is_weak = True

        @level.command
        async def set_level(self, value):
            await asyncio.sleep(1)
            if self.is_weak:
                self.is_weak = False
                raise ConnectionError("no power")

    async with Session(Weak()) as client:
        await client.press("CONNECTION", "CONNECT")
        await client.until("CONNECTION", "Ok")
        await client.number("LIMIT", LIMIT=8)
        await client.until("CONNECTION", "Alert", 5)
        client.device.sent.clear()
        await client.connect()
        await client.advance(5)
        assert set(client.device.sent) == {8}
        assert (client.value("LIMIT"), client.value("LEVEL")) == (8, 7)
