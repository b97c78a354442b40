"""The judge of ``indipyserver --check``, alone: elements go in, findings come out."""

import base64
import json
import zlib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from indipydriver.protocol.framer import Framer, Limits
from indipydriver.protocol.tags import VectorKind
from indipyserver.check.checker import Checker
from indipyserver.check.commands import (
    different,
    out_of_range,
    reason_to_spare,
    same_values,
    unknown_member,
    with_value,
)
from indipyserver.check.model import Member, PropertySeen
from indipyserver.check.report import Report, as_json, as_text
from indipyserver.check.rules import RULES, Findings, Severity
from indipyserver.check.wire import ByteWatch

NOW = datetime(2026, 5, 1, 12, 0, 0, tzinfo=UTC)


def judged(*texts, server=False):
    """A judge that has heard these bytes to their end."""
    checker = Checker(server=server, clock=lambda: NOW)
    framer = Framer(as_sent=True)
    for text in texts:
        data = text if isinstance(text, bytes) else text.encode()
        checker.bytes_received(data)
        for frame in framer.feed(data):
            checker.received(frame)
    unfinished = framer.unfinished
    if not unfinished:
        framer.feed(b"<message/>")  # has it report what stands before
    for fault in framer.faults:
        checker.fault_received(fault)
    checker.ended(unfinished)
    return checker


def codes(*texts, **options):
    return [finding.code for finding in judged(*texts, **options).findings]


def vector(kind, members, verb="def", **attributes):
    """A vector D.P with whatever is required; an attribute that is None is left out."""
    words = {"device": "D", "name": "P", "state": "Ok"}
    if verb == "def":
        words |= {"label": "P", "group": "G"}
        if kind != "Light":
            words["perm"] = "rw"
        if kind == "Switch":
            words["rule"] = "OneOfMany"
    words |= attributes
    attributes = "".join(f' {key}="{value}"' for key, value in words.items() if value is not None)
    return f"<{verb}{kind}Vector{attributes}>{members}</{verb}{kind}Vector>"


def number(value="1", **attributes):
    words = {"name": "A", "label": "A", "format": "%g", "min": "0", "max": "10", "step": "1"} | attributes
    words = "".join(f' {key}="{text}"' for key, text in words.items() if text is not None)
    return vector("Number", f"<defNumber{words}>{value}</defNumber>")


SWITCHES = '<defSwitch name="A" label="A">On</defSwitch><defSwitch name="B" label="B">Off</defSwitch>'
TEXT = vector("Text", '<defText name="A" label="A">x</defText>')
SWITCH = vector("Switch", SWITCHES)
LIGHT = vector("Light", '<defLight name="A" label="A">Idle</defLight>')
BLOB = vector("BLOB", '<defBLOB name="A" label="A"/>')


def one(kind, *members):
    return "".join(f'<one{kind} name="{name}">{value}</one{kind}>' for name, value in members)


def blob(data, text=None, **attributes):
    words = {"name": "A", "size": len(data), "format": ".fits"} | attributes
    words = "".join(f' {key}="{value}"' for key, value in words.items() if value is not None)
    text = base64.b64encode(data).decode() if text is None else text
    return vector("BLOB", f"<oneBLOB{words}>{text}</oneBLOB>", "set")


