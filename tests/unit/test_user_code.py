"""What the coroutines of a driver's author may do: be cancelled, cancel themselves, refuse to end."""

import asyncio
import logging

import pytest

import indipydriver as ipd
from indipydriver.errors import NotRunning
from indipydriver.protocol.encode import encode
from indipydriver.protocol.messages import GetProperties, NewVector, OneMember, SetVector
from indipydriver.protocol.tags import State, VectorKind
from indipydriver.testing import DriverHarness, driver_test, run
from indipydriver.transport.memory import memory_pair
from tests.support.links import Recorder


def device():
    return ipd.Device(
        "D",
        [ipd.TextVector(name, "", "", "rw", "Ok", [ipd.TextMember("t", membervalue="old")]) for name in ("v", "w")],
    )


async def await_what_is_cancelled():
    task = asyncio.create_task(asyncio.sleep(100))
    task.cancel()
    await task


async def raise_it():
    raise asyncio.CancelledError("not from here")


async def cancel_oneself():
    asyncio.current_task().cancel()
    await asyncio.sleep(0)


async def cancel_oneself_and_return():
    asyncio.current_task().cancel()


async def cancelled_in_a_group():
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(100))
            raise ValueError("ends the group")
    except* ValueError:
        pass  # Python 3.11.2 would wrap what is raised here
    await raise_it()


WAYS = [await_what_is_cancelled, raise_it, cancel_oneself, cancelled_in_a_group]


class Odd(ipd.IPyDriver):
    """Its coroutines do what the test wants, once."""

    def __init__(self, act):
        super().__init__(device())
        self.act = act
        self.done = []

    async def rxevent(self, event):
        await self.handle(event, event.get("t") if isinstance(event, ipd.newTextVector) else "asked")

    async def snoopevent(self, event):
        await self.handle(event, event["t"])

    async def handle(self, event, text):
        act, self.act = self.act, None
        if act is not None:
            await act()
        await asyncio.sleep(1)
        self.done.append(text)


# --- what is cancelled, though the driver is not to end --------------------------------


@pytest.mark.parametrize("act", WAYS)
@driver_test
async def test_a_cancellation_out_of_rxevent_is_a_failure_of_this_one_event(act, caplog):
    async with DriverHarness(Odd(act)) as h:
        await h.set_text("D", "v", t="1")
        h.assert_state("D", "v", "Alert")
        for text in ("2", "3"):
            await h.set_text("D", "v", t=text)
        assert "the driver failed: CancelledError" in h.property("D", "v").message
        await h.set_text("D", "w", t="other")
        await h.advance(5)
        assert h.driver.done == ["2", "other", "3"]
        await h.set_text("D", "v", t="4")
        await h.advance(1)
        assert h.driver.done[-1] == "4"
        assert not h.driver.stop
        assert h.driver._run_state.receiver._queues._queues == {}
    assert "rxevent failed" in caplog.text


@driver_test
async def test_who_cancels_itself_and_returns_has_not_failed():
    async with DriverHarness(Odd(cancel_oneself_and_return)) as h:
        h.driver.handle = lambda event, text: one_that_returns(h.driver, text)
        for text in ("1", "2", "3"):
            await h.set_text("D", "v", t=text)
        await h.advance(5)
        assert h.driver.done == ["1", "2", "3"]
        assert h.property("D", "v").message == ""


async def one_that_returns(driver, text):
    if text == "1":
        asyncio.current_task().cancel()
    driver.done.append(text)


@pytest.mark.parametrize("act", WAYS)
@driver_test
async def test_a_cancellation_out_of_snoopevent_is_logged(act, caplog):
    driver = Odd(act)
    driver.snoopall = True
    async with DriverHarness(driver) as h:
        for text in ("1", "2", "3"):
            await h.send(SetVector(VectorKind.TEXT, "Other", "p", (OneMember("t", text),), State.OK))
        await h.advance(5)
        assert driver.done == ["2", "3"]
        assert not driver.stop
    assert "snoopevent failed" in caplog.text


