"""Several commands for one property at the same time: each learns its own outcome, and none undoes another."""

import asyncio
import contextlib
import time

import pytest

from indipyclient import Client, Refused, TimedOut
from indipyclient import turns as turns_module
from tests.support import asynchronous, eventually, match

from .scripted import BLOB, DEFINE, SWITCHES, numbers, scripted

COMMAND = match("newNumberVector")


@contextlib.asynccontextmanager
async def meeting(*greeting):
    async with scripted() as server, Client("127.0.0.1", server.port) as client:
        connection = await server.client(*greeting)
        await eventually(lambda: len(client.model) == len(greeting))
        yield connection, client


def background(coroutine):
    return asyncio.ensure_future(coroutine)


def values(command):
    return {member.get("name"): member.text for member in command}


def switch(state, **members):
    ones = "".join(f'<oneSwitch name="{name}">{value}</oneSwitch>' for name, value in members.items())
    return f'<setSwitchVector device="Mount" name="CONNECTION" state="{state}">{ones}</setSwitchVector>'


@asynchronous
async def test_each_of_two_commands_learns_its_own_outcome():
    async with meeting(DEFINE) as (server, client):
        first, second = background(client.set("Mount", "EQ", RA=5)), background(client.set("Mount", "EQ", RA=6))
        assert values(await server.expect(COMMAND))["RA"] == "5"
        await server.send(numbers("Alert", message="below the horizon"))
        with pytest.raises(Refused, match="below the horizon"):
            await first
        assert values(await server.expect(COMMAND))["RA"] == "6"
        assert not second.done()
        await server.send(numbers("Ok", RA=6, DEC=2))
        assert (await second).confirmed


@asynchronous
async def test_the_end_of_an_earlier_command_is_not_that_of_a_later_one():
    async with meeting(DEFINE) as (server, client):
        first = background(client.set("Mount", "EQ", RA=5))
        await server.expect(COMMAND)
        await server.send(numbers("Busy", RA=1))
        second = background(client.set("Mount", "EQ", RA=6))
        assert values(await server.expect(COMMAND))["RA"] == "6"
        await server.send(numbers("Ok", RA=5))
        assert (await first).confirmed
        assert client.need("Mount", "EQ").pending.values == {"RA": "6"}
        await server.send(numbers("Alert", message="too high"))
        with pytest.raises(Refused, match="too high"):
            await second
        assert client.need("Mount", "EQ").pending is None


@asynchronous
async def test_the_end_of_an_earlier_command_that_is_said_twice_is_not_that_of_a_later_one_either():
    """As by a filter wheel that takes up one command after the other, and repeats where it is."""
    async with meeting(DEFINE) as (server, client):
        first = background(client.set("Mount", "EQ", RA=5))
        await server.expect(COMMAND)
        await server.send(numbers("Busy", RA=1))
        second = background(client.set("Mount", "EQ", RA=6))
        assert values(await server.expect(COMMAND))["RA"] == "6"
        await server.send(numbers("Busy", RA=2), numbers("Ok", RA=5), numbers("Ok", RA=5, message="again"))
        assert (await first).confirmed
        await eventually(lambda: client.need("Mount", "EQ").message == "again")
        await asyncio.sleep(0)
        assert not second.done()
        await server.send(numbers("Busy", RA=5), numbers("Ok", RA=6))
        assert (await second).confirmed


@asynchronous
async def test_a_new_target_that_is_refused_while_the_device_is_busy_is_not_reported_as_accepted():
    async with meeting(DEFINE) as (server, client):
        first = background(client.set("Mount", "EQ", RA=5))
        await server.expect(COMMAND)
        await server.send(numbers("Busy", RA=1))
        second = background(client.set("Mount", "EQ", RA=6))
        await server.expect(COMMAND)
        await server.send(numbers("Alert", message="below the horizon"), numbers("Busy", RA=2), numbers("Ok", RA=5))
        with pytest.raises(Refused, match="below the horizon"):
            await second
        with pytest.raises(Refused, match="below the horizon"):
            await first


@asynchronous
async def test_a_new_target_while_the_device_is_busy_ends_both():
    async with meeting(DEFINE) as (server, client):
        first = background(client.set("Mount", "EQ", RA=5))
        await server.expect(COMMAND)
        await server.send(numbers("Busy", RA=1))
        second = background(client.set("Mount", "EQ", RA=6))
        await server.expect(COMMAND)
        await server.send(numbers("Busy", RA=5.4), numbers("Ok", RA=6.1))
        assert not (await first).confirmed
        assert (await second).acknowledged


