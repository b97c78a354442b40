"""The script of a check: starts the driver, asks, commands, connects, and tells the judge what it saw."""

from __future__ import annotations

import contextlib
import io
import re
import ssl
from collections.abc import Callable
from typing import Final

from indipydriver.protocol.messages import EnableBlob, GetProperties, NewVector, OneMember, Ping
from indipydriver.protocol.tags import VectorKind

from ..certificates import client_context
from ..spec import PythonSpec, Spec, parse_spec
from .commands import FOREIGN_DEVICE, different, out_of_range, reason_to_spare, same_values, unknown_member, with_value
from .conversation import QUIET, Conversation, Ended
from .interfaces import judge_interfaces
from .model import Key, PropertySeen, number
from .report import Report
from .subjects import CannotRun, PythonSubject, open_subject

__all__ = ["DEFAULT_TIMEOUT", "CannotRun", "check"]

DEFAULT_TIMEOUT: Final = 5.0
"""Seconds that a driver has to answer."""
_STARTUP: Final = 10.0  # minimum seconds that it has to define its first property
_BUSY: Final = 30.0  # seconds that connecting may take after it has answered with Busy
_NEVER_RETURNS: Final = 6.0  # times the timeout after which a call that blocks is taken for one that never returns
_SLOW: Final = 1.0  # seconds; KStars shows Busy meanwhile
_LEAST_GRACE: Final = 5.0  # minimum seconds that it has to end
_WHOLE_NUMBER: Final = re.compile(r"\s*[0-9]{1,10}\s*")  # clients read 32 bits
_IN_USE: Final = "it is connected, so another client may be using the device, which is sent no wrong values or members"
_INFO_MEMBERS: Final = {"DRIVER_NAME", "DRIVER_EXEC", "DRIVER_VERSION", "DRIVER_INTERFACE"}


async def check(
    spec: str | Spec,
    *,
    timeout: float = DEFAULT_TIMEOUT,
    act: bool = False,
    to_other_servers: Callable[[], ssl.SSLContext] = client_context,
    stuck: Callable[[Report], None] | None = None,
) -> Report:
    """Start what a specification names, play a client, stop it again.

    Args:
        spec: A program, a Python callable or a server, as the command accepts it.
        timeout: Seconds that it has to answer.
        act: Also send commands that may make the device do something.
        to_other_servers: Makes the context for a server that is named ``@tls://``.
        stuck: Called in a thread, with what has been seen, when a driver in this process never returns.

    Returns:
        What was seen.

    Raises:
        CannotRun: It cannot be started or reached.
        ValueError: It is not such a specification.
    """
    if isinstance(spec, str):
        spec = parse_spec(spec)
    subject = open_subject(spec, to_other_servers)
    run = _Script(subject, timeout, act)
    printed = io.StringIO()
    begin = run.now
    if stuck is not None and isinstance(subject, PythonSubject):
        limit = _NEVER_RETURNS * timeout

        def give_up() -> None:
            run.judge_watched(", where it still is: the check ends here")
            stuck(run.report(spec.text, limit))

        subject.limit = limit, give_up
    with contextlib.redirect_stdout(printed) if isinstance(spec, PythonSpec) else contextlib.nullcontext():
        await run.play(max(timeout, _LEAST_GRACE))
    if printed.getvalue():
        run.checker.findings.add("prints", repr(printed.getvalue()[:80]))
    return run.report(spec.text, run.now - begin)


