"""Whether a driver runs, and whether it has to end: the one place that knows both."""

from __future__ import annotations

import asyncio
import logging
from enum import Enum, auto
from typing import Protocol

from ..errors import NotRunning
from ..transport.calling import call_in_loop
from ..transport.outlet import Outlet
from .served import Driver

__all__ = ["RunReceiver", "RunState"]

logger = logging.getLogger("indipydriver.ipydriver")


class RunReceiver(Protocol):
    """Accepts frames for a driver, during one run."""

    def close(self) -> None:
        """Accept no more. A signal handler may call this at any point."""


class _Phase(Enum):
    FRESH = auto()
    STARTING = auto()  # sends are kept until there is a link
    RUNNING = auto()
    ENDED = auto()


class RunState:
    """The state of one driver, which may run any number of times, once at a time.

    Whatever ends a run calls the driver's `shutdown`, which its author may have extended. That calls
    :meth:`shutdown` here, which calls no method of the driver, only the `shutdown` of its devices.

    Attributes:
        must_end: What authors read as `stop`.
        ending: Set when the run has to end. Created anew for each run, as it belongs to the run's event loop.
        loop: The event loop of the run, or of the last one.
        receiver: What accepts frames, while there is a link.
    """

    def __init__(self, driver: Driver) -> None:
        self.must_end = False
        self.ending = asyncio.Event()
        self.loop: asyncio.AbstractEventLoop | None = None
        self.receiver: RunReceiver | None = None
        self._driver = driver
        self._phase = _Phase.FRESH
        self._outlet: Outlet | None = None
        self._must_not_run = False  # shut down between two runs: the next one must end at once

    @property
    def outlet(self) -> Outlet:
        """Where to send; raises NotRunning before the first run."""
        if self._outlet is None:
            raise NotRunning("the driver does not run yet: await asyncrun(), or that of its IPyServer, first")
        return self._outlet

    @property
    def is_prepared(self) -> bool:
        """Whether a run has been prepared, but has not begun."""
        return self._phase is _Phase.STARTING

    def prepare(self) -> bool:
        """Prepare a run: from now on sends are kept for its link. False if one is already prepared.

        Raises:
            RuntimeError: The driver is already running.
        """
        driver, loop = self._driver, asyncio.get_running_loop()
        if self._phase is _Phase.RUNNING:
            raise RuntimeError("the driver is already running")
        if self._phase is _Phase.STARTING:
            if not self.must_end:
                return False
            self._phase = _Phase.ENDED  # the prepared run was shut down before it began; this is another
        if self._phase is _Phase.ENDED:
            self._set_flags(False)
            if self._must_not_run:  # checked last: a thread or a signal handler may shut it down just now
                self._set_flags(True)
        self._must_not_run = False
        # An Event belongs to the loop in which it was first waited for, perhaps before the first run.  asyncio keeps
        # it in `_loop` and tells it in no other way; without such an attribute, the loop of the last run counts.
        if {self.loop, *(getattr(event, "_loop", None) for event in (driver.stopped, driver.shutdownrequested))} - {
            None,
            loop,
        }:
            driver.stopped, driver.shutdownrequested = asyncio.Event(), asyncio.Event()
        driver.stopped.clear()
        if self.must_end:
            driver.shutdownrequested.set()
        else:
            driver.shutdownrequested.clear()
        self.loop = loop
        self.ending = asyncio.Event()
        self._outlet = Outlet(lambda: driver.debug_enable and logger.isEnabledFor(logging.DEBUG))
        self._phase = _Phase.STARTING
        if self.must_end:  # shutdown() came first
            call_in_loop(loop, self.end)
        return True

    def _set_flags(self, stop: bool) -> None:
        self.must_end = stop
        for device in self._driver.devices():
            device.set_stop_flag(stop)

    def begin(self, receiver: RunReceiver) -> None:
        """Begin the run."""
        self._phase = _Phase.RUNNING
        self.receiver = receiver
        if self.ending.is_set():  # shut down before it began
            receiver.close()

    def shutdown(self) -> None:
        """Set the stop flags and begin to end the run: nothing more is sent or taken.

        Between runs, this ends the next one. Any thread or signal handler may call it, such as the button callback of
        a GPIO library.
        """
        self._must_not_run = self._phase in (_Phase.FRESH, _Phase.ENDED)
        self.must_end = True
        for device in self._driver.data.values():
            try:
                device.shutdown()
            except KeyboardInterrupt:
                raise
            except BaseException:  # the author's mistake must not keep the driver from ending
                logger.exception("shutdown() of the device %r failed", device.devicename)
            device.set_stop_flag(True)  # the author's method may not do so
        call_in_loop(self.loop, self.end)

    def end(self) -> None:
        """Begin to end the run for which the flags were set. Only the thread of the event loop calls this."""
        if not self.must_end:
            return  # meanwhile the run is over, and the next has begun
        if self._phase not in (_Phase.FRESH, _Phase.ENDED):
            self._must_not_run = False  # it was noted while this run was prepared
        self._driver.shutdownrequested.set()
        self.ending.set()
        if self._phase is not _Phase.FRESH and self._outlet is not None:
            self._outlet.close()
        if self.receiver is not None:
            self.receiver.close()

    def finish(self) -> None:
        """Note that the run has ended, or will not begin."""
        self.receiver = None
        self._phase = _Phase.ENDED
        self._driver.stopped.set()
