"""Members of vectors: their values, and how they are written."""

import io
from decimal import Decimal
from pathlib import Path

import pytest

from indipydriver.errors import DefinitionError
from indipydriver.propertymembers import (
    BLOBMember,
    LightMember,
    NumberMember,
    SwitchMember,
    TextMember,
    getfloat,
)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("12:30:36", 12.51),
        ("12 30 36", 12.51),
        ("12;30;36", 12.51),
        ("-12:30:36", -12.51),
        ("12:", 12.0),
        (":30", 0.5),
        ("", 0.0),
        ("1e3", 1000.0),
        (" 1.5 ", 1.5),
        ("5\n", 5.0),
        ("-0:30", -0.5),
        ("+1", 1.0),
        (7, 7.0),
        (True, 1.0),
        (2.5, 2.5),
    ],
)
def test_a_number_is_read(text, number):
    assert getfloat(text) == pytest.approx(number)


@pytest.mark.parametrize(("text", "number"), [("12  30", 12.5), ("- 5", -5.0), ("-  12 30", -12.5)])
def test_runs_of_blanks_are_one_separator_and_may_follow_the_sign(text, number):
    """Two blanks used to shift the fields, and a blank after the sign made minutes of degrees."""
    assert getfloat(text) == pytest.approx(number)


@pytest.mark.parametrize("text", ["1_000", "nan", "inf", "-inf", "1e400"])
def test_python_spellings_and_what_is_not_finite_are_no_numbers(text):
    """Texts used to go through that no other peer reads."""
    with pytest.raises(TypeError):
        getfloat(text)


@pytest.mark.parametrize("value", ["1,5", "0x10", "12h30", "1:2:3:4", "1 2:3", "+-5", None, b"1", [1], Decimal(1)])
def test_what_is_no_number_is_a_type_error(value):
    with pytest.raises(TypeError):
        getfloat(value)


def test_defaults():
    assert (SwitchMember("a").membervalue, SwitchMember("a").label) == ("Off", "a")
    assert LightMember("a").membervalue == "Idle"
    assert TextMember("a").membervalue == ""
    number = NumberMember("a")
    assert (number.format, number.min, number.max, number.step, number.membervalue) == ("", "0", "0", "0", "0")
    blob = BLOBMember("a")
    assert (blob.blobsize, blob.blobformat, blob.membervalue) == (0, "", None)
    assert SwitchMember("a", "Label").label == "Label"
    assert SwitchMember("a", "").label == "a"


@pytest.mark.parametrize("name", ["", "é", "two\nlines", "tab\t"])
def test_names_are_printable_ascii(name):
    with pytest.raises(DefinitionError):
        SwitchMember(name)


def test_a_name_that_is_no_str_is_an_attribute_error():
    with pytest.raises(AttributeError):
        TextMember(5)


@pytest.mark.parametrize("cls", [SwitchMember, LightMember])
@pytest.mark.parametrize("value", ["", None, "on", "OK", 1])
def test_a_wrong_word_raises_at_once(cls, value):
    """The constructor used to take any word, which broke the answers to clients later."""
    with pytest.raises(ValueError, match="must be one of"):
        cls("a", "", value)
    member = cls("a")
    before = member.membervalue
    with pytest.raises(ValueError, match="must be one of"):
        member.membervalue = value
    assert member.membervalue == before


@pytest.mark.parametrize(("value", "text"), [(5, "5"), (None, ""), (1.5, "1.5"), (Path("/a"), "/a")])
def test_a_text_that_is_none_is_converted(value, text):
    """A number in a text member could not be serialised."""
    member = TextMember("a")
    member.membervalue = value
    assert member.membervalue == text
    assert TextMember("a", "", value).membervalue == text


def test_changed_is_about_another_value():
    member = TextMember("a", membervalue="x")
    assert member.changed
    member.changed = False
    member.membervalue = "x"
    assert not member.changed
    member.membervalue = "y"
    assert member.changed


def test_a_number_is_kept_as_text():
    member = NumberMember("a", format="%5.2f", min=0, max=10.5, step=True, membervalue=3)
    assert (member.min, member.max, member.step, member.membervalue) == ("0", "10.5", "1", "3")
    assert member.getfloatvalue() == 3.0
    assert member.getformattedvalue() == " 3.00"
    assert member.format_number(1.239) == " 1.24"
    member.membervalue = "1:30:00"
    assert member.membervalue == "1:30:00"
    assert member.getfloatvalue() == 1.5


