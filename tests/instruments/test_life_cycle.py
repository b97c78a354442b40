"""What clients rely on: connecting, disconnecting, what is defined when, options, settings, messages."""

import asyncio
import logging
import os
import pty
import termios
import threading
import xml.etree.ElementTree as ET

import pytest

from indipydriver.instruments import (
    GPS,
    Fix,
    Instrument,
    InstrumentDriver,
    Network,
    Number,
    Reading,
    Refused,
    Serial,
    WeatherStation,
    every,
    simulators,
    watched,
)
from indipydriver.protocol.messages import DefVector
from indipydriver.standard import Interface
from indipydriver.testing import DriverHarness, driver_test, run
from tests.instruments.sessions import GENERAL, Session


class Meter(Instrument):
    """An instrument that can be made to fail in every way."""

    interface = Interface.AUXILIARY
    patience = 20
    level = Number(1, min=0, max=9, saved=True)
    reading = Number()

    def __init__(self, name=None, **how):
        super().__init__(name, **how)
        self.calls = []
        self.fails = {}
        self.takes = {}

    async def step(self, what):
        self.calls.append(what)
        await asyncio.sleep(self.takes.get(what, 0))
        if (error := self.fails.get(what)) is not None:
            raise error

    async def connect(self):
        await self.step("connect")

    async def disconnect(self):
        await self.step("disconnect")

    async def poll(self):
        await self.step("poll")
        self.reading += 1

    @level.task
    async def set_level(self, wanted):
        await self.step("level")


@driver_test
async def test_before_the_connection_there_is_what_every_device_has():
    async with Session(Meter()) as client:
        defined = [name for what, name, _ in client.order() if what == "def"]
        assert defined == GENERAL
        client.assert_values("Meter", "CONNECTION", CONNECT="Off", DISCONNECT="On")
        client.assert_values(
            "Meter", "DRIVER_INFO", DRIVER_NAME="Meter", DRIVER_INTERFACE="32768", DRIVER_VERSION="1.0"
        )
        client.assert_state("Meter", "CONFIG_PROCESS", "Idle")
        assert client.device.calls == []


@driver_test
async def test_properties_are_defined_behind_the_ok_and_deleted_behind_the_idle():
    async with Session(Meter()) as client:
        client.messages.clear()
        await client.connect()
        await client.settle()
        order = client.order()
        ok = order.index(("set", "CONNECTION", "Ok"))
        assert order[ok + 1 : ok + 3] == [("def", "LEVEL", ""), ("def", "READING", "")]
        client.messages.clear()
        await client.press("CONNECTION", "DISCONNECT")
        await client.advance(3)
        assert client.order() == [("set", "CONNECTION", "Idle"), ("del", "LEVEL", ""), ("del", "READING", "")]
        client.assert_values("Meter", "CONNECTION", CONNECT="Off", DISCONNECT="On")
        await client.connect()
        await client.wait_for("Meter", "LEVEL")
        assert [call for call in client.device.calls if call != "poll"] == ["connect", "disconnect", "connect"]


@driver_test
async def test_a_failed_connection_is_alert_with_the_reason():
    async with Session(Meter()) as client:
        client.device.fails["connect"] = OSError("no such port")
        await client.press("CONNECTION", "CONNECT")
        await client.wait_for("Meter", "CONNECTION", state="Alert")
        client.assert_values("Meter", "CONNECTION", CONNECT="Off", DISCONNECT="On")
        assert client.texts == ["[ERROR] no such port"]
        assert not client.property("Meter", "LEVEL").defined
        client.device.fails.clear()
        await client.connect()


@driver_test
async def test_clients_repeat_connect():
    async with Session(Meter()) as client:
        client.device.takes["connect"] = 5
        for _ in range(4):
            await client.press("CONNECTION", "CONNECT")
            await client.advance(1)
            client.assert_state("Meter", "CONNECTION", "Busy")
        await client.wait_for("Meter", "CONNECTION", state="Ok", timeout=5)
        await client.press("CONNECTION", "CONNECT")
        client.assert_state("Meter", "CONNECTION", "Ok")
        assert client.device.calls.count("connect") == 1
        assert sum(isinstance(m, DefVector) and m.name == "LEVEL" for m in client.messages) == 1


