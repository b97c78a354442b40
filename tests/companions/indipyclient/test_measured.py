"""What the client library promises about time and memory, with room for a busy machine."""

import asyncio
import time

import pytest

from indipyclient import Client
from tests.bench import indiclients
from tests.support import allowed, asynchronous

from .scripted import DEFINE, scripted

pytestmark = pytest.mark.measured
OURS = indiclients.contenders(None)


def test_the_model_applies_updates_quickly():
    assert 1 / indiclients.applied(0.2) < allowed(1 / 40_000)


def test_updates_reach_the_reader_quickly():
    figures = indiclients.updates(OURS[0], 0.1)
    assert figures["µs of processor"] < allowed(80)


def test_the_client_with_the_api_of_pypi_is_not_slower_than_theirs():
    """Theirs takes 33 us."""
    assert indiclients.updates(OURS[1], 0.5)["µs of processor"] < allowed(30)


def test_a_large_site_is_known_soon_and_takes_little_memory():
    figures = indiclients.large_site(OURS[0], 1.0)
    assert figures["seconds"] < allowed(3.0)
    assert figures["MB"] < 75


def test_blobs_take_little_more_than_their_base64():
    assert indiclients.blobs(OURS[0], 0.5)["ms of processor for a MB"] < allowed(12)


def test_blobs_on_a_local_socket_are_not_encoded():
    assert indiclients.local_blobs(OURS[0], 0.5)["ms of processor for a MB"] < allowed(2)


@asynchronous
async def test_an_idle_client_takes_no_processor_time():
    async with scripted() as server, Client("127.0.0.1", server.port) as client:
        await server.client(DEFINE)
        await client.wait_property("Mount", "EQ")
        cursors = [client.changes() for _ in range(20)]
        waiting = [asyncio.ensure_future(cursor.next()) for cursor in cursors]
        await asyncio.sleep(0.1)
        begin = time.process_time()
        await asyncio.sleep(1.0)
        assert time.process_time() - begin < allowed(0.01)
        for task in waiting:
            task.cancel()


def test_both_clients_can_be_measured():
    for one in OURS:
        assert indiclients.updates(one, 0.002)["updates/s"] > 0
        assert indiclients.large_site(one, 0.02)["MB"] > 0
        assert indiclients.blobs(one, 0.01)["MB/s"] > 0
        assert indiclients.local_blobs(one, 0.01)["MB/s"] > 0
