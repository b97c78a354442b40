"""Requests for definitions: who is asked, who is answered, and that a flood of them costs little."""

from __future__ import annotations

import time

import pytest

from indipydriver.protocol.encode import encode
from indipydriver.protocol.frame import Frame, address
from indipydriver.protocol.messages import DelProperty, EnableBlob, GetProperties
from indipyserver.routing.endpoint import Endpoint, Role
from indipyserver.routing.pending import ANSWER_TIME, MAX_NAMED_REQUESTS, PendingRequests, Requested
from tests.support import allowed
from tests.support.routing import Site, command, define, elements, update

ALL = GetProperties()
NAMES = ("p", "q", "r")


def reply(device: str, name: str, value: str = "x") -> Frame:
    """The answer of a driver in the server's process."""
    frame = define(device, name, value=value)
    frame.reply = True
    return frame


def answer(site: Site, driver: Endpoint, device: str = "A", names: tuple[str, ...] = NAMES) -> None:
    site.send(driver, *(reply(device, name) for name in names))


def test_equal_requests_wait_for_one_answer_that_serves_all_who_asked() -> None:
    site = Site()
    driver = site.driver("A", *NAMES)
    clients = [site.add(f"client {n}") for n in range(5)]
    for client in clients:
        site.send(client, ALL, ALL)
    assert site.take(driver) == ["getProperties"]
    answer(site, driver)
    for client in clients:
        assert site.take(client) == [f"defTextVector A {name}" for name in NAMES]


def test_who_asks_in_the_middle_of_an_answer_gets_all_of_it() -> None:
    site = Site()
    driver = site.driver("A", *NAMES)
    early, late = site.add("early"), site.add("late")
    site.send(early, ALL)
    site.send(driver, reply("A", "p"))
    site.send(late, ALL)
    assert site.take(driver) == ["getProperties"] * 2
    site.send(driver, reply("A", "q"), reply("A", "r"))
    answer(site, driver)
    assert site.take(early) == [f"defTextVector A {name}" for name in NAMES]
    assert sorted(site.take(late)) == [f"defTextVector A {name}" for name in NAMES]


@pytest.mark.parametrize(
    ("waits", "asked", "passed"),
    [
        (ALL, GetProperties("A"), []),
        (ALL, GetProperties("A", "p"), []),
        (GetProperties("A"), GetProperties("A", "p"), []),
        (GetProperties("A", "p"), GetProperties("A", "q"), ["getProperties A q"]),
        (GetProperties("A", "p"), GetProperties("A"), ["getProperties A"]),
        (GetProperties("A"), ALL, ["getProperties"]),
        (GetProperties("B"), GetProperties("A"), ["getProperties A"]),
    ],
)
def test_a_request_that_waits_covers_what_is_part_of_it(
    waits: GetProperties, asked: GetProperties, passed: list[str]
) -> None:
    site = Site()
    driver = site.driver("A", *NAMES)
    site.send(driver, define("B", "p"))
    one, two = site.add("one"), site.add("two")
    site.send(one, waits)
    site.take(driver)
    site.send(two, asked)
    assert site.take(driver) == passed
    answer(site, driver)
    names = NAMES if asked.name is None else (asked.name,)
    assert site.take(two) == [f"defTextVector A {name}" for name in names]


@pytest.mark.parametrize(
    "said", [define("A", "p", value="new"), encode(DelProperty("A", "p")), encode(DelProperty("A"))]
)
def test_whatever_an_owner_says_of_what_it_was_asked_for_ends_the_waiting(said: Frame) -> None:
    site = Site()
    driver, client, other = site.driver("A", *NAMES), site.add("client"), site.add("other")
    site.send(client, GetProperties("A", "p"))
    site.send(driver, said)
    site.take(driver)
    for asks in (client, other):
        site.send(asks, GetProperties("A", "p"))
    assert site.take(driver) == ["getProperties A p"]