@driver_test
async def test_disconnect_while_it_connects():
    async with Session(Meter()) as client:
        client.device.takes["connect"] = 5
        await client.press("CONNECTION", "CONNECT")
        await client.advance(1)
        await client.press("CONNECTION", "DISCONNECT")
        client.assert_state("Meter", "CONNECTION", "Idle")
        await client.advance(10)
        client.assert_state("Meter", "CONNECTION", "Idle")
        assert not client.property("Meter", "LEVEL").defined
        await client.press("CONNECTION", "DISCONNECT")
        client.assert_state("Meter", "CONNECTION", "Idle")


@driver_test
async def test_a_connection_that_hangs_fails_in_the_end():
    async with Session(Meter()) as client:
        client.device.takes["connect"] = 10**6
        await client.press("CONNECTION", "CONNECT")
        await client.wait_for("Meter", "CONNECTION", state="Alert", timeout=21)
        assert "no progress for 20 s" in client.texts[-1]


@driver_test
async def test_a_disconnection_that_hangs_or_fails_ends_nevertheless():
    async with Session(Meter()) as client:
        await client.connect()
        client.device.takes["disconnect"] = 10**6
        await client.press("CONNECTION", "DISCONNECT")
        await client.wait_for("Meter", "CONNECTION", state="Idle", timeout=21)
        client.device.takes.clear()
        client.device.fails["disconnect"] = RuntimeError("stuck")
        await client.connect()
        await client.press("CONNECTION", "DISCONNECT")
        await client.wait_for("Meter", "CONNECTION", state="Idle")
        client.assert_deleted("Meter", "LEVEL")


@driver_test
async def test_a_disconnection_may_be_refused():
    async with Session(Meter()) as client:
        await client.connect()
        client.device.fails["disconnect"] = Refused("The roof is open")
        await client.press("CONNECTION", "DISCONNECT")
        await client.wait_for("Meter", "CONNECTION", state="Alert", values={"CONNECT": "On"})
        assert "[ERROR] The roof is open" in client.texts
        assert client.property("Meter", "LEVEL").defined
        await client.advance(5)
        assert float(client.values("READING")["READING"]) > 3
        client.device.fails.clear()
        await client.press("CONNECTION", "DISCONNECT")
        await client.wait_for("Meter", "CONNECTION", state="Idle")


@pytest.mark.parametrize("where", ["poll", "level"])
@driver_test
async def test_hardware_that_is_lost(where):
    async with Session(Meter()) as client:
        await client.connect()
        await client.advance(2.5)
        client.device.fails[where] = ConnectionResetError("cable pulled")
        await client.set_number("Meter", "LEVEL", LEVEL=3)
        await client.wait_for("Meter", "CONNECTION", state="Alert", values={"CONNECT": "Off"}, timeout=3)
        await client.settle()
        client.assert_deleted("Meter", "LEVEL")
        assert "[ERROR] The connection is lost: cable pulled" in client.texts
        assert client.device.calls.count("disconnect") == 1
        client.device.fails.clear()
        await client.connect()


@driver_test
async def test_polling_goes_on_after_a_failure_and_its_period_can_be_changed():
    async with Session(Meter()) as client:
        await client.connect()
        client.device.fails["poll"] = OSError("no answer")
        await client.advance(3)
        assert client.texts.count("[ERROR] no answer") == 1
        client.assert_state("Meter", "CONNECTION", "Ok")
        client.device.fails.clear()
        await client.set_number("Meter", "POLLING_PERIOD", PERIOD_MS=100)
        client.assert_state("Meter", "POLLING_PERIOD", "Ok")
        await client.advance(2)
        assert float(client.values("READING")["READING"]) > 18
        client.device.takes["poll"] = 10**6
        await client.advance(25)
        assert "[ERROR] poll() has not returned for 20 s" in client.texts


@driver_test
async def test_commands_are_cancelled_by_the_end_of_the_connection():
    async with Session(Meter()) as client:
        await client.connect()
        client.device.takes["level"] = 10
        await client.set_number("Meter", "LEVEL", LEVEL=3)
        await client.advance(1)
        client.assert_state("Meter", "LEVEL", "Busy")
        await client.press("CONNECTION", "DISCONNECT")
        await client.connect()
        await client.wait_for("Meter", "LEVEL", state="Idle")
        client.assert_values("Meter", "LEVEL", LEVEL="1")


