"""Writes PNG files.  Pure."""

from __future__ import annotations

import struct
import zlib
from typing import Final

__all__ = ["encode", "kind_of"]

_MAGIC: Final = b"\x89PNG\r\n\x1a\n"


def kind_of(data: bytes | memoryview) -> str:
    """The type of a file that a browser can show, by its first bytes: ``image/png``, ``image/jpeg``, or ""."""
    head = bytes(data[:8])
    if head == _MAGIC:
        return "image/png"
    return "image/jpeg" if head[:3] == b"\xff\xd8\xff" else ""


def encode(width: int, height: int, channels: int, pixels: bytes) -> bytes:
    """A PNG file of a picture with 8 bits per channel, grey or in colour."""
    stride = width * channels
    packer = zlib.compressobj(1)
    pieces = [packer.compress(b"\0" + pixels[y * stride : (y + 1) * stride]) for y in range(height)]
    pieces.append(packer.flush())
    head = struct.pack(">IIBBBBB", width, height, 8, 2 if channels == 3 else 0, 0, 0, 0)
    return _MAGIC + _chunk(b"IHDR", head) + _chunk(b"IDAT", b"".join(pieces)) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
