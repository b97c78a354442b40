"""What waits for the coroutines of a driver: in which order it is handled, what is joined, and how much may wait."""

import asyncio
import time

import pytest

import indipydriver as ipd
from indipydriver.protocol.encode import encode
from indipydriver.protocol.frame import Batch
from indipydriver.protocol.framer import Framer
from indipydriver.protocol.messages import (
    DefMember,
    DefVector,
    DelProperty,
    EnableBlob,
    GetProperties,
    Message,
    NewVector,
    OneBlob,
    OneMember,
    SetVector,
)
from indipydriver.protocol.tags import Permission, State, VectorKind
from indipydriver.runtime.eventqueues import MAX_COMMAND_BYTES, MAX_EVENTS, MAX_NEWS_BYTES, MAX_STREAM_BYTES
from indipydriver.testing import DriverHarness, driver_test
from tests.support.measured import allowed


def vectors(*names):
    return [ipd.TextVector(name, "", "", "rw", "Ok", [ipd.TextMember("t")]) for name in names]


class Recorder(ipd.IPyDriver):
    """Handles each event in a second, and notes its beginning and its end."""

    def __init__(self, *names, seconds=1.0):
        super().__init__(ipd.Device("D", vectors(*(names or ("v", "w")))))
        self.notes = []
        self.seconds = seconds

    async def handle(self, what):
        self.notes.append(what)
        await asyncio.sleep(self.seconds)
        self.notes.append(f"end of {what}")

    async def rxevent(self, event):
        await self.handle(event["t"] if isinstance(event, ipd.newTextVector) else f"define {event.vectorname}")

    async def snoopevent(self, event):
        where = event.vectorname or event.devicename
        match event:
            case ipd.setTextVector():
                what = f"{where}={event['t']}"
            case ipd.setBLOBVector():
                what = f"{where}={event['b'][:1].decode()}"
            case ipd.Message():
                what = f"{where} says {event.message}"
            case _:
                what = f"{type(event).__name__} {where}"
        await self.handle(what)

    @property
    def begun(self):
        return [note for note in self.notes if not note.startswith("end")]


def value(name, text, device="Other"):
    return SetVector(VectorKind.TEXT, device, name, (OneMember("t", text),))


def definition(name, device="Other"):
    return DefVector(VectorKind.TEXT, device, name, State.OK, (DefMember("t", "x"),), perm=Permission.READ_ONLY)


def picture(name, data, format=".fits"):
    return SetVector(VectorKind.BLOB, "Other", name, (OneBlob("b", data, len(data), format),))


def command(text, name="v"):
    return NewVector(VectorKind.TEXT, "D", name, (OneMember("t", text),))


async def put(h, *messages):
    """All of it comes at once."""
    h._link.write(Batch([encode(message) for message in messages]))
    h._link.flush()
    await h.settle()


def paused(h):
    """The server is to send no news; it always sends commands."""
    assert not h._drivers_link._here.paused
    return h._link.full_news


def held(h):
    """The server is to send no commands for some vector."""
    assert not paused(h)
    return bool(h._link.full_vectors)


# --- news of one device ----------------------------------------------------------------


@driver_test
async def test_news_of_a_device_that_waits_is_void_once_the_device_is_gone():
    driver = Recorder()
    driver.snoopall = True
    async with DriverHarness(driver) as h:
        await put(h, definition("p"), value("q", "begun"), value("p", "begun", device="Third"))
        await put(
            h, value("p", "old"), value("q", "old"), DelProperty("Other", "q"), value("p", "also", device="Third")
        )
        await put(h, DelProperty("Other"))
        await h.advance(10)
        assert driver.notes == [
            "defTextVector p",
            "q=begun",
            "p=begun",
            "end of defTextVector p",
            "end of q=begun",
            "end of p=begun",
            "p=also",
            "delProperty Other",
            "end of p=also",
            "end of delProperty Other",
        ]


