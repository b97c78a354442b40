"""BLOBs: who gets the data, and which of them another server is asked to send."""

from __future__ import annotations

import time

import pytest

from indipydriver.protocol.encode import encode
from indipydriver.protocol.frame import Frame
from indipydriver.protocol.messages import (
    AnyMessage,
    DelProperty,
    EnableBlob,
    GetProperties,
    NewVector,
    OneBlob,
    SetVector,
)
from indipydriver.protocol.tags import BlobMode, State
from indipyserver.routing.endpoint import Endpoint, Role
from indipyserver.routing.interest import MAX_INTERESTS, Interest
from tests.support import allowed
from tests.support.routing import BLOB, Site, blob, command, define, elements, update

ALL = GetProperties()
EMPTY = {
    "self-closed": elements(b"<setBLOBVector device='A' name='image' state='Busy'/>"),
    "closed": elements(b"<setBLOBVector device='A' name='image' state='Busy'></setBLOBVector>"),
    "of a driver in the process": [encode(SetVector(BLOB, "A", "image", (), State.BUSY))],
}


@pytest.mark.parametrize("empty", EMPTY)
@pytest.mark.parametrize("role", [Role.DRIVER, Role.REMOTE])
def test_an_update_of_the_state_of_a_blob_opens_no_way_for_its_data(empty: str, role: Role) -> None:
    site = Site()
    owner = site.add("owner", role)
    site.send(owner, define("A", "image", BLOB))
    never, also = site.client(ALL), site.client(ALL, EnableBlob("A"))  # type: ignore[arg-type]
    site.quiet()
    for _ in range(2):
        site.send(owner, *EMPTY[empty], blob("A", "image"), *EMPTY[empty])
        assert site.take(never) == ["setBLOBVector A image"] * 2
        assert site.take(also) == ["setBLOBVector A image"] * 3


def test_data_that_few_want_closes_no_way_for_updates_of_the_state() -> None:
    site = Site()
    driver = site.driver("A")
    site.send(driver, define("A", "image", BLOB))
    never = site.client(ALL)
    site.quiet()
    site.send(driver, blob("A", "image"), *EMPTY["self-closed"])
    assert site.take(never) == ["setBLOBVector A image"]


def test_an_empty_command_opens_no_way_for_the_echo_of_data() -> None:
    site = Site()
    driver = site.add("remote", Role.REMOTE, takes_blobs=False)
    site.send(driver, define("A", "image", BLOB))
    sender, never, also = site.client(ALL), site.client(ALL), site.client(ALL, EnableBlob("A"))  # type: ignore[arg-type]
    site.quiet()
    data = NewVector(BLOB, "A", "image", (OneBlob("m", b"data", 4, ".bin"),))
    site.send(sender, *elements(b"<newBLOBVector device='A' name='image'/>"), data)
    assert site.take(never) == ["newBLOBVector A image"]
    assert site.take(also) == ["newBLOBVector A image"] * 2
    assert site.take(driver) == ["newBLOBVector A image"]


# Servers


def remote_with(site: Site, *devices: str) -> Endpoint:
    remote = site.add("remote", Role.REMOTE)
    site.send(remote, *(define(device, "image", BLOB) for device in devices))
    site.quiet()
    return remote


def asked(site: Site, remote: Endpoint) -> list[tuple[str | None, str | None, bytes]]:
    """What BLOBs it was asked for since the last look."""
    frames, site.inbox[remote] = site.inbox[remote], []
    return [(f.device, f.name, f.raw.split(b">")[1].split(b"<")[0]) for f in frames if f.tag.text == "enableBLOB"]


WISHES: list[tuple[list[AnyMessage], list[tuple[str, str, bytes]]]] = [
    ([ALL], []),
    ([ALL, EnableBlob("A")], [("A", "image", b"Also")]),
    ([ALL, EnableBlob("A", "image")], [("A", "image", b"Also")]),
    ([ALL, EnableBlob("A", "other")], []),
    ([EnableBlob("A", None, BlobMode.ONLY)], [("A", "image", b"Also")]),
    ([EnableBlob("A"), EnableBlob("A")], [("A", "image", b"Also")]),
    ([EnableBlob("A"), EnableBlob("A", "image", BlobMode.NEVER)], [("A", "image", b"Also"), ("A", "image", b"Never")]),
    ([GetProperties("A"), EnableBlob("B")], [("B", "image", b"Also")]),
]


