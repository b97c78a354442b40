"""A driver on a link: what it answers, in which order, what it survives, and how it ends."""

import asyncio
import logging
import signal
import sys
import time
from xml.etree import ElementTree as ET

import pytest

import indipydriver as ipd
from indipydriver.errors import DefinitionError, LocalProtocolError, MalformedFrame
from indipydriver.protocol.encode import encode
from indipydriver.protocol.frame import Batch, Frame, address
from indipydriver.protocol.framer import Framer
from indipydriver.protocol.messages import (
    DefMember,
    DefVector,
    DelProperty,
    EnableBlob,
    GetProperties,
    Message,
    NewVector,
    OneBlob,
    OneMember,
    Ping,
    SetVector,
)
from indipydriver.protocol.tags import Permission, State, VectorKind
from indipydriver.testing import DriverHarness, driver_test, run
from indipydriver.transport.link import SLICE
from indipydriver.transport.memory import memory_pair
from indipydriver.transport.outlet import HIGH_WATER
from tests.support import allowed, links


def device(name="Dev"):
    return ipd.Device(
        name,
        [
            ipd.SwitchVector("sw", "", "", "rw", "OneOfMany", "Ok", [ipd.SwitchMember("s1"), ipd.SwitchMember("s2")]),
            ipd.TextVector("tx", "", "", "rw", "Ok", [ipd.TextMember("t1", membervalue="old")]),
            ipd.NumberVector("nu", "", "", "rw", "Ok", [ipd.NumberMember("n1", min=0, max=10, membervalue=3)]),
            ipd.NumberVector("ro", "", "", "ro", "Ok", [ipd.NumberMember("n1")]),
            ipd.LightVector("li", "", "", "Ok", [ipd.LightMember("l1")]),
            ipd.BLOBVector("bl", "", "", "rw", "Ok", [ipd.BLOBMember("b1")]),
        ],
    )


NAMES = ["sw", "tx", "nu", "ro", "li", "bl"]


class Recorder(ipd.IPyDriver):
    """Keeps all events and answers none."""

    def __init__(self, *devices, **data):
        super().__init__(*(devices or [device()]), **data)
        self.events = []
        self.news = []

    async def rxevent(self, event):
        self.events.append(event)

    async def snoopevent(self, event):
        self.news.append(event)


def texts_of(events):
    return [event["t1"] for event in events]


def frames_of(xml):
    return Framer().feed(xml.encode())


# --- the object ------------------------------------------------------------------------


def test_attributes():
    dev, other = device("Dev"), device("Other")
    driver = ipd.IPyDriver(dev, other, devicename="x", devices=1, link=2, name=3, shutdown_grace=4)
    assert driver.driverdata == {"devicename": "x", "devices": 1, "link": 2, "name": 3, "shutdown_grace": 4}
    assert driver.devices() == [dev, other]
    assert dict(driver) == driver.data == {"Dev": dev, "Other": other}
    assert dev.driver is driver
    assert dev["tx"].driver is driver
    assert dev["tx"].device is dev
    assert (driver.auto_send_def, driver.debug_enable, driver.snoopall) == (True, False, False)
    assert (driver.snoopdevices, driver.snoopvectors) == (set(), {})
    assert (driver.stop, driver._stop) == (False, False)
    assert not driver.stopped.is_set()
    assert not driver.shutdownrequested.is_set()
    assert driver.indi_number_to_float("1:30") == 1.5
    with pytest.raises(TypeError):
        hash(driver)


def test_any_keyword_is_user_data():
    assert ipd.IPyDriver(self=1, args=2).driverdata == {"self": 1, "args": 2}


def test_two_devices_of_one_name():
    with pytest.raises(DefinitionError):
        ipd.IPyDriver(device(), device())


@pytest.mark.parametrize("wrong", ["Dev", [ipd.Device("Dev", [])]])
def test_a_driver_is_made_of_devices(wrong):
    with pytest.raises(TypeError, match=r"IPyDriver\(device, another, \.\.\.\)"):
        ipd.IPyDriver(wrong)


def test_devices_cannot_be_assigned():
    """It used to raise TypeError, as the method that should forbid it took too few arguments."""
    driver = ipd.IPyDriver(device())
    with pytest.raises(KeyError):
        driver["Dev"] = device()


def test_a_background_is_a_coroutine_object():
    driver = ipd.IPyDriver()
    for wrong in (asyncio.sleep, 5, print):
        with pytest.raises(TypeError):
            driver.add_background(wrong)