@pytest.mark.parametrize("act", WAYS)
@driver_test
async def test_a_cancellation_about_a_definition_is_logged(act, caplog):
    driver = Odd(act)
    driver.auto_send_def = False
    async with DriverHarness(driver) as h:
        await h.advance(5)
        assert driver.done == ["asked"]
        await h.get_properties()
        await h.advance(5)
        assert driver.done == ["asked"] * 3
        assert h.frames == []
    assert "rxevent failed with getProperties" in caplog.text


@pytest.mark.parametrize("act", WAYS)
@pytest.mark.parametrize("how", ["hardware", "background", "background of a device", "late background"])
def test_hardware_that_is_cancelled_has_failed(how, act, caplog):
    """It would stay on the screen with values that stand still."""

    class Sensor(ipd.IPyDriver):
        async def hardware(self):
            await asyncio.sleep(1)
            if how == "late background":
                self.add_background(act())
            if how == "hardware":
                await act()
            await asyncio.sleep(1000)

    async def test():
        driver = Sensor(device())
        if how == "background":
            driver.add_background(act())
        elif how == "background of a device":
            driver["D"].add_background(act())
        _, theirs = memory_pair("driver", "test")
        with pytest.raises(ExceptionGroup) as caught:
            await driver.serve(theirs)
        (error,) = caught.value.exceptions
        assert "was cancelled, or waited for something that was" in str(error)
        assert isinstance(error.__cause__, asyncio.CancelledError)
        assert driver.stopped.is_set()
        assert asyncio.get_running_loop().time() < 5

    run(test)
    assert "so the driver ends" in caplog.text


@driver_test
async def test_who_cancels_every_task_there_is_ends_the_driver_without_an_error(caplog):
    """As asyncio.run does in the end."""
    driver = Odd(None)
    ours, theirs = memory_pair("driver", "test")
    ours.open(Recorder())
    task = asyncio.create_task(driver.serve(theirs, shutdown_grace=1))
    await asyncio.sleep(1)
    dispatcher = driver._run_state.receiver
    dispatcher.frames_received([encode(GetProperties())])
    for each in asyncio.all_tasks() - {asyncio.current_task()}:
        each.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert driver.stopped.is_set()
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.mark.parametrize("first", ["the hardware", "the run"])
@driver_test
async def test_a_cancelled_run_ends_without_an_error_whichever_task_hears_of_it_first(first, caplog):
    class Waiting(Odd):
        async def hardware(self):
            await asyncio.sleep(1000)

    driver = Waiting(None)
    ours, theirs = memory_pair("driver", "test")
    ours.open(Recorder())
    run = asyncio.create_task(driver.serve(theirs, shutdown_grace=1))
    await asyncio.sleep(1)
    (hardware,) = (task for task in asyncio.all_tasks() if task.get_name() == "hardware()")
    for task in [hardware, run] if first == "the hardware" else [run, hardware]:
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert hardware.cancelled()
    assert driver.stopped.is_set()
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


@driver_test
async def test_an_old_cancellation_of_the_caller_changes_nothing():
    """A task that has taken a cancellation for itself once runs a driver later."""
    driver = Odd(await_what_is_cancelled)

    async def caller():
        try:
            asyncio.current_task().cancel()
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            pass
        async with DriverHarness(driver) as h:
            await h.set_text("D", "v", t="1")
            h.assert_state("D", "v", "Alert")
            await h.set_text("D", "v", t="2")
            await h.advance(2)
            assert driver.done == ["2"]

    await asyncio.create_task(caller())


# --- what does not end -----------------------------------------------------------------


@driver_test
async def test_what_takes_no_notice_of_its_cancellation_is_named(caplog):
    class Deaf(ipd.IPyDriver):
        async def hardware(self):
            for _ in range(100):
                try:
                    await asyncio.sleep(10)
                except asyncio.CancelledError:
                    pass

    async with DriverHarness(Deaf(device())):
        pass
    assert "hardware() goes on after its cancellation" in caplog.text


@driver_test
async def test_cleaning_up_is_not_disturbed():
    """It may take longer than the grace time: a second cancellation would leave the hardware half-way."""
    ended = []

    class Slow(ipd.IPyDriver):
        async def hardware(self):
            try:
                await asyncio.sleep(1000)
            finally:
                await asyncio.sleep(100)
                ended.append("the motor is off")

    async with DriverHarness(Slow(device())):
        pass
    assert ended == ["the motor is off"]


