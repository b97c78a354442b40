"""Classes that authors derive: what their attributes may be called, and whose coroutines are run."""

import asyncio

import pytest

from indipydriver.errors import DefinitionError
from indipydriver.instruments import (
    Button,
    Choice,
    FilterWheel,
    Focuser,
    InstrumentDriver,
    Light,
    Number,
    Numbers,
    PropertyDevice,
    Serial,
    Switch,
    Switches,
    Text,
    Texts,
    every,
)
from indipydriver.testing import DriverHarness, driver_test


@pytest.mark.parametrize("name", ["enable", "driver", "data", "devicename", "devicedata", "settings", "stop", "update"])
@pytest.mark.parametrize("kind", [Switch, Text, Number, Button])
def test_no_property_hides_what_a_device_has(name, kind):
    """Clients that switched off `enable` would have made the device deaf."""
    with pytest.raises(DefinitionError, match=rf"Shop\.{name} would hide what every device has"):
        type("Shop", (PropertyDevice,), {name: kind()})
    assert "ENABLE" in type("Fine", (PropertyDevice,), {"enabled": kind(name="ENABLE")})()


@pytest.mark.parametrize(
    ("name", "owner"), [("position", "Focuser"), ("abort", "Focuser"), ("connected", "Instrument"), ("line", ".*")]
)
def test_no_property_hides_what_an_instrument_has(name, owner):
    with pytest.raises(DefinitionError, match=rf"Mine\.{name} would hide what every {owner} has"):
        type("Mine", (Focuser,), {name: Light() if name == "connected" else Button()})


@pytest.mark.parametrize("name", ["_command", "_send", "_reset", "_open", "_get", "_put"])
def test_a_method_of_the_authors_takes_no_place(name):
    """What was to go to the hardware would be called with something else, or at another time."""

    async def own(self, text):
        pass

    with pytest.raises(DefinitionError, match=rf"Mine\.{name} would hide a method"):
        type("Mine", (Focuser,), {name: own})
    protocol = type("Protocol", (), {name: own})
    with pytest.raises(DefinitionError, match=rf"Protocol\.{name} would hide a method"):
        type("Mine", (protocol, Focuser), {})
    type("Mine", (Focuser,), {f"_my{name}": own, "__repr__": lambda self: "mine"})


def test_a_property_may_replace_another_one():
    class Old(PropertyDevice):
        level = Number(1)

    class New(Old):
        level = Number(2)

    assert New().level == 2


@pytest.mark.parametrize("name", ["name", "perm", "handler", "saved", "values", "update", "accept", "wanted"])
def test_no_member_hides_what_a_group_has(name):
    with pytest.raises(DefinitionError, match=rf"Info\.{name} would hide what every group has"):
        type("Info", (Texts,), {name: Text()})
    assert name.upper() in type("Info", (PropertyDevice,), {"info_": Texts({name.upper(): "It"})})().info_


def test_a_handler_has_a_name_of_its_own():
    """Else it would replace the property, which clients then miss."""
    with pytest.raises(DefinitionError, match=r"Heater\.target handles a property that its name has replaced"):

        class Heater(PropertyDevice):
            target = Number()

            @target.command
            async def target(self, wanted):
                pass


@driver_test
async def test_a_flag_does_not_take_the_place_of_a_method():
    class Mine(Focuser):
        maximum = 1000

        async def move_to(self, target):
            self.abort = False

        async def abort(self):
            self.abort = True

    async with DriverHarness(InstrumentDriver(Mine("F"))) as client:
        await client.set_switch("F", "CONNECTION", CONNECT="On")
        await client.set_number("F", "ABS_FOCUS_POSITION", FOCUS_ABSOLUTE_POSITION=9)
        client.assert_state("F", "ABS_FOCUS_POSITION", "Alert")
        assert any("Mine.abort would hide a method" in text for text in client.texts)


