"""What is on each line, without a terminal."""

import pytest

pytest.importorskip("textual", reason="the terminal client needs the extra term")

from indipyclient import Model, State
from indipydriver.protocol.decode import decode
from indipydriver.protocol.framer import Framer
from indipyterm.browser import Browser, worst_of
from indipyterm.edits import Edits, Fate, Told
from indipyterm.layout import Kind, Mode, Sheet, block, columns_of
from indipyterm.paint import View, paint
from indipyterm.search import parse_filter
from indipyterm.words import width

from .observatory import AWKWARD, AWKWARD_DEVICE, OBSERVATORY, define, delete, switch, update


def model_of(*texts, model=None, now=0.0):
    """A model to which a server has said this."""
    model = model or Model()
    if not model.connected:
        model.link_made()
    framer = Framer()
    for frame in framer.feed("".join(texts).encode()):
        model.apply(decode(frame), now)
    return model


def listed(model):
    return [(prop, None) for prop in model]


def shown(model, total=58, mode=Mode.LINES, told=(), **view):
    """The text of all lines."""
    sheet = Sheet.build(listed(model), total, mode, told=told)
    lines = []
    for line in sheet.lines:
        prop = model.get(*line.key)
        pieces = paint(
            line,
            prop,
            View(view.get("now", 0.0), sheet.columns, sheet.head, **{k: v for k, v in view.items() if k != "now"}),
        )
        lines.append("".join(text for text, _ in pieces).rstrip())
    return lines


NUMBER = define(
    "Number",
    "D",
    "N",
    [("A", "Position", 7.5, {"format": "%.2f", "min": 0, "max": 24, "step": 0.5})],
    "A number",
    state="Ok",
)


def test_a_number_has_its_value_its_limits_and_its_step():
    head, line = shown(model_of(NUMBER))
    assert head.split() == ["Ok", "A", "number", "rw", "now"]
    assert line.split() == ["Position", "7.50", "0", "..", "24", "step", "0.5"]


def test_an_edit_stands_beside_the_value():
    _, line = shown(model_of(NUMBER), edits={"A": "9"})
    assert "7.50  => 9" in line


def test_what_was_asked_for_stands_beside_the_value_until_it_is_so():
    from indipyclient.model.properties import Pending

    model = model_of(NUMBER)
    model.set_pending(("D", "N"), Pending({"A": "9"}, 0.0))
    head, line = shown(model, now=3.0)
    assert head.startswith("Busy")
    assert "sent 3s" in head
    assert "7.50  -> 9" in line
    model_of(update("Number", "D", "N", {"A": 8}, "Busy"), model=model, now=4.0)
    head, line = shown(model, now=5.0, acknowledged=True)
    assert "acknowledged 5s" in head
    assert "8.00  -> 9" in line


@pytest.mark.parametrize(
    ("fate", "says"),
    [
        (Told(Fate.REFUSED, "The mount is parked", 0), "! refused: The mount is parked"),
        (Told(Fate.NO_ANSWER, "has not answered after 10 s", 0), "! no answer: has not answered after 10 s"),
        (Told(Fate.UNKNOWN, "sent, and nobody knows", 0), "! sent, and nobody knows"),
        (Told(Fate.NOT_SENT, "not connected", 0), "! not sent: not connected"),
    ],
)
def test_what_came_of_a_command_has_a_line_of_its_own(fate, says):
    head, told, _ = shown(model_of(NUMBER), told={("D", "N")}, fate=fate)
    assert told.strip() == says
    assert fate.fate.value.lower() in head.lower()


def test_an_accepted_command_is_told_for_some_seconds():
    fate = Told(Fate.ACCEPTED, "accepted after 0.3s", 1.0)
    assert "accepted after 0.3s" in shown(model_of(NUMBER), fate=fate, now=2.0)[0]
    assert "accepted" not in shown(model_of(NUMBER), fate=fate, now=20.0)[0]


@pytest.mark.parametrize(
    ("rule", "members", "line"),
    [
        ("OneOfMany", [("A", "On", "On"), ("B", "Off", "Off")], "(*) On  ( ) Off"),
        ("AtMostOne", [("A", "Up", "Off"), ("B", "Down", "Off")], "( ) Up  ( ) Down"),
        ("AnyOfMany", [("A", "Fan", "On"), ("B", "Lamp", "Off")], "[x] Fan  [ ] Lamp"),
        ("AtMostOne", [("A", "Abort", "Off")], "[ ] Abort"),
    ],
)
def test_switches_show_their_rule(rule, members, line):
    assert shown(model_of(switch("D", "S", members, rule=rule)))[1].strip() == line


