"""What the event loop can do with descriptors: on POSIX it watches them, on Windows it does not."""

from __future__ import annotations

import asyncio
import os
from typing import Final

__all__ = ["can_watch_descriptors"]

_NO_DESCRIPTOR: Final = 1 << 30


def can_watch_descriptors(loop: asyncio.AbstractEventLoop) -> bool:
    """Can this loop watch descriptors for links?  Otherwise they use asyncio's transports.

    The loop itself is tried, not its class: there are third-party loops.
    """
    if not (hasattr(os, "readv") and hasattr(os, "writev")):
        return False
    try:
        loop.remove_reader(_NO_DESCRIPTOR)
    except NotImplementedError:
        return False
    except (OSError, ValueError):  # it has looked for the descriptor
        pass
    return True