def test_what_is_never_answered_is_asked_again_when_somebody_repeats_it_later() -> None:
    site = Site()
    driver = site.driver("A")
    one, two = site.add("one"), site.add("two")
    site.send(one, GetProperties("A", "nothing"))
    site.send(two, GetProperties("A", "nothing"))
    assert site.take(driver) == ["getProperties A nothing"]
    site.now += ANSWER_TIME
    site.send(one, GetProperties("A", "nothing"))
    site.send(one, GetProperties("A", "nothing"))
    assert site.take(driver) == ["getProperties A nothing"]


def test_an_owner_that_comes_back_is_asked_again() -> None:
    site = Site()
    client = site.client(ALL)
    for _ in range(2):
        driver = site.driver("A")
        site.send(client, GetProperties("A"))
        assert site.take(driver) == ["getProperties A"]
        site.leave(driver)


def test_whoever_has_asked_an_owner_that_is_gone_may_ask_others_at_once() -> None:
    site = Site()
    driver, above, snooper = site.driver("A"), site.above(), site.add("snooper", Role.DRIVER)
    site.now += 10
    site.quiet()
    site.send(snooper, GetProperties("A"))
    assert site.take(driver) == ["getProperties A"]
    site.leave(driver)
    assert site.take(above) == ["delProperty A", "getProperties A"]
    site.send(above, define("A", "other"), DelProperty("A"))  # that answers it
    site.send(snooper, GetProperties("A"))
    assert site.take(above) == ["getProperties A"]


def test_a_client_that_introduces_itself_as_a_server_after_asking_is_one() -> None:
    site = Site()
    site.driver("A")
    client = site.add("client")
    site.send(client, ALL, GetProperties("*"))
    assert client.role is Role.UPSTREAM


def test_a_whole_device_is_asked_for_after_one_of_its_properties() -> None:
    site = Site()
    driver = site.driver("A", *NAMES)
    client = site.add("client")
    site.send(client, GetProperties("A", "p"))
    answer(site, driver)
    site.take(client)
    site.send(client, GetProperties("A"))
    answer(site, driver)
    site.send(driver, update("A", "q"))
    assert site.take(client) == [*(f"defTextVector A {name}" for name in NAMES), "setTextVector A q"]


def test_who_asks_again_is_answered_by_a_server_above_that_has_answered_before() -> None:
    """Also while somebody else, who was asked along with it, has not answered the first request."""
    site = Site()
    driver, above, snooper = site.driver("A"), site.above(), site.add("below", Role.REMOTE)
    site.send(above, define("M", "p"))
    site.quiet()
    for _ in range(2):
        site.send(snooper, ALL)
        assert site.take(above) == ["getProperties"]
        site.send(snooper, ALL)
        assert site.take(above) == []
        site.send(above, define("M", "p"))
        assert site.take(snooper) == ["defTextVector M p"]
    assert site.take(driver) == []  # it still owes the answer to the first request of all


@pytest.mark.measured
def test_what_servers_above_are_remembered_to_have_been_asked_for_is_bounded() -> None:
    """The limit is ten times what it takes."""
    site = Site()
    above, snooper = site.above(), site.add("below", Role.REMOTE)
    begin = time.process_time()
    site.send(snooper, *(GetProperties(f"D{n}") for n in range(9_000)))
    assert len(site.take(above)) == 9_000
    assert len(above.asked.waiting) <= 512
    assert time.process_time() - begin < allowed(5)


@pytest.mark.measured
def test_a_flood_of_requests_is_one_request_to_the_owner_and_costs_little() -> None:
    """As many as fit into one read, each for all of many properties; the limit is ten times what it takes."""
    site = Site()
    names = tuple(f"p{n}" for n in range(1000))
    driver = site.driver("A", *names)
    flooder, other = site.add("flooder"), site.client(ALL)
    site.quiet()
    flood = elements(b"<getProperties version='1.7'/>" * 17_000)
    begin = time.process_time()
    site.send(flooder, *flood)
    assert time.process_time() - begin < allowed(1.0)
    assert site.take(driver) == ["getProperties"]
    site.send(other, command("A", "p0"))
    assert site.take(driver) == ["newTextVector A p0"]


