"""Threads for large BLOBs."""

import gc
import os
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from indipydriver.transport.threads import in_thread
from tests.support import asynchronous

FORKING = """
import asyncio, os, signal
from indipydriver.transport.threads import in_thread

assert asyncio.run(in_thread(lambda: 1)) == 1
child = os.fork()
if child == 0:
    signal.alarm(10)
    os._exit(asyncio.run(in_thread(lambda: 2)))
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2
"""


FORKING_DURING_AN_UPDATE = """
import os, signal, threading
import indipydriver as ipd

inside, leave = threading.Event(), threading.Event()

class Vector(ipd.TextVector):
    def _assign(self, name, value):
        inside.set()
        leave.wait(0.5)

vector = Vector("V", "", "", "ro", "Ok", [ipd.TextMember("t")])
thread = threading.Thread(target=vector.update, args=({"t": "x"},))
thread.start()
inside.wait()
child = os.fork()
if child == 0:
    signal.alarm(10)
    switches = ipd.SwitchVector("S", "", "", "rw", "OneOfMany", "Ok", [ipd.SwitchMember("s")])
    switches.choose("s")
    thread = threading.Thread(target=switches.choose, args=("s",))
    thread.start()
    thread.join()
    os._exit(2)
leave.set()
vector.update(t="y")
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX")
def test_a_process_that_is_forked_while_a_thread_assigns_values_can_assign_its_own() -> None:
    subprocess.run([sys.executable, "-c", FORKING_DURING_AN_UPDATE], check=True, timeout=60)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX")
def test_a_forked_process_has_threads_of_its_own() -> None:
    """As one of multiprocessing's, which runs a driver while its parent runs another."""
    subprocess.run([sys.executable, "-c", FORKING], check=True, timeout=60)


@asynchronous
async def test_without_a_thread_the_work_is_done_at_once_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    done: list[int] = []
    monkeypatch.setattr("indipydriver.transport.threads._threads", type("", (), {"executor": ThreadPoolExecutor(2)}))
    with monkeypatch.context() as context:
        context.setattr(threading.Thread, "start", refuse)
        assert await in_thread(lambda: done.append(1) or 42) == 42
    await in_thread(lambda: done.append(2))  # with a thread, what the executor has kept comes first
    assert done == [1, 2]


@asynchronous
async def test_what_fails_in_a_thread_fails_for_who_waits() -> None:
    with pytest.raises(RuntimeError, match="of the work"):
        await in_thread(_fail)


@asynchronous
async def test_failed_work_is_not_kept() -> None:
    """It may hold a picture, or the descriptors of one; nobody waits for the garbage collector to find a circle."""

    class Picture:
        pass

    def fail(picture: Picture) -> None:
        raise RuntimeError("of the work")

    picture = Picture()
    known = weakref.ref(picture)
    work = partial(fail, picture)
    del picture
    gc.disable()
    try:
        try:
            await in_thread(work)
        except RuntimeError:
            del work
        await in_thread(lambda: None)  # the thread keeps nothing of its last job but what it still looks at
        assert known() is None
    finally:
        gc.enable()


def _fail() -> None:
    raise RuntimeError("of the work")
