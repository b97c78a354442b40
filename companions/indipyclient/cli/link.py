"""What all verbs share: the connection, exit statuses, and patterns that wait for what they mean."""

from __future__ import annotations

import argparse
import asyncio
import os
import ssl
import sys
from collections.abc import Callable, Coroutine, Sequence
from enum import IntEnum
from typing import Any, Final

from ..addresses import PORT, Pattern, parse_endpoint, parse_pattern
from ..client import Client
from ..errors import BadValue, LinkLost, NotConnected, NotWritable, PropertyGone, Refused, TimedOut, Unknown, WrongKind
from ..model.properties import Property

__all__ = ["QUIET", "Status", "client_of", "matching", "patterns_of", "run", "say"]

QUIET: Final = 0.3
"""Seconds without definitions after which there are no more: INDI does not say when all are there."""


class Status(IntEnum):
    """How the command ends."""

    DONE = 0
    NOT_FOUND = 1
    TROUBLE = 2
    REFUSED = 3
    TIMED_OUT = 4
    LOST = 5


def say(text: str) -> None:
    """To the person, beside what is printed."""
    sys.stderr.write(f"indipyclient: {text}\n")
    sys.stderr.flush()


def client_of(options: argparse.Namespace, *, reconnect: bool = False, history: int = 0) -> Client:
    """The client that the options describe.

    Raises:
        ValueError: The address is none.
        OSError: A certificate cannot be read.
    """
    port = options.port or int(os.environ.get("INDI_PORT") or PORT)
    endpoint = parse_endpoint(options.server or os.environ.get("INDI_HOST") or "localhost", port)
    tls: bool | ssl.SSLContext = options.tls
    if options.ca:
        tls = ssl.create_default_context(cafile=options.ca)
    return Client(str(endpoint), tls=tls or None, history=history, reconnect=reconnect)


def patterns_of(texts: Sequence[str], known: Sequence[Property] = ()) -> list[Pattern]:
    """The patterns that a person wrote; none stand for everything."""
    return [parse_pattern(text, known) for text in texts] or [Pattern()]


async def matching(client: Client, texts: Sequence[str], timeout: float) -> list[Property]:
    """The properties that the patterns mean, when they are there; of one whose names are fixed it is not waited for
    the others."""
    try:
        patterns = patterns_of(texts)
        fixed = all(pattern.only_device and pattern.only_name for pattern in patterns)
    except ValueError:  # dots in names, perhaps: they are known when all is defined
        patterns, fixed = [], False
    if fixed:
        keys = [(pattern.only_device or "", pattern.only_name or "") for pattern in patterns]
        for device, name in dict.fromkeys(keys):
            if client.get(device, name) is None:
                await client.ask(device, name)
                if not await _defined(client, device, name, timeout):
                    fixed = False
    if not fixed:
        await client.settle(quiet=QUIET, timeout=timeout)
        patterns = patterns_of(texts, list(client.model))
    found = [prop for pattern in patterns for prop in client.model if pattern.matches(prop)]
    return list({prop.key: prop for prop in found}.values())


async def _defined(client: Client, device: str, name: str, timeout: float) -> bool:
    try:
        await client.wait_property(device, name, timeout=timeout)
    except TimedOut:
        return False
    return True


def run(work: Callable[[], Coroutine[Any, Any, int]]) -> int:
    """Run it, and make of what goes wrong a line and a status."""
    try:
        return asyncio.run(work())
    except LinkLost as error:
        say(str(error))
        return Status.LOST
    except PropertyGone as error:
        say(str(error))
        return Status.LOST
    except Refused as error:
        say(str(error))
        return Status.REFUSED
    except NotConnected as error:
        say(str(error))
        return Status.TROUBLE
    except TimedOut as error:
        say(str(error))
        return Status.TIMED_OUT
    except Unknown as error:
        say(str(error))
        return Status.NOT_FOUND
    except (BadValue, NotWritable, WrongKind, ValueError, OSError) as error:
        say(str(error))
        return Status.TROUBLE
