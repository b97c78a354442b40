"""Accepts clients on TCP and TLS, and on local sockets."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
import ssl
import threading
from collections.abc import Callable, Coroutine
from typing import Final

from indipydriver.protocol.framer import Limits
from indipydriver.transport.attached import PassingLink
from indipydriver.transport.descriptor import DescriptorLink
from indipydriver.transport.forked import ours_only
from indipydriver.transport.progress import UnfinishedTotal
from indipydriver.transport.sockets import is_tcp, tune_socket
from indipydriver.transport.stream import StreamLink
from indipydriver.transport.watching import can_watch_descriptors

from ..spec import join_host_and_port
from .handshakes import Door, Handshakes
from .lingering import ClientLink
from .lograte import LogRate
from .sockets import FileOf, at_the_other_end

__all__ = ["CLIENT_LIMITS", "PROGRESS_TIME", "READ_ONLY_BLOB", "UNFINISHED_TOTAL", "Acceptor"]

logger = logging.getLogger("indipyserver.ipyserver")

CLIENT_LIMITS = Limits(blob=64 << 20, strict_blobs=True)
"""What a client may send: as a driver, but BLOBs of at most 64 MiB, of which every byte is checked."""
READ_ONLY_BLOB: Final = 64 << 10
"""Bytes of a BLOB from a read-only client: it may not send any, so this is enough to refuse one with a message."""
UNFINISHED_TOTAL: Final = 256 << 20
"""Bytes of all elements that clients of a server have begun and not ended: four uploads of the largest size."""
PROGRESS_TIME: Final = 30.0
"""Seconds in which an unfinished element of a client must end or grow by 1 KiB and by 1/32 of its size."""
_ACCEPTED_A_TURN: Final = 64  # connections that are accepted in one turn
_ACCEPT_PAUSE: Final = 1.0
"""Seconds without accepting after an error that another try would only repeat: no descriptors, no memory."""
_MOST_CLOSING: Final = 16  # connections of other users that are being closed at the same time
_OF_THE_CONNECTION = tuple(
    getattr(errno, name)
    for name in (
        "ECONNABORTED EPROTO ENETDOWN ENOPROTOOPT EHOSTDOWN ENONET EHOSTUNREACH EOPNOTSUPP ENETUNREACH EPERM ECONNRESET"
    ).split()
    if hasattr(errno, name)
)
"""Errors of accept() that concern the connection that was to be accepted (accept(2) of Linux), and not the others."""


class Acceptor:
    """Accepts connections and hands their links on.

    Args:
        sockets: Listening sockets, non-blocking; closed with this.
        accepted: Called with the link of each new client and its address; it opens the link, or returns False
            to refuse it.
        context: For TLS.
        limits: What a client may send.
        any_user: On local sockets, accept every user of this machine, and not only our own and root.
        progress_time: Seconds in which an unfinished element must end or grow; 0: any time.
        unfinished: What the clients may leave unfinished together.
        rate: Limits what is logged about each address.
        handshakes: Those of all listeners of the server.
    """

    def __init__(
        self,
        sockets: list[socket.socket],
        accepted: Callable[[ClientLink, str], bool],
        *,
        context: ssl.SSLContext | None = None,
        limits: Limits = CLIENT_LIMITS,
        any_user: bool = False,
        progress_time: float = PROGRESS_TIME,
        unfinished: UnfinishedTotal | None = None,
        rate: LogRate | None = None,
        handshakes: Handshakes | None = None,
    ) -> None:
        self._sockets = list(map(ours_only, sockets))
        self._files = list(map(FileOf, sockets))
        self._accepted = accepted
        self._limits = limits
        self._any_user = any_user
        self._progress_time = progress_time
        self._unfinished = unfinished
        self._rate = rate or LogRate()
        self._loop = asyncio.get_running_loop()
        self._watches = can_watch_descriptors(self._loop)
        self._handshakes = handshakes or Handshakes(self._rate)
        self._door = Door(context, self._connected) if context is not None else None
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._may_accept = asyncio.Event()
        self._closing = 0  # connections that threads are closing
        self._closed = False

    @property
    def sockets(self) -> list[socket.socket]:
        """The sockets it listens on; none once it is closed."""
        return [] if self._closed else self._sockets

    def start(self) -> None:
        """Begin to accept."""
        if not self._watches:
            for sock in self._sockets:  # closed when nobody waits for it any more
                self._keep(self._accept_all(sock)).add_done_callback(lambda _, sock=sock: sock.close())  # type: ignore[misc]
        self._resume()

    def close(self) -> None:
        """Accept no more; connected clients stay."""
        if self._closed:
            return
        self._pause()
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._door is not None:
            self._handshakes.close(self._door)
        self._loop.call_soon(self._cancel_tasks)  # connections that are already accepted come first
        if self._watches or not self._tasks:  # an accepting task has to end before its socket is closed
            for sock in self._sockets:
                sock.close()
        for file in self._files:
            file.remove()

    def _cancel_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()

    def _resume(self) -> None:
        if not self._closed and not self._may_accept.is_set():
            self._may_accept.set()
            if self._watches:
                for sock in self._sockets:
                    self._loop.add_reader(sock, self._accept, sock)

    def _pause(self, seconds: float = 0.0) -> None:
        """Accept no more, for some seconds or for good."""
        if self._may_accept.is_set():
            self._may_accept.clear()
            if self._watches:
                for sock in self._sockets:
                    self._loop.remove_reader(sock)
        if seconds:
            self._timer = self._loop.call_later(seconds, self._resume)

    # Where the loop watches descriptors

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(_ACCEPTED_A_TURN):  # some of those that wait; others get their turn in between
            if not self._may_accept.is_set():
                return
            try:
                sock, address = listening.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if self._log_failure(error):
                    self._pause(_ACCEPT_PAUSE)
                continue
            self._take(listening, sock, address)

    # Where it does not

    async def _accept_all(self, listening: socket.socket) -> None:
        while True:
            await self._may_accept.wait()
            try:
                sock, address = await self._loop.sock_accept(listening)
            except OSError as error:
                if self._log_failure(error):
                    self._pause(_ACCEPT_PAUSE)
                await asyncio.sleep(0)
                continue
            if self._closed:
                sock.close()
                return
            self._take(listening, sock, address)
            await asyncio.sleep(0)

    # On both

    def _log_failure(self, error: OSError) -> bool:
        """Log that accepting has failed. Returns whether it would fail again at once."""
        again = error.errno not in _OF_THE_CONNECTION
        if self._rate.count_line(""):
            text = (
                "no clients are accepted for a second" if again else "a connection was lost before it could be accepted"
            )
            logger.error("%s: %s", text, error.strerror or error)
        return again

    def _take(self, listening: socket.socket, sock: socket.socket, address: object) -> None:
        """Turn a connection into a client."""
        try:
            tune_socket(ours_only(sock))
            label, host, is_stranger = self._identify(listening, sock, address)
        except OSError as error:  # macOS: the client has gone already
            logger.info("a connection was closed before it could be used: %s", error.strerror or error)
            sock.close()
            return
        if not label:
            self._close_apart(sock.close)
        elif self._door is not None:
            self._handshakes.begin(self._door, sock, self._stream(label), host)
        elif not self._watches:
            task = self._keep(self._connect(sock, self._stream(label), host))
            task.add_done_callback(lambda task: sock.close() if task.cancelled() else None)  # it may not have begun
        else:
            link: ClientLink
            if is_tcp(listening) or not hasattr(socket, "SCM_RIGHTS"):
                link = DescriptorLink(label, sock=sock, limits=self._limits)
            else:  # libindi's clients hand BLOBs over as descriptors there
                close_apart = self._close_apart if is_stranger else None
                link = PassingLink(label, sock, limits=self._limits, close_apart=close_apart)
            self._connected(link, host)

    def _identify(self, listening: socket.socket, sock: socket.socket, address: object) -> tuple[str, str, bool]:
        """The name of a client for logs, "" if it is refused, its address, and whether it is of another local user."""
        if isinstance(address, tuple) and is_tcp(listening):
            return f"client {join_host_and_port(*address[:2])}", str(address[0]), False
        pid, user = at_the_other_end(sock)
        label = f"client process {pid} of user {user}" if pid else "client on the local socket"
        host = f"user {user}"
        is_stranger = user not in (None, 0, os.geteuid())
        if is_stranger and not self._any_user:
            if self._rate.count_line(host):
                logger.warning("%s is refused: only user %d and root may use the local socket", label, os.geteuid())
            label = ""
        return label, host, is_stranger

    def _close_apart(self, close: Callable[[], None]) -> None:
        """Close a connection in a thread: descriptors that were sent through it may take any time to be closed.

        While there are too many of these, nobody is accepted here.
        """

        def close_here() -> None:
            close()
            with contextlib.suppress(RuntimeError):  # the loop has been closed
                self._loop.call_soon_threadsafe(self._note_closed)

        self._closing += 1
        try:
            threading.Thread(target=close_here, name="closing", daemon=True).start()
        except RuntimeError:  # no more threads
            close()
            self._closing -= 1
        if self._closing >= _MOST_CLOSING:
            self._pause()

    def _note_closed(self) -> None:
        self._closing -= 1
        self._resume()

    def _stream(self, label: str) -> StreamLink:
        return StreamLink(label, self._limits)

    async def _connect(self, sock: socket.socket, link: StreamLink, host: str) -> None:
        """Have asyncio serve a connection without TLS."""
        try:
            await self._loop.connect_accepted_socket(lambda: link, sock)
        except BaseException as error:
            sock.close()
            if not isinstance(error, OSError):
                raise
            logger.info("%s was gone before its connection could be used: %s", link.label, error.strerror or error)
            return
        self._connected(link, host)

    def _connected(self, link: ClientLink, host: str) -> bool:
        link.demand_progress(self._progress_time, self._unfinished)
        taken = False
        try:
            taken = self._accepted(link, host)
        except OSError as error:  # the system has no memory to watch one more
            if self._rate.count_line(host):
                logger.error("%s cannot be served: %s", link.label, error.strerror or error)
        finally:  # in any case: otherwise it would keep its place
            if not taken:
                link.abort()
        return taken

    def _keep(self, coroutine: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(coroutine, name="accepting")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