@pytest.mark.parametrize(
    "texts",
    [
        (TEXT, vector("Text", one("Text", ("A", "y")), "set")),
        (number(), vector("Number", one("Number", ("A", "2.5")), "set")),
        (number(format="%10.6m", min="0", max="0", value="12:30:00"),),
        (number("99", min="5", max="5"),),
        (SWITCH, vector("Switch", one("Switch", ("B", "On"), ("A", "Off")), "set")),
        (SWITCH, vector("Switch", one("Switch", ("A", "\n   On\n")), "set")),
        (LIGHT, vector("Light", one("Light", ("A", "Alert")), "set")),
        (BLOB, blob(b"data"), blob(b"data", len="4", enclen="8"), blob(b"", format="")),
        (BLOB, blob(zlib.compress(b"x" * 100), size="100", format=".fits.z")),
        (BLOB, blob(b"packed", size="100", format=".fits.fz")),
        (BLOB, blob(b"x" * 60, text="eHh4eHh4\n" * 10)),
        (TEXT, '<delProperty device="D" name="P"/>', TEXT),
        (vector("Text", '<defText name="A">x</defText>', timeout="60"),),
        (SWITCH.replace("OneOfMany", "AtMostOne").replace(">On<", ">Off<"),),
        (SWITCH.replace("OneOfMany", "AnyOfMany").replace(">Off<", ">On<"),),
        (TEXT, '<delProperty device="D"/>'),
        ('<message device="D" message="fine" timestamp="2026-05-01T12:00:05.25"/>',),
        ('<getProperties device="Other" version="1.7"/>', '<pingRequest uid="SetBLOB/1"/>'),
        (TEXT, TEXT),
        ("\n\n" + TEXT + "\n  \n",),
    ],
)
def test_what_is_right_is_left_alone(texts):
    assert codes(*texts) == []


