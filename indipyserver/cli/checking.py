"""The command's ``--check``: one check, its report on standard output, its verdict as the exit status."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import ssl
import sys
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final

from indipydriver.transport.forked import end_children
from indipydriver.transport.leftthreads import Watchdog
from indipydriver.transport.signals import ENDING, on_signal

from ..certificates import client_context
from ..check.report import Report, as_json, as_text
from ..check.run import DEFAULT_TIMEOUT, check
from ..check.subjects import CannotRun
from ..spec import Spec
from .console import attach, is_terminal, verbose_level, write_out

__all__ = ["run_check"]

logger = logging.getLogger("indipyserver.cli")

_STATUS_CANNOT_RUN: Final = 2
_END_TIME: Final = 1.0  # seconds in which what has been cancelled must end, and calls in threads must return


def run_check(
    spec: Spec,
    *,
    timeout: float = DEFAULT_TIMEOUT,
    act: bool = False,
    json: bool = False,
    verbose: int = 0,
    to_other_servers: Callable[[], ssl.SSLContext] = client_context,
) -> int:
    """Check what a specification names and print the report.

    Args:
        spec: What to check.
        timeout: Seconds that it has to answer.
        act: Also send commands that may make the device do something.
        json: Print JSON.
        verbose: Log what happens, more for larger numbers.
        to_other_servers: Makes the context for a server that is named ``@tls://``.

    Returns:
        The exit status: 0 fine, 1 errors or warnings, 2 it cannot be started or reached, 128 plus its number
        after a signal.
    """
    ended: list[int] = []

    def tell(report: Report) -> None:
        with contextlib.suppress(BrokenPipeError):
            text = as_json(report) + "\n" if json else as_text(report, colour=is_terminal(sys.stdout))
            write_out(text)

    out = sys.stdout

    def give_up(report: Report) -> None:
        """End the process in a thread: the event loop does nothing any more, and its signals neither."""
        sys.stdout = out
        tell(report)
        log.flush()
        end_children()
        os._exit(report.status)

    # What a driver logs about the bad commands of the check is expected here.
    with attach(sys.stderr, verbose_level(verbose) if verbose else logging.CRITICAL) as log:
        logger.setLevel(logging.WARNING)  # why it ends without something is always told
        try:
            checking = check(spec, timeout=timeout, act=act, to_other_servers=to_other_servers, stuck=give_up)
            return asyncio.run(_run(checking, ended, tell, log.flush))
        except CannotRun as error:
            log.write_line(str(error))
            return _STATUS_CANNOT_RUN
        except asyncio.CancelledError:
            return 128 + ended[0]
        except KeyboardInterrupt:
            return 128 + signal.SIGINT


async def _run(
    checking: Coroutine[Any, Any, Report], ended: list[int], tell: Callable[[Report], None], flush: Callable[[], None]
) -> int:
    """Run the check, which a signal cancels, stopping the driver too; returns the exit status."""
    task = asyncio.current_task()
    assert task is not None

    def end(number: int) -> None:
        if not ended:  # one signal is enough: the next would cancel the stopping
            task.cancel()
        ended.append(number)

    for name in ENDING:
        if hasattr(signal, name):
            on_signal(name, partial(end, getattr(signal, name)), once=True)
    status = _STATUS_CANNOT_RUN

    def leave() -> None:
        """End the process, whatever a driver in it still does."""
        flush()
        end_children()
        os._exit(128 + ended[0] if ended else status)

    try:
        report = await checking
        status = report.status
        tell(report)
    except asyncio.CancelledError:
        status = 128 + signal.SIGINT  # unless it is told otherwise: asyncio has handled that
        raise
    finally:
        left = asyncio.all_tasks() - {task}
        for each in left:
            each.cancel()
        if left:
            _, left = await asyncio.wait(left, timeout=_END_TIME)
        if left:  # a driver in this process that swallows its cancellation: it ends with the process only
            leave()
        Watchdog(logger, _END_TIME, leave).start()
    return status
