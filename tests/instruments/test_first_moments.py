"""What clients, authors and files say before a device runs, and what is left of a run when the next one begins."""

import asyncio
import threading

import pytest

import indipydriver as ipd
from indipydriver.instruments import Focuser, InstrumentDriver, Network, Number, PropertyDevice, Switch, Text
from indipydriver.instruments.settings import Settings
from indipydriver.instruments.simulators import RollOffSimulator
from indipydriver.testing import DriverHarness, driver_test, run


class Box(PropertyDevice):
    firmware = Text()
    level = Number(0, writable=True)
    relay = Switch()
    target = Number(0, min=0, max=10)

    @relay.command
    async def switch_relay(self, on):
        pass

    @target.task
    async def go_to(self, wanted):
        await asyncio.sleep(1000)


class MyFocuser(Focuser):
    maximum = 1000
    connections = (Network("default.example", 1),)

    def __init__(self):
        super().__init__("F")
        self.polls = 0
        self.used = []

    async def move_to(self, target):
        pass

    async def poll(self):
        self.polls += 1


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    async def open_line(self):
        self.used.append(self["DEVICE_ADDRESS"]["ADDRESS"])

    monkeypatch.setattr(MyFocuser, "_open_line", open_line)


class Slow(InstrumentDriver):
    """It opens a library before its devices run."""

    async def hardware(self):
        await asyncio.sleep(2)
        if "Box" in self:
            self["Box"].firmware = "1.2"
        await super().hardware()


@driver_test
async def test_what_comes_before_a_device_runs_is_answered_and_sent():
    async with DriverHarness(Slow(Box("Box"))) as client:
        await client.set_number("Box", "LEVEL", LEVEL=5)
        client.assert_state("Box", "LEVEL", "Ok")
        client.assert_values("Box", "LEVEL", LEVEL="5.0")
        await client.set_switch("Box", "RELAY", RELAY="On")
        await client.wait_for("Box", "RELAY", state="Ok", timeout=10)
        await client.advance(5)
        client.assert_values("Box", "FIRMWARE", FIRMWARE="1.2")


@driver_test
async def test_an_instrument_can_be_connected_before_it_runs():
    focuser = MyFocuser()
    async with DriverHarness(Slow(focuser)) as client:
        await client.set_switch("F", "CONNECTION", CONNECT="On")
        await client.wait_for("F", "CONNECTION", state="Ok", timeout=10)
        await client.advance(10)
        assert focuser.polls > 5


def test_nothing_is_said_of_a_device_that_has_never_run():
    async def show():
        await Box("Box").show(Box.level, "Ok")
        device = Box("Box")
        driver = InstrumentDriver(device)
        device.info("hello")
        await device.show(Box.level, "Alert")
        async with DriverHarness(driver) as client:
            await client.advance(1)
            client.assert_state("Box", "LEVEL", "Alert")
            assert "[INFO] hello" in client.texts

    run(show)


@pytest.fixture
def slow_disk(monkeypatch):
    """Reading the settings takes until this is set."""
    may_read = threading.Event()
    load = Settings.load

    def slow(self, path=None):
        assert may_read.wait(30)
        return load(self, path)

    monkeypatch.setattr(Settings, "load", slow)
    return may_read


def test_the_saved_port_counts_however_soon_a_client_connects(home, slow_disk):
    settings = home / ".indi" / "F_config.xml"
    settings.parent.mkdir(exist_ok=True)
    settings.write_text(
        "<INDIDriver><newTextVector device='F' name='DEVICE_ADDRESS'>"
        "<oneText name='ADDRESS'>saved.example</oneText><oneText name='PORT'>2</oneText></newTextVector></INDIDriver>"
    )

    async def test():
        focuser = MyFocuser()
        async with DriverHarness(InstrumentDriver(focuser)) as client:
            await client.set_switch("F", "CONNECTION", CONNECT="On")
            slow_disk.set()
            await client.wait_for("F", "CONNECTION", state="Ok", timeout=30)
        assert focuser.used == ["saved.example"]

    run(test, real_time=True)


