"""Are the sizes of a BLOB correct?  Sans-I/O."""

from __future__ import annotations

import re
import zlib
from typing import Final
from xml.etree.ElementTree import Element

from indipydriver.errors import ValueFormatError
from indipydriver.protocol.blobtags import LARGEST_COUNT
from indipydriver.protocol.frame import BlobFrame, Frame
from indipydriver.protocol.values import BASE64_SPACE, decode_base64

from .rules import Findings

__all__ = ["judge_blobs"]

_FORMAT: Final = re.compile(r"(?:\.[A-Za-z0-9_+-]{1,32}){1,4}")
_INFLATED_AT_ONCE: Final = 1 << 16  # bytes that are inflated at once, to at most 16 times as many


def judge_blobs(findings: Findings, frame: Frame, element: Element) -> list[int]:
    """Look at all BLOBs of an update.

    Args:
        findings: Where faults are noted.
        frame: The update.
        element: The update as a tree; its base64 text may be missing.

    Returns:
        How many bytes each BLOB with data has, before inflating.
    """
    raw, spans = (frame.raw, frame.spans) if isinstance(frame, BlobFrame) else (b"", ())
    sizes = []
    for index, child in enumerate(element):
        text = raw[slice(*spans[index])] if index < len(spans) else (child.text or "").encode()
        judge = _BlobJudge(findings, frame.device, frame.name, child)
        size = judge.look(text.translate(None, BASE64_SPACE))
        if size:
            sizes.append(size)
    return sizes


class _BlobJudge:
    """Check one oneBLOB."""

    def __init__(self, findings: Findings, device: str | None, name: str | None, child: Element) -> None:
        self._findings = findings
        self._where = (device, name, child.get("name"))
        self._child = child

    def _add(self, code: str, seen: str) -> None:
        self._findings.add(code, seen, *self._where)

    def _count(self, key: str) -> int | None:
        text = self._child.get(key)
        if text is None:
            return None
        text = text.strip()
        if text.isascii() and text.isdigit() and len(text) < 19:
            return int(text)
        self._add("blob-attribute", f"{key}={text[:40]!r} is not a number of bytes")
        return None

    def look(self, text: bytes) -> int:
        """Judge it by its base64 text without white space; returns the size of its data."""
        for key in ("size", "format"):
            if self._child.get(key) is None:
                self._add("blob-attribute", f"no {key}")
        format = (self._child.get("format") or "").strip()
        size, length, encoded = self._count("size"), self._count("len"), self._count("enclen")
        if not text:
            if size:
                self._add("blob-size", f"size={size}, but there is no data")
            return 0
        if self._child.get("format") is not None and not _FORMAT.fullmatch(format):
            self._add("blob-format", f"format={format[:40]!r}")
        try:
            data = decode_base64(text)
        except ValueFormatError as error:
            self._add("blob-base64", str(error))
            return 0
        if length is not None and length != len(data):
            self._add("blob-length", f"len={length}, but the data has {len(data)} bytes")
        if encoded is not None and encoded != len(text):
            self._add("blob-length", f"enclen={encoded}, but there are {len(text)} characters")
        if size is not None:
            self._judge_size(size, data, format)
        return len(data)

    def _judge_size(self, size: int, data: bytes, format: str) -> None:
        if format.endswith(".z"):
            try:
                real = _inflated_size(data, min(max(size, 1 << 20) * 2, LARGEST_COUNT))
            except ValueFormatError as error:
                self._add("blob-inflate", str(error))
                return
            if real != size:
                self._add("blob-size", f"size={size}, but it inflates to {real} bytes")
        elif not format.endswith(".fz") and size != len(data):
            self._add("blob-size", f"size={size}, but the data has {len(data)} bytes")


def _inflated_size(data: bytes, limit: int) -> int:
    """How many bytes a zlib stream holds; they are only counted, because a few bytes can stand for gigabytes.

    Raises:
        ValueFormatError: It is not such a stream, ends too early, or holds more than the limit.
    """
    inflater = zlib.decompressobj()
    size = 0
    try:
        for start in range(0, len(data), _INFLATED_AT_ONCE):
            piece = data[start : start + _INFLATED_AT_ONCE]
            while piece and not inflater.eof:
                size += len(inflater.decompress(piece, 16 * _INFLATED_AT_ONCE))
                if size > limit:
                    raise ValueFormatError(f"a zlib stream of more than {limit} bytes")
                piece = inflater.unconsumed_tail
    except zlib.error as error:
        raise ValueFormatError(f"not a zlib stream: {error}") from None
    if not inflater.eof:
        raise ValueFormatError("a zlib stream without its end")
    return size
