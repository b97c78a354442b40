"""Benchmarks of whole servers: driver process, server process, clients."""

import re
import socket
import statistics
import threading
import time
from collections.abc import Sequence
from functools import partial

from . import messages
from .benchmark import Benchmark, Result, Scale
from .clients import Client, Crowd, gather, quiet
from .processes import Contender, Failed, Server, allow_files

_MIB = 1 << 20
_UNDER_WAY = 8 * _MIB  # of BLOBs that are small: no more, as they queue for a client that is slower
_DEFINED = re.compile(rb'<defNumberVector device="([^"]*)" name="([^"]*)"')


class Meter:
    """Processor time of the server and wall time from here on."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.cpu = server.cpu()
        self.begin = time.monotonic()

    def result(self, units: float, clients: Sequence[Client] = ()) -> Result:
        """The figures, up to the moment when the slowest client was done."""
        cpu = self.server.cpu() - self.cpu
        end = max([client.done for client in clients], default=0.0) or time.monotonic()
        seconds = end - self.begin
        memory = self.server.memory()
        return Result(rate=units / seconds, cpu=cpu / units * 1e6, memory=memory, seconds=seconds)


def _idle(server: Server, pause: float) -> None:
    """Wait until the server has no more to do with its start."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        before = server.cpu()
        time.sleep(pause)
        if server.cpu() - before < 0.02:
            return


def relay(
    contender: Contender, scale: Scale, *, clients: int = 1, count: int = 16_000, style: str = "python", rate: int = 0
) -> Result:
    """Updates from a driver process to clients: in batches of 100, four under way, or one by one at a rate."""
    batch = 100
    count = scale.of(count, 1)
    allow_files(clients + 100)  # the server has this limit from us
    with (
        contender.serve(
            "updates", clients=max(5, clients), profile=scale.profile, count=count, batch=batch, style=style, rate=rate
        ) as server,
        Crowd(server, clients, scale.pause) as crowd,
    ):
        for client in crowd:
            client.expect(messages.END_OF_NUMBER)
        meter = Meter(server)
        if rate:
            crowd[0].send(messages.GO)
            gather(crowd, count, server, scale.limit)
        else:
            gather(crowd, count, server, scale.limit, batch=batch)
        result = meter.result(count, crowd)
        if any(messages.serial_of(client.kept) != count - 1 for client in crowd):
            raise Failed("the last update is not the last that was sent")
        return result


