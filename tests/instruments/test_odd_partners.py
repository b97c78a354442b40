"""Partners that move, vanish or tell nonsense."""

from indipydriver.instruments import Dome, InstrumentDriver, Mount
from indipydriver.instruments.parkdata import ParkData, write_park_data
from indipydriver.instruments.simulators import CCDSimulator, FocuserSimulator, TelescopeSimulator
from indipydriver.protocol.messages import DefMember, DefVector, DelProperty, OneMember, SetVector
from indipydriver.protocol.tags import Permission, State, VectorKind
from indipydriver.testing import DriverHarness, driver_test
from tests.instruments.sessions import Session

TELESCOPE, DOME = ("Far Mount", "TELESCOPE_PARK"), ("Far Roof", "DOME_PARK")


class Roof(Dome):
    def __init__(self, *args):
        self.log = []
        super().__init__(*args)

    async def open_roof(self):
        self.log.append("open")

    async def close_roof(self):
        self.log.append("close")


class Parked(Mount):
    unparked = False

    async def connect(self):
        self.parked = True

    async def slew_to(self, ra, dec):
        pass

    async def park(self):
        pass

    async def unpark(self):
        self.unparked = True


def news(where, kind, state, **members):
    """An update of a device in another driver."""
    values = tuple(OneMember(name, value) for name, value in members.items())
    return SetVector(kind, *where, values, state=State(state))


def park(where, state, parked):
    return news(where, VectorKind.SWITCH, state, PARK="On" if parked else "Off", UNPARK="Off" if parked else "On")


@driver_test
async def test_a_roof_closes_only_when_the_mount_has_been_parked():
    async with Session(Roof()) as client:
        device = await client.connect()
        await client.text("ACTIVE_DEVICES", ACTIVE_TELESCOPE="Far Mount")
        await client.press("MOUNT_POLICY", "MOUNT_LOCKS")
        for state in ("Busy", "Alert"):
            await client.send(park(TELESCOPE, state, True))
            await client.press("DOME_PARK", "PARK")
            assert (client.state("DOME_PARK"), client.on("DOME_PARK"), device.log) == ("Alert", ["UNPARK"], [])
        await client.send(park(TELESCOPE, "Ok", True))
        await client.press("DOME_PARK", "PARK")
        await client.until("DOME_PARK", "Ok")
        assert device.log == ["close"]


@driver_test
async def test_a_mount_unparks_only_when_the_roof_is_known_to_be_open():
    async with Session(Parked()) as client:
        device = await client.connect()
        await client.text("ACTIVE_DEVICES", ACTIVE_DOME="Far Roof")
        await client.press("DOME_POLICY", "DOME_LOCKS")
        for told in (None, park(DOME, "Busy", False), park(DOME, "Ok", True), DelProperty("Far Roof")):
            if told is not None:
                await client.send(told)
            await client.press("TELESCOPE_PARK", "UNPARK")
            assert (client.state("TELESCOPE_PARK"), client.on("TELESCOPE_PARK")) == ("Alert", ["PARK"])
        assert not device.unparked
        await client.send(park(DOME, "Ok", False))
        await client.press("TELESCOPE_PARK", "UNPARK")
        await client.until("TELESCOPE_PARK", "Ok", 1, UNPARK="On")


@driver_test
async def test_one_device_may_stop_watching_what_another_of_its_driver_watches():
    async with DriverHarness(InstrumentDriver(Roof("A"), Roof("B"))) as client:
        for name in "AB":
            await client.set_switch(name, "CONNECTION", CONNECT="On")
            await client.set_switch(name, "MOUNT_POLICY", MOUNT_LOCKS="On")
            await client.set_text(name, "ACTIVE_DEVICES", ACTIVE_TELESCOPE="Far Mount")
        await client.send(park(TELESCOPE, "Ok", True))
        await client.set_text("B", "ACTIVE_DEVICES", ACTIVE_TELESCOPE="Another")
        await client.send(park(TELESCOPE, "Ok", False))
        await client.set_switch("A", "DOME_PARK", PARK="On")
        client.assert_state("A", "DOME_PARK", "Alert")
        assert client.driver["A"].log == []
        await client.set_text("A", "ACTIVE_DEVICES", ACTIVE_TELESCOPE="")
        assert {device for device, _ in client.driver.snoopvectors} == {"Another"}


