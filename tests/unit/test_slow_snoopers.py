"""A snoopevent that is too slow for one vector hears the others all the same, and ends with the right values."""

import asyncio

import pytest

import indipydriver as ipd
from indipydriver.protocol.encode import encode
from indipydriver.protocol.frame import Batch
from indipydriver.protocol.messages import (
    DefMember,
    DefVector,
    DelProperty,
    GetProperties,
    Message,
    OneBlob,
    OneMember,
    SetVector,
)
from indipydriver.protocol.tags import Permission, State, VectorKind
from indipydriver.runtime import eventqueues
from indipydriver.runtime.eventqueues import MAX_EVENTS, NEWS_PATIENCE
from indipydriver.testing import DriverHarness, driver_test, run
from indipyserver import IPyServer


class Slow(ipd.IPyDriver):
    """Handles an event of most vectors in a minute, the rain at once."""

    def __init__(self, seconds=60.0):
        super().__init__(ipd.Device("D", []))
        self.snoopall = True
        self.seconds = seconds
        self.rain = []
        self.heard = []
        self.values = {}

    async def snoopevent(self, event):
        what = event.message if isinstance(event, ipd.Message) else f"{type(event).__name__[:3]} {event.vectorname}"
        if isinstance(event, (ipd.setTextVector, ipd.defTextVector)):
            what += f"={event['t']}"
            self.values[event.vectorname] = event["t"]
        elif isinstance(event, ipd.setBLOBVector):
            what += f"={event['b'].decode()}"
        if event.vectorname == "rain":
            self.rain.append(event["t"])
            return
        self.heard.append(what)
        await asyncio.sleep(self.seconds)


def text(name, value, device="Other"):
    return SetVector(VectorKind.TEXT, device, name, (OneMember("t", str(value)),), State.OK)


def definition(name, value):
    return DefVector(VectorKind.TEXT, "Other", name, State.OK, (DefMember("t", str(value)),), perm=Permission.READ_ONLY)


def picture(name, value, format=".fits"):
    data = str(value).encode()
    return SetVector(VectorKind.BLOB, "Other", name, (OneBlob("b", data, len(data), format),), State.OK)


async def put(h, *messages):
    """All of it comes at once."""
    for message in messages:
        h._link.write(Batch([encode(message)]))
    h._link.flush()
    await h.settle()


def asked(h):
    return [message for message in h.messages if isinstance(message, GetProperties)]


def queues(h):
    return h.driver._run_state.receiver._queues


@driver_test
async def test_rain_is_heard_though_snoopevent_is_far_behind_with_another_vector(caplog):
    async with DriverHarness(Slow(), shutdown_grace=0) as h:
        for n in range(5000):
            await put(h, text("busy", n))
        for n in range(100):
            await put(h, *[text("busy", f"{n}.{m}") for m in range(100)], text("rain", n))
            await h.advance(0.1)
        await h.advance(NEWS_PATIENCE)
        assert h.driver.rain == [str(n) for n in range(100)]
        assert not h._link.full_news
        assert len(queues(h)._queues[False, "Other", "busy"].jobs) <= MAX_EVENTS
        assert caplog.text.count("snoopevent is too slow") == 1
        await put(h, text("busy", "last"))
        h.driver.seconds = 0.0
        await h.advance(100)
        assert h.driver.values["busy"] == "last"
        assert queues(h)._held == queues(h)._news == 0
        assert queues(h)._timers == {}


@driver_test
async def test_rain_is_heard_though_many_vectors_are_busy(monkeypatch):
    monkeypatch.setattr(eventqueues, "MAX_HELD_BYTES", 1 << 20)
    async with DriverHarness(Slow(), shutdown_grace=0) as h:
        for n in range(200):
            await put(h, *[text(f"v{m}", n) for m in range(50)], text("rain", n))
            await h.advance(0.1)
        assert h.driver.rain == [str(n) for n in range(200)]
        h.driver.seconds = 0.0
        await h.advance(200)
        assert h.driver.values == {"rain": "199"} | {f"v{m}": "199" for m in range(50)}
        assert queues(h)._held == 0


