"""Who did what: a line for each command that was passed on to a device."""

from __future__ import annotations

import logging
import re
from typing import Final
from xml.etree import ElementTree as ET

from indipydriver.protocol.frame import BlobFrame, Frame
from indipydriver.protocol.tags import Verb
from indipydriver.protocol.texts import printable

from ..relay.observer import Observer
from ..relay.peer import Peer
from ..routing.endpoint import BELOW, Delivery

__all__ = ["AuditLog"]

logger = logging.getLogger("indipyserver.audit")

_MARKS: Final = re.compile(r"[\\']")
_LONGEST_VALUE: Final = 64
_LONGEST_ENTRY: Final = 1000


class AuditLog(Observer):
    """Logs each ``new*`` of a client that reached the owner of its device, at INFO on ``indipyserver.audit``.

    A line is ``<client>: <device>.<property> <member>='<value>' ...``, with control characters escaped, and also quotes
    and backslashes, so that no value and no name can look like another member.  Commands that were refused for lack of
    rights are in the server's own log; how the driver then handles a command (a number out of range, for example) is
    not known here.  Values of Text properties are shown as they are, including passwords.

    Args:
        value: Characters of a value that are shown.
        line: Characters of a line that are shown; the rest is counted.
    """

    def __init__(self, value: int = _LONGEST_VALUE, line: int = _LONGEST_ENTRY) -> None:
        self.lines = 0
        self._value = value
        self._line = line

    def routed(self, peer: Peer, deliveries: list[Delivery[Peer]]) -> None:
        """Log the commands among what is about to be delivered."""
        for frames, receivers in deliveries:
            if frames[0].address.tag.verb is Verb.NEW or len(frames) > 1:
                commands = [frame for frame in frames if frame.address.tag.verb is Verb.NEW]
                if commands and any(endpoint.role in BELOW and endpoint is not peer for endpoint in receivers):
                    for frame in commands:
                        self.lines += 1
                        logger.info("%s: %s", peer.label, self._describe(frame))

    def _describe(self, frame: Frame) -> str:
        blob = isinstance(frame, BlobFrame)
        # The data of a BLOB is not joined for this: all tags are in its skeleton.
        parts = [f"{_safe(frame.device or '')}.{_safe(frame.name or '')}"]
        try:
            root = ET.fromstring(frame.skeleton if isinstance(frame, BlobFrame) else frame.raw)
        except ET.ParseError:
            return f"{parts[0]} cannot be read"
        length = len(parts[0])
        members = list(root)
        for number, child in enumerate(members):
            if blob:
                value = f"{child.get('size', '?')[:20]} bytes {child.get('format', '')[:20]}".strip()
            else:
                value = (child.text or "").strip()
            shown = _safe(value[: self._value]) + ("..." if len(value) > self._value else "")
            part = f"{_safe(child.get('name', ''))}='{shown}'"
            if length + len(part) > self._line:
                parts.append(f"and {len(members) - number} more")
                break
            length += len(part)
            parts.append(part)
        return " ".join(parts)


def _safe(text: str) -> str:
    return printable(_MARKS.sub(r"\\\g<0>", text))
