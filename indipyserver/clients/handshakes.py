"""TLS handshakes of clients: silent connections must not delay others."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from indipydriver.transport.stream import StreamLink
from indipydriver.transport.watching import can_watch_descriptors

from .lograte import LogRate, network_of

__all__ = ["Door", "Handshakes"]

logger = logging.getLogger("indipyserver.ipyserver")

MOST_HANDSHAKES: Final = 64
"""Handshakes at the same time."""
HANDSHAKE_SHARE: Final = 32
"""The most of these from one address."""
MOST_HANDSHAKES_WAITING: Final = 256
"""Connections that wait for a handshake; with one more, one that has sent nothing is closed."""
WAITING_SHARE: Final = 96
"""The most of these from one address: KStars opens some tens of connections at once."""
TIME: Final = 10.0
"""Seconds that a handshake may take, and that a connection may wait for it."""
SILENT_TIME: Final = 0.2
"""Seconds after which one whose client has sent nothing gives way to one whose client has: TLS begins with a message
of the client, which comes with the connection."""
SLOW_TIME: Final = 2.0
"""Seconds after which a started handshake gives way: several round trips round the world, on a busy machine."""
_LOOK: Final = 0.025  # seconds until the waiting ones are checked again


@dataclass(eq=False, frozen=True, slots=True)
class Door:
    """One of the listeners with TLS of a server.

    Attributes:
        context: For TLS.
        connected: Called with each link and the address of its client; returns False to refuse it.
    """

    context: ssl.SSLContext
    connected: Callable[[StreamLink, str], bool]


@dataclass(eq=False, slots=True)
class _Handshake:
    door: Door
    sock: socket.socket
    link: StreamLink
    host: str
    network: str
    since: float  # its arrival, then its beginning
    silent: bool  # its client has sent nothing, as far as known
    task: asyncio.Task[None] | None = None

    def drop(self) -> None:
        """End the connection.

        If the handshake is already done, asyncio still watches the number of the descriptor, which may soon be that of
        another connection: so its transport ends first.
        """
        self.link.abort()
        with contextlib.suppress(OSError):
            self.sock.close()

    def look(self) -> bool:
        """Has its client sent nothing yet?"""
        if self.silent:
            try:
                self.silent = not self.sock.recv(1, socket.MSG_PEEK)
            except OSError:  # nothing yet, or it has gone
                pass
        return self.silent


class Handshakes:
    """Makes links from connections to a server's TLS listeners, which share their places.

    Args:
        rate: Limits what is logged about each address.
    """

    def __init__(self, rate: LogRate) -> None:
        self._rate = rate
        self._loop = asyncio.get_running_loop()
        self._watches = can_watch_descriptors(self._loop)
        self._running: list[_Handshake] = []  # oldest first
        self._waiting: list[_Handshake] = []
        self._ending: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, door: Door, sock: socket.socket, link: StreamLink, host: str) -> None:
        """Handle a new connection.

        Args:
            door: Where.
            sock: The connection.
            link: The link for it, once the handshake is done.
            host: Its address.
        """
        new = _Handshake(door, sock, link, host, network_of(host), self._loop.time(), self._watches)
        self._waiting.append(new)
        own = [each for each in self._waiting if each.network == new.network]
        if len(own) > WAITING_SHARE:
            self._refuse(next((each for each in own if each.look()), new))
        elif len(self._waiting) > MOST_HANDSHAKES_WAITING:
            self._refuse(next((each for each in self._waiting if each.look()), new))
        if new in self._waiting and not self._is_crowded(new.network):
            self._start(new)
        else:
            self._look_soon()

    def close(self, door: Door) -> None:
        """End the connections of this listener."""
        for handshake in [each for each in self._waiting if each.door is door]:
            self._waiting.remove(handshake)
            handshake.sock.close()
        for handshake in [each for each in self._running if each.door is door]:
            self._end(handshake)
        self._start_waiting()

    def _look_soon(self) -> None:
        """Check all waiting connections together: in a flood there may be hundreds."""
        if self._waiting and self._timer is None:
            self._timer = self._loop.call_later(_LOOK, self._start_waiting)

    def _start_waiting(self) -> None:
        """Start those for which there is room, or for which room can be made."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._running = [each for each in self._running if each.task is None or not each.task.done()]
        full: set[str] = set()  # addresses for which no other can give way now
        for handshake in list(self._waiting):
            if not self._is_crowded(handshake.network) or self._make_room(handshake, full):
                self._start(handshake)
            elif handshake.since + TIME < self._loop.time():
                self._refuse(handshake)
        self._look_soon()

    def _start(self, handshake: _Handshake) -> None:
        self._waiting.remove(handshake)
        handshake.since = self._loop.time()
        task = handshake.task = self._loop.create_task(self._run(handshake), name="TLS handshake")
        self._running.append(handshake)
        task.add_done_callback(lambda _: self._ended(handshake))

    def _refuse(self, handshake: _Handshake) -> None:
        """Close a waiting connection."""
        self._log(handshake, "too many clients at once")
        self._waiting.remove(handshake)
        handshake.sock.close()

    def _is_crowded(self, network: str) -> bool:
        """Must another one end before one of this address can begin?"""
        running = self._running
        return len(running) >= MOST_HANDSHAKES or sum(each.network == network for each in running) >= HANDSHAKE_SHARE

    def _make_room(self, handshake: _Handshake, full: set[str]) -> bool:
        """End the oldest that can give way to one whose client has begun, preferably a silent one."""
        network = handshake.network
        if network in full or handshake.look():
            return False
        crowd = [each for each in self._running if each.network == network]
        if len(crowd) < HANDSHAKE_SHARE:
            crowd = self._running
        now = self._loop.time()
        late = [each for each in crowd if now > each.since + (SILENT_TIME if each.look() else SLOW_TIME)]
        if not late:
            full.add(network)
            return False
        oldest = next((each for each in late if each.silent), late[0])
        self._log(oldest, "it gives way to another")
        self._end(oldest)
        return True

    def _end(self, handshake: _Handshake) -> None:
        self._running.remove(handshake)
        assert handshake.task is not None
        if handshake.task.done():  # in this turn of the loop: the socket is its client's now
            return
        handshake.task.cancel()
        self._ending.add(handshake.task)
        handshake.task.add_done_callback(self._ending.discard)
        handshake.task.add_done_callback(lambda _: handshake.sock.close())  # it may not even have begun

    def _ended(self, handshake: _Handshake) -> None:
        if handshake in self._running:
            self._running.remove(handshake)
        self._look_soon()

    def _log(self, handshake: _Handshake, why: str) -> None:
        if self._rate.count_line(handshake.host):
            logger.warning("%s: the TLS handshake failed: %s", handshake.link.label, why)

    async def _run(self, handshake: _Handshake) -> None:
        sock, link, door = handshake.sock, handshake.link, handshake.door
        why = ""
        try:
            async with asyncio.timeout(TIME):
                if self._watches and not await self._wait_for_begin(sock):
                    logger.info("%s disconnected without sending anything", link.label)
                    sock.close()
                    return
                handshake.silent = False
                await self._loop.connect_accepted_socket(
                    lambda: link, sock, ssl=door.context, ssl_handshake_timeout=TIME
                )
        except TimeoutError:
            why = f"no handshake in {TIME:g} s"
        except OSError as error:  # including those of TLS
            why = str(error) or type(error).__name__
        except BaseException:
            handshake.drop()
            raise
        if why:
            self._log(handshake, why)
            handshake.drop()
        elif not door.connected(link, handshake.host):
            link.abort()

    async def _wait_for_begin(self, sock: socket.socket) -> bool:
        """Wait for the first byte of the client; False if the client ends the connection instead."""
        readable = self._loop.create_future()
        fd = sock.fileno()
        self._loop.add_reader(fd, lambda: None if readable.done() else readable.set_result(None))
        try:
            await readable
        finally:
            self._loop.remove_reader(fd)
        return bool(sock.recv(1, socket.MSG_PEEK))
