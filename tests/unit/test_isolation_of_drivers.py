"""What the code of one driver does costs no other driver anything: its threads, its exceptions, its log."""

import asyncio
import logging
import sys
import threading

import pytest

import indipydriver as ipd
from indipydriver import ipydriver
from indipydriver.protocol.encode import encode
from indipydriver.protocol.frame import Batch
from indipydriver.protocol.messages import GetProperties, NewVector, OneBlob, OneMember, SetVector
from indipydriver.protocol.tags import State, VectorKind
from indipydriver.runtime.dispatch import LOG_AGAIN, _Failures
from indipydriver.testing import DriverHarness, driver_test, run
from indipydriver.transport.memory import memory_pair
from indipyserver import IPyServer
from tests.support.client import IndiClient

LARGE = b"x" * 1_000_000


def texts(*names):
    return [ipd.TextVector(name, "", "", "rw", "Ok", [ipd.TextMember("t")]) for name in names]


# --- threads ---------------------------------------------------------------------------


class Blocking(ipd.IPyDriver):
    """All threads that asyncio has for everybody wait, as for serial ports where nobody answers."""

    def __init__(self):
        super().__init__(ipd.Device("D", [ipd.BLOBVector("b", "", "", "rw", "Ok", [ipd.BLOBMember("m")])]))
        self.answer = threading.Event()
        self.received = asyncio.Event()

    async def hardware(self):
        await asyncio.gather(*[asyncio.to_thread(self.answer.wait) for _ in range(100)])

    async def rxevent(self, event):
        if event["m"] == LARGE:
            self.received.set()


def test_large_blobs_need_none_of_the_threads_that_drivers_use():
    async def test():
        driver = Blocking()
        async with DriverHarness(driver) as h:
            try:
                async with asyncio.timeout(10):
                    driver["D"]["b"]["m"] = LARGE
                    await driver["D"]["b"].send_setVectorMembers(members=["m"])
                    await h.wait_for("D", "b", values={"m": LARGE})
                    await h.send(NewVector(VectorKind.BLOB, "D", "b", (OneBlob("m", LARGE, len(LARGE), ".x"),)))
                    await driver.received.wait()
            finally:
                driver.answer.set()

    run(test, real_time=True)


class StuckFile:
    """A file of a disk that does not answer."""

    def __init__(self):
        self.answer = threading.Event()

    def seek(self, position):
        pass

    def read(self):
        self.answer.wait()
        return b"late"


def test_files_that_cannot_be_read_hold_up_no_other_blob():
    async def test():
        driver = ipd.IPyDriver(
            ipd.Device("D", [ipd.BLOBVector(f"b{n}", "", "", "ro", "Ok", [ipd.BLOBMember("m")]) for n in range(20)])
        )
        file = StuckFile()
        async with DriverHarness(driver) as h:
            sends = []
            for vector in driver["D"].properties()[1:]:
                vector["m"] = file
                sends.append(asyncio.create_task(vector.send_setVectorMembers(members=["m"])))
            await h.settle()
            try:
                driver["D"]["b0"]["m"] = LARGE
                async with asyncio.timeout(10):
                    await driver["D"]["b0"].send_setVectorMembers(members=["m"])
                assert len(sends) == 19
                assert not any(task.done() for task in sends)
            finally:
                file.answer.set()
            await asyncio.gather(*sends)
            await h.wait_for("D", "b19", values={"m": b"late"})

    run(test, real_time=True)


# --- exceptions ------------------------------------------------------------------------


class Panic(BaseException):
    """As extensions in other languages raise: no Exception."""


class Panicking(ipd.IPyDriver):
    def __init__(self, where, name="D", error=None):
        super().__init__(ipd.Device(name, texts("v", "w")))
        self.where = where
        self.error = error or Panic("at the disco")
        self.done = []
        self.snoopall = True
        if where == "background":
            self.add_background(self.fail("background"))

    async def fail(self, where):
        if where == self.where:
            await asyncio.sleep(0.01)
            raise self.error

    async def hardware(self):
        await self.fail("hardware")
        await asyncio.sleep(3600)

    async def rxevent(self, event):
        if event["t"] == "bad":
            await self.fail("rxevent")
        self.done.append(event["t"])

    async def snoopevent(self, event):
        if event["t"] == "bad":
            await self.fail("snoopevent")
        self.done.append(event["t"])