@pytest.mark.measured
@pytest.mark.parametrize("asked", [(ALL,), tuple(GetProperties(f"A{n}") for n in range(4))])
@pytest.mark.parametrize("role", [Role.UPSTREAM, Role.DRIVER])
def test_who_defines_and_asks_for_much_in_turn_costs_little(role: Role, asked: tuple[GetProperties, ...]) -> None:
    """What it says itself is no answer to it; a read of 32 KiB took seconds."""
    site = Site()
    for n in range(4):
        site.driver(f"A{n}", *(f"p{n}" for n in range(1000)))
    flooder = site.above() if role is Role.UPSTREAM else site.add("flooder", role)
    flood = []
    for n in range(1000):
        flood += [define(f"X{n}", "p"), encode(DelProperty(f"X{n}")), *map(encode, asked)]
    begin = time.process_time()
    site.send(flooder, *flood)
    assert time.process_time() - begin < allowed(0.5)


def test_requests_for_many_names_become_one_for_their_device() -> None:
    site = Site()
    driver = site.driver("A", *NAMES)
    client, other = site.add("client"), site.add("other")
    site.send(client, *(GetProperties("A", f"invented {n}") for n in range(1000)))
    assert site.take(driver) == [
        *(f"getProperties A invented {n}" for n in range(MAX_NAMED_REQUESTS)),
        "getProperties A",
    ]
    site.send(other, GetProperties("A", "q"))
    answer(site, driver)
    assert site.take(other) == ["defTextVector A q"]
    assert site.take(client) == []


# Empty attributes


@pytest.mark.parametrize(
    ("text", "passed"),
    [
        (b"<getProperties version='1.7' device=''/>", "getProperties"),
        (b"<getProperties version='1.7' device='' name='X'/>", "getProperties"),
        (b"<getProperties version='1.7' name='X'/>", "getProperties"),
        (b"<getProperties version='1.7' device='A' name=''/>", "getProperties A"),
    ],
)
@pytest.mark.parametrize("role", [Role.CLIENT, Role.DRIVER, Role.REMOTE])
def test_an_empty_name_in_a_request_is_as_good_as_none(text: bytes, passed: str, role: Role) -> None:
    site = Site()
    driver = site.driver("A", *NAMES)
    above = site.above()
    asker = site.add("asker", role)
    site.send(driver, define("A", "before"))
    answer(site, driver)
    site.quiet()
    site.send(asker, *elements(text))
    assert site.take(driver) == [passed]
    assert site.take(above) == (["getProperties"] if passed == "getProperties" and role is not Role.CLIENT else [])
    answer(site, driver)
    site.send(driver, update("A", "q"))
    assert site.take(asker) == [*(f"defTextVector A {name}" for name in NAMES), "setTextVector A q"]


def test_frames_with_empty_names_that_did_not_pass_a_framer_are_understood_too() -> None:

    site = Site()
    driver, client = site.driver("A"), site.add("client")
    site.send(client, Frame(address("getProperties", "", "X"), b"<getProperties version='1.7' device='' name='X'/>"))
    assert site.take(driver) == ["getProperties"]
    assert client.interest.everything


@pytest.mark.parametrize("text", [b"<delProperty device='' name='p'/>", b"<delProperty name='p'/>"])
def test_a_deletion_that_names_a_property_but_no_device_deletes_nothing(text: bytes) -> None:
    site = Site()
    driver, client = site.driver("A", *NAMES), site.client(ALL)
    site.quiet()
    site.send(driver, *elements(text))
    assert site.take(client) == []


def test_a_deletion_without_device_in_this_process_deletes_nothing() -> None:
    """The framer lets no such element through; a frame that a driver makes itself passes no framer."""
    site = Site()
    driver, client = site.driver("A", *NAMES), site.client(ALL)
    site.quiet()
    for device in (None, ""):
        site.send(driver, Frame(address("delProperty", device, "p"), b"<delProperty name='p'/>"))
    assert site.take(client) == []
    assert driver.complaints == {"nameless": 2}


