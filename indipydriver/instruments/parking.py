"""Parking of mounts and domes: whether and where they are parked, kept in the file that libindi's drivers share."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, ClassVar, Final

from ..protocol.tags import State
from ..protocol.values import getfloat
from ..standard import StandardMember
from .instrument import Instrument
from .operations import Refused, words_of
from .parkdata import ParkData, read_park_data, remove_park_data, write_park_data
from .propertydevice import Bound
from .saving import LONGEST_LOAD
from .sky import altitude_azimuth, equatorial, now_utc, sidereal_time
from .threads import SETTINGS

__all__ = ["PLACES", "Parking", "coordinates_of", "place_of"]

PLACES: Final = {
    "RA_DEC": (
        StandardMember("PARK_RA", "RA (hh:mm:ss)", "0", "%010.6m", 0, 24),
        StandardMember("PARK_DEC", "DEC (dd:mm:ss)", "0", "%010.6m", -90, 90),
    ),
    "HA_DEC": (
        StandardMember("PARK_HA", "HA (hh:mm:ss)", "0", "%010.6m", -12, 12),
        StandardMember("PARK_DEC", "DEC (dd:mm:ss)", "0", "%010.6m", -90, 90),
    ),
    "AZ_ALT": (
        StandardMember("PARK_AZ", "AZ D:M:S", "0", "%10.6m", 0, 360),
        StandardMember("PARK_ALT", "Alt  D:M:S", "0", "%10.6m", -90, 90),
    ),
}
"""The coordinates in which clients see the park position of a mount."""


def coordinates_of(place: tuple[float, ...], axes: str | None, site: tuple[float, ...]) -> tuple[float, float]:
    """A place in coordinates of :data:`PLACES` as JNow hours and degrees.

    Args:
        place: The place.
        axes: The name of its coordinates.
        site: Where the mount stands: degrees north, degrees east, and more.

    Raises:
        Refused: That is not known, because the location of the mount has not been set.
    """
    first, second = place
    latitude, longitude = site[:2]
    is_pole = axes == "HA_DEC" and abs(second) == 90
    if not (latitude or longitude or is_pole or axes == "RA_DEC"):
        raise Refused("The location of the mount is not known: set it first")
    if axes == "AZ_ALT":
        return equatorial(second, first, latitude, longitude, now_utc())
    if axes == "HA_DEC":
        return (sidereal_time(longitude, now_utc()) - first) % 24, second
    return first, second


def place_of(coordinates: tuple[float, float], axes: str | None, site: tuple[float, ...]) -> tuple[float, ...]:
    """The reverse of :func:`coordinates_of`; empty if the location of the mount is not known."""
    ra, dec = coordinates
    latitude, longitude = site[:2]
    if axes == "RA_DEC":
        return ra, dec
    if not latitude and not longitude:
        return ()
    if axes == "HA_DEC":
        return (sidereal_time(longitude, now_utc()) - ra + 12) % 24 - 12, dec
    altitude, azimuth = altitude_azimuth(ra, dec, latitude, longitude, now_utc())
    return azimuth, altitude


class Parking(Instrument):
    """An instrument that can be parked. Its class says what the properties are called."""

    _park: ClassVar[str]
    _park_place: ClassVar[str]
    _park_option: ClassVar[str]
    _park_what: ClassVar[str]
    _is_parked = False  # or was, before it started to move
    _is_half_way = False  # it is on the way, or was stopped on the way
    _is_told = False  # the author has said so, since it began to connect
    _is_noted = True  # the file says what is known here, or what another driver has written since
    _is_to_park = False  # the target of _park while it runs
    _is_to_stop = False  # what it did before it was redirected must be stopped first

    @property
    def parked(self) -> bool:
        """Whether it is parked and does not move; of a roof: closed. Assign it in connect() if the hardware knows."""
        return self._is_parked and not self._is_half_way

    @parked.setter
    def parked(self, parked: bool) -> None:
        self._is_parked, self._is_told, self._is_noted = parked, True, False
        if self._has(self._park) and self._park not in self._operations:
            self._is_half_way = False
            self._put(self._park, {"PARK": parked, "UNPARK": not parked}, State.OK)

    @property
    def park_position(self) -> tuple[float, ...]:
        """The park position, in the coordinates that its class names; clients may change it."""
        if self._park_place not in self._bound:
            return ()
        return tuple(member.getfloatvalue() for member in self._vector(self._park_place).data.values())

    # --- what a class of instruments overrides ---

    def _park_first(self) -> tuple[float, ...]:
        """The park position until somebody sets another."""
        return ()

    def _park_here(self) -> tuple[float, ...]:
        """The present position."""
        return ()

    def _check_park_option(self) -> None:
        """Raise Refused if the park position cannot be changed now."""
        if self._is_parked:
            raise Refused(f"The {self._park_what} is parked")
        if self._park in self._operations:
            raise Refused(f"The {self._park_what} moves")

    # --- the file ---

    def _park_key(self) -> str:
        """Its name in the file: that of the device, unless another part that can be parked uses that."""
        first = next(one for one in self._fellows() if isinstance(one, Parking))
        return self.devicename if first is self else f"{self.devicename} {self._park_what}"

    def _after_interruption(self) -> None:
        if self._has(self._park):
            self._choose(self._park, "PARK" if self._is_parked else "UNPARK")
            if self._is_half_way:
                self._put(self._park, {}, State.ALERT)
        super()._after_interruption()

    def _before_connecting(self) -> None:
        self._is_told = self._is_to_stop = False
        super()._before_connecting()

    async def _prepare(self) -> None:
        self._saving = asyncio.Lock()
        if self._park in self._bound:
            data, is_known = None, self._is_noted
            try:
                async with asyncio.timeout(LONGEST_LOAD):
                    data = await SETTINGS.run(read_park_data, self._park_key())
            except TimeoutError:
                is_known = False
                self.warning("The parking data cannot be read: it takes too long")
            except OSError as error:
                is_known = False
                self.warning(words_of(error))
            if data is None:
                self.info(f"No parking data found: the {self._park_what} is taken to be unparked.")
            else:
                self._take_park_place([axis for axis in (data.axis1, data.axis2) if axis is not None])
            self._take_park_state(data, is_known)
        await super()._prepare()

    def _take_park_state(self, data: ParkData | None, is_known: bool) -> None:
        """Take over whether it is parked; the hardware takes precedence over the file, if what that says is known."""
        is_parked, is_half_way = self._is_parked, self._is_half_way and not self._is_told
        if is_known and not self._is_told:
            is_parked = data is not None and data.parked is not False
            is_half_way = data is not None and data.parked is None
        self.parked, self._is_noted = is_parked, self._is_noted
        self._is_half_way = is_half_way
        self._bound[self._park].state = self._park_state()
        if is_half_way:
            self.warning(f"The {self._park_what} was stopped on its way: park it, or unpark it.")

    def _park_state(self) -> State:
        """The state of the property while nothing moves."""
        return State.ALERT if self._is_half_way else State.OK

    def _take_park_place(self, axes: list[float]) -> None:
        """Take over a position from the file if it is valid."""
        if self._park_place not in self._bound:
            return
        members = self._vector(self._park_place).data.values()
        if len(axes) >= len(members) and all(
            getfloat(member.min) <= axis <= getfloat(member.max) for member, axis in zip(members, axes, strict=False)
        ):
            self._store_park_place(tuple(axes))

    def _store_park_place(self, place: tuple[float, ...]) -> None:
        values = dict(zip(self._vector(self._park_place), place, strict=False))
        self._vector(self._park_place).update({name: f"{value:.10g}" for name, value in values.items()})

    async def _save_park(self) -> bool:
        """Write the file, before clients are told; False if that fails."""
        self._is_noted = False
        async with self._saving:  # the latest state is written last
            place: list[float | None] = [*self.park_position, None, None]
            data = ParkData(None if self._is_half_way else self._is_parked, place[0], place[1])
            try:
                await SETTINGS.run(write_park_data, self._park_key(), data)
            except OSError as error:
                self.error(f"The parking data could not be saved: {words_of(error)}")
                return False
            self._is_noted = data.parked == (None if self._is_half_way else self._is_parked)
        return True

    async def _note_park(self) -> None:
        """Like _save_park(), while it moves: nothing waits for it."""
        await self._save_park()

    # --- the way ---

    def _rests(self, parked: bool) -> bool:
        """Whether it is already parked, or unparked, and nothing else is going on."""
        is_under_way = self._is_half_way or self._is_to_stop or self._park in self._operations
        return parked == self._is_parked and not is_under_way

    def _sets_out(self, wanted: bool, *, is_to_stop: bool = False) -> None:
        """Note that it is about to be parked, or unparked, in place of what it is doing.

        Args:
            wanted: It is to be parked then.
            is_to_stop: What it is doing has to be stopped first, such as parking that must not go on.
        """
        goes_back = not wanted and self._is_to_park and self._park in self._operations
        self._is_to_stop = self._is_to_stop or goes_back or is_to_stop  # until it has been stopped
        self._is_to_park = wanted

    async def _go(self, wanted: bool, work: Coroutine[Any, Any, None], *, leaves: bool) -> None:
        """Park, or unpark.

        Args:
            wanted: It is to be parked then.
            work: What moves it.
            leaves: It is neither parked nor unparked from now until it has arrived.
        """
        before = self._is_half_way
        if leaves and not before:
            self._is_half_way = True
            self._operations.spawn(self._note_park())
        try:
            await work
        except Refused:  # it has not moved
            if self._is_half_way != before:
                self._is_half_way = before
                self._operations.spawn(self._note_park())
            raise
        self._check_going_on(self._park)
        self._is_parked, self._is_half_way = wanted, False  # whatever happens now, even while it is being written
        await self._save_park()

    # --- commands ---

    def _parking_places(self, place: Any) -> list[Bound]:
        """The properties for the park position; `place` is their vector."""
        place = Bound(place, self._on_park_place, False, place.state)
        for member, value in zip(place.vector, self._park_first(), strict=True):
            place.vector[member] = f"{value:.10g}"
        return [place]

    async def _on_park_place(self, values: dict[str, Any]) -> None:
        await self._send(self._park_place, State.OK, values)
        self._operations.spawn(self._note_park())  # perhaps it is told to park already

    async def _on_park_option(self, values: dict[str, Any]) -> None:
        member = next((member for member, on in values.items() if on), None)
        is_good = True
        if member is not None:
            self._check_park_option()
        match member:
            case "PARK_CURRENT":
                place = self._park_here()
                if not place:
                    raise Refused(f"It is not known where the {self._park_what} is")
                self._store_park_place(place)
                await self._send(self._park_place, State.OK)
            case "PARK_DEFAULT":
                self._store_park_place(self._park_first())
                await self._send(self._park_place, State.OK)
            case "PARK_WRITE_DATA":
                is_good = await self._save_park()
            case "PARK_PURGE_DATA":
                try:
                    await SETTINGS.run(remove_park_data, self._park_key())
                except OSError as error:
                    self.error(f"The parking data could not be removed: {words_of(error)}")
                    is_good = False
        await self._button(self._park_option, State.OK if is_good else State.ALERT)
