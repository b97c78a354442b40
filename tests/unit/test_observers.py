"""What looks on at a server."""

from __future__ import annotations

import pytest

from indipydriver.protocol.frame import Frame
from indipydriver.protocol.framer import Framer
from indipyserver import IPyServer, Observer
from indipyserver.relay.peer import Peer
from indipyserver.relay.switchboard import Switchboard
from indipyserver.routing.endpoint import Delivery, Role
from indipyserver.routing.outbox import OutboxLimits
from tests.support.links import FakeLink
from tests.support.servers import asynchronous


class Everything(Observer):
    """Writes down all that it sees, and may fail at it."""

    def __init__(self, fails: bool = False) -> None:
        self.seen: list[tuple[str, str, list[str]]] = []
        self.fails = fails

    def note(self, what: str, peer: Peer, texts: list[str]) -> None:
        self.seen.append((what, peer.label, texts))
        if self.fails:
            raise RuntimeError("cannot look")

    def peer_added(self, peer: Peer) -> None:
        self.note("added", peer, [])

    def received(self, peer: Peer, frames: list[Frame]) -> None:
        self.note("received", peer, [frame.tag.text for frame in frames])

    def routed(self, peer: Peer, deliveries: list[Delivery]) -> None:
        self.note("routed", peer, [endpoint.label for _, endpoints in deliveries for endpoint in endpoints])


def peer(board: Switchboard, role: Role, label: str) -> Peer:
    new = Peer(board, FakeLink(), role, limits=OutboxLimits(), label=label)
    board.add(new)
    return new


@pytest.mark.parametrize("fails", [False, True])
@asynchronous
async def test_an_observer_sees_all_and_its_failures_cost_nothing(
    fails: bool, caplog: pytest.LogCaptureFixture
) -> None:
    board, observer = Switchboard("here"), Everything(fails)
    board.observe(observer)
    driver, client = peer(board, Role.DRIVER, "driver"), peer(board, Role.CLIENT, "client")
    client.frames_received(Framer().feed(b"<getProperties version='1.7'/>"))
    for _ in range(2):
        driver.frames_received(Framer().feed(b"<message device='D' message='hello'/>"))
    assert client.sent == 2
    assert observer.seen == [
        ("added", "driver", []),
        ("added", "client", []),
        ("received", "client", ["getProperties"]),
        ("routed", "client", ["driver"]),
        *[("received", "driver", ["message"]), ("routed", "driver", ["client"])] * 2,
    ]
    logged = [record.getMessage() for record in caplog.records if "has failed" in record.getMessage()]
    assert len(logged) == (3 if fails else 0), "each method once"


class Farewell(Observer):
    """Counts those who leave."""

    def __init__(self) -> None:
        self.left: list[str] = []

    def peer_removed(self, peer: Peer) -> None:
        self.left.append(peer.label)
        raise RuntimeError("cannot look")


@asynchronous
async def test_who_leaves_is_told_once_and_to_those_who_observe() -> None:
    board, observer, other = Switchboard("here"), Farewell(), Farewell()
    board.observe(observer)
    board.observe(other)
    first, second = peer(board, Role.DRIVER, "driver"), peer(board, Role.CLIENT, "client")
    board.remove(first, None)
    board.remove(first, "again")
    board.unobserve(other)
    board.remove(second, None)
    assert observer.left == ["driver", "client"]
    assert other.left == ["driver"]


class Odd:
    """A callable without a name and without a hash."""

    __hash__ = None  # type: ignore[assignment]

    def __call__(self, *_: object) -> None:
        raise RuntimeError("cannot look")


@asynchronous
async def test_a_failing_observer_whose_methods_are_other_callables_costs_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    kind = type("Odd", (Observer,), {"peer_added": Odd(), "received": Odd(), "routed": Odd()})
    board = Switchboard("here")
    board.observe(kind())
    driver, client = peer(board, Role.DRIVER, "driver"), peer(board, Role.CLIENT, "client")
    client.frames_received(Framer().feed(b"<getProperties version='1.7'/>"))
    driver.frames_received(Framer().feed(b"<message device='D' message='hello'/>"))
    assert client.sent == 1
    assert caplog.text.count("has failed") == 3


@asynchronous
async def test_what_an_observer_does_not_override_is_not_called() -> None:
    board = Switchboard("here")
    board.observe(Observer())
    assert [board._greeters, board._watchers, board._followers] == [[], [], []]


def test_an_observer_is_added_to_a_server() -> None:
    server = IPyServer(port=0)
    server.add_observer(Everything())
    with pytest.raises(TypeError, match="observer"):
        server.add_observer(lambda peer: None)  # type: ignore[arg-type]