@pytest.mark.parametrize(("wishes", "told"), WISHES)
def test_a_server_is_asked_for_what_somebody_wants(
    wishes: list[AnyMessage], told: list[tuple[str, str, bytes]]
) -> None:
    site = Site()
    remote, client = remote_with(site, "A", "B"), site.add("client")
    site.send(client, *wishes)
    assert asked(site, remote) == told
    site.leave(client)
    wanted = {key for *key, mode in map(tuple, told) if mode == b"Also" for key in [tuple(key)]}
    wanted -= {key for *key, mode in map(tuple, told) if mode == b"Never" for key in [tuple(key)]}
    assert asked(site, remote) == [(*key, b"Never") for key in sorted(wanted)]


def test_everything_can_be_enabled_without_naming_a_device() -> None:
    site = Site()
    remote, client = remote_with(site, "A", "B"), site.client(ALL)
    site.send(client, *elements(b"<enableBLOB>Also</enableBLOB>"))
    assert asked(site, remote) == [("A", "image", b"Also"), ("B", "image", b"Also")]


def test_a_blob_that_is_defined_after_it_was_enabled_is_asked_for() -> None:
    site = Site()
    remote = remote_with(site)
    client = site.client(ALL, EnableBlob("A"))  # type: ignore[arg-type]
    site.send(remote, define("A", "image", BLOB))
    assert asked(site, remote) == [("A", "image", b"Also")]
    site.send(remote, define("A", "image", BLOB))
    assert asked(site, remote) == []
    # It is still asked for when it comes back, so that no BLOB is lost, and if nobody wants it any more it is told.
    site.send(remote, DelProperty("A"), define("A", "image", BLOB))
    assert asked(site, remote) == []
    site.send(remote, DelProperty("A", "image"))
    site.leave(client)
    assert asked(site, remote) == []
    site.send(remote, define("A", "image", BLOB))
    assert asked(site, remote) == [("A", "image", b"Never")]


def test_the_owner_itself_is_no_taker_of_its_blobs() -> None:
    site = Site()
    above = site.above()
    site.send(above, define("A", "image", BLOB), EnableBlob("A"))
    assert asked(site, above) == []
    site.client(ALL, EnableBlob("A"))  # type: ignore[arg-type]
    assert asked(site, above) == [("A", "image", b"Also")]


def test_a_server_whose_device_is_taken_over_need_not_send_its_blobs() -> None:
    site = Site()
    above = site.above()
    site.send(above, define("A", "image", BLOB))
    client = site.client(ALL, EnableBlob("A"))  # type: ignore[arg-type]
    assert asked(site, above) == [("A", "image", b"Also")]
    driver = site.driver("A", "p")
    assert asked(site, above) == [("A", "image", b"Never")]
    site.send(driver, define("A", "image", BLOB))
    site.quiet()
    site.send(driver, blob("A", "image"))
    assert site.take(client) == ["setBLOBVector A image"]


@pytest.mark.measured
def test_many_clients_that_come_and_go_cost_the_same_each() -> None:
    """Each costs what it asks for and not what the others ask for; the limit is ten times what it takes."""
    site = Site()
    remote = remote_with(site, *(f"camera {n}" for n in range(50)))
    begin = time.process_time()
    clients = []
    for n in range(1000):
        client = site.add(f"client {n}")
        site.send(client, ALL, EnableBlob("camera 7"))
        clients.append(client)
    for client in clients:
        site.leave(client)
    assert time.process_time() - begin < allowed(8)
    assert asked(site, remote) == [("camera 7", "image", b"Also"), ("camera 7", "image", b"Never")]


@pytest.mark.measured
@pytest.mark.parametrize("role", [Role.REMOTE, "above"])
def test_a_server_with_very_many_blobs_costs_as_much_for_each_of_them(role: Role | str) -> None:
    """The limit is ten times what it takes."""
    site = Site()
    server = site.above() if role == "above" else site.add("remote", Role.REMOTE)
    for device in range(20):
        site.send(server, *(define(f"D{device}", f"p{n}", BLOB) for n in range(600)))
    client = site.client(ALL)
    site.quiet()
    begin = time.process_time()
    site.send(client, *all_of(b"Also"), *all_of(b"Never"))
    assert time.process_time() - begin < allowed(4)
    assert len(site.take(server)) == 2 * 12_000


