"""What the arguments of the command and its configuration file request, and whether they are consistent."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from ..spec import parse_spec
from .options import USUAL_CONTROL

__all__ = ["read_arguments"]


def read_arguments(parser: argparse.ArgumentParser, words: list[str]) -> argparse.Namespace:
    """What the arguments request.

    Raises:
        SystemExit: They are inconsistent, or only help was requested.
    """
    for place, word in enumerate(words):
        if word == "--demo" and words[place + 1 : place + 2] not in (["examples"], ["observatory"]):
            words[place] = "--demo=examples"  # the next word is a DRIVER
        elif word == "--control" and not _may_be_made(words[place + 1 : place + 2]):
            words[place] = "--control=" + USUAL_CONTROL
    options = parser.parse_intermixed_args(words)
    options.configured = []
    if options.config is not None:
        options = _configured(parser, words, options)
    if options.check is True:  # the driver is elsewhere, as in: --check --json DRIVER
        if not options.drivers:
            parser.error("--check needs a DRIVER")
        options.check = options.drivers.pop(0)
    if options.check is not None and (
        options.drivers or options.fifo is not None or options.demo or options.control is not None
    ):
        parser.error("--check takes one DRIVER and serves nothing: no further DRIVER and no FIFO")
    modes = (options.check, options.fifo, options.control)
    if options.new is not None and (options.drivers or any(each is not None for each in modes)):
        parser.error("--new writes files and serves nothing: it takes no DRIVER")
    _check_registering(parser, options)
    if options.reload and os.name == "nt":
        parser.error("--reload needs a system on which a process can replace its program")
    if options.demo:
        from .demo import demo_words

        try:
            options.drivers += map(parse_spec, demo_words(options.demo))
        except FileNotFoundError as error:
            parser.error(str(error))
    if options.check is None and (options.json or options.act or options.timeout is not None):
        parser.error("--json, --act and --timeout are for --check DRIVER")
    options.timeout = options.timeout or 5.0
    return options


def _configured(parser: argparse.ArgumentParser, words: list[str], given: argparse.Namespace) -> argparse.Namespace:
    """The arguments with those of the configuration file, as ``configured`` its drivers."""
    from .configuration import read_configuration

    if any(each is not None for each in (given.check, given.new, given.register, given.unregister)):
        parser.error("--config is for serving")
    try:
        more, drivers = read_configuration(given.config, parser, given)
    except ValueError as error:
        parser.error(str(error))
    options = parser.parse_intermixed_args([*more, *words])
    options.configured = drivers
    return options


def _may_be_made(words: Sequence[str]) -> bool:
    """Is the next word the path of a control socket, and not a DRIVER?"""
    return any(word.startswith(("/", "./", "../")) and ":" not in word and not os.path.isfile(word) for word in words)


def _check_registering(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    changes = [options.register is not None, options.unregister is not None]
    modes = (options.fifo, options.control, options.check, options.new)
    others = options.drivers or any(each is not None for each in modes)
    if sum(changes) > 1 or (any(changes) and (others or options.demo)):
        parser.error("--register and --unregister serve nothing: use them without other options")
    if not any(changes) and options.system:
        parser.error("--system is for --register and --unregister")
    if options.register is None and (options.label or options.group):
        parser.error("--label and --group are for --register")
