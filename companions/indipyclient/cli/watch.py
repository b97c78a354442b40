"""``indipyclient watch``: print values as they change."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
from collections.abc import Sequence

from ..addresses import FIELDS, Pattern, field_of
from ..client import Client
from ..model.delta import Delta
from ..model.properties import Property
from .link import Status, client_of, patterns_of, run, say
from .main import amount, common, seconds
from .output import lines_of, print_members

EXAMPLES = """\
  indipyclient watch 'Thermostat.TEMPERATURE.*'
  indipyclient watch 'Telescope.EQUATORIAL_EOD_COORD.*' --every 1 --json
  indipyclient watch 'Dome.*._STATE' --for 60 --count 10"""


def main(arguments: Sequence[str]) -> int:
    """Returns the exit status."""
    parser = common("watch", "Print values now, and again when they change.  The connection is kept up.", EXAMPLES)
    parser.add_argument("addresses", nargs="*", metavar="ADDRESS", help="what to print (default: everything)")
    parser.add_argument("--every", type=seconds, default=0.0, help="seconds between two prints at least (default: 0)")
    parser.add_argument("--count", type=amount, help="end after so many lines")
    parser.add_argument("--for", type=seconds, dest="duration", help="end after so many seconds")
    parser.add_argument("--changes", action="store_true", help="leave out what there is now")
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")
    options = parser.parse_args(arguments)
    return run(lambda: _watch(options))


async def _watch(options: argparse.Namespace) -> int:
    patterns = patterns_of(options.addresses)
    printed = 0
    known: dict[tuple[str, str, str], str] = {}
    async with client_of(options, reconnect=True) as client:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(options.duration):
                async for delta in client.changes(interval=options.every, initial=True):
                    _tell_link(client, delta)
                    for prop in delta.properties:
                        members = _new_ones(prop, patterns, known)
                        if options.changes and delta.is_new(prop):
                            continue
                        if options.count is not None:
                            members = members[: options.count - printed]
                        print_members(prop, members, options.json)
                        printed += len(members)
                    if options.count is not None and printed >= options.count:
                        break
    return Status.DONE if printed else Status.NOT_FOUND


def _tell_link(client: Client, delta: Delta) -> None:
    if not delta.connected:
        say(client.status.reason or "the connection is lost")


def _new_ones(prop: Property, patterns: Sequence[Pattern], known: dict[tuple[str, str, str], str]) -> list[str]:
    """The members that have another value, or state, than was last seen."""
    found = []
    for name in lines_of(patterns, prop):
        if name in FIELDS:
            value = field_of(prop, name)
        else:
            member = prop[name]
            value = f"{prop.state}{prop.timestamp if member.data is not None else ''}{member.value}"
        if known.get((*prop.key, name)) != value:
            known[(*prop.key, name)] = value
            found.append(name)
    return found
