"""Clients of the soak: those that behave and whose commands count, and those that do not."""

import asyncio
import contextlib
import itertools
import random
import re
import socket
import struct

UPDATE = re.compile(
    rb'<(?:def|set)NumberVector[^>]*?\sdevice=["\']([^"\']+)["\'][^>]*>\s*<(?:def|one)Number[^>]*>\s*([^<\s]*)\s*</'
)
DELETED = re.compile(rb'<delProperty[^>]*?\sdevice=["\']([^"\']+)["\']')
PONG = re.compile(rb'<pingReply[^>]*?uid=["\']([^"\']+)["\']')
END = re.compile(rb"</[a-z]{3}[A-Za-z]+Vector>\n|/>\n|</message>\n")
_ids = itertools.count(1)


class Ledger:
    """What was sent, by client and device: certain (over healthy ways) or perhaps."""

    def __init__(self) -> None:
        self.certain: dict[tuple[int, str], list[int]] = {}
        self.perhaps: dict[tuple[int, str], list[int]] = {}
        self.uploads: dict[tuple[str, bool], list[int]] = {}  # by device, and whether certain
        self.sent = 0
        self.forbidden = 0

    def note(self, client: int, device: str, value: int, certain: bool) -> None:
        self.sent += 1
        (self.certain if certain else self.perhaps).setdefault((client, device), []).append(value)


def command(device: str, value: int) -> bytes:
    return f"<newNumberVector device='{device}' name='pos'><oneNumber name='n'>{value}</oneNumber></newNumberVector>\n".encode()


class Client:
    """One that behaves: commands at random, remembers the last value of each device, and leaves when it has been heard.

    Args:
        port: Where.
        safe: Devices whose commands cannot get lost on the way from there.
        unsafe: Devices whose commands may.
        ledger: Where it writes down what it sends.
        rng: Its choices.
    """

    def __init__(self, port: int, safe: list[str], unsafe: list[str], ledger: Ledger, rng: random.Random) -> None:
        self.id = next(_ids)
        self.port, self.safe, self.unsafe, self.ledger, self.rng = port, safe, unsafe, ledger, rng
        self.state: dict[str, str] = {}
        self.elements = 0
        self.lost = ""
        self._pongs: dict[str, asyncio.Event] = {}
        self._serial = 0
        self._text = b""

    async def __aenter__(self) -> "Client":
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 20)
        self._task = asyncio.create_task(self._receive())
        await self.send(b"<getProperties version='1.7'/>\n")
        return self

    async def send(self, data: bytes) -> None:
        """Send this, as fast as it is taken."""
        self.writer.write(data)
        await self.writer.drain()

    def unsent(self) -> int:
        """Bytes that have not left this process."""
        return self.writer.transport.get_write_buffer_size()

    async def __aexit__(self, *_: object) -> None:
        if self.rng.random() < 0.5 and self.writer.can_write_eof():
            with contextlib.suppress(OSError):
                self.writer.write_eof()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self.writer.close()
        await asyncio.gather(self.writer.wait_closed(), return_exceptions=True)

    async def _receive(self) -> None:
        try:
            while data := await self.reader.read(1 << 18):
                self.received(data)
            self.lost = "the server has closed the connection"
        except ConnectionError as error:
            self.lost = repr(error)

    def received(self, data: bytes) -> None:
        """Bytes have come."""
        self._text += data
        cut = self._text.rfind(b"\n") + 1
        self._take(self._text[:cut])
        self._text = self._text[cut:]

    def _take(self, text: bytes) -> None:
        for match in re.finditer(
            rb"<(def|set|new)NumberVector.*?</\1NumberVector>|<delProperty[^>]*>|<pingReply[^>]*>", text, re.DOTALL
        ):
            element = match[0]
            self.elements += 1
            if update := UPDATE.match(element):
                self.state[update[1].decode()] = update[2].decode()
            elif gone := DELETED.match(element):
                self.state.pop(gone[1].decode(), None)
            elif pong := PONG.match(element):
                self._pongs.pop(pong[1].decode(), asyncio.Event()).set()

    async def say(self) -> None:
        """One to five commands."""
        batch = []
        for _ in range(self.rng.randint(1, 5)):
            certain = not self.unsafe or self.rng.random() < 0.8
            device = self.rng.choice(self.safe if certain else self.unsafe)
            self._serial += 1
            value = self.id * 100_000 + self._serial
            self.ledger.note(self.id, device, value, certain)
            batch.append(command(device, value))
        await self.send(b"".join(batch))

    async def settle(self, timeout: float = 30) -> None:
        """The server has read all that was sent to it; AssertionError if it does not say so."""
        self._serial += 1
        uid = f"{self.id}-{self._serial}"
        event = self._pongs[uid] = asyncio.Event()
        await self.send(f"<pingRequest uid='{uid}'/>\n".encode())
        try:
            await asyncio.wait_for(event.wait(), timeout)
        except TimeoutError:
            reading = self._task.exception() if self._task.done() and not self._task.cancelled() else self._task
            raise AssertionError(
                f"client {self.id} at port {self.port}: no answer in {timeout} s; {self.elements} elements, "
                f"{self.unsent()} bytes unsent, {self.lost or 'not cut off'}, {reading!r}"
            ) from None

    async def live(self, seconds: float, stop: asyncio.Event) -> None:
        """Command, and pause, for about so long."""
        end = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < end and not stop.is_set() and not self.lost:
            await self.say()
            await asyncio.sleep(self.rng.uniform(0.5, 4))


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


