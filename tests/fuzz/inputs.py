"""Inputs for the fuzzers: pieces of real and invented traffic, put together and spoilt, all from one seed.

The input of the framer and the decoder is a stream of bytes with two bytes of options in front.  The input of the
router and the driver is a program: records divided by NUL, which no element contains, after one byte of options.
The first byte of a record says what is done and by whom, the rest is what they send.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import random
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

__all__ = ["GENERATORS", "SEPARATOR", "TOKENS", "generate", "seeds", "silent"]

CAPTURES: Final = Path(__file__).resolve().parents[1] / "fixtures/captures"
SEPARATOR: Final = b"\0"

_DEVICES: Final = (
    b"A",
    b"A",
    b"B",
    b"B",
    b"C",
    b"D",
    b"Mount 1",
    b"*",
    b"",
    b"A&amp;B",
    b"\xc3\xa9",
    b"\xe9",
    b"x" * 70,
)
_NAMES: Final = (b"p", b"p", b"q", b"q", b"text", b"number", b"switch", b"light", b"blob", b"", b"A", b"&lt;")
_MEMBERS: Final = (b"n", b"n", b"n", b"m", b"s", b"t", b"b", b"", b"x y")
_KINDS: Final = (b"Text", b"Number", b"Switch", b"Light", b"BLOB")
_NAME_OF_KIND: Final = {
    b"Text": b"text",
    b"Number": b"number",
    b"Switch": b"switch",
    b"Light": b"light",
    b"BLOB": b"blob",
}
_VALUES: Final = {
    b"Text": (b"hello", b"", b"\n  wrapped \n", b"a&amp;b", b"a & b", b"&#65;", b"\xff", b"x" * 200),
    b"Number": (b"1", b"-0.5", b"12:30:15", b"1e400", b"nan", b"", b" 7 ", b"1e", b"0x1p3", b"9" * 40),
    b"Switch": (b"On", b"Off", b"On", b"Off", b" On\n", b"on", b"", b"Ok"),
    b"Light": (b"Ok", b"Idle", b"Busy", b"Alert", b"", b"On"),
    b"BLOB": (b"QUJD", b"QUJD", b"QUI=", b"Q U\nJD", b"", b"Q", b"QUJD" * 40, b"\x00", b"=", b"QQ==QQ=="),
}  # fmt: skip
_STATES: Final = (b"Ok", b"Busy", b"Idle", b"Alert", b"", b"Fine")
_COUNTS: Final = (b"3", b"3", b"3", b"2", b"160", b"0", b"-1", b"x", b"999999999999", b"")
_FORMATS: Final = (b".fits", b".stream", b".fits.z", b"", b".jpg")
_MODES: Final = (b"Also", b"Never", b"Only", b"Also", b"", b"never", b"\nAlso ")
_VIAS: Final = (b"here", b"other", b"other third", b"x " * 33, b"")
_TIMES: Final = (b"2024-01-02T03:04:05", b"2024-01-02T03:04:05.5Z", b"", b"yesterday")

TOKENS: Final = (
    b"<", b">", b"/>", b"</", b'"', b"'", b"=", b" ", b"\n", b"\t", b"&", b"&amp;", b"&#65;", b"&#0;", b"&bad;",
    b"<!--", b"-->", b"<?xml version='1.0'?>", b"<?", b"?>", b"<![CDATA[", b"]]>", b"<!DOCTYPE x>", b"\xff", b"\xc3\xa9",
    b"\xef\xbb\xbf", b" device='A'", b" name='p'", b" name=''", b" state='Ok'", b" timeout='5'", b" via='here'",
    b" size='3'", b" enclen='4'", b" len='3'", b" attached='true'", b" perm='rw'", b" rule='OneOfMany'", b" version='1.7'",
    b"<oneNumber name='n'>", b"</oneNumber>", b"<oneBLOB name='b' size='3' format='.x'>", b"</oneBLOB>", b"<x>", b"</x>",
    b"</setBLOBVector>", b"</setNumberVector>", b"<setBLOBVector device='A' name='blob'>", b"x" * 90, b"A" * 300,
    b"&" * 900, b"\xe9" * 2100,
)  # fmt: skip
"""What mutations put in, and a dictionary for guided fuzzing."""


@contextlib.contextmanager
def silent(*loggers: str, mistakes: str = "", wanted: str = "(?!)") -> Iterator[None]:
    """Nothing is logged, as to make a line of each complaint would take most of the time.

    Args:
        loggers: Their names.
        mistakes: A regular expression: what is logged with `exception` and begins so is a mistake of the package, which
            it survives; here it is raised.  So is any error that is logged with an exception.
        wanted: A regular expression: such errors are those that the subject makes on purpose.
    """
    pattern, purpose = re.compile(mistakes), re.compile(wanted)

    def exception(text: str, *args: object) -> None:
        if pattern.match(text):
            raise AssertionError(f"survived: {text % args}: {sys.exc_info()[1]!r}") from sys.exc_info()[1]

    def error(text: str, *args: object, exc_info: BaseException | None = None) -> None:
        if exc_info is not None and not purpose.match(text % args):
            raise AssertionError(f"survived: {text % args}: {exc_info!r}") from exc_info

    found = [logging.getLogger(name) for name in loggers]
    kept = [logger.disabled for logger in found]
    for logger in found:
        logger.disabled = True
        logger.exception = exception  # type: ignore[assignment, method-assign]
        logger.error = error  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        for logger, disabled in zip(found, kept, strict=True):
            logger.disabled = disabled
            del logger.exception, logger.error


# --- elements ----------------------------------------------------------------------------


def _vector(rng: random.Random, verb: bytes) -> bytes:
    pick = rng.choice
    kind = pick(_KINDS)
    name = _NAME_OF_KIND[kind] if rng.random() < 0.5 else pick(_NAMES)
    tag = verb + kind + b"Vector"
    head = [b"<", tag, b" device='", pick(_DEVICES), b"' name='", name, b"'"]
    if verb != b"new":
        head += [b" state='", _STATES[0] if rng.random() < 0.7 else pick(_STATES), b"'"]
    if verb == b"def":
        head += [b" perm='", pick((b"rw", b"ro", b"wo", b"rw", b"xx")), b"'"]
        if kind == b"Switch":
            head += [b" rule='", pick((b"OneOfMany", b"AnyOfMany", b"AtMostOne", b"None")), b"'"]
    if rng.random() < 0.2:
        head += [pick((b" timestamp='", b" message='", b" timeout='", b" via='", b" label='", b" group='"))]
        head += [pick(_TIMES + _VIAS), b"'"]
    parts = [*head, b">"]
    child = (b"def" if verb == b"def" else b"one") + kind
    for _ in range(rng.choice((1, 1, 1, 2, 0, 3))):
        parts += [b"<", child, b" name='", pick(_MEMBERS), b"'"]
        if kind == b"BLOB" and verb != b"def":
            parts += [b" size='", pick(_COUNTS), b"' format='", pick(_FORMATS), b"'"]
            if rng.random() < 0.15:
                parts += [pick((b" enclen='", b" len='")), pick(_COUNTS), b"'"]
        elif kind == b"Number" and verb == b"def":
            parts += [b" format='%g' min='0' max='", pick(_COUNTS), b"' step='1'"]
        if kind == b"BLOB" and verb == b"def":
            parts += [b"/>"]
        else:
            parts += [b">", pick(_VALUES[kind]), b"</", child, b">"]
    parts += [b"</", tag, b">"]
    return b"".join(parts)


def _empty(rng: random.Random, tag: bytes) -> bytes:
    parts = [b"<", tag]
    if rng.random() < 0.8:
        parts += [b" device='", rng.choice(_DEVICES), b"'"]
        if rng.random() < 0.5:
            parts += [b" name='", rng.choice(_NAMES), b"'"]
    if tag == b"message" and rng.random() < 0.8:
        parts += [b" message='it rains'"]
    if rng.random() < 0.2:
        parts += [b" via='", rng.choice(_VIAS), b"'"]
    if tag == b"getProperties" and rng.random() < 0.7:
        parts += [b" version='1.7'"]
    return b"".join([*parts, b"/>"])


def _enable(rng: random.Random) -> bytes:
    start = _empty(rng, b"enableBLOB")[:-2]
    return start + b">" + rng.choice(_MODES) + b"</enableBLOB>"


_ELEMENTS: Final[tuple[Callable[[random.Random], bytes], ...]] = (
    lambda rng: _vector(rng, b"def"),
    lambda rng: _vector(rng, b"set"),
    lambda rng: _vector(rng, b"new"),
    lambda rng: _vector(rng, b"def"),
    lambda rng: _vector(rng, b"set"),
    lambda rng: _vector(rng, b"new"),
    lambda rng: _empty(rng, b"getProperties"),
    lambda rng: _empty(rng, b"delProperty"),
    lambda rng: _empty(rng, b"message"),
    _enable,
    lambda rng: b"<getProperties version='1.7' device='*'/>",
    lambda rng: rng.choice((b"<pingRequest uid='1'/>", b"<pingReply uid='1'/>", b"<pingRequest/>")),
)


@functools.cache
def _pool() -> tuple[bytes, ...]:
    """Many invented elements, made once."""
    rng = random.Random(7)
    return tuple(rng.choice(_ELEMENTS)(rng) for _ in range(4000))


@functools.cache
def _orders() -> tuple[bytes, ...]:
    """Mostly commands for the vectors of the driver that is fuzzed, and news for it; the rest of the pool too."""
    rng = random.Random(8)
    made = []
    for _ in range(2000):
        element = rng.choice(_ELEMENTS)(rng)
        if element.startswith(b"<get") and rng.random() < 0.7:  # each is answered with all definitions
            continue
        if element.startswith(b"<new"):
            kind = re.match(rb"<new([A-Za-z]+)Vector", element)
            assert kind is not None
            where = b" device='%b' name='%b'" % (rng.choice((b"A", b"A", b"Mount 1")), _NAME_OF_KIND[kind[1]])
            element = re.sub(rb" device='[^']*' name='[^']*'", where, element, count=1)
            element = re.sub(rb"(<one\w+) name='[^']*'", rb"\1 name='n'", element, count=1)
        made.append(element)
    return tuple(made)


@functools.cache
def seeds() -> tuple[bytes, ...]:
    """Short elements of real traffic, one of each shape."""
    found: dict[bytes, bytes] = {}
    for path in sorted(CAPTURES.rglob("*.*")):
        if path.suffix not in (".xml", ".raw"):
            continue
        for element in re.split(rb"\n(?=<)", path.read_bytes()[:400_000]):
            if len(element) <= 600:
                shape = re.sub(rb"\"[^\"]*\"|'[^']*'|>[^<]*<", b"", element)
                found.setdefault(shape, element)
    return tuple(found.values())


# --- spoiling ----------------------------------------------------------------------------


def _spoilt(rng: random.Random, data: bytes) -> bytes:
    """The data with one thing changed."""
    place = int(rng.random() * (len(data) + 1))
    choice = rng.random()
    if choice < 0.3:
        return data[:place] + rng.choice(TOKENS) + data[place:]
    length = 1 + int(rng.random() ** 3 * 40)
    if choice < 0.55:
        return data[:place] + data[place + length :]
    if choice < 0.7:
        return data[:place] + bytes([int(rng.random() * 255) + 1]) + data[place + 1 :]
    if choice < 0.8:
        return data[: place + length] + data[place:]
    if choice < 0.9:
        return data[:place]
    other = rng.choice(_pool())
    return data[:place] + other[int(rng.random() * len(other)) :]


def _maybe_spoilt(rng: random.Random, data: bytes) -> bytes:
    while rng.random() < 0.35:
        data = _spoilt(rng, data)
    return data


# --- inputs ------------------------------------------------------------------------------


def _stream(rng: random.Random) -> bytes:
    pool = _pool() if rng.random() < 0.8 else seeds()
    data = b"".join([rng.choice(pool) for _ in range(rng.choice((1, 1, 2, 3)))])
    return bytes((int(rng.random() * 256), int(rng.random() * 256))) + _maybe_spoilt(rng, data)


def _program(rng: random.Random, pool: tuple[bytes, ...]) -> bytes:
    """Few elements and few senders, so that they meet again: what is remembered of the first time counts."""
    choice = rng.choice
    elements = [choice(pool) for _ in range(choice((3, 5, 12)))]
    heads = [int(rng.random() * 255) + 1 for _ in range(choice((3, 5, 12)))]
    records = [bytes([int(rng.random() * 256)])]
    for _ in range(choice((4, 8, 12, 16))):
        payload = b"".join([choice(elements) for _ in range(choice((1, 1, 1, 2)))])
        records.append(bytes([choice(heads)]) + payload.replace(SEPARATOR, b""))
    data = SEPARATOR.join(records)
    return _spoilt(rng, data) if rng.random() < 0.3 else data


GENERATORS: Final[dict[str, Callable[[random.Random], bytes]]] = {
    "framer": _stream,
    "cost": _stream,
    "decoder": _stream,
    "router": lambda rng: _program(rng, _pool()),
    "driver": lambda rng: _program(rng, _orders()),
}


def generate(target: str, rng: random.Random) -> bytes:
    """The next input for a target."""
    return GENERATORS[target](rng)
