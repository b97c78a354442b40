"""Numbers, times, words, base64 and zlib of indipydriver.protocol.values."""

from __future__ import annotations

import base64
import contextlib
import itertools
import math
import re
import zlib
from datetime import UTC, datetime, timedelta, timezone

import pytest

from indipydriver.errors import IndiError, ValueFormatError
from indipydriver.protocol.tags import BlobMode, Permission, State, SwitchRule, SwitchState
from indipydriver.protocol.values import (
    clean_text,
    decode_base64,
    encode_base64,
    format_number,
    format_timestamp,
    getfloat,
    inflate,
    parse_blob_mode,
    parse_perm,
    parse_rule,
    parse_state,
    parse_switch,
    parse_timestamp,
    plain_number,
)

# --- getfloat --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("12:30:36", 12.51),
        ("12 30 36", 12.51),
        ("12;30;36", 12.51),
        ("-12:30:36", -12.51),
        ("-10 30.3", -10.505),
        ("-10:30:18", -10.505),
        ("-10.505", -10.505),
        ("12:", 12.0),
        (":30", 0.5),
        ("::", 0.0),
        ("12::36", 12.01),
        ("", 0.0),
        ("   ", 0.0),
        ("-0:30", -0.5),
        ("-0:00:30", -30 / 3600),
        ("--5", -5.0),
        ("-12:-30", -11.5),
        ("5\n", 5.0),
        (" 1.5 ", 1.5),
        ("+1", 1.0),
        ("1e3", 1000.0),
        ("12:30.5", 12 + 30.5 / 60),
        ("12.5:30", 13.0),
        ("60:60:60", 60 + 1 + 1 / 60),
        # runs of blanks are one separator, a sign may be followed by blanks
        ("12  30", 12.5),
        ("12   30    36", 12.51),
        ("- 5", -5.0),
        ("- 12:30", -12.5),
        ("+ 12:30", 12.5),
        (5, 5.0),
        (True, 1.0),
        (2.5, 2.5),
    ],
)
def test_getfloat(value: object, number: float) -> None:
    assert getfloat(value) == pytest.approx(number, abs=1e-12)
    assert type(getfloat(value)) is float


def test_whatever_is_accepted_is_sent_as_the_same_number_in_the_form_of_c() -> None:
    seen = 0
    for length in range(6):
        for characters in itertools.product("1.+-e: ", repeat=length):
            text = "".join(characters)
            with contextlib.suppress(ValueFormatError):
                number = getfloat(text)
                sent = plain_number(text)
                assert re.fullmatch(r"[-+]?[0-9]*\.?[0-9]*(e[-+]?[0-9]+)?", sent), (text, sent)
                assert float(sent) == number, text
                seen += 1
    assert seen > 1000


def test_a_number_has_128_characters_at_most() -> None:
    assert getfloat("1" + "0" * 127) == 1e127
    assert getfloat("0" * 128) == 0
    with pytest.raises(ValueFormatError, match="more than 128 characters"):
        getfloat("0" * 129)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("x" * 40, repr("x" * 40)),
        ("x" * 41, repr("x" * 40)),
        (b"x" * 41, repr(b"x" * 40)),
        ("\x00" * 14 + "xx", repr("\x00" * 14 + "xx")),
        ("\x00" * 14 + "xxx", repr("\x00" * 14 + "xxx")[:57] + "..."),
    ],
)
def test_a_wrong_word_is_shown_up_to_60_characters(value: str | bytes, shown: str) -> None:
    with pytest.raises(ValueFormatError) as caught:
        parse_state(value)  # type: ignore[arg-type]
    assert str(caught.value).endswith(f", not {shown}")


def test_getfloat_keeps_the_sign_of_zero() -> None:
    assert math.copysign(1, getfloat("-")) == -1
    assert math.copysign(1, getfloat("-0:00:00")) == -1


