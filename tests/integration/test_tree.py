"""Trees of our servers in one process: what is seen where, what is executed, what travels, and what does not go round."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

import indipydriver as ipd
from indipyserver import IPyServer
from indipyserver.sources.backoff import Backoff
from tests.support import IndiClient, asynchronous, eventually, match, new_vector, quiet, running, running_server
from tests.support.drivers import Echo, echo_device, echo_driver

PROPERTIES = ("pos", "name", "lamp", "image")
SIZE = 200_000


def soon() -> Backoff:
    """For links that are to heal within a test."""
    return Backoff(0.02, 0.02)


class Watcher(Echo):
    """Has a device, and keeps the news of what it snoops."""

    def __init__(self, name: str) -> None:
        super().__init__(echo_device(name))
        self.news: list[tuple[str, str, str]] = []
        self.blobs: list[bytes] = []

    async def snoopevent(self, event: Any) -> None:
        self.news.append((type(event).__name__, event.devicename, getattr(event, "vectorname", None) or ""))
        if isinstance(event, ipd.setBLOBVector):
            self.blobs += event.values()

    def heard(self, event: str, device: str, vector: str = "pos") -> Callable[[], bool]:
        """A condition to wait for."""
        return lambda: (event, device, vector) in self.news


class Place:
    """One server of a tree: it can be stopped, and started again on its port."""

    def __init__(self, name: str, *below: Place, host: str = "127.0.0.1", **link: Any) -> None:
        self.name = name
        self.below = below
        self.host = host
        self.link = {"blob_enable": True, "backoff": soon, **link}
        self.port = 0
        self.driver = Watcher(name)
        self.server: IPyServer
        self._stack = contextlib.AsyncExitStack()

    async def start(self) -> None:
        self.driver = Watcher(self.name)
        self.server = IPyServer(self.driver, host=self.host, port=self.port, shutdown_grace=0.5)
        for place in self.below:
            self.server.add_remote(place.host, place.port, **{**self.link, "backoff": self.link["backoff"]()})
        await self._stack.enter_async_context(running(self.server))
        self.port = self.server.port

    async def stop(self) -> None:
        await self._stack.aclose()

    def client(self) -> IndiClient:
        return IndiClient(self.port, self.host)


@contextlib.asynccontextmanager
async def chain(*names: str, **link: Any) -> AsyncIterator[list[Place]]:
    """Servers one above the other, the first on top; each with a device of its name."""
    places: list[Place] = []
    for name in reversed(names):
        places.insert(0, Place(name, *places[:1], **link))
    async with standing(*reversed(places)):
        top = places[0].server
        await eventually(lambda: all(name in top.board.router.devices for name in names))
        yield places


@contextlib.asynccontextmanager
async def standing(*places: Place) -> AsyncIterator[None]:
    """These servers run, started in this order."""
    try:
        for place in places:
            await place.start()
        yield
    finally:
        for place in reversed(places):
            await place.stop()


async def see(client: IndiClient, *devices: str) -> None:
    """Wait until it has all definitions of these devices."""
    for device in devices:
        for name in PROPERTIES:
            wanted = match("def.*", device=device, name=name)
            await eventually(lambda wanted=wanted: any(map(wanted, client.received)))


def definitions(client: IndiClient) -> Counter[tuple[str | None, str | None]]:
    return Counter((e.get("device"), e.get("name")) for e in client.received if e.tag.startswith("def"))


# What is seen and what is done


@asynchronous
async def test_everything_is_seen_from_the_top_once() -> None:
    async with chain("Top", "Middle", "Bottom") as (top, middle, bottom), top.client() as client:
        await client.get_properties()
        await see(client, "Top", "Middle", "Bottom")
        await quiet(top.server, middle.server, bottom.server)
        assert definitions(client) == {(d, p): 1 for d in ("Top", "Middle", "Bottom") for p in PROPERTIES}
        async with top.client() as late:
            await late.get_properties()
            await see(late, "Top", "Middle", "Bottom")
            await quiet(top.server, middle.server, bottom.server)
            assert set(definitions(late).values()) == {1}
        assert set(definitions(client).values()) == {1}, "the answers to another client came here too"
        async with middle.client() as lower:
            await lower.get_properties()
            await see(lower, "Middle", "Bottom")
            assert not any(device == "Top" for device, _ in definitions(lower)), "devices above are not below"


@asynchronous
async def test_one_property_through_three_servers() -> None:
    async with chain("Top", "Middle", "Bottom") as (top, middle, bottom), top.client() as client:
        await client.get_properties(device="Bottom", name="name")
        await client.expect(match("defTextVector", device="Bottom", name="name"))
        bottom.driver["Bottom"]["pos"]["n"] = 3
        await bottom.driver["Bottom"]["pos"].send_setVector()
        bottom.driver["Bottom"]["name"]["t"] = "x"
        await bottom.driver["Bottom"]["name"].send_setVector()
        await client.expect(match("setTextVector", device="Bottom"))
        await quiet(top.server, middle.server, bottom.server)
        assert definitions(client) == {("Bottom", "name"): 1}
        assert not any(map(match(name="pos"), client.received))


@asynchronous
async def test_a_command_is_executed_once_and_answered_everywhere() -> None:
    async with chain("Top", "Middle", "Bottom") as places, contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(place.client()) for place in places]
        for client in clients:
            await client.get_properties()
            await see(client, "Bottom")
        for number in range(1, 4):
            await clients[0].send(new_vector("Number", "Bottom", "pos", n=number))
            for client in clients:
                await client.expect(match("setNumberVector", device="Bottom", state="Ok", values={"n": str(number)}))
        await clients[0].send(new_vector("Switch", "Middle", "lamp", s="On"))
        await clients[1].expect(match("setSwitchVector", device="Middle", values={"s": "On"}))
        await quiet(*(place.server for place in places))
        assert places[2].driver.executed == [("Bottom", "pos", {"n": str(n)}) for n in range(1, 4)]
        assert places[1].driver.executed == [("Middle", "lamp", {"s": "On"})]
        assert places[0].driver.executed == []
        for client in clients:  # the others saw what was commanded, once; the sender did not
            echoes = [e for e in client.received if e.tag == "newNumberVector"]
            assert len(echoes) == (0 if client is clients[0] else 3)


@asynchronous
async def test_a_blob_as_a_command_arrives_whole_two_servers_below() -> None:
    async with chain("Top", "Middle", "Bottom") as (top, _, bottom), top.client() as client:
        await client.get_properties()
        await see(client, "Bottom")
        await client.send(
            "<newBLOBVector device='Bottom' name='image'><oneBLOB name='b' size='6' format='.bin'>aW1hZ2Vz</oneBLOB>"
            "</newBLOBVector>"
        )
        await client.expect(match("setBLOBVector", device="Bottom", state="Ok"))
        assert bottom.driver.executed == [("Bottom", "image", {"b": str(b"images")})]


# BLOBs


async def picture(place: Place, fill: bytes = b"x") -> None:
    """Have the driver of this place send one."""
    vector = place.driver[place.name]["image"]
    vector["b"] = fill * SIZE
    await vector.send_setVectorMembers(members=["b"])


async def marker(place: Place, clients: list[IndiClient], number: int) -> None:
    """What was sent before has arrived when this has."""
    vector = place.driver[place.name]["pos"]
    vector["n"] = number
    await vector.send_setVector()
    for client in clients:
        await client.expect(match("setNumberVector", device=place.name, values={"n": str(number)}))


def crossed(place: Place) -> int:
    """Bytes that have come over the link of this server to the one below."""
    peer = place.server.remotes[0].peer
    assert peer is not None
    return peer.link.bytes_received


def pictures(client: IndiClient) -> int:
    return sum(1 for e in client.received if e.tag == "setBLOBVector" and len(e))


@asynchronous
async def test_a_blob_crosses_a_link_only_if_somebody_beyond_enabled_it() -> None:
    async with chain("Top", "Middle", "Bottom") as (top, middle, bottom), contextlib.AsyncExitStack() as stack:
        above = await stack.enter_async_context(top.client())
        between = await stack.enter_async_context(middle.client())
        for client in (above, between):
            await client.get_properties()
            await see(client, "Bottom")

        async def send_and_count(number: int) -> tuple[bool, bool, int, int]:
            await quiet(top.server, middle.server, bottom.server, window=0.05)
            before = crossed(top), crossed(middle), pictures(above), pictures(between)
            await picture(bottom)
            await marker(bottom, [above, between], number)
            after = crossed(top), crossed(middle), pictures(above), pictures(between)
            links = [b - a > SIZE for a, b in zip(before[:2], after[:2], strict=True)]
            return links[0], links[1], after[2] - before[2], after[3] - before[3]

        assert await send_and_count(1) == (False, False, 0, 0)
        await between.enable_blob("Bottom")
        assert await send_and_count(2) == (False, True, 0, 1)
        await above.enable_blob("Bottom", name="image")
        assert await send_and_count(3) == (True, True, 1, 1)
        await between.enable_blob("Bottom", "Never")
        assert await send_and_count(4) == (True, True, 1, 0)
        await above.enable_blob("Top")  # of another device: changes nothing for this one
        assert await send_and_count(5) == (True, True, 1, 0)
        await above.enable_blob("Bottom", "Never", name="image")
        assert await send_and_count(6) == (False, False, 0, 0)
        await above.enable_blob("Bottom")
        assert await send_and_count(7) == (True, True, 1, 0)
        async with top.client() as third:  # who leaves takes his wish along, and no other's
            await third.enable_blob("Bottom")
            await third.settle()
        assert await send_and_count(8) == (True, True, 1, 0)


@asynchronous
async def test_two_clients_with_different_modes_do_not_starve_each_other() -> None:
    """The last mode counted for all clients of a server; Only cut everything else off for all of them."""
    async with chain("Top", "Middle", "Bottom") as (top, _, bottom), contextlib.AsyncExitStack() as stack:
        also, never, only = [await stack.enter_async_context(top.client()) for _ in range(3)]
        for client in (also, never, only):
            await client.get_properties()
            await see(client, "Bottom")
        for client, mode in ((also, "Also"), (only, "Only"), (never, "Never")):
            await client.enable_blob("Bottom", mode)
            await client.settle()
        await quiet(*(place.server for place in (top, bottom)), window=0.1)
        await picture(bottom)
        await marker(bottom, [also, never], 1)
        await only.expect(match("setBLOBVector", device="Bottom"))
        await picture(bottom)
        await only.expect(match("setBLOBVector", device="Bottom"))
        await marker(bottom, [also, never], 2)
        assert [pictures(client) for client in (also, never, only)] == [2, 0, 2]
        assert not any(map(match("setNumberVector"), only.received))


@asynchronous
async def test_without_blob_enable_no_blob_passes_a_link() -> None:
    async with chain("Top", "Bottom", blob_enable=False) as (top, bottom), top.client() as client:
        await client.get_properties()
        await client.enable_blob("Bottom")
        await see(client, "Bottom")
        await client.settle()
        await picture(bottom)
        await marker(bottom, [client], 1)
        assert pictures(client) == 0
        assert crossed(top) < SIZE


@asynchronous
async def test_an_idle_client_costs_a_link_nothing() -> None:
    """Interest travels: what nobody above wants is not asked for again and again."""
    async with chain("Top", "Middle", "Bottom") as (top, middle, bottom), top.client() as client:
        await client.settle()
        await quiet(top.server, middle.server, bottom.server)
        before = crossed(top), crossed(middle)
        async with top.client() as other:
            await other.get_properties(device="Nobody")
            await other.settle()
        await asyncio.sleep(0.2)
        assert (crossed(top), crossed(middle)) == before


# Snooping


WAYS = {  # who snoops on whom, in a tree of Top above Middle above Bottom and Side
    "down": ("Top", "Bottom"),
    "up": ("Bottom", "Top"),
    "sideways": ("Side", "Bottom"),
    "one down": ("Middle", "Bottom"),
    "one up": ("Bottom", "Middle"),
}


@contextlib.asynccontextmanager
async def family() -> AsyncIterator[dict[str, Place]]:
    bottom, side = Place("Bottom"), Place("Side")
    middle = Place("Middle", bottom, side)
    top = Place("Top", middle)
    async with standing(bottom, side, middle, top):
        devices = top.server.board.router.devices
        await eventually(lambda: all(name in devices for name in ("Top", "Middle", "Bottom", "Side")))
        yield {place.name: place for place in (top, middle, bottom, side)}


@pytest.mark.parametrize("way", WAYS)
@asynchronous
async def test_snooping_through_the_tree(way: str) -> None:
    who, whom = WAYS[way]
    async with family() as places:
        snooper, snooped = places[who].driver, places[whom].driver
        for name in ("pos", "image"):
            await snooper.send_getProperties(whom, name)
        await eventually(snooper.heard("defNumberVector", whom))
        await eventually(snooper.heard("defBLOBVector", whom, "image"))
        snooped[whom]["pos"]["n"] = 7
        await snooped[whom]["pos"].send_setVector()
        await eventually(snooper.heard("setNumberVector", whom))
        await quiet(*(place.server for place in places.values()), window=0.1)
        await picture(places[whom], b"\x07")
        await eventually(lambda: snooper.blobs)
        assert snooper.blobs == [b"\x07" * SIZE]
        assert not any(vector in ("lamp", "name") for _, _, vector in snooper.news)
        await snooped[whom].send_device_message("hello")
        await eventually(snooper.heard("Message", whom, ""))


@asynchronous
async def test_a_snooped_blob_crosses_no_link_that_is_not_on_its_way() -> None:
    async with family() as places:
        await places["Side"].driver.send_getProperties("Bottom", "image")
        await eventually(places["Side"].driver.heard("defBLOBVector", "Bottom", "image"))
        await quiet(*(place.server for place in places.values()))
        before = crossed(places["Top"])
        await picture(places["Bottom"])
        await eventually(lambda: places["Side"].driver.blobs)
        await quiet(*(place.server for place in places.values()), window=0.1)
        assert crossed(places["Top"]) - before < SIZE


# Links that are lost


@pytest.mark.parametrize("lost", ["Middle", "Bottom"])
@asynchronous
async def test_a_server_goes_and_comes_back(lost: str) -> None:
    async with chain("Top", "Middle", "Bottom") as places, contextlib.AsyncExitStack() as stack:
        top, middle, bottom = places
        everything = await stack.enter_async_context(top.client())
        of_top = await stack.enter_async_context(top.client())
        await everything.get_properties()
        await of_top.get_properties(device="Top")
        await see(everything, "Top", "Middle", "Bottom")
        await see(of_top, "Top")
        await top.driver.send_getProperties("Bottom", "pos")
        await eventually(top.driver.heard("defNumberVector", "Bottom"))
        for round_ in range(2):
            everything.received.clear()
            everything._taken = 0
            top.driver.news.clear()
            place = {"Middle": middle, "Bottom": bottom}[lost]
            await place.stop()
            gone = ["Bottom"] if lost == "Bottom" else ["Middle", "Bottom"]
            for device in gone:
                await eventually(
                    lambda d=device: any(map(match("delProperty", device=d, name=None), everything.received))
                )
            await eventually(top.driver.heard("delProperty", "Bottom", ""))
            await everything.send(new_vector("Number", "Top", "pos", n=round_ + 1))
            await of_top.expect(match("setNumberVector", device="Top", values={"n": str(round_ + 1)}))
            await place.start()
            await see(everything, *gone)
            await eventually(top.driver.heard("defNumberVector", "Bottom"))
            await everything.send(new_vector("Number", "Bottom", "pos", n=5 + round_))
            await everything.expect(match("setNumberVector", device="Bottom", values={"n": str(5 + round_)}))
            await eventually(top.driver.heard("setNumberVector", "Bottom"))
            deleted = Counter(e.get("device") for e in everything.received if e.tag == "delProperty")
            assert deleted == dict.fromkeys(gone, 1)
            assert all(definitions(everything)[device, name] == 1 for device in gone for name in PROPERTIES)
        assert {e.get("device") for e in of_top.received if e.get("device")} == {"Top"}


@asynchronous
async def test_the_top_comes_back_and_snoopers_below_hear_it() -> None:
    async with chain("Top", "Middle", "Bottom") as (top, _, bottom):
        await bottom.driver.send_getProperties("Top", "pos")
        await eventually(bottom.driver.heard("defNumberVector", "Top"))
        bottom.driver.news.clear()
        await top.stop()
        await eventually(bottom.driver.heard("delProperty", "Top", ""))
        assert ("defNumberVector", "Top", "pos") not in bottom.driver.news
        await top.start()
        await eventually(bottom.driver.heard("defNumberVector", "Top"))


@asynchronous
async def test_blobs_flow_again_after_a_link_was_lost() -> None:
    async with chain("Top", "Middle", "Bottom") as (top, middle, bottom), top.client() as client:
        await client.get_properties()
        await client.enable_blob("Bottom")
        await see(client, "Bottom")
        for place in (middle, bottom):
            await place.stop()
            await client.expect(match("delProperty", device="Bottom"))
            await place.start()
            await client.expect(match("defBLOBVector", device="Bottom"))
            await quiet(top.server, middle.server, bottom.server, window=0.1)
            await picture(bottom)
            await client.expect(match("setBLOBVector", device="Bottom"))


@asynchronous
async def test_a_change_of_state_is_told_once() -> None:
    """Every retry sent four messages to all clients."""
    leaf = Place("Leaf")
    await leaf.start()
    await leaf.stop()
    async with running_server(echo_driver("A")) as server, IndiClient(server.port) as client:
        await client.get_properties()
        remote = server.add_remote("127.0.0.1", leaf.port, backoff=soon())
        await client.expect(match("message", message=f"Connection refused on {remote.where}"))
        await asyncio.sleep(0.3)  # some ten tries
        for _ in range(2):
            await leaf.start()
            await client.expect(match("defNumberVector", device="Leaf"))
            await leaf.stop()
            await client.expect(match("delProperty", device="Leaf"))
            await client.expect(match("message", message=f"Connection refused on {remote.where}"))
            await asyncio.sleep(0.2)
        messages = [e.get("message") for e in client.received if e.tag == "message" and e.get("device") is None]
        once = [
            f"Connected to {remote.where}",
            f"Connection Lost on {remote.where}",
            f"Connection refused on {remote.where}",
        ]
        begin = [f"Attempting to connect to {remote.where}", f"Connection refused on {remote.where}"]
        assert messages == begin + once * 2


@asynchronous
async def test_a_name_with_markup_breaks_nothing() -> None:
    """The text about the state of the link could not be parsed."""
    async with running_server(echo_driver("A")) as server, IndiClient(server.port) as client:
        await client.get_properties()
        server.add_remote('a&b"<c>', 7624, backoff=Backoff(30.0))
        message = await client.expect(match("message"), timeout=20)
        assert 'a&b"<c>' in (message.get("message") or "")
        await client.settle()


@asynchronous
async def test_a_remote_that_cannot_be_found_or_reached_ends_nothing() -> None:
    """A name that did not resolve, or a refused connection, ended the server."""
    async with running_server(echo_driver("A")) as server, IndiClient(server.port) as client:
        await client.get_properties()
        await see(client, "A")
        server.add_remote("name.that.does.not.exist.invalid", 7624, backoff=soon())
        server.add_remote("127.0.0.1", 1, backoff=soon())
        await client.expect(match("message", message="Connection refused on 127.0.0.1:1"))
        await client.send(new_vector("Number", "A", "pos", n=1))
        await client.expect(match("setNumberVector", device="A"))


# Loops


class Loop:
    """Servers that are linked in a ring: each serves the next one's devices."""

    def __init__(self, *names: str) -> None:
        self.places = [Place(name) for name in names]

    @property
    def servers(self) -> list[IPyServer]:
        return [place.server for place in self.places]

    async def __aenter__(self) -> Loop:
        for place in self.places:
            await place.start()
        for place, following in zip(self.places, self.places[1:] + self.places[:1], strict=True):
            place.server.add_remote("127.0.0.1", following.port, blob_enable=True, backoff=soon())
        names = {place.name for place in self.places}
        await eventually(lambda: all(names <= set(server.board.router.devices) for server in self.servers))
        return self

    async def __aexit__(self, *_: object) -> None:
        for place in self.places:
            await place.stop()


