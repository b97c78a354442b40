"""INDI to MQTT."""

from __future__ import annotations

from indiredis import IndiServer, inditomqtt
from indiredis import mqtt_server as _full

from . import MQTTServer, own_id

__all__ = ["run"]


def run(indi_host: IndiServer, mqtt_host: MQTTServer, mqtt_id: str = "") -> None:
    """Publish over MQTT what an INDI server sends, and pass on what arrives from there.  Blocks.

    Args:
        indi_host: From :func:`indimqttredis.indi_server`.
        mqtt_host: From :func:`indimqttredis.mqtt_server`.
        mqtt_id: Our name at the broker; one is made up if none is given.
    """
    inditomqtt(indi_host, mqtt_id or own_id("indi"), _full(*mqtt_host))
