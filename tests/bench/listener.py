"""A client in a process of its own that measures how long updates with a time in them were under way.

    python -m tests.bench.listener PORT COUNT

It says "ready" when it has the definitions, presses GO when it is told something, reads so many updates, and prints
their times in ms as JSON.
"""

import json
import re
import socket
import sys
import time

from . import messages

_SENT = re.compile(rb'<oneNumber name="SERIAL">(\d+)<|name=[\'"]SERIAL[\'"][^>]*>\s*(\d+)')


def main() -> None:
    port, count = int(sys.argv[1]), int(sys.argv[2])
    with socket.create_connection(("127.0.0.1", port), timeout=15) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        data, asked = b"", 0.0
        while messages.END_OF_MOUNT not in data:
            if time.monotonic() > asked + 1:
                asked = time.monotonic()
                connection.sendall(messages.GET)
            data += connection.recv(1 << 16)
        print("ready", flush=True)
        sys.stdin.readline()
        connection.settimeout(30)
        connection.sendall(messages.GO)
        times: list[float] = []
        data = b""
        while len(times) < count:
            received = connection.recv(1 << 16)
            now = time.monotonic_ns() // 1000
            if not received:
                break
            data += received
            end = data.rfind(messages.END_OF_NUMBER) + 1
            if not end:
                continue
            times += [(now - int(a or b)) / 1e3 for a, b in _SENT.findall(data[:end]) if int(a or b)]
            data = data[end:]
        print(json.dumps(times))


if __name__ == "__main__":
    main()
