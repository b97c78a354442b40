"""The addresses of servers: the tuples that all functions take."""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

__all__ = ["IndiServer", "MQTTOptions", "MQTTServer", "RedisServer", "indi_server", "mqtt_server", "redis_server"]

OURS: Final = ("status", "blobs", "count")
"""First parts of topics that have the same meaning for all bridges."""


class IndiServer(NamedTuple):
    """An INDI server."""

    host: str
    port: int


class RedisServer(NamedTuple):
    """A redis server, and the names that are used there."""

    host: str
    port: int
    db: int
    password: str
    keyprefix: str
    to_indi_channel: str
    from_indi_channel: str


class MQTTServer(NamedTuple):
    """An MQTT broker, and the topics that are used there."""

    host: str
    port: int
    username: str
    password: str
    to_indi_topic: str
    from_indi_topic: str
    snoop_control_topic: str
    snoop_data_topic: str


@dataclass(frozen=True, slots=True)
class MQTTOptions:
    """How the broker is used.

    Attributes:
        qos: Quality of service of raw messages: 0, 1 or 2.
        tls: For an encrypted connection: True for the certificates that this machine trusts, or a context.
        keepalive: Seconds of silence after which the broker is asked whether it is there.
        tree: Also publish a tree of JSON topics, and accept commands from it.
        home_assistant: Announce the devices of the tree to Home Assistant.
        password_file: A file that holds the password, in place of the one in the tuple.
    """

    qos: int = 1
    tls: bool | ssl.SSLContext = False
    keepalive: int = 15
    password_file: str | Path | None = None
    tree: bool = False
    home_assistant: bool = False

    def __post_init__(self) -> None:
        if self.qos not in (0, 1, 2):
            raise ValueError(f"the quality of service must be 0, 1 or 2, not {self.qos!r}")


def _check_port(port: object) -> None:
    if not isinstance(port, int) or isinstance(port, bool) or not 0 < port < 65536:
        raise ValueError(f"a port must be a number from 1 to 65535, not {port!r}")


def indi_server(host: str = "localhost", port: int = 7624) -> IndiServer:
    """The address of an INDI server.

    Args:
        host: Its name or address.
        port: Its port.

    Raises:
        ValueError: The port is not a number from 1 to 65535.
    """
    _check_port(port)
    return IndiServer(host, port)


def redis_server(
    host: str = "localhost",
    port: int = 6379,
    db: int = 0,
    password: str = "",
    keyprefix: str = "indi_",
    to_indi_channel: str = "to_indi",
    from_indi_channel: str = "from_indi",
) -> RedisServer:
    """The address of a redis server.

    Args:
        host: Its name or address.
        port: Its port.
        db: Number of its database.
        password: Its password, if it requires one.
        keyprefix: The prefix of all keys.
        to_indi_channel: Channel on which programs publish commands, as XML.
        from_indi_channel: Channel on which messages of the devices are published.

    Raises:
        ValueError: The port is not a number from 1 to 65535; a channel is empty, or both are the same.
    """
    _check_port(port)
    if not to_indi_channel or not from_indi_channel or to_indi_channel == from_indi_channel:
        raise ValueError("two different channels are needed, to_indi_channel and from_indi_channel")
    return RedisServer(host, port, db, password, keyprefix, to_indi_channel, from_indi_channel)


def mqtt_server(
    host: str = "localhost",
    port: int = 1883,
    username: str = "",
    password: str = "",
    to_indi_topic: str = "to_indi",
    from_indi_topic: str = "from_indi",
    snoop_control_topic: str = "snoop_control",
    snoop_data_topic: str = "snoop_data",
) -> MQTTServer:
    """The address of an MQTT broker.

    Args:
        host: Its name or address.
        port: Its port.
        username: User name, if the broker requires one.
        password: Password, if the broker requires one.
        to_indi_topic: Topic for messages to the devices.
        from_indi_topic: Topic for messages from the devices.
        snoop_control_topic: Topic for requests of drivers that follow devices elsewhere.
        snoop_data_topic: Topic for the data that they receive.

    Raises:
        ValueError: The port is not a number from 1 to 65535; the four topics are not four different texts, or one of
            them lies below another, or cannot be a topic.
    """
    _check_port(port)
    topics = (to_indi_topic, from_indi_topic, snoop_control_topic, snoop_data_topic)
    if not all(isinstance(topic, str) and topic for topic in topics) or len(set(topics)) < len(topics):
        raise ValueError("the four topics must be four different texts that are not empty")
    for topic in topics:
        if re.search(r"[+#\x00-\x1f\x7f-\x9f]|^\$", topic) or topic.partition("/")[0] in OURS:
            raise ValueError(f"this cannot be a topic of a bridge: {topic!r}")
        if any(other.startswith(f"{topic}/") for other in topics):  # a listener to one would also receive the other
            raise ValueError(f"a topic lies below another: {topic!r}")
    return MQTTServer(host, port, username, password, *topics)