class Box(PropertyDevice):
    """It does what it is told."""

    relay = Switch()
    press = Button()
    heat = Number(0, min=0, max=100)

    def __init__(self):
        super().__init__("Box")
        self.done = []

    @relay.command
    async def switch_relay(self, on):
        self.done.append(f"relay {on}")

    @press.pressed
    async def move(self):
        self.done.append("moved")

    @heat.task
    async def heat_to(self, wanted):
        self.done.append(f"heated to {wanted:g}")
        await asyncio.sleep(1000)

    @every(10)
    async def measure(self):
        self.done.append("measured")


class Fake(Box):
    """It only says what it would do."""

    async def switch_relay(self, on):
        self.done.append(f"would switch {on}")

    async def move(self):
        self.done.append("would move")

    async def heat_to(self, wanted):
        self.done.append("would heat")
        await super().heat_to(wanted)

    async def measure(self):
        self.done.append("would measure")


async def what_is_done(device):
    async with DriverHarness(InstrumentDriver(device)) as client:
        await client.advance(1)
        await client.set_switch("Box", "RELAY", RELAY="On")
        await client.set_switch("Box", "PRESS", PRESS="On")
        await client.set_number("Box", "HEAT", HEAT=5)
        assert await device.cancel(device.heat_to)
        await client.settle()
        client.assert_state("Box", "HEAT", "Idle")
    return device.done


@driver_test
async def test_a_derived_class_overrides_handlers_and_loops():
    """What is overridden must not move anything."""
    assert await what_is_done(Box()) == ["measured", "relay True", "moved", "heated to 5"]
    told = ["would measure", "would switch True", "would move", "would heat", "heated to 5"]
    assert await what_is_done(Fake()) == told


def test_a_derived_class_gives_the_base_class_no_handler():
    class Sensor(PropertyDevice):
        level = Number()

    with pytest.raises(TypeError, match="declare it again in the derived class"):

        class Pump(Sensor):
            @Sensor.level.command
            async def pump(self, wanted):
                pass

    assert Sensor("S")["LEVEL"].perm == "ro"


@driver_test
async def test_handlers_that_share_a_name_stay_what_they_are():
    done = []

    class Old(PropertyDevice):
        first = Switch()
        second = Switch()

        @first.command
        async def _(self, on):
            done.append("first")

        @second.command
        async def _(self, on):
            done.append("second")

    class New(Old):
        third = Switch()

        @third.command
        async def _(self, on):
            done.append("third")

    async with DriverHarness(InstrumentDriver(New("D"))) as client:
        for name in ("FIRST", "SECOND", "THIRD"):
            await client.set_switch("D", name, {name: "On"})
    assert done == ["first", "second", "third"]


def test_what_overrides_a_handler_is_a_coroutine_function():
    with pytest.raises(TypeError, match=r"Slip\.move handles a property: write async def"):

        class Slip(Box):
            def move(self):
                pass


@driver_test
async def test_a_loop_can_be_left_out():
    class Silent(Box):
        measure = None

    assert "measured" not in await what_is_done(Silent())


def test_a_switch_takes_its_words():
    class Lamp(PropertyDevice):
        lamp = Switch(True)
        all_of_them = Switches({"A": "a"})

    lamp = Lamp()
    lamp.lamp = "Off"
    assert lamp.lamp is False
    lamp.all_of_them["A"] = "On"
    assert lamp.all_of_them["A"] is True
    with pytest.raises(ValueError, match="must be one of"):
        lamp.lamp = "no"


def test_a_mistake_in_one_member_of_a_group_changes_none():
    class Meter(PropertyDevice):
        values_read = Numbers({"A": "a", "B": "b"})

    meter = Meter()
    for wrong in ({"A": 1, "B": "much"}, {"A": 1, "C": 2}):
        with pytest.raises((ValueError, KeyError)):
            meter.values_read.update(wrong)
        assert meter.values_read["A"] == 0


