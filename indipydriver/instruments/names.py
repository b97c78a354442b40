"""What the attributes of an author's class may be called, and which coroutine handles a property there."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from numbers import Real
from types import FunctionType
from typing import Any, Final

from ..device import Device
from ..errors import DefinitionError
from .declared import Declared

__all__ = [
    "HIDES_METHOD",
    "PrivateNames",
    "check_attributes",
    "handlers_of",
    "hides_method",
    "methods_of",
    "where_async_is_missing",
]

_PACKAGE: Final = f"{__name__.partition('.')[0]}."
_INSTRUMENTS: Final = f"{__name__.rpartition('.')[0]}."
_OF_EVERY_DEVICE: Final = frozenset(vars(Device("any", ()))) | {"settings"}
"""Attributes that a device has, and its class has not."""
HIDES_METHOD: Final = "would hide a method that every such device has: choose another name"
_HIDES_VALUE: Final = "is a method, and would hide a value that every such device has: choose another name"


_PUT_THERE: Final = frozenset({"_abc_impl", "_declarations", "_indi_handlers", "_indi_methods", "_indi_private"})
"""What is put into the classes of authors."""

logger = logging.getLogger("indipydriver.instruments")


class PrivateNames:
    """The private attributes of a class of devices: those of the author's classes, and those of this package.

    An attribute that both use breaks one of them without a visible reason, so it is logged once.

    Args:
        kind: The class.
    """

    def __init__(self, kind: type[Any]) -> None:
        self._kind = kind.__name__
        self._own = _private(kind, ours=False)
        self._ours = _private(kind, ours=True)
        self._told: set[str] = set()
        self._clashes = self._own & self._ours  # to be told when a device is made

    def check(self, owners: dict[str, bool], attribute: str) -> None:
        """An attribute is being assigned: called by __setattr__().

        Args:
            owners: Who has assigned each private attribute first: True for this package.
            attribute: The attribute.
        """
        if self._clashes:
            self._tell(self._clashes)
            self._clashes = frozenset()
        here = inspect.currentframe()
        frame = here and here.f_back
        while frame is not None and frame.f_code.co_name == "__setattr__":  # ours, and perhaps the author's
            frame = frame.f_back
        is_ours = frame is not None and str(frame.f_globals.get("__name__")).startswith(_PACKAGE)
        is_taken = attribute in (self._own if is_ours else self._ours)
        if is_taken or owners.setdefault(attribute, is_ours) != is_ours:
            self._tell({attribute})

    def _tell(self, names: Iterable[str]) -> None:
        for name in sorted(set(names) - self._told):
            self._told.add(name)
            logger.warning("%s.%s replaces what every such device needs by this name: choose another", self._kind, name)


def _private(kind: type[Any], *, ours: bool) -> frozenset[str]:
    """The private names in the author's classes, or in ours."""
    found = {name for each in kind.__mro__ if _is_ours(each) is ours for name in vars(each)}
    return frozenset(name for name in found - _PUT_THERE if name.startswith("_") and not name.startswith("__"))


def methods_of(kind: type[Any]) -> frozenset[str]:
    """The methods that a class of devices has from this package.

    Raises:
        DefinitionError: A class of the author's has one of its own with the name of one that is not to be overridden.
    """
    methods = frozenset(
        name
        for each in kind.__mro__
        if _is_ours(each)
        for name, value in vars(each).items()
        if isinstance(value, FunctionType) and not name.startswith("__")
    )
    for each in kind.__mro__:
        taken = methods.intersection(name for name in vars(each) if name.startswith("_"))
        if taken and not _is_ours(each):
            raise DefinitionError(f"{each.__name__}.{min(taken)} {HIDES_METHOD}")
    return methods


def _is_ours(kind: type[Any]) -> bool:
    return str(kind.__module__).startswith(_PACKAGE)  # that of an odd class may be anything


def hides_method(methods: Collection[str], attribute: str, value: object) -> bool:
    """Whether it would replace a method, such as error() or abort(), that is needed later."""
    return attribute in methods and not (callable(value) or isinstance(value, (Declared, classmethod)))


