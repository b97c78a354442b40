"""Start and end of a server, whatever happens in between: nothing is left behind, and only what fails ends."""

import asyncio
import logging
import os
import socket
import sys
import threading
from typing import Any

import pytest

import indipydriver as ipd
from indipydriver.transport.memory import memory_pair
from indipyserver import IPyServer
from indipyserver.sources import sources as parts
from tests.support import IndiClient, asynchronous, eventually, match, running, running_server
from tests.support.drivers import echo_device, echo_driver


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


class Stubborn(ipd.IPyDriver):
    """Its hardware does not end when it is told to."""

    shutdown_grace = 0.3

    async def hardware(self) -> None:
        await asyncio.sleep(1000)


@asynchronous
async def test_a_driver_that_is_run_by_somebody_else_is_refused_and_nothing_is_changed():
    driver = echo_driver("A")
    link, _ = memory_pair("one", "other")
    elsewhere = asyncio.create_task(driver.serve(link))
    await asyncio.sleep(0)
    async with running_server(echo_driver("B")) as server:
        with pytest.raises(RuntimeError, match="already running"):
            server.add_driver(driver)
        assert driver not in server.drivers
        assert list(server.devices) == ["B"]
        with pytest.raises(ValueError, match="not served"):
            await server.remove(driver)
        driver.shutdown()
        await elsewhere
        server.add_driver(driver)
        async with IndiClient(server.port) as client:
            await client.get_properties()
            await client.expect(match("defTextVector", device="A"))


@asynchronous
async def test_one_that_is_run_elsewhere_when_the_server_starts_does_not_keep_the_others_from_it(caplog):
    driver = echo_driver("A")
    server = IPyServer(driver, echo_driver("B"), host="127.0.0.1", port=0)
    link, _ = memory_pair("one", "other")
    elsewhere = asyncio.create_task(driver.serve(link))
    await asyncio.sleep(0)
    async with running(server), IndiClient(server.port) as client:
        await client.get_properties()
        await client.expect(match("defTextVector", device="B"))
    assert "already running" in caplog.text
    driver.shutdown()
    await elsewhere


def test_a_driver_is_served_once():
    driver = ipd.IPyDriver()  # without devices whose names would tell
    server = IPyServer(driver)
    with pytest.raises(ValueError, match="already being served"):
        server.add_driver(driver)


@asynchronous
async def test_a_part_that_fails_in_a_way_nobody_has_foreseen_ends_alone(monkeypatch, caplog):
    """Even if clients cannot be told so."""
    server = IPyServer(echo_driver("A"), host="127.0.0.1", port=0)
    part = server.add_exdriver("nothing")

    async def fail() -> None:
        raise LookupError("unforeseen")

    def cannot(text: str, timestamp: str | None = None, about: object = None) -> None:
        raise UnicodeEncodeError("ascii", text, 0, 1, "unforeseen too")

    monkeypatch.setattr(part, "run", fail)
    monkeypatch.setattr(server.board.router, "site_message", cannot)
    async with running(server), IndiClient(server.port) as client:
        await eventually(lambda: "clients cannot be told" in caplog.text)
        await client.get_properties()
        await client.expect(match("defTextVector", device="A"))
    assert "unforeseen" in caplog.text


@pytest.mark.parametrize("host", ["Büro-PC", "John's MacBook", 'a"b', "a&b<c>", "", "x" * 300, "\udcff"])
@asynchronous
async def test_any_name_of_the_machine_will_do(host, monkeypatch):
    monkeypatch.setattr(socket, "gethostname", lambda: host)
    async with running_server(echo_driver("A")) as below:
        above = IPyServer(host="127.0.0.1", port=0)
        above.add_remote("127.0.0.1", below.port)
        async with running(above), IndiClient(above.port) as client:
            await client.get_properties()
            await client.expect(match("defTextVector", device="A"))
            await below.send_message("hello")
            element = await client.expect(match("message", message="hello"))
            assert element.get("via", "x").isascii()


# Cancellation


@pytest.mark.parametrize("turns", range(12))
@asynchronous
async def test_cancelled_at_any_moment_it_leaves_nothing_behind(turns):
    before = descriptors()
    server = IPyServer(
        Stubborn(ipd.Device("A", [])), host="127.0.0.1", port=0, shutdown_grace=0.2, unix_socket=f"life-{os.getpid()}"
    )
    server.add_remote("127.0.0.1", 1)
    task = asyncio.create_task(server.asyncrun())
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task], timeout=5)
    assert task.cancelled()
    assert server.sockets == []
    assert not server.started.is_set()
    await eventually(lambda: len(asyncio.all_tasks()) == 1)
    await eventually(lambda: descriptors() == before)


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 5, 8, 20])
@asynchronous
async def test_cancelled_twice_it_still_closes_what_it_has_opened(turns):
    before = descriptors()
    driver = Stubborn(ipd.Device("A", []))
    server = IPyServer(driver, host="127.0.0.1", port=0, shutdown_grace=30)
    entrance = server.add_listener("127.0.0.1")
    task = asyncio.create_task(server.asyncrun())
    await server.started.wait()
    with socket.create_connection(("127.0.0.1", entrance.port)):
        await eventually(lambda: server.board.clients)
        task.cancel()
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task], timeout=5)
        assert task.cancelled()
    await eventually(lambda: descriptors() == before)
    await eventually(lambda: not server.board.peers)
    server.port = 0
    async with running(server):  # and it can run again
        pass


