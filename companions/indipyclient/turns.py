"""Several commands for one property at the same time: their order, and which of them an update answers.

INDI does not say which command an update answers, and a command for numbers or texts names all members.  The rules:

* A command waits until the device has answered the one before, with Busy or otherwise, but not for more than
  :data:`HELD` seconds.  A command that only turns switches Off, which may stop a movement, does not wait, nor does one
  whose outcome nobody awaits.
* What waits so, unless it is a file, is sent at once when such a command comes, or one for another property of the
  device, and before it: otherwise a movement would begin after its abort.
* Members that it does not set have the values that were requested last, as long as that command is not decided yet; and
  after that, if it was given up or waited only for an answer, as long as the device has been Busy ever since.
* A switch that was requested On in the last :data:`MAY_COME` seconds counts as On for who presses another, whatever the
  device says: that may be older than the command, and of two that are On, a mount obeys the first.
* Updates answer the commands in their order, except those with the values that only a later one has requested.  Alert
  while one is carried out ends it and the next: a device that refuses a new target says the same as one that fails.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import dropwhile, islice, takewhile
from typing import Final

from indipydriver.protocol.tags import State, VectorKind

from .model.expect import Expectation, Verdict, met
from .model.properties import Key, Pending, Property

__all__ = ["HELD", "MAY_COME", "Turn", "Turns"]

HELD: Final = 1.0
"""Seconds that a command may wait for the answer to an earlier one, and that an unanswered one is remembered."""

MAY_COME: Final = 60.0
"""Seconds in which a device may carry out a command, whatever has been taken for its answer."""


class Turn:
    """One command.

    Attributes:
        expectation: What it waits for, once it is being sent.
        pending: How it is shown while somebody waits for its outcome.
        sent: What is sent now comes after it, or it will not be sent.
        answered: The device has answered it, or will not.
        can_hurry: It waits for earlier ones, and need not wait for their answers.
    """

    def __init__(self) -> None:
        self.expectation: Expectation | None = None
        self.pending: Pending | None = None
        self.sent = asyncio.Event()
        self.answered = asyncio.Event()
        self.can_hurry = False
        self._hurried = False
        self._patience: asyncio.Timeout | None = None

    @property
    def undecided(self) -> Expectation | None:
        """What it waits for, until that is decided."""
        return self.expectation if self.expectation is not None and self.expectation.verdict is None else None

    def hurry(self) -> None:
        """Do not wait for answers any longer."""
        self._hurried = True
        if self._patience is not None and not self._patience.expired():
            self._patience.reschedule(asyncio.get_running_loop().time())

    async def wait(self, answers: Iterable[asyncio.Event]) -> None:
        """Wait for the answers to earlier commands, for some time."""
        if self._hurried:
            return
        try:
            async with asyncio.timeout(HELD) as self._patience:
                for answer in answers:
                    await answer.wait()
        except TimeoutError:
            pass
        finally:
            self._patience = None

    def note_answer(self) -> None:
        """Note whether the device has answered."""
        expectation = self.expectation
        if expectation is not None and (expectation.acknowledged or expectation.verdict is not None):
            self.answered.set()

    def end(self) -> None:
        """Note that it is over."""
        self.expectation = None
        self.sent.set()
        self.answered.set()


class Turns:
    """The commands of one client that are not over, by property, in their order."""

    def __init__(self) -> None:
        self._of: dict[Key, list[Turn]] = {}
        self._latest: dict[Key, dict[str, Turn]] = {}  # which command has last requested a member
        self._moving: dict[Key, tuple[Property, dict[str, str]]] = {}  # requested; nobody waits
        self._pressed: dict[Key, dict[str, float]] = {}  # switches that were requested On, and when

    def enter(self, key: Key) -> Turn:
        """A new command, after those that there are."""
        turn = Turn()
        self._of.setdefault(key, []).append(turn)
        return turn

    def begin(self, key: Key, turn: Turn, expectation: Expectation) -> None:
        """It is being sent, after all that was entered before."""
        turn.expectation = expectation
        self._latest.setdefault(key, {}).update(dict.fromkeys(expectation.values, turn))
        if expectation.last.kind is VectorKind.SWITCH:
            before = self._pressed.get(key, {}).items()
            pressed = {name: since for name, since in before if name not in expectation.values}
            pressed |= {name: expectation.began for name, value in expectation.values.items() if value == "On"}
            self._pressed[key] = pressed

    def leave(self, key: Key, turn: Turn) -> None:
        """A command is over."""
        self._keep_moving(key, turn)
        turn.end()
        turns = self._of[key]
        turns.remove(turn)
        if not turns:
            del self._of[key]
            self._latest.pop(key, None)

    def pending(self, key: Key) -> Pending | None:
        """How the latest command is shown whose outcome is awaited."""
        return next((turn.pending for turn in reversed(self._of.get(key, ())) if turn.pending is not None), None)

    async def sent(self, key: Key, turn: Turn) -> None:
        """Wait until earlier commands have been sent; those before one that has been sent have been, too."""
        earlier = dropwhile(lambda other: other is not turn, reversed(self._of.get(key, ())))
        unsent = takewhile(lambda other: not other.sent.is_set(), islice(earlier, 1, None))
        for other in reversed([*unsent]):
            await other.sent.wait()

    async def answered(self, key: Key, turn: Turn, *, at_once: bool, is_file: bool) -> None:
        """Wait until earlier commands have been answered, and those for other properties sent, for some time.

        Args:
            key: The property.
            turn: The command.
            at_once: It does not wait for answers.
            is_file: Later ones, which would have to wait until it has been transmitted, may overtake it.
        """
        others = [(of, other) for of, turns in self._of.items() if of[0] == key[0] for other in turns]
        ahead = [other for of, other in others if other.can_hurry and (at_once or of != key)]
        answers = [] if at_once else [other.answered for other in self._before(key, turn)]
        turn.can_hurry = not is_file
        for other in ahead:
            other.hurry()
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HELD):
                    for other in ahead:
                        await other.sent.wait()
            await turn.wait(answers)
        finally:
            turn.can_hurry = False

    def expected(self, prop: Property) -> Property:
        """The property with the values that those commands have requested which have begun."""
        if prop.kind is VectorKind.BLOB:
            return prop
        values = self._still_moving(prop)
        if prop.kind is VectorKind.SWITCH:
            begin = asyncio.get_running_loop().time() - MAY_COME
            values |= {name: "On" for name, since in self._pressed.get(prop.key, {}).items() if since > begin}
        for name, turn in self._latest.get(prop.key, {}).items():
            theirs = turn.expectation  # None once it is over, and what it has begun is kept
            if theirs is not None and (theirs.verdict is None or _goes_on(prop, theirs)):
                values[name] = theirs.values[name]
        members = {name: member._replace(value=values.get(name, member.value)) for name, member in prop.members.items()}
        return replace(prop, members=members)

    def answers_earlier(self, prop: Property, turn: Turn) -> bool:
        """Whether an update answers an earlier command, and not this one; asked before that one learns of it."""
        mine = turn.expectation
        if mine is None:
            return False
        for other in self._before(prop.key, turn):
            theirs = other.undecided
            if theirs is None:
                continue
            if prop.state in (State.BUSY, State.ALERT) and theirs.acknowledged:  # it may be about either, or both
                continue
            if mine.acknowledged and (prop.state is State.ALERT or not met(prop, theirs.values)):
                continue
            if prop.state is State.ALERT or not met(prop, mine.values):
                return True
        return False

    def _keep_moving(self, key: Key, turn: Turn) -> None:
        """Keep what the device may be moving to, although nobody waits for it any more."""
        theirs = turn.expectation
        if theirs is None or theirs.last.kind not in (VectorKind.NUMBER, VectorKind.TEXT):
            return
        last, latest = theirs.last, self._latest.get(key, {})
        moving = self._still_moving(last)
        if _goes_on(last, theirs):
            for name, value in theirs.values.items():
                if latest.get(name) is turn:
                    moving[name] = value
        moving = {name: value for name, value in moving.items() if not met(last, {name: value})}
        if moving:
            self._moving[key] = (last, moving)
        else:
            self._moving.pop(key, None)

    def _still_moving(self, prop: Property) -> dict[str, str]:
        """What was kept of a movement, if that still goes on."""
        last, values = self._moving.get(prop.key, (prop, {}))
        return dict(values) if _is_busy_since(prop, last) else {}

    def _before(self, key: Key, turn: Turn) -> Iterator[Turn]:
        """Those that were entered earlier."""
        return takewhile(lambda other: other is not turn, self._of.get(key, ()))


def _goes_on(prop: Property, theirs: Expectation) -> bool:
    """Whether the device may still be moving to what a command has requested, although that is decided."""
    return theirs.verdict not in (Verdict.REFUSED, Verdict.GONE) and _is_busy_since(prop, theirs.last)


def _is_busy_since(prop: Property, last: Property) -> bool:
    """Whether the device has been Busy ever since."""
    return prop.state is State.BUSY and (prop.session, prop.entered) == (last.session, last.entered)
