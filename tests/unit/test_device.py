"""Devices."""

from datetime import datetime

import pytest

import indipydriver as ipd
from indipydriver.errors import DefinitionError
from indipydriver.testing import DriverHarness, driver_test

T = 'timestamp="2026-01-02T03:04:05"'
TIME = datetime(2026, 1, 2, 3, 4, 5)


def vector(name="tx"):
    return ipd.TextVector(name, "", "", "rw", "Ok", [ipd.TextMember("t1")])


def test_attributes():
    tx, ty = vector("tx"), vector("ty")
    device = ipd.Device("Dev", (v for v in (tx, ty)), led=5, port="COM1")
    assert device.devicename == tx.devicename == "Dev"
    assert device.devicedata == {"led": 5, "port": "COM1"}
    assert (device.enable, device.driver, device.stop, device._stop) == (True, None, False, False)
    assert device.properties() == [tx, ty]
    assert dict(device) == {"tx": tx, "ty": ty}
    assert device["tx"] is tx
    device.shutdown()
    assert device.stop
    assert ipd.Device.indi_number_to_float("-0:30") == -0.5
    with pytest.raises(TypeError):
        hash(device)
    assert not ipd.Device("Dev", [])


def test_wrong_names():
    with pytest.raises(DefinitionError):
        ipd.Device("Gerät", [])
    with pytest.raises(DefinitionError, match="two vectors"):
        ipd.Device("Dev", [vector(), vector()])


@driver_test
async def test_methods_to_override_do_nothing():
    device = ipd.Device("Dev", [])
    await device.devhardware(1, two=2)
    await device.devrxevent(None, 1, two=2)
    await device.devsnoopevent(None, 1, two=2)


def test_a_background_is_a_coroutine_object():
    device = ipd.Device("Dev", [])

    async def background():
        """Never started."""

    with pytest.raises(TypeError, match="call it"):
        device.add_background(background)
    with pytest.raises(TypeError):
        device.add_background(5)


@driver_test
async def test_sends_without_a_driver_say_so():
    device = ipd.Device("Dev", [])
    for send in (device.send_device_message, device.send_delProperty):
        with pytest.raises(AttributeError, match="does not belong to a driver"):
            await send()


@driver_test
async def test_messages_and_deletion():
    device = ipd.Device("Dev", [vector("tx"), vector("ty")])
    async with DriverHarness(ipd.IPyDriver(device)) as h:
        h.frames.clear()
        await device.send_device_message(timestamp=TIME)
        await device.send_device_message("hi", TIME)
        for send in (device.send_device_message, device.send_delProperty):
            with pytest.raises(ValueError, match="datetime"):
                await send("text", "now")
        assert device.enable
        await device.send_delProperty("byedev", TIME)
        assert not device.enable
        await device.send_device_message("not sent")
        await device["tx"].send_setVector()
        await h.settle()
        assert [frame.raw.decode() for frame in h.frames] == [
            f'<message device="Dev" {T} />',
            f'<message device="Dev" {T} message="hi" />',
            f'<delProperty device="Dev" {T} message="byedev" />',
        ]
        h.assert_deleted("Dev", "tx")
        h.assert_deleted("Dev", "ty")
        assert device["tx"].enable
        assert device["tx"].device is device
        h.frames.clear()
        await h.get_properties()
        await h.set_text("Dev", "tx", t1="x")
        assert h.frames == []
        device.enable = True
        await device["tx"].send_defVector()
        await h.settle()
        assert h.property("Dev", "tx").defined


@driver_test
async def test_a_deletion_that_cannot_be_sent_changes_nothing():
    device = ipd.Device("Dev", [vector("tx")])
    async with DriverHarness(ipd.IPyDriver(device)) as h:
        with pytest.raises(ValueError, match="longer than 4096"):
            await device.send_delProperty("x" * 5000)
        assert device.enable
        await device["tx"].send_setVector()
        await h.settle()
        assert h.property("Dev", "tx").updates == 1


@driver_test
async def test_backgrounds_run_with_the_driver():
    ran = []

    async def background(name):
        ran.append(name)

    device = ipd.Device("Dev", [])
    device.add_background(background("before the driver"))
    driver = ipd.IPyDriver(device)
    device.add_background(background("before the run"))
    async with DriverHarness(driver) as h:
        assert ran == ["before the driver", "before the run"]
        device.add_background(background("during the run"))
        await h.settle()
        assert ran[-1] == "during the run"
