"""Who gets what: the router alone, with endpoints that are only names."""

from __future__ import annotations

import logging

import pytest

from indipydriver.protocol.encode import encode
from indipydriver.protocol.frame import BlobFrame, Frame
from indipydriver.protocol.framer import Framer
from indipydriver.protocol.messages import (
    AnyMessage,
    DelProperty,
    EnableBlob,
    GetProperties,
    Message,
    NewVector,
    OneBlob,
    Ping,
    SetVector,
)
from indipydriver.protocol.tags import BlobMode, State
from indipyserver.routing.endpoint import Endpoint, Role
from indipyserver.routing.interest import MAX_INTERESTS, Interest
from tests.support.routing import BLOB, Site, blob, command, define, update

ALL = GetProperties()

# What a driver of A says, and which of five clients hears it, each named by what it has asked for.
# A client of one property also hears what concerns its whole device.
SAID = {
    "set A.p": (update("A", "p"), "all A A.p"),
    "set A.q": (update("A", "q"), "all A"),
    "def A.new": (define("A", "new"), "all A"),
    "del A.p": (encode(DelProperty("A", "p")), "all A A.p"),
    "del A.q": (encode(DelProperty("A", "q")), "all A"),
    "del A": (encode(DelProperty("A")), "all A A.p"),
    "message A": (encode(Message("A", "text")), "all A A.p"),
    "message": (encode(Message(None, "text")), "nothing all A A.p B"),
    "BLOB": (blob("A", "image"), ""),
    "BLOB without data": (encode(SetVector(BLOB, "A", "p", (), State.OK)), "all A A.p"),
}


@pytest.mark.parametrize("case", SAID)
def test_what_a_device_says_reaches_those_who_asked(case: str) -> None:
    frame, heard = SAID[case]
    site = Site()
    driver = site.driver("A", "p", "q")
    clients = {
        "nothing": site.client(),
        "all": site.client(ALL),
        "A": site.client(GetProperties("A")),
        "A.p": site.client(GetProperties("A", "p")),
        "B": site.client(GetProperties("B")),
    }
    site.quiet()
    site.send(driver, frame)
    assert {name for name, client in clients.items() if site.take(client)} == set(heard.split())
    assert site.take(driver) == []


@pytest.mark.parametrize("first", [GetProperties("A"), EnableBlob("A"), command("A", "p"), GetProperties("B", "x")])
def test_a_plain_get_properties_opens_everything_whatever_came_before(first: AnyMessage) -> None:
    site = Site()
    driver = site.driver("A", "p")
    client = site.client()
    site.send(client, first, ALL)
    site.answer()
    site.quiet()
    site.send(driver, update("A", "p"))
    assert site.take(client) == ["setTextVector A p"]


def test_definitions_go_to_those_who_miss_them() -> None:
    site = Site()
    driver = site.driver("A", "p", "q")
    early, late = site.add("early"), site.add("late")
    site.send(early, ALL)
    site.send(driver, define("A", "p", timestamp="2026-01-01T00:00:00"), define("A", "q"))
    assert site.take(early) == ["defTextVector A p", "defTextVector A q"]
    site.send(late, ALL)
    assert site.take(driver) == ["getProperties"] * 2
    site.send(driver, define("A", "p", timestamp="2026-01-01T00:00:01"), define("A", "q"))
    assert site.take(late) == ["defTextVector A p", "defTextVector A q"]
    assert site.take(early) == []
    site.send(driver, define("A", "p", value="changed"), define("A", "q"))
    assert site.take(late) == site.take(early) == ["defTextVector A p"]
    site.send(late, GetProperties("A", "q"))
    site.send(driver, define("A", "q"))
    assert site.take(late) == ["defTextVector A q"]
    site.send(driver, DelProperty("A", "q"), define("A", "q"))
    assert site.take(early) == site.take(late) == ["delProperty A q", "defTextVector A q"]


