"""Weather stations, and whether it is safe to observe."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from ..propertymembers import NumberMember
from ..propertyvectors import LightVector, NumberVector
from ..protocol.tags import State
from ..protocol.texts import brief
from ..standard import Interface, StandardMember, find
from .loops import SHORTEST_PERIOD
from .operations import words_of
from .propertydevice import Bound
from .site import Place, Site
from .standarddevice import optional
from .watched import watched

__all__ = ["Reading", "WeatherStation"]

_UPDATE, _REFRESH, _OVERRIDE = "WEATHER_UPDATE", "WEATHER_REFRESH", "WEATHER_OVERRIDE"
_STATUS, _SAFETY, _VALUES = "WEATHER_STATUS", "SAFETY_STATUS", "WEATHER_PARAMETERS"
_READING_RETRY: Final = 5.0  # seconds after which a reading that has failed is tried again
_WORST: Final = [State.OK, State.IDLE, State.BUSY, State.ALERT]
_GROUP: Final = "Parameters"


@dataclass(frozen=True, slots=True)
class Reading:
    """One reading of a weather station.

    Attributes:
        name: Its name for clients, such as WEATHER_TEMPERATURE or WEATHER_WIND_SPEED.
        label: Human-readable text, with the unit.
        low: The initial smallest value that is safe; clients may change it.
        high: The initial largest value that is safe; a reading without a range (low equal to high) has no status.
        warning: Percentage of the range at each end that counts as a warning.
    """

    name: str
    label: str
    low: float = 0.0
    high: float = 0.0
    warning: float = 15.0

    @property
    def has_range(self) -> bool:
        """Whether it has a range."""
        return self.low < self.high


class WeatherStation(Place):
    """A weather station. Override :meth:`read_weather`, and list in `readings` what it returns.

    KStars looks at the worst of the lights that the ranges give. A reading that is missing for two periods is Alert.

    Attributes:
        readings: The readings of the station.
        period: The initial number of seconds between two readings, 0: only on request; clients may change it.
    """

    interface = Interface.WEATHER
    _place_label = "Location"
    readings: ClassVar[Sequence[Reading]] = ()
    period: ClassVar[float] = 60.0

    @optional
    async def read_weather(self) -> Mapping[str, float]:
        """Read the instruments; returns the values by their names."""
        raise NotImplementedError

    @property
    def safe(self) -> bool:
        """Whether it is connected, and its status is neither Alert nor unknown."""
        return self.connected and self._vector(_STATUS).state in (State.OK, State.BUSY)

    # --- its properties ---

    def _standard(self) -> list[Bound]:
        self._require("read_weather")
        if not self.readings:
            raise TypeError(f"{type(self).__name__} does not say in `readings` what it reads")
        table = Interface.WEATHER
        lights = [StandardMember(one.name, one.label, State.IDLE) for one in self.readings if one.has_range]
        if not lights:
            raise TypeError(f"{type(self).__name__} has no reading with a range, so nothing shows whether it is safe")
        numbers = [StandardMember(one.name, one.label, "0", "%.2f", one.low, one.high) for one in self.readings]
        self._wanted = asyncio.Event()
        self._last = self._began = -math.inf
        self._read_at: dict[str, float] = {}  # when each value was last read
        self._missed: set[str] = set()
        self._is_silent = False  # nothing has been read for too long
        made = [
            self._bind(find(_UPDATE, table), self._on_update, values={"PERIOD": self.period}),
            self._bind(find(_REFRESH, table), self._on_refresh),
            self._bind(find(_OVERRIDE, table), self._on_override),
            self._bind(find(_STATUS, table), members=lights),
            self._bind(find(_SAFETY, table)),
            self._bind(find(_VALUES, table), members=numbers),
        ]
        made += [self._range(one.name, one) for one in self.readings if one.has_range]
        if not isinstance(self, Site):
            place = self._bind_place()
            place.vector.state = place.state = State.OK
            made.append(place)
        return [*made, *super()._standard()]

    def _range(self, name: str, one: Reading) -> Bound:
        far = 1_000_000
        members = [
            NumberMember("MIN_OK", "OK range min", "%.2f", -far, far, 0, one.low),
            NumberMember("MAX_OK", "OK range max", "%.2f", -far, far, 0, one.high),
            NumberMember("PERC_WARN", "% for Warning", "%.f", 0, 100, 5, one.warning),
            NumberMember("ALERT_TYPE", "Flip alerting to in-bounds", "%.f", 0, 1, 1, 0),
        ]
        vector = NumberVector(name, one.label, _GROUP, "rw", State.IDLE, members)

        async def on_range(values: dict[str, Any]) -> None:
            await self._send(name, State.OK, values)
            self._judge()
            await self._show_weather()
            self._save_one(name)

        return Bound(vector, on_range, saved=True)

    async def _prepare(self) -> None:
        self._vector(_OVERRIDE)["OVERRIDE"] = "Off"  # a value from another night
        for name in (_STATUS, _SAFETY):
            self._vector(name).update(dict.fromkeys(self._vector(name), State.IDLE))
        for name in (_STATUS, _SAFETY, _VALUES):  # nothing has been read yet
            self._vector(name).state = self._bound[name].state = State.IDLE
        self._begin_reading()
        await super()._prepare()

    def _begin_reading(self) -> None:
        """Nothing has been read yet, nor is missing."""
        self._last = self._began = asyncio.get_running_loop().time()
        self._read_at.clear()
        self._missed.clear()
        self._is_silent = False

    def _after_interruption(self) -> None:
        self._all_lights(State.IDLE)  # it may take long to close it
        for name in (_STATUS, _SAFETY):
            self._updates.put(self._vector(name), "")
        super()._after_interruption()

    # --- reading ---

    def _start_loops(self) -> None:
        super()._start_loops()
        self._wanted = asyncio.Event()  # of this event loop
        self._begin_reading()
        self._loops.append(self._operations.spawn(self._read_all()))

    async def _read_all(self) -> None:
        """Read periodically, as often as clients want."""
        while True:
            self._wanted.clear()
            is_good = await self._read_once()
            if not self._goes_on():
                return
            period = self._get(_UPDATE, "PERIOD")
            pause = max(period, SHORTEST_PERIOD) if period else math.inf
            if not is_good:
                pause = min(pause, _READING_RETRY)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause if pause < math.inf else None):
                    await self._wanted.wait()

    async def _read_once(self) -> bool:
        """Read the instruments and show the values; False if that fails."""
        what = f"{type(self).__name__}.read_weather"
        clock = asyncio.get_running_loop().time
        late = max(self._last + self._longest_silence(), clock() + _READING_RETRY)
        alarm = asyncio.get_running_loop().call_at(late, self._hears_nothing)
        try:
            async with asyncio.timeout(self.patience):
                values = await watched(self.read_weather(), what)
            numbers, odd = self._numbers(values)
        except (Exception, SystemExit) as error:
            if not self._goes_on():
                raise
            text = self._failed(what, error)
            if self._vector(_VALUES).state != State.ALERT and not isinstance(error, ConnectionError):
                self.error(f"The weather could not be read: {text or words_of(error)}")
            await self._send(_VALUES, State.ALERT)
            if clock() - self._last > self._longest_silence():
                self._is_silent = True
                self._judge()
                await self._show_weather(values=False)
            return False
        finally:
            alarm.cancel()
        if not self._goes_on():
            return False
        self._last = clock()
        self._is_silent = False
        self._read_at.update(dict.fromkeys(numbers, self._last))
        shown = self._vector(_VALUES)
        if odd and shown.state != State.ALERT:
            self.error(f"The weather could not be read: {', '.join(odd)}")
        shown.update({name: f"{value:.6g}" for name, value in numbers.items()})
        shown.state = State.ALERT if odd else State.OK
        self._judge()
        await self._show_weather()
        return not odd

    def _numbers(self, values: Mapping[str, Any]) -> tuple[dict[str, float], list[str]]:
        """The values that are numbers, and what to say of others: one broken instrument must not hide a storm."""
        numbers, odd = {}, []
        for name in self._vector(_VALUES):
            if name in values:
                try:
                    numbers[name] = float(values[name])
                except (TypeError, ValueError, OverflowError):
                    numbers[name] = math.nan
                if not math.isfinite(numbers[name]):
                    del numbers[name]
                    odd.append(f"{name} is {brief(str(values[name]))}")
        return numbers, odd

    def _longest_silence(self) -> float:
        """Seconds without a reading after which it no longer counts as safe."""
        return 2 * max(self._get(_UPDATE, "PERIOD"), _READING_RETRY)

    def _hears_nothing(self) -> None:
        """Whether the instruments have not answered for too long."""
        if not self._is_silent:
            self.error("The instruments do not answer.")
            self._is_silent = True
            self._judge()
            for name in (_STATUS, _SAFETY):
                self._updates.put(self._vector(name), "")

    def _judge(self) -> None:
        """Set the lights from the readings."""
        if self._is_on(_OVERRIDE, "OVERRIDE"):
            self._all_lights(State.OK)
        elif self._is_silent:
            self._all_lights(State.ALERT)
        else:
            for name in self._vector(_STATUS):
                self._vector(_STATUS)[name] = self._light(name)
            self._mirror()

    def _light(self, name: str) -> State:
        low, high, percent, flipped = (self._get(name, m) for m in ("MIN_OK", "MAX_OK", "PERC_WARN", "ALERT_TYPE"))
        if self._last - self._read_at.get(name, self._began) > self._longest_silence():
            if name not in self._missed:
                self._missed.add(name)
                self.error(f"There are no more readings of {name}.")
            return State.ALERT
        self._missed.discard(name)
        if name not in self._read_at:
            return State.IDLE
        value = self._get(_VALUES, name)
        margin = (high - low) * percent / 100
        if not low <= value <= high:
            return State.OK if flipped else State.ALERT
        if (low != 0 and value < low + margin) or (high != 0 and value > high - margin):
            return State.BUSY
        return State.ALERT if flipped else State.OK

    def _all_lights(self, state: State) -> None:
        for name in self._vector(_STATUS):
            self._vector(_STATUS)[name] = state
        self._mirror()

    def _mirror(self) -> None:
        """Set the state of the lights, and the safety status, to that of the worst light."""
        status = self._vector(_STATUS)
        assert isinstance(status, LightVector)
        worst = max((State(value) for value in status.values()), key=_WORST.index)
        status.state = worst
        self._vector(_SAFETY)["SAFETY"] = worst
        self._vector(_SAFETY).state = worst

    async def _show_weather(self, *, values: bool = True) -> None:
        await self._send(_STATUS)
        await self._send(_SAFETY)
        if values:
            await self._send(_VALUES)

    # --- commands ---

    async def _on_update(self, values: dict[str, Any]) -> None:
        await self._send(_UPDATE, State.OK, values)
        self._wanted.set()
        self._save_one(_UPDATE)

    async def _on_refresh(self, values: dict[str, Any]) -> None:
        if values.get("REFRESH"):
            self._wanted.set()
        await self._button(_REFRESH)

    async def _on_override(self, values: dict[str, Any]) -> None:
        on = values.get("OVERRIDE", False)
        await self._send(_OVERRIDE, State.BUSY if on else State.IDLE, {"OVERRIDE": on})
        if on:
            self.warning("The status of the weather is overridden.")
        self._judge()
        await self._show_weather()
