"""Networks, processes, disks and clocks that fail, between every pair of parts; each test ends with all in order."""

import asyncio
import contextlib
import os
import signal
import socket
import struct
import sys
import time
from datetime import UTC, datetime

import pytest

from indipyserver import IPyServer
from indipyserver.observers.messagelog import MessageLog
from indipyserver.sources.backoff import Backoff
from tests.support import (
    IndiClient,
    allowed,
    asynchronous,
    eventually,
    gone,
    match,
    new_vector,
    running,
    running_server,
    still_served,
)
from tests.support.drivers import echo_driver
from tests.support.faults import FaultProxy, echo_program, misbehaving
from tests.support.victim import MIB, victim


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with RST, as a machine does whose program has died with unread data."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


# Between a client and the server

TRAFFIC = (
    "<getProperties version='1.7'/><enableBLOB device='A'>Also</enableBLOB>"
    + new_vector("Number", "A", "pos", n=1)
    + new_vector("Text", "A", "name", t="x" * 300)
    + "<newBLOBVector device='A' name='image'><oneBLOB name='b' size='3' format='.x'>QUJD</oneBLOB></newBLOBVector>"
).encode()


@asynchronous
async def test_a_reset_after_every_single_byte_of_a_session():
    async with victim() as server:
        before = server.descriptors()
        for end in range(0, len(TRAFFIC) + 1, 3):
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(TRAFFIC[:end])
            await writer.drain()
            reset(writer)
        await still_served(server.port)
        await eventually(lambda: server.descriptors() <= before, timeout=10)
        assert "Traceback" not in server.log


@pytest.mark.parametrize("split", [1, 2, 7, 100])
@asynchronous
async def test_pieces_of_any_size_in_both_directions(split):
    async with running_server(echo_driver("A")) as server, FaultProxy(server.port) as proxy:
        proxy.split = split
        async with IndiClient(proxy.port) as client:
            await client.get_properties()
            for i in range(20):
                await client.send(new_vector("Number", "A", "pos", n=i))
            await client.expect(match("setNumberVector", values={"n": "19"}))
            assert [e[0].text for e in client.received if e.tag == "setNumberVector"] == [str(i) for i in range(20)]


@asynchronous
async def test_a_half_open_client_costs_its_outbox_and_then_goes():
    """The client's machine has vanished: nothing comes back any more, not even an end."""
    from indipyserver.routing.outbox import OutboxLimits

    driver = echo_driver("A")
    async with (
        running_server(driver, limits=OutboxLimits(total=MIB)) as server,
        FaultProxy(server.port) as proxy,
        IndiClient(proxy.port) as lost,
        IndiClient(server.port) as good,
    ):
        for client in (lost, good):
            await client.get_properties()
            await client.expect(match("defTextVector"))
        proxy.stall()
        vector = driver["A"]["name"]
        for i in range(600):
            vector["t"] = f"{i}" + "x" * 30_000
            await vector.send_setVector()
            await good.expect(match("setTextVector"))
        await eventually(lambda: len(server.board.clients) == 1)


@asynchronous
async def test_both_ends_closed_twice():
    async with running_server(echo_driver("A")) as server, FaultProxy(server.port) as proxy:
        async with IndiClient(proxy.port) as client:
            await client.get_properties()
            await client.expect(match("defTextVector"))
            proxy.close_twice()
            await client.closed.wait()
        await still_served(server.port)