@driver_test
async def test_a_command_that_hangs_is_alert_in_the_end():
    async with Session(Meter()) as client:
        await client.connect()
        await client.settle()
        client.device.takes["level"] = 10**6
        await client.set_number("Meter", "LEVEL", LEVEL=3)
        seen = await client.wait_for("Meter", "LEVEL", state="Alert", timeout=100)
        assert "no progress" in seen.message


@driver_test
async def test_loops_run_while_it_is_connected():
    class Clock(Instrument):
        ticks = Number()

        @every(1)
        async def tick(self):
            self.ticks += 1

    async with Session(Clock()) as client:
        await client.advance(5)
        assert client.device.ticks == 0
        await client.connect()
        await client.advance(3.5)
        assert client.device.ticks == 4
        await client.press("CONNECTION", "DISCONNECT")
        await client.advance(5)
        assert client.device.ticks == 4


@driver_test
async def test_debugging_brings_the_levels_and_messages():
    async with Session(Meter()) as client:
        client.device.debug("hidden")
        await client.press("DEBUG", "ENABLE")
        client.assert_state("Meter", "DEBUG", "Ok")
        assert all(client.property("Meter", name).defined for name in ("DEBUG_LEVEL", "LOGGING_LEVEL", "LOG_OUTPUT"))
        await client.set_switch("Meter", "LOGGING_LEVEL", LOG_DEBUG="On", LOG_WARNING="Off")
        client.device.debug("details")
        client.device.warning("a warning")
        client.device.error("an error")
        await client.settle()
        assert client.texts == ["[DEBUG] details", "[ERROR] an error"]
        await client.press("DEBUG", "DISABLE")
        client.assert_deleted("Meter", "LOGGING_LEVEL")


@driver_test
async def test_simulation_only_where_there_is_one():
    class Simulated(Meter):
        can_simulate = True

    async with Session(Simulated()) as client:
        assert not client.device.simulated
        await client.press("SIMULATION", "ENABLE")
        client.assert_state("Simulated", "SIMULATION", "Ok")
        assert client.device.simulated
        await client.connect()
        await client.press("SIMULATION", "DISABLE")
        client.assert_state("Simulated", "SIMULATION", "Alert")
        assert client.device.simulated
    assert Meter().simulated is False


@driver_test
async def test_settings_are_saved_loaded_and_purged(home):
    path = home / ".indi" / "Meter_config.xml"
    async with Session(Meter()) as client:
        await client.connect()
        await client.set_number("Meter", "LEVEL", LEVEL=7)
        await client.wait_for("Meter", "LEVEL", state="Ok")
        await client.set_number("Meter", "POLLING_PERIOD", PERIOD_MS=500)
        await client.advance(1)
        await client.press("CONFIG_PROCESS", "CONFIG_SAVE")
        await client.wait_for("Meter", "CONFIG_PROCESS", state="Ok", values={"CONFIG_SAVE": "Off"})
        names = [vector.get("name") for vector in ET.parse(path).getroot()]
        assert sorted(names) == ["DEBUG", "DEBUG_LEVEL", "LEVEL", "LOGGING_LEVEL", "LOG_OUTPUT", "POLLING_PERIOD"]
    async with Session(Meter()) as client:
        client.assert_values("Meter", "POLLING_PERIOD", PERIOD_MS="500.0")
        await client.connect()
        await client.wait_for("Meter", "LEVEL", values={"LEVEL": "7.0"})
        client.device.level = 1
        await client.press("CONFIG_PROCESS", "CONFIG_LOAD")
        await client.wait_for("Meter", "CONFIG_PROCESS", state="Ok")
        await client.wait_for("Meter", "LEVEL", values={"LEVEL": "7.0"})
        assert [t for t in client.texts if "config" in t] == [
            "[INFO] Loading device configuration...",
            "[INFO] Device configuration applied.",
        ]
        await client.press("CONFIG_PROCESS", "CONFIG_PURGE")
        await client.wait_for("Meter", "CONFIG_PROCESS", state="Ok")
        assert not path.exists()
        await client.press("CONFIG_PROCESS", "CONFIG_LOAD")
        client.assert_state("Meter", "CONFIG_PROCESS", "Ok")
        assert client.texts[-1] == "[INFO] There is no saved configuration."


