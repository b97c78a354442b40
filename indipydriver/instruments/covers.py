"""Dust caps, and light boxes for flat fields; often both in one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from ..propertymembers import NumberMember
from ..protocol.tags import State
from ..standard import Interface, find
from .instrument import Instrument
from .operations import End
from .propertydevice import Bound
from .standarddevice import optional
from .standardvectors import set_limits, whole

__all__ = ["DustCap", "LightBox"]

_PARK, _ABORT = "CAP_PARK", "CAP_ABORT"
_LIGHT, _ON, _OFF = "FLAT_LIGHT_CONTROL", "FLAT_LIGHT_ON", "FLAT_LIGHT_OFF"
_INTENSITY, _VALUE = "FLAT_LIGHT_INTENSITY", "FLAT_LIGHT_INTENSITY_VALUE"
_PRESETS: Final = "FLAT_LIGHT_FILTER_INTENSITY"
_COVER_ENDS: Final = {End.DONE: State.OK, End.CANCELLED: State.ALERT, End.FAILED: State.ALERT}


class DustCap(Instrument):
    """A dust cap. Override :meth:`close_cap` and :meth:`open_cap`. Assign :attr:`closed` in connect() if you know."""

    interface = Interface.DUST_CAP | Interface.AUXILIARY

    @optional
    async def close_cap(self) -> None:
        """Close it; return when it is closed."""

    @optional
    async def open_cap(self) -> None:
        """Open it; return when it is open."""

    @optional
    async def abort(self) -> None:
        """Stop the motion. What moves it has already been cancelled."""

    @property
    def closed(self) -> bool | None:
        """Whether it is closed; None: in between, or not known."""
        if _PARK in self._operations or self._vector(_PARK).state == State.BUSY:
            return None
        chosen = self._chosen(_PARK)
        return None if chosen is None else chosen == "PARK"

    @closed.setter
    def closed(self, closed: bool | None) -> None:
        member = None if closed is None else "PARK" if closed else "UNPARK"
        self._put(_PARK, {name: name == member for name in ("PARK", "UNPARK")})

    def _standard(self) -> list[Bound]:
        self._require("close_cap")
        self._require("open_cap")
        made = [self._bind(find(_PARK, Interface.DUST_CAP), self._on_cap_park)]
        if self._implements("abort"):
            made.append(self._bind(find(_ABORT, Interface.DUST_CAP), self._on_cap_abort))
        return [*made, *super()._standard()]

    def _after_interruption(self) -> None:
        if self._vector(_PARK).state in (State.BUSY, State.ALERT):  # half-way, or it has failed
            self._choose(_PARK, None)
        super()._after_interruption()

    def _forget(self) -> None:
        self._choose(_PARK, None)
        super()._forget()

    async def _on_cap_park(self, values: dict[str, Any]) -> None:
        member = await self._pick(_PARK, values)
        if member is None:
            return
        before = None if _PARK in self._operations else self._chosen(_PARK)
        after = self._operations.running(_ABORT)
        self._choose(_PARK, member)
        work = self.close_cap() if member == "PARK" else self.open_cap()
        await self._perform(
            _PARK,
            work,
            accept=lambda: self._choose(_PARK, member),
            revoke=lambda: self._choose(_PARK, before),
            waits=False,
            ends=_COVER_ENDS,
            after=after,
        )

    async def _on_cap_abort(self, values: dict[str, Any]) -> None:
        if not values.get("ABORT") or self._is_already_stopped(_PARK):
            await self._button(_ABORT)
            return
        moved = _PARK in self._operations
        after = self._abandon(_PARK)
        await self._perform(_ABORT, self.abort(), accept=lambda: self._choose(_ABORT, None), after=after)
        if moved and _PARK not in self._operations:
            self._choose(_PARK, None)
            await self._send(_PARK, State.ALERT)


class LightBox(Instrument):
    """A light for flat fields. Override :meth:`set_light`; and :meth:`set_brightness`, if it can be dimmed.

    Clients may set a brightness for each filter of the wheel in ACTIVE_DEVICES; it is applied when the wheel turns,
    and when the light first sees at which filter it is.

    Attributes:
        brightest: The largest value for the brightness.
    """

    interface = Interface.LIGHT_BOX | Interface.AUXILIARY
    brightest: ClassVar[int] = 255
    partners: ClassVar[Mapping[str, tuple[str, ...]]] = {"ACTIVE_FILTER": ("FILTER_SLOT", "FILTER_NAME")}

    @optional
    async def set_light(self, on: bool) -> None:
        """Switch it on or off."""

    @optional
    async def set_brightness(self, value: int) -> None:
        """Set the brightness, from 0."""

    _filter_names: tuple[str, ...] = ()  # filters that have presets
    _filter_slot = 0.0

    @property
    def light(self) -> bool:
        """Whether it is on. Assign it when it has changed."""
        return self._is_on(_LIGHT, _ON)

    @light.setter
    def light(self, on: bool) -> None:
        self._put(_LIGHT, {_ON: on, _OFF: not on})

    @property
    def brightness(self) -> int:
        """The brightness, now or as soon as it is on. Assign it when it has changed."""
        return round(self._get(_INTENSITY, _VALUE))

    @brightness.setter
    def brightness(self, value: int) -> None:
        self._put(_INTENSITY, {_VALUE: whole(value)})

    def _standard(self) -> list[Bound]:
        self._require("set_light")
        made = [self._bind(find(_LIGHT, Interface.LIGHT_BOX), self._on_light)]
        if self._implements("set_brightness"):
            made.append(self._bind(find(_INTENSITY, Interface.LIGHT_BOX), self._on_brightness))
            set_limits(made[-1].vector, _VALUE, 0, self.brightest)
            made.append(self._bind(find(_PRESETS, Interface.LIGHT_BOX), self._on_presets, shown=False))
        return [*made, *super()._standard()]

    def _forget(self) -> None:
        self._choose(_LIGHT, _OFF)
        super()._forget()

    async def _on_light(self, values: dict[str, Any]) -> None:
        await self._set_up(_LIGHT, values, self.set_light, _ON)

    async def _on_brightness(self, values: dict[str, Any]) -> None:
        value = round(values[_VALUE])
        await self._perform(
            _INTENSITY, self.set_brightness(value), accept=lambda: self._put(_INTENSITY, {_VALUE: value})
        )

    # --- a brightness for each filter ---

    def _all_partners(self) -> dict[str, tuple[str, ...]]:
        found = super()._all_partners()
        if not self._implements("set_brightness"):
            del found["ACTIVE_FILTER"]
        return found

    async def _on_presets(self, values: dict[str, Any]) -> None:
        await self._store(_PRESETS, {name: round(value) for name, value in values.items()})

    async def _prepare(self) -> None:
        self._filter_names, self._filter_slot = (), 0.0
        if _PRESETS in self._bound:
            self._bound[_PRESETS].is_shown = False
        await super()._prepare()

    async def _poll_standard(self) -> None:
        await super()._poll_standard()
        if _PRESETS in self._bound:
            await self._take_filter_names()
            await self._take_filter_slot()

    async def _take_filter_names(self) -> None:
        """Define the presets, as soon as the filters are known."""
        names = tuple(str(name) for name in self._seen("ACTIVE_FILTER", "FILTER_NAME").values())
        if not names or names == self._filter_names:
            return
        self._filter_names = names
        await self._show(_PRESETS, False)
        self._vector(_PRESETS).data = {
            f"FILTER_{n}": NumberMember(f"FILTER_{n}", name, "%.f", 0, self.brightest, 10, 0)
            for n, name in enumerate(names, 1)
        }
        await self._show(_PRESETS, True)
        await self._load(lambda bound: bound.vector.name == _PRESETS)

    async def _take_filter_slot(self) -> None:
        """Apply the brightness of a filter when the wheel has turned to it."""
        slot = self._seen_number("ACTIVE_FILTER", "FILTER_SLOT", "FILTER_SLOT_VALUE")
        if slot is None or self._seen_state("ACTIVE_FILTER", "FILTER_SLOT") not in (State.OK, State.IDLE):
            return
        before, self._filter_slot = self._filter_slot, slot
        member = f"FILTER_{slot:.0f}"
        if slot != before and member in self._vector(_PRESETS):
            value = self._get(_PRESETS, member)
            if value > 0:
                await self._on_brightness({_VALUE: value})
