"""A read in a thread cannot be interrupted: what it brings after the end of its link is for the next run."""

import asyncio
import os
import threading
import time

import pytest

import indipydriver as ipd
from indipydriver.protocol.encode import encode
from indipydriver.protocol.frame import Batch, Frame, address
from indipydriver.protocol.messages import NewVector, OneMember
from indipydriver.protocol.tags import VectorKind
from indipydriver.transport.stdio import ThreadLink


class Recorder(ipd.IPyDriver):
    def __init__(self):
        super().__init__(ipd.Device("D", [ipd.TextVector("v", "", "", "rw", "Ok", [ipd.TextMember("t")])]))
        self.heard = []

    async def rxevent(self, event):
        self.heard.append(event["t"])


@pytest.fixture
def pipes():
    """Where the driver reads and writes, and where its server writes."""
    reader, to_driver = os.pipe()
    from_driver, writer = os.pipe()
    yield reader, writer, to_driver
    os.close(to_driver)
    give_up = time.monotonic() + 10
    while any(thread.name == f"reader of {reader}" for thread in threading.enumerate()):
        assert time.monotonic() < give_up, "the end of the input ends the thread"
        time.sleep(0.01)
    for fd in (reader, from_driver, writer):
        os.close(fd)


def say(fd, *texts):
    os.write(
        fd, b"".join([encode(NewVector(VectorKind.TEXT, "D", "v", (OneMember("t", text),))).raw for text in texts])
    )


async def until(driver, number):
    async with asyncio.timeout(10):
        while len(driver.heard) < number:
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("same_loop", [True, False])
def test_what_comes_between_two_runs_is_for_the_second(pipes, same_loop):
    reader, writer, to_driver = pipes
    driver = Recorder()

    async def one(number):
        link = ThreadLink("the server", reader, writer)
        running = asyncio.create_task(driver.serve(link))
        await asyncio.sleep(0)
        say(to_driver, f"{number}.0")
        await until(driver, 3 * number + 1)
        driver.shutdown()
        await running
        say(to_driver, f"{number}.1")
        await asyncio.sleep(0.05)
        say(to_driver, f"{number}.2")

    async def all_of_them():
        for number in range(3):
            await one(number)
            await rest(number)

    async def rest(number):
        link = ThreadLink("the server", reader, writer)
        running = asyncio.create_task(driver.serve(link))
        await until(driver, 3 * number + 3)
        driver.shutdown()
        await running

    if same_loop:
        asyncio.run(all_of_them())
    else:
        for number in range(3):
            asyncio.run(one(number))
            asyncio.run(rest(number))
    assert driver.heard == [f"{number}.{n}" for number in range(3) for n in range(3)]


def test_what_was_read_while_the_link_was_paused_is_for_the_next(pipes):
    reader, writer, to_driver = pipes
    driver = Recorder()

    class Receiver:
        def frames_received(self, frames):
            raise AssertionError("it is paused")

        def link_closed(self, error):
            self.closed = True

    async def test():
        first, receiver = ThreadLink("the server", reader, writer), Receiver()
        first.pause_reading()
        first.open(receiver)
        say(to_driver, "0")
        async with asyncio.timeout(10):
            while first._kept is None:
                await asyncio.sleep(0.001)
        first.close()
        await asyncio.sleep(0.01)
        assert receiver.closed
        running = asyncio.create_task(driver.serve(ThreadLink("the server", reader, writer)))
        say(to_driver, "1")
        await until(driver, 2)
        driver.shutdown()
        await running

    asyncio.run(test())
    assert driver.heard == ["0", "1"]


class Closing:
    """What a link tells is no matter here, but for its end."""

    def __init__(self):
        self.closed = asyncio.Event()

    def frames_received(self, frames):
        pass

    def fault_received(self, fault):
        pass

    def link_drained(self):
        pass

    def link_closed(self, error):
        self.closed.set()


def test_what_the_first_run_has_begun_to_write_is_whole_before_the_second_writes():
    reader, to_driver = os.pipe()
    from_driver, writer = os.pipe()
    first = Frame(address("message"), b"<message message='" + b"a" * 200_000 + b"'/>")
    second = Frame(address("message"), b"<message message='" + b"b" * 3000 + b"'/>")
    expected = first.raw + b"\n" + (second.raw + b"\n") * 20

    async def runs():
        link, receiver = ThreadLink("the server", reader, writer), Closing()
        link.open(receiver)
        link.write(Batch([first]))
        link.flush()
        start = await asyncio.to_thread(os.read, from_driver, 100)  # it is being written
        link.abort()
        await receiver.closed.wait()
        link, receiver = ThreadLink("the server", reader, writer), Closing()
        link.open(receiver)
        for _ in range(20):
            link.write(Batch([second]))
        link.flush()
        got = start
        while len(got) < len(expected):
            got += await asyncio.to_thread(os.read, from_driver, 4096)
        link.abort()
        await receiver.closed.wait()
        return got

    async def bounded():
        async with asyncio.timeout(20):
            return await runs()

    assert asyncio.run(bounded()) == expected
    os.close(to_driver)
    for fd in (reader, from_driver, writer):
        os.close(fd)
