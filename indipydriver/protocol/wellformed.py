"""Is this element well-formed?  The check at the door, and the repair of what is nearly right.

Two judges with one verdict.  `COMMON` is a regular expression that matches, in one go, the
shape nearly all traffic has: it costs 1.6 us for a frame of 285 bytes, where expat called
from Python costs ten times as much.  Whatever it does not match goes to expat, so it may be stricter than XML
but never laxer; a property test compares the two.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from xml.parsers import expat

from ..errors import MalformedFrame
from .frame import Address
from .scan import VIA
from .tags import TAGS, Tag, Verb

__all__ = [
    "COMMON",
    "COMMON_DEFINITION",
    "NEVER",
    "VIA_ROOM",
    "Limits",
    "check",
    "check_size",
    "encoding_of",
    "excerpt",
    "make_address",
    "repair",
    "via_size",
]


VIA_ROOM: Final = 2048
"""Bytes by which an element may still grow between servers, by its ``via`` attribute."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what one peer may send.  The largest seen in 150 real drivers stand beside them.

    Beyond `frame`, `blob`, `start_tag` and `junk` the peer is cut off, or, if it passes on what others send, it is
    skipped; beyond the others the element is dropped.
    The same bounds hold where an element goes to, and it may grow on its way: when it is mended, and by ``via``.
    So an element that passes must, as it goes on, leave room below `frame` and `start_tag`, else it is dropped too.

    Attributes:
        frame: Bytes of an element without BLOB data (seen: 2.8 KB).  One with data is dropped when its tags are more.
        blob: Bytes of a setBLOBVector or newBLOBVector, as base64.
        start_tag: Bytes of one start tag.
        junk: Bytes between elements that belong to none, in a row.
        attributes: Attributes of one start tag, ``via`` aside (seen: 10).
        attribute_value: Bytes of one attribute value.
        name: Bytes of a device, property or member name (libindi cuts at 63).
        members: Children of one element (seen: 18).
        strict_blobs: Look at each byte of the BLOB data in updates, as is done in commands. It costs 0.7 ms for a
            MiB, as much as all the rest, so drivers and servers are trusted with that.
    """

    frame: int = 1 << 20
    blob: int = 512 << 20
    start_tag: int = 16 << 10
    junk: int = 64 << 10
    attributes: int = 32
    attribute_value: int = 4 << 10
    name: int = 256
    members: int = 1024
    strict_blobs: bool = False

    @property
    def passing_frame(self) -> int:
        """Bytes of an element, without BLOB data, that may be passed on."""
        return self.frame - min(VIA_ROOM, self.frame >> 3)

    @property
    def passing_tag(self) -> int:
        """Bytes of a start tag that may be passed on, its ``via`` aside."""
        return self.start_tag - min(VIA_ROOM, self.start_tag >> 3)

    @property
    def as_wide_as_common(self) -> bool:
        """`COMMON` and `COMMON_DEFINITION` match nothing that is beyond these limits."""
        return (
            self.name >= _COMMON_VALUE
            and self.attribute_value >= _COMMON_VALUE
            and self.members >= _COMMON_MEMBERS
            and self.passing_tag >= _COMMON_START_TAG
            and self.attributes >= _COMMON_ATTRIBUTES
        )


_COMMON_VALUE: Final = 256
_COMMON_MEMBERS: Final = 1024
_COMMON_ATTRIBUTES: Final = 10
_COMMON_START_TAG: Final = 4096  # ten attributes with their values, and less than a hundred blanks before each

# Printable ASCII, tab and line ends.  Possessive (Python 3.11), so a failure costs no second try.
_TEXT: Final = rb"[^<>&\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\xff]*+"
# No white space but the blank: XML makes blanks of the others in attribute values.
_VALUE: Final = rb"""(?:"[^"<&\x00-\x1f\x7f-\xff]{0,256}+"|'[^'<&\x00-\x1f\x7f-\xff]{0,256}+')"""
_WS: Final = rb"[ \t\r\n]"
_GAP: Final = _WS + rb"{1,99}+"


def _attribute(name: str, value: bytes = _VALUE) -> bytes:
    return _GAP + name.encode() + rb"=" + value


def _optional(*names: str) -> bytes:
    # (?:x|) and not (?:x)?, as a branch costs the regular expression machine half of a repeat.
    return b"".join(rb"(?:" + _attribute(name) + rb"|)" for name in names)


