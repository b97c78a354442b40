"""What a driver has been sent is freed when its run ends: a BLOB in a memory file has a descriptor, and must not wait
until cycles are collected."""

import asyncio
import gc
import logging
import weakref

import pytest

import indipydriver as ipd
from indipydriver.protocol.encode import encode
from indipydriver.protocol.frame import Batch
from indipydriver.protocol.messages import NewVector, OneBlob, SetVector
from indipydriver.protocol.tags import State, VectorKind
from indipydriver.testing import run
from indipydriver.transport.memory import memory_pair
from tests.support.links import Recorder

BLOB = (OneBlob("b", b"x" * 1000, 1000, ".x"),)


class Slow(ipd.IPyDriver):
    mode = ""

    async def hardware(self):
        self.snoopall = True
        if self.mode == "hardware fails":
            await asyncio.sleep(2)
            raise ValueError("hardware")

    async def _take(self):
        if self.mode == "event fails":
            raise ValueError("event")
        if self.mode != "event ends":
            await asyncio.sleep(100)

    async def rxevent(self, event):
        await self._take()

    async def snoopevent(self, event):
        await self._take()


@pytest.fixture
def no_collection():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("how", ["shut down", "closed", "cancelled"])
@pytest.mark.parametrize("mode", ["slow", "event ends", "event fails", "hardware fails"])
def test_no_event_outlives_its_run(mode, how, no_collection, caplog):
    caplog.set_level(logging.CRITICAL, logger="indipydriver")  # a record that is kept keeps its traceback
    kept = []

    async def test():
        driver = Slow(ipd.Device("D", [ipd.BLOBVector("v", "", "", "rw", "Ok", [ipd.BLOBMember("b")])]))
        driver.mode = mode
        ours, theirs = memory_pair("server", "driver")
        ours.open(Recorder())
        running = asyncio.create_task(driver.serve(theirs, shutdown_grace=0.1))
        await asyncio.sleep(1)
        for message in (
            NewVector(VectorKind.BLOB, "D", "v", BLOB),
            SetVector(VectorKind.BLOB, "Other", "v", BLOB, State.OK),
            SetVector(VectorKind.BLOB, "Other", "v", BLOB, State.OK),
        ):
            frame = encode(message)
            kept.append(weakref.ref(frame))
            ours.write(Batch([frame]))
        ours.flush()
        del frame, message
        await asyncio.sleep(0.5)
        if how == "shut down":
            driver.shutdown()
        elif how == "closed":
            ours.close()
        else:
            running.cancel()
        await asyncio.wait((running,), timeout=60)
        assert running.done()
        return None if running.cancelled() else running.exception()  # whoever keeps that keeps no event

    failure = run(test)
    assert [each() for each in kept] == [None] * len(kept)
    assert failure is None or isinstance(failure, ExceptionGroup)
