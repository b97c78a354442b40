"""A server that says what a test tells it to, and nothing else; it shares no code with what it tests."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from xml.etree.ElementTree import Element

from tests.support.client import Cutter, Predicate

DEFINE = (
    '<defNumberVector device="Mount" name="EQ" label="Position" group="Main" state="Idle" perm="rw" timeout="60">'
    '<defNumber name="RA" label="RA" format="%10.6m" min="0" max="24" step="0.1">1</defNumber>'
    '<defNumber name="DEC" label="DEC" format="%10.6m" min="-90" max="90" step="0">2</defNumber></defNumberVector>'
)
SWITCHES = (
    '<defSwitchVector device="Mount" name="CONNECTION" label="" group="Main" state="Idle" perm="rw" rule="OneOfMany">'
    '<defSwitch name="CONNECT">Off</defSwitch><defSwitch name="DISCONNECT">On</defSwitch></defSwitchVector>'
)
BLOB = (
    '<defBLOBVector device="CCD" name="CCD1" label="" group="Main" state="Idle" perm="ro">'
    '<defBLOB name="CCD1" label="Image"/></defBLOBVector>'
)


def numbers(state="Ok", message="", **values):
    """An update of the mount's position."""
    said = f' message="{message}"' if message else ""
    members = "".join(f'<oneNumber name="{name}">{value}</oneNumber>' for name, value in values.items())
    return f'<setNumberVector device="Mount" name="EQ" state="{state}"{said}>{members}</setNumberVector>'


class Connection:
    """One client of the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.received: list[Element] = []
        self._cutter = Cutter()
        self._taken = 0

    async def send(self, *texts: str | bytes) -> None:
        for text in texts:
            self.writer.write(text if isinstance(text, bytes) else text.encode())
        await self.writer.drain()

    async def expect(self, predicate: Predicate, timeout: float = 5) -> Element:
        """The next element that is like this; those before it count as seen."""
        async with asyncio.timeout(timeout):
            while True:
                while self._taken < len(self.received):
                    self._taken += 1
                    if predicate(self.received[self._taken - 1]):
                        return self.received[self._taken - 1]
                data = await self.reader.read(1 << 16)
                if not data:
                    raise AssertionError(f"the client is gone; it sent {[e.tag for e in self.received]}")
                self.received += self._cutter.feed(data)

    async def everything(self, quiet: float = 0.2) -> list[Element]:
        """What has come, when no more comes."""
        with contextlib.suppress(TimeoutError):
            while data := await asyncio.wait_for(self.reader.read(1 << 16), quiet):
                self.received += self._cutter.feed(data)
        return self.received

    def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        """End as a machine does that knows nothing of the connection any more."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


class ScriptedServer:
    """Listens on a free port of loopback."""

    def __init__(self) -> None:
        self.port = 0
        self._clients: asyncio.Queue[Connection] = asyncio.Queue()
        self._all: list[Connection] = []

    async def client(self, *greeting: str | bytes, timeout: float = 5) -> Connection:
        """The next client that comes, to which this is sent."""
        async with asyncio.timeout(timeout):
            connection = await self._clients.get()
        await connection.send(*greeting)
        return connection

    def _came(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(reader, writer)
        self._all.append(connection)
        self._clients.put_nowait(connection)


@contextlib.asynccontextmanager
async def scripted(host: str = "127.0.0.1") -> AsyncIterator[ScriptedServer]:
    server = ScriptedServer()
    listener = await asyncio.start_server(server._came, host, 0)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        for connection in server._all:
            connection.writer.transport.abort()
        await asyncio.sleep(0)
