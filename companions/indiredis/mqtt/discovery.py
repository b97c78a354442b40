"""The configuration of a device for Home Assistant, so that it appears there automatically.  Pure."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Container, Mapping
from typing import Any, Final

from indipyclient.model.properties import Member, Property
from indipyclient.model.site import Device
from indipydriver import version
from indipydriver.protocol.tags import Permission, SwitchRule, VectorKind

from .tree import Tree

__all__ = ["config", "is_of", "topic"]

PREFIX: Final = "homeassistant"
WIDE: Final = 1e9
NONE: Final = "None of the above"
UNKNOWN: Final = "None"
"""The state of a select with no option chosen."""
LONGEST: Final = 255
"""Characters of a state."""
UNITS: Final = {
    "CCD_TEMPERATURE": ("°C", "temperature"),
    "FOCUS_TEMPERATURE": ("°C", "temperature"),
    "CCD_EXPOSURE": ("s", "duration"),
}
COUNTED_DOWN: Final = ("CCD_EXPOSURE", "GUIDER_EXPOSURE")
"""Properties of INDI that go down to 0, which is less than their least value."""
_ON_OFF: Final = (("CONNECT", "DISCONNECT"), ("ENABLED", "DISABLED"), ("INDI_ENABLED", "INDI_DISABLED"))
_DIAGNOSTIC: Final = ("info", "diagnostic")
_CONFIG: Final = ("option", "setting", "config")


def slug(*names: str) -> str:
    """Letters, digits, dash and underscore; names that lose characters get a digest."""
    text = "_".join(names)
    plain = re.sub(r"[^A-Za-z0-9_-]+", "_", text)
    return plain if plain == text else f"{plain}_{_digest(text)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:6]


def ident(own: str, device: str, *rest: str) -> str:
    """A unique name: `a_b` of `c` differs from `a` of `b_c`."""
    plain = slug(own, device, *rest)
    return f"{plain}_{_digest(f'{own}/{device}')}" if "_" in own + device else plain  # no bridge has a `/`


def topic(own: str, device: str) -> str:
    """The topic for the configuration of a device."""
    return f"{PREFIX}/device/{ident(own, device)}/config"


def is_of(payload: bytes, tree: Tree) -> bool:
    """Whether it is a configuration that a bridge of this name has published."""
    try:
        return bool(json.loads(payload)["avty"][0]["t"] == tree.status)
    except (ValueError, KeyError, IndexError, TypeError):
        return False


def config(tree: Tree, device: Device, known: Mapping[str, str] | None = None) -> tuple[bytes, dict[str, str]]:
    """The configuration of a device.

    Args:
        tree: Its topics.
        device: The device as it is now.
        known: Components that were published before, with their platforms: removed ones have to be sent once more, and
            those of another platform now are left out until this has been done.

    Returns:
        The payload, and the components in it with their platforms.
    """
    components: dict[str, dict[str, Any]] = {}
    for prop in sorted(device.properties.values(), key=lambda prop: prop.name):  # whichever is defined first
        for key, component in _components(tree, prop).items():
            if key in components:  # `A_B` of `C`, and `B_C` of `A`
                key = f"{key}_{_digest(prop.name)}"
            components[key] = component | _common(tree, device, prop, key, component["p"])
    for key, platform in (known or {}).items():  # Home Assistant would keep the one of before beside it
        if key in components and components[key]["p"] != platform:
            del components[key]  # until the next configuration
    gone = {key: {"p": platform} for key, platform in (known or {}).items() if key not in components}
    info = device.get("DRIVER_INFO")
    text = info.values if info is not None else {}
    about: dict[str, Any] = {"ids": [ident(tree.own, device.name)], "name": device.name}
    about |= {"mdl": text["DRIVER_NAME"]} if text.get("DRIVER_NAME") else {}
    about |= {"sw": text["DRIVER_VERSION"]} if text.get("DRIVER_VERSION") else {}
    payload = {
        "dev": about,
        "o": {"name": "indiredis", "sw": version},
        "avty": [{"t": tree.status}, {"t": tree.link(device.name)}],
        "avty_mode": "all",
        "qos": 1,
        "cmps": gone | components,
    }
    # CONNECTION has to work while the driver is not connected.
    for key, component in components.items():
        if key.startswith(slug("CONNECTION")):
            component["avty"] = [{"t": tree.status}]
    return json.dumps(payload).encode(), {key: component["p"] for key, component in components.items()}


def _common(tree: Tree, device: Device, prop: Property, key: str, platform: str) -> dict[str, Any]:
    found: dict[str, Any] = {"unique_id": ident(tree.own, device.name, key)}
    found["default_entity_id"] = f"{platform}.{slug(device.name, key).lower().replace('-', '_')}"
    group = prop.group.lower()
    if any(word in group for word in _DIAGNOSTIC) and platform in ("sensor", "binary_sensor"):
        found["entity_category"] = "diagnostic"
    elif any(word in group for word in _CONFIG) and platform not in ("sensor", "binary_sensor"):
        found["entity_category"] = "config"
    return found


def _value(member: str, tail: str = "", none: str = "None") -> str:
    """A template for a value; `none` is for the empty message that deletes a property."""
    return "{{ value_json.v[" + _literal(member) + "]" + tail + " if value_json is defined else " + none + " }}"


def _value_within(member: str, low: float, high: float) -> str:
    """A template for a number: Home Assistant would go on showing the one before in place of one out of range."""
    within = f"v if v is number and {low!r} <= v <= {high!r} else None"
    return "{% set v = value_json.v[" + _literal(member) + "] if value_json is defined %}{{ " + within + " }}"


def _literal(value: Any) -> str:
    """Names as a template reads them, without surrogates."""
    return json.dumps(value, ensure_ascii=False)


def _components(tree: Tree, prop: Property) -> dict[str, dict[str, Any]]:
    if prop.kind is VectorKind.SWITCH:
        return _switches(tree, prop)
    found: dict[str, dict[str, Any]] = {}
    at = tree.value(*prop.key)
    for member in prop.members.values():
        key = slug(prop.name, member.name)
        name = prop.label if len(prop.members) == 1 else f"{prop.label} {member.label}"
        if prop.kind is VectorKind.NUMBER:
            found[key] = _number(tree, prop, member) | {"name": name, "state_topic": at}
        elif prop.kind is VectorKind.TEXT:
            template = _value(member.name, f"[:{LONGEST}]", "''")  # it refuses longer states
            one: dict[str, Any] = {"name": name, "state_topic": at, "value_template": template}
            if prop.perm is Permission.READ_ONLY:
                found[key] = one | {"p": "sensor"}
            else:
                found[key] = one | {"p": "text", "max": LONGEST, "command_topic": tree.set(*prop.key, member.name)}
        elif prop.kind is VectorKind.LIGHT:
            options = ["Idle", "Ok", "Busy", "Alert"]
            light = {"p": "sensor", "device_class": "enum", "options": options, "value_template": _value(member.name)}
            found[key] = light | {"name": name, "state_topic": at}
    return found


def _number(tree: Tree, prop: Property, member: Member) -> dict[str, Any]:
    found: dict[str, Any] = {"value_template": _value(member.name)}
    unit, kind = UNITS.get(prop.name, ("", ""))
    if unit:
        found |= {"unit_of_measurement": unit, "device_class": kind}
    digits = re.search(r"\.(\d+)[fm]", member.format)
    if prop.perm is Permission.READ_ONLY:
        found |= {"p": "sensor", "state_class": "measurement"}
        if digits is not None and "m" not in member.format:
            found["suggested_display_precision"] = min(int(digits[1]), 9)
        return found
    low, high = member.range or (-WIDE, WIDE)
    for value in (member.number, 0.0 if prop.name in COUNTED_DOWN else math.nan):
        if math.isfinite(value):
            low, high = min(low, value), max(high, value)
    step = Member("", "", member.step).number
    if not step >= 0.001:  # the smallest value
        step = 0.001
    found |= {"p": "number", "min": low, "max": high, "step": step, "mode": "box"}
    found["value_template"] = _value_within(member.name, low, high)
    return found | {"command_topic": tree.set(*prop.key, member.name)}


def _switches(tree: Tree, prop: Property) -> dict[str, dict[str, Any]]:
    at = tree.value(*prop.key)
    names = list(prop.members)
    if prop.perm is Permission.READ_ONLY:
        return {
            slug(prop.name, name): {
                "p": "binary_sensor",
                "name": f"{prop.label} {prop[name].label}",
                "state_topic": at,
                "value_template": _value(name, " | iif('ON', 'OFF')"),
            }
            for name in names
        }
    if prop.rule is SwitchRule.ONE_OF_MANY and len(names) == 2 and (pair := _pair(names)) is not None:
        on, off = pair
        return {
            slug(prop.name): {
                "p": "switch",
                "name": prop.label,
                "state_topic": at,
                "value_template": _value(on, " | iif('ON', 'OFF')"),
                "command_topic": tree.set(*prop.key),
                "payload_on": json.dumps({on: True}),
                "payload_off": json.dumps({off: True}),
                "state_on": "ON",
                "state_off": "OFF",
            }
        }
    if prop.rule is SwitchRule.ANY_OF_MANY or (len(names) == 1 and prop.rule is SwitchRule.AT_MOST_ONE):
        return {
            slug(prop.name, name): {
                "p": "switch",
                "name": _named(prop, name),
                "state_topic": at,
                "value_template": _value(name, " | iif('ON', 'OFF')"),
                "command_topic": tree.set(*prop.key),
                "payload_on": json.dumps({name: True}),
                "payload_off": json.dumps({name: False}),
                "state_on": "ON",
                "state_off": "OFF",
            }
            for name in names
        }
    if len(names) > 1:
        return {slug(prop.name): _select(prop) | {"state_topic": at, "command_topic": tree.set(*prop.key)}}
    return {
        slug(prop.name, name): {
            "p": "button",
            "name": _named(prop, name),
            "command_topic": tree.set(*prop.key),
            "payload_press": json.dumps({name: True}),
        }
        for name in names
    }


def _named(prop: Property, name: str) -> str:
    return prop.label if len(prop.members) == 1 else f"{prop.label} {prop[name].label}"


def _select(prop: Property) -> dict[str, Any]:
    """One of the switches, and where the rule allows it none of them, which Home Assistant otherwise calls unknown."""
    labels = _labels(prop)
    commands: dict[str, dict[str, bool]] = {label: {name: True} for label, name in labels.items()}
    none = UNKNOWN
    if prop.rule is SwitchRule.AT_MOST_ONE:
        none = _unique(NONE, commands)
        commands[none] = dict.fromkeys(prop.members, False)
    by_name = {name: label for label, name in labels.items()}
    return {
        "p": "select",
        "name": prop.label,
        "options": list(commands),
        "value_template": (
            "{% set m = " + _literal(by_name) + " %}{% if value_json is defined %}"
            "{% for k, v in value_json.v.items() if v %}{% if loop.first %}{{ m[k] }}{% endif %}"
            "{% else %}" + none + "{% endfor %}{% endif %}"
        ),
        "command_template": "{% set m = " + _literal(commands) + " %}{{ m[value] | to_json }}",
    }


def _pair(names: list[str]) -> tuple[str, str] | None:
    return next(((on, off) for on, off in _ON_OFF if {on, off} == set(names)), None)


def _labels(prop: Property) -> dict[str, str]:
    """Names of switches by their labels, which must be unique for users."""
    found: dict[str, str] = {}
    for member in prop.members.values():
        label = member.label.strip() or member.name.strip() or "-"  # Home Assistant strips what a template makes
        while label in found or label.lower() == UNKNOWN.lower():
            label += f" ({member.name})"
        found[label] = member.name
    return found


def _unique(label: str, taken: Container[str]) -> str:
    while label in taken:
        label += "."
    return label
