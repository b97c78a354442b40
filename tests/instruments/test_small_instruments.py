"""Filter wheels, rotators, dust caps and light boxes."""

from itertools import combinations

import pytest

from indipydriver.instruments import (
    GPS,
    Camera,
    Dome,
    DustCap,
    FilterWheel,
    Focuser,
    Guider,
    Inputs,
    Instrument,
    InstrumentDriver,
    LightBox,
    Mount,
    Outputs,
    PowerBox,
    Rotator,
    WeatherStation,
)
from indipydriver.instruments.simulators import (
    DustCapSimulator,
    Fault,
    FilterSimulator,
    LightPanelSimulator,
    RotatorSimulator,
)
from indipydriver.testing import DriverHarness, driver_test
from tests.instruments.sessions import GENERAL, Session


class Wheel(FilterWheel):
    filters = ("L", "Ha")

    async def connect(self):
        if self.devicedata.get("found"):
            self.filters = self.devicedata["found"]

    async def select(self, slot):
        pass


class Turner(Rotator):
    async def turn_to(self, angle):
        self.angle = angle


class Cap(DustCap):
    async def close_cap(self):
        pass

    async def open_cap(self):
        pass


class Lamp(LightBox):
    async def set_light(self, on):
        pass


@pytest.mark.parametrize(
    ("kind", "names", "bits"),
    [
        (Wheel, ["FILTER_SLOT", "FILTER_NAME"], 16),
        (Turner, ["ABS_ROTATOR_ANGLE", "ROTATOR_LIMITS"], 4096),
        (Cap, ["CAP_PARK"], 512 + 32768),
        (Lamp, ["FLAT_LIGHT_CONTROL"], 1024 + 32768),
        (
            RotatorSimulator,
            [
                "ABS_ROTATOR_ANGLE",
                "ROTATOR_ABORT_MOTION",
                "SYNC_ROTATOR_ANGLE",
                "ROTATOR_HOME",
                "ROTATOR_REVERSE",
                "ROTATOR_LIMITS",
            ],
            4096,
        ),
        (
            DustCapSimulator,
            ["ACTIVE_DEVICES", "CAP_PARK", "CAP_ABORT", "FLAT_LIGHT_CONTROL", "FLAT_LIGHT_INTENSITY"],
            34304,
        ),
    ],
)
@driver_test
async def test_what_is_implemented_is_defined(kind, names, bits):
    async with Session(kind()) as client:
        await client.connect()
        assert [name for name in client.defined() if name not in {*GENERAL, "SIMULATED_FAULT"}] == names
        assert client.values("DRIVER_INFO")["DRIVER_INTERFACE"] == str(bits)


@pytest.mark.parametrize("kind", [FilterWheel, Rotator, DustCap, LightBox, Focuser])
def test_what_must_be_overridden_is_named(kind):
    with pytest.raises(TypeError, match=r"Bare does not override .*\(\)"):
        type("Bare", (kind,), {})()


# --- filter wheels


@driver_test
async def test_a_wheel_shows_the_old_slot_until_the_new_one_is_there():
    async with Session(FilterSimulator()) as client:
        await client.connect()
        assert list(client.values("FILTER_NAME").values())[:2] == ["Red", "Green"]
        client.messages.clear()
        await client.number("FILTER_SLOT", FILTER_SLOT_VALUE=3)
        assert client.texts == ["[INFO] Setting current filter to slot 3"]
        await client.until("FILTER_SLOT", "Ok", 2)
        assert client.history("FILTER_SLOT") == [("Busy", "1"), ("Ok", "3")]
        await client.number("FILTER_SLOT", FILTER_SLOT_VALUE=3)
        assert client.state("FILTER_SLOT") == "Ok"
        await client.number("FILTER_SLOT", FILTER_SLOT_VALUE=9)
        assert client.state("FILTER_SLOT") == "Alert"
        assert client.value("FILTER_SLOT") == 3


@driver_test
async def test_a_wheel_that_jams():
    async with Session(FilterSimulator()) as client:
        await client.connect()
        await client.press("SIMULATED_FAULT", "HANGS")
        await client.number("FILTER_SLOT", FILTER_SLOT_VALUE=3)
        await client.until("FILTER_SLOT", "Alert", 100)
        assert client.value("FILTER_SLOT") == 1
        await client.press("SIMULATED_FAULT", "NONE")
        await client.number("FILTER_SLOT", FILTER_SLOT_VALUE=1)
        await client.until("FILTER_SLOT", "Ok")