@driver_test
async def test_what_comes_after_a_deletion_is_handled_after_it():
    """Under its name the device may come back at once; each vector that follows waits for the end of the old one."""
    driver = Recorder()
    driver.snoopall = True
    async with DriverHarness(driver) as h:
        await put(h, value("p", "1"))
        await put(h, value("p", "void"), DelProperty("Other"), definition("p"), definition("q"), value("p", "2"))
        await h.advance(10)
        assert driver.notes == [
            "p=1",
            "end of p=1",
            "delProperty Other",
            "end of delProperty Other",
            "defTextVector p",
            "defTextVector q",
            "end of defTextVector p",
            "p=2",
            "end of defTextVector q",
            "end of p=2",
        ]


@driver_test
async def test_a_device_that_goes_comes_and_goes_again_is_gone():
    driver = Recorder()
    driver.snoopall = True
    async with DriverHarness(driver) as h:
        await put(h, value("p", "1"))
        await put(h, DelProperty("Other"), definition("p"), value("p", "2"), DelProperty("Other"))
        await h.advance(0.5)
        await put(h, definition("q"))
        await h.advance(10)
        assert driver.begun == ["p=1", "delProperty Other", "delProperty Other", "defTextVector q"]


@driver_test
async def test_what_waits_for_the_end_of_a_device_is_void_when_the_device_goes_once_more():
    driver = Recorder()
    driver.snoopall = True
    async with DriverHarness(driver) as h:
        await put(h, value("p", "1"))
        await put(h, DelProperty("Other"), definition("q"))
        await put(h, DelProperty("Other"))
        await h.advance(10)
        assert driver.begun == ["p=1", "delProperty Other", "delProperty Other"]


@driver_test
async def test_a_message_of_a_device_comes_after_the_values_that_came_before_it():
    """ "The sensor has failed" is not followed by what the sensor said before."""
    driver = Recorder()
    driver.snoopall = True
    async with DriverHarness(driver) as h:
        await put(h, value("p", "1"), value("p", "2"), value("q", "1"), Message("Other", "failed"))
        await put(h, Message(None, "of the site"), value("q", "2"))
        await h.advance(10)
        assert driver.begun == ["p=1", "q=1", "None says of the site", "p=2", "q=2", "Other says failed"]


@driver_test
async def test_no_message_is_lost_with_its_device():
    driver = Recorder()
    driver.snoopall = True
    async with DriverHarness(driver) as h:
        await put(h, value("p", "1"))
        await put(h, value("p", "void"), Message("Other", "power fails"), DelProperty("Other"))
        await h.advance(10)
        assert driver.begun == ["p=1", "Other says power fails", "delProperty Other"]


@driver_test
async def test_a_message_holds_up_no_values():
    """Who waits in one event for another vector of the same device must not wait for ever."""

    class Waiting(Recorder):
        arrived = None

        async def handle(self, what):
            self.notes.append(what)
            if what == "p=1":
                await self.arrived.wait()
            elif what == "q=2":
                self.arrived.set()

    driver = Waiting()
    driver.snoopall = True
    driver.arrived = asyncio.Event()
    async with DriverHarness(driver) as h:
        await put(h, value("p", "1"), Message("Other", "between"), value("q", "2"))
        await h.advance(1)
        assert driver.notes == ["p=1", "q=2", "Other says between"]


@driver_test
async def test_other_devices_and_commands_wait_for_no_deletion():
    driver = Recorder()
    driver.snoopall = True
    async with DriverHarness(driver) as h:
        await put(h, value("p", "1"))
        await put(h, DelProperty("Other"), definition("p"), value("p", "2", device="Third"), command("c"))
        assert driver.notes == ["p=1", "p=2", "c"]


