"""Listeners with fewer rights: what is seen, what is refused, and that nothing leaks."""

import asyncio
import sys

import pytest

import indipydriver as ipd
from indipyserver import IPyServer
from indipyserver.routing.rights import Rights
from tests.support import IndiClient, asynchronous, eventually, match, new_vector, running
from tests.support.drivers import echo_device, echo_driver


@asynchronous
async def test_a_read_only_client_sees_all_and_is_refused_with_a_message():
    driver = echo_driver("A")
    server = IPyServer(driver, host="127.0.0.1", port=0)
    window = server.add_listener("127.0.0.1", read_only=True)
    async with running(server), IndiClient(server.port) as client, IndiClient(window.port) as guest:
        for each in (client, guest):
            await each.get_properties()
            await each.expect(match("defNumberVector", name="pos"))
            await each.settle()
        await guest.send(new_vector("Number", "A", "pos", n=1))
        message = await guest.expect(match("message", device="A"))
        assert "read only" in message.get("message")
        assert await client.settle() == []  # not even an echo
        await client.send(new_vector("Number", "A", "pos", n=2))
        await guest.expect(match("setNumberVector", values={"n": "2"}))
        assert driver.executed == [("A", "pos", {"n": "2"})]
        refused = [peer.refused for peer in server.stats().peers if peer.kind == "client"]
        assert sorted(refused) == [0, 1]


@asynchronous
async def test_a_read_only_server_above_shows_devices_but_can_neither_command_nor_define():
    driver, forger = echo_driver("A"), echo_driver("Forged")
    below = IPyServer(driver, host="127.0.0.1", port=0)
    window = below.add_listener("127.0.0.1", read_only=True)
    async with running(below):
        above = IPyServer(forger, host="127.0.0.1", port=0)
        above.add_remote("127.0.0.1", window.port)
        async with running(above), IndiClient(above.port) as client, IndiClient(below.port) as local:
            await client.get_properties()
            await client.expect(match("defNumberVector", device="A", name="pos"))
            await client.send(new_vector("Number", "A", "pos", n=1))
            await client.expect(match("message", device="A"))
            await local.get_properties()
            await local.expect(match("defNumberVector", device="A", name="pos"))
            assert not any(e.get("device") == "Forged" for e in await local.settle())
            assert "Forged" not in below.board.router.devices
    assert driver.executed == []


@asynchronous
async def test_only_the_devices_of_the_filter_exist():
    driver = echo_driver("Mount", "Mount 2", "Camera")
    server = IPyServer(driver, host="127.0.0.1", port=0)
    partly = server.add_listener("127.0.0.1", devices="Mount*")
    async with running(server), IndiClient(server.port) as all_of_it, IndiClient(partly.port) as guest:
        await all_of_it.get_properties()
        await all_of_it.expect(match("defNumberVector", device="Camera", name="pos"))
        await guest.get_properties()
        await guest.expect(match("defNumberVector", device="Mount 2", name="pos"))  # or it may show the new value
        await guest.send("<getProperties version='1.7' device='Camera'/><enableBLOB device='Camera'>Also</enableBLOB>")
        await guest.send(new_vector("Number", "Camera", "pos", n=1))
        await guest.send(new_vector("Number", "Mount 2", "pos", n=2))
        await guest.expect(match("setNumberVector", device="Mount 2", values={"n": "2"}))
        await all_of_it.send(new_vector("Number", "Camera", "pos", n=3))
        await all_of_it.expect(match("setNumberVector", device="Camera", values={"n": "3"}))
        image = driver["Camera"]["image"]
        image["b"] = b"secret"
        await image.send_setVectorMembers(members=["b"])
        await driver["Camera"].send_device_message("secret")
        await driver["Camera"].send_delProperty()
        await all_of_it.expect(match("delProperty", device="Camera"))
        await guest.settle()
        assert {e.get("device") for e in guest.received if e.tag != "pingReply"} == {"Mount", "Mount 2"}
    assert [device for device, _, _ in driver.executed] == ["Mount 2", "Camera"]


@asynchronous
async def test_a_server_above_defines_only_what_its_listener_allows():
    below = IPyServer(host="127.0.0.1", port=0)
    partly = below.add_listener("127.0.0.1", devices=["Sky*"])
    async with running(below):
        above = IPyServer(echo_driver("Skymeter", "Mount"), host="127.0.0.1", port=0)
        above.add_remote("127.0.0.1", partly.port)
        async with running(above), IndiClient(partly.port) as forger:
            await forger.send("<getProperties version='1.7' device='*'/>")
            for device in ("Skylight", "Dome"):
                await forger.send(
                    f"<defTextVector device='{device}' name='z' state='Ok' perm='rw'>"
                    "<defText name='a'>x</defText></defTextVector>"
                )
            await eventually(lambda: "Skylight" in below.board.router.devices)
            await forger.settle()
            assert "Dome" not in below.board.router.devices