@pytest.mark.parametrize(
    ("code", "texts"),
    [
        ("stray-output", ("debug: on", TEXT)),
        ("stray-output", (TEXT, "the last words")),
        ("malformed", (TEXT, '<message device="D" message="a" message="b"/>')),
        ("cut-short", (TEXT, '<setTextVector device="D"')),
        ("bare-ampersand", (TEXT.replace(">x<", ">a & b<"),)),
        ("numeric-reference", (TEXT.replace(">x<", ">a&#176;<"),)),
        ("leading-entity", (TEXT.replace(">x<", ">&lt;x<"),)),
        ("comment", ("<!-- a -->" + TEXT,)),
        ("control-character", (TEXT.replace(">x<", ">a\x07<"),)),
        ("not-utf8", (TEXT.replace(">x<", ">\xb0<").encode("latin-1"),)),
        ("xml-declaration", ("<?xml version='1.0'?>" + TEXT,)),
        ("foreign-element", ('<newTextVector device="D" name="P"><oneText name="A">x</oneText></newTextVector>',)),
        ("attribute-missing", (vector("Text", '<defText name="A">x</defText>', perm=None),)),
        ("attribute-missing", (vector("Text", '<defText name="A">x</defText>', state=None),)),
        ("attribute-missing", (vector("Text", '<defText name="A">x</defText>', name=None),)),
        ("attribute-missing", (vector("Switch", SWITCHES, rule=None),)),
        ("attribute-missing", (number(step=None),)),
        ("attribute-missing", (number(format=None),)),
        ("attribute-missing", (TEXT, vector("Text", one("Text", ("A", "y")), "set", name=None))),
        ("attribute-missing", (TEXT, vector("Text", "<oneText>y</oneText>", "set"))),
        ("name-empty", (vector("Text", '<defText name="A">x</defText>', device=""),)),
        ("name-empty", (TEXT, '<delProperty device="D" name=""/>')),
        ("name-empty", (vector("Text", '<defText name="A">x</defText>', device=" "),)),
        ("name-empty", (vector("Text", '<defText name="A">x</defText>', name=" "),)),
        ("name-empty", (vector("Text", '<defText name=" ">x</defText>'),)),
        ("name-too-long", (vector("Text", '<defText name="A">x</defText>', name="N" * 64),)),
        ("name-not-ascii", (vector("Text", '<defText name="°">x</defText>'),)),
        ("label-too-long", (vector("Text", '<defText name="A">x</defText>', label="°" * 32),)),
        ("label-too-long", (TEXT.replace('label="A"', f'label="{"A" * 64}"'),)),
        ("label-too-long", (number(format=" " * 64 + "%g"),)),
        ("message-too-long", (TEXT, f'<message device="D" message="{"m" * 255}"/>')),
        ("word-unknown", (vector("Text", '<defText name="A">x</defText>', state="Fine"),)),
        ("word-unknown", (SWITCH.replace("Off", "Of"),)),
        ("word-unknown", (LIGHT, vector("Light", one("Light", ("A", "Green")), "set"))),
        ("word-spelling", (vector("Text", '<defText name="A">x</defText>', state="OK"),)),
        ("word-spelling", (vector("Text", '<defText name="A">x</defText>', perm="w"),)),
        ("child-unknown", (TEXT.replace("defText ", "defNumber ").replace("</defText>", "</defNumber>"),)),
        ("timestamp-form", (vector("Text", '<defText name="A">x</defText>', timestamp="2026-05-01 12:00:00"),)),
        ("timestamp-form", (vector("Text", '<defText name="A">x</defText>', timestamp="2026-05-01T12:00:00Z"),)),
        ("timestamp-zone", (vector("Text", '<defText name="A">x</defText>', timestamp="2026-05-01T14:00:00"),)),
        ("timeout-form", (vector("Text", '<defText name="A">x</defText>', timeout="soon"),)),
        ("timeout-form", (vector("Text", '<defText name="A">x</defText>', timeout="-1"),)),
        ("members-missing", (vector("Text", ""),)),
        ("member-duplicate", (vector("Text", '<defText name="A">x</defText><defText name="A">y</defText>'),)),
        ("label-missing", (vector("Text", '<defText name="A">x</defText>', label=None),)),
        ("group-missing", (vector("Text", '<defText name="A">x</defText>', group=""),)),
        ("number-unreadable", (number("warm"),)),
        ("number-unreadable", (number(max="hot"),)),
        ("number-empty", (number(""),)),
        ("number-not-finite", (number("nan"),)),
        ("number-format", (number(format="%s"),)),
        ("number-format", (number(format="%f %f"),)),
        ("number-format-empty", (number(format=""),)),
        ("number-format-integer", (number(format="%3d"),)),
        ("range-reversed", (number(min="10", max="0"),)),
        ("step-negative", (number(step="-1"),)),
        ("value-outside-range", (number("11"),)),
        ("rule-at-start", (SWITCH.replace("Off", "On"),)),
        ("rule-at-start", (SWITCH.replace(">On<", ">Off<"),)),
        ("switch-write-only", (vector("Switch", SWITCHES, perm="wo"),)),
        ("redefined", (TEXT, number())),
        ("redefined", (TEXT, TEXT.replace('name="A"', 'name="B"'))),
        ("update-undefined", (vector("Text", one("Text", ("A", "y")), "set"),)),
        ("update-undefined", (TEXT, '<delProperty device="D"/>', vector("Text", one("Text", ("A", "y")), "set"))),
        ("update-kind", (TEXT, vector("Number", one("Number", ("A", "1")), "set"))),
        ("update-stateless", (TEXT, vector("Text", one("Text", ("A", "y")), "set", state=None))),
        ("update-empty", (TEXT, vector("Text", "", "set"))),
        ("member-unknown", (TEXT, vector("Text", one("Text", ("B", "y")), "set"))),
        ("member-duplicate", (TEXT, vector("Text", one("Text", ("A", "y"), ("A", "z")), "set"))),
        ("rule-broken", (SWITCH, vector("Switch", one("Switch", ("B", "On")), "set"))),
        ("none-on", (SWITCH, vector("Switch", one("Switch", ("A", "Off")), "set"))),
        ("sexagesimal-update", (number(), vector("Number", one("Number", ("A", "1:30")), "set"))),
        ("delete-undefined", (TEXT, '<delProperty device="D" name="Q"/>')),
        ("delete-everything", (TEXT, "<delProperty/>")),
        ("blob-attribute", (BLOB, blob(b"data", size=None))),
        ("blob-attribute", (BLOB, blob(b"data", format=None))),
        ("blob-attribute", (BLOB, blob(b"data", size="many"))),
        ("blob-size", (BLOB, blob(b"data", size="5"))),
        ("blob-size", (BLOB, blob(b"", size="5"))),
        ("blob-size", (BLOB, blob(zlib.compress(b"x" * 100), format=".fits.z"))),
        ("blob-length", (BLOB, blob(b"data", len="5"))),
        ("blob-length", (BLOB, blob(b"data", enclen="4"))),
        ("blob-base64", (BLOB, blob(b"data", text="ZGF0Y"))),
        ("blob-inflate", (BLOB, blob(b"data", format=".fits.z"))),
        ("blob-format", (BLOB, blob(b"data", format="fits"))),
        ("ping-uid", (f'<pingRequest uid="{"u" * 65}"/>',)),
        ("ping-uid", ("<pingRequest/>",)),
    ],
)
def test_a_fault_is_found_and_nothing_else(code, texts):
    assert codes(*texts) == [code]


