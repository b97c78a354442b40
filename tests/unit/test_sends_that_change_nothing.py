"""Sends that have nothing to send, or cannot be sent: the loop goes on, and the vector is as it was."""

import asyncio

import pytest

import indipydriver as ipd
from indipydriver.protocol.forms import Forms
from indipydriver.testing import DriverHarness, driver_test, run


def driver_with_all_kinds():
    return ipd.IPyDriver(
        ipd.Device(
            "D",
            [
                ipd.SwitchVector("switch", "", "", "rw", "AnyOfMany", "Ok", [ipd.SwitchMember("m")]),
                ipd.LightVector("light", "", "", "Ok", [ipd.LightMember("m")]),
                ipd.TextVector("text", "", "", "rw", "Ok", [ipd.TextMember("m", membervalue="old")]),
                ipd.NumberVector("number", "", "", "rw", "Ok", [ipd.NumberMember("m")]),
                ipd.BLOBVector("blob", "", "", "rw", "Ok", [ipd.BLOBMember("m")]),
            ],
        )
    )


KINDS = ("switch", "light", "text", "number", "blob")


async def turns_during(send, seconds=2):
    """How many turns the others of the event loop get while something is sent again and again.

    It ends with the first turn, so that the limit may be long: a loaded machine may give this process none for a while.
    """
    loop = asyncio.get_running_loop()
    turns = 0

    async def other():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    end = loop.time() + seconds
    while not turns and loop.time() < end:
        await send()
    task.cancel()
    return turns


def sends(vector):
    for name in ("send_defVector", "send_setVector", "send_setVectorMembers"):
        if hasattr(vector, name):
            yield getattr(vector, name)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("what", ["vector", "device"])
def test_a_loop_that_sends_what_is_disabled_leaves_the_others_their_turns(kind, what):
    async def test():
        async with DriverHarness(driver_with_all_kinds()) as h:
            vector = h.driver["D"][kind]
            (vector if what == "vector" else vector.device).enable = False
            for send in sends(vector):
                assert await turns_during(send) > 0

    run(test, real_time=True)


@pytest.mark.parametrize("kind", KINDS[:-1])
def test_a_loop_in_which_nothing_changes_leaves_the_others_their_turns(kind):
    async def test():
        async with DriverHarness(driver_with_all_kinds()) as h:
            vector = h.driver["D"][kind]
            await vector.send_setVector()
            assert await turns_during(lambda: vector.send_setVector(allvalues=False)) > 0
            assert h.property("D", kind).updates == 1

    run(test, real_time=True)


def test_messages_of_a_disabled_device_leave_the_others_their_turns():
    async def test():
        async with DriverHarness(driver_with_all_kinds()) as h:
            device = h.driver["D"]
            device.enable = False
            assert await turns_during(lambda: device.send_device_message("hello")) > 0

    run(test, real_time=True)


def content(vector):
    flags = [member.changed for member in vector.data.values()]
    return vector.state, vector.timeout, vector.message, vector.changed, vector._is_commanded, flags


WRONG = [{"message": "x" * 5000}, {"message": "é" * 3000}]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wrong", WRONG, ids=["long", "long in bytes"])
@driver_test
async def test_what_nobody_would_take_changes_nothing(kind, wrong):
    async with DriverHarness(driver_with_all_kinds()) as h:
        vector = h.driver["D"][kind]
        vector._is_commanded = True
        before, sent = content(vector), len(h.frames)
        for send in sends(vector):
            with pytest.raises(ValueError, match="receivers would refuse it"):
                await send(state="Alert", timeout=7, **wrong)
            assert content(vector) == before
        await h.settle()
        assert len(h.frames) == sent


@driver_test
async def test_a_text_that_is_too_long_changes_no_state():
    async with DriverHarness(driver_with_all_kinds()) as h:
        vector = h.driver["D"]["text"]
        await vector.send_setVector()
        vector.data["m"].membervalue = "x" * (2 << 20)  # by assignment to the vector, it would be refused
        before = content(vector)
        for arguments in ({"allvalues": True}, {"allvalues": False}):
            with pytest.raises(ValueError, match="receivers would refuse it"):
                await vector.send_setVector(state="Busy", **arguments)
            assert content(vector) == before


@pytest.mark.parametrize("kind", KINDS)
@driver_test
async def test_members_that_are_none_change_nothing(kind):
    async with DriverHarness(driver_with_all_kinds()) as h:
        vector = h.driver["D"][kind]
        before = content(vector)
        with pytest.raises(TypeError):
            await vector.send_setVectorMembers(state="Alert", members=5)
        assert content(vector) == before


@pytest.mark.parametrize("kind", KINDS[:-1])
@driver_test
async def test_what_is_assigned_while_a_send_is_under_way_goes_out_with_the_next(kind, monkeypatch):
    """As by a thread that has the value, while the event loop sends."""
    driver = driver_with_all_kinds()
    vector = driver["D"][kind]
    values = {"switch": ("On", "Off"), "light": ("Busy", "Alert"), "text": ("a", "b"), "number": ("1", "2")}[kind]
    async with DriverHarness(driver) as h:
        vector["m"] = values[0]

        def encode_slowly(*arguments):
            vector["m"] = values[1]
            return encode(*arguments)

        encode = Forms.encode
        monkeypatch.setattr(Forms, "encode", encode_slowly)
        await vector.send_setVector(allvalues=False)
        monkeypatch.undo()
        await h.settle()
        h.assert_values("D", kind, m=values[0])
        await vector.send_setVector(allvalues=False)
        await h.settle()
        h.assert_values("D", kind, m=values[1])


@driver_test
async def test_what_could_not_be_sent_is_still_to_be_sent(monkeypatch):
    driver = driver_with_all_kinds()
    vector = driver["D"]["text"]
    async with DriverHarness(driver) as h:
        await vector.send_setVector()
        vector["m"] = "new"

        def refuse(*arguments):
            raise ValueError("no")

        monkeypatch.setattr(Forms, "encode", refuse)
        with pytest.raises(ValueError, match="no"):
            await vector.send_setVector(allvalues=False)
        monkeypatch.undo()
        await vector.send_setVector(allvalues=False)
        await h.settle()
        h.assert_values("D", "text", m="new")


@driver_test
async def test_a_state_that_a_thread_assigns_during_a_send_goes_out_with_the_next(monkeypatch):
    """Also the state that the vector already had: what clients have been told is older."""
    driver = driver_with_all_kinds()
    vector = driver["D"]["text"]
    async with DriverHarness(driver) as h:
        await vector.send_setVector(state="Busy")

        def encode_slowly(*arguments):
            vector.state = "Busy"
            return encode(*arguments)

        encode = Forms.encode
        monkeypatch.setattr(Forms, "encode", encode_slowly)
        await vector.send_setVector(state="Ok")
        monkeypatch.undo()
        assert vector.state == "Busy"
        await vector.send_setVector(allvalues=False)
        await h.settle()
        h.assert_state("D", "text", "Busy")


@driver_test
async def test_a_client_is_answered_though_the_values_cannot_be_sent():
    class Wordy(ipd.IPyDriver):
        async def rxevent(self, event):
            event.vector.data["m"].membervalue = "x" * (2 << 20)
            await event.vector.send_setVector(state="Ok")

    vector = ipd.TextVector("text", "", "", "rw", "Ok", [ipd.TextMember("m")])
    async with DriverHarness(Wordy(ipd.Device("D", [vector]))) as h:
        await h.set_text("D", "text", m="new")
        await h.wait_for("D", "text", state="Alert")
