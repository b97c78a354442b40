"""The bridges over MQTT as coroutines that can be stopped."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from indipyclient.addresses import Endpoint
from indipyclient.client import Client

from .answering import Answering
from .blobfolder import open_folder
from .errors import need
from .logs import Logs, LogStore
from .mqtt.broker import Broker, Will
from .mqtt.listener import Listener
from .mqtt.site import Site
from .mqtt.topics import Topics, check_id, check_ids, presence
from .mqtt.tree import Tree
from .mqtt.treebridge import TreeBridge
from .run import STARTED, Ready, Telling, asking, following, serve_redis, until
from .servers import IndiServer, MQTTOptions, MQTTServer, RedisServer
from .sources import Driver, client_of, driver_hub, server_client

if TYPE_CHECKING:
    from indipyserver import IPyServer

__all__ = ["run_driverstomqtt", "run_inditomqtt", "run_mqtttoport", "run_mqtttoredis"]

logger = logging.getLogger("indiredis")

_PATIENCE: Final = 1.0
"""How many seconds a port for clients waits for the broker before it opens without it."""


async def run_inditomqtt(
    indiserver: IndiServer,
    mqtt_id: str,
    mqttserver: MQTTServer,
    stop: asyncio.Event | None = None,
    *,
    subscribe_list: Sequence[str] = (),
    options: MQTTOptions | None = None,
    ready: Ready | None = None,
) -> None:
    """Publish over MQTT what an INDI server sends, until stopped.

    Args:
        indiserver: From :func:`indi_server`.
        mqtt_id: The name of this bridge at the broker.
        mqttserver: From :func:`mqtt_server`.
        stop: Ends it when set.
        subscribe_list: Names of the bridges whose commands are accepted; empty for all.
        options: How the broker is used.
        ready: Called when the broker is connected.

    Raises:
        ValueError: An argument is wrong.
        MissingPackage: The package aiomqtt is not installed.
    """
    topics = Topics(check_id(mqtt_id), mqttserver, check_ids(subscribe_list))
    telling = Telling()
    client = server_client(indiserver, telling.status, telling.pass_message)
    await _serve_site(client, telling, mqttserver, topics, stop, options, ready, [])


async def run_driverstomqtt(
    drivers: Driver | Iterable[Driver],
    mqtt_id: str,
    mqttserver: MQTTServer,
    stop: asyncio.Event | None = None,
    *,
    subscribe_list: Sequence[str] = (),
    options: MQTTOptions | None = None,
    ready: Ready | None = None,
) -> None:
    """Run drivers, and publish over MQTT what they send, until stopped; see :func:`run_inditomqtt`.

    Args:
        drivers: As for :func:`run_driverstoredis`.

    Raises:
        FileNotFoundError: There is no such program.
    """
    topics = Topics(check_id(mqtt_id), mqttserver, check_ids(subscribe_list))
    need("aiomqtt", "mqtt")
    telling = Telling()
    async with driver_hub(drivers, telling.status, telling.pass_message) as client:
        await _serve_site(client, telling, mqttserver, topics, stop, options, ready, [STARTED])


async def _serve_site(
    client: Client,
    telling: Telling,
    server: MQTTServer,
    topics: Topics,
    stop: asyncio.Event | None,
    options: MQTTOptions | None,
    ready: Ready | None,
    said: list[str],
) -> None:
    broker = Broker(
        server,
        topics.own,
        topics.of_a_site,
        will=Will(topics.status, presence(topics.own, False)),
        options=options,
    )
    logger.info("from INDI at %s to MQTT at %s as %s", client.endpoint, broker.where, topics.own)
    with asking(client, telling) as answering:
        async with following(client) as feed:
            site = Site(feed, broker, topics, answering.check)
            telling.message = site.message_heard
            telling.pass_on(site.status_changed)
            site.tell(said)
            more = [] if options is None else _tree(client, server, topics, options, site, answering)
            await until(stop, broker.run(), site.pump(), site.carry(), _when(site.ready, ready), *more)


def _tree(
    client: Client, server: MQTTServer, topics: Topics, options: MQTTOptions, site: Site, answering: Answering
) -> list[Coroutine[Any, Any, None]]:
    """Publish the tree of JSON topics, over a separate connection."""
    if not (options.tree or options.home_assistant):
        return []
    tree = Tree(topics.own)
    subscriptions = TreeBridge.subscriptions(tree, options.home_assistant)
    broker = Broker(
        server, f"{topics.own}-tree", subscriptions, will=TreeBridge.will(tree), options=options, no_local=True
    )
    broker.on_refused = lambda text: site.tell([text])
    bridge = TreeBridge(client, broker, tree, options.home_assistant, site.turn, answering.check)
    return [broker.run(), bridge.run()]


async def run_mqtttoredis(
    mqtt_id: str,
    mqttserver: MQTTServer,
    redisserver: RedisServer,
    stop: asyncio.Event | None = None,
    *,
    subscribe_list: Sequence[str] = (),
    log_lengths: Mapping[str, int] | None = None,
    blob_folder: str | os.PathLike[str] = "",
    log_store: LogStore | str = LogStore.STREAM,
    options: MQTTOptions | None = None,
    ready: Ready | None = None,
) -> None:
    """Store in redis what arrives over MQTT, until stopped; see :func:`run_inditomqtt` and :func:`run_inditoredis`."""
    topics = Topics(check_id(mqtt_id), mqttserver, check_ids(subscribe_list))
    folder = open_folder(blob_folder)
    logs = Logs(log_lengths, log_store)
    broker, listener = _listening(mqttserver, topics, options)
    telling = Telling()
    client = client_of(listener.connect, Endpoint(mqttserver.host, mqttserver.port), telling.status)
    await serve_redis(
        client,
        telling,
        redisserver,
        folder,
        logs,
        stop,
        source=f"MQTT at {broker.where}",
        ready=ready,
        extra=[broker.run(), listener.pump()],
    )


async def run_mqtttoport(
    mqtt_id: str,
    mqttserver: MQTTServer,
    stop: asyncio.Event | None = None,
    *,
    subscribe_list: Sequence[str] = (),
    port: int = 7624,
    host: str = "localhost",
    options: MQTTOptions | None = None,
    ready: Ready | None = None,
) -> None:
    """Serve to INDI clients what arrives over MQTT, until stopped; see :func:`run_inditomqtt`.

    Args:
        port: The port for clients.
        host: The address to listen on.

    Raises:
        OSError: The port is in use.
    """
    from indipyserver import Backoff, IPyServer

    topics = Topics(check_id(mqtt_id), mqttserver, check_ids(subscribe_list))
    broker, listener = _listening(mqttserver, topics, options)
    inlet = await asyncio.get_running_loop().create_server(listener.accept, "127.0.0.1", 0)
    try:
        server = IPyServer(host=host, port=port)
        server.add_remote(
            "127.0.0.1", inlet.sockets[0].getsockname()[1], blob_enable=True, backoff=Backoff(0.25, 2.0, 10.0)
        )
        await until(stop, broker.run(), listener.pump(), _serve(server, listener), _when(listener.ready, ready))
    finally:
        inlet.close()


async def _serve(server: IPyServer, listener: Listener) -> None:
    """The server waits a moment for the broker, so that its link to it does not begin with a failure."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_PATIENCE):
            await listener.broker_up()
    await server.asyncrun()


def _listening(server: MQTTServer, topics: Topics, options: MQTTOptions | None) -> tuple[Broker, Listener]:
    if options is not None and (options.tree or options.home_assistant):
        logger.warning("there is no tree of JSON topics here: the bridges beside instruments publish theirs")
    broker = Broker(
        server,
        topics.own,
        topics.of_a_listener,
        will=Will(topics.status, presence(topics.own, False)),
        options=options,
        impatient=True,
    )
    return broker, Listener(broker, topics)


async def _when(event: asyncio.Event, ready: Ready | None) -> None:
    await event.wait()
    if ready is not None:
        ready()
    await asyncio.Event().wait()
