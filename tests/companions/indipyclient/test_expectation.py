"""What counts as the answer to a command, as a table of what comes and what is made of it."""

import pytest

from indipyclient.errors import BadValue, NoSuchMember, NotWritable, WrongKind
from indipyclient.model.commands import Blob, command, press, texts, with_point
from indipyclient.model.expect import Confirm, Expectation, Verdict, patience
from indipyclient.model.model import Model
from indipydriver.protocol.tags import Permission, State, SwitchRule, VectorKind

from .site import define, update

OK, BUSY, ALERT, IDLE = State.OK, State.BUSY, State.ALERT, State.IDLE
ACCEPTED, REFUSED, TIMED_OUT = Verdict.ACCEPTED, Verdict.REFUSED, Verdict.TIMED_OUT
QUIET, TRACKING = False, True


def play(steps, *, before=OK, telemetry=QUIET, confirm=Confirm.SETTLED, timeout=30.0, kind=VectorKind.NUMBER):
    """Play (seconds, state, value of RA or None) after the command RA=5 at 100 s; what came of it, and when."""
    model = Model()
    model.link_made()
    start = {"RA": "1"} if kind is VectorKind.NUMBER else {"RA": "Off"}
    asked = {"RA": "5"} if kind is VectorKind.NUMBER else {"RA": "On"}
    model.apply(define(state=before, kind=kind, **start), 0.0)
    if telemetry:
        model.apply(update(state=before, kind=kind, **start), 99.5)
    wait = Expectation(model.get("Mount", "EQ"), asked, now=100.0, timeout=timeout, confirm=confirm)
    for seconds, state, value in [*steps, (1000.0, None, None)]:
        now = 100.0 + seconds
        while wait.verdict is None and wait.deadline <= now:
            at = wait.deadline
            wait.tick(at)
            if wait.verdict is not None:
                return wait.verdict, at - 100.0, wait.confirmed
        if seconds < 1000:
            change = model.apply(update(state=state, kind=kind, **({} if value is None else {"RA": value})), now)
            wait.feed(change.prop, None, now)
        if wait.verdict is not None:
            return wait.verdict, now - 100.0, wait.confirmed
    raise AssertionError("no verdict")


TABLE = {
    "a quiet device answers": (QUIET, OK, [(0.1, OK, 5)], (ACCEPTED, 0.1, True)),
    "a quiet device answers with another value": (QUIET, OK, [(0.1, OK, 4)], (ACCEPTED, 0.1, False)),
    "it refuses": (QUIET, OK, [(0.1, ALERT, 1)], (REFUSED, 0.1, False)),
    "it acknowledges and arrives": (QUIET, OK, [(0.1, BUSY, 1), (9, BUSY, 3), (20, OK, 5)], (ACCEPTED, 20, True)),
    "it acknowledges and fails": (QUIET, OK, [(0.1, BUSY, 1), (9, ALERT, 3)], (REFUSED, 9, False)),
    "it acknowledges and never arrives": (QUIET, OK, [(0.1, BUSY, 1)], (TIMED_OUT, 30, False)),
    "it says nothing": (QUIET, OK, [], (TIMED_OUT, 30, False)),
    "a tracking mount: the next Ok is older than the command": (
        TRACKING, OK, [(0.2, OK, 1), (0.4, BUSY, 1), (1.4, BUSY, 3), (9, OK, 5)], (ACCEPTED, 9, True),
    ),
    "a tracking mount arrives without Busy": (TRACKING, OK, [(0.2, OK, 1), (1.2, OK, 5)], (ACCEPTED, 1.2, True)),
    "a tracking mount never says Busy nor arrives": (
        TRACKING, OK, [(0.2, OK, 1), (1.2, OK, 1), (2.1, OK, 1)], (ACCEPTED, 2.2, False),
    ),
    "a tracking mount refuses after an old Ok": (TRACKING, OK, [(0.2, OK, 1), (0.4, ALERT, 1)], (REFUSED, 0.4, False)),
    "in alert before, with an old Alert": (
        TRACKING, ALERT, [(0.2, ALERT, 1), (0.4, BUSY, 1), (5, OK, 5)], (ACCEPTED, 5, True),
    ),
    "in alert before, and after": (TRACKING, ALERT, [(0.2, ALERT, 1), (1.2, ALERT, 1)], (REFUSED, 2.2, False)),
    "busy before, and then with the command": (
        QUIET, BUSY, [(4, OK, 3), (4.1, BUSY, 3), (9, OK, 5)], (ACCEPTED, 9, True),
    ),
    "busy before with two others": (
        QUIET, BUSY, [(1, BUSY, 2), (4, OK, 3), (4.1, BUSY, 3), (7, OK, 4), (7.1, BUSY, 4), (9, OK, 5)],
        (ACCEPTED, 9, True),
    ),
    "busy before, and the next target replaces the last": (
        QUIET, BUSY, [(0.1, BUSY, 1), (4, OK, 5)], (ACCEPTED, 4, True),
    ),
    "busy before, and it ends elsewhere": (QUIET, BUSY, [(0.1, BUSY, 1), (4, IDLE, 3)], (ACCEPTED, 6, False)),
    "busy before, and refused when its turn comes": (QUIET, BUSY, [(4, OK, 3), (4.1, ALERT, 3)], (REFUSED, 4.1, False)),
    "an update without a state": (QUIET, OK, [(0.1, None, 5)], (ACCEPTED, 0.1, True)),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLE)
