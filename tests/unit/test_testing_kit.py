"""The kit for those who test their own drivers."""

import asyncio
import enum
import time

import pytest

import indipydriver as ipd
from indipydriver.protocol.messages import SetVector
from indipydriver.protocol.tags import State, VectorKind
from indipydriver.testing import DriverHarness, driver_test, run
from tests.support import allowed


class Mount(ipd.IPyDriver):
    """Slews for a minute."""

    async def rxevent(self, event):
        match event:
            case ipd.newNumberVector(vectorname="RA"):
                await event.vector.send_setVector(state="Busy")
                await asyncio.sleep(60)
                event.vector.update(event)
                await event.vector.send_setVector(state="Ok", message="there")
            case ipd.newSwitchVector():
                await self["Mount"].send_delProperty("gone")
            case ipd.newTextVector():
                event.vector.update(event)
                await event.vector.send_setVector()
            case ipd.newBLOBVector():
                event.vector["IN"] = event["IN"][::-1]
                await event.vector.send_setVectorMembers(members=["IN"])


def mount(cls=Mount):
    return cls(
        ipd.Device(
            "Mount",
            [
                ipd.NumberVector("RA", "", "", "rw", "Ok", [ipd.NumberMember("RA")]),
                ipd.SwitchVector("SW", "", "", "rw", "AnyOfMany", "Ok", [ipd.SwitchMember("a b")]),
                ipd.TextVector("TX", "", "", "rw", "Ok", [ipd.TextMember("T")]),
                ipd.BLOBVector("BL", "", "", "rw", "Ok", [ipd.BLOBMember("IN")]),
            ],
        )
    )


@pytest.mark.measured
def test_a_minute_takes_no_time():
    async def test():
        async with DriverHarness(mount()) as harness:
            harness.assert_state("Mount", "RA", "Ok")
            await harness.set_number("Mount", "RA", RA=5.5)
            harness.assert_state("Mount", "RA", "Busy")
            await harness.advance(59)
            harness.assert_values("Mount", "RA", RA="0")
            seen = await harness.wait_for("Mount", "RA", state="Ok", timeout=2)
            harness.assert_values("Mount", "RA", {"RA": "5.5"})
            assert (seen.message, seen.updates) == ("there", 2)
            assert harness.texts == ["there"]
            assert isinstance(harness.messages[-1], SetVector)
        return "done"

    began = time.monotonic()
    assert run(test) == "done"
    assert time.monotonic() - began < allowed(30)


@driver_test
async def test_all_kinds_of_commands():
    async with DriverHarness(mount()) as harness:
        await harness.set_text("Mount", "TX", T="é")
        harness.assert_values("Mount", "TX", T="é")
        await harness.send_blob("Mount", "BL", "IN", b"abc")
        await harness.wait_for("Mount", "BL", values={"IN": b"cba"})
        await harness.set_switch("Mount", "SW", {"a b": "On"})
        await harness.wait_for("Mount", "SW", defined=False)
        harness.assert_deleted("Mount", "RA")
        assert harness.texts == ["gone"]


class Word(str, enum.Enum):  # noqa: UP042 - as in drivers from before StrEnum
    ON = "On"
    HELLO = "hello"


@driver_test
async def test_the_words_of_an_enumeration_are_their_values():
    async with DriverHarness(mount()) as harness:
        await harness.set_text("Mount", "TX", T=Word.HELLO)
        harness.assert_values("Mount", "TX", T="hello")
        await harness.set_switch("Mount", "SW", {"a b": Word.ON})
        harness.assert_deleted("Mount", "SW")


@driver_test
async def test_a_command_that_cannot_be_sent_is_not_waited_for():
    async with DriverHarness(mount()) as harness:
        with pytest.raises(ValueError, match="not one of"):
            await harness.set_switch("Mount", "SW", {"a b": "Maybe"})
        harness.assert_state("Mount", "SW", "Ok")


@driver_test
async def test_what_does_not_come_is_an_assertion_error():
    async with DriverHarness(mount()) as harness:
        with pytest.raises(AssertionError, match="not within 30 s: Mount RA: state Alert"):
            await harness.wait_for("Mount", "RA", state="Alert", timeout=30)
        with pytest.raises(AssertionError, match="is Ok, not Busy"):
            harness.assert_state("Mount", "RA", "Busy")
        with pytest.raises(AssertionError, match="not '7'"):
            harness.assert_values("Mount", "RA", RA="7")
        with pytest.raises(AssertionError, match="no member 'x'"):
            harness.assert_values("Mount", "RA", x="7")
        with pytest.raises(AssertionError, match="not defined"):
            harness.assert_state("Mount", "other", "Ok")
        with pytest.raises(AssertionError, match="still defined"):
            harness.assert_deleted("Mount", "RA")