@driver_test
async def test_commands_that_end_leave_the_news_of_the_same_vector_alone():
    """A driver may watch what it sends itself."""
    driver = Recorder()
    driver.snoopall = True
    async with DriverHarness(driver) as h:
        await put(h, command("c"))
        await h.advance(0.5)
        await put(h, value("v", "1", device="D"), value("v", "void", device="D"))
        await h.advance(0.75)
        await put(h, DelProperty("D"))
        await h.advance(10)
        assert driver.begun == ["c", "v=1", "delProperty D"]


# --- what one frame costs the others ---------------------------------------------------

_EMPTY_NAMES = [
    "<defBLOBVector device='' name='' state='Ok' perm='ro'><defBLOB name='b'/></defBLOBVector>",
    "<defBLOBVector device='' name='x' state='Ok' perm='ro'><defBLOB name='b'/></defBLOBVector>",
    "<defBLOBVector device='Other' name='' state='Ok' perm='ro'><defBLOB name='b'/></defBLOBVector>",
    "<defBLOBVector device='Other' state='Ok' perm='ro'><defBLOB name='b'/></defBLOBVector>",
    "<setTextVector device='Other' name=''><oneText name='t'>x</oneText></setTextVector>",
    "<delProperty device='' name='p'/>",
    "<delProperty device='Other' name=''/>",
    "<newTextVector device='' name=''><oneText name='t'>x</oneText></newTextVector>",
    "<getProperties version='1.7' device='D' name=''/>",
    "<message device='' message='hello'/>",
]


@pytest.mark.parametrize("odd", _EMPTY_NAMES)
@driver_test
async def test_empty_names_cost_the_rest_of_a_read_nothing(odd):
    """Nor do they enable the BLOBs of a whole device, nor delete one."""
    driver = Recorder()
    driver.snoopall = True
    async with DriverHarness(driver) as h:
        raw = "<setTextVector device='Other' name='p'><oneText name='t'>{}</oneText></setTextVector>"
        frames = Framer().feed((raw.format(1) + raw.format(2) + odd + raw.format(3)).encode())
        h._link.write(Batch(frames))
        h._link.flush()
        await h.advance(10)
        assert [note for note in driver.begun if note.startswith("p=")] == ["p=1", "p=2", "p=3"]
        assert [message for message in h.messages if isinstance(message, EnableBlob)] == []


@driver_test
async def test_a_frame_that_cannot_be_taken_costs_the_others_nothing(caplog, monkeypatch):
    driver = Recorder()
    driver.snoopall = True
    async with DriverHarness(driver) as h:
        dispatcher = driver._run_state.receiver
        note_news = dispatcher._snoops.note_news

        def fails(address, now):
            if address.name == "bad":
                raise RuntimeError("unforeseen")
            return note_news(address, now)

        monkeypatch.setattr(dispatcher._snoops, "note_news", fails)
        await put(h, value("p", "1"), value("bad", "x"), value("bad", "y"), value("q", "2"))
        await h.advance(5)
        assert driver.begun == ["p=1", "q=2"]
        assert dispatcher.refused == {"failure setTextVector": 2}
    assert caplog.text.count("RuntimeError: unforeseen") == 1


# --- requests for definitions ----------------------------------------------------------


def defined(h):
    return [message.name for message in h.messages if isinstance(message, DefVector)]


@driver_test
async def test_requests_that_wait_are_joined():
    async with DriverHarness(Recorder("a", "b", "c")) as h:
        for requests, answers in [
            ([GetProperties()] * 1000, ["a", "b", "c"]),
            ([GetProperties("D", "b")] * 3 + [GetProperties("D", "c")], ["b", "c"]),
            ([GetProperties("D", "b"), GetProperties("D"), GetProperties("D", "c")], ["b", "a", "b", "c"]),
            ([GetProperties("D", "b"), GetProperties(), GetProperties("D")], ["a", "b", "c"]),
            ([GetProperties("*"), GetProperties("D", "b")], ["a", "b", "c"]),
            ([GetProperties("D", "no"), GetProperties("No"), GetProperties("No", "b")], []),
        ]:
            h.messages.clear()
            await put(h, *requests)
            assert defined(h) == answers
            assert not paused(h)


