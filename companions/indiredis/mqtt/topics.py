"""Names of MQTT topics.  Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from indipydriver.errors import RemoteProtocolError
from indipydriver.protocol.decode import decode
from indipydriver.protocol.encode import encode
from indipydriver.protocol.messages import Message
from indipydriver.protocol.values import format_timestamp

from ..requests import NotUnderstood, elements
from ..servers import MQTTServer

__all__ = ["BLOBS", "COUNT", "NOT_IN_TOPICS", "STATUS", "Topics", "check_id", "is_online", "presence", "presence_text"]

STATUS: Final = "status"
BLOBS: Final = "blobs"
COUNT: Final = "count"
_NO_CHARACTERS: Final = "".join(f"\\U{plane:04x}fffe\\U{plane:04x}ffff" for plane in range(17))
NOT_IN_TOPICS: Final = rf"\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef{_NO_CHARACTERS}"
"""Characters, for a regular expression, that make a broker close the connection."""
_NO_ID: Final = re.compile(rf"[/+#{NOT_IN_TOPICS}]|^\$")
ONLINE: Final = "is online"
OFFLINE: Final = "is offline"


def check_id(mqtt_id: object) -> str:
    """The name of a bridge.

    Raises:
        ValueError: It is empty, not a text, or cannot be a part of a topic.
    """
    if not isinstance(mqtt_id, str) or not mqtt_id.strip():
        raise ValueError(f"mqtt_id must be the name of this bridge, a text that is not empty, not {mqtt_id!r}")
    if _NO_ID.search(mqtt_id) or len(mqtt_id.encode()) > 200:
        raise ValueError(f"mqtt_id becomes a part of topics, so it has no / + # and no control characters: {mqtt_id!r}")
    return mqtt_id


def check_ids(ids: Iterable[object]) -> list[str]:
    """Names of other bridges."""
    if isinstance(ids, str):
        raise ValueError("subscribe_list must be a list of names")
    return [check_id(each) for each in ids]


class Topics:
    """The topics of one bridge.

    Args:
        own: Its name.
        server: The first parts of topics.
        listed: Names of the other bridges that it listens to; empty for all.
    """

    def __init__(self, own: str, server: MQTTServer, listed: Sequence[str] = ()) -> None:
        self.own = own
        self.listed = tuple(listed)
        self.to_indi = f"{server.to_indi_topic}/{own}"
        self.from_indi = f"{server.from_indi_topic}/{own}"
        self.snoop_control = f"{server.snoop_control_topic}/{own}"
        self.snoop_data = f"{server.snoop_data_topic}/{own}"
        self.blobs = f"{BLOBS}/{own}"
        self.status = f"{STATUS}/{own}"
        self.count = f"{COUNT}/{own}"
        self.of_messages = server.from_indi_topic
        self._server = server

    def _from_others(self, first: str) -> list[str]:
        return [f"{first}/{each}" for each in self.listed] or [f"{first}/#"]

    @property
    def of_a_site(self) -> list[str]:
        """The subscriptions of a bridge beside instruments."""
        server = self._server
        return [
            *self._from_others(server.to_indi_topic),
            f"{server.snoop_control_topic}/#",
            self.snoop_data,
            f"{STATUS}/#",
        ]

    @property
    def of_a_listener(self) -> list[str]:
        """The subscriptions of a bridge beside clients."""
        messages, counts = self._from_others(self._server.from_indi_topic), self._from_others(COUNT)
        return [*messages, *self.of_presence, *counts, self.blobs]

    @property
    def of_presence(self) -> list[str]:
        """The topic on which others say whether they are online."""
        return self._from_others(STATUS)

    def data_for(self, other: str) -> str:
        """The topic on which another bridge receives what its drivers have requested."""
        return f"{self._server.snoop_data_topic}/{other}"

    def asker(self, topic: str, response: str) -> str:
        """The requester, if only we are asked: it publishes where we get data, and names its topic for the answer."""
        first, _, who = response.rpartition("/")
        return who if topic == self.snoop_data and first == self._server.snoop_data_topic else ""

    def split(self, topic: str) -> tuple[str, str]:
        """First part and name of a topic; the name is "" for a flat topic of old versions."""
        server = self._server
        firsts = (
            server.to_indi_topic,
            server.from_indi_topic,
            server.snoop_control_topic,
            server.snoop_data_topic,
            STATUS,
            BLOBS,
            COUNT,
        )
        for first in firsts:
            if topic == first:
                return first, ""
            if topic.startswith(f"{first}/"):
                return first, topic[len(first) + 1 :]
        return "", topic


def presence(own: str, online: bool) -> bytes:
    """The payload of ``status/<id>``: a message that says whether the bridge is online."""
    text = f"{own} {ONLINE if online else OFFLINE}"
    now = format_timestamp() if online else None  # nobody knows when a last will is published
    return encode(Message(None, text, now)).raw


def presence_text(payload: bytes) -> str:
    """The text of the message in such a payload; "" if there is none."""
    try:
        frames = elements(payload)
        message = decode(frames[0]) if frames else None
    except (NotUnderstood, RemoteProtocolError):
        return ""
    return getattr(message, "message", None) or ""


def is_online(text: str) -> bool | None:
    """What the text of such a message says; None if it says something else."""
    return True if text.endswith(ONLINE) else False if text.endswith(OFFLINE) else None