@driver_test
async def test_what_else_is_in_the_file_of_settings_survives(home):
    path = home / ".indi" / "Meter_config.xml"
    path.parent.mkdir()
    path.write_text(
        "<INDIDriver>\n<newSwitchVector device='Meter' name='GONE'>\n  <oneSwitch name='A'>\n      On\n  </oneSwitch>\n"
        "</newSwitchVector>\n<newNumberVector device='Other' name='LEVEL'><oneNumber name='LEVEL'>3</oneNumber>"
        "</newNumberVector>\n<newNumberVector device='Meter' name='LEVEL'>\n  <oneNumber name='LEVEL'>\n      99\n"
        "  </oneNumber>\n</newNumberVector>\n</INDIDriver>\n"
    )
    async with Session(Meter()) as client:
        await client.connect()
        await client.press("CONFIG_PROCESS", "CONFIG_LOAD")  # 99 is out of range, GONE is not there
        await client.wait_for("Meter", "CONFIG_PROCESS", state="Ok")
        assert client.device.level == 1
        await client.set_number("Meter", "LEVEL", LEVEL=4)
        await client.wait_for("Meter", "LEVEL", state="Ok")
        await client.advance(1)
    root = ET.parse(path).getroot()
    values = {(v.get("device"), v.get("name")): v[0].text.strip() for v in root}
    assert values["Meter", "GONE"] == "On"
    assert values["Other", "LEVEL"] == "3"
    assert values["Meter", "LEVEL"] == "4"
    assert path.with_name(path.name + ".default").exists()
    assert not [name for name in os.listdir(path.parent) if name.startswith(".")]


@driver_test
async def test_a_file_that_is_no_settings_is_reported_and_kept_aside(home):
    path = home / ".indi" / "Meter_config.xml"
    path.parent.mkdir()
    path.write_text("<INDIDriver><newText")
    async with Session(Meter()) as client:
        await client.connect()
        await client.press("CONFIG_PROCESS", "CONFIG_LOAD")
        await client.wait_for("Meter", "CONFIG_PROCESS", state="Alert")
        assert any("cannot be read" in text for text in client.texts)
        await client.press("CONFIG_PROCESS", "CONFIG_SAVE")
        await client.wait_for("Meter", "CONFIG_PROCESS", state="Ok")
    assert ET.parse(path).getroot().tag == "INDIDriver"
    assert path.with_name(path.name + ".unreadable").read_text() == "<INDIDriver><newText"


@driver_test
async def test_indiconfig_names_the_file(home, monkeypatch):
    monkeypatch.setenv("INDICONFIG", str(home / "pier.xml"))
    async with Session(Meter()) as client:
        await client.press("CONFIG_PROCESS", "CONFIG_SAVE")
        await client.wait_for("Meter", "CONFIG_PROCESS", state="Ok")
    assert ET.parse(home / "pier.xml").getroot().tag == "INDIDriver"
    assert not (home / ".indi").exists()


@driver_test
async def test_a_run_ends_with_a_disconnection_and_the_next_begins_disconnected():
    driver = InstrumentDriver(Meter())
    for count in (1, 2):
        async with DriverHarness(driver) as client:
            client.assert_values("Meter", "CONNECTION", CONNECT="Off", DISCONNECT="On")
            assert not client.property("Meter", "LEVEL").defined
            await client.set_switch("Meter", "CONNECTION", CONNECT="On")
            await client.wait_for("Meter", "LEVEL")
        assert driver["Meter"].calls.count("disconnect") == count


@driver_test
async def test_commands_for_what_is_not_there_are_not_handled():
    async with Session(Meter()) as client:
        await client.set_number("Meter", "LEVEL", LEVEL=3)
        await client.set_switch("Meter", "CONNECTION", CONNECT="Off", DISCONNECT="Off")
        client.assert_state("Meter", "CONNECTION", "Idle")
        assert client.device.calls == []


class Wired(Instrument):
    connections = (Serial(), Network("127.0.0.1", 0))

    async def connect(self):
        self.answer = await self.line.ask(b"ID?", b"#", timeout=2)