def _shape(
    vectors: bytes, attributes: tuple[str, ...], child: bytes, of_number: tuple[str, ...], of_all: tuple[str, ...]
) -> re.Pattern[bytes]:
    """An element with its children, in the order of attributes that libindi, indiserver and the
    Python drivers share, but for timeout and timestamp, of which either may be first.  A fixed order
    rules out an attribute given twice, which XML does not allow."""
    timeout, timestamp = _attribute("timeout"), _attribute("timestamp")
    times = b"(?:%s(?:%s|)|%s(?:%s|)|)" % (timeout, timestamp, timestamp, timeout)
    gap = _WS + rb"{0,99}+"
    # Nothing may match in two ways: with many members the failure of the whole would try all combinations.
    more_or_space = rb"(?:>|(?=" + _WS + rb")"
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
        _WS + rb"*+(?:<\?xml[^<>]{0,64}+>" + _WS + rb"*+|)"
        rb"(<((?:" + vectors + rb")Vector)"
        + _attribute("device", rb"(" + _VALUE + rb")")
        + _attribute("name", rb"(" + _VALUE + rb")")
        + _optional(*attributes) + times + _optional("message")
        + gap + rb">(?:" + _WS + rb"*+<" + child + rb"(?:" + children + rb")){0,1024}" + _WS + rb"*+</\2>)"
    )  # fmt: skip


COMMON: Final = _shape(rb"(?:set|new)(?:Number|Text|Switch)|setLight", ("state",), rb"one", ("min", "max", "step"), ())
"""Nearly all traffic.  Groups: the element, its tag, the device and name attributes with their quotes."""

COMMON_DEFINITION: Final = _shape(
    rb"def(?:Number|Text|Switch|Light)",
    ("label", "group", "state", "perm", "rule"),
    rb"def",
    ("label", "format", "min", "max", "step"),
    ("label",),
)
"""The same for definitions."""

NEVER: Final = re.compile(rb"(?!)")
"""Matches nothing: in the place of the others when the limits are narrower than what they match."""


def excerpt(data: bytes, length: int = 80) -> str:
    """The beginning of some bytes, safe to print in a log: control characters are escaped."""
    text = data[: length + 1].decode("utf-8", "replace")
    safe = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[:length])
    return safe + ("..." if len(data) > length else "")


def make_address(tag: bytes, device: bytes, name: bytes) -> Address:
    """The address from what `COMMON` matched, the attribute values without their quotes."""
    return _addressed(TAGS[tag.decode("ascii")], device.decode("ascii"), name.decode("ascii"))


_WITH_DEVICE: Final = (Verb.DELETE, Verb.ENABLE_BLOB)


def _addressed(tag: Tag, device: str | None, name: str | None) -> Address:
    """The address of an element; a name that is empty, or only white space, counts as absent.

    Where a name may be absent, an empty one is absent; elsewhere it becomes "", which belongs to nobody.  A deletion
    with an empty name, as libindi's receiver simulator sends it, does not mean the whole device.

    Raises:
        MalformedFrame: A property without its device, where all devices would be meant without the name.
    """
    if device and name and not device.isspace() and not name.isspace():
        return Address(tag, device, name)
    if device is not None and not device.strip():
        device = "" if tag.kind else None
    if name is not None and not name.strip():
        name = "" if tag.kind or tag.verb is Verb.DELETE else None
    if device is None and name is not None and tag.verb in _WITH_DEVICE:
        raise MalformedFrame("a name without a device", tag=tag.text, name=name)
    if device is None and tag.verb is Verb.GET:
        name = None  # all are asked for
    return Address(tag, device, name)


_BLOB_VECTORS: Final = frozenset(tag.text for tag in TAGS.values() if tag.is_blob)


class _Judge:
    """Expat's handlers: count what is bounded, remember the address."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.depth = 0
        self.members = 0
        self.tag = ""
        self.attributes: dict[str, str] = {}

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        limits = self.limits
        self.depth += 1
        if self.depth == 1:
            self.tag = tag
            self.attributes = attributes
        elif self.depth > 2:
            raise MalformedFrame("an element inside a member")
        elif tag in TAGS or (tag == "oneBLOB") is not (self.tag in _BLOB_VECTORS):
            # An element of INDI begins a new one for the next reader, wherever it stands: it would not be the one that
            # has been judged here.  libindi reads the attributes of a oneBLOB wherever it stands, and those of others
            # only in their vectors.
            raise MalformedFrame(f"a <{tag[:40]}> in a <{self.tag[:40]}>")
        else:
            self.members += 1
            if self.members > limits.members:
                raise MalformedFrame(f"more than {limits.members} members")
        if len(attributes) - ("via" in attributes) > limits.attributes:
            raise MalformedFrame(f"more than {limits.attributes} attributes")
        for key, value in attributes.items():
            limit = limits.name if key in ("name", "device") else limits.attribute_value
            if len(value) > limit or len(value.encode()) > limit:
                raise MalformedFrame(f"the attribute {key[:32]!r} is longer than {limit}")

    def end(self, tag: str) -> None:
        self.depth -= 1

    def doctype(self, *args: object) -> None:
        raise MalformedFrame("a DOCTYPE")

    def cdata(self) -> None:
        raise MalformedFrame("a CDATA section")

    def comment(self, *args: object) -> None:
        # repair() takes comments out; this one is made of what was around another one, or around a bad reference.
        raise MalformedFrame("a comment")

    def instruction(self, *args: object) -> None:
        raise MalformedFrame("a processing instruction inside an element")


def _check_tags(raw: bytes, limits: Limits) -> None:
    if raw.count(b"<") > 4 * (limits.members + 1):  # by far; the others are counted when they have been looked at
        raise MalformedFrame(f"more tags than {limits.members} members have", excerpt=excerpt(raw))
    for match in _ANY_TAG.finditer(raw):
        size = len(match[0]) + 1  # with its ">"
        if size > limits.start_tag or (size > limits.passing_tag and size - via_size(match[0]) > limits.passing_tag):
            raise MalformedFrame(f"a tag of more than {limits.passing_tag} bytes", excerpt=excerpt(raw))


def via_size(raw: bytes) -> int:
    """Bytes of the element's ``via`` attribute."""
    match = VIA.match(raw)
    return len(match[2]) if match else 0


