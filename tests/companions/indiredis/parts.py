"""Real servers for the bridges, and bridges that run as long as a block does."""

import asyncio
import contextlib
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

import indiredis
from indipyserver import IPyServer
from indiredis import tools
from tests.support import ROOT, free_port, require, serving, started

REDIS = os.environ.get("INDIREDIS_TEST_REDIS", "redis-server")
"""The server in these tests: redis, or the path of another that speaks its protocol, such as valkey-server."""
PATH = os.pathsep.join(map(str, (ROOT / "companions", ROOT)))
pytest.importorskip("redis")
pytest.importorskip("aiomqtt")


def mosquitto():
    """The broker is in a folder that is not on every PATH."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin") or require("mosquitto")


def at(port, *drivers):
    """A server that is not running yet."""
    return IPyServer(*drivers, host="127.0.0.1", port=port)


@dataclass
class Redis:
    """A redis server, and a connection to it."""

    program: object
    server: indiredis.RedisServer
    rconn: object

    @property
    def port(self):
        return self.server.port

    def everything(self, prefix="indi_"):
        """All keys that show what is, with what they hold."""
        found = {}
        for key in self.rconn.scan_iter(f"{prefix}*"):
            name = key.decode()
            kind = self.rconn.type(key).decode()
            if ":" in name and name.startswith(f"{prefix}logdata:"):
                continue
            if kind == "hash":
                found[name] = {k.decode(): v.decode() for k, v in self.rconn.hgetall(key).items()}
            elif kind == "set":
                found[name] = {each.decode() for each in self.rconn.smembers(key)}
            elif kind == "string":
                found[name] = self.rconn.get(key).decode()
        return found


@contextlib.asynccontextmanager
async def redis_running(port=None, prefix="indi_"):
    """A redis server that keeps nothing on disk."""
    port = port or free_port()
    command = [require(REDIS), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with tempfile.TemporaryDirectory() as folder:
        async with serving(*command, port=port, cwd=folder) as program:
            server = indiredis.redis_server("127.0.0.1", port, keyprefix=prefix)
            rconn = tools.open_redis(server)
            try:
                yield Redis(program, server, rconn)
            finally:
                rconn.close()


@contextlib.asynccontextmanager
async def broker_running(port=None, *lines):
    """A broker; yields where it is, and its process."""
    port = port or free_port()
    with tempfile.TemporaryDirectory() as folder:
        conf = Path(folder) / "mosquitto.conf"
        text = "\n".join(lines) or "allow_anonymous true"
        conf.write_text(f"listener {port} 127.0.0.1\n{text}\n")
        async with serving(mosquitto(), "-c", str(conf), port=port) as program:
            yield indiredis.mqtt_server("127.0.0.1", port), program


@contextlib.asynccontextmanager
async def bridge(run, *args, **kwargs):
    """One of the coroutines, until the block ends; yields its task."""
    stop, ready = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(run(*args, stop, ready=ready.set, **kwargs))
    waiting = asyncio.create_task(ready.wait())
    try:
        async with asyncio.timeout(15):
            await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
        yield task
    finally:
        waiting.cancel()
        stop.set()
        await asyncio.wait([task], timeout=15)
        if not task.done():
            task.cancel()
        await task


def script(text, **env):
    """A Python program in another process."""
    return started(sys.executable, "-c", text, PYTHONPATH=PATH, **env)


def witness(mqttserver, topic="#"):
    """What Debian's own program hears of a broker."""
    return started(
        require("mosquitto_sub"), "-h", "127.0.0.1", "-p", str(mqttserver.port), "-v", "-q", "1", "-t", topic
    )


def monitor(redis):
    """What redis itself says that it is asked."""
    return started(require("redis-cli"), "-p", str(redis.port), "MONITOR")


async def soon(check, seconds=10):
    """Wait until something is so, and give the time that it took."""
    begin = asyncio.get_running_loop().time()
    while True:
        try:
            if check():
                return asyncio.get_running_loop().time() - begin
        except (ConnectionError, AssertionError, KeyError, IndexError, TypeError):
            pass
        took = asyncio.get_running_loop().time() - begin
        assert took < seconds, "it did not happen"
        await asyncio.sleep(0.02)
