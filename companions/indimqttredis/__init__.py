"""The names of 2020 over :mod:`indiredis`: INDI to redis, INDI to MQTT, and MQTT to redis."""

from __future__ import annotations

import secrets
import socket
from importlib import import_module
from typing import Any, NamedTuple

import indiredis as _bridges

__all__ = [
    "IndiServer",
    "MQTTServer",
    "RedisServer",
    "indi_server",
    "indimqtt",
    "indiredis",
    "mqtt_server",
    "mqttredis",
    "redis_server",
]

from indiredis import IndiServer, indi_server

_SUBMODULES = frozenset("fromxml indimqtt indiredis mqttredis toxml".split())


class RedisServer(NamedTuple):
    """A redis server."""

    host: str
    port: int
    db: int
    password: str
    keyprefix: str


class MQTTServer(NamedTuple):
    """An MQTT broker."""

    host: str
    port: int
    username: str
    password: str
    to_indi_topic: str
    from_indi_topic: str


def redis_server(
    host: str = "localhost", port: int = 6379, db: int = 0, password: str = "", keyprefix: str = "indi_"
) -> RedisServer:
    """The address of a redis server; see :func:`indiredis.redis_server`.

    Raises:
        ValueError: The port is not a number from 1 to 65535.
    """
    _bridges.redis_server(host, port, db, password, keyprefix)
    return RedisServer(host, port, db, password, keyprefix)


def mqtt_server(
    host: str = "localhost",
    port: int = 1883,
    username: str = "",
    password: str = "",
    to_indi_topic: str = "to_indi",
    from_indi_topic: str = "from_indi",
) -> MQTTServer:
    """The address of an MQTT broker; see :func:`indiredis.mqtt_server`.

    Raises:
        ValueError: The port is not a number from 1 to 65535; the topics are empty or the same.
    """
    _bridges.mqtt_server(host, port, username, password, to_indi_topic, from_indi_topic)
    return MQTTServer(host, port, username, password, to_indi_topic, from_indi_topic)


def own_id(kind: str) -> str:
    """A unique name at the broker, because scripts for this package do not choose one."""
    host = "".join(char for char in socket.gethostname() if char.isalnum() or char in "-_")
    return f"{kind}-{host}-{secrets.token_hex(4)}"


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
