"""MQTT to redis."""

from __future__ import annotations

import os

from indiredis import mqtt_server as _full_mqtt
from indiredis import mqtttoredis
from indiredis import redis_server as _full_redis

from . import MQTTServer, RedisServer, own_id
from .indiredis import BLOBS

__all__ = ["run"]


def run(
    mqtt_host: MQTTServer, redis_host: RedisServer, mqtt_id: str = "", blob_folder: str | os.PathLike[str] = BLOBS
) -> None:
    """Store in redis what arrives over MQTT, and publish over MQTT what programs publish in redis.  Blocks.

    Args:
        mqtt_host: From :func:`indimqttredis.mqtt_server`.
        redis_host: From :func:`indimqttredis.redis_server`.
        mqtt_id: Our name at the broker; one is made up if none is given.
        blob_folder: The folder for BLOBs.
    """
    mqtttoredis(mqtt_id or own_id("redis"), _full_mqtt(*mqtt_host), _full_redis(*redis_host), blob_folder=blob_folder)