@pytest.mark.parametrize(
    ("format", "value", "text"),
    [
        ("%9.6m", "1:01:00", "  1:01:00"),
        ("%7.3m", "1:60", "   2:00"),
        ("%9.6m", "-0.5", " -0:30:00"),
        ("%7.3m", -123.75, "-123:45"),
        ("%9.6m", 59.99999, " 60:00:00"),
        ("%11.8m", 12.34567, " 12:20:44.4"),
    ],
)
def test_sexagesimal_with_full_carry(format, value, text):
    """60 seconds or minutes used to be shown instead of the next minute or degree."""
    assert NumberMember("a", format=format, membervalue=value).getformattedvalue() == text


def test_every_second_of_a_day_is_shown_as_itself():
    """622 of them were not, once."""
    member = NumberMember("a", format="%9.6m")
    for second in range(0, 86400, 7):
        hours, rest = divmod(second, 3600)
        text = f"{hours}:{rest // 60:02d}:{rest % 60:02d}"
        assert member.format_number(getfloat(text)).strip() == text


def test_an_empty_format_is_general():
    """The default format could not be shown, and clients in C printed nothing."""
    member = NumberMember("a", membervalue=2.5)
    assert member.getformattedvalue() == "2.5"
    assert member.description.format == "%g"
    assert member.format == ""


def test_a_blob_may_be_taken_back():
    """Once set, it could not be None again."""
    member = BLOBMember("a", membervalue=b"x")
    member.changed = False
    member.membervalue = None
    assert member.membervalue is None
    assert not member.changed
    for nothing in (b"", ""):
        with pytest.raises(ValueError, match="bytes, a path"):
            member.membervalue = nothing


def test_blobsize_is_an_int():
    with pytest.raises(ValueError, match="int"):
        BLOBMember("a", blobsize="5")


def test_bytes_of_a_blob(tmp_path):
    path = tmp_path / "picture.fits"
    path.write_bytes(b"data")
    for value in (b"data", bytearray(b"data"), memoryview(b"data"), path, str(path), io.BytesIO(b"data")):
        assert BLOBMember.getbytes(value) == b"data"


def test_an_open_file_may_be_sent_again():
    """It used to be closed after the first time."""
    file = io.BytesIO(b"data")
    assert [BLOBMember.getbytes(file) for _ in range(3)] == [b"data"] * 3
    assert not file.closed


def test_what_holds_no_bytes_is_a_value_error(tmp_path):
    (tmp_path / "empty").touch()
    for value in (tmp_path / "missing", tmp_path / "empty", io.StringIO("text"), io.BytesIO(), 5, b""):
        with pytest.raises(ValueError, match="BLOB"):
            BLOBMember.getbytes(value)


@pytest.mark.parametrize(
    ("file", "format"),
    [
        ("img_2026.01.02.fits", ".fits"),
        ("a.fits.gz", ".fits.gz"),
        ("a.fits.fz", ".fits.fz"),
        ("a.b.fits.z", ".fits.z"),
        ("a.gz", ".gz"),
        ("plain", ""),
        ("end.", ""),
        (".fits", ""),
        ("M31 2.5s.fits", ".fits"),
        ("M31 2.5s.gz", ".gz"),
        ("M31 2.5s.fits.fz", ".fits.fz"),
        ("a.b.tar.gz", ".tar.gz"),
        ("A.FITS.GZ", ".FITS.GZ"),
        ("a.xisf.zst", ".xisf.zst"),
    ],
)
def test_the_format_is_that_of_the_file_name(file, format):
    """All that stood behind any dot used to be taken."""
    assert BLOBMember("a", membervalue=Path(file))._format() == format
    assert BLOBMember("a", membervalue=f"/tmp/x.y/{file}")._format() == format
    assert BLOBMember("a", blobformat=".own", membervalue=file)._format() == ".own"
    assert BLOBMember("a", membervalue=b"data")._format() == ""


def test_a_repr_is_short():
    assert repr(SwitchMember("a")) == "SwitchMember('a', 'Off')"
    assert repr(BLOBMember("a", membervalue=bytes(1000))) == "BLOBMember('a', 1000 bytes)"
