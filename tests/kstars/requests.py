"""A relay between Ekos and the web manager, which knows what was asked for and how it was answered."""

import contextlib
import re
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

_ASKED = re.compile(rb"^([A-Z]+) (/\S*) HTTP/1\.[01]\r\n")
_ANSWERED = re.compile(rb"^HTTP/1\.[01] (\d{3}) ")


Note = Callable[[bytes, list[int]], None]


class Request(NamedTuple):
    """One request; its status is 0 as long as it is not answered."""

    method: str
    path: str
    body: str
    status: int


class Requests:
    """Listens on a port of its own, in threads; all ends with the context."""

    def __init__(self, server: int, log: Path) -> None:
        self._server = server
        self._log = log
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()
        self.port = 0
        self.seen: list[Request] = []

    def __enter__(self) -> "Requests":
        if self._server:
            listener = socket.create_server(("127.0.0.1", 0))
            self._sockets.append(listener)
            self.port = listener.getsockname()[1]
            threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        if self.seen:
            self._log.write_text(
                "".join(f"{each.status} {each.method} {each.path} {each.body}\n" for each in self.seen)
            )

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server))
                self._sockets += [client, server]
                asked: list[int] = []  # places of the requests of this connection that wait for their answers
                for source, sink, told in ((client, server, self._asked), (server, client, self._answered)):
                    threading.Thread(target=self._pump, args=(source, sink, told, asked), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, told: Note, asked: list[int]) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 18):
                with self._lock:
                    told(data, asked)
                sink.sendall(data)
        for each in (source, sink):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _asked(self, data: bytes, asked: list[int]) -> None:
        head, _, body = data.partition(b"\r\n\r\n")
        if found := _ASKED.match(head + b"\r\n"):
            asked.append(len(self.seen))
            self.seen.append(Request(found[1].decode(), found[2].decode(), "", 0))
        else:
            body = data
        if asked and body:
            last = self.seen[asked[-1]]
            self.seen[asked[-1]] = last._replace(body=last.body + " ".join(body.decode("utf-8", "replace").split()))

    def _answered(self, data: bytes, asked: list[int]) -> None:
        if asked and (found := _ANSWERED.match(data)):
            place = asked.pop(0)
            self.seen[place] = self.seen[place]._replace(status=int(found[1]))
