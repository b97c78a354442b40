"""An event loop and a system as Windows has them: nothing watches descriptors, and there are no POSIX calls."""

import asyncio
import functools
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

MISSING: dict[Any, str] = {
    os: "readv writev killpg getpgid geteuid pidfd_open mkfifo",
    socket: "SCM_RIGHTS SO_PEERCRED MSG_DONTWAIT AF_UNIX",
    signal: "SIGKILL SIGUSR1 SIGHUP",
}
"""What is not there; asyncio itself has to do without these too."""


def _for_asyncio_only(name: str) -> Callable[..., Any]:
    """A method that the loop's own machinery may call, and nobody else."""
    real = getattr(asyncio.SelectorEventLoop, name)

    def method(self: asyncio.SelectorEventLoop, *args: Any) -> Any:
        if not sys._getframe(1).f_globals["__name__"].startswith("asyncio."):
            raise NotImplementedError
        return real(self, *args)

    return method


class Proactor(asyncio.SelectorEventLoop):
    """Has transports, and for the rest of us neither readers nor writers nor signal handlers."""

    add_reader = _for_asyncio_only("add_reader")
    remove_reader = _for_asyncio_only("remove_reader")
    add_writer = _for_asyncio_only("add_writer")
    remove_writer = _for_asyncio_only("remove_writer")

    def add_signal_handler(self, *_: Any) -> None:
        raise NotImplementedError

    def remove_signal_handler(self, *_: Any) -> bool:
        raise NotImplementedError


@contextmanager
def windows_like(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Until it ends, new event loops are of this kind, and what POSIX systems have is missing."""
    pair = functools.partial(socket.socketpair, socket.AF_UNIX)  # the loop itself needs one
    with patch.context() as within:
        within.setattr(socket, "socketpair", pair)
        within.setattr(asyncio.events, "new_event_loop", Proactor)
        for module, names in MISSING.items():
            for name in names.split():
                within.delattr(module, name, raising=False)
        yield
