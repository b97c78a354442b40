"""The bridges as functions that block until the program ends.

They end with Ctrl-C or SIGTERM, or when the terminal is closed, but first say at the broker that they are offline, save
BLOBs that wait for redis, and delete the key ``link``. In the main thread they handle SIGTERM and SIGHUP, unless the
program has handlers of its own; elsewhere they leave signals alone.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from indipydriver.transport.signals import ENDING, on_signal

from .servers import IndiServer, MQTTServer, RedisServer
from .sources import Driver

__all__ = ["driverstomqtt", "driverstoredis", "inditomqtt", "inditoredis", "mqtttoport", "mqtttoredis"]


def _block(run: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> None:
    """Run a bridge until a signal ends it.

    Raises:
        KeyboardInterrupt: After Ctrl-C.
        SystemExit: After SIGTERM or SIGHUP, with status 143 or 129.
    """
    told: list[int] = []

    async def work() -> None:
        stop = asyncio.Event()

        def end(name: str) -> None:
            told.append(getattr(signal, name))
            stop.set()

        undo = [on_signal(name, partial(end, name), once=True) for name in ENDING]
        try:
            await run(stop)
        finally:
            for each in undo:
                each()

    asyncio.run(work())
    if told:
        raise SystemExit(128 + told[0])


def inditoredis(
    indiserver: IndiServer,
    redisserver: RedisServer,
    log_lengths: Mapping[str, int] | None = None,
    blob_folder: str | os.PathLike[str] = "",
    *,
    log_store: str = "stream",
) -> None:
    """Store in redis what an INDI server sends, and pass on what programs publish there.  Blocks.

    Args:
        indiserver: From :func:`indi_server`.
        redisserver: From :func:`redis_server`.
        log_lengths: How many entries are kept, by kind of log; see the reference on keys.
        blob_folder: The folder for BLOBs; created if it does not exist.
        log_store: ``stream``, or ``list`` for programs that read the lists of old versions.

    Raises:
        ValueError: An argument is wrong.
        MissingPackage: The package redis is not installed.
    """
    from .run import run_inditoredis

    _block(
        lambda stop: run_inditoredis(
            indiserver, redisserver, stop, log_lengths=log_lengths, blob_folder=blob_folder, log_store=log_store
        )
    )


def driverstoredis(
    drivers: Driver | Iterable[Driver],
    redisserver: RedisServer,
    log_lengths: Mapping[str, int] | None = None,
    blob_folder: str | os.PathLike[str] = "",
    *,
    log_store: str = "stream",
) -> None:
    """Run drivers, store in redis what they send, and pass on what programs publish there.  Blocks.

    Args:
        drivers: Names of programs, or a single name.  A list in place of a name is a program with arguments.
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

    _block(
        lambda stop: run_driverstoredis(
            drivers, redisserver, stop, log_lengths=log_lengths, blob_folder=blob_folder, log_store=log_store
        )
    )


def inditomqtt(
    indiserver: IndiServer, mqtt_id: str, mqttserver: MQTTServer, subscribe_list: Sequence[str] = ()
) -> None:
    """Publish over MQTT what an INDI server sends, and pass on what arrives from there.  Blocks.

    Args:
        indiserver: From :func:`indi_server`.
        mqtt_id: The name of this bridge at the broker, which must be unique.
        mqttserver: From :func:`mqtt_server`.
        subscribe_list: Names of the bridges whose commands are accepted; empty for all.

    Raises:
        ValueError: An argument is wrong.
        MissingPackage: The package aiomqtt is not installed.
    """
    from .mqttrun import run_inditomqtt

    _block(lambda stop: run_inditomqtt(indiserver, mqtt_id, mqttserver, stop, subscribe_list=subscribe_list))


def driverstomqtt(
    drivers: Driver | Iterable[Driver], mqtt_id: str, mqttserver: MQTTServer, subscribe_list: Sequence[str] = ()
) -> None:
    """Run drivers, publish over MQTT what they send, and pass on what arrives from there.  Blocks.

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

    _block(lambda stop: run_driverstomqtt(drivers, mqtt_id, mqttserver, stop, subscribe_list=subscribe_list))


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
    """Store in redis what arrives over MQTT, and publish over MQTT what programs publish in redis.  Blocks.

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

    _block(
        lambda stop: run_mqtttoredis(
            mqtt_id,
            mqttserver,
            redisserver,
            stop,
            subscribe_list=subscribe_list,
            log_lengths=log_lengths,
            blob_folder=blob_folder,
            log_store=log_store,
        )
    )


def mqtttoport(mqtt_id: str, mqttserver: MQTTServer, *, subscribe_list: Sequence[str] = (), port: int = 7624) -> None:
    """Serve to INDI clients on ``localhost`` what arrives over MQTT.  Blocks.

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

    _block(lambda stop: run_mqtttoport(mqtt_id, mqttserver, stop, subscribe_list=subscribe_list, port=port))
