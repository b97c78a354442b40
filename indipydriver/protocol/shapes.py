"""The shapes of nearly all traffic, each as one regular expression.

Each matches an element in one go, checks it and reads its address: 1.6 us for a frame of 285 bytes; expat called from
Python costs ten times as much.  They may be stricter than XML but never laxer, because what they do not match goes to
:mod:`.wellformed`; a property test compares the two.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final

from .limits import Limits
from .scan import WS

__all__ = ["common", "common_definition", "common_shapes"]

_COMMON_VALUE: Final = 256
_COMMON_MEMBERS: Final = 1024
_COMMON_ATTRIBUTES: Final = 10
_COMMON_START_TAG: Final = 4096  # ten attributes with their values, and less than a hundred blanks before each

# Printable ASCII, tab and line ends.  Possessive (Python 3.11), so a failure does not backtrack.
_TEXT: Final = rb"[^<>&\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\xff]*+"
# No white space but the blank: XML turns the others into blanks in attribute values.
_QUOTED_VALUE: Final = rb"""(?:"[^"<&\x00-\x1f\x7f-\xff]{0,256}+"|'[^'<&\x00-\x1f\x7f-\xff]{0,256}+')"""
_GAP: Final = WS + rb"{1,99}+"


def _attribute(name: str, value: bytes = _QUOTED_VALUE) -> bytes:
    return _GAP + name.encode() + rb"=" + value


def _optional(*names: str) -> bytes:
    # (?:x|) and not (?:x)?, because a branch costs the regular expression engine half as much as a repeat.
    return b"".join(rb"(?:" + _attribute(name) + rb"|)" for name in names)


def _shape(
    vectors: bytes, attributes: tuple[str, ...], child: bytes, of_number: tuple[str, ...], of_all: tuple[str, ...]
) -> re.Pattern[bytes]:
    """An element with its children, in the order of attributes that libindi, indiserver and the
    Python drivers share; only timeout and timestamp may be in either order.  A fixed order rules out
    duplicate attributes, which XML does not allow."""
    timeout, timestamp = _attribute("timeout"), _attribute("timestamp")
    times = b"(?:%s(?:%s|)|%s(?:%s|)|)" % (timeout, timestamp, timestamp, timeout)
    gap = WS + rb"{0,99}+"
    # Nothing may match in two ways: with many members, a failure of the whole would try all combinations.
    more_or_space = rb"(?:>|(?=" + WS + rb")"
    children = rb"|".join(
        kind
        + _attribute("name")
        + more_or_space
        + _optional(*more)
        + gap
        + rb">)"
        + _TEXT
        + rb"</"
        + child
        + kind
        + rb">"
        for kind, more in ((b"Number", of_number), (b"Text", of_all), (b"Switch", of_all), (b"Light", of_all))
    )
    return re.compile(
        WS + rb"*+(?:<\?xml[^<>]{0,64}+>" + WS + rb"*+|)"
        rb"(<((?:" + vectors + rb")Vector)"
        + _attribute("device", rb"(" + _QUOTED_VALUE + rb")")
        + _attribute("name", rb"(" + _QUOTED_VALUE + rb")")
        + _optional(*attributes) + times + _optional("message")
        + gap + rb">(?:" + WS + rb"*+<" + child + rb"(?:" + children + rb")){0,1024}" + WS + rb"*+</\2>)"
    )  # fmt: skip


# The two take milliseconds to compile, so they are compiled for the first framer; a framer keeps them.


@cache
def common() -> re.Pattern[bytes]:
    """Nearly all traffic.  Groups: the element, its tag, the device and name attributes with their quotes."""
    return _shape(rb"(?:set|new)(?:Number|Text|Switch)|setLight", ("state",), rb"one", ("min", "max", "step"), ())


@cache
def common_definition() -> re.Pattern[bytes]:
    """The same for definitions."""
    return _shape(
        rb"def(?:Number|Text|Switch|Light)",
        ("label", "group", "state", "perm", "rule"),
        rb"def",
        ("label", "format", "min", "max", "step"),
        ("label",),
    )


_NOTHING: Final = re.compile(rb"(?!)")


def common_shapes(limits: Limits) -> tuple[re.Pattern[bytes], re.Pattern[bytes]]:
    """`common` and `common_definition`; if they match what is beyond these limits, patterns that match nothing."""
    if (
        limits.name >= _COMMON_VALUE
        and limits.attribute_value >= _COMMON_VALUE
        and limits.members >= _COMMON_MEMBERS
        and limits.passing_tag >= _COMMON_START_TAG
        and limits.attributes >= _COMMON_ATTRIBUTES
    ):
        return common(), common_definition()
    return _NOTHING, _NOTHING
