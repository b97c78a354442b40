"""What rxevent and snoopevent receive, and what is kept from them."""

import copy
import pickle
from collections import UserDict
from datetime import UTC, datetime

import pytest

import indipydriver as ipd
from indipydriver import events
from indipydriver.errors import MalformedFrame
from indipydriver.protocol.decode import decode
from indipydriver.protocol.framer import Framer


def frame_of(xml):
    framer = Framer()
    (frame,) = framer.feed(xml.encode())
    return frame


def command(xml, vector):
    """The event of a command for this vector."""
    frame = frame_of(xml)
    return events.new_event(frame, decode(frame), vector)


def news(xml):
    """The event of some news."""
    frame = frame_of(xml)
    return events.snoop_event(frame, decode(frame))


def switches(rule="OneOfMany", perm="rw"):
    return ipd.SwitchVector("v", "", "", perm, rule, "Ok", [ipd.SwitchMember("a"), ipd.SwitchMember("b")])


def numbers(**limits):
    return ipd.NumberVector("v", "", "", "rw", "Ok", [ipd.NumberMember("a", format="%.2f", **limits)])


def texts(perm="rw"):
    return ipd.TextVector("v", "", "", perm, "Ok", [ipd.TextMember("a")])


def blobs():
    return ipd.BLOBVector("v", "", "", "rw", "Ok", [ipd.BLOBMember("a"), ipd.BLOBMember("b")])


def new(kind, body, attributes=""):
    return f'<new{kind}Vector device="D" name="v" {attributes}>{body}</new{kind}Vector>'


# --- commands --------------------------------------------------------------------------


def test_what_commands_have_in_common():
    vector = switches()
    event = command(new("Switch", '<oneSwitch name="a"> On </oneSwitch>', 'timestamp="2026-01-02T03:04:05"'), vector)
    assert isinstance(event, ipd.newSwitchVector)
    assert isinstance(event, events.newVector)
    assert isinstance(event, UserDict)
    assert (event.devicename, event.vectorname, event.vector) == ("D", "v", vector)
    assert event.timestamp == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert dict(event) == {"a": "On"}
    assert event.root.tag == "newSwitchVector"
    assert event.root is event.root
    assert vector["a"] == "Off", "an event is not applied by itself"
    match event:
        case ipd.newSwitchVector(devicename="D", vectorname="v") if "a" in event:
            pass
        case _:
            pytest.fail("it does not match")


def test_an_event_cannot_be_assigned_to():
    """It used to raise TypeError."""
    with pytest.raises(KeyError):
        command(new("Switch", '<oneSwitch name="a">On</oneSwitch>'), switches())["a"] = "Off"
    with pytest.raises(KeyError):
        news('<defLightVector device="D" name="v" state="Ok"><defLight name="a">Ok</defLight></defLightVector>')[
            "a"
        ] = 1


@pytest.mark.parametrize(
    ("text", "value"), [(" x ", " x "), ("", ""), ("\n  two words\n   ", "two words"), ("a\nb", "a\nb")]
)
def test_a_text_is_stripped_only_of_what_a_pretty_printer_added(text, value):
    """Texts that came through indiserver used to have line ends and blanks around them."""
    assert command(new("Text", f'<oneText name="a">{text}</oneText>'), texts())["a"] == value


def test_numbers():
    event = command(new("Number", '<oneNumber name="a">\n 1:30 \n</oneNumber>'), numbers(min=1, max=2))
    assert event["a"] == "1:30"
    assert event.getfloatvalue("a") == 1.5
    assert event.getformattedvalue("a") == "1.50"
    for method in (event.getfloatvalue, event.getformattedvalue):
        with pytest.raises(KeyError):
            method("b")


def test_blobs():
    body = '<oneBLOB name="a" size="9" format=".z">ZGF0YQ==</oneBLOB><oneBLOB name="b" size="4">ZGF0YQ==</oneBLOB>'
    event = command(new("BLOB", body), blobs())
    assert dict(event) == {"a": b"data", "b": b"data"}
    assert event.sizeformat == {"a": (9, ".z"), "b": (4, "")}


