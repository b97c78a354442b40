"""Imports the names of a package when they are used, so that a command that needs few of them starts quickly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

__all__ = ["lazily"]


def lazily(
    package: dict[str, Any], modules: Mapping[str, str], submodules: str
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The functions ``__getattr__`` and ``__dir__`` of a package.

    Args:
        package: Its ``globals()``.
        modules: The module of each name: names separated by spaces, by module.
        submodules: Modules that can be used without importing them, in the same form.
    """
    where = {name: module for module, names in modules.items() for name in names.split()}
    own = frozenset(submodules.split())
    this = package["__name__"]

    def find(name: str) -> Any:
        if name in own:
            return import_module(f".{name}", this)
        if name not in where:
            raise AttributeError(f"module {this!r} has no attribute {name!r}")
        value = package[name] = getattr(import_module(where[name], this), name)
        return value

    return find, lambda: sorted({*package, *package["__all__"]})
