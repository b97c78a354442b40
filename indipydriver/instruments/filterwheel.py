"""Filter wheels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from ..propertymembers import TextMember
from ..protocol.tags import State
from ..standard import Interface, StandardMember, find
from .instrument import Instrument
from .operations import End
from .propertydevice import Bound
from .settings import LOADING
from .standarddevice import optional
from .standardvectors import set_limits, whole

__all__ = ["FilterWheel"]

_SLOT, _SLOT_MEMBER = "FILTER_SLOT", "FILTER_SLOT_VALUE"
_NAME: Final = "FILTER_NAME"


class FilterWheel(Instrument):
    """A filter wheel, on its own or as part of a camera. Override :meth:`select`.

    Attributes:
        filters: The initial names of the filters, one for each slot. Assign it in connect() if only the hardware knows
            how many there are. Clients may change the names.
    """

    interface = Interface.FILTER
    filters: Sequence[str] = ("Red", "Green", "Blue", "H_Alpha", "SII", "OIII", "LPR", "Luminance")

    @optional
    async def select(self, slot: int) -> None:
        """Turn to a slot, numbered from 1; return when the wheel has arrived."""

    @optional
    async def set_names(self, names: list[str]) -> None:
        """Store the names of the filters in the hardware."""

    @property
    def slot(self) -> int:
        """The slot in the light path, numbered from 1. Assign it when it has changed."""
        return round(self._get(_SLOT, _SLOT_MEMBER))

    @slot.setter
    def slot(self, slot: int) -> None:
        self._put(_SLOT, {_SLOT_MEMBER: whole(slot)})
        self._has_arrived = self._has_arrived or _SLOT not in self._operations  # the hardware says where it is

    @property
    def names(self) -> list[str]:
        """The names of the filters, as clients have given them."""
        return [str(name) for name in self._vector(_NAME).values()]

    _has_arrived = False  # it is known to be at the slot that is shown

    def _standard(self) -> list[Bound]:
        self._require("select")
        table = Interface.FILTER
        members = [StandardMember(*_member(n), name) for n, name in enumerate(self.filters, 1)]
        slot = self._bind(find(_SLOT, table), self._on_slot)
        slot.moves = True
        return [
            slot,
            self._bind(find(_NAME, table), self._on_names, members=members),
            *super()._standard(),
        ]

    def _before_connecting(self) -> None:
        self._has_arrived = False  # it may have turned by itself
        super()._before_connecting()

    async def _prepare(self) -> None:
        names = self._vector(_NAME)
        if len(names) != len(self.filters):
            names.data = {_member(n)[0]: TextMember(*_member(n), name) for n, name in enumerate(self.filters, 1)}
        if self.slot > len(names):  # another wheel
            self._vector(_SLOT)[_SLOT_MEMBER] = len(names)
            self._has_arrived = False
        set_limits(self._vector(_SLOT), _SLOT_MEMBER, 1, max(len(names), 2))  # 1..1 would not be a range
        await super()._prepare()

    async def _on_slot(self, values: dict[str, Any]) -> None:
        slot = round(values[_SLOT_MEMBER])
        if not 1 <= slot <= len(self._vector(_NAME)):
            await self._send(_SLOT, State.ALERT, message=f"[ERROR] There is no slot {slot}")
            return
        if slot == self.slot and _SLOT not in self._operations and self._has_arrived:
            await self._send(_SLOT, State.OK)
            return
        if LOADING.get() and _SLOT in self._operations:  # later commands take precedence
            return
        self.info(f"Setting current filter to slot {slot}")
        self._has_arrived = False

        async def then(end: End) -> None:
            self._has_arrived = end is End.DONE

        await self._perform(_SLOT, self.select(slot), accept=lambda: self._wheel_arrives(slot), waits=False, then=then)

    def _wheel_arrives(self, slot: int) -> None:
        self.slot = slot

    async def _on_names(self, values: dict[str, Any]) -> None:
        names = [str(values.get(member, name)) for member, name in self._vector(_NAME).items()]
        if not self._implements("set_names"):
            await self._send(_NAME, State.OK, values)
            self._save_one(_NAME)
            return
        await self._perform(_NAME, self.set_names(names), accept=lambda: self._put(_NAME, values))


def _member(slot: int) -> tuple[str, str]:
    """Name and label of the member that names the filter in a slot."""
    return f"FILTER_SLOT_NAME_{slot}", f"Filter#{slot}"
