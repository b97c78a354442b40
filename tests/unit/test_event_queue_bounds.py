"""How much waits for the coroutines of a driver before something is done about it: one below, at, and one above."""

import asyncio
import time
from functools import partial

import pytest

from indipydriver.runtime.eventqueues import EventQueues, Job, Key, Kind
from indipydriver.testing import driver_test

KIB, MIB = 1 << 10, 1 << 20
COMMANDS = Key(True, "D", "v")
NEWS = Key(False, "Other", "v")


def note(changes, is_full):
    """What is told once more is no change."""
    if changes[-1:] != [is_full]:
        changes.append(is_full)


class Queues(EventQueues):
    """Those of a driver whose coroutines take as long as they are left to."""

    def __init__(self):
        self.held = []
        self.paused = []
        self.left = []
        self.begun = []
        self.tasks = set()
        self.go_on = asyncio.Semaphore(0)
        super().__init__(self.start, self.note_held, partial(note, self.paused), self.note_left_out, lambda: False)

    async def __aenter__(self):
        return self

    async def __aexit__(self, error, *_):
        """All that waits is handled, and nothing is left of it."""
        while self.tasks:
            self.go_on.release()
            await asyncio.sleep(0)
        if error is None:
            assert dict(self.held) == {name: False for name, _ in self.held}
            assert self.paused[-1:] in ([], [False])
            assert not self._timers
            assert self._held == self._news == 0

    def start(self, coro, name):
        task = asyncio.create_task(coro, name=name)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def note_held(self, key, is_full):
        self.held.append((key.name, is_full))

    def note_left_out(self, device, name, count, ask):
        self.left.append((device, name, count, ask))

    def job(self, label, size=0, kind=Kind.COMMAND):
        async def run():
            self.begun.append(label)
            await self.go_on.acquire()

        return Job(run, size, kind)

    def updates(self, count):
        return [self.job(n, 0, Kind.UPDATE) for n in range(count)]

    async def begin(self, key, size=0, kind=Kind.EXPOSURE):
        """One is being handled, and nothing waits."""
        await self.put(key, self.job("handled", size, Kind.COMMAND if key.is_command else kind))
        assert self.begun[-1] == "handled"

    async def put(self, key, *jobs):
        for job in jobs:
            if key.is_command:
                self.add(key, job)
            else:
                self.add_news(key.device, key.name, job)
        await asyncio.sleep(0.001)

    async def handle(self, count=1):
        """So many that have begun are handled."""
        for _ in range(count):
            self.go_on.release()
        await asyncio.sleep(0.001)


@driver_test
async def test_256_commands_may_wait_for_one_vector():
    async with Queues() as queues:
        other = Key(True, "D", "w")
        await queues.begin(COMMANDS)
        await queues.begin(other)
        await queues.put(COMMANDS, *[queues.job(n) for n in range(255)])
        assert queues.held == []
        await queues.put(COMMANDS, Job(queues.job("the last").run))
        assert queues.held == [("v", True)]
        assert queues._queues[COMMANDS].behind == 0
        await queues.put(COMMANDS, queues.job("one more"))
        await queues.put(other, *[queues.job(n) for n in range(256)])
        assert queues.held == [("v", True), ("w", True)]
        await queues.handle(2)
        assert queues.held == [("v", True), ("w", True), ("w", False)]
        await queues.handle(2)
        assert queues.held == [("v", True), ("w", True), ("w", False), ("v", False)]


@pytest.mark.parametrize("too_much", [0, 1])
@driver_test
async def test_a_mebibyte_of_commands_may_wait_behind_the_first(too_much):
    async with Queues() as queues:
        await queues.begin(COMMANDS, 9 * MIB)
        await queues.put(COMMANDS, queues.job("first", 9 * MIB), queues.job("behind", MIB - 1))
        assert queues.held == []
        await queues.put(COMMANDS, queues.job("last", 1 + too_much))
        assert queues.held == [("v", True)] * too_much
        await queues.handle()
        assert queues.held == [("v", True), ("v", False)] * too_much
        assert queues._queues[COMMANDS].behind == 1 + too_much


