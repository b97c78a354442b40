"""What KStars is connected to: simulators of this project or of libindi, under this server or under indiserver."""

import asyncio
import json
import os
import re
import shutil
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.support.programs import ROOT, free_port

from .desk import Desk, until

SUBJECTS = ("ours", "libindi", "indiserver", "our-camera", "our-mount", "web-manager")
OURS_AMONG_THEIRS = {
    "our-camera": ("camera", "dome", "light", "cap", "roof", "power"),
    "our-mount": ("mount", "focuser", "wheel", "rotator", "weather", "gps"),
}
"""Subjects of which some are ours: those that watch the others, and those that are watched."""

_MANAGER = re.compile(r"INDI Web Manager on port (\d+)")
SITE = (51.468, 0.0, 10.0)  # that of KStars, as long as nobody has told it another


@dataclass(frozen=True)
class Kind:
    """One kind of instrument: its names and its programs."""

    role: str  # in a profile of Ekos, which has no place for more; devices without one are found by themselves
    group: str  # of drivers
    ours: str
    theirs: str
    program: str


KINDS = {
    "mount": Kind("Mount", "Telescopes", "Telescope Simulator", "Telescope Simulator", "indi_simulator_telescope"),
    "camera": Kind("CCD", "CCDs", "CCD Simulator", "CCD Simulator", "indi_simulator_ccd"),
    "focuser": Kind("Focuser", "Focusers", "Focuser Simulator", "Focuser Simulator", "indi_simulator_focus"),
    "wheel": Kind("Filter", "Filter Wheels", "Filter Simulator", "Filter Simulator", "indi_simulator_wheel"),
    "rotator": Kind("Aux1", "Rotators", "Rotator Simulator", "Rotator Simulator", "indi_simulator_rotator"),
    "dome": Kind("Dome", "Domes", "Dome Simulator", "Dome Simulator", "indi_simulator_dome"),
    "weather": Kind("Weather", "Weather", "Weather Simulator", "Weather Simulator", "indi_simulator_weather"),
    "cap": Kind("Aux2", "Auxiliary", "Dust Cap Simulator", "", ""),
    "light": Kind("Aux3", "Auxiliary", "Light Panel Simulator", "Light Panel Simulator", "indi_simulator_lightpanel"),
    "roof": Kind("", "Domes", "RollOff Simulator", "", ""),
    "power": Kind("", "Auxiliary", "Power Box Simulator", "", ""),
    "gps": Kind("", "Auxiliary", "GPS Simulator", "", ""),  # libindi's mount would take its place, not that of KStars
}


@dataclass(frozen=True)
class Served:
    """A server, and the names of the devices of each kind."""

    port: int
    devices: dict[str, str]
    best_focus: int  # where the images of the camera are sharpest
    manager: int = 0  # the port on which Ekos starts the drivers; 0 if they run


def our_devices() -> dict[str, str]:
    """The simulators of this project: the names of their classes, by the names of the devices."""
    from indipydriver.instruments import simulators

    found = {}
    for name in simulators.__all__:
        kind = getattr(simulators, name)
        if hasattr(kind, "own_name") and name != "Simulator":
            found[kind.own_name()] = name
    return found


