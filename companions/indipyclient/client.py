"""The client: wait for properties, set them, learn the outcome, and follow changes."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import os
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from weakref import WeakSet

from indipydriver.protocol.limits import Limits
from indipydriver.protocol.messages import AnyMessage, GetProperties
from indipydriver.protocol.tags import BlobMode, State

from .addresses import PORT, parse_endpoint
from .blobs import BlobSink, ReceivedBlob, save_each, until_over
from .commanding import Outcome, carry_out
from .connect import Connect, connector
from .engine import IDLE, UNANSWERED, Engine
from .errors import NotConnected
from .listening import follow
from .model.commands import Value, press
from .model.delta import Note
from .model.expect import Confirm
from .model.history import Point
from .model.lookup import need
from .model.model import Change, Model
from .model.properties import Property
from .model.site import Device, Site
from .model.tap import Overflow, TapQueue
from .model.wishes import BlobWishes
from .reaching import tls_context
from .reconnect import LinkState, Retry, Status
from .stats import Stats
from .streams import Cursor, Tap
from .waiting import Where, settle, wait_device, wait_property

__all__ = ["Client", "Outcome", "Stats"]


class Client:
    """A connection to an INDI server that restores itself; use it with ``async with``.

    Args:
        host: Name or address, ``host:port``, or the path of a local socket.
        port: The server's port.
        tls: True for the certificates that this machine trusts, or a context of your own.
        server_hostname: The name in the server's certificate, if it is not the host.
        blobs: Which BLOBs are requested by default: none, or those of all devices.
        blob_link: Receive BLOBs over a second connection, so that nothing waits behind a large image.
        history: Points kept for each number, at most 8 million in all; 0 for none.
        reconnect: False: the first failure ends the client.
        retry: When to reconnect; the default waits 1 s, growing to 30 s.
        limits: What the server may send.
        connect: Creates the link, in place of the above.
        idle: Seconds of silence after which properties are requested, to find out whether the server is still there.

    Raises:
        ValueError: The address is invalid, or `history` is negative.

    Attributes:
        endpoint: Where the server is.
        model: What is known about the server, for readers that do not need this class.
        on_status: Called when :attr:`status` has changed; set it before the start.
        on_message: Called with each message, even if it changes nothing; set it before the start.
    """

    def __init__(
        self,
        host: str = "localhost",
        port: int = PORT,
        *,
        tls: bool | ssl.SSLContext | None = None,
        server_hostname: str | None = None,
        blobs: BlobMode = BlobMode.NEVER,
        blob_link: bool = False,
        history: int = 0,
        reconnect: bool = True,
        retry: Retry | None = None,
        limits: Limits | None = None,
        connect: Connect | None = None,
        idle: float = IDLE,
    ) -> None:
        self.endpoint = parse_endpoint(host, port)
        self.model = Model(history=history)
        self._wishes = BlobWishes(blobs)
        self._blob_link = blob_link
        self._retry = copy.copy(retry or Retry()) if reconnect else None  # each client counts its own failures
        self._connect = connect or connector(
            self.endpoint, tls=tls_context(tls), server_hostname=server_hostname, limits=limits
        )
        self.on_status: Callable[[Status], None] | None = None
        self.on_message: Callable[[AnyMessage], None] | None = None
        self._idle = idle
        self._engine: Engine | None = None
        self._task: asyncio.Task[None] | None = None
        self._taps: WeakSet[Tap[Change]] = WeakSet()
        self._streams: set[Tap[ReceivedBlob]] = set()
        self._saving: set[asyncio.Future[None]] = set()  # done when there is nothing more to write
        self._lost_by_closed = 0

    # Life

    async def start(self, *, wait: bool = True, timeout: float | None = 10.0) -> None:
        """Begin to connect.

        Args:
            wait: Return when the link is up.
            timeout: Seconds to wait for it; None for ever.

        Raises:
            NotConnected: The link is not up in time, or has failed and is not retried.
        """
        if self._engine is not None:
            raise RuntimeError("this client was started already")
        engine = self._engine = Engine(
            self.endpoint,
            self._connect,
            self.model,
            self._wishes,
            retry=self._retry,
            blob_link=self._blob_link,
            idle=self._idle,
            unanswered=max(UNANSWERED, 2 * self._idle),
        )
        if (said := self.on_message) is not None:
            engine.on_message = lambda message, size: said(message)
        engine.on_status = self.on_status or engine.on_status
        self._task = asyncio.create_task(engine.run(), name=f"INDI client of {self.endpoint}")
        if not wait:
            return
        try:
            await engine.until(lambda: engine.status.state in (LinkState.READY, LinkState.CLOSED), timeout)
            if engine.status.state is not LinkState.READY:
                raise NotConnected(engine.status.reason or f"no connection to {self.endpoint} in {timeout} s")
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """End: readers end, waiting calls fail; what was sent goes out, and :meth:`save_blobs` writes what it has."""
        if (task := self._task) is not None and not task.done():
            if not task.cancelling():  # by another call, which waits as well
                task.cancel()
            try:
                await asyncio.wait([task])
            finally:
                for stream in list(self._streams):
                    stream.close()
        if self._saving:
            await asyncio.wait(self._saving)

    async def __aenter__(self) -> Client:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    @property
    def _running(self) -> Engine:
        if self._engine is None:
            raise NotConnected("the client was not started: use 'async with Client(...)', or await start()")
        return self._engine

    @property
    def status(self) -> Status:
        """The state of the link."""
        return self._engine.status if self._engine is not None else Status(LinkState.CLOSED)

    @property
    def connected(self) -> bool:
        """Whether the link is up."""
        return self.model.connected

    @property
    def stats(self) -> Stats:
        """The present figures."""
        engine = self._running
        now = asyncio.get_running_loop().time()
        messages, received, sent = engine.counts()
        session = engine.session
        up = engine.status.state is LinkState.READY
        return Stats(
            now - engine.status.since if up else 0.0,
            engine.reconnects,
            now - session.last if session is not None else None,
            messages,
            received,
            sent,
            engine.malformed,
            self.model.unknown,
            self._lost_by_closed + sum(tap.lost for tap in self._taps) + sum(s.lost for s in self._streams),
            *(engine.trips or (None, None)),
        )

    # Known values

    @property
    def devices(self) -> Mapping[str, Device]:
        """All devices as they are now."""
        return self.model.site().devices

    def get(self, device: str, name: str) -> Property | None:
        """A property as it is now, or None."""
        return self.model.get(device, name)

    def need(self, device: str, name: str) -> Property:
        """A property as it is now.

        Raises:
            NoSuchDevice: The server has not defined the device.
            NoSuchProperty: The device has not defined the property.
        """
        return need(self.model, device, name)

    def snapshot(self) -> Site:
        """A snapshot of everything, which does not change any more."""
        return self.model.site()

    def is_stale(self, prop: Property) -> bool:
        """Whether it may be out of date: the link is down, or came back without its being defined again."""
        return self.model.is_stale(prop)

    def notes(self, device: str | None = None) -> list[Note]:
        """Recent messages, oldest first, of one device or all."""
        return self.model.notes(device)

    def history(self, device: str, name: str, member: str) -> list[Point]:
        """The last values of a number, oldest first, if ``history`` was requested."""
        return self.model.history(device, name, member)

    # Waiting

    async def wait_device(self, name: str, *, connected: bool = False, timeout: float | None = 10.0) -> Device:
        """Wait until a device exists: until it has defined something, though not necessarily everything.

        Args:
            name: Its name.
            connected: Also wait until its driver is connected to the instrument.
            timeout: Seconds; None for ever.

        Raises:
            TimedOut: It does not exist in time.
        """
        return await wait_device(self._running, name, connected, timeout)

    async def wait_property(
        self,
        device: str,
        name: str,
        *,
        state: State | str | None = None,
        where: Where | None = None,
        timeout: float | None = 10.0,
    ) -> Property:
        """Wait until a property exists and meets the conditions; meeting them for a moment is enough.

        Args:
            device: Its device.
            name: Its name.
            state: The state that it must have.
            where: A further condition.
            timeout: Seconds; None for ever.

        Returns:
            The property as it was at that moment.

        Raises:
            TimedOut: It does not in time.
        """
        wanted = None if state is None else State(state)
        return await wait_property(self._running, device, name, wanted, where, timeout)

    async def settle(self, *, quiet: float = 0.3, timeout: float = 5.0) -> bool:
        """Wait until no more definitions arrive, because INDI does not mark their end; False if they do not stop.

        Definitions from before a loss of the connection do not count.
        """
        return await settle(self._running, quiet, timeout)

    async def wait_link(self, connected: bool = True, *, timeout: float | None = None) -> bool:
        """Wait until the link is up, or down; False if it is not in time, or the client has ended."""
        engine = self._running
        await engine.until(lambda: self.connected is connected or engine.status.state is LinkState.CLOSED, timeout)
        return self.connected is connected

    # Commands

    async def set(
        self,
        device: str,
        name: str,
        values: Mapping[str, Value] | None = None,
        *,
        confirm: Confirm | str = Confirm.SETTLED,
        timeout: float | None = None,
        who: str = "",
        **members: Value,
    ) -> Outcome:
        """Send new values and wait for the outcome.

        While another command for the property is unanswered, it waits for up to 1 s before it is sent, or until one for
        another property of the device comes: they are sent in their order.

        Args:
            device: The device.
            name: The property.
            values: The values, by member.
            confirm: What to wait for: ``sent``, ``answered``, ``settled`` or ``values``.
            timeout: Seconds for everything; None for the property's timeout plus 5 s, at least 10.
            who: Who sends the command, for display.
            members: More values, for members whose names are Python identifiers.

        Raises:
            NotConnected: Nothing was sent.
            NoSuchDevice, NoSuchProperty, NoSuchMember, NotWritable, BadValue: Nothing was sent.
            indipyclient.errors.Refused: The device answered with Alert, or the server refused it.
            TimedOut: It has not answered, or is still Busy.
            LinkLost, PropertyGone: It was sent, but the outcome is unknown.
        """
        wanted = {**(values or {}), **members}
        return await carry_out(self._running, device, name, lambda _: wanted, Confirm(confirm), timeout, who)

    async def press(
        self,
        device: str,
        name: str,
        member: str,
        *,
        confirm: Confirm | str = Confirm.SETTLED,
        timeout: float | None = None,
        who: str = "",
    ) -> Outcome:
        """Turn one switch On, and others Off if the rule requires it; see :meth:`set`."""
        wish = partial(press, name=member)
        return await carry_out(self._running, device, name, wish, Confirm(confirm), timeout, who)

    async def send(self, message: AnyMessage) -> None:
        """Send any message of INDI; nothing is checked against what is known.

        Raises:
            NotConnected: Nothing was sent.
        """
        await self._running.send(message)

    async def ask(self, device: str | None = None, name: str | None = None) -> None:
        """Ask for definitions again: of everything, a device, or a property."""
        await self._running.send(GetProperties(device, name))

    async def ping(self, *, timeout: float | None = 5.0) -> float:
        """How many seconds the server takes to answer, including everything that it had to send to this client first.

        The C++ server and the one of this project answer pings; PyPI's does not.

        Raises:
            NotConnected, LinkLost: There is no link, or it has been lost.
            TimedOut: The server does not answer.
        """
        return await self._running.ping(timeout)

    # Following

    def changes(
        self, device: str | None = None, name: str | None = None, *, interval: float = 0.0, initial: bool = False
    ) -> Cursor:
        """Follow changes, each with the present values: ``async for delta in client.changes(...)``.

        Args:
            device: Only changes of this device.
            name: Only changes of this property.
            interval: Minimum seconds between two deltas.
            initial: The first delta holds everything.
        """
        return self._running.add_cursor(device, name, interval, 0 if initial else None)

    def tap(
        self,
        device: str | None = None,
        name: str | None = None,
        *,
        limit: int = 1000,
        limit_bytes: int = 256 << 20,
        overflow: Overflow | str = Overflow.DROP_OLDEST,
    ) -> Tap[Change]:
        """Every change in order: ``async for change in client.tap(...)``.

        Args:
            device: Only changes of this device.
            name: Only changes of this property.
            limit: Changes that may wait for you.
            limit_bytes: Bytes of memory that they may take, approximately.
            overflow: What happens when you are too slow; see :class:`Overflow`.
        """
        engine = self._running
        queue: TapQueue[Change] = TapQueue(limit, limit_bytes, Overflow(overflow))
        tap: Tap[Change] = Tap(queue, self._tap_closed, engine.taps_drained)
        self._taps.add(tap)
        engine.add_tap(tap, device, name)
        return tap

    def _tap_closed(self, tap: Tap[Change]) -> None:
        self._lost_by_closed += tap.lost
        self._taps.discard(tap)
        self._running.remove_tap(tap)

    def messages(self, device: str | None = None, *, initial: bool = False) -> AsyncGenerator[Note, None]:
        """Messages from now on.

        10,000 of them, or 16 MiB, may wait for you; the oldest beyond that are lost, and a message says how many.

        Args:
            device: Only those of this device.
            initial: First those that are known.
        """
        return follow(self._running, device, initial)

    # BLOBs

    async def enable_blobs(self, device: str, name: str | None = None, mode: BlobMode | str = BlobMode.ALSO) -> None:
        """Request BLOBs; the request is repeated when the link has come back.

        Args:
            device: The device.
            name: The property; None for all of the device.
            mode: Never, Also, or Only: BLOBs and nothing else of the device.
        """
        await self._running.wish(self._wishes.wish(device, name, BlobMode(mode)))

    @contextlib.asynccontextmanager
    async def blobs(
        self,
        device: str,
        name: str | None = None,
        *,
        member: str | None = None,
        limit: int = 64,
        overflow: Overflow | str = Overflow.DROP_OLDEST,
    ) -> AsyncIterator[Tap[ReceivedBlob]]:
        """BLOBs as they arrive, requested while the block runs.

        ``async with client.blobs("CCD 1") as blobs: async for blob in blobs: ...``
        A :class:`Lost` takes the place of dropped ones.

        Args:
            device: The device.
            name: The property; None for all.
            member: The member; None for all.
            limit: BLOBs that may wait for you.
            overflow: What happens when you are too slow; see :class:`Overflow`.
        """
        engine = self._running
        queue: TapQueue[ReceivedBlob] = TapQueue(limit, overflow=Overflow(overflow))
        stream: Tap[ReceivedBlob] = Tap(queue, self._streams.discard, engine.taps_drained)
        self._streams.add(stream)
        sink = BlobSink(stream, member)
        engine.add_tap(sink, device, name)
        try:
            await engine.wish(self._wishes.hold(device, name))
            yield stream
        finally:
            engine.remove_tap(sink)
            self._lost_by_closed += stream.lost
            stream.close()
            engine.release(device, name)

    async def save_blobs(
        self,
        folder: str | os.PathLike[str],
        device: str,
        name: str | None = None,
        *,
        saved: Callable[[ReceivedBlob, Path], None] = lambda blob, path: None,
        count: int | None = None,
    ) -> int:
        """Write BLOBs to files as they arrive, until `count` have arrived; returns how many.

        When it is cancelled, those that have been received are still written.  Where the disk is too slow the oldest
        that wait are dropped, which is logged as a warning.

        Args:
            folder: The folder; created if it does not exist.
            device: The device.
            name: The property; None for all.
            saved: Called with each BLOB and its path.
            count: How many; None for all.

        Raises:
            OSError: A file cannot be written.
        """
        async with self.blobs(device, name) as stream:
            with until_over(self._saving):
                return await save_each(stream, folder, saved, count)
