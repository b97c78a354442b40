"""The repair of elements that are nearly right."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["encoding_of", "repair"]

_CONTROL: Final = bytes(c for c in range(32) if c not in b"\t\n\r") + b"\x7f"
_BARE_AMPERSAND: Final = re.compile(r"&(?!(?:amp|lt|gt|quot|apos|#[0-9]{1,7}|#x[0-9A-Fa-f]{1,6});)")
_REFERENCE: Final = re.compile(r"&#(?:x([0-9A-Fa-f]{1,6})|([0-9]{1,7}));")
_WITH_ATTRIBUTES: Final = re.compile(r"""<[A-Za-z]++(?:\s++[^\s"'<>=]++\s*+=\s*+(?:"[^"]*+"|'[^']*+'))+\s*+/?>""")
# The characters that XML allows, without C1, as ranges: as one class of a regular expression they take 8 ms to compile.
_ALLOWED: Final = (range(0x20, 0x7F), range(0xA0, 0xD800), range(0xE000, 0xFFFE), range(0x10000, 0x110000))
_BLANKS: Final = (0x9, 0xA, 0xD)
_PREDEFINED: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;"}


def _without_comments(text: str) -> str:
    parts = []
    pos = 0
    while (begin := text.find("<!--", pos)) >= 0:
        end = text.find("-->", begin + 4)
        if end < 0:
            break
        parts.append(text[pos:begin])
        pos = end + 3
    return "".join([*parts, text[pos:]])


def _character(match: re.Match[str]) -> str:
    """The character of a numeric reference; empty if XML does not allow it."""
    code = int(match[1], 16) if match[1] else int(match[2])
    if code not in _BLANKS and not any(code in allowed for allowed in _ALLOWED):
        return ""
    char = chr(code)
    return _PREDEFINED.get(char, char)


def encoding_of(raw: bytes) -> str:
    """The encoding of an element, which nothing seen in real traffic declares."""
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8"


def repair(raw: bytes, encoding: str | None = None) -> bytes:
    """The element as every peer understands it; the same bytes when there is nothing to repair.

    Repairs what real drivers send and expat or libindi would not accept: Latin-1 bytes, control characters,
    an ampersand that begins no entity, ``<`` in an attribute value, ``]]>`` in text, numeric references
    (libindi shows them as they are) and comments (libindi ends them at the first ``>``).

    Args:
        raw: The element, or a part of it.
        encoding: The encoding of the whole element, if this is a part.
    """
    data = raw.translate(None, _CONTROL)
    text = data.decode(encoding or encoding_of(data))
    if "<!--" in text:
        text = _without_comments(text)
    if "&" in text:
        text = _BARE_AMPERSAND.sub("&amp;", text)
        text = _REFERENCE.sub(_character, text)
    if "]]>" in text:
        text = text.replace("]]>", "]]&gt;")
    if "<" in text[1:]:
        text = _WITH_ATTRIBUTES.sub(lambda match: "<" + match[0][1:].replace("<", "&lt;"), text)
    return text.encode("utf-8")
