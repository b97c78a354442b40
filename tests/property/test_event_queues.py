"""What reaches a driver, and in which order, whatever comes and however long it takes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from indipydriver.runtime import eventqueues
from indipydriver.runtime.eventqueues import EventQueues, Job, Key, Kind
from indipydriver.testing import run

MAY_MISS = {Kind.DEFINITION, Kind.UPDATE, Kind.FRAME, Kind.MESSAGE}
LIMITS = {"MAX_EVENTS": 4, "MAX_STREAM_BYTES": 250, "MAX_NEWS_BYTES": 900, "MAX_HELD_BYTES": 50_000}

VALUES = [Kind.UPDATE] * 6 + [Kind.DEFINITION, Kind.EXPOSURE, Kind.FRAME, Kind.FRAME, Kind.DELETION]
values = st.tuples(st.sampled_from(VALUES), st.sampled_from("AAB"), st.sampled_from("ppq"))
wholes = st.tuples(st.sampled_from([Kind.MESSAGE, Kind.MESSAGE, Kind.DELETION]), st.sampled_from("AAB"), st.none())
commands = st.tuples(st.just(Kind.COMMAND), st.just("own"), st.sampled_from("pq"))
events = st.tuples(
    st.one_of(values, values, values, wholes, wholes, commands),
    st.sampled_from([0.0, 0.0, 0.1, 0.7, 3.0]),  # how long it takes
    st.sampled_from(["returns"] * 6 + ["raises", "is cancelled", "cancels its task"]),
    st.sampled_from([10, 10, 100, 300]),  # bytes
    st.sampled_from([1, 1, 1, 6]),  # so many of them
)
pauses = st.sampled_from([0.0, 0.1, 0.4, 2.0])
scripts = st.lists(st.one_of(events, events, events, events, pauses), min_size=10, max_size=60)


@dataclass
class Event:
    """One event of the script and its fate."""

    number: int
    kind: Kind
    device: str
    name: str | None
    begun: int | None = None  # places in the one order of all that happens
    ended: int | None = None
    put: int = 0


@dataclass
class History:
    """All that happens, in order."""

    events: list[Event] = field(default_factory=list)
    told: Counter[tuple[str | None, str | None]] = field(default_factory=Counter)  # how many were left out
    asked: set[tuple[str | None, str | None]] = field(default_factory=set)
    now: int = 0

    def tick(self) -> int:
        self.now += 1
        return self.now

    async def handle(self, event: Event, seconds: float, how: str) -> None:
        event.begun = self.tick()
        try:
            if seconds:
                await asyncio.sleep(seconds)
            if how == "raises":
                raise ValueError
            if how == "is cancelled":
                raise asyncio.CancelledError
            if how == "cancels its task":
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
                await asyncio.sleep(1)
        finally:
            event.ended = self.tick()

    def left_out(self, device: str | None, name: str | None, count: int, ask: bool) -> None:
        self.told[device, name] += count
        if ask:
            self.asked.add((device, name))


async def play(script: list[Any]) -> History:
    history = History()
    tasks: set[asyncio.Task[None]] = set()
    held: set[Key] = set()
    paused: list[bool] = [False]

    def start(coro: Coroutine[Any, Any, None], _: str) -> None:
        task = asyncio.create_task(coro)
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    def hold(key: Key, is_full: bool) -> None:
        assert key.is_command
        assert is_full is not (key in held), "said twice"
        (held.add if is_full else held.discard)(key)

    queues = EventQueues(start, hold, paused.append, history.left_out, lambda: False)
    for step in script:
        if isinstance(step, float):
            await asyncio.sleep(step)
            continue
        (kind, device, name), seconds, how, size, count = step
        for _ in range(count):
            event = Event(len(history.events), kind, device, name, put=history.tick())
            history.events.append(event)
            job = Job(partial(history.handle, event, seconds, how), size, kind)
            if kind is Kind.COMMAND:
                queues.add(Key(True, device, name), job)
            elif kind is Kind.DELETION and name is None:
                queues.add_deletion(device, job)
            else:
                queues.add_news(device, name, job)
    async with asyncio.timeout(1000):
        while tasks:
            await asyncio.wait(tasks)
    assert not held
    assert not paused[-1]
    for left in ("_queues", "_timers", "_deletions", "_last", "_filled", "_full_commands", "_full_news"):
        assert not getattr(queues, left), left
    assert queues._held == queues._news == 0
    return history


def check(history: History, met: Counter[str]) -> None:
    missing: Counter[tuple[str, str | None]] = Counter()
    frames: Counter[tuple[str, str | None]] = Counter()
    events = history.events
    for event in events:
        same = [other for other in events if (other.device, other.name) == (event.device, event.name)]
        later = [other for other in same if other.number > event.number]
        device_gone = [
            other
            for other in events
            if other.number > event.number
            and (other.kind, other.device, other.name) == (Kind.DELETION, event.device, None)
        ]
        if event.begun is None:  # it is void, or was left out
            if event.name is not None and device_gone:
                met["void"] += 1
                continue
            assert event.kind in MAY_MISS, event
            assert any(other.kind in MAY_MISS for other in later), event
            missing[event.device, event.name] += 1
            frames[event.device, event.name] += event.kind is Kind.FRAME
            met["left out"] += 1
            continue
        assert event.ended is not None
        for other in later:  # one by one, in order
            assert other.begun is None or event.ended < other.begun, (event, other)
        if event.name is None:
            for other in events:
                if other.device != event.device or other.name is None or other.begun is None:
                    continue
                assert other.ended is not None
                if other.number < event.number:  # all that came before
                    met["a message or a deletion after a value"] += 1
                    assert other.ended < event.begun, (other, event)
                    assert event.kind is not Kind.DELETION or other.begun < event.put, (other, event)
                elif event.kind is Kind.DELETION:
                    met["a value after a deletion"] += 1
                    assert event.ended < other.begun, (event, other)
    for (device, name), count in missing.items():  # of what is void some were left out before
        assert count - frames[device, name] <= history.told[device, name]
    assert set(history.told) >= {vector for vector, count in missing.items() if count > frames[vector]}


def test_nothing_but_old_news_is_left_out_and_all_else_comes_in_order() -> None:
    met: Counter[str] = Counter()

    @given(scripts)
    def whatever_comes(script: list[Any]) -> None:
        with patch.multiple(eventqueues, **LIMITS):
            check(run(play, script), met)

    whatever_comes()
    assert all(met[what] for what in ("void", "left out", "a value after a deletion")), met
