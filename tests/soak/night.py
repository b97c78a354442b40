"""The soak itself: builds the tree, lets clients and faults loose on it, and looks at what is left.

                      top                 3 drivers in the process, 4 programs
                     /   \\
       proxy: cuts  /     \\  proxy: splits, delays, stalls, but loses nothing; TLS
                 left     right           each: 3 drivers in the process, 7 programs

Each server has devices with a number (one driver in the process, programs), two cameras and two snoopers (one of each
in the process), and listeners: plain, TLS, read only, for some devices only, and a local socket.

Two programs of `left` are sick: they are killed again and again. Commands to them, and those that go from `top` to
`left` over the link that is cut, may be lost, but are never executed twice or out of order. All others are executed
exactly once. Every picture is the right one, in its order, and over healthy ways none is lost but those of streams.
"""

import asyncio
import contextlib
import os
import random
import re
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from fnmatch import fnmatchcase
from pathlib import Path

from tests.support import IndiClient, match, new_vector, values_of
from tests.support.certificates import trusting
from tests.support.faults import FaultProxy
from tests.support.measured import allowed
from tests.support.victim import Victim

from .chaos import Chaos
from .crowd import Client, Ledger
from .report import Report
from .server import served
from .viewers import Viewer

CLIENTS = 50
VIEWERS = 0.3  # of them look at pictures, and send some
WAYS = ("plain", "TLS", "read only", "some devices", "local socket")
PATTERNS = {"top": ["T*", "RC*", "R0"], "left": ["L0", "L3", "LC*"], "right": ["R0", "R5", "RC*"]}
WATCHED = {  # by the snooper in the process, and by the program: what is near, below, above; and over the link that is cut
    "top": (["T0", "T2", "R0", "R4", "L0"], ["T1", "R1", "L1"]),
    "left": (["L0", "L4", "T1"], ["L1", "L5", "T0"]),
    "right": (["R0", "R4", "T0"], ["R1", "R5", "T1"]),
}
QUIET = 40.0  # seconds for everything to come to rest
MEMORY = 32.0  # MiB that a server may be larger than before: what its allocator keeps, and caches


def open_files(pid: int) -> Counter[str]:
    """The descriptors of a process, by what they are."""
    found: Counter[str] = Counter()
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            found[re.sub(r"\d+", "", os.readlink(path))] += 1
    return found


