"""A server leaves alone what somebody else has set for a signal while it runs."""

import asyncio
import signal
import sys
import threading

import pytest

from indipydriver.transport.signals import again_at_once, on_signal


@pytest.mark.skipif(sys.platform == "win32", reason="its event loop handles no signals")
@pytest.mark.parametrize("once", [False, True])
@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_handler_that_is_set_meanwhile_stays(once, is_replaced):
    def mine(*_):
        pass

    async def test():
        undo = on_signal("SIGTERM", lambda: None, once=once)
        assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
        if is_replaced:
            signal.signal(signal.SIGTERM, mine)
        undo()
        assert signal.getsignal(signal.SIGTERM) is (mine if is_replaced else signal.SIG_DFL)

    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    try:
        asyncio.run(test())
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@pytest.mark.skipif(sys.platform == "win32", reason="its event loop handles no signals")
def test_without_threads_nothing_is_raised_into_what_runs(monkeypatch):
    def start(thread):
        raise RuntimeError("can't start new thread")

    async def test():
        again_at_once([signal.SIGTERM], lambda number: None)
        monkeypatch.setattr(threading.Thread, "start", start)
        signal.raise_signal(signal.SIGTERM)

    try:
        asyncio.run(test())
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