@driver_test
async def test_what_is_started_after_the_grace_time_is_not_waited_for(caplog):
    class Late(ipd.IPyDriver):
        async def hardware(self):
            try:
                await asyncio.sleep(1000)
            finally:
                self.add_background(asyncio.sleep(10_000))

    async with DriverHarness(Late(device())):
        pass
    assert asyncio.get_running_loop().time() < 20
    assert "a background of the driver is no longer started" in caplog.text


# --- from within an event --------------------------------------------------------------


@driver_test
async def test_an_event_may_do_anything_to_its_own_vector():
    class Busy(ipd.IPyDriver):
        async def rxevent(self, event):
            vector = event.vector
            vector["t"] = event["t"]
            await vector.send_setVector(state="Busy")
            await vector.send_delProperty()
            vector.enable = True
            await vector.send_defVector()
            await self["D"].send_delProperty()
            self["D"].enable = True
            await vector.send_defVector(state="Ok")

    async with DriverHarness(Busy(device())) as h:
        for text in ("1", "2"):
            await h.set_text("D", "v", t=text)
            h.assert_values("D", "v", t=text)
            h.assert_state("D", "v", "Ok")


@driver_test
async def test_commands_that_wait_are_forgotten_when_an_event_ends_the_driver():
    class Once(Odd):
        async def handle(self, event, text):
            await asyncio.sleep(1)
            self.done.append(text)
            self.shutdown()

    driver = Once(None)
    async with DriverHarness(driver) as h:
        for text in ("1", "2"):
            await h.set_text("D", "v", t=text)
        await h.advance(5)
    assert driver.done == ["1"]


class _Broken(Exception):
    def __str__(self):
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OSError("é" * 300), "OSError: é"),
        (_Broken(), "the driver failed: _Broken"),
        (ExceptionGroup("two", [ValueError(), OSError()]), "two (2 sub-exceptions)"),
        (ValueError("<&>\n\x00\ud800"), "ValueError: <&>"),
        (StopIteration(), "RuntimeError: coroutine raised StopIteration"),
        (TimeoutError(), "the driver failed: TimeoutError"),
    ],
)
@driver_test
async def test_any_exception_becomes_a_message_that_fits(error, text):
    async def act():
        raise error

    async with DriverHarness(Odd(act)) as h:
        await h.set_text("D", "v", t="1")
        h.assert_state("D", "v", "Alert")
        message = h.property("D", "v").message
        assert text in message
        assert len(message.encode()) <= 250


class _Interrupt(BaseException):
    pass


@pytest.mark.parametrize("where", ["rxevent", "hardware"])
def test_what_is_no_exception_ends_the_driver(where):
    """KeyboardInterrupt and SystemExit end the program, as everywhere in asyncio."""

    class Fatal(ipd.IPyDriver):
        async def rxevent(self, event):
            raise _Interrupt

        async def hardware(self):
            if where == "hardware":
                raise _Interrupt

    async def test():
        driver = Fatal(device())
        _, theirs = memory_pair("driver", "test")
        task = asyncio.create_task(driver.serve(theirs))
        await asyncio.sleep(0)
        if where == "rxevent":
            await asyncio.sleep(1)
            command = NewVector(VectorKind.TEXT, "D", "v", (OneMember("t", "x"),))
            driver._run_state.receiver.frames_received([encode(command)])
        with pytest.raises(BaseExceptionGroup) as caught:
            await task
        assert isinstance(caught.value.exceptions[0], _Interrupt)
        assert driver.stopped.is_set()

    run(test)


