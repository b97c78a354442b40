"""What many sites cost the broker, a listener and redis: ``python -m tests.companions.indiredis.sites 100``.

The sites are bridges of this process, each beside a server of its own with one device.  The listener is a program.
Each bridge hears of each other one, which takes 0.4 ms: 250 sites need half a minute of one processor to start, and a
third of that to end.  Each needs four open files, of which a process may have 1024 on many machines unless it asks.
"""

import argparse
import asyncio
import contextlib
import os
import resource
import tempfile
from pathlib import Path
from typing import NamedTuple

import indiredis
from indiredis import tools
from tests.support import running_server

from .parts import bridge, broker_running, redis_running, script, soon
from .test_redis import Counter

LISTENER = """
import asyncio, indiredis
there = indiredis.mqtt_server("127.0.0.1", {mqtt})
redis = indiredis.redis_server("127.0.0.1", {redis})
asyncio.run(indiredis.run_mqtttoredis("web", there, redis, blob_folder={folder!r}))
"""


class Use(NamedTuple):
    """Of a program: seconds of processor time, and bytes of memory."""

    processor: float
    memory: int


class Costs(NamedTuple):
    """By program, in seconds of processor time for each second, and in bytes; and of all bridges in this process."""

    start: dict[str, float]
    idle: dict[str, float]
    busy: dict[str, float]
    memory: dict[str, int]


def want_files(number: int) -> None:
    """Let this process have so many open files, if it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < number:
        most = number if hard == resource.RLIM_INFINITY else min(number, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def use(pid: int) -> Use:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    return Use(ticks / os.sysconf("SC_CLK_TCK"), int(fields[21]) * os.sysconf("SC_PAGE_SIZE"))


async def measure(number: int, seconds: float, rate: float = 1.0) -> Costs:
    """Costs of so many sites, each of which says `rate` numbers a second for some of the time."""
    want_files(8 * number + 256)
    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_async_context
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        mqtt, broker = await enter(broker_running())
        redis = await enter(redis_running())
        text = LISTENER.format(mqtt=mqtt.port, redis=redis.port, folder=folder)
        listener = stack.enter_context(script(text))
        await soon(lambda: redis.rconn.hget("indi_link", "state") == b"up", 30)
        pids = {"broker": broker.pid, "listener": listener.pid, "redis": redis.program.pid, "sites": os.getpid()}

        def uses() -> dict[str, Use]:
            return {name: use(pid) for name, pid in pids.items()}

        def spent(before: dict[str, Use], over: float) -> dict[str, float]:
            return {name: (now.processor - before[name].processor) / over for name, now in uses().items()}

        first = uses()
        drivers = [Counter(f"D{index}") for index in range(number)]
        for index, driver in enumerate(drivers):
            server = await enter(running_server(driver))
            there = indiredis.indi_server("127.0.0.1", server.port)
            await enter(bridge(indiredis.run_inditomqtt, there, f"s{index}", mqtt))
        await soon(lambda: len(tools.devices(redis.rconn, redis.server)) == number, 60 + number)
        start = spent(first, 1)
        await asyncio.sleep(2)
        before = uses()
        await asyncio.sleep(seconds)
        idle = spent(before, seconds)
        before = uses()
        loop = asyncio.get_running_loop()
        begin = loop.time()
        for turn in range(int(seconds * rate)):
            for index, driver in enumerate(drivers):
                await asyncio.sleep(begin + (turn + index / number) / rate - loop.time())
                await driver.say(turn + 1)
        busy = spent(before, loop.time() - begin)
        memory = {name: now.memory - first[name].memory for name, now in uses().items()}
        return Costs(start, idle, busy, memory)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("number", type=int)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rate", type=float, default=1.0)
    options = parser.parse_args()
    costs = asyncio.run(measure(options.number, options.seconds, options.rate))
    each = options.number
    lines = [f"of each of {each} sites:         start      idle   at {options.rate:g} a second    memory"]
    lines += [
        f"  {name:12} {costs.start[name] / each * 1e3:14.2f} ms {costs.idle[name] / each * 1e6:8.0f} us/s "
        f"{costs.busy[name] / each * 1e6:8.0f} us/s {costs.memory[name] / each / 1024:9.0f} KiB"
        for name in costs.start
    ]
    print("\n".join(lines))  # noqa: T201


if __name__ == "__main__":
    main()
