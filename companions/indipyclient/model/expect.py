"""What counts as the answer to a command.

A device does not say which update answers which command, and a mount that tracks sends Ok each second, so the next Ok
may be older than the command.  The rules:

* A server that does not pass it on, because the connection is read-only, says so.
* Alert refuses it; Busy acknowledges it, and the next state that is not Busy decides.
* Without Busy, an update accepts it if the values are the requested ones, or if they are switches that may spring back.
* A definition answers somebody's request for definitions, and may be older than the command.  Before Busy it only
  counts if it says Busy, or has the requested values and the property did not have them before.
* Without Busy, an update with other values accepts it if the property was quiet before, because then the update is the
  answer.  A property that had been sending updates by itself, or was only just defined, so that nobody knows, is
  watched for :data:`GRACE` more seconds, in which Busy may still arrive.
* If the property was Busy before, with somebody's command, Ok without the requested values may end that one, whether
  or not Busy has been said again: many drivers take up one command after the other.  It is watched as long for Busy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from indipydriver.protocol.tags import Permission, State, SwitchRule, VectorKind

from .properties import Member, Property, number_of

__all__ = ["GRACE", "TELEMETRY", "Confirm", "Expectation", "Verdict", "met", "patience"]

GRACE: Final = 2.0
"""Seconds in which a property that sends updates by itself, or was Busy, may still say Busy, or Alert, or the value."""
TELEMETRY: Final = 3.0
"""A property that was defined, or updated, in this many seconds before the command may send updates by itself."""
LEAST_PATIENCE: Final = 10.0
MARGIN: Final = 5.0


class Confirm(StrEnum):
    """What a command waits for."""

    SENT = "sent"  # the command has been handed to the system
    ANSWERED = "answered"  # the device has sent an update
    SETTLED = "settled"  # the property is neither Busy nor in Alert
    VALUES = "values"  # and has the requested values


class Verdict(StrEnum):
    """The outcome of a command."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    GONE = "gone"
    TIMED_OUT = "timed out"


def patience(prop: Property) -> float:
    """Seconds to wait for the answer: the property's timeout and some more, at least 10."""
    said = number_of(prop.timeout or "")
    return max(LEAST_PATIENCE, said + MARGIN) if math.isfinite(said) else LEAST_PATIENCE


def met(prop: Property, values: Mapping[str, str]) -> bool:
    """Whether the members have these values; numbers within half a step."""
    return all(name in prop.members and _same(prop.kind, prop.members[name], value) for name, value in values.items())


def _same(kind: VectorKind, member: Member, asked: str) -> bool:
    if kind is not VectorKind.NUMBER:
        return kind is VectorKind.BLOB or member.value == asked
    wanted, step = number_of(asked), number_of(member.step)
    tolerance = max(step / 2 if math.isfinite(step) else 0.0, 1e-9 * abs(wanted), 1e-9)
    return abs(member.number - wanted) <= tolerance


def _need_not_repeat(prop: Property) -> bool:
    """Whether it may be done without the requested values: buttons spring back, and passwords are not told."""
    return prop.perm is Permission.WRITE_ONLY or (
        prop.kind is VectorKind.SWITCH and prop.rule is not SwitchRule.ONE_OF_MANY
    )


class Expectation:
    """Waits for the outcome of one command; fed with updates and the time.

    Args:
        prop: The property as it was before.
        values: The requested values, by member, as text.
        now: The time, by the clock of the model.
        timeout: Seconds for everything.
        confirm: What to wait for.

    Attributes:
        confirm: What it waits for.
        verdict: None while it waits.
        confirmed: The values are the requested ones.
        acknowledged: The device has said Busy.
        last: The property as it was last seen.
        message: The message of the property's last update, or of the server that has refused the command.
    """

    def __init__(
        self,
        prop: Property,
        values: Mapping[str, str],
        *,
        now: float,
        timeout: float,
        confirm: Confirm = Confirm.SETTLED,
    ) -> None:
        self.values = dict(values)
        self.began = now
        self.verdict: Verdict | None = None
        self.confirmed = False
        self.message = ""
        self.confirm = confirm
        self._end = now + timeout
        self._grace: float | None = None
        self._in_grace: Verdict = Verdict.ACCEPTED
        self.before(prop, now)

    def before(self, prop: Property, now: float) -> None:
        """Take the state of the property before the command is sent; nothing that comes until then answers it."""
        self.last = prop
        self.acknowledged = False  # Busy was about the earlier command that this answers
        self._telemetry = now - prop.at < TELEMETRY
        self._was_alert = prop.state is State.ALERT
        self._was_busy = prop.state is State.BUSY
        self._was_met = met(prop, self.values)

    @property
    def deadline(self) -> float:
        """The latest time at which :meth:`tick` must be called."""
        return self._end if self._grace is None else min(self._end, self._grace)

    def feed(self, prop: Property, message: str | None, now: float, *, defined: bool = False) -> None:
        """The property has been updated, or defined again."""
        if self.verdict is not None:
            return
        if defined and not self.acknowledged:
            busy = prop.state is State.BUSY and not self._was_busy
            if not busy and (prop.state is State.BUSY or self._was_met or not met(prop, self.values)):
                self.last = prop
                return
        self.last = prop
        if message:
            self.message = message
        self.confirmed = met(prop, self.values)
        state = prop.state
        if self.confirm is Confirm.ANSWERED and state is not State.ALERT:
            self.verdict = Verdict.ACCEPTED
        elif state is State.BUSY:
            self.acknowledged = True
            self._grace = None
        elif self._was_busy and state is not State.ALERT and not self.confirmed:
            self._wait(now, Verdict.ACCEPTED)
        elif self.acknowledged:
            self._decide(state)
        elif state is State.ALERT:
            if self._telemetry and self._was_alert and not message:
                self._wait(now, Verdict.REFUSED)
            else:
                self.verdict = Verdict.REFUSED
        elif self._telemetry and not self.confirmed and not _need_not_repeat(prop):
            self._wait(now, Verdict.ACCEPTED)
        else:
            self._decide(state)

    def refused(self, message: str) -> None:
        """The server has not passed the command on."""
        if self.verdict is None:
            self.verdict = Verdict.REFUSED
            self.message = message

    def deleted(self) -> None:
        """The property is gone."""
        if self.verdict is None:
            self.verdict = Verdict.GONE

    def tick(self, now: float) -> None:
        """Take note of the time."""
        if self.verdict is None and now >= self.deadline:
            in_time = self._grace is not None and self._grace <= self._end
            self.verdict = self._in_grace if in_time else Verdict.TIMED_OUT

    def _decide(self, state: State) -> None:
        if state is State.ALERT:
            self.verdict = Verdict.REFUSED
        elif self.confirm is not Confirm.VALUES or self.confirmed:
            self.verdict = Verdict.ACCEPTED

    def _wait(self, now: float, verdict: Verdict) -> None:
        if self.confirm is Confirm.VALUES and verdict is Verdict.ACCEPTED:
            return
        self._in_grace = verdict
        if self._grace is None:
            self._grace = now + GRACE
