"""Writes the page of the standard properties, from the table of the package: python3 docs/_ext/standardpage.py."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from indipydriver.standard import CLIENTS, CONNECTING, DEBUGGING, GENERAL, INTERFACES, Interface  # noqa: E402

PAGE = ROOT / "docs" / "reference" / "standard-properties.md"
TITLES = {
    Interface.TELESCOPE: "Mount",
    Interface.CCD: "Camera",
    Interface.GUIDER: "Pulse guiding",
    Interface.FOCUSER: "Focuser",
    Interface.FILTER: "Filter wheel",
    Interface.DOME: "Dome and roof",
    Interface.GPS: "GPS",
    Interface.WEATHER: "Weather and safety",
    Interface.DUST_CAP: "Dust cap",
    Interface.LIGHT_BOX: "Light box",
    Interface.ROTATOR: "Rotator",
    Interface.POWER: "Power",
    Interface.OUTPUT: "Digital outputs",
    Interface.INPUT: "Digital and analogue inputs",
}
KINDS = {"Switch": "switches", "Number": "numbers", "Text": "texts", "Light": "lights", "BLOB": "BLOB"}
RULES = {"OneOfMany": "one of", "AtMostOne": "at most one of", "AnyOfMany": "any of"}
HEAD = """\
# Standard properties

KStars, PHD2, CCDciel and other clients recognise an instrument by the names of its properties. This page lists the
properties of libindi, version 2.2. It is made from the table in `indipydriver.standard`, from
which [instruments](../how-to/instruments.md) are made too.

In the last column are the clients that use a property; those in **bold** do not accept a device without it. *Saved*
properties are kept in the file of settings. Where a list of members ends with *...*, a device may have other members
of that kind.

## Interfaces

A device says in `DRIVER_INFO.DRIVER_INTERFACE` what it is: the sum of these numbers.

"""


def _member(member):
    text = f"`{member.name}`"
    if member.min < member.max:
        text += f" {member.min:g} to {member.max:g}"
    return text


def _clients(standard):
    names = [f"**{CLIENTS[c]}**" if c in standard.needed_by else CLIENTS[c] for c in CLIENTS if c in standard.users]
    return ", ".join(names)


def _row(standard):
    members = ", ".join(map(_member, standard.members)) + (", ..." if standard.counted else "")
    rule = RULES[standard.rule] + " " if standard.rule else ""
    what = KINDS[standard.kind]
    how = [standard.perm.value] if standard.perm else []
    how += ["saved"] if standard.saved else []
    return f"| `{standard.name}` | {what}, {', '.join(how) or 'ro'} | {rule}{members} | {_clients(standard)} |"


def _table(title, standards):
    head = [f"## {title}", "", "| property | kind | members | clients |", "|---|---|---|---|"]
    return "\n".join([*head, *map(_row, standards), ""])


def text():
    """The page."""
    bits = ["| number | interface |", "|---|---|"]
    bits += [f"| {bit.value} | `Interface.{bit.name}` |" for bit in Interface if bit]
    parts = [HEAD + "\n".join(bits) + "\n", _table("Every device", GENERAL)]
    parts += [_table("While debugging", DEBUGGING), _table("Connection", CONNECTING)]
    parts += [_table(TITLES[interface], table) for interface, table in INTERFACES.items()]
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(text(), encoding="utf-8")
