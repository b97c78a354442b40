"""What a driver watches, and when it asks again."""

import math

import pytest

from indipydriver.protocol.frame import address
from indipydriver.runtime.snooping import MAX_ENABLED, Snoops


def test_nothing_is_watched_at_first():
    snoops = Snoops()
    assert not snoops.watches(address("setTextVector", "A", "x"))
    assert not snoops.watches(address("message"))
    assert snoops.next_due() is None
    assert snoops.due(1e9) == []


@pytest.mark.parametrize(
    ("device", "name", "wanted"),
    [
        (None, None, "site device other-device vector other-vector gone"),
        ("A", None, "device vector other-vector gone"),
        ("A", "x", "device vector gone"),
        ("B", None, "other-device"),
    ],
)
def test_what_is_wanted(device, name, wanted):
    """Who watches a vector also hears messages about its device."""
    snoops = Snoops()
    snoops.add(device, name)
    news = {
        "site": address("message"),
        "device": address("message", "A"),
        "other-device": address("message", "B"),
        "vector": address("setNumberVector", "A", "x"),
        "other-vector": address("defNumberVector", "A", "y"),
        "gone": address("delProperty", "A"),
    }
    assert {what for what, where in news.items() if snoops.watches(where)} == set(wanted.split())


def test_commands_are_no_news():
    snoops = Snoops()
    snoops.add(None, None)
    for tag in ("newTextVector", "getProperties", "enableBLOB", "pingRequest"):
        assert not snoops.watches(address(tag, "A", "x"))


def test_it_asks_at_once_and_then_after_silence():
    snoops = Snoops()
    snoops.watch("A", "x", 10)
    assert snoops.due(100.0) == [("A", "x")]
    assert snoops.next_due() == 110.0
    assert snoops.due(109.0) == []
    snoops.note_news(address("setNumberVector", "A", "x"), 109.0)
    assert snoops.due(118.9) == []
    assert snoops.due(119.0) == [("A", "x")]


@pytest.mark.parametrize(("early", "due"), [(0.0, True), (0.0005, True), (0.001, True), (0.0015, False)])
def test_a_timer_may_fire_a_millisecond_early(early, due):
    snoops = Snoops()
    snoops.watch("A", "x", 10 + early)
    snoops.due(0.0)
    assert snoops.due(10.0) == [("A", "x")] * due


@pytest.mark.parametrize("tag", ["defTextVector", "setTextVector", "delProperty"])
def test_any_news_of_a_vector_starts_its_timer_again(tag):
    snoops = Snoops()
    snoops.watch("A", "x", 10)
    snoops.watch("A", "y", 20)
    snoops.due(0.0)
    snoops.note_news(address(tag, "A", "x"), 9.0)
    assert snoops.next_due() == 19.0
    assert snoops.due(20.0) == [("A", "x"), ("A", "y")]


def test_a_message_that_names_a_vector_does_not():
    snoops = Snoops()
    snoops.watch("A", "x", 10)
    snoops.due(0.0)
    assert snoops.watches(address("message", "A", "x"))
    assert not snoops.note_news(address("message", "A", "x"), 9.0)
    assert snoops.due(10.0) == [("A", "x")]


@pytest.mark.parametrize("tag", ["message", "delProperty"])
def test_news_of_the_whole_device_do_not_count_as_news_of_the_vector(tag):
    snoops = Snoops()
    snoops.watch("A", "x", 10)
    snoops.due(0.0)
    snoops.note_news(address(tag, "A"), 9.0)
    assert snoops.due(10.0) == [("A", "x")]


def test_a_timer_is_kept_when_it_is_asked_for_once_more():
    snoops = Snoops()
    snoops.watch("A", "x", 10)
    snoops.add("A", "x")
    snoops.add("A", "y")
    assert snoops.vectors == {("A", "x"): [10, -math.inf], ("A", "y"): None}


def test_new_watches_while_a_run_begins():
    """As a thread may add them."""
    snoops = Snoops()

    class Timer(list):
        def __setitem__(self, index, value):
            super().__setitem__(index, value)
            snoops.watch("B", "y", 10)

    snoops.vectors["A", "x"] = Timer([10, 1000.0])
    snoops.restart()
    assert snoops.due(0.0) == [("A", "x"), ("B", "y")]


def test_new_watches_while_the_due_ones_are_gone_through():
    """A snoop() at that moment used to end everything, as the table changed under a loop over it."""
    snoops = Snoops()
    snoops.watch("A", "x", 10)
    for device, name in snoops.due(0.0):
        snoops.watch(device, name + "y", 10)
    assert snoops.due(0.0) == [("A", "xy")]


def test_blobs_are_enabled_once_for_each_definition():
    """Without this, no BLOB comes from indiserver."""
    snoops = Snoops()
    snoops.add("A", None)
    definition = address("defBLOBVector", "A", "x")
    assert snoops.note_news(definition, 0)
    assert not snoops.note_news(definition, 0)
    assert not snoops.note_news(address("defTextVector", "A", "t"), 0)
    snoops.note_news(address("delProperty", "A", "x"), 0)
    assert snoops.note_news(definition, 0)
    snoops.note_news(address("delProperty", "A"), 0)
    assert snoops.note_news(definition, 0)
    assert not snoops.note_news(address("delProperty", "B"), 0)
    assert not snoops.note_news(address("delProperty", None, "x"), 0)
    assert not snoops.note_news(address("message", "A"), 0)
    assert not snoops.note_news(definition, 0)
    assert snoops.note_news(address("defBLOBVector", "B", "x"), 0)


def test_what_is_kept_of_blob_vectors_without_end_is_bounded():
    snoops = Snoops()
    snoops.add("A", None)
    for n in range(2 * MAX_ENABLED + 1):
        assert snoops.note_news(address("defBLOBVector", "A", f"image {n}"), 0)
        assert len(snoops._blobs) <= MAX_ENABLED
    assert snoops.note_news(address("defBLOBVector", "A", "image 0"), 0)  # asked for once more
    assert not snoops.note_news(address("defBLOBVector", "A", "image 0"), 0)


def test_an_empty_device_or_name_stands_for_all():
    snoops = Snoops()
    snoops.add("A", "")
    assert (snoops.all, snoops.devices, snoops.vectors) == (False, {"A"}, {})
    snoops.add("", "x")
    assert (snoops.all, snoops.devices, snoops.vectors) == (True, {"A"}, {})


def test_on_a_new_link_all_is_asked_for_again():
    """Nothing used to be reset between two runs."""
    snoops = Snoops()
    snoops.watch("A", "x", 10)
    snoops.due(1000.0)
    snoops.note_news(address("defBLOBVector", "A", "x"), 1000.0)
    snoops.restart()
    assert snoops.due(0.0) == [("A", "x")]
    assert snoops.note_news(address("defBLOBVector", "A", "x"), 0)
