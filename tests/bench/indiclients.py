"""Measures the client library, and beside it other clients.

    python -m tests.bench.indiclients [--pypi PYTHON] [--pyindi PYTHON] [--runs 3] [--scale 0.1]

The interpreters are those of environments with PyPI's indipyclient and with pyindi-client, libindi's client for Python.
Of the command, the processor time is measured beside that of indi_getprop, if that is installed.
"""

import argparse
import base64
import json
import os
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
WORKER = Path(__file__).with_name("clientworker.py")
MEMBERS = "ABCD"


def definition(device: str, name: str) -> bytes:
    members = "".join(
        f'<defNumber name="{m}" label="Label of {m}" format="%8.3f" min="0" max="100" step="0.1">1</defNumber>'
        for m in MEMBERS
    )
    return (
        f'<defNumberVector device="{device}" name="{name}" label="{name}" group="Main" state="Ok" perm="rw" '
        f'timeout="60" timestamp="2026-11-22T01:02:03">{members}</defNumberVector>\n'
    ).encode()


def update(device: str, name: str, value: float, state: str = "Ok") -> bytes:
    members = "".join(f'<oneNumber name="{m}">{value:.3f}</oneNumber>' for m in MEMBERS)
    return (
        f'<setNumberVector device="{device}" name="{name}" state="{state}" timestamp="2026-11-22T01:02:03">'
        f"{members}</setNumberVector>\n"
    ).encode()


def site(devices: int, properties: int) -> Iterator[bytes]:
    for device in range(devices):
        for name in range(properties):
            yield definition(f"Device {device}", f"PROPERTY_{name}")


BLOB = (
    b'<defBLOBVector device="CCD" name="CCD1" state="Ok" perm="ro"><defBLOB name="CCD1" label="x"/></defBLOBVector>\n'
)


def pictures(count: int, size: int) -> Iterator[bytes]:
    text = base64.b64encode(os.urandom(size))
    for number in range(count + 1):
        state = b"Alert" if number == count else b"Ok"
        one = b'<oneBLOB name="CCD1" size="%d" format=".fits">%s</oneBLOB>' % (size, text)
        yield b'<setBLOBVector device="CCD" name="CCD1" state="%s">%s</setBLOBVector>\n' % (state, one)


def attached(size: int, state: str) -> bytes:
    """The element of a BLOB whose bytes go with it as a descriptor."""
    one = f'<oneBLOB name="CCD1" size="{size}" len="{size}" format=".fits" attached="true"></oneBLOB>'
    return f'<setBLOBVector device="CCD" name="CCD1" state="{state}">{one}</setBLOBVector>\n'.encode()


class Blaster:
    """Sends prepared bytes to one client: the first part when it asks, the second a while later."""

    def __init__(self, first: bytes, second: bytes, pause: float) -> None:
        self._listener = self._listen()
        self._parts = (first, second)
        self._pause = pause
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _listen(self) -> socket.socket:
        listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{listener.getsockname()[1]}"
        return listener

    def _send(self, sock: socket.socket) -> None:
        sock.sendall(self._parts[1])

    def _run(self) -> None:
        try:
            sock, _ = self._listener.accept()
            with sock:
                sock.recv(1 << 16)
                sock.sendall(self._parts[0])
                time.sleep(self._pause)
                self._send(sock)
                sock.settimeout(60)
                while sock.recv(1 << 16):
                    pass
        except OSError:
            pass  # the client is gone

    def close(self) -> None:
        self._listener.close()


class LocalBlaster(Blaster):
    """Hands over BLOBs as descriptors on a local socket, as a server does with clients on the same machine."""

    def __init__(self, first: bytes, size: int, count: int, pause: float) -> None:
        self._size, self._count = size, count
        self._folder = tempfile.TemporaryDirectory()
        super().__init__(first, b"", pause)

    def _listen(self) -> socket.socket:
        self.address = os.path.join(self._folder.name, "socket")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self.address)
        listener.listen()
        return listener

    def _send(self, sock: socket.socket) -> None:
        data = os.urandom(self._size)
        for number in range(self._count + 1):
            fd = os.memfd_create("picture")  # a new one each time, as a camera makes it
            try:
                with open(fd, "wb", closefd=False) as file:
                    file.write(data)
                element = attached(self._size, "Alert" if number == self._count else "Ok")
                socket.send_fds(sock, [element], [fd])
            finally:
                os.close(fd)

    def close(self) -> None:
        super().close()
        self._folder.cleanup()