@driver_test
async def test_wrong_snoops_raise():
    """They used to be logged only, and a script had no way to notice."""
    driver = ipd.IPyDriver(device())
    for arguments in [("Dev", "x"), ("Other", "x", 4), ("Other", "x", "soon"), ("", "x"), ("Other", "")]:
        with pytest.raises(ValueError, match=r"snoop|timeout|literal"):
            driver.snoop(*arguments)
    assert driver.snoopvectors == {}
    with pytest.raises(ValueError, match="device of this driver"):
        await driver.send_getProperties("Dev")
    for everything in ("*", "*x"):
        with pytest.raises(ValueError, match="stands for all devices"):
            driver.snoop(everything, "x")
        with pytest.raises(ValueError, match="stands for all devices"):
            await driver.send_getProperties(everything)
    assert (driver.snoopvectors, driver.snoopdevices, driver.snoopall) == ({}, set(), False)
    with pytest.raises(AttributeError, match="does not run yet"):
        await driver.send_message("x")


# --- definitions -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ((None, None), NAMES),
        (("Dev", None), NAMES),
        (("*", None), NAMES),
        (("Dev", "li"), ["li"]),
        (("Dev", "unknown"), []),
        (("Other", None), []),
    ],
)
@driver_test
async def test_who_asks_gets_definitions(asked, answered):
    async with DriverHarness(Recorder()) as h:
        h.frames.clear()
        await h.get_properties(*asked)
        assert [frame.name for frame in h.frames] == answered
        assert all(frame.reply for frame in h.frames)
        assert h.driver.events == []


@pytest.mark.parametrize(
    "xml", ["<getProperties/>", "<getProperties version='1.5'/>", "<getProperties version='2.0'/>"]
)
@driver_test
async def test_the_version_does_not_matter(xml):
    """A getProperties without version, or of another, used to be dropped without a word."""
    async with DriverHarness(Recorder()) as h:
        h.frames.clear()
        for frame in frames_of(xml):
            await h.send_frame(frame)
        assert [frame.name for frame in h.frames] == NAMES


@driver_test
async def test_what_is_disabled_is_not_defined():
    dev = device()
    dev["tx"].enable = False
    off = device("Off")
    off.enable = False
    async with DriverHarness(Recorder(dev, off)) as h:
        assert [frame.name for frame in h.frames] == [name for name in NAMES if name != "tx"]
        await h.set_text("Dev", "tx", t1="x")
        await h.set_text("Off", "tx", t1="x")
        await h.set_text("Dev", "unknown", t1="x")
        assert h.driver.events == []


@driver_test
async def test_one_bad_vector_does_not_cut_the_answer_short(caplog):
    """After the first vector that could not be sent, the rest of them used to be left out."""
    driver = Recorder()
    driver["Dev"]["tx"].data["t1"].name = ""
    async with DriverHarness(driver) as h:
        assert [frame.name for frame in h.frames] == [name for name in NAMES if name != "tx"]
    assert "Dev tx cannot be defined" in caplog.text


@driver_test
async def test_a_driver_may_answer_itself():
    driver = Recorder()
    driver.auto_send_def = False
    async with DriverHarness(driver) as h:
        assert h.frames == []
        assert all(isinstance(event, ipd.getProperties) for event in driver.events)
        assert [event.vectorname for event in driver.events] == NAMES
        event = driver.events[0]
        assert (event.devicename, event.vector, event.root.tag) == ("Dev", driver["Dev"]["sw"], "getProperties")
        assert event.timestamp is not None


@driver_test
async def test_an_exception_about_a_definition_is_only_logged(caplog):
    class Failing(Recorder):
        async def rxevent(self, event):
            raise OSError("no")

    driver = Failing()
    driver.auto_send_def = False
    async with DriverHarness(driver) as h:
        assert h.frames == []
    assert "rxevent failed with getProperties for Dev tx" in caplog.text


# --- commands --------------------------------------------------------------------------


@driver_test
async def test_commands_reach_rxevent():
    async with DriverHarness(Recorder()) as h:
        await h.set_text("Dev", "tx", t1="new")
        await h.set_switch("Dev", "sw", s1="On")
        await h.set_number("Dev", "nu", n1=5)
        await h.send_blob("Dev", "bl", "b1", b"data", ".fits")
        assert [type(event) for event in h.driver.events] == [
            ipd.newTextVector,
            ipd.newSwitchVector,
            ipd.newNumberVector,
            ipd.newBLOBVector,
        ]
        assert h.driver["Dev"]["tx"]["t1"] == "old"


