"""A network that fails on command: a proxy between two parts, and programs that misbehave as drivers."""

import asyncio
import contextlib
import random
import sys

SLICE = 65536


class FaultProxy:
    """Relays connections to a port of this machine, in ``async with``; what it does to the bytes can be changed
    at any time, and holds for both directions.

    Attributes:
        port: Connect here.
        split: Pass on pieces of at most so many bytes; 0: as they come.
        delay: Seconds before each piece is passed on.
        connections: How many there have been.
    """

    def __init__(self, target: int, seed: int = 0) -> None:
        self.target = target
        self.port = 0
        self.split = 0
        self.delay = 0.0
        self.connections = 0
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._random = random.Random(seed)
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._cut_after: int | None = None
        self._refusing = False

    async def __aenter__(self) -> "FaultProxy":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def stall(self) -> None:
        """Nothing passes any more, but the connections stay: half open."""
        self._flowing.clear()

    def flow(self) -> None:
        """What was held up passes, and what follows."""
        self._flowing.set()

    def refuse(self, refusing: bool = True) -> None:
        """New connections are closed at once."""
        self._refusing = refusing

    def cut(self) -> None:
        """Reset all connections, in the middle of whatever they carry."""
        for pair in self._pairs:
            for writer in pair:
                writer.transport.abort()

    def cut_after(self, size: int) -> None:
        """Reset the connection on which, from now on, so many bytes have passed."""
        self._cut_after = size

    def close_twice(self) -> None:
        """End both directions of all connections, and then once more."""
        for pair in self._pairs:
            for writer in (*pair, *pair):
                with contextlib.suppress(OSError, RuntimeError):
                    if writer.can_write_eof():
                        writer.write_eof()
                writer.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self._refusing:
            writer.transport.abort()
            return
        try:
            onward_reader, onward = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        pair = (writer, onward)
        self._pairs.add(pair)
        tasks = [
            asyncio.create_task(self._relay(reader, onward)),
            asyncio.create_task(self._relay(onward_reader, writer)),
        ]
        self._tasks.update(tasks)
        try:
            await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            self._pairs.discard(pair)
            self._tasks.difference_update(tasks)
            for each in pair:
                each.transport.abort()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await self._flowing.wait()
            data = await reader.read(SLICE)
            await self._flowing.wait()
            if not data:
                if writer.can_write_eof():
                    with contextlib.suppress(OSError):
                        writer.write_eof()
                return
            if self._cut_after is not None:
                self._cut_after -= len(data)
                if self._cut_after <= 0:
                    writer.write(data[: self._cut_after + len(data)])
                    await writer.drain()
                    self._cut_after = None
                    self.cut()
                    return
            step = self.split or len(data)
            for start in range(0, len(data), step):
                if self.delay:
                    await asyncio.sleep(self._random.uniform(0, self.delay))
                writer.write(data[start : start + step])
                await writer.drain()


_PRELUDE = r"""
import os, signal, sys, time
def out(text):
    os.write(1, text if isinstance(text, bytes) else text.encode())
def asked(count):
    seen = b""
    while seen.count(b"<getProperties") < count:
        seen += os.read(0, 4096)
def define(device, name="pos"):
    out(f"<defNumberVector device='{device}' name='{name}' state='Ok' perm='rw'>"
        "<defNumber name='n' format='%g' min='0' max='0' step='1'>0</defNumber></defNumberVector>\n")
"""


def misbehaving(body: str) -> list[str]:
    """The command of a driver that does this; it has out(text), define(device), and asked(count), which waits for
    so many getProperties: the first is that of the server itself."""
    return [sys.executable, "-u", "-c", _PRELUDE + body]


ECHO_PROGRAM = (
    _PRELUDE
    + r"""
import re
device = sys.argv[1]
log = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600) if len(sys.argv) > 2 else -1
value = b"0"
held = b""
while True:
    data = os.read(0, 65536)
    if not data:
        break
    held += data
    while True:
        match = re.search(rb"<getProperties[^>]*/>|<newNumberVector.*?</newNumberVector>", held, re.S)
        if match is None:
            break
        held = held[match.end():]
        if match[0].startswith(b"<get"):
            out(f"<defNumberVector device='{device}' name='pos' state='Ok' perm='rw'>"
                f"<defNumber name='n' format='%g' min='0' max='0' step='1'>{value.decode()}</defNumber></defNumberVector>\n")
        else:
            value = re.search(rb"<oneNumber[^>]*>\s*([^<\s]*)", match[0])[1]
            if log >= 0:
                os.write(log, value + b"\n")
            out(f"<setNumberVector device='{device}' name='pos' state='Ok'>"
                f"<oneNumber name='n'>{value.decode()}</oneNumber></setNumberVector>\n")
"""
)
"""A driver in 30 lines that shares no code with what is tested: the device argv[1] with the number pos.n."""


def echo_program(device: str, log: str | None = None) -> list[str]:
    """The command of a driver of another maker, with a number ``pos`` that it sets to what it is told.

    Args:
        device: Its device.
        log: A file to which it appends each value that it was told.
    """
    return [sys.executable, "-u", "-c", ECHO_PROGRAM, device, *([log] if log else [])]