@asynchronous
async def test_neither_of_two_commands_undoes_the_members_of_the_other():
    async with meeting(DEFINE) as (server, client):
        first, second = background(client.set("Mount", "EQ", RA=5)), background(client.set("Mount", "EQ", DEC=6))
        assert values(await server.expect(COMMAND)) == {"RA": "5", "DEC": "2"}
        await server.send(numbers("Busy", RA=1, DEC=2))
        assert values(await server.expect(COMMAND)) == {"RA": "5", "DEC": "6"}
        await server.send(numbers("Ok", RA=5, DEC=6))
        assert (await first).confirmed
        assert (await second).confirmed


@asynchronous
async def test_what_was_only_sent_is_not_undone_either():
    async with meeting(DEFINE) as (server, client):
        await client.set("Mount", "EQ", RA=5, confirm="sent")
        await client.set("Mount", "EQ", DEC=6, confirm="sent")
        assert values(await server.expect(COMMAND)) == {"RA": "5", "DEC": "2"}
        assert values(await server.expect(COMMAND)) == {"RA": "5", "DEC": "6"}


@asynchronous
async def test_a_small_file_does_not_overtake_a_large_one():
    sizes = 3 << 20, 10
    async with meeting(BLOB.replace('"ro"', '"rw"')) as (server, client):
        tasks = [background(client.set("CCD", "CCD1", CCD1=b"x" * size, confirm="sent")) for size in sizes]
        commands = [await server.expect(match("newBLOBVector")) for _ in sizes]
        assert [int(command[0].get("size")) for command in commands] == list(sizes)
        await asyncio.gather(*tasks)


@asynchronous
async def test_the_answer_to_what_was_only_sent_is_not_that_of_the_next():
    async with meeting(DEFINE) as (server, client):
        await client.set("Mount", "EQ", RA=5, confirm="sent")
        second = background(client.set("Mount", "EQ", RA=6))
        await server.expect(COMMAND)
        await server.send(numbers("Alert", message="below the horizon"))
        await server.expect(COMMAND)
        await server.send(numbers("Ok", RA=6))
        assert (await second).confirmed


@asynchronous
async def test_values_that_were_refused_are_not_sent_again():
    async with meeting(DEFINE) as (server, client):
        first, second = background(client.set("Mount", "EQ", RA=5)), background(client.set("Mount", "EQ", DEC=6))
        await server.expect(COMMAND)
        await server.send(numbers("Alert"))
        assert values(await server.expect(COMMAND)) == {"RA": "1", "DEC": "6"}
        await server.send(numbers("Ok", RA=1, DEC=6))
        with pytest.raises(Refused):
            await first
        assert (await second).confirmed


@asynchronous
async def test_a_device_that_does_not_answer_holds_up_the_next_command_for_a_moment_only(monkeypatch):
    monkeypatch.setattr(turns_module, "HELD", 0.2)
    async with meeting(DEFINE) as (server, client):
        tasks = [background(client.set("Mount", "EQ", RA=value)) for value in (5, 6, 7)]
        began = time.monotonic()
        assert [values(await server.expect(COMMAND))["RA"] for _ in tasks] == ["5", "6", "7"]
        assert 0.15 < time.monotonic() - began < 3
        await server.send(numbers("Alert"), numbers("Ok", RA=6), numbers("Ok", RA=7))
        with pytest.raises(Refused):
            await tasks[0]
        assert (await tasks[1]).confirmed
        assert (await tasks[2]).confirmed


@asynchronous
async def test_a_command_that_stops_something_does_not_wait(monkeypatch):
    monkeypatch.setattr(turns_module, "HELD", 60)
    async with meeting(SWITCHES) as (server, client):
        first = background(client.set("Mount", "CONNECTION", CONNECT=True))
        await server.expect(match("newSwitchVector"))
        second = background(client.set("Mount", "CONNECTION", CONNECT=False))
        assert values(await server.expect(match("newSwitchVector"))) == {"CONNECT": "Off"}
        await server.send(switch("Ok", CONNECT="On"), switch("Ok", CONNECT="Off"))
        assert (await first).confirmed
        assert (await second).confirmed