def test_a_deletion_with_an_empty_device_and_no_name_is_that_of_all_own_devices() -> None:
    site = Site()
    driver, client = site.driver("A"), site.client(ALL)
    site.driver("B")
    site.quiet()
    site.send(driver, *elements(b"<delProperty device=''/>"))
    assert site.take(client) == ["delProperty A"]


# Other servers


def test_what_a_server_above_has_defined_is_asked_of_it_for_clients_that_come_later() -> None:
    site = Site()
    above = site.above()
    site.send(above, define("Sky", "p"))
    site.quiet()
    client = site.add("client")
    site.send(client, ALL)
    assert site.take(above) == ["getProperties Sky"]
    site.send(above, define("Sky", "p"), update("Sky", "p"))
    assert site.take(client) == ["defTextVector Sky p", "setTextVector Sky p"]


@pytest.mark.parametrize("how", ["ends", "deletes it", "deletes all", "is above"])
@pytest.mark.parametrize("asked", [GetProperties("Mount"), GetProperties("Mount", "p")])
def test_servers_above_are_asked_for_what_a_driver_snoops_on_when_it_is_lost_here(
    how: str, asked: GetProperties
) -> None:
    """As if it had never been here: until then, they did not learn that anybody looks for it."""
    site = Site()
    owner = site.above() if how == "is above" else site.add("owner", Role.DRIVER if how == "ends" else Role.REMOTE)
    site.send(owner, define("Mount", "p"), define("Other", "p"))
    snooper = site.driver("Dome")
    site.send(snooper, asked, GetProperties("Other", "q"), GetProperties("Nothing"))
    above, watching, blind = site.above(), site.above(read_only=True), site.above(devices=("Roof*",))
    site.now += 10
    site.quiet()
    if how == "deletes it":
        site.send(owner, DelProperty("Mount"))
    elif how == "deletes all":
        site.send(owner, *elements(b"<delProperty/>"))
    else:
        site.leave(owner)
    (frame,) = [each for each in site.inbox[above] if each.tag.text == "getProperties" and each.device == "Mount"]
    assert frame.name == asked.name
    assert b'via="here"' in frame.raw
    lost = {"Mount"} if how == "deletes it" else {"Mount", "Other"}
    said = [each.split() for each in site.take(above)]
    assert {device for tag, device, *_ in said if tag == "getProperties"} == lost
    assert said.index(["delProperty", "Mount"]) < said.index(["getProperties", "Mount", *filter(None, [asked.name])])
    for other in (watching, blind):
        assert not [line for line in site.take(other) if line.startswith("getProperties")]
    site.send(above, define("Mount", "p"), update("Mount", "p"))
    assert [line for line in site.take(snooper) if "Mount" in line] == [
        "delProperty Mount",
        "defTextVector Mount p",
        "setTextVector Mount p",
    ]


def test_who_deletes_what_a_driver_below_snoops_on_is_not_asked_for_it() -> None:
    site = Site()
    first, second = site.above(), site.above()
    snooper = site.driver("Dome")
    site.send(first, define("Sky", "p"))
    site.send(snooper, GetProperties("Sky"))
    site.now += 10
    site.quiet()
    site.send(first, DelProperty("Sky"))
    assert site.take(first) == []
    assert site.take(second) == ["delProperty Sky", "getProperties Sky"]


def request(*hops: str) -> list[Frame]:
    way = f" via='{' '.join(hops)}'" if hops else ""
    return elements(f"<getProperties version='1.7' device='R' name='p'{way}/>".encode())


def test_a_request_that_came_through_other_servers_does_not_stand_for_one_that_did_not() -> None:
    """The server below drops what has come through itself."""
    site = Site()
    remote = site.add("remote", Role.REMOTE)
    site.send(remote, define("R", "p"))
    above, client, other = site.above(), site.add("client"), site.add("other")
    site.now += 10
    site.quiet()
    site.send(above, *request("x", "below"))
    site.send(client, *request())
    site.send(other, *request())
    site.send(above, *request("y"))
    assert [line for line in site.raw(remote).splitlines() if line] == [
        b'<getProperties via="x below here" version="1.7" device="R" name="p" />',
        b'<getProperties via="here" version="1.7" device="R" name="p" />',
    ]