@driver_test
async def test_the_names_of_filters_are_saved(home):
    async with Session(FilterSimulator()) as client:
        device = await client.connect()
        await client.text("FILTER_NAME", FILTER_SLOT_NAME_2="Clear")
        assert client.state("FILTER_NAME") == "Ok"
        assert device.names[:3] == ["Red", "Clear", "Blue"]
        await client.advance(1)
    async with Session(FilterSimulator()) as client:
        device = await client.connect()
        await client.press("CONFIG_PROCESS", "CONFIG_LOAD")
        await client.until("CONFIG_PROCESS", "Ok")
        assert device.names[:3] == ["Red", "Clear", "Blue"]
        assert "Busy" not in [state for state, *_ in client.history("FILTER_SLOT")]


@driver_test
async def test_the_hardware_may_say_how_many_filters_there_are():
    async with Session(Wheel("Wheel", found=["A", "B", "C"])) as client:
        device = await client.connect()
        assert client.values("FILTER_NAME") == {f"FILTER_SLOT_NAME_{n}": name for n, name in enumerate("ABC", 1)}
        definition = client.property("Wheel", "FILTER_SLOT").definition
        assert (definition.members[0].min, definition.members[0].max) == ("1", "3")
        device.filters = ["X"]
        await client.press("CONNECTION", "DISCONNECT")
        device.devicedata["found"] = None
        await client.connect()
        assert device.names == ["X"]
        await client.number("FILTER_SLOT", FILTER_SLOT_VALUE=2)
        assert client.state("FILTER_SLOT") == "Alert"


# --- rotators


@driver_test
async def test_a_rotator_turns_the_shorter_way():
    async with Session(RotatorSimulator()) as client:
        await client.connect()
        client.messages.clear()
        await client.number("ABS_ROTATOR_ANGLE", ANGLE=350)
        await client.until("ABS_ROTATOR_ANGLE", "Ok", 2)
        history = client.history("ABS_ROTATOR_ANGLE")
        assert [state for state, _ in history] == ["Busy"] * (len(history) - 1) + ["Ok"]
        assert all(float(value) >= 350 for _, value in history[1:])
        assert client.value("ABS_ROTATOR_ANGLE") == 350
        await client.number("ABS_ROTATOR_ANGLE", ANGLE=350)
        assert client.state("ABS_ROTATOR_ANGLE") == "Ok"


@driver_test
async def test_an_aborted_rotation_is_ok_where_it_is():
    async with Session(RotatorSimulator()) as client:
        device = await client.connect()
        await client.number("ABS_ROTATOR_ANGLE", ANGLE=170)
        await client.advance(1)
        await client.press("ROTATOR_ABORT_MOTION", "ABORT")
        assert (client.state("ROTATOR_ABORT_MOTION"), client.on("ROTATOR_ABORT_MOTION")) == ("Ok", [])
        assert client.state("ABS_ROTATOR_ANGLE") == "Ok"
        await client.advance(20)
        assert 5 < client.value("ABS_ROTATOR_ANGLE") == device.angle < 15
        await client.number("SYNC_ROTATOR_ANGLE", ANGLE=90)
        await client.until("ABS_ROTATOR_ANGLE", ANGLE="90.0")
        await client.press("ROTATOR_HOME", "HOME")
        assert client.on("ROTATOR_HOME") == ["HOME"]
        await client.until("ROTATOR_HOME", "Ok", 20, HOME="Off")
        assert device.angle == 0
        await client.press("ROTATOR_REVERSE", "INDI_ENABLED")
        assert device.reversed


# --- caps and lights


@driver_test
async def test_a_cap_shows_where_it_goes():
    async with Session(DustCapSimulator()) as client:
        device = await client.connect()
        assert client.on("CAP_PARK") == ["PARK"]
        await client.press("CAP_PARK", "UNPARK")
        await client.advance(1)
        assert (client.state("CAP_PARK"), client.on("CAP_PARK"), device.closed) == ("Busy", ["UNPARK"], None)
        await client.until("CAP_PARK", "Ok", 3)
        assert (client.on("CAP_PARK"), device.closed) == (["UNPARK"], False)
        await client.press("CAP_PARK", "PARK")
        await client.advance(1)
        await client.press("CAP_ABORT", "ABORT")
        assert (client.state("CAP_PARK"), client.on("CAP_PARK")) == ("Alert", [])
        assert client.state("CAP_ABORT") == "Ok"
        await client.press("CAP_PARK", "PARK")
        await client.until("CAP_PARK", "Ok", 5, PARK="On")