@asynchronous
async def test_a_movement_does_not_begin_after_its_abort(monkeypatch):
    """A person corrects the target before the device has answered, and then stops it by another property."""
    monkeypatch.setattr(turns_module, "HELD", 60)
    async with meeting(DEFINE, SWITCHES) as (server, client):
        steps = [
            lambda: client.set("Mount", "EQ", RA=5),
            lambda: client.set("Mount", "EQ", RA=6),
            lambda: client.press("Mount", "CONNECTION", "CONNECT"),
            lambda: client.set("Mount", "EQ", RA=7),
            lambda: client.press("Mount", "CONNECTION", "CONNECT"),
            lambda: client.set("Mount", "CONNECTION", CONNECT=False),
        ]
        tasks = [background(step()) for step in steps]
        sent = [values(await server.expect(match("new.*"))) for _ in steps]
        assert [found.get("RA", found.get("CONNECT")) for found in sent] == ["5", "6", "On", "7", "On", "Off"]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


@asynchronous
async def test_what_was_pressed_goes_off_with_the_next_though_an_older_update_seemed_to_answer(monkeypatch):
    """As from a driver that repeats everything: the mount has not begun to move to the north yet."""
    switches = "".join(f'<defSwitch name="{name}">Off</defSwitch>' for name in ("NORTH", "SOUTH"))
    rule = '<defSwitchVector device="Mount" name="CONNECTION" state="Ok" perm="rw" rule="AtMostOne">'
    async with meeting(f"{rule}{switches}</defSwitchVector>") as (server, client):
        north = background(client.press("Mount", "CONNECTION", "NORTH"))
        assert values(await server.expect(match("newSwitchVector"))) == {"NORTH": "On"}
        await server.send(switch("Ok", NORTH="Off", SOUTH="Off"))
        assert not (await north).confirmed
        for name, other in [("SOUTH", "NORTH"), ("NORTH", "SOUTH")]:
            pressed = background(client.press("Mount", "CONNECTION", name))
            assert values(await server.expect(match("newSwitchVector"))) == {name: "On", other: "Off"}
            await server.send(switch("Ok", **{name: "On", other: "Off"}))
            assert (await pressed).confirmed
        monkeypatch.setattr(turns_module, "MAY_COME", 0.0)
        await server.send(switch("Ok", NORTH="Off"))
        await eventually(lambda: not client.need("Mount", "CONNECTION")["NORTH"].on)
        south = background(client.press("Mount", "CONNECTION", "SOUTH"))
        assert values(await server.expect(match("newSwitchVector"))) == {"SOUTH": "On"}
        await server.send(switch("Ok", SOUTH="On"))
        await south


@asynchronous
async def test_a_cancelled_command_holds_up_nobody_and_leaves_nothing():
    async with meeting(DEFINE) as (server, client):
        tasks = [background(client.set("Mount", "EQ", RA=value)) for value in (5, 6, 7)]
        await server.expect(COMMAND)
        tasks[1].cancel()
        await asyncio.wait([tasks[1]])
        await server.send(numbers("Ok", RA=5))
        assert values(await server.expect(COMMAND))["RA"] == "7"
        await server.send(numbers("Ok", RA=7))
        assert (await tasks[2]).confirmed
        assert tasks[1].cancelled()
        assert not client._running.turns._of
        assert not client._running._watchers


FOCUSERS = 100
MANY = '<defNumberVector device="Mount" name="MANY" state="Ok" perm="rw">{}</defNumberVector>'.format(
    "".join(
        f'<defNumber name="M{number}" format="%g" min="0" max="0" step="0">-1</defNumber>' for number in range(FOCUSERS)
    )
)


@asynchronous
async def test_any_number_of_commands_at_once_leave_each_others_values(monkeypatch):
    monkeypatch.setattr(turns_module, "HELD", 0.2)
    async with meeting(MANY) as (server, client):
        tasks = [background(client.set("Mount", "MANY", {f"M{number}": number})) for number in range(FOCUSERS)]
        for latest in range(FOCUSERS):  # the device answers none of them
            sent = values(await server.expect(COMMAND))
            assert sent == {f"M{number}": str(number if number <= latest else -1) for number in range(FOCUSERS)}
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


@asynchronous
async def test_a_value_that_a_later_command_has_replaced_is_not_sent_again():
    async with meeting(DEFINE) as (server, client):
        first = background(client.set("Mount", "EQ", RA=5, confirm="values"))
        await server.expect(COMMAND)
        await server.send(numbers("Busy", RA=1))
        second = background(client.set("Mount", "EQ", RA=9))
        await server.expect(COMMAND)
        await server.send(numbers("Ok", RA=9, DEC=2))
        assert (await second).confirmed
        assert not first.done()  # it waits for its value
        third = background(client.set("Mount", "EQ", DEC=6))
        assert values(await server.expect(COMMAND)) == {"RA": "9", "DEC": "6"}
        for task in (first, third):
            task.cancel()
        await asyncio.wait([first, third])


