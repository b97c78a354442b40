"""Python code that a specification names: imported, and asked for its drivers."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import sys
from collections.abc import Iterable
from types import ModuleType
from typing import Any

from .spec import PythonSpec

__all__ = ["load_drivers"]

logger = logging.getLogger("indipyserver.cli")


def load_drivers(spec: PythonSpec) -> list[Any]:
    """Import some Python code and have it make its drivers.

    Raises:
        ImportError: There is no such code, it failed, or what it returned are not drivers.
    """
    try:
        made = _import(spec.source)
        for name in spec.attribute.split("."):
            made = getattr(made, name)
        if not _is_driver(made):
            made = made()
        drivers = [made] if _is_driver(made) else list(made)
    except (Exception, SystemExit) as error:
        logger.debug("%s", spec.text, exc_info=True)
        raise ImportError(f"{spec.text!r} does not provide a driver: {type(error).__name__}: {error}") from error
    for driver in drivers:
        if not _is_driver(driver):
            raise ImportError(f"{spec.text!r} returned something that is not an IPyDriver: {driver!r}")
    if not drivers:
        raise ImportError(f"{spec.text!r} returned no driver")
    return drivers


def _is_driver(thing: object) -> bool:
    return not isinstance(thing, type) and hasattr(thing, "data") and hasattr(thing, "serve")


def _import(source: str) -> Any:
    if not source.endswith(".py"):
        _search(os.getcwd())  # as python -m does
        return importlib.import_module(source)
    path = os.path.realpath(source, strict=True)
    for module in list(sys.modules.values()):
        if getattr(module, "__file__", None) == path and module.__name__ != "__main__":
            return module
    _search(os.path.dirname(path))  # as python does with a script
    return _import_file(path, _free_name(os.path.basename(path).removesuffix(".py"), sys.modules))


def _search(directory: str) -> None:
    if directory not in sys.path:
        sys.path.insert(0, directory)


def _free_name(stem: str, taken: Iterable[str]) -> str:
    name, number = stem, 1
    while name in taken or name in sys.stdlib_module_names:
        number += 1
        name = f"{stem}_{number}"
    return name


def _import_file(path: str, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