@driver_test
async def test_a_cap_that_fails_has_its_old_place():
    async with Session(DustCapSimulator()) as client:
        await client.connect()
        await client.press("SIMULATED_FAULT", Fault.FAILS.name)
        await client.press("CAP_PARK", "UNPARK")
        await client.until("CAP_PARK", "Alert")
        assert client.on("CAP_PARK") == ["PARK"]


@driver_test
async def test_a_light_that_is_refused_keeps_its_switch():
    async with Session(DustCapSimulator()) as client:
        device = await client.connect()
        await client.press("FLAT_LIGHT_CONTROL", "FLAT_LIGHT_ON")
        assert (client.state("FLAT_LIGHT_CONTROL"), device.light) == ("Ok", True)
        await client.press("CAP_PARK", "UNPARK")
        assert client.state("CAP_PARK") == "Alert"
        await client.press("FLAT_LIGHT_CONTROL", "FLAT_LIGHT_OFF")
        await client.press("CAP_PARK", "UNPARK")
        await client.until("CAP_PARK", "Ok", 5)
        seen = client.property(client.name, "FLAT_LIGHT_CONTROL")
        await client.press("FLAT_LIGHT_CONTROL", "FLAT_LIGHT_ON")
        assert (seen.state, client.on("FLAT_LIGHT_CONTROL")) == ("Alert", ["FLAT_LIGHT_OFF"])
        assert seen.message == "[ERROR] Cannot control light while cap is unparked."


@driver_test
async def test_a_light_is_dimmed():
    async with Session(LightPanelSimulator()) as client:
        device = await client.connect()
        await client.number("FLAT_LIGHT_INTENSITY", FLAT_LIGHT_INTENSITY_VALUE=100)
        assert (client.state("FLAT_LIGHT_INTENSITY"), device.brightness) == ("Ok", 100)
        await client.number("FLAT_LIGHT_INTENSITY", FLAT_LIGHT_INTENSITY_VALUE=256)
        assert client.state("FLAT_LIGHT_INTENSITY") == "Alert"


def test_classes_of_instruments_can_be_combined():
    """One device may be several: what one class has for itself has no name that another uses for something else."""
    kinds = [
        GPS,
        Camera,
        Dome,
        DustCap,
        FilterWheel,
        Focuser,
        Guider,
        LightBox,
        Mount,
        PowerBox,
        Rotator,
        WeatherStation,
    ]
    shared = {
        "_standard",
        "_prepare",
        "_after_definitions",
        "_poll_standard",
        "_check_guiding",
        "_declarations",
        "_indi_handlers",
        "_indi_methods",
        "_abc_impl",
        "_start_loops",
        "_poll_failed",
        "_after_interruption",
        "_before_connecting",
        "_forget",
        "_all_partners",
        "_place_label",
    }
    owned = {
        kind: {
            (base, name)
            for base in kind.__mro__[: kind.__mro__.index(Instrument)]
            for name in vars(base)
            if name.startswith("_") and not name.startswith("__") and name not in shared
        }
        for kind in kinds
    }
    for one, other in combinations(kinds, 2):
        try:
            type("Both", (one, other), {})
        except TypeError:
            continue  # they are parts of one device
        common = owned[one] & owned[other]  # of a class from which both are made
        names = [{name for _, name in owned[kind] - common} for kind in (one, other)]
        assert not names[0] & names[1], (one, other)


@driver_test
async def test_a_rotator_stays_in_its_safe_range():
    angle, limits = "ABS_ROTATOR_ANGLE", "ROTATOR_LIMITS"
    async with Session(RotatorSimulator()) as client:
        await client.connect()
        await client.number("SYNC_ROTATOR_ANGLE", ANGLE=100)
        await client.number(limits, ROTATOR_LIMITS_VALUE=90)
        assert client.state(limits) == "Ok"
        await client.number(angle, ANGLE=150)
        assert client.state(angle) == "Alert"
        assert "safe range" in client.texts[-1]
        await client.number(angle, ANGLE=140)
        await client.until(angle, "Ok", 9)
        await client.number(angle, ANGLE=150)  # the middle has not moved
        assert client.state(angle) == "Alert"
        await client.number(limits, ROTATOR_LIMITS_VALUE=0)
        await client.number(angle, ANGLE=250)
        await client.until(angle, "Ok", 20)


