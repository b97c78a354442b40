"""The client without async: the same calls, from any thread."""

import asyncio
import contextlib
import threading

import pytest

from examples import camera, thermostat
from indipyclient import NotConnected, Refused, SyncClient, TimedOut
from tests.support import free_port, running_server


@contextlib.contextmanager
def served(*drivers):
    """A server on a loop in a thread of its own, as a script has none; gives its port."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    manager = running_server(*drivers)
    try:
        server = asyncio.run_coroutine_threadsafe(manager.__aenter__(), loop).result(10)
        try:
            yield server.port
        finally:
            asyncio.run_coroutine_threadsafe(manager.__aexit__(None, None, None), loop).result(20)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_a_script_takes_a_picture(tmp_path):
    with served(camera.make_driver()) as port, SyncClient("127.0.0.1", port) as client:
        client.wait_device("Camera")
        client.press("Camera", "CONNECTION", "CONNECT")
        client.wait_property("Camera", "CCD_EXPOSURE")
        blobs = client.blobs("Camera", "CCD1", timeout=10)
        taking = threading.Timer(0.3, lambda: client.set("Camera", "CCD_EXPOSURE", CCD_EXPOSURE_VALUE=0.1))
        taking.start()
        blob = next(blobs)
        blobs.close()
        taking.join()
        assert blob.data.startswith(b"SIMPLE")
        assert client.need("Camera", "CCD_EXPOSURE").state == "Ok"
        assert "Camera" in client.devices
        assert client.stats.messages > 5


def test_changes_are_followed_until_it_is_quiet():
    with served(thermostat.make_driver()) as port, SyncClient("127.0.0.1", port) as client:
        client.wait_device("Thermostat")
        first = next(client.changes("Thermostat", initial=True))
        assert first.reset
        assert {prop.device for prop in first.properties} == {"Thermostat"}
        assert list(client.changes("Nobody", timeout=0.05)) == []


def test_errors_come_through_and_a_closed_client_says_so():
    with served(thermostat.make_driver()) as port:
        client = SyncClient("127.0.0.1", port)
        with pytest.raises(TimedOut):
            client.wait_property("Thermostat", "NONE", timeout=0.05)
        client.close()
        client.close()
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("INDI client")]
        with pytest.raises(NotConnected):
            client.snapshot()
    with pytest.raises(NotConnected, match="nothing listens"):
        SyncClient("127.0.0.1", free_port(), reconnect=False)
    assert Refused.sent


def test_a_condition_may_look_and_cannot_wait():
    """It is called in the thread of the connection, which would wait for itself."""
    with served(thermostat.make_driver()) as port, SyncClient("127.0.0.1", port) as client:
        client.wait_property("Thermostat", "TARGET", where=lambda prop: client.get("Thermostat", "TARGET") == prop)
        with pytest.raises(RuntimeError, match="cannot wait"):
            client.wait_property("Thermostat", "TARGET", where=lambda prop: client.wait_device("Thermostat"))
        assert client.connected
