"""Read-only mappings, and snapshots of vectors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import IO, TYPE_CHECKING, Any, TypeVar

from indipydriver.fixed import FixedMapping

from .propertymembers import SnapMember, SnapNumberMember

if TYPE_CHECKING:
    from .propertyvectors import PropertyVector

__all__ = ["Copied", "Dumps", "Received", "SnapNumberVector", "SnapVector"]

Item = TypeVar("Item")


class Received(FixedMapping[Item]):
    """A mapping that only the server or the owner of the client changes."""

    def _refusal(self, name: str, remedy: str) -> str:
        return f"{self._whose()} come from the server; {name!r} cannot be changed here"


class Copied(FixedMapping[Item]):
    """A mapping that does not change: a snapshot."""

    def _refusal(self, name: str, remedy: str) -> str:
        return f"{self._whose()} are a snapshot; {name!r} cannot be changed"


class Dumps:
    """The base of all snapshots."""

    def dictdump(
        self, inc_blob: bool = False, inc_user_string: bool = False, inc_itemid: bool = False
    ) -> dict[str, Any]:
        """A dict that can be dumped as JSON.

        Args:
            inc_blob: Include the data of BLOBs, as base64.
            inc_user_string: Include the user strings.
            inc_itemid: Include the item ids.
        """
        raise NotImplementedError

    def dumps(
        self,
        indent: int | str | None = None,
        separators: tuple[str, str] | None = None,
        inc_blob: bool = False,
        inc_user_string: bool = False,
        inc_itemid: bool = False,
    ) -> str:
        """As JSON."""
        return json.dumps(self.dictdump(inc_blob, inc_user_string, inc_itemid), indent=indent, separators=separators)

    def dump(
        self,
        fp: IO[str],
        indent: int | str | None = None,
        separators: tuple[str, str] | None = None,
        inc_blob: bool = False,
        inc_user_string: bool = False,
        inc_itemid: bool = False,
    ) -> None:
        """Write it to a file as JSON."""
        json.dump(self.dictdump(inc_blob, inc_user_string, inc_itemid), fp, indent=indent, separators=separators)


class SnapVector(Copied[Any], Dumps):
    """A snapshot of a vector: its members, and the attributes of the vector."""

    def __init__(self, vector: PropertyVector) -> None:
        self.name = vector.name
        self.label = vector.label
        self.group = vector.group
        self.state = vector.state
        self.rule = vector.rule
        self.perm = vector.perm
        self.timeout = vector.timeout
        self.timestamp = vector.timestamp
        self.message = vector.message
        self.message_timestamp = vector.message_timestamp
        self.vectortype = vector.vectortype
        self.devicename = vector.devicename
        self.enable = vector.enable
        self.user_string = vector.user_string
        self.itemid = vector.itemid
        self.data: dict[str, SnapMember] = {name: member.snapshot() for name, member in vector.data.items()}

    def _whose(self) -> str:
        return "the members of a snapshot"

    def __getitem__(self, membername: str) -> Any:
        return self.data[membername].membervalue

    def members(self) -> Mapping[str, SnapMember]:
        """The members themselves, by name."""
        return MappingProxyType(self.data)

    def member(self, membername: str) -> SnapMember:
        """One of them."""
        return self.data[membername]

    def memberlabel(self, membername: str) -> str:
        """Its label."""
        return self.data[membername].label

    def dictdump(
        self, inc_blob: bool = False, inc_user_string: bool = False, inc_itemid: bool = False
    ) -> dict[str, Any]:
        found: dict[str, Any] = {
            "vectortype": self.vectortype,
            "name": self.name,
            "devicename": self.devicename,
            "label": self.label,
            "enable": self.enable,
            "message": self.message,
            "message_timestamp": self.message_timestamp.isoformat(sep="T"),
            "group": self.group,
            "state": self.state,
            "timeout": self.timeout,
            "timestamp": self.timestamp.isoformat(sep="T"),
        }
        if self.rule is not None:
            found["rule"] = self.rule
        found["perm"] = self.perm
        if inc_user_string:
            found["user_string"] = self.user_string
        if inc_itemid:
            found["itemid"] = self.itemid
        found["members"] = {
            name: member.dictdump(inc_blob, inc_user_string, inc_itemid) for name, member in self.data.items()
        }
        return found


class SnapNumberVector(SnapVector):
    """A snapshot of a vector of numbers."""

    def _number(self, membername: str) -> SnapNumberMember:
        member = self.data[membername]
        assert isinstance(member, SnapNumberMember)
        return member

    def getfloatvalue(self, membername: str) -> float:
        """The value of a member as a float."""
        return self._number(membername).getfloatvalue()

    def getformattedvalue(self, membername: str) -> str:
        """The value of a member in its format."""
        return self._number(membername).getformattedvalue()