@pytest.mark.parametrize(
    ("vector", "xml", "text"),
    [
        (
            "nu",
            '<newNumberVector device="Dev" name="nu"><oneNumber name="n1">11</oneNumber></newNumberVector>',
            "0 to 10",
        ),
        (
            "nu",
            '<newNumberVector device="Dev" name="nu"><oneNumber name="n1">x</oneNumber></newNumberVector>',
            "number",
        ),
        (
            "nu",
            '<newNumberVector device="Dev" name="nu"><oneNumber name="n1">inf</oneNumber></newNumberVector>',
            "number",
        ),
        (
            "sw",
            (
                '<newSwitchVector device="Dev" name="sw"><oneSwitch name="s1">On</oneSwitch><oneSwitch name="s2">On'
                "</oneSwitch></newSwitchVector>"
            ),
            "OneOfMany",
        ),
        ("sw", '<newTextVector device="Dev" name="sw"><oneText name="s1">On</oneText></newTextVector>', "SwitchVector"),
        (
            "tx",
            '<newTextVector device="Dev" name="tx"><oneText name="no">x</oneText></newTextVector>',
            "no member 'no'",
        ),
        ("tx", '<newTextVector device="Dev" name="tx"/>', "no members"),
        (
            "bl",
            '<newBLOBVector device="Dev" name="bl"><oneBLOB name="b1" size="1" format=".x">A===</oneBLOB></newBLOBVector>',
            "base64",
        ),
    ],
)
@driver_test
async def test_what_is_not_allowed_is_refused_with_a_reason(vector, xml, text, caplog):
    """Such commands used to reach the driver, or to end the server; the client waited for ever."""
    async with DriverHarness(Recorder()) as h:
        before = dict(h.property("Dev", vector).values)
        (frame,) = Framer(as_sent=True).feed(xml.encode())  # by a server that lets it pass
        await h.send_frame(frame)
        assert h.driver.events == []
        h.assert_state("Dev", vector, "Alert")
        h.assert_values("Dev", vector, before)
        assert text in h.property("Dev", vector).message
        await h.send_frame(frame)
        assert h.property("Dev", vector).updates == 2
    assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) == 1


class Obeying(ipd.IPyDriver):
    async def rxevent(self, event):
        event.vector.update(event)
        await event.vector.send_setVector(state="Ok", message="done " + "." * 4000)


@pytest.mark.parametrize("text", ["x" * 600_000, ">" * 150_000, "é" * 260_000])
@driver_test
async def test_no_client_can_set_texts_that_the_next_one_could_not_be_told(text):
    """Half of what an element may have, in each of two members: without a definition, nobody could mend that."""
    names = ("t1", "t2")
    texts = ipd.TextVector("tx", "", "", "rw", "Ok", [ipd.TextMember(name) for name in names])
    async with DriverHarness(Obeying(ipd.Device("Dev", [texts]))) as h:
        for name in names:
            xml = f'<newTextVector device="Dev" name="tx"><oneText name="{name}">{text}</oneText></newTextVector>'
            (frame,) = frames_of(xml)
            await h.send_frame(frame)
        h.assert_values("Dev", "tx", t1=text, t2="")
        h.assert_state("Dev", "tx", "Alert")
        assert "bytes together" in h.property("Dev", "tx").message
        h.messages.clear()
        await h.get_properties("Dev", "tx")
        assert [message.members[0].value for message in h.messages] == [text]
        await h.set_text("Dev", "tx", t1="short", t2=text)
        h.assert_values("Dev", "tx", t1="short", t2=text)


@pytest.mark.parametrize(
    ("vector", "xml"),
    [
        ("ro", '<newNumberVector device="Dev" name="ro"><oneNumber name="n1">1</oneNumber></newNumberVector>'),
        ("ro", '<newNumberVector device="Dev" name="ro"><oneNumber name="no">x</oneNumber></newNumberVector>'),
        ("ro", '<newTextVector device="Dev" name="ro"/>'),
        ("li", '<newTextVector device="Dev" name="li"><oneText name="l1">Ok</oneText></newTextVector>'),
    ],
)
@driver_test
async def test_no_client_can_change_the_state_of_what_is_read_only(vector, xml, caplog):
    """It is told in a message, as the state says how the instrument is."""
    async with DriverHarness(Recorder()) as h:
        before = h.property("Dev", vector)
        known = (before.state, before.updates, dict(before.values))
        (frame,) = frames_of(xml)
        for _ in range(2):
            await h.send_frame(frame)
        assert h.driver.events == []
        assert (before.state, before.updates, before.values) == known
        assert h.driver["Dev"][vector].state == "Ok"
        assert h.texts == [f"{vector}: refused: the vector is read-only"] * 2
        assert [message.device for message in h.messages[-2:]] == ["Dev", "Dev"]
    assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) == 1


@driver_test
async def test_commands_for_one_vector_are_handled_in_order():
    """The second used to be finished before the first, if that took longer."""

    class Slow(Recorder):
        async def rxevent(self, event):
            await asyncio.sleep(float(event["t1"]))
            self.events.append(event)

    async with DriverHarness(Slow()) as h:
        for text in ("1", "0.1", "0.5"):
            await h.set_text("Dev", "tx", t1=text)
        await h.advance(2)
        assert texts_of(h.driver.events) == ["1", "0.1", "0.5"]


