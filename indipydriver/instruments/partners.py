"""What a device knows about the other devices that clients name in ACTIVE_DEVICES."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final

from ..errors import NotRunning
from ..events import defVector, delProperty, setVector
from ..propertyvectors import PropertyVector
from ..protocol.tags import State
from ..protocol.values import getfloat
from ..standard import INTERFACES, Interface, StandardMember, find, interfaces_in
from .connecting import Connecting
from .propertydevice import Bound, PropertyDevice

__all__ = ["Partners"]

_ACTIVE = "ACTIVE_DEVICES"
_MOST_MEMBERS: Final = 1000  # members remembered of one property


class Partners(Connecting):
    """A device that watches other devices.

    Attributes:
        partners: For each member of ACTIVE_DEVICES, the watched properties of that device. Those of base classes are
            added.
    """

    partners: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    def _all_partners(self) -> dict[str, tuple[str, ...]]:
        """The watched properties, by the members of ACTIVE_DEVICES."""
        found: dict[str, tuple[str, ...]] = {}
        for kind in type(self).__mro__:
            for member, names in vars(kind).get("partners", {}).items():
                found[member] = tuple(dict.fromkeys((*found.get(member, ()), *names)))
        return found

    def _active_devices(self, names: Iterable[str]) -> list[Bound]:
        """ACTIVE_DEVICES with these members, if there are any."""
        wanted = list(dict.fromkeys(names))
        if not wanted:
            return []
        known: dict[str, StandardMember] = {}
        for interface in (*interfaces_in(self._interface()), *INTERFACES):  # the device's own kind comes first
            for standard in (standard for standard in INTERFACES[interface] if standard.name == _ACTIVE):
                for member in standard.members:
                    known.setdefault(member.name, member)
        members = [known.get(name, StandardMember(name, name)) for name in wanted]
        return [self._bind(find(_ACTIVE, Interface.CCD), self._on_partners, permanent=True, members=members)]

    # --- what is known of them ---

    def _partner(self, member: str) -> str:
        """The name of a partner; empty if there is none."""
        return str(self._vector(_ACTIVE)[member]).strip()

    def _partner_vector(self, member: str, name: str) -> PropertyVector | None:
        """A vector of a partner in the same driver; a driver does not snoop on itself."""
        device = self._partner(member)
        if self.driver is None or device not in self.driver:
            return None
        vector: PropertyVector | None = self.driver[device].get(name)
        return vector if vector is not None and vector.enable else None

    def _seen(self, member: str, name: str) -> Mapping[str, Any]:
        """What is known of a partner's property: text by member, or nothing."""
        vector = self._partner_vector(member, name)
        if vector is not None:
            return dict(vector)
        return self._news.get((self._partner(member), name), {})

    def _seen_state(self, member: str, name: str) -> str | None:
        """The state of a partner's property; None if it is not known."""
        vector = self._partner_vector(member, name)
        if vector is not None:
            return vector.state
        return self._states.get((self._partner(member), name))

    def _seen_age(self, member: str, name: str) -> float | None:
        """How many seconds ago a partner's property was last updated; None if the latest news is a definition."""
        if self._partner_vector(member, name) is not None and self.driver is not None:
            device = self.driver[self._partner(member)]
            # Another instance of this very class; a method for it would take one more name from authors.
            sent = device._updates.sent(name) if isinstance(device, PropertyDevice) else None  # noqa: SLF001
        else:
            sent = self._news_times.get((self._partner(member), name))
        return None if sent is None else asyncio.get_running_loop().time() - sent

    def _seen_number(self, member: str, name: str, value: str) -> float | None:
        """A partner's number; None if it is not known."""
        text = self._seen(member, name).get(value)
        try:
            return None if text in (None, "") else getfloat(text)
        except TypeError:
            return None

    def _seen_rest(self, member: str, name: str) -> str | None:
        """The partner's switch that is on and reached; None if it is moving, has failed, or is not known."""
        if self._seen_state(member, name) not in (State.OK, State.IDLE):
            return None
        return next((switch for switch, value in self._seen(member, name).items() if value == "On"), None)

    async def _on_partners(self, values: dict[str, Any]) -> None:
        self._change_partners(values)
        await self._send(_ACTIVE, State.OK)  # clients send it until it comes back as they sent it
        self._save_one(_ACTIVE)

    def _change_partners(self, values: Mapping[str, Any]) -> None:
        """Watch the partners from now on."""
        before = self._watched()
        self._vector(_ACTIVE).update(values)
        self._watch(before)

    # --- watching ---

    @property
    def _news(self) -> dict[tuple[str, str], dict[str, Any]]:
        found: dict[tuple[str, str], dict[str, Any]] = self.__dict__.setdefault("_news_of_partners", {})
        return found

    @property
    def _states(self) -> dict[tuple[str, str], str]:
        found: dict[tuple[str, str], str] = self.__dict__.setdefault("_states_of_partners", {})
        return found

    @property
    def _news_times(self) -> dict[tuple[str, str], float]:
        found: dict[tuple[str, str], float] = self.__dict__.setdefault("_times_of_partners", {})
        return found

    def _watched(self) -> list[tuple[str, str]]:
        """Device and name of all watched properties."""
        found = []
        for member, names in self._all_partners().items():
            device = self._partner(member)
            if device and (self.driver is None or device not in self.driver):
                found += [(device, name) for name in names]
        return found

    def _watch(self, before: Sequence[tuple[str, str]] = ()) -> None:
        """Watch the present partners in place of the previous ones; what is known of those that stay is kept."""
        now = self._watched()
        for key in before:
            if key not in now:
                for known in (self._news, self._states, self._news_times):
                    known.pop(key, None)
                if self.driver is not None and key not in self._watched_in_driver():
                    self.driver.snoopvectors.pop(key, None)
        if self.driver is not None:
            for device, name in now:
                if (device, name) not in before:
                    with contextlib.suppress(ValueError, NotRunning):  # a name that cannot be sent
                        self.driver.snoop(device, name)

    def _watched_in_driver(self) -> set[tuple[str, str]]:
        """Everything that the devices of the driver watch."""
        return set(self._watched())

    def _start_watching(self) -> None:
        """Whether the driver runs."""
        self._news.clear()
        self._states.clear()
        self._news_times.clear()
        self._watch()

    async def devsnoopevent(self, event: Any, *args: Any, **kwargs: Any) -> None:
        key = (event.devicename, event.vectorname)
        if isinstance(event, delProperty):
            for known in [known for known in self._news if known[0] == key[0] and key[1] in (None, known[1])]:
                del self._news[known]
                self._states.pop(known, None)
                self._news_times.pop(known, None)
        elif isinstance(event, (defVector, setVector)) and key in self._watched():
            if event.state:
                self._states[key] = event.state
            if isinstance(event, setVector):
                self._news_times[key] = asyncio.get_running_loop().time()
            else:
                if isinstance(event, Mapping) and dict(event) != self._news.get(key):
                    self._news_times.pop(key, None)
                self._news[key] = {}  # some members may be gone
            if isinstance(event, Mapping):
                news = self._news.setdefault(key, {})
                news.update((name, value) for name, value in event.items() if name in news or len(news) < _MOST_MEMBERS)
        await super().devsnoopevent(event, *args, **kwargs)
