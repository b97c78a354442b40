"""The module of old versions that stores XML in redis, for scripts that import it.  New ones use the bridges."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from indipyclient.model.model import Change, Model, What
from indipydriver.errors import RemoteProtocolError
from indipydriver.protocol.decode import decode
from indipydriver.protocol.frame import Frame
from indipydriver.protocol.framer import Framer
from indipydriver.protocol.messages import OneBlob, SetVector
from indipydriver.protocol.values import format_timestamp

from . import tools
from .blobfolder import open_folder, write_blob
from .keys import Keys
from .logs import Logs
from .plan import Planner
from .records import Stored
from .servers import RedisServer, redis_server

__all__ = [
    "BLOBVector",
    "LightVector",
    "Message",
    "NumberVector",
    "SwitchVector",
    "TextVector",
    "delProperty",
    "key",
    "receive_from_indiserver",
    "receive_stream",
    "setup_redis",
]

logger = logging.getLogger("indiredis")


class _State:
    """The state of this module: one INDI server, one redis."""

    def __init__(self, server: RedisServer, lengths: Mapping[str, int] | None, folder: Path | None) -> None:
        self.server = server
        self.keys = Keys(server.keyprefix)
        self.model = Model(keep_blobs=False)
        self.planner = Planner(self.keys, Logs(lengths))
        self.framer = Framer()
        self.folder = folder

    def take(self, frame: Frame, rconn: Any) -> str | None:
        """Store a frame; returns the device that it defines."""
        try:
            change = self.model.apply(decode(frame))
        except RemoteProtocolError:
            return None
        if change is None:
            return None
        if rconn is not None:
            self._store(frame, change, rconn)
        return change.prop.device if change.what is What.DEFINED and change.prop is not None else None

    def _store(self, frame: Frame, change: Change, rconn: Any) -> None:
        files: dict[tuple[str, str, str], Stored] = {}
        message = change.message
        if isinstance(message, SetVector) and self.folder is not None:
            for one in message.members:
                if not isinstance(one, OneBlob):
                    continue
                try:
                    files[message.device, message.name, one.name] = write_blob(self.folder, message, one)
                except OSError as error:  # everything else is stored nevertheless
                    logger.error("a BLOB of %s cannot be written: %s", message.device, error)
        properties = [change.prop] if change.prop is not None else []
        deleted = [(grave.device, grave.name) for grave in self.model.since(change.rev - 1).deleted]
        if change.prop is not None:
            self.planner.doubt_state(change.prop.key)  # toindi says Busy without asking
        with rconn.pipeline(transaction=True) as pipeline:
            for command in self.planner.update(properties, deleted, [change], [message], files):
                pipeline.execute_command(*command)
            pipeline.publish(self.server.from_indi_channel, b"".join(frame.chunks))
            pipeline.execute()


_state = _State(redis_server(), None, None)


def setup_redis(
    key_prefix: str,
    to_indi_channel: str,
    from_indi_channel: str,
    log_lengths: Mapping[str, int] | None = None,
    blob_folder: str = "",
) -> None:
    """Forget everything, and store under this prefix from now on."""
    global _state  # noqa: PLW0603
    server = redis_server(keyprefix=key_prefix, to_indi_channel=to_indi_channel, from_indi_channel=from_indi_channel)
    _state = _State(server, log_lengths, open_folder(blob_folder) if blob_folder else None)


def key(*parts: str) -> str:
    """The name of a key."""
    return _state.keys.key(*parts)


def receive_stream(data: bytes, rconn: Any = None) -> list[str]:
    """Take bytes as received; returns the devices that were defined."""
    return [device for frame in _state.framer.feed(data) if (device := _state.take(frame, rconn)) is not None]


def receive_from_indiserver(data: bytes, root: ET.Element | None = None, rconn: Any = None) -> str | None:
    """Store an element.

    Args:
        data: The element as bytes.
        root: The element as a tree; not needed.
        rconn: A connection to redis.

    Returns:
        The device, if the element is a definition.
    """
    found = None
    for frame in Framer().feed(data):
        found = _state.take(frame, rconn) or found
    return found


class _Vector(Mapping[str, dict[str, Any]]):
    """A property as stored in redis: the elements by name."""

    def __init__(self, attributes: dict[str, str], elements: dict[str, dict[str, Any]]) -> None:
        self.attributes = attributes
        self.elements = elements

    @classmethod
    def read(cls, rconn: Any, device: str, name: str) -> _Vector | None:
        """Read it; None if it does not exist or is of another kind."""
        attributes = tools.attributes_dict(rconn, _state.server, name, device)
        if attributes.get("vector") != cls.__name__:
            return None
        elements = tools.property_elements(rconn, _state.server, name, device)
        return cls(attributes, {one["name"]: one for one in elements})

    def update_from_setvector(self, rconn: Any, root: ET.Element) -> None:
        """Store an update."""
        receive_from_indiserver(ET.tostring(root), root, rconn)

    def write(self, rconn: Any) -> None:
        """Write the attributes as they are."""
        rconn.hset(_state.keys.attributes(self.attributes["name"], self.attributes["device"]), mapping=self.attributes)

    def log(self, rconn: Any) -> None:
        """Add the attributes to their log."""
        log = _state.keys.log(_state.keys.attributes(self.attributes["name"], self.attributes["device"]))
        for command in Logs().add("attributes", log, self.attributes, format_timestamp()):
            rconn.execute_command(*command)

    def __getitem__(self, name: str) -> dict[str, Any]:
        return self.elements[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.elements)

    def __len__(self) -> int:
        return len(self.elements)


class TextVector(_Vector):
    """A text property."""


class NumberVector(_Vector):
    """A number property."""


class SwitchVector(_Vector):
    """A switch property."""


class LightVector(_Vector):
    """A light property."""


class BLOBVector(_Vector):
    """A BLOB property."""


class Message:
    """Messages in redis."""

    @staticmethod
    def get_message(rconn: Any, device: str = "") -> str | None:
        """The last message of a device, or of the site."""
        return tools.last_message(rconn, _state.server, device)


class delProperty:
    """A deletion, from its element."""

    def __init__(self, root: ET.Element) -> None:
        self.device = root.get("device")
        self.name = root.get("name")
        self._data = ET.tostring(root)

    def write(self, rconn: Any) -> None:
        """Delete what it says."""
        receive_from_indiserver(self._data, None, rconn)