@driver_test
async def test_vectors_do_not_wait_for_each_other():
    class Slow(Recorder):
        async def rxevent(self, event):
            self.events.append(f"{event.vectorname} begins")
            await asyncio.sleep(1 if event.vectorname == "tx" else 0.1)
            self.events.append(f"{event.vectorname} ends")

    async with DriverHarness(Slow()) as h:
        await h.set_text("Dev", "tx", t1="x")
        await h.set_number("Dev", "nu", n1=1)
        await h.advance(2)
        assert h.driver.events == ["tx begins", "nu begins", "nu ends", "tx ends"]


@driver_test
async def test_large_commands_are_decoded_in_a_thread_and_keep_their_order():
    loop = asyncio.get_running_loop()
    threads = []
    original = loop.run_in_executor
    loop.run_in_executor = lambda *args: threads.append(args) or original(*args)
    async with DriverHarness(Recorder()) as h:
        for data in (bytes(500_000), b"small"):
            h._link.write(Batch([encode(NewVector(VectorKind.BLOB, "Dev", "bl", (OneBlob("b1", data, 1, ".x"),)))]))
        h._link.flush()
        await h.settle()
        assert [len(event["b1"]) for event in h.driver.events] == [500_000, 5]
        assert len(threads) == 1
    del loop.run_in_executor


@driver_test
async def test_a_ping_is_answered_at_once():
    class Slow(Recorder):
        async def rxevent(self, event):
            await asyncio.sleep(100)

    async with DriverHarness(Slow()) as h:
        await h.set_text("Dev", "tx", t1="x")
        await h.send(Ping("SetBLOB/1"))
        assert h.messages[-1] == Ping("SetBLOB/1", reply=True)


# --- exceptions ------------------------------------------------------------------------


class Failing(Recorder):
    async def rxevent(self, event):
        raise OSError("the mirror is stuck" + "!" * 500)

    async def snoopevent(self, event):
        self.news.append(event)
        raise OSError("not that one")


@driver_test
async def test_an_exception_in_rxevent_is_told_to_the_clients(caplog):
    """It used to end all drivers and the server."""
    async with DriverHarness(Failing()) as h:
        await h.set_text("Dev", "tx", t1="x")
        h.assert_state("Dev", "tx", "Alert")
        h.assert_values("Dev", "tx", t1="old")
        message = h.property("Dev", "tx").message
        assert "OSError: the mirror is stuck" in message
        assert len(message.encode()) <= 250
        await h.send_blob("Dev", "bl", "b1", b"x")
        h.assert_state("Dev", "bl", "Alert")
        assert not h.driver.stop
    assert "Failing: rxevent failed with newTextVector for Dev tx" in caplog.text
    assert "Traceback" in caplog.text


@driver_test
async def test_an_exception_in_snoopevent_is_logged(caplog):
    """It used to end all drivers and the server."""
    driver = Failing()
    driver.snoopall = True
    async with DriverHarness(driver) as h:
        for _ in range(2):
            await h.send(Message("Other", "hi"))
        assert len(driver.news) == 2
    assert "snoopevent failed with Message of Other" in caplog.text


@pytest.mark.parametrize("how", ["hardware", "background", "device background", "late background"])
def test_an_exception_in_hardware_or_a_background_ends_this_driver(how):
    """It used to end all drivers; now serve raises, and the server goes on without this one."""

    async def fail():
        await asyncio.sleep(1)
        raise OSError("no such port")

    class Broken(Recorder):
        async def hardware(self):
            if how == "hardware":
                await fail()
            if how == "late background":
                self.add_background(fail())

    async def test():
        driver = Broken()
        if how == "background":
            driver.add_background(fail())
        if how == "device background":
            driver["Dev"].add_background(fail())
        _, theirs = memory_pair("driver", "test")
        with pytest.raises(ExceptionGroup) as caught:
            await driver.serve(theirs)
        assert driver.stopped.is_set()
        assert driver.stop
        (error,) = caught.value.exceptions
        assert isinstance(error, OSError)
        assert "of Broken (Dev)" in error.__notes__[0]

    run(test)


@driver_test
async def test_commands_that_come_while_a_failed_driver_cleans_up(caplog):
    class Broken(Recorder):
        async def hardware(self):
            self.add_background(self.cleanup())
            await asyncio.sleep(1)
            raise OSError("no such port")

        async def cleanup(self):
            try:
                await asyncio.sleep(1000)
            finally:
                await asyncio.sleep(10)

    driver = Broken()
    ours, theirs = memory_pair("driver", "test")
    task = asyncio.create_task(driver.serve(theirs))
    await asyncio.sleep(2)
    ours.write(Batch([encode(NewVector(VectorKind.TEXT, "Dev", "tx", (OneMember("t1", "x"),))), encode(Ping("1"))]))
    ours.flush()
    with pytest.raises(ExceptionGroup):
        await task
    assert driver.events == []
    assert [record.name for record in caplog.records] == ["indipydriver.ipydriver"]


# --- snooping --------------------------------------------------------------------------

