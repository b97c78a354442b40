"""IPyDriver: what the author of a driver subclasses."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Coroutine, Iterator
from datetime import datetime
from typing import Any, Final
from xml.etree import ElementTree as ET

from .device import Device
from .errors import DefinitionError, LocalProtocolError, RemoteProtocolError
from .fixed import FixedMapping
from .propertymembers import as_text, getfloat
from .propertyvectors import timestamp_string
from .protocol.decode import decode
from .protocol.encode import encode
from .protocol.framer import Framer, Limits
from .protocol.messages import GetProperties, Message
from .runtime.engine import Engine, split_exits
from .runtime.runstate import RunState
from .runtime.slips import slips, taken_names
from .runtime.snooping import MAX_TIMEOUT, MIN_TIMEOUT
from .transport.calling import refuse_within_loop
from .transport.leftthreads import Watchdog
from .transport.link import Link
from .transport.printed import Printed
from .transport.signals import ENDING, on_signal
from .transport.stdio import open_stdio

__all__ = ["Device", "IPyDriver"]

logger = logging.getLogger(__name__)
_SLIP: Final = {"slip": True}  # by which the conformance checker knows these log records

_THREADS_NAMED_AFTER: Final = 5.0  # seconds after a run until calls that have not returned from threads are named

# Of what the driver itself sends, only INDI's grammar is checked.
_ANY_SIZE = Limits(start_tag=1 << 30, frame=1 << 40, blob=1 << 40)


class IPyDriver(FixedMapping[Device]):
    """A driver: a mapping of device names to devices. Subclass it and override rxevent, hardware and snoopevent.

    Args:
        devices: The devices.
        driverdata: Anything else to keep with the driver; no keyword is reserved.

    Attributes:
        driverdata: The keyword arguments, as a dict.
        auto_send_def: Answer a getProperties of a client with the definitions. False: hand it to rxevent.
        debug_enable: Log the XML that is sent and received, at level DEBUG.
        shutdown_grace: Seconds that hardware(), backgrounds and events have to end by themselves
            when the driver is shut down or its link is closed; then they are cancelled.
        stopped: Set when a run has ended.
        shutdownrequested: Set when it has been told to end.

    Raises:
        DefinitionError: Two devices have the same name, or one is already in a driver.
        TypeError: An argument is not a Device, such as a list of devices.
    """

    shutdown_grace: float = 5.0

    indi_number_to_float = staticmethod(getfloat)

    def __init__(self, /, *devices: Device, **driverdata: Any) -> None:
        super().__init__()
        self.driverdata = driverdata
        self.auto_send_def = True
        self.debug_enable = False
        self.stopped = asyncio.Event()
        self.shutdownrequested = asyncio.Event()
        self._run_state = RunState(self)
        self._engine = Engine(self, self._run_state)
        for device in devices:
            _check_device(device)
            name = device.devicename
            if name in self.data:
                raise DefinitionError(f"two devices of the driver are named {name!r}")
            if device.driver is not None or any(vector.driver is not None for vector in device.properties()):
                raise DefinitionError(f"the device {name!r}, or a vector of it, is already in a driver")
            self.data[name] = device
        for text in taken_names(self, IPyDriver):
            logger.warning("%s", text, extra=_SLIP)
        for device in devices:
            device.join_driver(self, self._run_state, self._engine.add_background)
            for vector in device.properties():
                vector.join_driver(self, self._run_state)

    def _whose(self) -> str:
        return "the devices of a driver"

    @property
    def stop(self) -> bool:
        """True when the driver must end; its loops test it."""
        return self._run_state.must_end

    @property
    def _stop(self) -> bool:
        """Like `stop`, under the name that many scripts use."""
        return self._run_state.must_end

    @_stop.setter
    def _stop(self, value: bool) -> None:
        if value:
            self._run_state.shutdown()  # if only the flag were set, nothing would end a run that seems to be ending
        else:
            self._run_state.must_end = False

    @property
    def snoopall(self) -> bool:
        """Whether everything is watched."""
        return self._engine.snoops.all

    @snoopall.setter
    def snoopall(self, value: bool) -> None:
        self._engine.snoops.all = bool(value)

    @property
    def snoopdevices(self) -> set[str]:
        """Devices that are watched as a whole."""
        return self._engine.snoops.devices

    @property
    def snoopvectors(self) -> dict[tuple[str, str], list[float] | None]:
        """Watched vectors, by device and name, with None, or the timeout and the time of the last news."""
        return self._engine.snoops.vectors

    def devices(self) -> list[Device]:
        """The devices."""
        return list(self.data.values())

    # --- to be overridden ---
    # To type checkers, the events are Any: see docs/explanation/decisions/0021-events-are-any-to-type-checkers.md.

    async def rxevent(self, event: Any) -> None:
        """Called when a client has sent a command. Commands for one vector arrive one at a time.

        An exception sets the vector to Alert, with a message; the driver continues.

        Args:
            event: One of :data:`indipydriver.events.RxEvent`: a newSwitchVector, newTextVector, newNumberVector or
                newBLOBVector; or a getProperties, when `auto_send_def` is False.
        """

    async def hardware(self) -> None:
        """Started once when the driver runs; may return at once. An exception ends the driver."""

    async def snoopevent(self, event: Any) -> None:
        """Called when there is news of something that is watched. An exception is logged; the driver continues.

        Args:
            event: One of :data:`indipydriver.events.SnoopedEvent`: a Message, delProperty, or any def or set vector.
        """

    # --- what the driver does ---

    def add_background(self, coro: Coroutine[Any, Any, Any]) -> None:
        """Run a coroutine while the driver runs; if it fails, the driver ends. Any thread may call this.

        Raises:
            TypeError: It is not a coroutine object.
        """
        self._engine.add_background(coro, "a background of the driver")

    def snoop(self, devicename: str, vectorname: str, timeout: float = 30) -> None:
        """Watch a vector of another driver; its news goes to snoopevent.

        Args:
            timeout: Seconds of silence, whole and from 5 to 10**9, after which it is requested again.

        Raises:
            ValueError: The timeout is too short, too long or not a number, or the device is one of this driver's or
                begins with `*`.
        """
        try:
            seconds = int(timeout)
        except (TypeError, OverflowError) as error:
            raise ValueError(f"the timeout of a snoop must be a number of seconds, not {timeout!r}") from error
        if seconds < MIN_TIMEOUT:
            raise ValueError(f"the timeout of a snoop must be at least {MIN_TIMEOUT} seconds, not {seconds}")
        if seconds > MAX_TIMEOUT:
            raise ValueError(f"the timeout of a snoop must be at most {MAX_TIMEOUT} seconds")
        if not devicename or not vectorname:
            raise ValueError("a snoop needs the names of a device and of a vector")
        self._engine.snoops.watch(*self._foreign(devicename, vectorname), seconds)
        self._engine.ask()

    async def send_getProperties(self, devicename: str | None = None, vectorname: str | None = None) -> None:
        """Ask once for definitions of other drivers, and watch them from then on.

        Args:
            devicename: None: all devices.
            vectorname: None: all vectors of the device.

        Raises:
            ValueError: The device is one of this driver's or begins with `*`, or a name cannot be sent.
            NotRunning: The driver does not run yet.
        """
        device, vector = self._foreign(devicename, vectorname or "") if devicename else ("", "")
        outlet = self._run_state.outlet
        # Recorded before the wait that sending may take: the answer may come meanwhile.
        self._engine.snoops.add(device, vector)
        await outlet.send(GetProperties(device or None, vector or None))

    async def send_message(self, message: str = "", timestamp: datetime | None = None) -> None:
        """Send a human-readable message that is not about one device.

        Raises:
            ValueError: An argument is wrong.
            NotRunning: The driver does not run yet.
        """
        await self._run_state.outlet.send(Message(None, as_text(message), timestamp_string(timestamp)))

    async def send(self, element: ET.Element) -> None:
        """Send any element of INDI, given as an ElementTree element.

        Raises:
            LocalProtocolError: It is not an element of INDI, or cannot be sent.
            NotRunning: The driver does not run yet.
        """
        outlet = self._run_state.outlet
        try:
            framer = Framer(_ANY_SIZE)
            frames = framer.feed(ET.tostring(element, encoding="utf-8", xml_declaration=False))
            if framer.faults or len(frames) != 1:
                raise framer.faults[0] if framer.faults else LocalProtocolError("it is not an element of INDI")
            message = decode(frames[0])
        except (AttributeError, TypeError, RecursionError, ValueError, RemoteProtocolError) as error:
            raise LocalProtocolError(f"<{getattr(element, 'tag', element)}> cannot be sent: {error}") from error
        await outlet.send(message)

    # --- its life ---

    async def asyncrun(self, *, shutdown_grace: float | None = None) -> None:
        """Run the driver over standard input and output, as a server starts it, until the input ends.

        SIGTERM shuts it down too, and so does SIGHUP, which comes when the terminal is closed, unless the program has a
        handler of its own. A second SIGTERM, half a second later or more, ends the process at once, even while a
        blocking call holds up the event loop.

        What the program prints meanwhile goes to standard error, as standard output is the stream to the server.

        Another run continues where this one has stopped reading, even within an element. Commands that have been
        received and not handled end with their run; so does what a TCP socket holds unread.

        Args:
            shutdown_grace: Seconds, instead of the attribute.

        Raises:
            ExceptionGroup: What hardware() or a background raised.
            SystemExit: A coroutine of the driver called sys.exit().
        """
        self._engine.prepare()
        try:
            link = open_stdio()
        except BaseException:
            self._engine.cancel_preparation()
            raise
        with self._shutdown_on_signals(), contextlib.redirect_stdout(Printed()):
            try:
                await self.serve(link, shutdown_grace=shutdown_grace)
            except (BaseExceptionGroup, RuntimeError) as failure:
                program_exit, others = split_exits(failure)
                if program_exit is None:
                    raise
                if others is not None:
                    logger.error("sys.exit() was called, and this failed too:", exc_info=others)
                raise program_exit from None  # the driver is the whole program
            finally:
                Watchdog(logger, _THREADS_NAMED_AFTER).start()

    def run(self) -> None:
        """Run the driver over standard input and output, like :meth:`asyncrun`, but blocking: all that a program needs.

        To serve it yourself, use ``IPyServer(driver).run()`` instead.

        Raises:
            ExceptionGroup: What hardware() or a background raised.
            SystemExit: A coroutine of the driver called sys.exit(); or, with status 130, after Ctrl-C.
            RuntimeError: An event loop is already running.
        """
        refuse_within_loop("await IPyServer(driver).asyncrun()")
        if sys.__stdin__ is not None and os.isatty(0) and sys.stderr is not None:
            sys.stderr.write(
                f"{type(self).__name__} speaks INDI on standard input and output, as a server starts it; "
                "to serve it yourself: IPyServer(driver).run()\n"
            )
        try:
            asyncio.run(self.asyncrun())
        except KeyboardInterrupt:
            raise SystemExit(128 + signal.SIGINT) from None

    def expect_run(self) -> None:
        """Announce a run in this event loop: what is sent until then is kept for it. For servers."""
        self._engine.prepare()

    def expect_no_run(self) -> None:
        """Call off an announced run: what was kept for it is dropped, and `stopped` is set. For servers."""
        self._engine.cancel_preparation()

    async def serve(self, link: Link, *, shutdown_grace: float | None = None) -> None:
        """Run the driver over a link, until it is shut down or the link is closed. For servers and tests.

        Args:
            link: It must not be open yet; it is closed at the end.
            shutdown_grace: Seconds, instead of the attribute.

        Raises:
            ExceptionGroup: What hardware() or a background raised, or that a coroutine called sys.exit().
        """
        for text in slips(self, IPyDriver):
            logger.warning("%s", text, extra=_SLIP)
        await self._engine.serve(link, self.shutdown_grace if shutdown_grace is None else shutdown_grace)

    def shutdown(self) -> None:
        """Set the stop flags, including those of the devices. What has not ended after the grace time is cancelled.

        Before a run, or between two runs, it ends the next one at once. Any thread and any signal handler
        may call it.
        """
        self._run_state.shutdown()

    def _foreign(self, devicename: str, vectorname: str) -> tuple[str, str]:
        """The names of what to watch, as they are sent; ValueError if they cannot be sent, or are this driver's."""
        for name in (devicename, vectorname):
            if not isinstance(name, str):
                raise ValueError(f"a name must be a str, not {type(name).__name__}")
        device, vector = as_text(devicename), as_text(vectorname)
        encode(GetProperties(device, vector))  # a name that cannot be sent raises ValueError here
        if device.startswith("*"):  # servers would send everything, but nothing would reach snoopevent
            raise ValueError(f"{device!r} stands for all devices: to watch them, send_getProperties() without a name")
        if device in self.data:
            raise ValueError(f"{device!r} is a device of this driver itself, which cannot snoop on it")
        return device, vector

    @contextlib.contextmanager
    def _shutdown_on_signals(self) -> Iterator[None]:
        """Let signals shut the driver down, and a second one end the process at once."""
        undo = [on_signal(name, self._engine.shut_down, once=True) for name in ENDING]
        try:
            yield
        finally:
            for each in undo:
                each()


def _check_device(device: object) -> None:
    """Raise TypeError if this is not a device that a driver can hold."""
    if not isinstance(device, Device):
        what = f"of the class {device.__name__}" if isinstance(device, type) else f"of a {type(device).__name__}"
        hint = f": write {device.__name__}(...)" if isinstance(device, type) and issubclass(device, Device) else ""
        raise TypeError(f"a driver is made of devices, IPyDriver(device, another, ...), not {what}{hint}")
    if not hasattr(device, "devicename"):
        kind = type(device).__name__
        raise TypeError(f"a {kind} is not a device yet: its __init__() does not call super().__init__()")
