"""A driver of the server's process that takes nothing is busy, not hung: it is never ended for that."""

import asyncio
import logging

import pytest

from indipydriver.protocol.encode import encode
from indipydriver.protocol.frame import Batch
from indipydriver.protocol.messages import NewVector, OneMember, SetVector
from indipydriver.protocol.tags import State, VectorKind
from indipydriver.testing import run
from indipydriver.transport.memory import memory_pair
from indipyserver.relay.peer import Peer
from indipyserver.routing.endpoint import Role
from indipyserver.routing.outbox import OutboxLimits
from tests.support.links import Board, Recorder

COMMAND = [encode(NewVector(VectorKind.TEXT, "D", "p", (OneMember("m", "x" * 100_000),)))]
OTHER_COMMAND = [encode(NewVector(VectorKind.TEXT, "D", "other", (OneMember("m", "x"),)))]
NEWS = [encode(SetVector(VectorKind.TEXT, "Other", "t", (OneMember("m", "x" * 100_000),), State.OK))]


def test_a_busy_driver_is_named_once_and_never_ended(caplog):
    async def test():
        board = Board()
        ours, theirs = memory_pair("Roof", "the server")
        limits = OutboxLimits(snoop=1 << 20)
        peer = Peer(board, ours, Role.DRIVER, limits=limits, in_process=True, hang_time=10)
        there, _ = memory_pair("a laptop", "b")
        client = Peer(board, there, Role.CLIENT, limits=limits)
        driver = Recorder()
        ours.open(peer)
        theirs.open(driver)
        theirs.pause_reading()
        for _ in range(20):
            for frames in (COMMAND, NEWS):
                peer.put(Batch(frames), frames, client)
        peer.flush()
        peer.hold_if_congested(client)
        assert there._here.paused
        await asyncio.sleep(1000)
        assert not peer.closed
        assert not driver.closed
        assert len([text for text in board.announced if "Roof is busy" in text]) == 1
        assert "held up: a laptop" in caplog.text
        assert there._here.paused  # senders wait
        assert peer.dropped > 0  # and news is left out
        theirs.resume_reading()
        await asyncio.sleep(1)
        assert peer.queued == 0
        assert not there._here.paused
        assert board.refreshed == 1
        await asyncio.sleep(1000)
        assert not peer.closed
        theirs.pause_reading()  # at another time it is named again
        peer.put(Batch(COMMAND), COMMAND)
        peer.flush()
        await asyncio.sleep(100)
        assert len([text for text in board.announced if "Roof is busy" in text]) == 2

    run(test)
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.mark.parametrize("of_news", [True, False], ids=["of news", "of commands"])
def test_a_driver_that_is_full_is_named_once_whatever_commands_it_takes(of_news):
    def set_full(link, is_full):
        if of_news:
            link.set_full_of_news(is_full)
        else:
            link.set_full("D", "p", is_full)

    async def test():
        board = Board()
        ours, theirs = memory_pair("Solver", "the server")
        peer = Peer(board, ours, Role.DRIVER, limits=OutboxLimits(), in_process=True, hang_time=10)
        driver = Recorder()
        ours.open(peer)
        theirs.open(driver)
        for times in (1, 2):  # at another time it is named again
            set_full(theirs, True)
            waiting = NEWS if of_news else COMMAND
            peer.put(Batch(waiting), waiting)
            peer.flush()
            for _ in range(10):
                await asyncio.sleep(100)
                peer.put(Batch(OTHER_COMMAND), OTHER_COMMAND)
                peer.flush()
            assert len([text for text in board.announced if "Solver is busy" in text]) == times
            set_full(theirs, False)
            await asyncio.sleep(100)
            assert peer.queued == 0
        assert len(driver.frames) == 22

    run(test)


def test_what_takes_nothing_and_has_not_paused_is_still_hung():
    async def test():
        board = Board()
        ours, _ = memory_pair("Dead", "the server")  # its other end is never opened
        peer = Peer(board, ours, Role.DRIVER, limits=OutboxLimits(), in_process=True, hang_time=10)
        ours.open(peer)
        peer.put(Batch(COMMAND), COMMAND)
        peer.flush()
        await asyncio.sleep(100)
        assert peer.closed
        assert peer.last_error

    run(test)


def test_a_server_above_that_waits_hears_that_this_one_is_well():
    async def test():
        board = Board()
        told = []
        board.send = lambda peer, frame: told.append((peer.label, frame.raw.count(b"is still busy")))
        ours, theirs = memory_pair("Roof", "the server")
        peer = Peer(board, ours, Role.DRIVER, limits=OutboxLimits(), in_process=True, hang_time=10)
        senders = [
            Peer(board, memory_pair(label, "b")[0], role, limits=OutboxLimits())
            for label, role in (("above", Role.UPSTREAM), ("a laptop", Role.CLIENT))
        ]
        ours.open(peer)
        theirs.open(Recorder())
        theirs.pause_reading()
        peer.put(Batch(COMMAND), COMMAND)
        peer.flush()
        for sender in senders:
            peer.hold(sender)
        await asyncio.sleep(1000)
        assert len([label for label, count in told if label == "above" and count]) > 100
        assert [label for label, count in told if label == "a laptop" and count] == []

    run(test)
