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


class Images:
    """With each GO a BLOB."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.data = os.urandom(args.size) if args.style == "attached" else b""
        self.element = (
            messages.attached_blob(args.size) if self.data else messages.blob(args.size, lines=args.style == "c")
        )

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
    parser.add_argument("role", choices=("updates", "images", "echo", "definitions"))
    parser.add_argument("--life", type=int, default=120, help="seconds until it ends by itself")
    parser.add_argument("--count", type=int, default=0)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--rate", type=int, default=0)
    parser.add_argument("--size", type=int, default=0)
    parser.add_argument("--style", choices=("python", "c", "attached"), default="python")
    return parser.parse_args(argv)


def main() -> None:
    args = parse()
    signal.alarm(args.life)
    sender = {"updates": Updates, "images": Images}.get(args.role)
    source = sender(args) if sender else None
    introduction = messages.definitions(args.count) if args.role == "definitions" else messages.MOUNT
    answer = messages.update(0)
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