def test_getfloat_gives_a_float_back_as_it_is() -> None:
    value = float("nan")
    assert getfloat(value) is value


@pytest.mark.parametrize(
    "value",
    [
        "1,5",
        "0x10",
        "12h30",
        "1:2:3:4",
        "1 2 3 4",
        "1 2:3",
        "12: 30",
        "12 : 30",
        "+-5",
        "+",
        "abc",
        "nan",
        "-nan",
        "inf",
        "-Infinity",
        "1:nan",
        "1e400",
        "1_000",
        "1:1_0",
        "1" * 129,
        None,
        b"1",
        [1],
        1j,
        10**400,
    ],
)
def test_getfloat_refuses(value: object) -> None:
    with pytest.raises(TypeError) as caught:
        getfloat(value)
    assert isinstance(caught.value, ValueFormatError)
    assert isinstance(caught.value, (IndiError, ValueError))
    assert len(str(caught.value)) < 200


# --- format_number ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("format", "value", "text"),
    [
        # computed with the installed libindidriver 1.9.9
        ("%9.6m", 12.5, " 12:30:00"),
        ("%9.6m", -12.5, "-12:30:00"),
        ("%9.6m", 59.99999, " 60:00:00"),
        ("%9.6m", 12.999999, " 13:00:00"),
        ("%9.6m", 12.99986, " 12:59:59"),
        ("%9.6m", -0.99999, " -1:00:00"),
        ("%9.6m", -0.5, " -0:30:00"),
        ("%9.6m", -0.00001, " -0:00:00"),
        ("%9.6m", -0.0, "  0:00:00"),
        ("%9.6m", 0.01722222, "  0:01:02"),
        ("%7.3m", -123.75, "-123:45"),
        ("%5.3m", 12.991, "12:59"),
        ("%5.3m", 12.9999, "13:00"),
        ("%7.5m", 12.25, "12:15.0"),
        ("%6.5m", 12.99917, "13:00.0"),
        ("%10.8m", 12.9999861, "12:59:59.9"),
        ("%11.8m", 12.34567, " 12:20:44.4"),
        ("%12.9m", 12.3456789, " 12:20:44.44"),
        ("%12.9m", 23.9999999, " 24:00:00.00"),
        ("%10.6m", 359.9999, " 360:00:00"),
        ("%010.6m", 12.5, "  12:30:00"),
        ("%2.6m", 12.5, "12  :30:00"),
        ("%3.6m", -0.5, "     -0:30:00"),
        ("%-10.6m", 12.5, "12              :30:00"),
        ("%8.4m", 12.5, "  12:30"),
        ("%8.0m", 12.5, "      12:30"),
        ("%9.6m deg", 12.5, " 12:30:00"),
        ("%g", 0.1, "0.1"),
        ("%5.2f", 3.14159, " 3.14"),
        # from the reference of the protocol
        ("%9.6m", 0.017222, "  0:01:02"),
        ("%010.6m", 5.5, "   5:30:00"),
        ("%12.8m", -0.5, "  -0:30:00.0"),
        ("%11.9m", 1.9999999, " 2:00:00.00"),
        # what C truncates to 32 bits
        ("%9.6m", 1e12, "1000000000000:00:00"),
        # printf
        ("", 1.5, "1.5"),
        ("", 1e-9, "1e-09"),
        ("%3.1f", 2.25, "2.2"),
        ("%d", 2.9, "2"),
        ("%i", -2.9, "-2"),
        ("%5.2lf", 3.14159, " 3.14"),
        ("%lld", 3.0, "3"),
        ("%hd", 3.0, "3"),
        ("%Lg", 3.0, "3"),
        ("%g%%", 50.0, "50%"),
        ("%.f", 2.6, "3"),
        ("%+03.5f", 1.5, "+1.50000"),
        ("%-8.2f|", 1.5, "1.50    |"),
        ("%05d", 42.0, "00042"),
        ("%e", 12345.678, "1.234568e+04"),
        ("%G", 1e-10, "1E-10"),
        ("T = %.1f °C", 21.55, "T = 21.6 °C"),
        ("100%% of %g", 5.0, "100% of 5"),
        ("%g", math.inf, "inf"),
        ("%f", math.nan, "nan"),
    ],
)
def test_format_number(format: str, value: float, text: str) -> None:
    assert format_number(format, value) == text


