"""A call in a thread that does not return keeps a program from ending, and is named."""

import asyncio
import logging
import threading

import pytest

from indipydriver.transport.leftthreads import Watchdog
from tests.support import eventually


def take_a_picture(begun, may_end):
    begun.set()
    may_end.wait(30)


@pytest.mark.parametrize("returns", [False, True])
def test_a_call_that_does_not_return_is_named(returns, caplog):
    async def test():
        begun, may_end = threading.Event(), threading.Event()
        call = asyncio.create_task(asyncio.to_thread(take_a_picture, begun, may_end))
        await asyncio.to_thread(begun.wait, 30)
        try:
            with caplog.at_level(logging.WARNING):
                if returns:
                    Watchdog(logging.getLogger("test"), 0.2).start()
                    may_end.set()
                    await call
                    await eventually(lambda: not any(isinstance(t, threading.Timer) for t in threading.enumerate()))
                    assert "has not returned" not in caplog.text
                else:
                    Watchdog(logging.getLogger("test"), 0.01).start()
                    await eventually(lambda: "a call in a thread has not returned" in caplog.text)
                    assert "in take_a_picture" in caplog.text
        finally:
            may_end.set()
            await call

    asyncio.run(test())