@pytest.mark.parametrize("seconds", [0.0, 0.001])
@driver_test
async def test_a_burst_that_is_handled_in_time_is_handled_whole(seconds):
    async with DriverHarness(Slow(seconds)) as h:
        await put(h, *[text("v", n) for n in range(MAX_EVENTS * 3)])
        await h.advance(5)
        assert h.driver.heard == [f"set v={n}" for n in range(MAX_EVENTS * 3)]
        assert asked(h) == []


@driver_test
async def test_a_vector_that_is_always_a_little_too_fast_keeps_nothing_back():
    """The queue is never full for long, but never has room either."""
    async with DriverHarness(Slow(0.9), shutdown_grace=0) as h:
        await put(h, *[text("v", n) for n in range(MAX_EVENTS - 1)])
        for n in range(200):
            await put(h, text("v", f"more {n}"), text("rain", n))
            await h.advance(0.1)
        assert h.driver.rain == [str(n) for n in range(200)]


@driver_test
async def test_what_was_left_out_is_asked_for_once():
    async with DriverHarness(Slow(), shutdown_grace=0) as h:
        for n in range(10):
            await put(h, *[text("v", f"{n}.{m}") for m in range(MAX_EVENTS)])
        await h.advance(2 * NEWS_PATIENCE)
        assert asked(h) == [GetProperties("Other", "v")]
        await put(h, definition("v", "answer"))
        await h.advance(10_000)
        assert h.driver.heard[0] == "set v=0.0"
        assert h.driver.heard[-2:] == ["set v=9.255", "def v=answer"]
        assert len(h.driver.heard) < 20
        assert asked(h) == [GetProperties("Other", "v")]


@driver_test
async def test_how_much_was_left_out_is_logged_once_in_a_minute(caplog):
    async with DriverHarness(Slow()) as h:
        tell = h.driver._run_state.receiver._left_out
        for seconds, name, count in [(0, "v", 3), (59.9, "v", 4), (0.1, "w", 5), (59.9, None, 1), (0.1, None, 1)]:
            await asyncio.sleep(seconds)
            tell("Other", name, count, False)
        assert [record.getMessage().partition(": ")[2] for record in caplog.records] == [
            "snoopevent is too slow: 3 old events were dropped, the last of Other v",
            "snoopevent is too slow: 9 old events were dropped, the last of Other w",
            "snoopevent is too slow: 2 old events were dropped, the last of Other ",
        ]
        assert asked(h) == []


@driver_test
async def test_what_cannot_be_asked_for_is_only_logged(caplog):
    async with DriverHarness(Slow()) as h:
        for _ in range(2):
            h.driver._run_state.receiver._left_out("Other", "x" * 257, 1, True)
        await h.settle()
        assert asked(h) == []
        assert h.driver._run_state.receiver.refused == {"getProperties": 2}
        assert caplog.text.count("cannot be requested") == 1


@driver_test
async def test_nobody_is_asked_where_the_newest_is_a_definition():
    async with DriverHarness(Slow(), shutdown_grace=0) as h:
        await put(h, *[text("v", n) for n in range(MAX_EVENTS)], definition("v", "all"))
        await h.advance(120)
        assert h.driver.heard == ["set v=0", "def v=all"]
        assert asked(h) == []


@driver_test
async def test_deletions_are_never_left_out():
    async with DriverHarness(Slow(1.5), shutdown_grace=0) as h:
        old = [text("v", n) for n in range(MAX_EVENTS)]
        await put(h, *old, DelProperty("Other", "v"), *old, DelProperty("Other", "v"))
        await h.advance(20)
        assert h.driver.heard == ["set v=0", "del v", "set v=255", "del v"]
        assert asked(h) == []
        h.driver.heard.clear()
        await put(h, old[0])
        await put(h, *old, *[Message("Other", str(n)) for n in range(MAX_EVENTS)], DelProperty("Other"), *old)
        await h.advance(20)
        assert h.driver.heard == ["set v=0", "0", "255", "del None", "set v=255"]