LOOPS = {"itself": ("A",), "two": ("A", "B"), "three": ("A", "B", "C")}


@pytest.mark.parametrize("kind", LOOPS)
@asynchronous
async def test_a_loop_of_servers_is_quiet(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """Elements went round for ever, or the servers ended."""
    names = LOOPS[kind]
    async with Loop(*names) as loop, contextlib.AsyncExitStack() as stack:
        await quiet(*loop.servers)
        clients = [await stack.enter_async_context(place.client()) for place in loop.places]
        for client in clients:
            await client.get_properties()
            await see(client, *names)
        await quiet(*loop.servers)
        for client in clients:
            assert definitions(client) == {(name, prop): 1 for name in names for prop in PROPERTIES}
        # Everybody commands everything: each command is executed once, and its answer is seen once.
        number = 0
        for client in clients:
            for name in names:
                number += 1
                await client.send(new_vector("Number", name, "pos", n=number))
                wanted = match("setNumberVector", device=name, values={"n": str(number)})
                for other in clients:
                    await eventually(lambda o=other, w=wanted: any(map(w, o.received)))
        await quiet(*loop.servers)
        for place in loop.places:
            assert len(place.driver.executed) == len(names)
        for client in clients:
            answers = Counter(
                values["n"]
                for e in client.received
                if e.tag == "setNumberVector"
                for values in [{c.get("name"): (c.text or "").strip() for c in e}]
            )
            assert answers == {str(n): 1 for n in range(1, number + 1)}
        # BLOBs too.
        for client in clients:
            await client.enable_blob(names[0])
            await client.settle()
        await quiet(*loop.servers)
        await picture(loop.places[0])
        for client in clients:
            await client.expect(match("setBLOBVector", device=names[0]))
        await loop.servers[0].send_message("to everybody")
        await quiet(*loop.servers)
        assert [pictures(client) for client in clients] == [1] * len(clients)
        for client in clients:
            assert sum(map(match("message", message="to everybody"), client.received)) == 1
    refusals = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert {text.split()[0] for text in refusals} == {"remote"}
    assert len(refusals) == len(names)
    for name in names:
        assert sum(repr(name) in text and "refused" in text for text in refusals) == 1


@pytest.mark.parametrize("kind", LOOPS)
@asynchronous
async def test_nothing_goes_round_in_a_loop_when_a_device_goes(kind: str) -> None:
    """Its last words have no owner any more when they come round: whoever took them would send them on for ever."""
    names = LOOPS[kind]
    async with Loop(*names) as loop, contextlib.AsyncExitStack() as stack:
        client = await stack.enter_async_context(loop.places[-1].client())
        await client.get_properties()
        await see(client, *names)
        for _ in range(3):
            brief = Watcher("Brief")
            first = loop.servers[0]
            first.add_driver(brief)
            await client.expect(match("defBLOBVector", device="Brief"))
            # Everything that a device says, and then it is gone, all in one turn of the loop.
            await brief["Brief"].send_device_message("I go")
            brief["Brief"]["pos"]["n"] = 1
            await brief["Brief"]["pos"].send_setVector()
            await brief["Brief"]["lamp"].send_defVector()
            await brief["Brief"]["name"].send_delProperty()
            await first.remove(brief)
            await client.expect(match("delProperty", device="Brief", name=None))
            await quiet(*loop.servers)
            assert all("Brief" not in server.board.router.devices for server in loop.servers)


CRASHING = """
import sys
sys.stdout.write("<defTextVector device='Crash' name='t' state='Ok' perm='ro'><defText name='a'>x</defText></defTextVector>"
    "<message device='Crash' message='bye'/><setTextVector device='Crash' name='t'><oneText name='a'>y</oneText></setTextVector>"
    "<message device='Unknown' message='bye'/><delProperty device='Unknown2'/>"
    "<setTextVector device='Unknown3' name='t'><oneText name='a'>y</oneText></setTextVector>")
"""


@pytest.mark.parametrize("kind", LOOPS)
@asynchronous
async def test_a_driver_that_crashes_at_once_sends_nothing_round(kind: str) -> None:
    async with Loop(*LOOPS[kind]) as loop:
        loop.servers[0].add_exdriver(sys.executable, "-c", CRASHING, restarts=2, backoff=soon())
        async with loop.places[-1].client() as client:
            await client.get_properties()
            await eventually(
                lambda: any("given up" in (e.get("message") or "") for e in client.received if e.tag == "message"),
                timeout=15,
            )
            await quiet(*loop.servers)
            assert all("Crash" not in server.board.router.devices for server in loop.servers)


@asynchronous
async def test_snooping_on_nobody_in_a_loop_is_quiet() -> None:
    async with Loop("A", "B", "C") as loop:
        await quiet(*loop.servers)
        await loop.places[0].driver.send_getProperties("Nobody", "pos")
        loop.places[1].driver.snoopall = True
        await loop.places[1].driver.send_getProperties()
        await eventually(loop.places[1].driver.heard("defNumberVector", "A"))
        await quiet(*loop.servers)


@asynchronous
async def test_a_loop_heals_when_a_server_of_it_comes_back() -> None:
    async with Loop("A", "B", "C") as loop:
        lost = loop.places[1]
        lost.below = (loop.places[2],)
        await lost.stop()
        await eventually(lambda: all("B" not in s.board.router.devices for s in (loop.servers[0], loop.servers[2])))
        await lost.start()
        await eventually(lambda: all({"A", "B", "C"} <= set(server.board.router.devices) for server in loop.servers))
        await quiet(*loop.servers)


# One device, two owners


@pytest.mark.parametrize("kind", ["driver and remote", "two remotes"])
@asynchronous
async def test_a_device_of_two_links_stays_with_the_first(kind: str) -> None:
    """A device that was known ended the server."""
    first, second = Place("Same"), Place("Same")
    middle = Place("Same", second) if kind == "driver and remote" else Place("Other", first, second)
    async with standing(first, second, middle), middle.client() as client:
        await client.get_properties()
        await eventually(
            lambda: (
                len(middle.server.board.router.devices.of(middle.server.remotes[0].peer)) == 1
                or kind == "driver and remote"
            )
        )
        message = await client.expect(lambda e: e.tag == "message" and "already served" in (e.get("message") or ""))
        assert "'Same'" in (message.get("message") or "")
        await see(client, "Same")
        await client.send(new_vector("Number", "Same", "pos", n=1))
        await client.expect(match("setNumberVector", device="Same", values={"n": "1"}))
        await quiet(first.server, second.server, middle.server)
        executed = [len(place.driver.executed) for place in (first, second, middle)]
        assert sorted(executed) == [0, 0, 1]
        assert definitions(client)["Same", "pos"] == 1


ONE_DEVICE = """
import sys
print("<defTextVector device='Twin' name='who' state='Ok' perm='rw'><defText name='a'>{0}</defText></defTextVector>", flush=True)
for line in sys.stdin:
    if "newTextVector" in line:
        print("<setTextVector device='Twin' name='who' state='Ok'><oneText name='a'>{0}</oneText></setTextVector>", flush=True)
"""


@asynchronous
async def test_two_exdrivers_with_one_device(caplog: pytest.LogCaptureFixture) -> None:
    """They ended the server."""
    async with running_server(echo_driver("A")) as server, IndiClient(server.port) as client:
        await client.get_properties()
        first = server.add_exdriver(sys.executable, "-c", ONE_DEVICE.format("first"))
        await client.expect(match("defTextVector", device="Twin", values={"a": "first"}))
        server.add_exdriver(sys.executable, "-c", ONE_DEVICE.format("second"))
        await client.expect(lambda e: e.tag == "message" and "already served" in (e.get("message") or ""))
        await client.send(new_vector("Text", "Twin", "who", a="x") + "\n")
        await client.expect(match("setTextVector", device="Twin", values={"a": "first"}))
        await client.send(new_vector("Number", "A", "pos", n=1))
        await client.expect(match("setNumberVector", device="A"))
        assert not any(map(match(device="Twin", values={"a": "second"}), client.received))
        await server.remove(first)
        await client.expect(match("delProperty", device="Twin"))
    assert len([r for r in caplog.records if r.levelno == logging.ERROR and "already served" in r.getMessage()]) == 1


# While it runs


@asynchronous
async def test_links_are_added_and_removed_while_the_server_runs() -> None:
    """Added after the start, they had no effect."""
    leaf = Place("Leaf")
    async with standing(leaf), running_server(echo_driver("A")) as server, IndiClient(server.port) as client:
        await client.get_properties()
        await see(client, "A")
        for number in range(3):
            remote = server.add_remote("127.0.0.1", leaf.port, backoff=soon())
            await client.expect(match("defBLOBVector", device="Leaf"))
            assert remote.devices == ["Leaf"]
            await client.send(new_vector("Number", "Leaf", "pos", n=number))
            await client.expect(match("setNumberVector", device="Leaf"))
            await server.remove(remote)
            await client.expect(match("delProperty", device="Leaf"))
            assert server.remotes == []
            await eventually(lambda: not leaf.server.connectionpool)
            with pytest.raises(ValueError, match="not served"):
                await server.remove(remote)


@asynchronous
async def test_a_link_is_removed_while_it_tries_to_connect() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        async with running_server(echo_driver("A")) as server:
            remote = server.add_remote("127.0.0.1", full.getsockname()[1], backoff=Backoff(60.0))
            await asyncio.sleep(0)
            async with asyncio.timeout(2):
                await server.remove(remote)


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
@asynchronous
async def test_ipv6() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 loopback here")
    bottom = Place("Bottom", host="::1")
    top = Place("Top", bottom, host="::1")
    async with standing(bottom, top), top.client() as client:
        await client.get_properties()
        await see(client, "Top", "Bottom")
        assert top.server.remotes[0].where == f"[::1]:{bottom.port}"
        await client.send(new_vector("Number", "Bottom", "pos", n=1))
        await client.expect(match("setNumberVector", device="Bottom"))
    async with standing(bottom), running_server(echo_driver("A")) as server, IndiClient(server.port) as client:
        await client.get_properties()
        server.add_remote("localhost", bottom.port)  # 127.0.0.1 refuses, ::1 does not, if localhost has both
        server.add_remote("::1", bottom.port, device="Bottom")
        await see(client, "Bottom")


@asynchronous
async def test_one_device_of_a_server() -> None:
    """As `Device@host` in indiserver: nothing else of that server is seen or can be commanded."""
    async with contextlib.AsyncExitStack() as stack:
        wanted, other = echo_driver("Wanted"), echo_driver("Other")
        below = await stack.enter_async_context(running_server(wanted, other))
        server = await stack.enter_async_context(running_server(echo_driver("A")))
        client = await stack.enter_async_context(IndiClient(server.port))
        await client.get_properties()
        server.add_remote("127.0.0.1", below.port, device="Wanted", blob_enable=True)
        await see(client, "Wanted")
        await client.get_properties(device="Other")
        await client.send(new_vector("Number", "Other", "pos", n=1))
        await client.send(new_vector("Number", "Wanted", "pos", n=1))
        await client.expect(match("setNumberVector", device="Wanted"))
        await client.enable_blob("Wanted")
        await quiet(below, server, window=0.1)
        wanted["Wanted"]["image"]["b"] = b"data"
        await wanted["Wanted"]["image"].send_setVectorMembers(members=["b"])
        await client.expect(match("setBLOBVector", device="Wanted"))
        await quiet(below, server)
        assert other.executed == []
        assert {device for device, _ in definitions(client)} == {"A", "Wanted"}


@asynchronous
async def test_two_devices_of_one_server_by_two_links() -> None:
    """As `A@host B@host` in indiserver, where what has no device then came twice."""
    async with contextlib.AsyncExitStack() as stack:
        below = await stack.enter_async_context(running_server(echo_driver("A"), echo_driver("B"), echo_driver("C")))
        server = await stack.enter_async_context(running_server())
        for device in "AB":
            server.add_remote("127.0.0.1", below.port, device=device)
        client = await stack.enter_async_context(IndiClient(server.port))
        await client.get_properties()
        await see(client, "A", "B")
        await quiet(below, server)
        assert definitions(client) == {(d, p): 1 for d in "AB" for p in PROPERTIES}


@asynchronous
async def test_thousands_of_elements_through_three_servers_keep_their_order() -> None:
    count = 5000
    async with chain("Top", "Middle", "Bottom") as (top, _, bottom), top.client() as client:
        await client.get_properties(device="Bottom", name="pos")
        await client.expect(match("defNumberVector", device="Bottom"))
        vector = bottom.driver["Bottom"]["pos"]
        for number in range(1, count + 1):
            vector["n"] = number
            await vector.send_setVector()
        await client.expect(match("setNumberVector", values={"n": str(count)}), timeout=30)
        numbers = [(e[0].text or "").strip() for e in client.received if e.tag == "setNumberVector"]
        assert numbers == [str(n) for n in range(1, count + 1)]
