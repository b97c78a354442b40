"""Mistakes in a driver's class that would go unnoticed: a handler that nobody calls, or that cannot be called."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import FunctionType
from typing import Final

from ..propertymembers import NumberMember, getfloat
from ..protocol.tags import Permission, SwitchRule
from .served import Driver

__all__ = ["slips"]

_WHOLE: Final = ("d", "i", "u", "o", "x", "X")  # conversions of whole numbers
_HANDLERS: Final = ("rxevent", "hardware", "snoopevent")


def slips(driver: Driver, base: type) -> list[str]:
    """What is probably wrong with a driver, one sentence each.

    Args:
        driver: The driver, which is about to run.
        base: The class whose handlers do nothing.
    """
    return [
        *_misspelt(type(driver), base),
        *_forgotten_async(driver),
        *_devices_forgotten_async(driver),
        *_without_rxevent(driver, base),
        *_odd_numbers(driver),
        *_broken_rules(driver),
        *_own_run(driver, base),
    ]


def _own_classes(kind: type, base: type) -> Iterator[type]:
    """The author's classes."""
    for each in kind.__mro__:
        if each is base:
            return
        yield each


def _misspelt(kind: type, base: type) -> Iterator[str]:
    for each in _own_classes(kind, base):
        for name, value in vars(each).items():
            meant = name.lower().replace("_", "")
            if meant in _HANDLERS and name != meant and isinstance(value, FunctionType):
                yield f"{each.__name__}.{name} is never called: the name of the handler is {meant}"


def _forgotten_async(driver: Driver) -> Iterator[str]:
    for name in _HANDLERS:
        function = getattr(getattr(driver, name), "__func__", None)
        if (
            isinstance(function, FunctionType)
            and not inspect.iscoroutinefunction(function)
            and not hasattr(function, "__wrapped__")
            and function.__name__ == name
        ):
            yield _plain(type(driver), name, function)


def _devices_forgotten_async(driver: Driver) -> Iterator[str]:
    """Methods of devices, and of the parts of one, that override a coroutine and are none."""
    kinds: dict[type, None] = {}
    for device in driver.data.values():
        parts = getattr(type(device), "parts", ())  # an instrument's; another device's may be anything
        parts = parts if isinstance(parts, (tuple, list)) else ()
        kinds |= dict.fromkeys(kind for kind in (type(device), *parts) if isinstance(kind, type))
    for kind in kinds:
        coroutines = {
            name for each in kind.__mro__ for name, value in vars(each).items() if inspect.iscoroutinefunction(value)
        }
        for name in sorted(coroutines):
            function = getattr(kind, name)
            if (
                isinstance(function, FunctionType)
                and not inspect.iscoroutinefunction(function)
                and not hasattr(function, "__wrapped__")
                and function.__name__ == name
            ):
                yield _plain(kind, name, function)


def _plain(kind: type, name: str, function: FunctionType) -> str:
    code = function.__code__
    where = f"{code.co_filename}:{code.co_firstlineno}"
    return f"{kind.__name__}.{name} must be a coroutine: write async def {name} ({where})"


def _without_rxevent(driver: Driver, base: type) -> Iterator[str]:
    handler = getattr(driver.rxevent, "__func__", driver.rxevent)
    if handler is not vars(base)["rxevent"]:
        return
    names = [
        f"{device.devicename}.{vector.name}"
        for device in driver.data.values()
        for vector in device.data.values()
        if vector.perm != Permission.READ_ONLY
    ]
    if names:
        several = f" and {len(names) - 1} more" if len(names) > 1 else ""
        yield (
            f"clients may set {names[0]}{several}, but {type(driver).__name__} has no rxevent, "
            "so their commands are not answered"
        )


def _odd_numbers(driver: Driver) -> Iterator[str]:
    for device in driver.data.values():
        for vector in device.data.values():
            for member in vector.data.values():
                if isinstance(member, NumberMember):
                    where = f"{device.devicename}.{vector.name}.{member.name}"
                    if member.format[-1:] in _WHOLE:
                        yield f"{where}: clients show a number of C's type double, so use %.0f, not {member.format}"
                    if getfloat(member.min) > getfloat(member.max):
                        yield f"{where}: min {member.min} is above max {member.max}, so any number is accepted"


def _broken_rules(driver: Driver) -> Iterator[str]:
    for device in driver.data.values():
        for vector in device.data.values():
            rule = getattr(vector, "rule", SwitchRule.ANY_OF_MANY)
            if rule == SwitchRule.ANY_OF_MANY:
                continue
            on = [name for name, member in vector.data.items() if member.membervalue == "On"]
            if len(on) > 1:
                yield f"{', '.join(on)} of {device.devicename}.{vector.name} are On, but its rule is {rule}"


def _own_run(driver: Driver, base: type) -> Iterator[str]:
    if getattr(type(driver), "asyncrun", None) is not vars(base)["asyncrun"]:
        yield f"{type(driver).__name__}.asyncrun is not called by a server: put what it does into hardware()"