@pytest.mark.parametrize("label", [b"\"a timestamp='b' c\"", b'"it\'s"', b"'a timestamp=\"b\" c'"])
def test_text_that_looks_like_a_timestamp_hides_no_change(label: bytes) -> None:
    site = Site()
    driver, client = site.driver("A"), site.client(ALL)

    def definition(state: bytes) -> bytes:
        member = b"<defText name='m'>it's</defText>"
        return (
            b"<defTextVector device='A' name='p' label=%s state='%s' perm='ro' timestamp='t'>" % (label, state)
            + member
            + b"</defTextVector>"
        )

    for state in (b"Ok", b"Alert"):
        site.router.route(driver, Framer().feed(definition(b"Ok")))
        deliveries = site.router.route(driver, Framer().feed(definition(state)))
        if state == b"Alert":
            assert any(client in receivers for _, receivers in deliveries)


@pytest.mark.parametrize("stamp", [b' timestamp="%d"', b" timestamp='%d'", b'\n\ttimestamp="%d"'])
@pytest.mark.parametrize("place", ["first", "last"])
def test_a_definition_of_which_only_the_timestamp_is_new_is_no_news(stamp: bytes, place: str) -> None:
    def defined(time: int, label: bytes = b"x") -> list[Frame]:
        rest = b' device="A" name="p" label="%s" state="Ok" perm="ro"' % label
        start = stamp % time + rest if place == "first" else rest + stamp % time
        return Framer().feed(b"<defTextVector%s><defText name='m'>timestamp=1</defText></defTextVector>" % start)

    site = Site()
    driver, client = site.add("driver", Role.DRIVER), site.add("client")
    site.send(client, ALL)
    site.send(driver, *defined(1))
    assert site.take(client) == ["defTextVector A p"]
    site.send(driver, *defined(2))
    assert site.take(client) == []
    site.send(driver, *defined(2, label=b"y"))
    assert site.take(client) == ["defTextVector A p"]


def test_an_empty_timestamp_is_one_too() -> None:
    site = Site()
    driver, client = site.add("driver", Role.DRIVER), site.add("client")
    site.send(client, ALL)
    for stamp, told in ((b"", True), (b" timestamp=''", False), (b" timestamp='1'", False)):
        start = b'<defTextVector device="A" name="p"' + stamp + b' state="Ok" perm="ro" label=\'x\'>'
        site.send(driver, *Framer().feed(start + b'<defText name="m">x</defText></defTextVector>'))
        assert bool(site.take(client)) is told


@pytest.mark.parametrize(
    ("attribute", "value"),
    [(b"", b' timestamp="%d"'), (b' x-timestamp="%d"', b""), (b" label=' timestamp=%d.'", b"")],
)
def test_what_looks_like_a_timestamp_is_news(attribute: bytes, value: bytes) -> None:
    site = Site()
    driver, client = site.add("driver", Role.DRIVER), site.add("client")
    site.send(client, ALL)
    for time in (b"1", b"2"):
        start = b'<defTextVector device="A" name="p" state="Ok" perm="ro"' + attribute.replace(b"%d", time)
        member = b'<defText name="m">' + value.replace(b"%d", time) + b"</defText>"
        site.send(driver, *Framer().feed(start + b">" + member + b"</defTextVector>"))
        assert site.take(client) == ["defTextVector A p"]


def test_the_answer_of_a_driver_in_this_process_goes_to_who_asked_even_if_it_has_changed() -> None:
    site = Site()
    driver = site.add("driver", Role.DRIVER)
    site.router.claim("A", driver)
    asked, other = site.client(ALL), site.client(ALL)

    def answer(value: str) -> Frame:
        frame = define("A", "p", value=value)
        frame.reply = True
        return frame

    site.send(driver, answer("1"))
    site.quiet()
    site.send(asked, ALL)
    site.send(driver, answer("2"))
    assert site.take(asked) == ["defTextVector A p"]
    assert site.take(other) == []
    site.send(driver, define("A", "p", value="2"))  # on its own account: for all
    assert site.take(asked) == site.take(other) == ["defTextVector A p"]


def test_commands_go_to_the_owner_and_are_echoed_to_the_others() -> None:
    site = Site()
    a, b = site.driver("A"), site.driver("B")
    sender, other, elsewhere = site.client(ALL), site.client(GetProperties("A")), site.client(GetProperties("B"))
    site.quiet()
    for _ in range(2):  # the second time from the table
        site.send(sender, command("A", "p"))
        assert site.take(a) == site.take(other) == ["newTextVector A p"]
        assert site.take(b) == site.take(elsewhere) == site.take(sender) == []


