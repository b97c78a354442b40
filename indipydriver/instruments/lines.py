"""How an instrument is connected, a serial port or a network address, and the conversation over it."""

from __future__ import annotations

import asyncio
import io
import os
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["BAUD_RATES", "Line", "Network", "Serial", "open_network", "open_serial"]

BAUD_RATES: Final = (9600, 19200, 38400, 57600, 115200, 230400)

_LONGEST_ANSWER: Final = 1 << 20
_MOST_UNREAD: Final = 16 << 20
_MOST_LATE: Final = 16  # answers for which nobody waits any more
_OPEN_TRIES, _OPEN_PAUSE = 10, 0.1  # attempts to open a port that another has open, and seconds between them
_PAUSE: Final = 1.0  # seconds within which the next answer comes, if one was late


@dataclass(frozen=True, slots=True)
class Serial:
    """The instrument has a serial port.

    Attributes:
        port: The device file at first.
        baud: Bits a second at first. Clients can choose it again, and each of libindi's rates.

    Raises:
        ValueError: `baud` is no such number.
    """

    port: str = "/dev/ttyUSB0"
    baud: int = 9600

    def __post_init__(self) -> None:
        if not isinstance(self.baud, int) or self.baud < 1:
            raise ValueError(f"baud is a number such as 9600, not {self.baud!r:.80}")


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
    """Bytes that have arrived from an instrument and have not been read."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.lost: str | None = None
        self._news = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self.data += data
        if len(self.data) > 2 * _LONGEST_ANSWER:  # it sends without being asked
            del self.data[: -_LONGEST_ANSWER - 1]
        self._news.set()

    def connection_lost(self, error: Exception | None) -> None:
        self.lost = str(error) if error else "the connection was closed"
        self._news.set()

    def take(self, end: bytes) -> bytes | None:
        """Everything up to these bytes, without them; None if they have not arrived."""
        place = self.data.find(end)
        if place < 0:
            return None
        answer = bytes(self.data[:place])
        del self.data[: place + len(end)]
        return answer

    def drop(self, end: bytes) -> None:
        """Drop what has arrived, except the beginning of these bytes."""
        begun = [n for n in range(1, len(end)) if self.data.endswith(end[:n])]
        del self.data[: len(self.data) - max(begun, default=0)]

    async def more(self) -> None:
        """Wait for further bytes; ConnectionError if there will be none."""
        if self.lost is not None:
            raise ConnectionError(self.lost)
        if len(self.data) > _LONGEST_ANSWER:
            raise ConnectionError(f"it sends more than {_LONGEST_ANSWER} bytes without an end")
        self._news.clear()
        await self._news.wait()


class Line:
    """An open connection to an instrument. Everything that fails because the connection is lost raises ConnectionError.

    Args:
        incoming: Where its bytes arrive.
        transports: The first is written to; all are closed in the end.
        name: What it is connected to.
    """

    def __init__(self, incoming: _Incoming, transports: Sequence[asyncio.BaseTransport], name: str) -> None:
        self._incoming = incoming
        self._transports = transports
        self._name = name
        self._lock = asyncio.Lock()
        self._due: deque[bytes] = deque(maxlen=_MOST_LATE)  # how the answers end that have not arrived

    async def ask(self, question: bytes, end: bytes = b"\n", timeout: float = 5.0) -> bytes:
        """Send a question and return its answer, without its end. Questions wait for each other.

        The answer to an earlier question that was cancelled, or not answered in time, is not taken for this one's,
        if it arrives now.

        Args:
            question: The question as bytes, complete.
            end: The last bytes of an answer.
            timeout: Seconds that the answer may take.

        Raises:
            TimeoutError: No answer arrived in time.
            ConnectionError: The connection is lost.
        """
        async with self._lock:
            while self._due and self._incoming.take(self._due[0]) is not None:
                self._due.popleft()
            self._incoming.drop(self._due[0] if self._due else b"")  # it cannot be the answer to this question
            self._write(question)
            self._due.append(end)
            try:
                answer = await self._answer(end, asyncio.get_running_loop().time() + timeout)
            except ConnectionError as error:
                raise ConnectionError(f"{self._name} is lost: {error}") from None
            if answer is None:
                raise TimeoutError(f"no answer to {question!r} within {timeout:g} s")
            return answer

    async def _answer(self, end: bytes, deadline: float) -> bytes | None:
        """The answer to the latest question; None if it does not arrive in time.

        It comes behind those that are still due. If one of these is lost, it is the last one that comes.
        """
        answer: bytes | None = None
        limit = deadline
        while self._due:
            found = self._incoming.take(self._due[0])
            if found is None and end != self._due[0] and (found := self._incoming.take(end)) is not None:
                self._due.clear()  # the others are lost: they would have come before
                return found
            if found is not None:
                self._due.popleft()
                answer = found
                limit = min(deadline, asyncio.get_running_loop().time() + _PAUSE)
                continue
            try:
                async with asyncio.timeout_at(limit):
                    await self._incoming.more()
            except TimeoutError:
                if limit < deadline:
                    self._due.clear()
                break
        return answer

    async def tell(self, command: bytes) -> None:
        """Send something that has no answer.

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
        if transport.get_write_buffer_size() > _MOST_UNREAD:
            raise ConnectionError(f"{self._name} is lost: it takes no more data")
        transport.write(data)


async def open_network(host: str, port: int, timeout: float = 10.0) -> Line:
    """Connect to an instrument over TCP; OSError if that fails."""
    name = f"{host}:{port}"
    if not host or not 0 < port < 65536:
        raise OSError(f"{name!r} is not an address: set it first")
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
        import fcntl
        import termios
        import tty
    except ImportError:
        raise OSError("Python alone cannot open serial ports on this platform") from None
    speed = getattr(termios, f"B{baud}", None)
    if speed is None:
        raise OSError(f"{baud} is not a baud rate that this machine supports")
    try:
        descriptor = os.open(port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError as error:
        raise OSError(f"{port} cannot be opened: {error.strerror}") from error
    try:
        for left in reversed(range(_OPEN_TRIES)):  # one that ends may just be closing it
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:  # each would take answers for the other
                if not left:
                    raise OSError(f"{port} is in use by another driver") from None
                await asyncio.sleep(_OPEN_PAUSE)
            except OSError:  # not every platform can lock it
                break
    except BaseException:
        os.close(descriptor)
        raise
    other = -1
    try:
        tty.setraw(descriptor)
        settings = termios.tcgetattr(descriptor)
        settings[0] = 0  # another program may have left it changing bytes, or waiting for lines that are not wired
        settings[2] &= ~(termios.CSTOPB | getattr(termios, "CRTSCTS", 0))
        settings[2] |= termios.CLOCAL | termios.CREAD
        settings[4] = settings[5] = speed
        termios.tcsetattr(descriptor, termios.TCSANOW, settings)
        other = os.dup(descriptor)
    except (termios.error, OSError) as error:
        os.close(descriptor)
        raise OSError(f"{port} is not a serial port: {error}") from error
    loop = asyncio.get_running_loop()
    incoming = _Incoming()
    reading, writer = None, io.FileIO(other, "w")
    try:
        reading, _ = await loop.connect_read_pipe(lambda: incoming, io.FileIO(descriptor, "r"))
        writing, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, writer)
    except BaseException:  # what is left open would keep the lock; asyncio closes the one that it was just opening
        (reading or writer).close()
        raise
    return Line(incoming, [writing, reading], port)