@pytest.mark.parametrize("where", ["hardware", "background", "rxevent"])
@pytest.mark.parametrize("error", [Panic("at the disco"), SystemExit(3)])
def test_what_is_no_exception_ends_its_driver_alone(where, error, caplog):
    async def test():
        good = Panicking("nowhere", "Good")
        good.shutdown_grace = 0.1
        bad = Panicking(where, "Bad", error)
        bad.shutdown_grace = 0.1
        server = IPyServer(bad, good, port=0)
        running = asyncio.create_task(server.asyncrun())
        await server.started.wait()
        async with asyncio.timeout(10), IndiClient(server.port) as client:
            await client.send("<newTextVector device='Bad' name='v'><oneText name='t'>bad</oneText></newTextVector>")
            await bad.stopped.wait()
            await asyncio.sleep(0.1)
            assert not running.done()
            assert not good.stop
            server.shutdown()
            await running

    run(test, real_time=True)
    assert ("at the disco" if isinstance(error, Panic) else "called sys.exit(3)") in caplog.text


def test_who_interrupts_the_program_ends_it():
    class Ending(ipd.IPyDriver):
        async def rxevent(self, event):
            raise KeyboardInterrupt

    async def test():
        async with DriverHarness(Ending(ipd.Device("D", texts("v")))) as h:
            await h.set_text("D", "v", t="x")
            await h.advance(1)

    with pytest.raises(KeyboardInterrupt):
        run(test)


class Exiting(ipd.IPyDriver):
    """Calls sys.exit() somewhere."""

    def __init__(self, where, status):
        super().__init__(ipd.Device("D", texts("v")))
        self.where = where
        self.status = status
        self.cleaned_up = False
        self.snoopall = True
        self.auto_send_def = where != "definition"
        if where == "device":
            self["D"].add_background(self.leave("device"))

    async def leave(self, where):
        if where == self.where:
            sys.exit(self.status)
        if f"{where} in a thread" == self.where:
            await asyncio.to_thread(sys.exit, self.status)

    async def hardware(self):
        await self.leave("hardware")
        try:
            await asyncio.sleep(3600)
        finally:
            self.cleaned_up = True

    async def rxevent(self, event):
        await self.leave("definition" if isinstance(event, ipd.getProperties) else "rxevent")

    async def snoopevent(self, event):
        await self.leave("snoopevent")


async def make_it_exit(link):
    link.write(Batch([encode(GetProperties())]))
    link.write(Batch([encode(NewVector(VectorKind.TEXT, "D", "v", (OneMember("t", "x"),)))]))
    link.write(Batch([encode(SetVector(VectorKind.TEXT, "Other", "p", (OneMember("t", "x"),), State.OK))]))
    link.flush()
    await asyncio.sleep(1)


@pytest.mark.parametrize(
    "where",
    ["hardware", "hardware in a thread", "device", "rxevent", "snoopevent", "snoopevent in a thread", "definition"],
)
@pytest.mark.parametrize("status", [3, 0, None, "the camera is on fire"])
def test_sys_exit_in_a_driver_that_is_the_program_ends_it_with_that_status(where, status, monkeypatch, caplog):
    async def test():
        driver = Exiting(where, status)
        ours, theirs = memory_pair("driver", "test")
        ours.open(Sink())
        monkeypatch.setattr(ipydriver, "open_stdio", lambda: theirs)
        running = asyncio.create_task(make_it_exit(ours))
        try:
            await driver.asyncrun()
        finally:
            assert driver.stopped.is_set()
            assert driver.cleaned_up is not where.startswith("hardware")
            assert asyncio.get_running_loop().time() < 2
            running.cancel()

    with pytest.raises(SystemExit) as caught:
        run(test)
    assert caught.value.code == status
    assert "called sys.exit(" in caplog.text


class Sink:
    def frames_received(self, frames):
        pass

    def link_closed(self, error):
        pass


