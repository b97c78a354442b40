"""Base64 text of large data, encoded three times as fast and without the interpreter's lock where that is possible.

``binascii`` encodes 500 MB a second and holds the lock meanwhile, so nothing else in the process runs.  The OpenSSL
that comes with nearly every CPython has a plain function for the same text; ``ctypes`` calls it without the lock.
Where it is missing, ``binascii`` does the work.
"""

from __future__ import annotations

import binascii
import contextlib
import mmap
import sys
from collections.abc import Callable
from functools import cache
from typing import Final, NamedTuple

__all__ = ["base64_from", "base64_of"]

_WORTHWHILE: Final = 32 << 10  # bytes from which a call through ctypes pays off
_OPENSSL_LARGEST: Final = 1 << 30  # OpenSSL counts in a C int
_ENCODED_AT_ONCE: Final = 3 << 16  # a multiple of 3, so that the texts can be joined; it stays in the processor's cache
_ALL_BYTES: Final = bytes(range(256))


class _Encoder(NamedTuple):
    """The functions of OpenSSL that are called.

    Attributes:
        encode: Writes the text, followed by a NUL, to an address, from another address; returns its length.
        address_of: The address of a writable buffer.
        new_bytes: New bytes of this length, which may be filled because nobody else has seen them.
        address_of_bytes: The address of bytes; there is room for the NUL after them.
    """

    encode: Callable[[int, int, int], int]
    address_of: Callable[[bytearray | mmap.mmap], int]
    new_bytes: Callable[[None, int], bytes]
    address_of_bytes: Callable[[bytes], int]

    def text_of(self, data: bytes) -> bytes:
        text = self.new_bytes(None, length_in_base64(len(data)))
        self.encode(self.address_of_bytes(text), self.address_of_bytes(data), len(data))
        return text


def length_in_base64(length: int) -> int:
    """How many base64 characters this many bytes take."""
    return (length + 2) // 3 * 4


def base64_of(data: bytes | bytearray | memoryview) -> bytes:
    """The base64 text of some bytes, in one line without a line end."""
    if isinstance(data, bytes) and _WORTHWHILE <= len(data) <= _OPENSSL_LARGEST and (encoder := _encoder()):
        return encoder.text_of(data)
    return _plain(data)


def base64_from(read_into: Callable[[memoryview], None], length: int) -> list[bytes | memoryview]:
    """The base64 text of what is read piece by piece, in chunks.

    A large text gets memory of its own from the system, in large pages if there are any: thousands of small pages
    take longer than the encoding, and all of it goes back when the text is no longer needed.

    Args:
        read_into: Fills the buffer that it is given with the next bytes.
        length: How many bytes there are in all.
    """
    buffer = bytearray(min(length, _ENCODED_AT_ONCE))
    view = memoryview(buffer)
    encoder = _encoder() if length >= _WORTHWHILE else None
    if encoder is None:
        chunks: list[bytes | memoryview] = []
        for begin in range(0, length, _ENCODED_AT_ONCE):
            piece = view[: length - begin]
            read_into(piece)
            chunks.append(_plain(piece))
        return chunks
    size = length_in_base64(length)
    text = _memory(size + 1)
    source, target = encoder.address_of(buffer), encoder.address_of(text)
    for begin in range(0, length, _ENCODED_AT_ONCE):
        piece = view[: length - begin]
        read_into(piece)
        target += encoder.encode(target, source, len(piece))
    return [memoryview(text)[:size]]


def _memory(size: int) -> mmap.mmap:
    if sys.platform == "win32":
        return mmap.mmap(-1, size)
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):  # a kernel without large pages
            memory.madvise(mmap.MADV_HUGEPAGE)
    return memory


def _plain(data: bytes | bytearray | memoryview) -> bytes:
    return binascii.b2a_base64(data, newline=False)


@cache
def _encoder() -> _Encoder | None:
    """OpenSSL's functions, if they work; looked up once, when the first large data is encoded."""
    try:
        encoder = _encoder_of_openssl()
        if all(encoder.text_of(_ALL_BYTES[:count]) == _plain(_ALL_BYTES[:count]) for count in range(2, 257)):
            return encoder
    except Exception:  # no ctypes, no OpenSSL, no descriptor to open them, or another interpreter
        pass
    return None


def _encoder_of_openssl() -> _Encoder:
    """Found through the extension module that is linked with OpenSSL, whatever the library is called."""
    import ctypes
    from importlib.util import find_spec

    spec = find_spec("_ssl")
    if spec is None or spec.origin is None:
        raise ImportError("no OpenSSL")
    encode = ctypes.CDLL(spec.origin).EVP_EncodeBlock
    encode.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
    encode.restype = ctypes.c_int
    # A prototype of our own: the function object of `pythonapi` belongs to the whole process.
    prototype = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_char_p, ctypes.c_ssize_t)
    new_bytes = prototype(("PyBytes_FromStringAndSize", ctypes.pythonapi))

    def address_of(buffer: bytearray | mmap.mmap) -> int:
        return ctypes.addressof(ctypes.c_char.from_buffer(buffer))

    def address_of_bytes(data: bytes) -> int:
        address = ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value
        assert address is not None
        return address

    return _Encoder(encode, address_of, new_bytes, address_of_bytes)