@driver_test
async def test_requests_for_what_is_not_there_are_no_failures(caplog):
    async with DriverHarness(Recorder()) as h:
        h.frames.clear()
        await put(h, GetProperties("X"), GetProperties("X", "v"), GetProperties("D", "x"))
        assert h.frames == []
        assert caplog.records == []


@driver_test
async def test_who_asks_while_an_answer_is_under_way_gets_all_of_it():
    """What has gone out already has gone to others."""
    async with DriverHarness(Recorder("a", "b", "c")) as h:
        h.messages.clear()
        vector = h.driver["D"]["b"]
        original = vector.answer_request

        async def asked_again():
            await original()
            vector.answer_request = original
            h.driver._run_state.receiver.frames_received([encode(GetProperties())])

        vector.answer_request = asked_again
        await put(h, GetProperties())
        assert defined(h) == ["a", "b", "c", "a", "b", "c"]


@driver_test
async def test_one_answer_is_under_way_at_a_time():
    async with DriverHarness(Recorder("a", "b")) as h:
        h.messages.clear()
        go_on = asyncio.Event()
        h.driver["D"]["a"].answer_request = go_on.wait
        for request in (GetProperties(), GetProperties("D", "b"), GetProperties("D", "a")):
            await put(h, request)
        assert [task.get_name() for task in asyncio.all_tasks()].count("definitions") == 1
        assert defined(h) == []
        go_on.set()
        await h.settle()
        assert defined(h) == ["b", "b"]
        await put(h, GetProperties())
        assert defined(h) == ["b", "b", "b"]


@driver_test
async def test_what_comes_behind_the_end_is_not_taken():
    async with DriverHarness(Recorder("a")) as h:
        h.messages.clear()
        dispatcher = h.driver._run_state.receiver
        dispatcher.close()
        before = asyncio.all_tasks()
        dispatcher.frames_received([encode(GetProperties()), encode(command("c", "a"))])
        assert asyncio.all_tasks() == before
        await h.settle()
        assert h.messages == h.driver.notes == []


@driver_test
async def test_a_flood_of_requests_neither_stops_the_reading_nor_delays_a_command():
    driver = Recorder(*[f"v{n}" for n in range(50)])
    async with DriverHarness(driver) as h:
        h.messages.clear()
        turns = 0
        heard = asyncio.Event()

        async def rxevent(event):
            heard.set()

        driver.rxevent = rxevent
        h._link.write(Batch([encode(GetProperties())] * 5000 + [encode(command("abort", "v0"))]))
        h._link.flush()
        while not heard.is_set():
            turns += 1
            await asyncio.sleep(0)
        assert turns < 10
        assert not paused(h)
        await h.settle()
        assert len(defined(h)) == 50


@driver_test
async def test_who_asks_and_commands_in_one_breath_gets_the_definition_first():
    class Answering(Recorder):
        async def rxevent(self, event):
            await event.vector.send_setVector(state="Alert")

    async with DriverHarness(Answering()) as h:
        h.messages.clear()
        await put(h, GetProperties(), command("c"))
        assert [type(message) for message in h.messages] == [DefVector, DefVector, SetVector]


@driver_test
async def test_a_driver_that_answers_itself_is_asked_once_at_a_time():
    driver = Recorder()
    driver.auto_send_def = False
    async with DriverHarness(driver) as h:
        for _ in range(2 * MAX_EVENTS):
            await h.get_properties()
        assert not paused(h)
        await put(h, command("c"))
        await h.advance(20)
        assert driver.begun == ["define v", "define w", "define v", "define w", "c"]


