"""A command and its outcome."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from indipydriver.protocol.messages import AnyMessage, EnableBlob, Message
from indipydriver.protocol.refusals import is_refusal
from indipydriver.protocol.tags import State, VectorKind

from .engine import Engine, Watcher
from .errors import (
    ClientError,
    LinkLost,
    PropertyGone,
    Refused,
    TimedOut,
)
from .model.commands import Value, command, texts
from .model.expect import Confirm, Expectation, Verdict, patience
from .model.lookup import need
from .model.model import Change, Model, What
from .model.properties import Pending, Property
from .session import Sending
from .turns import HELD, Turn, Turns

__all__ = ["Outcome", "carry_out"]

_TIME_FOR_A_BLOB = 60.0
"""Additional seconds for a BLOB, which may take some time to be sent."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a command that was not refused.

    Attributes:
        prop: The property as it is now.
        confirmed: Its values are the requested ones.
        acknowledged: The device said Busy first.
        elapsed: Seconds since it was sent.
        messages: What the device has said meanwhile.
    """

    prop: Property
    confirmed: bool
    acknowledged: bool
    elapsed: float
    messages: tuple[str, ...]


async def carry_out(
    engine: Engine,
    device: str,
    name: str,
    wish: Callable[[Property], Mapping[str, Value]],
    confirm: Confirm,
    timeout: float | None,
    who: str,
) -> Outcome:
    """Send new values and wait for the outcome; see :meth:`indipyclient.client.Client.set`.

    `wish` says which values, of the property as it is when they are sent.
    """
    model = engine.model
    if not model.connected:
        raise engine.not_connected()
    prop = need(model, device, name)
    loop = asyncio.get_running_loop()
    limit = patience(prop) if timeout is None else timeout
    if prop.kind is VectorKind.BLOB and timeout is None:
        limit += _TIME_FOR_A_BLOB
    turn = engine.turns.enter(prop.key)
    stack = contextlib.ExitStack()
    stack.callback(engine.turns.leave, prop.key, turn)
    watcher: _CommandWatcher | None = None
    try:
        began = loop.time()
        prop = await _in_turn(engine, prop, turn, wish, confirm, limit)
        limit -= loop.time() - began
        known = engine.turns.expected(prop)
        wanted = wish(known)
        asked = texts(prop, wanted)
        message = command(known, wanted, asked)
        expectation = Expectation(prop, asked, now=loop.time(), timeout=limit, confirm=confirm)
        watcher = _CommandWatcher(expectation, loop, engine.turns, turn)
        rev = model.rev
        engine.turns.begin(prop.key, turn, expectation)
        turn.pending = Pending(asked, loop.time(), who)
        stack.enter_context(engine.watching(prop.key, watcher))
        model.set_pending(prop.key, turn.pending)
        engine.batch_received()
        await _send_and_wait(engine, prop, message, watcher, limit)
    finally:
        pending, turn.pending = turn.pending, None
        now = model.get(device, name)
        if now is not None and pending is not None and now.pending is pending:
            model.set_pending(prop.key, engine.turns.pending(prop.key))
            engine.batch_received()
        if watcher is not None and watcher.is_open and (left := expectation.began + HELD - loop.time()) > 0:
            loop.call_later(left, stack.close)  # nobody waits, but the answer is still to come
        else:
            stack.close()
    return _outcome(model, watcher, rev, limit)


async def _in_turn(
    engine: Engine,
    prop: Property,
    turn: Turn,
    wish: Callable[[Property], Mapping[str, Value]],
    confirm: Confirm,
    limit: float,
) -> Property:
    """The property, once the command can be sent."""
    model, key = engine.model, prop.key
    began = asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout(limit):
            at_once, is_file = confirm is Confirm.SENT or _stops(prop, wish), prop.kind is VectorKind.BLOB
            await engine.turns.answered(key, turn, at_once=at_once, is_file=is_file)
            await engine.turns.sent(key, turn)
    except TimeoutError:
        text = f"{prop.device}.{prop.name}: not sent in {limit:g} s, because an earlier command has not been answered"
        raise TimedOut(text, elapsed=limit, last=prop) from None
    if not model.connected:
        raise engine.not_connected()
    prop = need(model, *key)
    if not model.is_stale(prop):
        return prop
    return await _defined_again(engine, prop, limit - (asyncio.get_running_loop().time() - began))


def _stops(prop: Property, wish: Callable[[Property], Mapping[str, Value]]) -> bool:
    """Whether switches are only turned Off."""
    try:
        return prop.kind is VectorKind.SWITCH and all(value == "Off" for value in texts(prop, wish(prop)).values())
    except ClientError:  # it may be defined differently then
        return False


async def _send_and_wait(
    engine: Engine, prop: Property, message: AnyMessage, watcher: _CommandWatcher, limit: float
) -> None:
    # The answer to a BLOB is a BLOB vector, which the server does not send unless BLOBs are enabled.
    answer_is_blob = prop.kind is VectorKind.BLOB and watcher.is_awaited
    blobs = engine.wishes.hold(*prop.key) if answer_is_blob else None
    try:
        await _send_in_time(engine, blobs, message, watcher, limit)
        if watcher.is_awaited:
            await watcher.over()
    finally:
        if answer_is_blob:
            engine.release(*prop.key)


async def _defined_again(engine: Engine, prop: Property, limit: float) -> Property:
    """The property, once the server has defined it since the link came back: old values of other members would go out
    with the new ones."""
    model = engine.model

    def known() -> bool:
        now = model.get(*prop.key)
        return now is None or not model.connected or not model.is_stale(now)

    where = f"{prop.device}.{prop.name}"
    if not await engine.until(known, limit):
        raise TimedOut(f"{where}: not defined again in {round(limit, 2):g} s", elapsed=limit, last=prop)
    if not model.connected:
        raise engine.not_connected()
    return need(model, *prop.key)


async def _send_in_time(
    engine: Engine, blobs: EnableBlob | None, message: AnyMessage, watcher: _CommandWatcher, limit: float
) -> None:
    """Send a command, preceded by the requests for BLOBs."""
    session, expectation = engine.session, watcher.expectation
    try:
        async with asyncio.timeout_at(expectation.began + limit):
            await engine.wish(blobs)
            if engine.session is not session:  # the new property may not be known yet
                raise engine.not_connected()
            await engine.send(message, watcher.sending)
    except TimeoutError:
        prop = expectation.last
        sent = watcher.sending.begun
        text = f"{prop.device}.{prop.name}: not sent in {round(limit, 2):g} s{', and still on its way' if sent else ''}"
        raise TimedOut(text, elapsed=limit, last=prop, sent=sent) from None


def _outcome(model: Model, watcher: _CommandWatcher, rev: int, limit: float) -> Outcome:
    expectation = watcher.expectation
    last = expectation.last
    elapsed = asyncio.get_running_loop().time() - expectation.began
    where = f"{last.device}.{last.name}"
    said = tuple(note.text for note in model.notes(last.device, rev))
    if watcher.error is not None:
        raise watcher.error
    if expectation.verdict is Verdict.REFUSED:
        raise Refused(f"{where} was refused", message=expectation.message or " ".join(said), last=last)
    if expectation.verdict is Verdict.GONE:
        raise PropertyGone(last.name, (), last.device)
    if expectation.verdict is Verdict.TIMED_OUT:
        what = "has not answered"
        if expectation.acknowledged:
            what = "is still Busy" if last.state is State.BUSY else f"is {last.state}, without the requested values,"
        words = f"; last message: {said[-1]}" if said else ""
        raise TimedOut(f"{where} {what} after {round(limit, 2):g} s{words}", elapsed=elapsed, last=last, sent=True)
    now = model.get(last.device, last.name)
    return Outcome(now or last, expectation.confirmed, expectation.acknowledged, elapsed, said)


class _CommandWatcher(Watcher):
    """Connects an expectation with the event loop."""

    def __init__(self, expectation: Expectation, loop: asyncio.AbstractEventLoop, turns: Turns, turn: Turn) -> None:
        self.expectation = expectation
        self.sending = Sending(turn.sent.set)
        self.error: ClientError | None = None
        self._loop = loop
        self._turns = turns
        self.turn = turn
        self._news = asyncio.Event()

    @property
    def is_awaited(self) -> bool:
        """Whether somebody wants to know its outcome."""
        return self.expectation.confirm is not Confirm.SENT

    @property
    def is_open(self) -> bool:
        """Whether it was sent, and its answer is still to come."""
        return self.sending.begun and self.error is None and not self.turn.answered.is_set()

    def changed(self, change: Change) -> None:
        if change.what is What.NOTE:
            message = change.message
            if self.sending.begun and isinstance(message, Message) and message.device and is_refusal(message.message):
                self.expectation.refused(message.message)
        elif change.prop is None:
            self.expectation.deleted()
        elif not self.sending.gone or self._turns.answers_earlier(change.prop, self.turn):
            self.expectation.before(change.prop, self._loop.time())
        else:
            said = getattr(change.message, "message", None)
            self.expectation.feed(change.prop, said, self._loop.time(), defined=change.what is What.DEFINED)
        self.turn.note_answer()
        self._news.set()

    def lost(self, error: ClientError) -> None:
        self.error = LinkLost(f"{error} before {self.expectation.last.name} had answered")
        self.turn.end()
        self._news.set()

    async def over(self) -> None:
        """Wait for the verdict."""
        expectation = self.expectation
        while expectation.verdict is None and self.error is None:
            self._news.clear()
            try:
                async with asyncio.timeout_at(expectation.deadline):
                    await self._news.wait()
            except TimeoutError:
                expectation.tick(max(self._loop.time(), expectation.deadline))
