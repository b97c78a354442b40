"""Any network of servers, rings included: whoever asks is shown everything, and nothing circulates.

The routers are real; the links between them, the drivers and the time are not.
"""

from __future__ import annotations

import random
from collections import deque

from hypothesis import given, note, settings
from hypothesis import strategies as st

from indipydriver.protocol.encode import encode
from indipydriver.protocol.frame import Frame
from indipydriver.protocol.messages import GetProperties
from indipydriver.protocol.tags import Verb
from indipyserver.routing.endpoint import Delivery, Endpoint, Role
from indipyserver.routing.router import Router
from tests.support.routing import define

NAMES = "ABCD"
PROPERTIES = ("p", "q")
LATENCY = 0.0005  # seconds that one element takes
MOST_STEPS = 30_000  # some ten times what the largest of these networks takes


class Network:
    """Servers, and who is connected to whom.

    Args:
        links: For each link the server above, which has connected, and the one below.
        chance: Decides what arrives next.
    """

    def __init__(self, links: list[tuple[str, str]], chance: random.Random) -> None:
        self.now = 0.0
        self.chance = chance
        self.routers = {name: Router(name, clock=lambda: self.now) for name in NAMES}
        self.homes: dict[Endpoint, str] = {}
        self.ends: dict[Endpoint, Endpoint] = {}  # the other end of a link between servers
        self.queues: dict[Endpoint, deque[Frame]] = {}  # what is on its way to an endpoint
        self.drivers: dict[Endpoint, str] = {}
        self.inboxes: dict[Endpoint, list[Frame]] = {}
        for above, below in links:
            down = self.add(above, Role.REMOTE, f"{above} to {below}")
            up = self.add(below, Role.CLIENT, f"{below} from {above}")
            self.ends[down], self.ends[up] = up, down
            self.queues[down].append(encode(GetProperties("*")))

    def add(self, server: str, role: Role, label: str) -> Endpoint:
        endpoint = Endpoint(label, role)
        self.routers[server].attach(endpoint)
        self.homes[endpoint] = server
        self.queues[endpoint] = deque()
        self.inboxes[endpoint] = []
        return endpoint

    def driver(self, server: str, device: str) -> None:
        endpoint = self.add(server, Role.DRIVER, f"driver of {device}")
        self.drivers[endpoint] = device
        self.send(endpoint, [define(device, name) for name in PROPERTIES])

    def send(self, endpoint: Endpoint, frames: list[Frame]) -> None:
        self.deliver(self.routers[self.homes[endpoint]].route(endpoint, frames))

    def deliver(self, deliveries: list[Delivery]) -> None:
        for frames, endpoints in deliveries:
            for endpoint in endpoints:
                if endpoint in self.ends or endpoint in self.drivers:
                    self.queues[endpoint] += frames
                else:
                    self.inboxes[endpoint] += frames

    def step(self) -> bool:
        """One element arrives somewhere; False if none is on its way."""
        busy = [endpoint for endpoint, queue in self.queues.items() if queue]
        if not busy:
            return False
        endpoint = self.chance.choice(busy)
        frame = self.queues[endpoint].popleft()
        self.now += LATENCY
        if endpoint in self.ends:
            self.send(self.ends[endpoint], [frame])
        elif frame.tag.verb is Verb.GET and frame.device in (None, self.drivers[endpoint]):
            names = [name for name in PROPERTIES if frame.name in (None, name)]
            self.send(endpoint, [define(self.drivers[endpoint], name) for name in names])
        return True

    def settle(self) -> None:
        for _ in range(MOST_STEPS):
            if not self.step():
                return
        raise AssertionError("something circulates")


@st.composite
def networks(draw: st.DrawFn) -> list[tuple[str, str]]:
    """Links between some servers, half of the time a ring and more."""
    names = NAMES[: draw(st.integers(2, 4))]
    links = [(above, below) for above in names for below in names if above != below]
    ring = list(zip(names, names[1:] + names[0], strict=True)) if draw(st.booleans()) else []
    return sorted({*ring, *draw(st.lists(st.sampled_from(links), max_size=3))})


@settings(max_examples=150)
@given(
    networks(),
    st.lists(st.sampled_from(NAMES), min_size=1, max_size=3),
    st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from([0, 1, 3, 10])), min_size=1, max_size=8),
    st.randoms(use_true_random=False),
)
def test_whoever_asks_is_shown_everything_that_its_server_has(
    links: list[tuple[str, str]], drivers: list[str], asks: list[tuple[str, int]], chance: random.Random
) -> None:
    network = Network(links, chance)
    for number, server in enumerate(drivers):
        network.driver(server, f"device {number}")
    network.settle()
    clients = []
    for number, (server, steps) in enumerate(asks):
        client = network.add(server, Role.CLIENT, f"client {number}")
        clients.append(client)
        network.send(client, [encode(GetProperties())])
        for _ in range(steps):
            network.step()
    network.settle()
    for client in clients:
        router = network.routers[network.homes[client]]
        shown = {(frame.device, frame.name) for frame in network.inboxes[client] if frame.tag.verb is Verb.DEF}
        there = {(device, name) for device, properties in router.devices.defined(None, None) for name in properties}
        note(f"{client.label} at {network.homes[client]}")
        assert there <= shown
