"""Recorded traffic: every file gives the same frames and faults however it is cut."""

import json
from collections import Counter
from pathlib import Path

import pytest

from indipydriver.protocol.frame import BlobFrame
from tests.support.cutting import TAIL, alike

CAPTURES = Path(__file__).parents[1] / "fixtures" / "captures"
INDEX = json.loads((CAPTURES / "index.json").read_text(encoding="utf-8"))["files"]

# Files written by hand, and what a server made of one of them, hold elements that are not well-formed or not of INDI;
# index.json counts top-level tags, ours or not.
ODD = ("indiserver_fake_in.raw", "indiserver_fake_out.xml", "synthetic_comment_trap.raw")


@pytest.mark.parametrize("name", [name for name in INDEX if name not in ODD])
def test_recorded_traffic(name):
    data = (CAPTURES / name).read_bytes()
    outcome = alike(data)
    assert outcome.faults == []
    assert outcome.unfinished == 0
    assert len(outcome.frames) == INDEX[name]["messages"]
    assert Counter(frame.tag.text for frame in outcome.frames) == INDEX[name]["tags"]
    # index.json lists devices that define or update something; snooping and messages name others.
    assert {frame.device for frame in outcome.frames} >= set(INDEX[name]["devices"])
    assert alike(data + TAIL).raws == [*outcome.raws, TAIL.strip()]


def test_blobs_of_the_camera():
    outcome = alike((CAPTURES / "sim_ccd_blob_1s.xml").read_bytes())
    (blob,) = [frame for frame in outcome.frames if isinstance(frame, BlobFrame)]
    ((begin, end),) = blob.spans
    text = blob.raw[begin:end]
    assert len(b"".join(text.split())) == 7680
    assert max(map(len, text.split())) == 72


def names(outcome):
    return [frame.name or frame.raw.partition(b"message=")[2][1:-3].decode() for frame in outcome.frames]


def test_odd_xml_of_a_driver():
    """T7 is a CDATA section, T9 has an attribute twice, T13 an end tag that is not its own; what has no quotes is broken.

    An element of INDI inside of a wrapper is found, as the wrapper is junk.
    """
    outcome = alike((CAPTURES / "indiserver_fake_in.raw").read_bytes() + TAIL)
    found = names(outcome)
    assert [name for name in found if name.startswith("T")] == [
        "T0",
        "T1_after_comment",
        "T3_inner_comment",
        "T4_latin1",
        "T5_utf8",
        "T6_charref",
        "T8_attr_ctrl",
        "T10_mixed",
        "T11_selfclosed",
        "T12_wrapped",
    ]
    for message in (
        "after stray",
        "no device at all",
        "5 &lt; 6 unescaped",
        "gt > ok",
        "after noquote",
        "after badclose",
        "AT&amp;T unescaped amp",
        "1st after amp; semicolon here",
        "2nd after amp",
        "after nul",
        "after doctype &amp;e;",
    ):
        assert message in found
    assert outcome.raws[-1] == TAIL.strip()


def test_what_a_server_made_of_it():
    """Two elements of no known kind are in it still, and one with an attribute twice."""
    outcome = alike((CAPTURES / "indiserver_fake_out.xml").read_bytes() + TAIL)
    assert len(outcome.frames) == INDEX["indiserver_fake_out.xml"]["messages"] - 3 + 1  # T12 is in a wrapper
    assert "T9_dupattr" not in names(outcome)
    assert "T12_wrapped" in names(outcome)


def test_the_comment_trap():
    """Of its four elements one lacks its quotes."""
    outcome = alike((CAPTURES / "synthetic_comment_trap.raw").read_bytes() + TAIL)
    assert names(outcome)[:-1] == ["lost by lilxml", "also lost", "lilxml resyncs here"]
    assert len(outcome.faults) == 1
