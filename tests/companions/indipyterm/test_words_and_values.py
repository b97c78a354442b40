"""Small parts without a terminal: text that fits, numbers that are typed, keys, settings, plots, FITS."""

import json
import math
import sys
import zlib

import pytest

pytest.importorskip("textual", reason="the terminal client needs the extra term")

from indipyclient.images.picture import Picture
from indipyterm import settings as files
from indipyterm.keymap import ACTIONS, actions_of, check_keys, help_of, keys_shown
from indipyterm.pictures import facts, half_blocks
from indipyterm.plots import Sample, plot, scaled, sparkline
from indipyterm.received import size_shown
from indipyterm.receiving import folder_of
from indipyterm.values import hint, limits, pressed, stepped
from indipyterm.words import age, clean, fit, shorten, span, width
from tests.support.fits import fits

from .observatory import define, switch
from .test_lines import model_of

# Words


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("a\nb\tc\r", "a⏎b c"),
        ("\x1b[31mred\x07", "·[31mred·"),
        ("\u202eevil\u202c", "·evil·"),
        ("עברית", "עברית"),
        ("\ud800x", "·x"),
        ("\u200b", "·"),
        ("望遠鏡", "望遠鏡"),
    ],
)
def test_what_would_move_the_cursor_is_replaced(text, shown):
    assert clean(text) == shown


def test_ten_kilobytes_are_cut():
    assert len(clean("x" * 10_000)) <= 4000
    assert shorten("x" * 10_000, 20) == "x" * 19 + "…"


@pytest.mark.parametrize("text", ["", "abc", "abcdefghij", "望遠鏡の名前", "e\u0301" * 8, "עברית" * 4])
@pytest.mark.parametrize("columns", [0, 1, 2, 5, 10, 30])
def test_text_fits_exactly(text, columns):
    assert width(fit(text, columns)) == columns
    assert width(fit(text, columns, right=True)) == columns


def test_lengths_of_time():
    assert [span(s) for s in (0, 3.21, 41, 60, 725, 3900, 40000, 200000, math.inf)] == [
        "0.0s", "3.2s", "41s", "1m", "12m", "1h05", "11h", "2d", "?",
    ]  # fmt: skip


def test_an_age_grows_in_steps():
    assert age(5) == "5s"
    assert age(9) == "5s"
    assert age(45) == "40s"
    assert age(-3) == age(math.inf) == "now"


# Values


def number(value=7.5, **attributes):
    model = model_of(define("Number", "D", "N", [("A", "a", value, {"min": 0, "max": 24, **attributes})]))
    prop = model.get("D", "N")
    return prop, prop["A"]


@pytest.mark.parametrize(
    ("text", "says", "wrong"),
    [
        ("12", "0 .. 24", False),
        ("5:30", "= 5.5 0 .. 24", False),
        ("5 30 00", "= 5.5 0 .. 24", False),
        ("10 000", "not a number", True),
        ("25", "max 24", True),
        ("-1", "min 0", True),
        ("-0:30", "min 0", True),
        ("", "not a number", True),
        ("abc", "not a number", True),
        ("nan", "not a number", True),
        ("1e400", "not a number", True),
        ("1,5", "not a number", True),
    ],
)
def test_what_is_said_while_a_number_is_typed(text, says, wrong):
    assert hint(*number(), text) == (says, wrong)


def test_a_value_between_two_steps_is_told_and_not_rounded():
    assert hint(*number(step=0.5), "7.3").text == "0 .. 24 step 0.5 between 7 and 7.5"
    assert hint(*number(step=0.05), "12.35").text == "0 .. 24 step 0.05"


