"""What a client knows when: definitions before news, news of a reset, and commands that keep to themselves."""

from __future__ import annotations

import logging

import pytest

from indipydriver.protocol.encode import encode
from indipydriver.protocol.frame import Frame
from indipydriver.protocol.messages import (
    DefMember,
    DefVector,
    DelProperty,
    EnableBlob,
    GetProperties,
    NewVector,
    OneBlob,
    OneMember,
    SetVector,
)
from indipydriver.protocol.tags import Permission, State, VectorKind
from indipyserver.routing.endpoint import Endpoint, Role
from indipyserver.routing.router import Router

TEXT, BLOB = VectorKind.TEXT, VectorKind.BLOB
EVERYTHING = GetProperties()


def define(device: str, name: str, value: str = "0", kind: VectorKind = TEXT) -> Frame:
    members = (DefMember("m", "" if kind is BLOB else value),)
    return encode(DefVector(kind, device, name, State.OK, members, perm=Permission.READ_WRITE))


def update(device: str, name: str, value: str = "1") -> Frame:
    return encode(SetVector(TEXT, device, name, (OneMember("m", value),), State.OK))


def image(device: str, name: str) -> Frame:
    return encode(SetVector(BLOB, device, name, (OneBlob("m", b"image", 5, ".fits"),), State.OK))


def command(device: str, name: str) -> Frame:
    return encode(NewVector(TEXT, device, name, (OneMember("m", "y"),)))


class Site:
    """A router, a driver of A with the property p, and what each endpoint was sent."""

    def __init__(self, *definitions: Frame) -> None:
        self.router = Router("here")
        self.inbox: dict[Endpoint, list[str]] = {}
        self.driver = self.add(Role.DRIVER)
        self.send(self.driver, *(definitions or (define("A", "p"),)))

    def add(self, role: Role = Role.CLIENT) -> Endpoint:
        endpoint = Endpoint(f"{role.value} {len(self.inbox)}", role)
        self.router.attach(endpoint)
        self.inbox[endpoint] = []
        return endpoint

    def send(self, source: Endpoint, *what: object) -> None:
        frames = [item if isinstance(item, Frame) else encode(item) for item in what]  # type: ignore[arg-type]
        for out, receivers in self.router.route(source, frames):
            for endpoint in receivers:
                self.inbox[endpoint] += [" ".join(filter(None, (f.tag.text, f.device, f.name))) for f in out]

    def take(self, endpoint: Endpoint) -> list[str]:
        taken, self.inbox[endpoint] = self.inbox[endpoint], []
        return taken


@pytest.mark.parametrize("asks", [EVERYTHING, GetProperties("A"), GetProperties("A", "p"), GetProperties("*")])
@pytest.mark.parametrize("cached", [False, True])
def test_no_news_before_the_definition(asks: GetProperties, cached: bool) -> None:
    site = Site()
    early, late = site.add(), site.add()
    site.send(early, EVERYTHING)
    site.send(site.driver, define("A", "p"))
    if cached:
        site.send(site.driver, update("A", "p"))
    site.take(early)
    site.send(late, asks)
    site.take(late)
    site.send(site.driver, update("A", "p"), update("A", "p"))
    assert site.take(early) == ["setTextVector A p"] * 2
    assert site.take(late) == []
    site.send(site.driver, define("A", "p"), update("A", "p"))
    assert site.take(late) == ["defTextVector A p", "setTextVector A p"]


def test_images_wait_for_the_definition_too() -> None:
    site = Site(define("A", "i", kind=BLOB))
    client = site.add()
    site.send(client, EVERYTHING, EnableBlob("A"))
    site.take(client)
    site.send(site.driver, image("A", "i"))
    assert site.take(client) == []
    site.send(site.driver, define("A", "i", kind=BLOB), image("A", "i"))
    assert site.take(client) == ["defBLOBVector A i", "setBLOBVector A i"]


def test_who_asks_again_goes_on_hearing_of_what_is_defined() -> None:
    site = Site()
    client = site.add()
    site.send(client, EVERYTHING)
    site.send(site.driver, define("A", "p"))
    site.send(client, GetProperties("A", "p"), EVERYTHING, GetProperties("A"))
    site.take(client)
    site.send(site.driver, update("A", "p"))  # the driver may never answer the second question
    assert site.take(client) == ["setTextVector A p"]


def test_who_has_only_named_a_property_knows_what_it_wants() -> None:
    """As under indiserver: a command or an enableBLOB makes an interest, and asks for no definition."""
    site = Site(define("A", "p"), define("A", "i", kind=BLOB))
    client = site.add()
    site.send(client, command("A", "p"), EnableBlob("A", "i"))
    site.send(site.driver, update("A", "p"), image("A", "i"), update("A", "undefined"))
    assert site.take(client) == ["setTextVector A p", "setBLOBVector A i"]
    site.send(client, GetProperties("A"))
    site.send(site.driver, update("A", "p"), define("A", "p"), update("A", "p"))
    assert site.take(client) == ["defTextVector A p", "setTextVector A p"]