@pytest.mark.parametrize(
    ("vector", "kind", "body", "reason"),
    [
        (switches(), "Text", '<oneText name="a">On</oneText>', "a SwitchVector"),
        (switches(), "Switch", '<oneSwitch name="x">On</oneSwitch>', "no member 'x'"),
        (switches(perm="ro"), "Switch", '<oneSwitch name="a">On</oneSwitch>', "read-only"),
        (switches(), "Switch", '<oneSwitch name="a">On</oneSwitch><oneSwitch name="b">On</oneSwitch>', "OneOfMany"),
        (
            switches("AtMostOne"),
            "Switch",
            '<oneSwitch name="a">On</oneSwitch><oneSwitch name="b">On</oneSwitch>',
            "AtMostOne",
        ),
        (texts("ro"), "Text", '<oneText name="a">x</oneText>', "read-only"),
        (numbers(), "Number", '<oneNumber name="a">twelve</oneNumber>', "not a number"),
        (numbers(), "Number", '<oneNumber name="a">nan</oneNumber>', "not a number"),
        (numbers(), "Number", '<oneNumber name="a">-inf</oneNumber>', "not a number"),
        (numbers(), "Number", '<oneNumber name="a">-</oneNumber>', "not a number: '-'"),
        (numbers(), "Number", '<oneNumber name="a"> :: </oneNumber>', "not a number: '::'"),
        (numbers(min=0, max=10), "Number", '<oneNumber name="a">10.5</oneNumber>', "outside 0 to 10"),
        (numbers(min=0, max=10), "Number", '<oneNumber name="a">-0:0:1</oneNumber>', "outside 0 to 10"),
    ],
)
def test_what_the_vector_does_not_allow(vector, kind, body, reason):
    """The first of these used to end the server; the others reached the driver."""
    with pytest.raises(events.EventException, match=reason) as caught:
        command(new(kind, body), vector)
    assert (caught.value.device, caught.value.name) == ("D", "v")


@pytest.mark.parametrize(
    ("vector", "kind", "body"),
    [
        (switches(), "Switch", ""),
        (switches(), "Switch", '<oneSwitch name="a"></oneSwitch>'),
        (switches(), "Switch", '<oneSwitch name="a">Maybe</oneSwitch>'),
        (switches(), "Switch", '<oneSwitch name="">On</oneSwitch>'),
        (switches(), "Switch", '<oneText name="a">On</oneText>'),
        (numbers(), "Number", '<oneNumber name="a"> </oneNumber>'),
    ],
)
def test_what_is_no_command(vector, kind, body):
    with pytest.raises(MalformedFrame):
        command(new(kind, body), vector)


@pytest.mark.parametrize("attributes", ['size="4"', "", 'size="four"', 'size="3"'])
@pytest.mark.parametrize("text", ["", "?", "ZGF0YQ=="])
def test_what_is_no_blob_command(attributes, text):
    """Some of it does not pass the framer; here it comes from one that leaves BLOBs as they are."""
    framer = Framer(as_sent=True)
    (frame,) = framer.feed(new("BLOB", f'<oneBLOB name="a" {attributes} format=".x">{text}</oneBLOB>').encode())
    if text == "ZGF0YQ==" and attributes in ('size="4"', 'size="3"'):
        decode(frame)
    else:
        with pytest.raises(MalformedFrame):
            events.new_event(frame, decode(frame), blobs())


@pytest.mark.parametrize(
    ("rule", "values"), [("AnyOfMany", "On On"), ("OneOfMany", "On Off"), ("AtMostOne", "Off Off")]
)
def test_what_the_rules_allow(rule, values):
    first, second = values.split()
    body = f'<oneSwitch name="a">{first}</oneSwitch><oneSwitch name="b">{second}</oneSwitch>'
    assert list(command(new("Switch", body), switches(rule)).values()) == [first, second]


