"""Who owns a device: claims, devices that change hands, and ways that elements have taken."""

from __future__ import annotations

import pytest

from indipydriver.protocol.encode import encode
from indipydriver.protocol.messages import DelProperty, GetProperties, Message
from indipyserver.routing.devices import MAX_DEVICES, DeviceTable
from indipyserver.routing.endpoint import Endpoint, Role
from tests.support.routing import Site, command, define, elements, update

ALL = GetProperties()


# Drivers of this process


def test_a_driver_takes_its_device_from_a_server_above() -> None:
    site = Site()
    above, client, nobody = site.above(), site.client(ALL), site.client()
    site.send(above, define("Roof", "fake"), define("Sky", "p"))
    site.quiet()
    driver = site.add("driver", Role.DRIVER)
    assert site.router.may_claim("Roof")
    site.deliver(site.router.claim("Roof", driver))
    assert site.take(client) == ["delProperty Roof"]
    assert site.take(nobody) == site.take(above) == []
    site.send(above, update("Roof", "fake"), define("Roof", "fake"), DelProperty("Roof"))
    site.send(driver, define("Roof", "p"))
    assert site.take(client) == ["message Roof", "defTextVector Roof p"]
    site.send(client, command("Roof", "p"))
    assert site.take(driver) == ["newTextVector Roof p"]
    assert site.router.devices.of(above) == ["Sky"]
    site.leave(above)
    assert site.take(client) == ["delProperty Sky"]
    assert site.router.devices.of(driver) == ["Roof"]


@pytest.mark.parametrize("role", [Role.DRIVER, Role.REMOTE])
def test_a_driver_does_not_take_a_device_from_those_below(role: Role) -> None:
    site = Site()
    owner, client = site.add("owner", role), site.client(ALL)
    site.send(owner, define("Roof", "p"))
    site.quiet()
    assert not site.router.may_claim("Roof")
    with pytest.raises(ValueError, match="already exists"):
        site.router.claim("Roof", site.add("driver", Role.DRIVER))
    assert site.router.devices.of(owner) == ["Roof"]
    assert site.take(client) == []


def test_a_claimed_device_stays_with_its_driver_when_that_deletes_it() -> None:
    site = Site()
    driver, other = site.add("driver", Role.DRIVER), site.add("other", Role.DRIVER)
    site.router.claim("A", driver)
    site.send(driver, define("A", "p"), DelProperty("A"))
    assert not site.router.may_claim("A")
    site.send(other, define("A", "p"))
    assert site.router.devices.of(other) == []


# Programs and servers below


@pytest.mark.parametrize("role", [Role.DRIVER, Role.REMOTE])
def test_what_a_server_above_had_defined_goes_when_its_device_is_taken_over(role: Role) -> None:
    site = Site()
    above, client = site.above(), site.client(ALL)
    site.send(above, define("Roof", "fake"))
    site.quiet()
    owner = site.add("owner", role)
    site.send(owner, define("Roof", "p"))
    assert site.take(client) == ["delProperty Roof", "defTextVector Roof p"]
    site.send(site.add("late"), GetProperties("Roof", "fake"))
    assert site.take(owner)[-1] == "getProperties Roof fake"
    assert site.take(above)[-1] == "defTextVector Roof p"


def test_a_device_of_a_server_that_is_above_and_below_can_be_commanded() -> None:
    """Of two servers that are each other's remotes, one snooped on the device before it was connected to the other."""
    site = Site()
    site.send(site.driver("Dome"), GetProperties("Sky"))
    above, below = site.above(), site.add("below", Role.REMOTE)
    definition = define("Sky", "p").raw.decode().replace(" ", " via='origin' ", 1).encode()
    site.send(above, *elements(definition))
    assert site.router.devices.get("Sky").owner is above  # type: ignore[union-attr]
    site.send(below, *elements(definition))
    assert site.router.devices.get("Sky").owner is below  # type: ignore[union-attr]


