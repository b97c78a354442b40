"""Text on the wire to Python values and back: numbers, times, the words of INDI, base64, zlib.

Nothing here knows of XML.  What cannot be read raises ValueFormatError, which is both a
ValueError and a TypeError.
"""

from __future__ import annotations

import binascii
import io
import math
import os
import re
import zlib
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from time import time_ns
from typing import Final, TypeAlias, TypeVar

from ..errors import ValueFormatError
from .base64text import base64_of
from .tags import BlobMode, Permission, State, SwitchRule, SwitchState

__all__ = [
    "BASE64_SPACE",
    "Base64Text",
    "clean_text",
    "decode_base64",
    "encode_base64",
    "file_format",
    "format_number",
    "format_timestamp",
    "getfloat",
    "inflate",
    "parse_blob_mode",
    "parse_perm",
    "parse_rule",
    "parse_state",
    "parse_switch",
    "parse_timestamp",
    "plain_number",
]

Base64Text: TypeAlias = bytes | bytearray | memoryview

_WordT = TypeVar("_WordT", bound=StrEnum)

# A number takes 30 characters; nobody sends more than this in good faith.
_LONGEST_NUMBER: Final = 128
# No display has more columns for a number, and "%999999999f" would fill the memory.
_WIDEST: Final = 64


def _shown(value: object) -> str:
    """The value for an error message, shortened."""
    text = repr(value[:40] if isinstance(value, (str, bytes)) else value)
    return text if len(text) <= 60 else text[:57] + "..."


# --- numbers ---------------------------------------------------------------------------


def getfloat(value: object) -> float:
    """The number that a text, float or int stands for; the text may be sexagesimal.

    A text is stripped.  Up to three components are separated by blanks, by ``:`` or by ``;``
    (INDI 1.7); those that are missing or empty are 0, and a leading minus sign applies to the
    whole: "-0:30" is -0.5, "" is 0.  Unlike libindi 1.9.9 it takes a blank as a separator, and
    it takes no letters or commas.

    Args:
        value: A str, float, int or bool.

    Raises:
        ValueFormatError: It is of another type, cannot be read, or is not finite.
    """
    if isinstance(value, str):
        if len(value) > _LONGEST_NUMBER:
            raise ValueFormatError(f"a number of more than {_LONGEST_NUMBER} characters: {_shown(value)}")
        try:
            number = float(value)
        except ValueError:
            number = _sexagesimal(value)
        if "_" in value or not math.isfinite(number) or not value.strip().isascii():
            raise ValueFormatError(f"not a number: {_shown(value)}")
        return number
    if isinstance(value, float):
        return value
    if isinstance(value, int):
        try:
            return float(value)
        except OverflowError:
            raise ValueFormatError("an integer too large for a float") from None
    raise ValueFormatError(f"a number must be a str, float or int, not {type(value).__name__}")


def _sexagesimal(text: str) -> float:
    """The value of a text that float() does not accept."""
    body = text.strip()
    negative = body.startswith("-")
    if negative:
        body = body.lstrip("- ")
    elif body.startswith("+"):
        body = "+" + body[1:].lstrip(" ")
    if " " in body:
        parts = body.split()
    elif ":" in body:
        parts = body.split(":")
    else:
        parts = body.split(";")
    if len(parts) > 3:
        raise ValueFormatError(f"more than three components in a number: {_shown(text)}")
    number = 0.0
    try:
        for part, unit in zip(parts, (1, 60, 3600), strict=False):
            if part and not part.isspace():
                number += float(part) / unit
    except ValueError:
        raise ValueFormatError(f"not a number: {_shown(text)}") from None
    return -number if negative else number


_OF_DECIMALS: Final = "0123456789.eE"


def plain_number(text: str) -> str:
    """The text of a number as it is sent: what is not a plain decimal becomes one, with all its digits.

    Clients of libindi 1.9.9 read what is sexagesimal only as the value in a definition. Of everything else they take
    the first component: an hour angle of 12:30:00 in an update is shown as 12.

    Args:
        text: What :func:`getfloat` accepts.
    """
    digits = text.removeprefix("-")
    if digits and not digits.strip(_OF_DECIMALS):  # most are, and float() takes longer
        return text
    try:
        float(text)
    except ValueError:
        return str(getfloat(text))
    return text.strip()  # C knows only the white space of ASCII