def test_what_counts_as_the_answer(name):
    telemetry, before, steps, expected = TABLE[name]
    verdict, seconds, confirmed = play(steps, before=before, telemetry=telemetry)
    assert (verdict, round(seconds, 6), confirmed) == expected


@pytest.mark.parametrize(
    ("confirm", "steps", "expected"),
    [
        (Confirm.ANSWERED, [(0.1, BUSY, 1)], (ACCEPTED, 0.1)),
        (Confirm.VALUES, [(0.1, OK, 1), (3, OK, 4), (4, OK, 5)], (ACCEPTED, 4)),
        (Confirm.VALUES, [(0.1, OK, 4)], (TIMED_OUT, 30)),
    ],
)
def test_who_asks_waits_for_more_or_less(confirm, steps, expected):
    verdict, seconds, _ = play(steps, confirm=confirm)
    assert (verdict, round(seconds, 6)) == expected


def test_a_property_that_was_only_just_defined_may_send_updates_by_itself():
    """A command at once after the connection is made: the next Ok of a mount that tracks is older than it."""
    model = Model()
    model.link_made()
    wait = Expectation(model.apply(define(state=OK, RA="1"), 99.9).prop, {"RA": "5"}, now=100.0, timeout=30.0)
    for seconds, state, value in [(100.4, OK, "1"), (100.6, BUSY, "1"), (109.0, OK, "5")]:
        assert wait.verdict is None
        assert wait.deadline > seconds
        wait.feed(model.apply(update(state=state, RA=value), seconds).prop, None, seconds)
    assert (wait.verdict, wait.confirmed, wait.acknowledged) == (ACCEPTED, True, True)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (SwitchRule.ONE_OF_MANY, (ACCEPTED, 9.0)),
        (SwitchRule.AT_MOST_ONE, (ACCEPTED, 0.4)),  # like a button, which springs back
        (SwitchRule.ANY_OF_MANY, (ACCEPTED, 0.4)),
        (None, (ACCEPTED, 9.0)),  # a text
    ],
)
def test_a_driver_may_repeat_switches_and_texts_too(rule, expected):
    """A naive one sends everything each second; the next Ok of a roof is older than the command."""
    kind = VectorKind.TEXT if rule is None else VectorKind.SWITCH
    model = Model()
    model.link_made()
    defined = model.apply(define(kind=kind, state=OK, A="Off", **({} if rule is None else {"rule": rule})), 99.0)
    wait = Expectation(defined.prop, {"A": "On"}, now=100.0, timeout=30.0)
    for seconds, state, value in [(0.4, OK, "Off"), (0.6, BUSY, "Off"), (9.0, OK, "On")]:
        wait.feed(model.apply(update(kind=kind, state=state, A=value), 100.0 + seconds).prop, None, 100.0 + seconds)
        if wait.verdict is not None:
            break
    assert (wait.verdict, seconds) == expected


def test_switches_are_set_after_those_of_somebody_else():
    steps = [(4, OK, "Off"), (4.1, BUSY, "Off"), (9, OK, "On")]
    assert play(steps, before=BUSY, kind=VectorKind.SWITCH) == (ACCEPTED, 9, True)


