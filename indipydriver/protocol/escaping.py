"""How text is written in XML, so that every peer can read it."""

from __future__ import annotations

import re
from typing import Any, Final

from ..errors import LocalProtocolError
from .values import clean_text

__all__ = ["escaped", "is_plain"]

_MARKUP: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}
_IN_ATTRIBUTE: Final = str.maketrans(_MARKUP)
_IN_TEXT: Final = str.maketrans({char: _MARKUP[char] for char in "&<>"})
_LINE_OR_TAB: Final = re.compile("\r\n|[\t\n\r]")


def is_plain(texts: str) -> bool:
    """Nothing in these joined texts needs escaping or cleaning."""
    return texts.isprintable() and "&" not in texts and "<" not in texts and ">" not in texts and '"' not in texts


def _attribute(text: str) -> str:
    """The text as it is written between double quotes."""
    return clean_text(_LINE_OR_TAB.sub(" ", text)).translate(_IN_ATTRIBUTE)


def _name(text: str) -> str:
    """A name as it is written between double quotes; it must arrive unchanged."""
    if clean_text(text) != text or _LINE_OR_TAB.search(text):
        raise LocalProtocolError(f"a name with a character that cannot be sent: {text!r}")
    return text.translate(_IN_ATTRIBUTE)


def _text(text: str) -> str:
    """The text as it is written between tags.

    lilxml (libindi 1.9.9) does not decode an entity that comes first, so a line end is put before it.
    """
    text = clean_text(text).translate(_IN_TEXT)
    return "\n" + text if text.startswith("&") else text


_NAMES: Final = frozenset({"device", "name"})


def escaped(message: Any) -> Any:
    """The message or member, or a copy of it, in which every text can be written as it is."""
    values: list[object] = []
    for field, value in zip(message._fields, message, strict=True):
        if field == "members":
            value = tuple([escaped(member) for member in value])
        elif isinstance(value, str) and not is_plain(value):
            clean = _name if field in _NAMES else _text if field == "value" else _attribute
            value = clean(value)
        values.append(value)
    return type(message)(*values)