@pytest.mark.parametrize(
    ("kind", "body", "text"),
    [
        (FilterWheel, {"filters": ("Red")}, r"Mine\.filters must be a tuple, .* not 'Red'"),
        (Focuser, {"connections": Serial(baud=9600)}, r"Mine\.connections must be a tuple, .* not Serial"),
        (Focuser, {"maximum": "50000"}, r"Mine\.maximum must be a number, not '50000'"),
        (PropertyDevice, {"gain": Number}, r"Mine\.gain is the class Number: write Number\(\.\.\.\)"),
        (PropertyDevice, {"mode": Choice("Off")}, r"a member of an Enum, not with 'Off'"),
    ],
)
def test_what_a_class_says_is_of_the_right_kind(kind, body, text):
    """A text is a tuple of letters, and the wheel had the filters R, e and d."""
    with pytest.raises(TypeError, match=text):
        type("Mine", (kind,), body)


@pytest.mark.parametrize("name", ["connected", "position", "line", "version", "maximum", "enable", "settings", "data"])
def test_no_method_hides_a_value(name):
    """With a method connected(), a focuser was connected before it was."""
    with pytest.raises(DefinitionError, match=rf"Mine\.{name} is a method, and would hide a value"):
        type("Mine", (Focuser,), {name: lambda self: None})


def test_what_only_the_instance_knows_may_be_a_property():
    class Mine(FilterWheel):
        @property
        def filters(self):
            return ("Red", "Blue")

        async def select(self, slot):
            """It is there at once."""

    assert Mine().filters == ("Red", "Blue")


def test_a_connection_is_by_a_port_or_an_address():
    class Mine(Focuser):
        connections = ("/dev/ttyUSB0",)

        async def move_to(self, position):
            """It is there at once."""

    with pytest.raises(TypeError, match=r"Mine\.connections is a tuple of Serial.* without '/dev/ttyUSB0'"):
        Mine()


@pytest.mark.parametrize(
    ("seconds", "error", "text"),
    [(lambda self: None, TypeError, "function"), ("1", TypeError, "not str"), (-1, ValueError, "below 0")],
)
def test_every_needs_its_seconds(seconds, error, text):
    with pytest.raises(error, match=text):
        every(seconds)


def test_a_driver_names_a_class_and_a_device_that_is_not_complete():
    class Mine(PropertyDevice):
        def __init__(self):
            self.port = 1

    with pytest.raises(TypeError, match=r"not of the class Mine: write Mine\(\.\.\.\)"):
        InstrumentDriver(Mine)
    with pytest.raises(TypeError, match=r"Mine is not a device yet: its __init__\(\) does not call super"):
        InstrumentDriver(Mine())


@pytest.mark.parametrize("name", ["connect", "move_to"])
@driver_test
async def test_a_forgotten_async_is_named(name, caplog):
    class Mine(Focuser):
        async def move_to(self, position):
            """It is there at once."""

    setattr(Mine, name, lambda self, position=0: None)
    async with DriverHarness(InstrumentDriver(Mine())) as client:
        await client.set_switch("Mine", "CONNECTION", CONNECT="On")
        if name == "move_to":
            await client.wait_for("Mine", "CONNECTION", state="Ok")
            await client.set_number("Mine", "ABS_FOCUS_POSITION", FOCUS_ABSOLUTE_POSITION=5)
        await client.advance(1)
    assert f"(is `async` missing at Mine.{name}?)" in caplog.text


@driver_test
async def test_a_temperature_is_a_number(caplog):
    """What is none left the state as it was."""

    class Mine(Focuser):
        async def move_to(self, position):
            """It is there at once."""

        async def read_temperature(self):
            return "8.5 C"

    async with DriverHarness(InstrumentDriver(Mine())) as client:
        await client.set_switch("Mine", "CONNECTION", CONNECT="On")
        await client.wait_for("Mine", "FOCUS_TEMPERATURE", state="Alert")
    assert "read_temperature() returned '8.5 C', which is not a number" in caplog.text