def test_a_switch_that_springs_back_was_accepted():
    verdict, _, confirmed = play([(0.1, OK, "Off")], kind=VectorKind.SWITCH)
    assert (verdict, confirmed) == (ACCEPTED, False)


@pytest.mark.parametrize(
    ("before", "steps", "expected"),
    [
        (OK, [(OK, 1)], None),  # an old one, which somebody has asked for
        (ALERT, [(ALERT, 1)], None),
        (OK, [(ALERT, 1)], None),
        (BUSY, [(BUSY, 1), (BUSY, 5)], None),
        (OK, [(OK, 5)], (ACCEPTED, True)),
        (OK, [(BUSY, 1), (OK, 4)], (ACCEPTED, False)),
        (OK, [(BUSY, 1), (ALERT, 4)], (REFUSED, False)),
    ],
)
@pytest.mark.parametrize("kind", [VectorKind.NUMBER, VectorKind.SWITCH])
def test_a_definition_may_be_older_than_the_command(before, steps, expected, kind):
    def value(number):
        return str(number) if kind is VectorKind.NUMBER else "On" if number == 5 else "Off"

    model = Model()
    model.link_made()
    model.apply(define(state=before, kind=kind, RA=value(1)), 0.0)
    wait = Expectation(model.get("Mount", "EQ"), {"RA": value(5)}, now=100.0, timeout=30.0)
    for state, number in steps:
        change = model.apply(define(state=state, kind=kind, RA=value(number)), 100.1)
        wait.feed(change.prop, None, 100.1, defined=True)
    if expected is not None:
        assert (wait.verdict, wait.confirmed) == expected
        return
    assert wait.verdict is None
    change = model.apply(update(state=OK, kind=kind, RA=value(5)), 100.2)
    wait.feed(change.prop, None, 100.2)
    assert (wait.verdict, wait.confirmed) == (ACCEPTED, True)


@pytest.mark.parametrize(("timeout", "seconds"), [(None, 10), ("0", 10), ("60", 65), ("nonsense", 10)])
def test_patience_is_what_the_device_says_and_some_more(timeout, seconds):
    model = Model()
    assert patience(model.apply(define(timeout=timeout)).prop) == seconds


# What is asked for


def prop_of(*args, **more):
    return Model().apply(define(*args, **more)).prop


def test_values_become_texts():
    assert texts(prop_of(RA="0", DEC="0"), {"RA": 5.5, "DEC": "-5:30"}) == {"RA": "5.5", "DEC": "-5:30"}
    assert texts(prop_of(RA="0"), {"RA": 3}) == {"RA": "3"}
    assert texts(prop_of(kind=VectorKind.SWITCH, ON="Off"), {"ON": True}) == {"ON": "On"}
    assert texts(prop_of(kind=VectorKind.SWITCH, ON="Off"), {"ON": "off"}) == {"ON": "Off"}
    assert texts(prop_of(kind=VectorKind.TEXT, T="x"), {"T": " a <b> "}) == {"T": " a <b> "}


@pytest.mark.parametrize(
    ("prop", "values", "error"),
    [
        (prop_of(perm=Permission.READ_ONLY), {"RA": 1}, NotWritable),
        (prop_of(kind=VectorKind.LIGHT, L="Ok"), {"L": "Ok"}, NotWritable),
        (prop_of(), {}, BadValue),
        (prop_of(), {"RS": 1}, NoSuchMember),
        (prop_of(RA=(1, 0, 24)), {"RA": 25}, BadValue),
        (prop_of(), {"RA": "north"}, BadValue),
        (prop_of(), {"RA": float("nan")}, BadValue),
        (prop_of(), {"RA": ""}, BadValue),
        (prop_of(), {"RA": "-"}, BadValue),  # the beginning of a number, which devices may take for 0
        (prop_of(), {"RA": ":"}, BadValue),
        (prop_of(kind=VectorKind.SWITCH, A="On", B="Off"), {"A": "maybe"}, BadValue),
        (prop_of(kind=VectorKind.SWITCH, A="On", B="Off"), {"A": "On", "B": "On"}, BadValue),
        (prop_of(kind=VectorKind.BLOB, B=""), {"B": "text"}, BadValue),
        (prop_of(kind=VectorKind.TEXT, T="x"), {"T": "/home/andr\udce9"}, BadValue),
    ],
)
def test_what_a_property_does_not_take_is_refused_before_it_is_sent(prop, values, error):
    with pytest.raises(error):
        texts(prop, values)


