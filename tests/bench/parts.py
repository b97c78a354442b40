"""Benchmarks of parts, in this process and without any I/O: framer, codec, router."""

import time
from collections.abc import Callable
from functools import partial

from indipydriver.protocol.decode import decode
from indipydriver.protocol.encode import encode
from indipydriver.protocol.frame import Frame
from indipydriver.protocol.framer import Framer
from indipyserver.routing.endpoint import Endpoint, Role
from indipyserver.routing.router import Router

from . import messages
from .benchmark import Benchmark, Result, Scale
from .processes import Contender, Failed

_MIB = 1 << 20
_PIECES = {"64k": 1 << 16, "4k": 1 << 12, "300": 300, "8": 8}
_TIMES = 5


def _fastest(work: Callable[[], object], units: float) -> Result:
    """The processor time of the fastest of some tries: what disturbs makes it slower and never faster."""
    best = float("inf")
    for _ in range(_TIMES):
        begin = time.process_time()
        work()
        best = min(best, time.process_time() - begin)
    best = max(best, 1e-9)
    return Result(rate=units / best, cpu=best / units * 1e6, seconds=best)


def _frames(data: bytes) -> list[Frame]:
    return Framer().feed(data)


# --- framer ---


def _framing(style: str, piece: int, _: Contender, scale: Scale) -> Result:
    count = scale.of(5000)
    data = messages.updates(0, count, style)
    pieces = [data[begin : begin + piece] for begin in range(0, len(data), piece)]

    def work() -> None:
        framer = Framer()
        if sum([len(framer.feed(piece)) for piece in pieces]) != count:
            raise Failed("frames are missing")

    result = _fastest(work, count)
    result.note = f"{len(data) / count:.0f} bytes each"
    return result


def _framing_blob(lines: bool, _: Contender, scale: Scale) -> Result:
    size = scale.of(16 * _MIB, 1000)
    data = messages.blob(size, lines)
    pieces = [data[begin : begin + (1 << 18)] for begin in range(0, len(data), 1 << 18)]

    def work() -> None:
        framer = Framer()
        if sum([len(framer.feed(piece)) for piece in pieces]) != 1:
            raise Failed("no BLOB")

    return _fastest(work, size / 1e6)


# --- codec ---


def _decoding(data: bytes, _: Contender, scale: Scale) -> Result:
    (frame,) = _frames(data)
    count = scale.of(3000)

    def work() -> None:
        for _ in range(count):
            decode(frame)

    return _fastest(work, count)


def _encoding(data: bytes, _: Contender, scale: Scale) -> Result:
    message = decode(_frames(data)[0])
    count = scale.of(3000)

    def work() -> None:
        for _ in range(count):
            encode(message)

    return _fastest(work, count)


def _coding_blob(encoding: bool, _: Contender, scale: Scale) -> Result:
    size = scale.of(16 * _MIB, 1000)
    (frame,) = _frames(messages.blob(size, lines=False))
    message = decode(frame)
    return _fastest((lambda: encode(message)) if encoding else (lambda: decode(frame)), size / 1e6)


# --- router ---


def _routing(clients: int, batch: int, _: Contender, scale: Scale) -> Result:
    router = Router("bench")
    source = Endpoint("driver", Role.DRIVER)
    router.attach(source)
    (get,) = _frames(messages.GET)
    for number in range(clients):
        client = Endpoint(f"client {number}", Role.CLIENT)
        router.attach(client)
        router.route(client, [get])
    router.route(source, _frames(messages.MOUNT))
    frames = _frames(messages.updates(0, batch))
    turns = scale.of(20_000 // batch)

    def work() -> None:
        for _ in range(turns):
            if len(router.route(source, frames)[0][1]) != clients:
                raise Failed("receivers are missing")

    return _fastest(work, turns * batch)


def _storming(_: Contender, scale: Scale) -> Result:
    """All clients ask; the driver answers each with all of its definitions."""
    clients, count = 20, scale.of(1000, 20)
    frames = _frames(messages.definitions(count))
    (get,) = _frames(messages.GET)

    def work() -> None:
        router = Router("bench")
        source = Endpoint("driver", Role.DRIVER)
        router.attach(source)
        for number in range(clients):
            client = Endpoint(f"client {number}", Role.CLIENT)
            router.attach(client)
            router.route(client, [get])
        delivered = 0
        for _ in range(clients):
            delivered += sum([len(run) * len(to) for run, to in router.route(source, frames)])
        if delivered != clients * count:
            raise Failed(f"{delivered} definitions for {clients} times {count}")

    return _fastest(work, clients * count)


def _all() -> list[Benchmark]:
    update, definition = messages.update(0), messages.definitions(1)
    found = [
        Benchmark(
            f"framer-{style}-{name}", f"framer: {style} style in pieces of {size} bytes", "message",
            partial(_framing, style, size), "parts",
        )
        for style in ("python", "c")
        for name, size in _PIECES.items()
    ]  # fmt: skip
    more: list[tuple[str, str, str, Callable[[Contender, Scale], Result]]] = [
        ("framer-blob-line", "framer: BLOB of 16 MiB in one line", "MB", partial(_framing_blob, False)),
        ("framer-blob-72", "framer: BLOB of 16 MiB in lines of 72", "MB", partial(_framing_blob, True)),
        ("decode-set", "decode: update of three numbers", "message", partial(_decoding, update)),
        ("decode-new", "decode: command of one number", "message", partial(_decoding, messages.command(1))),
        ("decode-def", "decode: definition of two numbers", "message", partial(_decoding, definition)),
        ("decode-blob", "decode: BLOB of 16 MiB", "MB", partial(_coding_blob, False)),
        ("encode-set", "encode: update of three numbers", "message", partial(_encoding, update)),
        ("encode-new", "encode: command of one number", "message", partial(_encoding, messages.command(1))),
        ("encode-def", "encode: definition of two numbers", "message", partial(_encoding, definition)),
        ("encode-blob", "encode: BLOB of 16 MiB", "MB", partial(_coding_blob, True)),
        ("router-1", "router: batches of 100 for 1 client", "message", partial(_routing, 1, 100)),
        ("router-100", "router: batches of 100 for 100 clients", "message", partial(_routing, 100, 100)),
        ("router-single", "router: single messages for 1 client", "message", partial(_routing, 1, 1)),
        ("router-storm", "router: 20 clients ask for 1000 definitions", "definition", _storming),
    ]
    return found + [Benchmark(name, title, unit, measure, "parts") for name, title, unit, measure in more]


BENCHMARKS = _all()