# --- the names that it gives -----------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        (5, "v"),
        ("Other", 5),
        (b"Other", "v"),
        ("Other\n", "v"),
        ("Other", "v\x00"),
        (["Other"], "v"),
        ("Other", "v", None),
        ("Other", "v", float("inf")),
        ("Other", "v", float("nan")),
        ("Other", "v", "soon"),
    ],
)
@driver_test
async def test_names_and_times_that_cannot_be_sent_are_refused_at_once(arguments):
    driver = Odd(None)
    async with DriverHarness(driver) as h:
        with pytest.raises(ValueError, match=r"."):
            driver.snoop(*arguments)
        if len(arguments) == 2:
            with pytest.raises(ValueError, match=r"."):
                await driver.send_getProperties(*arguments)
        await h.advance(100)
        assert driver.snoopvectors == {}
        assert not driver.snoopall
        assert not driver.stop


@driver_test
async def test_what_a_script_writes_into_the_table_itself_ends_nothing(caplog):
    driver = Odd(None)
    driver.snoopvectors["Other", "bad\n"] = [10, 0]
    driver.snoop("Other", "v", 10)
    async with DriverHarness(driver) as h:
        await h.advance(100)
        assert not driver.stop
        assert len([message for message in h.messages if isinstance(message, GetProperties)]) > 5
    assert "cannot be requested" in caplog.text


# --- runs ------------------------------------------------------------------------------


class Plain(ipd.IPyDriver):
    ran = 0

    async def hardware(self):
        self.ran += 1
        await self.shutdownrequested.wait()


@pytest.mark.parametrize("same_loop", [True, False])
def test_a_shutdown_before_any_run_ends_that_one_and_no_other(same_loop):
    driver = Plain(device())

    async def one(shut_down, runs):
        if shut_down:
            driver.shutdown()
            driver.shutdown()
        _, theirs = memory_pair("driver", "test")
        task = asyncio.create_task(driver.serve(theirs))
        await asyncio.wait([task], timeout=10)
        assert task.done() is shut_down
        assert driver.ran == runs
        assert driver.stop is driver["D"].stop is driver.shutdownrequested.is_set() is shut_down
        if not shut_down:
            driver.shutdown()
        await task
        assert driver.stopped.is_set()

    plan = [(True, 0), (False, 1), (True, 1), (True, 1), (False, 2), (False, 3)]

    async def all_of_them():
        for step in plan:
            await one(*step)

    if same_loop:
        run(all_of_them)
    else:
        for step in plan:
            run(one, *step)


@driver_test
async def test_a_run_that_was_expected_and_is_refused():
    """Whoever waits for its end goes on, and nothing is kept for a run that never comes."""
    driver = Plain(device())
    driver.expect_run()
    await driver.send_message("early")
    waiting = asyncio.create_task(driver.stopped.wait())
    asked = asyncio.create_task(driver.shutdownrequested.wait())
    await asyncio.sleep(1)
    driver.expect_no_run()
    driver.expect_no_run()
    await asyncio.sleep(1)
    assert waiting.done()
    assert asked.done()
    await driver.send_message("dropped")
    assert driver.stop
    async with DriverHarness(driver) as h:  # later it may be run all the same
        assert h.texts == []
        assert not driver.stop
        driver.expect_no_run()
        assert not driver.stop
        assert driver.ran == 1


@driver_test
async def test_a_test_kit_that_ends_after_its_driver_leaves_the_next_run_alone():
    driver = Plain(device())
    async with DriverHarness(driver) as h:
        driver.shutdown()
        await h.advance(10)
    async with DriverHarness(driver):
        assert not driver.stop


@driver_test
async def test_before_any_run_there_is_nothing_to_be_refused():
    driver = Plain(device())
    driver.expect_no_run()
    assert not driver.stop
    with pytest.raises(NotRunning):
        await driver.send_message("x")


@driver_test
async def test_hardware_that_is_no_coroutine_function_is_told_so():
    class Plain(ipd.IPyDriver):
        def hardware(self):
            pass

    _, theirs = memory_pair("driver", "test")
    with pytest.raises(ExceptionGroup) as caught:
        await Plain(device()).serve(theirs)
    assert "write async def hardware" in str(caught.value.exceptions[0])