def test_who_asks_twice_is_heard_if_the_first_request_had_come_another_way() -> None:
    """The server below has dropped the first, which had come through it."""
    site = Site()
    remote, above = site.add("remote", Role.REMOTE), site.above()
    site.send(remote, define("R", "p"))
    site.now += 10
    site.quiet()
    site.send(above, *request("below", "above"), *request("above"), *request("above"), *request("x", "above"))
    assert [line for line in site.raw(remote).splitlines() if line] == [
        b'<getProperties via="below above here" version="1.7" device="R" name="p" />',
        b'<getProperties via="above here" version="1.7" device="R" name="p" />',
    ]
    site.send(above, *request("here", "above"))
    assert site.take(remote) == []


@pytest.mark.measured
def test_a_flood_of_invented_ways_costs_little() -> None:
    """The limit is ten times what it takes."""
    site = Site()
    site.driver("A", *(f"p{n}" for n in range(1000)))
    flooder = site.add("flooder")
    flood = [frame for n in range(10_000) for frame in elements(b"<getProperties version='1.7' via='x%d'/>" % n)]
    begin = time.process_time()
    site.send(flooder, *flood)
    assert time.process_time() - begin < allowed(1.0)


def test_ways_that_are_invented_are_passed_on_a_few_times_only() -> None:
    site = Site()
    remote = site.add("remote", Role.REMOTE)
    site.send(remote, define("R", "p"))
    above = site.above(read_only=True)
    site.now += 10
    site.quiet()
    for n in range(1000):
        site.send(above, *request(f"x{n}"))
    assert len(site.take(remote)) < 10


def test_snooped_blobs_are_enabled_although_the_request_for_them_waits() -> None:
    site = Site()
    driver, snooper = site.driver("A"), site.add("snooper", Role.DRIVER)
    site.send(snooper, GetProperties("A", "image"), EnableBlob("A", "image"))
    site.send(snooper, GetProperties("A", "image"), EnableBlob("A", "image"))
    assert site.take(driver) == ["getProperties A image"]
    assert snooper.interest.wants_blob("A", "image")


def test_what_waits_is_bounded_by_the_devices_of_the_owner() -> None:
    asked = PendingRequests()
    for n in range(10_000):
        asked.pass_on("A", f"p{n}", 1, 0.0)
    assert len(asked.waiting) == MAX_NAMED_REQUESTS + 1
    assert asked.note_answer("A", None)
    assert len(asked.waiting) == 0


def whole(n: int) -> GetProperties:
    return GetProperties(f"D{n}")


def test_512_requests_of_any_kind_are_remembered_and_those_beyond_are_passed_on_each_time() -> None:
    asked = PendingRequests()
    for n in range(512):
        assert asked.pass_on(f"D{n}", None, 1, 0.0) == whole(n)
    for n in (0, 511):
        assert asked.pass_on(f"D{n}", None, 1, 0.9) is None
    for _ in range(2):
        assert asked.pass_on("D512", None, 1, 0.9) == whole(512)
    assert len(asked.waiting) == 512


def test_requests_that_are_a_second_old_make_room() -> None:
    asked = PendingRequests()
    for n in range(64):
        assert asked.pass_on("A", f"p{n}", 1, 0.0 if n < 60 else 0.5) == GetProperties("A", f"p{n}")
    assert asked.pass_on("A", "new", 1, 1.0) == GetProperties("A", "new")
    assert [name for _, name in asked.waiting] == ["p60", "p61", "p62", "p63", "new"]