async def answered(client):
    await client.set("Mount", "EQ", RA=5, confirm="answered")


async def given_up(client):
    with pytest.raises(TimedOut):
        await client.set("Mount", "EQ", RA=5, timeout=0.2)


async def cancelled(client):
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await client.set("Mount", "EQ", RA=5)


@pytest.mark.parametrize("first", [answered, given_up, cancelled])
@asynchronous
async def test_a_movement_that_nobody_waits_for_is_not_undone(first):
    """A command for the other axis would send the present position, and so stop this one, or turn it round."""
    async with meeting(DEFINE) as (server, client):
        moving = background(first(client))
        await server.expect(COMMAND)
        await server.send(numbers("Busy", RA=1.5))
        await moving
        await server.send(numbers("Busy", RA=2))
        await eventually(lambda: client.need("Mount", "EQ")["RA"].value == "2")
        second = background(client.set("Mount", "EQ", DEC=6))
        assert values(await server.expect(COMMAND)) == {"RA": "5", "DEC": "6"}
        await server.send(numbers("Ok", RA=5, DEC=6))
        assert (await second).confirmed
        await server.send(numbers("Ok", RA=5.5))  # by another client
        await eventually(lambda: client.need("Mount", "EQ")["RA"].value == "5.5")
        third = background(client.set("Mount", "EQ", DEC=7))
        assert values(await server.expect(COMMAND)) == {"RA": "5.5", "DEC": "7"}
        await server.send(numbers("Ok", DEC=7))
        assert (await third).confirmed
        assert not client._running.turns._of
        assert not client._running.turns._latest
        assert not client._running.turns._moving


@asynchronous
async def test_a_target_that_was_reached_is_not_requested_again():
    """A device that is always Busy, and that somebody else moves later."""
    async with meeting(DEFINE) as (server, client):
        moving = background(given_up(client))
        await server.expect(COMMAND)
        await server.send(numbers("Busy", RA=5))
        await moving
        await server.send(numbers("Busy", RA=7))
        await eventually(lambda: client.need("Mount", "EQ")["RA"].value == "7")
        second = background(client.set("Mount", "EQ", DEC=6))
        assert values(await server.expect(COMMAND)) == {"RA": "7", "DEC": "6"}
        second.cancel()
        await asyncio.wait([second])


@asynchronous
async def test_who_has_waited_for_that_answer_does_not_undo_it_either():
    async with meeting(DEFINE) as (server, client):
        first = background(client.set("Mount", "EQ", RA=5, confirm="answered"))
        await server.expect(COMMAND)
        second = background(client.set("Mount", "EQ", DEC=6))
        await asyncio.sleep(0)
        await server.send(numbers("Busy", RA=1))
        assert values(await server.expect(COMMAND)) == {"RA": "5", "DEC": "6"}
        await first
        second.cancel()
        await asyncio.wait([second])


@asynchronous
async def test_the_last_of_several_targets_is_kept():
    async with meeting(DEFINE) as (server, client):
        for position in (5, 9):
            moving = background(client.set("Mount", "EQ", RA=position, confirm="answered"))
            await server.expect(COMMAND)
            await server.send(numbers("Busy", RA=1.5))
            await moving
        second = background(client.set("Mount", "EQ", DEC=6, confirm="sent"))
        assert values(await server.expect(COMMAND)) == {"RA": "9", "DEC": "6"}
        await second


@asynchronous
async def test_a_movement_that_has_ended_is_not_begun_again():
    async with meeting(DEFINE) as (server, client):
        moving = background(answered(client))
        await server.expect(COMMAND)
        await server.send(numbers("Busy", RA=1.5))
        await moving
        await server.send(numbers("Alert", RA=2), numbers("Busy", RA=3))  # aborted; then somebody else's movement
        await eventually(lambda: client.need("Mount", "EQ")["RA"].value == "3")
        second = background(client.set("Mount", "EQ", DEC=6))
        assert values(await server.expect(COMMAND)) == {"RA": "3", "DEC": "6"}
        second.cancel()
        await asyncio.wait([second])


@asynchronous
async def test_nothing_is_kept_of_commands_that_are_over():
    async with meeting(DEFINE) as (server, client):
        task = background(client.set("Mount", "EQ", RA=5))
        await server.expect(COMMAND)
        await server.send(numbers("Ok", RA=5))
        assert (await task).confirmed
        assert not client._running.turns._of
        assert not client._running.turns._latest
