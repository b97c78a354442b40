"""The faults of the PyPI packages (3.1.2 and 0.0.6) that a client, or another driver, could provoke.

Each test would fail there; its first line says what happened.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from typing import Any

import pytest

from indipydriver import (
    BLOBMember,
    BLOBVector,
    Device,
    LightMember,
    LightVector,
    NumberMember,
    NumberVector,
    SwitchMember,
    SwitchVector,
    TextMember,
    TextVector,
)
from indipyserver import IPyServer
from indipyserver.routing.outbox import OutboxLimits
from tests.support import (
    IndiClient,
    allowed,
    asynchronous,
    eventually,
    match,
    new_vector,
    running_server,
    started,
)
from tests.support.drivers import Echo

KIB, MIB = 1 << 10, 1 << 20


class Instrument(Echo):
    """An echo driver whose device, A or another, has a vector of each kind; it notes what it hears of others."""

    def __init__(self, name: str = "A", **data: Any) -> None:
        super().__init__(
            Device(
                name,
                [
                    SwitchVector(
                        "sw",
                        "Switches",
                        "G",
                        "rw",
                        "OneOfMany",
                        "Ok",
                        [SwitchMember("s1", "", "On"), SwitchMember("s2")],
                    ),
                    TextVector("tx", "Text", "G", "rw", "Ok", [TextMember("t1", "", "hello")]),
                    TextVector("ro", "Read only", "G", "ro", "Ok", [TextMember("t1", "", "hello")]),
                    NumberVector("nu", "Number", "G", "rw", "Ok", [NumberMember("n1", "", "%5.1f", 0, 10, 1, 5)]),
                    LightVector("li", "Light", "G", "Ok", [LightMember("l1")]),
                    BLOBVector("bl", "BLOB", "G", "rw", "Ok", [BLOBMember("b1")]),
                ],
            ),
            **data,
        )
        self.snooped: list[Any] = []

    async def snoopevent(self, event: Any) -> None:
        self.snooped.append(event)


ALIVE = match("setTextVector", device="A", name="tx", values={"t1": "alive"})


async def is_alive(client: IndiClient) -> None:
    """The driver of A still takes commands and answers."""
    await client.send(new_vector("Text", "A", "tx", t1="alive"))
    await client.expect(ALIVE)


BAD_INPUT = {
    "the tag of another kind ended the server": "<newTextVector device='A' name='sw'><oneText name='s1'>On</oneText></newTextVector>",
    "a definition by a client ended the server": "<defTextVector device='A' name='z' state='Ok' perm='rw'><defText name='a'>x</defText></defTextVector>",
    "deep nesting ended the server": "<newTextVector device='A' name='tx'>"
    + "<a>" * 3000
    + "</a>" * 3000
    + "</newTextVector>",
    "a declaration": "<?xml version=\"1.0\" encoding='utf-8'?>",
    "an end tag of nothing": "</root>",
    "a wrong end tag": "<newTextVector device='A' name='tx'><oneText name='t1'>x</oneNumber></newTextVector>",
    "no BLOB mode": "<enableBLOB device='A'/>",
    "text between elements": " junk ",
    "no version": "<getProperties device='nobody'/>",
    "a light cannot be set": "<newLightVector device='A' name='li'><oneLight name='l1'>Ok</oneLight></newLightVector>",
    "no member": "<newNumberVector device='A' name='nu'></newNumberVector>",
    "an unknown member": "<newNumberVector device='A' name='nu'><oneNumber name='x'>1</oneNumber></newNumberVector>",
    "a blob that is none": "<newBLOBVector device='A' name='bl'><oneBLOB name='b1' size='3' format='.x'>!!!</oneBLOB></newBLOBVector>",
}


@pytest.mark.parametrize("case", BAD_INPUT)
@asynchronous
async def test_bad_input_costs_nobody_anything(case: str) -> None:
    driver = Instrument()
    async with running_server(driver) as server, IndiClient(server.port) as bad, IndiClient(server.port) as good:
        for client in (bad, good):
            await client.get_properties()
            await client.expect(match("defBLOBVector"))
        await bad.send(BAD_INPUT[case])
        await is_alive(bad)
        await is_alive(good)
        assert not any(element.tag in ("root", "z") for element in good.received)
        await eventually(lambda: len(driver.executed) >= 2)
        assert driver.executed == [("A", "tx", {"t1": "alive"})] * 2  # of either client one, and no bad input


@asynchronous
async def test_an_unknown_entity_is_taken_as_text() -> None:
    """It cost the client its connection."""
    driver = Instrument()
    async with running_server(driver) as server, IndiClient(server.port) as client:
        await client.get_properties()
        await client.expect(match("defTextVector", name="tx"))
        await client.send("<newTextVector device='A' name='tx'><oneText name='t1'>&bad;</oneText></newTextVector>")
        await client.expect(match("setTextVector", values={"t1": "&bad;"}))
        await is_alive(client)


@asynchronous
async def test_latin1_is_understood() -> None:
    """Any byte that is not UTF-8 cost the client its connection."""
    driver = Instrument()
    async with running_server(driver) as server, IndiClient(server.port) as client:
        await client.get_properties()
        await client.expect(match("defTextVector", name="tx"))
        await client.send(
            "<newTextVector device='A' name='tx'><oneText name='t1'>caf\xe9</oneText></newTextVector>".encode("latin-1")
        )
        await client.expect(match("setTextVector", values={"t1": "caf\xe9"}))


@asynchronous
async def test_messages_of_a_snooped_device_are_delivered() -> None:
    """A message of a snooped device ended the server."""
    snooper, other = Instrument("S"), Instrument("A")
    async with running_server(snooper, other) as server, IndiClient(server.port) as client:
        await snooper.send_getProperties("A")
        await eventually(lambda: any(event.vectorname == "tx" for event in snooper.snooped))
        await other["A"].send_device_message("hi")
        await eventually(lambda: any(getattr(event, "message", None) == "hi" for event in snooper.snooped))
        assert type(snooper.snooped[-1]).__name__ == "Message"
        await client.get_properties()
        await is_alive(client)


class Failing(Instrument):
    async def rxevent(self, event: Any) -> None:
        raise ZeroDivisionError("on command")

    async def snoopevent(self, event: Any) -> None:
        raise ZeroDivisionError("on news")

    async def hardware(self) -> None:
        if self.driverdata.get("hardware"):
            raise ZeroDivisionError("in hardware")


@asynchronous
async def test_one_driver_failing_leaves_the_others() -> None:
    """An exception in any coroutine of any driver ended them all."""
    failing, good = Failing("F"), Instrument("A")
    async with running_server(failing, good) as server, IndiClient(server.port) as client:
        await client.get_properties()
        await failing.send_getProperties("A", "tx")
        await client.send(new_vector("Text", "F", "tx", t1="x"))
        alert = await client.expect(match("setTextVector", device="F", name="tx", state="Alert"))
        assert "ZeroDivisionError" in (alert.get("message") or "")
        await is_alive(client)
        await client.send(new_vector("Text", "F", "tx", t1="again"))
        await client.expect(match("setTextVector", device="F", name="tx", state="Alert"))


@asynchronous
async def test_hardware_failing_ends_its_driver_alone() -> None:
    """The same; and the operator was not told."""
    failing, good = Failing("F", hardware=True), Instrument("A")
    async with running_server(good) as server, IndiClient(server.port) as client:
        await client.get_properties()
        await client.expect(match("defBLOBVector", device="A"))
        server.add_driver(failing)
        await eventually(failing.stopped.is_set)
        await is_alive(client)


@pytest.mark.measured
@asynchronous
async def test_clients_that_close_free_their_place_at_once() -> None:
    """A closed client took a whole processor, and its place among maxconnections."""
    async with running_server(Instrument(), maxconnections=2) as server:
        for _ in range(10):
            async with IndiClient(server.port) as client:
                await client.get_properties()
                await client.expect(match("defBLOBVector"))
            await eventually(lambda: not server.connectionpool)
        before = time.process_time()
        with socket.create_connection(("127.0.0.1", server.port)) as half:
            half.shutdown(socket.SHUT_WR)
            await asyncio.sleep(0.5)
        assert time.process_time() - before < allowed(0.25)


@asynchronous
async def test_a_half_closed_client_gets_its_answers() -> None:
    """And kept a processor busy while it stayed."""
    async with running_server(Instrument()) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"<getProperties version='1.7'/>")
        writer.write_eof()
        async with asyncio.timeout(5):
            assert b"</defBLOBVector>" in await reader.readuntil(b"</defBLOBVector>")
        writer.close()


@asynchronous
async def test_one_connection_too_many_is_closed_and_logged() -> None:
    async with running_server(Instrument(), maxconnections=1) as server, IndiClient(server.port) as first:
        await first.get_properties()
        await first.expect(match("defBLOBVector"))
        async with IndiClient(server.port) as second:
            async with asyncio.timeout(5):
                await second.closed.wait()
            assert not second.received
        await is_alive(first)


@asynchronous
async def test_a_taken_port_raises() -> None:
    """asyncrun returned None and the process ended with status 0."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = IPyServer(Instrument(), host="127.0.0.1", port=taken.getsockname()[1])
        with pytest.raises(OSError, match="cannot listen"):
            await server.asyncrun()


