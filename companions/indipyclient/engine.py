"""Keeps a model up to date: connects, applies what arrives, reconnects, and informs those who wait."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final, Protocol, TypeVar
from weakref import WeakSet, ref

from indipydriver.errors import LocalProtocolError, RemoteProtocolError
from indipydriver.protocol.encode import encode
from indipydriver.protocol.messages import AnyMessage, EnableBlob, GetProperties, Ping
from indipydriver.protocol.tags import BlobMode, VectorKind

from .addresses import Endpoint
from .bloblink import BlobLink
from .connect import Connect
from .errors import ClientError, LinkLost, NotConnected, TimedOut
from .eventline import is_cancelled
from .model.model import Change, Model, What
from .model.properties import Key
from .model.tap import weight
from .model.wishes import BlobWishes
from .reaching import CONNECT_TIMEOUT, describe
from .reconnect import LinkState, Retry, Status
from .session import Sending, Session
from .streams import Cursor
from .turns import Turns

__all__ = ["IDLE", "UNANSWERED", "Engine", "Sink", "Watcher"]

logger = logging.getLogger("indipyclient")

Found = TypeVar("Found")
ASK_EVERY: Final = 5.0
"""Seconds after which definitions are requested again while no device is known."""
IDLE: Final = 20.0
"""Seconds of silence after which some properties are requested."""
UNANSWERED: Final = 40.0
"""Seconds of silence after which the link counts as lost."""
SETTLED, LATEST = 5.0, 60.0
"""Seconds without definitions after which properties that were not defined again are deleted."""
ASKED_AT_ONCE: Final = 16
"""Devices that are asked during silence."""
FAULTS_LOGGED: Final = 20


class Watcher:
    """Told about every change of one property as it happens, and about the loss of the link."""

    def changed(self, change: Change) -> None:
        """Called when the property has changed; with What.DELETED it is gone, with What.NOTE something is said."""

    def lost(self, error: ClientError) -> None:
        """Called when the link is lost."""


class Sink(Protocol):
    """Receives every change, in order, such as a tap."""

    @property
    def holds_up(self) -> bool:
        """Whether it is full, and the server must not be read."""

    def put(self, change: Change, size: int) -> None:
        """Take a change, which needs about this many bytes of memory."""

    def close(self) -> None:
        """Called after the last change."""


class Engine:
    """The life of a client.

    Args:
        endpoint: Where the server is.
        connect: Creates a link.
        model: The model to keep up to date.
        wishes: The requested BLOBs.
        retry: When to reconnect; None: the first failure ends the client.
        clear_when_lost: Forget everything when the link is lost, instead of keeping it as stale.
        blob_link: BLOBs are received over a connection of their own.

    Attributes:
        status: The state of the link.
        reconnects: How often it came back.
        malformed: Elements that were skipped.
        trips: Seconds of the last round trip and of the shortest; None before the first.
        on_status: Called when `status` has changed.
        on_message: Called with each message and its number of bytes.
        on_change: Called for each change, in order, before anybody else.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        connect: Connect,
        model: Model,
        wishes: BlobWishes,
        *,
        retry: Retry | None,
        clear_when_lost: bool = False,
        blob_link: bool = False,
        idle: float = IDLE,
        unanswered: float = UNANSWERED,
    ) -> None:
        self.endpoint = endpoint
        self.model = model
        self.wishes = wishes
        self.turns = Turns()
        self.retry = retry
        self.idle = idle
        self.unanswered = unanswered
        self.status = Status(LinkState.CONNECTING)
        self.session: Session | None = None
        self.reconnects = 0
        self.malformed = 0
        self.trips: tuple[float, float] | None = None
        self.on_status: Callable[[Status], None] = lambda status: None
        self.on_change: Callable[[Change], None] = lambda change: None
        self.on_message: Callable[[AnyMessage, int], None] | None = None
        self._connect = connect
        self._clear_when_lost = clear_when_lost
        self._loop = asyncio.get_running_loop()
        # Weak references: a reader that leaves its loop may not close its cursor or tap.
        self._cursors: WeakSet[Cursor] = WeakSet()
        self._taps: dict[ref[Sink], tuple[str | None, str | None]] = {}
        self._watchers: dict[Key, list[Watcher]] = {}
        self._waiters: set[tuple[Callable[[], bool], asyncio.Future[None]]] = set()
        self._asked = 0.0
        self._before: tuple[int, int, int] = (0, 0, 0)  # messages and bytes of earlier sessions
        self._closed = False
        self._pings: dict[str, asyncio.Future[float]] = {}
        self._pinged = 0
        self._blob_link = BlobLink(connect, self, Retry(), self._wanted_blobs) if blob_link else None

    # Life

    async def run(self) -> None:
        """Connect, listen, and reconnect, until cancelled; without `retry` until the first loss."""
        attempt = 0
        try:
            while True:
                attempt += 1
                lived = 0.0
                self._set_status(Status(LinkState.CONNECTING, self._loop.time(), attempt, None, self.status.reason))
                try:
                    async with asyncio.timeout(CONNECT_TIMEOUT):
                        link = await self._connect()
                except (OSError, ValueError) as error:
                    reason = describe(error, self.endpoint)
                else:
                    attempt = 0
                    began = self._loop.time()
                    session = Session(link, self)
                    reason = await self._live(session)
                    lived = self._loop.time() - began
                if self.retry is None:
                    self._set_status(Status(LinkState.CLOSED, self._loop.time(), attempt, None, reason))
                    return
                now, wait = self._loop.time(), self.retry.next(lived, random.random())
                self._set_status(Status(LinkState.LOST, now, attempt, now + wait, reason))
                await asyncio.sleep(wait)
        except (Exception, asyncio.CancelledError) as error:  # such as from a user's `connect`
            if is_cancelled():
                raise
            logger.exception("the client of %s has ended", self.endpoint)
            self.status = replace(self.status, reason=describe(error, self.endpoint))
        finally:
            self._set_status(Status(LinkState.CLOSED, self._loop.time(), 0, None, self.status.reason))
            self.close()

    async def _live(self, session: Session) -> str:
        """The life of one link; returns why it ended."""
        self.session = session
        self.model.link_made()
        self.reconnects = self.model.session - 1
        blobs = asyncio.create_task(self._blob_link.run()) if self._blob_link is not None else None
        silent = False
        try:
            session.open()
            await session.send(GetProperties())
            self._asked = self._loop.time()
            self._set_status(Status(LinkState.READY, self._loop.time()))
            silent = await self._watch(session)
        finally:
            self.session = None
            self._before = self._counts(session)
            if blobs is not None:
                blobs.cancel()
            self._lose()
            if is_cancelled():  # what has been sent still counts
                await session.leave()
            session.abort(unanswered=silent)
        if silent:
            return f"{self.endpoint} has not answered for {self.unanswered:g} s"
        error = session.closed.result()
        return describe(error, self.endpoint) if error is not None else f"{self.endpoint} has closed the connection"

    async def _watch(self, session: Session) -> bool:
        """Wait for the end of a link, and ask during silence; True if it is given up."""
        loop, model = self._loop, self.model
        while not session.closed.done():
            now = loop.time()
            last = session.alive()
            silent, due = now - last, last + self.idle
            asked = self._asked if self._asked > last + self.idle / 2 else now  # a suspended process could not ask
            until = max(last + self.unanswered, asked + self.unanswered - self.idle)
            if len(model) == 0:
                if now >= self._asked + ASK_EVERY:
                    self._ask(session, None)
                due = min(self._asked + ASK_EVERY, now + self.idle)  # by then something may be defined
            elif now >= until:
                return True
            elif silent >= self.idle:
                if asked == now:
                    self._ask(session, model.names()[:ASKED_AT_ONCE])
                due = min(until, now + max(self.idle / 2, 1.0))
            if model.has_stale:
                settled = min(max(model.defined_at, at := self.status.since) + SETTLED, at + LATEST)
                if now >= settled:
                    model.sweep()
                    self.batch_received()
                else:
                    due = min(due, settled)
            await asyncio.wait([session.closed], timeout=max(due - loop.time(), 0.01))
        return False

    def _ask(self, session: Session, devices: list[str] | None) -> None:
        """Ask for definitions, and whether the server is there: a driver may be busy, or its BLOBs wanted only."""
        self._asked = self._loop.time()
        for device in [None] if devices is None else devices:
            session.put(encode(GetProperties(device, None if device is None else self.model.names(device)[0])))
        session.put(encode(Ping("silence")))

    def _lose(self) -> None:
        self.model.link_lost()
        if self._clear_when_lost:
            self.model.clear()
        error = LinkLost(f"the connection to {self.endpoint} was lost")
        for future in self._pings.values():
            if not future.done():
                future.set_exception(error)
        for watchers in list(self._watchers.values()):
            for watcher in list(watchers):
                watcher.lost(error)
        self.batch_received()

    def close(self) -> None:
        """End everything: readers end, including later ones."""
        self._closed = True
        for cursor in list(self._cursors):
            cursor.close()
        for tap in self._sinks():
            tap.close()
        self.batch_received()

    def _set_status(self, status: Status) -> None:
        changed = (status.state, status.reason) != (self.status.state, self.status.reason)
        self.status = status
        if changed:
            logger.debug("%s: %s %s", self.endpoint, status.state, status.reason)
            try:
                self.on_status(status)
            except (Exception, asyncio.CancelledError):  # the user's function, which does not affect the link
                logger.exception("on_status has failed with %s", status.state)
            self.batch_received()

    def counts(self) -> tuple[int, int, int]:
        """Messages, bytes received and bytes sent, of all links so far."""
        found = self._counts(self.session) if self.session is not None else self._before
        if self._blob_link is None:
            return found
        messages, received, sent = self._blob_link.counts()
        return found[0] + messages, found[1] + received, found[2] + sent

    def _counts(self, session: Session) -> tuple[int, int, int]:
        messages, received, sent = self._before
        return messages + session.messages, received + session.bytes_received, sent + session.bytes_sent

    # Output

    async def send(self, message: AnyMessage, sending: Sending | None = None) -> None:
        """Send a message; see :meth:`Session.send`.

        Raises:
            NotConnected: There is no link.
            LinkLost: It was lost while the message was being sent.
            LocalProtocolError: It cannot be sent.
        """
        session = self.session
        if session is None or session.closed.done():
            raise self.not_connected()
        await session.send(message, sending)
        if session.closed.done():
            raise LinkLost(f"the connection to {self.endpoint} was lost while sending")

    def not_connected(self) -> NotConnected:
        """Why nothing can be sent."""
        status = self.status
        reason = status.reason or ("it has just ended" if status.state is LinkState.READY else status.state)
        return NotConnected(f"not connected to {self.endpoint}: {reason}")

    async def wish(self, message: EnableBlob | None) -> None:
        """Send a request for BLOBs now, or when there is a link.

        It does not wait until earlier messages have gone out, which would hold up a caller that is ending.
        """
        if message is None or self.session is None:
            return
        frame = encode(message)
        if self._blob_link is None:
            self.session.put(frame)
        else:
            self._blob_link.send(message)
        self._say_again(message)
        if self._blob_link is not None and message.mode is not BlobMode.NEVER:
            await self._blob_link.agree()

    def release(self, device: str, name: str | None) -> None:
        """Note that a stream of BLOBs has ended."""
        message = self.wishes.release(device, name)
        if message is not None:
            self._send_wish(message)
            self._say_again(message)

    def _say_again(self, message: EnableBlob) -> None:
        if message.name is None and message.device is not None:
            for each in self.wishes.others(message.device):
                self._send_wish(each)

    def _wanted_blobs(self) -> Iterator[EnableBlob]:
        """What to send on a new connection for BLOBs."""
        for prop in self.model:
            message = self.wishes.defined(prop)
            if message is not None:
                yield message

    async def ping(self, timeout: float | None) -> float:
        """Seconds until the server has handled this, after everything that it had to do for this client before.

        Raises:
            NotConnected, LinkLost: There is no link, or it has been lost.
            TimedOut: The server does not answer.
        """
        self._pinged += 1
        uid = f"ping-{self._pinged}"
        future: asyncio.Future[float] = self._loop.create_future()
        self._pings[uid] = future
        began = self._loop.time()
        try:
            async with asyncio.timeout(timeout):
                await self.send(Ping(uid))
                took = await future - began
        except TimeoutError:
            raise TimedOut(f"{self.endpoint} has not answered a ping in {timeout:g} s", sent=True) from None
        finally:
            del self._pings[uid]
            if future.done() and not future.cancelled():
                future.exception()
        self.trips = (took, min(took, self.trips[1]) if self.trips else took)
        return took

    # Input; called by the session

    @property
    def over(self) -> bool:
        return self._closed

    def message_received(self, message: AnyMessage, size: int = 0) -> None:
        if self.on_message is not None:
            try:
                self.on_message(message, size)
            except (Exception, asyncio.CancelledError):  # the user's function, which does not affect what is known
                logger.exception("on_message has failed with a %s", type(message).__name__)
        change = self.model.apply(message, self._loop.time())
        if change is None:
            return
        self.on_change(change)
        prop = change.prop
        if prop is not None:
            if change.what is What.DEFINED and prop.kind is VectorKind.BLOB:
                self._send_wish(self.wishes.defined(prop))
            watchers = self._watchers.get(prop.key)
            if watchers:
                for watcher in list(watchers):
                    watcher.changed(change)
        elif self._watchers:
            self._tell(change)
        if self._taps:
            self._tap(change, size)

    def pong_received(self, uid: str) -> None:
        future = self._pings.get(uid)
        if future is not None and not future.done():
            future.set_result(self._loop.time())

    def hold(self, reason: str, on: bool) -> None:
        """Do not read from the server while there is a reason to wait."""
        for session in (self.session, self._blob_link.session if self._blob_link is not None else None):
            if session is not None:
                session.hold(reason, on)

    def _send_wish(self, message: EnableBlob | None) -> None:
        if message is not None and self._blob_link is not None:
            self._blob_link.send(message)
        elif message is not None and self.session is not None:
            with contextlib.suppress(LocalProtocolError):
                self.session.answer(encode(message))

    def _tell(self, change: Change) -> None:
        for (device, name), watchers in list(self._watchers.items()):
            if change.concerns(device, name) and (change.what is What.NOTE or self.model.get(device, name) is None):
                for watcher in list(watchers):
                    watcher.changed(change)

    def _tap(self, change: Change, size: int) -> None:
        message = change.message
        device, name = getattr(message, "device", None), getattr(message, "name", None)
        size = weight(message, size)
        if change.prop is not None:  # with all members, even if few have changed
            size += change.prop.members.__sizeof__()
        for reference, (of_device, of_name) in list(self._taps.items()):
            if (of_device is None or device in (of_device, None)) and (of_name is None or name in (of_name, None)):
                tap = reference()
                if tap is not None:
                    tap.put(change, size)
                    if tap.holds_up:
                        self.hold("tap", True)

    def fault_received(self, fault: RemoteProtocolError) -> None:
        self.malformed += 1
        if self.malformed <= FAULTS_LOGGED:
            logger.warning("%s sent something that was skipped: %s", self.endpoint, fault)

    def batch_received(self) -> None:
        """Wake waiting calls: the model is consistent."""
        for cursor in self._cursors:
            cursor.wake()
        for waiter in list(self._waiters):
            check, future = waiter
            if not future.done() and check():
                future.set_result(None)

    # Waiting

    async def until(self, check: Callable[[], bool], timeout: float | None) -> bool:
        """Wait until a condition holds, checked after each batch; False if it does not in time."""
        if check():
            return True
        future: asyncio.Future[None] = self._loop.create_future()
        waiter = (check, future)
        self._waiters.add(waiter)
        try:
            async with asyncio.timeout(timeout):
                await future
        except TimeoutError:
            return check()
        finally:
            self._waiters.discard(waiter)
        return True

    @contextlib.contextmanager
    def watching(self, key: Key, watcher: Watcher) -> Iterator[None]:
        """Tell the watcher about this property while the block runs, before those that have come earlier."""
        self._watchers.setdefault(key, []).insert(0, watcher)
        try:
            yield
        finally:
            watchers = self._watchers[key]
            watchers.remove(watcher)
            if not watchers:
                del self._watchers[key]

    def add_cursor(self, device: str | None, name: str | None, interval: float, since: int | None) -> Cursor:
        cursor = Cursor(self.model, device, name, interval, since, self._cursors.discard)
        self._cursors.add(cursor)
        if self._closed:
            cursor.close()
        return cursor

    def add_tap(self, tap: Sink, device: str | None, name: str | None) -> None:
        self._taps[ref(tap, lambda gone: self._taps.pop(gone, None))] = (device, name)
        if self._closed:
            tap.close()

    def _sinks(self) -> list[Sink]:
        return [tap for reference in list(self._taps) if (tap := reference()) is not None]

    def remove_tap(self, tap: Sink) -> None:
        self._taps.pop(ref(tap), None)

    def taps_drained(self) -> None:
        """Note that a tap has room again."""
        if not any(tap.holds_up for tap in self._sinks()):
            self.hold("tap", False)
