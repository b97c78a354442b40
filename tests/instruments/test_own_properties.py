"""Properties that are declared on a class."""

import asyncio
import logging
import time

import pytest

import indipydriver as ipd
from indipydriver.errors import DefinitionError
from indipydriver.instruments import (
    Button,
    InstrumentDriver,
    Number,
    Numbers,
    PropertyDevice,
    Switch,
    Text,
    Texts,
    every,
)
from indipydriver.protocol.messages import DefVector
from indipydriver.testing import DriverHarness, driver_test
from tests.instruments.own_properties import Box, Camera, PowerBox, Room, Thermostat, make_driver


def harness(*devices):
    return DriverHarness(make_driver(*devices))


@driver_test
async def test_definitions_are_made_of_the_declarations():
    async with harness(Thermostat(Room()), PowerBox(Box()), Camera()) as client:
        defined = {(m.device, m.name): m for m in client.messages if isinstance(m, DefVector)}
        names = [name for device, name in defined if device == "Thermostat"]
        assert names == ["ROOM", "TARGET", "MODE", "HEATER"]
        target = defined["Thermostat", "TARGET"]
        assert (target.label, target.group, target.perm) == ("Target, °C", "Main Control", "rw")
        assert (target.members[0].min, target.members[0].max, target.members[0].format) == ("5", "30", "%.1f")
        assert defined["Thermostat", "ROOM"].perm == "ro"  # no handler, not saved
        mode = defined["Thermostat", "MODE"]
        assert (mode.rule, [(m.name, m.label, m.value) for m in mode.members]) == (
            "OneOfMany",
            [("OFF", "Off", "Off"), ("HEAT", "Heat", "On")],
        )
        assert [m.name for m in defined["Power Box", "POWER"].members] == ["VOLTAGE", "CURRENT"]
        assert [m.label for m in defined["Power Box", "RELAYS"].members][-1] == "Relay 4"
        assert defined["Camera", "ABORT"].rule == "AtMostOne"


@driver_test
async def test_a_handler_is_busy_then_ok_and_progress_is_seen():
    room = Room()
    async with harness(Thermostat(room)) as client:
        await client.set_number("Thermostat", "TARGET", TARGET=20)
        await client.advance(0.2)
        client.assert_state("Thermostat", "TARGET", "Busy")
        await client.wait_for("Thermostat", "TARGET", state="Ok", timeout=30)
        assert 19.6 < float(client.property("Thermostat", "ROOM").values["ROOM"]) < 20.4
        client.assert_values("Thermostat", "TARGET", TARGET="20.0")


@driver_test
async def test_a_refusal_is_alert_with_the_old_value_and_the_words():
    async with harness(Thermostat(Room())) as client:
        await client.set_switch("Thermostat", "MODE", OFF="On")
        client.assert_values("Thermostat", "MODE", OFF="On", HEAT="Off")
        await client.set_number("Thermostat", "TARGET", TARGET=25)
        seen = await client.wait_for("Thermostat", "TARGET", state="Alert")
        assert seen.message == "[ERROR] The thermostat is off"
        client.assert_values("Thermostat", "TARGET", TARGET="18")


@driver_test
async def test_a_task_is_replaced_by_the_next_command():
    async with harness(Thermostat(Room())) as client:
        await client.set_number("Thermostat", "TARGET", TARGET=29)
        await client.advance(2)
        await client.set_number("Thermostat", "TARGET", TARGET=16)
        await client.wait_for("Thermostat", "TARGET", state="Ok", values={"TARGET": "16.0"}, timeout=20)


@driver_test
async def test_the_rule_of_a_choice_is_kept():
    async with harness(Thermostat(Room())) as client:
        await client.set_switch("Thermostat", "MODE", HEAT="Off")
        client.assert_state("Thermostat", "MODE", "Alert")
        client.assert_values("Thermostat", "MODE", OFF="Off", HEAT="On")


@driver_test
async def test_a_partial_command_changes_what_it_names():
    box = Box()
    async with harness(PowerBox(box)) as client:
        await client.advance(0.2)
        await client.set_switch("Power Box", "RELAYS", RELAY_2="On")
        await client.advance(0.2)
        client.assert_state("Power Box", "RELAYS", "Busy")
        await client.wait_for("Power Box", "RELAYS", state="Ok")
        assert box.relays == {1: False, 2: True, 3: False, 4: False}
        client.assert_values("Power Box", "RELAYS", RELAY_1="Off", RELAY_2="On")
        box.voltage = 10
        await client.advance(3)
        client.assert_values("Power Box", "POWER", VOLTAGE="10", CURRENT="1.3")
        await client.set_switch("Power Box", "RELAYS", RELAY_3="On")
        await client.wait_for("Power Box", "RELAYS", state="Alert")
        assert box.relays[3] is False


