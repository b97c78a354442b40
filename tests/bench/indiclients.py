"""Measures the client library, and beside it PyPI's package of the same name.

    python -m tests.bench.indiclients [--pypi PYTHON] [--scale 0.1]

PYTHON is an interpreter that has PyPI's indipyclient.
"""

import argparse
import base64
import json
import os
import socket
import subprocess
import sys
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


class Blaster:
    """Sends prepared bytes to one client: the first part when it asks, the second a while later."""

    def __init__(self, first: bytes, second: bytes, pause: float) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._parts = (first, second)
        self._pause = pause
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            sock, _ = self._listener.accept()
            with sock:
                sock.recv(1 << 16)
                sock.sendall(self._parts[0])
                time.sleep(self._pause)
                sock.sendall(self._parts[1])
                sock.settimeout(60)
                while sock.recv(1 << 16):
                    pass
        except OSError:
            pass  # the client is gone

    def close(self) -> None:
        self._listener.close()


@dataclass(frozen=True)
class Contender:
    """A client: its interpreter, and which of the two kinds the worker runs."""

    name: str
    python: str
    kind: str
    path: str = ""

    def run(self, first: bytes, second: bytes, properties: int, pause: float = 1.0) -> dict[str, float]:
        blaster = Blaster(first, second, pause)
        environment = {**os.environ, "PYTHONPATH": self.path}
        command = [self.python, str(WORKER), self.kind, str(blaster.port), str(properties)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, check=False)
        finally:
            blaster.close()
        if done.returncode:
            raise RuntimeError(done.stderr)
        return json.loads(done.stdout)


OURS = os.pathsep.join([str(ROOT / "companions"), str(ROOT)])


def contenders(pypi: str | None) -> list[Contender]:
    found = [Contender("Client", sys.executable, "ours", OURS), Contender("IPyClient", sys.executable, "classic", OURS)]
    return found + ([Contender("PyPI's IPyClient", pypi, "classic")] if pypi else [])


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


def get() -> float:
    """Seconds of the command `indipyclient get` for one value, with its start; the best of five."""
    best = float("inf")
    for _ in range(5):
        blaster = Blaster(definition("Device", "PROPERTY"), b"", 0.0)
        command = [sys.executable, "-m", "indipyclient", "get", "-p", str(blaster.port), "Device.PROPERTY.A"]
        environment = {**os.environ, "PYTHONPATH": OURS, "INDI_HOST": "127.0.0.1"}
        begin = time.perf_counter()
        subprocess.run(command, capture_output=True, env=environment, check=True, timeout=30)
        best = min(best, time.perf_counter() - begin)
        blaster.close()
    return best


def start() -> float:
    """Seconds that the interpreter itself takes; the best of five."""
    best = float("inf")
    for _ in range(5):
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-c", "pass"], check=True, timeout=30)
        best = min(best, time.perf_counter() - begin)
    return best


MEASURES: dict[str, Callable[[Contender, float], dict[str, float]]] = {
    "updates of four numbers": updates,
    "100 devices of 50 properties": large_site,
    "BLOBs of 16 MiB": blobs,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pypi", metavar="PYTHON", help="an interpreter that has PyPI's indipyclient")
    parser.add_argument("--scale", type=float, default=1.0, help="factor for what is measured")
    options = parser.parse_args()
    sys.path[:0] = OURS.split(os.pathsep)
    print(f"model: {applied(options.scale):,.0f} updates of four numbers applied in a second")
    print(f"indipyclient get: {get() * 1000:.0f} ms, of which the interpreter alone takes {start() * 1000:.0f} ms")
    for title, measure in MEASURES.items():
        print(title)
        for one in contenders(options.pypi):
            try:
                figures = measure(one, options.scale)
            except (RuntimeError, subprocess.TimeoutExpired) as error:
                print(f"  {one.name:18} {str(error).strip().splitlines()[-1][:80]}")
                continue
            print(f"  {one.name:18} " + ", ".join(f"{value:,.1f} {unit}" for unit, value in figures.items()))


if __name__ == "__main__":
    main()
