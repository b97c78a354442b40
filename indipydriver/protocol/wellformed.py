"""Is this element well-formed, and what is its address?  Expat's verdict, within the limits.

Most elements are checked by :mod:`.shapes`; this is for the others.
"""

from __future__ import annotations

from typing import Final
from xml.parsers import expat

from ..errors import MalformedFrame
from .frame import Address
from .limits import Limits, check_tags
from .tags import TAGS, Tag, Verb
from .texts import excerpt

__all__ = ["check", "make_address"]


def make_address(tag: bytes, device: bytes, name: bytes) -> Address:
    """The address from what a common shape matched, the attribute values without their quotes."""
    return _addressed(TAGS[tag.decode("ascii")], device.decode("ascii"), name.decode("ascii"))


_WITH_DEVICE: Final = (Verb.DELETE, Verb.ENABLE_BLOB)


def _addressed(tag: Tag, device: str | None, name: str | None) -> Address:
    """The address of an element; a name that is empty, or only white space, counts as absent.

    Where a name may be absent, an empty one is absent; elsewhere it becomes "", which belongs to nobody.  A deletion
    with an empty name, as libindi's receiver simulator sends it, does not mean the whole device.

    Raises:
        MalformedFrame: A name without a device, in an element that would mean all devices without the name.
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
    """Expat's handlers: count what is limited, remember the address."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.depth = 0
        self.members = 0
        self.tag = ""
        self.attributes: dict[str, str] = {}
        self.has_namespaces = False

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        limits = self.limits
        self.depth += 1
        if self.depth == 1:
            self.tag = tag
            self.attributes = attributes
        elif self.depth > 2:
            raise MalformedFrame("an element inside a member")
        elif tag in TAGS or (tag == "oneBLOB") is not (self.tag in _BLOB_VECTORS):
            # For the next reader, the start of an INDI element begins a new one wherever it stands: it would not read
            # what has been judged here.  libindi reads the attributes of a oneBLOB wherever it stands, those of other
            # members only in their vectors.
            raise MalformedFrame(f"a <{tag[:40]}> in a <{self.tag[:40]}>")
        else:
            self.members += 1
            if self.members > limits.members:
                raise MalformedFrame(f"more than {limits.members} members")
        if len(attributes) - ("via" in attributes) > limits.attributes:
            raise MalformedFrame(f"more than {limits.attributes} attributes")
        self.has_namespaces = self.has_namespaces or ":" in tag
        for key, value in attributes.items():
            self.has_namespaces = self.has_namespaces or ":" in key or key == "xmlns"
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
        # repair() removes comments; this one was formed by what was around another one, or around a bad reference.
        raise MalformedFrame("a comment")

    def instruction(self, *args: object) -> None:
        raise MalformedFrame("a processing instruction inside an element")


def check(raw: bytes, limits: Limits) -> Address:
    """The address of a well-formed element.

    Args:
        raw: The element from its ``<`` to its ``>``, in UTF-8; of a BLOB vector its tags.
        limits: Limits on its parts; its total size is left to :func:`check_size`.

    Raises:
        MalformedFrame: It is not well-formed, not an element of INDI, or beyond a limit.
    """
    if len(raw) > limits.passing_tag:
        check_tags(raw, limits)
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
        if judge.has_namespaces:  # whoever decodes it takes only those that are declared, and may be
            expat.ParserCreate("utf-8", "}").Parse(raw, True)
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