@driver_test
async def test_a_button_cancels_a_task():
    async with harness(Camera()) as client:
        await client.set_number("Camera", "EXPOSURE", EXPOSURE=10)
        await client.advance(3.5)
        client.assert_values("Camera", "EXPOSURE", EXPOSURE="7.0")
        await client.set_switch("Camera", "ABORT", ABORT="On")
        client.assert_state("Camera", "EXPOSURE", "Idle")
        client.assert_state("Camera", "ABORT", "Ok")
        client.assert_values("Camera", "ABORT", ABORT="Off")
        await client.advance(20)
        assert client.property("Camera", "IMAGE").values["IMAGE"] is None
        await client.set_number("Camera", "FRAME", WIDTH=20, HEIGHT=10)
        await client.set_number("Camera", "EXPOSURE", EXPOSURE=1)
        await client.wait_for("Camera", "EXPOSURE", state="Ok", timeout=3)
        await client.settle()
        assert client.property("Camera", "IMAGE").values["IMAGE"] == bytes(200)


@driver_test
async def test_a_button_that_is_let_go_does_nothing():
    async with harness(Camera()) as client:
        await client.set_number("Camera", "EXPOSURE", EXPOSURE=10)
        await client.set_switch("Camera", "ABORT", ABORT="Off")
        client.assert_state("Camera", "EXPOSURE", "Busy")


@driver_test
async def test_what_clients_want_is_typed_and_complete():
    async with harness(Camera()) as client:
        await client.set_number("Camera", "FRAME", WIDTH=5)  # the height is the present one
        client.assert_state("Camera", "FRAME", "Ok")
        client.assert_values("Camera", "FRAME", WIDTH="5.0", HEIGHT="480.0")
        await client.set_number("Camera", "FRAME", HEIGHT=7)
        client.assert_state("Camera", "FRAME", "Alert")
        client.assert_values("Camera", "FRAME", HEIGHT="480.0")


@driver_test
async def test_saved_values_are_there_after_a_restart(home):
    async with harness(Camera()) as client:
        await client.set_number("Camera", "FRAME", WIDTH=100, HEIGHT=50)
        await client.advance(1)
    assert (home / ".indi" / "Camera_config.xml").exists()
    async with harness(Camera()) as client:
        await client.advance(1)
        client.assert_values("Camera", "FRAME", WIDTH="100.0", HEIGHT="50.0")
        assert client.driver["Camera"].frame.width == 100


@driver_test
async def test_a_failure_is_logged_with_its_place_and_told(caplog):
    class Broken(PropertyDevice):
        level = Number(3)
        ratio = Number(0, max=1)

        @level.command
        async def set_level(self, wanted):
            raise ZeroDivisionError("no scale")

        @ratio.command
        async def set_ratio(self, wanted):
            self.ratio = "much"

    async with harness(Broken("Broken")) as client:
        for name in ("LEVEL", "RATIO"):
            await client.set_number("Broken", name, {name: 1})
            client.assert_state("Broken", name, "Alert")
    traces = [record.exc_text for record in caplog.records if record.exc_info]
    assert len(traces) == 2
    assert 'raise ZeroDivisionError("no scale")' in traces[0]
    assert 'self.ratio = "much"' in traces[1]
    assert any("ZeroDivisionError: no scale" in text for text in client.texts)


def test_a_name_that_every_device_has_is_refused():
    with pytest.raises(DefinitionError, match="would hide"):

        class Shop(PropertyDevice):
            update = Number()


@driver_test
async def test_a_loop_that_fails_goes_on():
    class Meter(PropertyDevice):
        count = Number()
        calls = 0

        @every(1)
        async def measure(self):
            self.calls += 1
            if self.calls in (2, 3, 4):
                raise OSError("no answer")
            self.count = self.calls

    async with harness(Meter("Meter")) as client:
        await client.advance(5.5)
        assert client.texts.count("[ERROR] no answer") == 1
        client.assert_values("Meter", "COUNT", COUNT="6")


