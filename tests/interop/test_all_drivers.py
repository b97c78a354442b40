"""All drivers of Debian's indi-bin under one of our servers, compared with the same under indiserver."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from xml.etree.ElementTree import Element

import pytest

from tests.support import (
    IndiClient,
    asynchronous,
    eventually,
    free_port,
    gone,
    match,
    require,
    running_server,
    serving,
)

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]

TOOLS = {"indi_eval", "indi_getprop", "indi_setprop", "indi_hid_test"}
# Programs that say they are the same device: under indiserver all of them get its commands, here the first one does.
SAME_DEVICE = {
    "indi_ieqlegacy_telescope": "iEQ",
    "indi_eq500x_telescope": "Standard LX200",
    "indi_tcfs3_focus": "Optec TCF-S",
}

Definition = tuple[str, str | None, str | None, tuple[str, ...]]
Definitions = dict[tuple[str | None, str | None], Definition]


def installed() -> list[str]:
    """The drivers: what is beside indiserver and is none of its tools."""
    directory = Path(require("indiserver")).parent
    names = sorted(path.name for path in directory.glob("indi_*") if path.name not in TOOLS)
    return [name for name in names if shutil.which(name)]


def definition(element: Element) -> Definition:
    members = tuple(child.get("name", "") for child in element)
    return element.tag, element.get("perm"), element.get("rule"), members


def definitions(client: IndiClient) -> Definitions:
    return {(e.get("device"), e.get("name")): definition(e) for e in client.received if e.tag.startswith("def")}


async def all_said(client: IndiClient, window: float = 1.0) -> Definitions:
    """Wait until there are definitions, and for a while no more have come."""
    count = -1
    async with asyncio.timeout(60):
        while count != len(client.received) or not count:
            count = len(client.received)
            await asyncio.sleep(window)
    return definitions(client)


@contextlib.asynccontextmanager
async def under_indiserver(home: Path, *drivers: str) -> AsyncIterator[Definitions]:
    port = free_port()
    command = [require("indiserver"), "-p", str(port), "-u", f"/tests/indiserver/{port}", "-r", "0", *drivers]
    async with serving(*command, port=port, HOME=str(home)), IndiClient(port) as client:
        await client.get_properties()
        yield await all_said(client)


@asynchronous
async def test_every_driver_defines_what_it_defines_under_indiserver(tmp_path: Path) -> None:
    drivers = installed()
    if len(drivers) >= 142:  # as in indi-bin 1.9.9; other versions have other drivers, and they too shall work
        assert set(SAME_DEVICE) <= set(drivers)
    first = [name for name in drivers if name not in SAME_DEVICE]
    second = [name for name in drivers if name in SAME_DEVICE]
    for group in filter(None, (first, second)):
        for name in ("theirs", "ours"):
            (tmp_path / name).mkdir(exist_ok=True)
        async with under_indiserver(tmp_path / "theirs", *group) as theirs:
            pass
        async with running_server() as server, IndiClient(server.port) as client:
            await client.get_properties()
            for name in group:
                server.add_exdriver(name, env={"HOME": str(tmp_path / "ours")}, restarts=0)
            with contextlib.suppress(AssertionError):
                await eventually(lambda t=theirs, c=client: definitions(c) == t, timeout=40, every=0.25)
            ours = await all_said(client, window=0.5)
            assert [d.program for d in server.exdrivers if not d.devices] == []
            processes = [driver.process.pid for driver in server.exdrivers if driver.process is not None]
            assert len(processes) == len(group)
            # A client that comes later is told the same, and the one that is there is told nothing again.
            before = len(client.received)
            async with IndiClient(server.port) as late:
                await late.get_properties()
                await eventually(lambda c=late, o=ours: definitions(c).keys() >= o.keys(), timeout=20, every=0.1)
            again = [(e.get("device"), e.get("name")) for e in client.received[before:] if e.tag.startswith("def")]
            assert again == []
        assert all(map(gone, processes))
        different = {
            key: (theirs.get(key), ours.get(key))
            for key in theirs.keys() | ours.keys()
            if theirs.get(key) != ours.get(key)
        }
        assert different == {}
        assert len({device for device, _ in ours}) >= len(group)


@asynchronous
async def test_two_programs_with_one_device(tmp_path: Path) -> None:
    for name in ("indi_ieq_telescope", "indi_ieqlegacy_telescope"):
        require(name)
    async with running_server() as server, IndiClient(server.port) as client:
        await client.get_properties()
        first = server.add_exdriver("indi_ieq_telescope", env={"HOME": str(tmp_path)})
        await client.expect(match("defSwitchVector", device="iEQ", name="CONNECTION"), timeout=15)
        server.add_exdriver("indi_ieqlegacy_telescope", env={"HOME": str(tmp_path)})
        message = await client.expect(lambda e: "already served" in (e.get("message") or ""), timeout=15)
        assert "'iEQ'" in (message.get("message") or "")
        assert first.devices == ["iEQ"]