def blob(
    contender: Contender, scale: Scale, *, size: int = 16 * _MIB, style: str = "c", clients: int = 1, count: int = 3
) -> Result:
    """BLOBs from a driver process to clients, two under way, or 8 MiB of smaller ones; units are MB of the data itself."""
    count, size = scale.of(count, 2), scale.of_bytes(size)
    with (
        contender.serve("images", profile=scale.profile, size=size, style=style) as server,
        Crowd(server, clients, scale.pause, blobs=True) as crowd,
    ):
        for client in crowd:
            client.expect(messages.END_OF_BLOB)
        meter = Meter(server)
        gather(crowd, count, server, scale.limit, batch=1, ahead=max(2, _UNDER_WAY // size))
        result = meter.result(count * size / 1e6, crowd)
        if min(client.size for client in crowd) < count * size * 4 // 3:
            raise Failed("the BLOBs are too short")
        return result


def round_trip(contender: Contender, scale: Scale, *, count: int = 600) -> Result:
    """A command to a driver process that answers it at once; the next one follows the answer."""
    count = scale.of(count, 20)
    with contender.serve("echo", profile=scale.profile) as server, Crowd(server, 1, scale.pause) as (client,):
        client.expect(messages.END_OF_NUMBER)
        times = []
        meter = Meter(server)
        for number in range(count):
            begin = time.perf_counter()
            client.send(messages.command(number))
            while client.count <= number:
                if not client.wait(5.0):
                    raise Failed(f"no answer after {number} of {count}")
            times.append((time.perf_counter() - begin) * 1e3)
        result = meter.result(count)
        cuts = statistics.quantiles(times, n=100)
        result.p50, result.p99 = cuts[49], cuts[98]
        return result


def commands(contender: Contender, scale: Scale, *, count: int = 12_000) -> Result:
    """A flood of commands; the driver answers each, so that we know that it has got them."""
    count = scale.of(count, 10)
    with contender.serve("echo", profile=scale.profile) as server, Crowd(server, 1, scale.pause) as (client,):
        client.expect(messages.END_OF_NUMBER)
        flood = b"".join(messages.command(number) for number in range(count))
        way_in = client.socket.dup()
        way_in.setblocking(True)
        meter = Meter(server)
        sender = threading.Thread(target=_send, args=(way_in, flood), daemon=True)
        sender.start()
        try:
            gather([client], count, server, scale.limit)
        finally:
            result = meter.result(count, [client])
            way_in.shutdown(socket.SHUT_RDWR)
            sender.join(5)
            way_in.close()
        return result


def _send(way_in: socket.socket, data: bytes) -> None:
    try:
        way_in.sendall(data)
    except OSError:  # the measurement is over
        pass


def definitions(contender: Contender, scale: Scale, *, count: int = 4000, inside: bool = False) -> Result:
    """One client asks for everything, of a driver process or of a driver inside the server."""
    count = scale.of(count, 20) // 20 * 20
    role, options, within = ("", {}, {"properties": count}) if inside else ("definitions", {"count": count}, None)
    with contender.serve(role, inside=within, profile=scale.profile, **options) as server:
        client = Client(server)
        try:
            _idle(server, scale.pause)
            client.expect(messages.END_OF_DEFINITION)
            meter = Meter(server)
            client.send(messages.GET)
            gather([client], count, server, scale.limit)
            return meter.result(count, [client])
        finally:
            client.close()


def inside(contender: Contender, scale: Scale, *, count: int = 8000) -> Result:
    """A driver inside the server sends three numbers again and again."""
    count = scale.of(count, 1)
    with (
        contender.serve(inside={"updates": count}, profile=scale.profile) as server,
        Crowd(server, 1, scale.pause) as (client,),
    ):
        client.expect(messages.END_OF_NUMBER)
        meter = Meter(server)
        client.send(messages.GO)
        gather([client], count, server, scale.limit)
        return meter.result(count, [client])


def storm(contender: Contender, scale: Scale, *, clients: int = 50, count: int = 4000) -> Result:
    """Clients connect at once and ask for everything that a driver process has."""
    count = scale.of(count, 20) // 20 * 20
    size = len(messages.definitions(count))
    with contender.serve("definitions", clients=clients + 1, profile=scale.profile, count=count) as server:
        crowd = [Client(server)]
        try:
            _idle(server, scale.pause)
            meter = Meter(server)
            crowd += [Client(server) for _ in range(clients - 1)]
            for client in crowd:
                client.expect(messages.END_OF_DEFINITION)
                client.keep = 2 * size
            for client in crowd:
                client.send(messages.GET)
            gather(crowd, count, server, scale.limit)
            result = meter.result(clients * count, crowd)
            quiet(crowd, 2 * scale.pause, scale.limit)
            _idle(server, scale.pause)  # the driver answers each client, and all of that is read
            result.cpu = (server.cpu() - meter.cpu) / (clients * count) * 1e6
            result.sent = sum(client.size for client in crowd)
            kept = [client.kept for client in crowd if client.size <= client.keep]
            lacking = sum(len(set(_DEFINED.findall(data))) < count for data in kept)
            if lacking:
                raise Failed(f"{lacking} clients lack definitions")
            result.note = f"sent {result.sent / clients / size:.2f} times what is needed"
            return result
        finally:
            for client in crowd:
                client.close()


def _sizes() -> list[Benchmark]:
    """How the cost grows with the size of BLOBs."""
    return [
        Benchmark(
            f"size-{name}", f"BLOBs of {size >> 10} KiB in lines of 72, 1 client", "MB",
            partial(blob, size=size, count=min(400, (64 * _MIB) // size)),
        )
        for name, size in (("16K", 1 << 14), ("64K", 1 << 16), ("256K", 1 << 18), ("1M", 1 << 20), ("4M", 1 << 22))
    ]  # fmt: skip


BENCHMARKS = [
    *(
        Benchmark(
            f"relay-{clients}", f"relay in batches to {clients} client{'s' * (clients > 1)}", "message",
            partial(relay, clients=clients, count=count), "all" if clients == 1 else "servers",
        )
        for clients, count in ((1, 16_000), (10, 16_000), (30, 8000), (100, 4000), (1000, 800))
    ),
    Benchmark("relay-c", "relay in batches to 1 client, style of C drivers", "message", partial(relay, style="c")),
    Benchmark(
        "single", "relay of single messages, 2000 a second", "message", partial(relay, count=3200, rate=2000)
    ),
    Benchmark("trip", "round trip: command and answer", "trip", round_trip, "all"),
    Benchmark("commands", "flood of commands to a driver that answers", "command", commands),
    Benchmark("inside", "driver inside the server: send_setVector of three numbers", "message", inside, "python"),
    *(
        Benchmark(
            f"definitions-{count}", f"{count} definitions for one client", "definition",
            partial(definitions, count=count),
        )
        for count in (500, 1000, 2000, 4000)
    ),
    Benchmark(
        "definitions-inside", "4000 definitions, driver inside the server", "definition",
        partial(definitions, inside=True), "python",
    ),
    Benchmark("blob-72-1", "BLOBs of 16 MiB in lines of 72, 1 client", "MB", blob),
    Benchmark("blob-72-4", "BLOBs of 16 MiB in lines of 72, 4 clients", "MB", partial(blob, clients=4)),
    Benchmark("blob-line-1", "BLOBs of 16 MiB in one line, 1 client", "MB", partial(blob, style="python")),
    Benchmark("blob-line-4", "BLOBs of 16 MiB in one line, 4 clients", "MB", partial(blob, style="python", clients=4)),
    Benchmark("blob-attached-1", "attached BLOBs of 16 MiB, 1 client", "MB", partial(blob, style="attached")),
    Benchmark(
        "blob-attached-4", "attached BLOBs of 16 MiB, 4 clients", "MB", partial(blob, style="attached", clients=4)
    ),
    *_sizes(),
    *(
        Benchmark(
            f"storm-{clients}", f"storm: {clients} clients connect at once to 4000 properties", "definition",
            partial(storm, clients=clients), runs=3 if clients < 50 else 2,
        )
        for clients in (10, 25, 50)
    ),
    Benchmark(
        "storm-few", "storm: 10 clients connect at once to 400 properties", "definition",
        partial(storm, clients=10, count=400),
    ),
]  # fmt: skip
