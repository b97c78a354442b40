"""Functions for programs that read instruments from redis, and send commands through it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from indipydriver.errors import IndiError
from indipydriver.protocol.encode import encode
from indipydriver.protocol.messages import AnyMessage, EnableBlob, GetProperties, NewVector, OneBlob, OneMember
from indipydriver.protocol.tags import VectorKind
from indipydriver.protocol.values import format_timestamp, parse_blob_mode

from .errors import need
from .keys import Keys
from .numbers import format_number, number_to_float
from .servers import RedisServer

__all__ = [
    "attributes_dict",
    "clearredis",
    "devices",
    "elements",
    "elements_dict",
    "enableblob",
    "format_number",
    "getProperties",
    "getproperties_timestamp",
    "last_message",
    "logs",
    "newblobvector",
    "newnumbervector",
    "newswitchvector",
    "newtextvector",
    "number_to_float",
    "open_redis",
    "properties",
    "property_elements",
]


def open_redis(redisserver: RedisServer) -> Any:
    """A connection to redis, or None if it does not answer.

    If the answer to something is late, its functions raise an exception, and do not send it again as redis-py would by
    default: an instrument would get a command twice.
    """
    redis = need("redis", "redis")
    retry = need("redis.retry", "redis").Retry(need("redis.backoff", "redis").NoBackoff(), 0)
    connection = redis.Redis(
        host=redisserver.host,
        port=redisserver.port,
        db=redisserver.db,
        password=redisserver.password or None,
        retry=retry,
        socket_timeout=5,
        socket_connect_timeout=5,
    )
    try:
        connection.ping()
    except (redis.exceptions.RedisError, OSError):
        connection.close()
        return None
    return connection


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _names(rconn: Any, key: str) -> list[str]:
    return sorted(map(_text, rconn.smembers(key)))


def _hash(rconn: Any, key: str) -> dict[str, str]:
    return {_text(name): _text(value) for name, value in rconn.hgetall(key).items()}


# Reading


def devices(rconn: Any, redisserver: RedisServer) -> list[str]:
    """Names of all devices, sorted."""
    return _names(rconn, Keys(redisserver.keyprefix).devices)


def properties(rconn: Any, redisserver: RedisServer, device: str) -> list[str]:
    """Names of the properties of a device, sorted."""
    return _names(rconn, Keys(redisserver.keyprefix).properties(device))


def elements(rconn: Any, redisserver: RedisServer, name: str, device: str) -> list[str]:
    """Names of the elements of a property, sorted."""
    return _names(rconn, Keys(redisserver.keyprefix).elements(name, device))


def attributes_dict(rconn: Any, redisserver: RedisServer, name: str, device: str) -> dict[str, str]:
    """The fields of a property; empty if it is unknown."""
    return _hash(rconn, Keys(redisserver.keyprefix).attributes(name, device))


def _element(fields: dict[str, str]) -> dict[str, Any]:
    return {name: float(value) if name.startswith("float_") else value for name, value in fields.items()}


def elements_dict(rconn: Any, redisserver: RedisServer, elementname: str, name: str, device: str) -> dict[str, Any]:
    """The fields of an element, those that begin with ``float_`` as float; empty if it is unknown."""
    return _element(_hash(rconn, Keys(redisserver.keyprefix).elementattributes(elementname, name, device)))


def _natural(text: str) -> list[tuple[bool, int, str]]:
    parts = re.split(r"(\d{1,18})", text)
    return [(not part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]


def property_elements(rconn: Any, redisserver: RedisServer, name: str, device: str) -> list[dict[str, Any]]:
    """The fields of all elements of a property, in the natural order of their labels: ``x 2`` before ``x 10``."""
    keys = Keys(redisserver.keyprefix)
    names = elements(rconn, redisserver, name, device)
    if not names:
        return []
    with rconn.pipeline(transaction=True) as pipeline:
        for each in names:
            pipeline.hgetall(keys.elementattributes(each, name, device))
        found = [{_text(k): _text(v) for k, v in reply.items()} for reply in pipeline.execute()]
    return sorted(map(_element, filter(None, found)), key=lambda fields: _natural(str(fields.get("label", ""))))


def last_message(rconn: Any, redisserver: RedisServer, device: str = "") -> str | None:
    """``timestamp text`` of the last message of a device, or of the site; None if there is none."""
    keys = Keys(redisserver.keyprefix)
    found = rconn.get(keys.devicemessages(device) if device else keys.messages)
    return None if found is None else _text(found)


def getproperties_timestamp(rconn: Any, redisserver: RedisServer, name: str = "", device: str = "") -> str | None:
    """When definitions were last requested through redis: of everything, a device, or a property."""
    found = rconn.get(Keys(redisserver.keyprefix).getproperties(name, device))
    return None if found is None else _text(found)


def logs(rconn: Any, redisserver: RedisServer, number: int, *keys: str) -> list[list[Any]]:
    """The newest entries of a log: ``[[time, data], ...]``, newest first.

    Args:
        rconn: From :func:`open_redis`.
        redisserver: From :func:`indiredis.redis_server`.
        number: The most entries to return.
        keys: Parts of the key whose history it is, such as ``'elementattributes', element, property, device``.
    """
    if number < 1 or not keys:
        return []
    names = Keys(redisserver.keyprefix)
    log = names.log(names.key(*keys))
    kind = _text(rconn.type(log))
    if kind == "stream":
        entries = [entry for _, entry in rconn.xrevrange(log, count=number)]
        pairs = [{_text(k): _text(v) for k, v in entry.items()} for entry in entries]
        return [[pair.get("timestamp", ""), json.loads(pair.get("datastring", "null"))] for pair in pairs]
    if kind == "list":
        texts = [_text(item).partition(" ") for item in rconn.lrange(log, 0, number - 1)]
        return [[time, json.loads(data)] for time, _, data in texts]
    return []


# Sending


def _publish(rconn: Any, redisserver: RedisServer, message: AnyMessage) -> bytes | None:
    try:
        data = b"".join(encode(message).chunks)
    except IndiError:
        return None
    rconn.publish(redisserver.to_indi_channel, data)
    return data


def getProperties(rconn: Any, redisserver: RedisServer, name: str = "", device: str = "") -> bytes | None:
    """Ask for definitions: of everything, a device, or one property of it."""
    if name and not device:
        return None
    return _publish(rconn, redisserver, GetProperties(device or None, name or None))


def _stamp(timestamp: datetime | None) -> str | None:
    try:
        return format_timestamp(timestamp)
    except IndiError:
        return None


def _send(
    rconn: Any,
    redisserver: RedisServer,
    kind: VectorKind,
    name: str,
    device: str,
    values: Sequence[OneMember] | Sequence[OneBlob],
    timestamp: datetime | None,
) -> bytes | None:
    stamp = _stamp(timestamp)
    if stamp is None or not values:
        return None
    return _publish(rconn, redisserver, NewVector(kind, device, name, tuple(values), stamp))  # type: ignore[arg-type]


def newswitchvector(
    rconn: Any,
    redisserver: RedisServer,
    name: str,
    device: str,
    values: Mapping[str, str],
    timestamp: datetime | None = None,
) -> bytes | None:
    """Set switches: ``{element: 'On' or 'Off'}``; only the given ones are sent.

    Returns:
        The XML that was sent, or None if nothing was.
    """
    if any(value not in ("On", "Off") for value in values.values()):
        return None
    members = [OneMember(element, value) for element, value in values.items()]
    return _send(rconn, redisserver, VectorKind.SWITCH, name, device, members, timestamp)


def _filled(
    rconn: Any, redisserver: RedisServer, name: str, device: str, values: Mapping[str, Any]
) -> list[OneMember] | None:
    """All elements; those that are not given are unchanged."""
    known = elements(rconn, redisserver, name, device)
    if not known or any(element not in known for element in values):
        return None
    found = []
    for element in known:
        value = values.get(element)
        if value is None:
            value = elements_dict(rconn, redisserver, element, name, device).get("value", "")
        found.append(OneMember(element, str(value)))
    return found


def newtextvector(
    rconn: Any,
    redisserver: RedisServer,
    name: str,
    device: str,
    values: Mapping[str, str],
    timestamp: datetime | None = None,
) -> bytes | None:
    """Set text values: ``{element: text}``; elements that are not given are sent unchanged.

    Returns:
        The XML that was sent, or None if the property is unknown.
    """
    members = _filled(rconn, redisserver, name, device, values)
    return _send(rconn, redisserver, VectorKind.TEXT, name, device, members or [], timestamp)


def newnumbervector(
    rconn: Any,
    redisserver: RedisServer,
    name: str,
    device: str,
    values: Mapping[str, str | float],
    timestamp: datetime | None = None,
) -> bytes | None:
    """Set numbers: ``{element: number}``; elements that are not given are sent unchanged.

    Returns:
        The XML that was sent, or None if the property is unknown, or a value is not a number.
    """
    try:
        for value in values.values():
            number_to_float(value)
    except ValueError:
        return None
    members = _filled(rconn, redisserver, name, device, values)
    return _send(rconn, redisserver, VectorKind.NUMBER, name, device, members or [], timestamp)


def newblobvector(
    rconn: Any,
    redisserver: RedisServer,
    name: str,
    device: str,
    values: Iterable[Mapping[str, Any]],
    timestamp: datetime | None = None,
) -> bytes | None:
    """Send BLOBs: ``[{'name': ..., 'size': ..., 'format': ..., 'value': bytes}, ...]``.

    Returns:
        The XML that was sent, or None if nothing was.
    """
    try:
        members = [
            OneBlob(str(one["name"]), bytes(one["value"]), int(one["size"]), str(one["format"])) for one in values
        ]
    except (KeyError, TypeError, ValueError):
        return None
    return _send(rconn, redisserver, VectorKind.BLOB, name, device, members, timestamp)


def enableblob(rconn: Any, redisserver: RedisServer, name: str, device: str, instruction: str) -> bytes | None:
    """Set the BLOB mode of a property: Never, Also or Only; with an empty name, of the whole device."""
    try:
        mode = parse_blob_mode(instruction)
    except IndiError:
        return None
    if not device:
        return None
    return _publish(rconn, redisserver, EnableBlob(device, name or None, mode))


def clearredis(rconn: Any, redisserver: RedisServer) -> None:
    """Delete all keys that show the present state, but no logs, logins or files."""
    keys = Keys(redisserver.keyprefix)
    found = [key for key in map(_text, rconn.scan_iter(match=keys.pattern, count=1000)) if keys.is_current(key)]
    if found:
        rconn.delete(*found)
