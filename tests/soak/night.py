"""The soak itself: builds the tree, lets clients and faults loose on it, and looks at what is left.

                      top                 2 drivers in the process, 2 programs
                     /   \\
       proxy: cuts  /     \\  proxy: splits, delays, stalls, but loses nothing
                 left     right           each: 3 drivers in the process, 5 programs

Two programs of `left` are sick: they are killed again and again. Commands to them, and those that go from `top` to
`left` over the link that is cut, may be lost, but are never executed twice or out of order. All others are executed
exactly once.
"""

import asyncio
import contextlib
import os
import random
import signal
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.support import IndiClient, match
from tests.support.faults import FaultProxy, echo_program
from tests.support.victim import Victim, victim

from .crowd import VANDALS, Client, Ledger, vandal

CLIENTS = 50
QUIET = 40.0  # seconds for everything to come to rest
MEMORY = 32.0  # MiB that a server may be larger than before: what its allocator keeps, and caches


@dataclass
class Report:
    """What happened, and what was wrong: nothing, it is hoped."""

    seed: int
    seconds: float
    clients: int = 0
    commands: int = 0
    certain: int = 0
    executed: int = 0
    elements: int = 0
    compared: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    servers: dict[str, dict[str, float]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def text(self) -> str:
        lines = [
            f"seed {self.seed}, {self.seconds:.0f} s",
            f"{self.clients} clients came and went; they received {self.elements} elements",
            f"{self.commands} commands, {self.certain} of them on healthy ways; {self.executed} executed",
            f"{self.compared} values that clients knew at the end compared with the drivers'",
            f"{sum(self.faults.values())} faults: " + ", ".join(f"{n} {k}" for k, n in sorted(self.faults.items())),
        ]
        lines += [
            f"{name}: " + ", ".join(f"{k} {v:g}" for k, v in sorted(each.items()))
            for name, each in self.servers.items()
        ]
        return "\n".join([*lines, f"{len(self.wrong)} things went wrong", *self.wrong[:40]])


class Night:
    """One run.

    Args:
        seconds: How long clients and faults go on.
        seed: Of all choices.
        tell: Called with a line now and then.
    """

    def __init__(self, seconds: float, seed: int, tell: Callable[[str], None] = lambda line: None) -> None:
        self.seconds = seconds
        self.rng = random.Random(seed)
        self.tell = tell
        self.report = Report(seed, seconds)
        self.ledger = Ledger()
        self.stop = asyncio.Event()
        self.vandals: set[asyncio.Task[None]] = set()
        self.devices: dict[str, list[str]] = {
            "top": [f"T{i}" for i in range(4)],
            "left": [f"L{i}" for i in range(8)],
            "right": [f"R{i}" for i in range(8)],
        }
        self.all_devices = [device for devices in self.devices.values() for device in devices]
        self.local = {"top": 2, "left": 3, "right": 3}
        self.sick = ["L6", "L7"]

    async def run(self) -> Report:
        """All of it; always returns, with what went wrong in the report."""
        with tempfile.TemporaryDirectory(prefix="soak") as directory:
            self.directory = Path(directory)
            async with contextlib.AsyncExitStack() as stack:
                await self._build(stack)
                await self._ready()
                before = await self._unvisited()
                chaos = asyncio.create_task(self._chaos())
                crowd = [asyncio.create_task(self._guest(random.Random(self.rng.random()))) for _ in range(CLIENTS)]
                passed = 0.0
                while passed < self.seconds:
                    step = min(30.0, self.seconds - passed)
                    await asyncio.sleep(step)
                    passed += step
                    self.tell(f"{passed:.0f} s: {self.ledger.sent} commands, {sum(self.report.faults.values())} faults")
                await self._heal(chaos)
                self.stop.set()
                for task in crowd:
                    try:
                        await asyncio.wait_for(task, QUIET + 20)
                    except (AssertionError, OSError, TimeoutError) as error:
                        self.report.wrong.append(f"a client failed: {error!r}")
                await self._compare()
                await self._at_rest(before)
        return self.report

    # The tree

    async def _build(self, stack: contextlib.AsyncExitStack) -> None:
        self.servers: dict[str, Victim] = {}
        self.links: dict[str, FaultProxy] = {}
        for name in ("left", "right"):
            self.servers[name] = await stack.enter_async_context(victim(**self._options(name)))
            self.links[name] = await stack.enter_async_context(FaultProxy(self.servers[name].port, self.report.seed))
        remotes = [self.links["left"].port, self.links["right"].port]
        self.servers["top"] = await stack.enter_async_context(victim(remotes=remotes, **self._options("top")))

    def _options(self, name: str) -> dict[str, object]:
        count = self.local[name]
        programs = [echo_program(device, str(self.directory / device)) for device in self.devices[name][count:]]
        return {
            "devices": self.devices[name][:count],
            "exdrivers": programs,
            "driver_options": {"restarts": 1_000_000},
            "executed_dir": str(self.directory),
            "maxconnections": 200,
        }

    async def _ready(self) -> None:
        """Every server knows every device that it is to know."""
        for name, server in self.servers.items():
            wanted = self.all_devices if name == "top" else self.devices[name]
            async with IndiClient(server.port) as client:
                for device in wanted:
                    await self._until_defined(client, device)

    async def _until_defined(self, client: IndiClient, device: str) -> None:
        for _ in range(40):
            await client.get_properties(device=device)
            try:
                await client.expect(match("defNumberVector", device=device), timeout=0.5)
                return
            except AssertionError:
                continue
        raise AssertionError(f"{device} is not served")

    # Clients

    async def _guest(self, rng: random.Random) -> None:
        """One place: clients come, stay for a while and go, until the end; the last one stays to be asked."""
        while True:
            name = rng.choice(["top", "top", "left", "right"])
            safe = self.devices["top"] + self.devices["right"] if name == "top" else self.devices[name]
            unsafe = self.devices["left"] if name == "top" else []
            if name == "left":
                safe, unsafe = [d for d in safe if d not in self.sick], self.sick
            client = Client(self.servers[name].port, safe, unsafe, self.ledger, rng)
            client.place = name  # type: ignore[attr-defined]
            self.report.clients += 1
            async with client:
                await client.settle()
                await client.live(rng.uniform(1, 20), self.stop)
                await client.settle()
                if client.lost:
                    raise AssertionError(f"client {client.id} of {name} was cut off: {client.lost}")
                if self.stop.is_set():
                    await self._last(client)
                    return
            self.report.elements += client.elements

    async def _last(self, client: Client) -> None:
        """When all has come to rest: does it know the values that the drivers have?"""
        place: str = client.place  # type: ignore[attr-defined]
        devices = self.all_devices if place == "top" else self.devices[place]
        wrong: dict[str, tuple[str | None, str]] = {}
        for _ in range(int(QUIET / 0.5)):
            wrong = {
                device: (client.state.get(device), value)
                for device in devices
                if device not in self.sick and client.state.get(device) != (value := self._value(device))
            }
            if not wrong and self._all_executed():
                break
            await asyncio.sleep(0.5)
        self.report.compared += len(devices)
        self.report.elements += client.elements
        if wrong:
            self.report.wrong.append(f"client {client.id} of {place} knows (known, true): {wrong}")

    def _executed(self, device: str) -> list[int]:
        try:
            text = (self.directory / device).read_text()
        except FileNotFoundError:
            return []
        return [int(float(line)) for line in text.split("\n")[:-1]]

    def _value(self, device: str) -> str:
        executed = self._executed(device)
        return str(executed[-1]) if executed else "0"

    def _all_executed(self) -> bool:
        return all(
            set(values) <= set(self._executed(device))
            for (_, device), values in list(self.ledger.certain.items())[-200:]
        )

    # Faults

    async def _chaos(self) -> None:
        """One fault after the other, about two a second, until cancelled."""
        while True:
            await asyncio.sleep(self.rng.uniform(0.1, 0.9))
            fault = self.rng.choice(
                [self._cut, self._cut, self._slow, self._stall, self._stop_driver, self._kill_driver, self._stop_server]
                + [self._vandal] * 5
            )
            with contextlib.suppress(OSError):
                self.report.faults[await fault()] += 1

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
                if Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[-3].decode() == device:
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

    async def _heal(self, chaos: "asyncio.Task[None]") -> None:
        chaos.cancel()
        await asyncio.gather(chaos, *self.vandals, return_exceptions=True)
        for link in self.links.values():
            link.split, link.delay = 0, 0.0
            link.refuse(False)
            link.flow()
        await self._ready()

    # What is left

    async def _compare(self) -> None:
        """Each certain command was executed once and in order; the others at most once and in order."""
        report = self.report
        report.commands = self.ledger.sent
        report.certain = sum(map(len, self.ledger.certain.values()))
        for device in self.all_devices:
            executed = self._executed(device)
            report.executed += len(executed)
            if len(set(executed)) != len(executed):
                twice = [value for value, count in Counter(executed).items() if count > 1]
                report.wrong.append(f"{device}: executed more than once: {twice[:5]}")
            by_client: dict[int, list[int]] = {}
            for value in executed:
                by_client.setdefault(value // 100_000, []).append(value)
            for client, values in by_client.items():
                if values != sorted(values):
                    report.wrong.append(f"{device}: out of order for client {client}: {values[:10]}")
            for (client, which), values in self.ledger.certain.items():
                if which == device and device not in self.sick:
                    missing = set(values) - set(by_client.get(client, []))
                    if missing:
                        report.wrong.append(f"{device}: not executed: {sorted(missing)[:5]} of client {client}")
            known = {
                v
                for ledger in (self.ledger.certain, self.ledger.perhaps)
                for (_, d), vs in ledger.items()
                if d == device
                for v in vs
            }
            if set(executed) - known - {0}:
                report.wrong.append(f"{device}: nobody sent {sorted(set(executed) - known)[:5]}")

    async def _figures(self) -> dict[str, dict[str, float]]:
        figures = {}
        for name, server in self.servers.items():
            tasks, peers = await server.tasks_and_peers()
            figures[name] = {
                "memory": round(server.memory(), 1),
                "descriptors": server.descriptors(),
                "processes": len(server.program.children()),
                "tasks": tasks,
                "peers": peers,
            }
        return figures

    async def _unvisited(self) -> dict[str, dict[str, float]]:
        """The figures with no clients, but for the links between the servers."""
        expected = {
            name: 1 + len(self.devices[name]) - self.local[name] + (2 if name == "top" else 1) for name in self.servers
        }
        for _ in range(int(QUIET * 2)):
            figures = await self._figures()
            if all(figures[name]["peers"] == count for name, count in expected.items()):
                return figures
            await asyncio.sleep(0.5)
        raise AssertionError(f"the servers do not come to rest: {figures}, expected {expected} peers")

    async def _at_rest(self, before: dict[str, dict[str, float]]) -> None:
        """Memory, descriptors, tasks, peers and processes are back where they were."""
        kept = ("descriptors", "processes", "tasks", "peers")
        after = before
        for _ in range(int(QUIET)):
            after = await self._figures()
            if all(after[name][key] == before[name][key] for name in before for key in kept):
                break
            await asyncio.sleep(1)
        for name, server in self.servers.items():
            for key in kept:
                if after[name][key] != before[name][key]:
                    self.report.wrong.append(f"{name}: {key} were {before[name][key]}, are {after[name][key]}")
            if after[name]["memory"] - before[name]["memory"] > MEMORY:
                self.report.wrong.append(f"{name}: memory was {before[name]['memory']}, is {after[name]['memory']} MiB")
            if not server.alive:
                self.report.wrong.append(f"{name} has ended")
            tracebacks = server.log.count("Traceback")
            if tracebacks:
                where = server.log.index("Traceback")
                self.report.wrong.append(
                    f"{name}: {tracebacks} tracebacks in the log: {server.log[where - 300 : where + 3000]}"
                )
            self.report.servers[name] = {
                **{f"{key} before": before[name][key] for key in before[name]},
                **{f"{key} after": after[name][key] for key in after[name]},
                "memory at most": round(server.peak(), 1),
                "CPU seconds": server.cpu(),
            }