def test_lights_and_texts_and_blobs():
    model = model_of(
        define("Light", "D", "L", [("A", "Door", "Alert"), ("B", "Rain", "Ok")]),
        define("Text", "D", "T", [("A", "Name", "Vega")]),
        define("BLOB", "D", "B", [("A", "Image", "")], perm="ro"),
    )
    lines = shown(model)
    assert lines[1].split() == ["Door", "ALERT", "Rain", "Ok"]
    assert lines[3].split() == ["Name", "Vega"]
    assert lines[5].split() == ["Image", "not", "received:", "b"]


def test_what_is_stale_is_grey():
    model = model_of(NUMBER)
    sheet = Sheet.build(listed(model), 58)
    prop = model.get("D", "N")
    styles = {style for line in sheet.lines for _, style in paint(line, prop, View(9.0, sheet.columns, stale=True))}
    assert styles == {"stale"}


def test_a_state_is_a_word():
    for state in State:
        head = shown(model_of(define("Text", "D", "T", [("A", "a", "")], state=state.value)))[0]
        assert head.split()[0] == (state.value if state is not State.ALERT else "ALERT")


@pytest.mark.parametrize("total", [8, 20, 40, 58, 80, 120, 400])
@pytest.mark.parametrize("mode", Mode)
def test_no_line_is_wider_than_the_terminal(total, mode):
    model = model_of(AWKWARD, OBSERVATORY)
    sheet = Sheet.build(listed(model), total, mode, devices=True)
    for line in sheet.lines:
        view = View(1.0, sheet.columns, sheet.head, edits={"LONG": "=" * 300, "a.b": "1"}, cursor="LONG")
        text = "".join(text for text, _ in paint(line, model.get(*line.key), view))
        assert text.isprintable() or not text
        assert not set(text) & set("\u202e\u202c\u2028\x7f\u200b\t\n")
        assert width(text) <= total, (line, text)


def test_compact_mode_has_one_line_for_each_property_where_it_fits():
    lines = shown(model_of(OBSERVATORY), 120, Mode.COMPACT)
    assert len(lines) == len(model_of(OBSERVATORY))
    assert lines[1].split()[:6] == ["Busy", "Equatorial", "JNow", "RA", "5:35:17", "DEC"]


def test_many_switches_stand_in_columns():
    prop = next(prop for prop in model_of(AWKWARD) if prop.name == "S")
    rows = [line.places for line in block(prop, 80) if line.places]
    assert len(rows) > 5
    assert {place.x for row in rows for place in row} == {place.x for place in rows[0]}


def test_a_line_has_room_for_the_label_of_the_longest_member():
    columns = columns_of([5, 12, 3], 80)
    assert columns.label == 12
    assert columns_of([500], 80).label == 24


# The cursor


def test_the_cursor_stays_on_its_member_when_others_come_and_go():
    model = model_of(OBSERVATORY)
    browser = Browser()
    site = model.site()
    browser.settle(site.devices)
    sheet = Sheet.build(browser.listed(site.devices), 80)
    assert browser.spot(sheet) == (("Telescope", "CONNECTION"), "CONNECT")
    browser.move(sheet, 1)
    browser.move(sheet, 1)
    assert browser.spot(sheet) == (("Telescope", "EQUATORIAL_EOD_COORD"), "DEC")
    model_of(delete("Telescope", "CONNECTION"), define("Text", "Telescope", "NEW", [("A", "a", "b")]), model=model)
    sheet = Sheet.build(browser.listed(model.site().devices), 80)
    assert browser.spot(sheet) == (("Telescope", "EQUATORIAL_EOD_COORD"), "DEC")
    model_of(delete("Telescope", "EQUATORIAL_EOD_COORD"), model=model)
    sheet = Sheet.build(browser.listed(model.site().devices), 80)
    assert browser.spot(sheet) is not None
    model_of(delete("Telescope"), model=model)
    browser.settle(model.site().devices)
    assert browser.device == "CCD 1"


def test_the_cursor_moves_by_lines_and_sideways():
    model = model_of(OBSERVATORY)
    browser = Browser()
    browser.settle(model.site().devices)
    sheet = Sheet.build(browser.listed(model.site().devices), 80)
    assert browser.sideways(sheet, 1)
    assert browser.spot(sheet)[1] == "DISCONNECT"
    assert not browser.sideways(sheet, 1)
    assert browser.sideways(sheet, -1)
    assert not browser.sideways(sheet, -1)
    browser.move(sheet, 1000)
    last = browser.spot(sheet)
    browser.move(sheet, 1)
    assert browser.spot(sheet) == last
    browser.turn_property(sheet, 1)
    assert browser.spot(sheet) == (("Telescope", "CONNECTION"), "CONNECT")
    browser.turn_property(sheet, -1)
    assert browser.spot(sheet)[0] == last[0]


