"""Which properties are listed, and where the cursor is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from indipyclient import Device, Property, State

from .layout import Sheet
from .search import Filter

__all__ = ["Browser", "worst_of"]

Key = tuple[str, str]
Spot = tuple[Key, str]
PLACES: Final = 1000
"""Devices whose cursor position is remembered."""
_ORDER: Final = {State.ALERT: 3, State.BUSY: 2, State.OK: 1, State.IDLE: 0}

_FRESH: Final = len(_ORDER)


def worst_of(device: Device, is_stale: Callable[[Property], bool] = lambda prop: False) -> Property | None:
    """The property whose state matters most: the worst of those that are not stale, or else of all."""
    worst, most = None, -1
    for prop in device.properties.values():
        rank = _ORDER[prop.shown_state]
        if rank + _FRESH > most:
            rank += 0 if is_stale(prop) else _FRESH
            if rank > most:
                worst, most = prop, rank
    return worst


class Browser:
    """What is shown of one server.  Everything is identified by name, so that it stays when other things come and go.

    Attributes:
        filter: What to look for on all devices.
    """

    def __init__(self) -> None:
        self._device: str | None = None
        self._left: str | None = None
        self.filter = Filter("")
        self._groups: dict[str, str | None] = {}
        self._spots: dict[object, Spot] = {}
        self._last_index = 0
        self._matched: dict[Key, tuple[Property, Sequence[str] | None]] = {}
        self._matched_with = self.filter

    # Device and group

    @property
    def device(self) -> str | None:
        """Which device is shown, or None if there is none."""
        return self._device

    @device.setter
    def device(self, name: str | None) -> None:
        self._device, self._left = name, None

    def awaits(self, device: str) -> bool:
        """Whether this device would be shown if it appeared."""
        return device in (self._device, self._left) or self._device is None

    def settle(self, devices: Mapping[str, Device]) -> None:
        """Choose a device if there is none, or it is gone; when that is back, it is shown again."""
        if self._left in devices:
            self.device = self._left
        elif self._device not in devices:
            self._left = self._left or self._device
            self._device = next(iter(devices), None)

    def turn_device(self, devices: Sequence[str], steps: int) -> None:
        """To the next device, or the previous one."""
        if devices:
            at = devices.index(self.device) if self.device in devices else -max(steps, 0)
            self.device = devices[(at + steps) % len(devices)]

    def group(self, device: Device) -> str | None:
        """The group that is shown; None for all."""
        name = self._groups.get(device.name)
        if name is None:
            return None
        return name if any(prop.group == name for prop in device.properties.values()) else None

    def choose_group(self, device: Device, number: int) -> bool:
        """Show a group by its number from 1; 0 for all."""
        groups = device.groups
        if number > len(groups):
            return False
        self._groups[device.name] = groups[number - 1] if number else None
        return True

    def turn_group(self, device: Device, steps: int) -> None:
        """To the next group or the previous one; "all" counts as a group."""
        groups: list[str | None] = [None, *device.groups]
        at = groups.index(self.group(device))
        self._groups[device.name] = groups[(at + steps) % len(groups)]

    def go_to(self, prop: Property, member: str | None = None) -> None:
        """Show this property and put the cursor there."""
        self.filter = Filter("")
        self.device = prop.device
        if self._groups.get(prop.device) not in (None, prop.group):
            self._groups[prop.device] = prop.group
        name = member if member is not None else next(iter(prop.members), "")
        self._remember((prop.key, name))

    def look_for(self, wanted: Filter) -> None:
        """Show what matches, with the cursor on the first of it."""
        self.filter = wanted
        self._spots.pop("filter", None)

    # What is listed

    def listed(
        self, devices: Mapping[str, Device], pinned: Iterable[Key] = (), edited: Spot | None = None
    ) -> list[tuple[Property, Sequence[str] | None]]:
        """The properties to show, and which members of each; None for all.

        What is edited stays until editing is over, whether or not it matches the filter or belongs to the group.
        """
        if self.filter:
            self._match(prop for device in devices.values() for prop in device.properties.values())
            return [
                (prop, members if len(members) < len(prop.members) else None)
                for prop, found in self._matched.values()
                if (members := self._with_edited(prop, found, edited)) is not None
            ]
        top: list[tuple[Property, Sequence[str] | None]] = []
        for key in pinned:
            found = devices.get(key[0])
            prop = found.get(key[1]) if found else None
            if prop is not None:
                top.append((prop, None))
        device = devices.get(self.device or "")
        if device is None:
            return top
        above = {prop.name for prop, _ in top if prop.device == device.name}
        group = self.group(device)
        kept = edited[0][1] if edited is not None and edited[0][0] == device.name else None
        return top + [
            (prop, None)
            for name, prop in device.properties.items()
            if name not in above and (group is None or prop.group == group or name == kept)
        ]

    def _match(self, props: Iterable[Property]) -> None:
        """Examine each of them, unless it has not changed since it was last examined."""
        before = self._matched if self._matched_with is self.filter else {}
        self._matched, self._matched_with = {}, self.filter
        for prop in props:
            known = before.get(prop.key)
            same = known is not None and known[0] is prop
            self._matched[prop.key] = known if known is not None and same else (prop, self.filter.members(prop))

    def _with_edited(self, prop: Property, members: Sequence[str] | None, edited: Spot | None) -> Sequence[str] | None:
        if edited is None or edited[0] != prop.key or edited[1] not in prop.members:
            return members
        return [name for name in prop.members if name == edited[1] or name in (members or ())]

    # Cursor

    def _place(self) -> object:
        return "filter" if self.filter else self.device

    def spot(self, sheet: Sheet) -> Spot | None:
        """Where the cursor is: on the member where it was put, otherwise where that was, until it is back."""
        if not sheet.spots:
            return None
        wanted = self._spots.get(self._place())
        if wanted is not None:
            at = sheet.spot_of(*wanted)
            if at is not None:
                self._last_index = at
                return wanted
            lines = sheet.range_of(wanted[0])
            if lines is not None:
                found = sheet.find(lines[0], 0)
                if found is not None:
                    return sheet.member_at(found)
            return sheet.member_at(min(self._last_index, sheet.spots - 1))
        return self.put(sheet, 0)

    def stay(self, sheet: Sheet) -> Spot | None:
        """Note that the user has chosen the present cursor position and device."""
        self._left = None
        spot = self.spot(sheet)
        index = sheet.spot_of(*spot) if spot is not None else None
        return self.put(sheet, index) if index is not None else spot

    def put(self, sheet: Sheet, index: int) -> Spot:
        """Put the cursor on the member with this number from the top."""
        self._last_index = min(max(index, 0), sheet.spots - 1)
        spot = sheet.member_at(self._last_index)
        self._remember(spot)
        return spot

    def _remember(self, spot: Spot) -> None:
        """A server may show device after device, each with a name of its own: the oldest places are forgotten."""
        place = self._place()
        self._spots.pop(place, None)
        self._spots[place] = spot
        if len(self._spots) > PLACES:
            del self._spots[next(iter(self._spots))]

    def move(self, sheet: Sheet, lines: int) -> Spot | None:
        """Go down this many lines, to the member nearest to the column of this one."""
        spot = self.spot(sheet)
        if spot is None:
            return None
        index = sheet.spot_of(*spot) or 0
        y, place = sheet.place_of(index)
        x = sheet.lines[y].places[place].x if place >= 0 else 0
        found = sheet.find(sheet.line_from(index, lines), x)
        return self.put(sheet, found if found is not None else index)

    def sideways(self, sheet: Sheet, steps: int) -> bool:
        """To the member beside; False if this is the first or last of its line."""
        spot = self.spot(sheet)
        if spot is None:
            return False
        index = sheet.spot_of(*spot) or 0
        there = index + steps
        if not 0 <= there < sheet.spots or sheet.place_of(there)[0] != sheet.place_of(index)[0]:
            return False
        self.put(sheet, there)
        return True

    def turn_property(self, sheet: Sheet, steps: int) -> Spot | None:
        """To the first member of the next property, or of the previous one."""
        spot = self.spot(sheet)
        if spot is None:
            return None
        return self.put(sheet, sheet.property_from(sheet.spot_of(*spot) or 0, steps))