def test_news_of_what_was_never_defined_reach_drivers_that_snoop_and_no_client_that_has_asked() -> None:
    site = Site()
    client, snooper = site.add(), site.add(Role.DRIVER)
    site.send(client, EVERYTHING)
    site.send(snooper, GetProperties("A", "other"))
    site.take(snooper)
    for _ in range(2):
        site.send(site.driver, update("A", "other"))
    assert site.take(client) == []
    assert site.take(snooper) == ["setTextVector A other"] * 2
    site.send(site.driver, define("A", "other"), update("A", "other"))
    assert site.take(client) == ["defTextVector A other", "setTextVector A other"]


@pytest.mark.parametrize("name", ["p", None])
def test_after_a_deletion_the_definition_comes_first_again(name: str | None) -> None:
    site = Site()
    client = site.add()
    site.send(client, EVERYTHING)
    site.send(site.driver, define("A", "p"), update("A", "p"), update("A", "p"))
    site.take(client)
    site.send(site.driver, DelProperty("A", name), update("A", "p"), define("A", "p"), update("A", "p"))
    deleted = "delProperty A p" if name else "delProperty A"
    assert site.take(client) == [deleted, "defTextVector A p", "setTextVector A p"]


def test_a_driver_that_defines_a_property_again_to_reset_it_is_heard() -> None:
    """Clients have the values of the last update, so the same definition as before is news."""
    site = Site()
    client = site.add()
    site.send(client, EVERYTHING)
    site.send(site.driver, define("A", "p"))
    for _ in range(3):
        site.send(site.driver, update("A", "p"), update("A", "p"))
        site.take(client)
        site.send(site.driver, define("A", "p"))
        assert site.take(client) == ["defTextVector A p"]
        site.send(site.driver, define("A", "p"))
        assert site.take(client) == []  # this one tells nothing


def test_a_property_that_becomes_another_kind_is_a_new_one() -> None:
    site = Site()
    client = site.add()
    site.send(client, EVERYTHING, EnableBlob("A"))
    site.send(site.driver, define("A", "p"), define("A", "p", kind=BLOB), image("A", "p"))
    assert site.take(client) == ["defTextVector A p", "defBLOBVector A p", "setBLOBVector A p"]
    site.send(site.driver, define("A", "p"))
    assert site.router.devices.blobs("A") == []


def test_who_was_left_out_is_answered_when_it_is_asked_for_again() -> None:
    """The owner's answer equals the last definition; it still has to reach the one that missed some news."""
    site = Site()
    snooper = site.add(Role.DRIVER)
    site.send(snooper, GetProperties("A", "p"))
    site.send(site.driver, define("A", "p"))
    site.take(snooper)
    (frames, receivers), *_ = site.router.refresh(snooper)
    assert receivers == (site.driver,)
    assert [frame.tag.text for frame in frames] == ["getProperties"]
    site.send(site.driver, define("A", "p"))
    assert site.take(snooper) == ["defTextVector A p"]


def test_news_and_commands_never_share_a_run() -> None:
    """What is left out of news must not take a command along; only a server above sends both."""
    site = Site()
    above = site.add()
    site.send(above, GetProperties("*"), define("M", "t"))
    site.send(site.driver, GetProperties("M", "t"))
    site.send(above, define("M", "t"))
    frames = [update("M", "t"), command("A", "p"), command("A", "p"), update("M", "t"), update("M", "t")]
    for _ in range(2):  # the second time with what has been remembered
        runs = [[f.tag.text for f in out] for out, receivers in site.router.route(above, frames)]
        assert runs == [["setTextVector"], ["newTextVector"] * 2, ["setTextVector"] * 2]


def test_definitions_with_the_same_receivers_share_a_run() -> None:
    """A driver may define thousands in one go: each delivery of its own is one more entry of a queue."""
    site = Site()
    client = site.add()
    site.send(client, GetProperties())
    deliveries = site.router.route(site.driver, [define("A", f"p{n}") for n in range(3)])
    assert [([f.name for f in run], receivers) for run, receivers in deliveries] == [(["p0", "p1", "p2"], (client,))]


def test_a_frame_that_cannot_be_routed_does_not_take_its_neighbours_along(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    site = Site()
    client = site.add()
    site.send(client, EVERYTHING)
    bad = define("A", "bad")
    real = site.router.devices.define

    def broken(device: str, name: str, frame: Frame) -> object:
        if frame is bad:
            raise RuntimeError("a mistake")
        return real(device, name, frame)

    monkeypatch.setattr(site.router.devices, "define", broken)
    with caplog.at_level(logging.ERROR):
        site.send(site.driver, define("A", "p"), bad, define("A", "q"), bad, bad)
    assert site.take(client) == ["defTextVector A p", "defTextVector A q"]
    assert caplog.text.count("could not be routed") == caplog.text.count("Traceback") == 1


def test_a_client_that_goes_leaves_nothing_behind() -> None:
    site = Site()
    client = site.add()
    site.send(client, EVERYTHING)
    site.router.detach(client)
    prop = site.router.devices.property("A", "p")
    assert prop is not None
    assert not prop.missing
    assert not prop.unseen