@driver_test
async def test_the_ways_of_connecting_can_be_chosen():
    async with Session(Wired()) as client:
        client.assert_values("Wired", "DEVICE_PORT", PORT="/dev/ttyUSB0")
        client.assert_values("Wired", "DEVICE_BAUD_RATE", {"9600": "On"})
        assert client.property("Wired", "DRIVER_INFO").definition.group == "Connection"
        assert not client.property("Wired", "DEVICE_ADDRESS").defined
        await client.press("CONNECTION_MODE", "CONNECTION_TCP")
        client.assert_state("Wired", "CONNECTION_MODE", "Ok")
        client.assert_deleted("Wired", "DEVICE_PORT")
        await client.press("CONNECTION", "CONNECT")
        await client.wait_for("Wired", "CONNECTION", state="Alert")
        assert client.texts[-1] == "[ERROR] '' is not a port: use a number from 1 to 65535"


def test_a_connection_over_the_network(home):
    async def answer(reader, writer):
        while (question := await reader.read(100)) and question != b"bye":
            writer.write(b"meter " + question + b"#")
        writer.close()

    async def session():
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server, Session(Wired()) as client:
            await client.wait_for("Wired", "CONNECTION_MODE")
            await client.press("CONNECTION_MODE", "CONNECTION_TCP")
            await client.set_text("Wired", "DEVICE_ADDRESS", ADDRESS="127.0.0.1", PORT=str(port))
            await client.connect()
            device = client.device
            assert device.answer == b"meter ID?"
            both = await asyncio.gather(device.line.ask(b"a", b"#"), device.line.ask(b"b", b"#"))
            assert both == [b"meter a", b"meter b"]
            with pytest.raises(TimeoutError):
                await device.line.ask(b"x", b"$", timeout=0.05)
            with pytest.raises(ConnectionError):
                await device.line.ask(b"bye", b"#")
            await client.press("CONNECTION", "DISCONNECT")
            await client.wait_for("Wired", "CONNECTION", state="Idle", timeout=5)
        assert f"\n      {port}\n" in (home / ".indi" / "Wired_config.xml").read_text()

    run(session, real_time=True)


class Slow(Wired):
    """Such as a GPS receiver with NMEA 0183."""

    connections = (Serial(baud=4800),)


def test_a_serial_port_with_a_rate_that_libindi_does_not_offer(home):
    async def session():
        ours, theirs = pty.openpty()
        loop = asyncio.get_running_loop()
        loop.add_reader(ours, lambda: os.write(ours, b"meter " + os.read(ours, 100) + b"#"))
        try:
            async with Session(Slow()) as client:
                rates = client.property("Slow", "DEVICE_BAUD_RATE").values
                assert list(rates) == ["4800", "9600", "19200", "38400", "57600", "115200", "230400"]
                assert rates["4800"] == "On"
                await client.set_text("Slow", "DEVICE_PORT", PORT=os.ttyname(theirs))
                await client.connect()
                assert client.device.answer == b"meter ID?"
                assert termios.tcgetattr(theirs)[4] == termios.B4800
        finally:
            loop.remove_reader(ours)
            os.close(ours)
            os.close(theirs)

    run(session, real_time=True)
    for wrong in ("9600", 0, 9600.0):
        with pytest.raises(ValueError, match="baud is a number such as 9600, not"):
            Serial(baud=wrong)


def test_a_connection_over_a_serial_port(home):
    async def session():
        ours, theirs = pty.openpty()
        loop = asyncio.get_running_loop()
        loop.add_reader(ours, lambda: os.write(ours, b"meter " + os.read(ours, 100) + b"#"))
        try:
            async with Session(Wired()) as client:
                await client.set_text("Wired", "DEVICE_PORT", PORT=os.ttyname(theirs))
                await client.press("DEVICE_BAUD_RATE", "57600")
                await client.connect()
                assert client.device.answer == b"meter ID?"
                assert await client.device.line.ask(b"AZ", b"#") == b"meter AZ"
                await client.press("CONNECTION", "DISCONNECT")
                await client.wait_for("Wired", "CONNECTION", state="Idle", timeout=5)
                await client.connect()
        finally:
            loop.remove_reader(ours)
            os.close(ours)
            os.close(theirs)

    run(session, real_time=True)


