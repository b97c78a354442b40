"""The bridges as functions that block until the program is ended."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping, Sequence

from .servers import IndiServer, MQTTServer, RedisServer
from .sources import Driver

__all__ = ["driverstomqtt", "driverstoredis", "inditomqtt", "inditoredis", "mqtttoport", "mqtttoredis"]


def inditoredis(
    indiserver: IndiServer,
    redisserver: RedisServer,
    log_lengths: Mapping[str, int] | None = None,
    blob_folder: str | os.PathLike[str] = "",
    *,
    log_store: str = "stream",
) -> None:
    """Store in redis what an INDI server says, and pass on what programs publish there.  Blocks.

    Args:
        indiserver: From :func:`indi_server`.
        redisserver: From :func:`redis_server`.
        log_lengths: How many entries are kept, by kind of log; see the reference of keys.
        blob_folder: Where BLOBs go; made if it is not there.
        log_store: ``stream``, or ``list`` for programs that read the lists of old versions.

    Raises:
        ValueError: An argument is wrong.
        MissingPackage: The package redis is not installed.
    """
    from .run import run_inditoredis

    asyncio.run(
        run_inditoredis(indiserver, redisserver, log_lengths=log_lengths, blob_folder=blob_folder, log_store=log_store)
    )


def driverstoredis(
    drivers: Driver | Iterable[Driver],
    redisserver: RedisServer,
    log_lengths: Mapping[str, int] | None = None,
    blob_folder: str | os.PathLike[str] = "",
    *,
    log_store: str = "stream",
) -> None:
    """Run drivers, store in redis what they say, and pass on what programs publish there.  Blocks.

    Args:
        drivers: Names of programs; one may stand alone.  A list in the place of a name is a program with arguments.
        redisserver: From :func:`redis_server`.
        log_lengths: As for :func:`inditoredis`.
        blob_folder: As for :func:`inditoredis`.
        log_store: As for :func:`inditoredis`.

    Raises:
        FileNotFoundError: There is no such program.
        ValueError: An argument is wrong.
        MissingPackage: The package redis is not installed.
    """
    from .run import run_driverstoredis

    asyncio.run(
        run_driverstoredis(drivers, redisserver, log_lengths=log_lengths, blob_folder=blob_folder, log_store=log_store)
    )


def inditomqtt(
    indiserver: IndiServer, mqtt_id: str, mqttserver: MQTTServer, subscribe_list: Sequence[str] = ()
) -> None:
    """Publish over MQTT what an INDI server says, and pass on what comes from there.  Blocks.

    Args:
        indiserver: From :func:`indi_server`.
        mqtt_id: The name of this bridge at the broker; no other may have it.
        mqttserver: From :func:`mqtt_server`.
        subscribe_list: Names of those whose commands are taken; empty for all.

    Raises:
        ValueError: An argument is wrong.
        MissingPackage: The package aiomqtt is not installed.
    """
    from .mqttrun import run_inditomqtt

    asyncio.run(run_inditomqtt(indiserver, mqtt_id, mqttserver, subscribe_list=subscribe_list))


def driverstomqtt(
    drivers: Driver | Iterable[Driver], mqtt_id: str, mqttserver: MQTTServer, subscribe_list: Sequence[str] = ()
) -> None:
    """Run drivers, publish over MQTT what they say, and pass on what comes from there.  Blocks.

    Args:
        drivers: As for :func:`driverstoredis`.
        mqtt_id: As for :func:`inditomqtt`.
        mqttserver: From :func:`mqtt_server`.
        subscribe_list: As for :func:`inditomqtt`.

    Raises:
        FileNotFoundError: There is no such program.
        ValueError: An argument is wrong.
        MissingPackage: The package aiomqtt is not installed.
    """
    from .mqttrun import run_driverstomqtt

    asyncio.run(run_driverstomqtt(drivers, mqtt_id, mqttserver, subscribe_list=subscribe_list))


def mqtttoredis(
    mqtt_id: str,
    mqttserver: MQTTServer,
    redisserver: RedisServer,
    *,
    subscribe_list: Sequence[str] = (),
    log_lengths: Mapping[str, int] | None = None,
    blob_folder: str | os.PathLike[str] = "",
    log_store: str = "stream",
) -> None:
    """Store in redis what comes over MQTT, and publish there what programs publish in redis.  Blocks.

    Args:
        mqtt_id: As for :func:`inditomqtt`.
        mqttserver: From :func:`mqtt_server`.
        redisserver: From :func:`redis_server`.
        subscribe_list: Names of the bridges that are listened to; empty for all.
        log_lengths: As for :func:`inditoredis`.
        blob_folder: As for :func:`inditoredis`.
        log_store: As for :func:`inditoredis`.

    Raises:
        ValueError: An argument is wrong.
        MissingPackage: The packages redis or aiomqtt are not installed.
    """
    from .mqttrun import run_mqtttoredis

    asyncio.run(
        run_mqtttoredis(
            mqtt_id,
            mqttserver,
            redisserver,
            subscribe_list=subscribe_list,
            log_lengths=log_lengths,
            blob_folder=blob_folder,
            log_store=log_store,
        )
    )


def mqtttoport(mqtt_id: str, mqttserver: MQTTServer, *, subscribe_list: Sequence[str] = (), port: int = 7624) -> None:
    """Serve to INDI clients on ``localhost`` what comes over MQTT.  Blocks.

    Args:
        mqtt_id: As for :func:`inditomqtt`.
        mqttserver: From :func:`mqtt_server`.
        subscribe_list: Names of the bridges that are listened to; empty for all.
        port: Where clients connect.

    Raises:
        ValueError: An argument is wrong.
        OSError: The port is in use.
        MissingPackage: The package aiomqtt is not installed.
    """
    from .mqttrun import run_mqtttoport

    asyncio.run(run_mqtttoport(mqtt_id, mqttserver, subscribe_list=subscribe_list, port=port))
