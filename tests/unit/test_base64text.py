"""Base64 text of large data is that of binascii, whoever makes it."""

import binascii
import os
import sys

import pytest

from indipydriver.protocol import base64text
from indipydriver.protocol.base64text import base64_from, base64_of, length_in_base64
from indipydriver.protocol.values import encode_base64

SIZES = [0, 1, 2, 3, 4, 1000, 32767, 32768, 32769, 32770, 196607, 196608, 196609, 1_000_000, 1_000_001, 1_000_002]


@pytest.fixture(params=["the best there is", "without OpenSSL"])
def encoder(request, monkeypatch):
    if request.param == "without OpenSSL":
        monkeypatch.setattr(base64text, "_encoder", lambda: None)


def in_pieces(data: bytes) -> list[bytes | memoryview]:
    rest = data

    def read_into(piece: memoryview) -> None:
        nonlocal rest
        piece[:] = rest[: len(piece)]
        rest = rest[len(piece) :]

    chunks = base64_from(read_into, len(data))
    assert not rest
    return chunks


@pytest.mark.parametrize("size", SIZES)
def test_the_text_is_that_of_binascii(size, encoder):
    data = os.urandom(size)
    text = binascii.b2a_base64(data, newline=False)
    assert base64_of(data) == encode_base64(data) == text
    assert base64_of(bytearray(data)) == base64_of(memoryview(data)) == text
    assert b"".join(in_pieces(data)) == text
    assert length_in_base64(size) == len(text)


def test_what_openssl_gives_is_bytes_like_any_other():
    first, second = base64_of(b"\0" * 60_000), base64_of(b"\0" * 60_000)
    assert type(first) is bytes
    assert first == second
    assert hash(first) == hash(second)
    assert first.endswith(b"AAAA")


def test_a_failure_to_read_is_passed_on(encoder):
    def read_into(_: memoryview) -> None:
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        base64_from(read_into, 100_000)


def test_without_ctypes_binascii_does_the_work(monkeypatch):
    monkeypatch.setitem(sys.modules, "ctypes", None)
    base64text._encoder.cache_clear()
    try:
        assert base64text._encoder() is None
        data = os.urandom(100_000)
        assert base64_of(data) == binascii.b2a_base64(data, newline=False)
    finally:
        base64text._encoder.cache_clear()