@asynchronous
async def test_a_client_that_is_stopped_and_goes_on_has_lost_nothing():
    """SIGSTOP for a while, within its limits: everything arrives, in order."""
    reader = (
        "import socket,sys,time\n"
        "s = socket.create_connection(('127.0.0.1', int(sys.argv[1])))\n"
        "s.sendall(b\"<getProperties version='1.7'/>\")\n"
        "n = at = 0\n"
        "held = bytearray()\n"
        "while n < 300:\n"
        " held += s.recv(65536)\n"
        " while (end := held.find(b'</setTextVector>', at)) >= 0:\n"
        "  n, at = n + 1, end + 1\n"
        " if b'def' in held and not n: print('ready', flush=True)\n"
        "import re\n"
        "print([int(x) for x in re.findall(rb'>(\\d{6})x', held)] == list(range(300)), flush=True)\n"
    )
    from tests.support import started

    driver = echo_driver("A")
    async with running_server(driver) as server:
        with started(sys.executable, "-c", reader, str(server.port)) as client:
            await eventually(lambda: "ready" in client.stdout(), timeout=15)
            vector = driver["A"]["name"]
            for i in range(300):
                if i == 50:
                    client.signal(signal.SIGSTOP)
                if i == 250:
                    await eventually(lambda: server.board.clients[0].queued > MIB)
                    client.signal(signal.SIGCONT)
                vector["t"] = f"{i:06}" + "x" * 60_000  # more than the kernel may hold
                await vector.send_setVector()
            assert await client.wait() == 0
            assert client.stdout().endswith("True\n")


# Between a server and another


@asynchronous
async def test_a_link_to_another_server_is_cut_in_the_middle_of_a_blob():
    """No client sees half of it, all see the devices go and come back, and later BLOBs arrive."""
    driver = echo_driver("Far")
    async with running_server(driver) as below, FaultProxy(below.port) as proxy:
        above = IPyServer(host="127.0.0.1", port=0)
        above.add_remote("127.0.0.1", proxy.port, blob_enable=True, backoff=Backoff(0.05, 0.2))
        async with running(above), IndiClient(above.port) as client:
            await client.get_properties()
            await client.expect(match("defBLOBVector", device="Far"))
            await client.enable_blob("Far")
            await eventually(lambda: any(p.interest.wants_blob("Far", "image") for p in below.board.clients))
            image = driver["Far"]["image"]
            image["b"] = bytes(3 * MIB)
            proxy.cut_after(MIB)
            await image.send_setVectorMembers(members=["b"])
            await client.expect(match("delProperty", device="Far"))
            await client.expect(match("defBLOBVector", device="Far"))
            assert not [e for e in client.received if e.tag == "setBLOBVector"]
            await eventually(lambda: any(p.interest.wants_blob("Far", "image") for p in below.board.clients))
            await image.send_setVectorMembers(members=["b"])
            element = await client.expect(match("setBLOBVector"), timeout=15)
            assert len(element[0].text) == 4 * MIB


@asynchronous
async def test_a_link_that_comes_and_goes_ends_where_it_began():
    driver = echo_driver("Far")
    async with running_server(driver) as below, FaultProxy(below.port) as proxy:
        above = IPyServer(host="127.0.0.1", port=0)
        remote = above.add_remote("127.0.0.1", proxy.port, backoff=Backoff(0.01, 0.05))
        async with running(above):
            for turn in range(20):
                await eventually(lambda: remote.connected and remote.devices)
                proxy.refuse(turn % 3 == 0)
                (proxy.cut if turn % 2 else proxy.close_twice)()
                await eventually(lambda: not remote.connected)
                proxy.refuse(False)
            await eventually(lambda: remote.connected and remote.devices)
            await still_served(above.port, "Far")
            await eventually(lambda: len(below.connectionpool) == 1)
            assert len(above.board.peers) <= 2


@asynchronous
async def test_a_stalled_link_holds_up_nobody_else():
    async with running_server(echo_driver("Far")) as below, FaultProxy(below.port) as proxy:
        above = IPyServer(echo_driver("A"), host="127.0.0.1", port=0)
        remote = above.add_remote("127.0.0.1", proxy.port)
        async with running(above):
            await eventually(lambda: remote.devices)
            proxy.stall()
            await still_served(above.port, "A")
            await still_served(below.port, "Far")
            proxy.flow()
            await still_served(above.port, "Far")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
@asynchronous
async def test_another_server_is_killed_or_stopped(number):
    async with victim(devices=["Far"]) as far, victim(remotes=[far.port]) as near:
        await still_served(near.port, "Far")
        far.program.signal(number)
        await still_served(near.port, "A")
        if number == signal.SIGSTOP:
            far.program.signal(signal.SIGCONT)
            await still_served(near.port, "Far")


# Between the server and a driver


