"""From a form to a command in redis."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

from indipyclient.model.commands import with_colons, with_point
from indipydriver.protocol.values import file_format

from .. import tools
from ..errors import need
from ..servers import RedisServer
from .forms import Form

__all__ = ["meaning_of", "send_form"]

NONE: str = "None of the above"


def meaning_of(attributes: Mapping[str, str], elements: Iterable[Mapping[str, Any]]) -> str:
    """A text that changes when a form no longer means what it said, because another property has this name."""
    said = [attributes["vector"], attributes["label"], attributes.get("rule", "")]
    said += [text for pair in sorted((each["name"], each["label"]) for each in elements) for text in pair]
    return f"{zlib.crc32(chr(0).join(said).encode('utf-8', 'replace')):08x}"


def send_form(rconn: Any, server: RedisServer, device: str, name: str, form: Form) -> str:
    """Send the values of a form for a property; returns the message for the user."""
    attributes = tools.attributes_dict(rconn, server, name, device)
    label = attributes.get("label", name)
    if not attributes:
        return f"There is no property {name}"
    if attributes.get("perm") == "ro":
        return f"{label} is read-only"
    if "means" in form.fields:
        means = meaning_of(attributes, tools.property_elements(rconn, server, name, device))
        if form.fields["means"] != means:
            return f"Change to property {label} was not sent: it has been defined differently since the page was loaded"
    if not _has_listener(rconn, server):
        return f"Change to property {label} was not sent: the bridge to INDI is not running"
    kind = attributes["vector"]
    given = {key: value.replace("\r\n", "\n") for key, value in form.fields.items()}  # so browsers write lines
    before = {key.removeprefix("was."): value for key, value in given.items() if key.startswith("was.")}
    fields = {key.removeprefix("m."): value for key, value in given.items() if key.startswith("m.")}
    if attributes.get("perm") == "wo":  # nobody knows what has become of it: all of it is said
        before = {}
    fields = _changed(fields, before)
    if kind == "SwitchVector":
        sent = _switches(rconn, server, device, name, attributes, form.fields, before)
    elif kind == "NumberVector":
        try:
            fields = {element: with_colons(with_point(text.strip())) for element, text in fields.items()}
        except ValueError as error:
            return f"{label}: {error}"
        problem = _range(rconn, server, device, name, fields)
        if problem:
            return problem
        sent = tools.newnumbervector(rconn, server, name, device, fields)
    elif kind == "TextVector":
        sent = tools.newtextvector(rconn, server, name, device, fields)
    elif kind == "BLOBVector":
        if "blobs" in form.fields:
            sent = tools.enableblob(rconn, server, name, device, form.fields["blobs"])
        else:
            sent = _upload(rconn, server, device, name, form)
    else:
        sent = None
    if sent is None:
        return f"Change to property {label} was not sent: a value is not valid"
    return f"Change to property {label} has been submitted"


def _has_listener(rconn: Any, server: RedisServer) -> bool:
    """Whether anybody listens to commands, as far as this user of redis may know."""
    try:
        return any(count for _, count in rconn.pubsub_numsub(server.to_indi_channel))
    except need("redis.exceptions", "redis").ResponseError:
        return True


def _changed(fields: dict[str, str], before: dict[str, str]) -> dict[str, str]:
    """What was changed on the page, or all: the rest may have become something else since it was loaded."""
    return {name: value for name, value in fields.items() if before.get(name) != value} or fields


def _switches(
    rconn: Any,
    server: RedisServer,
    device: str,
    name: str,
    attributes: dict[str, str],
    fields: dict[str, str],
    before: dict[str, str],
) -> bytes | None:
    known = tools.elements(rconn, server, name, device)
    if attributes.get("rule") == "AnyOfMany":
        values = _changed({element: "On" if f"m.{element}" in fields else "Off" for element in known}, before)
    elif len(known) == 1 and "on" in fields:
        values = {known[0]: fields["on"]}
    else:
        chosen = fields.get("choice", "")
        if chosen == "" and attributes.get("rule") == "AtMostOne":
            values = dict.fromkeys(known, "Off")
        elif chosen in known:
            values = {element: "Off" for element in known if element != chosen} | {chosen: "On"}
        else:
            return None
    return tools.newswitchvector(rconn, server, name, device, values)


def _range(rconn: Any, server: RedisServer, device: str, name: str, fields: dict[str, str]) -> str:
    """What is wrong with numbers; a value is never changed silently."""
    for element, text in fields.items():
        known = tools.elements_dict(rconn, server, element, name, device)
        try:
            number = tools.number_to_float(text)
        except ValueError:
            return f"{known.get('label', element)}: {text!r} is not a number"
        if not any(map(str.isdigit, text)):  # "-" is 0 to drivers, and not to people
            return f"{known.get('label', element)}: a number is needed"
        low, high = known.get("float_min", 0.0), known.get("float_max", 0.0)
        if low < high and not low <= number <= high:
            return f"{known.get('label', element)}: {text} is not from {known['min']} to {known['max']}"
    return ""


def _upload(rconn: Any, server: RedisServer, device: str, name: str, form: Form) -> bytes | None:
    values = []
    for field, upload in form.files.items():
        if not upload.data:
            continue
        data, format = upload.data, file_format(upload.filename)[-32:]
        size = len(data)
        if "zip" in form.fields:
            data, format = gzip.compress(data), f"{format}.gz"
        values.append({"name": field.removeprefix("m."), "size": size, "format": format, "value": data})
    return tools.newblobvector(rconn, server, name, device, values) if values else None