@driver_test
async def test_pictures_are_never_left_out_and_frames_of_a_video_are():
    async with DriverHarness(Slow(0.1), shutdown_grace=0) as h:
        await put(h, *[picture("p", n) for n in range(MAX_EVENTS + 50)])
        await h.advance(100)
        assert h.driver.heard == [f"set p={n}" for n in range(MAX_EVENTS + 50)]
        h.driver.heard.clear()
        await put(h, *[picture("q", n, ".stream") for n in range(MAX_EVENTS + 50)])
        await h.advance(100)
        assert len(h.driver.heard) < 15
        assert h.driver.heard[-1] == f"set q={MAX_EVENTS + 49}"
        assert asked(h) == []


@driver_test
async def test_a_message_still_comes_after_the_value_before_it():
    """Though values between that one and the message are left out."""
    async with DriverHarness(Slow(5.0), shutdown_grace=0) as h:
        await put(h, *[text("v", n) for n in range(MAX_EVENTS)], Message("Other", "failed"))
        await h.advance(4)
        assert h.driver.heard == ["set v=0"]
        await h.advance(20)
        assert h.driver.heard == ["set v=0", "set v=255", "failed"]
        h.driver.heard.clear()
        await put(h, *[text("v", n) for n in range(MAX_EVENTS)], Message("Other", "failed"), text("v", "new"))
        await h.advance(4)
        assert h.driver.heard == ["set v=0"]
        await h.advance(20)
        assert h.driver.heard[0] == "set v=0"
        assert sorted(h.driver.heard[1:]) == ["failed", "set v=new"]


@pytest.mark.parametrize("size", [1, 3 << 20])
@driver_test
async def test_a_message_still_comes_after_the_picture_before_it(size):
    """Though a value, or a frame of a video that was replaced, came between that one and the message."""
    async with DriverHarness(Slow(5.0), shutdown_grace=0) as h:
        frames = 2 if size > 1 else MAX_EVENTS
        old = [picture("p", str(n) * size, ".stream") for n in range(frames - 1)]
        new = picture("p", "n" * size, ".stream")
        await put(h, picture("p", "now"), picture("p", "kept"), *old, Message("Other", "done"), new)
        await h.advance(8)
        assert h.driver.heard == ["set p=now", "set p=kept"]
        await h.advance(20)
        assert "done" in h.driver.heard


@driver_test
async def test_of_messages_that_are_left_out_the_newest_still_comes_after_the_values_before_them():
    async with DriverHarness(Slow(5.0), shutdown_grace=0) as h:
        await put(h, text("v", 1), text("v", 2), *[Message("Other", str(n)) for n in range(MAX_EVENTS * 2)])
        await h.advance(8)
        assert h.driver.heard == ["set v=1", "set v=2"]
        await h.advance(20)
        assert h.driver.heard == ["set v=1", "set v=2", "0", str(MAX_EVENTS * 2 - 1)]


@driver_test
async def test_of_a_flood_of_messages_the_newest_is_heard():
    async with DriverHarness(Slow(), shutdown_grace=0) as h:
        await put(h, *[Message("Other", str(n)) for n in range(1000)])
        await h.advance(NEWS_PATIENCE)
        await put(h, *[Message(None, str(n)) for n in range(1000)], text("rain", 1))
        await h.advance(2 * NEWS_PATIENCE)
        assert h.driver.rain == ["1"]
        assert not h._link.full_news
        await h.advance(1000)
        assert h.driver.heard == ["0", "0", "999", "999"]
        assert asked(h) == []


@driver_test
async def test_the_end_of_a_driver_that_is_behind_leaves_no_timer():
    async with DriverHarness(Slow(), shutdown_grace=0) as h:
        await put(h, *[text("v", n) for n in range(MAX_EVENTS * 2)])
        assert queues(h)._timers
        left = queues(h)
    assert left._timers == {}


class Source(ipd.IPyDriver):
    """Sends what has changed, one member at a time."""

    def __init__(self):
        members = [ipd.NumberMember(name) for name in ("a", "b")]
        rain = ipd.LightVector("rain", "", "", "Ok", [ipd.LightMember("RAIN")])
        super().__init__(ipd.Device("Source", [ipd.NumberVector("v", "", "", "ro", "Ok", members), rain]))

    async def hardware(self):
        vector = self["Source"]["v"]
        for n in range(20_000):
            if n == 100:
                vector["a"] = 7  # never told again
            vector["b"] = n
            await vector.send_setVector(allvalues=False)
        self["Source"]["rain"]["RAIN"] = "Alert"
        await self["Source"]["rain"].send_setVector(state="Alert")