@asynchronous
async def test_what_is_added_while_the_server_ends_is_kept_for_the_next_run():
    server = IPyServer(Stubborn(ipd.Device("A", [])), host="127.0.0.1", port=0, shutdown_grace=0.3)
    task = asyncio.create_task(server.asyncrun())
    await server.started.wait()
    task.cancel()
    await asyncio.sleep(0.05)
    late = echo_driver("B")
    server.add_driver(late)
    await asyncio.wait([task], timeout=5)
    assert task.cancelled()
    async with running(server), IndiClient(server.port) as client:
        await client.get_properties()
        await client.expect(match("defTextVector", device="B"))


class EndsOnce(ipd.IPyDriver):
    """Its first run ends by itself, when it is told to; the later ones when the server ends them."""

    def __init__(self, *devices: ipd.Device) -> None:
        super().__init__(*devices)
        self.shutdown_grace = 0.1
        self.enough = asyncio.Event()
        self.runs = 0

    async def hardware(self) -> None:
        self.runs += 1
        await self.enough.wait()
        self.enough.clear()
        self.shutdown()


@asynchronous
async def test_a_driver_that_is_removed_as_it_ends_can_be_served_again():
    """To be told to stop after its end would be the end of its next run."""
    driver = EndsOnce(echo_device("A"))
    async with running_server(driver, echo_driver("B")) as server:
        await eventually(lambda: driver.runs == 1)
        driver.enough.set()
        await driver.stopped.wait()
        await server.remove(driver)
        server.add_driver(driver)
        await eventually(lambda: driver.runs == 2)
        assert not driver.stop


@asynchronous
async def test_a_driver_that_is_started_as_it_ends_is_started():
    driver = EndsOnce(echo_device("A"))
    async with running_server(driver, echo_driver("B")) as server:
        await eventually(lambda: driver.runs == 1)
        driver.enough.set()
        await driver.stopped.wait()
        server.services.resume(server._sources.find(driver))
        await eventually(lambda: driver.runs == 2)
        assert not driver.stop


@pytest.mark.parametrize("turns", range(10))
@asynchronous
async def test_a_driver_that_ends_with_its_server_runs_again_with_it(turns):
    driver = EndsOnce(echo_device("A"))
    server = IPyServer(driver, host="127.0.0.1", port=0, shutdown_grace=1)
    async with running(server):
        await eventually(lambda: driver.runs == 1)
        driver.enough.set()
        for _ in range(turns):
            await asyncio.sleep(0)
    driver.enough.clear()
    async with running(server):
        await eventually(lambda: driver.runs == 2)
        await asyncio.sleep(0)
        assert not driver.stop


@asynchronous
async def test_whoever_removes_a_driver_may_be_cancelled():
    driver = Stubborn(ipd.Device("A", []))
    async with running_server(driver, echo_driver("B"), shutdown_grace=30) as server:
        removing = asyncio.create_task(server.remove(driver))
        await asyncio.sleep(0.05)
        removing.cancel()
        await asyncio.wait([removing], timeout=5)
        assert removing.cancelled()
        await eventually(lambda: ["(B)" in peer.label for peer in server.board.peers] == [True])


# When nothing is left


@asynchronous
async def test_removing_the_last_driver_is_not_its_own_end():
    calls: list[str] = []
    async with running_server(echo_driver("A")) as server:
        server.on_deserted = lambda: calls.append("deserted")
        await server.remove(server.drivers[0])
        await asyncio.sleep(0.05)
    assert calls == []


@asynchronous
async def test_cancelling_the_server_is_not_the_end_of_the_drivers_by_themselves():
    calls: list[str] = []
    server = IPyServer(echo_driver("A"), host="127.0.0.1", port=0)
    server.on_deserted = lambda: calls.append("deserted")
    task = asyncio.create_task(server.asyncrun())
    await server.started.wait()
    task.cancel()
    await asyncio.wait([task])
    assert calls == []