def test_a_device_of_a_server_above_that_comes_round_by_one_below_stays_where_it_is() -> None:
    """Each of two servers that are each other's remotes would take it from the other, delete it there, and ask for it
    again, for ever."""
    site = Site()
    snooper = site.driver("Dome")
    site.send(snooper, GetProperties("Sky"))
    above, below = site.above(), site.add("below", Role.REMOTE)
    site.quiet()

    def defined(endpoint: Endpoint, way: str) -> None:
        definition = define("Sky", "p").raw.decode().replace(" ", f" via='{way}' ", 1)
        site.send(endpoint, *elements(definition.encode()))

    defined(above, "origin north")
    assert site.take(snooper) == ["defTextVector Sky p"]
    defined(below, "origin north south ^")
    assert not [line for line in [*site.take(snooper), *site.take(above)] if line != "message"]
    site.leave(above)
    assert site.take(below) == ["getProperties Sky"]
    defined(below, "origin south")
    assert site.take(snooper) == ["delProperty Sky", "defTextVector Sky p"]
    again = site.above()
    defined(again, "origin")
    defined(below, "another south")
    assert site.router.devices.get("Sky").owner is below  # type: ignore[union-attr]
    site.send(below, DelProperty("Sky"))
    defined(again, "origin")
    site.quiet()
    defined(below, "another south")
    assert site.take(snooper) == ["delProperty Sky", "defTextVector Sky p"], "it is another one, below"


def _defined_by(site: Site, endpoint: Endpoint, way: str) -> None:
    """The endpoint, a server, defines a property of the mount, which has come this way."""
    site.send(endpoint, *elements(define("Mount", "p").raw.replace(b" ", b" via='%s' " % way.encode(), 1)))


def test_a_device_goes_to_the_server_below_by_which_it_can_be_commanded() -> None:
    """The dome has the mount from the pier, which is above it, as its roof snoops on the mount.

    After a restart of the pier, the office had the mount from the dome first, and could not command it any more.
    """
    site = Site("office")
    dome, client = site.add("dome", Role.REMOTE), site.client(ALL)
    _defined_by(site, dome, "pier dome ^")
    pier = site.add("pier", Role.REMOTE)
    site.quiet()
    _defined_by(site, pier, "pier")
    assert site.take(client) == ["delProperty Mount", "defTextVector Mount p"]
    site.send(client, command("Mount", "p"))
    assert site.take(pier) == ["newTextVector Mount p"]
    assert site.take(dome) == []
    _defined_by(site, dome, "pier dome ^")
    assert site.router.devices.of(pier) == ["Mount"]
    site.leave(pier)
    assert site.take(dome) == ["getProperties Mount"]


def test_two_servers_below_that_can_both_command_a_device_do_not_take_it_from_each_other() -> None:
    site = Site("office")
    dome, client, pier = site.add("dome", Role.REMOTE), site.client(ALL), site.add("pier", Role.REMOTE)
    _defined_by(site, dome, "pier dome")
    site.quiet()
    _defined_by(site, pier, "pier")
    assert site.router.devices.of(dome) == ["Mount"]
    assert "delProperty Mount" not in site.take(client)


def test_a_device_from_above_is_marked_for_all_servers_that_get_it() -> None:
    dome = Site("dome")
    dome.send(dome.driver("Roof"), GetProperties("Mount"))
    pier, office = dome.above(), dome.above()
    dome.quiet()
    _defined_by(dome, pier, "pier")
    assert b' via="pier dome ^" ' in dome.raw(office)
    further = Site("office")
    from_dome, above = further.add("dome", Role.REMOTE), further.above()
    _defined_by(further, from_dome, "pier dome ^")
    assert b' via="pier dome office ^" ' in further.raw(above)


def test_a_driver_takes_its_device_from_a_server_below_that_has_it_from_above() -> None:
    site = Site()
    dome = site.add("dome", Role.REMOTE)
    _defined_by(site, dome, "pier dome ^")
    assert site.router.may_claim("Mount")


