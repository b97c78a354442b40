"""Programs may have an event loop in which tasks begin while they are created: drivers do not notice it."""

import asyncio

import pytest

import indipydriver as ipd
from indipydriver.protocol.encode import encode
from indipydriver.protocol.frame import Batch
from indipydriver.protocol.messages import NewVector, OneMember, SetVector
from indipydriver.protocol.tags import State, VectorKind
from indipydriver.runtime.dispatch import Dispatcher
from indipydriver.testing import DriverHarness, driver_test
from indipydriver.transport.memory import memory_pair
from tests.support.eager import tasks_begin_at_once


def device():
    return ipd.Device("D", [ipd.TextVector("v", "", "", "rw", "Ok", [ipd.TextMember("t", membervalue="old")])])


@driver_test
async def test_tasks_do_begin_at_once_here():
    tasks_begin_at_once()
    begun = []

    async def work():
        begun.append(asyncio.current_task())
        await asyncio.sleep(1)
        return "done"

    me = asyncio.current_task()
    task = asyncio.create_task(work())
    assert begun == [task]
    assert asyncio.current_task() is me
    assert await task == "done"


@pytest.mark.parametrize("how", ["hardware", "background", "sys.exit"])
@driver_test
async def test_what_fails_at_once_has_failed_and_ends_this_run_only(how):
    class Broken(ipd.IPyDriver):
        runs = 0

        async def hardware(self):
            self.runs += 1
            if self.runs == 1 and how == "hardware":
                raise OSError("no such port")
            if self.runs == 1 and how == "sys.exit":
                raise SystemExit(3)

    async def fail():
        raise OSError("no such port")

    tasks_begin_at_once()
    driver = Broken(device())
    if how == "background":
        driver.add_background(fail())
    _, theirs = memory_pair("driver", "test")
    with pytest.raises(ExceptionGroup) as caught:
        await driver.serve(theirs)
    (error,) = caught.value.exceptions
    assert "hardware() called sys.exit(3)" in str(error) if how == "sys.exit" else isinstance(error, OSError)
    assert driver.stop
    async with DriverHarness(driver) as h:
        await h.advance(1)
        assert not driver.stop
        assert driver.runs == 2
        assert h.property("D", "v").defined


@driver_test
async def test_an_event_is_handled_in_a_turn_of_its_own(monkeypatch):
    """What it does may come back to the link, which is in the middle of handing on others."""
    now, done = [], []
    received = Dispatcher.frames_received

    def frames_received(self, frames):
        now.append("receives")
        received(self, frames)
        now.remove("receives")

    monkeypatch.setattr(Dispatcher, "frames_received", frames_received)

    class Careful(ipd.IPyDriver):
        async def rxevent(self, event):
            done.extend(["rx", *now])

        async def snoopevent(self, event):
            done.extend(["snoop", *now])

    tasks_begin_at_once()
    driver = Careful(device())
    driver.snoopall = True
    members = (OneMember("t", "new"),)
    frames = [
        encode(NewVector(VectorKind.TEXT, "D", "v", members)),
        encode(SetVector(VectorKind.TEXT, "Other", "v", members, State.OK)),
    ]
    async with DriverHarness(driver) as h:
        h._link.write(Batch(frames))
        h._link.flush()
        await h.settle()
    assert done == ["rx", "snoop"]


@driver_test
async def test_nothing_is_kept_of_vectors_whose_news_has_been_handled():
    class Quick(ipd.IPyDriver):
        heard = 0

        async def snoopevent(self, event):
            self.heard += 1

    tasks_begin_at_once()
    driver = Quick(device())
    driver.snoopall = True
    async with DriverHarness(driver) as h:
        for n in range(50):
            await h.send(SetVector(VectorKind.TEXT, "Other", f"v{n}", (OneMember("t", "x"),), State.OK))
        assert driver.heard == 50
        queues = driver._run_state.receiver._queues
        assert [queues._queues, queues._last, queues._filled] == [{}, {}, {}]
