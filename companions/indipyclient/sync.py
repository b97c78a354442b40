"""The client for scripts and notebooks: the same calls without ``await``, on an event loop in a separate thread."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, TypeVar, cast

from indipydriver.protocol.tags import BlobMode, State

from .addresses import PORT
from .blobs import ReceivedBlob
from .client import Client
from .commanding import Outcome
from .errors import NotConnected
from .model.commands import Value
from .model.delta import Delta, Note
from .model.expect import Confirm
from .model.history import Point
from .model.properties import Property
from .model.site import Device, Site
from .reconnect import Status
from .stats import Stats
from .streams import Cursor, Lost, Tap
from .waiting import Where

__all__ = ["SyncClient"]

Result = TypeVar("Result")


class SyncClient:
    """:class:`indipyclient.Client` for code without ``async``; use it with ``with``, or close it.

    It connects at once, and may be used from several threads.

    Args:
        host: Name or address, ``host:port``, or the path of a local socket.
        port: The server's port.
        timeout: Seconds to wait for the connection.
        tls: True for the certificates that this machine trusts, or a context of your own.
        server_hostname: The name in the server's certificate, if it is not the host.
        blobs: Which BLOBs are requested by default.
        blob_link: Receive BLOBs over a second connection, so that nothing waits behind a large image.
        history: Points kept for each number, at most 8 million in all; 0 for none.
        reconnect: False: the first failure ends the client.

    Raises:
        NotConnected: The server cannot be reached.
        ValueError: The address is invalid, or `history` is negative.
    """

    def __init__(
        self,
        host: str = "localhost",
        port: int = PORT,
        *,
        timeout: float | None = 10.0,
        tls: bool | ssl.SSLContext | None = None,
        server_hostname: str | None = None,
        blobs: BlobMode = BlobMode.NEVER,
        blob_link: bool = False,
        history: int = 0,
        reconnect: bool = True,
    ) -> None:
        self._client = Client(
            host,
            port,
            tls=tls,
            server_hostname=server_hostname,
            blobs=blobs,
            blob_link=blob_link,
            history=history,
            reconnect=reconnect,
        )
        self._lock = threading.RLock()  # a handler of a signal comes in between
        self._pid = os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=f"INDI client of {host}", daemon=True)
        self._thread.start()
        try:
            self._call(self._client.start(timeout=timeout))
        except BaseException:
            self.close()
            raise

    def _run(self) -> None:
        loop = self._loop
        assert loop is not None
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
        finally:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()

    def _call(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        """Run it on the loop and wait for it; Ctrl-C ends it.

        A handler of a signal may do the same while this waits, so that no lock is held meanwhile that the loop needs:
        futures of `concurrent` have one.
        """
        if os.getpid() != self._pid:  # its thread was not copied
            coroutine.close()
            raise NotConnected("this client belongs to the process from which this one was forked")
        call = _Call(coroutine)
        with self._lock:
            loop = self._loop
            if loop is None:
                coroutine.close()
                raise NotConnected("this client is closed")
            if threading.current_thread() is self._thread:
                coroutine.close()
                raise RuntimeError("a function that the client calls, such as 'where', cannot wait for the client")
            try:
                loop.call_soon_threadsafe(call.start)
            except RuntimeError:  # a handler of a signal has just closed it
                coroutine.close()
                raise NotConnected("this client is closed") from None
        is_over = sys.is_finalizing() or not self._thread.is_alive()  # an iterator may be left at the end of Python
        if is_over and call.over.locked():  # or while that was on its way
            coroutine.close()
            raise NotConnected("this client is closed")
        try:
            call.over.acquire()
        except BaseException:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(call.cancel)
            raise
        assert call.task is not None
        try:
            return call.task.result()
        except asyncio.CancelledError:
            raise NotConnected("this client is closed") from None

    def _do(self, function: Callable[[], Result]) -> Result:
        """Run a plain function on the loop: the model belongs to its thread."""
        if threading.current_thread() is self._thread:
            return function()

        async def run() -> Result:
            return function()

        return self._call(run())

    def close(self) -> None:
        """End the connection and the thread; may be called again.  In a process that was forked it does nothing."""
        if os.getpid() != self._pid or sys.is_finalizing():
            return
        if threading.current_thread() is self._thread:
            raise RuntimeError("a function that the client calls, such as 'where', cannot close the client")
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is None:
            return
        with contextlib.suppress(RuntimeError):  # a handler of a signal has just closed it
            loop.call_soon_threadsafe(_Call(self._shut()).start)
        self._thread.join()

    async def _shut(self) -> None:
        try:
            await self._client.aclose()
            others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
        finally:
            asyncio.get_running_loop().call_soon(asyncio.get_running_loop().stop)

    def __enter__(self) -> SyncClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Known values

    @property
    def status(self) -> Status:
        """The state of the link."""
        return self._client.status

    @property
    def connected(self) -> bool:
        """Whether the link is up."""
        return self._client.connected

    @property
    def stats(self) -> Stats:
        """The present figures."""
        return self._do(lambda: self._client.stats)

    @property
    def devices(self) -> Mapping[str, Device]:
        """All devices as they are now."""
        return self.snapshot().devices

    def get(self, device: str, name: str) -> Property | None:
        """A property as it is now, or None."""
        return self._do(lambda: self._client.get(device, name))

    def need(self, device: str, name: str) -> Property:
        """A property as it is now; NoSuchDevice or NoSuchProperty if it does not exist."""
        return self._do(lambda: self._client.need(device, name))

    def snapshot(self) -> Site:
        """A snapshot of everything, which does not change any more."""
        return self._do(self._client.snapshot)

    def notes(self, device: str | None = None) -> list[Note]:
        """Recent messages, oldest first."""
        return self._do(lambda: self._client.notes(device))

    def history(self, device: str, name: str, member: str) -> list[Point]:
        """The last values of a number, oldest first, if ``history`` was requested."""
        return self._do(lambda: self._client.history(device, name, member))

    # Waiting and commands; see Client

    def wait_device(self, name: str, *, connected: bool = False, timeout: float | None = 10.0) -> Device:
        """Wait until a device exists; see :meth:`indipyclient.Client.wait_device`."""
        return self._call(self._client.wait_device(name, connected=connected, timeout=timeout))

    def wait_property(
        self,
        device: str,
        name: str,
        *,
        state: State | str | None = None,
        where: Where | None = None,
        timeout: float | None = 10.0,
    ) -> Property:
        """Wait until a property meets the conditions; see :meth:`indipyclient.Client.wait_property`.

        `where` is called in the thread of the connection.
        """
        return self._call(self._client.wait_property(device, name, state=state, where=where, timeout=timeout))

    def settle(self, *, quiet: float = 0.3, timeout: float = 5.0) -> bool:
        """Wait until no more definitions arrive."""
        return self._call(self._client.settle(quiet=quiet, timeout=timeout))

    def set(
        self,
        device: str,
        name: str,
        values: Mapping[str, Value] | None = None,
        *,
        confirm: Confirm | str = Confirm.SETTLED,
        timeout: float | None = None,
        **members: Value,
    ) -> Outcome:
        """Send new values and wait for the outcome; see :meth:`indipyclient.Client.set`."""
        return self._call(
            self._client.set(device, name, {**(values or {}), **members}, confirm=confirm, timeout=timeout)
        )

    def press(
        self,
        device: str,
        name: str,
        member: str,
        *,
        confirm: Confirm | str = Confirm.SETTLED,
        timeout: float | None = None,
    ) -> Outcome:
        """Turn one switch On, and others Off if the rule requires it."""
        return self._call(self._client.press(device, name, member, confirm=confirm, timeout=timeout))

    def ping(self, *, timeout: float | None = 5.0) -> float:
        """How many seconds the server takes to answer; see :meth:`indipyclient.Client.ping`."""
        return self._call(self._client.ping(timeout=timeout))

    # Following

    def changes(
        self,
        device: str | None = None,
        name: str | None = None,
        *,
        interval: float = 0.0,
        initial: bool = False,
        timeout: float | None = None,
    ) -> Iterator[Delta]:
        """Follow changes, from the call on: ``for delta in client.changes(...)``.

        Args:
            device: Only changes of this device.
            name: Only changes of this property.
            interval: Minimum seconds between two deltas.
            initial: The first delta holds everything.
            timeout: Seconds without a change after which the loop ends; None for never.
        """
        return _begun(
            self._changes(lambda: self._client.changes(device, name, interval=interval, initial=initial), timeout)
        )

    def _changes(self, follow: Callable[[], Cursor], timeout: float | None) -> Iterator[Delta | None]:
        cursors: list[Cursor] = []  # Ctrl-C may come when it is made and not yet known here
        try:
            self._do(lambda: cursors.append(follow()))
            cursor = cursors[0]
            yield None
            while True:
                delta = self._call(_next_or_none(cursor.next, timeout))
                if delta is None:
                    return
                yield delta
        finally:
            for cursor in cursors:
                self._quietly(cursor.close)

    def enable_blobs(self, device: str, name: str | None = None, mode: BlobMode | str = BlobMode.ALSO) -> None:
        """Request BLOBs; the request is repeated when the link has come back."""
        self._call(self._client.enable_blobs(device, name, mode))

    def blobs(
        self, device: str, name: str | None = None, *, member: str | None = None, timeout: float | None = None
    ) -> Iterator[ReceivedBlob | Lost]:
        """BLOBs as they arrive, from the call on: those of a command that follows it wait for you.

        Args:
            device: The device.
            name: The property; None for all.
            member: The member; None for all.
            timeout: Seconds without a BLOB after which the loop ends; None for never.
        """
        return _begun(self._blobs(self._client.blobs(device, name, member=member), timeout))

    def _blobs(
        self, blobs: contextlib.AbstractAsyncContextManager[Tap[ReceivedBlob]], timeout: float | None
    ) -> Iterator[ReceivedBlob | Lost | None]:
        stack = contextlib.AsyncExitStack()
        try:
            stream = self._call(stack.enter_async_context(blobs))
            yield None
            while True:
                blob = self._call(_next_or_none(stream.next, timeout))
                if blob is None:
                    return
                yield blob
        finally:
            self._leave(stack)

    def save_blobs(
        self, folder: str | os.PathLike[str], device: str, name: str | None = None, *, count: int | None = None
    ) -> list[Path]:
        """Write BLOBs to files as they arrive, until `count` have arrived; returns their paths."""
        paths: list[Path] = []
        self._call(self._client.save_blobs(folder, device, name, saved=lambda _, path: paths.append(path), count=count))
        return paths

    def _quietly(self, function: Callable[[], None]) -> None:
        with contextlib.suppress(NotConnected):
            self._do(function)

    def _leave(self, stack: contextlib.AsyncExitStack) -> None:
        """An iterator is over; also one that was left somewhere, which goes in any thread."""
        loop = self._loop
        if threading.current_thread() is not self._thread:
            with contextlib.suppress(NotConnected):
                self._call(stack.aclose())
        elif loop is not None:
            _Call(stack.aclose()).start()


class _Call(Generic[Result]):
    """A coroutine that another thread waits for.

    Attributes:
        over: A lock that is free when it is over.
        task: The task, with its result.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, Result]) -> None:
        self.over = threading.Lock()
        self.over.acquire()
        self.task: asyncio.Task[Result] | None = None
        self._coroutine = coroutine

    # Called in the thread of the loop

    def start(self) -> None:
        self.task = asyncio.get_running_loop().create_task(self._coroutine)
        self.task.add_done_callback(self._done)

    def cancel(self) -> None:
        assert self.task is not None
        self.task.cancel()

    def _done(self, task: asyncio.Task[Result]) -> None:
        if not task.cancelled():
            task.exception()  # perhaps nobody waits any more
        self.over.release()


def _begun(items: Iterator[Result | None]) -> Iterator[Result]:
    """Run a generator up to its first None, so that nothing is missed between the call and the first use."""
    next(items)
    return cast("Iterator[Result]", items)


async def _next_or_none(take: Callable[[], Coroutine[Any, Any, Result]], timeout: float | None) -> Result | None:
    """The next item; None at the end, and when there is none in time."""
    try:
        async with asyncio.timeout(timeout):
            return await take()
    except (StopAsyncIteration, TimeoutError):
        return None