def test_a_property_without_members_has_a_place_for_the_cursor():
    model = model_of(define("Text", "D", "T", []), NUMBER)
    browser = Browser()
    browser.settle(model.site().devices)
    sheet = Sheet.build(browser.listed(model.site().devices), 80)
    assert browser.spot(sheet) == (("D", "T"), "")
    browser.move(sheet, 1)
    assert browser.spot(sheet) == (("D", "N"), "A")


def test_groups_and_devices():
    devices = model_of(OBSERVATORY).site().devices
    browser = Browser()
    browser.settle(devices)
    telescope = devices["Telescope"]
    assert telescope.groups == ("Main", "Motion", "Site", "Options")
    assert browser.choose_group(telescope, 2)
    assert [prop.name for prop, _ in browser.listed(devices)] == ["TELESCOPE_SLEW_RATE"]
    assert not browser.choose_group(telescope, 9)
    browser.turn_group(telescope, 1)
    assert [prop.name for prop, _ in browser.listed(devices)] == ["GEOGRAPHIC_COORD"]
    browser.turn_device(list(devices), -1)
    assert browser.device == "Weather"
    browser.turn_device(list(devices), 1)
    assert browser.group(telescope) == "Site"
    browser.go_to(devices["Telescope"]["CONNECTION"])
    assert browser.group(telescope) == "Main"


def test_what_is_pinned_stays_at_the_top():
    devices = model_of(OBSERVATORY).site().devices
    browser = Browser()
    browser.settle(devices)
    found = browser.listed(devices, [("Weather", "WEATHER_PARAMETERS"), ("Gone", "X")])
    assert found[0][0].device == "Weather"
    assert found[1][0].device == "Telescope"


def test_the_state_of_a_device_is_that_of_its_worst_property():
    devices = model_of(OBSERVATORY).site().devices
    assert [worst_of(device).shown_state for device in devices.values()] == [
        State.BUSY,
        State.OK,
        State.ALERT,
        State.OK,
    ]


# Filter


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("state:alert", {"DOME_SHUTTER"}),
        ("temperature", {"CCD_TEMPERATURE", "WEATHER_PARAMETERS"}),
        ("TEMP device:ccd", {"CCD_TEMPERATURE"}),
        ("kind:blob", {"CCD1", "UPLOAD"}),
        ("kind:blob perm:rw", {"UPLOAD"}),
        ("group:site", {"GEOGRAPHIC_COORD"}),
        ("name:abort", {"TELESCOPE_ABORT_MOTION", "CCD_ABORT_EXPOSURE"}),
        ("m 42", {"FITS_HEADER"}),
        ("51.4779", {"GEOGRAPHIC_COORD"}),
        ("nothing of this", set()),
        ("5:35", {"EQUATORIAL_EOD_COORD"}),
    ],
)
def test_a_filter_finds(text, found):
    model = model_of(OBSERVATORY)
    wanted = parse_filter(text)
    assert {prop.name for prop in model if wanted.members(prop) is not None} >= found
    if " 42" not in text:
        assert {prop.name for prop in model if wanted.members(prop) is not None} == found


def test_a_filter_shows_only_the_members_that_match():
    model = model_of(OBSERVATORY)
    prop = model.get("Weather", "WEATHER_PARAMETERS")
    assert parse_filter("humid").members(prop) == ["HUMIDITY"]
    assert parse_filter("weather").members(prop) == ["TEMPERATURE", "HUMIDITY", "WIND"]
    assert not parse_filter("  state: ")
    browser = Browser()
    browser.filter = parse_filter("humid")
    sheet = Sheet.build(browser.listed(model.site().devices), 80, devices=True)
    assert [line.kind for line in sheet.lines] == [Kind.DEVICE, Kind.HEAD, Kind.MEMBERS]


def test_awkward_names_are_found():
    model = model_of(AWKWARD)
    assert [prop.name for prop in model if parse_filter("[red] [bold]").members(prop)] == ["[bold]NAME[/]"]
    assert AWKWARD_DEVICE in model.site().devices


# Edits


def test_an_edit_is_undone_first_then_those_of_the_property():
    edits = Edits()
    key = ("D", "N")
    edits.put(key, "A", "1")
    edits.put(key, "B", "2")
    edits.put(key, "C", "3")
    assert len(edits) == 3
    assert edits.undo(key, "B")
    assert dict(edits.of(key)) == {"A": "1", "C": "3"}
    assert edits.undo(key, "B")
    assert not edits.of(key)
    assert not edits.undo(key, "B")


def test_what_could_not_be_sent_is_unsent_again():
    edits = Edits()
    key = ("D", "N")
    edits.put(key, "A", "1")
    taken = edits.take(key)
    assert not len(edits)
    edits.put(key, "A", "2")
    edits.put_back(key, {**taken, "B": "3"})
    assert dict(edits.of(key)) == {"A": "2", "B": "3"}