@driver_test
async def test_to_ask_a_driver_for_many_definitions_leaves_the_others_their_turns():
    driver = Recorder(*[f"v{n}" for n in range(2000)], seconds=0.0)
    driver.auto_send_def = False
    turn, turns = 0, []

    async def others():
        nonlocal turn
        while len(driver.begun) < 4000:
            turn += 1
            await asyncio.sleep(0)

    async with DriverHarness(driver) as h:
        queues = driver._run_state.receiver._queues
        add = queues.add

        def noted(key, job):
            turns.append(turn)
            add(key, job)

        queues.add = noted
        async with asyncio.TaskGroup() as group:
            group.create_task(others())
            await put(h, GetProperties())
    assert len(turns) == 2000
    assert len(set(turns)) > 1


@pytest.mark.measured
@pytest.mark.parametrize("answers", ["the package", "the driver"])
@driver_test
async def test_the_cost_of_a_request_does_not_grow_with_the_number_of_vectors(answers):
    """Time for one request for each vector: ten times as many vectors take ten times as long, not a hundred times."""

    async def cost(count):
        driver = Recorder(*[f"v{n}" for n in range(count)], seconds=0.0)
        driver.auto_send_def = answers == "the package"
        async with DriverHarness(driver) as h:
            began = time.process_time()
            await put(h, *[GetProperties("D", f"v{n}") for n in range(count)])
            return time.process_time() - began

    few = min([await cost(400) for _ in range(3)])
    assert min([await cost(4000) for _ in range(3)]) < allowed(30 * few)


# --- how much may wait -----------------------------------------------------------------


