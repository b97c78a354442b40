"""A send in another thread, with an event loop of its own there, arrives at once or says what to do instead."""

import asyncio
import threading
import time
from xml.etree import ElementTree as ET

import pytest

import indipydriver as ipd
from indipydriver.errors import LocalProtocolError
from indipydriver.protocol.messages import DelProperty, GetProperties, Message, SetVector
from indipydriver.testing import DriverHarness, driver_test, run
from indipydriver.transport import outlet as sending


def make_driver():
    text = ipd.TextVector("v", "", "", "rw", "Ok", [ipd.TextMember("t")])
    blob = ipd.BLOBVector("b", "", "", "ro", "Ok", [ipd.BLOBMember("m", membervalue=b"x")])
    return ipd.IPyDriver(ipd.Device("D", [text, blob]), ipd.Device("E", []))


def in_a_thread(function):
    """Run it in a thread and return what it raised; the event loop that waits for it has nothing else to do."""
    raised = []

    def work():
        try:
            function()
        except Exception as error:
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    return thread, raised


@pytest.mark.parametrize("debug", [False, True])
def test_what_is_sent_in_another_event_loop_arrives_at_once_and_in_order(debug):
    async def test():
        asyncio.get_running_loop().set_debug(debug)
        driver = make_driver()

        async def send():
            for n in range(100):
                driver["D"]["v"]["t"] = str(n)
                await driver["D"]["v"].send_setVector()
            await driver["E"].send_delProperty()
            await driver.send_message("done")

        async with DriverHarness(driver) as h:
            h.messages.clear()
            thread, raised = in_a_thread(lambda: asyncio.run(send()))
            await h.wait_until(lambda: "done" in h.texts, timeout=10)
            thread.join()
            assert raised == []
            assert [type(message) for message in h.messages] == [SetVector] * 100 + [DelProperty, Message]
            assert [m.members[0].value for m in h.messages[:100]] == [str(n) for n in range(100)]
            assert driver._run_state.outlet._burst.began is None

    run(test, real_time=True)


def test_a_thread_that_sends_without_a_pause_is_no_faster_than_the_event_loop_and_leaves_time_for_others():
    async def test():
        driver = make_driver()
        waiting = []
        turns = []

        async def send():
            async def other():
                while True:
                    turns.append(1)
                    await asyncio.sleep(0.001)

            beside = asyncio.create_task(other())
            for _ in range(500):
                await driver["D"]["v"].send_setVector()
            beside.cancel()

        class Server(DriverHarness):
            def frames_received(self, frames):
                super().frames_received(frames)
                waiting.append(len(driver._run_state.outlet._handed_over))
                time.sleep(0.002)

        async with Server(driver) as h:
            thread, raised = in_a_thread(lambda: asyncio.run(send()))
            await h.wait_until(lambda: h.property("D", "v").updates == 500, timeout=60)
            thread.join()
            assert raised == []
            assert max(waiting) <= 65
            assert len(turns) > 5

    run(test, real_time=True)


def test_an_event_loop_that_waits_for_a_thread_which_sends_waits_not_for_ever(monkeypatch):
    monkeypatch.setattr(sending, "_LONGEST_WAIT", 0.01)

    async def test():
        driver = make_driver()

        async def send():
            for _ in range(100):
                await driver["D"]["v"].send_setVector()

        async with DriverHarness(driver) as h:
            thread, raised = in_a_thread(lambda: asyncio.run(send()))
            thread.join(60)
            assert not thread.is_alive()
            assert raised == []
            await h.wait_until(lambda: h.property("D", "v").updates == 100, timeout=10)

    run(test, real_time=True)


def test_what_a_thread_has_sent_goes_out_before_what_the_event_loop_sends_later():
    """As when the event loop is in the middle of something while a thread sends: the last that is sent is what holds."""

    async def test():
        driver = make_driver()
        vector = driver["D"]["v"]

        async def send():
            vector["t"] = "older"
            await vector.send_setVector(state="Busy")

        async with DriverHarness(driver) as h:
            h.messages.clear()
            thread, raised = in_a_thread(lambda: asyncio.run(send()))
            thread.join()
            vector["t"] = "newer"
            await vector.send_setVector(state="Ok")
            await driver["D"].send_device_message("done")
            await h.wait_until(lambda: "done" in h.texts, timeout=10)
            assert raised == []
            assert [(m.members[0].value, m.state) for m in h.messages[:-1]] == [("older", "Busy"), ("newer", "Ok")]

    run(test, real_time=True)