@driver_test
async def test_a_message_that_is_none_is_empty():
    driver = ipd.IPyDriver(device())
    async with DriverHarness(driver) as h:
        h.messages.clear()
        await driver.send_message(None)
        await driver["D"].send_device_message(None)
        await driver["D"]["v"].send_setVector(message=None)
        await driver["D"].send_delProperty(None)
        await h.settle()
        assert [message.message or "" for message in h.messages] == [""] * 4
        assert all(b"None" not in frame.raw for frame in h.frames)


# --- a shutdown() of the author's that fails --------------------------------------------


class NoSuchPin(ipd.IPyDriver):
    def shutdown(self):
        raise AttributeError("no such pin")


class NoSuchPort(ipd.Device):
    def shutdown(self):
        raise AttributeError("no such port")


def with_the_driver():
    return NoSuchPin(device())


def with_a_device():
    return ipd.IPyDriver(NoSuchPort("D", []), ipd.Device("E", []))


@pytest.mark.parametrize("make", [with_the_driver, with_a_device])
@pytest.mark.parametrize("how", ["the link is closed", "cancelled", "a background fails"])
def test_a_driver_ends_though_its_shutdown_fails(make, how, caplog):
    async def test():
        driver = make()
        ours, theirs = memory_pair("server", "driver")
        ours.open(Recorder())
        running = asyncio.create_task(driver.serve(theirs))
        await asyncio.sleep(1)
        if how == "the link is closed":
            ours.close()
        elif how == "cancelled":
            running.cancel()
        else:
            driver.add_background(asyncio.wait_for(asyncio.Event().wait(), 1))
        done, _ = await asyncio.wait((running,), timeout=60)
        assert done
        assert all(each.stop for each in (driver, *driver.values()))
        assert driver.stopped.is_set()
        if make is with_the_driver:
            assert isinstance(running.exception(), AttributeError)
        elif how == "cancelled":
            assert running.cancelled()
        else:
            failure = running.exception()
            assert isinstance(failure, ExceptionGroup) if how == "a background fails" else failure is None

    run(test)
    assert "no such p" in caplog.text


class Unwritable(Exception):
    def __setattr__(self, name, value):
        raise AttributeError(name)


def test_an_exception_that_takes_no_attributes_ends_its_driver_as_any_other(caplog):
    class Failing(ipd.IPyDriver):
        async def hardware(self):
            raise Unwritable

    problems = []

    async def test():
        asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
        driver = Failing(device())
        ours, theirs = memory_pair("server", "driver")
        ours.open(Recorder())
        with pytest.raises(ExceptionGroup):
            await asyncio.wait_for(driver.serve(theirs), 60)
        assert driver.stop

    run(test)
    assert problems == []
    assert "hardware() of Failing (D) failed" in caplog.text


class Meanwhile(list):
    """A thread appends to it at the moment when it has been read."""

    then = None

    def __getitem__(self, index):
        taken = super().__getitem__(index)
        self._append()
        return taken

    def __iter__(self):
        yield from list(super().__iter__())
        self._append()

    def _append(self):
        then, self.then = self.then, None
        if then is not None:
            self.append(then)


@pytest.mark.parametrize("whose", ["driver", "device"])
def test_a_background_that_a_thread_adds_while_a_run_begins_is_run(whose):
    async def test():
        ran = []

        async def background(number):
            ran.append(number)

        driver = ipd.IPyDriver(device())
        waiting = Meanwhile([background(1)])
        waiting.then = background(2)
        if whose == "driver":
            driver._engine._backgrounds = waiting
        else:
            driver["D"]._backgrounds = waiting
        for _ in range(2):
            async with DriverHarness(driver) as h:
                await h.advance(1)
        assert sorted(ran) == [1, 2]

    run(test)


def test_a_background_that_is_added_too_late_for_the_list_is_started_in_this_run():
    async def test():
        ran = []

        async def background():
            ran.append(1)

        driver = ipd.IPyDriver(device())
        engine = driver._engine
        async with DriverHarness(driver) as h:
            group, engine._group = engine._group, None

            class Late(list):
                def append(self, coro):  # the thread has seen that there is no run, and now there is one
                    super().append(coro)
                    engine._group = group

            engine._backgrounds = Late()
            driver.add_background(background())
            await h.advance(1)
            assert ran == [1]

    run(test)


