"""``indipyclient set``: set values and report the outcome."""

from __future__ import annotations

import argparse
import asyncio
import re
from collections.abc import Sequence
from typing import Final

from ..addresses import parse_assignment, parse_pattern, unescape
from ..client import Client
from ..errors import ClientError, TimedOut
from ..model.commands import Value
from ..model.expect import Confirm
from ..model.properties import Property
from .link import QUIET, Status, client_of, run, say
from .main import common, seconds
from .output import print_json, print_members

EXAMPLES = """\
  indipyclient set Thermostat.TARGET.TARGET=21.5
  indipyclient set Telescope.EQUATORIAL_EOD_COORD.RA=5:30 DEC=-5:23 --timeout 180
  indipyclient set Camera.CONNECTION.CONNECT=On --wait sent"""

_PAUSE: Final = 1.0
"""Seconds between two checks for messages of the device."""


def main(arguments: Sequence[str]) -> int:
    """Run the verb; returns the exit status."""
    parser = common("set", "Set members of one or more properties, and wait for the outcome.", EXAMPLES)
    parser.add_argument(
        "values",
        nargs="+",
        metavar="ADDRESS=VALUE",
        help="what to set; further members of the same property may be given by name alone",
    )
    parser.add_argument(
        "--wait",
        choices=[each.value for each in Confirm],
        default="settled",
        help="wait until it is sent, answered, no longer Busy, or until the values are reached",
    )
    parser.add_argument("-t", "--timeout", type=seconds, help="seconds for everything (default: the device's, plus 5)")
    parser.add_argument("--names", type=seconds, default=5.0, help="seconds to wait for the property (default: 5)")
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing")
    options = parser.parse_args(arguments)
    return run(lambda: _set(options))


async def _set(options: argparse.Namespace) -> int:
    async with client_of(options) as client:
        commands = await _read(client, options.values, options.names)
        for (device, name), values in commands:
            words = _Words(client, device)
            telling = asyncio.create_task(words.tell()) if not (options.quiet or options.json) else None
            try:
                outcome = await client.set(device, name, values, confirm=options.wait, timeout=options.timeout)
            except ClientError as error:
                if telling is not None:
                    words.tell_now(but=getattr(error, "message", ""))
                raise
            finally:
                if telling is not None:
                    telling.cancel()
            if options.quiet:
                continue
            if options.json:
                print_json(
                    {
                        "device": device,
                        "property": name,
                        "state": outcome.prop.state.value,
                        "values": outcome.prop.values,
                        "confirmed": outcome.confirmed,
                        "acknowledged": outcome.acknowledged,
                        "elapsed": round(outcome.elapsed, 3),
                        "messages": list(outcome.messages),
                    }
                )
                continue
            words.tell_now()
            print_members(outcome.prop, values, False)
            # After Busy the device has done its job: the value of an exposure, for example, has been counted down.
            if options.wait in ("settled", "answered") and not (outcome.confirmed or outcome.acknowledged):
                say(f"{device}.{name} is {outcome.prop.state}, without the requested values")
    return Status.DONE


class _Words:
    """The messages of a device while a command waits."""

    def __init__(self, client: Client, device: str) -> None:
        self._client = client
        self._device = device
        self._rev = client.model.rev

    async def tell(self) -> None:
        """Show messages, until cancelled."""
        while True:
            await asyncio.sleep(_PAUSE)
            self.tell_now()

    def tell_now(self, but: str = "") -> None:
        """Show the messages that have not been shown yet, except one that is reported otherwise."""
        for note in self._client.model.notes(self._device, self._rev):
            self._rev = note.rev
            if note.text != but:
                say(f"{self._device}: {note.text}")


async def _read(client: Client, texts: Sequence[str], timeout: float) -> list[tuple[tuple[str, str], dict[str, Value]]]:
    """What to set, property by property, in the given order."""
    commands: list[tuple[tuple[str, str], dict[str, Value]]] = []
    for text in texts:
        address, value = parse_assignment(text)
        prop: Property | None = None
        if "." not in re.sub(r"\\.", "", address, flags=re.DOTALL):
            if not commands:
                raise ValueError(f"{text!r} names no property: write DEVICE.PROPERTY.MEMBER=VALUE")
            commands[-1][1][unescape(address)] = value
            continue
        key, member = await _address(client, address, timeout)
        prop = client.need(*key)
        if not commands or commands[-1][0] != prop.key:
            commands.append((prop.key, {}))
        commands[-1][1][member] = value
    return commands


async def _address(client: Client, address: str, timeout: float) -> tuple[tuple[str, str], str]:
    try:
        pattern = parse_pattern(address)
    except ValueError:  # dots in names: they must be known first
        await client.settle(quiet=QUIET, timeout=timeout)
        pattern = parse_pattern(address, client.model)
    device, name = pattern.only_device, pattern.only_name
    if not pattern.fixed or device is None or name is None or pattern.member == "*":
        raise ValueError(f"{address!r} is not the address of one member: write DEVICE.PROPERTY.MEMBER")
    if client.get(device, name) is None:
        await client.ask(device, name)
        await _there(client, device, name, timeout)
    return (device, name), unescape(pattern.member)


async def _there(client: Client, device: str, name: str, timeout: float) -> None:
    try:
        await client.wait_property(device, name, timeout=timeout)
    except TimedOut:
        client.need(device, name)  # says which names are similar
        raise