def test_a_server_passes_on_the_commands_of_others():
    assert codes('<newTextVector device="D" name="P"><oneText name="A">x</oneText></newTextVector>', server=True) == []


def test_the_client_keeps_what_it_was_told():
    checker = judged(number(), vector("Number", '<oneNumber name="A" max="20">15</oneNumber>', "set", state="Busy"))
    prop = checker.properties["D", "P"]
    assert (prop.kind, prop.state, prop.updates) == (VectorKind.NUMBER, "Busy", 1)
    assert (prop.members["A"].value, prop.members["A"].range) == ("15", (0.0, 20.0))
    assert checker.devices == ["D"]
    assert not len(checker.findings)


def test_the_sizes_of_blobs_are_kept():
    assert judged(BLOB, blob(b"1234"), blob(b"123456")).blobs == {("D", "P"): [4, 6]}


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_bytes_may_be_cut_anywhere(size):
    data = "<?xml?><a>\u00b0\u2603 &amp; &#176; & &lt;</a><!-- -->\x01".encode() + b"\xb0 end"
    findings = Findings()
    watch = ByteWatch(findings)
    for start in range(0, len(data), size):
        watch.feed(data[start : start + size])
    watch.end()
    assert {finding.code: finding.count for finding in findings} == {
        "xml-declaration": 1, "numeric-reference": 1, "bare-ampersand": 1, "comment": 1, "control-character": 1,
        "not-utf8": 1,
    }  # fmt: skip


def test_a_character_may_be_cut_behind_many_others():
    findings = Findings()
    watch = ByteWatch(findings)
    data = "\u00e9".encode() * 200
    watch.feed(data + data[:1])
    watch.feed(data[1:] + b" end")
    watch.end()
    assert list(findings) == []


@pytest.mark.parametrize("text", ["\u2603", "\u00e9\u2603", "\U0001f52d"])
@pytest.mark.parametrize("size", [1000, 100_000])
def test_a_long_text_without_ascii_may_be_cut_anywhere(text, size):
    findings = Findings()
    watch = ByteWatch(findings)
    data = (text * 5000).encode()
    for start in range(0, len(data), size):
        watch.feed(data[start : start + size])
    assert list(findings) == []
    watch.feed(b"\xb0" + data)
    watch.end()
    assert [finding.code for finding in findings] == ["not-utf8"]


def test_the_same_fault_in_one_place_is_counted():
    findings = list(judged(number("11"), vector("Number", one("Number", ("A", "12")), "set")).findings)
    assert [(finding.code, finding.count, finding.where) for finding in findings] == [
        ("value-outside-range", 2, "D.P.A")
    ]


def test_the_worst_comes_first():
    assert codes("<?xml?>", number("nan"), SWITCH.replace('"P"', '"Q"').replace("Off", "Of")) == [
        "word-unknown", "number-not-finite", "xml-declaration",
    ]  # fmt: skip


# --- commands ------------------------------------------------------------------------------------


