"""From properties to the fields of redis hashes.  Pure."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from indipyclient.model.properties import Member, Property, number_of
from indipydriver.protocol.tags import VectorKind

__all__ = ["ELEMENT_LOGS", "Overlay", "Stored", "element_fields", "property_fields"]

GROUP: Final = "DEFAULT GROUP"
ELEMENT_LOGS: Final = {
    VectorKind.TEXT: "textvector",
    VectorKind.NUMBER: "numbervector",
    VectorKind.SWITCH: "switchvector",
    VectorKind.LIGHT: "lightvector",
    VectorKind.BLOB: "blobvector",
}


class Stored(NamedTuple):
    """The file of the last BLOB of a member."""

    size: str = ""
    format: str = ""
    filepath: str = ""
    timestamp: str = ""


class Overlay(NamedTuple):
    """What redis shows of a property in addition to what the device sends.

    Attributes:
        timestamp: When it was received, for a device that sends no timestamp.
        text: The message of its last definition or update; "" if there was none.
        busy: If a command has been sent since the last update, the number of the model's last change before it.
        blobs: Whether its BLOBs are enabled.
        files: The file of the last BLOB, by member.
    """

    timestamp: str
    text: str = ""
    busy: int = 0
    blobs: bool = False
    files: Mapping[str, Stored] = MappingProxyType({})


def property_fields(prop: Property, overlay: Overlay) -> dict[str, str]:
    """The hash ``attributes:<property>:<device>``."""
    fields = {
        "device": prop.device,
        "name": prop.name,
        "state": "Busy" if overlay.busy else prop.state.value,
        "perm": prop.perm.value,
        "label": prop.label,
        "group": prop.group or GROUP,
        "timestamp": prop.timestamp or overlay.timestamp,
        "timeout": prop.timeout or "0",
        "vector": f"{prop.kind.value}Vector",
        "message": overlay.text,
    }
    if prop.rule is not None:
        fields["rule"] = prop.rule.value
    if prop.kind is VectorKind.BLOB:
        fields["blobs"] = "Enabled" if overlay.blobs else "Disabled"
    return fields


def element_fields(prop: Property, member: Member, overlay: Overlay) -> dict[str, str]:
    """The hash ``elementattributes:<element>:<property>:<device>``."""
    fields = {"name": member.name, "label": member.label}
    if prop.kind is VectorKind.BLOB:
        stored = overlay.files.get(member.name, Stored())
        fields |= {"size": stored.size, "format": stored.format or member.format, "filepath": stored.filepath}
        fields |= {"timestamp": stored.timestamp or prop.timestamp or overlay.timestamp}
        return fields | {"timeout": prop.timeout or "0"}
    fields["value"] = member.value
    if prop.kind is VectorKind.NUMBER:
        fields |= {
            "format": member.format,
            "formatted_number": member.shown,
            "float_number": str(member.number),
            "min": member.min,
            "float_min": str(number_of(member.min)),
            "max": member.max,
            "float_max": str(number_of(member.max)),
            "step": member.step,
            "float_step": str(number_of(member.step)),
        }
    fields["timestamp"] = prop.timestamp or overlay.timestamp
    fields["timeout"] = prop.timeout or "0"
    return fields