def test_what_fails_beside_sys_exit_is_logged(monkeypatch, caplog):
    class Both(ipd.IPyDriver):
        async def hardware(self):
            try:
                await asyncio.sleep(3600)
            finally:
                raise OSError("the motor does not stop")

        async def leave(self):
            sys.exit(3)

    async def test():
        driver = Both()
        driver.add_background(driver.leave())
        monkeypatch.setattr(ipydriver, "open_stdio", lambda: memory_pair("driver", "test")[1])
        await driver.asyncrun()

    with pytest.raises(SystemExit) as caught:
        run(test)
    assert caught.value.code == 3
    (record,) = [record for record in caplog.records if record.exc_info]
    assert "the motor does not stop" in str(record.exc_info[1].exceptions)


def test_hardware_that_is_no_coroutine_function_may_exit_too(monkeypatch):
    class Plain(ipd.IPyDriver):
        def hardware(self):
            sys.exit(4)

    monkeypatch.setattr(ipydriver, "open_stdio", lambda: memory_pair("driver", "test")[1])
    with pytest.raises(SystemExit) as caught:
        run(Plain().asyncrun)
    assert caught.value.code == 4


# --- the log ---------------------------------------------------------------------------


class Failing(ipd.IPyDriver):
    def __init__(self):
        super().__init__(ipd.Device("D", texts("v", "w")))
        self.snoopall = True

    async def rxevent(self, event):
        float(event["t"])
        raise KeyError(event["t"])

    async def snoopevent(self, event):
        float(event["t"])


def errors(caplog):
    return [r for r in caplog.records if r.levelno >= logging.ERROR and r.name.startswith("indipydriver")]


@driver_test
async def test_commands_that_fail_again_and_again_are_logged_once_and_counted(caplog):
    async with DriverHarness(Failing()) as h:
        for _ in range(1000):
            await h.set_text("D", "v", t="abc")
        assert h.property("D", "v").updates == 1000  # the clients are told each time
        (record,) = errors(caplog)
        assert record.exc_info
        await h.set_text("D", "w", t="abc")  # of another vector
        await h.set_text("D", "v", t="1")  # with another exception
        assert len(errors(caplog)) == 3
        await h.advance(LOG_AGAIN + 1)
        await h.set_text("D", "v", t="abc")
        assert len(errors(caplog)) == 4
        assert "999 more" in errors(caplog)[-1].getMessage()


@driver_test
async def test_an_exception_of_a_class_in_a_function_is_the_same_failure_each_time(caplog):
    class Local(Failing):
        async def rxevent(self, event):
            class NoAnswer(Exception):
                pass

            raise NoAnswer

    async with DriverHarness(Local()) as h:
        for _ in range(100):
            await h.set_text("D", "v", t="abc")
        assert len(errors(caplog)) == 1


def test_a_failure_is_logged_again_after_a_minute_with_how_often_it_was_not(caplog):
    now = 100.0
    failures = _Failures(lambda: now)
    for moment in (100.0, 100.0, 159.9, 160.0, 219.9, 220.0, 280.0):
        now = moment
        failures.log(ValueError("wrong"), (), "%s fails", "this")
    assert [record.getMessage() for record in caplog.records] == [
        "this fails",
        "this fails; 2 more of this kind since it was last logged",
        "this fails; 1 more of this kind since it was last logged",
        "this fails",
    ]
    assert all(record.exc_info for record in caplog.records)


@driver_test
async def test_news_that_fail_again_and_again_are_logged_once_and_counted(caplog):
    async with DriverHarness(Failing()) as h:
        for n in range(1000):
            await h.send(SetVector(VectorKind.TEXT, "Other", f"p{n}", (OneMember("t", "abc"),), State.OK))
        assert len(errors(caplog)) == 1


@driver_test
async def test_a_vector_that_cannot_be_defined_is_logged_once_however_often_it_is_asked_for(caplog):
    driver = ipd.IPyDriver(ipd.Device("D", texts("v", "w")))
    driver["D"]["v"].label = "&" * 4000
    async with DriverHarness(driver) as h:
        for _ in range(100):
            await h.get_properties()
        assert h.property("D", "w").defined
        assert len(errors(caplog)) == 1


@driver_test
async def test_what_a_refusal_cannot_say_is_logged_once(caplog):
    driver = ipd.IPyDriver(ipd.Device("D", texts("v")))
    async with DriverHarness(driver) as h:

        async def fail(state, message):
            raise ValueError("no")

        driver["D"]["v"].answer_command = fail
        for _ in range(100):
            await h.set_number("D", "v", t=1)
        assert len([record for record in errors(caplog) if "could not be set to Alert" in record.getMessage()]) == 1
