"""``indipyclient watch``: print values as they change."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Final

from ..addresses import Field, Pattern, field_of
from ..client import Client
from ..model.delta import Delta
from ..model.properties import Key, Property
from ..waiting import within
from .link import Status, client_of, patterns_of, run, say
from .main import amount, common, seconds
from .output import lines_of, print_members

EXAMPLES = """\
  indipyclient watch 'Thermostat.TEMPERATURE.*'
  indipyclient watch 'Telescope.EQUATORIAL_EOD_COORD.*' --every 1 --json
  indipyclient watch 'Dome.*._STATE' --for 60 --count 10"""

GONE: Final = 10_000
"""Deleted properties and members that are remembered, for what is defined again."""


def main(arguments: Sequence[str]) -> int:
    """Run the verb; returns the exit status."""
    parser = common("watch", "Print values now, and again when they change.  A lost connection is restored.", EXAMPLES)
    parser.add_argument("addresses", nargs="*", metavar="ADDRESS", help="what to print (default: everything)")
    parser.add_argument("--every", type=seconds, default=0.0, help="minimum seconds between two prints (default: 0)")
    parser.add_argument("--count", type=amount, help="end after this many lines")
    parser.add_argument("--for", type=seconds, dest="duration", help="end after this many seconds")
    parser.add_argument("--changes", action="store_true", help="leave out the first value of each member")
    parser.add_argument("--json", action="store_true", help="print one JSON object per line")
    options = parser.parse_args(arguments)
    return run(lambda: _watch(options))


async def _watch(options: argparse.Namespace) -> int:
    patterns = patterns_of(options.addresses)
    printed = 0
    seen = _Seen(patterns)
    async with client_of(options, reconnect=True) as client, within(options.duration):
        async for delta in client.changes(interval=options.every, initial=True):
            _tell_link(client, delta)
            seen.forget(client, delta)
            for prop in delta.properties:
                members = seen.news(prop, options.changes)
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


class _Seen:
    """What has been seen so far, whether it was printed or not; of texts, which may be long, only the hash.

    Args:
        patterns: Which members to look at.
    """

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        self._patterns = patterns
        self.known: dict[Key, dict[str, int]] = {}
        self.gone: dict[Key, dict[str, int]] = {}  # deleted last: a driver that starts again defines it anew

    def forget(self, client: Client, delta: Delta) -> None:
        """What was seen of properties that are gone."""
        if delta.reset or delta.deleted:
            for key in [key for key in self.known if client.get(*key) is None]:
                self.gone[key] = self.known.pop(key)
            excess = sum(map(len, self.gone.values())) + len(self.gone) - GONE
            while excess > 0:
                excess -= len(self.gone.pop(next(iter(self.gone)))) + 1

    def news(self, prop: Property, only_changes: bool) -> list[str]:
        """The members whose value or state has changed since they were last seen.

        Args:
            prop: The property as it is now.
            only_changes: Leave out what is seen for the first time, or again after its property was deleted, unless it
                has changed meanwhile.
        """
        gone = self.gone.pop(prop.key, {})
        before = self.known.get(prop.key, gone if only_changes else {})
        now = {name: hash(self._text(prop, name)) for name in lines_of(self._patterns, prop)}
        self.known[prop.key] = now
        return [name for name, text in now.items() if before.get(name, text if only_changes else None) != text]

    @staticmethod
    def _text(prop: Property, name: str) -> str:
        if isinstance(name, Field):
            return field_of(prop, name)
        member = prop[name]
        return f"{prop.state}{prop.timestamp if member.data is not None else ''}{member.value}"
