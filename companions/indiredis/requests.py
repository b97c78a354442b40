"""Requests of programs in XML: one element, read strictly.  Pure."""

from __future__ import annotations

from indipydriver.errors import RemoteProtocolError
from indipydriver.protocol.decode import decode
from indipydriver.protocol.frame import Frame
from indipydriver.protocol.framer import Framer
from indipydriver.protocol.messages import AnyMessage, EnableBlob, GetProperties, NewVector

__all__ = ["NotUnderstood", "elements", "request"]


class NotUnderstood(ValueError):
    """It is not a single INDI element, or not one that is allowed here."""


def elements(payload: bytes) -> list[Frame]:
    """The complete elements of a payload.

    Raises:
        NotUnderstood: It contains something else.
    """
    framer = Framer()
    frames = framer.feed(payload)
    if framer.faults or framer.failed is not None:
        raise NotUnderstood(str(framer.faults[0] if framer.faults else framer.failed))
    if framer.is_within:
        raise NotUnderstood("its end is missing, or it is not an INDI element")
    return frames


def request(payload: bytes) -> AnyMessage:
    """The one request in a payload: a command, enableBLOB or getProperties.

    Raises:
        NotUnderstood: It is something else.
    """
    frames = elements(payload)
    if len(frames) != 1:
        raise NotUnderstood(f"one element is expected, not {len(frames)}")
    try:
        message = decode(frames[0])
    except RemoteProtocolError as error:
        raise NotUnderstood(str(error)) from None
    if not isinstance(message, NewVector | EnableBlob | GetProperties):
        raise NotUnderstood(f"a client does not send {frames[0].tag.text}")
    if isinstance(message, GetProperties):
        return GetProperties(message.device, message.name)
    return message
