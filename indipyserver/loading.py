"""Imports the Python code that a specification names, and has it make its drivers."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import logging
import os
import sys
import sysconfig
import traceback
from collections.abc import Iterable, Mapping
from types import FunctionType, ModuleType, TracebackType
from typing import Any, Final

from .spec import PythonSpec

__all__ = ["function_of", "load_drivers", "place_of"]

logger = logging.getLogger("indipyserver.cli")


def load_drivers(spec: PythonSpec, folder: str = "") -> list[Any]:
    """Import some Python code and have it make its drivers.

    Args:
        spec: Names the code.
        folder: Where files and modules are looked up; "": in the current folder.

    Raises:
        ImportError: There is no such code, it failed, or what it returned are not drivers. The text says what was
            meant, with file and line.
    """
    is_loaded = False
    try:
        made = _import(spec.source, folder)
        is_loaded = True
        made = _attribute(made, spec)
        if not _is_driver(made):
            made = made()
        if not _is_driver(made):
            _check_returned(made, spec.attribute)
        drivers = [made] if _is_driver(made) else list(made)
    except (Exception, SystemExit) as error:
        is_theirs = isinstance(error, SyntaxError) or place_of(traceback.extract_tb(error.__traceback__)) is not None
        if is_theirs and logging.getLogger("indipyserver").isEnabledFor(logging.INFO):  # with -v
            logger.info("%s", spec.text, exc_info=True)
        what = _explained(error, is_loaded, spec)
        _close_coroutines(error.__traceback__)
        raise ImportError(f"{spec.text!r} does not provide a driver: {what}") from error
    for driver in drivers:
        if not _is_driver(driver):
            raise ImportError(f"{spec.text!r} returned {_instead(driver)}")
    if not drivers:
        raise ImportError(f"{spec.text!r} returned no driver")
    return drivers


class _Slip(Exception):
    """A description of what was meant."""


def _attribute(module: Any, spec: PythonSpec) -> Any:
    """The object that the specification names."""
    found = module
    for name in spec.attribute.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            own = [
                each
                for each, value in vars(module).items()
                if isinstance(value, FunctionType) and value.__module__ == module.__name__ and not each.startswith("_")
            ]
            hint = f"; it has {', '.join(own[:8])}" if own else ""
            raise _Slip(f"there is no {spec.attribute!r} in {spec.source}{hint}") from None
    return found


def _check_returned(made: object, name: str) -> None:
    """Raise _Slip if these cannot be drivers."""
    if made is None:
        raise _Slip(f"{name}() returned None: is a `return` missing?")
    if inspect.iscoroutine(made):
        made.close()
        raise _Slip(f"{name} is a coroutine: write `def {name}()`, without async")
    are_several = isinstance(made, Iterable) and not isinstance(made, (str, bytes, Mapping))
    if hasattr(made, "devicename") or hasattr(made, "serve") or not are_several:
        raise _Slip(f"{name}() returned {_instead(made)}")


def _instead(thing: Any) -> str:
    """What was returned instead of a driver, in words."""
    if hasattr(thing, "devicename"):
        return f"the device {thing.devicename!r} without a driver: put it into one, as InstrumentDriver(device)"
    if isinstance(thing, type):
        return f"a class: write {thing.__name__}(...)"
    if hasattr(thing, "serve"):
        return f"a {type(thing).__name__} that is not a driver yet: its __init__() does not call super().__init__()"
    return f"something that is not an IPyDriver: {thing!r:.200}"


def _explained(error: BaseException, is_loaded: bool, spec: PythonSpec) -> str:
    """What has gone wrong, and in which line of the author's code."""
    if isinstance(error, _Slip):
        return str(error)
    place = place_of(traceback.extract_tb(error.__traceback__))
    if isinstance(error, FileNotFoundError) and place is None and spec.source.endswith(".py"):
        return f"there is no file {spec.source}"
    if isinstance(error, SyntaxError) and error.filename:
        return f"{os.path.basename(error.filename)}:{error.lineno}: {type(error).__name__}: {error.msg}"
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    text = "; ".join([text, *getattr(error, "__notes__", ())])
    if place is not None:
        text = f"{place}: {text}"
    if not is_loaded and isinstance(error, RuntimeError) and "event loop" in str(error):
        text += '; it serves when it is imported: put that below `if __name__ == "__main__":`'
    return text


def place_of(steps: traceback.StackSummary) -> str | None:
    """File, line, function and source of the last step in the author's code, if there was one."""
    last = _last_step(steps)
    if last is None:
        return None
    where = "" if last.name == "<module>" else f" in {last.name}"
    return f"{os.path.basename(last.filename)}:{last.lineno}{where}: {(last.line or '').removesuffix(':')}"


def function_of(steps: traceback.StackSummary) -> str | None:
    """The author's function in which the last step was, by its file and name."""
    last = _last_step(steps)
    return None if last is None else f"{last.filename}:{last.name}"


def _last_step(steps: traceback.StackSummary) -> traceback.FrameSummary | None:
    for step in reversed(steps):
        if not step.filename.startswith("<") and not os.path.abspath(step.filename).startswith(_LIBRARIES):
            return step
    return None


_HERE: Final = os.path.dirname(os.path.abspath(__file__))
_LIBRARIES: Final = (
    os.path.join(_HERE, ""),
    os.path.join(os.path.dirname(_HERE), "indipydriver", ""),
    *{os.path.join(sysconfig.get_path(name), "") for name in ("stdlib", "platstdlib", "purelib", "platlib")},
)


def _close_coroutines(trace: TracebackType | None) -> None:
    """Close coroutines that were never started, so that Python does not warn about them too."""
    while trace is not None:
        for value in trace.tb_frame.f_locals.values():
            if inspect.iscoroutine(value) and inspect.getcoroutinestate(value) == inspect.CORO_CREATED:
                value.close()
        trace = trace.tb_next


def _is_driver(thing: object) -> bool:
    return not isinstance(thing, type) and hasattr(thing, "data") and hasattr(thing, "serve")


def _import(source: str, folder: str) -> Any:
    if not source.endswith(".py"):
        _search(folder or os.getcwd())  # as python -m does
        return importlib.import_module(source)
    path = os.path.realpath(os.path.join(folder, source), strict=True)
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
