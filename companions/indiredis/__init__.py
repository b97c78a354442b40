"""Instruments in redis and over MQTT.

The functions without ``run_`` block until the program is ended; those with it are coroutines that can be stopped.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from indipydriver import version

if TYPE_CHECKING:
    from .blocking import driverstomqtt, driverstoredis, inditomqtt, inditoredis, mqtttoport, mqtttoredis
    from .errors import BridgeError, MissingPackage
    from .mqttrun import run_driverstomqtt, run_inditomqtt, run_mqtttoport, run_mqtttoredis
    from .run import run_driverstoredis, run_inditoredis
    from .servers import IndiServer, MQTTOptions, MQTTServer, RedisServer, indi_server, mqtt_server, redis_server

__all__ = [
    "BridgeError",
    "IndiServer",
    "MQTTOptions",
    "MQTTServer",
    "MissingPackage",
    "RedisServer",
    "driverstomqtt",
    "driverstoredis",
    "indi_server",
    "inditomqtt",
    "inditoredis",
    "mqtt_server",
    "mqtttoport",
    "mqtttoredis",
    "redis_server",
    "run_driverstomqtt",
    "run_driverstoredis",
    "run_inditomqtt",
    "run_inditoredis",
    "run_mqtttoport",
    "run_mqtttoredis",
    "version",
]

_MODULES = {
    ".blocking": "driverstomqtt driverstoredis inditomqtt inditoredis mqtttoport mqtttoredis",
    ".errors": "BridgeError MissingPackage",
    ".mqttrun": "run_driverstomqtt run_inditomqtt run_mqtttoport run_mqtttoredis",
    ".run": "run_driverstoredis run_inditoredis",
    ".servers": "IndiServer MQTTOptions MQTTServer RedisServer indi_server mqtt_server redis_server",
}
_SUBMODULES = frozenset("fromindi indiwsgi toindi tools".split())
_WHERE = {name: module for module, names in _MODULES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return import_module(f".{name}", __name__)
    if name == "make_wsgi_app":
        return import_module(".indiwsgi", __name__).make_wsgi_app
    try:
        module = _WHERE[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    value = globals()[name] = getattr(import_module(module, __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
