"""shutdown() may be called by any thread and by any signal handler, as a button or a script does."""

import asyncio
import os
import signal
import sys
import threading

import pytest

import indipydriver as ipd
from indipydriver.protocol.encode import encode
from indipydriver.protocol.frame import Batch
from indipydriver.protocol.messages import DelProperty, GetProperties, Message, NewVector, OneMember, SetVector
from indipydriver.protocol.tags import VectorKind
from indipydriver.testing import DriverHarness, run
from indipydriver.transport.memory import memory_pair
from indipyserver import IPyServer


class Waiting(ipd.IPyDriver):
    async def hardware(self):
        await self.shutdownrequested.wait()


def driver_alone():
    driver = Waiting(ipd.Device("D", []))
    return driver.shutdown, driver.serve(memory_pair("driver", "test")[1])


def whole_server():
    server = IPyServer(Waiting(ipd.Device("D", [])), port=0)
    server.keepalive = None
    return server.shutdown, server.asyncrun()


def from_a_thread(shutdown):
    threading.Timer(0.1, shutdown).start()


def from_another_loop(shutdown):
    async def call():
        shutdown()

    threading.Timer(0.1, lambda: asyncio.run(call())).start()


def from_a_signal_handler(shutdown):
    signal.signal(signal.SIGUSR2, lambda *_: shutdown())
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR2)).start()


@pytest.mark.parametrize("what", [driver_alone, whole_server])
@pytest.mark.parametrize("how", [from_a_thread, from_another_loop, from_a_signal_handler])
@pytest.mark.parametrize("debug", [False, True])
def test_an_idle_loop_notices_at_once(what, how, debug):
    async def test():
        asyncio.get_running_loop().set_debug(debug)  # then asyncio says so if a thread touches what it must not
        shutdown, running = what()
        how(shutdown)
        async with asyncio.timeout(10):
            await running

    before = signal.getsignal(signal.SIGUSR2)
    try:
        run(test, real_time=True)
    finally:
        signal.signal(signal.SIGUSR2, before)


def test_the_stop_flags_are_raised_before_shutdown_returns():
    async def test():
        driver = Waiting(ipd.Device("D", []))
        running = asyncio.create_task(driver.serve(memory_pair("driver", "test")[1]))
        await asyncio.sleep(0.1)
        thread = threading.Thread(target=driver.shutdown)
        thread.start()
        thread.join()
        assert driver.stop
        assert driver["D"].stop
        await running

    run(test, real_time=True)


def test_a_shutdown_that_comes_when_the_next_run_has_begun_ends_it_not():
    async def test():
        driver = Waiting(ipd.Device("D", []))
        first = asyncio.create_task(driver.serve(memory_pair("driver", "test")[1]))
        await asyncio.sleep(0.1)
        driver.shutdown()
        await first
        second = asyncio.create_task(driver.serve(memory_pair("driver", "test")[1]))
        await asyncio.sleep(0.1)
        driver._run_state.end()  # as the loop calls it for a thread that was late
        await asyncio.sleep(0.1)
        assert not second.done()
        assert not driver.shutdownrequested.is_set()
        driver.shutdown()
        await second

    run(test)


def test_after_a_shutdown_of_the_authors_that_fails_the_driver_can_run_again():
    class Failing(Waiting):
        fails = True

        def shutdown(self):
            super().shutdown()
            if self.fails:
                raise OSError("the pins are gone")

    async def test():
        driver = Failing(ipd.Device("D", []))
        _, theirs = memory_pair("driver", "test")
        running = asyncio.create_task(driver.serve(theirs))
        await asyncio.sleep(0.1)
        with pytest.raises(OSError, match="pins"):
            driver.shutdown()
        with pytest.raises(OSError, match="pins"):
            await running
        assert driver.stopped.is_set()
        assert theirs._here.ended
        driver.fails = False
        running = asyncio.create_task(driver.serve(memory_pair("driver", "test")[1]))
        await asyncio.sleep(0.1)
        assert not running.done()
        driver.shutdown()
        await running

    run(test)


MODULES = ("dispatch.py", "eventqueues.py", "outlet.py")
NEWS = [
    *[encode(NewVector(VectorKind.TEXT, "D", name, (OneMember("t", "x"),))) for name in "vvw"],
    *[encode(SetVector(VectorKind.TEXT, "Other", name, (OneMember("t", "x"),))) for name in "ppq"],
    *[encode(message) for message in (Message("Other", "m"), DelProperty("Other", "q"), DelProperty("Other"))],
    encode(SetVector(VectorKind.TEXT, "Other", "p", (OneMember("t", "x"),))),
    *[encode(GetProperties("D", name)) for name in "vw"],
]


class Careful(Waiting):
    """Puts its hardware in order before it ends."""

    is_in_order = False

    async def rxevent(self, event):
        await event.vector.send_setVector()

    async def hardware(self):
        await super().hardware()
        await asyncio.sleep(1)
        self.is_in_order = True


async def interrupted(place):
    """Shut the driver down from a signal handler, at the place with this number; False if there are not so many.

    Handlers run where functions are called or return, as functions of sys.setprofile() do.
    """
    vectors = [ipd.TextVector(name, "", "", "rw", "Ok", [ipd.TextMember("t")]) for name in "vw"]
    driver = Careful(ipd.Device("D", vectors))
    driver.snoopall = True
    errors = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
    left = place

    def profile(frame, *_):
        nonlocal left
        if frame.f_code.co_filename.endswith(MODULES):
            left -= 1
            if left == 0:
                sys.setprofile(None)
                driver.shutdown()

    async with DriverHarness(driver) as h:
        before = sys.getprofile()
        sys.setprofile(profile)
        try:
            h._link.write(Batch(NEWS))
            h._link.flush()
            for _ in range(20):
                await asyncio.sleep(0)
        finally:
            sys.setprofile(before)
    assert driver.is_in_order
    assert errors == []
    return left <= 0


def test_wherever_a_signal_interrupts_the_driver_it_ends_in_order():
    place = 1
    while run(interrupted, place):
        place += 1
    assert place > 500


async def shut_down_while_prepared(place):
    """Shut a driver down at this instruction of what prepares its second run; False if there are not so many."""
    driver = Waiting(ipd.Device("D", []))
    driver.shutdown()
    await driver.serve(memory_pair("driver", "test")[1])
    left = place

    def trace(frame, event, _):
        nonlocal left
        if frame.f_code.co_name != "prepare":
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            left -= 1
            if left == 0:
                sys.settrace(None)
                driver.shutdown()
        return trace

    before = sys.gettrace()
    sys._getframe().f_trace_opcodes = True  # Python 3.12 traces no instructions if no frame has asked for it before
    sys.settrace(trace)
    try:
        driver.expect_run()
    finally:
        sys.settrace(before)
    if left > 0:
        driver.shutdown()
        driver.expect_no_run()
        return False
    async with asyncio.timeout(10):
        await driver.serve(memory_pair("driver", "test")[1])
    third = asyncio.create_task(driver.serve(memory_pair("driver", "test")[1]))
    await asyncio.sleep(1)
    assert not third.done()
    assert not driver["D"].stop
    driver.shutdown()
    await third
    return True


def test_a_shutdown_between_two_runs_is_never_lost_and_never_counts_twice():
    place = 1
    while run(shut_down_while_prepared, place):
        place += 1
    assert place > 50