def test_a_command_to_an_unknown_device_reaches_no_driver() -> None:
    site = Site()
    a = site.driver("A")
    client = site.client(ALL)
    site.quiet()
    site.send(client, command("X", "p"))
    assert site.take(a) == []


@pytest.mark.parametrize(
    "frame",
    [
        define("A", "p"),
        update("A", "p"),
        encode(DelProperty("A")),
        encode(Message("A", "x")),
        encode(Message(None, "x")),
    ],
    ids=lambda frame: frame.tag.text,
)
def test_what_only_devices_say_is_not_taken_from_a_client(frame: Frame, caplog: pytest.LogCaptureFixture) -> None:
    site = Site()
    driver = site.driver("A")
    liar, other, snooper = site.client(ALL), site.client(ALL), site.add("snooper", Role.DRIVER)
    site.send(snooper, GetProperties("A"))
    site.quiet()
    for _ in range(3):
        site.send(liar, frame)
    assert [site.take(endpoint) for endpoint in (driver, other, snooper)] == [[], [], []]
    assert liar.complaints == {frame.tag.text: 3}
    assert len([record for record in caplog.records if frame.tag.text in record.message]) == 1


# BLOB modes

MODES = [
    # what was asked, in order; then: gets BLOBs of A.image, of A.other; gets other elements of A
    ([], False, False, True),
    ([("A", None, "Also")], True, True, True),
    ([("A", None, "Only")], True, True, False),
    ([("A", "image", "Also")], True, False, True),
    ([("A", "image", "Only")], True, False, True),
    ([("A", None, "Also"), ("A", "image", "Never")], False, True, True),
    ([("A", "image", "Never"), ("A", None, "Also")], True, True, True),
    ([("A", None, "Only"), ("A", "image", "Also")], True, True, False),
    ([("A", None, "Also"), ("A", None, "Never")], False, False, True),
    ([("B", None, "Only")], False, False, True),
    ([(None, None, "Also")], True, True, True),
]


@pytest.mark.parametrize(("asked", "image", "other", "rest"), MODES)
def test_blob_modes(asked: list[tuple[str | None, str | None, str]], image: bool, other: bool, rest: bool) -> None:
    site = Site()
    driver = site.driver("A", "p")
    site.send(driver, define("A", "image", BLOB), define("A", "other", BLOB))
    client = site.client(ALL)
    for device, name, mode in asked:
        if device is None:
            site.send(client, *Framer().feed(b"<enableBLOB>" + mode.encode() + b"</enableBLOB>"))
        else:
            site.send(client, EnableBlob(device, name, BlobMode(mode)))
    site.quiet()
    site.send(driver, blob("A", "image"))
    assert bool(site.take(client)) is image
    site.send(driver, blob("A", "other"))
    assert bool(site.take(client)) is other
    site.send(driver, update("A", "p"), encode(Message("A", "x")))
    assert bool(site.take(client)) is rest
    site.send(driver, define("A", "third", BLOB), DelProperty("A", "p"))  # needed to understand BLOBs
    assert site.take(client) == ["defBLOBVector A third", "delProperty A p"]


@pytest.mark.parametrize("text", [b"<enableBLOB device='A'/>", b"<enableBLOB device='A'>Maybe</enableBLOB>"])
def test_an_unreadable_blob_mode_changes_nothing(text: bytes) -> None:
    site = Site()
    client = site.client(ALL, EnableBlob("A"))
    site.send(client, *Framer().feed(text))
    assert client.interest.wants_blob("A", "image")


def test_a_command_with_a_blob_is_echoed_only_to_those_who_enabled_it() -> None:
    site = Site()
    driver = site.driver("A")
    sender, with_blobs, without = site.client(ALL), site.client(ALL, EnableBlob("A")), site.client(ALL)
    site.quiet()
    site.send(sender, NewVector(BLOB, "A", "p", (OneBlob("m", b"data", 4, ".bin"),)))
    assert site.take(driver) == site.take(with_blobs) == ["newBLOBVector A p"]
    assert site.take(without) == []


# Ownership


def test_a_device_has_one_owner(caplog: pytest.LogCaptureFixture) -> None:
    site = Site()
    first, second = site.driver("A"), site.add("second", Role.DRIVER)
    client = site.client(ALL)
    site.quiet()
    for _ in range(2):
        site.send(second, define("A", "p", value="other"), update("A", "p"), DelProperty("A"), Message("A", "x"))
    assert site.take(client) == ["message A"]
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1
    assert "already served by driver of A" in errors[0].message
    site.send(first, update("A", "p"))
    assert site.take(client) == ["setTextVector A p"]