class Night:
    """One run.

    Args:
        seconds: How long clients and faults go on.
        seed: Of all choices.
        tell: Called with a line now and then.
        plant: A fault to plant in the server on the right; see `server.PLANTS`.
    """

    def __init__(
        self, seconds: float, seed: int, tell: Callable[[str], None] = lambda line: None, plant: str = ""
    ) -> None:
        self.seconds = seconds
        self.rng = random.Random(seed)
        self.tell = tell
        self.plant = plant
        self.report = Report(seed, seconds)
        self.ledger = Ledger()
        self.stop = asyncio.Event()
        self.open: dict[str, Counter[str]] = {}  # of each server, by what they are
        self.executed: dict[
            str, tuple[int, list[int]]
        ] = {}  # by device: bytes read of what its driver notes, the values
        self.devices: dict[str, list[str]] = {
            "top": [f"T{i}" for i in range(4)],
            "left": [f"L{i}" for i in range(8)],
            "right": [f"R{i}" for i in range(8)],
        }
        self.all_devices = [device for devices in self.devices.values() for device in devices]
        self.local = {"top": 2, "left": 3, "right": 3}
        self.sick = ["L6", "L7"]
        self.cameras = {name: [f"{name[0].upper()}C0", f"{name[0].upper()}C1"] for name in self.devices}
        self.snoopers = {name: [f"{name[0].upper()}S0", f"{name[0].upper()}S1"] for name in self.devices}

    async def run(self) -> Report:
        """All of it; always returns, with what went wrong in the report."""
        with tempfile.TemporaryDirectory(prefix="soak") as directory:
            self.directory = Path(directory)
            async with contextlib.AsyncExitStack() as stack:
                await self._build(stack)
                await self._ready()
                before = await self._unvisited()
                self.opened = dict(self.open)
                await self._cameras(True)
                chaos = Chaos(self.rng, self.servers, self.links, self.devices, self.sick)
                self.report.faults = chaos.faults
                running = asyncio.create_task(chaos.run())
                crowd = [asyncio.create_task(self._guest(random.Random(self.rng.random()))) for _ in range(CLIENTS)]
                await self._pass()
                await self._attempt("to make faults until the end", _cancelled(running))
                await chaos.heal()
                await self._attempt("to find all devices again", self._ready())
                self.stop.set()
                for task in crowd:
                    await self._attempt("of a client", asyncio.wait_for(task, QUIET + 20))
                await self._attempt("to stop the cameras", self._cameras(False))
                self._compare()
                self._compare_uploads()
                await self._attempt("to ask the snoopers", self._ask_snoopers())
                await self._attempt("to come to rest", self._at_rest(before))
        return self.report

    async def _pass(self) -> None:
        """Let the time go by."""
        passed = 0.0
        while passed < self.seconds:
            step = min(30.0, self.seconds - passed)
            await asyncio.sleep(step)
            passed += step
            faults = sum(self.report.faults.values())
            memory = ", ".join(f"{name} {server.memory():.0f}" for name, server in self.servers.items())
            self.tell(
                f"{passed:.0f} s: {self.ledger.sent} commands, {self.report.pictures} pictures, {faults} faults; "
                f"MiB: {memory}; {len(self.report.wrong)} wrong so far"
            )

    async def _attempt(self, what: str, work: Awaitable[None]) -> None:
        """A step of the end; when it fails, that is one more thing that went wrong."""
        try:
            await work
        except (AssertionError, OSError, TimeoutError) as error:
            self.report.wrong.append(f"the attempt {what} failed: {str(error)[:2000] or repr(error)}")

    # The tree

    async def _build(self, stack: contextlib.AsyncExitStack) -> None:
        self.servers: dict[str, Victim] = {}
        self.links: dict[str, FaultProxy] = {}
        for name in ("left", "right"):
            self.servers[name] = await stack.enter_async_context(served(**self._options(name)))
            port = self._port(name, "TLS" if name == "right" else "plain")
            self.links[name] = await stack.enter_async_context(FaultProxy(int(port), self.report.seed))
        remotes = [(self.links["left"].port, False), (self.links["right"].port, True)]
        self.servers["top"] = await stack.enter_async_context(served(**{**self._options("top"), "remotes": remotes}))

    def _options(self, name: str) -> dict[str, object]:
        count = self.local[name]
        cameras, snoopers, watched = self.cameras[name], self.snoopers[name], WATCHED[name]
        return {
            "directory": str(self.directory),
            "echoes": self.devices[name][:count],
            "echo_programs": self.devices[name][count:],
            "cameras": cameras[:1],
            "camera_programs": cameras[1:],
            "snoopers": [(snoopers[0], watched[0], cameras)],
            "snooper_programs": [(snoopers[1], watched[1])],
            "remotes": [],
            "listeners": [{"tls": True}, {"read_only": True}, {"devices": PATTERNS[name]}],
            "unix_socket": self._socket(name),
            "plant": self.plant if name == "right" else "",
        }

    def _socket(self, name: str) -> str:
        return f"{self.directory}/{name}"

    def _port(self, name: str, way: str) -> int | str:
        server = self.servers[name]
        if way == "local socket":
            return self._socket(name)
        return [server.port, *server.more_ports][WAYS.index(way)]

    def _below(self, name: str) -> list[str]:
        """The servers whose devices are to be seen there."""
        return list(self.servers) if name == "top" else [name]

    async def _cameras(self, running: bool) -> None:
        """Have all cameras take pictures, or stop."""
        for name, server in self.servers.items():
            async with IndiClient(server.port) as client:
                for camera in self.cameras[name]:
                    await client.get_properties(device=camera)
                    wanted = {"s": "On" if running else "Off"}
                    await client.send(new_vector("Switch", camera, "run", **wanted))
                    answer = match("(def|set)SwitchVector", device=camera, name="run", values=wanted)
                    await client.expect(answer, timeout=QUIET)

    async def _ready(self) -> None:
        """Every server knows every device that it is to know."""
        for name, server in self.servers.items():
            wanted = self.all_devices if name == "top" else self.devices[name]
            async with IndiClient(server.port) as client:
                others = [d for each in self._below(name) for d in self.cameras[each] + self.snoopers[each]]
                for device in wanted + others:
                    await self._until_defined(client, device)

    async def _until_defined(self, client: IndiClient, device: str) -> None:
        for _ in range(40):
            await client.get_properties(device=device)
            try:
                await client.expect(match("def(Number|Text)Vector", device=device), timeout=0.5)
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
            if rng.random() < VIEWERS:
                client: Client = self._viewer(name, safe, unsafe, rng)
            else:
                client = Client(self.servers[name].port, safe, unsafe, self.ledger, rng)
            client.place = name  # type: ignore[attr-defined]
            self.report.clients += 1
            async with client:
                await client.settle()
                await client.live(rng.uniform(1, 20), self.stop)
                await client.settle()
                if client.lost:
                    raise AssertionError(f"client {client.id} of {name} was cut off: {client.lost}")
                self._note_pictures(client)
                if self.stop.is_set():
                    await self._last(client)
                    return
            self.report.elements += client.elements

    def _viewer(self, name: str, safe: list[str], unsafe: list[str], rng: random.Random) -> Viewer:
        """A client that looks at pictures, on some way into this server."""
        way = rng.choice(WAYS)
        cameras = [camera for each in self._below(name) for camera in self.cameras[each]]
        everything = {d for each in self._below(name) for d in self.devices[each] + self.snoopers[each]} | set(cameras)
        visible: set[str] | None = None
        if way == "some devices":
            visible = {d for d in everything if any(fnmatchcase(d, pattern) for pattern in PATTERNS[name])}
            safe, unsafe = [d for d in safe if d in visible], [d for d in unsafe if d in visible]
        self.report.viewers[way] += 1
        return Viewer(
            self._port(name, way),
            safe,
            unsafe,
            self.ledger,
            rng,
            tls=trusting() if way == "TLS" else None,
            read_only=way == "read only",
            visible=visible,
            hidden=everything - visible if visible is not None else frozenset(),
            cameras=cameras,
            complete={camera for camera in cameras if name != "top" or camera[0] != "L"},
        )

    def _note_pictures(self, client: Client) -> None:
        if isinstance(client, Viewer):
            self.report.pictures += client.album.good
            self.report.replaced += client.album.replaced
            where = f"viewer {client.id} of {client.place} at {client.port}"  # type: ignore[attr-defined]
            self.report.wrong += [f"{where}: {text}" for text in dict.fromkeys(client.wrong + client.album.wrong[:5])]
            client.album.good = client.album.replaced = 0
            client.wrong.clear()
            client.album.wrong.clear()

    async def _last(self, client: Client) -> None:
        """When all has come to rest: does it know the values that the drivers have?"""
        place: str = client.place  # type: ignore[attr-defined]
        devices = self.all_devices if place == "top" else self.devices[place]
        wrong: dict[str, tuple[str | None, str]] = {}
        for _ in range(int(QUIET / 0.5)):
            wrong = {
                device: (client.state.get(device), value)
                for device in devices
                if device not in self.sick
                and (not isinstance(client, Viewer) or client.visible is None or device in client.visible)
                and client.state.get(device) != (value := self._value(device))
            }
            if not wrong and self._all_executed():
                break
            await asyncio.sleep(0.5)
        self.report.compared += len(devices)
        self.report.elements += client.elements
        self._note_pictures(client)
        if wrong:
            self.report.wrong.append(f"client {client.id} of {place} knows (known, true): {wrong}")

    def _executed(self, device: str) -> list[int]:
        """The values that its driver has noted.

        Only what is new is read: at the end of a long night all clients ask for all devices again and again, and while
        the files are read, nobody is answered.
        """
        begin, values = self.executed.setdefault(device, (0, []))
        try:
            with (self.directory / device).open("rb") as file:
                file.seek(begin)
                lines = file.read()
        except FileNotFoundError:
            return values
        whole = lines[: lines.rfind(b"\n") + 1]
        values += [int(float(line)) for line in whole.splitlines()]
        self.executed[device] = begin + len(whole), values
        return values

    def _value(self, device: str) -> str:
        executed = self._executed(device)
        return str(executed[-1]) if executed else "0"

    def _all_executed(self) -> bool:
        latest = list(self.ledger.certain.items())[-200:]
        executed = {device: set(self._executed(device)) for device in {device for (_, device), _ in latest}}
        return all(executed[device].issuperset(values) for (_, device), values in latest)

    # What is left

    def _compare(self) -> None:
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

    def _compare_uploads(self) -> None:
        """Each picture that was sent to a camera over a healthy way has come there whole, once and in order."""
        self.report.forbidden = self.ledger.forbidden
        for (camera, certain), serials in self.ledger.uploads.items():
            lines: list[str] = []
            with contextlib.suppress(FileNotFoundError):
                lines = (self.directory / f"{camera}.uploads").read_text().splitlines()
            self.report.wrong += [f"{camera} upload: {line}" for line in lines if not line.isdigit()][:5]
            got = [int(line) for line in lines if line.isdigit()]
            if len(set(got)) != len(got):
                self.report.wrong.append(f"{camera}: a picture was sent once and came twice")
            by_client: dict[int, list[int]] = {}
            for serial in got:
                by_client.setdefault(serial // 100_000, []).append(serial)
            if any(each != sorted(each) for each in by_client.values()):
                self.report.wrong.append(f"{camera}: pictures came out of order")
            if certain:
                self.report.uploads += len(serials)
                if missing := set(serials) - set(got):
                    self.report.wrong.append(f"{camera}: {len(missing)} pictures did not come: {sorted(missing)[:5]}")

    async def _ask_snoopers(self) -> None:
        """Do they know the values that the drivers have, and were their pictures right?"""
        for name, server in self.servers.items():
            async with IndiClient(server.port) as client:
                for snooper, watched in zip(self.snoopers[name], WATCHED[name], strict=True):
                    wrong = await self._unlike(client, snooper, watched)
                    self.report.snooped += len(watched)
                    if wrong:
                        self.report.wrong.append(f"{snooper} knows (known, true): {wrong}")
                await client.get_properties(device=self.snoopers[name][0], name="album")
                album = values_of(
                    await client.expect(match("defTextVector", device=self.snoopers[name][0], name="album"))
                )
                self.report.pictures += int(album["good"])
                if album["wrong"]:
                    self.report.wrong.append(f"{self.snoopers[name][0]}: {album['wrong']}")
                if not int(album["good"]):
                    self.report.wrong.append(f"{self.snoopers[name][0]} has seen no pictures")

    async def _unlike(self, client: IndiClient, snooper: str, watched: list[str]) -> dict[str, tuple[str | None, str]]:
        wrong: dict[str, tuple[str | None, str]] = {}
        for _ in range(int(QUIET / 2)):
            await client.get_properties(device=snooper, name="seen")
            known = values_of(await client.expect(match("defTextVector", device=snooper, name="seen")))
            wrong = {d: (known.get(d), self._value(d)) for d in watched if known.get(d) != self._value(d)}
            if not wrong:
                break
            await asyncio.sleep(0.5)
        return wrong

    async def _figures(self) -> dict[str, dict[str, float]]:
        figures = {}
        for name, server in self.servers.items():
            tasks, peers = await server.tasks_and_peers()
            self.open[name] = open_files(server.pid)
            figures[name] = {
                "memory": round(server.memory(), 1),
                "descriptors": sum(self.open[name].values()),
                "processes": len(server.program.children()),
                "tasks": tasks,
                "peers": peers,
            }
        return figures

    async def _unvisited(self) -> dict[str, dict[str, float]]:
        """The figures with no clients, but for the links between the servers."""
        expected = {
            # The drivers in the process, the programs, and the links to other servers.
            name: 3 + len(self.devices[name]) - self.local[name] + 2 + (2 if name == "top" else 1)
            for name in self.servers
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
        after, opened = before, self.opened
        for _ in range(int(QUIET)):
            after = await self._figures()
            if all(after[name][key] == before[name][key] for name in before for key in kept):
                break
            await asyncio.sleep(1)
        for name, server in self.servers.items():
            for key in kept:
                if after[name][key] != before[name][key]:
                    more = f": {dict(self.open[name] - opened[name])}" if key == "descriptors" else ""
                    self.report.wrong.append(f"{name}: {key} were {before[name][key]}, are {after[name][key]}{more}")
            if after[name]["memory"] - before[name]["memory"] > allowed(MEMORY):
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


async def _cancelled(task: asyncio.Task[None]) -> None:
    """Cancel a task; AssertionError if it had ended by itself."""
    task.cancel()
    (result,) = await asyncio.gather(task, return_exceptions=True)
    assert isinstance(result, asyncio.CancelledError), f"it had ended: {result!r}"