# libindi reads the two numbers with %d: a sign is accepted, and leading zeros have no meaning.
_SEXAGESIMAL_FORMAT: Final = re.compile(r"%([-+]?[0-9]{1,9})\.([0-9]{1,9})m")
# One conversion of a double among plain text; the length modifiers have no meaning in Python.
_PRINTF_FORMAT: Final = re.compile(
    r"((?:[^%]|%%)*+)%([-+ #0]{0,8})([0-9]{0,9})(?:\.([0-9]{0,9}))?(?:hh|h|ll|l|L)?([diueEfFgG])((?:[^%]|%%)*+)"
)
# How many units of the last digit make a degree or hour.
_UNITS: Final = {9: 360000, 8: 36000, 6: 3600, 5: 600}


def format_number(format: str, value: float) -> str:
    """The number as a display shows it, by the format of a defNumber.

    Args:
        format: One printf conversion for a C double, such as ``%5.2f``, with or without text
            around it; or INDI's own ``%<w>.<f>m`` for degrees or hours, with f 9 for
            ``:mm:ss.ss``, 8 for ``:mm:ss.s``, 6 for ``:mm:ss``, 5 for ``:mm.m``, else ``:mm``.
            "" means ``%g``.  Widths and precisions beyond 64 are taken as 64.
        value: The number.

    Raises:
        ValueFormatError: The format is neither, or the number does not fit it: nan and infinities
            have no integer or sexagesimal form.

    In ``m``, half of the last digit is rounded away from zero, and a carry goes through all
    fields, as in libindi 1.9.9.
    """
    try:
        return _formatter(format)(value)
    except (ValueError, OverflowError) as error:
        if isinstance(error, ValueFormatError):
            raise
        raise ValueFormatError(f"{value!r} cannot be shown with the format {_shown(format)}") from None


@lru_cache(maxsize=512)
def _formatter(format: str) -> Callable[[float], str]:
    """The function that formats numbers with this format."""
    match = _SEXAGESIMAL_FORMAT.match(format)
    if match:
        width, fraction = int(match[1]), int(match[2])
        field = max(-_WIDEST, min(_WIDEST, width - fraction))
        return lambda value: _degrees(value, field, _UNITS.get(fraction, 60))
    match = _PRINTF_FORMAT.fullmatch(format or "%g")
    if match is None:
        raise ValueFormatError(f"not a number format: {_shown(format)}")
    before, flags, digits, precision, letter, after = match.groups()
    spec = before + "%" + flags
    if digits:
        spec += str(min(int(digits), _WIDEST))
    if precision is not None:
        spec += "." + str(min(int(precision or 0), _WIDEST))
    spec += letter + after
    return lambda value: spec % value


def _degrees(value: float, field: int, base: int) -> str:
    """The number with minutes, and seconds if base wants them; field is the width before the colon.

    A negative field pads on the right, as printf does with ``%*d``.
    """
    parts, rest = divmod(math.floor(abs(value) * base + 0.5), base)
    if value < 0 and parts == 0:  # libindi: "%*s-0" with the width less 2
        text = " " * abs(field - 2) + "-0"
    else:
        text = str(-parts if value < 0 else parts)
        text = text.rjust(field) if field >= 0 else text.ljust(-field)
    if base == 60:
        return f"{text}:{rest:02d}"
    if base == 600:
        return f"{text}:{rest // 10:02d}.{rest % 10}"
    per_minute = base // 60
    minutes, rest = divmod(rest, per_minute)
    if base == 3600:
        return f"{text}:{minutes:02d}:{rest:02d}"
    if base == 36000:
        return f"{text}:{minutes:02d}:{rest // 10:02d}.{rest % 10}"
    return f"{text}:{minutes:02d}:{rest // 100:02d}.{rest % 100:02d}"


