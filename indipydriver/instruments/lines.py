"""How an instrument is connected: a serial port, or a network address; and the conversation over it."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["BAUD_RATES", "Line", "Network", "Serial", "open_network", "open_serial"]

BAUD_RATES: Final = (9600, 19200, 38400, 57600, 115200, 230400)

_LONGEST_ANSWER: Final = 1 << 20
_MOST_WAITING: Final = 16 << 20


@dataclass(frozen=True, slots=True)
class Serial:
    """The instrument has a serial port.

    Attributes:
        port: The device file at first.
        baud: Bits a second at first.
    """

    port: str = "/dev/ttyUSB0"
    baud: int = 9600


@dataclass(frozen=True, slots=True)
class Network:
    """The instrument has a TCP port.

    Attributes:
        host: Its address at first.
        port: Its port at first.
    """

    host: str = ""
    port: int = 0


class _Incoming(asyncio.Protocol):
    """What has come from an instrument and has not been read."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.lost: str | None = None
        self._news = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self.data += data
        if len(self.data) > 2 * _LONGEST_ANSWER:  # nobody asks, but it sends
            del self.data[: -_LONGEST_ANSWER - 1]
        self._news.set()

    def connection_lost(self, error: Exception | None) -> None:
        self.lost = str(error) if error else "the connection was closed"
        self._news.set()

    async def until(self, end: bytes) -> bytes:
        """All up to some bytes, without them; ConnectionError if they will not come."""
        while (place := self.data.find(end)) < 0:
            if self.lost is not None:
                raise ConnectionError(self.lost)
            if len(self.data) > _LONGEST_ANSWER:
                raise ConnectionError(f"it sends more than {_LONGEST_ANSWER} bytes without an end")
            self._news.clear()
            await self._news.wait()
        answer = bytes(self.data[:place])
        del self.data[: place + len(end)]
        return answer


class Line:
    """An open connection to an instrument. Whatever fails because it is lost raises ConnectionError.

    Args:
        incoming: Where its bytes come in.
        transports: The first is written to; all are closed in the end.
        name: What it is connected to.
    """

    def __init__(self, incoming: _Incoming, transports: Sequence[asyncio.BaseTransport], name: str) -> None:
        self._incoming = incoming
        self._transports = transports
        self._name = name
        self._lock = asyncio.Lock()

    async def ask(self, question: bytes, end: bytes = b"\n", timeout: float = 5.0) -> bytes:
        """Send a question and return its answer, without its end. Questions wait for each other.

        Args:
            question: All bytes of the question.
            end: The last bytes of an answer.
            timeout: Seconds that the answer may take.

        Raises:
            TimeoutError: There is no answer in time.
            ConnectionError: The connection is lost.
        """
        async with self._lock:
            self._incoming.data.clear()  # what came late is no answer to this question
            self._write(question)
            try:
                async with asyncio.timeout(timeout):
                    return await self._incoming.until(end)
            except TimeoutError:
                raise TimeoutError(f"no answer to {question!r} within {timeout:g} s") from None
            except ConnectionError as error:
                raise ConnectionError(f"{self._name} is lost: {error}") from None

    async def tell(self, command: bytes) -> None:
        """Send what has no answer.

        Raises:
            ConnectionError: The connection is lost.
        """
        async with self._lock:
            self._write(command)

    def close(self) -> None:
        """Close it; what has not been sent yet is dropped."""
        for transport in self._transports:
            if isinstance(transport, asyncio.WriteTransport):
                transport.abort()
            else:
                transport.close()

    def _write(self, data: bytes) -> None:
        transport = self._transports[0]
        assert isinstance(transport, asyncio.WriteTransport)
        if self._incoming.lost is not None or transport.is_closing():
            raise ConnectionError(f"{self._name} is lost: {self._incoming.lost or 'it is closed'}")
        if transport.get_write_buffer_size() > _MOST_WAITING:
            raise ConnectionError(f"{self._name} is lost: it takes no more data")
        transport.write(data)


async def open_network(host: str, port: int, timeout: float = 10.0) -> Line:
    """Connect to an instrument over TCP; OSError if that fails."""
    name = f"{host}:{port}"
    if not host or not 0 < port < 65536:
        raise OSError(f"{name!r} is no address: set it first")
    try:
        async with asyncio.timeout(timeout):
            transport, incoming = await asyncio.get_running_loop().create_connection(_Incoming, host, port)
    except TimeoutError:
        raise OSError(f"{name} does not answer within {timeout:g} s") from None
    except OSError as error:
        raise OSError(f"{name} cannot be reached: {error}") from error
    return Line(incoming, [transport], name)


async def open_serial(port: str, baud: int) -> Line:
    """Open a serial port; OSError if that fails."""
    try:
        import termios
        import tty
    except ImportError:
        raise OSError("this platform has no serial ports that Python can open by itself") from None
    speed = getattr(termios, f"B{baud}", None)
    if speed is None:
        raise OSError(f"{baud} is no baud rate of this machine")
    try:
        descriptor = os.open(port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError as error:
        raise OSError(f"{port} cannot be opened: {error.strerror}") from error
    other = -1
    try:
        tty.setraw(descriptor)
        settings = termios.tcgetattr(descriptor)
        settings[2] |= termios.CLOCAL | termios.CREAD
        settings[4] = settings[5] = speed
        termios.tcsetattr(descriptor, termios.TCSANOW, settings)
        other = os.dup(descriptor)
    except (termios.error, OSError) as error:
        os.close(descriptor)
        raise OSError(f"{port} is no serial port: {error}") from error
    loop = asyncio.get_running_loop()
    incoming = _Incoming()
    reading, _ = await loop.connect_read_pipe(lambda: incoming, io.FileIO(descriptor, "r"))
    writing, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, io.FileIO(other, "w"))
    return Line(incoming, [writing, reading], port)
