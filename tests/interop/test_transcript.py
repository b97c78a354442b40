"""One session against Debian's indiserver and against ours: who received what, message by message.

Two drivers (alpha, and beta that snoops on alpha) and four clients: one that asks for everything, one for the device
alpha, one for the property alpha.number, one for nothing. After each step all of them, and the drivers, come to rest;
what a client received in that step is compared after normalising white space, attribute order and quotes, and time.
Every difference is in the table DIFFERENCES with its reason; docs/reference/compliance.md lists the same reasons.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element

import pytest

from tests.support import ROOT, IndiClient, asynchronous, eventually, free_port, match, new_vector, require, serving

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

# Reasons, in the words of docs/reference/compliance.md.
REASONS = {
    "answers": "Definitions go to those who miss them",
    "property": "A client of one property is told what happens to its device",
    "only": "`Only` concerns the device it was sent for",
    "again": "A client that leaves the mode `Only` is given what it has missed",
    "unknown": "Unknown elements are dropped",
    "forged": "A client cannot speak for a device",
    "undefined": "A definition comes before any update",
    "end": "The end of a driver is reported with its reason, and to everybody",
}

# Step | client | what indiserver sends and we do not (-), what we send and indiserver does not (+) | reason.
# A star stands for all five properties, a plus for those that change.
DIFFERENCES = """
all asks | all | - setTextVector beta.text | answers
device asks | all | - def alpha.*, - setTextVector beta.text | answers
property asks | all | - def alpha.*, - setTextVector beta.text | answers
property asks | device | - def alpha.* | answers
all asks again | all | - setTextVector beta.text | answers
all asks again | device | - def alpha.* | answers
all asks again | property | - defNumberVector alpha.number | answers
messages | property | + message alpha | property
an update while all wants only BLOBs | all | + setTextVector beta.text | only
an update of beta meanwhile | all | + setNumberVector beta.number | only
all wants everything again | all | + def alpha.+, + setTextVector beta.text | again
all wants everything again | device | + def alpha.+ | again
all wants everything again | property | + defNumberVector alpha.number | again
all redefined, unchanged | all | - defLightVector alpha.light, - defBLOBVector alpha.image, - defNumberVector alpha.number, \
- defSwitchVector alpha.switch, - setTextVector beta.text | answers
all redefined, unchanged | device | - defLightVector alpha.light, - defBLOBVector alpha.image, \
- defNumberVector alpha.number, - defSwitchVector alpha.switch | answers
all redefined, unchanged | property | - defNumberVector alpha.number | answers
an unknown element | all | - somethingNew alpha.text | unknown
an unknown element | device | - somethingNew alpha.text | unknown
a client sets | all | - setTextVector beta.text | forged
the device is deleted | property | + delProperty alpha | property
the device is defined again | all | - setTextVector alpha.text | undefined
the device is defined again | device | - setTextVector alpha.text | undefined
the driver ends and is restarted | all | - delProperty alpha, + delProperty alpha, + message alpha | end
the driver ends and is restarted | device | - delProperty alpha, + delProperty alpha, + message alpha | end
the driver ends and is restarted | property | + delProperty alpha, + message alpha | end
the driver ends and is restarted | nothing | + message | end
"""
DEFINITIONS = ("defNumberVector .number", "defTextVector .text", "defSwitchVector .switch", "defLightVector .light",
               "defBLOBVector .image")  # fmt: skip
CHANGING = [definition for definition in DEFINITIONS if "Light" not in definition]


def normal(element: Element) -> str:
    """One line for an element; what is time or chance is left out."""
    attributes = [f"{name}={value!r}" for name, value in sorted(element.attrib.items()) if name != "timestamp"]
    text = " ".join((element.text or "").split())
    children = "".join(f" [{normal(child)}]" for child in element)
    return " ".join([element.tag, *attributes, *([repr(text)] if text else [])]) + children


def short(line: str) -> str:
    """Tag, device and name of a normalised element."""
    words = dict(re.findall(r" (device|name)='([^']*)'", line.partition(" [")[0]))
    return f"{line.split()[0]} {words.get('device', '')}" + (f".{words['name']}" if "name" in words else "")


def expected() -> dict[tuple[str, str], list[str]]:
    """The table, one entry for each element."""
    found = {}
    for row in DIFFERENCES.strip().splitlines():
        step, client, elements, reason = (field.strip() for field in row.split("|"))
        assert reason in REASONS
        words: list[str] = []
        for element in map(str.strip, elements.split(",")):
            sign, tag, *where = element.split()
            if where and where[0].endswith((".*", ".+")):
                which = DEFINITIONS if where[0].endswith("*") else CHANGING
                words += [f"{sign} {d.replace(' ', ' ' + where[0][:-2])}" for d in which]
            else:
                words.append(f"{sign} {tag} {''.join(where)}")
        found[step, client] = sorted(words)
    return found


async def at_rest(clients: Iterable[IndiClient], window: float) -> None:
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
            # A restart takes half a second at our server, and then Python has to start.
            await at_rest(clients.values(), 2.5 if step is STEPS[-1] else 0.2)
            for name, client in clients.items():
                received[step.name, name] = [normal(e) for e in client.received[before[name] :]]
    return received


@contextlib.asynccontextmanager
async def server(kind: str, directory: Path) -> AsyncIterator[int]:
    """Either server with both drivers, which have defined everything; the port."""
    directory.mkdir()
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
        async with IndiClient(port) as client:
            await client.get_properties()
            images = match("defBLOBVector", name="image")
            await eventually(lambda: len({e.get("device") for e in client.received if images(e)}) == 2, timeout=20)
            await at_rest([client], 0.3)
        yield port


@asynchronous
async def test_who_receives_what(tmp_path: Path) -> None:
    require("indiserver")

    async def transcript(kind: str) -> dict[tuple[str, str], list[str]]:
        async with server(kind, tmp_path / kind) as port:
            return await session(port)

    theirs, ours = await asyncio.gather(transcript("indiserver"), transcript("ours"))
    different = {}
    for key, lines in theirs.items():
        missing, more = Counter(lines) - Counter(ours[key]), Counter(ours[key]) - Counter(lines)
        if missing or more:
            different[key] = sorted(
                [f"- {short(x)}" for x in missing.elements()] + [f"+ {short(x)}" for x in more.elements()]
            )
        else:
            assert ours[key] == lines, "the same, in another order"
    assert different == expected()
    reasons = [e for e in ours["the driver ends and is restarted", "device"] if e.startswith("delProperty")]
    assert "ended with status 0" in reasons[0]


def test_the_documentation_gives_the_same_reasons() -> None:
    page = (ROOT / "docs" / "reference" / "compliance.md").read_text()
    assert [reason for reason in REASONS.values() if f"**{reason}.**" not in page] == []
