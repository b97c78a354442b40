"""``indipyclient devices``: list devices and what they have."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from ..model.properties import Property
from ..model.site import Device
from .main import common, seconds
from .outcome import Status, say, told
from .output import print_json, print_line
from .server import QUIET, look_at

EXAMPLES = """\
  indipyclient devices
  indipyclient devices --properties
  indipyclient devices -s 192.168.1.20 --json"""


def main(arguments: Sequence[str]) -> int:
    """Run the verb; returns the exit status."""
    parser = common("devices", "List devices.", EXAMPLES)
    parser.add_argument("--properties", action="store_true", help="also their properties with their members")
    parser.add_argument("--json", action="store_true", help="print one JSON object per line")
    parser.add_argument("-t", "--timeout", type=seconds, default=3.0, help="seconds to wait for names (default: 3)")
    options = parser.parse_args(arguments)
    return told(lambda: _devices(options))


def _devices(options: argparse.Namespace) -> int:
    with look_at(options) as look:
        look.ask()
        look.settle(QUIET, options.timeout)
        devices = list(look.model.site().devices.values())
    for device in devices:
        _print(device, options.properties, options.json)
    if not devices:
        say("no devices")
    return Status.DONE if devices else Status.NOT_FOUND


def _print(device: Device, with_properties: bool, as_json: bool) -> None:
    if as_json:
        properties = {name: list(prop) for name, prop in device.properties.items()}
        print_json({"device": device.name, "connected": device.connected, "properties": properties})
        return
    state = {True: "connected", False: "not connected", None: ""}[device.connected]
    print_line(f"{device.name}  ({state})" if state else device.name)
    if with_properties:
        for group in device.groups:
            print_line(f"  {group or '-'}")
            for prop in device.properties.values():
                if prop.group == group:
                    print_line(f"    {_line(prop)}")


def _line(prop: Property) -> str:
    return f"{prop.name} ({prop.kind}, {prop.perm}, {prop.state}): {', '.join(prop)}"
