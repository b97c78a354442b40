"""Options of the commands, and the configuration file that can hold them."""

from __future__ import annotations

import argparse
import configparser
import os
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from ..servers import (
    IndiServer,
    MQTTOptions,
    MQTTServer,
    RedisServer,
    indi_server,
    mqtt_server,
    redis_server,
)

__all__ = [
    "add_common",
    "add_indi",
    "add_mqtt",
    "add_redis",
    "from_file",
    "indi_of",
    "mqtt_of",
    "options_of",
    "redis_of",
]

REDIS_PASSWORD: Final = "INDIREDIS_REDIS_PASSWORD"
MQTT_PASSWORD: Final = "INDIREDIS_MQTT_PASSWORD"
FLAGS: Final = ("tls", "tree", "ha", "verbose")
"""Options without a value; in a file their value is yes or no."""


def add_common(parser: argparse.ArgumentParser) -> None:
    """Options of every command."""
    parser.add_argument("--config", metavar="FILE", help="take options from the section [indiredis] of this file")
    parser.add_argument("-v", "--verbose", action="store_true", help="tell more")


def add_indi(parser: argparse.ArgumentParser) -> None:
    """Options for the INDI server."""
    parser.add_argument("--ihost", default="localhost", help="host of the INDI server (localhost)")
    parser.add_argument("--iport", type=int, default=7624, help="port of the INDI server (7624)")


def add_redis(parser: argparse.ArgumentParser) -> None:
    """Options for redis."""
    add = parser.add_argument
    add("--rhost", default="localhost", help="host of the redis server (localhost)")
    add("--rport", type=int, default=6379, help="port of the redis server (6379)")
    add("--rdb", type=int, default=0, help="number of its database (0)")
    add("--rpassword-file", metavar="FILE", help=f"file with its password; otherwise from ${REDIS_PASSWORD}")
    add("--prefix", default="indi_", help="prefix of all keys (indi_)")
    add("--toindipub", default="to_indi", help="channel for commands (to_indi)")
    add("--fromindipub", default="from_indi", help="channel for messages of devices (from_indi)")


def add_mqtt(parser: argparse.ArgumentParser) -> None:
    """Options for the broker."""
    add = parser.add_argument
    add("--id", required=True, help="name of this bridge at the broker, which must be unique")
    add("--mhost", default="localhost", help="host of the MQTT broker (localhost)")
    add("--mport", type=int, help="port of the MQTT broker (1883; 8883 if encrypted)")
    add("--username", default="", help="name of the user at the broker")
    add("--password-file", metavar="FILE", help=f"file with the password; otherwise from ${MQTT_PASSWORD}")
    add("--tls", action="store_true", help="encrypt, and trust the certificates that this machine trusts")
    add("--cafile", metavar="FILE", help="encrypt, and trust the certificates signed by this authority")
    add("--qos", type=int, choices=(0, 1, 2), default=1, help="quality of service of raw messages (1)")
    add("--tree", action="store_true", help="also publish a tree of JSON topics, and accept commands from it")
    add("--ha", action="store_true", help="announce the devices of the tree to Home Assistant")
    add("--subscribe", action="append", default=[], metavar="ID", help="listen to this bridge only; may be repeated")


def from_file(parser: argparse.ArgumentParser, argv: Sequence[str]) -> list[str]:
    """The options of a configuration file, followed by those of the command line."""
    first = argparse.ArgumentParser(add_help=False)
    first.add_argument("--config")
    known, _ = first.parse_known_args(argv)
    if not known.config:
        return list(argv)
    config = configparser.ConfigParser(interpolation=None)
    try:
        with open(known.config, encoding="utf-8-sig") as file:
            config.read_file(file)
        section: Mapping[str, str] = config["indiredis"]
    except (OSError, configparser.Error, KeyError, UnicodeDecodeError) as error:
        parser.error(f"{known.config}: {error}")
    given: list[str] = []
    for name, value in section.items():
        if name in FLAGS:
            wanted = config.BOOLEAN_STATES.get(value.lower() or "yes")
            if wanted is None:  # not encrypted, for example, as somebody wrote "y"
                parser.error(f"{known.config}: {name} must be yes or no, not {value!r}")
            given += [f"--{name}"] if wanted else []
        else:
            given += [f"--{name}={each}" for each in (value.split() if name == "subscribe" else [value])]
    return [argv[0], *given, *argv[1:]] if argv and not argv[0].startswith("-") else [*given, *argv]


def _secret(file: str | None, variable: str) -> str:
    if file:
        return Path(file).expanduser().read_text(encoding="utf-8-sig").strip()
    return os.environ.get(variable, "")


def indi_of(options: argparse.Namespace) -> IndiServer:
    return indi_server(options.ihost, options.iport)


def redis_of(options: argparse.Namespace) -> RedisServer:
    password = _secret(options.rpassword_file, REDIS_PASSWORD)
    return redis_server(
        options.rhost,
        options.rport,
        options.rdb,
        password,
        options.prefix,
        options.toindipub,
        options.fromindipub,
    )


def mqtt_of(options: argparse.Namespace) -> MQTTServer:
    password = _secret(options.password_file, MQTT_PASSWORD)
    usual = 8883 if options.tls or options.cafile else 1883
    port = usual if options.mport is None else options.mport
    return mqtt_server(options.mhost, port, options.username, password)


def options_of(options: argparse.Namespace) -> MQTTOptions:
    tls: bool | ssl.SSLContext = options.tls
    if options.cafile:
        tls = ssl.create_default_context(cafile=options.cafile)
    return MQTTOptions(qos=options.qos, tls=tls, tree=options.tree, home_assistant=options.ha)