@pytest.mark.parametrize("how", ["send_setVector", "send_setVectorMembers", "send_defVector"])
def test_the_event_loop_sends_nothing_while_a_thread_has_read_values_but_not_sent_them(how):
    async def test():
        driver = make_driver()
        vector = driver["D"]["v"]
        has_read, newer_is_sent = threading.Event(), threading.Event()

        def slow_emit(frame):
            if threading.current_thread() is thread:
                has_read.set()
                newer_is_sent.wait(0.2)
            emit(frame)

        async def send():
            await vector.send_setVector(state="Busy")

        async with DriverHarness(driver) as h:
            h.messages.clear()
            outlet = driver._run_state.outlet
            emit, outlet.emit = outlet.emit, slow_emit
            vector["t"] = "older"
            thread = threading.Thread(target=lambda: asyncio.run(send()))
            thread.start()
            has_read.wait(10)
            vector["t"] = "newer"
            await getattr(vector, how)(state="Ok", **({"members": ["t"]} if how.endswith("Members") else {}))
            newer_is_sent.set()
            thread.join()
            await driver["D"].send_device_message("done")
            await h.wait_until(lambda: "done" in h.texts, timeout=10)
            assert [m.members[0].value for m in h.messages[:-1]] == ["older", "newer"]
            assert (h.property("D", "v").state, vector.state) == ("Ok", "Ok")

    run(test, real_time=True)


@pytest.mark.parametrize("how", ["send_setVector", "send_setVectorMembers", "send_defVector"])
def test_a_state_that_a_thread_sends_last_is_that_of_the_vector(how):
    """Otherwise clients show for ever a state that the driver does not have."""

    async def test():
        vector = make_driver()["D"]["v"]
        is_asked, newer_is_sent = threading.Event(), threading.Event()

        class InOrder:
            def __enter__(self):
                if threading.current_thread() is thread:
                    is_asked.set()
                    newer_is_sent.wait(10)
                in_order.acquire()

            def __exit__(self, *error):
                in_order.release()

        async def send():
            await getattr(vector, how)(state="Alert")

        async with DriverHarness(vector.driver) as h:
            outlet = vector.driver._run_state.outlet
            in_order, outlet.in_order = outlet.in_order, InOrder()
            thread = threading.Thread(target=lambda: asyncio.run(send()))
            thread.start()
            is_asked.wait(10)
            vector.state = "Busy"
            await vector.send_setVector()
            newer_is_sent.set()
            thread.join()
            await vector.device.send_device_message("done")
            await h.wait_until(lambda: "done" in h.texts, timeout=10)
            assert (h.property("D", "v").state, vector.state) == ("Alert", "Alert")

    run(test, real_time=True)


@pytest.mark.parametrize("deleted", ["a device", "a vector"])
@pytest.mark.parametrize("how", ["get_properties", "send_defVector", "send_setVector", "send_setVectorMembers"])
def test_nothing_of_a_vector_follows_its_deletion_in_a_thread(how, deleted):
    """A client that gets a definition after the deletion shows for ever what is gone."""

    async def test():
        vector = ipd.TextVector("v", "", "", "rw", "Ok", [ipd.TextMember("t")])
        driver = ipd.IPyDriver(ipd.Device("D", [vector]))
        is_deleted = threading.Event()
        threads = []

        async def delete():
            await (driver["D"] if deleted == "a device" else vector).send_delProperty()
            is_deleted.set()

        def slow_emit(frame):
            if not threads:  # the event loop is about to send
                thread, _ = in_a_thread(lambda: asyncio.run(delete()))
                threads.append(thread)
                is_deleted.wait(0.2)
            emit(frame)

        async with DriverHarness(driver) as h:
            h.messages.clear()
            outlet = driver._run_state.outlet
            emit, outlet.emit = outlet.emit, slow_emit
            await (h.get_properties("D", "v") if how == "get_properties" else getattr(vector, how)())
            await h.wait_for("D", "v", defined=False, timeout=10)
            threads[0].join()
            await driver.send_message("done")
            await h.wait_until(lambda: "done" in h.texts, timeout=10)
            assert [type(m) for m in h.messages[1:]] == [DelProperty, Message]

    run(test, real_time=True)