@asynchronous
async def test_answers_go_to_who_asked() -> None:
    """A client that had asked for nothing, or for one property, got everything."""
    driver = Instrument()
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(running_server(driver, Instrument("B")))
        nothing, one, everything = [await stack.enter_async_context(IndiClient(server.port)) for _ in range(3)]
        await one.get_properties(device="A", name="tx")
        await one.expect(match("defTextVector", name="tx"))
        await everything.get_properties()
        await everything.expect(match("defBLOBVector", device="B"))
        await is_alive(everything)
        await one.expect(ALIVE)
        assert [element.tag for element in await nothing.settle()] == []
        assert {element.get("name") for element in one.received if element.get("name")} == {"tx"}
        assert len([e for e in one.received if e.tag == "defTextVector"]) == 1


@asynchronous
async def test_repeated_snoop_requests_reach_no_client() -> None:
    """With snoop(timeout=5) every client got the request and the answer every five seconds."""
    snooper, other = Instrument("S"), Instrument("A")
    async with running_server(snooper, other) as server, IndiClient(server.port) as client:
        await client.get_properties()
        await client.expect(match("defBLOBVector", device="A"))
        await client.settle()
        for count in range(1, 4):
            await snooper.send_getProperties("A", "tx")
            await eventually(lambda n=count: [type(e).__name__ for e in snooper.snooped] == ["defTextVector"] * n)
        assert [element for element in await client.settle() if element.tag != "pingReply"] == []


