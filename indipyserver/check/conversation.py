"""The conversation with the subject: sends, waits, and counts what arrives.  The judge sees everything."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
from collections import Counter
from collections.abc import Callable
from typing import Final

from indipydriver.errors import LocalProtocolError, RemoteProtocolError
from indipydriver.protocol.decode import decode
from indipydriver.protocol.frame import Frame
from indipydriver.protocol.messages import EnableBlob, GetProperties, NewVector, Ping
from indipydriver.protocol.tags import Verb
from indipydriver.protocol.texts import brief

from ..routing.devices import MAX_DEFINED, MAX_DEVICES, MAX_PROPERTIES
from .checker import Checker
from .model import Key
from .report import Report
from .rules import Severity
from .subjects import Subject

__all__ = ["QUIET", "Conversation", "Ended"]

QUIET: Final = 0.4
"""Seconds without news after which everything counts as defined, because INDI does not mark the end."""
_LONGEST_EXCUSE: Final = 200  # bytes of the text that says why something cannot be sent


class Ended(Exception):
    """The subject is gone, or never stops sending: there is nothing more to ask."""


class Conversation:
    """One check; it listens to its subject.

    Attributes:
        checker: The judge.
        finishing: The subject is expected to end.
        ended_early: It ended before that.
        enough: The subject has used more names than a server keeps, and is no longer listened to.
        last_sent: What was last sent to it.
        teasing: It is being sent members that are not defined.
        ours: Devices that were not connected before the check connected them.
        definitions: How often each property was defined.
        updates: How often each was updated or deleted.
        answers: The longest time to an answer of each commanded property, in seconds.
        pending: Commanded properties that have not answered: the messages so far, and the time.
        result: The report.
    """

    def __init__(self, subject: Subject, timeout: float, act: bool) -> None:
        self.checker = Checker(server=subject.is_server)
        self.finishing = False
        self.ended_early = False
        self.enough = False
        self.last_sent = "nothing"
        self.teasing = False
        self.ours: set[str] = set()
        self.subject = subject
        self.timeout = timeout
        self.act = act
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self.definitions: Counter[Key] = Counter()
        self.updates: Counter[Key] = Counter()
        self._all: dict[Key, None] = {}
        self._names: dict[str, set[str]] = {}  # number of names, by device
        self._count = 0  # of all names
        self._changed = 0.0  # when a property was last defined or deleted
        self.answers: dict[Key, float] = {}
        self._commanded: dict[Key, None] = {}
        self.pending: dict[Key, tuple[int, float]] = {}
        self.result = Report("", subject.kind)

    # Input

    def bytes_received(self, data: bytes) -> None:
        self.checker.bytes_received(data)

    def fault_received(self, fault: RemoteProtocolError) -> None:
        self.checker.fault_received(fault)

    def frames_received(self, frames: list[Frame]) -> None:
        now = self._loop.time()
        for frame in frames:
            tag, device, name = frame.address
            key = (device or "", name or "")
            if self.enough or not self._remember(*key):
                break
            self.checker.received(frame)
            if tag.verb in (Verb.DEF, Verb.DELETE):
                self._changed = now
                if tag.verb is Verb.DEF:
                    self.definitions[key] += 1
                    if device and name:
                        self._all[key] = None
            elif tag.verb is Verb.PING:
                # A uid may grow in the reply, where it is escaped; it was too long in the first place, which is noted.
                with contextlib.suppress(RemoteProtocolError, LocalProtocolError):
                    ping = decode(frame)
                    assert isinstance(ping, Ping)
                    self.subject.send(Ping(ping.uid, reply=True))
            if tag.verb in (Verb.SET, Verb.DELETE):
                self.updates[key] += 1
                pending = self.pending.pop(key, None)
                if pending is not None:
                    self.answers[key] = max(now - pending[1], self.answers.get(key, 0.0))
                    self.result.answered += 1
        self._news.set()

    def _remember(self, device: str, name: str) -> bool:
        """Remember one more name; False, and the check ends, if there are as many as a server keeps."""
        names = self._names.get(device)
        if names is not None and name in names:
            return True
        if names is None and len(self._names) > MAX_DEVICES:
            text = f"more than {MAX_DEVICES} devices"
        elif names is not None and len(names) > MAX_PROPERTIES:
            text = f"more than {MAX_PROPERTIES} properties of {device!r}"
        elif self._count > MAX_DEFINED:
            text = f"more than {MAX_DEFINED} properties"
        else:
            self._names.setdefault(device, set()).add(name)
            self._count += 1
            return True
        self.enough = True
        self.checker.findings.add("too-many", f"{text}; the check ends there")
        return False

    def closed(self, unfinished: int) -> None:
        self.ended_early = self.ended_early or not self.finishing
        self.checker.ended(unfinished)
        self._news.set()

    # Waiting

    @property
    def now(self) -> float:
        """The loop's time."""
        return self._loop.time()

    async def until(self, condition: Callable[[], bool], timeout: float) -> bool:
        """Wait until a condition holds; False if it does not in time, Ended if it no longer can."""
        deadline = self._loop.time() + timeout
        while not condition():
            if self.ended_early or self.enough:
                raise Ended
            self._news.clear()
            try:
                async with asyncio.timeout_at(deadline):
                    await self._news.wait()
            except TimeoutError:
                return condition()
        return True

    async def settle(self, quiet: float = QUIET) -> None:
        """Wait until nothing has been defined or deleted for a while."""
        limit = self._loop.time() + 10 * self.timeout
        since = self._loop.time()
        while (left := max(self._changed, since) + quiet - self._loop.time()) > 0 and self._loop.time() < limit:
            if self.ended_early or self.enough:
                raise Ended
            await asyncio.sleep(left)

    @property
    def patience(self) -> float:
        """Seconds after which an answer counts as missing, judging by previous answers."""
        slowest = max(self.answers.values(), default=0.0)
        return min(self.timeout, max(0.5, 4 * slowest))

    def send(self, message: GetProperties | EnableBlob | NewVector | Ping) -> bool:
        """Send something; False if no peer would accept it, because escaped it exceeds the limits."""
        device, name = getattr(message, "device", None), getattr(message, "name", None)
        try:
            self.subject.send(message)
        except LocalProtocolError as error:
            key = (device or "", name or "")
            if all(key != spared for spared, _ in self.result.spared):
                self.result.spared.append((key, f"it cannot be sent: {brief(str(error), _LONGEST_EXCUSE)}"))
            return False
        self.last_sent = " ".join(filter(None, (type(message).__name__, device, name)))
        return True

    async def answered(self, key: Key, patience: float | None = None) -> bool:
        """Wait for the answer to a command; if a message arrives instead, only a moment longer."""
        patience = self.patience if patience is None else patience
        messages = self.messages(key[0])
        if await self.until(lambda: key not in self.pending or self.messages(key[0]) > messages, patience):
            await self.until(lambda: key not in self.pending, min(patience, QUIET))
        return key not in self.pending

    def is_busy(self, key: Key) -> bool:
        prop = self.checker.properties.get(key)
        return prop is not None and prop.state == "Busy"

    def messages(self, device: str) -> int:
        return self.checker.messages[device] + self.checker.messages[None]

    def command(self, message: NewVector) -> bool:
        """Command a property, and note that an answer is due; False if it cannot be sent."""
        if not self.send(message):
            return False
        self.pending[message.device, message.name] = (self.messages(message.device), self._loop.time())
        self.result.commands += 1
        self._commanded[message.device, message.name] = None
        return True

    # The report

    def report(self, subject: str, duration: float) -> Report:
        """What was seen."""
        report, checker = self.result, self.checker
        report.subject = subject
        report.findings = list(checker.findings)
        report.connected = list(dict.fromkeys(report.connected))
        report.devices = dict(Counter(device for device, _ in self._all))
        report.frames = checker.frames.total()
        report.bytes = checker.bytes
        report.blobs = [(key, size) for key, sizes in checker.blobs.items() for size in sizes]
        if self.answers:
            report.median = round(statistics.median(self.answers.values()), 6)
            key = max(self.answers, key=lambda key: self.answers[key])
            report.slowest = (self.answers[key], key)
        report.unanswered = [key for key in self._commanded if key not in self.answers]
        report.duration = round(duration, 3)
        if any(finding.severity is Severity.ERROR for finding in report.findings) or self.ended_early:
            report.stderr = list(self.subject.stderr)
        return report