@driver_test
async def test_a_light_has_a_brightness_for_each_filter(home):
    light, wheel, presets = LightPanelSimulator(), FilterSimulator(), "FLAT_LIGHT_FILTER_INTENSITY"
    name, other = light.devicename, wheel.devicename
    async with DriverHarness(InstrumentDriver(light, wheel)) as client:
        await client.set_switch(name, "CONNECTION", CONNECT="On")
        await client.wait_for(name, "CONNECTION", state="Ok")
        await client.advance(2)
        assert not client.property(name, presets).defined
        await client.set_switch(other, "CONNECTION", CONNECT="On")
        await client.wait_for(name, presets, timeout=3)
        labels = [member.label for member in client.property(name, presets).definition.members]
        assert labels == wheel.names
        await client.set_number(name, presets, FILTER_2=70, FILTER_3=0)
        client.assert_state(name, presets, "Ok")
        await client.set_number(other, "FILTER_SLOT", FILTER_SLOT_VALUE=2)
        await client.wait_for(
            name, "FLAT_LIGHT_INTENSITY", state="Ok", values={"FLAT_LIGHT_INTENSITY_VALUE": "70"}, timeout=5
        )
        await client.set_number(other, "FILTER_SLOT", FILTER_SLOT_VALUE=3)
        await client.advance(5)
        assert light.brightness == 70
    async with DriverHarness(InstrumentDriver(LightPanelSimulator(), FilterSimulator())) as client:
        for device in (name, other):
            await client.set_switch(device, "CONNECTION", CONNECT="On")
        await client.wait_for(name, presets, values={"FILTER_2": "70"}, timeout=3)  # it has been saved


class Board(Outputs, Inputs):
    outputs = ("Heater", "Fan")
    inputs = ("Door",)
    analog_inputs = ("Light",)

    def __init__(self, name=None):
        super().__init__(name)
        self.calls = []
        self.fails = False

    async def poll(self):
        self.show_input(1, True)
        self.show_analog_input(1, 0.25)

    async def set_output(self, number, on):
        self.calls.append((number, on))
        if self.fails:
            raise OSError("no answer")


@driver_test
async def test_digital_outputs_and_inputs():
    first, labels = "DIGITAL_OUTPUT_1", "DIGITAL_OUTPUT_LABELS"
    async with Session(Board()) as client:
        await client.text(labels, DIGITAL_OUTPUT_1="Dew heater", DIGITAL_OUTPUT_2="Fan")
        device = await client.connect()
        assert client.values("DRIVER_INFO")["DRIVER_INTERFACE"] == str(65536 + 131072)
        assert client.property("Board", first).definition.label == "Dew heater"
        await client.until("DIGITAL_INPUT_1", "Ok", 2, ON="On", OFF="Off")
        await client.until("ANALOG_INPUT_1", "Ok", 2, ANALOG_INPUT_1="0.25")
        await client.press(first, "ON")
        assert (client.state(first), client.on(first), device.output(1)) == ("Ok", ["ON"], True)
        await client.press(first, "OFF")
        await client.number("PULSE_0", DURATION=3000)
        await client.press(first, "ON")
        assert (client.state(first), client.on(first), client.state("PULSE_0")) == ("Ok", ["ON"], "Busy")
        await client.until(first, "Ok", 4, ON="Off", OFF="On")
        assert client.state("PULSE_0") == "Ok"
        assert device.calls == [(1, True), (1, False), (1, True), (1, False)]
        await client.press(first, "ON")
        await client.press(first, "OFF")
        assert (client.on(first), client.state("PULSE_0")) == (["OFF"], "Idle")
        device.fails = True
        await client.press("DIGITAL_OUTPUT_2", "ON")
        assert (client.state("DIGITAL_OUTPUT_2"), client.on("DIGITAL_OUTPUT_2")) == ("Alert", ["OFF"])
        await client.press(first, "ON")
        assert (client.state(first), client.on(first), client.state("PULSE_0")) == ("Alert", ["OFF"], "Alert")
