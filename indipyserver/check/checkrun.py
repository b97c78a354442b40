"""The script of a check: starts the driver, asks, commands, connects, and tells the judge what it saw."""

from __future__ import annotations

import asyncio
import contextlib
import io
import re
import statistics
from collections import Counter
from collections.abc import Callable
from typing import Final

from indipydriver.errors import RemoteProtocolError
from indipydriver.protocol.decode import decode
from indipydriver.protocol.frame import Frame
from indipydriver.protocol.messages import EnableBlob, GetProperties, NewVector, OneMember, Ping
from indipydriver.protocol.tags import VectorKind, Verb

from ..words import Word, parse_word
from .checker import Checker
from .checkreport import Report
from .commands import FOREIGN_DEVICE, different, out_of_range, reason_to_spare, same_values, unknown_member, with_value
from .model import Key, Property, number
from .subjects import CannotRun, Subject, open_subject

__all__ = ["DEFAULT_TIMEOUT", "CannotRun", "check"]

DEFAULT_TIMEOUT: Final = 5.0
"""Seconds that a driver gets to answer."""
_STARTUP: Final = 10.0  # seconds that it gets at least to define its first property
_QUIET: Final = 0.4  # INDI does not say when all is defined: no news for so many seconds does
_BUSY: Final = 30.0  # seconds that connecting may take when it has answered with Busy
_SLOW: Final = 1.0
_INTEGER: Final = re.compile(r"\s*[0-9]+\s*")
_INFO_MEMBERS: Final = {"DRIVER_NAME", "DRIVER_EXEC", "DRIVER_VERSION", "DRIVER_INTERFACE"}


async def check(word: str | Word, *, timeout: float = DEFAULT_TIMEOUT, act: bool = False) -> Report:
    """Start what a word names, play a client, stop it again.

    Args:
        word: A program, a Python callable or a server, as the command takes it.
        timeout: Seconds that it gets to answer.
        act: Also send commands that may make the device do something.

    Returns:
        What was seen.

    Raises:
        CannotRun: It cannot be started or reached.
        ValueError: It is no such word.
    """
    if isinstance(word, str):
        word = parse_word(word)
    subject = open_subject(word)
    run = _Run(subject, timeout, act)
    printed = io.StringIO()
    loop = asyncio.get_running_loop()
    begin = loop.time()
    with contextlib.redirect_stdout(printed):
        try:
            await subject.start(run)
            await run.script()
        finally:
            # What a signal interrupts is stopped in a hurry.
            hurried = asyncio.current_task() is not None and bool(asyncio.current_task().cancelling())  # type: ignore[union-attr]
            run.finishing = True
            in_time = await subject.finish(0.0 if hurried else max(timeout, 5.0))
    checker = run.checker
    if not in_time:
        checker.findings.add("ignores-end", f"it still ran {max(timeout, 5.0):g} s later and was killed")
    elif subject.failure is not None and not run.ended_early:
        checker.findings.add("crashed", subject.failure)
    if run.ended_early:
        cause = f"; {subject.failure}" if subject.failure else ""
        checker.findings.add("ended-early", f"it ended after: {run.last_sent}{cause}")
    if printed.getvalue():
        checker.findings.add("prints", repr(printed.getvalue()[:80]))
    return run.report(word.text, loop.time() - begin)


class _Ended(Exception):
    """The subject is gone, so there is nothing more to ask."""