def test_a_request_that_is_repeated_after_a_second_is_as_good_as_new() -> None:
    asked = PendingRequests()
    for n in range(63):
        asked.pass_on("A", f"p{n}", 1, 0.0)
    assert asked.pass_on("A", "p0", 1, 1.0) == GetProperties("A", "p0")
    assert asked.pass_on("A", "last", 1, 1.0) == GetProperties("A", "last")
    assert asked.pass_on("A", "new", 1, 1.5) == GetProperties("A", "new")
    assert [name for _, name in asked.waiting] == ["p0", "last", "new"]


def test_a_request_waits_for_a_second() -> None:
    asked = PendingRequests()
    assert asked.pass_on("A", "p", 1, 5.0) == GetProperties("A", "p")
    assert asked.pass_on("A", "p", 1, 5.9) is None
    assert asked.pass_on("A", "p", 1, 6.0) == GetProperties("A", "p")
    assert asked.pass_on("A", "p", 1, 6.9) is None


def ways(count: int) -> list[frozenset[str]]:
    return [frozenset({f"server {n}"}) for n in range(count)]


def test_the_requests_of_one_peer_may_have_taken_four_ways() -> None:
    asked = PendingRequests()
    *four, fifth = ways(5)
    for way in four:
        assert asked.pass_on("A", "p", 1, 0.0, way) is not None
        assert asked.pass_on("A", "p", 1, 0.0, way | {"another"}) is None
    assert asked.pass_on("A", "p", 1, 0.0, fifth) is None
    assert asked.pass_on("A", "p", 2, 0.0, fifth) is not None


def test_a_later_way_does_not_replace_those_before_it() -> None:
    asked = PendingRequests()
    for way in (one := frozenset({"one"}), frozenset({"two"})):
        assert asked.pass_on("A", "p", 1, 5.0, way) is not None
    assert asked.pass_on("A", "p", 1, 5.5, one) is None
    assert asked.pass_on("A", "p", 1, 6.0, one) is not None, "the time counts from the first"


def test_of_four_ways_one_peer_is_known_to_have_asked() -> None:
    requested = Requested()
    *four, fifth = ways(5)
    assert [requested.note("A", "p", way, 0, 0.0) for way in four] == [False] * 4
    assert [requested.note("A", "p", way, 0, 0.9) for way in (*four, fifth)] == [True] * 5
    assert not requested.note("A", "p", fifth, 1, 0.9), "an answer may have come"
    assert not requested.note("A", "p", four[0], 1, 0.9), "the others are forgotten"


def test_a_peer_waits_for_an_answer_for_a_second() -> None:
    requested = Requested()
    assert [requested.note("A", "p", frozenset(), 0, now) for now in (5.0, 5.9, 6.0, 6.9)] == [
        False,
        True,
        False,
        True,
    ]


def test_256_requests_of_one_peer_are_remembered() -> None:
    requested = Requested()
    for n in range(256):
        assert not requested.note(f"D{n}", None, frozenset(), 0, 0.0)
    assert requested.note("D0", None, frozenset(), 0, 0.0)
    assert not requested.note("D256", None, frozenset(), 0, 0.0)
    assert len(requested) == 1
    assert not requested.note("D0", None, frozenset(), 0, 0.0)


@pytest.mark.parametrize(
    ("device", "name", "left"),
    [
        ("A", "p", [("A", "q"), ("B", None), ("B", "p")]),
        ("A", "r", [("A", "p"), ("A", "q"), ("B", None), ("B", "p")]),
        ("A", None, [("B", None), ("B", "p")]),
        ("B", "p", [("A", "p"), ("A", "q")]),
    ],
)
def test_an_answer_ends_the_requests_that_it_belongs_to(
    device: str, name: str | None, left: list[tuple[str, str | None]]
) -> None:
    asked = PendingRequests()
    for asks in [("A", "p"), ("A", "q"), ("B", "p"), ("B", None)]:
        asked.pass_on(*asks, 1, 0.0)
    assert asked.note_answer(device, name) is (len(left) < 4)
    assert set(asked.waiting) == set(left)
    asked.pass_on(None, None, 1, 0.0)
    assert asked.note_answer(device, name)
    assert not asked.note_answer("A", "unknown")