@pytest.mark.parametrize("format", ["%4.1f", "%4.0f", "%4.2f", "%.2f", "%3.0f", "%6.2f", "%.6f", "%16.2f", "%012.8m"])
def test_format_number_takes_what_real_drivers_use(format: str) -> None:
    assert getfloat(format_number(format, 12.0)) == 12.0


@pytest.mark.parametrize(
    "format",
    ["%", "text", "100%%", "%s", "%r", "%n", "%c", "%x", "%m", "%6m", "%.6m", "%*f", "%1$f", "%g %g", "%g%", "%(a)f"],
)
def test_format_number_refuses_a_format(format: str) -> None:
    with pytest.raises(ValueFormatError):
        format_number(format, 1.0)


@pytest.mark.parametrize("format", ["%d", "%9.6m"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_format_number_refuses_what_is_not_finite(format: str, value: float) -> None:
    with pytest.raises(ValueFormatError):
        format_number(format, value)


@pytest.mark.parametrize("format", ["%999999999f", "%.999999999f", "%999999999.6m", "%-999999999.6m", "%6.999999999m"])
def test_format_number_bounds_the_width(format: str) -> None:
    assert len(format_number(format, 1.0)) <= 2 * 64 + 10


@pytest.mark.parametrize(
    ("format", "length"),
    [("%63d", 63), ("%64d", 64), ("%65d", 64), ("%.63f", 65), ("%.64f", 66), ("%.65f", 66)],
)
def test_no_number_is_wider_than_64_columns(format: str, length: int) -> None:
    assert len(format_number(format, 1.0)) == length


@pytest.mark.parametrize(("width", "field"), [(66, 63), (67, 64), (68, 64), (-60, 63), (-61, 64), (-62, 64)])
def test_no_degrees_are_wider_than_64_columns(width: int, field: int) -> None:
    assert len(format_number(f"%{width}.3m", 1.0)) == field + len(":00")


def test_every_time_of_day_comes_out_right() -> None:
    for second in range(86400):
        hours, minutes = divmod(second // 60, 60)
        assert format_number("%9.6m", second / 3600) == f"{hours:3d}:{minutes:02d}:{second % 60:02d}"


@pytest.mark.parametrize(
    ("format", "unit", "seconds"),
    [
        ("%11.9m", 360000, [f"{second:02d}.{digits:02d}" for second in range(60) for digits in range(100)]),
        ("%10.8m", 36000, [f"{second:02d}.{digit}" for second in range(60) for digit in range(10)]),
    ],
)
def test_every_fraction_of_a_minute_comes_out_right(format: str, unit: int, seconds: list[str]) -> None:
    assert [format_number(format, 1 + count / unit) for count in range(unit // 60)] == [f" 1:00:{s}" for s in seconds]


def test_every_fraction_of_an_hour_comes_out_right() -> None:
    shown = [format_number("%7.5m", 1 + count / 600) for count in range(600)]
    assert shown == [f" 1:{minute:02d}.{digit}" for minute in range(60) for digit in range(10)]


# --- timestamps ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-01-02T03:04:05", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02 03:04:05", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        (" 2026-01-02T03:04:05\n", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05.5", datetime(2026, 1, 2, 3, 4, 5, 500000, tzinfo=UTC)),
        ("2026-01-02T03:04:05.", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05.123456789", datetime(2026, 1, 2, 3, 4, 5, 123456, tzinfo=UTC)),
        ("2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05.5Z", datetime(2026, 1, 2, 3, 4, 5, 500000, tzinfo=UTC)),
        ("2026-01-02T03:04:05+01:00", datetime(2026, 1, 2, 2, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05-0530", datetime(2026, 1, 2, 8, 34, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05.25 +02", datetime(2026, 1, 2, 1, 4, 5, 250000, tzinfo=UTC)),
        ("2026-01-02T03:04", datetime(2026, 1, 2, 3, 4, tzinfo=UTC)),
        ("2026-01-02", datetime(2026, 1, 2, tzinfo=UTC)),
        ("", None),
        (None, None),
        ("yesterday", None),
        ("2026-02-30T00:00:00", None),
        ("2026-01-02T25:00:00", None),
        ("2026-01-02T03:04:05 CET", None),
        ("0001-01-01T00:00:00+01:00", None),
        ("9999-12-31T23:59:59-01:00", None),
        ("12:00:00", None),
    ],
)
def test_parse_timestamp(text: str | None, time: datetime | None) -> None:
    assert parse_timestamp(text) == time
    if time is not None:
        parsed = parse_timestamp(text)
        assert parsed is not None
        assert parsed.tzinfo is UTC


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (datetime(2026, 1, 2, 3, 4, 5), "2026-01-02T03:04:05"),
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "2026-01-02T03:04:05"),
        (datetime(2026, 1, 2, 3, 4, 5, 678900, tzinfo=UTC), "2026-01-02T03:04:05.678900"),
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=5, minutes=30))), "2026-01-01T21:34:05"),
    ],
)
def test_format_timestamp(time: datetime, text: str) -> None:
    assert format_timestamp(time) == text