VANDALS = (
    "garbage",
    "half and reset",
    "never reads",
    "half a blob",
    "burst",
    "forger",
    "slow",
    "huge",
    "nested",
    "odd bytes",
)


async def vandal(kind: str, port: int, devices: list[str], rng: random.Random) -> None:
    """One client that does harm, in one of these ways."""
    device = rng.choice(devices)
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(5):
            if kind == "garbage":
                writer.write(rng.randbytes(rng.randint(1, 100_000)))
            elif kind == "half and reset":
                text = b"<getProperties version='1.7'/>" + command(device, 0)
                writer.write(text[: rng.randrange(30, len(text) - 30)])
            elif kind == "never reads":
                writer.transport.pause_reading()
                writer.write(b"<getProperties version='1.7'/><enableBLOB/>" * 200)
                await asyncio.sleep(3)
            elif kind == "half a blob":
                writer.write(
                    f"<newBLOBVector device='{device}' name='image'><oneBLOB name='b' size='9'>".encode()
                    + b"A" * 500_000
                )
            elif kind == "burst":
                pairs = await asyncio.gather(
                    *(asyncio.open_connection("127.0.0.1", port) for _ in range(20)), return_exceptions=True
                )
                for pair in pairs:
                    if not isinstance(pair, BaseException):
                        pair[1].transport.abort()
            elif kind == "forger":
                writer.write(
                    f"<setNumberVector device='{device}' name='pos'><oneNumber name='n'>666</oneNumber></setNumberVector>"
                    f"<delProperty device='{device}'/><delProperty/><message message='forged'/>".encode()
                )
            elif kind == "slow":
                for byte in b"<getProperties version='1.7'/>":
                    writer.write(bytes([byte]))
                    await asyncio.sleep(0.02)
            elif kind == "huge":
                writer.write(b"<newTextVector device='x' name='" + b"y" * 3_000_000)
            elif kind == "nested":
                writer.write(b"<newTextVector device='A' name='n'>" + b"<a>" * 50_000)
            else:
                writer.write(
                    b"<newTextVector device='A' name='n'>\xff\xfe\x00&bad;&#0;<![CDATA[x]]></newTextVector>" * 30
                )
            await writer.drain()
            await asyncio.sleep(rng.uniform(0, 0.3))
    if rng.random() < 0.5:
        _reset(writer)
    else:
        writer.transport.abort()