def test_a_device_is_not_taken_from_those_above_for_ever() -> None:
    """If a server above and one below have devices of the same name, each deletion may be answered with a definition."""
    site = Site()
    site.send(site.driver("Dome"), GetProperties("Sky"))
    above, below = site.above(), site.add("below", Role.REMOTE)

    def owners() -> list[str]:
        seen = []
        for _ in range(100):
            site.send(above, define("Sky", "p"))
            site.send(below, define("Sky", "p"))
            record = site.router.devices.get("Sky")
            assert record is not None
            seen.append(record.owner.label)
            site.send(record.owner, DelProperty("Sky"))
        return seen

    assert owners() == ["below"] * 16 + [above.label] * 84
    site.now += 60
    assert owners()[0] == "below"


def test_a_driver_takes_over_what_another_has_deleted() -> None:
    site = Site()
    first, second, above = site.driver("A"), site.add("second", Role.DRIVER), site.above()
    client = site.client(ALL)
    site.send(first, DelProperty("A"))
    site.quiet()
    site.send(above, define("A", "p"))
    assert site.take(client) == ["message A"], "a server above takes nothing that a driver may still want"
    assert site.router.may_claim("A")
    site.send(second, define("A", "p"))
    assert site.take(client) == ["defTextVector A p"]
    site.send(client, command("A", "p"))
    assert (site.take(first), site.take(second)) == ([], ["newTextVector A p"])
    site.leave(first)
    assert "A" in site.router.devices


def test_names_that_a_driver_has_given_up_do_not_count() -> None:
    site = Site()
    driver, client = site.add("driver", Role.DRIVER), site.client(ALL)
    for n in range(MAX_DEVICES + 50):
        site.send(driver, define(f"D{n}", "p"), DelProperty(f"D{n}"))
    assert driver.complaints == {}
    assert len(site.router.devices.of(driver)) == MAX_DEVICES
    site.send(driver, *(define(f"E{n}", "p") for n in range(MAX_DEVICES + 1)))
    assert driver.complaints == {"devices": 1}
    site.quiet()
    site.send(client, command("E7", "p"))
    assert site.take(driver) == ["newTextVector E7 p"]


def test_who_has_as_many_devices_as_allowed_takes_none_over() -> None:
    site = Site()
    above, driver, client = site.above(), site.add("driver", Role.DRIVER), site.client(ALL)
    site.send(above, define("Sky", "p"))
    site.send(driver, *(define(f"D{n}", "p") for n in range(MAX_DEVICES)))
    site.quiet()
    site.send(driver, define("Sky", "p"))
    assert driver.complaints == {"devices": 1}
    assert site.router.devices.of(above) == ["Sky"]
    assert site.take(client) == []


def refused(site: Site, role: Role | str) -> Endpoint:
    """A driver or server that has defined A, and was refused."""
    endpoint = site.above() if role == "above" else site.add("second", Role(role))
    site.send(endpoint, define("A", "p"))
    assert site.router.devices.of(endpoint) == []
    site.now += 10
    site.quiet()
    return endpoint


@pytest.mark.parametrize("first", [Role.DRIVER, Role.REMOTE])
@pytest.mark.parametrize("second", [Role.DRIVER, Role.REMOTE, "above"])
@pytest.mark.parametrize("ends", [True, False])
def test_who_was_refused_is_asked_when_the_device_is_free(first: Role, second: Role | str, ends: bool) -> None:
    """A camera is plugged into another computer, or a server can be reached in two ways and one is lost."""
    site = Site()
    owner, client = site.add("first", first), site.client(ALL)
    site.send(owner, define("A", "p"), define("B", "p"))
    other = refused(site, second)
    if ends:
        site.leave(owner)
    else:
        site.send(owner, DelProperty("A"))
    assert site.take(other).count("getProperties A") == 1
    site.send(other, define("A", "p"))
    said = [line for line in site.take(client) if " A" in line]
    if second != "above" or ends or first is Role.REMOTE:  # a program may want its device back
        assert said == ["delProperty A", "defTextVector A p"]
        assert site.router.devices.of(other) == ["A"]


