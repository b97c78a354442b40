"""The targets: functions of bytes that raise when an invariant does not hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from .drivers import driver
from .routes import router
from .streams import cost, decoder, framer

__all__ = ["SHARES", "TARGETS"]

TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    "framer": framer,
    "cost": cost,
    "decoder": decoder,
    "router": router,
    "driver": driver,
}

SHARES: Final = {"framer": 0.49, "decoder": 0.455, "router": 0.05, "driver": 0.0049, "cost": 0.0001}
"""Of a run of all targets: what costs little is tried more often."""