class _Run:
    """One check; it listens to its subject.

    Attributes:
        checker: The judge.
        finishing: The end of the subject is expected.
        ended_early: It ended before that.
        last_sent: What was sent to it last.
    """

    def __init__(self, subject: Subject, timeout: float, act: bool) -> None:
        self.checker = Checker(server=subject.is_server)
        self.finishing = False
        self.ended_early = False
        self.last_sent = "nothing"
        self._subject = subject
        self._timeout = timeout
        self._act = act
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._definitions: Counter[Key] = Counter()
        self._updates: Counter[Key] = Counter()
        self._all: dict[Key, None] = {}
        self._changed = 0.0  # when a property was last defined or deleted
        self._answers: dict[Key, float] = {}
        self._pending: dict[Key, tuple[int, int, float]] = {}  # updates, messages and time when it was commanded
        self._report = Report("", subject.kind)
        self._pings: set[str] = set()

    # What comes in

    def bytes_received(self, data: bytes) -> None:
        self.checker.bytes_received(data)

    def fault_received(self, fault: RemoteProtocolError) -> None:
        self.checker.fault_received(fault)

    def frames_received(self, frames: list[Frame]) -> None:
        now = self._loop.time()
        for frame in frames:
            self.checker.received(frame)
            tag, device, name = frame.address
            key = (device or "", name or "")
            if tag.verb in (Verb.DEF, Verb.DELETE):
                self._changed = now
                if tag.verb is Verb.DEF:
                    self._definitions[key] += 1
                    self._all[key] = None
            elif tag.verb is Verb.PING:
                with contextlib.suppress(RemoteProtocolError):
                    ping = decode(frame)
                    assert isinstance(ping, Ping)
                    self._subject.send(Ping(ping.uid, reply=True))
            if tag.verb in (Verb.SET, Verb.DELETE):
                self._updates[key] += 1
                pending = self._pending.pop(key, None)
                if pending is not None:
                    self._answers[key] = max(now - pending[2], self._answers.get(key, 0.0))
                    self._report.answered += 1
        self._news.set()

    def closed(self, unfinished: int) -> None:
        self.ended_early = self.ended_early or not self.finishing
        self.checker.ended(unfinished)
        self._news.set()

    # Waiting

    async def _until(self, condition: Callable[[], bool], timeout: float) -> bool:
        """Wait until something is so; False if it is not in time, _Ended if it cannot be any more."""
        deadline = self._loop.time() + timeout
        while not condition():
            if self.ended_early:
                raise _Ended
            self._news.clear()
            try:
                async with asyncio.timeout_at(deadline):
                    await self._news.wait()
            except TimeoutError:
                return condition()
        return True

    async def _settle(self, quiet: float = _QUIET) -> None:
        """Wait until nothing has been defined or deleted for a while."""
        limit = self._loop.time() + 10 * self._timeout
        since = self._loop.time()
        while (left := max(self._changed, since) + quiet - self._loop.time()) > 0 and self._loop.time() < limit:
            if self.ended_early:
                raise _Ended
            await asyncio.sleep(left)

    @property
    def _patience(self) -> float:
        """Seconds after which no answer is one, going by those that came."""
        slowest = max(self._answers.values(), default=0.0)
        return min(self._timeout, max(0.5, 4 * slowest))

    def _send(self, message: GetProperties | EnableBlob | NewVector | Ping) -> None:
        name = getattr(message, "name", None)
        self.last_sent = " ".join(filter(None, (type(message).__name__, getattr(message, "device", None), name)))
        self._subject.send(message)

    def _messages(self, device: str) -> int:
        return len(self.checker.messages.get(device, ())) + len(self.checker.messages.get(None, ()))

    def _command(self, message: NewVector) -> Key:
        key = (message.device, message.name)
        self._pending[key] = (self._updates[key], self._messages(message.device), self._loop.time())
        self._report.commands += 1
        self._send(message)
        return key

    # The script

    async def script(self) -> None:
        """All steps, until the subject is gone or there is nothing more to ask."""
        checker = self.checker
        begin = self._loop.time()
        with contextlib.suppress(_Ended):
            self._send(GetProperties(self._subject.device))
            if not await self._until(lambda: bool(self._definitions), max(self._timeout, _STARTUP)):
                checker.findings.add("no-definitions", f"none came in {max(self._timeout, _STARTUP):g} s")
                return
            self._report.startup = round(self._loop.time() - begin, 6)
            await self._settle()
            if self._subject.is_server:
                for device in checker.devices:
                    self._send(EnableBlob(device))
            connections = [await self._connect(device) for device in checker.devices]
            self._judge_standard()
            await self._ask_again()
            await self._ask_one_by_one()
            await self._ask_for_foreign()
            await self._repeat_values()
            await self._refuse_values()
            await self._refuse_members()
            await self._write_read_only()
            await self._ping()
            for connection in connections:
                if connection is not None:
                    await self._disconnect(*connection)

    async def _connect(self, device: str) -> tuple[str, set[Key]] | None:
        """Connect a device; returns what it has defined since, None if it is not ours to disconnect."""
        connection = self.checker.properties.get((device, "CONNECTION"))
        if connection is None:
            self.checker.findings.add("connection-missing", "no CONNECTION", device)
            return None
        add = self.checker.findings.add
        right = connection.kind is VectorKind.SWITCH and connection.perm == "rw" and connection.rule == "OneOfMany"
        if not right or not {"CONNECT", "DISCONNECT"} <= connection.members.keys():
            members = ", ".join(connection.members)
            add("connection-form", f"{connection.kind} {connection.perm} {connection.rule} with {members}", *connection.key)
            return None
        if connection.members["CONNECT"].value == "On":
            self._report.connected.append(device)
            if not self._act:
                return None  # somebody may be using it
            await self._disconnect(device, set())
        before = set(self.checker.properties)
        await self._switch_connection(device, "CONNECT")
        connection = self.checker.properties.get((device, "CONNECTION"))
        if connection is None or (device, "CONNECTION") in self._pending:
            return None
        if connection.state == "Alert":
            said = "; ".join(self.checker.messages.get(device, [])[-2:])
            add("connection-refused", f"state Alert{f', {said[:200]}' if said else ''}", *connection.key)
            return None
        if connection.state != "Ok" or connection.on != ["CONNECT"]:
            add("connection-state", f"state {connection.state} with {connection.on} On after CONNECT", *connection.key)
        await self._settle()
        if "CONNECT" in connection.on:
            self._report.connected.append(device)
        news = {key for key in self.checker.properties if key[0] == device} - before
        if not news:
            add("connection-nothing", "nothing was defined on connecting", device)
        return device, news

    async def _switch_connection(self, device: str, which: str) -> None:
        """Command CONNECTION, and wait for as long as it is Busy."""
        key = self._command(NewVector(VectorKind.SWITCH, device, "CONNECTION", (OneMember(which, "On"),)))
        if not await self._until(lambda: key not in self._pending, self._timeout):
            self.checker.findings.add("unanswered", f"no answer to {which} in {self._timeout:g} s", *key)
            return

        def settled() -> bool:
            connection = self.checker.properties.get(key)
            return connection is None or connection.state != "Busy"

        if not await self._until(settled, max(self._timeout, _BUSY)):
            self.checker.findings.add("connection-state", f"still Busy {_BUSY:g} s after {which}", *key)

    async def _disconnect(self, device: str, news: set[Key]) -> None:
        key = (device, "CONNECTION")
        if key not in self.checker.properties:
            return
        await self._switch_connection(device, "DISCONNECT")
        await self._until(lambda: not news & self.checker.properties.keys(), max(1.0, self._patience))
        for kept in sorted(news & self.checker.properties.keys()):
            self.checker.findings.add("connection-kept", "still defined after DISCONNECT", *kept)
        connection = self.checker.properties.get(key)
        if connection is None or key in self._pending:
            return
        if connection.on != ["DISCONNECT"] or connection.state in ("Alert", "Busy"):
            seen = f"state {connection.state} with {connection.on} On after DISCONNECT"
            self.checker.findings.add("connection-state", seen, *key)
        await self._settle()

    def _judge_standard(self) -> None:
        """DRIVER_INFO, from which KStars learns what the device is."""
        for device in self.checker.devices:
            info = self.checker.properties.get((device, "DRIVER_INFO"))
            if info is None:
                self.checker.findings.add("driver-info-missing", "no DRIVER_INFO", device)
                continue
            interface = info.members.get("DRIVER_INTERFACE")
            if info.kind is not VectorKind.TEXT or info.perm != "ro" or not _INFO_MEMBERS <= info.members.keys():
                seen = f"{info.kind} {info.perm} with {', '.join(info.members)}"
                self.checker.findings.add("driver-info-form", seen, *info.key)
            elif interface is not None and not _INTEGER.fullmatch(interface.value):
                self.checker.findings.add("driver-info-form", f"DRIVER_INTERFACE {interface.value[:40]!r}", *info.key)

    # Questions

    async def _ask_again(self) -> None:
        """Everything has to come once more."""
        before = self._definitions.copy()

        def missing() -> list[Key]:
            return [key for key in self.checker.properties if self._definitions[key] == before[key]]

        self._send(GetProperties(self._subject.device))
        await self._until(lambda: not missing(), self._timeout)
        for key in missing():
            self.checker.findings.add("get-unanswered", "not defined again when asked a second time", *key)
        await self._settle(_QUIET / 2)

    async def _ask_one_by_one(self) -> None:
        begin = self._definitions.copy()
        asked = list(self.checker.properties)
        late = []
        for key in asked:
            before = self._definitions[key]
            self._send(GetProperties(*key))
            patience = self._patience if late else self._timeout
            if not await self._until(lambda k=key, n=before: self._definitions[k] > n, patience):  # type: ignore[misc]
                late.append(key)
        await self._settle(_QUIET / 2)
        for key in late:
            if self._definitions[key] == begin[key] and key in self.checker.properties:
                self.checker.findings.add("get-unanswered", "not defined when asked for by device and name", *key)
        extra = sum((self._definitions - begin).values()) - len(asked)
        if extra > 0 and len(asked) > 1:
            for device in dict.fromkeys(device for device, _ in asked):
                self.checker.findings.add(
                    "get-too-much", f"{extra} definitions more than the {len(asked)} that were asked for", device
                )

    async def _ask_for_foreign(self) -> None:
        before = self._definitions.copy()
        self._send(GetProperties(FOREIGN_DEVICE))
        await self._settle()
        extra = self._definitions - before
        if extra:
            device = next(iter(extra))[0]
            self.checker.findings.add(
                "get-foreign", f"{sum(extra.values())} definitions in answer to device={FOREIGN_DEVICE!r}", device
            )

    # Commands

    def _commandable(self) -> list[Property]:
        props = [prop for prop in self.checker.properties.values() if prop.writable]
        return [prop for prop in props if reason_to_spare(prop, self._act) is None]

    async def _repeat_values(self) -> None:
        """Every property that may be commanded gets its present values."""
        for prop in list(self.checker.properties.values()):
            if not prop.writable or prop.key not in self.checker.properties:
                continue
            reason = reason_to_spare(prop, self._act)
            if reason is not None:
                if prop.name != "CONNECTION":
                    self._report.spared.append((prop.key, reason))
                continue
            key = self._command(same_values(self.checker.properties[prop.key]))
            if await self._until(lambda k=key: k not in self._pending, self._patience):  # type: ignore[misc]
                now = self.checker.properties.get(key)
                if now is not None and now.state == "Alert":
                    self.checker.findings.add("same-value-refused", "state Alert", *key)
        if self._act:
            await self._until(lambda: all(p.state != "Busy" for p in self.checker.properties.values()), _BUSY)
        await self._until(lambda: not self._pending, self._timeout)
        for key, (_, messages, _) in list(self._pending.items()):
            if self._messages(key[0]) > messages:
                self.checker.findings.add("answered-by-message", "the present values were answered by a message only", *key)
            elif key not in self.checker.properties or key[1] != "CONNECTION":
                self.checker.findings.add("unanswered", f"no answer to the present values in {self._timeout:g} s", *key)
        self._pending.clear()
        for key, seconds in self._answers.items():
            if seconds > _SLOW:
                self.checker.findings.add("slow-answer", f"{seconds:.1f} s", *key)

    async def _refuse_values(self) -> None:
        """Numbers beyond their range, and what is no number."""
        for prop in self._commandable():
            if prop.kind is not VectorKind.NUMBER:
                continue
            for name, value in out_of_range(prop):
                await self._refuse(prop, name, repr(value), "range-not-enforced")
            await self._refuse(prop, next(iter(prop.members)), "not a number", "garbage-accepted")
        self._pending.clear()

    async def _refuse(self, prop: Property, name: str, bad: str, code: str) -> None:
        """Send a value that must not be taken."""
        prop = self.checker.properties.get(prop.key, prop)
        before, was_busy = prop.members[name].value, prop.state == "Busy"
        restore = same_values(prop)
        messages = self._messages(prop.device)
        key = self._command(with_value(prop, name, bad))
        answered = await self._until(lambda: key not in self._pending, self._patience)
        now = self.checker.properties.get(key)
        if now is None or name not in now.members:
            return
        value = now.members[name].value
        taken = value == bad or (number(bad) is not None and number(value) == number(bad))
        if code == "garbage-accepted" and now.state in ("Ok", "Busy"):
            taken = taken or (answered and number(value) != number(before) and not was_busy)
        if taken or (answered and now.state == "Busy" and not was_busy):
            seen = f"{bad} was answered with state {now.state} and the value {value}"
            self.checker.findings.add(code, seen, *key, name)
            self._command(restore)
            await self._until(lambda: key not in self._pending, self._patience)
        elif not answered:
            by = "answered-by-message" if self._messages(prop.device) > messages else "refused-in-silence"
            self.checker.findings.add(by, f"{bad} was refused without an update", *key)

    async def _refuse_members(self) -> None:
        """Members that there are not: the judge sees whether they come back."""
        for prop in self._commandable():
            self._command(unknown_member(prop))
        await self._until(lambda: not self._pending, self._patience)
        self._pending.clear()

    async def _write_read_only(self) -> None:
        """Commands to what clients may not command; then a look at what has become of it."""
        written: dict[Key, tuple[str, str, int]] = {}
        for prop in list(self.checker.properties.values()):
            other = different(prop) if prop.perm == "ro" and (self._act or reason_to_spare(prop, False) is None) else None
            if other is not None:
                written[prop.key] = (*other, self._updates[prop.key])
                self._send(with_value(prop, *other))
        if not written:
            return
        before = self._definitions.copy()
        self._send(GetProperties(self._subject.device))
        await self._until(
            lambda: all(self._definitions[key] > before[key] for key in written if key in self.checker.properties),
            self._timeout,
        )
        await self._settle(_QUIET / 2)
        for key, (name, bad, updates) in written.items():
            now = self.checker.properties.get(key)
            if now is None or name not in now.members:
                continue
            value = now.members[name].value
            same = value == bad or (now.kind is VectorKind.NUMBER and number(value) == number(bad))
            if same and (now.kind is not VectorKind.SWITCH or self._updates[key] > updates):
                self.checker.findings.add("read-only-changed", f"it took the value {bad!r}", *key, name)

    async def _ping(self) -> None:
        uid = "indipyserver-check"
        self._send(Ping(uid))
        if self._subject.is_server and not await self._until(lambda: uid in self.checker.pongs, self._patience):
            self.checker.findings.add("ping-unanswered", f"no reply in {self._patience:g} s")
        for other in set(self.checker.pongs) - {uid}:
            self.checker.findings.add("ping-uid", f"a reply to {other[:80]!r}, which was not asked")

    # The report

    def report(self, word: str, duration: float) -> Report:
        """What was seen."""
        report, checker = self._report, self.checker
        report.word = word
        report.findings = list(checker.findings)
        report.devices = dict(Counter(device for device, _ in self._all))
        report.frames = checker.frames.total()
        report.bytes = checker.bytes
        report.blobs = [(key, size) for key, sizes in checker.blobs.items() for size in sizes]
        if self._answers:
            report.median = round(statistics.median(self._answers.values()), 6)
            key = max(self._answers, key=lambda key: self._answers[key])
            report.slowest = (self._answers[key], key)
        report.duration = round(duration, 3)
        if report.status:
            report.stderr = list(self._subject.stderr)
        return report
