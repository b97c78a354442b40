"""The clients of one run of a server, from the listening sockets until the last client has been served."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import socket
from collections.abc import Iterable
from functools import partial
from typing import Protocol

from indipydriver.protocol.framer import Limits
from indipydriver.transport.progress import UnfinishedTotal

from ..relay.switchboard import Switchboard
from ..routing.outbox import OutboxLimits
from ..routing.rights import EVERYTHING, Rights
from .acceptor import READ_ONLY_BLOB, Acceptor
from .admission import Admission
from .handshakes import Handshakes
from .lingering import ClientLink
from .listener import Listener, warn_of_open_doors
from .sockets import bind_unix, let_listen, where

__all__ = ["Clientele"]

logger = logging.getLogger("indipyserver.ipyserver")


class ClientSettings(Protocol):
    """The settings of a server that are needed here."""

    unix_socket: str | socket.socket | None
    """An additional local socket to listen on, or its name."""
    unix_any_user: bool
    """Whether every user of this machine may use it."""
    maxconnections: int
    """Clients at the same time."""
    limits: OutboxLimits
    """How much may wait for each."""
    client_limits: Limits
    """What each may send."""
    progress_time: float
    """Seconds in which an unfinished element must end or grow; 0: any time."""
    unfinished_total: int
    """Bytes of all unfinished elements together."""


class Clientele:
    """Opens all listeners, admits clients, and disconnects them at the end.

    Args:
        board: The server's peers.
        admission: Makes peers of their links.
        listeners: What to listen on.
        settings: Apply to all of them.

    Attributes:
        acceptors: What accepts them.

    Raises:
        OSError: It cannot listen on one of them; nothing is left open.
        ValueError: There is nothing to listen on.
    """

    def __init__(
        self,
        board: Switchboard,
        admission: Admission,
        listeners: Iterable[Listener],
        settings: ClientSettings,
    ) -> None:
        self.acceptors: list[Acceptor] = []
        self._board = board
        self._admission = admission
        self._any_user = settings.unix_any_user
        self._most = settings.maxconnections
        self._outbox = settings.limits
        self._limits = settings.client_limits
        self._progress_time = settings.progress_time
        self._unfinished = UnfinishedTotal(settings.unfinished_total, lambda: board.queued_commands)
        self._handshakes = Handshakes(admission.rate)
        self._listeners: list[Listener] = []
        try:
            for listener in listeners:
                self._open(listener, listener.bind())
            local = settings.unix_socket
            if local is not None:
                local = bind_unix(local, self._any_user) if isinstance(local, str) else let_listen(local)
                self._open(Listener((), 0), [local])
            if not any(acceptor.sockets for acceptor in self.acceptors):
                raise ValueError("there is nothing to listen on: no host, no local socket, and no other listener")
        except BaseException:
            self.close()
            raise

    @property
    def places(self) -> list[str]:
        """A description of what is listened on over TCP."""
        return [str(listener) for listener in self._listeners if listener.hosts and listener.sockets]

    def start(self) -> None:
        """Begin to accept clients."""
        warn_of_open_doors(self._listeners)
        for acceptor in self.acceptors:
            acceptor.start()

    def let_in(self, listener: Listener) -> None:
        """Listen on one more.

        Raises:
            OSError: That is not possible.
        """
        self._open(listener, listener.bind()).start()
        warn_of_open_doors([listener])

    def close(self) -> None:
        """Accept no more; connected clients stay."""
        for acceptor in self.acceptors:
            acceptor.close()

    async def say_goodbye(self, deadline: float) -> None:
        """Send all peers what waits for them, until this time of the loop, then end their links."""
        await self._board.settle(deadline)
        for peer in self._board.peers:
            peer.close()
        await self._board.wait_until_empty(deadline)
        self.end()
        await asyncio.sleep(0)

    def end(self) -> None:
        """End everything at once, however the run has ended."""
        self.close()
        for peer in self._board.peers:
            peer.link.abort()
        for listener in self._listeners:
            listener.acceptor = None

    def _open(self, listener: Listener, sockets: list[socket.socket]) -> Acceptor:
        rights = listener.rights
        limits = dataclasses.replace(self._limits, only_indi=True)
        if rights.read_only:
            limits = dataclasses.replace(limits, blob=min(limits.blob, READ_ONLY_BLOB))
        acceptor = Acceptor(
            sockets,
            partial(self._accepted, rights=rights),
            context=listener.ssl,
            limits=limits,
            any_user=self._any_user,
            progress_time=self._progress_time,
            unfinished=self._unfinished,
            rate=self._admission.rate,
            handshakes=self._handshakes,
        )
        listener.acceptor = acceptor
        self.acceptors.append(acceptor)
        self._listeners.append(listener)
        for sock in sockets:
            limited = f" ({rights})" if rights.limited else ""
            logger.info("listening on %s%s%s", where(sock), " with TLS" if listener.ssl is not None else "", limited)
        return acceptor

    def _accepted(self, link: ClientLink, host: str, rights: Rights = EVERYTHING) -> bool:
        return self._admission.admit(link, host, self._most, self._outbox, rights)
