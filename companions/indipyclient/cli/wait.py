"""``indipyclient wait``: wait until conditions hold."""

from __future__ import annotations

import argparse
import asyncio
import operator
import re
from collections.abc import Callable, Sequence
from typing import Final

from ..addresses import Field, Pattern, field_of, parse_pattern
from ..client import Client
from ..model.model import What
from ..model.properties import Property, number_of
from ..streams import Lost
from .link import Status, client_of, run, say
from .main import common, seconds
from .output import print_members

EXAMPLES = """\
  indipyclient wait 'Dome.DOME_SHUTTER._STATE == Ok' --timeout 60
  indipyclient wait 'Thermostat.TEMPERATURE.ROOM >= 20'
  indipyclient wait 'Camera.CONNECTION.CONNECT == On' 'Camera.CCD_EXPOSURE._STATE != Busy'"""

_OPERATORS: Final[dict[str, Callable[[float, float], bool]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}


def main(arguments: Sequence[str]) -> int:
    """Run the verb; returns the exit status."""
    parser = common("wait", "Wait until all conditions hold at the same time.", EXAMPLES)
    parser.add_argument("conditions", nargs="+", metavar="CONDITION", help="ADDRESS, an operator and a value")
    parser.add_argument("-t", "--timeout", type=seconds, help="seconds to wait (default: for ever)")
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing")
    options = parser.parse_args(arguments)
    return run(lambda: _wait(options))


class Condition:
    """One comparison: of numbers if both sides are numbers, otherwise of text."""

    def __init__(self, text: str) -> None:
        match = re.fullmatch(r"\s*((?:\\.|[^\\])+?)\s*(==|!=|<=|>=|<|>)\s*(.*?)\s*", text, re.DOTALL)
        if match is None:
            raise ValueError(f"not a condition: {text!r}; write ADDRESS == VALUE, or != <= >= < >")
        self.pattern: Pattern = parse_pattern(match[1])
        self._operator = match[2]
        self._wanted = match[3]
        if self.pattern.member == "*" and not match[1].endswith("*"):
            raise ValueError(f"{match[1]!r} names no member")

    def holds(self, props: Sequence[Property]) -> bool:
        """Whether it holds for one of them."""
        return any(
            self._compare(field_of(prop, name) if isinstance(name, Field) else prop[name].value)
            for prop in props
            if self.pattern.matches(prop)
            for name in self.pattern.members(prop)
        )

    def _compare(self, value: str) -> bool:
        left, right = number_of(value), number_of(self._wanted)
        if left == left and right == right:
            return _OPERATORS[self._operator](left, right)
        if self._operator in ("==", "!="):
            return (value == self._wanted) is (self._operator == "==")
        return False


async def _wait(options: argparse.Namespace) -> int:
    conditions = [Condition(text) for text in options.conditions]
    async with client_of(options, reconnect=True) as client:
        try:
            async with asyncio.timeout(options.timeout):
                await _until(client, conditions)
        except TimeoutError:
            say(f"not true within {options.timeout:g} s: {' and '.join(options.conditions)}")
            return Status.TIMED_OUT
        if not options.quiet:
            for condition in conditions:
                for prop in client.model:
                    if condition.pattern.matches(prop):
                        print_members(prop, condition.pattern.members(prop), False)
    return Status.DONE


async def _until(client: Client, conditions: Sequence[Condition]) -> None:
    """Examine every change, and not only the result of several: a state may last only for a moment."""
    async with client.tap(limit=100_000) as tap:
        known = {prop.key: prop for prop in client.model if not client.is_stale(prop)}
        session = client.model.session
        while not all(condition.holds(list(known.values())) for condition in conditions):
            change = await tap.next()
            if isinstance(change, Lost):
                known = {prop.key: prop for prop in client.model if not client.is_stale(prop)}
                session = client.model.session
            elif change.prop is not None:
                if change.prop.session > session:  # what was known before may no longer hold
                    session = change.prop.session
                    known.clear()
                if change.prop.session == session:  # otherwise its members have the values from before the loss
                    known[change.prop.key] = change.prop
            elif change.what is What.DELETED:
                known = {key: prop for key, prop in known.items() if not change.concerns(*key)}
