"""The link within a process hands over in portions, so that a receiver can stop it, and its writer knows."""

import asyncio

import pytest

from indipydriver.protocol.encode import encode
from indipydriver.protocol.frame import Batch
from indipydriver.protocol.messages import OneMember, SetVector
from indipydriver.protocol.tags import State, VectorKind
from indipydriver.testing import run
from indipydriver.transport.link import LOW_WATER, SLICE
from indipydriver.transport.memory import memory_pair
from tests.support.links import Recorder


class Receiver(Recorder):
    """Notes the size of each portion, and may stop reading after so many of them."""

    def __init__(self, link=None, pause_after=None):
        super().__init__()
        self.portions = []
        self.link = link
        self.pause_after = pause_after

    def frames_received(self, frames):
        super().frames_received(frames)
        self.portions.append(sum(frame.size for frame in frames))
        if self.pause_after == len(self.portions):
            self.link.pause_reading()


def batch(size, count=1):
    frame = encode(SetVector(VectorKind.TEXT, "D", "t", (OneMember("m", "x" * size),), State.OK))
    return Batch([frame] * count)


def test_what_waits_is_handed_over_in_portions():
    async def test():
        ours, theirs = memory_pair("a", "b")
        writer, reader = Receiver(), Receiver()
        ours.open(writer)
        theirs.open(reader)
        sizes = [100] * 50 + [SLICE // 3] * 10 + [3 * SLICE] + [100] * 3
        batches = [batch(size) for size in sizes]
        for each in batches:
            ours.write(each)
        ours.flush()
        total = sum(each.size for each in batches)
        assert ours.unsent == total
        turns = 0
        while ours.unsent:
            await asyncio.sleep(0)
            turns += 1
            assert ours.unsent + ours.bytes_sent == total
            assert theirs.bytes_received == ours.bytes_sent
        assert all(portion <= SLICE or portion > 3 * SLICE for portion in reader.portions)
        assert len(reader.portions) == turns > 5
        assert writer.drained == 1
        assert all(len(each.frames) == 1 for each in batches)  # a batch may have other receivers

    run(test)


@pytest.mark.parametrize("pause_after", [1, 2])
def test_a_receiver_that_pauses_keeps_the_rest_at_the_writers_end(pause_after):
    async def test():
        ours, theirs = memory_pair("a", "b")
        writer, reader = Receiver(), Receiver(theirs, pause_after)
        ours.open(writer)
        theirs.open(reader)
        for _ in range(100):
            ours.write(batch(SLICE // 2))
        ours.flush()
        assert not ours.peer_paused
        await asyncio.sleep(1)
        assert ours.peer_paused
        assert not theirs.peer_paused
        assert len(reader.portions) == pause_after
        assert ours.unsent > LOW_WATER
        assert writer.drained == 0
        theirs.resume_reading()
        assert not ours.peer_paused
        await asyncio.sleep(1)
        assert ours.unsent == 0
        assert writer.drained == 1

    run(test)


@pytest.mark.parametrize("how", ["close", "abort"])
def test_the_end_within_a_portion(how):
    async def test():
        ours, theirs = memory_pair("a", "b")
        writer, reader = Receiver(), Receiver()
        reader.frames_received = lambda frames: (reader.portions.append(1), getattr(theirs, how)())
        ours.open(writer)
        theirs.open(reader)
        for _ in range(10):
            ours.write(batch(SLICE))
        ours.flush()
        await asyncio.sleep(1)
        assert reader.portions == [1]
        assert reader.closed
        assert writer.closed

    run(test)


def test_close_lets_all_portions_through():
    async def test():
        ours, theirs = memory_pair("a", "b")
        writer, reader = Receiver(), Receiver()
        ours.open(writer)
        theirs.open(reader)
        for _ in range(10):
            ours.write(batch(SLICE))
        ours.close()
        await asyncio.sleep(1)
        assert len(reader.portions) == 10
        assert reader.closed

    run(test)