@driver_test
async def test_256_news_of_one_vector_may_wait():
    async with Queues() as queues:
        await queues.begin(NEWS)
        await queues.put(NEWS, *queues.updates(255))
        assert queues.paused == []
        await queues.put(NEWS, *queues.updates(1))
        assert queues.paused == [True]
        await queues.handle()
        assert queues.paused == [True, False]


@pytest.mark.parametrize("too_much", [0, 1])
@driver_test
async def test_8_mebibytes_of_news_may_wait_behind_the_first_of_each_vector(too_much):
    async with Queues() as queues:
        for name in "vw":
            key = Key(False, "Other", name)
            await queues.begin(key, 5 * MIB)
            await queues.put(key, *[queues.job(n, 4 * MIB, Kind.EXPOSURE) for n in range(2)])
        assert queues._news == 8 * MIB
        assert queues.paused == []
        await queues.put(NEWS, queues.job("last", too_much, Kind.EXPOSURE))
        assert queues.paused == [True] * too_much


@pytest.mark.parametrize("too_much", [0, 1])
@driver_test
async def test_64_mebibytes_of_news_may_be_kept(too_much):
    """An event counts for 8 MiB at most, and for 4 KiB beside its own size."""
    async with Queues() as queues:
        for n in range(7):
            await queues.begin(Key(False, "Other", f"v{n}"), 9 * MIB)
        rest = 8 * MIB - 7 * 4 * KIB
        await queues.put(NEWS, queues.job("last", rest - 4 * KIB + too_much, Kind.EXPOSURE))
        assert queues.paused == [True] * too_much
        assert queues._held == 64 * MIB + too_much


@pytest.mark.parametrize("too_much", [0, 1])
@driver_test
async def test_5_mebibytes_of_one_video_may_wait(too_much):
    async with Queues() as queues:
        await queues.begin(NEWS, MIB)
        await queues.put(NEWS, queues.job("first", MIB, Kind.EXPOSURE), queues.job("old", 4 * MIB, Kind.FRAME))
        await queues.put(NEWS, queues.job("new", MIB + too_much, Kind.FRAME))
        assert queues._queues[NEWS].behind == (MIB + 1 if too_much else 5 * MIB)
    assert queues.begun == ["handled", "first", *["old"] * (not too_much), "new"]
    assert queues.left == []


@driver_test
async def test_a_frame_that_is_first_is_replaced_too():
    async with Queues() as queues:
        await queues.begin(NEWS, MIB)
        await queues.put(NEWS, queues.job("old", 5 * MIB, Kind.FRAME), queues.job("kept", MIB, Kind.EXPOSURE))
        await queues.put(NEWS, queues.job("new", 5 * MIB, Kind.FRAME))
        assert queues._queues[NEWS].behind == 5 * MIB
    assert queues.begun == ["handled", "kept", "new"]


@driver_test
async def test_of_several_frames_that_wait_the_newest_is_replaced():
    async with Queues() as queues:
        await queues.begin(NEWS, MIB)
        await queues.put(NEWS, *[queues.job(n, MIB, Kind.FRAME) for n in range(6)])
        await queues.put(NEWS, queues.job("new", MIB, Kind.FRAME))
    assert queues.begun == ["handled", 0, 1, 2, 3, 4, "new"]


@driver_test
async def test_what_is_old_is_left_out_after_a_second():
    async with Queues() as queues:
        await queues.begin(NEWS)
        await queues.put(NEWS, *queues.updates(256))
        await asyncio.sleep(0.99)
        assert queues.left == []
        await asyncio.sleep(0.02)
        assert queues.left == [("Other", "v", 255, True)]
        assert queues.paused == [True, False]
    assert queues.begun == ["handled", 255]


