"""Mistakes in a driver's class that would go unnoticed, such as a handler that is never called or cannot be."""

from __future__ import annotations

import inspect
from collections import UserDict
from collections.abc import Iterator
from functools import cache
from types import FunctionType
from typing import Final

from ..device import Device
from ..propertymembers import NumberMember, getfloat
from ..protocol.tags import Permission, SwitchRule
from .served import Driver

__all__ = ["slips", "taken_names"]

_WHOLE: Final = ("d", "i", "u", "o", "x", "X")  # conversions of whole numbers
_HANDLERS: Final = ("rxevent", "hardware", "snoopevent")
_OURS: Final = __name__.partition(".")[0]
# What a class may define: it has the same meaning in the packages of PyPI (2.x and 3.x), or only the author uses it.
_FREE: Final = frozenset(
    (
        "_stop add_background asyncrun devices hardware indi_number_to_float run rxevent send send_getProperties "
        "send_message shutdown snoop snoopall snoopdevices snoopevent snoopvectors stop "
        "devhardware devrxevent devsnoopevent properties send_delProperty send_device_message"
    ).split()
)


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
        *_devices_misspelt(driver),
        *_without_rxevent(driver, base),
        *_odd_numbers(driver),
        *_broken_rules(driver),
        *_own_run(driver, base),
    ]


def taken_names(driver: Driver, base: type) -> Iterator[str]:
    """Names that the driver and its devices need, but that the author uses for something else; one sentence each.

    Args:
        driver: The driver, which has its devices.
        base: The class of which it is a subclass.
    """
    told: set[tuple[type, str]] = set()
    for what, its_base in ((driver, base), *((device, Device) for device in driver.data.values())):
        needed = _needed(its_base)
        classes = [each for each in _own_classes(type(what), its_base) if not _is_ours(each)]
        for kind, names in (*((each, vars(each)) for each in classes), (type(what), vars(what))):
            for name in sorted(needed & names.keys()):
                if (kind, name) not in told and not _takes_over(name, names[name], kind):
                    told.add((kind, name))
                    yield f"{kind.__name__}.{name} replaces what {its_base.__name__} needs by this name: choose another"


def _is_ours(kind: type) -> bool:
    return str(kind.__module__).partition(".")[0] == _OURS


@cache
def _needed(base: type) -> frozenset[str]:
    """The names of a base class that it calls, or is called by."""
    names = {name for each in base.__mro__ if _is_ours(each) for name in vars(each)}
    return frozenset(name for name in names if not name.startswith("__")) - _FREE - set(dir(UserDict))


def _takes_over(name: str, value: object, kind: type) -> bool:
    """Whether it is meant to replace ours: it calls ours, or is a number in place of a number."""
    while isinstance(value, FunctionType) and isinstance(inner := vars(value).get("__wrapped__"), FunctionType):
        value = inner  # what is decorated
    if isinstance(value, FunctionType):
        used = {*value.__code__.co_names, *value.__code__.co_freevars}
        return name in used and ("super" in used or any(each.__name__ in used for each in kind.__mro__))
    return name == "shutdown_grace" and isinstance(value, (int, float, property))


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
    """Methods of devices and their parts that override a coroutine but are not coroutines."""
    for kind in _kinds_of_devices(driver):
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


def _devices_misspelt(driver: Driver) -> Iterator[str]:
    """Coroutines of instruments that nothing calls, with nearly the name of a method that could be overridden."""
    for kind in _kinds_of_devices(driver):
        optional = {name for name in dir(kind) if hasattr(getattr(kind, name, None), "_indi_optional")}
        if not optional:
            continue
        import difflib  # which other drivers do not need

        own = [each for each in kind.__mro__ if not _is_ours(each) and each is not object]
        functions = {name: value for each in own for name, value in vars(each).items() if inspect.isfunction(value)}
        used = {name for function in functions.values() for name in function.__code__.co_names}
        for name, function in functions.items():
            if name.startswith("_") or name in used or not inspect.iscoroutinefunction(function):
                continue
            if not any(hasattr(each, name) for each in kind.__mro__ if _is_ours(each)):
                for meant in difflib.get_close_matches(name, optional, 1, 0.9):
                    yield f"{kind.__name__}.{name} is never called: is {meant} meant?"


def _kinds_of_devices(driver: Driver) -> dict[type, None]:
    """The classes of its devices and their parts."""
    kinds: dict[type, None] = {}
    for device in driver.data.values():
        parts = getattr(type(device), "parts", ())  # of an instrument; those of other devices may be anything
        parts = parts if isinstance(parts, (tuple, list)) else ()
        kinds |= dict.fromkeys(kind for kind in (type(device), *parts) if isinstance(kind, type))
    return kinds


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
