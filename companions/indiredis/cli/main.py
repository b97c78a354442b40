"""``indiredis indi-redis|drivers-redis|indi-mqtt|drivers-mqtt|mqtt-redis|mqtt-port``: one bridge, until it is ended."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Coroutine, Sequence
from typing import Any

from indipydriver import version
from indipydriver.errors import IndiError

from ..mqttrun import run_driverstomqtt, run_inditomqtt, run_mqtttoport, run_mqtttoredis
from ..run import run_driverstoredis, run_inditoredis
from .options import add_common, add_indi, add_mqtt, add_redis, from_file, indi_of, mqtt_of, options_of, redis_of

__all__ = ["main", "parser_of", "run_until_told"]

COMMANDS = {
    "indi-redis": "store in redis what an INDI server sends",
    "drivers-redis": "run drivers, and store in redis what they send",
    "indi-mqtt": "publish over MQTT what an INDI server sends",
    "drivers-mqtt": "run drivers, and publish over MQTT what they send",
    "mqtt-redis": "store in redis what arrives over MQTT",
    "mqtt-port": "serve to INDI clients what arrives over MQTT",
}


def parser_of() -> argparse.ArgumentParser:
    """All commands with their options."""
    parser = argparse.ArgumentParser(prog="indiredis", description="Bridges between INDI, redis and MQTT.")
    parser.add_argument("--version", action="version", version=version)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in COMMANDS.items():
        each = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        add_common(each)
        if name.startswith("indi"):
            add_indi(each)
        if "mqtt" in name:
            add_mqtt(each)
        if name.endswith("redis"):
            add_redis(each)
            each.add_argument("--blobfolder", required=True, help="folder for BLOBs; created if it does not exist")
        if name == "mqtt-port":
            each.add_argument("--host", default="localhost", help="address to listen on (localhost)")
            each.add_argument("--port", type=int, default=7624, help="port for INDI clients (7624)")
        if name.startswith("drivers"):
            each.add_argument("drivers", nargs="+", metavar="DRIVER", help="name of a program, or its path")
    return parser


def _job(options: argparse.Namespace, stop: asyncio.Event) -> Coroutine[Any, Any, None]:
    command = options.command
    if command == "indi-redis":
        return run_inditoredis(indi_of(options), redis_of(options), stop, blob_folder=options.blobfolder)
    if command == "drivers-redis":
        return run_driverstoredis(options.drivers, redis_of(options), stop, blob_folder=options.blobfolder)
    mqtt, more = mqtt_of(options), options_of(options)
    listed = options.subscribe
    if command == "indi-mqtt":
        return run_inditomqtt(indi_of(options), options.id, mqtt, stop, subscribe_list=listed, options=more)
    if command == "drivers-mqtt":
        return run_driverstomqtt(options.drivers, options.id, mqtt, stop, subscribe_list=listed, options=more)
    if command == "mqtt-redis":
        return run_mqtttoredis(
            options.id,
            mqtt,
            redis_of(options),
            stop,
            subscribe_list=listed,
            blob_folder=options.blobfolder,
            options=more,
        )
    return run_mqtttoport(
        options.id, mqtt, stop, subscribe_list=listed, host=options.host, port=options.port, options=more
    )


def run_until_told(job: Any) -> int:
    """Run a bridge until Ctrl-C or SIGTERM, or until its terminal is closed; returns the exit status."""

    async def work() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        wanted = [signal.SIGINT, signal.SIGTERM]
        if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # else nohup has it ignored
            wanted.append(signal.SIGHUP)
        for number in wanted:
            try:
                loop.add_signal_handler(number, stop.set)
            except (NotImplementedError, RuntimeError):  # not on this platform
                pass
        await job(stop)

    try:
        asyncio.run(work())
    except KeyboardInterrupt:
        return 130
    except (IndiError, OSError, ValueError) as error:
        sys.stderr.write(f"indiredis: {error}\n")
        return 2
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = parser_of()
    given = from_file(parser, sys.argv[1:] if argv is None else argv)
    options = parser.parse_args(given)
    level = logging.INFO if options.verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    return run_until_told(lambda stop: _job(options, stop))


if __name__ == "__main__":
    sys.exit(main())
