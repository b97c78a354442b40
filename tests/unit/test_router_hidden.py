"""Devices that a peer may not see: neither their names nor the addresses of clients get to it."""

from __future__ import annotations

import pytest

from indipydriver.protocol.encode import encode
from indipydriver.protocol.messages import DelProperty, GetProperties, Message
from indipyserver.routing.endpoint import Endpoint, Role
from tests.support.routing import Site, command, define, elements, update

ALL = GetProperties()
WEATHER = ("Weather*",)


# Requests


@pytest.mark.parametrize("role", [Role.DRIVER, Role.REMOTE])
@pytest.mark.parametrize("first", ["the server above", "who snoops"])
def test_what_is_snooped_on_is_asked_only_of_those_who_may_define_it(role: Role, first: str) -> None:
    site = Site()
    asks = (GetProperties("SecretMount", "PARK"), GetProperties("Weather"))
    rights = {"all": {}, "weather": {"devices": WEATHER}, "read only": {"read_only": True}}

    def come() -> dict[str, Endpoint]:
        return {name: site.above(**kwargs) for name, kwargs in rights.items()}  # type: ignore[arg-type]

    if first == "the server above":
        servers = come()
        snooper = site.add("snooper", role)
        site.quiet()
        site.send(snooper, *asks)
    else:
        site.add("client")
        snooper = site.add("snooper", role)
        site.send(snooper, *asks)
        site.quiet()
        servers = come()
    heard = {
        name: {line for line in site.take(endpoint) if "getProperties" in line} for name, endpoint in servers.items()
    }
    assert heard == {
        "all": {"getProperties SecretMount PARK", "getProperties Weather"},
        "weather": {"getProperties Weather"},
        "read only": set(),
    }


def test_a_request_for_everything_names_nothing_and_goes_to_all_that_may_define_something() -> None:
    site = Site()
    limited, looker = site.above(devices=WEATHER), site.above(read_only=True)
    site.quiet()
    site.send(site.add("snooper", Role.DRIVER), ALL)
    assert site.take(limited) == ["getProperties"]
    assert site.take(looker) == []


# What the server says of its parts


def everybody(site: Site) -> dict[str, Endpoint]:
    return {
        "client": site.client(ALL),
        "read only": site.limited(ALL, read_only=True),
        "weather": site.limited(ALL, devices=WEATHER),
        "above": site.above(),
        "weather above": site.above(devices=WEATHER),
    }


ABOUT = {  # what a message is about: who gets its text; who hears that something has happened
    "nobody": (None, "client, read only, weather, above, weather above", ""),
    "a hidden device": (["Secret"], "client, read only, above", ""),
    "a visible device": (["Weather 1"], "client, read only, above", "weather, weather above"),
    "both": (["Secret", "Weather 1"], "client, read only, above", "weather, weather above"),
    "what has no device yet": ([], "client, read only, above", ""),
}


@pytest.mark.parametrize("case", ABOUT)
def test_what_the_server_says_of_its_parts_goes_to_those_who_may_see_all(case: str) -> None:
    about, text, hint = ABOUT[case]
    site = Site()
    endpoints = everybody(site)
    site.quiet()
    site.deliver(site.router.site_message("driver /opt/secret (Secret) ended", about=about))
    said = {name: site.raw(endpoint) for name, endpoint in endpoints.items()}
    assert [name for name, raw in said.items() if b"secret" in raw] == text.split(", ")
    assert [name for name, raw in said.items() if raw and b"secret" not in raw.lower()] == list(
        filter(None, hint.split(", "))
    )


def test_a_message_can_be_about_a_party_and_what_it_owns() -> None:
    site = Site()
    driver = site.driver("Weather 1")
    guest = site.limited(ALL, devices=WEATHER)
    site.deliver(site.router.site_message("it hangs", about=driver))
    assert b"Weather 1" in site.raw(guest)


@pytest.mark.parametrize(
    ("devices", "named"),
    [
        (1, "Weather 0"),
        (3, "Weather 0, Weather 1, Weather 2"),
        (4, "Weather 0, Weather 1, Weather 2, Weather 3"),
        (5, "Weather 0, Weather 1, Weather 2, Weather 3 and 1 more"),
        (6, "Weather 0, Weather 1, Weather 2, Weather 3 and 2 more"),
    ],
)
def test_a_hint_names_four_devices_and_counts_the_others(devices: int, named: str) -> None:
    site = Site()
    guest = site.limited(ALL, devices=WEATHER)
    site.deliver(site.router.site_message("x", about=["Secret", *(f"Weather {n}" for n in range(devices))]))
    assert f'driver or server of {named}"' in site.raw(guest).decode()