def prop(kind="Number", name="TARGET", perm="rw", rule=None, state="Ok", **values):
    members = {key: Member(key, value, 0.0, 10.0, 1.0) for key, value in values.items()}
    return PropertySeen(VectorKind(kind), "D", name, state, name, perm, rule, members)


def sent(message):
    return [(member.name, member.value) for member in message.members]


def test_present_values():
    assert sent(same_values(prop(A="1", B="2"))) == [("A", "1"), ("B", "2")]
    assert sent(same_values(prop(A=""))) == [("A", "0")]
    assert sent(same_values(prop("Switch", rule="OneOfMany", A="Off", B="On"))) == [("B", "On")]
    assert sent(same_values(prop("Switch", rule="AnyOfMany", A="Off", B="On"))) == [("A", "Off"), ("B", "On")]


def test_bad_values():
    assert out_of_range(prop(A="1")) == [("A", 11.0), ("A", -1.0)]
    assert sent(with_value(prop(A="1", B="2"), "B", "no")) == [("A", "1"), ("B", "no")]
    assert different(prop(A="1")) == ("A", "6.2512")
    assert different(prop("Switch", rule="OneOfMany", A="On", B="Off")) == ("A", "Off")
    assert different(prop(A="1")) != different(prop(A="9"))
    assert different(prop("Text", A="x"))[0] == "A"
    assert different(prop("Light", A="Ok")) is None
    assert different(prop()) is None
    assert sent(unknown_member(prop("Switch", A="On"))) == [("NO_SUCH_MEMBER", "On")]
    without_range = prop(A="1")
    without_range.members["A"].max = None
    assert out_of_range(without_range) == []
    assert different(without_range) == ("A", "2.2345")


@pytest.mark.parametrize(
    ("what", "spared", "spared_with_act"),
    [
        (prop(A="1"), False, False),
        (prop(name="ABS_FOCUS_POSITION", A="1"), False, False),
        (prop(name="ABS_FOCUS_POSITION", state="Busy", A="1"), True, False),
        (prop(name="CCD_TEMPERATURE", A="1"), True, False),
        (prop(name="CCD_COOLER_POWER", A="1"), True, False),
        (prop(name="CCD_EXPOSURE", A="1"), True, False),
        (prop(name="EQUATORIAL_EOD_COORD", A="1"), True, False),
        (prop(name="REL_FOCUS_POSITION", A="1"), True, False),
        (prop("Switch", "TELESCOPE_PARK", rule="OneOfMany", A="On", B="Off"), True, False),
        (prop("Switch", "MODE", rule="OneOfMany", A="On", B="Off"), False, False),
        (prop("Switch", "MODE", rule="OneOfMany", A="Off", B="Off"), True, True),
        (prop("Switch", "FIRE", rule="AtMostOne", A="Off"), True, False),
        (prop("Switch", "RELAYS", rule="AnyOfMany", A="Off"), False, False),
        (prop("Switch", "CONNECTION", rule="OneOfMany", A="On"), True, True),
        (prop("Switch", "SIMULATE_CRASH", rule="AnyOfMany", A="Off"), True, True),
        (prop("Text", "NOTE", perm="wo", A=""), True, False),
        (prop("BLOB", "UPLOAD", A=""), True, True),
        (prop(), True, True),
    ],
)
def test_what_could_move_something_is_spared(what, spared, spared_with_act):
    assert (reason_to_spare(what, False) is not None) is spared
    assert (reason_to_spare(what, True) is not None) is spared_with_act


# --- the report ----------------------------------------------------------------------------------


def report(*texts):
    checker = judged(*texts)
    return Report(
        "word", "program", findings=list(checker.findings), devices={"D": 1}, slowest=(0.25, ("D", "P")), median=0.1
    )