@dataclass(frozen=True)
class Contender:
    """A client: its interpreter, and which of the two kinds the worker runs."""

    name: str
    python: str
    kind: str
    path: str = ""

    def run(self, first: bytes, second: bytes, properties: int, pause: float = 1.0) -> dict[str, float]:
        return self.run_with(Blaster(first, second, pause), properties)

    def run_with(self, blaster: Blaster, properties: int) -> dict[str, float]:
        environment = {**os.environ, "PYTHONPATH": self.path}
        command = [self.python, str(WORKER), self.kind, blaster.address, str(properties)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, check=False)
        finally:
            blaster.close()
        if done.returncode:
            raise RuntimeError(done.stderr)
        return json.loads(done.stdout)


OURS = os.pathsep.join([str(ROOT / "companions"), str(ROOT)])


def contenders(pypi: str | None, pyindi: str | None = None) -> list[Contender]:
    found = [Contender("Client", sys.executable, "ours", OURS), Contender("IPyClient", sys.executable, "classic", OURS)]
    if pypi:
        found.append(Contender("PyPI's IPyClient", pypi, "classic"))
    if pyindi:
        found.append(Contender("pyindi-client", pyindi, "pyindi"))
    return found


def applied(scale: float = 1.0) -> float:
    """Updates of four numbers that the model applies in a second of processor time; the best of five tries."""
    from indipyclient.model.model import Model
    from indipydriver.protocol.decode import decode
    from indipydriver.protocol.framer import Framer

    model = Model()
    model.link_made()
    for frame in Framer().feed(b"".join(site(100, 50))):
        model.apply(decode(frame))
    data = b"".join(update(f"Device {n % 100}", f"PROPERTY_{n % 50}", n) for n in range(1000))
    messages = [decode(frame) for frame in Framer().feed(data)]
    times = max(1, round(20 * scale))
    best = float("inf")
    for _ in range(5):
        begin = time.process_time()
        for _ in range(times):
            for message in messages:
                model.apply(message, 1.0)
        best = min(best, time.process_time() - begin)
    return times * len(messages) / best


def updates(one: Contender, scale: float = 1.0) -> dict[str, float]:
    """Updates of four numbers, from the socket to whoever reads changes."""
    count = round((100_000 if one.kind == "ours" else 20_000) * scale)
    many = b"".join(update("Device 0", f"PROPERTY_{n % 50}", n % 100) for n in range(count))
    found = one.run(b"".join(site(1, 50)), many + update("Device 0", "PROPERTY_0", 0, "Alert"), 50, pause=0.2)
    return {"updates/s": count / found["seconds"], "µs of processor": found["cpu"] / count * 1e6}


def large_site(one: Contender, scale: float = 1.0) -> dict[str, float]:
    """100 devices of 50 properties of four numbers: how soon all is known, and in how much memory."""
    devices = max(1, round(100 * scale))
    end = update("Device 0", "PROPERTY_0", 0, "Alert")
    found = one.run(b"".join(site(devices, 50)), end, devices * 50, pause=0.0)
    return {"seconds": found["complete"], "MB": found["memory"]}


def blobs(one: Contender, scale: float = 1.0) -> dict[str, float]:
    """BLOBs of 16 MiB."""
    size, count = round((16 << 20) * min(1.0, scale)), 4
    found = one.run(BLOB, b"".join(pictures(count, size)), 1, pause=0.2)
    megabytes = size * count / 1e6
    return {"MB/s": megabytes / found["seconds"], "ms of processor for a MB": found["cpu"] / megabytes * 1e3}


def local_blobs(one: Contender, scale: float = 1.0) -> dict[str, float]:
    """BLOBs of 16 MiB as descriptors on a local socket."""
    size, count = round((16 << 20) * min(1.0, scale)), 40
    found = one.run_with(LocalBlaster(BLOB, size, count, 0.2), 1)
    megabytes = size * count / 1e6
    return {"MB/s": megabytes / found["seconds"], "ms of processor for a MB": found["cpu"] / megabytes * 1e3}