def test_blobs_are_not_sent_in_another_event_loop():
    async def test():
        driver = make_driver()
        vector = driver["D"]["b"]
        async with DriverHarness(driver) as h:
            h.messages.clear()
            for send in (vector.send_setVectorMembers, vector.send_defVector, driver["D"].send_delProperty):
                thread, raised = in_a_thread(lambda send=send: asyncio.run(send()))
                thread.join()
                assert [type(error) for error in raised] == [RuntimeError]
                assert "run_coroutine_threadsafe" in str(raised[0])
            loop = asyncio.get_running_loop()
            in_a_thread(lambda: asyncio.run_coroutine_threadsafe(vector.send_setVectorMembers(members="m"), loop))
            await h.wait_for("D", "b", values={"m": b"x"}, timeout=10)
            assert len(h.messages) == 1

    run(test, real_time=True)


def test_the_last_that_a_thread_has_sent_before_the_end_is_not_lost():
    """As when the event loop looks whether the thread has finished, and then shuts the driver down."""

    async def test():
        driver = make_driver()
        vector = driver["D"]["v"]

        async def send():
            vector["t"] = "last"
            await vector.send_setVector(state="Idle")

        async with DriverHarness(driver) as h:
            thread, raised = in_a_thread(lambda: asyncio.run(send()))
            thread.join()
            driver.shutdown()
            await vector.send_setVector(state="Alert")
            await driver.stopped.wait()
            assert raised == []
            assert (h.property("D", "v").state, h.property("D", "v").values) == ("Idle", {"t": "last"})

    run(test, real_time=True)


def test_after_the_end_nothing_is_sent_from_anywhere():
    driver = make_driver()

    async def first():
        async with DriverHarness(driver):
            pass

    async def later():
        await driver["D"]["v"].send_setVector()
        await driver["D"]["b"].send_setVectorMembers()
        await driver["D"].send_delProperty()
        await driver.send_message("x")

    run(first)
    asyncio.run(later())
    thread, raised = in_a_thread(lambda: asyncio.run(later()))
    thread.join()
    assert raised == []


@pytest.mark.parametrize(
    ("xml", "says"),
    [
        ("<x/>", "it is not an element of INDI"),
        ("<message device='D' message='" + "y" * 5000 + "'/>", "is longer than 4096"),
        ("<defTextVector/>", "no name"),
    ],
)
@driver_test
async def test_an_element_that_cannot_be_sent_is_refused_with_the_reason(xml, says):
    async with DriverHarness(make_driver()) as h:
        h.messages.clear()
        with pytest.raises(LocalProtocolError, match=says):
            await h.driver.send(ET.fromstring(xml))
        assert h.messages == []


@pytest.mark.parametrize("whose", ["driver", "device"])
@pytest.mark.parametrize("debug", [False, True])
def test_what_a_thread_begins_begins_at_once(whose, debug):
    """As the callback of a GPIO library does."""

    async def test():
        asyncio.get_running_loop().set_debug(debug)
        driver = make_driver()
        begun = asyncio.Event()

        async def background():
            begun.set()

        async with DriverHarness(driver) as h:
            owner = driver if whose == "driver" else driver["D"]
            await asyncio.sleep(0.1)
            in_a_thread(lambda: owner.add_background(background()))
            async with asyncio.timeout(10):
                await begun.wait()
            in_a_thread(lambda: driver.snoop("Other", "v"))
            await h.wait_until(lambda: GetProperties("Other", "v") in h.messages, timeout=10)

    run(test, real_time=True)


def test_what_a_thread_begins_when_the_run_has_ended_is_closed(caplog):
    async def test():
        driver = make_driver()

        async def background():
            raise AssertionError("the run is over")

        async with DriverHarness(driver):
            engine = driver._engine
        coro = background()
        engine._start_user(coro, "late")  # as the loop calls it for a thread that was late
        assert coro.cr_frame is None
        assert "late is no longer started" in caplog.text

    run(test)
