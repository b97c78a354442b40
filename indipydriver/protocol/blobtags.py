"""The members of a BLOB vector in a form that all readers accept.

Attributes of a oneBLOB that do not fit its text bring down programs that trust them (observed with libindi 1.9.9).  A
``size`` that is not a count ends indiserver; an ``enclen`` that is too small ends indiserver and its clients.  After a
correct ``enclen`` for text that is not in libindi's own lines, they read nothing more.  So either the text is one line
and there is no ``enclen``, or it is in lines of 72 characters and ``enclen`` is correct.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from ..errors import MalformedFrame
from .scan import WHITE_SPACE

__all__ = [
    "ATTRIBUTE",
    "LARGEST_COUNT",
    "LONGEST_BLOB_FORMAT",
    "Base64",
    "attributes_of",
    "fits",
    "is_attached",
    "is_compressed",
    "look_at",
    "mend_attached",
    "mend_command",
    "mend_update",
    "tidied",
]

# No match begins within white space or backtracks, so the time is linear in the length of the tag.
ATTRIBUTE: Final = re.compile(rb"""(?<!\s)\s++([^\s"'<>=]++)\s*+=\s*+(?:"([^"]*+)"|'([^']*+)')""")
"""An attribute and the white space before it.  Groups: its name, and its value as one of two."""
_BREAK_EVERY: Final = 72  # characters of a line, as libindi's drivers break them
_LARGE_TEXT: Final = 1 << 18  # bytes beyond which not every line is checked
_EACH: Final = 64  # in a large text, one in this many line ends is checked, so that not all bytes are read
_BREAK_WITHIN: Final = 1024  # bytes in which white space must appear, because no line is longer
_LONGEST_TAIL: Final = 16
LARGEST_COUNT: Final = (1 << 31) - 1  # libindi reads counts into an int
_PAGE: Final = 1 << 20  # indiserver rounds its buffer for a BLOB up to a multiple of this
LONGEST_BLOB_FORMAT: Final = 63  # bytes that libindi keeps; it does not terminate longer ones
# libindi's indentation before an end tag.  Its readers reserve a byte for each line, and not much more.
_TAILS: Final = (b"", b"\n", b"\n ", b"\n  ")


class Base64(NamedTuple):
    """What is known about a base64 text.

    Attributes:
        characters: Their number without white space; a multiple of four.
        size: Bytes when decoded.
        lines: It is in libindi's lines, for which ``enclen`` works.
    """

    characters: int
    size: int
    lines: bool


def look_at(pieces: Sequence[memoryview], length: int) -> Base64 | None:
    """Judge a text by its beginning, its end and its line ends; None when these are inconclusive.

    In a large text only one line end in 64 is checked.  White space elsewhere may go unnoticed.

    Args:
        pieces: The text, cut anywhere.
        length: Their length.
    """
    head = _first(pieces, _BREAK_WITHIN)
    body = head.lstrip(WHITE_SPACE)
    lead = len(head) - len(body)
    end = _first([piece[::-1] for piece in reversed(pieces)], _LONGEST_TAIL)[::-1]
    kept = end.rstrip(WHITE_SPACE)
    tail = len(end) - len(kept)
    if not body or not kept:
        return Base64(0, 0, head in _TAILS) if length <= _LONGEST_TAIL else None
    core = length - lead - tail
    body = body[:core]
    line = body.find(b"\n")
    breaks = 0
    if line >= 0:
        breaks = (core - 1) // (_BREAK_EVERY + 1)
        if line != _BREAK_EVERY or not _in_lines(pieces, lead, lead + core):
            return None
    characters = core - breaks
    if characters % 4 or len(body.translate(None, b" \t\r")) != len(body):
        return None
    padding = len(kept) - len(kept.rstrip(b"="))
    lines = (
        (line >= 0 or core <= _BREAK_EVERY)
        and head[:lead] in (b"", b"\n")
        and end[len(kept) :] in _TAILS
        and length >= characters + characters // _BREAK_EVERY
    )
    return Base64(characters, characters // 4 * 3 - min(padding, 2), lines)


def _first(pieces: Sequence[memoryview], count: int) -> bytes:
    found = b""
    for piece in pieces:
        found += bytes(piece[: count - len(found)])
        if len(found) == count:
            break
    return found


def _in_lines(pieces: Sequence[memoryview], begin: int, end: int) -> bool:
    """Between these offsets, is each checked line end where lines of 72 characters have it?"""
    step = (_BREAK_EVERY + 1) * (_EACH if end - begin > _LARGE_TEXT else 1)
    offset = 0
    for piece in pieces:
        first = (
            (begin + _BREAK_EVERY - offset) % step if offset > begin + _BREAK_EVERY else begin + _BREAK_EVERY - offset
        )
        ends = bytes(piece[first : max(0, end - offset) : step])
        if ends.count(b"\n") != len(ends):
            return False
        offset += len(piece)
    return True


def tidied(pieces: Sequence[memoryview]) -> tuple[list[bytes], Base64]:
    """The text as one line.

    Raises:
        MalformedFrame: Its characters do not make up groups of four.
    """
    kept = [text for piece in pieces if (text := bytes(piece).translate(None, WHITE_SPACE))]
    characters = sum(map(len, kept))
    if characters % 4:
        raise MalformedFrame("base64 that does not end with a group of four characters")
    end = b"".join([text[-2:] for text in kept[-2:]])[-2:]
    padding = len(end) - len(end.rstrip(b"="))
    return kept, Base64(characters, characters // 4 * 3 - padding, characters < _BREAK_EVERY)


# --- tags ------------------------------------------------------------------------------

Attributes = dict[bytes, bytes]


def attributes_of(tag: bytes) -> Attributes:
    """The attributes of a tag, values without their quotes."""
    return {match[1]: match[2] if match[2] is not None else match[3] for match in ATTRIBUTE.finditer(tag)}


def is_attached(tag: bytes) -> bool:
    """Does the data of this member arrive as a descriptor?"""
    return b"attached" in tag and attributes_of(tag).get(b"attached") == b"true"


def _count(text: bytes | None) -> int | None:
    """A number of bytes; None when it is not one that every reader takes."""
    text = text.strip(WHITE_SPACE) if text else b""
    count = int(text) if text.isdigit() and len(text) <= 18 else -1
    return count if 0 <= count <= LARGEST_COUNT else None


def is_compressed(format: bytes) -> bool:
    """Is ``size`` not that of the data: zlib (``.z``), or packing within a format (``.fz``, ``.gz``, ``.xz``)?"""
    return format.rstrip().lower().endswith(b"z")


def _is_compressed(attributes: Attributes) -> bool:
    return is_compressed(attributes.get(b"format", b""))


def _rewritten(tag: bytes, changes: dict[bytes, bytes | None]) -> bytes:
    """The tag with these attributes, or, for None, without them; the same object when nothing changes."""
    missing = {key: value for key, value in changes.items() if value is not None}

    def write(match: re.Match[bytes]) -> bytes:
        if match[1] not in changes:
            return match[0]
        missing.pop(match[1], None)
        value = changes[match[1]]
        return b"" if value is None else b' %s="%s"' % (match[1], value)

    attributes = attributes_of(tag)
    if all(attributes.get(key) == value for key, value in changes.items()):
        return tag
    written = ATTRIBUTE.sub(write, tag)
    added = b"".join(b' %s="%s"' % item for item in missing.items())
    end = len(b"<oneBLOB")
    return written[:end] + added + written[end:] if added else written


def _check_format(attributes: Attributes) -> None:
    if len(attributes.get(b"format", b"")) > LONGEST_BLOB_FORMAT:
        raise MalformedFrame(f"the format of a BLOB is longer than {LONGEST_BLOB_FORMAT}")


def _check_command(attributes: Attributes) -> None:
    """Check what a command must have before its data is examined."""
    if _count(attributes.get(b"size")) is None:
        what = "whose size is not a number of bytes" if b"size" in attributes else "without its size"
        raise MalformedFrame(f"a BLOB {what}")
    if b"len" in attributes and _count(attributes[b"len"]) is None:
        raise MalformedFrame("a BLOB whose len is not a number of bytes")


def mend_command(tag: bytes, text: Base64) -> bytes:
    """The start tag of a member of a command.

    Clients count carelessly, and a lost upload is worse than a corrected number, so a ``size`` that does not fit the
    data is corrected, as in updates.  If the data itself seems to be incomplete, nothing can be corrected.

    Raises:
        MalformedFrame: A count is missing or not a number, there is no data, or its ``len`` does not fit it.
    """
    attributes = attributes_of(tag)
    _check_format(attributes)
    _check_command(attributes)
    length = _count(attributes.get(b"len"))
    if not text.size:
        raise MalformedFrame("an empty BLOB in a command")
    if length is not None and length != text.size and not (_is_compressed(attributes) and length < text.size):
        raise MalformedFrame(f"a BLOB of {text.size} bytes whose len is {length}")
    return _mended(tag, attributes, text)


def fits(tag: bytes, text: Base64) -> bool:
    """Does the ``size`` in this start tag agree with what is known about the text?"""
    attributes = attributes_of(tag)
    size = _count(attributes.get(b"size"))
    return size == text.size or bool(size and text.size and _is_compressed(attributes))


def mend_update(tag: bytes, text: Base64) -> bytes:
    """The start tag of a member of an update.  Attributes that do not fit its data are corrected.

    Raises:
        MalformedFrame: Its format is too long for libindi.
    """
    attributes = attributes_of(tag)
    _check_format(attributes)
    return _mended(tag, attributes, text)


def _mended(tag: bytes, attributes: Attributes, text: Base64) -> bytes:
    """The tag with what has been found; `len` is kept, because it may show that the data was truncated or padded."""
    size, length = _count(attributes.get(b"size")), _count(attributes.get(b"len"))
    if size is None or not fits(tag, text):
        size = text.size
    told = attributes.get(b"enclen")
    enclen = told if text.lines and told == b"%d" % text.characters else None
    return _rewritten(
        tag,
        {
            b"size": b"%d" % _room(size, text.size),
            b"len": None if length is None else b"%d" % length,
            b"enclen": enclen,
            b"attached": None,
        },
    )


def _room(size: int, length: int) -> int:
    """This size of compressed data, or its length if indiserver, which decodes into a buffer of this size, rounded up,
    would write beyond it."""
    return length if -(-size // _PAGE) * _PAGE < length else size


def mend_attached(tag: bytes, is_command: bool) -> bytes:
    """The start tag of a member whose data arrives as a descriptor.

    Raises:
        MalformedFrame: It does not say how long its data is.
    """
    attributes = attributes_of(tag)
    _check_format(attributes)
    if is_command:
        _check_command(attributes)
    size, length = _count(attributes.get(b"size")), _count(attributes.get(b"len"))
    if size is None:
        size = length
    if size is None:
        raise MalformedFrame("an attached BLOB without its size")
    if length is not None:
        size = _room(size, length) if size and _is_compressed(attributes) else length
    return _rewritten(tag, {b"size": b"%d" % size, b"len": None if length is None else b"%d" % length, b"enclen": None})