def serve(subject: str, desk: Desk) -> Served:
    """A server that ends with the desk."""
    known = our_devices() if subject == "ours" or subject in OURS_AMONG_THEIRS else {}
    chosen = OURS_AMONG_THEIRS.get(subject, tuple(KINDS))
    known = {KINDS[kind].ours: known[KINDS[kind].ours] for kind in chosen if KINDS[kind].ours in known}
    devices = {kind: each.ours for kind, each in KINDS.items() if each.ours in known}
    theirs = {kind: each for kind, each in KINDS.items() if kind not in devices and subject != "ours"}
    theirs = {kind: each for kind, each in theirs.items() if shutil.which(each.program)}
    devices |= {kind: each.theirs for kind, each in theirs.items()}
    programs = list(dict.fromkeys(each.program for each in theirs.values()))
    _prepare(desk)
    manager = 0
    if subject == "web-manager":
        port = free_port()
        manager = _manage(desk, port)
        found = bool(manager)
    elif subject == "indiserver":
        port = free_port()
        desk.start("indiserver", "-p", str(port), "-m", "1000", "-v", *programs, log="server.log")
        found = _listens(port)
    else:
        told = desk.folder / "port"
        wanted = json.dumps(
            {
                "classes": [known[name] for name in known if name in devices.values()],
                "programs": programs,
                "told": str(told),
            }
        )
        desk.environment["PYTHONPATH"] = str(ROOT)
        desk.start(sys.executable, "-m", "tests.kstars.subjects", wanted, log="server.log", cwd=ROOT)
        found = until(lambda: told.exists() and told.read_text().endswith("\n"), 30)
        port = int(told.read_text()) if found else 0
    if not found:
        raise SystemExit(f"the server has not started: see {desk.folder}/server.log")
    return Served(port, devices, 50_000 if "CCD Simulator" in known else 36_667, manager)


def _manage(desk: Desk, port: int) -> int:
    """A server without drivers and the web client that starts them; the port for Ekos, 0 if they do not start."""
    desk.environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "companions")])
    server = [sys.executable, "-m", "indipyserver", "--port", str(port), "--control"]
    desk.start(*server, log="server.log", cwd=ROOT)
    if not _listens(port):
        return 0
    database = desk.folder / "web"
    database.mkdir()
    web = [sys.executable, "-m", "indipyweb", "--dbfolder", str(database), "--port", "0", "--no-blobs"]
    web += ["--indi", f"localhost:{port}", "--web-manager", "127.0.0.1:0"]
    desk.start(*web, log="web.log", cwd=ROOT)
    log = desk.folder / "web.log"
    until(lambda: _MANAGER.search(log.read_text()), 30)
    told = _MANAGER.search(log.read_text())
    return int(told[1]) if told else 0


def _prepare(desk: Desk) -> None:
    """A star catalogue for the camera of libindi, which starts the program `gsc`."""
    program = desk.folder / "programs" / "gsc"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{Path(__file__).with_name("stars.py")}" "$@"\n')
    program.chmod(0o755)
    desk.environment["PATH"] = f"{program.parent}:{desk.environment['PATH']}"


def _listens(port: int) -> bool:
    def is_there() -> bool:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            return False
        return True

    return until(is_there, 15)


def drivers_xml(served: Served) -> str:
    """The list of drivers that KStars reads; the programs matter only to whoever starts them."""
    lines = ["<driversList>"]
    named = set()
    for kind, device in served.devices.items():
        if device not in named:
            named.add(device)
            program = KINDS[kind].program if served.manager else "indi_simulated"
            lines.append(
                f'<devGroup group="{KINDS[kind].group}"><device label="{device}" manufacturer="Simulated">'
                f'<driver name="{device}">{program}</driver><version>1.0</version></device></devGroup>'
            )
    return "\n".join([*lines, "</driversList>", ""])


async def _serve(classes: list[str], programs: list[str], told: str) -> None:
    from indipydriver.instruments import InstrumentDriver, simulators
    from indipyserver import IPyServer

    made = [getattr(simulators, name)() for name in classes]
    for device in made:
        if isinstance(device, simulators.GPSSimulator):
            device.place = SITE  # the mount takes it over
    drivers = [InstrumentDriver(device) for device in made]
    server = IPyServer(*drivers, host="127.0.0.1", port=0)
    for program in programs:
        server.add_exdriver(program)
    task = asyncio.ensure_future(server.asyncrun())
    await asyncio.wait((task, asyncio.ensure_future(server.started.wait())), return_when=asyncio.FIRST_COMPLETED)
    Path(told).write_text(f"{server.port}\n")
    await task


if __name__ == "__main__":
    import logging

    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    asyncio.run(_serve(**json.loads(sys.argv[1])))
