"""Texts for clients and logs: one printable line that no program on the way drops or cuts in the middle of a letter."""

import pytest

from indipydriver.protocol.encode import encode
from indipydriver.protocol.framer import Framer
from indipydriver.protocol.messages import DelProperty
from indipydriver.protocol.texts import LONGEST_MESSAGE, brief, describe, printable


@pytest.mark.parametrize(
    "text", ["", "plain", "Büro \u2192 Kuppel", "x" * LONGEST_MESSAGE, "\u00e9" * (LONGEST_MESSAGE // 2)]
)
def test_what_fits_is_left_as_it_is(text):
    assert brief(text) == text


@pytest.mark.parametrize("letter", ["x", "\u00e9", "\u20ac", "\U0001f52d"])
@pytest.mark.parametrize("length", [LONGEST_MESSAGE // 4 + 1, LONGEST_MESSAGE + 1, 100_000])
def test_what_is_longer_is_cut_between_two_letters(letter, length):
    short = brief(letter * length)
    size = len(short.encode())
    if len((letter * length).encode()) <= LONGEST_MESSAGE:
        assert short == letter * length
    else:
        assert LONGEST_MESSAGE - 7 < size <= LONGEST_MESSAGE
        assert short.rstrip(".") == letter * short.count(letter)
        assert short.endswith("...")


@pytest.mark.parametrize("text", ["two\nlines", "a\ttab", " blanks \r\n around "])
def test_it_is_one_line(text):
    assert brief(text) == " ".join(text.split())


@pytest.mark.parametrize("text", ["\udcff", "\x1b[31m", "\0", "\u202e", "\u200f", "\ufeff", "\ufffe", "\x85"])
def test_whatever_the_text_an_element_with_it_can_be_sent(text):
    """A program's name that is not UTF-8 comes as lone surrogates, which no encoding takes."""
    raw = encode(DelProperty("D", message=brief(f"driver {text} has ended"))).raw
    framer = Framer()
    assert len(framer.feed(raw)) == 1
    assert not framer.faults
    assert printable(text).isascii()


def test_any_exception_can_be_described():
    class Odd(Exception):
        def __repr__(self):
            raise RuntimeError("no")

    class Huge(Exception):
        def __repr__(self):
            return "\U0001f52d" * 1_000_000

    assert describe(ValueError("x")) == "ValueError('x')"
    assert describe(Odd()) == "Odd"
    assert len(describe(Huge()).encode()) <= LONGEST_MESSAGE
