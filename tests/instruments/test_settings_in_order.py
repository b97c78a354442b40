"""Settings are saved and restored beside commands, which count in the order in which clients send them."""

import asyncio

from indipydriver.instruments import Camera, Mount
from indipydriver.instruments.simulators import CCDSimulator, FocuserSimulator, TelescopeSimulator
from indipydriver.protocol.frame import Batch
from indipydriver.protocol.framer import Framer
from indipydriver.testing import driver_test
from tests.instruments.sessions import Session

CONFIG = "CONFIG_PROCESS"


def command(client, kind, vector, **values):
    """The text of a command."""
    members = "".join(f'<one{kind} name="{name}">{value}</one{kind}>' for name, value in values.items())
    return f'<new{kind}Vector device="{client.name}" name="{vector}">{members}</new{kind}Vector>'


def send_together(client, *commands):
    """Send some commands back to back."""
    client._link.write(Batch(list(Framer().feed("".join(commands).encode()))))
    client._link.flush()


@driver_test
async def test_what_is_set_while_settings_are_loaded_counts():
    async with Session(TelescopeSimulator()) as client:
        device = await client.connect()
        await client.number("GEOGRAPHIC_COORD", LAT=50, LONG=10, ELEV=0)
        await client.text("ACTIVE_DEVICES", ACTIVE_GPS="A")
        await client.press(CONFIG, "CONFIG_SAVE")
        send_together(
            client,
            command(client, "Switch", CONFIG, CONFIG_LOAD="On"),
            command(client, "Number", "GEOGRAPHIC_COORD", LAT=-30, LONG=290, ELEV=2400),
            command(client, "Text", "ACTIVE_DEVICES", ACTIVE_GPS="B"),
        )
        await client.advance(1)
        assert device.location == (-30, 290, 2400)
        assert client.values("ACTIVE_DEVICES")["ACTIVE_GPS"] == "B"
    async with Session(TelescopeSimulator()) as client:
        device = await client.connect()
        await client.press(CONFIG, "CONFIG_LOAD")
        assert device.location == (-30, 290, 2400)


@driver_test
async def test_what_was_set_just_before_settings_are_loaded_is_in_the_file():
    async with Session(TelescopeSimulator()) as client:
        await client.connect()
        await client.press(CONFIG, "CONFIG_SAVE")
        send_together(
            client,
            command(client, "Text", "ACTIVE_DEVICES", ACTIVE_GPS="B"),
            command(client, "Switch", CONFIG, CONFIG_LOAD="On"),
        )
        await client.advance(1)
        assert client.values("ACTIVE_DEVICES")["ACTIVE_GPS"] == "B"


@driver_test
async def test_what_was_set_just_before_the_settings_are_removed_does_not_come_back(home):
    async with Session(TelescopeSimulator()) as client:
        await client.connect()
        await client.press(CONFIG, "CONFIG_SAVE")
        send_together(
            client,
            command(client, "Text", "ACTIVE_DEVICES", ACTIVE_GPS="B"),
            command(client, "Switch", CONFIG, CONFIG_PURGE="On"),
        )
        await client.advance(1)
        assert not (home / ".indi" / "Telescope Simulator_config.xml").exists()


@driver_test
async def test_a_driver_that_ends_has_saved_what_was_set():
    async with Session(TelescopeSimulator()) as client:
        await client.connect()
        await client.press(CONFIG, "CONFIG_SAVE")
        send_together(
            client,
            command(client, "Text", "ACTIVE_DEVICES", ACTIVE_GPS="A"),
            command(client, "Switch", "DOME_POLICY", DOME_LOCKS="On"),
            command(client, "Text", "ACTIVE_DEVICES", ACTIVE_GPS="B"),
        )
        await client.until("ACTIVE_DEVICES", "Ok", 1, ACTIVE_GPS="B")
    async with Session(TelescopeSimulator()) as client:
        assert client.values("ACTIVE_DEVICES")["ACTIVE_GPS"] == "B"
        assert client.on("DOME_POLICY") == ["DOME_LOCKS"]


@driver_test
async def test_what_is_chosen_last_counts_for_what_moves_behind_it():
    class Slow(Mount):
        rates = ()

        async def slew_to(self, ra, dec):
            pass

        async def start_motion(self, direction, rate):
            self.rates += (rate,)

        async def stop_motion(self, direction):
            pass

    async with Session(Slow()) as client:
        device = await client.connect()
        send_together(
            client,
            *(command(client, "Switch", "TELESCOPE_SLEW_RATE", **{rate: "On"}) for rate in ("4x", "3x", "2x", "1x")),
            command(client, "Switch", "TELESCOPE_MOTION_NS", MOTION_NORTH="On"),
        )
        await client.advance(1)
        assert device.rates == (0,)


@driver_test
async def test_the_frame_that_is_chosen_last_is_exposed():
    class Small(Camera):
        width = height = 64
        bits = 8
        has_subframes = True

        async def expose(self, shot):
            self.shot = shot
            return bytes(shot.columns * shot.rows)

    async with Session(Small()) as client:
        device = await client.connect()
        send_together(
            client,
            command(client, "Number", "CCD_FRAME", X=0, Y=0, WIDTH=64, HEIGHT=64),
            command(client, "Number", "CCD_FRAME", X=10, Y=10, WIDTH=5, HEIGHT=6),
            command(client, "Number", "CCD_EXPOSURE", CCD_EXPOSURE_VALUE=1),
        )
        await client.advance(5)
        assert (device.shot.x, device.shot.y, device.shot.width, device.shot.height) == (10, 10, 5, 6)


@driver_test
async def test_a_frame_behind_a_reset_is_not_reset():
    async with Session(CCDSimulator()) as client:
        await client.connect()
        send_together(
            client,
            command(client, "Switch", "CCD_FRAME_RESET", RESET="On"),
            command(client, "Number", "CCD_FRAME", X=100, Y=100, WIDTH=50, HEIGHT=50),
        )
        await client.advance(1)
        assert client.values("CCD_FRAME") == {"X": "100", "Y": "100", "WIDTH": "50", "HEIGHT": "50"}


@driver_test
async def test_settings_are_restored_though_the_device_is_still_being_defined(monkeypatch):
    async with Session(FocuserSimulator()) as client:
        await client.connect()
        await client.number("FOCUS_MAX", FOCUS_MAX_VALUE=60000)
    async with Session(FocuserSimulator()) as client:
        vector = client.device["FOCUS_MOTION"]
        define = vector.send_defVector

        async def slowly(*args, **how):
            await asyncio.sleep(0.2)
            await define(*args, **how)

        monkeypatch.setattr(vector, "send_defVector", slowly)
        await client.press("CONNECTION", "CONNECT")
        await client.until("CONNECTION", "Ok", 5)
        await client.press(CONFIG, "CONFIG_LOAD")
        await client.until(CONFIG, "Ok", 5)
        assert client.value("FOCUS_MAX") == 60000
