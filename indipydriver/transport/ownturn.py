"""Tasks that begin in their own turn of the event loop, as those who start them expect."""

from __future__ import annotations

import asyncio

__all__ = ["own_turn"]


async def own_turn() -> None:
    """To be awaited first in a task, which then continues in a later turn than the one that created it.

    Usually a task begins like this anyway. With a task factory such as :func:`asyncio.eager_task_factory` it begins
    while it is being created, when its creator does not have the task yet, and may be in the middle of something.
    """
    if asyncio.get_running_loop().get_task_factory() is not None:
        await asyncio.sleep(0)
