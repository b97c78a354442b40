"""The way of a site-wide element through a tree of servers."""

import pytest

from indipydriver.protocol.frame import Frame, address
from indipydriver.protocol.framer import Framer
from indipydriver.protocol.via import (
    MAX_HOPS,
    came_through,
    hops_of,
    is_only_watched,
    server_name,
    with_via,
    without_via,
)


def frame(raw: bytes) -> Frame:
    (found,) = Framer().feed(raw)
    return found


PLAIN = [
    b"<getProperties version='1.7'/>",
    b"<getProperties/>",
    b'<message message="a > b"/>',
    b'<message message=\'it went via="one" and  via="two"\'/>',
    b"<message\n  timestamp = 'x'\n  message='&lt;'\n/>",
    b"<message message='x'></message>",
]


@pytest.mark.parametrize("raw", PLAIN)
def test_hops_are_added_in_order(raw):
    site_wide = frame(raw)
    assert not came_through(site_wide, "one")
    once = with_via(site_wide, "one")
    twice = with_via(once, "two")
    assert came_through(once, "one")
    assert not came_through(once, "two")
    assert came_through(twice, "one")
    assert came_through(twice, "two")
    assert not came_through(twice, "on")
    assert twice.address == site_wide.address
    assert b' via="one two"' in twice.raw
    assert twice.raw.replace(b' via="one two"', b"", 1) == raw
    assert frame(twice.raw) == twice


def test_via_need_not_come_first():
    """Another server may write the attributes in its own order."""
    site_wide = frame(b"<message message='a > b' via = 'one two' timestamp='t'/>")
    assert came_through(site_wide, "two")
    assert with_via(site_wide, "three").raw == b"<message via=\"one two three\" message='a > b' timestamp='t'/>"


def test_a_via_that_is_not_ours_does_no_harm():
    site_wide = frame("<message via='&amp; é <x>' viaduct='y'/>".encode())
    assert not came_through(site_wide, "one")
    passed = with_via(site_wide, "one")
    assert passed.raw.count(b" via=") == 1
    assert frame(passed.raw).address == address("message")


def test_hops_are_bounded():
    site_wide = frame(PLAIN[0])
    for i in range(MAX_HOPS):
        assert not came_through(site_wide, "one")
        site_wide = with_via(site_wide, f"server{i}")
    assert came_through(site_wide, "one")
    assert frame(site_wide.raw) == site_wide


@pytest.mark.parametrize("raw", PLAIN)
def test_the_way_can_be_left_out_again(raw):
    plain = frame(raw)
    assert without_via(plain) is plain
    assert without_via(with_via(plain, "one")) == plain
    viaduct = frame(b"<message viaduct='via' message='via=\"one\"'/>")
    assert without_via(viaduct) is viaduct


@pytest.mark.parametrize(
    "host", ["buero-pc", "my host", "Büro-PC", 'a"b', "a&b", "", "日本", "\udcff", "h" * 300, "a\x00b"]
)
def test_the_name_of_any_host_can_be_carried(host):
    name = server_name(host)
    assert 1 <= len(name) <= 40
    passed = with_via(frame(PLAIN[0]), name)
    assert came_through(passed, name)
    assert frame(passed.raw) == passed


def test_the_name_of_a_host_is_cut_after_40_characters():
    for length in (39, 40, 41):
        assert server_name("h" * length) == "h" * min(length, 40)


def test_the_name_of_a_server_is_cut_after_63_characters():
    for length in (62, 63, 64):
        passed = with_via(frame(PLAIN[0]), "s" * length)
        assert hops_of(passed) == ["s" * min(length, 63)]
        assert came_through(passed, "s" * length)
        assert came_through(passed, "s" * 63) is (length >= 63)


def test_32_servers_may_pass_an_element_and_no_more():
    way = " ".join(f"s{n}" for n in range(31))
    assert not came_through(frame(f"<message via='{way}'/>".encode()), "one")
    assert came_through(frame(f"<message via='{way} s31'/>".encode()), "one")


def test_what_came_from_above_stays_marked():
    defined = frame(b"<defTextVector device='A' name='p' state='Ok' perm='ro'/>")
    passed = with_via(with_via(defined, "one"), "two", watched=True)
    assert not is_only_watched(with_via(defined, "one"))
    assert is_only_watched(passed)
    again = with_via(passed, "three")
    assert is_only_watched(again)
    assert hops_of(again) == ["one", "two", "three"]
    assert without_via(again).raw == defined.raw


@pytest.mark.parametrize("too_much", [0, 1])
def test_a_way_has_the_room_that_elements_leave_for_it(too_much):
    """Of 2048 bytes, with the name of the attribute, its quotes, and the mark of what comes from above."""
    room = 2048 - len(' via=" ^"')
    hops = ["first", *["h" * 60] * 29]
    hops.append("h" * (room - len(" ".join(hops)) - len(" ") - len(" one") + too_much))
    passed = frame(f"<message via='{' '.join(hops)}'/>".encode())
    assert came_through(passed, "one") is bool(too_much)
    assert hops_of(with_via(passed, "one")) == [*hops[too_much:], "one"]


def test_a_usual_name_stays_as_it_is():
    assert server_name("pi4.obs_1-north") == "pi4.obs_1-north"
    assert server_name("Büro-PC") == "B-ro-PC"