@driver_test
async def test_what_the_hardware_tells_counts_more_than_the_file():
    class Told(Roof):
        async def connect(self):
            self.parked = False  # the switch says so

    write_park_data("Told", ParkData(True))
    async with Session(Told()) as client:
        device = await client.connect()
        assert client.on("DOME_PARK") == ["UNPARK"]
        await client.press("DOME_PARK", "PARK")
        await client.until("DOME_PARK", "Ok")
        assert device.log == ["close"]


@driver_test
async def test_a_mount_and_the_roof_that_is_its_part_are_parked_by_themselves():
    class Observatory(Mount):
        parts = (Roof,)

        async def slew_to(self, ra, dec):
            pass

        async def park(self):
            pass

        async def unpark(self):
            pass

    async with Session(Observatory()) as client:
        await client.connect()
        for vector, member in (("TELESCOPE_PARK", "PARK"), ("DOME_PARK", "PARK"), ("DOME_PARK", "UNPARK")):
            await client.press(vector, member)
            await client.until(vector, "Ok")
    async with Session(Observatory()) as client:
        await client.connect()
        assert (client.on("TELESCOPE_PARK"), client.on("DOME_PARK")) == (["PARK"], ["UNPARK"])


@driver_test
async def test_where_it_parks_depends_on_where_it_stands():
    async with Session(TelescopeSimulator()) as client:
        device = await client.connect()
        await client.number("TELESCOPE_PARK_POSITION", PARK_HA=-3, PARK_DEC=10)
        await client.press("TELESCOPE_PARK", "PARK")
        await client.until("TELESCOPE_PARK", "Alert", 1)
        assert not device.parked
        await client.number("GEOGRAPHIC_COORD", LAT=50, LONG=11, ELEV=0)
        await client.press("TELESCOPE_PARK", "PARK")
        await client.until("TELESCOPE_PARK", "Ok", 60)


@driver_test
async def test_images_are_taken_whatever_partners_tell():
    async with Session(CCDSimulator()) as client:
        await client.connect()
        await client.text("ACTIVE_DEVICES", ACTIVE_FOCUSER="F", ACTIVE_TELESCOPE="T")
        far = {"RA": "1e308", "DEC": "-1e300"}, {"LAT": "1e308", "LONG": "1e308"}, {"FOCUS_ABSOLUTE_POSITION": "1e308"}
        for where, values in zip(
            (("T", "EQUATORIAL_EOD_COORD"), ("T", "GEOGRAPHIC_COORD"), ("F", "ABS_FOCUS_POSITION")), far, strict=True
        ):
            await client.send(news(where, VectorKind.NUMBER, "Ok", **values))
            await client.number("CCD_EXPOSURE", CCD_EXPOSURE_VALUE=0.1)
            await client.until("CCD_EXPOSURE", "Ok", 5)
            await client.send(news(("T", "EQUATORIAL_EOD_COORD"), VectorKind.NUMBER, "Ok", RA="1", DEC="2"))


@driver_test
async def test_what_is_known_of_a_partner_is_what_it_has_now():
    def filters(count, first=1):
        members = tuple(DefMember(f"FILTER_SLOT_NAME_{n}", "L") for n in range(first, first + count))
        return DefVector(VectorKind.TEXT, "W", "FILTER_NAME", State.OK, members, perm=Permission.READ_WRITE)

    async with Session(CCDSimulator()) as client:
        device = await client.connect()
        await client.text("ACTIVE_DEVICES", ACTIVE_FILTER="W")
        await client.send(filters(8))
        await client.send(filters(5))
        assert len(device._seen("ACTIVE_FILTER", "FILTER_NAME")) == 5
        for n in range(20):
            await client.send(
                news(("W", "FILTER_NAME"), VectorKind.TEXT, "Ok", **{f"M{n}_{k}": "" for k in range(100)})
            )
        assert len(device._seen("ACTIVE_FILTER", "FILTER_NAME")) <= 1000