@asynchronous
async def test_a_driver_that_writes_half_a_frame_and_hangs():
    half = misbehaving(
        "asked(2)\n"
        "define('Half')\n"
        "out(\"<setNumberVector device='Half' name='pos' state='Ok'><oneNumber name='n'>1\")\n"
        "time.sleep(1000)"
    )
    async with victim(exdrivers=[half, echo_program("E")]) as server, IndiClient(server.port) as client:
        await client.get_properties()
        await client.expect(match("defNumberVector", device="Half"))
        await still_served(server.port, "A")
        await still_served(server.port, "E")
        assert not [e for e in client.received if e.tag == "setNumberVector" and e.get("device") == "Half"]


@asynchronous
async def test_a_driver_that_dies_in_the_middle_of_a_frame_and_comes_back():
    dying = misbehaving(
        "define('D')\nout(\"<setNumberVector device='D' name='pos' state='Ok'><oneNumber name='n'>1\")\nsys.exit(1)"
    )
    async with victim(exdrivers=[dying], driver_options={"restarts": 5}) as server, IndiClient(server.port) as client:
        await client.get_properties()
        for _ in range(3):
            await client.expect(match("defNumberVector", device="D"))
            await client.expect(match("delProperty", device="D"))
        assert not [e for e in client.received if e.tag == "setNumberVector"]
        await still_served(server.port)


@pytest.mark.measured
@asynchronous
async def test_a_driver_that_floods_starves_nobody():
    flood = misbehaving(
        "define('Flood')\n"
        "while True: out(\"<setNumberVector device='Flood' name='pos' state='Ok'><oneNumber name='n'>1</oneNumber></setNumberVector>\\n\" * 200)"
    )
    async with victim(exdrivers=[flood]) as server:
        before = None
        async with IndiClient(server.port) as client:
            for i in range(30):
                if before is None and i == 10:
                    before = server.memory()
                begin = time.monotonic()
                await client.send(new_vector("Number", "A", "pos", n=i))
                await client.expect(match("setNumberVector", device="A", values={"n": str(i)}))
                assert time.monotonic() - begin < allowed(1)
            assert server.memory() - before < allowed(16)


@asynchronous
async def test_a_driver_that_sends_garbage_is_understood_again():
    garbage = misbehaving(
        "asked(2)\n"
        "out(os.urandom(5000).replace(b'<', b'_'))\n"
        "define('G')\n"
        "out(bytes(range(256)) + b'<foo><bar/></foo>&&&<defNumberVector device=')\n"
        "define('G', 'second')\n"
        "sys.stdin.read()"
    )
    async with victim(exdrivers=[garbage]) as server, IndiClient(server.port) as client:
        await client.get_properties()
        await client.expect(match("defNumberVector", device="G", name="second"))
        await still_served(server.port)


@asynchronous
async def test_a_flood_on_stderr_is_thinned_out():
    loud = misbehaving("define('Loud')\nwhile True: os.write(2, b'binary \\xff\\x00\\x1b[31m words\\n' * 500)")
    async with victim(exdrivers=[loud], devices=["A"]) as server:
        await still_served(server.port, "A")
        lines = server.log.count("\n")
        begin = time.monotonic()
        await eventually(lambda: "were not logged" in server.log, timeout=10)
        await still_served(server.port, "A")
        assert server.log.count("\n") - lines < 220 * (time.monotonic() - begin + 2)
        assert "\x1b" not in server.log


@asynchronous
async def test_drivers_that_are_stopped_killed_and_go_on():
    async with (
        victim(exdrivers=[echo_program("E")], driver_options={"restarts": 100}) as server,
        IndiClient(server.port) as client,
    ):
        await client.get_properties()
        await client.expect(match("defNumberVector", device="E"))
        (child,) = server.program.children()
        os.kill(child, signal.SIGSTOP)
        await client.send("".join(new_vector("Number", "E", "pos", n=i) for i in range(100)))
        await still_served(server.port, "A")
        os.kill(child, signal.SIGCONT)
        await client.expect(match("setNumberVector", device="E", values={"n": "99"}))
        values = [e[0].text for e in client.received if e.tag == "setNumberVector" and e.get("device") == "E"]
        assert values == [str(i) for i in range(100)]
        os.kill(child, signal.SIGKILL)
        await client.expect(match("delProperty", device="E"))
        await client.expect(match("defNumberVector", device="E"), timeout=10)
        await still_served(server.port, "E")
        await eventually(lambda: gone(child))