class Thermostat(PropertyDevice):
    target = Number(18, min=5, max=30, saved=True)
    limit = Number(1, saved=True)


def test_what_a_client_sets_at_once_is_not_set_back(home, slow_disk):
    settings = home / ".indi" / "T_config.xml"
    settings.parent.mkdir(exist_ok=True)
    settings.write_text(
        "<INDIDriver>"
        "<newNumberVector device='T' name='TARGET'><oneNumber name='TARGET'>7</oneNumber></newNumberVector>"
        "<newNumberVector device='T' name='LIMIT'><oneNumber name='LIMIT'>7</oneNumber></newNumberVector>"
        "</INDIDriver>"
    )

    async def test():
        async with DriverHarness(InstrumentDriver(Thermostat("T"))) as client:
            await client.set_number("T", "TARGET", TARGET=20)
            slow_disk.set()
            await client.wait_for("T", "LIMIT", state="Ok", timeout=30)
            client.assert_values("T", "LIMIT", LIMIT="7.0")
            client.assert_values("T", "TARGET", TARGET="20.0")

    run(test, real_time=True)


def test_a_disk_that_hangs_keeps_nobody_from_connecting(home, slow_disk, monkeypatch):
    monkeypatch.setattr("indipydriver.instruments.saving.LONGEST_LOAD", 0.05)

    async def test():
        try:
            focuser = MyFocuser()
            async with DriverHarness(InstrumentDriver(focuser)) as client:
                await client.set_switch("F", "CONNECTION", CONNECT="On")
                for _ in range(3000):
                    if focuser.used:
                        break
                    await asyncio.sleep(0.01)
                assert focuser.used == ["default.example"]
                assert any("takes too long" in text for text in client.texts)
        finally:
            slow_disk.set()

    run(test, real_time=True)


def test_a_disk_that_hangs_keeps_nobody_from_closing_a_roof(home, monkeypatch):
    may_read = threading.Event()

    def hang(device):
        assert may_read.wait(30)

    monkeypatch.setattr("indipydriver.instruments.parking.read_park_data", hang)
    monkeypatch.setattr("indipydriver.instruments.parking.LONGEST_LOAD", 0.05)

    async def test():
        try:
            roof = RollOffSimulator()
            async with DriverHarness(InstrumentDriver(roof)) as client:
                await client.set_switch(roof.devicename, "CONNECTION", CONNECT="On")
                await client.wait_for(roof.devicename, "DOME_PARK", state="Ok", timeout=25)
                assert any("takes too long" in text for text in client.texts)
        finally:
            may_read.set()

    run(test, real_time=True)


def test_what_ran_is_not_busy_in_the_next_run():
    driver = InstrumentDriver(Box("Box"))

    async def first():
        async with DriverHarness(driver) as client:
            await client.set_number("Box", "TARGET", TARGET=5)
            client.assert_state("Box", "TARGET", "Busy")

    async def second():
        async with DriverHarness(driver) as client:
            client.assert_state("Box", "TARGET", "Idle")

    run(first)
    run(second)


@driver_test
async def test_a_driver_of_ones_own_need_not_hand_over_at_once():
    class Own(ipd.IPyDriver):
        async def hardware(self):
            await asyncio.sleep(1)
            self["Box"].firmware = "3"
            await asyncio.sleep(1)
            await self["Box"].devhardware()

        async def rxevent(self, event):
            await self["Box"].devrxevent(event)

    async with DriverHarness(Own(Box("Box"))) as client:
        await client.set_number("Box", "LEVEL", LEVEL=5)
        client.assert_state("Box", "LEVEL", "Ok")
        await client.advance(5)
        client.assert_values("Box", "FIRMWARE", FIRMWARE="3")
