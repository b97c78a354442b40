"""What goes wrong during a night."""

import asyncio
import contextlib
import os
import random
import signal
from collections import Counter
from pathlib import Path

from tests.support.faults import FaultProxy
from tests.support.victim import Victim

from .crowd import VANDALS, vandal


class Chaos:
    """One fault after the other.

    Args:
        rng: Its choices.
        servers: By name.
        links: The proxies before `left` and `right`, by name; that of `left` may lose what it carries.
        devices: Of each server, for vandals to name.
        sick: Devices of programs of `left` that may be killed.

    Attributes:
        faults: How many there were of each kind.
    """

    def __init__(
        self,
        rng: random.Random,
        servers: dict[str, Victim],
        links: dict[str, FaultProxy],
        devices: dict[str, list[str]],
        sick: list[str],
    ) -> None:
        self.rng, self.servers, self.links, self.devices, self.sick = rng, servers, links, devices, sick
        self.faults: Counter[str] = Counter()
        self.vandals: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """One fault after the other, about two a second, until cancelled."""
        while True:
            await asyncio.sleep(self.rng.uniform(0.1, 0.9))
            fault = self.rng.choice(
                [self._cut, self._cut, self._slow, self._stall, self._stop_driver, self._kill_driver, self._stop_server]
                + [self._vandal] * 5
            )
            with contextlib.suppress(OSError):
                self.faults[await fault()] += 1

    async def _cut(self) -> str:
        link = self.links["left"]
        how = self.rng.choice(["cut", "cut later", "closed twice", "refused"])
        if how == "cut":
            link.cut()
        elif how == "cut later":
            link.cut_after(self.rng.randint(1, 5000))
        elif how == "closed twice":
            link.close_twice()
        else:
            link.refuse()
            link.cut()
            await asyncio.sleep(self.rng.uniform(0.1, 1))
            link.refuse(False)
        return f"link {how}"

    async def _slow(self) -> str:
        link = self.links[self.rng.choice(["left", "right"])]
        link.split, link.delay = self.rng.choice([1, 16, 100, 1000]), self.rng.choice([0.0, 0.001])
        await asyncio.sleep(self.rng.uniform(0.2, 1))
        link.split, link.delay = 0, 0.0
        return "link slow and in pieces"

    async def _stall(self) -> str:
        link = self.links[self.rng.choice(["left", "right"])]
        link.stall()
        await asyncio.sleep(self.rng.uniform(0.2, 1.5))
        link.flow()
        return "link stalled"

    async def _stopped(self, pid: int) -> None:
        os.kill(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(self.rng.uniform(0.1, 0.8))
        finally:
            os.kill(pid, signal.SIGCONT)

    async def _stop_driver(self) -> str:
        children = self.servers[self.rng.choice(list(self.servers))].program.children()
        if children:
            await self._stopped(self.rng.choice(children))
        return "driver stopped for a while"

    async def _stop_server(self) -> str:
        await self._stopped(self.servers[self.rng.choice(list(self.servers))].pid)
        return "server stopped for a while"

    async def _kill_driver(self) -> str:
        device = self.rng.choice(self.sick)
        for pid in self.servers["left"].program.children():
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")  # empty if it has just ended
                if words[-3:-2] == [device.encode()]:
                    os.kill(pid, signal.SIGKILL)
        return "driver killed"

    async def _vandal(self) -> str:
        name = self.rng.choice(list(self.servers))
        kind = self.rng.choice(VANDALS)
        if len(self.vandals) < 8:
            rng = random.Random(self.rng.random())
            task = asyncio.create_task(vandal(kind, self.servers[name].port, self.devices[name], rng))
            self.vandals.add(task)
            task.add_done_callback(self.vandals.discard)
        return f"client: {kind}"

    async def heal(self) -> None:
        """The last vandals have gone, and all links work."""
        await asyncio.gather(*self.vandals, return_exceptions=True)
        for link in self.links.values():
            link.split, link.delay = 0, 0.0
            link.refuse(False)
            link.flow()