@pytest.mark.measured
@pytest.mark.parametrize("role", [Role.REMOTE, "above"])
def test_modes_that_contradict_each_other_in_one_read_cost_little(role: Role | str) -> None:
    """The limit is ten times what it takes."""
    site = Site()
    server = site.above() if role == "above" else site.add("remote", Role.REMOTE)
    site.send(server, *(define("A", f"p{n}", BLOB) for n in range(1000)))
    client = site.client(ALL)
    site.quiet()
    for last in (b"Also", b"Never"):
        begin = time.process_time()
        flood = [*all_of(b"Also"), *all_of(b"Never"), *all_of(b"Only")] * 200 + all_of(last)
        site.send(client, *flood)
        assert time.process_time() - begin < allowed(2)
        seen = asked(site, server)
        assert len(seen) <= 3 * 1000
        assert seen[-1][2] == last


def test_a_mode_that_changes_in_one_read_ends_as_the_last_one_says() -> None:
    site = Site()
    remote = remote_with(site, "A", "B")
    client = site.client(ALL)
    site.quiet()
    site.send(client, EnableBlob("A"), EnableBlob("B"), EnableBlob("A", None, BlobMode.NEVER), command("A", "p"))
    assert asked(site, remote) == [("A", "image", b"Also"), ("B", "image", b"Also"), ("A", "image", b"Never")]
    site.send(client, EnableBlob("A", None, BlobMode.NEVER), EnableBlob("A"), EnableBlob("B", "image", BlobMode.NEVER))
    assert asked(site, remote) == [("B", "image", b"Never"), ("A", "image", b"Also")]


def test_what_servers_are_remembered_to_have_been_asked_for_is_bounded() -> None:
    site = Site()
    remote, client = site.add("remote", Role.REMOTE), site.client(ALL)
    site.send(client, *all_of(b"Also"))
    for n in range(25_000):
        site.send(remote, define(f"D{n}", "image", BLOB), DelProperty(f"D{n}"))
    assert len(remote.told_blobs) <= 10_000


def test_a_command_for_a_blob_tells_its_server_that_it_is_wanted() -> None:
    """A command is an interest; that BLOBs are wanted, the client has said before."""
    site = Site()
    remote = remote_with(site, "A")
    client = site.add("client")
    site.send(client, *all_of(b"Also"))
    assert asked(site, remote) == []
    site.send(client, encode(NewVector(BLOB, "A", "image", (OneBlob("m", b"x", 1, ".x"),))))
    assert asked(site, remote) == [("A", "image", b"Also")]


# Modes


@pytest.mark.parametrize(
    ("before", "mode", "forgets"),
    [
        ([], EnableBlob("A"), False),
        ([], EnableBlob("A", None, BlobMode.NEVER), False),
        ([], EnableBlob("A", "image", BlobMode.ONLY), False),
        ([], EnableBlob("A", None, BlobMode.ONLY), True),
        ([EnableBlob("A", None, BlobMode.ONLY)], EnableBlob("A", None, BlobMode.ONLY), False),
        ([EnableBlob("A", None, BlobMode.ONLY)], EnableBlob("A"), True),
    ],
)
def test_a_mode_that_changes_nothing_else_leaves_the_routes(
    before: list[AnyMessage], mode: EnableBlob, forgets: bool
) -> None:
    site = Site()
    driver = site.driver("A")
    client = site.client(ALL)
    site.send(client, *before)
    site.send(driver, update("A", "p"))
    assert driver.routes
    site.quiet()
    site.send(client, mode)
    assert bool(driver.routes) is not forgets
    site.answer()
    site.quiet()
    site.send(driver, update("A", "p"))
    assert bool(site.take(client)) is (client.interest.blob_mode("A", "x") is not BlobMode.ONLY)


ALSO, NEVER, ONLY = BlobMode.ALSO, BlobMode.NEVER, BlobMode.ONLY


