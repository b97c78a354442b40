"""The BLOB mode Only keeps definitions from a client, which gets them when it wants more than BLOBs again."""

from __future__ import annotations

import time

import pytest

from indipydriver.protocol.frame import Frame
from indipydriver.protocol.messages import DelProperty, EnableBlob, GetProperties
from indipydriver.protocol.tags import BlobMode
from indipyserver.routing.endpoint import Endpoint, Role
from tests.support import allowed
from tests.support.routing import BLOB, Site, blob, define, elements, update

ALL = GetProperties()


def modes(device: str | None, *words: str) -> list[Frame]:
    where = f" device='{device}'" if device else ""
    return elements("".join(f"<enableBLOB{where}>{word}</enableBLOB>" for word in words).encode())


def site_of(asks: GetProperties = ALL) -> tuple[Site, Endpoint, Endpoint]:
    """A driver of A with a property, and a client that has been given its definition."""
    site = Site()
    driver, client = site.driver("A", "p"), site.client(asks)
    site.quiet()
    return site, driver, client


@pytest.mark.parametrize("asks", [ALL, GetProperties("A")])
@pytest.mark.parametrize("where", ["A", None])
@pytest.mark.parametrize("back", ["Also", "Never"])
@pytest.mark.parametrize(
    "said",
    [
        [define("A", "p", value="changed")],
        [define("A", "new")],
        [update("A", "p"), define("A", "p")],
        [DelProperty("A", "p"), define("A", "p")],
        [DelProperty("A"), define("A", "p")],
    ],
)
def test_what_was_defined_meanwhile_is_asked_for(
    asks: GetProperties, where: str | None, back: str, said: list[Frame]
) -> None:
    site, driver, client = site_of(asks)
    site.send(client, *modes(where, "Only"))
    site.send(driver, *said)
    assert "defTextVector" not in "".join(site.take(client))
    site.send(client, *modes(where, back))
    assert site.take(driver) == ["getProperties A"]
    site.answer()
    assert {line for line in site.take(client) if "def" in line} >= {f"defTextVector A {said[-1].name}"}
    site.send(driver, update("A", "p"))
    assert site.take(client) == ["setTextVector A p"]


def test_no_news_of_a_property_that_was_never_shown() -> None:
    site, driver, client = site_of()
    site.send(client, *modes("A", "Only"))
    site.send(driver, define("A", "new"))
    site.send(client, *modes("A", "Also"))
    site.send(driver, update("A", "new"), update("A", "p"))
    assert site.take(client) == ["setTextVector A p"]
    site.send(driver, define("A", "new"), update("A", "new"))
    assert site.take(client) == ["defTextVector A new", "setTextVector A new"]


@pytest.mark.parametrize("remembered", [False, True])
@pytest.mark.parametrize("said", [define("A", "p", value="changed"), update("A", "p", "changed")])
def test_a_definition_comes_before_the_first_update_after_it(said: Frame, remembered: bool) -> None:
    """An update can hold some members only, so the others would stay as they were before the mode was set."""
    site, driver, client = site_of()
    other = site.client(ALL)
    site.send(client, *modes("A", "Only"))
    if remembered:
        site.send(driver, update("A", "p"))
    site.send(driver, said)
    assert site.take(client) == []
    site.send(client, *modes("A", "Also"))
    assert site.take(driver)[-1] == "getProperties A"
    site.take(other)
    site.send(driver, update("A", "p"))
    assert site.take(client) == []
    assert site.take(other) == ["setTextVector A p"]
    site.send(driver, define("A", "p"), update("A", "p"))
    assert site.take(client) == ["defTextVector A p", "setTextVector A p"]


@pytest.mark.parametrize("before", [0, 1, 10])
def test_it_does_not_matter_who_was_there_first(before: int) -> None:
    site = Site()
    others = [site.add(f"other {n}") for n in range(before)]
    client, driver = site.add("client"), site.add("driver", Role.DRIVER)
    site.send(client, GetProperties("A"), *modes("A", "Only"))
    site.send(driver, define("A", "p"))
    site.quiet()
    site.send(client, *modes("A", "Also"))
    assert site.take(driver) == ["getProperties A"]
    site.answer()
    assert site.take(client) == ["defTextVector A p"]
    assert all(site.take(other) == [] for other in others)