@asynchronous
async def test_when_the_last_driver_ends_another_may_be_added_or_it_may_fail(caplog):
    caplog.set_level(logging.ERROR)
    first = echo_driver("A")
    calls: list[str] = []

    async with running_server(first) as server:

        def deserted() -> None:
            calls.append("deserted")
            if len(calls) == 1:
                server.add_driver(echo_driver("B"))
            else:
                raise LookupError("no more drivers")

        server.on_deserted = deserted
        first.shutdown()
        async with IndiClient(server.port) as client:
            await client.get_properties()
            await client.expect(match("defTextVector", device="B"))
            server.drivers[-1].shutdown()
            await eventually(lambda: "no more drivers" in caplog.text)
            await client.settle()
    assert calls == ["deserted"] * 2


class Careful(ipd.IPyDriver):
    """When it is told to end, its hardware takes until it may."""

    async def hardware(self) -> None:
        self.may_end = asyncio.Event()
        await self.shutdownrequested.wait()
        await self.may_end.wait()


@pytest.mark.parametrize("starts_again", [True, False])
@asynchronous
async def test_one_that_restarts_while_all_others_end_counts_as_left(starts_again):
    calls: list[str] = []
    first, slow = echo_driver("A"), Careful(echo_device("B"))
    async with running_server(first, slow) as server:
        server.on_deserted = lambda: calls.append("deserted")
        restarting = asyncio.create_task(server.services.restart(server._sources.find(slow)))
        await slow.shutdownrequested.wait()
        first.shutdown()
        await eventually(lambda: not server._sources.is_active(server._sources.find(first)))
        assert calls == []
        if starts_again:
            slow.may_end.set()
            await restarting
            assert calls == []
            slow.shutdown()
            await asyncio.sleep(0)
            slow.may_end.set()
            await eventually(lambda: calls == ["deserted"])
        else:
            restarting.cancel()
            await asyncio.wait([restarting])
            assert calls == ["deserted"]
            slow.may_end.set()


@asynchronous
async def test_that_nothing_is_left_is_said_where_nobody_listens(caplog):
    driver = echo_driver("A")
    async with running_server(driver) as server:
        driver.shutdown()
        await eventually(lambda: "no driver is left" in caplog.text, 30)
        server.add_driver(echo_driver("B"))
    assert caplog.text.count("no driver is left") == 1


class Endless(Stubborn):
    """Its hardware swallows its cancellation, as a bare `except:` does, until it may end."""

    may_end = False

    async def hardware(self) -> None:
        while not self.may_end:
            try:
                await asyncio.sleep(0.05)
            except BaseException:
                pass


def endless() -> Endless:
    return Endless(ipd.Device("E", [ipd.LightVector("l", "", "", "Ok", [ipd.LightMember("m")])]))


@asynchronous
async def test_a_driver_that_swallows_its_cancellation_can_be_removed(monkeypatch, caplog):
    monkeypatch.setattr(parts, "LAST_GRACE", 0.1)
    driver = endless()
    async with (
        running_server(driver, echo_driver("A"), shutdown_grace=0.1) as server,
        IndiClient(server.port) as client,
    ):
        try:
            await client.get_properties()
            await client.expect(match("defLightVector", device="E"))
            await asyncio.wait_for(server.remove(driver), 10)
            await client.expect(match("delProperty", device="E"))
            assert "Endless (E) has not ended 0.1 s after it was cancelled" in caplog.text
            with pytest.raises(RuntimeError, match="already running"):
                server.add_driver(driver)
            await client.get_properties(device="A", name="lamp")
            await client.expect(match("defSwitchVector", device="A"))
            driver.may_end = True
            await eventually(lambda: not any(task.get_name() == "Endless (E)" for task in asyncio.all_tasks()))
            server.add_driver(driver)
            await client.expect(match("defLightVector", device="E"))
        finally:
            driver.may_end = True


@asynchronous
async def test_a_driver_that_swallows_its_cancellation_goes_also_if_nobody_waits_for_that(monkeypatch, caplog):
    monkeypatch.setattr(parts, "LAST_GRACE", 0.1)
    driver = endless()
    async with (
        running_server(driver, echo_driver("A"), shutdown_grace=60) as server,
        IndiClient(server.port) as client,
    ):
        try:
            await client.get_properties()
            await client.expect(match("defLightVector", device="E"))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(server.remove(driver), 0.05)
            await client.expect(match("delProperty", device="E"))
            assert "Endless (E) has not ended 0.1 s after it was cancelled" in caplog.text
        finally:
            driver.may_end = True


@asynchronous
async def test_a_driver_that_swallows_its_cancellation_holds_up_only_its_own_end(monkeypatch, caplog):
    monkeypatch.setattr(parts, "LAST_GRACE", 0.1)
    driver = endless()
    try:
        async with running_server(driver, echo_driver("A"), shutdown_grace=0.1) as server:
            async with IndiClient(server.port) as client:
                await client.get_properties()
                await client.expect(match("defLightVector", device="E"))
                server.shutdown()
                await client.expect(match("delProperty", device="E"))
                await asyncio.wait_for(client.closed.wait(), 5)
            assert "Endless (E) has not ended 0.1 s after it was cancelled" in caplog.text
            driver.may_end = True
            await asyncio.wait_for(server.stopped.wait(), 5)
    finally:
        driver.may_end = True


