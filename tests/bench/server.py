"""Runs an IPyServer in a process of its own: ours, or that of any interpreter with the packages of the same names.

Its argument is JSON: the port, the clients it must take, the programs of drivers, the ports of other servers, and
for a driver inside the server how many updates it sends or how many properties it defines.
"""

import asyncio
import contextlib
import cProfile
import importlib
import json
import signal
import sys
from typing import Any

import indipydriver as ipd
from indipyserver import IPyServer


class Pump(ipd.IPyDriver):
    """Sends its three numbers as often as it was told, once GO is pressed."""

    async def rxevent(self, event: Any) -> None:
        if event.vectorname == "GO":
            self.driverdata["go"].set()

    async def hardware(self) -> None:
        await self.driverdata["go"].wait()
        coord = self["Mount"]["COORD"]
        for serial in range(self.driverdata["count"]):
            coord["SERIAL"] = serial
            coord["RA"] = 13.39872541667
            coord["DEC"] = 54.92536183333
            await coord.send_setVector()


def numbers(name: str, *members: str) -> ipd.NumberVector:
    made = [ipd.NumberMember(member, member, "%12.6f", "0", "0", "0", "0") for member in members]
    return ipd.NumberVector(name, name, "Main", "rw", "Ok", made)


def pump(count: int) -> Pump:
    go = ipd.SwitchVector("GO", "Go", "Main", "rw", "AtMostOne", "Ok", [ipd.SwitchMember("GO", "Go", "Off")])
    return Pump(ipd.Device("Mount", [numbers("COORD", "SERIAL", "RA", "DEC"), go]), count=count, go=asyncio.Event())


def crowd(properties: int) -> ipd.IPyDriver:
    devices = [
        ipd.Device(f"Device {number}", [numbers(f"PROPERTY_{which}", "A", "B") for which in range(20)])
        for number in range(properties // 20)
    ]
    return ipd.IPyDriver(*devices)


async def serve(config: dict[str, Any]) -> None:
    drivers = []
    if config.get("updates"):
        drivers.append(pump(config["updates"]))
    if config.get("properties"):
        drivers.append(crowd(config["properties"]))
    server = IPyServer(*drivers, host="127.0.0.1", port=config["port"], maxconnections=config["clients"])
    for program in config["drivers"]:
        server.add_exdriver(program)
    for port in config["remotes"]:
        server.add_remote("127.0.0.1", port)
    running = asyncio.ensure_future(server.asyncrun())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await running


def main() -> None:
    config = json.loads(sys.argv[1])
    if not config.get("profile"):
        factory = importlib.import_module(config["loop"]).new_event_loop if config["loop"] else None
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(serve(config))
        return
    profile = cProfile.Profile()
    try:
        profile.runcall(asyncio.run, serve(config))
    finally:
        profile.dump_stats(config["profile"])


if __name__ == "__main__":
    main()
