"""What was known before the connection was lost is not taken for what is so now."""

import asyncio

from indipyclient.cli.wait import Condition, _until
from tests.support import asynchronous, eventually

from .test_leaving import meeting


def text(device, value):
    return (
        f'<defTextVector device="{device}" name="P" state="Ok" perm="ro"><defText name="a">{value}</defText>'
        '<defText name="b">x</defText></defTextVector>'
    )


def says(device, member, value):
    return f'<setTextVector device="{device}" name="P"><oneText name="{member}">{value}</oneText></setTextVector>'


@asynchronous
async def test_conditions_are_not_forgotten_by_an_update_that_comes_before_its_definition():
    async with meeting(text("A", "no"), text("B", "no")) as (server, first, client):
        await client.wait_property("B", "P")
        task = asyncio.create_task(_until(client, [Condition("A.P.a == yes"), Condition("B.P.a == yes")]))
        await asyncio.sleep(0)
        first.close()
        second = await server.client(text("A", "yes"), says("B", "b", "y"), text("B", "yes"))
        await asyncio.wait_for(task, 5)
        assert second


@asynchronous
async def test_what_was_before_the_loss_fulfils_no_condition():
    """An update of one member says nothing of the others."""
    async with meeting(text("A", "yes"), text("B", "no")) as (server, first, client):
        await client.wait_property("B", "P")
        waiting = asyncio.create_task(_until(client, [Condition("A.P.a == yes"), Condition("B.P.a == yes")]))
        called = []
        one = asyncio.create_task(
            client.wait_property("A", "P", where=lambda p: bool(called.append(p)) or p["b"].value == "now")
        )
        await asyncio.sleep(0)
        first.close()
        second = await server.client(text("B", "yes"), says("A", "b", "now"))
        await client.wait_property("B", "P", where=lambda p: p["a"].value == "yes")
        await eventually(lambda: client.get("A", "P")["b"].value == "now")
        await asyncio.sleep(0)
        assert not waiting.done()
        assert not one.done()
        await second.send(text("A", "yes"), says("A", "b", "now"))
        await asyncio.wait_for(asyncio.gather(waiting, one), 5)


@asynchronous
async def test_conditions_hold_again_after_changes_were_lost(monkeypatch):
    async with meeting(text("A", "no"), text("B", "no")) as (_, server, client):
        await client.wait_property("B", "P")
        tap = client.tap
        monkeypatch.setattr(client, "tap", lambda **_: tap(limit=1))
        task = asyncio.create_task(_until(client, [Condition("A.P.a == yes"), Condition("B.P.a == yes")]))
        await asyncio.sleep(0)
        await server.send(says("A", "a", "yes") + says("B", "b", "1") + says("B", "b", "2"))
        await client.wait_property("B", "P", where=lambda p: p["b"].value == "2")
        await server.send(says("B", "a", "yes"))
        await asyncio.wait_for(task, 5)


@asynchronous
async def test_definitions_of_before_the_loss_are_none_to_settle_for():
    async with meeting(text("A", "yes")) as (server, first, client):
        first.close()
        await client.wait_link(False, timeout=5)
        second = await server.client()
        await client.wait_link(True, timeout=5)
        assert not await client.settle(quiet=0.01, timeout=0.1)
        await second.send(text("A", "yes"))
        assert await client.settle(quiet=0.01)
        assert not client.is_stale(client.get("A", "P"))
