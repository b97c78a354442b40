"""The filter: words that a property or its members must have, in any order."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from indipyclient import Member, Property

__all__ = ["FIELDS", "Filter", "parse_filter"]

FIELDS = ("state", "device", "group", "kind", "perm", "name")
"""Words before a colon that say where to look, as in ``state:alert``."""


class Filter(NamedTuple):
    """A filter.

    Attributes:
        text: The text as typed.
        words: Words, in lower case, all of which must be found.
        fields: Pairs of a field and what it must contain.
    """

    text: str
    words: tuple[str, ...] = ()
    fields: tuple[tuple[str, str], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.words or self.fields)

    def members(self, prop: Property, unsent: Callable[[Property, str], bool] | None = None) -> list[str] | None:
        """The members to show of a property: None for none, all if the property itself matches."""
        if not all(_field_matches(prop, field, wanted) for field, wanted in self.fields):
            return None
        if not self.words:
            return list(prop.members)
        own = f"{prop.device}\0{prop.label}\0{prop.name}\0{prop.group}".lower()
        missing = [word for word in self.words if word not in own]
        if not missing:
            return list(prop.members)
        found = [name for name, member in prop.members.items() if _has(member, missing)]
        return found or None


def _has(member: Member, words: list[str]) -> bool:
    text = f"{member.name}\0{member.label}\0{member.value[:1000]}\0{member.shown[:1000]}".lower()
    return all(word in text for word in words)


def _field_matches(prop: Property, field: str, wanted: str) -> bool:
    if field == "state":
        return prop.shown_state.value.lower().startswith(wanted)
    if field == "device":
        return wanted in prop.device.lower()
    if field == "group":
        return wanted in prop.group.lower()
    if field == "kind":
        return prop.kind.value.lower().startswith(wanted)
    if field == "perm":
        return prop.perm.value == wanted
    return wanted in prop.name.lower()


def parse_filter(text: str) -> Filter:
    """Words and ``field:word``; a colon after anything else is an ordinary character."""
    words: list[str] = []
    fields: list[tuple[str, str]] = []
    for part in text.lower().split():
        field, colon, wanted = part.partition(":")
        if colon and field in FIELDS:
            if wanted:
                fields.append((field, wanted))
        else:
            words.append(part)
    return Filter(text, tuple(words), tuple(fields))