@pytest.mark.parametrize("waiting", [128, 127])
@driver_test
async def test_nothing_is_left_out_where_less_than_half_of_it_still_waits(waiting):
    """Between full and half full the second goes on."""
    async with Queues() as queues:
        await queues.begin(NEWS)
        await queues.put(NEWS, *queues.updates(256))
        await queues.handle(256 - waiting)
        assert len(queues._queues[NEWS].jobs) == waiting
        assert queues.paused == [True, False]
        await asyncio.sleep(1)
        assert queues.left == ([("Other", "v", 127, True)] if waiting == 128 else [])


@pytest.mark.parametrize("more", [0, 1])
@driver_test
async def test_nor_where_less_than_half_of_the_bytes_waits(more):
    async with Queues() as queues:
        await queues.begin(NEWS)
        sizes = (0, 8 * MIB, 4 * MIB - 1 + more, 0)
        await queues.put(NEWS, *[queues.job(size, size, Kind.UPDATE) for size in sizes])
        assert queues.paused == [True]
        await queues.handle(1)
        assert queues.paused == [True, False]
        assert queues._news == 4 * MIB - 1 + more
        await asyncio.sleep(1)
        assert queues.left == [("Other", "v", 2, True)] * more


@pytest.mark.parametrize("more", [0, 1])
@driver_test
async def test_nor_where_less_than_half_of_what_may_be_kept_is_kept(more):
    async with Queues() as queues:
        for n in range(8):
            await queues.begin(Key(False, "Other", f"w{n}"), 9 * MIB)
        await queues.begin(NEWS)
        await queues.put(NEWS, *queues.updates(2))
        assert queues.paused == [True]
        rest = 32 * MIB - 3 * (8 * MIB + 4 * KIB) - 3 * 4 * KIB
        await queues.begin(Key(False, "Other", "rest"), rest - 4 * KIB - 1 + more)
        await queues.handle(5)
        assert queues._held == 32 * MIB - 1 + more
        assert queues.paused == [True, False]
        await asyncio.sleep(1)
        assert queues.left == [("Other", "v", 1, True)] * more


@driver_test
async def test_a_vector_that_is_behind_keeps_only_the_newest_until_it_has_been_empty():
    async with Queues() as queues:
        await queues.begin(NEWS)
        await queues.put(NEWS, *queues.updates(256))
        await asyncio.sleep(1)
        assert len(queues._queues[NEWS].jobs) == 1
        await queues.put(NEWS, *queues.updates(254))
        assert len(queues._queues[NEWS].jobs) == 255
        await queues.put(NEWS, *queues.updates(1))
        assert len(queues._queues[NEWS].jobs) == 1
        assert queues.left == [("Other", "v", 255, True), ("Other", "v", 255, False)]
        await queues.handle(2)
        assert not queues._queues
        await queues.begin(NEWS)
        await queues.put(NEWS, *queues.updates(256))
        assert len(queues._queues[NEWS].jobs) == 256


@pytest.mark.parametrize(("seconds", "again"), [(0.5, False), (1.5, True)])
@driver_test
async def test_the_values_are_asked_for_once_in_a_second(seconds, again):
    async with Queues() as queues:
        await queues.begin(NEWS)
        await queues.put(NEWS, *queues.updates(256))
        await asyncio.sleep(1 + seconds)
        await queues.put(NEWS, *queues.updates(255))
        assert queues.left == [("Other", "v", 255, True), ("Other", "v", 255, again)]


@driver_test
async def test_a_definition_answers_what_was_asked():
    async with Queues() as queues:
        await queues.begin(NEWS)
        await queues.put(NEWS, *queues.updates(256))
        await asyncio.sleep(1)
        await queues.put(NEWS, queues.job("definition", 0, Kind.DEFINITION), *queues.updates(254))
        assert queues.left == [("Other", "v", 255, True), ("Other", "v", 255, True)]


