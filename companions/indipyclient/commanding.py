"""A command and its outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from indipydriver.protocol.messages import AnyMessage, EnableBlob, Message
from indipydriver.protocol.refusals import is_refusal
from indipydriver.protocol.tags import VectorKind

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
    if model.is_stale(prop):
        began = loop.time()
        prop = await _defined_again(engine, prop, limit)
        limit -= loop.time() - began
    wanted = wish(prop)
    asked = texts(prop, wanted)
    message = command(prop, wanted, asked)
    expectation = Expectation(prop, asked, now=loop.time(), timeout=limit, confirm=confirm)
    watcher = _CommandWatcher(expectation, loop)
    rev = model.rev
    pending = Pending(asked, loop.time(), who)
    with engine.watching(prop.key, watcher):
        model.set_pending(prop.key, pending)
        engine.batch_received()
        # The answer to a BLOB is a BLOB vector, which the server does not send unless BLOBs are enabled.
        answer_is_blob = prop.kind is VectorKind.BLOB and confirm is not Confirm.SENT
        blobs = engine.wishes.hold(device, name) if answer_is_blob else None
        try:
            await _send_in_time(engine, blobs, message, watcher, limit)
            if confirm is not Confirm.SENT:
                await watcher.over()
        finally:
            if answer_is_blob:
                engine.release(device, name)
            now = model.get(device, name)
            if now is not None and now.pending is pending:
                model.set_pending(prop.key, None)
                engine.batch_received()
    return _outcome(model, watcher, rev, limit)


async def _defined_again(engine: Engine, prop: Property, limit: float) -> Property:
    """The property, once the server has defined it since the link came back: old values of other members would go out
    with the new ones."""
    model = engine.model

    def known() -> bool:
        now = model.get(*prop.key)
        return now is None or not model.connected or not model.is_stale(now)

    where = f"{prop.device}.{prop.name}"
    if not await engine.until(known, limit):
        raise TimedOut(f"{where}: not defined again in {limit:g} s", elapsed=limit, last=prop)
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
        text = f"{prop.device}.{prop.name}: not sent in {limit:g} s{', and still on its way' if sent else ''}"
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
        what = "is still Busy" if expectation.acknowledged else "has not answered"
        words = f"; last message: {said[-1]}" if said else ""
        raise TimedOut(f"{where} {what} after {limit:g} s{words}", elapsed=elapsed, last=last, sent=True)
    now = model.get(last.device, last.name)
    return Outcome(now or last, expectation.confirmed, expectation.acknowledged, elapsed, said)


class _CommandWatcher(Watcher):
    """Connects an expectation with the event loop."""

    def __init__(self, expectation: Expectation, loop: asyncio.AbstractEventLoop) -> None:
        self.expectation = expectation
        self.sending = Sending()
        self.error: ClientError | None = None
        self._loop = loop
        self._news = asyncio.Event()

    def changed(self, change: Change) -> None:
        if change.what is What.NOTE:
            message = change.message
            if self.sending.begun and isinstance(message, Message) and message.device and is_refusal(message.message):
                self.expectation.refused(message.message)
        elif change.prop is None:
            self.expectation.deleted()
        elif not self.sending.gone:
            self.expectation.before(change.prop, self._loop.time())
        else:
            said = getattr(change.message, "message", None)
            self.expectation.feed(change.prop, said, self._loop.time(), defined=change.what is What.DEFINED)
        self._news.set()

    def lost(self, error: ClientError) -> None:
        self.error = LinkLost(f"{error} before {self.expectation.last.name} had answered")
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
