"""What the session reads is read rightly; no KStars is needed for that."""

import pytest

from .bus import parsed
from .profile import headers
from .stars import stars
from .tap import number


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("()", ()),
        ("(true,)", (True,)),
        ("(<uint32 2>,)", (2,)),
        ("(<(3,)>,)", ((3,),)),
        ("(<[5.5, -70.0]>,)", ([5.5, -70.0],)),
        ("(@as [],)", ([],)),
        ("(['a <b> true', \"it's\"],)", (["a <b> true", "it's"],)),
        ("({'name': <'CCD Simulator'>, 'connected': <false>},)", ({"name": "CCD Simulator", "connected": False},)),
    ],
)
def test_what_gdbus_prints(text, value):
    assert parsed(text) == value


def test_a_header(tmp_path):
    cards = [
        "SIMPLE  =                    T / it is",
        "FILTER  = 'O''III a/b'        / filter",
        "EXPTIME =  1.0 / s",
        "END",
    ]
    file = tmp_path / "image.fits"
    file.write_bytes("".join(card.ljust(80) for card in cards).encode().ljust(2880))
    assert headers(file) == {"SIMPLE": "T", "FILTER": "O'III a/b", "EXPTIME": "1.0"}


@pytest.mark.parametrize(
    ("text", "value"), [("5.5", 5.5), ("-0:30:00", -0.5), ("12 30 36", 12.51), ("", 0.0), ("Unknown", None)]
)
def test_numbers(text, value):
    assert number(text) == pytest.approx(value)


def test_the_stars_are_always_the_same():
    seen = stars(80.0, 70.0, 0.3)
    assert seen == stars(80.0, 70.0, 0.3)
    assert set(stars(80.0, 70.0, 0.1)) < set(seen)
