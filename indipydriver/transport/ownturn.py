"""Tasks that begin in a turn of the event loop of their own, as those who start them count on."""

from __future__ import annotations

import asyncio

__all__ = ["own_turn"]


async def own_turn() -> None:
    """To be awaited first in a task: go on in another turn than the one in which it was created.

    Usually a task begins so anyway. With a task factory such as :func:`asyncio.eager_task_factory` it begins while it
    is created: whoever does that knows no task yet, and may be in the middle of something.
    """
    if asyncio.get_running_loop().get_task_factory() is not None:
        await asyncio.sleep(0)
