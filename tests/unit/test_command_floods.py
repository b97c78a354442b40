"""Commands that nobody has time for hold up no news of other devices, and none of them is lost."""

import asyncio
import logging

import pytest

import indipydriver as ipd
from indipydriver.protocol.encode import encode
from indipydriver.protocol.frame import Batch
from indipydriver.protocol.messages import NewVector, OneMember, SetVector
from indipydriver.protocol.tags import State, VectorKind
from indipydriver.runtime.eventqueues import MAX_COMMAND_BYTES, MAX_EVENTS
from indipydriver.testing import DriverHarness, driver_test, run
from indipydriver.transport.memory import memory_pair
from indipyserver.relay.peer import Peer
from indipyserver.routing.endpoint import Role
from indipyserver.routing.outbox import OutboxLimits


class Roof(ipd.IPyDriver):
    """Moves for a minute after each command, and notes what it hears."""

    def __init__(self):
        super().__init__(
            ipd.Device(
                "Roof", [ipd.TextVector(n, "", "", "rw", "Ok", [ipd.TextMember("t")]) for n in ("move", "abort")]
            )
        )
        self.moves = []
        self.heard = []
        self.aborted = 0
        self.seconds = 60.0
        self.snoop("Rain", "status")

    async def rxevent(self, event):
        if event.vectorname == "abort":
            self.aborted += 1
            return
        self.moves.append(event["t"][:10])
        await asyncio.sleep(self.seconds)

    async def snoopevent(self, event):
        self.heard.append(event["t"])


def command(text, name="move"):
    return encode(NewVector(VectorKind.TEXT, "Roof", name, (OneMember("t", text),)))


def rain(text):
    return encode(SetVector(VectorKind.TEXT, "Rain", "status", (OneMember("t", text),), State.OK))


class Board:
    def __init__(self):
        self.announced = []
        self.told = []

    def relay(self, source, frames):
        pass

    def remove(self, peer, error):
        pass

    def refresh(self, peer):
        pass

    def announce(self, text, about=None):
        self.announced.append(text)

    def send(self, peer, frame):
        self.told.append((peer.label, frame.raw))


class Served:
    """A driver as a server has it."""

    def __init__(self, driver, **arguments):
        self.driver = driver
        self.board = Board()
        ours, theirs = memory_pair("Roof", "the server")
        self.peer = Peer(self.board, ours, Role.DRIVER, limits=OutboxLimits(), in_process=True, **arguments)
        ours.open(self.peer)
        self.task = asyncio.create_task(driver.serve(theirs, shutdown_grace=0))

    async def __aenter__(self):
        await asyncio.sleep(0.1)
        return self

    async def __aexit__(self, *_):
        self.driver.shutdown()
        await self.task

    async def put(self, *frames, sender=None):
        for frame in frames:
            self.peer.put(Batch([frame]), [frame], sender)
            self.peer.flush()
            if sender is not None:
                self.peer.hold_if_congested(sender)
        await asyncio.sleep(0.001)


FLOODS = {"many": [command(str(n)) for n in range(20_000)], "large": [command("x" * 200_000) for _ in range(20)]}


@pytest.mark.parametrize("flood", FLOODS)
@driver_test
async def test_rain_is_heard_at_once_and_in_order_during_a_flood_of_commands(flood):
    async with Served(Roof()) as served:
        await served.put(*FLOODS[flood])
        for n in range(100):
            await served.put(rain(str(n)))
            assert served.driver.heard[-1:] == [str(n)]
        assert served.driver.heard == [str(n) for n in range(100)]
        assert len(served.driver.moves) == 1
        assert served.peer.dropped == 0


@pytest.mark.parametrize("flood", FLOODS)
@driver_test
async def test_every_command_of_a_flood_is_handled_in_order(flood):
    async with Served(Roof()) as served:
        served.driver.seconds = 0.001
        await served.put(*FLOODS[flood])
        await asyncio.sleep(1000)
        moves = served.driver.moves
        assert len(moves) == len(FLOODS[flood])
        assert flood != "many" or moves == [str(n) for n in range(20_000)]
        assert served.peer.queued == 0


@driver_test
async def test_the_senders_of_a_flood_wait_and_the_memory_of_a_driver_is_bounded():
    async with Served(Roof()) as served:
        put = 0
        client = Peer(served.board, memory_pair("a laptop", "b")[0], Role.CLIENT, limits=OutboxLimits())
        while not client.link._here.paused:
            await served.put(command("x" * 10_000), sender=client)
            put += 1
        held = sum(queue.behind for queue in served.driver._run_state.receiver._queues._queues.values())
        assert held <= 2 * MAX_COMMAND_BYTES
        assert put * 10_000 < 4 * MAX_COMMAND_BYTES
        served.driver.seconds = 0.0
        await asyncio.sleep(100)
        assert not client.link._here.paused


@driver_test
async def test_commands_and_news_that_wait_take_turns():
    """Neither a flood of commands nor one of news keeps the other back for ever."""
    async with Served(Roof()) as served:
        theirs = served.driver._run_state.receiver._link
        theirs.pause_reading()
        for n in range(20_000):
            await served.put(command(str(n) + "x" * 100))
            if n % 400 == 0:
                await served.put(rain(str(n)))
        served.driver.seconds = 0.0
        theirs.resume_reading()
        while len(served.driver.heard) < 50:
            await asyncio.sleep(0)
        assert len(served.driver.moves) < 10_000


def test_a_driver_that_is_busy_with_commands_is_said_to_be_so_though_it_hears_news(caplog):
    async def test():
        async with Served(Roof(), hang_time=10) as served:
            client = Peer(served.board, memory_pair("a laptop", "b")[0], Role.CLIENT, limits=OutboxLimits())
            await served.put(*FLOODS["many"])
            served.peer.hold(client)
            for n in range(100):
                await served.put(rain(str(n)))
                await asyncio.sleep(0.5)
            assert not served.peer.closed
            assert len([text for text in served.board.announced if "Roof is busy" in text]) == 1
            assert "a laptop" in {label for label, _ in served.board.told}
            assert "held up: a laptop" in caplog.text

    run(test)
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.mark.parametrize("flood", FLOODS)
@pytest.mark.parametrize("by_another", [True, False])
@driver_test
async def test_an_abort_is_heard_at_once_during_a_flood_of_another_vector(flood, by_another):
    async with Served(Roof()) as served:
        flooder, other = (
            Peer(served.board, memory_pair("a laptop", "b")[0], Role.CLIENT, limits=OutboxLimits()) for _ in range(2)
        )
        for frame in FLOODS[flood]:
            if flooder.link._here.paused:
                break
            await served.put(frame, sender=flooder)
        await served.put(command("now", "abort"), sender=other if by_another else flooder)
        assert served.driver.aborted == 1
        assert flooder.link._here.paused
        assert not other.link._here.paused


@driver_test
async def test_an_abort_is_heard_during_a_flood_that_has_filled_one_vector():
    async with DriverHarness(Roof()) as h:
        for n in range(MAX_EVENTS + 10):
            h._link.write(Batch([command(str(n))]))
        h._link.write(Batch([command("now", "abort")]))
        h._link.flush()
        await h.settle()
        assert h.driver.aborted == 1