def test_when_the_owner_goes_its_devices_are_deleted_and_free() -> None:
    site = Site()
    first = site.driver("A")
    second = site.add("second", Role.DRIVER)
    client, of_property, snooper = site.client(ALL), site.client(GetProperties("A", "p")), site.add("s", Role.DRIVER)
    site.send(snooper, GetProperties("A", "p"))
    site.quiet()
    ((frames, receivers),) = site.router.detach(first, "it died")
    assert b'message="it died"' in frames[0].raw
    assert receivers == (client, of_property, snooper)
    site.send(second, define("A", "p"))
    assert site.take(client) == ["defTextVector A p"]


def test_delete_everything_is_taken_for_the_own_devices() -> None:
    site = Site()
    a = site.driver("A")
    site.send(a, define("A2", "p"))
    site.driver("B")
    client = site.client(ALL)
    site.quiet()
    site.send(a, *Framer().feed(b"<delProperty/>"))
    assert site.take(client) == ["delProperty A", "delProperty A2"]


# Snooping


@pytest.mark.parametrize(
    ("ask", "heard"),
    [
        (GetProperties("A", "p"), ["setTextVector A p", "message A", "delProperty A"]),
        (GetProperties("A"), ["setTextVector A p", "setTextVector A q", "message A", "delProperty A"]),
        (GetProperties(), ["setTextVector A p", "setTextVector A q", "message A", "delProperty A"]),
        (GetProperties("B"), []),
    ],
)
def test_snooping(ask: GetProperties, heard: list[str]) -> None:
    site = Site()
    a = site.driver("A", "p", "q")
    snooper = site.driver("S")
    site.send(snooper, ask)
    assert ("getProperties A p" in site.take(a)) == (ask.name == "p")
    site.quiet()
    site.send(a, update("A", "p"), update("A", "q"), Message("A", "x"), DelProperty("A"))
    assert site.take(snooper) == heard
    site.send(snooper, update("S", "p"))
    assert site.take(snooper) == []  # not its own, unless it names it


@pytest.mark.parametrize("everything", [False, True])
@pytest.mark.parametrize("asks", [GetProperties("A", "p"), GetProperties("A")])
def test_a_driver_may_snoop_on_its_own_device_by_name(asks: GetProperties, everything: bool) -> None:
    """To ask for everything does not name it."""
    site = Site()
    driver = site.driver("A", "p")
    if everything:
        site.send(driver, GetProperties())
        site.send(driver, update("A", "p"))
        assert site.take(driver) == []
        site.now += 10
    site.send(driver, asks)
    assert len(site.take(driver)) == 1
    site.send(driver, update("A", "p"))
    assert site.take(driver) == ["setTextVector A p"]


def test_snooped_blobs_come_after_enable_blob_that_follows_its_request() -> None:
    site = Site()
    a, snooper = site.driver("A"), site.driver("S")
    site.send(a, define("A", "image", BLOB))
    site.send(snooper, EnableBlob("A", "image"), GetProperties("A", "image"))
    site.quiet()
    site.send(a, blob("A", "image"))
    assert site.take(snooper) == []
    site.send(snooper, EnableBlob("A", "image"))
    site.send(a, blob("A", "image"))
    assert site.take(snooper) == ["setBLOBVector A image"]


def test_a_driver_cannot_command_another() -> None:
    site = Site()
    a, b = site.driver("A"), site.driver("B")
    client = site.client(ALL)
    site.quiet()
    site.send(b, command("A", "p"))
    assert site.take(a) == site.take(client) == []
    site.send(a, command("A", "p"))  # its own: shown to clients, as in indiserver
    assert site.take(client) == ["newTextVector A p"]


# Requests on their way


def test_versions_are_normalised_towards_drivers() -> None:
    site = Site()
    driver = site.driver("A")
    client = site.client()
    site.send(
        client, *Framer().feed(b"<getProperties version='2.0' device='A' name='p' switch='2.0'/><getProperties/>")
    )
    assert [frame.raw for frame in site.inbox[driver]] == [
        b'<getProperties version="1.7" device="A" name="p" />',
        b'<getProperties version="1.7" />',
    ]