def test_steps_stay_within_the_limits():
    prop, member = number(step=0.5)
    assert stepped(member, "7.5", 1) == "8"
    assert stepped(member, "7.5", -1) == "7"
    assert stepped(member, "23.8", 1) == "24"
    assert stepped(member, "x", 1) is None
    assert stepped(number()[1], "1", 1) == "1.24"
    assert stepped(number(min=0, max=0)[1], "1", 1) == "2"
    assert limits(number(min=0, max=0)[1]) == ""
    assert limits(member) == "0 .. 24 step 0.5"
    assert prop.writable


def test_a_step_of_a_large_number_is_not_lost_in_its_rounding():
    assert stepped(number(min=0, max=0, step=1)[1], "1234567890123", 1) == "1234567890124"
    assert stepped(number(min=0, max=0, step=1)[1], "1700000000000000", 1) == "1700000000000001"
    assert stepped(number(min=0, max=0, step=1e-8)[1], "2460000.12345678", 1) == "2460000.12345679"
    assert stepped(number(min=0, max=0, step=0.1)[1], "0.1", 2) == "0.3"


@pytest.mark.parametrize(
    ("rule", "values", "name", "sent"),
    [
        ("OneOfMany", "On Off", "B", {"A": "Off", "B": "On"}),
        ("OneOfMany", "On Off", "A", {"A": "On"}),
        ("AtMostOne", "On Off", "A", {"A": "Off"}),
        ("AtMostOne", "On Off", "B", {"A": "Off", "B": "On"}),
        ("AnyOfMany", "On Off", "A", {"A": "Off"}),
        ("AnyOfMany", "On Off", "B", {"B": "On"}),
    ],
)
def test_a_switch_is_pressed_by_its_rule(rule, values, name, sent):
    members = [(key, key, value) for key, value in zip("AB", values.split(), strict=True)]
    assert pressed(model_of(switch("D", "S", members, rule=rule)).get("D", "S"), name) == sent


def test_a_switch_that_is_alone_is_a_button():
    prop = model_of(switch("D", "S", [("A", "a", "On")], rule="AtMostOne")).get("D", "S")
    assert pressed(prop, "A") == {"A": "On"}


# Keys and settings


def test_no_key_does_two_things_in_one_place():
    seen = {}
    for action in ACTIONS:
        scope = action.id.partition(".")[0] if action.id.startswith(("edit.", "list.")) else ""
        for key in action.keys.split(","):
            assert seen.setdefault((scope, key), action.id) == action.id


def test_own_keys():
    keys, wrong = check_keys({"value.edit": "e", "value.send": ["w", "ctrl+s"], "find.filter": "f", "app.help": "?"})
    assert keys == {"value.edit": "e", "value.send": "w,ctrl+s", "find.filter": "f", "app.help": "question_mark"}
    assert wrong == []
    keys, wrong = check_keys({"value.edit": "s", "no.such": "x", "value.plot": ""})
    assert keys == {}
    assert wrong == [
        "no action is named 'no.such'",
        "value.plot has no key",
        "value.edit: s is already a key of value.send",
    ]
    keys, wrong = check_keys({"value.edit": "s", "value.send": "w"})
    assert keys == {"value.edit": "s", "value.send": "w"}
    keys, _ = check_keys({"value.send": "u", "value.undo": "q"})
    assert keys == {}, "q quits, so u undoes, so it does not send"


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("F5", "f5"),
        ("Ctrl+T", "ctrl+t"),
        ("ctrl+Y", "ctrl+y"),
        ("Delete", "delete"),
        ("alt+PgUp", "alt+pageup"),
        ("shift+x", "X"),
        ("alt+X", "alt+shift+x"),
        ("X", "X"),
        ("ö", "ö"),
        (";", "semicolon"),
        ("@", "at"),
        ("_", "underscore"),
        ("ctrl++", "ctrl+plus"),
        ("ctrl+_", "ctrl+underscore"),
    ],
)
def test_a_key_is_written_as_it_is_on_the_keyboard(written, key):
    assert check_keys({"view.messages": written}) == ({"view.messages": key}, [])


