"""Benchmarks of whole sites: many devices, trees of servers, clients that come and go, images beside updates."""

import contextlib
import json
import re
import statistics
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import IO, Any

from . import messages
from .benchmark import Benchmark, Result, Scale
from .clients import Client, Crowd, gather, quiet
from .processes import ROOT, Contender, Failed, Server

_MIB = 1 << 20
_DEVICE = re.compile(rb'<defSwitchVector\s+device=["\']([^"\']*)')
_CAMERA = "Camera"


def fleet(contender: Contender, scale: Scale, *, devices: int = 500, each: int = 40, clients: int = 5) -> Result:
    """Devices of five drivers whose properties all change once a second, to clients that want all; units are seconds."""
    seconds = round(scale.of(8, 1))
    share = scale.of(devices // 5, 1) if scale.size < 0.1 else devices // 5
    hubs = [f"Hub {number}" for number in range(5)]
    roles: list[tuple[str, dict[str, Any]]] = [
        ("fleet", {"count": share * each, "batch": each, "seconds": seconds, "first": number * share, "device": hub})
        for number, hub in enumerate(hubs)
    ]
    count = 5 * share * each
    go = b"".join(messages.of_device(messages.GO, hub) for hub in hubs)
    with (
        contender.serve(beside=roles, clients=clients, profile=scale.profile) as server,
        Crowd(server, clients, scale.pause) as crowd,
    ):
        for client in crowd:
            _learn(client, hubs, server)
            client.keep = 1000
        for client in crowd:
            client.expect(messages.END_OF_DEFINITION)
        crowd[0].send(go)
        gather(crowd, count, server, scale.limit)
        quiet(crowd, scale.pause)
        for client in crowd:
            client.expect(messages.END_OF_NUMBER)
        cpu, begin = server.cpu(), time.monotonic()
        crowd[0].send(go)
        gather(crowd, count * seconds, server, scale.limit)
        passed = max(client.done for client in crowd) - begin
        return Result(
            rate=seconds / passed,
            cpu=(server.cpu() - cpu) / seconds * 1e6,
            memory=server.memory(),
            seconds=passed,
        )


def tree(contender: Contender, scale: Scale, *, middle: int = 2, leaves: int = 12, count: int = 600) -> Result:
    """A command from a client of the server at the top to a driver of each server at the bottom, and its answer."""
    count = scale.of(count, 24)
    devices = [f"Leaf {number}" for number in range(leaves)]
    with contextlib.ExitStack() as stack:
        bottom = [stack.enter_context(contender.serve("echo", device=device)) for device in devices]
        for server in bottom:  # a C++ server ends when a server below does not listen
            Client(server).close()
        share = leaves // middle
        levels = [
            stack.enter_context(contender.serve(remotes=[s.port for s in bottom[begin : begin + share]]))
            for begin in range(0, leaves, share)
        ]
        for server in levels:
            Client(server).close()
        top = stack.enter_context(contender.serve(remotes=[server.port for server in levels], profile=scale.profile))
        servers = [top, *levels, *bottom]
        client = Client(top)
        stack.callback(client.close)
        _learn(client, devices, top)
        quiet([client], scale.pause)
        client.expect(messages.END_OF_NUMBER)
        commands = [messages.of_device(messages.command(1), device) for device in devices]
        times = []
        cpu, begin = _cpu(servers), time.monotonic()
        for number in range(count):
            sent = time.perf_counter()
            client.send(commands[number % leaves])
            while client.count <= number:
                if not client.wait(5.0):
                    raise Failed(f"no answer after {number} of {count}")
            times.append((time.perf_counter() - sent) * 1e3)
            if time.monotonic() - begin > scale.limit:
                raise Failed(f"{number} of {count} in {scale.limit:g} s")
        seconds = time.monotonic() - begin
        result = Result(
            rate=count / seconds,
            cpu=(_cpu(servers) - cpu) / count * 1e6,
            memory=max(server.memory() for server in servers),
            seconds=seconds,
        )
        result.p50, result.p99 = _percentiles(times)
        return result


def _learn(client: Client, devices: Sequence[str], server: Server) -> None:
    """Wait until this client knows all these devices."""
    client.keep = 1 << 26
    wanted = {device.encode() for device in devices}
    deadline, ask = time.monotonic() + 30, 0.0
    while wanted - set(_DEVICE.findall(client.kept)):
        now = time.monotonic()
        if client.closed or now > deadline:
            raise Failed(f"no definitions: {server.last_words()}")
        if now > ask:
            client.send(messages.GET)
            ask = now + 2
        client.wait(0.2)


def _cpu(servers: Sequence[Server]) -> float:
    return sum(server.cpu() for server in servers)


def _percentiles(times: Sequence[float]) -> tuple[float, float]:
    cuts = statistics.quantiles(times, n=100)
    return cuts[49], cuts[98]


def life(contender: Contender, scale: Scale, *, rate: int = 50, stay: float = 0.1, count: int = 200) -> Result:
    """Clients come at a steady rate, ask for everything, and go again; units are clients."""
    seconds = max(0.5, 60 * min(1.0, scale.size))
    with contender.serve("definitions", clients=10, profile=scale.profile, count=count) as server:
        there: deque[tuple[float, Client]] = deque()
        served, early = 0, 0.0
        cpu, begin = server.cpu(), time.monotonic()
        while (now := time.monotonic()) < begin + seconds:
            if now < begin + served / rate:
                for _, client in there:
                    client.read()
                time.sleep(0.002)
                continue
            while there and (there[0][0] + stay < now or len(there) > 4):
                _leave(there.popleft()[1], count, server)
            client = Client(server)
            client.expect(messages.END_OF_DEFINITION)
            client.send(messages.GET)
            there.append((now, client))
            served += 1
            if not early and now > begin + seconds / 6:
                early = server.memory("VmRSS")
        for _, client in there:
            _leave(client, count, server)
        passed = time.monotonic() - begin
        late = server.memory("VmRSS")
        return Result(
            rate=served / passed,
            cpu=(server.cpu() - cpu) / served * 1e6,
            memory=server.memory(),
            seconds=passed,
            note=f"memory from {early:.1f} to {late:.1f} MB",
        )


def _leave(client: Client, count: int, server: Server) -> None:
    """The client goes when it has all definitions."""
    deadline = time.monotonic() + 5
    while client.count < count:
        client.wait(0.05)
        if client.closed or time.monotonic() > deadline:
            raise Failed(f"a client has {client.count} of {count} definitions; {server.last_words()}")
    client.close()


def beside(contender: Contender, scale: Scale, *, style: str = "", size: int = 32 * _MIB, rate: int = 100) -> Result:
    """Small updates to one client at a steady rate, while another takes BLOBs as fast as they come."""
    seconds, size = max(1.0, 8 * min(1.0, scale.size)), scale.of_bytes(size)
    count = round(rate * seconds)
    images = [("images", {"size": size, "style": style, "device": _CAMERA})] if style else []
    go = messages.of_device(messages.GO, _CAMERA)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(
            contender.serve("ticks", beside=images, profile=scale.profile, rate=rate, count=count)
        )
        (watcher,) = stack.enter_context(Crowd(server, 1, scale.pause))
        devices = ["Mount", _CAMERA] if style else ["Mount"]
        _learn(watcher, devices, server)
        watcher.keep = 1000
        if style:
            watcher.send(messages.of_device(messages.WANT_BLOBS, _CAMERA))
        quiet([watcher], scale.pause)
        listener = stack.enter_context(_listening(server, count))
        assert listener.stdin is not None
        watcher.expect(messages.END_OF_BLOB)
        cpu, begin = server.cpu(), time.monotonic()
        listener.stdin.write("go\n")
        listener.stdin.flush()
        pressed = 0
        while (now := time.monotonic()) < begin + seconds:
            while style and pressed < watcher.count + 2:
                watcher.send(go)
                pressed += 1
            if watcher.read() < 1 << 18:
                time.sleep(0.001)
        passed = now - begin
        done = watcher.count * size / 1e6
        used = server.cpu() - cpu
        while listener.poll() is None and time.monotonic() < begin + seconds + scale.limit:
            watcher.read()  # updates may be behind a BLOB
            time.sleep(0.001)
        times = json.loads(_said(listener.stdout) or "[]")
        if len(times) < count:
            raise Failed(f"{len(times)} of {count} updates arrived in time")
        result = Result(rate=count / passed, cpu=used / seconds * 1e6, memory=server.memory(), seconds=passed)
        result.p50, result.p99 = _percentiles(times)
        if style:
            result.note = f"{done / passed:.0f} MB/s of BLOBs"
        return result


@contextlib.contextmanager
def _listening(server: Server, count: int):  # type: ignore[no-untyped-def]
    words = [sys.executable, "-m", "tests.bench.listener", str(server.port), str(count)]
    process = subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        if _said(process.stdout) != "ready":
            raise Failed("the client for updates cannot connect")
        yield process
    finally:
        process.kill()
        process.communicate()


def _said(stream: IO[str] | None) -> str:
    assert stream is not None
    return stream.readline().strip()


BENCHMARKS = [
    Benchmark("fleet", "500 devices with 40 properties, each changing once a second, 5 clients", "second", fleet,
              "all", runs=1),
    Benchmark("tree", "tree of 15 servers in three levels: command to each leaf and answer", "trip", tree, "all",
              runs=1),
    Benchmark("life", "50 clients come and go each second", "client", life, "all", runs=1),
    Benchmark("beside-nothing", "100 small updates a second", "second", beside, "all", runs=1),
    *(
        Benchmark(f"beside-{style}", f"100 small updates a second beside {name} of 32 MiB", "second",
                  partial(beside, style=style), of, runs=1)
        for style, name, of in (("c", "BLOBs", "all"), ("attached", "attached BLOBs", "servers"))
    ),
]  # fmt: skip