@pytest.mark.parametrize(
    ("before", "device", "mode", "changes"),
    [
        ([], None, ALSO, False),
        ([], None, NEVER, False),
        ([], None, ONLY, True),
        ([(None, ONLY)], None, ONLY, False),
        ([(None, ONLY)], None, ALSO, True),
        ([(None, ALSO)], None, NEVER, False),
        ([("A", ALSO)], None, NEVER, False),
        ([("A", ALSO)], None, ONLY, True),
        ([("A", ONLY)], None, NEVER, True),
        ([(None, ONLY), ("A", ONLY)], None, ONLY, True),
        ([], "A", ALSO, False),
        ([], "A", ONLY, True),
        ([("A", ONLY)], "A", ONLY, False),
        ([("A", ONLY)], "A", NEVER, True),
        ([("B", ONLY)], "A", NEVER, False),
        ([(None, ONLY)], "A", ONLY, False),
        ([(None, ONLY)], "A", ALSO, True),
        ([("A", ALSO)], "A", NEVER, False),
    ],
)
def test_a_mode_changes_what_else_is_sent_only_where_it_is_only_or_was(
    before: list[tuple[str | None, BlobMode]], device: str | None, mode: BlobMode, changes: bool
) -> None:
    interest = Interest()
    for where, earlier in before:
        interest.enable_blob(where, None, earlier)
    if device is not None:
        assert not interest.enable_blob(device, "p", mode)
    assert interest.enable_blob(device, None, mode) is changes


def all_of(text: bytes) -> list[Frame]:
    return elements(b"<enableBLOB>" + text + b"</enableBLOB>")


def test_a_mode_for_all_devices_counts_for_what_else_is_sent() -> None:
    site = Site()
    driver = site.driver("A")
    client = site.client(ALL)
    site.send(client, EnableBlob("A", None, BlobMode.ONLY))
    site.quiet()
    for mode, heard in ((b"Also", True), (b"Only", False), (b"Never", True)):
        site.send(client, *all_of(mode))
        site.answer()
        site.quiet()
        site.send(driver, update("A", "p"))
        assert bool(site.take(client)) is heard


def test_definitions_that_only_has_kept_from_a_client_are_asked_for_when_it_wants_more() -> None:
    site = Site()
    driver, client = site.driver("A", "p", "q"), site.add("client")
    site.send(client, ALL, EnableBlob("A", None, BlobMode.ONLY))
    site.answer()
    assert site.take(client) == []
    site.quiet()
    site.send(client, EnableBlob("A"))
    assert site.take(driver) == ["getProperties A"]
    site.answer()
    site.send(driver, update("A", "p"))
    assert site.take(client) == ["defTextVector A p", "defTextVector A q", "setTextVector A p"]
    site.send(client, EnableBlob("A", None, BlobMode.ONLY), EnableBlob("A"))
    assert site.take(driver) == []


def test_modes_of_names_are_counted_and_those_that_are_kept_can_be_changed() -> None:
    interest = Interest()
    interest.ask(None)
    for n in range(MAX_INTERESTS + 100):
        interest.enable_blob("A", f"p{n}", BlobMode.ALSO)
    assert interest.full
    assert interest.wants_blob("A", f"p{MAX_INTERESTS - 1}")
    assert not interest.wants_blob("A", f"p{MAX_INTERESTS}")
    interest.enable_blob("A", "p0", BlobMode.NEVER)
    assert not interest.wants_blob("A", "p0")
    interest.enable_blob("A", None, BlobMode.ONLY)  # takes the place of all of them
    assert not interest.full
    assert interest.wants_blob("A", "p0")
    for n in range(MAX_INTERESTS + 100):
        interest.enable_blob(f"device {n}", None, BlobMode.ALSO)
    assert interest.full
    interest.enable_blob(None, None, BlobMode.NEVER)
    assert not interest.full
    assert not interest.wants_blob("device 0", "p")
    for n in range(MAX_INTERESTS - 1):
        interest.enable_blob(f"device {n}", None, BlobMode.ALSO)
    assert not interest.full  # nothing of what was replaced counts
    interest.enable_blob("the last", None, BlobMode.ALSO)
    assert interest.full


@pytest.mark.measured
def test_a_client_that_enables_without_end_is_told_off_and_costs_little() -> None:
    site = Site()
    client = site.client(ALL)
    flood = [EnableBlob("D", f"p{n}") for n in range(3 * MAX_INTERESTS)]
    site.send(client, *flood)
    assert client.complaints == {"interests": 2 * MAX_INTERESTS}
    begin = time.process_time()
    site.send(client, *(EnableBlob("X") for _ in range(1000)))
    assert time.process_time() - begin < allowed(1.0)
