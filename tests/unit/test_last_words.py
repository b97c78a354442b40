"""What a driver has sent before it ends arrives."""

import asyncio

import pytest

import indipydriver as ipd
from indipydriver.protocol.encode import encode
from indipydriver.protocol.frame import Batch
from indipydriver.protocol.messages import Message
from indipydriver.testing import driver_test, run
from indipydriver.transport.memory import memory_pair
from indipyserver import IPyServer
from tests.support.client import IndiClient, match, values_of
from tests.support.links import Recorder


class Ending(ipd.IPyDriver):
    """Sends much, and ends at once."""

    def __init__(self, how):
        super().__init__(ipd.Device("D", [ipd.TextVector("v", "", "", "ro", "Ok", [ipd.TextMember("t")])]))
        self.how = how
        self.go = asyncio.Event()

    async def hardware(self):
        await self.go.wait()
        vector = self["D"]["v"]
        for n in range(35):
            vector["t"] = f"{n} " + "x" * 100_000
            await vector.send_setVector()
        if self.how == "raise":
            raise RuntimeError("broken")
        self.shutdown()


@pytest.mark.parametrize("how", ["return", "raise"])
@driver_test
async def test_all_that_a_driver_has_sent_arrives_before_its_run_ends(how):
    driver, receiver = Ending(how), Recorder()
    ours, theirs = memory_pair("D", "test")
    ours.open(receiver)
    driver.go.set()
    if how == "raise":
        with pytest.raises(ExceptionGroup):
            await driver.serve(theirs)
    else:
        await driver.serve(theirs)
    updates = [frame for frame in receiver.frames if frame.tag.text == "setTextVector"]
    assert len(updates) == 35
    await asyncio.sleep(1)  # of the test's time, in which the link says that it has ended
    assert receiver.closed == [None]
    assert receiver.wrong == []


@pytest.mark.parametrize("error", [ValueError, TimeoutError, SystemExit])
@driver_test
async def test_so_it_does_though_shutdown_fails_at_the_end(error):
    class Failing(Ending):
        calls = 0

        def shutdown(self):
            super().shutdown()
            self.calls += 1
            if self.calls > 1:  # the first is that of hardware()
                raise error("the port does not answer")

    driver, receiver = Failing("return"), Recorder()
    ours, theirs = memory_pair("D", "test")
    ours.open(receiver)
    ours.pause_reading()
    driver.go.set()
    running = asyncio.create_task(driver.serve(theirs))
    await asyncio.sleep(1)
    assert driver.calls == 2
    ours.resume_reading()
    with pytest.raises(RuntimeError if error is SystemExit else error, match="does not answer"):
        await running
    assert len(receiver.frames) == 35
    assert receiver.closed == [None]


@driver_test
async def test_a_failure_with_nothing_left_to_send_is_known_before_the_link_has_closed():
    """So the server can say why the device goes."""

    class Failing(ipd.IPyDriver):
        async def hardware(self):
            raise OSError("no such port")

    receiver = Recorder()
    ours, theirs = memory_pair("D", "test")
    ours.open(receiver)
    with pytest.raises(ExceptionGroup):
        await Failing(ipd.Device("D", [])).serve(theirs)
    assert receiver.closed == []
    await asyncio.sleep(1)
    assert receiver.closed == [None]


@pytest.mark.parametrize("how", ["return", "raise"])
def test_a_client_gets_all_updates_before_the_device_is_deleted(how):
    async def test():
        driver = Ending(how)
        server = IPyServer(driver, port=0)
        running = asyncio.create_task(server.asyncrun())
        await server.started.wait()
        async with IndiClient(server.port) as client:
            await client.send("<getProperties version='1.7'/>")
            await client.expect(match("defTextVector"))
            driver.go.set()
            for n in range(35):
                update = await client.expect(match("setTextVector|delProperty"))
                assert values_of(update).get("t", "").startswith(f"{n} ")
            await client.expect(match("delProperty", device="D"))
        server.shutdown()
        await running

    run(test, real_time=True)


# --- the link --------------------------------------------------------------------------


def batches(count):
    for n in range(count):
        yield Batch([encode(Message("D", f"{n} " + "x" * 4000))])


@driver_test
async def test_a_link_is_closed_when_the_other_end_has_taken_all():
    ours, theirs = memory_pair("a", "b")
    here, there = Recorder(), Recorder()
    ours.open(here)
    theirs.open(there)
    ours.pause_reading()
    for batch in batches(500):
        theirs.write(batch)
    theirs.flush()
    theirs.close()
    await asyncio.sleep(10)
    assert not there.closed
    assert theirs.unsent > 0
    ours.write(next(batches(1)))  # nobody listens any more
    ours.flush()
    ours.resume_reading()
    await asyncio.sleep(1)
    assert there.closed == here.closed == [None]
    assert len(here.frames) == 500
    assert there.frames == []
    assert theirs.unsent == ours.unsent == 0


@driver_test
async def test_a_link_that_closes_can_be_ended_at_once():
    ours, theirs = memory_pair("a", "b")
    here, there = Recorder(), Recorder()
    ours.open(here)
    theirs.open(there)
    ours.pause_reading()
    for batch in batches(3):
        theirs.write(batch)
    theirs.flush()
    theirs.close()
    theirs.abort()
    theirs.abort()
    await asyncio.sleep(1)
    assert there.closed == here.closed == [None]
    assert here.frames == []


@driver_test
async def test_when_the_other_end_goes_a_link_that_closes_is_closed():
    ours, theirs = memory_pair("a", "b")
    here, there = Recorder(), Recorder()
    ours.open(here)
    theirs.open(there)
    ours.pause_reading()
    for batch in batches(3):
        theirs.write(batch)
    theirs.close()
    ours.abort()
    await asyncio.sleep(1)
    assert there.closed == here.closed == [None]


@driver_test
async def test_where_nobody_is_at_the_other_end_a_link_closes_at_once():
    _, theirs = memory_pair("a", "b")
    there = Recorder()
    theirs.open(there)
    theirs.write(next(batches(1)))
    theirs.close()
    await asyncio.sleep(0.001)
    assert there.closed == [None]
