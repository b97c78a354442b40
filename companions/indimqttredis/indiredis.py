"""INDI to redis."""

from __future__ import annotations

import os

from indiredis import IndiServer, inditoredis
from indiredis import redis_server as _full

from . import RedisServer

__all__ = ["run"]

BLOBS = "~/indi_blobs"
"""The default folder for BLOBs."""


def run(indi_host: IndiServer, redis_host: RedisServer, blob_folder: str | os.PathLike[str] = BLOBS) -> None:
    """Store in redis what an INDI server sends, and pass on what programs publish there.  Blocks.

    Args:
        indi_host: From :func:`indimqttredis.indi_server`.
        redis_host: From :func:`indimqttredis.redis_server`.
        blob_folder: The folder for BLOBs.
    """
    inditoredis(indi_host, _full(*redis_host), blob_folder=blob_folder)
