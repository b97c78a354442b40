"""GPS receivers."""

from __future__ import annotations

import asyncio
import contextlib
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from ..protocol.tags import State
from ..standard import Interface, find
from .instrument import Instrument
from .loops import SHORTEST_PERIOD
from .propertydevice import Bound
from .site import LARGEST_OFFSET
from .standarddevice import optional
from .watched import watched

__all__ = ["GPS", "Fix"]

_PLACE, _TIME, _REFRESH, _PERIOD = "GEOGRAPHIC_COORD", "TIME_UTC", "GPS_REFRESH", "GPS_REFRESH_PERIOD"
_FIX_RETRY: Final = 5.0  # seconds between two attempts without a fix
_HIGHEST: Final = 100_000  # metres
_FIRST_YEAR: Final = 1980  # when GPS time begins


@dataclass(frozen=True, slots=True)
class Fix:
    """Where the receiver is, and when.

    Attributes:
        latitude: Degrees north.
        longitude: Degrees east.
        elevation: Metres.
        utc: The time, taken as UTC if it has no zone; None: the time of this machine.
        offset: Hours by which the local time is ahead of UTC; None: the offset of this machine.
    """

    latitude: float
    longitude: float
    elevation: float = 0.0
    utc: datetime | None = None
    offset: float | None = None


def _check(fix: Fix) -> None:
    """Raise ValueError if no receiver can have reported this."""
    if not (-90 <= fix.latitude <= 90 and math.isfinite(fix.longitude) and abs(fix.elevation) < _HIGHEST):
        raise ValueError(f"not a valid place: {fix}")
    if fix.offset is not None and not abs(fix.offset) <= LARGEST_OFFSET:
        raise ValueError(f"not a valid offset: {fix}")
    if _utc(fix).year < _FIRST_YEAR:
        raise ValueError(f"not a valid time: {fix}")


def _utc(fix: Fix) -> datetime:
    utc = fix.utc or datetime.now(UTC)
    return utc if utc.tzinfo is None else utc.astimezone(UTC).replace(tzinfo=None)


class GPS(Instrument):
    """A GPS receiver. Override :meth:`read_fix`.

    It is read when it is connected, at the request of clients, and at the interval that they set. The clock of this
    machine is never set.
    """

    interface = Interface.GPS

    @optional
    async def read_fix(self) -> Fix | None:
        """Read the receiver; None if it does not know yet where it is."""
        raise NotImplementedError

    def _standard(self) -> list[Bound]:
        self._require("read_fix")
        self._fix_wanted = asyncio.Event()
        table = Interface.GPS
        return [
            self._bind(find(_PLACE, table)),
            self._bind(find(_TIME, table)),
            self._bind(find(_REFRESH, table), self._on_gps_refresh),
            self._bind(find(_PERIOD, table), self._on_gps_period),
            *super()._standard(),
        ]

    def _start_loops(self) -> None:
        super()._start_loops()
        self._fix_wanted = asyncio.Event()  # of this event loop
        self._loops.append(self._operations.spawn(self._read_fixes()))

    async def _read_fixes(self) -> None:
        """Read the receiver until there is a fix, and then as often as clients want."""
        failing = ""
        what = f"{type(self).__name__}.read_fix"
        while True:
            self._fix_wanted.clear()
            fix = None
            try:
                async with asyncio.timeout(self.patience):
                    fix = await watched(self.read_fix(), what)
                if fix is not None:
                    _check(fix)
                failing = ""
            except (Exception, SystemExit) as error:
                if not self._goes_on():
                    raise
                fix = None
                text = self._failed(what, error)
                if text != failing:
                    failing = text
                    if not isinstance(error, ConnectionError):  # that is reported as its loss
                        self.error(f"The receiver could not be read: {text}")
            if not self._goes_on():
                return
            await self._show_fix(fix, is_failing=bool(failing))
            period = self._get(_PERIOD, "PERIOD")
            pause = max(period, SHORTEST_PERIOD) if period else None
            if fix is None:
                pause = _FIX_RETRY
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._fix_wanted.wait()

    async def _show_fix(self, fix: Fix | None, *, is_failing: bool) -> None:
        names = (_PLACE, _TIME, _REFRESH)
        self._choose(_REFRESH, None)
        if fix is None:
            for name in names:
                await self._send(name, State.ALERT if is_failing else State.BUSY)
            return
        here = datetime.now().astimezone().utcoffset()
        ahead = here.total_seconds() / 3600 if here is not None else 0.0
        utc = _utc(fix)
        offset = ahead if fix.offset is None else fix.offset
        place = {"LAT": fix.latitude, "LONG": fix.longitude % 360, "ELEV": fix.elevation}
        # The time first, and as it is sent: devices of this driver count how old it is.
        await self._send(_TIME, State.OK, {"UTC": utc.isoformat(timespec="seconds"), "OFFSET": f"{offset:g}"})
        await self._send(_PLACE, State.OK, {name: f"{value:.10g}" for name, value in place.items()})
        await self._send(_REFRESH, State.OK)

    async def _on_gps_refresh(self, values: dict[str, Any]) -> None:
        if not values.get("REFRESH"):
            await self._button(_REFRESH)
            return
        await self._button(_REFRESH, State.BUSY)
        self._fix_wanted.set()

    async def _on_gps_period(self, values: dict[str, Any]) -> None:
        await self._send(_PERIOD, State.OK, values)
        self._fix_wanted.set()