def check_size(raw: bytes, limits: Limits) -> None:
    """Raises MalformedFrame when an element without BLOB data is too large to be passed on."""
    size = len(raw)
    if size > limits.frame or (size > limits.passing_frame and size - via_size(raw) > limits.passing_frame):
        raise MalformedFrame(f"an element of more than {limits.passing_frame} bytes", excerpt=excerpt(raw))


def check(raw: bytes, limits: Limits) -> Address:
    """The address of a well-formed element.

    Args:
        raw: The element from its ``<`` to its ``>``, in UTF-8; of a BLOB vector its tags.
        limits: What its parts may measure; its whole is for :func:`check_size`.

    Raises:
        MalformedFrame: It is not well-formed, not an element of INDI, or beyond a limit.
    """
    if len(raw) > limits.passing_tag:
        _check_tags(raw, limits)
    judge = _Judge(limits)
    parser = expat.ParserCreate("utf-8")
    parser.StartElementHandler = judge.start
    parser.EndElementHandler = judge.end
    parser.StartDoctypeDeclHandler = judge.doctype
    parser.StartCdataSectionHandler = judge.cdata
    parser.CommentHandler = judge.comment
    parser.ProcessingInstructionHandler = judge.instruction
    try:
        parser.Parse(raw, True)
    except expat.ExpatError as error:
        raise MalformedFrame(f"bad XML: {error}", tag=judge.tag or None, excerpt=excerpt(raw)) from None
    except MalformedFrame as error:
        error.tag, error.excerpt = judge.tag or None, excerpt(raw)
        raise
    tag = TAGS.get(judge.tag)
    if tag is None:
        raise MalformedFrame(f"<{judge.tag[:40]}> is not an element of INDI", excerpt=excerpt(raw))
    try:
        return _addressed(tag, judge.attributes.get("device"), judge.attributes.get("name"))
    except MalformedFrame as error:
        error.excerpt = excerpt(raw)
        raise


_CONTROL: Final = bytes(c for c in range(32) if c not in b"\t\n\r") + b"\x7f"
_BARE_AMPERSAND: Final = re.compile(r"&(?!(?:amp|lt|gt|quot|apos|#[0-9]{1,7}|#x[0-9A-Fa-f]{1,6});)")
_REFERENCE: Final = re.compile(r"&#(?:x([0-9A-Fa-f]{1,6})|([0-9]{1,7}));")
_WITH_ATTRIBUTES: Final = re.compile(r"""<[A-Za-z]++(?:\s++[^\s"'<>=]++\s*+=\s*+(?:"[^"]*+"|'[^']*+'))+\s*+/?>""")
_ALLOWED: Final = re.compile("[\t\n\r -~\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MARKUP: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;"}


_ANY_TAG: Final = re.compile(rb"""<(?:[^"'<>]*+(?:"[^"]*+"|'[^']*+'))*[^"'<>]*+""")


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
    """What a numeric reference stands for; nothing when XML does not allow the character."""
    code = int(match[1], 16) if match[1] else int(match[2])
    if not _ALLOWED.match(char := chr(min(code, 0x110000 - 1))) or code > 0x10FFFF:
        return ""
    return _MARKUP.get(char, char)


def encoding_of(raw: bytes) -> str:
    """How an element is encoded, as none of those seen in real traffic says it."""
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8"


def repair(raw: bytes, encoding: str | None = None) -> bytes:
    """The element as every peer understands it; the same bytes when there is nothing to mend.

    What real drivers send and expat or libindi would not take: Latin-1 bytes, control characters,
    an ampersand that begins no entity, ``<`` in an attribute value, ``]]>`` in text, numeric references
    (libindi shows them as they are) and comments (libindi ends them at the first ``>``).

    Args:
        raw: The element, or a part of it.
        encoding: That of the element as a whole, if this is a part.
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