# Lines that are built again


def whole(sheet):
    """All that can be asked of it."""
    spots = [(sheet.place_of(n), sheet.member_at(n), sheet.spot_of(*sheet.member_at(n))) for n in range(sheet.spots)]
    found = [sheet.find(y, x) for y in range(len(sheet)) for x in (0, 20, 60)]
    ranges = [sheet.range_of(line.key) for line in sheet.lines]
    return sheet.lines, sheet.columns, sheet.head, sheet.properties, spots, found, ranges


def anything(dice):
    """Something that a server says of twelve properties of two devices."""
    device, name = dice.choice("DE"), f"P{dice.randrange(6)}"
    what = dice.randrange(6)
    if what == 0:
        return delete(device, dice.choice([None, name, name, name]))
    if what == 1:
        return update("Number", device, name, {"M0": dice.random()}, dice.choice(["Ok", "Alert"]), "said")
    if what == 2:
        return switch(device, name, [(f"S{n}", "x" * dice.randrange(30), "Off") for n in range(dice.randrange(9))])
    members = [(f"M{n}", "label " * dice.randrange(4), n) for n in range(dice.randrange(4))]
    return define("Number", device, name, members, "head" * dice.randrange(9), group=dice.choice(["", "A", "B"]))


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("text", ["", "p1", "m0", "state:alert"])
def test_lines_that_are_built_on_others_are_as_if_they_were_new(mode, text):
    from random import Random

    dice = Random(f"{mode} {text}")
    model, browser, before = model_of(), Browser(), Sheet()
    browser.filter = parse_filter(text)
    for _ in range(300):
        for _ in range(dice.randrange(4)):
            model_of(anything(dice), model=model)
        total, told, devices = dice.choice([80, 80, 80, 40]), [("D", dice.choice(["P1", "P2"]))], dice.random() < 0.5
        browser.settle(model.site().devices)
        listed = browser.listed(model.site().devices, [("E", "P3")])
        fresh = Browser()
        fresh.filter, fresh.device = parse_filter(text), browser.device
        assert [(id(prop), members) for prop, members in listed] == [
            (id(prop), members) for prop, members in fresh.listed(model.site().devices, [("E", "P3")])
        ]

        before = Sheet.build(listed, total, mode, told=told, devices=devices, before=before)
        assert whole(before) == whole(Sheet.build(listed, total, mode, told=told, devices=devices))


@pytest.mark.parametrize("mode", list(Mode))
def test_only_what_has_changed_is_built_again(mode, monkeypatch):
    from indipyterm import layout

    model = model_of("".join(define("Number", "D", f"P{n}", [("M", "m", n)], "label") for n in range(50)))
    before = Sheet.build(listed(model), 80, mode)
    built = []
    monkeypatch.setattr(
        layout, "block", lambda prop, *args, **more: built.append(prop.name) or block(prop, *args, **more)
    )
    again = define("Number", "D", "P9", [("M", "m", 0), ("N", "n", 0)], "label")
    model_of(delete("D", "P7"), define("Number", "D", "P7", [("M", "m", 7)], "label"), again, model=model)
    model_of(update("Number", "D", "P3", {"M": 1}), delete("D", "P4"), model=model)
    after = Sheet.build(listed(model), 80, mode, before=before)
    assert sorted(built) == ["P7", "P9"]
    assert after.spots == 50
    assert after.lines[-1].key == ("D", "P7")


def test_what_matches_is_looked_for_where_something_has_changed(monkeypatch):
    from indipyterm.search import Filter

    model = model_of("".join(define("Number", "D", f"P{n}", [("M", "m", n)], "label") for n in range(50)))
    browser = Browser()
    browser.filter = parse_filter("p1")
    assert len(browser.listed(model.site().devices)) == 11
    looked = []
    members_of = Filter.members
    monkeypatch.setattr(Filter, "members", lambda self, prop: looked.append(prop.name) or members_of(self, prop))
    model_of(delete("D", "P11"), update("Number", "D", "P3", {"M": 1}), model=model)
    assert len(browser.listed(model.site().devices)) == 10
    assert looked == ["P3"]


def test_places_of_devices_that_come_and_go_are_forgotten(monkeypatch):
    from indipyterm import browser as module

    monkeypatch.setattr(module, "PLACES", 3)
    browser = Browser()
    for n in range(9):
        model = model_of(define("Number", f"D{n}", "P", [("A", "a", 1), ("B", "b", 1)]))
        browser.settle(model.site().devices)
        browser.spot(Sheet.build(browser.listed(model.site().devices), 80))
    assert len(browser._spots) == 3