REFUSED = {
    "too large": (new_vector("Number", "A", "nu", n1="11"), "setNumberVector", "nu"),
    "too small": (new_vector("Number", "A", "nu", n1="-0.1"), "setNumberVector", "nu"),
    "no number": (new_vector("Number", "A", "nu", n1="five"), "setNumberVector", "nu"),
    "not finite": (new_vector("Number", "A", "nu", n1="nan"), "setNumberVector", "nu"),
    "two On": (new_vector("Switch", "A", "sw", s1="On", s2="On"), "setSwitchVector", "sw"),
}


@pytest.mark.parametrize("case", REFUSED)
@asynchronous
async def test_what_is_not_allowed_does_not_reach_rxevent(case: str) -> None:
    """All of these were handed to the driver."""
    command, tag, name = REFUSED[case]
    driver = Instrument()
    async with running_server(driver) as server, IndiClient(server.port) as client:
        await client.get_properties()
        await client.expect(match(tag.replace("set", "def"), name=name))
        await client.send(command)
        answer = await client.expect(match(tag, name=name, state="Alert"))
        assert answer.get("message")
        assert driver.executed == []
        assert len(answer) >= 1  # with its old values


@asynchronous
async def test_a_command_for_what_is_read_only_is_answered_to_all_by_a_message() -> None:
    """Any client could turn the state of a sensor to Alert, for everybody."""
    driver = Instrument()
    async with running_server(driver) as server, IndiClient(server.port) as client, IndiClient(server.port) as other:
        for each in (client, other):
            await each.get_properties()
            await each.expect(match("defBLOBVector", device="A"))
        await client.send(new_vector("Text", "A", "ro", t1="x"))
        for each in (client, other):
            answer = await each.expect(match("message", device="A"))
            assert answer.get("message") == "ro: refused: the vector is read-only"
            assert [element.tag for element in await each.settle() if element.tag.startswith("set")] == []
        assert driver.executed == []


