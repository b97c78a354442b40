"""What an instrument knows of others: those that clients name in ACTIVE_DEVICES."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any, ClassVar

from ..errors import NotRunning
from ..events import defVector, delProperty, setVector
from ..propertyvectors import PropertyVector
from ..protocol.tags import State
from ..protocol.values import getfloat
from .instrument import Instrument

__all__ = ["Partners"]


class Partners(Instrument):
    """An instrument that watches others.

    Attributes:
        partners: For each member of ACTIVE_DEVICES the properties of that device that are watched.
    """

    partners: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    def _partner(self, member: str) -> str:
        """The name of a partner, or nothing."""
        return str(self._vector("ACTIVE_DEVICES")[member]).strip()

    def _seen(self, member: str, name: str) -> Mapping[str, Any]:
        """What is known of a property of a partner: texts by member, or nothing."""
        device = self._partner(member)
        if self.driver is not None and device in self.driver:  # nobody snoops on itself
            vector: PropertyVector | None = self.driver[device].get(name)
            return dict(vector) if vector is not None and vector.enable else {}
        return self._news.get((device, name), {})

    def _seen_number(self, member: str, name: str, value: str) -> float | None:
        """A number of a partner's; None if it is not known."""
        text = self._seen(member, name).get(value)
        try:
            return None if text in (None, "") else getfloat(text)
        except TypeError:
            return None

    async def _on_partners(self, values: dict[str, Any]) -> None:
        name = "ACTIVE_DEVICES"
        self._unwatch()
        await self._send(name, State.OK, values)  # clients write until it comes back as they wrote it
        self._watch()
        await self._save_one(name)

    # --- watching ---

    @property
    def _news(self) -> dict[tuple[str, str], dict[str, Any]]:
        found: dict[tuple[str, str], dict[str, Any]] = self.__dict__.setdefault("_news_of_partners", {})
        return found

    def _watched(self) -> list[tuple[str, str]]:
        """Device and property of all that is watched."""
        found = []
        for member, names in self.partners.items():
            device = self._partner(member)
            if device and (self.driver is None or device not in self.driver):
                found += [(device, name) for name in names]
        return found

    def _watch(self) -> None:
        if self.driver is not None:
            for device, name in self._watched():
                with contextlib.suppress(ValueError, NotRunning):  # a name that cannot be sent
                    self.driver.snoop(device, name)

    def _unwatch(self) -> None:
        for key in self._watched():
            self._news.pop(key, None)
            if self.driver is not None:
                self.driver.snoopvectors.pop(key, None)

    async def devsnoopevent(self, event: Any, *args: Any, **kwargs: Any) -> None:
        key = (event.devicename, event.vectorname)
        if isinstance(event, delProperty):
            for known in [known for known in self._news if known[0] == key[0] and key[1] in (None, known[1])]:
                del self._news[known]
        elif isinstance(event, (defVector, setVector)) and key in self._watched() and isinstance(event, Mapping):
            self._news.setdefault(key, {}).update(event)
        await super().devsnoopevent(event, *args, **kwargs)

    async def _begin(self) -> None:
        self._news.clear()
        await super()._begin()
        self._watch()