def test_format_timestamp_of_now() -> None:
    before = datetime.now(UTC)
    now = parse_timestamp(format_timestamp(None))
    assert now is not None
    assert before <= now <= datetime.now(UTC)


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (1_767_323_045_000_000_000, "2026-01-02T03:04:05"),
        (1_767_323_045_000_000_999, "2026-01-02T03:04:05"),
        (1_767_323_045_000_001_000, "2026-01-02T03:04:05.000001"),
        (1_767_323_045_999_999_999, "2026-01-02T03:04:05.999999"),
        (1_767_323_046_000_000_000, "2026-01-02T03:04:06"),
    ],
)
def test_now_is_told_to_the_microsecond(nanoseconds: int, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("indipydriver.protocol.values.time_ns", lambda: nanoseconds)
    assert format_timestamp() == text


@pytest.mark.parametrize(
    "time", ["2026-01-02T03:04:05", 0, datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1))), datetime.now(UTC).date()]
)
def test_format_timestamp_refuses(time: object) -> None:
    with pytest.raises(ValueError, match=r"datetime|in UTC"):
        format_timestamp(time)  # type: ignore[arg-type]


# --- words -----------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["Ok", "OK", " Ok ", "\nok\n"])
def test_a_word_is_stripped_and_read_in_any_case(text: str) -> None:
    assert parse_state(text) is State.OK


def test_every_word_is_read() -> None:
    assert [parse_state(word.value) for word in State] == list(State)
    assert [parse_switch(word.value) for word in SwitchState] == list(SwitchState)
    assert [parse_rule(word.value) for word in SwitchRule] == list(SwitchRule)
    assert [parse_perm(word.value) for word in Permission] == list(Permission)
    assert [parse_blob_mode(word.value) for word in BlobMode] == list(BlobMode)


def test_the_short_permissions_of_the_paper() -> None:
    assert parse_perm("w") is Permission.WRITE_ONLY
    assert parse_perm("R") is Permission.READ_ONLY


@pytest.mark.parametrize("parse", [parse_state, parse_switch, parse_rule, parse_perm, parse_blob_mode])
@pytest.mark.parametrize("text", ["", " ", "Okay", "O k", "Maybe", "x" * 1000, None, 1])
def test_another_word_is_refused(parse: object, text: object) -> None:
    with pytest.raises(ValueFormatError):
        parse(text)  # type: ignore[operator]