def test_values_that_were_left_out_arrive_through_a_server_as_a_definition():
    class Watching(ipd.IPyDriver):
        shutdown_grace = 0

        def __init__(self):
            super().__init__(ipd.Device("Watching", []))
            self.known = {}
            self.alarm = asyncio.Event()
            self.go_on = asyncio.Event()
            self.snoop("Source", "v")
            self.snoop("Source", "rain")

        async def snoopevent(self, event):
            if event.vectorname == "rain":
                if event.state == "Alert":
                    self.alarm.set()
                return
            await self.go_on.wait()
            self.known |= event

    async def test():
        watching, source = Watching(), Source()
        server = IPyServer(watching, port=0)
        running = asyncio.create_task(server.asyncrun())
        await server.started.wait()
        async with asyncio.timeout(30):
            server.add_driver(source)
            await watching.alarm.wait()
            assert watching.known == {}
            watching.go_on.set()
            while watching.known != {"a": "7", "b": "19999"}:
                await asyncio.sleep(0.01)
        server.shutdown()
        await running

    run(test, real_time=True)


class Camera(ipd.IPyDriver):
    """Takes small images until somebody sees them, then ten of a MiB in a row."""

    def __init__(self):
        image = ipd.BLOBVector("image", "", "", "ro", "Ok", [ipd.BLOBMember("b", blobformat=".fits")])
        super().__init__(ipd.Device("Camera", [image]))
        self.is_seen = asyncio.Event()
        self.done = asyncio.Event()

    async def hardware(self):
        while not self.is_seen.is_set():
            await self.take(b"\0")
            await asyncio.sleep(0.01)
        for n in range(1, 11):
            await self.take(bytes([n]) * (1 << 20))
        self.done.set()

    async def take(self, image):
        self["Camera"]["image"]["b"] = image
        await self["Camera"]["image"].send_setVectorMembers(members=["b"])


def test_a_command_is_handled_at_once_though_images_wait():
    """A dome must hear of an abort, however many images its driver has still to look at."""

    class Watching(ipd.IPyDriver):
        shutdown_grace = 0

        def __init__(self, is_seen):
            switch = ipd.SwitchVector("abort", "", "", "wo", "AtMostOne", "Ok", [ipd.SwitchMember("a")])
            super().__init__(ipd.Device("Dome", [switch]))
            self.is_seen = is_seen
            self.seen = []
            self.aborted = asyncio.Event()
            self.go_on = asyncio.Event()
            self.snoop("Camera", "image")

        async def rxevent(self, event):
            self.aborted.set()

        async def snoopevent(self, event):
            if isinstance(event, ipd.setBLOBVector):
                self.is_seen.set()
                await self.go_on.wait()
                self.seen.append(event["b"][0])

    async def test():
        camera = Camera()
        dome = Watching(camera.is_seen)
        server = IPyServer(dome, port=0)
        running = asyncio.create_task(server.asyncrun())
        await server.started.wait()
        async with asyncio.timeout(30):
            server.add_driver(camera)
            await camera.done.wait()
            link = dome._run_state.receiver._link
            while not link._here.full_news or link._here.inbox:
                await asyncio.sleep(0.01)
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(
                b"<getProperties version='1.7' device='Dome'/>"
                b"<newSwitchVector device='Dome' name='abort'><oneSwitch name='a'>On</oneSwitch></newSwitchVector>"
            )
            await dome.aborted.wait()
            assert dome.seen == []
            dome.go_on.set()
            while dome.seen[-1:] != [10]:
                await asyncio.sleep(0.01)
            assert dome.seen[dome.seen.count(0) :] == list(range(1, 11))
            assert not link._here.full_news
            writer.close()
            server.shutdown()
            await running

    run(test, real_time=True)