@pytest.mark.parametrize(
    ("texts", "status", "verdict"),
    [
        ((TEXT,), 0, "fine: 0 errors, 0 warnings, 0 notes"),
        (("<?xml?>", TEXT), 0, "fine: 0 errors, 0 warnings, 1 note"),
        ((number(format=""),), 1, "could be better: 0 errors, 1 warning, 0 notes"),
        ((number(format="%s"),), 1, "not right: 1 error, 0 warnings, 0 notes"),
    ],
)
def test_the_verdict(texts, status, verdict):
    made = report(*texts)
    assert made.status == status
    assert as_text(made).splitlines()[-1] == verdict


def test_the_text_says_what_was_seen_expected_and_to_do():
    lines = as_text(report(number(format="%s"))).splitlines()
    start = lines.index("error: number-format")
    assert lines[start + 1] == "  seen      D.P.A: format='%s'"
    assert lines[start + 2].startswith("  expected  one printf conversion")
    assert lines[start + 3].startswith("  to do     Use")
    assert any("slowest 250 ms (D.P)" in line for line in lines)
    assert "\x1b" not in as_text(report(number(format="\x1b[31m")))
    assert "\x1b[31merror: number-format\x1b[0m" in as_text(report(number(format="%s")), colour=True)


def test_the_json():
    made = json.loads(as_json(report(number(format="%s"))))
    assert (made["version"], made["status"], made["counts"]) == (1, 1, {"errors": 1, "warnings": 0, "notes": 0})
    assert made["findings"][0] == {
        "code": "number-format", "severity": "error", "device": "D", "property": "P", "member": "A", "count": 1,
        "seen": "format='%s'", "expected": RULES["number-format"].expected, "advice": RULES["number-format"].advice,
        "source": RULES["number-format"].source,
    }  # fmt: skip
    assert made["timing"]["slowest"] == {"seconds": 0.25, "device": "D", "property": "P"}


def test_the_text_says_what_was_done_and_left_out():
    made = Report(
        "word",
        "program",
        devices={"D": 1},
        startup=0.5,
        spared=[(("D", "GO"), "it would move"), (("D", "PARK"), "it would move"), (("E", "GO"), "it would move")],
        blobs=[(("D", "P"), 12)],
        stderr=["cannot\x07 open"],
    )
    lines = as_text(made).splitlines()
    assert "  cannot\\x07 open" in lines
    assert "commands  0 sent, 0 answered" in lines
    assert any(line.endswith("; the first definition after 500 ms") for line in lines)
    assert "BLOBs     D.P 12 bytes" in lines
    assert "spared    GO, PARK: it would move" in lines
    assert json.loads(as_json(made))["timing"]["slowest"] is None


def test_of_one_fault_in_very_many_places_a_few_are_shown():
    texts = [number("nan").replace('name="P"', f'name="P{n}"') for n in range(10)]
    assert "            and in 2 more places (all of them: --json)" in as_text(report(*texts)).splitlines()


def test_findings_are_not_kept_without_end(monkeypatch):
    monkeypatch.setattr(Findings, "MOST", 3)
    checker = judged(*(number("nan").replace('name="P"', f'name="P{n}"') for n in range(10)))
    assert len(checker.findings) == sum(len(checker.findings.of(severity)) for severity in Severity) == 3


def test_what_is_too_large_for_a_frame_is_a_fault_of_its_own():
    checker = Checker(server=False, clock=lambda: NOW)
    framer = Framer(Limits(start_tag=100), as_sent=True)
    framer.feed(b"<defTextVector device='D' name='" + b"x" * 200)
    for fault in framer.faults:
        checker.fault_received(fault)
    assert [finding.code for finding in checker.findings] == ["too-large"]


def test_every_rule_is_complete_and_documented():
    page = (Path(__file__).parents[2] / "docs/reference/check.md").read_text(encoding="utf-8")
    for code, rule in RULES.items():
        assert f"| `{code}` | {rule.severity} | {rule.expected} |" in page
        assert rule.advice.endswith(".")
        assert rule.source
    assert page.partition("## The rules")[2].count("\n| `") == len(RULES)
    assert {rule.severity for rule in RULES.values()} == set(Severity)