@pytest.mark.parametrize("limits", [{"min": 0, "max": 0}, {"min": 5, "max": 1}])
def test_without_a_range_any_number_will_do(limits):
    assert command(new("Number", '<oneNumber name="a">1e6</oneNumber>'), numbers(**limits))["a"] == "1e6"


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-01-02T03:04:05.5Z", "2026-01-02T03:04:05.500000"),
        ("2026-01-02T03:04:05+01:00", "2026-01-02T02:04:05"),
        ("2026-01-02 03:04:05", "2026-01-02T03:04:05"),
        ("2026-01-02T03:04:05.123456789", "2026-01-02T03:04:05.123456"),
        ("2026-01-02", "2026-01-02T00:00:00"),
    ],
)
def test_timestamps(text, time):
    """A fraction with Z used to be unreadable, and offsets were dropped instead of converted."""
    event = command(new("Text", '<oneText name="a"/>', f'timestamp="{text}"'), texts())
    assert event.timestamp == datetime.fromisoformat(time).replace(tzinfo=UTC)


def test_a_missing_timestamp_is_now_and_an_unreadable_one_is_none():
    before = datetime.now(UTC)
    for attribute in ("", 'timestamp=""'):
        assert before <= command(new("Text", '<oneText name="a"/>', attribute), texts()).timestamp <= datetime.now(UTC)
    assert command(new("Text", '<oneText name="a"/>', 'timestamp="soon"'), texts()).timestamp is None


# --- news ------------------------------------------------------------------------------


def test_a_message():
    """This event could not even be made, and the attempt ended the server."""
    event = news('<message device="D" message="hi" timestamp="2026-01-02T03:04:05"/>')
    assert isinstance(event, ipd.Message)
    assert isinstance(event, events.SnoopEvent)
    assert (event.devicename, event.vectorname, event.message) == ("D", None, "hi")
    assert event.root.get("message") == "hi"
    assert (news("<message/>").devicename, news("<message/>").message) == (None, "")


def test_a_deletion():
    event = news('<delProperty device="D" name="v" message="bye"/>')
    assert isinstance(event, ipd.delProperty)
    assert (event.devicename, event.vectorname, event.message) == ("D", "v", "bye")
    assert news('<delProperty device="D"/>').vectorname is None
    with pytest.raises(events.EventException):
        news("<delProperty/>")


def test_a_definition_of_switches():
    event = news(
        '<defSwitchVector device="D" name="v" label="V" group="G" state="Busy" perm="rw" rule="AtMostOne" timeout="5" '
        'message="m"><defSwitch name="a" label="A"> On\n</defSwitch><defSwitch name="b">Off</defSwitch>'
        "</defSwitchVector>"
    )
    assert isinstance(event, ipd.defSwitchVector)
    assert isinstance(event, events.defVector)
    assert dict(event) == {"a": "On", "b": "Off"}
    assert event.memberlabels == {"a": "A", "b": "b"}
    found = (event.label, event.group, event.state, event.perm, event.rule, event.timeout, event.message)
    assert found == ("V", "G", "Busy", "rw", "AtMostOne", "5", "m")


def test_a_definition_of_numbers():
    """One with the default format of this package's own numbers used to be refused."""
    event = news(
        '<defNumberVector device="D" name="v" state="Ok" perm="ro"><defNumber name="a" format="" min="" max="10">'
        "\n 5 \n</defNumber></defNumberVector>"
    )
    assert dict(event) == {"a": "5"}
    assert event.getfloatvalue("a") == 5.0
    assert event.memberlabels == {"a": ("a", "", "", "10", "0")}
    assert (event.label, event.group, event.timeout, event.message) == ("v", "", "0", "")


def test_definitions_of_the_others():
    event = news('<defTextVector device="D" name="v" state="Ok" perm="rw"><defText name="a"/></defTextVector>')
    assert dict(event) == {"a": None}
    event = news('<defLightVector device="D" name="v" state="Ok"><defLight name="a">Alert</defLight></defLightVector>')
    assert dict(event) == {"a": "Alert"}
    assert not hasattr(event, "perm")
    assert not hasattr(event, "timeout")
    event = news(
        '<defBLOBVector device="D" name="v" state="Ok" perm="ro"><defBLOB name="a" label="A"/></defBLOBVector>'
    )
    assert not isinstance(event, UserDict)
    assert (event.perm, event.timeout, event.memberlabels) == ("ro", "0", {"a": "A"})


