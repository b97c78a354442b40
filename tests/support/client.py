"""A client that shares no code with what it tests."""

import asyncio
import re
import time
from collections.abc import Callable, Iterator
from ssl import SSLContext
from xml.etree import ElementTree as ET
from xml.etree.ElementTree import Element

START = re.compile(rb"<([A-Za-z]+)((?:[^\"'>]|\"[^\"]*\"|'[^']*')*)>")
Predicate = Callable[[Element], bool]


class Cutter:
    """Cuts a stream into elements: good enough for what a server sends, not for its attackers."""

    def __init__(self) -> None:
        self.buffer = bytearray()
        self.begin: re.Match[bytes] | None = None
        self.searched = 0

    def feed(self, data: bytes) -> Iterator[Element]:
        self.buffer += data
        while True:
            if self.begin is None:
                self.begin = START.search(self.buffer)
                if self.begin is None:
                    return
                self.searched = self.begin.end()
            if self.begin[2].endswith(b"/"):
                end = self.begin.end()
            else:
                closing = b"</" + self.begin[1] + b">"
                at = self.buffer.find(closing, self.searched)
                if at < 0:
                    self.searched = max(self.begin.end(), len(self.buffer) - len(closing))
                    return
                end = at + len(closing)
            element = bytes(self.buffer[self.begin.start() : end])
            self.begin = None  # it holds on to the buffer, which could not be cut otherwise
            del self.buffer[:end]
            yield ET.fromstring(element)


def parse(data: bytes) -> list[Element]:
    """All elements in `data`."""
    return list(Cutter().feed(data))


def values_of(element: Element) -> dict[str, str]:
    """Names of the members and their values, without the white space around them."""
    return {child.get("name", ""): (child.text or "").strip() for child in element}


def match(tag: str = "", /, *, values: dict[str, str] | None = None, **attributes: str | None) -> Predicate:
    """A predicate: the element has this tag, these attributes (None: lacks it) and these members among others.

    `tag` may be a regular expression: ``match("(def|set)NumberVector", device="Focuser")``.
    """

    def predicate(element: Element) -> bool:
        return (
            (not tag or re.fullmatch(tag, element.tag) is not None)
            and all(element.get(name) == value for name, value in attributes.items())
            and (values is None or values.items() <= values_of(element).items())
        )

    described = [repr(tag)] if tag else []
    described += [f"{name}={value!r}" for name, value in attributes.items()]
    described += [f"values={values!r}"] if values else []
    predicate.__name__ = f"match({', '.join(described)})"
    return predicate


def new_vector(kind: str, device: str, name: str, **values: object) -> str:
    """A command, e.g. ``new_vector("Switch", "LED", "LIGHT", LAMP="On")``."""
    vector = Element(f"new{kind}Vector", device=device, name=name)
    for member, value in values.items():
        ET.SubElement(vector, f"one{kind}", name=member).text = str(value)
    return ET.tostring(vector, encoding="unicode")


class IndiClient:
    """A connection to a server on this machine, to be used in ``async with``.

    Attributes:
        received: Every element that has come in, oldest first.
        closed: Set when the server has closed the connection.
    """

    def __init__(self, port: int, host: str = "127.0.0.1", ssl: SSLContext | None = None) -> None:
        self.host, self.port, self.ssl = host, port, ssl
        self.received: list[Element] = []
        self.closed = asyncio.Event()
        self._taken = 0  # how many of them expect() has gone past
        self._news = asyncio.Condition()

    async def __aenter__(self) -> "IndiClient":
        # Reads of 1 MiB: a BLOB of many megabytes is not to take a test's time.
        self.reader, self.writer = await asyncio.open_connection(self.host, self.port, limit=1 << 20, ssl=self.ssl)
        self._receiving = asyncio.create_task(self._receive())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._receiving.cancel()
        await asyncio.gather(self._receiving, return_exceptions=True)
        self.writer.close()
        await asyncio.gather(self.writer.wait_closed(), return_exceptions=True)

    async def _receive(self) -> None:
        cutter = Cutter()
        try:
            while data := await self.reader.read(1 << 20):
                self.received += cutter.feed(data)
                async with self._news:
                    self._news.notify_all()
        except ConnectionError:
            pass
        finally:
            self.closed.set()
            async with self._news:
                self._news.notify_all()

    async def send(self, data: str | bytes) -> None:
        """Send what stands there, well-formed or not."""
        self.writer.write(data.encode() if isinstance(data, str) else data)
        await self.writer.drain()

    async def get_properties(self, **attributes: str) -> None:
        """Ask for everything, or for a `device` or a `device` and a `name`."""
        await self.send(ET.tostring(Element("getProperties", version="1.7", **attributes)))

    async def enable_blob(self, device: str, mode: str = "Also", **attributes: str) -> None:
        """Ask for BLOBs: `mode` is Never, Also or Only."""
        element = Element("enableBLOB", device=device, **attributes)
        element.text = mode
        await self.send(ET.tostring(element))

    async def expect(self, predicate: Predicate, timeout: float = 5) -> Element:
        """The next element that satisfies `predicate`; what comes before it counts as seen.

        Raises:
            AssertionError: None came in `timeout` seconds; it names those that did.
        """
        begin = self._taken
        try:
            async with asyncio.timeout(timeout), self._news:
                while True:
                    while self._taken < len(self.received):
                        self._taken += 1
                        if predicate(self.received[self._taken - 1]):
                            return self.received[self._taken - 1]
                    if self.closed.is_set():
                        problem = "the server has closed the connection"
                        break
                    await self._news.wait()
        except TimeoutError:
            problem = f"it did not come in {timeout} s"
        seen = [ET.tostring(element, encoding="unicode")[:200] for element in self.received[begin:]]
        raise AssertionError(f"{predicate.__name__}: {problem}; since the last one came\n" + "\n".join(seen[-30:]))

    async def settle(self) -> list[Element]:
        """What has come since the last `expect`, up to the moment when the server has read all that was sent.

        It ends with the answer to a ping. Drivers may still be at work then.
        """
        begin = self._taken
        uid = f"settle{len(self.received)}"
        await self.send(f"<pingRequest uid='{uid}'/>")
        await self.expect(match("pingReply", uid=uid))
        return self.received[begin : self._taken - 1]


async def still_served(port: int, device: str = "A") -> None:
    """A client that behaves gets definitions of a device of an echo driver, and has a command executed."""
    async with IndiClient(port) as client:
        await client.get_properties(device=device)
        await client.expect(match("defNumberVector", device=device, name="pos"), timeout=15)
        value = str(time.monotonic_ns() % 1_000_000)
        await client.send(new_vector("Number", device, "pos", n=value))
        await client.expect(match("setNumberVector", device=device, values={"n": value}), timeout=15)
