"""What other devices make a driver keep is bounded, however many vectors they have."""

import asyncio

import pytest

import indipydriver as ipd
from indipydriver.protocol.encode import encode
from indipydriver.protocol.frame import Batch
from indipydriver.protocol.messages import DelProperty, Message, OneBlob, OneMember, SetVector
from indipydriver.protocol.tags import VectorKind
from indipydriver.runtime import eventqueues
from indipydriver.runtime.eventqueues import JOB_WEIGHT, MAX_HELD_BYTES, MAX_NEWS_BYTES
from indipydriver.testing import DriverHarness, driver_test

PART = 900_000


class Slow(ipd.IPyDriver):
    def __init__(self):
        super().__init__(ipd.Device("D", [ipd.TextVector("v", "", "", "rw", "Ok", [ipd.TextMember("t")])]))
        self.snoopall = True
        self.begun = []
        self.seconds = 10.0

    async def snoopevent(self, event):
        self.begun.append(event.vectorname)
        await asyncio.sleep(self.seconds)


def text(name, size, device="Other"):
    return encode(SetVector(VectorKind.TEXT, device, name, (OneMember("t", "x" * size),)))


async def put(h, frames):
    for frame in frames:
        h._link.write(Batch([frame]))
    h._link.flush()
    await h.settle()


def queues(h):
    return h.driver._run_state.receiver._queues


@pytest.mark.parametrize("size", [200_000, 10])
@driver_test
async def test_the_first_events_of_very_many_vectors_are_bounded_together(size, monkeypatch):
    limit = 4 << 20
    monkeypatch.setattr(eventqueues, "MAX_HELD_BYTES", limit)
    async with DriverHarness(Slow(), shutdown_grace=0) as h:
        number = 8 * limit // max(size, JOB_WEIGHT)
        waiting = [text(f"p{n}", size) for n in range(number)]
        while not h._link.full_news:
            await put(h, [waiting.pop(0)])
        assert len(h.driver.begun) < number / 2
        h.driver.seconds = 0.0
        await h.advance(100)
        assert not h._link.full_news
        await put(h, waiting)
        await h.advance(100)
        assert h.driver.begun == [f"p{n}" for n in range(number)]
        assert queues(h)._held == 0
        assert queues(h)._queues == {}
        assert not h._link.full_news


@pytest.mark.parametrize("news", [Message("Other", "x"), DelProperty("Other")])
@driver_test
async def test_messages_and_deletions_cost_little_while_many_vectors_are_busy(news):
    """Each waits only for what has come since the one before it."""
    async with DriverHarness(Slow(), shutdown_grace=0) as h:
        await put(h, [text(f"p{n}", 10) for n in range(200)])
        await put(h, [encode(news)] * 100)
        queue = queues(h)._queues[False, "Other", None]
        assert len(queue.current.after) == 200
        assert [len(job.after) for job in queue.jobs] == [0] * 99
        assert queues(h)._last == {}
        await h.advance(5)
        await put(h, [text("p0", 10)])
        h.driver.begun.clear()
        h.driver.seconds = 0.0
        await h.advance(100)
        assert h.driver.begun.count(None) == 100
        assert queues(h)._last == queues(h)._filled == {}


@driver_test
async def test_one_large_event_that_is_handled_holds_up_nothing():
    """A picture of any size is being saved, and the rain is heard."""
    async with DriverHarness(Slow(), shutdown_grace=0) as h:
        data = b"x" * (MAX_HELD_BYTES + MAX_NEWS_BYTES)
        await put(h, [encode(SetVector(VectorKind.BLOB, "Camera", "b", (OneBlob("m", data, len(data), ".fits"),)))])
        await put(h, [text(f"p{n}", 10) for n in range(100)])
        assert len(h.driver.begun) == 101
        assert not h._drivers_link._here.paused


@driver_test
async def test_what_is_void_is_not_held():
    async with DriverHarness(Slow(), shutdown_grace=0) as h:
        await put(h, [text(f"p{n % 10}", PART, "Gone") for n in range(20)])
        assert queues(h)._held > 15 * PART
        await put(h, [encode(DelProperty("Gone"))])
        assert queues(h)._held < 11 * PART
        await h.advance(100)
        assert queues(h)._held == queues(h)._news == 0
