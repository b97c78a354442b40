"""``indipyclient get``: print values."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from .main import common, seconds
from .outcome import Status, say, told
from .output import lines_of, print_members
from .server import look_at, matching, patterns_of

EXAMPLES = """\
  indipyclient get                                 everything
  indipyclient get 'Thermostat.*.*'                all values of a device
  indipyclient get -1 Thermostat.TARGET.TARGET     one value, without its name
  indipyclient get 'Thermostat.TARGET._STATE'      the state of a property"""


def main(arguments: Sequence[str]) -> int:
    """Run the verb; returns the exit status."""
    parser = common("get", "Print values.", EXAMPLES)
    parser.add_argument("addresses", nargs="*", metavar="ADDRESS", help="what to print (default: everything)")
    parser.add_argument("-1", "--values", action="store_true", help="print values without their names")
    parser.add_argument("--json", action="store_true", help="print one JSON object per line")
    parser.add_argument("-t", "--timeout", type=seconds, default=2.0, help="seconds to wait for names (default: 2)")
    options = parser.parse_args(arguments)
    return told(lambda: _get(options))


def _get(options: argparse.Namespace) -> int:
    with look_at(options) as look:
        props = matching(look, options.addresses, options.timeout)
        patterns = patterns_of(options.addresses, list(look.model))
        printed = 0
        for prop in props:
            members = lines_of(patterns, prop)
            print_members(prop, members, options.json, values_only=options.values)
            printed += len(members)
        missing = [
            text
            for text, pattern in zip(options.addresses, patterns, strict=False)
            if not any(pattern.matches(prop) and pattern.members(prop) for prop in props)
        ]
    for text in missing:
        say(f"nothing is named {text}")
    if not printed and not missing:
        say("nothing is defined")
    return Status.NOT_FOUND if missing or not printed else Status.DONE