@driver_test
async def test_a_device_that_fails_with_news_does_not_keep_them_from_the_others():
    class Fails(FocuserSimulator):
        async def devsnoopevent(self, event, *args, **kwargs):
            raise RuntimeError("of the author")

    async with DriverHarness(InstrumentDriver(Fails("F"), Roof("R"))) as client:
        await client.set_switch("R", "CONNECTION", CONNECT="On")
        await client.set_switch("R", "MOUNT_POLICY", MOUNT_LOCKS="On")
        await client.set_text("R", "ACTIVE_DEVICES", ACTIVE_TELESCOPE="Far Mount")
        await client.send(park(TELESCOPE, "Ok", True))
        await client.set_switch("R", "DOME_PARK", PARK="On")
        client.assert_state("R", "DOME_PARK", "Ok")


@driver_test
async def test_clients_cannot_fill_the_memory_with_keywords():
    async with Session(CCDSimulator()) as client:
        device = await client.connect()
        for n in range(1000):
            device._keywords[f"K{n}"] = ("", "")
        await client.text("FITS_HEADER", KEYWORD_NAME="K1", KEYWORD_VALUE="x" * 10_000)
        assert (client.state("FITS_HEADER"), len(device._keywords["K1"][0])) == ("Ok", 80)
        await client.text("FITS_HEADER", KEYWORD_NAME="ONEMORE", KEYWORD_VALUE="x")
        assert client.state("FITS_HEADER") == "Alert"
        await client.text("FITS_HEADER", KEYWORD_NAME="INDI_CLEAR")
        assert not device._keywords


@driver_test
async def test_a_receiver_with_an_odd_time_does_not_alarm_the_mount():
    told = []

    class Timed(Mount):
        async def set_time(self, utc, offset):
            told.append(offset)

    async with Session(Timed()) as client:
        device = await client.connect()
        device.tracking = True
        await client.text("ACTIVE_DEVICES", ACTIVE_GPS="G")
        for n in range(3):
            await client.send(news(("G", "TIME_UTC"), VectorKind.TEXT, "Ok", UTC=f"noon {n}", OFFSET="1"))
            await client.advance(2)
        assert "Alert" not in {state for state, *_ in client.history("EQUATORIAL_EOD_COORD")}
        for offset in ("1e6", "-25"):
            await client.text("TIME_UTC", UTC="2026-01-01T00:00:00", OFFSET=offset)
            assert client.state("TIME_UTC") == "Alert"
        await client.text("TIME_UTC", UTC="2026-01-01T00:00:00", OFFSET="5.75")
        assert (client.state("TIME_UTC"), told) == ("Ok", [5.75])


class Turns(Dome):
    def __init__(self, *args):
        self.turns = []
        super().__init__(*args)

    async def turn_to(self, azimuth):
        self.turns.append(azimuth)

    async def abort(self): ...


@driver_test
async def test_a_dome_waits_for_a_mount_that_has_gone_and_follows_it_when_it_is_back():
    def defined(name, **members):
        found = tuple(DefMember(member, value) for member, value in members.items())
        return DefVector(VectorKind.NUMBER, "Far Mount", name, State.OK, found, perm=Permission.READ_WRITE)

    async def points(ra):
        await client.send(defined("GEOGRAPHIC_COORD", LAT="50", LONG="10", ELEV="1"))
        await client.send(defined("EQUATORIAL_EOD_COORD", RA=str(ra), DEC="20"))
        await client.advance(3)

    async with Session(Turns("D")) as client:
        device = await client.connect()
        await client.text("ACTIVE_DEVICES", ACTIVE_TELESCOPE="Far Mount")
        await client.press("DOME_AUTOSYNC", "DOME_AUTOSYNC_ENABLE")
        await points(3)
        assert len(device.turns) == 1
        await client.send(DelProperty("Far Mount"))
        await client.advance(60)
        assert (len(device.turns), client.on("DOME_AUTOSYNC")) == (1, ["DOME_AUTOSYNC_ENABLE"])
        await points(9)
        assert len(device.turns) == 2
        for member in ("DISCONNECT", "CONNECT"):  # the dome itself
            await client.press("CONNECTION", member)
            await points(15)
        assert len(device.turns) == 3
        assert client.on("DOME_AUTOSYNC") == ["DOME_AUTOSYNC_ENABLE"]