def test_who_was_refused_is_asked_each_time_the_device_is_free() -> None:
    """The answer may have been refused, as somebody else was faster."""
    site = Site()
    owner = site.driver("A")
    other = refused(site, Role.REMOTE)
    for _ in range(3):
        site.leave(owner)
        owner = site.driver("A")
        assert site.take(other).count("getProperties A") == 1
        site.send(other, define("A", "p"))
        assert site.router.devices.of(owner) == ["A"]


@pytest.mark.parametrize("role", [Role.DRIVER, Role.REMOTE, "driver of this process"])
@pytest.mark.parametrize("ends", [True, False])
def test_who_has_lost_a_device_to_those_below_is_asked_when_it_is_free(role: Role | str, ends: bool) -> None:
    """A driver that snoops on it goes on with what a server above has; so does one of the other servers above."""
    site = Site()
    above, snooper = site.above(), site.add("snooper", Role.DRIVER)
    site.send(snooper, GetProperties("Roof"))
    site.send(above, define("Roof", "p"))
    second = site.above()
    site.send(second, define("Roof", "p"))
    owner = site.add("owner", role if isinstance(role, Role) else Role.DRIVER)
    if not isinstance(role, Role):
        site.deliver(site.router.claim("Roof", owner))
    site.send(owner, define("Roof", "p"))
    site.now += 10
    site.quiet()
    if ends:
        site.leave(owner)
    else:
        site.send(owner, DelProperty("Roof"))
    assert [site.take(each).count("getProperties Roof") for each in (above, second)] == [1, 1]
    site.send(above, define("Roof", "p"), update("Roof", "p"))
    if ends or role is Role.REMOTE:  # a driver may want its device back
        assert site.take(snooper) == ["delProperty Roof", "defTextVector Roof p", "setTextVector Roof p"]


def test_who_was_refused_is_asked_though_the_device_has_changed_hands_since() -> None:
    site = Site()
    first = site.driver("A")
    waiting = refused(site, Role.REMOTE)
    site.send(first, DelProperty("A"))
    second = site.driver("A")
    assert site.router.devices.of(second) == ["A"]
    site.now += 10
    site.quiet()
    site.leave(second)
    assert site.take(waiting).count("getProperties A") == 1
    assert "getProperties A" not in site.take(first), "it has deleted its device itself"


def test_those_who_were_refused_are_asked_in_the_order_in_which_they_came() -> None:
    site = Site()
    owner = site.driver("A")
    others = [refused(site, role) for role in [Role.REMOTE, Role.DRIVER] * 4]
    asked = [endpoint for _, receivers in site.router.detach(owner) for endpoint in receivers]
    assert [endpoint for endpoint in asked if endpoint in others] == others


def test_who_was_refused_and_has_gone_is_not_remembered() -> None:
    site = Site()
    owner = site.driver("A")
    for _ in range(3):
        site.leave(refused(site, Role.REMOTE))
    record = site.router.devices.get("A")
    assert record is not None
    assert record.refused == set()
    site.leave(owner)


# The way


WAY = b" via='one two'"


def along(text: bytes) -> list[object]:
    return list(elements(text.replace(b"WAY", WAY)))


