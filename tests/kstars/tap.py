"""A relay between KStars and the server, which knows the last states of all properties and keeps a log."""

import contextlib
import socket
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree.ElementTree import Element

from tests.support.client import Cutter, values_of

_LONGEST = 300  # characters of the values of an element in the log


@dataclass
class Seen:
    """What KStars has last been told of a property."""

    kind: str
    state: str
    values: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Passed:
    """One element that has passed the relay; its direction is `>` towards the server."""

    time: float
    way: str
    tag: str
    device: str
    name: str
    state: str
    values: dict[str, str]
    message: str


class Tap:
    """Listens on a port of its own, in threads; all ends with the context."""

    def __init__(self, server: int, log: Path) -> None:
        self._server = server
        self._lock = threading.Lock()
        self._log = log.open("w")
        self._begin = time.monotonic()
        self._sockets: list[socket.socket] = []
        self.properties: dict[tuple[str, str], Seen] = {}
        self.passed: list[Passed] = []

    def __enter__(self) -> "Tap":
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets.append(self._listener)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for each in list(self._sockets):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        with self._lock:
            self._log.close()

    def state(self, device: str, name: str) -> str:
        """The state of a property; empty if it is not defined."""
        seen = self.properties.get((device, name))
        return seen.state if seen else ""

    def values(self, device: str, name: str) -> dict[str, str]:
        seen = self.properties.get((device, name))
        return dict(seen.values) if seen else {}

    def number(self, device: str, name: str, member: str = "") -> float | None:
        """A number of a property (the first one, if no member is named), also if it is sexagesimal."""
        values = self.values(device, name)
        text = values.get(member) if member else next(iter(values.values()), None)
        return None if text is None else number(text)

    def on(self, device: str, name: str) -> list[str]:
        """The members of a switch that are on."""
        return [member for member, value in self.values(device, name).items() if value == "On"]

    def since(self, begin: float, device: str, name: str, way: str = "<") -> list[Passed]:
        """What has passed since a point in time."""
        return [p for p in self.passed if p.time >= begin and p.way == way and (p.device, p.name) == (device, name)]

    def unanswered(self) -> list[str]:
        """Commands after which the property was not sent again."""
        last: dict[tuple[str, str], str] = {}
        for passed in list(self.passed):
            if passed.tag.startswith(("new", "set", "def", "del")):
                last[passed.device, passed.name] = passed.way
        return sorted(f"{device}.{name}" for (device, name), way in last.items() if way == ">")

    def _accept(self) -> None:
        number = 0
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server))
                self._sockets += [client, server]
                number += 1
                for source, sink, way in ((client, server, ">"), (server, client, "<")):
                    threading.Thread(target=self._pump, args=(source, sink, way, number), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, way: str, number: int) -> None:
        cutter = Cutter()
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 18):
                for element in cutter.feed(data):  # noted first: an answer is to stand behind its command
                    self._note(element, way, number)
                sink.sendall(data)
        for each in (source, sink):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _note(self, element: Element, way: str, number: int) -> None:
        device, name, state = (element.get(key, "") for key in ("device", "name", "state"))
        is_blob = "BLOB" in element.tag
        values = {} if is_blob else values_of(element)
        message = element.get("message", "")
        now = time.monotonic()
        with self._lock:
            self.passed.append(Passed(now, way, element.tag, device, name, state, values, message))
            if way == "<":
                self._learn(element, device, name, state, values)
            if not self._log.closed:
                text = message or element.text or ""
                shown = f"{values or ''} {text.strip()}"[:_LONGEST]
                self._log.write(
                    f"{now - self._begin:9.3f} {number}{way} {element.tag} {device}.{name} {state} {shown}\n"
                )
                self._log.flush()

    def _learn(self, element: Element, device: str, name: str, state: str, values: dict[str, str]) -> None:
        if element.tag.startswith("def"):
            self.properties[device, name] = Seen(element.tag[3:-6], state, values)
        elif element.tag.startswith("set") and (seen := self.properties.get((device, name))):
            seen.state = state or seen.state
            seen.values |= values
        elif element.tag == "delProperty":
            for key in [key for key in self.properties if key[0] == device and name in ("", key[1])]:
                del self.properties[key]


def number(text: str) -> float | None:
    """A number, which may be sexagesimal; None if it is none."""
    try:
        parts = [float(part) for part in text.replace(":", " ").split()]
    except ValueError:
        return None
    size = sum(abs(part) / 60**place for place, part in enumerate(parts))
    return -size if text.strip().startswith("-") else size
