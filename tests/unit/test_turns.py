"""Tasks that wait for their turn: in order, a few at a time, and those that are cancelled cost the others nothing."""

import asyncio

import pytest

from indipydriver.testing import run
from indipydriver.transport import outlet
from indipydriver.transport.outlet import Turns


class Busy(Turns):
    """There is never any time left."""

    def may_go_on(self):
        super().may_go_on()
        return False


class Counting(asyncio.Future):
    compared = 0

    def __eq__(self, other):
        type(self).compared += 1
        return self is other

    __hash__ = asyncio.Future.__hash__


@pytest.mark.parametrize("first", [0, 1000])
def test_those_that_are_cancelled_are_passed_over_and_cost_no_search(first, monkeypatch):
    async def test():
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(loop, "create_future", lambda: Counting(loop=loop), raising=False)
        turns, gone_on = Busy(), []

        async def wait(number):
            assert not turns.may_begin()
            await turns.wait()
            gone_on.append(number)

        tasks = [loop.create_task(wait(n)) for n in range(first + 2000)]
        await asyncio.sleep(0)
        for task in tasks[first : first + 1990]:
            task.cancel()
        await asyncio.wait(tasks)
        assert gone_on[-10:] == list(range(first + 1990, first + 2000))
        assert gone_on == sorted(gone_on)
        assert Counting.compared == 0
        for _ in range(3):
            await asyncio.sleep(0)
        assert turns.began is None

    Counting.compared = 0
    run(test, real_time=True)


def test_a_few_go_on_in_each_turn():
    async def test():
        turns, gone_on = Busy(), []

        async def wait():
            turns.may_begin()
            await turns.wait()
            gone_on.append(1)

        tasks = [asyncio.create_task(wait()) for _ in range(50)]
        before = most = 0
        while not all(task.done() for task in tasks):
            await asyncio.sleep(0)
            most = max(most, len(gone_on) - before)
            before = len(gone_on)
        assert most == outlet._TASKS_A_TURN

    run(test, real_time=True)
