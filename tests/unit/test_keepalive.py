"""The message to clients after some silence: what its interval may be, and that it never holds the loop."""

import asyncio
from typing import Any

import pytest

from indipyserver import IPyServer
from indipyserver.relay.keepalive import SHORTEST_INTERVAL, Keepalive
from indipyserver.routing.endpoint import Endpoint, Role
from tests.support import asynchronous


class Board:
    """Counts what is delivered."""

    def __init__(self) -> None:
        self.last_traffic = asyncio.get_running_loop().time()
        self.clients = [Endpoint("client", Role.CLIENT)]
        self.sent = 0

    def deliver(self, source: object, deliveries: list[Any]) -> None:
        assert source is None
        self.sent += len(deliveries)


async def sent_in(seconds: float, interval: float | None) -> int:
    """Messages in this time; the loop must come round all the while."""
    board = Board()
    keepalive = Keepalive(board)  # type: ignore[arg-type]
    keepalive.interval = interval
    task = asyncio.create_task(keepalive.run())
    async with asyncio.timeout(5):
        await asyncio.sleep(seconds)
    task.cancel()
    await asyncio.wait([task])
    return board.sent


@pytest.mark.parametrize("interval", [None, 0, 0.0, -1, -0.001, -1e300])
@asynchronous
async def test_none_zero_and_less_mean_never(interval):
    assert await sent_in(0.1, interval) == 0


@pytest.mark.parametrize("interval", [1e-300, 1e-9, 0.001])
@asynchronous
async def test_however_short_the_interval_is_the_loop_comes_round(interval):
    seconds = 4 * SHORTEST_INTERVAL
    assert await sent_in(seconds, interval) <= 5


@asynchronous
async def test_a_message_comes_when_the_interval_has_passed():
    assert await sent_in(0.3, 0.1) in (1, 2, 3)
    assert await sent_in(0.1, 1e300) == 0


@pytest.mark.parametrize("interval", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_is_refused(interval):
    server = IPyServer(port=0)
    with pytest.raises(ValueError, match="finite"):
        server.keepalive = interval
    assert server.keepalive == 30


@pytest.mark.parametrize("interval", ["30", [], object(), True])
def test_what_is_no_number_is_refused(interval):
    server = IPyServer(port=0)
    with pytest.raises(TypeError, match="number of seconds"):
        server.keepalive = interval
    assert server.keepalive == 30
