"""Instruments in redis and over MQTT.

The functions without ``run_`` block until the program ends; those with it are coroutines that can be stopped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from indipyclient.lazy import lazily
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
    ".indiwsgi": "make_wsgi_app",
    ".mqttrun": "run_driverstomqtt run_inditomqtt run_mqtttoport run_mqtttoredis",
    ".run": "run_driverstoredis run_inditoredis",
    ".servers": "IndiServer MQTTOptions MQTTServer RedisServer indi_server mqtt_server redis_server",
}

__getattr__, __dir__ = lazily(globals(), _MODULES, "fromindi indiwsgi toindi tools")
