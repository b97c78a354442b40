"""Read-only mappings: a driver's devices, a device's vectors, what a client has received."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Iterable
from typing import Any, Final, NoReturn, Self, TypeVar

__all__ = ["FixedMapping", "listed"]

_T = TypeVar("_T")
_NAMES_SHOWN: Final = 12


def listed(names: Iterable[str]) -> str:
    """The existing names, for an error message."""
    all_names = list(names)
    return ", ".join(all_names[:_NAMES_SHOWN] + ["..."] * (len(all_names) > _NAMES_SHOWN)) or "none"


class FixedMapping(UserDict[str, _T]):
    """A read-only mapping; anything that would change it raises KeyError."""

    def _whose(self) -> str:
        """What the mapping holds, for error messages, such as "the devices of a driver"."""
        raise NotImplementedError

    def _refusal(self, name: str, remedy: str) -> str:
        """Why it cannot be changed, with the remedy for a driver."""
        return f"{self._whose()} are fixed when it is created; {remedy}"

    def __missing__(self, name: object) -> NoReturn:
        raise KeyError(f"{name!r} is not among {self._whose()}: {listed(self.data)}")

    def __setitem__(self, name: str, value: _T) -> NoReturn:
        raise KeyError(self._refusal(name, f"{name!r} cannot be set"))

    def __delitem__(self, name: str) -> NoReturn:
        raise KeyError(self._refusal(name, f"send_delProperty() withdraws {name!r} from clients"))

    def __ior__(self, other: Any) -> Self:  # type: ignore[override,misc]  # that of UserDict writes past __setitem__
        self.update(other)
        return self

    def clear(self) -> None:
        """Raise KeyError if it is not empty."""
        for name in self.data:  # clear() of MutableMapping would mistake the KeyError for the end
            del self[name]
