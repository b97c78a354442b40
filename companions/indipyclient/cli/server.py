"""The server and properties that the options name, and one look at them."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from ..addresses import Endpoint, Pattern, parse_endpoint, parse_pattern, usual_port
from ..look import Look
from ..model.properties import Property
from ..reaching import tls_context

if TYPE_CHECKING:
    import ssl

__all__ = ["QUIET", "endpoint_of", "look_at", "matching", "patterns_of", "tls_of"]

QUIET: Final = 0.3
"""Seconds without definitions after which they count as complete, because INDI does not mark the end."""

ALONE: Final = 0.5
"""Seconds for the answer to a request for some properties, before everything is requested."""


def endpoint_of(options: argparse.Namespace) -> Endpoint:
    """The server that the options, or the environment, name.

    Raises:
        ValueError: The address is invalid.
    """
    port = options.port if options.port is not None else usual_port()
    return parse_endpoint(options.server or os.environ.get("INDI_HOST") or "localhost", port)


def tls_of(options: argparse.Namespace) -> ssl.SSLContext | None:
    """The TLS context that the options describe.

    Raises:
        OSError: The certificate cannot be read.
    """
    if options.ca:
        import ssl

        return ssl.create_default_context(cafile=options.ca)
    return tls_context(options.tls)


def look_at(options: argparse.Namespace) -> Look:
    """One look at this server.

    Raises:
        NotConnected: It cannot be reached.
    """
    return Look(endpoint_of(options), tls_of(options))


def patterns_of(texts: Sequence[str], known: Sequence[Property] = ()) -> list[Pattern]:
    """The patterns from the command line; no patterns stand for everything."""
    return [parse_pattern(text, known) for text in texts] or [Pattern()]


def matching(look: Look, texts: Sequence[str], timeout: float) -> list[Property]:
    """The properties that match the patterns, once they are defined; if all names are exact, others are not awaited."""
    try:
        patterns = patterns_of(texts)
        fixed = all(pattern.only_device and pattern.only_name for pattern in patterns)
    except ValueError:  # there may be dots in names, which are known when everything is defined
        patterns, fixed = [], False
    model = look.model
    if fixed:
        keys = dict.fromkeys((pattern.only_device or "", pattern.only_name or "") for pattern in patterns)
        for key in keys:
            look.ask(*key)

        def found_all() -> bool:
            return all(model.get(*key) is not None for key in keys)

        fixed = look.until(found_all, min(ALONE, timeout / 2))
        if not fixed:  # a driver may answer only a request for everything
            look.ask()
            fixed = look.until(found_all, timeout - min(ALONE, timeout / 2))
    else:
        look.ask()
    if not fixed:
        look.settle(QUIET, timeout)
        patterns = patterns_of(texts, list(model))
    found = [prop for pattern in patterns for prop in model if pattern.matches(prop)]
    return list({prop.key: prop for prop in found}.values())