def resident() -> int:
    """Bytes of memory in use."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Flood(Instrument):
    """Sends as fast as it can while `going` is set; counts."""

    def __init__(self, name: str = "A", text: str = "x" * 2000) -> None:
        super().__init__(name)
        self.text = text
        self.going = asyncio.Event()
        self.sent = 0

    async def hardware(self) -> None:
        vector = self.devices()[0]["tx"]
        while not self.stop:
            if not self.going.is_set():
                waiting = [asyncio.ensure_future(e.wait()) for e in (self.going, self.shutdownrequested)]
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in waiting:
                    task.cancel()
                continue
            self.sent += 1
            vector["t1"] = f"{self.sent} {self.text}"
            await vector.send_setVector()


@pytest.mark.measured
@asynchronous
async def test_a_client_that_never_reads_is_cut_and_others_are_not_slowed() -> None:
    """Its queue grew until the end of memory."""
    driver = Flood()
    limit = 8 * MIB
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(running_server(driver, limits=OutboxLimits(total=limit)))
        healthy = await stack.enter_async_context(IndiClient(server.port))
        await healthy.get_properties()
        await healthy.expect(match("defBLOBVector"))
        slow = socket.socket()
        stack.callback(slow.close)
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", server.port))
        slow.sendall(b"<getProperties version='1.7'/>")
        await eventually(lambda: len(server.connectionpool) == 2)
        gc.collect()
        before = resident()
        driver.going.set()
        await eventually(lambda: len(server.connectionpool) == 1, timeout=30)
        driver.going.clear()
        assert driver.sent * 2000 > limit
        await is_alive(healthy)
        healthy.received.clear()
        healthy._taken = 0
        gc.collect()
        assert resident() - before < limit + allowed(60) * MIB


@asynchronous
async def test_input_is_bounded() -> None:
    """200 MB of an element that never ended were all kept."""
    async with running_server(Instrument()) as server, IndiClient(server.port) as good:
        await good.get_properties()
        await good.expect(match("defBLOBVector"))
        for start in (
            b"<newTextVector device='A' name='tx'>" + b"<oneText name='t1'>",
            b"<newTextVector device='",
            b"junk",
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            with suppress(ConnectionError):
                writer.write(start)
                for _ in range(64):
                    writer.write(b"x" * 64 * KIB)
                    await writer.drain()
            async with asyncio.timeout(5):
                with suppress(ConnectionError):
                    assert await reader.read() == b""
            writer.close()
        await is_alive(good)


@pytest.mark.measured
@asynchronous
async def test_a_large_blob_does_not_stop_the_loop() -> None:
    """30 MB to four clients stopped everything for half a second."""
    driver = Instrument()
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(running_server(driver))
        clients = [await stack.enter_async_context(IndiClient(server.port)) for _ in range(2)]
        for client in clients:
            await client.get_properties()
            await client.enable_blob("A")
            await client.expect(match("defBLOBVector"))
            await client.settle()
        driver["A"]["bl"]["b1"] = os.urandom(30 * MIB)
        longest = 0.0

        async def watch() -> None:
            nonlocal longest
            while True:
                begin = time.thread_time()  # of this thread's processor, so that other programs do not count
                await asyncio.sleep(0)
                longest = max(longest, time.thread_time() - begin)

        watching = asyncio.create_task(watch())
        await driver["A"]["bl"].send_setVectorMembers(members=["b1"])
        watching.cancel()
        assert longest < allowed(0.1)
        for client in clients:
            blob = await client.expect(match("setBLOBVector"), timeout=20)
            assert len(blob[0].text or "") == 4 * -(-30 * MIB // 3)


@asynchronous
async def test_commands_for_one_vector_come_in_order() -> None:
    """Two commands ran side by side, and the second could end first."""

    class Slow(Instrument):
        async def rxevent(self, event: Any) -> None:
            if event.vectorname == "tx":
                await asyncio.sleep(0.05 if event["t1"] == "1" else 0)
            self.executed.append((event.devicename, event.vectorname, dict(event)))
            await event.vector.send_setVectorMembers(state="Ok")

    driver = Slow()
    async with running_server(driver) as server, IndiClient(server.port) as client:
        await client.get_properties()
        await client.send(
            new_vector("Text", "A", "tx", t1="1")
            + new_vector("Text", "A", "tx", t1="2")
            + new_vector("Number", "A", "nu", n1="3")
        )
        await eventually(lambda: len(driver.executed) == 3)
        assert driver.executed == [("A", "nu", {"n1": "3"}), ("A", "tx", {"t1": "1"}), ("A", "tx", {"t1": "2"})]


class Endless(Instrument):
    async def hardware(self) -> None:
        while True:
            await asyncio.sleep(3600)


@asynchronous
async def test_shutdown_ends_and_stopped_means_stopped() -> None:
    """A background loop, an idle remote or a stalled client kept the server running for ever."""
    server = IPyServer(Endless(), Endless("B"), host="127.0.0.1", port=0, shutdown_grace=0.3)
    server.drivers[0].shutdown_grace = server.drivers[1].shutdown_grace = 0.2  # type: ignore[attr-defined]
    with socket.socket() as quiet:
        quiet.bind(("127.0.0.1", 0))
        quiet.listen()
        server.add_remote("127.0.0.1", quiet.getsockname()[1])
        task = asyncio.create_task(server.asyncrun())
        await server.started.wait()
        with socket.create_connection(("127.0.0.1", server.port)) as stalled:
            stalled.sendall(b"<getProperties version='1.7'/>")
            await eventually(lambda: len(server.connectionpool) == 1)
            server.shutdown()
            assert not server.stopped.is_set()
            async with asyncio.timeout(5):
                await server.stopped.wait()
                await task
    assert all(t is asyncio.current_task() for t in asyncio.all_tasks())


STOPPING = """
import asyncio
from indipydriver import Device, IPyDriver, LightMember, LightVector
from indipyserver import IPyServer

