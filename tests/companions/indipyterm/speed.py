"""How quick the terminal client is: ``python3 -m tests.companions.indipyterm.speed`` prints the figures.

The program runs in a pseudo-terminal of its own, in front of a server that says what it is told to; its processor time
is read from the kernel.
"""

import argparse
import asyncio
import contextlib
import fcntl
import os
import pty
import resource
import signal
import struct
import sys
import tempfile
import termios
import time
from collections.abc import Sequence
from pathlib import Path

from tests.companions.indipyclient.scripted import scripted
from tests.support import ROOT

from .observatory import OBSERVATORY, define, update

COMPILED = os.path.join(tempfile.gettempdir(), f"indipyterm-{os.getuid()}")
"""What is installed is compiled; so is this."""
TICKS = os.sysconf("SC_CLK_TCK")


class Program:
    """The terminal client in a pseudo-terminal."""

    def __init__(
        self, port: int, size=(120, 40), ignoring: Sequence[int] = (), arguments: Sequence[str] = (), **environment: str
    ) -> None:
        self.begun = time.monotonic()
        self._home = tempfile.TemporaryDirectory()
        self.status: int | None = None
        self.pid, self._fd = pty.fork()
        if not self.pid:
            for number in ignoring:
                signal.signal(number, signal.SIG_IGN)
            found = {
                **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
                "PYTHONPYCACHEPREFIX": COMPILED,
                "PYTHONPATH": os.pathsep.join(map(str, (ROOT / "companions", ROOT))),
                "TERM": "xterm-256color",
                "COLORTERM": "truecolor",
                "STY": "",
                "XDG_CONFIG_HOME": self._home.name,
                "XDG_STATE_HOME": self._home.name,
                **environment,
            }
            os.execve(
                sys.executable,
                [sys.executable, "-m", "indipyterm", "--host", "127.0.0.1", "--port", str(port), *arguments],
                found,
            )
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
        self.before = self.modes()  # Python is only starting
        os.set_blocking(self._fd, False)
        self.output = bytearray()
        self._news = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._fd, self._read)

    def _read(self) -> None:
        try:
            data = os.read(self._fd, 1 << 20)
        except OSError:
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self._fd)
        self.output += data
        self._news.set()

    async def prints(self, text: bytes, timeout: float = 30) -> float:
        """Wait until it has printed this; returns when that was."""
        async with asyncio.timeout(timeout):
            while text not in self.output:
                self._news.clear()
                await self._news.wait()
        return time.monotonic()

    def press(self, keys: bytes) -> float:
        """Press keys; returns when."""
        self.output.clear()
        os.write(self._fd, keys)
        return time.monotonic()

    def processor(self) -> float:
        """Seconds of processor time so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def memory(self) -> float:
        """Megabytes."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * resource.getpagesize() / 1e6

    async def used(self, seconds: float) -> float:
        """The part of a core that it uses in this time."""
        begin, before = time.monotonic(), self.processor()
        await asyncio.sleep(seconds)
        return (self.processor() - before) / (time.monotonic() - begin)

    def modes(self) -> list:
        """How the terminal treats what is typed and printed."""
        return termios.tcgetattr(self._fd)[:4]

    async def ends(self, timeout: float = 30) -> int:
        """Wait until it has ended; returns its exit status."""
        async with asyncio.timeout(timeout):
            while self.status is None:
                done, status = os.waitpid(self.pid, os.WNOHANG)
                if done:
                    self.status = os.waitstatus_to_exitcode(status)
                else:
                    await asyncio.sleep(0.02)
        return self.status

    def stand_still(self) -> None:
        """Nobody reads what it prints."""
        asyncio.get_running_loop().remove_reader(self._fd)

    def go_on(self) -> None:
        """Read it again."""
        asyncio.get_running_loop().add_reader(self._fd, self._read)

    def hang_up(self) -> None:
        """The terminal is closed."""
        asyncio.get_running_loop().remove_reader(self._fd)
        os.close(self._fd)
        self._fd = os.open(os.devnull, os.O_RDONLY)

    def end(self) -> None:
        with contextlib.suppress(ValueError, OSError):
            asyncio.get_running_loop().remove_reader(self._fd)
        if self.status is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self._fd)
        self._home.cleanup()


@contextlib.asynccontextmanager
async def program(greeting: str, ignoring: Sequence[int] = (), arguments: Sequence[str] = (), **environment: str):
    async with scripted() as server:
        found = Program(server.port, ignoring=ignoring, arguments=arguments, **environment)
        try:
            link = await server.client(greeting, timeout=30)
            yield found, link
        finally:
            found.end()


async def first_picture() -> dict[str, float]:
    """Seconds from the start until the values of an observatory are on the screen."""
    async with program(OBSERVATORY) as (terminal, _):
        frame = await terminal.prints(b"indipyterm")
        values = await terminal.prints(b"Equatorial")
        used = terminal.processor()
        return {"frame, s": frame - terminal.begun, "values, s": values - terminal.begun, "processor, s": used}


async def idle(seconds: float = 20.0, settle: float = 40.0) -> dict[str, float]:
    """Part of a core, when nothing comes."""
    async with program(OBSERVATORY) as (terminal, _):
        await terminal.prints(b"Equatorial")
        await asyncio.sleep(3)
        young = await terminal.used(seconds / 2)
        await asyncio.sleep(settle)
        return {"idle in the first minute, %": young * 100, "idle, %": await terminal.used(seconds) * 100}


