"""From what an INDI server sends to redis."""

from __future__ import annotations

from typing import Any

from indiredis import fromindi

__all__ = ["receive_from_indiserver"]


def receive_from_indiserver(data: bytes, rconn: Any = None) -> list[str]:
    """Take bytes as received, whole elements or pieces of them.

    Args:
        data: The bytes.
        rconn: A connection to redis; None: the bytes are only parsed.

    Returns:
        Names of the devices that were defined.
    """
    return fromindi.receive_stream(data, rconn)