class Unstoppable(ipd.IPyDriver):
    """Its own shutdown() has a mistake."""

    def shutdown(self) -> None:
        raise RuntimeError("no such pin")


@asynchronous
async def test_a_driver_that_fails_when_it_is_told_to_end_changes_nothing_for_the_others(caplog):
    failing, removed = (Unstoppable(echo_device(name)) for name in ("F", "R"))
    async with running_server(failing, removed, echo_driver("A")) as server, IndiClient(server.port) as client:
        await client.get_properties()
        await client.expect(match("defTextVector", device="R"))
        await server.remove(removed)
        await client.expect(match("delProperty", device="R"))
        server.shutdown()
        await client.expect(match("delProperty", device="F"))
        await client.expect(match("delProperty", device="A"))
        await asyncio.wait_for(client.closed.wait(), 5)
    assert "Unstoppable (F) could not be told to stop" in caplog.text


class Leaving(ipd.IPyDriver):
    def shutdown(self) -> None:
        super().shutdown()
        sys.exit(3)


class Roof(ipd.IPyDriver):
    is_closed = False

    async def hardware(self) -> None:
        await self.shutdownrequested.wait()
        await asyncio.sleep(0.1)
        self.is_closed = True


@pytest.mark.parametrize("how", ["shut down", "removed"])
@asynchronous
async def test_sys_exit_in_shutdown_changes_nothing_for_the_others(how, caplog):
    roof, leaving = Roof(ipd.Device("R", [])), Leaving(echo_device("L"))
    async with running_server(leaving, roof, echo_driver("A")) as server, IndiClient(server.port) as client:
        await client.get_properties()
        await client.expect(match("defTextVector", device="L"))
        if how == "removed":
            await server.remove(leaving)
            await client.expect(match("delProperty", device="L"))
            assert not roof.stop
        server.shutdown()
        await client.expect(match("delProperty", device="A"))
        await asyncio.wait_for(client.closed.wait(), 5)
    assert roof.is_closed
    assert "Leaving (L) could not be told to stop" in caplog.text


class Unprepared(ipd.IPyDriver):
    """Its author has overridden what a server calls first, and made a mistake."""

    def expect_run(self) -> None:
        raise TypeError("a mistake")


@asynchronous
async def test_a_driver_that_cannot_be_prepared_is_not_served_and_the_others_are(caplog):
    failing = Unprepared(echo_device("F"))
    async with running_server(failing, echo_driver("A")) as server, IndiClient(server.port) as client:
        await client.get_properties()
        await client.expect(match("defTextVector", device="A"))
    assert "Unprepared (F) is not served" in caplog.text


def test_each_run_may_be_in_an_event_loop_of_its_own():
    server = IPyServer(echo_driver("A"), host="127.0.0.1", port=0, unix_socket=None)

    async def once(expected: str):
        running = asyncio.create_task(server.asyncrun())
        waiting = asyncio.create_task(server.started.wait())
        if expected == "waits first":
            running.cancel()
            running = asyncio.create_task(server.asyncrun())
        await asyncio.wait_for(waiting, 5)
        async with IndiClient(server.port) as client:
            await client.get_properties()
            await client.expect(match("defTextVector", device="A"))
        server.shutdown()
        await running
        assert server.stopped.is_set()
        assert not server.started.is_set()

    for order in ("", "", "waits first", ""):
        asyncio.run(once(order))
    server.shutdown()  # before the run: it is not forgotten
    asyncio.run(asyncio.wait_for(server.asyncrun(), 5))
    asyncio.run(once(""))


@asynchronous
async def test_started_and_stopped_may_be_waited_for_in_another_thread_than_the_servers():
    loop = asyncio.get_running_loop()

    async def woken(task: asyncio.Task[Any]):
        """By what it waits for, and not by the timer at the end."""
        end = loop.time() + 5
        await asyncio.wait((task,), timeout=5)
        assert loop.time() < end

    server = IPyServer(echo_driver("A"), host="127.0.0.1", port=0)
    waiting = asyncio.create_task(server.started.wait())
    await asyncio.sleep(0)
    thread = threading.Thread(target=lambda: asyncio.run(server.asyncrun()), daemon=True)
    thread.start()
    await woken(waiting)
    waiting = asyncio.create_task(server.stopped.wait())
    await asyncio.sleep(0)
    server.shutdown()
    await woken(waiting)
    await asyncio.to_thread(thread.join, 5)
