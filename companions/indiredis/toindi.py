"""The module of old versions that takes commands from redis, for scripts that import it.  New ones use the bridges."""

from __future__ import annotations

from typing import Any, Protocol

from indipydriver.protocol.messages import EnableBlob, GetProperties, NewVector
from indipydriver.protocol.tags import BlobMode
from indipydriver.protocol.values import format_timestamp

from . import tools
from .keys import Keys
from .requests import NotUnderstood, request
from .servers import RedisServer

__all__ = ["SenderLoop"]


class Sender(Protocol):
    """A receiver of XML, such as a deque."""

    def append(self, data: bytes, /) -> object: ...


class SenderLoop:
    """A callable that blocks, and hands over what programs publish.

    Args:
        sender: Receives each element as bytes.
        rconn: A connection to redis.
        redisserver: From :func:`indiredis.redis_server`.
    """

    def __init__(self, sender: Sender, rconn: Any, redisserver: RedisServer) -> None:
        self._sender = sender
        self._rconn = rconn
        self._server = redisserver
        self._keys = Keys(redisserver.keyprefix)

    def __call__(self) -> None:
        with self._rconn.pubsub() as pubsub:
            pubsub.subscribe(self._server.to_indi_channel)
            while True:
                message = pubsub.get_message(ignore_subscribe_messages=True, timeout=1)
                if message is not None:
                    self.take(message["data"])

    def take(self, payload: bytes) -> None:
        """Mark a payload as in progress, and hand it over; what is not understood is dropped."""
        try:
            asked = request(payload)
        except NotUnderstood:
            return
        keys = self._keys
        if isinstance(asked, NewVector):
            self._set(asked.name, asked.device, "state", "Busy")
        elif isinstance(asked, EnableBlob) and asked.device is not None:
            shown = "Disabled" if asked.mode is BlobMode.NEVER else "Enabled"
            names = [asked.name] if asked.name else tools.properties(self._rconn, self._server, asked.device)
            for name in names:
                if "blobs" in tools.attributes_dict(self._rconn, self._server, name, asked.device):
                    self._set(name, asked.device, "blobs", shown)
        elif isinstance(asked, GetProperties):
            now = format_timestamp().partition(".")[0]
            self._rconn.set(keys.getproperties(asked.name or "", asked.device or ""), now)
        self._sender.append(payload)

    def _set(self, name: str, device: str, field: str, value: str) -> None:
        key = self._keys.attributes(name, device)

        def change(pipeline: Any) -> None:
            if pipeline.exists(key):  # and as long as it is so
                pipeline.multi()
                pipeline.hset(key, field, value)

        self._rconn.transaction(change, key)
