"""A driver that the test plays itself, under a server that is another process: everything can be counted."""

import array
import contextlib
import os
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from .programs import Program, free_port, started

_DRIVER = """#!{python}
import os, socket, time
with socket.socket(socket.AF_UNIX) as to_test:
    to_test.connect({path!r})
    socket.send_fds(to_test, [b"x"], [0])
    to_test.recv(1)
"""


class End:
    """One end of a connection to the server, as a driver or a client has it."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.got = b""
        self.descriptors: list[int] = []
        self._pings = 0
        sock.settimeout(10)

    def send(self, text: bytes, descriptors: Sequence[int] = ()) -> None:
        """Send bytes, and descriptors with the first of them."""
        if descriptors:
            socket.send_fds(self.sock, [text], descriptors)
        else:
            self.sock.sendall(text)

    def until(self, text: bytes) -> bytes:
        """Receive until there is this text; returns what came up to its end, and keeps the rest."""
        while text not in self.got:
            more, ancillary, _, _ = self.sock.recvmsg(1 << 16, socket.CMSG_SPACE(64 * 4))
            assert more, f"closed; {self.got[-400:]!r}"
            self.got += more
            for _, _, payload in ancillary:
                found = array.array("i")
                found.frombytes(payload[: len(payload) - len(payload) % found.itemsize])
                self.descriptors += found
        end = self.got.index(text) + len(text)
        before, self.got = self.got[:end], self.got[end:]
        return before

    def ping(self) -> bytes:
        """Ask for an answer, and wait for it; returns what came before it, and it."""
        self._pings += 1
        self.send(b"<pingRequest uid='%d'/>\n" % self._pings)
        return self.until(b"<pingReply") + self.until(b">")

    def close(self) -> None:
        self.sock.close()
        for fd in self.descriptors:
            os.close(fd)
        self.descriptors.clear()

    def __enter__(self) -> "End":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Stage:
    """A server in a process of its own, with one driver: the test.

    Attributes:
        server: The process.
        driver: The driver's end.
    """

    def __init__(self, server: Program, driver: End, port: int, name: str) -> None:
        self.server = server
        self.driver = driver
        self._port = port
        self._name = name
        self._ends: list[End] = []

    def tcp(self) -> End:
        self._ends.append(End(socket.create_connection(("127.0.0.1", self._port), timeout=10)))
        return self._ends[-1]

    def local(self) -> End:
        sock = socket.socket(socket.AF_UNIX)
        sock.connect("\0" + self._name)
        self._ends.append(End(sock))
        return self._ends[-1]

    def close(self) -> None:
        """Close what clients have left open."""
        for end in self._ends:
            end.close()

    def open_files(self) -> int:
        """How many descriptors the server has."""
        return len(os.listdir(f"/proc/{self.server.pid}/fd"))


@contextlib.contextmanager
def stage(directory: Path, *options: str, command: Sequence[str] = ()) -> Iterator[Stage]:
    """A server with a driver that the test plays.

    Args:
        directory: For the driver's program.
        options: Further options of the server.
        command: The server, if it is another one.
    """
    path = str(directory / "test")
    program = directory / "driver"
    program.write_text(_DRIVER.format(python=sys.executable, path=path))
    program.chmod(0o755)
    port = free_port()
    name = f"indi-test-{os.getpid()}-{port}"
    command = command or [sys.executable, "-m", "indipyserver"]
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        listening.settimeout(15)
        with started(*command, "-p", str(port), "-u", name, "-r", "0", *options, str(program)) as server:
            to_driver, _ = listening.accept()
            with to_driver:
                _, (fd, *_), _, _ = socket.recv_fds(to_driver, 1, 1)
                with End(socket.socket(fileno=fd)) as driver:
                    driver.until(b"getProperties")
                    driver.until(b"/>")
                    with contextlib.closing(Stage(server, driver, port, name)) as found:
                        yield found


def wait_for_exit(program: Program, seconds: float = 10) -> int:
    """The status with which it ends."""
    deadline = time.monotonic() + seconds
    while program.process.poll() is None:
        assert time.monotonic() < deadline, "it goes on"
        time.sleep(0.01)
    return program.process.returncode
