"""Event loops in which a task begins while it is created, as some programs want them."""

import asyncio
from collections.abc import Coroutine
from contextvars import Context
from typing import Any

__all__ = ["tasks_begin_at_once"]


def tasks_begin_at_once() -> None:
    """From now on, in the running loop: with asyncio's own factory, and before Python 3.12 with one like it."""
    loop = asyncio.get_running_loop()
    loop.set_task_factory(getattr(asyncio, "eager_task_factory", _begin_at_once))


def _begin_at_once(loop: Any, coro: Coroutine[Any, Any, Any], **options: Any) -> Any:
    steps = []

    def keep(step: Any, *args: Any, context: Context) -> None:
        steps.append(lambda: context.run(step, *args))

    loop.call_soon = keep
    try:
        task = asyncio.tasks._PyTask(coro, loop=loop, **options)  # type: ignore[attr-defined]
    finally:
        del loop.call_soon
    outer = asyncio.current_task(loop)
    if outer is not None:
        asyncio.tasks._leave_task(loop, outer)
    try:
        steps.pop()()
    finally:
        if outer is not None:
            asyncio.tasks._enter_task(loop, outer)
    return task