# --- text ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("plain", "plain"),
        ("a\tb\nc\rd", "a\tb\nc\rd"),
        ("a\x00b\x01c\x0bd\x0ce\x1ff\x7f", "abcdef"),
        ("\x1b[31mred", "[31mred"),
        ("a\ud800b", "a?b"),
        ("a\ufffeb\uffffc", "abc"),
        ("21 °C \u00a0 \U0001f52d", "21 °C \u00a0 \U0001f52d"),
    ],
)
def test_clean_text(text: str, clean: str) -> None:
    assert clean_text(text) == clean


# --- base64 ----------------------------------------------------------------------------

PAYLOAD = bytes(range(256)) * 3 + b"x"
TEXT = base64.b64encode(PAYLOAD)


def test_encode_base64_is_one_line() -> None:
    assert encode_base64(PAYLOAD) == TEXT
    assert encode_base64(b"") == b""
    assert encode_base64(memoryview(PAYLOAD)) == TEXT


@pytest.mark.parametrize("columns", [4, 60, 64, 72, 76, 7])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\n    ", b"\t\x0b\x0c "])
def test_decode_base64_in_lines(columns: int, end: bytes) -> None:
    lines = [TEXT[start : start + columns] for start in range(0, len(TEXT), columns)]
    assert decode_base64(end + end.join(lines) + end) == PAYLOAD
    assert decode_base64([line + end for line in lines]) == PAYLOAD


@pytest.mark.parametrize("text", [b"", b" \n", b"  "])
def test_decode_base64_of_nothing(text: bytes) -> None:
    assert decode_base64(text) == b""
    assert decode_base64([text, text]) == b""
    assert decode_base64([]) == b""


def test_decode_base64_across_its_windows() -> None:
    payload = bytes(1_000_003)
    text = encode_base64(payload)
    wrapped = b"\n".join(text[start : start + 72] for start in range(0, len(text), 72))
    assert decode_base64(wrapped) == payload
    assert decode_base64(memoryview(text)) == payload
    assert decode_base64([memoryview(text)[:700_001], memoryview(text)[700_001:]]) == payload


@pytest.mark.parametrize(
    "text",
    [
        b"Q",
        b"QQ",
        b"QQ=",
        b"Q===",
        b"=QQ=",
        b"====",
        b"QUI=QUI=",
        b"QQ==QQ==",
        b"QQ==Q",
        b"QQ===",
        b"QUI*",
        b"QU-_",
        b"\xff\xff\xff\xff",
    ],
)
@pytest.mark.parametrize("split", [None, 1, 4])
def test_decode_base64_refuses(text: bytes, split: int | None) -> None:
    pieces = text if split is None else [text[at : at + split] for at in range(0, len(text), split)]
    with pytest.raises(ValueFormatError):
        decode_base64(pieces)


def test_inflate() -> None:
    data = zlib.compress(PAYLOAD)
    assert inflate(data, len(PAYLOAD)) == PAYLOAD
    assert inflate(data + b"\0\0\0", 1 << 20) == PAYLOAD
    assert inflate(zlib.compress(b""), 0) == b""


def test_inflate_is_bounded() -> None:
    with pytest.raises(ValueFormatError, match="more than 1000 bytes"):
        inflate(zlib.compress(bytes(50_000_000)), 1000)
    with pytest.raises(ValueFormatError, match="more than"):
        inflate(zlib.compress(PAYLOAD), len(PAYLOAD) - 1)


@pytest.mark.parametrize("data", [b"", b"not zlib", zlib.compress(PAYLOAD)[:-1], zlib.compress(PAYLOAD)[:20]])
def test_inflate_refuses(data: bytes) -> None:
    with pytest.raises(ValueFormatError):
        inflate(data, 1 << 20)
