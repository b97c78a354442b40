"""The whole server but for its sockets, with endpoints that do anything at any time, against the rules of routing.

The script of a run is a list of steps; a failure is shown with the shortest script that brings it about.
Set INDI_LONG to a number of minutes for a long search that is another one each time.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from tests.support.site import NAMES
from tests.support.siteplay import MOST, Step, play
from tests.support.siterules import Kind

LONG = float(os.environ.get("INDI_LONG", "0"))
"""Minutes for a long search."""
STEPS = 60

pytestmark = pytest.mark.timeout(0 if LONG else 600)  # a failure takes its time to be made short

STATES = ("Ok", "Busy", "Alert")
SIZES = (0, 0, 0, 0, 400, 20_000, 90_000, 280_000)
RATES = (None, None, 0, 3_000, 100_000, 400_000)
KINDS = (
    Kind.CLIENT, Kind.CLIENT, Kind.DRIVER, Kind.DRIVER,
    *(kind for kind in Kind if kind not in (Kind.LOCAL, Kind.CAMERA, Kind.NEIGHBOUR)),
)  # fmt: skip

which = st.integers(0, MOST - 1)
size = st.sampled_from(SIZES)
state = st.sampled_from(STATES)
# 0 is the endpoint's own device, if it has one of its own
place = st.tuples(st.sampled_from([0, 0, 0, 0, 0, 1, 1, 2, 3, 4, 5]), st.integers(0, len(NAMES) - 1))

news = st.one_of(
    st.tuples(st.just("define"), place, state, st.sampled_from(["change", "now", "again"])),
    st.tuples(st.just("reset"), place, state),
    st.tuples(st.just("set"), place, state, size),
    st.tuples(st.just("set"), place, state, size),
    st.tuples(st.just("state"), place, state, st.booleans()),
    st.tuples(st.just("image"), place, st.sampled_from([".fits", ".stream"]), size),
    st.tuples(st.just("delete"), place, st.sampled_from(["property", "property", "device", "all", "nameless", "odd"])),
    st.tuples(st.just("message"), place, st.booleans(), size),
    st.tuples(st.just("ping")),
)
asks = st.one_of(
    st.tuples(st.just("get"), place, st.sampled_from(["all", "device", "property", "empty", "device, empty"])),
    st.tuples(
        st.just("mode"),
        place,
        st.sampled_from(["all", "device", "property"]),
        st.sampled_from(["Never", "Also", "Also", "Only"]),
    ),
    st.tuples(st.just("ping")),
)
commands = st.one_of(
    st.tuples(st.just("new"), place, size),
    st.tuples(st.just("new image"), place, st.sampled_from([".fits", ""]), size),
)
read = st.lists(st.one_of(news, news, news, asks), min_size=1, max_size=5)
request = st.lists(st.one_of(asks, commands, commands), min_size=1, max_size=5)
anything = st.lists(st.one_of(news, asks, commands), min_size=1, max_size=3)

step = st.one_of(
    st.just(("nothing",)),
    st.tuples(st.just("source"), which, read),
    st.tuples(st.just("source"), which, read),
    st.tuples(st.just("source"), which, read),
    st.tuples(st.just("client"), which, request),
    st.tuples(st.just("client"), which, request),
    st.tuples(st.just("anybody"), which, anything),
    st.tuples(st.just("flood"), which, place, st.integers(2, 12), st.sampled_from([".stream", ".fits", ""])),
    st.tuples(st.just("rate"), which, st.sampled_from(RATES)),
    st.tuples(st.just("tree")),
    st.tuples(st.just("behind"), which, which, request),
    st.tuples(st.just("answers"), which, st.booleans()),
    st.tuples(st.just("join"), st.sampled_from(KINDS)),
    st.tuples(st.just("leave"), which, st.sampled_from(["finish", "finish", "break off"])),
    st.tuples(st.just("wait"), st.sampled_from([1, 10, 40])),
    st.tuples(st.just("shut"), which, st.sampled_from([2_000, 100_000])),
)

local_step = st.one_of(
    step,
    step,
    st.tuples(st.just("local"), which, read),
    st.tuples(st.just("local"), which, read),
    st.tuples(st.just("local"), which, st.lists(asks, min_size=1, max_size=2)),
    st.tuples(st.just("orders"), which, st.sampled_from([4, 5]), st.integers(0, 1), st.sampled_from([1, 3, 12])),
    st.one_of(
        st.tuples(st.just("busy"), which, st.booleans()),
        st.tuples(st.just("start"), which),
        st.tuples(st.just("stop"), which),
        st.tuples(st.just("storm"), which, place, st.booleans()),
    ),
)

pictures = st.tuples(
    st.just("attached"),
    place,
    st.lists(
        st.sampled_from(["attached", "attached", "attached", "inline", "empty", "short", "stray", "unreadable"]),
        min_size=1,
        max_size=3,
    ),
    st.sampled_from([".fits", ".fits", ".stream"]),
    st.sampled_from([0, 100, 5_000, 90_000]),
)
socket_step = st.one_of(
    step,
    st.tuples(st.just("camera"), which, st.lists(st.one_of(pictures, pictures, news), min_size=1, max_size=5)),
    st.tuples(st.just("camera"), which, st.lists(st.one_of(pictures, pictures, news), min_size=1, max_size=5)),
    st.tuples(st.just("film"), which, st.integers(1, 12)),
    st.tuples(st.just("client"), which, st.lists(asks, min_size=1, max_size=2)),
    st.one_of(
        st.tuples(st.just("join"), st.sampled_from([Kind.CAMERA, Kind.NEIGHBOUR, Kind.NEIGHBOUR])),
        st.tuples(st.just("threads"), st.booleans()),
    ),
)


# Few scripts come by chance to where these begin.

WITH_COMMANDS: list[Step] = [
    ("join", Kind.ABOVE),
    ("source", 1, [("define", (0, 0), "Ok", "now")]),
    ("source", 0, [("get", (2, 0), "device")]),
    ("rate", 0, 0),
    *[("source", 1, [("set", (0, 0), "Busy", 30_000)] * 9)] * 3,
    ("source", 1, [("set", (0, 0), "Ok", 0), ("new", (1, 0), 0), ("delete", (0, 0), "property")]),
    ("quiet",),
]
"""A driver is behind with what it snoops, and gets news and a command in one read."""
PICTURES: list[Step] = [
    ("client", 0, [("mode", (0, 0), "all", "Also")]),
    ("rate", 1, 0),
    *[("source", 0, [("image", (0, 0), ".fits", 140_000)])] * 5,
    ("quiet",),
]
"""More pictures of one property wait for a client than frames of a video might."""
LAST_TO_LEAVE: list[Step] = [
    ("join", Kind.REMOTE),
    ("source", 1, [("define", (0, 2), "Ok", "now")]),
    ("join", Kind.CLIENT),
    ("client", 1, [("get", (0, 0), "all"), ("mode", (0, 0), "all", "Also")]),
    ("leave", 3, "break off"),
    ("quiet",),
]
"""Nobody is left who wants the BLOBs of another server."""
TOO_LATE: list[Step] = [("rate", 1, 0), ("flood", 0, (0, 0), 4, ""), ("source", 0, [("state", (0, 0), "Ok", True)])]
"""Much waits for a client when the server ends its connection."""
PICTURES_ONLY: list[Step] = [
    ("answers", 0, False),
    ("client", 0, [("mode", (0, 0), "device", "Only")]),
    ("source", 0, [("set", (0, 0), "Busy", 0), ("define", (0, 1), "Ok", "change")]),
    ("client", 0, [("mode", (0, 0), "device", "Never")]),
    ("source", 0, [("state", (0, 0), "Ok", False), ("state", (0, 1), "Ok", False)]),
    ("answers", 0, True),
    ("quiet",),
]
"""A client wants pictures only for a time; more is said before it is given the definitions that it has missed."""
STORM: list[Step] = [("busy", 0, True), ("storm", 0, (4, 0), True), ("busy", 0, False), ("quiet",)]
"""More commands come for a driver of this process than its queue takes."""
ORDERS: list[Step] = [
    ("busy", 0, True),
    *[("client", 0, [("new", (4, 0), 20_000)] * 14)] * 6,
    ("busy", 0, False),
    ("quiet",),
]
"""More bytes of commands come for one than it keeps."""
ANSWER: list[Step] = [
    ("client", 0, [("mode", (0, 0), "all", "Also")]),
    ("threads", False),
    ("camera", 0, [("attached", (0, 0), ["attached"], ".fits", 280_000), ("ping",)]),
    ("quiet",),
]
"""A camera asks for an answer while what it has sent before is encoded."""
TO_THE_BRIM: list[Step] = [
    ("join", Kind.CAMERA),
    ("source", 1, [("define", (0, 2), "Ok", "now")]),
    ("client", 0, [("mode", (0, 0), "all", "Also")]),
    ("brim", 1, 1),
    ("brim", 1, 60),
    ("quiet",),
]
"""The server reads an attached BLOB in two parts."""

OWN_NEWS: list[Step] = [
    ("source", 0, [("define", (0, 0), "Ok", "change"), ("define", (0, 0), "Ok", "change"), ("get", (0, 0), "device")]),
    ("behind", 0, 0, [("get", (0, 0), "all")]),
    ("tree",),
    ("tree",),
]
"""A driver that snoops on its own device defines it unasked, and asks for everything again."""
OWN_NEWS_DELETED: list[Step] = [
    *OWN_NEWS[:2],
    ("source", 0, [("define", (0, 0), "Ok", "change"), ("delete", (0, 0), "property")]),
    *OWN_NEWS[2:],
]

SHUT: list[Step] = [*TOO_LATE, ("shut", 0, 100_000)]

BEGINNINGS = [WITH_COMMANDS, PICTURES, LAST_TO_LEAVE, PICTURES_ONLY, SHUT]
WITH_LOCALS = [*BEGINNINGS, STORM, ORDERS]
WITH_SOCKETS = [PICTURES, SHUT, ANSWER, TO_THE_BRIM]


def starts(beginnings: list[list[Step]]) -> st.SearchStrategy[list[Step]]:
    return st.sampled_from([[], *beginnings])


def thorough(examples: int) -> settings:
    """The same runs each time; or, for so many minutes in all, others each time."""
    return settings(
        max_examples=int(LONG * 100) or examples,
        derandomize=not LONG,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )


@thorough(80)
@given(starts(BEGINNINGS), st.lists(step, min_size=STEPS, max_size=STEPS))
def test_everybody_hears_what_they_must_and_nothing_else(first: list[Step], script: list[Step]) -> None:
    steps = first + [each for each in script if each[0] != "nothing"]
    note(f"play({steps!r})")
    play(steps)


@thorough(40)
@given(starts(WITH_LOCALS), st.lists(local_step, min_size=STEPS, max_size=STEPS))
def test_drivers_of_this_process_among_them(first: list[Step], script: list[Step]) -> None:
    steps = first + [each for each in script if each[0] != "nothing"]
    note(f"play({steps!r}, with_locals=True)")
    play(steps, with_locals=True)


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="only Linux hands BLOBs over as descriptors")
@thorough(25)
@given(starts(WITH_SOCKETS), st.lists(socket_step, min_size=STEPS, max_size=STEPS))
def test_blobs_as_descriptors_among_them(first: list[Step], script: list[Step]) -> None:
    steps = first + [each for each in script if each[0] != "nothing"]
    note(f"play({steps!r}, sockets=True)")
    play(steps, sockets=True)


@pytest.mark.parametrize("script", [*BEGINNINGS, OWN_NEWS, OWN_NEWS_DELETED])
def test_what_few_scripts_come_to(script: list[Step]) -> None:
    play(script)


@pytest.mark.parametrize("script", WITH_LOCALS)
def test_what_few_scripts_come_to_with_drivers_of_this_process(script: list[Step]) -> None:
    play(script, with_locals=True)


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="only Linux hands BLOBs over as descriptors")
@pytest.mark.parametrize("script", WITH_SOCKETS)
def test_what_few_scripts_come_to_with_blobs_as_descriptors(script: list[Step]) -> None:
    play(script, sockets=True)
