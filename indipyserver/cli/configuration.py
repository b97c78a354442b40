"""The file of ``--config``: what the command serves and how, as TOML in place of a long command line."""

from __future__ import annotations

import argparse
import os
import tomllib
from functools import partial
from typing import Any, Final, TypeAlias

from ..spec import PROGRAM_OPTIONS, ProgramSpec, Spec, located, parse_spec

__all__ = ["read_configuration"]

Driver: TypeAlias = tuple[Spec, dict[str, str]]
"""A driver and its options, by the names of the arguments of :meth:`.Services.start`."""

_NOT_HERE: Final = frozenset(
    "help version drivers config reload new register unregister label group system check json timeout act".split()
)
"""Options of other uses of the command, and those that are only for the command line."""
_PATHS: Final = frozenset("tls_cert tls_key tls_client_ca tls_ca fifo log_dir control".split())
_REPEATED: Final = frozenset(("host", "listen"))
_DRIVER_KEYS: Final = ("run", *PROGRAM_OPTIONS)
_LARGEST_CONFIGURATION: Final = 1 << 20
"""Bytes of a file: a thousand drivers with all their options take a tenth of it."""


def read_configuration(
    path: str, parser: argparse.ArgumentParser, given: argparse.Namespace
) -> tuple[list[str], list[Driver]]:
    """Read a configuration file.

    Its keys are the long options without their hyphens, and ``drivers`` and ``[[driver]]``.  Paths are relative to the
    folder of the file.

    Args:
        path: Where it is.
        parser: Knows the options, and checks their values.
        given: The options of the command line, which take precedence over the file.

    Returns:
        The arguments that say the same, and the drivers with their options.

    Raises:
        ValueError: It cannot be read, or its content is wrong; the text names file and key.
    """
    try:
        with open(path, "rb") as file:
            text = file.read(_LARGEST_CONFIGURATION + 1)
        if len(text) > _LARGEST_CONFIGURATION:
            raise ValueError(f"it has more than {_LARGEST_CONFIGURATION >> 20} MiB")
        content = tomllib.loads(text.decode("utf-8-sig"))
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # from TOML, or from UTF-8
        raise ValueError(f"{path}: {error}") from None
    folder = os.path.dirname(os.path.abspath(path))
    actions = {
        flag[2:]: action
        for action in parser._actions  # noqa: SLF001  # argparse has no other way to them
        for flag in action.option_strings
        if flag.startswith("--") and action.dest not in _NOT_HERE
    }
    arguments: list[str] = []
    drivers: list[Driver] = []
    for key, value in content.items():
        try:
            if key == "drivers":
                drivers += [_driver({"run": each}, folder) for each in _list(value, "driver")]
            elif key == "driver":
                drivers += [_driver(each, folder) for each in _list(value, "[[driver]]")]
            elif key in actions:
                action = actions[key]
                if getattr(given, action.dest) == parser.get_default(action.dest):
                    words = _arguments(action, value, folder)
                    _check(parser, words)
                    arguments += words
            else:
                raise ValueError(f"there is no such key; there are drivers, driver, {', '.join(sorted(actions))}")
        except ValueError as error:
            raise ValueError(f"{path}: {key}: {error}") from None
    return arguments, drivers


def _list(value: object, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"this must be a list of {what}s")
    return value


def _arguments(action: argparse.Action, value: object, folder: str) -> list[str]:
    """The command line arguments that give an option this value."""
    flag = action.option_strings[-1]
    if action.nargs == 0:
        most = 3 if action.dest == "verbose" else 1  # it may be given three times
        if isinstance(value, int) and 0 <= value <= most:
            return [flag] * value
        raise ValueError("true or false is wanted" if most == 1 else f"a number from 0 to {most} is wanted")
    if action.nargs == "?" and value is True:
        value = action.const
    repeated = action.dest in _REPEATED
    values = value if repeated and isinstance(value, list) else [value]
    words = []
    for each in values:
        if isinstance(each, bool) or not isinstance(each, str | int | float):
            raise ValueError(f"a text or a number is wanted{' or a list of them' if repeated else ''}, not {each!r}")
        is_path = action.dest in _PATHS and isinstance(each, str) and each != action.const
        text = os.path.join(folder, str(each)) if is_path else str(each)
        words.append(f"{flag}={text}")
    return words


def _check(parser: argparse.ArgumentParser, words: list[str]) -> None:
    """Have the parser check one option now, while its place in the file is known; it gets all of them later.

    Raises:
        ValueError: The option does not take this value.
    """
    exits, parser.exit_on_error = parser.exit_on_error, False
    try:
        parser.parse_known_args(words)
    except argparse.ArgumentError as error:
        raise ValueError(error.message) from None
    finally:
        parser.exit_on_error = exits


def _driver(table: object, folder: str) -> Driver:
    """One driver of the file."""
    if not isinstance(table, dict) or not all(isinstance(each, str) for each in table.values()):
        raise ValueError(f"a driver is a text, or in [[driver]] texts by the names {', '.join(_DRIVER_KEYS)}")
    for key in table:
        if key not in _DRIVER_KEYS:
            raise ValueError(f"a driver has no {key!r}, but {', '.join(_DRIVER_KEYS)}")
    if "run" not in table:
        raise ValueError('[[driver]] needs a `run = "DRIVER"`')
    spec = parse_spec(table["run"])
    options = {key: value for key, value in table.items() if key != "run"}
    if options and not isinstance(spec, ProgramSpec):
        raise ValueError(f"{spec.text!r} is not a program, so it takes no {next(iter(options))}")
    for key in PROGRAM_OPTIONS[1:]:
        if key in options:
            options[key] = os.path.join(folder, options[key])
    return located(spec, partial(os.path.join, folder)), options
