"""How often something that has failed is tried again by itself."""

from __future__ import annotations

import asyncio
import math
from typing import Final

__all__ = ["Tries"]

_PAUSES: Final = (10.0, 30.0, 120.0)  # seconds before each further attempt


class Tries:
    """A few further attempts, with longer and longer pauses: what fails then is jammed, refused, or gone."""

    def __init__(self) -> None:
        self._failures = 0
        self._due = math.inf

    def failed(self) -> None:
        """Note that an attempt has failed."""
        pause = _PAUSES[self._failures] if self._failures < len(_PAUSES) else math.inf
        self._failures += 1
        self._due = asyncio.get_running_loop().time() + pause

    def is_due(self) -> bool:
        """Whether it is time for a further attempt."""
        return asyncio.get_running_loop().time() >= self._due
