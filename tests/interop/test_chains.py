"""Trees with servers that nobody here wrote in them: Debian's indiserver, above and below, and PyPI's indipyserver."""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

import indipydriver as ipd
from indipyserver.sources.backoff import Backoff
from tests.support import (
    ROOT,
    IndiClient,
    Program,
    asynchronous,
    eventually,
    free_port,
    gone,
    match,
    new_vector,
    quiet,
    require,
    running_server,
    started,
    wait_for_port,
)
from tests.support.drivers import Echo, echo_device, echo_driver

pytestmark = [pytest.mark.interop, pytest.mark.timeout(150)]

WHEEL, CCD, FOCUSER = "Filter Simulator", "CCD Simulator", "Focuser Simulator"
PYPI_SERVER = str(ROOT / "tests" / "fixtures" / "drivers" / "pypi_server.py")
CHAINED = """
import asyncio, sys
from indipyserver import IPyServer
from indipyserver.sources.backoff import Backoff

async def main():
    server = IPyServer(host="127.0.0.1", port=int(sys.argv[1]))
    for word in sys.argv[2:]:
        if word.startswith("@"):
            server.add_remote("127.0.0.1", int(word[1:]), blob_enable=True, backoff=Backoff(0.05, 0.1))
        else:
            server.add_exdriver(word)
    await server.asyncrun()

asyncio.run(main())
"""


class Place:
    """A server in a process of its own, which can be killed and started again on its port."""

    def __init__(self, home: Path, *words: str, kind: str = "ours", python: str = sys.executable) -> None:
        self.port = free_port()
        self.home = home
        if kind == "ours":
            self.command = [python, "-c", CHAINED, str(self.port), *words]
        elif kind == "indiserver":
            name = f"/tests/indiserver/{self.port}"
            self.command = [require("indiserver"), "-p", str(self.port), "-u", name, *words]
        else:
            self.command = [python, PYPI_SERVER, str(self.port), *words]
        self.kind = kind
        self.program: Program
        self._stack = contextlib.ExitStack()

    async def start(self) -> None:
        # PyPI's packages have the names of ours: they must not see this directory.
        cwd = self.home if self.kind == "pypi" else ROOT
        self.program = self._stack.enter_context(started(*self.command, cwd=cwd, HOME=str(self.home)))
        await wait_for_port(self.port, self.program)

    async def kill(self) -> None:
        """As by kill -9; what it has started ends too."""
        drivers = self.program.children()
        self._stack.close()
        await eventually(lambda: all(map(gone, drivers)), timeout=15)

    @property
    def word(self) -> str:
        return f"@{self.port}" if self.kind == "ours" else f"@127.0.0.1:{self.port}"


@contextlib.asynccontextmanager
async def standing(*places: Place) -> AsyncIterator[None]:
    try:
        for place in places:
            await place.start()
        yield
    finally:
        for place in reversed(places):
            await place.kill()


def soon() -> Backoff:
    return Backoff(0.05, 0.1)


def has(client: IndiClient, tag: str, **attributes: Any) -> Callable[[], bool]:
    """A condition: such an element has come."""
    wanted = match(tag, **attributes)
    return lambda: any(map(wanted, client.received))


async def comes(client: IndiClient, tag: str, timeout: float = 25, **attributes: Any) -> None:
    await eventually(has(client, tag, **attributes), timeout)


def forget(*clients: IndiClient) -> None:
    for client in clients:
        client.received.clear()
        client._taken = 0


def connecting(device: str) -> str:
    return new_vector("Switch", device, "CONNECTION", CONNECT="On")


async def connect(client: IndiClient, device: str) -> None:
    await comes(client, "defSwitchVector", device=device, name="CONNECTION")
    await client.send(connecting(device))
    await comes(client, "setSwitchVector", device=device, name="CONNECTION", state="Ok", values={"CONNECT": "On"})