OTHER = DefVector(
    VectorKind.BLOB, "Other", "img", State.OK, (DefMember("b"),), perm=Permission.READ_ONLY, timestamp="2026-01-02"
)


@driver_test
async def test_messages_and_state_only_updates_are_snooped():
    """A message of a watched device used to end the server."""
    driver = Recorder()
    driver.snoop("Other", "v")
    async with DriverHarness(driver) as h:
        await h.send(Message("Other", "hi"))
        await h.send(SetVector(VectorKind.NUMBER, "Other", "v", (), State.BUSY))
        await h.send(SetVector(VectorKind.NUMBER, "Other", "w", (), State.BUSY))
        await h.send(DelProperty("Other"))
        await h.send(Message(None, "for all"))
        assert [type(event) for event in driver.news] == [ipd.Message, ipd.setNumberVector, ipd.delProperty]


@driver_test
async def test_it_asks_in_time():
    driver = Recorder()
    driver.snoop("Other", "v", timeout=10)
    async with DriverHarness(driver) as h:
        loop = asyncio.get_running_loop()

        def asked():
            return [message for message in h.messages if isinstance(message, GetProperties)]

        assert asked() == [GetProperties("Other", "v")]
        await h.advance(9)
        await h.send(SetVector(VectorKind.NUMBER, "Other", "v", (), State.BUSY))
        await h.advance(9)
        assert len(asked()) == 1
        await h.advance(2)
        assert len(asked()) == 2
        driver.snoop("Other", "w")
        await h.settle()
        assert asked()[-1] == GetProperties("Other", "w")
        assert loop.time() < 21


@driver_test
async def test_the_wall_clock_may_jump(monkeypatch):
    """The timers of snoops used to go by it, so a step of the clock delayed or flooded them."""
    driver = Recorder()
    driver.snoop("Other", "v", timeout=10)
    async with DriverHarness(driver) as h:
        monkeypatch.setattr(time, "time", lambda: 4e9)
        h.messages.clear()
        await h.advance(9)
        assert h.messages == []


@driver_test
async def test_snoops_that_begin_in_snoopevent():
    """To add one while the timers were gone through used to end the server."""

    class Curious(Recorder):
        async def snoopevent(self, event):
            for number in range(5):
                self.snoop("Other", f"v{number}", timeout=5)

    driver = Curious()
    driver.snoop("Other", "v", timeout=5)
    async with DriverHarness(driver) as h:
        await h.send(Message("Other", "hi"))
        await h.advance(30)
        assert {message.name for message in h.messages if isinstance(message, GetProperties)} >= {"v0", "v4"}


@driver_test
async def test_asking_once():
    driver = Recorder()
    async with DriverHarness(driver) as h:
        h.messages.clear()
        await driver.send_getProperties("Other", "v")
        await driver.send_getProperties("Other")
        await driver.send_getProperties()
        await h.advance(1000)
        assert h.messages == [GetProperties("Other", "v"), GetProperties("Other"), GetProperties()]
        assert (driver.snoopvectors, driver.snoopdevices, driver.snoopall) == ({("Other", "v"): None}, {"Other"}, True)


@driver_test
async def test_snooped_blobs_are_enabled():
    """Under indiserver their contents never came, as nobody asked for them."""
    driver = Recorder()
    driver.snoop("Other", "img")
    async with DriverHarness(driver) as h:
        h.messages.clear()
        for message in (OTHER, OTHER, DelProperty("Other", "img"), OTHER):
            await h.send(message)
        assert h.messages == [EnableBlob("Other", "img")] * 2
        await h.send(SetVector(VectorKind.BLOB, "Other", "img", (OneBlob("b", b"data", 4, ".fits"),), State.OK))
        assert driver.news[-1]["b"] == b"data"


@driver_test
async def test_blobs_that_cannot_be_enabled_cost_nothing_else(caplog):
    """No framer lets such a name through; a frame of this process passes none."""
    driver = Recorder()
    driver.snoopall = True
    name = "x" * 257
    raw = f"<defBLOBVector device='Other' name='{name}' state='Ok' perm='ro'><defBLOB name='b'/></defBLOBVector>"
    async with DriverHarness(driver) as h:
        h.messages.clear()
        for _ in range(2):
            await h.send_frame(Frame(address("defBLOBVector", "Other", name), raw.encode()))
            await h.send(DelProperty("Other"))
        assert h.messages == []
        assert [type(event) for event in driver.news] == [ipd.defBLOBVector, ipd.delProperty] * 2
        assert driver._run_state.receiver.refused == {"enableBLOB": 2}
    assert caplog.text.count("cannot be enabled") == 1


@driver_test
async def test_a_definition_of_our_device_by_somebody_else(caplog):
    """It used to end the server; now it is logged once and ignored."""
    driver = Recorder()
    driver.snoopall = True
    async with DriverHarness(driver) as h:
        for _ in range(2):
            await h.send(DefVector(VectorKind.TEXT, "Dev", "z", State.OK, (DefMember("a"),), perm=Permission.READ_ONLY))
        assert driver.news == []
        assert not driver.stop
    assert caplog.text.count("somebody else defines") == 1