# --- times -----------------------------------------------------------------------------

_TIMESTAMP: Final = re.compile(
    r"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})"
    r"(?:(?:[Tt]|\s++)([0-9]{1,2}):([0-9]{1,2})(?::([0-9]{1,2})(?:[.,]([0-9]*+))?)?)?"
    r"\s*+(?:([Zz])|([-+])([0-9]{2})(?::?([0-9]{2}))?)?"
)


def parse_timestamp(text: str | None) -> datetime | None:
    """The time of a ``timestamp`` attribute, aware and in UTC; None when it cannot be read.

    The form is ``YYYY-MM-DDTHH:MM:SS.f`` without a zone (INDI 1.7).  Real peers also send a blank
    in place of the T (the paper's own examples), fractions of any length, which are truncated to
    microseconds, ``Z``, offsets, which are converted, and dates or minutes alone.
    """
    match = _TIMESTAMP.fullmatch(text.strip()) if text else None
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, _, sign, zone_hours, zone_minutes = match.groups()
    try:
        time = datetime(
            int(year),
            int(month),
            int(day),
            int(hour or 0),
            int(minute or 0),
            int(second or 0),
            int((fraction or "")[:6].ljust(6, "0")),
            UTC,
        )
        if sign:
            offset = timedelta(hours=int(zone_hours), minutes=int(zone_minutes or 0))
            time = time - offset if sign == "+" else time + offset
    except (ValueError, OverflowError):  # no such day, or beyond the calendar
        return None
    return time


@lru_cache(maxsize=4)
def _second(seconds: int) -> str:
    """The text of a whole second; thousands of updates share one, so caching it saves 2 us each."""
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat(sep="T")


def format_timestamp(time: datetime | None = None) -> str:
    """The text of a ``timestamp`` attribute: UTC without a zone, microseconds only if there are any.

    Args:
        time: A naive datetime is taken as UTC, an aware one is converted.  None: now.

    Raises:
        ValueFormatError: It is not a datetime, or leaves the calendar when converted.
    """
    if time is None:
        seconds, nanoseconds = divmod(time_ns(), 1_000_000_000)
        micro = nanoseconds // 1000
        return f"{_second(seconds)}.{micro:06d}" if micro else _second(seconds)
    if not isinstance(time, datetime):
        raise ValueFormatError(f"a timestamp must be a datetime, not {type(time).__name__}")
    if time.tzinfo is not None:
        try:
            time = time.astimezone(UTC)
        except OverflowError:
            raise ValueFormatError(f"{time} cannot be represented in UTC") from None
    return time.replace(tzinfo=None).isoformat(sep="T")


# --- words -----------------------------------------------------------------------------


def _reader(what: str, words: type[_WordT], **more: _WordT) -> Callable[[str], _WordT]:
    """A reader of one list of words: stripped, in any case (seen in the paper's own examples)."""
    exact: dict[str, _WordT] = {word.value: word for word in words}
    lenient = {text.lower(): word for text, word in exact.items()} | more

    def read(text: str) -> _WordT:
        word = exact.get(text)
        if word is None:
            word = lenient.get(text.strip().lower()) if isinstance(text, str) else None
            if word is None:
                raise ValueFormatError(f"{what} must be one of {', '.join(exact)}, not {_shown(text)}")
        return word

    read.__doc__ = f"{what.capitalize()} that a text stands for; ValueFormatError when none."
    return read


parse_state: Final = _reader("a state", State)
parse_switch: Final = _reader("a switch value", SwitchState)
parse_rule: Final = _reader("a switch rule", SwitchRule)
# INDI 1.7 itself has "w" and "r" in examples.
parse_perm: Final = _reader("a permission", Permission, w=Permission.WRITE_ONLY, r=Permission.READ_ONLY)
parse_blob_mode: Final = _reader("a BLOB mode", BlobMode)


# --- text ------------------------------------------------------------------------------