async def expose(client: IndiClient, count: int = 2) -> None:
    await comes(client, "defBLOBVector", device=CCD, name="CCD1")
    for _ in range(count):
        await client.send(new_vector("Number", CCD, "CCD_EXPOSURE", CCD_EXPOSURE_VALUE="0.01"))
        blob = await client.expect(match("setBLOBVector", device=CCD, name="CCD1"), timeout=25)
        text = "".join((blob[0].text or "").split())
        assert len(text) == -(-int(blob[0].get("size", "0")) // 3) * 4 > 1_000_000


# Ours above, indiserver as a leaf


@pytest.mark.parametrize("leaf", ["indiserver", "ours"])
@asynchronous
async def test_three_servers_and_each_is_killed_in_turn(leaf: str, tmp_path: Path) -> None:
    """The leaf has a camera; the server in between a filter wheel. Nothing else is disturbed, and it heals by itself."""
    for program in ("indi_simulator_ccd", "indi_simulator_wheel"):
        require(program)
    bottom = Place(tmp_path, "indi_simulator_ccd", kind=leaf)
    middle = Place(tmp_path, "indi_simulator_wheel", f"@{bottom.port}")
    async with (
        standing(bottom, middle),
        running_server(echo_driver("Top")) as top,
        IndiClient(top.port) as client,
        IndiClient(top.port) as other,
    ):
        await client.get_properties()
        await other.get_properties(device="Top")
        top.add_remote("127.0.0.1", middle.port, blob_enable=True, backoff=soon())
        await client.enable_blob(CCD)
        await connect(client, WHEEL)
        await connect(client, CCD)
        await expose(client)
        for place, lost in ((bottom, [CCD]), (middle, [WHEEL, CCD]), (bottom, [CCD])):
            forget(client)
            await place.kill()
            for device in lost:
                await comes(client, "delProperty", device=device, name=None)
            await client.send(new_vector("Number", "Top", "pos", n=1))
            await other.expect(match("setNumberVector", device="Top"))
            if WHEEL not in lost:
                await client.send(new_vector("Number", WHEEL, "FILTER_SLOT", FILTER_SLOT_VALUE="2"))
                await comes(client, "setNumberVector", device=WHEEL, name="FILTER_SLOT")
            await place.start()
            for device in lost:
                await connect(client, device)
            await expose(client, 1)
            deleted = Counter(
                e.get("device") for e in client.received if e.tag == "delProperty" and e.get("name") is None
            )
            assert deleted == dict.fromkeys(lost, 1)
        assert {e.get("device") for e in other.received if e.get("device")} == {"Top"}


# Ours as a leaf of indiserver


@asynchronous
async def test_ours_below_indiserver(tmp_path: Path) -> None:
    """With the same camera, in a tree indiserver - ours - ours."""
    require("indi_simulator_ccd")
    bottom = Place(tmp_path, "indi_simulator_ccd")
    middle = Place(tmp_path, "indi_simulator_wheel", f"@{bottom.port}")
    async with standing(bottom, middle):
        top = Place(tmp_path, f"@127.0.0.1:{middle.port}", kind="indiserver")
        async with standing(top), IndiClient(top.port) as client:
            await client.get_properties()
            await connect(client, WHEEL)
            await connect(client, CCD)
            await client.enable_blob(CCD)
            await expose(client)
            forget(client)
            await bottom.kill()
            await comes(client, "delProperty", device=CCD, name=None)
            await client.send(new_vector("Number", WHEEL, "FILTER_SLOT", FILTER_SLOT_VALUE="2"))
            await comes(client, "setNumberVector", device=WHEEL, name="FILTER_SLOT")
            await bottom.start()
            await connect(client, CCD)
            await expose(client)
        # indiserver above ends when the server below it does, but ours below does not mind that it is gone.
        top = Place(tmp_path, f"{CCD}@127.0.0.1:{middle.port}", kind="indiserver")
        async with standing(top), IndiClient(top.port) as client:
            await client.get_properties()
            await connect(client, CCD)
            await client.enable_blob(CCD)
            await expose(client, 1)


@asynchronous
async def test_indiserver_in_the_middle(tmp_path: Path) -> None:
    """Ours above it and below it."""
    require("indi_simulator_ccd")
    bottom = Place(tmp_path, "indi_simulator_ccd")
    async with standing(bottom):
        middle = Place(tmp_path, "indi_simulator_wheel", f"@127.0.0.1:{bottom.port}", kind="indiserver")
        async with standing(middle), running_server() as top, IndiClient(top.port) as client:
            await client.get_properties()
            await client.enable_blob(CCD)
            remote = top.add_remote("127.0.0.1", middle.port, blob_enable=True, backoff=soon())
            await connect(client, WHEEL)
            await connect(client, CCD)
            await expose(client)
            forget(client)
            await middle.kill()
            await comes(client, "delProperty", device=WHEEL)
            await comes(client, "delProperty", device=CCD)
            await middle.start()
            await connect(client, WHEEL)
            await connect(client, CCD)
            await expose(client, 1)
            assert remote.connects >= 2


@asynchronous
async def test_two_of_ours_that_name_each_other_through_indiserver_are_quiet(tmp_path: Path) -> None:
    require("indi_simulator_wheel")
    async with running_server(echo_driver("A")) as ours, IndiClient(ours.port) as client:
        await client.get_properties()
        theirs = Place(tmp_path, "indi_simulator_wheel", f"@127.0.0.1:{ours.port}", kind="indiserver")
        async with standing(theirs):
            ours.add_remote("127.0.0.1", theirs.port, blob_enable=True, backoff=soon())
            await connect(client, WHEEL)
            await client.send(new_vector("Number", "A", "pos", n=1))
            await comes(client, "setNumberVector", device="A", values={"n": "1"})
            await quiet(ours, window=0.5)
            ours.add_exdriver(sys.executable, "-c", BRIEF, restarts=0)
            await eventually(lambda: any("given up" in (e.get("message") or "") for e in client.received), 15)
            await quiet(ours, window=0.5)
            assert ours.drivers[0].executed == [("A", "pos", {"n": "1"})]  # type: ignore[attr-defined]


BRIEF = """print("<defTextVector device='Brief' name='t' state='Ok' perm='ro'><defText name='a'>x</defText></defTextVector>"
"<message device='Brief' message='bye'/>")"""


# PyPI's indipyserver at the other end


@asynchronous
async def test_pypis_server_below(pypi_python: str, tmp_path: Path) -> None:
    theirs = Place(tmp_path, kind="pypi", python=pypi_python)
    async with (
        standing(theirs),
        running_server(echo_driver("Top")) as server,
        IndiClient(server.port) as client,
    ):
        await client.get_properties()
        server.add_remote("127.0.0.1", theirs.port, blob_enable=True, backoff=soon())
        await comes(client, "defBLOBVector", device="PyPI", name="image")
        for number in (1, 2):
            await client.send(new_vector("Number", "PyPI", "pos", n=number))
            await client.expect(match("setNumberVector", device="PyPI", values={"n": str(number)}))
        await client.enable_blob("PyPI")
        await client.settle()
        await client.send(new_vector("Number", "PyPI", "picture_size", n=50_000))
        blob = await client.expect(match("setBLOBVector", device="PyPI"))
        assert blob[0].get("size") == "200000"
        forget(client)
        await theirs.kill()
        await comes(client, "delProperty", device="PyPI")
        await theirs.start()
        await comes(client, "defNumberVector", device="PyPI", name="pos")
        await client.send(new_vector("Number", "PyPI", "pos", n=3))
        await client.expect(match("setNumberVector", device="PyPI", values={"n": "3"}))


@asynchronous
async def test_pypis_server_above(pypi_python: str, tmp_path: Path) -> None:
    async with running_server(driver := echo_driver("Ours")) as below:
        theirs = Place(tmp_path, str(below.port), kind="pypi", python=pypi_python)
        async with standing(theirs), IndiClient(theirs.port) as client:
            await client.get_properties()
            await comes(client, "defBLOBVector", device="PyPI", name="image")
            await comes(client, "defBLOBVector", device="Ours", name="image")
            await client.send(new_vector("Number", "Ours", "pos", n=1))
            await comes(client, "setNumberVector", device="Ours", values={"n": "1"})
            assert driver.executed == [("Ours", "pos", {"n": "1"})]
            await client.enable_blob("Ours")
            await eventually(lambda: any(p.interest.wants_blob("Ours", "image") for p in below.connectionpool))
            await client.send("<getProperties version='1.7' device='Ours' name='lamp'/>")
            await comes(client, "defSwitchVector", device="Ours", name="lamp")
            driver["Ours"]["image"]["b"] = b"picture"
            await driver["Ours"]["image"].send_setVectorMembers(members=["b"])
            await comes(client, "setBLOBVector", device="Ours", name="image")
            await quiet(below, window=0.5)


# Mixed


class Observer(Echo):
    """Watches the filter wheel."""

    def __init__(self, name: str) -> None:
        super().__init__(echo_device(name))
        self.slots: list[str] = []

    async def hardware(self) -> None:
        self.snoop(WHEEL, "FILTER_SLOT", 5)

    async def snoopevent(self, event: Any) -> None:
        if isinstance(event, (ipd.defNumberVector, ipd.setNumberVector)):
            self.slots += [str(value) for value in event.values()]


@asynchronous
async def test_mixed_serving(tmp_path: Path) -> None:
    """Two drivers in this process, three simulators, two remotes, one port; a driver snoops two servers away."""
    for program in (
        "indi_simulator_telescope",
        "indi_simulator_focus",
        "indi_simulator_weather",
        "indi_simulator_wheel",
    ):
        require(program)
    bottom = Place(tmp_path, "indi_simulator_wheel")
    middle = Place(tmp_path, "indi_simulator_focus", f"@{bottom.port}")
    leaf = Place(tmp_path, "indi_simulator_rotator", kind="indiserver")
    observer = Observer("Observer")
    async with (
        standing(bottom, middle, leaf),
        running_server(echo_driver("A"), observer) as server,
        IndiClient(server.port) as client,
    ):
        await client.get_properties()
        for name in ("telescope", "weather", "dome"):
            server.add_exdriver(f"indi_simulator_{name}", env={"HOME": str(tmp_path)})
        for place in (middle, leaf):
            server.add_remote("127.0.0.1", place.port, blob_enable=True, backoff=soon())
        simulated = ["Telescope Simulator", "Weather Simulator", "Dome Simulator", FOCUSER, WHEEL, "Rotator Simulator"]
        for device in simulated:
            await connect(client, device)
        await client.send(new_vector("Number", "A", "pos", n=1))
        await comes(client, "setNumberVector", device="A", values={"n": "1"})
        await comes(client, "defNumberVector", device=WHEEL, name="FILTER_SLOT")
        await eventually(lambda: observer.slots, 20)
        for slot in ("3", "5"):
            await client.send(new_vector("Number", WHEEL, "FILTER_SLOT", FILTER_SLOT_VALUE=slot))
            await eventually(lambda s=slot: observer.slots and float(observer.slots[-1]) == float(s), 20)
        assert set(server.board.router.devices) >= {*simulated, "A", "Observer"}
        forget(client)
        await bottom.kill()
        await comes(client, "delProperty", device=WHEEL)
        observer.slots.clear()
        await bottom.start()
        await connect(client, WHEEL)
        await eventually(lambda: observer.slots, 20)
