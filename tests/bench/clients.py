"""Clients that only count, so that they are faster than any server."""

import socket
import time
from collections.abc import Sequence

from . import messages
from .processes import Failed, Server, allow_files

_buffer = bytearray(1 << 18)  # shared, as one client reads at a time
_view = memoryview(_buffer)
_TURN = 4 << 20  # bytes that one client reads before it is the next one's turn
_KEPT = 1000  # bytes kept of the end of what has come: longer than an update
_NAP = 0.001  # a server that writes message by message does not wake us for each
_MOST_MEMORY = 3000  # MB


class Client:
    """A connection that counts how often an end tag has come.

    Attributes:
        count: End tags since the last `expect`.
        size: Bytes since then.
        done: When the count was reached that `gather` waited for.
        closed: The server has ended the connection.
        kept: What has come, if `keep` allows for it; else the last of it.
    """

    def __init__(self, server: Server, timeout: float = 15.0, receive_buffer: int = 4 << 20) -> None:
        deadline = time.monotonic() + timeout
        while True:
            self.socket = socket.socket()
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                self.socket.connect(("127.0.0.1", server.port))
                break
            except OSError:  # it does not listen yet
                self.socket.close()
                if server.ended or time.monotonic() > deadline:
                    raise Failed(f"the server does not listen: {server.last_words()}") from None
                time.sleep(0.02)
        self.socket.setblocking(False)
        self.closed = False
        self.keep = _KEPT
        self.expect(messages.END_OF_MOUNT)

    def expect(self, end_tag: bytes) -> None:
        """Count this from now on."""
        self.end_tag = end_tag
        self.count = self.size = 0
        self.done = 0.0
        self.kept = bytearray()
        self._tail = b""  # what may be the beginning of an end tag

    def send(self, data: bytes) -> None:
        self.socket.setblocking(True)
        self.socket.settimeout(10)
        self.socket.sendall(data)
        self.socket.setblocking(False)

    def wait(self, seconds: float) -> int:
        """Read what comes next; returns how many bytes."""
        self.socket.settimeout(seconds)
        try:
            return self._read()
        finally:
            self.socket.setblocking(False)

    def read(self) -> int:
        """Read what is there, but not for ever; returns how many bytes."""
        total = 0
        while total < _TURN:
            count = self._read()
            if not count:
                break
            total += count
        return total

    def _read(self) -> int:
        begin = len(self._tail)
        _buffer[:begin] = self._tail
        try:
            count = self.socket.recv_into(_view[begin:], 0, socket.MSG_DONTWAIT)
        except (BlockingIOError, TimeoutError):
            return 0
        except OSError:
            count = 0
        if not count:
            self.closed = True
            return 0
        end = begin + count
        if _buffer.find(b"<", 0, end) >= 0:  # hardly ever in a BLOB, and faster than counting
            self.count += _buffer.count(self.end_tag, 0, end)
        self._tail = bytes(_buffer[max(0, end - len(self.end_tag) + 1) : end])
        if len(self.kept) + count <= self.keep:
            self.kept += _buffer[begin:end]
        elif self.keep == _KEPT:
            self.kept[:] = _buffer[max(0, end - _KEPT) : end]
        self.size += count
        return count

    def close(self) -> None:
        self.socket.close()


class Crowd:
    """Some clients of one server that have seen its definitions; closed at the end of the block."""

    def __init__(self, server: Server, count: int, pause: float = 0.3, blobs: bool = False) -> None:
        self.server = server
        allow_files(count + 100)
        self.clients: list[Client] = []
        try:
            for _ in range(count):
                self._add(blobs)
            quiet(self.clients, pause)
        except BaseException:
            self.close()
            raise

    def _add(self, blobs: bool) -> None:
        client = Client(self.server)
        self.clients.append(client)
        deadline, ask = time.monotonic() + 15, 0.0
        while not client.count:
            now = time.monotonic()
            if client.closed or now > deadline:
                raise Failed(f"no definitions: {self.server.last_words()}")
            if now > ask:
                client.send(messages.GET)
                ask = now + 1
            client.read()
            time.sleep(0.002)
        if blobs:
            client.send(messages.WANT_BLOBS)
        for other in self.clients:
            other.read()

    def __enter__(self) -> list[Client]:
        return self.clients

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for client in self.clients:
            client.close()


def quiet(clients: Sequence[Client], seconds: float, limit: float = 15.0) -> None:
    """Read until nothing has come for a while."""
    last = begin = time.monotonic()
    while (now := time.monotonic()) - last < seconds and now - begin < limit:
        if sum([client.read() for client in clients]):
            last = time.monotonic()
        else:
            time.sleep(0.005)


def gather(clients: Sequence[Client], goal: int, server: Server, limit: float, batch: int = 0, ahead: int = 4) -> None:
    """Read until every client has counted up to the goal.

    Args:
        clients: Who reads; the first presses GO.
        goal: The count.
        server: Whose end is the end of this.
        limit: Seconds.
        batch: How many of what is counted come with one GO, of which `ahead` are under way; 0: nobody presses it.
        ahead: See there.

    Raises:
        Failed: Why not.
    """
    begin = looked = time.monotonic()
    pending = list(clients)
    pressed = 0
    while True:
        if batch:
            slowest = min(client.count for client in clients)
            wanted = min(-(-goal // batch), slowest // batch + ahead)
            if wanted > pressed:
                clients[0].send(messages.GO * (wanted - pressed))
                pressed = wanted
        got = 0
        for client in pending:
            got += client.read()
            if client.count >= goal:
                client.done = time.monotonic()
        pending = [client for client in pending if client.count < goal]
        if not pending:
            return
        if any(client.closed for client in pending):
            raise Failed(f"a client was disconnected after {min(c.count for c in clients)} of {goal}")
        now = time.monotonic()
        if now - begin > limit:
            raise Failed(f"{min(c.count for c in clients)} of {goal} in {limit:g} s")
        if now - looked > 0.25:
            looked = now
            if server.ended:
                raise Failed(f"the server has ended: {server.last_words()}")
            if server.memory("VmRSS") > _MOST_MEMORY:
                raise Failed(f"more than {_MOST_MEMORY} MB after {min(c.count for c in clients)} of {goal}")
        if got < 1 << 18:
            time.sleep(_NAP)