@driver_test
async def test_malformed_news_are_logged_once(caplog):
    driver = Recorder()
    driver.snoopall = True
    (frame,) = frames_of('<setLightVector device="Other" name="v"><oneLight name="a">Green</oneLight></setLightVector>')
    async with DriverHarness(driver) as h:
        for _ in range(3):
            await h.send_frame(frame)
        assert driver.news == []
        assert driver._run_state.receiver.refused == {"MalformedFrame setLightVector": 3}
        driver._run_state.receiver.fault_received(MalformedFrame("junk"))
    assert len(caplog.records) == 2


# --- sending ---------------------------------------------------------------------------


@driver_test
async def test_elements_of_ones_own():
    async with DriverHarness(Recorder()) as h:
        h.frames.clear()
        element = ET.Element("message", {"device": "Dev", "message": "a < é"})
        await h.driver.send(element)
        await h.driver.send_message("all")
        await h.settle()
        assert h.messages[-2:] == [Message("Dev", "a < é"), Message(None, "all", h.messages[-1].timestamp)]
        assert h.frames[0].address == address("message", "Dev")
        deep = ET.fromstring("<message>" + "<a>" * 5000 + "</a>" * 5000 + "</message>")
        no_text = ET.Element("message", {"device": 5})
        for wrong in (
            ET.Element("html"),
            ET.Element("setLightVector", {"name": "\ud800"}),
            no_text,
            deep,
            "<message/>",
        ):
            with pytest.raises(LocalProtocolError, match="cannot be sent"):
                await h.driver.send(wrong)