@pytest.mark.parametrize(
    "xml",
    [
        (
            '<defSwitchVector device="D" name="v" state="Ok" perm="rw" rule="AtMostOne"><defSwitch name="a"/>'
            "</defSwitchVector>"
        ),
        (
            '<defSwitchVector device="D" name="v" state="Ok" perm="rw"><defSwitch name="a">On</defSwitch>'
            "</defSwitchVector>"
        ),
        '<defLightVector device="D" name="v" state="Ok"><defLight name="a"/></defLightVector>',
        '<defTextVector device="D" name="v" perm="rw"><defText name="a"/></defTextVector>',
        '<defTextVector device="D" name="v" state="Ok"><defText name="a"/></defTextVector>',
        '<setTextVector device="D"><oneText name="a"/></setTextVector>',
        '<setSwitchVector device="D" name="v"><oneSwitch name="a">Maybe</oneSwitch></setSwitchVector>',
    ],
)
def test_what_is_no_news(xml):
    """A definition without a value used to end the server."""
    with pytest.raises(MalformedFrame):
        news(xml)


def test_updates():
    event = news(
        '<setSwitchVector device="D" name="v" state="Ok" timeout="5" message="m"><oneSwitch name="a">On</oneSwitch>'
        "</setSwitchVector>"
    )
    assert isinstance(event, ipd.setSwitchVector)
    assert isinstance(event, events.setVector)
    assert (dict(event), event.state, event.timeout, event.message) == ({"a": "On"}, "Ok", "5", "m")
    event = news('<setTextVector device="D" name="v" state="?"><oneText name="a"/></setTextVector>')
    assert (dict(event), event.state, event.timeout, event.message) == ({"a": ""}, None, "0", "")
    event = news('<setLightVector device="D" name="v"><oneLight name="a">Busy</oneLight></setLightVector>')
    assert dict(event) == {"a": "Busy"}
    assert not hasattr(event, "timeout")
    event = news(
        '<setNumberVector device="D" name="v"><oneNumber name="a"> 5 </oneNumber><oneNumber name="b"/>'
        "</setNumberVector>"
    )
    assert dict(event) == {"a": "5"}
    assert event.getfloatvalue("a") == 5.0
    event = news(
        '<setBLOBVector device="D" name="v"><oneBLOB name="a" size="9" format=".z">ZGF0YQ==</oneBLOB>'
        '<oneBLOB name="b" size="0" format=""></oneBLOB></setBLOBVector>'
    )
    assert dict(event) == {"a": b"data"}
    assert event.sizeformat == {"a": (9, ".z")}


@pytest.mark.parametrize("kind", ["Switch", "Text", "Number", "Light", "BLOB"])
def test_an_update_of_the_state_only(kind):
    """It used to be kept from snoopevent."""
    event = news(f'<set{kind}Vector device="D" name="v" state="Alert"/>')
    assert (dict(event), event.state) == ({}, "Alert")


@pytest.mark.parametrize(
    "xml",
    [
        '<setTextVector device="D" name="v"><oneText name="a">1</oneText></setTextVector>',
        '<setBLOBVector device="D" name="v"><oneBLOB name="a" size="4" format=".x">ZGF0YQ==</oneBLOB></setBLOBVector>',
        '<defTextVector device="D" name="v" state="Ok" perm="ro"><defText name="a">1</defText></defTextVector>',
    ],
)
@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, lambda e: e.copy(), lambda e: pickle.loads(pickle.dumps(e))])
def test_news_can_be_copied_and_pickled(xml, how):
    """A pool of processes takes images as they came."""
    event = news(xml)
    copied = how(event)
    assert type(copied) is type(event)
    assert copied is not event
    assert dict(copied) == dict(event)
    assert (copied.vectorname, copied.timestamp) == (event.vectorname, event.timestamp)
    assert copied.root.tag == event.root.tag


def test_other_elements_are_no_news():
    with pytest.raises(events.EventException):
        news('<getProperties version="1.7"/>')
