"""An IPyDriver in this process as a peer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Protocol

from indipydriver.protocol.encode import encode
from indipydriver.protocol.messages import GetProperties
from indipydriver.transport.link import Link
from indipydriver.transport.memory import memory_pair

from .outbox import OutboxLimits
from .party import Role
from .peer import HANG_TIME, Peer
from .switchboard import Switchboard

__all__ = ["LocalDriver", "PythonDriver"]

logger = logging.getLogger("indipyserver.ipyserver")


class PythonDriver(Protocol):
    """The shape of a driver: what this server needs of an IPyDriver, so that it need not import it."""

    def devices(self) -> Iterable[object]: ...
    def keys(self) -> Iterable[str]: ...
    def expect_run(self) -> None: ...
    async def serve(self, link: Link) -> None: ...
    def shutdown(self) -> None: ...


class LocalDriver:
    """Runs one driver on a link in memory, and deletes its devices at the clients when it ends.

    Args:
        board: The server's peers.
        driver: An IPyDriver, which is not run by anybody else.
        limits: How much may wait for it.
        hang_time: Seconds without taking anything after which it is ended; 0: never.
    """

    def __init__(
        self, board: Switchboard, driver: PythonDriver, limits: OutboxLimits, hang_time: float = HANG_TIME
    ) -> None:
        self.driver = driver
        self.devices = list(driver.keys())
        self.label = f"{type(driver).__name__} ({', '.join(self.devices)})"
        self.peer: Peer | None = None
        self._board = board
        self._limits = limits
        self._hang_time = hang_time

    async def run(self) -> None:
        """Serve until the driver ends, of itself or because of an error, which is logged and told to clients."""
        ours, theirs = memory_pair(self.label, "the server")
        peer = self.peer = Peer(
            self._board,
            ours,
            Role.DRIVER,
            limits=self._limits,
            label=self.label,
            in_process=True,
            hang_time=self._hang_time,
        )
        board = self._board
        for device in self.devices:
            if device in board.router.devices:
                text = f"{self.label} is not served: the device {device!r} is already there"
                logger.error("%s", text)
                board.announce(text)
                return
        board.add(peer)
        for device in self.devices:
            board.router.claim(device, peer)
        logger.info("%s is served", self.label)
        if any(party.interest.covers(device, None) for party in board.router.parties for device in self.devices):
            board.send(peer, encode(GetProperties()))  # somebody was here first
        reason = "the driver has ended"
        try:
            await self.driver.serve(theirs)
        except asyncio.CancelledError:
            reason = "the driver has been stopped"
            raise
        except BaseExceptionGroup as group:
            reason = f"the driver has failed: {_first(group)!r}"
            logger.exception("%s has failed; the others go on", self.label)
            if not isinstance(group, ExceptionGroup):
                raise
        except Exception as error:
            reason = f"the driver has failed: {error!r}"
            logger.exception("%s has failed; the others go on", self.label)
        finally:
            board.deliver(None, board.router.detach(peer, f"{self.label}: {reason}"))
            ours.abort()


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first real exception in a group of groups."""
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner
