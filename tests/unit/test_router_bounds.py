"""What one peer can have the server keep, log, or tell others, is bounded."""

from __future__ import annotations

import logging
import tracemalloc

import pytest

from indipydriver.protocol.encode import encode
from indipydriver.protocol.framer import Framer
from indipydriver.protocol.messages import DelProperty, GetProperties, Message
from indipydriver.protocol.via import MAX_HOPS
from indipyserver.routing import devices as table
from indipyserver.routing import routes
from indipyserver.routing.endpoint import Endpoint, Role
from indipyserver.routing.interest import MAX_INTERESTS
from tests.support import allowed
from tests.support.routing import BLOB, Site, command, define, elements, update

ALL = GetProperties()
FAR = " ".join("x" * 1 for _ in range(MAX_HOPS)).encode()


def brought(device: str) -> bytes:
    return b"<defLightVector device='%s' name='x' state='Ok' via='%s'/>" % (device.encode(), FAR)


@pytest.mark.parametrize(
    "rights",
    [{}, {"read_only": True}, {"devices": ("Nothing*",)}, {"read_only": True, "devices": ("Nothing*",)}],
    ids=str,
)
def test_a_flood_of_refused_definitions_is_a_few_lines_and_messages(
    rights: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    site = Site()
    for n in range(100):
        site.driver(f"Dome {n}")
    victim, flooder = site.client(ALL), site.above(**rights)  # type: ignore[arg-type]
    site.quiet()
    caplog.clear()
    site.send(flooder, *elements(b"".join(brought(f"Mount {n} is stolen") for n in range(500))))
    site.send(flooder, *(define(f"Dome {n}", "p") for n in range(100)))
    told = site.take(victim)
    assert set(told) <= {"message"}
    if rights:
        assert told == []
    assert len(told) <= 20
    assert len(caplog.records) <= 20
    assert len(flooder.complaints) <= 2
    assert sum(flooder.complaints.values()) == 600


def everything_wrong(n: int) -> list[object]:
    """What a peer may send that makes it be complained of, with a new name each time."""
    device = f"invented {n}"
    return [
        *elements(brought(device)),
        define(device, "p"),
        update(device, "p"),
        command(device, "p"),
        *elements(f"<newTextVector device='{device}' name=''/>".encode()),
        encode(DelProperty(device)),
        encode(DelProperty(device, "p")),
        encode(Message(device, "x")),
        encode(Message(None, device)),
        encode(GetProperties(device, "p")),
        *elements(f"<enableBLOB device='{device}'>{device}</enableBLOB><pingRequest/>".encode()),
        *elements(f"<defTextVector device='{device}' state='Ok' perm='rw'/>".encode()),
        *elements(f"<delProperty name='{device}'/>".encode()),
        *elements(f"<getProperties version='{n}' device='{device}' via='here'/>".encode()),
    ]


@pytest.mark.parametrize(
    ("role", "said", "kind"),
    [
        (Role.CLIENT, b"<newTextVector device='A' name=''><oneText name='m'>y</oneText></newTextVector>", "nameless"),
        (Role.CLIENT, b"<enableBLOB device='A'>Perhaps</enableBLOB>", "enableBLOB"),
        (Role.CLIENT, b"<pingRequest/>", "ping"),
        (Role.CLIENT, b"<setTextVector device='A' name='p'/>", "setTextVector"),
        (Role.DRIVER, b"<newTextVector device='A' name='p'><oneText name='m'>y</oneText></newTextVector>", "command"),
        (Role.DRIVER, b"<setTextVector device='B' name=''/>", "nameless"),
        (Role.DRIVER, b"<defTextVector device='B' state='Ok' perm='rw'/>", "nameless"),
        (Role.DRIVER, b"<delProperty device='B' name=''/>", "nameless"),
        (Role.DRIVER, b"<defTextVector device='A' name='p' state='Ok' perm='rw'/>", "taken"),
        ("read only", b"<newTextVector device='A' name='p'><oneText name='m'>y</oneText></newTextVector>", "read only"),
        ("limited", b"<newTextVector device='A' name='p'><oneText name='m'>y</oneText></newTextVector>", "hidden"),
    ],
)
def test_what_a_peer_did_wrong_is_counted_by_its_kind_and_logged_once(
    role: Role | str, said: bytes, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    site = Site()
    site.driver("A")
    if isinstance(role, Role):
        endpoint = site.add("endpoint", role)
    else:
        endpoint = site.limited(read_only=role == "read only", devices=() if role == "read only" else ("B",))
    caplog.clear()
    for n in range(3):
        site.send(endpoint, *Framer(as_sent=True).feed(said))
        assert endpoint.complaints == {kind: n + 1}
    assert len(caplog.records) == 1
    assert caplog.text.count(f"{endpoint.label} ") == 1


def test_what_a_peer_did_wrong_is_told_once() -> None:
    endpoint = Endpoint("peer", Role.CLIENT)
    assert [endpoint.complain("kind", "errs") for _ in range(3)] == [True, False, False]
    assert endpoint.complain("other kind", "errs")
    assert [endpoint.complain_of(device, "taken", "errs") for device in ("A", "A", "B")] == [True, False, True]
    assert endpoint.complaints == {"kind": 3, "other kind": 1, "taken": 3}


def test_a_peer_that_may_not_fill_the_log_does_not(caplog: pytest.LogCaptureFixture) -> None:
    endpoint = Endpoint("peer", Role.CLIENT)
    endpoint.may_log = lambda: False
    assert endpoint.complain("kind", "errs")
    assert endpoint.complain_of("A", "taken", "errs")
    assert endpoint.complaints == {"kind": 1, "taken": 1}
    assert caplog.records == []


@pytest.mark.parametrize("role", [*Role, "limited"], ids=str)
def test_whatever_a_peer_says_is_logged_a_few_times_only(role: Role | str, caplog: pytest.LogCaptureFixture) -> None:
    site = Site()
    site.driver("A")
    client = site.client(ALL)
    if role == "limited":
        endpoint = site.limited(read_only=True, devices=("A",))
    elif role is Role.UPSTREAM:
        endpoint = site.above(read_only=True)
    else:
        endpoint = site.add("endpoint", role)  # type: ignore[arg-type]
    site.quiet()
    caplog.clear()
    for n in range(200):
        site.send(endpoint, *everything_wrong(n))  # type: ignore[arg-type]
    assert len(endpoint.complaints) <= 15
    assert len(caplog.records) <= 40
    own = [frame for frame in site.inbox[client] if b"refused" in frame.raw or b"dropped" in frame.raw]
    assert len(own) <= 40


def test_each_device_of_a_second_server_that_has_it_too_is_named(caplog: pytest.LogCaptureFixture) -> None:
    """The first two of them are those of a site with two instruments of one kind."""
    site = Site()
    first, second = site.add("remote one", Role.REMOTE), site.add("remote two", Role.REMOTE)
    client = site.client(ALL)
    site.send(first, define("CCD", "p"), define("Focuser", "p"))
    site.quiet()
    for _ in range(3):
        site.send(second, define("CCD", "p"), define("Focuser", "p"), define("CCD", "q"))
    raw = site.raw(client)
    assert raw.count(b"<message") == 2
    for device in (b"CCD", b"Focuser"):
        assert b"remote two defines '%s', which is already served by remote one" % device in raw
    assert len([r for r in caplog.records if r.levelno == logging.ERROR]) == 2
    assert second.complaints == {"taken": 9}


def test_sixteen_refused_devices_of_one_peer_are_named(caplog: pytest.LogCaptureFixture) -> None:
    site = Site()
    first, second = site.add("remote one", Role.REMOTE), site.add("remote two", Role.REMOTE)
    client = site.client(ALL)
    site.send(first, *(define(f"D{n}", "p") for n in range(18)))
    site.quiet()
    for n in range(18):
        site.send(second, define(f"D{n}", "p"))
        assert (b"'D%d'" % n in site.raw(client)) is (n < 16)
    assert len([record for record in caplog.records if record.levelno == logging.ERROR]) == 16
    assert second.complaints == {"taken": 18}


# Memory


@pytest.mark.measured
def test_a_definition_is_kept_as_what_tells_it_from_the_next_whatever_its_length() -> None:
    site = Site()
    above, client = site.above(), site.client(ALL)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for n in range(50):
            site.send(above, define("D", f"p{n}", value=f"{n}" * 100_000))
            site.quiet()
            site.defined.clear()
        assert tracemalloc.get_traced_memory()[0] - before < allowed(2_000_000)
    finally:
        tracemalloc.stop()
    long = "x" * 500_000
    site.send(above, define("D", "p0", value=long, timestamp="2026-01-01T00:00:00"))
    assert site.take(client) == ["defTextVector D p0"]
    site.send(above, define("D", "p0", value=long, timestamp="2026-01-01T00:00:01"))
    assert site.take(client) == []
    site.send(above, define("D", "p0", value=long + "y"))
    assert site.take(client) == ["defTextVector D p0"]


def test_one_device_has_a_number_of_properties(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "MAX_PROPERTIES", 10)
    site = Site()
    above = site.above()
    site.send(above, *(define("D", f"p{n}") for n in range(12)))
    assert above.complaints == {"properties": 2}
    site.send(above, DelProperty("D", "p0"), define("D", "another"), define("D", "p1", value="y"), define("E", "p"))
    assert above.complaints == {"properties": 2}
    site.send(above, define("D", "one more"))
    assert above.complaints == {"properties": 3}


def test_all_devices_of_one_party_have_a_number_of_properties(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "MAX_DEFINED", 10)
    site = Site()
    above, other = site.above(), site.driver("Other")
    site.send(above, *(define(f"D{n % 4}", f"p{n}") for n in range(15)))
    assert above.complaints == {"properties": 5}
    site.send(other, define("Other", "q"))
    assert site.router.devices.property("Other", "q") is not None
    for gone, room in ((DelProperty("D0", "p0"), 1), (DelProperty("D1"), 3), (DelProperty("D1"), 0)):
        site.send(above, gone)
        count = above.complaints["properties"]
        site.send(above, *(define("D2", f"more {count} {n}") for n in range(room + 1)))
        assert above.complaints["properties"] == count + 1
    site.send(above, DelProperty("D0"), DelProperty("D2"), DelProperty("D3"))
    site.send(above, *(define("E", f"p{n}") for n in range(11)))
    assert above.complaints["properties"] == 9


@pytest.mark.measured
def test_the_definitions_of_one_party_take_no_more_memory_than_promised() -> None:
    names = table.DeviceTable[str]()
    count = 2000
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        names.claim("D", "owner")
        for n in range(count):
            names.define("D", f"{n:0>256}", define("D", f"{n:0>256}"))
        each = (tracemalloc.get_traced_memory()[0] - before) / count
    finally:
        tracemalloc.stop()
    assert each * table.MAX_DEFINED < allowed(64 * 2**20), f"{each:.0f} bytes each"


def test_what_a_client_has_kept_with_every_kind_of_element_is_bounded() -> None:
    site = Site()
    site.driver("A")
    client = site.client()
    for n in range(MAX_INTERESTS // 2):
        site.send(
            client,
            GetProperties(f"device {n}", "p"),
            command(f"commanded {n}", "p"),
            *elements(
                b"<enableBLOB device='D%d'>Also</enableBLOB><enableBLOB device='E' name='%d'>Only</enableBLOB>" % (n, n)
            ),
        )
    interest = client.interest
    assert interest.full
    kept = [getattr(interest, name) for name in interest.__slots__]
    kept += [client.complaints, client.routes, client.told_blobs]
    assert sum(len(part) for part in kept if isinstance(part, (set, dict))) < 5 * MAX_INTERESTS
    assert 0 < len(client.requested) <= 256


def test_combinations_of_receivers_are_not_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks gets the answer, so there are as many combinations as sets of clients."""
    monkeypatch.setattr(routes, "MAX_ROUTES", 32)
    site = Site()
    driver = site.driver("A")
    clients = [site.client(ALL) for _ in range(7)]
    for n in range(1, 2**7):
        for bit, client in enumerate(clients):
            if n >> bit & 1:
                site.send(client, GetProperties("A", "p"))
        site.answer()
        site.quiet()
    assert len(site.router._routes._receivers) <= 32
    site.send(driver, update("A", "p"))
    assert all(site.take(client) == ["setTextVector A p"] for client in clients)


def test_combinations_of_receivers_of_commands_are_not_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "MAX_ROUTES", 32)
    site = Site()
    driver, client = site.driver("A"), site.client(ALL)
    others = [site.add(f"other {bit}") for bit in range(7)]
    for bit, other in enumerate(others):
        site.send(other, *(command("A", f"p{n}") for n in range(2**7) if n >> bit & 1))
    site.quiet()
    site.send(client, *(command("A", f"p{n}") for n in range(2**7)))
    assert len(site.router._routes._commanded) <= 32
    assert len(site.take(driver)) == 2**7
    assert [len(site.take(other)) for other in others] == [2**6] * 7


# Many


def test_ten_thousand_devices_of_twenty_drivers() -> None:
    site = Site()
    drivers = [site.add(f"driver {n}", Role.DRIVER) for n in range(20)]
    client = site.client(ALL)
    for number, driver in enumerate(drivers):
        site.send(driver, *(define(f"D {number} {n}", "p") for n in range(600)))
        assert driver.complaints == {"devices": 100}
    assert len(site.take(client)) == 10_000
    for driver in drivers:
        site.leave(driver, "gone")
    assert len(site.take(client)) == 10_000
    assert not list(site.router.devices)


def test_names_that_differ_in_case_or_blanks_are_different_devices() -> None:
    site = Site()
    owners: dict[str, Endpoint] = {}
    for name in ("CCD", "ccd", "CCD ", " CCD", "C CD"):
        owners[name] = site.add(name, Role.DRIVER)
        site.send(owners[name], define(name, "p"))
        assert owners[name].complaints == {}
    client = site.client(ALL)
    site.quiet()
    for name, owner in owners.items():
        site.send(client, command(name, "p"))
        assert [endpoint.label for endpoint in owners.values() if site.take(endpoint)] == [owner.label]


def test_what_very_many_properties_are_kept_for_is_little_however_many_clients_ask() -> None:
    """A server that defines all it may, and never answers; each client took some 200 bytes for each property."""
    site = Site()
    remote = site.add("remote", Role.REMOTE)
    site.send(remote, *(define(f"D{n % 10}", f"p{n}", BLOB) for n in range(2000)))
    asks = [encode(ALL), *elements(b"<enableBLOB>Also</enableBLOB>")]
    tracemalloc.start()
    try:
        for n in range(127):
            site.send(site.add(f"client {n}"), *asks)
        site.quiet()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 4_000_000
    site.answer()
    assert all(len(frames) == 2000 for endpoint, frames in site.inbox.items() if endpoint is not remote)


def test_who_takes_the_place_of_another_is_not_taken_for_him() -> None:
    site = Site()
    driver, stays = site.driver("A", "p"), site.client(ALL)
    for n in range(3):
        gone, late = site.add(f"gone {n}"), site.add(f"late {n}")
        site.send(gone, ALL)
        site.send(late, command("A", "p"))
        site.leave(gone)
        new = site.add(f"new {n}")
        site.send(new, command("A", "p"))
        site.quiet()
        site.send(driver, update("A", "p"))  # who has only named it gets it without a definition
        assert site.take(new) == site.take(late) == site.take(stays) == ["setTextVector A p"]
        assert len({endpoint.bit for endpoint in site.router.endpoints}) == len(site.router.endpoints)
    assert max(endpoint.bit for endpoint in site.router.endpoints) < 1 << len(site.router.endpoints) + 1