def test_who_has_missed_nothing_hears_of_it_at_once() -> None:
    site, driver, client = site_of()
    site.send(client, *modes("A", "Only"))
    site.answer()  # as it was before
    site.send(client, *modes("A", "Also"))
    site.send(driver, update("A", "p"))
    assert site.take(client) == ["setTextVector A p"]


def test_a_driver_that_snoops_goes_on_with_updates_and_is_given_the_definition_too() -> None:
    site = Site()
    driver, snooper = site.driver("A", "p"), site.add("snooper", Role.DRIVER)
    site.send(snooper, GetProperties("A"), *modes("A", "Only"))
    site.answer()
    site.send(driver, update("A", "p"))
    assert site.take(snooper) == []
    site.quiet()
    site.now += 10
    site.send(snooper, *modes("A", "Never"))
    assert site.take(driver) == ["getProperties A"]
    site.send(driver, update("A", "p"), define("A", "p"))
    assert site.take(snooper) == ["setTextVector A p", "defTextVector A p"]


def test_each_device_is_asked_for_when_its_mode_changes() -> None:
    site, driver, client = site_of()
    other = site.driver("B")
    site.send(client, *modes("A", "Only"), *modes("B", "Only"))
    site.send(driver, define("A", "new"))
    site.send(other, define("B", "new"))
    site.quiet()
    site.send(client, *modes("B", "Also"))
    assert (site.take(driver), site.take(other)) == ([], ["getProperties B"])
    site.now += 10
    site.send(client, *modes(None, "Never"))
    assert (site.take(driver), site.take(other)) == (["getProperties A"], [])


def test_blobs_are_defined_meanwhile_and_nothing_is_asked_for() -> None:
    site, driver, client = site_of()
    site.send(client, *modes("A", "Only"))
    site.send(driver, define("A", "image", BLOB), blob("A", "image"))
    assert site.take(client) == ["defBLOBVector A image", "setBLOBVector A image"]
    site.send(client, *modes("A", "Also"))
    assert site.take(driver) == []


def test_who_has_not_asked_for_definitions_gets_none() -> None:
    site, driver, _ = site_of()
    client = site.add("pictures only")
    site.send(client, *modes("A", "Only"))
    site.send(driver, define("A", "new"))
    site.send(client, *modes("A", "Also"))
    assert site.take(driver) == []
    site.send(driver, update("A", "new"))
    assert site.take(client) == ["setTextVector A new"]


@pytest.mark.measured
def test_changing_the_mode_again_and_again_costs_little() -> None:
    """However many properties there are; the limit is ten times what it takes."""
    site = Site()
    for n in range(10):
        site.driver(f"D{n}", *(f"p{k}" for k in range(1000)))
    client = site.add("client")
    site.send(client, ALL)  # to which nobody gives an answer
    begin = time.process_time()
    site.send(client, *modes(None, *["Only", "Also"] * 500))
    assert time.process_time() - begin < allowed(1.0)


def test_devices_that_come_and_go_leave_nothing_behind() -> None:
    site, driver, client = site_of()
    site.send(client, *modes(None, "Only"))
    for n in range(2000):
        site.send(driver, define(f"D{n}", "p"), DelProperty(f"D{n}"))
    (left_out,) = site.router._only._left_out.values()
    assert len(left_out) <= len(site.router.devices)
    site.leave(client)
    assert site.router._only._left_out == {}


def test_a_named_property_in_the_mode_only_keeps_nothing_from_anybody() -> None:
    site, driver, client = site_of()
    site.send(client, EnableBlob("A", "image", BlobMode.ONLY))
    site.send(driver, define("A", "new"))
    assert site.take(client) == ["defTextVector A new"]