class _Script(Conversation):
    """The conversation of one check."""

    async def play(self, grace: float) -> None:
        """Start the subject, go through the script, and end the subject, which has this many seconds for that."""
        try:
            await self.subject.start(self)
            await self.script()
        except BaseException:
            self.finishing = True
            await self.subject.finish(0.0)
            raise
        self.finishing = True
        in_time = await self.subject.finish(grace)
        self.judge_watched()
        self._judge_end("" if in_time else f"it was still running {grace:g} s later and was killed")

    def _judge_end(self, late: str) -> None:
        """Did it end when it was told to, neither earlier nor, as `late` says, too late?"""
        add, failure = self.checker.findings.add, self.subject.failure
        if late:
            add("ignores-end", late)
        elif failure is not None and not self.ended_early:
            add("crashed", failure)
        if self.ended_early:
            cause = f"; {failure}" if failure else ""
            code = "dies-of-unknown-member" if self.teasing else "ended-early"
            add(code, f"it ended after: {self.last_sent}{cause}")

    def judge_watched(self, still: str = "") -> None:
        """Report the faults of drivers in this process that no client sees."""
        if self.subject.watch is not None:
            if self.subject.watch.slips:
                self.checker.findings.add("slip", "; ".join(self.subject.watch.slips))
            for forgotten in self.subject.watch.unawaited:
                self.checker.findings.add("not-awaited", forgotten)
            for failure in self.subject.watch.failures:
                self.checker.findings.add("handler-failed", failure)
            for place in self.subject.watch.blocked:
                self.checker.findings.add("blocks-loop", place + still)
                still = ""  # the others, which are shorter, are over

    # The script

    async def script(self) -> None:
        """All steps, until the subject is gone or there is nothing more to ask."""
        checker = self.checker
        begin = self.now
        with contextlib.suppress(Ended):
            self.send(GetProperties(self.subject.device))
            if not await self.until(lambda: bool(self.definitions), max(self.timeout, _STARTUP)):
                checker.findings.add("no-definitions", f"none came in {max(self.timeout, _STARTUP):g} s")
                return
            self.result.startup = round(self.now - begin, 6)
            await self.settle()
            if self.subject.is_server:
                for device in checker.devices:
                    self.send(EnableBlob(device))
            connections = [await self._connect(device) for device in checker.devices]
            self._judge_standard()
            await self._ask_again()
            await self._ask_one_by_one()
            await self._ask_for_foreign()
            await self._repeat_values()
            await self._press_others()
            await self._refuse_values()
            await self._write_read_only()
            await self._ping()
            ours = [connection for connection in connections if connection is not None]
            for device, news in ours:
                await self._disconnect(device, news)
            # Last, because libindi's cameras die of it.
            for device, _ in ours:
                await self._switch_connection(device, "CONNECT")
            await self.settle(QUIET / 2)
            await self._refuse_members()
            for device, _ in ours:
                await self._switch_connection(device, "DISCONNECT")

    async def _connect(self, device: str) -> tuple[str, set[Key]] | None:
        """Connect a device; returns what it has defined since, or None if it must not be disconnected."""
        connection = self.checker.properties.get((device, "CONNECTION"))
        if connection is None:
            self.checker.findings.add("connection-missing", "no CONNECTION", device)
            return None
        add = self.checker.findings.add
        right = connection.kind is VectorKind.SWITCH and connection.perm == "rw" and connection.rule == "OneOfMany"
        if not right or not {"CONNECT", "DISCONNECT"} <= connection.members.keys():
            seen = f"{connection.kind} {connection.perm} {connection.rule} with {', '.join(connection.members)}"
            add("connection-form", seen, *connection.key)
            return None
        if connection.members["CONNECT"].value == "On":
            self.result.connected.append(device)
            if not self.act:
                self._spare_if_in_use(device)
                return None
            await self._disconnect(device, set())
        self.ours.add(device)
        before = set(self.checker.properties)
        if not await self._switch_connection(device, "CONNECT"):
            return None
        connection = self.checker.properties.get((device, "CONNECTION"))
        if connection is None or (device, "CONNECTION") in self.pending:
            return None
        if connection.state == "Alert":
            said = self.checker.last_message.get(device)
            add("connection-refused", f"state Alert{f', {said[:200]}' if said else ''}", *connection.key)
            return None
        if connection.state != "Ok" or connection.on != ["CONNECT"]:
            add("connection-state", f"state {connection.state} with {connection.on} On after CONNECT", *connection.key)
        await self.settle()
        if "CONNECT" in connection.on:
            self.result.connected.append(device)
        news = {key for key in self.checker.properties if key[0] == device} - before
        if not news:
            add("connection-nothing", "nothing was defined on connecting", device)
        return device, news

    def _spare_if_in_use(self, device: str) -> bool:
        """Send a device nothing wrong on purpose if another client may be using it; True if so, and reported.

        It may have answered late, because it is busy with what that client has asked for.
        """
        connection = self.checker.properties.get((device, "CONNECTION"))
        connect = connection.members.get("CONNECT") if connection is not None else None
        if not self.subject.is_server or device in self.ours or connect is None or connect.value != "On":
            return False
        spared = (device, "CONNECTION"), _IN_USE
        if spared not in self.result.spared:
            self.result.spared.append(spared)
        return True

    async def _switch_connection(self, device: str, which: str) -> bool:
        """Command CONNECTION, and wait while it is Busy; False if it cannot be commanded."""
        key = (device, "CONNECTION")
        if not self.command(NewVector(VectorKind.SWITCH, *key, (OneMember(which, "On"),))):
            return False
        if not await self.until(lambda: key not in self.pending, self.timeout):
            self.checker.findings.add("unanswered", f"no answer to {which} in {self.timeout:g} s", *key)
            return True
        if not await self.until(lambda: not self.is_busy(key), max(self.timeout, _BUSY)):
            self.checker.findings.add("connection-state", f"still Busy {_BUSY:g} s after {which}", *key)
        return True

    async def _disconnect(self, device: str, news: set[Key]) -> None:
        key = (device, "CONNECTION")
        if key not in self.checker.properties:
            return
        if not await self._switch_connection(device, "DISCONNECT"):
            return
        await self.until(lambda: not news & self.checker.properties.keys(), max(1.0, self.patience))
        for kept in sorted(news & self.checker.properties.keys()):
            self.checker.findings.add("connection-kept", "still defined after DISCONNECT", *kept)
        connection = self.checker.properties.get(key)
        if connection is None or key in self.pending:
            return
        if connection.on != ["DISCONNECT"] or connection.state in ("Alert", "Busy"):
            seen = f"state {connection.state} with {connection.on} On after DISCONNECT"
            self.checker.findings.add("connection-state", seen, *key)
        await self.settle()

    def _judge_standard(self) -> None:
        """Check DRIVER_INFO, from which KStars learns what the device is."""
        for device in self.checker.devices:
            info = self.checker.properties.get((device, "DRIVER_INFO"))
            if info is None:
                self.checker.findings.add("driver-info-missing", "no DRIVER_INFO", device)
                continue
            interface = info.members.get("DRIVER_INTERFACE")
            if info.kind is not VectorKind.TEXT or info.perm != "ro" or not info.members.keys() >= _INFO_MEMBERS:
                seen = f"{info.kind} {info.perm} with {', '.join(info.members)}"
                self.checker.findings.add("driver-info-form", seen, *info.key)
            elif interface is not None and not _WHOLE_NUMBER.fullmatch(interface.value):
                self.checker.findings.add("driver-info-form", f"DRIVER_INTERFACE {interface.value[:40]!r}", *info.key)
            elif interface is not None and device in self.result.connected:
                for code, seen, name in judge_interfaces(device, int(interface.value), self.checker.properties):
                    self.checker.findings.add(code, seen, device, name)

    # Questions

    async def _ask_again(self) -> None:
        """Ask again: everything has to be defined once more."""
        before = self.definitions.copy()

        def missing() -> list[Key]:
            return [key for key in self.checker.properties if self.definitions[key] == before[key]]

        self.send(GetProperties(self.subject.device))
        await self.until(lambda: not missing(), self.timeout)
        for key in missing():
            self.checker.findings.add("get-unanswered", "not defined again when asked a second time", *key)
        await self.settle(QUIET / 2)

    async def _ask_one_by_one(self) -> None:
        begin = self.definitions.copy()
        asked = list(self.checker.properties)
        late: list[Key] = []
        for key in asked:
            before = self.definitions[key]
            if not self.send(GetProperties(*key)):
                continue
            patience = self.patience if late else self.timeout
            if not await self.until(lambda k=key, n=before: self.definitions[k] > n, patience):  # type: ignore[misc]
                late.append(key)
        await self.settle(QUIET / 2)
        for key in late:
            if self.definitions[key] == begin[key] and key in self.checker.properties:
                self.checker.findings.add("get-name-unanswered", "not defined when requested", *key)
        extra = sum((self.definitions - begin).values()) - len(asked)
        if extra > 0 and len(asked) > 1:
            for device in dict.fromkeys(device for device, _ in asked):
                self.checker.findings.add(
                    "get-too-much", f"{extra} definitions more than the {len(asked)} that were requested", device
                )

    async def _ask_for_foreign(self) -> None:
        before = self.definitions.copy()
        self.send(GetProperties(FOREIGN_DEVICE))
        await self.settle()
        extra = self.definitions - before
        if extra:
            device = next(iter(extra))[0]
            self.checker.findings.add(
                "get-foreign", f"{sum(extra.values())} definitions in answer to device={FOREIGN_DEVICE!r}", device
            )

    # Commands

    def _commandable(self, key: Key) -> PropertySeen | None:
        """A property as it is now, if it may be commanded: it may be redefined or deleted at any time."""
        prop = self.checker.properties.get(key)
        return prop if prop is not None and prop.writable and reason_to_spare(prop, self.act) is None else None

    async def _repeat_values(self) -> None:
        """Send every property that may be commanded its present values."""
        for key in list(self.checker.properties):
            prop = self.checker.properties.get(key)
            if prop is None or not prop.writable:
                continue
            reason = reason_to_spare(prop, self.act)
            if reason is not None:
                if prop.name != "CONNECTION":
                    self.result.spared.append((key, reason))
                continue
            if not self.command(same_values(prop)):
                continue
            if await self.until(lambda k=key: k not in self.pending, self.patience):  # type: ignore[misc]
                now = self.checker.properties.get(key)
                if now is not None and now.state == "Alert":
                    said = self.checker.last_message.get(key[0])
                    self.checker.findings.add(
                        "same-value-refused", f"state Alert{f', {said[:200]}' if said else ', without a message'}", *key
                    )
            # Let it finish: with `act`, the next command may be an abort; without, Busy properties are spared.
            await self.until(lambda k=key: not self.is_busy(k), _BUSY if self.act else self.patience)  # type: ignore[misc]
        await self.until(lambda: not self.pending, self.timeout)
        for key, (messages, _) in list(self.pending.items()):
            if self.messages(key[0]) > messages:
                self.checker.findings.add("answered-by-message", "only a message in answer to the present values", *key)
            elif key[1] != "CONNECTION" and not self._is_released(key):
                self.checker.findings.add("unanswered", f"no answer to the present values in {self.timeout:g} s", *key)
        self.pending.clear()
        is_blocked = self.subject.watch is not None and self.subject.watch.blocked
        for key, seconds in self.answers.items():
            if seconds > _SLOW and not is_blocked:
                self.checker.findings.add("slow-answer", f"{seconds:.1f} s", *key)

    async def _press_others(self) -> None:
        """With `act`, turn on another switch of each choice, as indi_setprop does, then the first one again."""
        for key in list(self.checker.properties) if self.act else ():
            prop = self.checker.properties.get(key)
            if (
                prop is None
                or not prop.writable
                or prop.kind is not VectorKind.SWITCH
                or prop.rule != "OneOfMany"
                or len(prop.on) != 1
                or reason_to_spare(prop, False) is not None
            ):
                continue
            first = prop.on[0]
            other = next((name for name in prop.members if name != first), None)
            for name in filter(None, (other, first)):
                if self.command(NewVector(VectorKind.SWITCH, *key, (OneMember(name, "On"),))):
                    await self.answered(key)
                await self.until(lambda k=key: not self.is_busy(k), _BUSY)  # type: ignore[misc]

    def _is_released(self, key: Key) -> bool:
        """Buttons of which none is pressed: there was nothing to answer. Check boxes differ: all Off is a value."""
        prop = self.checker.properties.get(key)
        return prop is not None and prop.kind is VectorKind.SWITCH and prop.rule != "AnyOfMany" and not prop.on

    async def _refuse_values(self) -> None:
        """Send numbers beyond their range, and text that is not a number."""
        for key in list(self.checker.properties):
            prop = self._commandable(key)
            if prop is None or prop.kind is not VectorKind.NUMBER or self._spare_if_in_use(prop.device):
                continue
            for name, value in out_of_range(prop):
                await self._refuse(key, name, repr(value), "range-not-enforced")
            await self._refuse(key, next(iter(prop.members)), "not a number", "garbage-accepted")
        self.pending.clear()

    async def _refuse(self, key: Key, name: str, bad: str, code: str) -> None:
        """Send a number that must not be accepted."""
        prop = self._commandable(key)
        if prop is None or prop.kind is not VectorKind.NUMBER or name not in prop.members:
            return
        before, was_busy = prop.members[name].value, prop.state == "Busy"
        restore = same_values(prop)
        messages = self.messages(prop.device)
        if not self.command(with_value(prop, name, bad)):
            return
        answered = await self.answered(key)
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
            self.command(restore)
            await self.answered(key)
        elif not answered:
            by = "answered-by-message" if self.messages(prop.device) > messages else "refused-in-silence"
            self.checker.findings.add(by, f"{bad} was refused without an update", *key)

    async def _refuse_members(self) -> None:
        """Send members that do not exist: the judge sees whether they come back."""
        self.teasing = True
        for key in list(self.checker.properties):
            prop = self._commandable(key)
            if prop is not None and not self._spare_if_in_use(prop.device) and self.command(unknown_member(prop)):
                await self.answered(key, 0.1)
        self.pending.clear()
        before = self.definitions.copy()
        self.send(GetProperties(self.subject.device))  # still there?
        await self.until(lambda: any((self.definitions - before).values()), self.timeout)
        self.teasing = False

    async def _write_read_only(self) -> None:
        """Send commands to read-only properties, then check the values."""
        written: dict[Key, tuple[str, str, int, NewVector]] = {}
        for prop in list(self.checker.properties.values()):
            if prop.perm != "ro" or self._spare_if_in_use(prop.device) or reason_to_spare(prop, self.act) is not None:
                continue
            other, restore = different(prop), same_values(prop)
            if other is not None and self.send(with_value(prop, *other)):
                written[prop.key] = (*other, self.updates[prop.key], restore)
        if not written:
            return
        before = self.definitions.copy()
        self.send(GetProperties(self.subject.device))
        await self.until(
            lambda: all(self.definitions[key] > before[key] for key in written if key in self.checker.properties),
            self.timeout,
        )
        await self.settle(QUIET / 2)
        for key, (name, bad, updates, restore) in written.items():
            now = self.checker.properties.get(key)
            if now is None or name not in now.members:
                continue
            value = now.members[name].value
            same = value == bad or (now.kind is VectorKind.NUMBER and number(value) == number(bad))
            if same and (now.kind is not VectorKind.SWITCH or self.updates[key] > updates):
                self.checker.findings.add("read-only-changed", f"it accepted the value {bad!r}", *key, name)
                self.send(restore)

    async def _ping(self) -> None:
        uid = "indipyserver-check"
        self.send(Ping(uid))
        if self.subject.is_server and not await self.until(lambda: uid in self.checker.pongs, self.patience):
            self.checker.findings.add("ping-unanswered", f"no reply in {self.patience:g} s")
        for other in set(self.checker.pongs) - {uid}:
            self.checker.findings.add("ping-uid", f"a reply to {other[:80]!r}, which was not sent")
