"""An IPyDriver in this process as a peer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from typing import Protocol

from indipydriver.protocol.encode import encode
from indipydriver.protocol.messages import GetProperties
from indipydriver.protocol.texts import describe
from indipydriver.transport.link import Link
from indipydriver.transport.memory import memory_pair

from ..relay.peer import HANG_TIME, Peer
from ..relay.switchboard import Switchboard
from ..routing.endpoint import Role
from ..routing.outbox import OutboxLimits
from .source import PeerSource

__all__ = ["LocalDriver", "PythonDriver"]

logger = logging.getLogger("indipyserver.ipyserver")


class PythonDriver(Protocol):
    """The shape of a driver: what this server needs of an IPyDriver, so that it need not import it."""

    @property
    def data(self) -> Mapping[str, object]: ...
    def devices(self) -> Iterable[object]: ...
    def keys(self) -> Iterable[str]: ...
    def expect_run(self) -> None: ...
    def expect_no_run(self) -> None: ...
    async def serve(self, link: Link) -> None: ...
    def shutdown(self) -> None: ...


class LocalDriver(PeerSource):
    """Runs one driver on a link in memory, and deletes its devices at the clients when it ends.

    Args:
        board: The server's peers.
        driver: An IPyDriver, which is not run by anybody else.
        limits: How much may wait for it.
        hang_time: Seconds without taking anything after which everybody is told that it is busy; 0: 30 s.

    Attributes:
        driver: The IPyDriver.
        devices: The names of its devices.
        label: What it is, for logs and messages.
    """

    kind = "python"
    restarted = 0

    def __init__(
        self, board: Switchboard, driver: PythonDriver, limits: OutboxLimits, hang_time: float = HANG_TIME
    ) -> None:
        self.driver = driver
        self.devices = list(driver.keys())
        super().__init__(board, f"{type(driver).__name__} ({', '.join(self.devices)})")
        self._limits = limits
        self._hang_time = hang_time

    async def run(self) -> None:
        """Serve until the driver ends, of itself or because of an error, which is logged and told to clients."""
        board = self._board
        for device in self.devices:
            if not board.router.may_claim(device):
                text = f"{self.label} is not served: the device {device!r} already exists"
                self.recent.log(logger, logging.ERROR, text)
                board.announce(text, about=self.devices)
                self.driver.expect_no_run()
                return
        ours, theirs = memory_pair(self.label, "the server")
        peer = self.peer = Peer(
            board,
            ours,
            Role.DRIVER,
            limits=self._limits,
            label=self.label,
            in_process=True,
            hang_time=self._hang_time,
        )
        reason = "the driver has ended"
        try:
            self._introduce(peer)
            await self.driver.serve(theirs)
        except asyncio.CancelledError:
            reason = "the driver has been stopped"
            raise
        except BaseExceptionGroup as group:
            reason = self._failed(peer, _first(group))
            if group.subgroup((KeyboardInterrupt, SystemExit)) is not None:  # the program has to end
                raise
        except Exception as error:
            reason = self._failed(peer, error)
        finally:
            self.driver.expect_no_run()  # if it was not run
            ours.abort()
            board.remove(peer, reason)

    def _failed(self, peer: Peer, error: BaseException) -> str:
        """Log the exception that is being handled, and tell clients; returns the reason, which names this one."""
        reason = f"the driver has failed: {describe(error)}"
        self.recent.log(logger, logging.ERROR, f"{self.label} has failed; everything else continues", traceback=True)
        self.recent.add(logging.ERROR, reason)
        self._board.announce(f"{self.label}: {reason}", about=peer)
        return reason

    def serves(self, thing: object) -> bool:
        """Is this its driver?"""
        return thing is self.driver

    def expect_run(self) -> None:
        """Keep what other coroutines send, from now on, for the run."""
        self.driver.expect_run()

    def stop(self) -> bool:
        """Shut the driver down, which takes some time."""
        try:
            self.driver.shutdown()
        except (Exception, KeyboardInterrupt):
            raise
        except BaseException as error:  # such as sys.exit(), which would end the whole program
            raise RuntimeError(f"shutdown() of {self.label} failed: {error!r}") from error
        return True

    def let_go(self) -> bool:
        """Let a driver go that does not end: its devices are deleted, and what it sends is ignored."""
        if self.peer is not None:
            self.peer.link.abort()
            self._board.remove(self.peer, "the driver has been stopped")
        return True

    def _introduce(self, peer: Peer) -> None:
        """Make the driver a peer that owns its devices."""
        board = self._board
        board.add(peer)
        for device in self.devices:
            board.deliver(None, board.router.claim(device, peer))
        self.recent.log(logger, logging.INFO, f"{self.label} is served")
        if any(
            endpoint.interest.covers(device, None) for endpoint in board.router.endpoints for device in self.devices
        ):
            board.send(peer, encode(GetProperties()))  # another driver was first


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first real exception in a group of groups."""
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner
