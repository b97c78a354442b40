"""``indipyclient snapshot``: everything as JSON."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from ..errors import NoSuchDevice
from ..model.dump import dump_device, dump_property, dump_site
from ..model.lookup import need
from .main import common, seconds
from .outcome import Status, told
from .output import json_text, write
from .server import QUIET, look_at

EXAMPLES = """\
  indipyclient snapshot
  indipyclient snapshot Thermostat
  indipyclient snapshot Thermostat TARGET --compact"""


def main(arguments: Sequence[str]) -> int:
    """Run the verb; returns the exit status."""
    parser = common("snapshot", "Print everything, a device, or a property as JSON.", EXAMPLES)
    parser.add_argument("device", nargs="?", help="only this device")
    parser.add_argument("name", nargs="?", help="only this property of the device")
    parser.add_argument("--compact", action="store_true", help="on one line")
    parser.add_argument("-t", "--timeout", type=seconds, default=3.0, help="seconds to wait for names (default: 3)")
    options = parser.parse_args(arguments)
    return told(lambda: _snapshot(options))


def _snapshot(options: argparse.Namespace) -> int:
    with look_at(options) as look:
        look.ask()
        look.settle(QUIET, options.timeout)
        site = look.model.site()
        if options.device is None:
            found = dump_site(site)
        elif options.name is None:
            device = site.devices.get(options.device)
            if device is None:
                raise NoSuchDevice(options.device, site)
            found = dump_device(device)
        else:
            found = dump_property(need(look.model, options.device, options.name))
    write(json_text(found, None if options.compact else 2))
    return Status.DONE