@driver_test
async def test_assigned_values_are_sent_soon_but_not_too_often():
    class Fast(PropertyDevice):
        count = Number()

        @every(0.001)
        async def run(self):
            self.count += 1

    async with harness(Fast("Fast")) as client:
        await client.advance(1)
        assert 9 <= client.property("Fast", "COUNT").updates <= 12
        assert float(client.property("Fast", "COUNT").values["COUNT"]) > 800


@driver_test
async def test_values_can_be_assigned_in_a_thread():
    class Slow(PropertyDevice):
        count = Number(writable=True)

        @every(10)
        async def work(self):
            await asyncio.to_thread(self.block)

        def block(self):
            self.count = 7
            self.info("done")

    async with harness(Slow("Slow")) as client:
        await client.wait_for("Slow", "COUNT", values={"COUNT": "7"})
        await client.advance(1)
        assert "[INFO] done" in client.texts


@driver_test
async def test_two_devices_of_a_class_share_nothing():
    async with harness(PowerBox(Box()), *[type("Other", (PowerBox,), {"__init__": _named})()]) as client:
        await client.advance(0.2)
        await client.set_switch("Other", "RELAYS", RELAY_1="On")
        await client.wait_for("Other", "RELAYS", state="Ok")
        client.assert_values("Power Box", "RELAYS", RELAY_1="Off")


def _named(self):
    PropertyDevice.__init__(self, "Other")
    self.box = Box()


@driver_test
async def test_hand_made_vectors_and_drivers_mix_with_declared_ones():
    class Mixed(PropertyDevice):
        level = Number(3, writable=True)

        async def devrxevent(self, event):
            if event.vectorname == "NOTE":
                event.vector["NOTE"] = event["NOTE"].upper()
                await event.vector.send_setVector(state="Ok")
            else:
                await super().devrxevent(event)

    class Driver(ipd.IPyDriver):
        async def rxevent(self, event):
            await self[event.devicename].devrxevent(event)

        async def hardware(self):
            await self["Mixed"].devhardware()

    note = ipd.TextVector("NOTE", "Note", "Main", "rw", "Idle", [ipd.TextMember("NOTE")])
    async with DriverHarness(Driver(Mixed("Mixed", [note]))) as client:
        await client.set_text("Mixed", "NOTE", NOTE="abc")
        client.assert_values("Mixed", "NOTE", NOTE="ABC")
        await client.set_number("Mixed", "LEVEL", LEVEL=5)
        client.assert_values("Mixed", "LEVEL", LEVEL="5.0")
        assert client.driver["Mixed"].level == 5


@driver_test
async def test_what_holds_up_the_loop_is_named(caplog):
    class Blocking(PropertyDevice):
        level = Number(3)

        @level.command
        async def set_level(self, wanted):
            await asyncio.sleep(0)
            time.sleep(0.3)  # noqa: ASYNC251 - the mistake that is to be found
            await asyncio.sleep(0)

    async with harness(Blocking("Blocking")) as client:
        with caplog.at_level(logging.WARNING):
            await client.set_number("Blocking", "LEVEL", LEVEL=1)
    text = next(record.getMessage() for record in caplog.records if "held up" in record.getMessage())
    assert "Blocking.set_level held up the event loop for 0.3 s, between test_own_properties.py:" in text


@driver_test
async def test_a_run_ends_at_once_whatever_runs_and_the_next_one_works():
    driver = make_driver(Camera())
    for _ in range(2):
        async with DriverHarness(driver) as client:
            await client.set_number("Camera", "EXPOSURE", EXPOSURE=50)
            await client.advance(1)
            client.assert_state("Camera", "EXPOSURE", "Busy")
            begin = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - begin < 1


def test_indidev_names_the_device_unless_the_author_does(monkeypatch):
    monkeypatch.setenv("INDIDEV", "Pier 2")
    assert Camera().devicename == "Pier 2"
    assert Camera("Mine").devicename == "Mine"
    monkeypatch.setenv("INDIDEV", "")
    assert Camera().devicename == "Camera"
    assert PowerBox.own_name() == "Power Box"


