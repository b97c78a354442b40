"""What comes from a broker, and what it says of us when we are gone."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Incoming", "Will"]


class Incoming(NamedTuple):
    """A message from the broker.

    Attributes:
        topic: Its topic.
        payload: What it holds.
        retained: It was published before we subscribed.
        response: Topic for an answer, if the sender named one.
        correlation: What the answer should carry.
        to: Name of the only bridge that it is for, if the sender named one.
        late: Why it may be old, if it may: a command is not carried out then.
    """

    topic: str
    payload: bytes
    retained: bool
    response: str = ""
    correlation: bytes = b""
    to: str = ""
    late: str = ""


class Will(NamedTuple):
    """What the broker publishes, and keeps, when we are gone."""

    topic: str
    payload: bytes
