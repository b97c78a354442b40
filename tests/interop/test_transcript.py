"""One session against Debian's indiserver and against ours: who received what, message by message.

Two drivers (alpha, and beta that snoops on alpha) and four clients: one that asks for everything, one for the device
alpha, one for the property alpha.number, one for nothing. After each step all of them, and the drivers, come to rest;
what a client received in that step is compared after normalising white space, attribute order and quotes, and time.
Every difference is in the table DIFFERENCES with its reason; docs/reference/compliance.md lists the same reasons.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element

import pytest

from tests.support import ROOT, IndiClient, free_port, new_vector, require, serving

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]

SCRIPT = ROOT / "tests" / "fixtures" / "drivers" / "fixed.py"
CLIENTS = ("all", "device", "property", "nothing")


@dataclass(frozen=True)
class Step:
    """What one client sends."""

    name: str
    client: str
    text: str


def command(what: str, device: str = "alpha") -> str:
    return new_vector("Text", device, "text", t=what)


STEPS = [
    Step("all asks", "all", "<getProperties version='1.7'/>"),
    Step("device asks", "device", "<getProperties version='1.7' device='alpha'/>"),
    Step("property asks", "property", "<getProperties version='1.7' device='alpha' name='number'/>"),
    Step("all asks again", "all", "<getProperties version='1.7'/>"),
    Step("a command of all", "all", new_vector("Number", "alpha", "number", n=3)),
    Step("a command of device", "device", new_vector("Switch", "alpha", "switch", a="Off", b="On")),
    Step("a command of property", "property", new_vector("Number", "alpha", "number", n=4)),
    Step("a command to beta", "all", new_vector("Number", "beta", "number", n=5)),
    Step("a command to nobody", "all", new_vector("Number", "gamma", "number", n=5)),
    Step("messages", "all", command("message")),
    Step("a BLOB, not enabled", "all", command("blob")),
    Step("device enables BLOBs", "device", "<enableBLOB device='alpha'>Also</enableBLOB>"),
    Step("a BLOB, enabled", "all", command("blob")),
    Step("all wants only BLOBs of alpha", "all", "<enableBLOB device='alpha'>Only</enableBLOB>"),
    Step("an update while all wants only BLOBs", "device", new_vector("Number", "alpha", "number", n=6)),
    Step("an update of beta meanwhile", "all", new_vector("Number", "beta", "number", n=7)),
    Step("a BLOB meanwhile", "device", command("blob")),
    Step("all wants everything again", "all", "<enableBLOB device='alpha'>Never</enableBLOB>"),
    Step("all redefined, unchanged", "device", command("define")),
    Step("a property is deleted", "device", command("delete")),
    Step("an unknown element", "all", command("unknown")),
    Step("ping", "nothing", "<pingRequest uid='one'/>"),
    Step("a client sets", "all", "<setNumberVector device='alpha' name='number' state='Ok'>"
         "<oneNumber name='n'>9</oneNumber></setNumberVector>"),
    Step("a client defines", "all", "<defLightVector device='alpha' name='x' state='Ok'><defLight name='l'>Ok</defLight>"
         "</defLightVector>"),
    Step("a client deletes", "all", "<delProperty device='alpha'/>"),
    Step("the device is deleted", "device", command("delete all")),
    Step("the device is defined again", "device", command("define")),
    Step("nothing asks for a device that is not there", "nothing", "<getProperties version='1.7' device='gamma'/>"),
    Step("the driver ends and is restarted", "all", command("exit")),
]  # fmt: skip

# Reasons, in the words of docs/reference/compliance.md; `+` what we send and indiserver does not, `-` the other way.
ANSWERS = "Definitions go to those who miss them"
PROPERTY = "A client of one property hears of its whole device"
REASON = "A driver's end is told with its reason"
ONLY = "Only concerns one device, and leaves definitions and deletions"
FORGED = "Clients cannot speak for devices"
UNKNOWN = "Unknown elements are dropped"
SNOOPS = "Requests of drivers are not sent to clients"
RESTART = "A restart waits, and is announced"
ORDER = "X"


def normal(element: Element) -> str:
    """One line for an element; what is time or chance is left out."""
    attributes = [f"{name}={value!r}" for name, value in sorted(element.attrib.items()) if name != "timestamp"]
    text = " ".join((element.text or "").split())
    children = "".join(f" [{normal(child)}]" for child in element)
    return " ".join([element.tag, *attributes, *([repr(text)] if text else [])]) + children


def shorter(line: str) -> str:
    """The line, with definitions cut to what is defined."""
    return line


async def at_rest(clients: Iterable[IndiClient], window: float = 0.12) -> None:
    """Wait until nobody has received anything for a while."""
    seen = -1
    while seen != (seen := sum(len(client.received) for client in clients)):
        await asyncio.sleep(window)


async def session(port: int) -> dict[tuple[str, str], list[str]]:
    """What each client received in each step."""
    received = {}
    async with contextlib.AsyncExitStack() as stack:
        clients = {name: await stack.enter_async_context(IndiClient(port)) for name in CLIENTS}
        for step in STEPS:
            before = {name: len(client.received) for name, client in clients.items()}
            await clients[step.client].send(step.text)
            await at_rest(clients.values(), 1.0 if step.name.startswith(("the driver ends", "all asks")) else 0.12)
            for name, client in clients.items():
                received[step.name, name] = [normal(e) for e in client.received[before[name] :]]
    return received


@contextlib.asynccontextmanager
async def server(kind: str, directory: Path) -> AsyncIterator[int]:
    """Either server with both drivers; the port."""
    drivers = []
    for name in ("alpha", "beta"):
        driver = directory / name
        driver.write_text(f"#!{sys.executable}\n{SCRIPT.read_text()}")
        driver.chmod(0o755)
        drivers.append(str(driver))
    port = free_port()
    common = ["-p", str(port), "-u", f"/tests/transcript/{port}", *drivers]
    start = [require("indiserver")] if kind == "indiserver" else [sys.executable, "-m", "indipyserver"]
    async with serving(*start, *common, port=port, cwd=ROOT):
        yield port


def test_dump(tmp_path: Path) -> None:
    async def both():
        out = {}
        for kind in ("indiserver", "ours"):
            d = tmp_path / kind
            d.mkdir()
            async with server(kind, d) as port:
                await asyncio.sleep(1)
                out[kind] = await session(port)
        return out
    out = asyncio.run(both())
    import collections
    def sh(l):
        import re
        t = l.split()[0]; d = re.search(r"device='([^']*)'", l); n = re.search(r" name='([^']*)' ?", l.split(" [")[0])
        return t + " " + (d[1] if d else "") + ("." + n[1] if n else "")
    for step in STEPS:
        for c in CLIENTS:
            a = collections.Counter(out["indiserver"][step.name, c]); b = collections.Counter(out["ours"][step.name, c])
            if a != b:
                print(step.name, "|", c, "|", ", ".join(["- " + sh(l) for l in (a - b).elements()] + ["+ " + sh(l) for l in (b - a).elements()]))
            elif out["indiserver"][step.name, c] != out["ours"][step.name, c]:
                print((step.name, c), "ORDER", out["indiserver"][step.name, c], out["ours"][step.name, c])
