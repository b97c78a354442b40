"""The client without async: the same calls, from any thread."""

import asyncio
import contextlib
import gc
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from examples import camera, thermostat
from indipyclient import NotConnected, Refused, SyncClient, TimedOut
from indipyclient.blobs import ReceivedBlob
from tests.support import asynchronous, eventually, free_port, match, running_server

from .scripted import BLOB, scripted


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
        client.set("Camera", "CCD_EXPOSURE", CCD_EXPOSURE_VALUE=0.1)
        blob = next(blobs)
        blobs.close()
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
        changes = client.changes("Thermostat", "TARGET", timeout=10)
        client.set("Thermostat", "TARGET", TARGET=19, confirm="answered")
        assert [prop["TARGET"].number for prop in next(changes).properties] == [19.0]


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


def test_a_condition_cannot_close_the_client():
    with served(thermostat.make_driver()) as port, SyncClient("127.0.0.1", port) as client:
        with pytest.raises(RuntimeError, match="cannot close"):
            client.wait_property("Thermostat", "TARGET", where=lambda prop: client.close())
        assert client.connected


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no processes that are forked")
def test_a_process_that_was_forked_has_no_connection():
    with served(thermostat.make_driver()) as port, SyncClient("127.0.0.1", port) as client:
        client.wait_device("Thermostat")
        child = os.fork()
        if not child:
            status = 1
            try:
                with pytest.raises(NotConnected, match="forked"):
                    client.get("Thermostat", "TARGET")
                client.close()
                status = 0
            finally:
                os._exit(status)
        end = time.monotonic() + 20
        found = (0, 0)
        while not found[0] and time.monotonic() < end:
            found = os.waitpid(child, os.WNOHANG)
            time.sleep(0.01)
        if not found[0]:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        assert found == (child, 0)
        assert client.need("Thermostat", "TARGET")


@contextlib.contextmanager
def interrupted_by(handler, seconds):
    """The handler runs in the main thread again and again, while it waits for a call, and before and after that."""
    before = signal.signal(signal.SIGUSR1, lambda *_: handler())
    over = threading.Event()

    def send():
        while not over.wait(seconds):
            os.kill(os.getpid(), signal.SIGUSR1)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        signal.signal(signal.SIGUSR1, before)


needs_signals = pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="there are no signals")


@needs_signals
def test_a_handler_of_a_signal_may_use_the_client():
    with served(thermostat.make_driver()) as port, SyncClient("127.0.0.1", port) as client:
        client.wait_property("Thermostat", "TARGET")
        heard = []
        with interrupted_by(lambda: heard.append(client.get("Thermostat", "TARGET")), 0.0005):
            while len(heard) < 300:
                client.get("Thermostat", "TARGET")


def get_for_ever(client):
    while True:
        client.get("Thermostat", "TARGET")


@needs_signals
def test_a_handler_of_a_signal_may_close_the_client():
    with served(thermostat.make_driver()) as port:
        for number in range(30):
            client = SyncClient("127.0.0.1", port)
            with interrupted_by(client.close, 0.0005 + number * 0.0001), pytest.raises(NotConnected):
                get_for_ever(client)
            client.close()
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("INDI client")]


@pytest.mark.parametrize("on_its_way", [False, True])
def test_a_client_that_is_closed_in_the_midst_of_a_call(on_its_way):
    """By the handler of a signal, at the worst moments."""
    with served(thermostat.make_driver()) as port:
        client = SyncClient("127.0.0.1", port)
        loop = client._loop

        def close(call, *, schedule=loop.call_soon_threadsafe):
            loop.call_soon_threadsafe = schedule
            client.close()
            if not on_its_way:
                schedule(call)

        loop.call_soon_threadsafe = close
        with pytest.raises(NotConnected):
            client.get("Thermostat", "TARGET")


def test_a_call_under_way_ends_when_another_thread_closes_the_client():
    with served(thermostat.make_driver()) as port:
        client = SyncClient("127.0.0.1", port)
        ended = []

        def wait(call):
            try:
                call()
            except NotConnected as error:
                ended.append(error)

        calls = (
            lambda: client.wait_property("Thermostat", "NONE", timeout=None),
            lambda: list(client.changes()),
            lambda: list(client.blobs("Thermostat")),
            lambda: client.save_blobs(".", "Thermostat", count=1),
        )
        threads = [threading.Thread(target=wait, args=(call,)) for call in calls]
        for thread in threads:
            thread.start()
        while client._do(lambda: len(client._client._engine._waiters)) < 1:
            time.sleep(0.01)
        client.close()
        for thread in threads:
            thread.join(20)
            assert not thread.is_alive()


@asynchronous
async def test_pictures_that_have_been_received_are_saved_when_it_is_closed(tmp_path, monkeypatch):
    writes, may_write, write = threading.Event(), threading.Event(), ReceivedBlob.write_to

    def slowly(self, folder):
        writes.set()
        may_write.wait(30)
        return write(self, folder)

    monkeypatch.setattr(ReceivedBlob, "write_to", slowly)
    async with scripted() as server:
        client = await asyncio.to_thread(SyncClient, "127.0.0.1", server.port)
        saving = asyncio.ensure_future(asyncio.to_thread(client.save_blobs, tmp_path, "CCD"))
        connection = await server.client(BLOB)
        await connection.expect(match("enableBLOB"))
        one = '<oneBLOB name="CCD1" size="1" format=".x">eA==</oneBLOB>'
        await connection.send(*[f'<setBLOBVector device="CCD" name="CCD1" state="Ok">{one}</setBLOBVector>'] * 3)
        await eventually(lambda: writes.is_set() and client.stats.messages == 4)
        closing = asyncio.ensure_future(asyncio.to_thread(client.close))
        await eventually(lambda: not client.connected)
        may_write.set()
        await closing
        assert sorted(await saving) == sorted(tmp_path.iterdir())
        assert len(list(tmp_path.iterdir())) == 3


LEFT = """
import sys
from indipyclient import SyncClient
client = SyncClient("127.0.0.1", int(sys.argv[1]))
{}
"""


@pytest.mark.parametrize(
    "left",
    [
        "changes = client.changes(initial=True); next(changes)",
        "blobs = client.blobs('Thermostat')",
        "class Mount:\n    def __del__(self, close=client.close): close()\nmount = Mount()",
    ],
    ids=["iterator", "unused", "close"],
)
def test_python_ends_whatever_a_script_has_left(left):
    with served(thermostat.make_driver()) as port:
        script = [sys.executable, "-c", LEFT.format(left), str(port)]
        ended = subprocess.run(script, timeout=30, capture_output=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_an_iterator_that_is_left_somewhere_goes_in_any_thread():
    with served(thermostat.make_driver()) as port, SyncClient("127.0.0.1", port) as client:
        client.wait_device("Thermostat")
        unraised = []
        before, sys.unraisablehook = sys.unraisablehook, unraised.append
        try:
            for iterator in (client.blobs("Thermostat", timeout=0.01), client.changes(initial=True)):
                kept = [iterator]
                client._do(lambda kept=kept: None)
                with contextlib.suppress(StopIteration):
                    if iterator.__name__ == "_changes":
                        next(iterator)
                del iterator
                client._call(_let_go(kept))
        finally:
            sys.unraisablehook = before
        gc.collect()
        assert not unraised
        assert not client._do(lambda: client._client._engine._cursors)
        assert not client._do(lambda: list(client._client._wishes._holders))


async def _let_go(kept):
    """In the thread of the connection, as the collector of garbage does."""
    kept.clear()
    await asyncio.sleep(0)
