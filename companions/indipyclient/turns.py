"""Several commands for one property at the same time: their order, and which of them an update answers.

INDI does not say which command an update answers, and a command for numbers or texts names all members.  The rules:

* A command waits until the device has answered the one before, with Busy or otherwise, but not for more than
  :data:`HELD` seconds.  A command that only turns switches Off, which may stop a movement, does not wait, nor does one
  whose outcome nobody awaits.
* Members that it does not set have the values that earlier commands have requested and that are not decided yet.
* Updates answer the commands in their order, except those with the values that only a later one has requested.  Alert
  while one is carried out ends it and the next: a device that refuses a new target says the same as one that fails.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from indipydriver.protocol.tags import State, VectorKind

from .model.expect import Expectation, met
from .model.properties import Key, Pending, Property

__all__ = ["HELD", "Turn", "Turns"]

HELD: Final = 1.0
"""Seconds that a command may wait for the answer to an earlier one, and that an unanswered one is remembered."""
REMEMBERED: Final = 64
"""Commands for one property that are remembered; beyond that, the oldest are forgotten."""


class Turn:
    """One command.

    Attributes:
        expectation: What it waits for, once it is being sent.
        pending: How it is shown while somebody waits for its outcome.
        sent: What is sent now comes after it, or it will not be sent.
        answered: The device has answered it, or will not.
    """

    def __init__(self) -> None:
        self.expectation: Expectation | None = None
        self.pending: Pending | None = None
        self.sent = asyncio.Event()
        self.answered = asyncio.Event()

    def note_answer(self) -> None:
        """Note whether the device has answered."""
        expectation = self.expectation
        if expectation is not None and (expectation.acknowledged or expectation.verdict is not None):
            self.answered.set()

    def end(self) -> None:
        """Note that it is over."""
        self.sent.set()
        self.answered.set()


class Turns:
    """The commands of one client that are not over, by property, in their order."""

    def __init__(self) -> None:
        self._of: dict[Key, list[Turn]] = {}

    def enter(self, key: Key) -> Turn:
        """A new command, after those that there are."""
        turn = Turn()
        turns = self._of.setdefault(key, [])
        turns.append(turn)
        if len(turns) > REMEMBERED:
            turns.pop(0)
        return turn

    def leave(self, key: Key, turn: Turn) -> None:
        """A command is over."""
        turn.end()
        turns = self._of.get(key, [])
        if turn in turns:
            turns.remove(turn)
        if not turns:
            self._of.pop(key, None)

    def pending(self, key: Key) -> Pending | None:
        """How the latest command is shown whose outcome is awaited."""
        return next((turn.pending for turn in reversed(self._of.get(key, ())) if turn.pending is not None), None)

    async def sent(self, key: Key, turn: Turn) -> None:
        """Wait until earlier commands have been sent."""
        for other in self._before(key, turn):
            await other.sent.wait()

    async def answered(self, key: Key, turn: Turn) -> None:
        """Wait until earlier commands have been answered, for some time."""
        try:
            async with asyncio.timeout(HELD):
                for other in self._before(key, turn):
                    await other.answered.wait()
        except TimeoutError:
            pass

    def expected(self, prop: Property, turn: Turn) -> Property:
        """The property with the values that earlier commands have requested."""
        members = dict(prop.members)
        if prop.kind is not VectorKind.BLOB:
            for expectation in self._undecided(prop.key, turn):
                for name, value in expectation.values.items():
                    if name in members:
                        members[name] = members[name]._replace(value=value)
        return replace(prop, members=members)

    def answers_earlier(self, prop: Property, turn: Turn) -> bool:
        """Whether an update answers an earlier command, and not this one; asked before that one learns of it."""
        mine = turn.expectation
        if mine is None:
            return False
        for other in self._undecided(prop.key, turn):
            if prop.state in (State.BUSY, State.ALERT) and other.acknowledged:  # it may be about either, or both
                continue
            if mine.acknowledged and (prop.state is State.ALERT or not met(prop, other.values)):
                continue
            if prop.state is State.ALERT or not met(prop, mine.values):
                return True
        return False

    def _before(self, key: Key, turn: Turn) -> list[Turn]:
        turns = self._of.get(key, [])
        return turns[: turns.index(turn)] if turn in turns else []

    def _undecided(self, key: Key, turn: Turn) -> Iterator[Expectation]:
        for other in self._before(key, turn):
            if other.expectation is not None and other.expectation.verdict is None:
                yield other.expectation