def run_time(command: list[str]) -> tuple[float, float]:
    """Seconds, and seconds of processor time, of a command, medians of ten; its bytecode is there."""
    environment = {**os.environ, "PYTHONPATH": OURS}
    with tempfile.TemporaryDirectory() as folder:
        if environment.pop("PYTHONDONTWRITEBYTECODE", None):
            environment["PYTHONPYCACHEPREFIX"] = folder  # as it is where it is installed
        elapsed, processor = [], []
        for number in range(11):
            blaster = Blaster(definition("Device", "PROPERTY"), b"", 0.0)
            address = ["127.0.0.1" if each == "HOST" else each for each in command]
            address = [blaster.address.partition(":")[2] if each == "PORT" else each for each in address]
            begin, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run(address, capture_output=True, env=environment, check=True, timeout=30)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            if number:  # the first writes bytecode
                elapsed.append(time.perf_counter() - begin)
                processor.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
            blaster.close()
    return statistics.median(elapsed), statistics.median(processor)


VALUE = "Device.PROPERTY.A"
GET = [sys.executable, "-m", "indipyclient", "get", "-s", "HOST", "-p", "PORT", VALUE]


def commands() -> Iterator[tuple[str, list[str]]]:
    """What prints one value, and how long an interpreter takes that does nothing."""
    yield "indipyclient get", GET
    if shutil.which("indi_getprop"):
        yield "indi_getprop", ["indi_getprop", "-h", "HOST", "-p", "PORT", VALUE]
    yield "an interpreter with asyncio", [sys.executable, "-c", "import asyncio"]
    yield "an interpreter", [sys.executable, "-c", "pass"]


MEASURES: dict[str, Callable[[Contender, float], dict[str, float]]] = {
    "updates of four numbers": updates,
    "100 devices of 50 properties": large_site,
    "BLOBs of 16 MiB": blobs,
    "BLOBs of 16 MiB on a local socket": local_blobs,
}
OURS_ALONE = frozenset({"BLOBs of 16 MiB on a local socket"})


def better(one: dict[str, float], other: dict[str, float] | None) -> dict[str, float]:
    """The best figure of each kind: the highest rate, the least of everything else."""
    if other is None:
        return one
    return {unit: (max if unit.endswith("/s") else min)(value, other[unit]) for unit, value in one.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pypi", metavar="PYTHON", help="an interpreter that has PyPI's indipyclient")
    parser.add_argument("--pyindi", metavar="PYTHON", help="an interpreter that has pyindi-client")
    parser.add_argument("--runs", type=int, default=3, help="the best of so many counts (default: 3)")
    parser.add_argument("--scale", type=float, default=1.0, help="factor for what is measured")
    options = parser.parse_args()
    sys.path[:0] = OURS.split(os.pathsep)
    print(f"model: {applied(options.scale):,.0f} updates of four numbers applied in a second")
    print("one value")
    for name, command in commands():
        elapsed, processor = run_time(command)
        print(f"  {name:28} {elapsed * 1000:.0f} ms, {processor * 1000:.0f} ms of processor time")
    every = contenders(options.pypi, options.pyindi)
    for title, measure in MEASURES.items():
        print(title)
        best: dict[str, dict[str, float]] = {}
        failed: dict[str, str] = {}
        for _ in range(options.runs):  # they take turns, so that a busy moment hits all
            for one in every:
                if title in OURS_ALONE and one.path != OURS:
                    continue
                try:
                    best[one.name] = better(measure(one, options.scale), best.get(one.name))
                except (RuntimeError, subprocess.TimeoutExpired) as error:
                    failed[one.name] = str(error).strip().splitlines()[-1][:80]
        for name, figures in best.items():
            print(f"  {name:18} " + ", ".join(f"{value:,.1f} {unit}" for unit, value in figures.items()))
        for name, reason in failed.items():
            print(f"  {name:18} has failed in a run: {reason}")


if __name__ == "__main__":
    main()
