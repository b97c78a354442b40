"""How the functions that block end: by Ctrl-C, by SIGTERM, and with their terminal."""

import signal
import sys
from pathlib import Path

import pytest

import indiredis
from indiredis import tools
from indiredis.store import Store
from tests.support import ROOT, asynchronous, eventually, free_port, running_server, started

from .parts import PATH, bridge, broker_running, redis_running, soon, witness
from .test_redis import Counter

DRIVER = f"""#!{sys.executable}
import asyncio, os, sys
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "companions")!r}]
from tests.companions.indiredis.test_redis import Counter
open({{pid!r}}, "w").write(str(os.getpid()))
asyncio.run(Counter().asyncrun())
"""
CALLS = {
    "inditoredis": "inditoredis(indi, redis, blob_folder=folder)",
    "driverstoredis": "driverstoredis(driver, redis, blob_folder=folder)",
    "inditomqtt": "inditomqtt(indi, 'one', mqtt)",
    "driverstomqtt": "driverstomqtt(driver, 'one', mqtt)",
    "mqtttoredis": "mqtttoredis('one', mqtt, redis, blob_folder=folder)",
    "mqtttoport": "mqtttoport('one', mqtt, port=port)",
}
TEXT = """
from indiredis import *
indi, redis, mqtt = indi_server("127.0.0.1", {indi}), redis_server("127.0.0.1", {redis}), mqtt_server("127.0.0.1", {mqtt})
driver, folder, port = {driver!r}, {folder!r}, {port}
try:
    {call}
finally:
    print("the rest of the program", flush=True)
"""
STATUS = {signal.SIGINT: -signal.SIGINT, signal.SIGTERM: 143, signal.SIGHUP: 129}


@pytest.mark.parametrize("number", [*STATUS], ids=lambda number: number.name)
@pytest.mark.parametrize("name", [*CALLS])
@asynchronous
async def test_a_function_that_blocks_ends_after_it_has_told_everybody(name, number, tmp_path):
    driver, pid = tmp_path / "driver", tmp_path / "pid"
    driver.write_text(DRIVER.format(pid=str(pid)))
    driver.chmod(0o755)
    port = free_port()
    async with broker_running() as (mqtt, _), redis_running() as redis, running_server(Counter()) as server:
        there = indiredis.indi_server("127.0.0.1", server.port)
        at = {"indi": server.port, "redis": redis.port, "mqtt": mqtt.port, "port": port}
        text = TEXT.format(call=CALLS[name], driver=str(driver), folder=str(tmp_path / "blobs"), **at)
        rconn = redis.rconn
        async with bridge(indiredis.run_inditomqtt, there, "other", mqtt):
            with witness(mqtt) as heard, started(sys.executable, "-c", text, PYTHONPATH=PATH) as program:
                if "redis" in name:
                    await soon(lambda: tools.devices(rconn, redis.server) == ["Counter"])
                    await soon(lambda: rconn.hget("indi_link", "state") == b"up")
                if "mqtt" in name:
                    await eventually(lambda: "one is online" in heard.stdout(), 10)
                if name == "mqtttoport":  # a connection that is closed while something comes may lose its last packet
                    await eventually(lambda: "defTextVector" in heard.stdout(), 10)
                if "drivers" in name:
                    await soon(pid.exists)
                program.signal(number)
                assert await program.wait() == STATUS[number]
                assert "the rest of the program" in program.stdout()
                assert "Task was destroyed" not in program.stderr()
                if "redis" in name:
                    assert not rconn.exists("indi_link")
                if "mqtt" in name:
                    await eventually(lambda: "one is offline" in heard.stdout())
                    assert heard.stdout().count("one is offline") == 1  # the broker was not left to say it
                if "drivers" in name:
                    assert not Path(f"/proc/{pid.read_text()}").exists()


THREAD = """
import signal, threading
from indiredis import *
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
mqtt = mqtt_server("127.0.0.1", {mqtt})
before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)]
threading.Thread(target=mqtttoport, args=("one", mqtt), kwargs={{"port": {port}}}, daemon=True).start()
signal.sigwait([signal.SIGUSR1])
assert before == [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)] == [signal.SIG_DFL] * 2
print("left alone", flush=True)
signal.sigwait([signal.SIGUSR1])
"""


@asynchronous
async def test_in_another_thread_a_function_that_blocks_leaves_signals_alone():
    async with broker_running() as (mqtt, _):
        text = THREAD.format(mqtt=mqtt.port, port=free_port())
        with witness(mqtt) as heard, started(sys.executable, "-c", text, PYTHONPATH=PATH) as program:
            await eventually(lambda: "one is online" in heard.stdout(), 10)
            program.signal(signal.SIGUSR1)
            await eventually(lambda: "left alone" in program.stdout())
            program.signal(signal.SIGTERM)
            assert await program.wait() == -signal.SIGTERM


OWN = """
import asyncio, signal
from indiredis import *
signal.signal(signal.SIGTERM, lambda *_: print("handled by the program", flush=True))
inditomqtt(indi_server("127.0.0.1", 1), "one", mqtt_server("127.0.0.1", {mqtt}))
"""


@asynchronous
async def test_a_program_that_handles_sigterm_itself_goes_on_doing_so():
    async with broker_running() as (mqtt, _):
        text = OWN.format(mqtt=mqtt.port)
        with witness(mqtt) as heard, started(sys.executable, "-c", text, PYTHONPATH=PATH) as program:
            await eventually(lambda: "one is online" in heard.stdout(), 10)
            program.signal(signal.SIGTERM)
            await eventually(lambda: "handled by the program" in program.stdout())
            program.interrupt()
            assert await program.wait() == -signal.SIGINT


@asynchronous
async def test_the_sign_of_life_of_another_bridge_is_left_to_it(tmp_path, monkeypatch):
    leave = Store._leave

    async def leave_after_another(store):  # so that no sign of this one comes in between
        rconn.hset("indi_link", "bridge", "another")
        await leave(store)

    monkeypatch.setattr(Store, "_leave", leave_after_another)
    async with redis_running() as redis, running_server(Counter()) as server:
        there, rconn = indiredis.indi_server("127.0.0.1", server.port), redis.rconn
        async with bridge(indiredis.run_inditoredis, there, redis.server, blob_folder=tmp_path):
            await soon(lambda: rconn.hget("indi_link", "state") == b"up")
        assert rconn.hget("indi_link", "bridge") == b"another"