def test_a_reader_that_stalls_holds_up_only_the_sender():
    """A blocked standard output used to stop the whole driver, its hardware too."""

    class Chatty(Recorder):
        sent = 0

        async def hardware(self):
            self["Dev"]["tx"]["t1"] = "x" * 1000
            await asyncio.sleep(1)
            while not self.stop:
                await self["Dev"]["tx"].send_setVector()
                self.sent += 1

    async def test():
        driver = Chatty()
        async with DriverHarness(driver, shutdown_grace=0) as h:
            h._link.pause_reading()
            await asyncio.sleep(2)
            stalled = driver.sent
            await asyncio.sleep(100)
            assert driver.sent == stalled
            assert HIGH_WATER < h._drivers_link.unsent < HIGH_WATER + 10_000
            await h.set_number("Dev", "nu", n1=5)
            assert len(driver.events) == 1
            h._link.resume_reading()
            for _ in range(2 * HIGH_WATER // SLICE):
                await asyncio.sleep(0)
            assert driver.sent > stalled
            driver.shutdown()

    run(test)


def test_one_who_goes_on_sending_to_a_reader_that_stalls_is_cancelled_at_the_end():
    """Once nothing was sent any more, no send waited, so nothing else had its turn, and nothing ended."""

    class Chatty(Recorder):
        sent = 0

        async def hardware(self):
            self["Dev"]["tx"]["t1"] = "x" * 1000
            while True:
                await self["Dev"]["tx"].send_setVector()
                self.sent += 1
                assert self.sent < 1_000_000, "it is never cancelled"

    async def test():
        driver = Chatty()
        async with DriverHarness(driver, shutdown_grace=0.1) as h:
            h._link.pause_reading()
            sent = -1
            while sent != driver.sent:  # otherwise it sends at each turn of the loop
                sent = driver.sent
                await asyncio.sleep(0.05)
            driver.shutdown()
            await driver.stopped.wait()

    run(test, real_time=True)


@pytest.mark.measured
def test_a_flood_leaves_the_others_their_turn():
    """Sends that never wait gave nobody else a turn: neither the link nor other coroutines."""

    class Flood(Recorder):
        sent = 0

        async def hardware(self):
            while not self.stop:
                await self["Dev"]["tx"].send_setVector()
                self.sent += 1

    async def test():
        driver = Flood()
        ours, theirs = memory_pair("driver", "test")
        got, recorder = [], links.Recorder()
        recorder.on_frames = got.append
        ours.open(recorder)
        task = asyncio.create_task(driver.serve(theirs, shutdown_grace=0))
        began = time.monotonic()
        for _ in range(20):
            await asyncio.sleep(0)
        assert time.monotonic() - began < allowed(5)
        assert len(got) > 3
        driver.shutdown()
        await task

    run(test, real_time=True)


@driver_test
async def test_xml_is_logged_on_request(caplog):
    caplog.set_level(logging.DEBUG)
    async with DriverHarness(Recorder()) as h:
        await h.set_text("Dev", "tx", t1="x")
        assert "X::" not in caplog.text
        h.driver.debug_enable = True
        await h.set_text("Dev", "tx", t1="x")
        await h.driver.send_message("hello")
        await h.driver["Dev"]["tx"].send_setVector()
        await h.driver["Dev"]["tx"].send_setVector(allvalues=False)
        logged = [(r.name, r.getMessage()[:20]) for r in caplog.records if r.levelno == logging.DEBUG]
        assert ("indipydriver.ipydriver", "RX:: <newTextVector ") in logged
        assert ("indipydriver.ipydriver", "TX:: <message timest") in logged
        assert ("indipydriver.propertyvectors", "Dev tx: nothing to s") in logged


# --- life ------------------------------------------------------------------------------


@driver_test
async def test_the_end_of_the_link_is_the_end_of_the_driver():
    """The end of standard input used to go unnoticed, and drivers lived on without a server."""
    driver = Recorder()
    ours, theirs = memory_pair("driver", "test")
    task = asyncio.create_task(driver.serve(theirs))
    await asyncio.sleep(1)
    assert not task.done()
    ours.close()
    await task
    assert driver.stop
    assert driver["Dev"].stop
    assert driver.stopped.is_set()
    assert driver.shutdownrequested.is_set()
    await driver["Dev"]["tx"].send_setVector()
    await driver.send_message("dropped")


@pytest.mark.parametrize("how", ["hardware", "background", "rxevent"])
@driver_test
async def test_what_does_not_end_is_cancelled_after_the_grace_time(how, caplog):
    """A loop that never looks at the stop flag used to keep everything from ending."""
    cancelled = []

    class Endless(Recorder):
        async def hardware(self):
            if how == "hardware":
                await self.endless()

        async def rxevent(self, event):
            if how == "rxevent":
                await self.endless()

        async def endless(self):
            try:
                while True:
                    await asyncio.sleep(0.1)
            except asyncio.CancelledError:
                cancelled.append(asyncio.get_running_loop().time())
                raise

    driver = Endless()
    if how == "background":
        driver.add_background(driver.endless())
    async with DriverHarness(driver) as h:
        await h.set_text("Dev", "tx", t1="x")
        began = asyncio.get_running_loop().time()
    assert len(cancelled) == 1
    assert 5 <= cancelled[0] - began < 5.2
    assert "has not ended in time" in caplog.text


@driver_test
async def test_what_looks_at_the_stop_flag_ends_by_itself(caplog):
    ended = []

    class Polite(Recorder):
        async def hardware(self):
            while not self._stop:
                await asyncio.sleep(0.5)
            await asyncio.sleep(2)
            ended.append("hardware")

    async with DriverHarness(Polite()):
        pass
    assert ended == ["hardware"]
    assert caplog.text == ""


@driver_test
async def test_a_cancelled_run_has_its_grace_time_and_stays_cancelled():
    ended = []

    class Polite(Recorder):
        async def hardware(self):
            await self.shutdownrequested.wait()
            await asyncio.sleep(1)
            ended.append("hardware")

    driver = Polite()
    _, theirs = memory_pair("driver", "test")
    task = asyncio.create_task(driver.serve(theirs))
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["hardware"]
    assert driver.stopped.is_set()


@driver_test
async def test_a_second_cancellation_forces_the_end():
    class Stubborn(Recorder):
        async def hardware(self):
            await asyncio.sleep(1000)

    driver = Stubborn()
    _, theirs = memory_pair("driver", "test")
    task = asyncio.create_task(driver.serve(theirs))
    for _ in range(2):
        await asyncio.sleep(1)
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asyncio.get_running_loop().time() < 3


@pytest.mark.parametrize("same_loop", [True, False])
def test_a_second_run(same_loop):
    """Flags used to stay set, and backgrounds could not be started again."""
    ran = []

    class Twice(Recorder):
        async def hardware(self):
            ran.append(self.stop)
            await self.shutdownrequested.wait()

    async def background(whose):
        ran.append(f"background of the {whose}")

    driver = Twice()
    driver.snoop("Other", "v", timeout=10)
    driver.add_background(background("driver"))
    driver["Dev"].add_background(background("device"))

    async def once():
        async with DriverHarness(driver) as h:
            assert not driver.stopped.is_set()
            assert not driver["Dev"].stop
            assert len([m for m in h.messages if isinstance(m, GetProperties)]) == 1
            assert len(h.frames) == len(NAMES) + 1
            await h.set_text("Dev", "tx", t1="x")
            driver["Dev"]["bl"]["b1"] = bytes(300_000)
            async with asyncio.TaskGroup() as group:  # so that one has to wait for the other
                for _ in range(2):
                    group.create_task(driver["Dev"]["bl"].send_setVectorMembers(members=["b1"]))
        assert driver.stopped.is_set()
        await driver.stopped.wait()

    async def twice():
        await once()
        await once()

    if same_loop:
        run(twice)
    else:
        run(once)
        run(once)
    assert ran == ["background of the driver", "background of the device", False, False]
    assert len(driver.events) == 2


@driver_test
async def test_what_is_added_at_the_very_end_is_not_the_beginning_of_the_next_run(caplog):
    ran = []

    async def background(number):
        ran.append(number)

    class Adds(Recorder):
        calls = 0

        def shutdown(self):
            super().shutdown()
            self.calls += 1
            self.add_background(background(self.calls))
            self["Dev"].add_background(background(-self.calls))

    driver = Adds()
    for _ in range(2):
        async with DriverHarness(driver):
            pass
    assert ran == [1, -1, 3, -3]  # shutdown() is called once more at the very end
    assert caplog.text.count("no longer started") == 4
    driver.add_background(background("next"))
    async with DriverHarness(driver):
        pass
    assert ran[4] == "next"


def test_a_shutdown_before_the_run_is_not_forgotten():
    """The run used to clear the flag, and went on for ever."""

    async def never():
        raise AssertionError("started")

    async def test():
        driver = Recorder()
        driver.add_background(never())
        driver.shutdown()
        _, theirs = memory_pair("driver", "test")
        async with asyncio.timeout(10):
            await driver.serve(theirs)
        assert driver.stopped.is_set()
        async with DriverHarness(driver) as h:
            assert len(h.frames) == len(NAMES)

    run(test)


@driver_test
async def test_a_link_that_is_closed_late_does_not_end_the_next_run():
    class Broken(Recorder):
        async def hardware(self):
            if not self.events:
                self.events.append("failed")
                raise OSError("no such port")

    driver = Broken()
    _, theirs = memory_pair("driver", "test")
    with pytest.raises(ExceptionGroup):
        await driver.serve(theirs)
    async with DriverHarness(driver) as h:
        await h.advance(1)
        assert not driver.stop
        assert len(h.frames) == len(NAMES)


@driver_test
async def test_one_run_at_a_time():
    driver = Recorder()
    async with DriverHarness(driver):
        _, theirs = memory_pair("driver", "test")
        with pytest.raises(RuntimeError, match="already running"):
            await driver.serve(theirs)


@driver_test
async def test_what_is_sent_before_an_expected_run_is_kept_for_it():
    driver = Recorder()
    driver.expect_run()
    await driver.send_message("early")
    async with DriverHarness(driver) as h:
        assert h.texts == ["early"]


@driver_test
async def test_an_expected_run_that_does_not_come():
    driver = Recorder()
    driver.expect_run()
    driver.shutdown()
    driver.expect_run()
    async with DriverHarness(driver) as h:
        assert len(h.frames) == len(NAMES)


@driver_test
async def test_an_idle_driver_does_nothing():
    """It used to wake up a hundred times a second."""
    driver = Recorder()
    driver.snoop("Other", "v", timeout=3600)
    async with DriverHarness(driver):
        turns = 0
        loop = asyncio.get_running_loop()
        original = loop._run_once

        def counted():
            nonlocal turns
            turns += 1
            original()

        loop._run_once = counted
        await asyncio.sleep(3000)
        del loop._run_once
        assert turns < 10


def test_stopped_may_be_awaited_in_another_loop_before_the_first_run():
    driver = ipd.IPyDriver(ipd.Device("D", []))

    async def before():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(driver.stopped.wait(), 0.01)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(driver.shutdownrequested.wait(), 0.01)

    async def during():
        async with DriverHarness(driver):
            waiting = [asyncio.create_task(e.wait()) for e in (driver.stopped, driver.shutdownrequested)]
            await asyncio.sleep(0)
            driver.shutdown()
            await asyncio.gather(*waiting)

    asyncio.run(before())
    run(during)


def test_who_awaits_stopped_in_the_same_loop_before_the_run_is_told():
    async def test():
        driver = ipd.IPyDriver(ipd.Device("D", []))
        waiting = asyncio.create_task(driver.stopped.wait())
        await asyncio.sleep(0)
        async with DriverHarness(driver):
            pass
        await asyncio.wait_for(waiting, 1)

    run(test)


@pytest.mark.skipif(sys.platform == "win32", reason="its event loop handles no signals")
@pytest.mark.parametrize("is_sent", [False, True])
def test_a_handler_of_the_authors_for_sigterm_that_is_set_meanwhile_stays(is_sent):
    def mine(*_):
        pass

    async def test():
        driver = ipd.IPyDriver(ipd.Device("D", []))
        with driver._shutdown_on_signals():
            signal.signal(signal.SIGTERM, mine)
            if is_sent:
                signal.raise_signal(signal.SIGTERM)
                await asyncio.sleep(0.05)
                assert driver.stop
                assert signal.getsignal(signal.SIGTERM) is mine
        assert signal.getsignal(signal.SIGTERM) is mine

    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    try:
        asyncio.run(test())
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