@pytest.mark.parametrize(
    ("declare", "says"),
    [
        (lambda: type("Wrong", (PropertyDevice,), {"level": Number("x")}), "finite number"),
        (lambda: type("Wrong", (PropertyDevice,), {"level": Number(format="two digits")}), "format"),
        (lambda: Switch().command(lambda self, on: None), "async def"),
        (lambda: type("Wrong", (Numbers,), {"text": Text()}), "is a Text, not a Number"),
        (lambda: Button().pressed(print), "async def"),
    ],
)
def test_mistakes_raise_where_they_are_made(declare, says):
    with pytest.raises((TypeError, ValueError), match=says):
        declare()


@driver_test
async def test_a_misspelt_attribute_is_noticed(caplog):
    async with harness(Thermostat(Room()), PowerBox(Box())) as client:
        thermostat, box = client.driver["Thermostat"], client.driver["Power Box"]
        thermostat.tarrget = 3
        thermostat.note = 3
        assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
            "Thermostat.tarrget is not a property: is 'target' meant?"
        ]
        with pytest.raises(AttributeError, match="no 'volts', but voltage, current"):
            box.power.volts = 3
        with pytest.raises(KeyError, match="no member 'RELAY_5'"):
            box.relays["RELAY_5"] = True
        with pytest.raises(AttributeError, match="assign its members"):
            box.power = {"VOLTAGE": 3}
        with pytest.raises(ValueError, match="finite number"):
            thermostat.room = "warm"
        with pytest.raises(TypeError, match="does not handle"):
            await thermostat.cancel(thermostat.control)
        with pytest.raises(TypeError, match="an attribute of the class"):
            await thermostat.show(thermostat.target)
        await thermostat.show(Thermostat.target, "Alert", "too warm")
        await client.settle()
        client.assert_state("Thermostat", "TARGET", "Alert")
        with pytest.raises(ValueError, match="is a Mode"):
            thermostat.mode = "OFF"


def test_a_driver_of_several_kinds():
    assert list(InstrumentDriver(Camera(), Thermostat(Room()))) == ["Camera", "Thermostat"]


@driver_test
async def test_a_value_that_cannot_be_sent_costs_no_other(caplog):
    class Noting(PropertyDevice):
        notes = Texts({"first": "", "second": ""})
        count = Number(0)

    driver = InstrumentDriver(Noting("D"))
    async with DriverHarness(driver) as h:
        driver["D"]["NOTES"].data["first"].membervalue = "x" * (2 << 20)  # the vector would have refused it
        driver["D"].notes["second"] = "y"
        await h.advance(1)
        driver["D"].count = 2
        await h.advance(1)
        h.assert_values("D", "COUNT", COUNT="2")
    assert "D NOTES cannot be sent" in caplog.text


def test_attributes_do_not_hide_methods():
    """They would be missed when something has failed."""
    with pytest.raises(DefinitionError, match=r"Meter\.error would hide a method"):
        type("Meter", (PropertyDevice,), {"error": None})

    class Fine(PropertyDevice):
        async def show(self, *args, **how):
            await super().show(*args, **how)

    device = Fine()
    with pytest.raises(AttributeError, match=r"Fine\.debug would hide a method"):
        device.debug = True
    device.debug = print


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@driver_test
async def test_a_reading_that_is_no_number_is_alert_until_there_is_one(value):
    class Panel(Numbers):
        left = Number()
        right = Number()

    class Box(PropertyDevice):
        one = Number(1.0, state="Ok")
        panel = Panel()
        more = Numbers({"A": "A", "B": "B"})

        def show_all(self, number):
            failed = []
            for assign in (
                lambda: setattr(self, "one", number),
                lambda: setattr(self.panel, "left", number),
                lambda: self.more.update({"A": 3.0, "B": number}),
            ):
                try:
                    assign()
                except ValueError as error:
                    failed.append(str(error))
            return failed

    box = Box("Box")
    async with harness(box) as client:
        assert box.show_all(2) == []
        before = {"ONE": "Ok", "PANEL": "Idle", "MORE": "Idle"}
        await client.advance(1)
        assert {name: client.property("Box", name).state for name in before} == before
        assert len(box.show_all(value)) == len(box.show_all(value)) == 3
        await client.advance(1)
        assert {client.property("Box", name).state for name in before} == {"Alert"}
        assert [box.one, box.panel.left, box.more["A"]] == [2, 2, 3]
        assert box.show_all(4) == []
        await client.advance(1)
        assert {name: client.property("Box", name).state for name in before} == before
        assert [box.one, box.panel.left, box.more["B"]] == [4, 4, 4]