@pytest.mark.parametrize(
    "text",
    [
        b"<defTextVector WAY device='R' name='new' state='Ok' perm='rw'/>",
        b"<defTextVector device='R' name='p' state='Alert' perm='rw' WAY/>",
        b"<message WAY device='R' message='via the south'/>",
        b"<message WAY device='Nobody' message='x'/>",
        b"<message WAY message='x'/>",
    ],
)
def test_who_is_no_server_is_not_shown_which_way_an_element_has_come(text: bytes) -> None:
    site = Site()
    remote = site.add("remote", Role.REMOTE)
    site.send(remote, define("R", "p"))
    client, snooper, above = site.client(ALL), site.add("snooper", Role.DRIVER), site.above()
    site.send(snooper, ALL)
    site.answer()
    site.quiet()
    site.send(remote, *along(text))  # type: ignore[arg-type]
    for endpoint in (client, snooper):
        raw = site.raw(endpoint)
        assert raw
        assert b"via=" not in raw
    if b"'R' message" not in text:
        assert b'via="one two here"' in site.raw(above)


def test_a_text_about_a_way_is_left_alone() -> None:
    site = Site()
    remote, client = site.add("remote", Role.REMOTE), site.client(ALL)
    site.send(remote, define("R", "p"))
    site.quiet()
    site.send(remote, Message("R", 'it went via="south"'), define("R", "q", value='via="x"'))
    raw = site.raw(client)
    assert b"via=&quot;south&quot;" in raw
    assert b'>via="x"<' in raw


def test_frames_without_a_way_are_passed_on_as_they_are() -> None:
    site = Site()
    driver, client = site.driver("A"), site.client(ALL)
    site.quiet()
    frames = [define("A", "n"), encode(Message("A", "x")), encode(Message(None, "x"))]
    site.send(driver, *frames)
    assert all(got is sent for got, sent in zip(site.inbox[client], frames, strict=True))


# A server that wants one device


def test_a_server_that_wants_one_device_is_told_the_way_and_what_it_brings_back_is_refused() -> None:
    """Two servers may each want the same device of the other."""
    site = Site("here")
    link = site.add("link from there")
    site.send(link, *elements(b"<getProperties version='1.7' device='X' via='there'/>"))
    assert link.role is Role.CLIENT
    remote, client = site.add("X@there", Role.REMOTE, only_device="X"), site.client(ALL)
    driver = site.driver("X")
    (passed_on,) = site.inbox[link]
    assert b'via="here"' in passed_on.raw
    assert b"via" not in site.raw(client)
    site.leave(driver)
    site.send(remote, *elements(passed_on.raw.replace(b"here", b"here there")))
    assert "X" not in site.router.devices
    site.quiet()
    site.deliver(site.router.site_message("to everybody"))
    assert b'via="here"' in site.raw(link)
    assert site.raw(client).count(b"to everybody") == 1


def test_a_link_for_one_device_brings_no_messages_without_device() -> None:
    site = Site()
    remote, client = site.add("X@there", Role.REMOTE, only_device="X"), site.client(ALL)
    site.quiet()
    site.send(remote, Message(None, "x"), define("X", "p"), Message("X", "y"))
    assert site.take(client) == ["defTextVector X p", "message X"]


def test_a_request_of_a_server_below_does_not_make_it_anything_else() -> None:
    site = Site()
    driver = site.add("driver", Role.DRIVER)
    site.send(driver, *elements(b"<getProperties version='1.7' device='X' via='there'/>"))
    assert not driver.is_server


def test_properties_are_counted_by_their_owner() -> None:
    devices = DeviceTable[str]()
    devices.claim("A", "owner", fixed=True)
    devices.claim("B", "owner")
    assert devices.pop("A") is not None
    assert devices.count("owner") == 0
    for name in ("p", "q", "q"):
        devices.define("B", name, define("B", name))
    assert devices.count("owner") == 2
    assert devices.undefine("B", "p") is not None
    assert devices.undefine("B", "p") is None
    assert devices.count("owner") == 1
    devices.claim("C", "owner")
    devices.define("C", "p", define("C", "p"))
    assert devices.count("owner") == 2
    devices.clear("B", keep=False)
    assert devices.count("owner") == 1
    assert devices.count("other") == 0
    assert list(devices) == devices.of("owner") == ["C"]