def test_what_is_known_is_told_in_a_line_for_each_property():
    """The message of the one that failed was lost among thousands of characters."""

    class Fails(Mount):
        async def rxevent(self, event):
            await event.vector.send_setVector(state="Alert", message="no power")

    async def session():
        async with DriverHarness(mount(Fails)) as harness:
            await harness.set_number("Mount", "RA", RA=1)
            await harness.wait_for("Mount", "nowhere", state="Ok", timeout=30)

    with pytest.raises(AssertionError) as caught:
        run(session)
    first, *lines = str(caught.value).splitlines()
    assert first == "not within 30 s: Mount nowhere: state Ok; known:"
    assert "  Mount RA: Alert, RA=0; no power" in lines
    assert "  Mount nowhere: not defined" in lines
    assert all(len(line) < 100 for line in lines)


class Broken(Mount):
    async def hardware(self):
        await asyncio.sleep(5)
        raise OSError("no such port")


def test_a_driver_that_fails_fails_the_test():
    async def waiting():
        async with DriverHarness(mount(Broken)) as harness:
            with pytest.raises(ExceptionGroup):
                await harness.wait_for("Mount", "RA", state="Alert", timeout=10)

    async def not_waiting():
        async with DriverHarness(mount(Broken)) as harness:
            await harness.advance(10)

    for test in (waiting, not_waiting):
        with pytest.raises(ExceptionGroup) as caught:
            run(test)
        assert caught.group_contains(OSError, match="no such port")


def test_news_for_drivers_that_snoop():
    class Snooper(ipd.IPyDriver):
        seen = ()

        async def hardware(self):
            await self.send_getProperties("Other", "v")

        async def snoopevent(self, event):
            self.seen += ((event.vectorname, event.state),)

    async def test():
        driver = Snooper()
        async with DriverHarness(driver) as harness:
            await harness.send(SetVector(VectorKind.TEXT, "Other", "v", (), State.BUSY))
            assert driver.seen == (("v", "Busy"),)

    run(test)


def test_in_real_time():
    async def test():
        async with DriverHarness(mount()) as harness:
            await harness.wait_for("Mount", "TX")
            await harness.set_text("Mount", "TX", T="x")
            await harness.wait_for("Mount", "TX", values={"T": "x"})

    run(test, real_time=True)


def test_waiting_for_nothing_is_noticed():
    async def test():
        await asyncio.get_running_loop().create_future()

    with pytest.raises(RuntimeError, match="every task is waiting"):
        run(test)


@driver_test
async def test_time_stands_still_while_a_thread_works():
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(1):
        await asyncio.to_thread(time.sleep, 0.01)
    assert loop.time() == 0.0


@pytest.mark.parametrize("value", [1, 2])
@driver_test
async def test_fixtures_and_parameters_reach_the_test(value, tmp_path):
    assert value in (1, 2)
    assert tmp_path.is_dir()


def test_in_a_notebook_it_says_what_to_do():
    async def cell():
        run(cell)

    with pytest.raises(RuntimeError, match=r"await test\(\)"):
        asyncio.run(cell())


@driver_test
async def test_a_test_that_is_cancelled_as_it_begins_leaves_no_driver_running():
    driver = mount()
    for turns in range(4):

        async def test():
            async with DriverHarness(driver):
                await asyncio.sleep(60)

        task = asyncio.create_task(test())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert [other for other in asyncio.all_tasks() if other is not asyncio.current_task()] == []
    async with DriverHarness(driver) as harness:
        harness.assert_state("Mount", "RA", "Ok")


def test_what_interrupts_a_test_leaves_no_driver_running():
    class Interrupted(ipd.IPyDriver):
        ended = False

        async def hardware(self):
            try:
                await asyncio.sleep(3600)
            finally:
                self.ended = True

        async def rxevent(self, event):
            raise KeyboardInterrupt

    driver = mount(Interrupted)
    tasks = []

    async def test():
        tasks.append(asyncio.current_task())
        try:
            async with DriverHarness(driver) as harness:
                await harness.set_text("Mount", "TX", T="x")
        finally:
            tasks.extend(asyncio.all_tasks())

    with pytest.raises(KeyboardInterrupt):
        run(test)
    assert all(task.done() for task in tasks)
    assert driver.ended
    assert driver.stopped.is_set()
