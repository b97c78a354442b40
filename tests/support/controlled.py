"""A server that is controlled without a socket, and without running."""

import asyncio
from typing import Any

import pytest

from indipyserver import IPyServer
from indipyserver.control.desk import Desk
from indipyserver.control.log import RecentLog
from indipyserver.control.watch import Watch
from indipyserver.control.wire import ControlError, Request
from indipyserver.relay.peer import Peer
from indipyserver.routing.endpoint import Role
from indipyserver.routing.outbox import OutboxLimits

from .links import FakeLink

__all__ = ["Asked", "Site"]


class Asked:
    """The connection."""

    label = "a test"

    def __init__(self) -> None:
        self.followed: list[bool] = []

    def follow(self, log: bool) -> None:
        self.followed.append(log)


class Site:
    """A server that is controlled, with a clock that stands still."""

    def __init__(self, *drivers: Any) -> None:
        self.now = 1000.0
        self.touched = 0
        self.server = server = IPyServer(*drivers)
        self.log = RecentLog(lambda line: None)
        self.watch = Watch(server.board, server._sources, server.services, touched=self.touch, clock=lambda: self.now)
        self.watch.begin()
        self.asked = Asked()
        self.desk = Desk(
            server, self.watch, server.services, self.log, turn=lambda: asyncio.sleep(0), clock=lambda: self.now
        )

    def touch(self) -> None:
        self.touched += 1

    async def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        return await self.desk.answer(self.asked, Request(do, arguments))

    async def refused(self, do: str, **arguments: Any) -> tuple[str, str]:
        with pytest.raises(ControlError) as caught:
            await self.ask(do, **arguments)
        return caught.value.code, caught.value.text

    def client(self, label: str = "client 127.0.0.1:5") -> tuple[Peer, FakeLink]:
        link = FakeLink(label)
        peer = Peer(self.server.board, link, Role.CLIENT, limits=OutboxLimits())
        self.server.board.add(peer)
        return peer, link