def test_an_error_names_what_comes_near_and_the_limits():
    with pytest.raises(NoSuchMember) as caught:
        texts(prop_of(RIGHT_ASCENSION="0"), {"RIGHT_ASCENTION": 1})
    assert "did you mean 'RIGHT_ASCENSION'" in str(caught.value)
    with pytest.raises(BadValue) as range_:
        texts(prop_of(RA=(1, 0, 24, 0.5)), {"RA": 25})
    assert (range_.value.min, range_.value.max, range_.value.step) == (0, 24, 0.5)
    taken = []
    NoSuchMember("X", (taken.append(n) or f"X{n}" for n in range(100_000)), "Mount.EQ")
    assert len(taken) <= 1000, "to compare takes a millisecond each"


def test_a_command_has_all_numbers_and_only_the_switches_given_off_first():
    numbers = prop_of(RA="1", DEC="2")
    message = command(numbers, {"DEC": 5}, {"DEC": "5"})
    assert [(m.name, m.value) for m in message.members] == [("RA", "1"), ("DEC", "5")]
    switches = prop_of(kind=VectorKind.SWITCH, A="On", B="Off", C="Off")
    values = press(switches, "B")
    message = command(switches, values, texts(switches, values))
    assert [(m.name, m.value) for m in message.members] == [("A", "Off"), ("B", "On")]
    assert press(prop_of(kind=VectorKind.SWITCH, A="On", B="Off", rule=SwitchRule.ANY_OF_MANY), "B") == {"B": "On"}
    with pytest.raises(WrongKind):
        press(numbers, "RA")


def test_a_blob_to_send_has_its_bytes_and_format():
    prop = prop_of(kind=VectorKind.BLOB, B="")
    values = {"B": Blob(b"abc", ".txt")}
    [one] = command(prop, values, texts(prop, values)).members
    assert (one.data, one.format, one.size) == (b"abc", ".txt", 3)
    with pytest.raises(BadValue):
        command(prop, {"B": b""}, {"B": ""})


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("1,5", "1.5"),
        ("-10,25", "-10.25"),
        ("0,125", "0.125"),
        ("1234,500", "1234.500"),
        ("5:23:28,5", "5:23:28.5"),
        ("-5 23 28,25", "-5 23 28.25"),
        (",5", ".5"),
        ("1.5", "1.5"),
        # These are not numbers, because to some people they are ten thousand, and to others ten.
        ("10,000", "10,000"),
        ("-1,250", "-1,250"),
        ("1,000,000", "1,000,000"),
        ("1,234.5", "1,234.5"),
        ("1,5,5", "1,5,5"),
        ("1,", "1,"),
        ("1,5e3", "1,5e3"),
    ],
)
def test_a_decimal_comma_is_a_point_where_it_means_nothing_else(typed, meant):
    assert with_point(typed) == meant


@pytest.mark.parametrize(
    ("typed", "sent"),
    [
        ("5 35 17.3", "5:35:17.3"),
        (" 12  30 ", "12:30"),
        ("-0 30 5", "-0:30:5"),
        ("+5 6.25", "+5:6.25"),
        ("5:35:17.3", "5:35:17.3"),
        ("1e1", "1e1"),
    ],
)
def test_a_number_is_sent_so_that_every_driver_reads_the_same(typed, sent):
    """Drivers of libindi leave blanks out: to them "1 30" is 130, and a rotator went there."""
    prop = prop_of(RA="1")
    assert texts(prop, {"RA": typed}) == {"RA": sent}


@pytest.mark.parametrize("typed", ["10 000", "1 234.5", "60 000 000", "5 -30", "5 30 15 2", "5 30:15", "1 .5"])
def test_numbers_with_blanks_that_mean_something_else_to_others_are_not_sent(typed):
    prop = prop_of(RA="1")
    with pytest.raises(BadValue, match="is not a number"):
        texts(prop, {"RA": typed})