def test_a_hint_names_a_few_devices_only() -> None:
    site = Site()
    guest = site.limited(ALL, devices=WEATHER)
    site.deliver(site.router.site_message("x", about=[f"Weather {n} {'x' * 200}" for n in range(500)]))
    assert len(site.raw(guest)) < 1500


@pytest.mark.parametrize(
    ("devices", "heard"), [(["Weather"], True), (["Weather", "Secret"], False), (["Secret"], False), ([], False)]
)
@pytest.mark.parametrize("role", [Role.DRIVER, Role.REMOTE])
def test_a_message_without_device_may_be_about_all_devices_of_who_sends_it(
    role: Role, devices: list[str], heard: bool
) -> None:
    site = Site()
    source = site.add("source", role)
    site.send(source, *(define(device, "p") for device in devices))
    endpoints = everybody(site)
    site.quiet()
    site.send(source, Message(None, "the mount is parked"))
    said = {name for name, endpoint in endpoints.items() if site.raw(endpoint)}
    assert said == {"client", "read only", "above"} | ({"weather", "weather above"} if heard else set())


def test_the_reason_of_a_deletion_may_name_more_than_the_device() -> None:
    site = Site()
    driver = site.driver("Weather 1")
    site.send(driver, define("Secret", "p"))
    endpoints = everybody(site)
    site.quiet()
    site.leave(driver, "driver /opt/secret (Secret) ended: exit status 3")
    assert b"/opt/secret" in site.raw(endpoints["client"])
    for name in ("weather", "weather above"):
        raw = site.raw(endpoints[name])
        assert b'<delProperty device="Weather 1"' in raw
        assert b"ecret" not in raw


def test_the_reason_that_another_server_gives_for_a_deletion_is_not_shown_to_those_who_see_some_devices_only() -> None:
    """That server has written it for those who may see all of its devices."""
    site = Site()
    remote = site.add("remote", Role.REMOTE)
    site.send(remote, define("Weather 1", "p"), define("Secret", "p"))
    endpoints = everybody(site)
    site.quiet()
    site.send(remote, DelProperty("Weather 1", message="Echo (Weather 1, Secret) is gone"))
    assert b"Secret" in site.raw(endpoints["client"])
    for name in ("weather", "weather above"):
        raw = site.raw(endpoints[name])
        assert b'<delProperty device="Weather 1"' in raw
        assert b"Secret" not in raw
    driver = site.driver("Weather 2")
    site.answer()
    site.quiet()
    site.send(driver, DelProperty("Weather 2", message="switched off by hand"))
    assert b"by hand" in site.raw(endpoints["weather"])


def test_refused_definitions_do_not_name_hidden_devices() -> None:
    site = Site()
    site.driver("Secret")
    endpoints = everybody(site)
    site.quiet()
    site.send(site.add("driver of Secret too", Role.DRIVER), define("Secret", "p"))
    assert [name for name, endpoint in endpoints.items() if b"Secret" in site.raw(endpoint)] == [
        "client",
        "read only",
        "above",
    ]


# Addresses


def test_nobody_is_told_the_address_of_a_client() -> None:
    site = Site()
    first, second = (Endpoint(f"client 10.0.0.{n}:5555", Role.CLIENT) for n in (1, 2))
    for endpoint in (first, second):
        site.router.attach(endpoint)
        site.inbox[endpoint] = []
        site.send(endpoint, GetProperties("*"))
    client = site.client(ALL)
    site.send(first, define("Sky", "p"))
    site.send(second, define("Sky", "p"))
    site.send(first, *elements(b"<defTextVector device='Own' name='p' state='Ok' perm='rw' via='here'/>"))
    raw = site.raw(client)
    assert b"already served by a server above" in raw
    assert b"a loop of servers" in raw
    assert b"10.0.0." not in raw


# A client that is limited in every way


def test_a_limited_client_gets_no_answer_about_what_it_may_not_see() -> None:
    site = Site()
    site.driver("Secret")
    site.send(site.above(), define("Upper", "p"))
    guest = site.limited(devices=WEATHER)
    site.send(
        guest, GetProperties("Secret"), GetProperties("Upper"), ALL, command("Upper", "p"), command("Secret", "p")
    )
    site.answer()
    site.send(guest, *elements(b"<enableBLOB device='Secret'>Also</enableBLOB>"))
    assert site.take(guest) == []


@pytest.mark.parametrize("frame", [define("New", "p"), update("A", "p"), encode(Message(None, "x"))])
def test_a_read_only_server_above_says_nothing(frame: object) -> None:
    site = Site()
    site.driver("A")
    client, above = site.client(ALL), site.above(read_only=True)
    site.quiet()
    for _ in range(3):
        site.send(above, frame)  # type: ignore[arg-type]
    assert site.take(client) == []
    assert sum(above.complaints.values()) == 3