def site(properties: int, members: int = 10) -> str:
    return "".join(
        define(
            "Number", "Big", f"P{n:03}", [(f"M{m}", f"Member {m}", n + m, {"format": "%.3f"}) for m in range(members)]
        )
        for n in range(properties)
    )


async def busy(seconds: float = 8.0, rate: int = 1000, properties: int = 500) -> dict[str, float]:
    """Part of a core at so many updates a second, of a site with 5,000 members."""
    async with program(site(properties)) as (terminal, link):
        await terminal.prints(b"P000")
        await asyncio.sleep(2)
        stop = asyncio.Event()

        async def talk() -> None:
            n = 0
            begin = time.monotonic()
            while not stop.is_set():
                due = int((time.monotonic() - begin) * rate)
                texts = [
                    update("Number", "Big", f"P{k % properties:03}", {"M1": f"{k / 7:.3f}"}) for k in range(n, due)
                ]
                n = due
                if texts:
                    await link.send("".join(texts))
                await asyncio.sleep(0.01)

        talking = asyncio.create_task(talk())
        await asyncio.sleep(1)
        used = await terminal.used(seconds)
        stop.set()
        await talking
        return {"1000 updates/s, %": used * 100, "MB": terminal.memory()}


async def _answer(terminal: Program, key: bytes, mark: bytes) -> float:
    begin = terminal.press(key)
    return await terminal.prints(mark) - begin


async def frames(count: int = 40) -> dict[str, float]:
    """Processor time for one look at 100 changed properties of a site with 5,000 members; without a terminal."""
    from indipydriver.protocol.messages import OneMember, SetVector
    from indipydriver.protocol.tags import State, VectorKind

    from .terminal import terminal

    async with terminal(site(500), size=(120, 40)) as screen:
        model = screen.session.client.model
        while len(model) < 500:
            await asyncio.sleep(0.1)
        await asyncio.sleep(1)
        times = []
        for n in range(count):
            rev = model.rev
            now = asyncio.get_running_loop().time()
            for k in range(100):
                members = (OneMember("M1", f"{n + k / 7:.3f}"),)
                message = SetVector(VectorKind.NUMBER, "Big", f"P{k:03}", members, State.OK, None, None, None)
                model.apply(message, now)
            begin = time.process_time()
            screen.main.changed(screen.session, model.since(rev))
            await screen.pilot.pause()
            times.append(time.process_time() - begin)
        times.sort()
        return {"frame, median ms": times[len(times) // 2] * 1e3, "worst ms": times[-1] * 1e3}


async def keys() -> dict[str, float]:
    """Milliseconds from a key to the screen, with 5,000 members."""
    async with program(site(500)) as (terminal, _):
        await terminal.prints(b"P000")
        await asyncio.sleep(2)
        times = []
        for key in [b"j"] * 30 + [b"\x06"] * 10 + [b"G", b"g"] * 5:
            times.append(await _answer(terminal, key, b"Member"))
            await asyncio.sleep(0.08)
        times.sort()
        return {"key to screen, median ms": times[len(times) // 2] * 1e3, "worst ms": times[-1] * 1e3}


async def churn(seconds: float = 6.0, properties: int = 3000, rate: int = 100) -> dict[str, float]:
    """The same, with a device of which so many properties a second go, and others come; and the part of a core."""

    def one(n: int) -> str:
        return define("Number", "Big", f"P{n:05}", [(f"N{n:05}", f"Member {n}", n)], f"Label {n}", group=f"G{n % 9}")

    async with program("".join(map(one, range(properties)))) as (terminal, link):
        await terminal.prints(b"P00000")
        await asyncio.sleep(2)
        stop = asyncio.Event()

        async def talk() -> None:
            from .observatory import delete

            n, begin = properties, time.monotonic()
            while not stop.is_set():
                due = properties + int((time.monotonic() - begin) * rate)
                await link.send("".join(delete("Big", f"P{k - properties // 2:05}") + one(k) for k in range(n, due)))
                n = due
                await asyncio.sleep(0.02)

        talking = asyncio.create_task(talk())
        await asyncio.sleep(1)
        used = await terminal.used(seconds / 2)
        times = []
        begin = time.monotonic()
        while len(times) < 15 or time.monotonic() - begin < seconds / 2:
            times.append(await _answer(terminal, b"j", f"N{len(times) + 1:05}".encode()))
            await asyncio.sleep(0.15)
        stop.set()
        await talking
        times.sort()
        return {
            "key to screen, 200 properties come and go, ms": times[len(times) // 2] * 1e3,
            "worst ms": times[-1] * 1e3,
            "of a core, %": used * 100,
        }


PARTS = {"first": first_picture, "frames": frames, "keys": keys, "busy": busy, "churn": churn, "idle": idle}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="which figures; else all")
    for name in parser.parse_args().parts or PARTS:
        runs = [asyncio.run(PARTS[name]()) for _ in range(3 if name == "first" else 1)]
        for figure in runs[0]:
            print(f"{figure:46} {min(run[figure] for run in runs):8.2f}", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