@driver_test
async def test_commands_that_wait_for_a_vector_are_bounded_in_bytes():
    driver = Recorder()
    async with DriverHarness(driver) as h:
        text = "x" * (MAX_COMMAND_BYTES // 4)
        for n in range(5):  # one is handled, the first that waits may have any size
            assert not held(h), n
            await put(h, command(f"{n}{text}"))
        await put(h, command(f"5{text}"))
        assert held(h)
        await put(h, command("6"))
        await h.advance(1)
        assert not held(h)
        await h.advance(10)
        assert [note[0] for note in driver.begun] == list("0123456")


@driver_test
async def test_one_large_command_may_wait_for_each_vector():
    driver = Recorder()
    async with DriverHarness(driver) as h:
        for _ in range(2):
            for name in ("v", "w"):
                await put(h, command("x" * (MAX_COMMAND_BYTES - 8192), name))
        assert not held(h)
        await h.advance(5)
        assert len(driver.begun) == 4


@driver_test
async def test_news_that_waits_is_bounded_in_bytes_over_all_vectors():
    driver = Recorder()
    driver.snoopall = True
    async with DriverHarness(driver) as h:
        size = MAX_NEWS_BYTES * 3 // 4 // 6  # as base64 takes more
        names = ("p", "q", "r")
        for n in range(4):
            assert not paused(h)
            for name in names:
                await put(h, picture(name, bytes([65 + n]) * size))
        assert paused(h)
        await put(h, command("c"))
        assert driver.begun[-1] == "c"
        await h.advance(20)
        assert not paused(h)
        for name in names:
            assert [note for note in driver.begun if note.startswith(name)] == [f"{name}={letter}" for letter in "ABCD"]
        assert driver._run_state.receiver._queues._news == 0


@driver_test
async def test_of_a_video_the_newest_frame_replaces_the_one_that_waits():
    driver = Recorder(seconds=100.0)
    driver.snoopall = True
    async with DriverHarness(driver) as h:
        size = MAX_STREAM_BYTES // 4
        await put(h, picture("p", b"0" * size, ".stream"))
        for n in range(50):
            await put(h, picture("p", bytes([65 + n]) * size, ".stream"))
            await put(h, picture("q", bytes([65 + n]) * 10, ".stream"))
            assert not paused(h)
        await h.advance(1000)
        assert [note for note in driver.begun if note.startswith("p")][:2] == ["p=0", "p=A"]
        assert [note for note in driver.begun if note.startswith("p")][-1] == "p=r"
        assert len([note for note in driver.begun if note.startswith("p")]) < 8
        driver.seconds = 0
        await h.advance(10_000)
        assert len([note for note in driver.begun if note.startswith("q")]) == 50


@driver_test
async def test_exposures_are_never_replaced():
    driver = Recorder()
    driver.snoopall = True
    async with DriverHarness(driver) as h:
        for n in range(12):
            await put(h, picture("p", bytes([65 + n]) * (1 << 20)))
        await h.advance(20)
        assert driver.begun == [f"p={chr(65 + n)}" for n in range(12)]


@pytest.mark.parametrize("names", ["v", "vw"])
@driver_test
async def test_a_link_that_waits_for_full_queues_goes_on_when_all_have_room(names):
    driver = Recorder()
    commands = {name: [f"{name}{n}" for n in range(MAX_EVENTS + 5)] for name in names}
    async with DriverHarness(driver) as h:
        for name in names:
            await put(h, *[command(text, name) for text in commands[name]])
        assert held(h)
        driver.seconds = 0.0
        await h.advance(1000)
        assert not held(h)
        assert h._link.unsent == 0
        for name in names:
            assert [note for note in driver.begun if note.startswith(name)] == commands[name]


# --- turns -----------------------------------------------------------------------------


def work(seconds):
    """Something that blocks the event loop."""
    time.sleep(seconds)


@driver_test
async def test_events_that_wait_for_nothing_leave_the_others_their_turn():
    class Busy(ipd.IPyDriver):
        handled = 0

        async def rxevent(self, event):
            self.handled += 1
            work(0.001)

    driver = Busy(ipd.Device("D", vectors("v", "w")))
    async with DriverHarness(driver) as h:
        h._link.write(Batch([encode(command(str(n), name)) for n in range(100) for name in "vw"]))
        h._link.flush()
        steps = []
        while driver.handled < 200:
            before = driver.handled
            await asyncio.sleep(0)
            steps.append(driver.handled - before)
        assert max(steps) <= 10


class Watching(ipd.IPyDriver):
    """Notes what it gets, which takes a millisecond each time."""

    def __init__(self):
        super().__init__(ipd.Device("D", vectors("abort")))
        self.snoopall = True
        self.notes = []

    async def snoopevent(self, event):
        self.notes.append(event.vectorname)
        work(0.001)

    async def rxevent(self, event):
        self.notes.append(event.vectorname)


def updates(count):
    """One of each of many vectors."""
    return [encode(value(f"v{n}", "x")) for n in range(count)]


@driver_test
async def test_the_first_events_of_many_vectors_leave_the_others_their_turn_and_begin_in_order():
    driver = Watching()
    async with DriverHarness(driver) as h:
        h._link.write(Batch(updates(300)))
        h._link.flush()
        steps = []
        while len(driver.notes) < 300:
            before = len(driver.notes)
            await asyncio.sleep(0)
            steps.append(len(driver.notes) - before)
        assert max(steps) <= 20
        assert driver.notes == [f"v{n}" for n in range(300)]


@driver_test
async def test_a_command_does_not_wait_for_the_news_of_many_vectors():
    driver = Watching()
    async with DriverHarness(driver) as h:
        h._link.write(Batch([*updates(300), encode(command("now", "abort"))]))
        h._link.flush()
        await h.settle()
        assert driver.notes.index("abort") <= 20
        assert len(driver.notes) == 301


@driver_test
async def test_what_waits_for_its_turn_is_void_when_its_device_is_gone_or_the_driver_ends():
    driver = Watching()
    async with DriverHarness(driver) as h:
        h._link.write(Batch(updates(300)))
        h._link.flush()
        while not driver.notes:
            await asyncio.sleep(0)
        await h.send(DelProperty("Other", None, "", ""))
        assert 1 < len(driver.notes) < 150
        assert driver.notes[-1] is None
        driver.notes.clear()
        h._link.write(Batch(updates(300)))
        h._link.flush()
        while not driver.notes:
            await asyncio.sleep(0)
        driver.shutdown()
        await driver.stopped.wait()
        assert len(driver.notes) < 150