# What XML 1.0 does not allow, and DEL, which receivers that mend an element remove.
_NOT_TEXT: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def clean_text(text: str) -> str:
    """The text with only what XML can carry: of C0 only tab, LF and CR, and no DEL.

    A lone surrogate, as in a file name that is not UTF-8, becomes ``?``.
    """
    if text.isprintable():
        return text
    return _SURROGATE.sub("?", _NOT_TEXT.sub("", text))


# --- BLOBs -----------------------------------------------------------------------------

BASE64_SPACE: Final = b" \t\n\r\x0b\x0c"
"""The white space that may stand anywhere in base64: that of ASCII."""
_WINDOW: Final = 1 << 18  # bytes stripped of white space at a time; fits the cache


def decode_base64(text: Base64Text | Iterable[Base64Text]) -> bytes:
    """The bytes of a base64 text, whole or in pieces cut anywhere.

    ASCII white space is dropped wherever it is (libindi breaks lines after 72 characters);
    everything else has to be right.  Needs only a small window of memory besides the result.

    Raises:
        ValueFormatError: It holds something else, ends in the middle, or goes on after its padding.
    """
    if isinstance(text, (bytes, bytearray, memoryview)):
        try:
            return binascii.a2b_base64(text, strict_mode=True)
        except binascii.Error:  # it may only have white space
            text = (text,)
    out = io.BytesIO()
    carry = b""
    padded = False
    for chunk in text:
        for start in range(0, len(chunk), _WINDOW):
            piece = carry + bytes(chunk[start : start + _WINDOW])
            whole = len(piece) & ~3
            try:
                data = binascii.a2b_base64(memoryview(piece)[:whole], strict_mode=True)
            except binascii.Error:  # white space, mostly: looking for it first would take a third as long again
                piece = piece.translate(None, BASE64_SPACE)
                whole = len(piece) & ~3
                try:
                    data = binascii.a2b_base64(memoryview(piece)[:whole], strict_mode=True)
                except binascii.Error as error:
                    raise ValueFormatError(f"not base64: {error}") from None
            carry = piece[whole:].translate(None, BASE64_SPACE)
            if whole:
                if padded:
                    raise ValueFormatError("base64 that goes on after its padding")
                out.write(data)
                padded = piece[whole - 1] == 0x3D  # "="
    if carry:
        raise ValueFormatError("base64 that does not end with a group of four characters")
    return out.getvalue()


def encode_base64(data: bytes | bytearray | memoryview) -> bytes:
    """The base64 text of some bytes, in one line without a line end (what every peer reads)."""
    return base64_of(data)


_PACKED: Final = frozenset((".bz2", ".fz", ".gz", ".xz", ".z", ".zst"))


def file_format(path: str | os.PathLike[str]) -> str:
    """The format of a file as a BLOB: its last suffix, and the one before it where that only says how it is packed.

    ``M 31.2.5s.fits`` is ``.fits``, and ``M31.fits.fz`` is ``.fits.fz``.  What begins with a digit is no suffix of
    what is packed, but a part of a name such as ``2.5s.gz``.
    """
    stem, last = os.path.splitext(os.path.basename(os.fspath(path)))
    before = os.path.splitext(stem)[1] if last.lower() in _PACKED else ""
    return f"{before if before[1:].isalnum() and before[1].isalpha() else ''}{last}".rstrip(".")


def inflate(data: bytes | bytearray | memoryview, limit: int) -> bytes:
    """The content of a zlib stream: the payload of a BLOB whose format ends in ``.z``.

    Bytes after the stream are ignored: indiserver 1.9.9 pads BLOBs that it relays.

    Args:
        data: The stream.
        limit: The most bytes that it may inflate to.

    Raises:
        ValueFormatError: It is not such a stream, ends too early, or contains more than the limit.
    """
    inflater = zlib.decompressobj()
    try:
        result = inflater.decompress(data, limit + 1)
    except zlib.error as error:
        raise ValueFormatError(f"not a zlib stream: {error}") from None
    if len(result) > limit:
        raise ValueFormatError(f"a zlib stream of more than {limit} bytes")
    if not inflater.eof:
        raise ValueFormatError("a zlib stream without its end")
    return result
