"""What holds in a running driver, whatever it is sent and whatever its author's coroutines do meanwhile.

A real IPyDriver with vectors of every kind, on a link that records what is written, in virtual time.  Each record of
the program is: one byte for what is done, and what is sent to the driver.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter, deque
from typing import Any, Final

import indipydriver as ipd
from indipydriver.errors import MalformedFrame, RemoteProtocolError
from indipydriver.protocol.decode import decode
from indipydriver.protocol.frame import Batch, Frame
from indipydriver.protocol.framer import Framer, Limits
from indipydriver.protocol.messages import DefVector, OneMember, Ping, SetVector
from indipydriver.protocol.tags import Verb
from indipydriver.testing.virtualtime import VirtualTimeLoop
from tests.support.links import FakeLink

from .inputs import SEPARATOR, silent

__all__ = ["driver"]

DEVICES: Final = {"A": ("text", "number", "switch", "light", "blob"), "Mount 1": ("text", "switch")}
LIMITS: Final = Limits(frame=4096, blob=8192, start_tag=1024, junk=2048)
_MOMENT: Final = 1e-6
_LONG: Final = 1000.0
_TIMESTAMP: Final = re.compile(rb' timestamp="[^"]*"')
_ON_PURPOSE: Final = r"Subject: (rxevent|snoopevent) failed"
_MISTAKES: Final = r"(an event of|.* cannot be defined|.* could not be set to Alert)"
_MOST: Final = 256 + 1  # events of one vector that wait, and the one that was just begun
_HONEST: Final = {
    "text": ("Text", "fine"),
    "number": ("Number", "42"),
    "switch": ("Switch", "On"),
    "blob": ("BLOB", "QUJD"),
}


class Subject(ipd.IPyDriver):
    """Does in rxevent and snoopevent what the program says."""

    behaviour = 0

    def __init__(self, link: FuzzerLink) -> None:
        super().__init__(*map(_device, DEVICES))
        self.link = link
        self.busy: dict[tuple[str, str], int] = {}  # how many commands of a vector had come when its event began

    async def rxevent(self, event: Any) -> None:
        key = event.devicename, event.vectorname
        self.busy[key] = self.link.commands[key]
        try:
            await self.behave(event, getattr(event, "vector", None))
        finally:
            del self.busy[key]

    async def snoopevent(self, event: Any) -> None:
        await self.behave(event, self["A"]["number"])

    async def hardware(self) -> None:
        self.snoop("C", "p", 50)
        await self.send_getProperties("B")
        while not self.stop:
            await asyncio.sleep(1.5 * _LONG)
            await self["A"].send_device_message("alive")

    async def behave(self, event: Any, vector: Any) -> None:
        what = self.behaviour
        if what == 1:
            raise ValueError("<&>\x00\x1b\ud800 " + "x" * 300)
        if what == 2:  # as a task that is cancelled leaves it
            raise asyncio.CancelledError
        if what == 3:
            await asyncio.sleep(3)
        elif what == 4:
            await asyncio.sleep(_LONG)
        elif what == 5:
            await vector.send_delProperty()
            return
        elif what == 6:
            task = asyncio.create_task(asyncio.sleep(_LONG))
            task.cancel()
            await task
        elif what == 7:
            for _ in range(50):
                await self.send_message("again")
        elif what == 8:
            vector.enable = not vector.enable
        elif what == 9:
            async with asyncio.timeout(1):
                await asyncio.sleep(_LONG)
        elif what == 10:
            self["A"].enable = False
            await asyncio.sleep(1)
            self["A"].enable = True
        elif what == 11:
            async with asyncio.TaskGroup() as group:
                group.create_task(asyncio.sleep(_LONG))
                raise OSError("in a group")
        if isinstance(event, ipd.getProperties):
            await vector.send_defVector()
        elif isinstance(event, ipd.newBLOBVector):
            vector["n"] = event.get("n", b"none")
            await vector.send_setVectorMembers(state="Ok")
        elif isinstance(event, ipd.newNumberVector | ipd.newSwitchVector | ipd.newTextVector):
            for name in event:
                vector[name] = event[name]
            await vector.send_setVector(state="Ok")


_BEHAVIOURS: Final = 12


def _device(name: str) -> ipd.Device:
    number = ipd.NumberMember("n", format="%.0f", min=0, max=100, step=1, membervalue=0)
    vectors = {
        "text": ipd.TextVector("text", "Text", "Main", "rw", "Ok", [ipd.TextMember("n"), ipd.TextMember("m")]),
        "number": ipd.NumberVector("number", "Number", "Main", "rw", "Ok", [number]),
        "switch": ipd.SwitchVector("switch", "Switch", "Main", "rw", "AnyOfMany", "Ok", [ipd.SwitchMember("n")]),
        "light": ipd.LightVector("light", "Light", "Main", "Ok", [ipd.LightMember("n")]),
        "blob": ipd.BLOBVector("blob", "BLOB", "Main", "rw", "Ok", [ipd.BLOBMember("n", blobformat=".bin")]),
    }
    return ipd.Device(name, [vectors[each] for each in DEVICES[name]])


class FuzzerLink(FakeLink):
    """Delivers frames one by one unless it is paused, and ends as soon as it is told to."""

    receiver: Any

    def __init__(self) -> None:
        super().__init__("the fuzzer", takes_all=True)
        self.inbox: deque[Frame] = deque()
        self.commands: Counter[tuple[str | None, str | None]] = Counter()  # delivered, by vector
        self._opened = self._scheduled = False

    def open(self, receiver: Any) -> None:
        super().open(receiver)
        self._opened = True
        self._schedule()

    def write(self, batch: Batch) -> None:
        if not self.closed:
            super().write(batch)

    def resume_reading(self) -> None:
        super().resume_reading()
        self._schedule()

    def close(self) -> None:
        if not self.closed:
            super().close()
            asyncio.get_running_loop().call_soon(self.receiver.link_closed, None)

    abort = close

    def said(self) -> list[Frame]:
        """All that was written."""
        return [frame for batch in self.written for frame in batch.frames]

    def deliver(self, frames: list[Frame]) -> None:
        self.inbox += frames
        self._schedule()

    def _schedule(self) -> None:
        if self.inbox and self._opened and not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._deliver)

    def _deliver(self) -> None:
        self._scheduled = False
        while self.inbox and not self.paused and not self.closed:
            frame = self.inbox.popleft()
            if frame.tag.verb is Verb.NEW:
                self.commands[frame.device, frame.name] += 1
            self.receiver.frames_received([frame])

    def congest(self, size: int) -> None:
        """The other end takes nothing, or all."""
        self.unsent = size
        if not size and self._opened:
            self.receiver.link_drained()


def driver(data: bytes) -> None:
    """Run the program; afterwards the driver answers as if nothing had happened, and ends in time."""
    records = data.split(SEPARATOR)[1:]
    with (
        silent("indipydriver.ipydriver", "indipydriver.events", mistakes=_MISTAKES, wanted=_ON_PURPOSE),
        asyncio.Runner(loop_factory=VirtualTimeLoop) as runner,
    ):
        trouble: list[str] = []
        runner.get_loop().set_exception_handler(lambda _, context: trouble.append(f"{context}"))
        runner.run(_scenario(records))
        assert not trouble, trouble


async def _scenario(records: list[bytes]) -> None:
    link = FuzzerLink()
    subject = Subject(link)
    running = asyncio.create_task(subject.serve(link, shutdown_grace=5))
    framer = Framer(LIMITS)
    await asyncio.sleep(_MOMENT)
    for record in records:
        if record:
            framer = await _step(record, framer, link, subject)
            assert not running.done(), f"the driver has ended: {running}"
            _bounded(link, subject)
    await _calm(link, subject)
    await _answers(link)
    subject.shutdown()
    await asyncio.wait_for(running, 30)
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert not left, f"tasks are left: {left}"
    assert link.closed
    _is_acceptable(link.said())


async def _step(record: bytes, framer: Framer, link: FuzzerLink, subject: Subject) -> Framer:
    action, choice = record[0] % 16, record[0] // 16
    if action == 9:
        subject.behaviour = choice % _BEHAVIOURS
    elif action == 10:
        await asyncio.sleep(1)
    elif action == 11:
        await asyncio.sleep(100)
    elif action == 12:
        link.receiver.fault_received(MalformedFrame("made up"))
    elif action == 13:
        link.congest(0 if link.unsent else 5 << 20)
    elif action == 15:
        subject.auto_send_def = bool(choice & 1)
        subject.snoopall = bool(choice & 2)
    frames = framer.feed(record[1:])
    link.deliver(frames * (300 if action == 14 and not choice else 1))
    await asyncio.sleep(_MOMENT)
    return Framer(LIMITS) if framer.failed else framer


def _bounded(link: FuzzerLink, subject: Subject) -> None:
    for key, before in subject.busy.items():
        assert link.commands[key] - before <= _MOST, f"{link.commands[key] - before} commands wait for {key}"
    assert len(link.receiver.refused) <= 100, "kinds of refusals have been invented"


async def _calm(link: FuzzerLink, subject: Subject) -> None:
    """Nothing is wrong any more, and time enough has passed for all that waits."""
    subject.behaviour = 0
    subject.auto_send_def = True
    subject.snoopall = False
    link.congest(0)
    subject.snoopvectors.clear()
    await asyncio.sleep(2 * _LONG)
    assert not link.paused, "the link is not read any more"
    assert not link.inbox
    for device in subject.devices():
        device.enable = True
        for vector in device.properties():
            vector.enable = True


async def _answers(link: FuzzerLink) -> None:
    begin = len(link.said())
    lines = ["<getProperties version='1.7'/><pingRequest uid='last'/>"]
    for device, names in DEVICES.items():
        for name in names:
            if name not in _HONEST:
                continue
            kind, value = _HONEST[name]
            more = " size='3' format='.bin'" if kind == "BLOB" else ""
            lines.append(
                f"<new{kind}Vector device='{device}' name='{name}'><one{kind} name='n'{more}>{value}</one{kind}></new{kind}Vector>"
            )
    link.deliver(Framer().feed("".join(lines).encode()))
    await asyncio.sleep(_MOMENT)
    said = [decode(frame) for frame in link.said()[begin:]]
    assert Ping("last", reply=True) in said, "the ping is not answered"
    for device, names in DEVICES.items():
        defined = {each.name for each in said if isinstance(each, DefVector) and each.device == device}
        assert defined == set(names), f"{device} defines only {defined}"
        updates = {each.name: each for each in said if isinstance(each, SetVector) and each.device == device}
        for name in _HONEST.keys() & set(names):
            value = _HONEST[name][1]
            assert name in updates, f"{device} {name} does not answer any more"
            update = updates[name]
            assert update.state == "Ok", f"{device} {name}: {update}"
            for member in update.members:
                if isinstance(member, OneMember) and member.name == "n":
                    assert member.value == value, f"{device} {name}: {update}"


def _is_acceptable(written: list[Frame]) -> None:
    """All that has been said passes our own door, as it is, and is understood."""
    door = Framer(Limits())
    passed = door.feed(b"\n".join([frame.raw for frame in written]))
    assert not door.faults, f"it has said what we do not take: {door.faults}"
    assert [frame.raw for frame in passed] == [frame.raw for frame in written]
    for frame in {_TIMESTAMP.sub(b"", frame.raw): frame for frame in passed}.values():
        try:
            decode(frame)
        except RemoteProtocolError as error:
            raise AssertionError(f"it has said what we do not understand: {error}") from error
