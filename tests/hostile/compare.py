"""The same ill treatment for three servers: ours, Debian's indiserver, and the indipyserver of PyPI.

    python -m tests.hostile.compare --pypi PYTHON

PYTHON is an interpreter with indipydriver and indipyserver from PyPI; without it that column is left out, and so is
indiserver's where it is not installed. Each attack gets a fresh server with one driver, a program that none of the
three has written. Afterwards a new client asks for the driver's property and commands it.
"""

import argparse
import asyncio
import base64
import contextlib
import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.support import free_port, wait_for_port
from tests.support.faults import ECHO_PROGRAM
from tests.support.programs import ROOT, Program, started

MIB = 1 << 20
PYPI = """
import asyncio, sys
from indipyserver import IPyServer
server = IPyServer(host="127.0.0.1", port=int(sys.argv[1]), maxconnections=10)
server.add_exdriver(sys.argv[2])
asyncio.run(server.asyncrun())
"""
OURS = """
import asyncio, sys
from indipyserver import IPyServer
server = IPyServer(host="127.0.0.1", port=int(sys.argv[1]))
server.add_exdriver(sys.argv[2])
asyncio.run(server.asyncrun())
"""
Attack = Callable[[int, str], Awaitable[None]]


async def send(port: int, *data: bytes, times: int = 1, hold: float = 0.3) -> None:
    """One client that sends this and leaves a moment later."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(20):
            for _ in range(times):
                for piece in data:
                    writer.write(piece)
                    await writer.drain()
    await asyncio.sleep(hold)
    writer.transport.abort()


def new(value: object, device: str = "E") -> bytes:
    return f"<newNumberVector device='{device}' name='pos'><oneNumber name='n'>{value}</oneNumber></newNumberVector>\n".encode()


def blob(attributes: str, data: bytes) -> bytes:
    return (
        f"<newBLOBVector device='E' name='b'><oneBLOB name='b' {attributes}>".encode()
        + data
        + b"</oneBLOB></newBLOBVector>\n"
    )


async def no_version(port: int, _: str) -> None:
    await send(port, b"<getProperties/>\n", b"<getProperties version='9.9'/>\n", times=30)


async def wrong_blobs(port: int, _: str) -> None:
    data = base64.b64encode(b"x" * 300)
    for attributes in (
        "size='many' format='.x'",
        "size='-5' format='.x'",
        "size='300' enclen='4' format='.x'",
        "size='1' enclen='-4'",
    ):
        await send(port, blob(attributes, data)[:200], blob(attributes, data)[200:])


async def wrong_tag(port: int, _: str) -> None:
    await send(port, b"<newTextVector device='E' name='pos'><oneText name='n'>On</oneText></newTextVector>\n")
    await send(
        port, b"<defTextVector device='E' name='z' state='Ok' perm='rw'><defText name='a'>x</defText></defTextVector>\n"
    )


async def nested(port: int, _: str) -> None:
    await send(
        port, b"<newTextVector device='E' name='n'>" + b"<a>" * 20_000 + b"</a>" * 20_000 + b"</newTextVector>\n"
    )


async def endless(port: int, _: str) -> None:
    await send(port, b"<newTextVector device='E' name='n'><oneText name='t'>", b"x" * MIB, times=150)


async def bare_ampersand(port: int, _: str) -> None:
    await send(port, b"a & b <newTextVector device='E' name='n'><oneText name='t'>a & b\n", new(1))


async def never_reads(port: int, _: str) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
    writer.transport.pause_reading()
    writer.write(b"<getProperties version='1.7'/>\n")
    await send(port, b"".join(new(i) for i in range(1000)), times=60, hold=2)
    writer.transport.abort()


async def flood(port: int, _: str) -> None:
    crowd = []
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(10):
            for _ in range(300):
                crowd.append(await asyncio.open_connection("127.0.0.1", port))  # noqa: PERF401  # some of them, perhaps
    await asyncio.sleep(1)
    for _, writer in crowd:
        writer.transport.abort()
    await asyncio.sleep(1.5)


async def open_and_close(port: int, _: str) -> None:
    for _ in range(30):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
    await asyncio.sleep(1)


async def forged(port: int, _: str) -> None:
    await send(
        port,
        b"<delProperty device='E'/><setNumberVector device='E' name='pos'><oneNumber name='n'>666</oneNumber></setNumberVector>\n",
    )


async def half_closed(port: int, _: str) -> None:
    """Nothing is to be survived here: the answers to a client that has ended its side are to come."""
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(b"<getProperties version='1.7' device='E'/>\n")
        sock.shutdown(socket.SHUT_WR)
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        got = b""
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(6):
                while data := await loop.sock_recv(sock, 65536):
                    got += data
    if b"defNumberVector" not in got:
        raise AssertionError("the answers did not come")


async def killed_driver(port: int, name: str) -> None:
    for _ in range(3):
        for task in Path(f"/proc/{name}/task").glob("*/children"):
            for pid in task.read_text().split():
                with contextlib.suppress(OSError):
                    os.kill(int(pid), 9)
        await asyncio.sleep(1)
    await asyncio.sleep(2)


ATTACKS: dict[str, Attack] = {
    "30 getProperties without version, 30 with 9.9": no_version,
    "BLOBs with wrong size or enclen": wrong_blobs,
    "command of the wrong kind, definition by a client": wrong_tag,
    "20 000 nested elements": nested,
    "150 MiB without an end": endless,
    "bare & and an unterminated element": bare_ampersand,
    "a client that does not read, 60 000 commands": never_reads,
    "300 connections with 200 descriptors": flood,
    "30 connections opened and closed": open_and_close,
    "forged delProperty and set by a client": forged,
    "half-closed client": half_closed,
    "driver killed three times": killed_driver,
}


def status(pid: int, key: str) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(key + ":"):
                return int(line.split()[1])
    return 0


def cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def served(port: int) -> float:
    """Seconds until a new client has seen the property and its command has been executed; 99 when it does not."""
    begin = time.monotonic()
    value = time.monotonic_ns() % 10**6
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(8):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=MIB)
            try:
                got = b""
                asked = 0.0
                while b"defNumberVector device='E'" not in got.replace(b'"', b"'"):
                    if time.monotonic() - asked > 1:
                        asked = time.monotonic()
                        writer.write(b"<getProperties version='1.7'/>\n")
                    with contextlib.suppress(TimeoutError):
                        data = await asyncio.wait_for(reader.read(65536), 1)
                        if not data:
                            return 99.0
                        got += data
                writer.write(new(value))
                while not (
                    b"setNumberVector" in got
                    and str(value).encode() in got.rpartition(b"setNumberVector device")[2] + got[-300:]
                ):
                    data = await reader.read(65536)
                    if not data:
                        return 99.0
                    got += data
                return time.monotonic() - begin
            finally:
                writer.transport.abort()
    return 99.0


async def one(command: Callable[[int], list[str]], name: str, attack: Attack) -> str:
    """What became of one server under one attack."""
    port = free_port()
    with started("bash", "-c", 'ulimit -n 200; exec "$@"', "-", *command(port), cwd=ROOT) as program:
        await wait_for_port(port, program)
        if await served(port) > 90:
            return "does not serve at all"
        note = ""
        try:
            await asyncio.wait_for(attack(port, str(program.pid)), 60)
        except (OSError, TimeoutError, AssertionError) as error:
            note = f" ({error or type(error).__name__})" if isinstance(error, AssertionError) else ""
        return await verdict(program, port) + note


async def verdict(program: Program, port: int) -> str:
    if program.process.poll() is not None:
        code = program.process.returncode
        return f"the server has ended ({'signal ' + str(-code) if code < 0 else 'status ' + str(code)})"
    seconds = await served(port)
    if program.process.poll() is not None:
        return f"the server has ended (status {program.process.returncode})"
    peak = status(program.pid, "VmHWM") / 1024
    begin = cpu(program.pid)
    await asyncio.sleep(1)
    busy = cpu(program.pid) - begin
    spin = f", {busy * 100:.0f} % CPU afterwards" if busy > 0.2 else ""
    if seconds > 90:
        return f"serves no new client, {peak:.0f} MiB{spin}"
    return f"goes on, {peak:.0f} MiB{spin}"


async def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.hostile.compare", description=__doc__)
    parser.add_argument("--pypi", help="an interpreter with the packages of PyPI")
    parser.add_argument("--only", default="", help="attacks with this in their name")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        driver = Path(directory, "echo-driver")
        code = ECHO_PROGRAM.replace("sys.argv[1]", "'E'").replace("if len(sys.argv) > 2 else -1", "if False else -1")
        driver.write_text(f"#!{sys.executable}\n{code}")
        driver.chmod(0o755)
        columns: dict[str, Callable[[int], list[str]]] = {
            "ours": lambda port: [sys.executable, "-c", OURS, str(port), str(driver)]
        }
        if indiserver := shutil.which("indiserver"):
            columns["indiserver"] = lambda port: [
                indiserver, "-p", str(port), "-u", f"{directory}/socket{port}", "-r", "10", str(driver)
            ]  # fmt: skip
        if options.pypi:
            columns["PyPI"] = lambda port: ["env", "-C", directory, options.pypi, "-c", PYPI, str(port), str(driver)]
        sys.stdout.write("| attack | " + " | ".join(columns) + " |\n|" + "---|" * (len(columns) + 1) + "\n")
        for name, attack in ATTACKS.items():
            if options.only in name:
                cells = [await one(command, column, attack) for column, command in columns.items()]
                sys.stdout.write(f"| {name} | " + " | ".join(cells) + " |\n")
                sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
