"""Devices: what a driver offers, each a mapping of vectors."""

from __future__ import annotations

import inspect
from collections import UserDict
from collections.abc import Coroutine, Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any, NoReturn

from .errors import DefinitionError
from .propertymembers import check_name, getfloat
from .propertyvectors import PropertyVector, timestamp_string
from .protocol.messages import DelProperty, Message
from .sending import NotRunning, Outlet

if TYPE_CHECKING:
    from .ipydriver import IPyDriver

__all__ = ["Device", "check_coroutine"]


def check_coroutine(coro: object) -> Coroutine[Any, Any, Any]:
    """A coroutine object; TypeError for anything else, such as the function that makes one."""
    if inspect.iscoroutine(coro):
        return coro
    hint = ": call it, so that there is one" if inspect.iscoroutinefunction(coro) else ""
    raise TypeError(f"a background is a coroutine object, not {type(coro).__name__}{hint}")


class Device(UserDict[str, PropertyVector]):
    """A device: a mapping of vector names to vectors.

    Args:
        devicename: Printable ASCII, unique among all drivers of a server.
        properties: The vectors.
        devicedata: Anything else that the driver wants to keep with it.

    Attributes:
        devicename: As given.
        devicedata: The other arguments, as a dict.
        enable: While False, nothing is sent and commands are ignored.
        driver: None until it is in an IPyDriver.

    Raises:
        DefinitionError: The name is empty or not printable ASCII, or two vectors have one name.
    """

    indi_number_to_float = staticmethod(getfloat)

    def __init__(self, devicename: str, properties: Iterable[PropertyVector], **devicedata: Any) -> None:
        super().__init__()
        self.devicename = check_name("device", devicename)
        self.devicedata = devicedata
        self.enable = True
        self.driver: IPyDriver | None = None
        self._stop = False
        self._backgrounds: list[Coroutine[Any, Any, Any]] = []
        for vector in properties:
            if vector.name in self.data:
                raise DefinitionError(f"two vectors of {devicename!r} are named {vector.name!r}")
            vector.devicename = devicename
            self.data[vector.name] = vector

    @property
    def stop(self) -> bool:
        """True when the device is to end; loops of the driver test it."""
        return self._stop

    def __setitem__(self, vectorname: str, vector: PropertyVector) -> NoReturn:
        raise KeyError(f"the vectors of {self.devicename!r} are given when it is made; {vectorname!r} cannot be set")

    def properties(self) -> list[PropertyVector]:
        """The vectors."""
        return list(self.data.values())

    def add_background(self, coro: Coroutine[Any, Any, Any]) -> None:
        """Run a coroutine as long as the driver runs; its failure ends the driver.

        Raises:
            TypeError: It is not a coroutine object.
        """
        coro = check_coroutine(coro)
        if self.driver is None:
            self._backgrounds.append(coro)
        else:
            self.driver._engine.add_background(coro, f"a background of {self.devicename}", self._backgrounds)

    def shutdown(self) -> None:
        """Raise the stop flag."""
        self._stop = True

    async def send_device_message(self, message: str = "", timestamp: datetime | None = None) -> None:
        """Send a text for people, about this device. Nothing is sent while it is disabled.

        Raises:
            ValueError: The timestamp is none.
            NotRunning: The driver does not run yet.
        """
        time = timestamp_string(timestamp)
        outlet = self._outlet()
        if self.enable:
            await outlet.send(Message(self.devicename, str(message), time))

    async def send_delProperty(self, message: str = "", timestamp: datetime | None = None) -> None:
        """Delete the whole device at the clients and disable it. Sent also when it is disabled.

        Raises:
            ValueError: The timestamp is none.
            NotRunning: The driver does not run yet.
        """
        time = timestamp_string(timestamp)
        outlet = self._outlet()
        self.enable = False
        await outlet.send(DelProperty(self.devicename, None, time, str(message)))

    async def devhardware(self, *args: Any, **kwargs: Any) -> None:
        """For the driver's own use: to be overridden, and called from its hardware()."""

    async def devrxevent(self, event: Any, *args: Any, **kwargs: Any) -> None:
        """For the driver's own use: to be overridden, and called from its rxevent()."""

    async def devsnoopevent(self, event: Any, *args: Any, **kwargs: Any) -> None:
        """For the driver's own use: to be overridden, and called from its snoopevent()."""

    def _outlet(self) -> Outlet:
        if self.driver is None:
            raise NotRunning(f"the device {self.devicename!r} is in no driver, so there is nobody to send to")
        return self.driver._engine.outlet