@asynchronous
async def test_two_read_only_servers_that_are_each_others_remote_do_not_circulate():
    one = IPyServer(echo_driver("A"), host="127.0.0.1", port=0)
    two = IPyServer(echo_driver("B"), host="127.0.0.1", port=0)
    window_one = one.add_listener("127.0.0.1", read_only=True)
    window_two = two.add_listener("127.0.0.1", read_only=True)
    async with running(one), running(two):
        one.add_remote("127.0.0.1", window_two.port)
        two.add_remote("127.0.0.1", window_one.port)
        async with IndiClient(one.port) as client:
            await client.get_properties()
            await client.expect(match("defTextVector", device="B"))
            for _ in range(3):
                await client.settle()
            before = sum(peer.frames_in for peer in one.stats().peers)
            for _ in range(20):
                await client.settle()
            assert sum(peer.frames_in for peer in one.stats().peers) - before <= 40  # the pings, and hardly more


@asynchronous
async def test_a_listener_can_be_added_while_the_server_runs():
    async with running(IPyServer(echo_driver("A"), host="127.0.0.1", port=0)) as server:
        late = server.add_listener("127.0.0.1", read_only=True)
        async with IndiClient(late.port) as client:
            await client.get_properties()
            await client.expect(match("defTextVector"))
        with pytest.raises(OSError, match="cannot listen"):
            server.add_listener("127.0.0.1", late.port)


def test_rights_in_words_and_wrong_ones():
    assert str(Rights.of()) == "all rights"
    assert str(Rights.of(True, ["A", "B*"])) == "read only; devices A, B*"
    for wrong in ([], "", ["A", ""]):
        with pytest.raises(ValueError, match="patterns"):
            Rights.of(devices=wrong)


@asynchronous
async def test_nothing_names_a_device_that_a_guest_may_not_see():
    """Neither what drivers snoop on, nor what becomes of programs, drivers and links."""

    class Roof(ipd.IPyDriver):
        async def hardware(self):
            self.snoop("SecretMount", "PARK")

    class Failing(ipd.IPyDriver):
        async def hardware(self):
            await asyncio.sleep(0.05)
            raise RuntimeError("the SecretDome is stuck")

    roof, failing = Roof(ipd.Device("Roof", [])), Failing(echo_device("SecretDome"))
    server = IPyServer(roof, echo_driver("Weather"), host="127.0.0.1", port=0)
    door = server.add_listener("127.0.0.1", devices=["Weather*"])
    async with running(server), IndiClient(server.port) as client, IndiClient(door.port) as guest:
        await client.get_properties()
        await guest.send("<getProperties version='1.7' device='*'/>")
        await guest.get_properties()
        await guest.expect(match("defNumberVector", device="Weather"))
        server.add_driver(failing)
        await client.expect(match("delProperty", device="SecretDome"))
        server.add_exdriver(sys.executable, "-c", "raise SystemExit(3)", name="SecretCamera", restarts=0)
        await client.expect(lambda e: e.tag == "message" and "given up" in (e.get("message") or ""))
        server.add_exdriver("/no/such/Secret", name="SecretCamera")
        await client.expect(lambda e: e.tag == "message" and "cannot be started" in (e.get("message") or ""))
        remote = server.add_remote("127.0.0.1", 9, device="SecretSpectrograph")
        await client.expect(lambda e: e.tag == "message" and "127.0.0.1:9" in (e.get("message") or ""))
        await server.remove(remote)
        await server.send_message("good night")
        await guest.expect(match("message", message="good night"))
        assert not any("Secret" in value or ":9" in value for e in guest.received for value in e.attrib.values())


@asynchronous
async def test_a_driver_starts_although_a_server_above_has_defined_its_device():
    async with (
        running(IPyServer(host="127.0.0.1", port=0)) as server,
        IndiClient(server.port) as forger,
        IndiClient(server.port) as client,
    ):
        await client.get_properties()
        await forger.send("<getProperties version='1.7' device='*'/>")
        await forger.send("<defLightVector device='Roof' name='fake' state='Ok'/>")
        await client.expect(match("defLightVector", device="Roof", name="fake"))
        driver = echo_driver("Roof")
        server.add_driver(driver)
        await client.expect(match("delProperty", device="Roof"))
        await client.expect(match("defNumberVector", device="Roof", name="pos"))
        await client.send(new_vector("Number", "Roof", "pos", n=3))
        await client.expect(match("setNumberVector", device="Roof", values={"n": "3"}))
        assert driver.executed == [("Roof", "pos", {"n": "3"})]