class NoException(BaseException):
    pass


def leaving(kind, error):
    def shutdown(self):
        kind.shutdown(self)
        raise error

    return type(f"Leaving{kind.__name__}", (kind,), {"shutdown": shutdown})


class Roof(ipd.IPyDriver):
    is_closed = False

    async def hardware(self):
        await self.shutdownrequested.wait()
        await asyncio.sleep(1)
        self.is_closed = True


@pytest.mark.parametrize("error", [SystemExit(3), NoException("x")])
@pytest.mark.parametrize("where", ["driver", "device"])
def test_sys_exit_in_shutdown_leaves_hardware_its_grace_time_and_the_loop_running(where, error, caplog):
    async def test():
        if where == "driver":
            driver = leaving(Roof, error)(device())
        else:
            driver = Roof(leaving(ipd.Device, error)("D", []), ipd.Device("E", []))
        ours, theirs = memory_pair("server", "driver")
        ours.open(Recorder())
        running = asyncio.create_task(driver.serve(theirs))
        await asyncio.sleep(1)
        ours.close()
        await asyncio.wait((running,), timeout=60)
        assert driver.is_closed
        assert all(each.stop for each in (driver, *driver.values()))
        failure = running.exception()
        if where == "driver":
            assert isinstance(failure, RuntimeError)
            assert failure.__cause__ is error
        else:
            assert failure is None

    run(test)
    assert "shutdown() " in caplog.text


# --- a shutdown() of the author's that does not call that of the class ------------------


class SwitchesOff(ipd.IPyDriver):
    is_off = False

    def shutdown(self):
        self.is_off = True


class Motor(ipd.Device):
    is_off = ended = False

    def shutdown(self):
        self.is_off = True

    async def devhardware(self):
        while not self.stop:
            await asyncio.sleep(1)
        self.ended = True


@pytest.mark.parametrize("how", ["the link is closed", "cancelled"])
def test_a_driver_ends_though_its_shutdown_leaves_that_to_nobody(how, caplog):
    async def test():
        driver = SwitchesOff(device())
        ours, theirs = memory_pair("server", "driver")
        ours.open(Recorder())
        running = asyncio.create_task(driver.serve(theirs))
        await asyncio.sleep(1)
        ours.close() if how == "the link is closed" else running.cancel()
        done, _ = await asyncio.wait((running,), timeout=60)
        assert done
        assert driver.is_off
        assert driver.stop
        assert driver["D"].stop
        assert driver.stopped.is_set()

    run(test)
    assert "shutdown() does not call super().shutdown()" in caplog.text


class SetsTheFlag(ipd.IPyDriver):
    """As the class of the PyPI package does in its shutdown()."""

    def shutdown(self):
        self._stop = True


@pytest.mark.parametrize("how", ["the link is closed", "shutdown", "the flag is set"])
def test_to_set_the_stop_flag_ends_the_driver(how):
    async def test():
        driver = ipd.IPyDriver(device()) if how == "the flag is set" else SetsTheFlag(device())
        ours, theirs = memory_pair("server", "driver")
        ours.open(Recorder())
        running = asyncio.create_task(driver.serve(theirs))
        await asyncio.sleep(1)
        if how == "the link is closed":
            ours.close()
        elif how == "shutdown":
            driver.shutdown()
        else:
            driver._stop = True
        done, _ = await asyncio.wait((running,), timeout=60)
        assert done
        assert driver["D"].stop
        assert driver.shutdownrequested.is_set()
        assert driver.stopped.is_set()
        driver._stop = False
        assert not driver.stop

    run(test)


def test_a_test_ends_though_shutdown_leaves_that_to_nobody():
    async def test():
        async with DriverHarness(SwitchesOff(device())) as h:
            pass
        assert h.driver.is_off
        assert h.driver.stopped.is_set()

    run(test)


@driver_test
async def test_the_loop_of_a_device_ends_though_its_shutdown_leaves_that_to_nobody():
    motor = Motor("M", [])
    motor.add_background(motor.devhardware())
    async with DriverHarness(ipd.IPyDriver(motor)):
        pass
    assert motor.is_off
    assert motor.ended