@asynchronous
async def test_a_driver_ends_while_there_are_no_descriptors():
    """It cannot be started again at that moment; it is when there are descriptors again."""
    async with victim(
        exdrivers=[echo_program("E")], maxconnections=1000, nofile=48, driver_options={"restarts": 3}
    ) as server:
        await still_served(server.port, "E")
        crowd = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(80)]
        await eventually(lambda: "no clients are accepted" in server.log)
        (child,) = server.program.children()
        os.kill(child, signal.SIGKILL)
        await eventually(lambda: "killed by signal 9" in server.log)
        await eventually(lambda: "Too many open files" in server.log.partition("killed by signal 9")[2], timeout=10)
        for _, writer in crowd:
            writer.transport.abort()
        await still_served(server.port, "E")


# Disks and clocks


@asynchronous
async def test_the_message_log_on_a_full_disk(caplog, tmp_path):
    """/dev/full says what a full disk says; messages are counted as lost, and written again when there is room."""
    if not os.path.exists("/dev/full"):
        pytest.skip("there is no /dev/full here")
    now = datetime(2026, 3, 1, 12, tzinfo=UTC)
    log = MessageLog(tmp_path, lambda: now)
    path = tmp_path / "2026-03-01.islog"
    path.symlink_to("/dev/full")
    driver = echo_driver("A")
    server = IPyServer(driver, host="127.0.0.1", port=0)
    server.add_observer(log)
    old = datetime(2026, 3, 1, 13, tzinfo=UTC)
    async with running(server), IndiClient(server.port) as client:
        await client.get_properties()
        await client.expect(match("defTextVector"))
        for i in range(5):
            await driver["A"].send_device_message(f"lost {i}", timestamp=old)
            await client.expect(match("message", message=f"lost {i}"))
        assert log.flush()
        assert log.lost == 5
        path.unlink()
        await driver["A"].send_device_message("kept", timestamp=old)
        await client.expect(match("message", message="kept"))
        await still_served(server.port)
    log.close()
    assert path.read_text().count("\n") == 1
    assert "No space left" in caplog.text
    assert "5 were lost" in caplog.text


@asynchronous
async def test_a_step_of_the_clock_ends_nothing(monkeypatch):
    """The time of day jumps by years in both directions: only time stamps follow it."""
    driver = echo_driver("A")
    async with running_server(driver, progress_time=5.0, hang_time=5.0) as server, IndiClient(server.port) as client:
        await client.get_properties()
        await client.expect(match("defTextVector"))
        await client.send("<newTextVector device='A' name='name'><oneText name='t'>x")
        real = time.time
        for offset in (10 * 365 * 86400, -10 * 365 * 86400, 0):
            monkeypatch.setattr(time, "time", lambda offset=offset: real() + offset)
            await still_served(server.port)
        await client.send("</oneText></newTextVector>")
        await client.expect(match("setTextVector", values={"t": "x"}))


@asynchronous
async def test_a_session_through_everything_that_splits_and_delays():
    """client - proxy - server - proxy - server - driver program, all of it slow and in small pieces."""
    async with (
        victim(devices=[], exdrivers=[echo_program("E")]) as below,
        FaultProxy(below.port, 1) as low,
        victim(remotes=[low.port]) as above,
        FaultProxy(above.port, 2) as high,
    ):
        for proxy in (low, high):
            proxy.split, proxy.delay = 64, 0.002
        async with IndiClient(high.port) as client:
            await client.get_properties()
            await client.expect(match("defNumberVector", device="E"), timeout=15)
            for i in range(30):
                await client.send(new_vector("Number", "E", "pos", n=i))
            await client.expect(match("setNumberVector", device="E", values={"n": "29"}), timeout=20)
            values = [e[0].text for e in client.received if e.tag == "setNumberVector" and e.get("device") == "E"]
            assert values == [str(i) for i in range(30)]
        with contextlib.suppress(ConnectionError):
            low.cut()