@pytest.mark.parametrize("written", ["f25", "ctrl-s", "return", "super+x", "ctrl", "\x07", "no such"])
def test_a_key_that_does_not_exist_does_not_take_the_place_of_one_that_does(written):
    assert check_keys({"value.abort": written}) == ({}, [f"value.abort: no key is named {written!r}"])


def test_the_help_has_the_keys_in_force():
    rows = dict(row[::-1] for _, part in help_of({"value.plot": "ctrl+t"}) for row in part)
    assert rows["plot of a number"] == "Ctrl-T"
    assert len(actions_of("device.")) == 11
    assert keys_shown("slash,ctrl+s,G,g") == "/ Ctrl-S G g"


def test_settings(tmp_path):
    path = tmp_path / "settings.toml"
    assert files.load(path) == files.Settings()
    path.write_text('\ufefftheme = "night"\ncompact = true\nhistory = 60\n[keys]\n"value.plot" = "ctrl+t"\n', "utf-8")
    assert files.load(path) == files.Settings("night", True, 60, keys={"value.plot": "ctrl+t"})
    path.write_text('theme = "pink"\nhistory = true\ncolour = 1\n')
    assert files.load(path).wrong == [
        "settings.toml: theme cannot be 'pink'",
        "settings.toml: history cannot be True",
        "settings.toml: no setting is named 'colour'",
    ]
    path.write_bytes(b"\xff\xfe")
    assert files.load(path).wrong
    path.write_text("theme =")
    assert files.load(path).wrong
    assert files.load(tmp_path).wrong