def test_pings_are_answered_to_whoever_sent_them() -> None:
    site = Site()
    driver, client, other = site.driver("A"), site.client(ALL), site.client(ALL)
    site.quiet()
    for endpoint in (driver, client):
        site.send(endpoint, Ping("SetBLOB/7"))
        assert b'uid="SetBLOB/7"' in site.inbox[endpoint][0].raw
        assert site.take(endpoint) == ["pingReply"]
    site.send(client, Ping("x", reply=True))
    assert site.take(other) == site.take(driver) == []


@pytest.mark.parametrize(("uid", "answered"), [(">" * 256, True), (">" * 257, False), ("x" * 257, False)])
def test_a_ping_with_an_endless_uid_is_not_answered(uid: str, answered: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Escaped, it would not fit into the reply."""
    site = Site()
    client = site.client(ALL)
    (ping,) = Framer().feed(f"<pingRequest uid='{uid}'/>".encode())
    for _ in range(20):
        assert bool(site.router.route(client, [ping])) is answered
    assert "Traceback" not in caplog.text
    assert caplog.text.count("sent a ping") == (not answered)


@pytest.mark.parametrize(
    ("device", "name", "covered", "included", "named"),
    [
        ("whole", None, True, True, True),
        ("whole", "p", True, True, True),
        ("partly", None, True, False, True),
        ("partly", "p", True, True, True),
        ("partly", "q", False, False, False),
        ("other", None, False, False, False),
        ("other", "p", False, False, False),
    ],
)
def test_what_an_interest_covers_includes_and_names(
    device: str, name: str | None, covered: bool, included: bool, named: bool
) -> None:
    interest = Interest()
    interest.ask("whole")
    interest.ask("partly", "p")
    for everything in (False, True):
        if everything:
            interest.ask(None)
        assert interest.covers(device, name) is (covered or everything)
        assert interest.includes(device, name) is (included or everything)
        assert interest.names(device, name) is named


def test_nobody_keeps_names_without_end() -> None:
    site = Site()
    client = site.client()
    site.send(client, *(GetProperties(f"device {i}") for i in range(MAX_INTERESTS + 10)))
    assert len(client.interest.devices) == MAX_INTERESTS
    assert client.complaints == {"interests": 10}


@pytest.mark.parametrize("role", [Role.CLIENT, Role.DRIVER])
def test_who_has_asked_for_as_much_as_is_kept_may_ask_for_that_again(role: Role) -> None:
    site = Site()
    site.driver("device 1")
    asks = site.add("asks", role)
    site.send(asks, *(GetProperties(f"device {i}") for i in range(MAX_INTERESTS)))
    for _ in range(2):
        site.answer()
        assert site.take(asks) == ["defTextVector device 1 p"]
        site.send(asks, GetProperties("device 1"))
    assert not asks.complaints


# Trees


def server_above(site: Site) -> Endpoint:
    endpoint = site.client(GetProperties("*"))
    assert endpoint.role is Role.UPSTREAM
    return endpoint


def test_a_server_above_gets_everything_but_blobs_and_commands_like_a_client() -> None:
    site = Site()
    driver = site.driver("A")
    site.send(driver, define("A", "image", BLOB))
    above = server_above(site)
    assert site.take(driver) == ["getProperties"]
    site.quiet()
    site.send(driver, update("A", "p"), blob("A", "image"))
    assert site.take(above) == ["setTextVector A p"]
    site.send(above, EnableBlob("A", "image"))
    site.send(driver, blob("A", "image"))
    assert site.take(above) == ["setBLOBVector A image"]
    site.send(above, command("A", "p"))
    assert site.take(driver) == ["newTextVector A p"]


def test_a_server_below_is_asked_for_blobs_while_somebody_wants_them() -> None:
    site = Site()
    remote = site.add("remote", Role.REMOTE)
    one, two = site.client(ALL), site.client(ALL)
    site.quiet()
    site.send(remote, define("R", "image", BLOB))
    assert site.take(remote) == []
    site.send(one, EnableBlob("R"))
    assert b">Also<" in site.inbox[remote][0].raw
    assert site.take(remote) == ["enableBLOB R image"]
    site.send(two, EnableBlob("R"))
    site.send(one, EnableBlob("R", None, BlobMode.NEVER))
    assert site.take(remote) == []  # Also wins while one of them wants it
    site.send(two, EnableBlob("R", None, BlobMode.ONLY))
    assert site.take(remote) == []  # Only is between the client and its own server
    for out, receivers in site.router.detach(two):
        for endpoint in receivers:
            site.inbox[endpoint] += out
    assert b">Never<" in site.inbox[remote][0].raw


def test_snoop_requests_travel_to_servers_above_also_to_those_that_come_later() -> None:
    site = Site()
    snooper = site.driver("S")
    early = server_above(site)
    site.quiet()
    site.send(snooper, GetProperties("Mount", "EQUATORIAL_EOD_COORD"))
    assert b'via="here"' in site.inbox[early][0].raw
    assert site.take(early) == ["getProperties Mount EQUATORIAL_EOD_COORD"]
    late = server_above(site)
    assert "getProperties Mount EQUATORIAL_EOD_COORD" in site.take(late)
    site.quiet()
    site.send(late, define("Mount", "EQUATORIAL_EOD_COORD"), update("Mount", "EQUATORIAL_EOD_COORD"))
    assert site.take(snooper) == [
        "defTextVector Mount EQUATORIAL_EOD_COORD",
        "setTextVector Mount EQUATORIAL_EOD_COORD",
    ]


@pytest.mark.parametrize(
    ("asks", "told"),
    [
        (GetProperties("A"), []),
        (GetProperties("A", "other"), []),
        (GetProperties("Mount"), ["getProperties Mount"]),
        (GetProperties(), ["getProperties"]),
    ],
)
def test_a_server_above_is_not_told_of_requests_for_what_is_served_here(asks: GetProperties, told: list[str]) -> None:
    site = Site()
    site.driver("A")
    snooper = site.add("snooper", Role.DRIVER)
    site.send(snooper, asks)
    assert site.take(server_above(site)) == [*told, "defTextVector A p"]


def test_what_a_server_below_snoops_on_goes_down_to_it() -> None:
    site = Site()
    driver = site.driver("A", "p", "q")
    remote = site.add("remote", Role.REMOTE)
    site.send(remote, GetProperties("A", "p"))
    assert site.take(driver) == ["getProperties A p"]
    site.send(driver, define("A", "p"), update("A", "p"), update("A", "q"))
    assert site.take(remote) == ["defTextVector A p", "setTextVector A p"]


def test_commands_do_not_come_from_below() -> None:
    site = Site()
    driver = site.driver("A")
    remote = site.add("remote", Role.REMOTE)
    site.quiet()
    site.send(remote, command("A", "p"))
    assert site.take(driver) == []


def test_a_device_of_a_server_above_cannot_be_commanded_here() -> None:
    site = Site()
    above = server_above(site)
    site.send(above, define("Mount", "p"))
    client = site.client(ALL)
    site.quiet()
    site.send(client, command("Mount", "p"))
    assert site.take(above) == []
    assert site.take(client) == ["message Mount"]


def test_site_wide_elements_do_not_go_round() -> None:
    site = Site("here")
    driver = site.driver("A")
    client, above, remote = site.client(ALL), server_above(site), site.add("remote", Role.REMOTE)
    site.quiet()
    been_here = Framer().feed(b'<message via="there here" message="x"/><getProperties version="1.7" via="here"/>')
    site.send(remote, *been_here)
    assert [site.take(endpoint) for endpoint in (driver, client, above, remote)] == [[], [], [], []]
    site.send(remote, *Framer().feed(b'<message via="there" message="x"/>'))
    assert b'via="there here"' in site.inbox[above][0].raw
    assert site.take(client) == site.take(above) == ["message"]


def test_one_device_of_a_server_below() -> None:
    site = Site()
    remote = site.add("remote", Role.REMOTE, only_device="R")
    client = site.client(ALL)
    assert site.take(remote) == ["getProperties R"]
    site.send(remote, define("R", "p"), define("Other", "p"))
    assert site.take(client) == ["defTextVector R p"]


def test_the_way_down_to_a_device_is_preferred_to_the_way_up() -> None:
    """In a ring a device may first be seen from above, as a driver here snoops on it."""
    site = Site()
    above, below = server_above(site), site.add("remote", Role.REMOTE)
    client = site.client(ALL)
    site.send(above, define("Mount", "p"))
    site.send(below, define("Mount", "p"), define("Mount", "q"))
    site.quiet()
    site.send(client, command("Mount", "p"))
    assert site.take(below) == ["newTextVector Mount p"]
    site.send(above, update("Mount", "p"))
    assert site.take(client) == []
    site.send(below, update("Mount", "p"))
    assert site.take(client) == ["setTextVector Mount p"]


def from_a_server(text: bytes) -> list[Frame]:
    return list(Framer().feed(text))


def test_definitions_tell_servers_which_way_they_came_and_do_not_come_back(caplog: pytest.LogCaptureFixture) -> None:
    """Also when their device is gone by then: it would go round for ever."""
    site = Site("here")
    above, remote, client = server_above(site), site.add("remote", Role.REMOTE), site.client(ALL)
    site.quiet()
    driver = site.driver("A", "p")
    assert b' via="here"' in site.inbox[above][0].raw
    assert b"via" not in site.inbox[client][0].raw
    brought_back = site.inbox[above][0]
    for out, receivers in site.router.detach(driver):
        for endpoint in receivers:
            site.inbox[endpoint] += out
    assert site.take(above) == ["defTextVector A p", "delProperty A"]
    assert site.take(client) == ["defTextVector A p", "delProperty A"]
    last_words = [
        update("A", "p"),
        encode(Message("A", "bye")),
        encode(DelProperty("A", "p")),
        encode(DelProperty("A")),
    ]
    for _ in range(2):
        site.send(remote, brought_back, *last_words[:1], *last_words[2:])
    assert "A" not in site.router.devices
    assert site.take(client) == site.take(above) == ["message"]
    assert "a loop of servers" in caplog.text


def test_a_message_of_a_device_that_nobody_owns_does_not_go_round() -> None:
    site = Site("here")
    above, remote, client = server_above(site), site.add("remote", Role.REMOTE), site.client(ALL)
    site.quiet()
    site.send(remote, encode(Message("Nobody", "hello")))
    assert site.take(client) == ["message Nobody"]
    (passed_on,) = site.inbox[above]
    assert b' via="here"' in passed_on.raw
    site.quiet()
    site.send(remote, passed_on)
    assert site.take(client) == site.take(above) == []


def test_a_device_that_circles_through_indiserver_is_shown_to_clients_only() -> None:
    """It knows no owners: what we show it of its own devices it shows us again."""
    site = Site("here")
    above, remote, client = server_above(site), site.add("remote", Role.REMOTE), site.client(ALL)
    site.quiet()
    site.send(remote, define("R", "p"))
    assert site.take(client) == site.take(above) == ["defTextVector R p"]
    site.send(remote, *from_a_server(b"<defTextVector via='here' device='R' name='p' state='Ok' perm='rw'/>"))
    site.quiet()
    site.send(remote, update("R", "p"), define("R", "q"))
    assert site.take(client) == ["setTextVector R p", "defTextVector R q"]
    assert site.take(above) == []
    site.send(above, command("R", "p"))
    assert site.take(remote) == []
    site.send(client, command("R", "p"))
    assert site.take(remote) == ["newTextVector R p"]
    assert site.take(above) == []


@pytest.mark.parametrize("name", ["p", None])
def test_the_deletion_of_what_circles_is_told_to_servers_above_and_ends_when_it_comes_round(name: str | None) -> None:
    """They were shown it before that was known. What it deletes may be defined again before it comes round."""
    site = Site("here")
    above, remote, client = server_above(site), site.add("remote", Role.REMOTE), site.client(ALL)
    limited = site.above(devices=("R",))
    site.send(remote, define("R", "p"), define("R", "q"))
    site.send(remote, *from_a_server(b"<defTextVector via='here' device='R' name='p' state='Ok' perm='rw'/>"))
    site.quiet()
    site.send(remote, DelProperty("R", name))
    gone = f"delProperty R {name or ''}".rstrip()
    assert site.take(client) == site.take(limited) == [gone]
    (passed_on,) = site.inbox[above]
    assert b' via="here"' in passed_on.raw
    assert site.take(above) == [gone]
    site.send(remote, define("R", "p"))
    site.quiet()
    site.send(remote, passed_on)
    assert [site.take(each) for each in (client, above, limited)] == [[], [], []]
    assert site.router.devices.property("R", "p") is not None


@pytest.mark.parametrize("name", ["p", None])
def test_a_deletion_that_tells_its_way_goes_on_telling_it_to_servers_only(name: str | None) -> None:
    site = Site("here")
    above, remote, client = server_above(site), site.add("remote", Role.REMOTE), site.client(ALL)
    driver = site.add("snooper", Role.DRIVER)
    site.send(driver, ALL)
    site.send(remote, define("R", "p"))
    site.quiet()
    words = b"device='R'" + (b" name='p'" if name else b"")
    site.send(remote, *from_a_server(b"<delProperty via='there' " + words + b"/>"))
    assert b' via="there here"' in site.raw(above)
    assert b"via" not in site.raw(client) + site.raw(driver)
    assert site.router.devices.property("R", "p") is None


def test_a_driver_that_deletes_its_device_still_has_it_until_another_defines_it() -> None:
    site = Site()
    driver, other = site.driver("A", "p"), site.add("other", Role.DRIVER)
    client = site.client(ALL)
    site.send(driver, DelProperty("A"))
    site.quiet()
    site.send(client, command("A", "p"), GetProperties("A"))
    assert site.take(driver) == ["newTextVector A p", "getProperties A"]
    site.send(driver, define("A", "p"), DelProperty("A"))
    assert site.take(client) == ["defTextVector A p", "delProperty A"]
    site.send(other, define("A", "p", value="of another"))
    assert site.take(client) == ["defTextVector A p"]
    site.send(client, command("A", "p"))
    assert (site.take(driver), site.take(other)) == ([], ["newTextVector A p"])
    site.send(driver, define("A", "p"))
    assert site.take(client) == ["message A"]


def test_any_kind_of_blob_goes_alone_in_its_delivery() -> None:
    """An attached one, which is another class, took the next update of the same read with it, and that was lost."""

    class Other(BlobFrame):
        pass

    site = Site()
    driver = site.driver("A", "p")
    site.send(driver, define("A", "image", BLOB))
    client = site.client(ALL, EnableBlob("A"))
    plain = blob("A", "image")
    assert isinstance(plain, BlobFrame)
    other = Other(plain.address, plain.chunks, plain.skeleton, plain.spans)
    frames = [update("A", "p"), other, update("A", "p"), other, other, update("A", "p")]
    for _ in range(2):  # the second time with what has been remembered
        deliveries = site.router.route(driver, frames)
        assert [receivers for _, receivers in deliveries] == [(client,)] * 6
        assert [run for run, _ in deliveries] == [[frame] for frame in frames]
    assert other.address not in driver.routes


@pytest.mark.parametrize(
    "text",
    [
        b"<setTextVector name='p'><oneText name='m'>y</oneText></setTextVector>",
        b"<setTextVector device='A'><oneText name='m'>y</oneText></setTextVector>",
        b"<defTextVector name='p' state='Ok' perm='rw'><defText name='m'>y</defText></defTextVector>",
        b"<delProperty device='A' name=''/>",
    ],
)
def test_what_does_not_say_of_what_it_speaks_changes_nothing(text: bytes) -> None:
    site = Site()
    driver, client = site.driver("A"), site.client(ALL)
    site.quiet()
    (frame,) = Framer(as_sent=True).feed(text)
    site.send(driver, frame)
    assert site.take(client) == []
    assert driver.complaints == {"nameless": 1}
    assert site.router.devices.property("A", "p") is not None


def test_who_may_not_delete_a_device_cannot_delete_everything_either() -> None:
    site = Site()
    site.driver("A")
    client, forger = site.client(ALL), site.client(ALL)
    site.quiet()
    site.send(forger, *Framer().feed(b"<delProperty/>"))
    assert site.take(client) == []
    assert forger.complaints == {"delProperty": 1}


def test_no_picture_comes_over_a_link_without_blobs() -> None:
    site = Site()
    remote = site.add("remote", Role.REMOTE, takes_blobs=False)
    client = site.client(ALL, EnableBlob("A"))  # type: ignore[arg-type]
    site.send(remote, define("A", "image", BLOB))
    site.quiet()
    site.send(remote, blob("A", "image"))
    assert site.take(client) == []
    site.send(remote, encode(SetVector(BLOB, "A", "image", (), State.BUSY)))
    assert site.take(client) == ["setBLOBVector A image"]
