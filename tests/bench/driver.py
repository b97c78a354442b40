"""The driver at the other end: it composes what it sends beforehand, and then only writes.

It is a process of its own that ends with its standard input, and in any case after a while.
"""

import argparse
import os
import signal
import socket
import time

from . import messages


def write(data: bytes) -> None:
    """Write all to the standard output, waiting as long as it takes."""
    view = memoryview(data)
    while view:
        view = view[os.write(1, view[: 1 << 18]) :]


class Updates:
    """With each GO the next batch of updates; with a rate, all of them one by one."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.rate = args.rate
        step = 1 if args.rate else args.batch
        self.blocks = [
            messages.updates(first, min(step, args.count - first), args.style) for first in range(0, args.count, step)
        ]
        self.blocks.reverse()

    def go(self) -> None:
        if not self.rate:
            if self.blocks:
                write(self.blocks.pop())
            return
        begin, number = time.monotonic(), 0
        while self.blocks:
            wait = begin + number / self.rate - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            write(self.blocks.pop())
            number += 1


class Ticks:
    """With GO an update every so often, for some seconds; its serial number is the time when it was written, in µs."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.rate, self.count = args.rate, args.count
        before, self.after = messages.update(0).split(b"000000000")
        self.before = messages.of_device(before, args.device)

    def go(self) -> None:
        begin = time.monotonic()
        for number in range(self.count):
            wait = begin + number / self.rate - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            write(b"%s%d%s" % (self.before, time.monotonic_ns() // 1000, self.after))


class Fleet:
    """Many devices: with the first GO their definitions, with the next all properties of each device once a second."""

    def __init__(self, args: argparse.Namespace) -> None:
        each = args.batch
        devices = args.count // each
        lines = messages.definitions(args.count, each, args.first).splitlines(keepends=True)
        self.definitions = [b"".join(lines[begin : begin + each]) for begin in range(0, args.count, each)]
        self.changes = [messages.changes(args.first + device, each) for device in range(devices)] * args.seconds
        self.introduced = False

    def go(self) -> None:
        # A server that adds up its queues for each message gets the definitions slowly enough to keep up.
        blocks, pause = (self.changes, 1 / len(self.definitions)) if self.introduced else (self.definitions, 0.04)
        self.introduced = True
        begin = time.monotonic()
        for number, block in enumerate(blocks):
            wait = begin + number * pause - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            write(block)


class Images:
    """With each GO a BLOB."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.data = os.urandom(args.size) if args.style == "attached" else b""
        element = messages.attached_blob(args.size) if self.data else messages.blob(args.size, args.style == "c")
        self.element = messages.of_device(element[:4096], args.device) + element[4096:]

    def go(self) -> None:
        if not self.data:
            write(self.element)
            return
        file = os.memfd_create("image")  # type: ignore[attr-defined]
        try:
            view = memoryview(self.data)
            while view:
                view = view[os.write(file, view) :]
            with socket.socket(fileno=os.dup(1)) as way_out:
                socket.send_fds(way_out, [self.element], [file])
        finally:
            os.close(file)


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("role", choices=("updates", "images", "echo", "definitions", "ticks", "fleet"))
    parser.add_argument("--life", type=int, default=120, help="seconds until it ends by itself")
    parser.add_argument("--count", type=int, default=0)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--rate", type=int, default=0)
    parser.add_argument("--size", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seconds", type=int, default=0)
    parser.add_argument("--device", default="Mount")
    parser.add_argument("--style", choices=("python", "c", "attached"), default="python")
    return parser.parse_args(argv)


def main() -> None:
    args = parse()
    signal.alarm(args.life)
    sender = {"updates": Updates, "images": Images, "ticks": Ticks, "fleet": Fleet}.get(args.role)
    source = sender(args) if sender else None
    introduction = messages.definitions(args.count) if args.role == "definitions" else messages.MOUNT
    introduction = messages.of_device(introduction, args.device)
    answer = messages.of_device(messages.update(0), args.device)
    rest = b""
    while data := os.read(0, 1 << 16):
        data = rest + data
        complete = data.rfind(b">") + 1
        data, rest = data[:complete], data[complete:]
        for _ in range(data.count(b"<getProperties")):
            write(introduction)
        if source:
            for _ in range(data.count(messages.END_OF_GO)):
                source.go()
        elif args.role == "echo" and (commands := data.count(messages.END_OF_COMMAND)):
            write(answer * commands)


if __name__ == "__main__":
    try:
        main()
    except (BrokenPipeError, ConnectionError, KeyboardInterrupt):
        pass