def test_servers_are_remembered(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert files.recent_servers() == []
    for name in ("a:1", "b:2", "a:1"):
        files.remember_server(name)
    assert files.recent_servers() == ["a:1", "b:2"]
    (tmp_path / "indipyterm" / "servers.json").write_text("{")
    assert files.recent_servers() == []
    (tmp_path / "indipyterm" / "servers.json").write_text(json.dumps([1, "c:3"]))
    assert files.recent_servers() == ["c:3"]
    monkeypatch.setenv("XDG_STATE_HOME", "/proc/nowhere")
    files.remember_server("d:4")  # no reason to fail


# Plots


def samples(*values):
    return [Sample(float(n), v, v, v) for n, v in enumerate(values)]


def test_a_sparkline():
    assert sparkline(samples(0, 1, 2, 3), 4, 4.0, 4.0) == "▁▃▆█"
    assert sparkline(samples(1), 4, 4.0, 4.0) == "▁▁▁▁"
    assert sparkline(samples(5, 5), 6, 60.0, 2.0) == "▁▁▁▁▁▁"
    assert sparkline([], 6, 0.0, 2.0) == ""


def test_a_plot():
    found = plot(samples(*range(60)), 30, 8, 60.0, 60.0)
    assert len(found.rows) == 8
    assert all(len(row) == 30 for row in found.rows)
    assert (found.low, found.high) == (0, 59)
    assert found.rows[0].rstrip("⠀") != ""
    assert plot(samples(3), 10, 4, 100.0, 10.0).rows  # the last value holds
    assert plot([], 10, 4, 100.0, 10.0) is None
    assert plot([Sample(0, math.nan, math.nan, math.nan)], 10, 4, 1.0, 10.0) is None
    assert [scaled(1.23456, 10), scaled(1.23456, 0.01), scaled(-1234.5, 5000)] == ["1.2", "1.2346", "-1234"]


# FITS


def test_the_facts_of_a_header():
    found = dict(facts(fits(320, 240), ".fits"))
    assert found == {"size": "320 x 240, 16 bit", "object": "M 42", "exptime": "2.0", "filter": "Red"}
    assert dict(facts(zlib.compress(fits(32, 24)), ".fits.z"))["object"] == "M 42"
    assert dict(facts(fits(OBJECT="'Barnard''s / star ' / it moves"), ".fits"))["object"] == "Barnard's / star"
    bomb = zlib.compress(fits(32, 24) + bytes(50_000_000))
    assert dict(facts(bomb, ".fits.z"))["object"] == "M 42"
    assert facts(b"no", ".fits") == facts(b"", "") == facts(b"x", ".fits.z") == []


def test_two_rows_of_an_image_are_one_of_half_blocks():
    grey = half_blocks(Picture(2, 3, 1, bytes([0, 255, 10, 20, 30, 40]), {}))
    assert grey == [
        [((0, 0, 0), (10, 10, 10)), ((255, 255, 255), (20, 20, 20))],
        [((30, 30, 30), (0, 0, 0)), ((40, 40, 40), (0, 0, 0))],
    ]
    assert half_blocks(Picture(1, 2, 3, bytes([1, 2, 3, 4, 5, 6]), {})) == [[((1, 2, 3), (4, 5, 6))]]


# Folders


def test_a_folder_must_be_there(tmp_path):
    assert folder_of(f" {tmp_path} ") == tmp_path
    (tmp_path / "file").write_text("")
    for text, says in (
        ("", "no folder"),
        (str(tmp_path / "x"), "there is no folder"),
        (str(tmp_path / "file"), "not a folder"),
    ):
        with pytest.raises(ValueError, match=says):
            folder_of(text)
    assert [size_shown(n) for n in (0, 999, 1000, 158_400, 8_200_000, 3e9)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "158 kB",
        "8.2 MB",
        "3.0 GB",
    ]


def test_the_largest_numbers_of_all_are_drawn():
    """A server may send them; their difference is not finite."""
    largest = samples(1.7e308, -1.7e308, 1.7e308)
    assert sparkline(largest, 3, 3.0, 3.0) == "█▁█"
    assert plot(largest, 10, 5, 3.0, 3.0) is not None
    assert scaled(0.0, 1.7e308 + 1.7e308) == "0"
    for limit in (-sys.float_info.max, sys.float_info.max):  # some drivers say so where they know nothing
        assert plot(samples(limit, limit), 10, 5, 3.0, 3.0) is not None


def test_the_smallest_numbers_of_all_are_drawn():
    """Half of the smallest is nothing."""
    smallest = samples(0.0, 5e-324, 0.0)
    assert len(sparkline(smallest, 3, 3.0, 3.0)) == 3
    assert plot(smallest, 10, 5, 3.0, 3.0) is not None


@pytest.mark.parametrize("value", ["1", "0", "1e300", "-1e308", "5:40:00"])
@pytest.mark.parametrize("step", ["1e-320", "5e-324", "1e-300", "1e308"])
@pytest.mark.parametrize("bounds", [(0, 0), (-1e308, 1e308), (0, 24), (5e-324, 1e-320)])
def test_steps_of_any_size_are_told_and_taken(value, step, bounds):
    about = {"format": "%10.6m", "min": bounds[0], "max": bounds[1], "step": step}
    prop = model_of(define("Number", "D", "P", [("A", "a", value, about)])).get("D", "P")
    for text in (value, "1", "23", "1e10"):
        assert hint(prop, prop["A"], text).text
        for steps in (-1, 0, 1):
            stepped(prop["A"], text, steps)


def test_settings_that_cannot_be_read_are_told(tmp_path):
    found = files.load(tmp_path / ("x" * 300))
    assert "too long" in found.wrong[0]
    (tmp_path / "file").write_text("")
    assert files.load(tmp_path / "file" / "settings.toml").wrong == []
    assert files.load(tmp_path / "none.toml").wrong == []


def test_nothing_is_remembered_where_nobody_knows_the_home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    files.remember_server("localhost:7624")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("text", "means"), [("5;30", "= 5.5 "), ("5 30", "= 5.5 "), ("5.5", ""), ("1e1", "")])
def test_what_a_number_means_is_told_where_it_is_not_plain(text, means):
    told = hint(*number(), text).text
    assert told.startswith(means) if means else "=" not in told