def check_attributes(kind: type[Any], declarations: Mapping[str, Declared[Any]], base: type[Any]) -> None:
    """Raise DefinitionError, if a class hides what the device needs itself; TypeError for a value of the wrong kind.

    Args:
        kind: The class of the device.
        declarations: Its properties, by attribute.
        base: The class of all such devices.
    """
    _check_values(kind)
    for attribute in declarations:
        owner = "device" if attribute in _OF_EVERY_DEVICE else ""
        for each in kind.__mro__:
            is_ours = each in base.__mro__ or _is_ours(each)
            if is_ours and not isinstance(vars(each).get(attribute, declarations[attribute]), Declared):
                owner = "device" if each in base.__mro__ else each.__name__
        if owner:
            raise DefinitionError(
                f"{kind.__name__}.{attribute} would hide what every {owner} has: "
                f"choose another attribute, with name={attribute.upper()!r} if clients are to see that name"
            )
    for attribute, value in vars(kind).items():
        if isinstance(value, type) and issubclass(value, Declared) and _is_ours(value):
            raise TypeError(f"{kind.__name__}.{attribute} is the class {value.__name__}: write {value.__name__}(...)")
        lost = [one for one in Declared.handled_by(value) if not one.attribute]
        if lost:
            raise DefinitionError(
                f"{kind.__name__}.{attribute} handles a property that its name has replaced: "
                "a handler needs a name of its own"
            )


def _check_values(kind: type[Any]) -> None:
    """Raise an error for a method where a value belongs, or for anything but the tuple or number that belongs there."""
    ours = [each for each in kind.__mro__ if str(each.__module__).startswith(_INSTRUMENTS)]
    for name, value in vars(kind).items():
        found = [vars(each)[name] for each in ours if name in vars(each)]
        if name.startswith("__") or value is None or not (found or name in _OF_EVERY_DEVICE):
            continue
        default = found[0] if found else None
        if isinstance(value, FunctionType):
            if not (callable(default) or isinstance(default, (classmethod, staticmethod))):
                raise DefinitionError(f"{kind.__name__}.{name} {_HIDES_VALUE}")
        elif hasattr(type(value), "__get__"):  # a property, perhaps
            continue
        elif isinstance(default, tuple) and (isinstance(value, (str, bytes)) or not isinstance(value, Iterable)):
            raise TypeError(f"{kind.__name__}.{name} must be a tuple, (one, another) or (one,), not {value!r:.80}")
        elif isinstance(default, (int, float)) and not isinstance(value, Real):
            raise TypeError(f"{kind.__name__}.{name} must be a number, not {value!r:.80}")


def where_async_is_missing(kind: type[Any], error: BaseException) -> str:
    """A hint at the author's methods without `async` in the place of coroutines, if something could not be awaited."""
    if not isinstance(error, TypeError) or not any(word in str(error) for word in ("await", "coroutine")):
        return ""
    found = [
        f"{each.__name__}.{name}"
        for each in kind.__mro__
        if not _is_ours(each)
        for name, value in vars(each).items()
        if isinstance(value, FunctionType)
        and not inspect.iscoroutinefunction(value)
        and f"{each.__name__}.{name}:" not in str(error)  # which says it already
        and any(_is_ours(base) and inspect.iscoroutinefunction(vars(base).get(name)) for base in kind.__mro__)
    ]
    return f" (is `async` missing at {', '.join(found)}?)" if found else ""


def handlers_of(kind: type[Any], declarations: Mapping[str, Declared[Any]]) -> dict[str, Callable[..., Any]]:
    """The handler of each property: the declared coroutine, or what a derived class has in its place.

    Raises:
        TypeError: What is in its place is not a coroutine function.
    """
    declared = {one.handler for one in declarations.values()}
    return {
        attribute: _overridden(kind, one.handler, declared)
        for attribute, one in declarations.items()
        if one.handler is not None
    }


def _overridden(kind: type[Any], handler: Callable[..., Any], declared: set[Any]) -> Callable[..., Any]:
    name = getattr(handler, "__name__", "")  # a partial has none
    found: Callable[..., Any] | None = None
    for each in kind.__mro__:
        own = vars(each).get(name)
        if own is handler:
            return found or handler
        if found is None and isinstance(own, FunctionType) and own not in declared:
            if not (inspect.iscoroutinefunction(own) or hasattr(own, "__wrapped__")):
                raise TypeError(f"{each.__name__}.{name} handles a property: write async def")
            found = own
    return handler
