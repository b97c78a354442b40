"""Devices: what a driver offers, each a mapping of vectors."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Coroutine, Iterable
from datetime import datetime
from typing import Any, TypeAlias

from .errors import DefinitionError, LocalProtocolError, NotRunning
from .fixed import FixedMapping
from .propertymembers import as_text, check_name, getfloat
from .propertyvectors import BLOBVector, PropertyVector, timestamp_string
from .protocol.encode import encode
from .protocol.messages import DelProperty, Message
from .shapes import DriverLike, Sender
from .transport.outlet import Outlet

__all__ = ["Device", "check_coroutine", "take_all"]

_StartBackground: TypeAlias = Callable[[Coroutine[Any, Any, Any], str, list[Coroutine[Any, Any, Any]]], None]


def check_coroutine(coro: object) -> Coroutine[Any, Any, Any]:
    """A coroutine object; TypeError for anything else, such as the function that makes one."""
    if inspect.iscoroutine(coro):
        return coro
    hint = ": call it, so that there is one" if inspect.iscoroutinefunction(coro) else ""
    raise TypeError(f"a background must be a coroutine object, not {type(coro).__name__}{hint}")


def take_all(waiting: list[Coroutine[Any, Any, Any]]) -> list[Coroutine[Any, Any, Any]]:
    """Take everything out of a list; what another thread appends meanwhile stays in it."""
    taken = waiting[:]
    del waiting[: len(taken)]
    return taken


class Device(FixedMapping[PropertyVector]):
    """A device: a mapping of vector names to vectors.

    Args:
        devicename: Printable ASCII, unique among all drivers of a server.
        properties: The vectors.
        devicedata: Anything else to keep with the device.

    Attributes:
        devicename: As given.
        devicedata: The other arguments, as a dict.
        enable: While False, nothing is sent and commands are ignored.
        driver: None until it is in an IPyDriver.

    Raises:
        DefinitionError: The name is blank, too long or not printable ASCII, two vectors have the same name, or a vector
            cannot be defined or is in another device.
    """

    indi_number_to_float = staticmethod(getfloat)

    def __init__(self, devicename: str, properties: Iterable[PropertyVector], **devicedata: Any) -> None:
        super().__init__()
        self.devicename = check_name("device", devicename)
        self.devicedata = devicedata
        self.enable = True
        self.driver: DriverLike[PropertyVector] | None = None
        self._sends_to: Sender | None = None
        self._stop = False
        self._backgrounds: list[Coroutine[Any, Any, Any]] = []  # until the driver runs
        self._start_background: _StartBackground | None = None
        if isinstance(properties, PropertyVector):
            raise TypeError(f"the vectors of {self.devicename!r} must be in a list: [{properties.name}]")
        for vector in properties:
            if not isinstance(vector, PropertyVector):
                kind = type(vector).__name__
                raise TypeError(f"the vectors of {self.devicename!r} must be property vectors, not {kind}")
            if vector.name in self.data:
                raise DefinitionError(f"two vectors of {self.devicename!r} are named {vector.name!r}")
            if vector.devicename not in (None, self.devicename):
                raise DefinitionError(f"the vector {vector.name!r} is already in the device {vector.devicename!r}")
            self.data[vector.name] = vector
        before = [vector.devicename for vector in self.data.values()]
        for vector in self.data.values():
            vector.devicename = self.devicename
            try:
                vector.check_definition()
            except LocalProtocolError as error:
                for each, name in zip(self.data.values(), before, strict=True):
                    each.devicename = name
                raise DefinitionError(f"the vector {vector.name!r} cannot be defined: {error}") from None

    @property
    def stop(self) -> bool:
        """True when the device must end; the driver's loops test it."""
        return self._stop

    def _whose(self) -> str:
        return f"the vectors of {self.devicename!r}"

    def properties(self) -> list[PropertyVector]:
        """The vectors."""
        return list(self.data.values())

    def add_background(self, coro: Coroutine[Any, Any, Any]) -> None:
        """Run a coroutine while the driver runs; if it fails, the driver ends. Any thread may call this.

        Raises:
            TypeError: It is not a coroutine object.
        """
        coro = check_coroutine(coro)
        if self._start_background is None:
            self._backgrounds.append(coro)
        else:
            self._start_background(coro, f"a background of {self.devicename}", self._backgrounds)

    def shutdown(self) -> None:
        """Raise the stop flag."""
        self._stop = True

    async def send_device_message(self, message: str = "", timestamp: datetime | None = None) -> None:
        """Send a human-readable message about this device. Nothing is sent while it is disabled.

        Raises:
            ValueError: An argument is wrong.
            NotRunning: The driver does not run yet.
        """
        time = timestamp_string(timestamp)
        outlet = self._outlet()
        if self.enable:
            outlet.emit(encode(Message(self.devicename, as_text(message), time)))
        await outlet.pace()

    async def send_delProperty(self, message: str = "", timestamp: datetime | None = None) -> None:
        """Delete the whole device at the clients and disable it. This is sent even if it is disabled already.

        Raises:
            ValueError: An argument is wrong; nothing has been changed or sent.
            NotRunning: The driver does not run yet.
        """
        deletion = encode(DelProperty(self.devicename, None, timestamp_string(timestamp), as_text(message)))
        outlet = self._outlet()
        async with contextlib.AsyncExitStack() as turns:
            for vector in self.data.values():
                if isinstance(vector, BLOBVector):  # sends that are still being encoded go out first
                    await turns.enter_async_context(outlet.turn(vector))
            with outlet.in_order:
                self.enable = False
                outlet.emit(deletion)
        await outlet.pace()

    async def devhardware(self, *args: Any, **kwargs: Any) -> None:
        """For the driver's own use: to be overridden, and called from its hardware()."""

    async def devrxevent(self, event: Any, *args: Any, **kwargs: Any) -> None:
        """For the driver's own use: to be overridden, and called from its rxevent()."""

    async def devsnoopevent(self, event: Any, *args: Any, **kwargs: Any) -> None:
        """For the driver's own use: to be overridden, and called from its snoopevent()."""

    def _outlet(self) -> Outlet:
        if self._sends_to is None:
            raise NotRunning(f"the device {self.devicename!r} does not belong to a driver, so it cannot send anything")
        return self._sends_to.outlet

    # --- called by the driver ---

    def join_driver(self, driver: DriverLike[PropertyVector], sender: Sender, start: _StartBackground) -> None:
        """Told that the device is now in a driver.

        Args:
            driver: The driver.
            sender: Where to send.
            start: Starts a named background, or adds it to those that wait for the driver to run.
        """
        self.driver, self._sends_to, self._start_background = driver, sender, start

    def set_stop_flag(self, stop: bool) -> None:
        """Set the stop flag for a new run."""
        self._stop = stop

    def take_backgrounds(self) -> list[Coroutine[Any, Any, Any]]:
        """Hand over the backgrounds that wait for the driver to run."""
        return take_all(self._backgrounds)