@driver_test
async def test_a_port_that_is_not_there(caplog):
    async with Session(Wired()) as client:
        await client.set_text("Wired", "DEVICE_PORT", PORT="/dev/no-such-port")
        await client.press("CONNECTION", "CONNECT")
        await client.wait_for("Wired", "CONNECTION", state="Alert")
        assert client.texts[-1] == "[ERROR] /dev/no-such-port cannot be opened: No such file or directory"
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.getMessage() == "Wired: /dev/no-such-port cannot be opened: No such file or directory"
    assert record.exc_info is None


@driver_test
async def test_failures_of_the_author_are_in_the_log(caplog):
    async with Session(Meter()) as client:
        client.device.fails["connect"] = ZeroDivisionError("oops")
        await client.press("CONNECTION", "CONNECT")
        await client.wait_for("Meter", "CONNECTION", state="Alert")
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR and record.exc_info]
    assert "Meter.connect of Meter failed" in record.getMessage()


def test_all_instruments_run_again_in_another_event_loop():
    kinds = [getattr(simulators, name) for name in simulators.__all__ if name.endswith("Simulator")]
    driver = InstrumentDriver(*(kind() for kind in kinds if kind is not simulators.Simulator))

    async def session():
        async with DriverHarness(driver) as client:
            for name in driver:
                await client.set_switch(name, "CONNECTION", CONNECT="On")
            for name in driver:
                await client.wait_for(name, "CONNECTION", state="Ok", timeout=5)
            await client.set_number("CCD Simulator", "CCD_TEMPERATURE", CCD_TEMPERATURE_VALUE=18)
            await client.wait_for("CCD Simulator", "CCD_TEMPERATURE", state="Ok", timeout=30)
            await client.set_switch("Weather Simulator", "WEATHER_REFRESH", REFRESH="On")
            await client.wait_for("Weather Simulator", "WEATHER_STATUS", state="Ok", timeout=5)
            await client.wait_for("GPS Simulator", "GPS_REFRESH", state="Ok", timeout=15)
            await client.set_number("CCD Simulator", "CCD_TEMPERATURE", CCD_TEMPERATURE_VALUE=0)
            await client.advance(5)

    for _ in range(3):
        run(session)


@driver_test
async def test_a_coroutine_that_never_returns_is_named(caplog, monkeypatch):
    """It holds up the event loop, so only another thread can tell."""
    monkeypatch.setattr(watched, "STUCK", 0.0)

    class Blocking(Meter):
        async def connect(self):
            looking = threading.Thread(target=watched._watchdog.look)
            looking.start()
            looking.join()

    with caplog.at_level(logging.ERROR):
        async with Session(Blocking()) as client:
            await client.connect()
    text = next(record.getMessage() for record in caplog.records if "still does" in record.getMessage())
    assert "Blocking.connect has held up the event loop" in text
    assert "test_life_cycle.py:" in text
    assert "(connect)" in text


@pytest.mark.parametrize("kind", ["every", "weather", "gps", "poll", "all"])
@driver_test
async def test_the_loss_of_the_hardware_is_reported_once(kind):
    class Lost:
        is_lost = False

        def look(self):
            if self.is_lost:
                raise ConnectionError("gone")

    class Periodic(Lost, Instrument):
        @every(1)
        async def work(self):
            self.look()

    class Station(Lost, WeatherStation):
        readings = (Reading("RAIN", "Rain", 0, 1),)
        period = 1

        async def read_weather(self):
            self.look()
            return {"RAIN": 0}

    class Receiver(Lost, GPS):
        async def read_fix(self):
            self.look()
            return Fix(50, 11)

    class Polled(Lost, Instrument):
        async def poll(self):
            self.look()

    class Everything(Periodic, Station, Polled):
        pass

    kinds = {"every": Periodic, "weather": Station, "gps": Receiver, "poll": Polled, "all": Everything}
    device = kinds[kind]()
    async with Session(device) as client:
        await client.connect()
        if kind == "gps":
            await client.number("GPS_REFRESH_PERIOD", PERIOD=1)
        await client.advance(3)
        device.is_lost = True
        await client.until("CONNECTION", "Alert", 5)
        assert [text for text in client.texts if "gone" in text] == ["[ERROR] The connection is lost: gone"]