server = IPyServer(IPyDriver(Device("A", [LightVector("l", "", "", "Ok", [LightMember("m")])])), host="127.0.0.1", port=0)

async def beside():
    await server.started.wait()
    print(server.port, flush=True)
    try:
        await asyncio.sleep(60)
    finally:
        print("beside has ended", flush=True)

async def main():
    await asyncio.gather(server.asyncrun(), beside())

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("signum", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, -signal.SIGINT)]
)
@asynchronous
async def test_signals_end_everything_in_the_process(signum: int, status: int) -> None:
    with started(sys.executable, "-c", STOPPING) as program:
        await eventually(lambda: program.stdout().strip(), timeout=20)
        async with IndiClient(int(program.stdout())) as client:
            await client.get_properties()
            await client.expect(match("defLightVector"))
            program.process.send_signal(signum)
            await client.expect(match("delProperty", device="A"))
            await program.wait(20)
        assert "beside has ended" in program.stdout()
        assert program.process.returncode in (
            status,
            130 if signum == signal.SIGINT else status,
            1 if signum == signal.SIGINT else status,
        )


@asynchronous
async def test_a_driver_that_floods_leaves_the_others_working() -> None:
    """`await send_setVector()` that never waits left no time for anybody else."""
    flood, good = Flood("F", "x"), Instrument()
    async with running_server(flood, good) as server, IndiClient(server.port) as client:
        await client.get_properties(device="A")
        await client.expect(match("defBLOBVector", device="A"))
        flood.going.set()
        for _ in range(3):
            await is_alive(client)
        flood.going.clear()
        assert flood.sent > 0


@pytest.mark.measured
@asynchronous
async def test_idle_clients_and_drivers_take_no_time() -> None:
    """Drivers polled their input a hundred times a second."""
    async with running_server(Instrument(), Instrument("B")) as server, IndiClient(server.port) as client:
        await client.get_properties()
        await client.expect(match("defBLOBVector", device="B"))
        await client.settle()
        before = resource.getrusage(resource.RUSAGE_SELF)
        await asyncio.sleep(1.0)
        after = resource.getrusage(resource.RUSAGE_SELF)
        assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < allowed(0.05)


@asynchronous
async def test_keepalive() -> None:
    """keepalive = None ended the server; 0 turns it off; it can be changed while the server runs."""
    async with running_server(Instrument()) as server, IndiClient(server.port) as client:
        await client.get_properties(device="nobody")
        for interval in (None, 0):
            server.keepalive = interval
            await asyncio.sleep(0.01)
            assert await client.settle() == []
        server.keepalive = 1
        await client.expect(match("message", device=None, message="Keep alive message"), timeout=5)


def test_wrong_arguments() -> None:
    for call, error in (
        (lambda: IPyServer(object()), TypeError),
        (lambda: IPyServer(Instrument(), Instrument()), ValueError),
        (lambda: IPyServer(maxconnections=0), ValueError),
        (lambda: IPyServer(maxconnections="5"), TypeError),
    ):
        check: Callable[[], object] = call
        with pytest.raises(error):
            check()
    logging.getLogger(__name__).debug("all refused")