@pytest.mark.parametrize(
    ("kinds", "ask"),
    [
        ([Kind.UPDATE, Kind.UPDATE], True),
        ([Kind.DEFINITION, Kind.UPDATE], True),
        ([Kind.UPDATE, Kind.DEFINITION], False),
        ([Kind.UPDATE, Kind.UPDATE, Kind.DELETION], False),
        ([Kind.UPDATE, Kind.DELETION, Kind.UPDATE], True),
        ([Kind.FRAME, Kind.FRAME], False),
        ([Kind.FRAME, Kind.UPDATE], False),
        ([Kind.UPDATE, Kind.FRAME], True),
    ],
)
@driver_test
async def test_values_are_asked_for_where_they_were_left_out_and_nothing_tells_them(kinds, ask):
    async with Queues() as queues:
        await queues.begin(NEWS)
        await queues.put(NEWS, *[queues.job(n, 0, Kind.EXPOSURE) for n in range(256 - len(kinds))])
        await queues.put(NEWS, *[queues.job(kind, 0, kind) for kind in kinds])
        await asyncio.sleep(1)
        assert queues.left == [("Other", "v", 1, ask)]


@driver_test
async def test_one_old_value_alone_is_not_left_out():
    async with Queues() as queues:
        await queues.begin(NEWS)
        await queues.put(NEWS, *[queues.job(n, 0, Kind.EXPOSURE) for n in range(255)], *queues.updates(1))
        await asyncio.sleep(5)
        assert queues.left == []
        assert queues.paused == [True]
    assert len(queues.begun) == 257


@driver_test
async def test_what_is_void_with_its_device_makes_room_at_once():
    async with Queues() as queues:
        await queues.begin(NEWS)
        await queues.put(NEWS, *queues.updates(256))
        assert queues.paused == [True]
        queues.add_deletion("Other", queues.job("gone", 0, Kind.DELETION))
        assert queues.paused == [True, False]
        await queues.handle(2)
        assert queues.begun == ["handled", "gone"]
        assert queues.left == []


@driver_test
async def test_no_command_is_left_out_where_too_much_news_waits():
    async with Queues() as queues:
        await queues.begin(COMMANDS)
        await queues.begin(NEWS)
        await queues.put(COMMANDS, *[queues.job(n) for n in range(10)])
        await queues.put(NEWS, *[queues.job(n, 4 * MIB + 1, Kind.UPDATE) for n in range(3)])
        assert queues.paused == [True]
        await asyncio.sleep(1)
        assert queues.left == [("Other", "v", 2, True)]
        assert len(queues._queues[COMMANDS].jobs) == 10


@driver_test
async def test_what_is_put_behind_the_end_is_dropped(caplog):
    async with Queues() as queues:
        await queues.begin(COMMANDS)
        await queues.begin(NEWS)
        await queues.put(COMMANDS, *[queues.job(n) for n in range(256)])
        await queues.put(NEWS, *queues.updates(256))
        queues.close()
        queues.add_deletion("Other", queues.job("deletion", 0, Kind.DELETION))
        await queues.put(COMMANDS, queues.job("late"))
        assert queues.held == [("v", True), ("v", False)]
        assert queues.paused == [True, False]
        await asyncio.sleep(2)
        assert queues.left == []
    assert queues.begun == ["handled", "handled"]
    assert caplog.records == []


def work(seconds):
    """Something that blocks the event loop."""
    time.sleep(seconds)


@driver_test
async def test_a_message_goes_on_when_what_it_waits_for_is_void_between_two_turns():
    """The vector has handled one event, and waits for its turn to handle the next."""
    async with Queues() as queues:
        done = []
        go = asyncio.Event()

        def job(label, kind=Kind.UPDATE):
            async def run():
                if label.endswith("1"):
                    await go.wait()
                elif label == "w2":
                    work(0.05)  # the turn is over when it has ended
                    asyncio.get_running_loop().call_soon(queues.add_deletion, "Other", job("gone", Kind.DELETION))
                done.append(label)

            return Job(run, 0, kind)

        for name in ("w1", "w2", "v1", "v2"):
            queues.add_news("Other" if name[0] == "v" else "Third", name[0], job(name))
        queues.add_news("Other", None, job("message", Kind.MESSAGE))
        await asyncio.sleep(1)
        go.set()
        await asyncio.sleep(1)
        assert done == ["w1", "w2", "v1", "message", "gone"]
