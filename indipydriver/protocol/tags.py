"""The top-level elements of INDI 1.7 in one table."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

__all__ = [
    "NEWS",
    "TAGS",
    "VECTOR_KINDS",
    "BlobMode",
    "Permission",
    "State",
    "SwitchRule",
    "SwitchState",
    "Tag",
    "VectorKind",
    "Verb",
]


class State(StrEnum):
    """State of a property vector, or of a light."""

    IDLE = "Idle"
    OK = "Ok"
    BUSY = "Busy"
    ALERT = "Alert"


class SwitchState(StrEnum):
    """Value of a switch."""

    OFF = "Off"
    ON = "On"


class SwitchRule(StrEnum):
    """How many switches of a vector may be On."""

    ONE_OF_MANY = "OneOfMany"
    AT_MOST_ONE = "AtMostOne"
    ANY_OF_MANY = "AnyOfMany"


class Permission(StrEnum):
    """What a client may do with a vector."""

    READ_ONLY = "ro"
    WRITE_ONLY = "wo"
    READ_WRITE = "rw"


class BlobMode(StrEnum):
    """What ``enableBLOB`` asks for."""

    NEVER = "Never"
    ALSO = "Also"
    ONLY = "Only"


class VectorKind(StrEnum):
    """The five kinds of property vector, as spelled in the tags."""

    TEXT = "Text"
    NUMBER = "Number"
    SWITCH = "Switch"
    LIGHT = "Light"
    BLOB = "BLOB"


class Verb(StrEnum):
    """What an element does; the vector verbs are the first three letters of the tag."""

    DEF = "def"
    SET = "set"
    NEW = "new"
    DELETE = "delProperty"
    MESSAGE = "message"
    GET = "getProperties"
    ENABLE_BLOB = "enableBLOB"
    PING = "pingRequest"
    PONG = "pingReply"


NEWS: Final = (Verb.DEF, Verb.SET, Verb.DELETE, Verb.MESSAGE)
"""What drivers tell, and those who watch get."""


@dataclass(frozen=True, slots=True, eq=False)
class Tag:
    """One kind of top-level element.

    There is exactly one instance of each, in :data:`TAGS`, so tags compare by identity.

    Attributes:
        text: The name of the element.
        verb: What it does.
        kind: The kind of vector, or None.
        child: The name of its child elements, or None when it has none.
    """

    text: str
    verb: Verb
    kind: VectorKind | None = None
    child: str | None = None

    def __repr__(self) -> str:
        return f"<{self.text}>"

    def __reduce__(self) -> tuple[object, ...]:
        return _tag, (self.text,)  # copies are the same instance

    @property
    def is_blob(self) -> bool:
        """Whether it carries BLOB data: setBLOBVector or newBLOBVector."""
        return self.kind is VectorKind.BLOB and self.verb is not Verb.DEF


def _tag(text: str) -> Tag:
    return TAGS[text]


VECTOR_KINDS: Final = tuple(VectorKind)


def _table() -> dict[str, Tag]:
    tags = [
        Tag("message", Verb.MESSAGE),
        Tag("delProperty", Verb.DELETE),
        Tag("getProperties", Verb.GET),
        Tag("enableBLOB", Verb.ENABLE_BLOB),
        Tag("pingRequest", Verb.PING),
        Tag("pingReply", Verb.PONG),
    ]
    for kind in VECTOR_KINDS:
        tags.append(Tag(f"def{kind}Vector", Verb.DEF, kind, f"def{kind}"))
        tags.append(Tag(f"set{kind}Vector", Verb.SET, kind, f"one{kind}"))
        if kind is not VectorKind.LIGHT:  # there is no newLightVector
            tags.append(Tag(f"new{kind}Vector", Verb.NEW, kind, f"one{kind}"))
    return {tag.text: tag for tag in tags}


TAGS: Final[dict[str, Tag]] = _table()
"""Every top-level element of INDI 1.7, and libindi's two pings, by name."""
