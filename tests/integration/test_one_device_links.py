"""Servers that take one device of each other: the device has one owner, and nothing circulates."""

from __future__ import annotations

import asyncio
import contextlib

import indipydriver as ipd
from indipyserver import IPyServer
from indipyserver.sources.backoff import Backoff
from tests.support import IndiClient, asynchronous, eventually, match, new_vector, quiet, running
from tests.support.drivers import echo_driver


async def each_others(stack: contextlib.AsyncExitStack, *devices: str, count: int = 2) -> list[IPyServer]:
    """Servers in a ring, each of which takes these devices from the next."""
    servers = [IPyServer(host="127.0.0.1", port=0, shutdown_grace=0.3) for _ in range(count)]
    for server in servers:
        await stack.enter_async_context(running(server))
    for server, following in zip(servers, servers[1:] + servers[:1], strict=True):
        for device in devices:
            server.add_remote("127.0.0.1", following.port, device=device, blob_enable=True, backoff=Backoff(0.02, 0.02))
    await eventually(lambda: all(remote.connected for server in servers for remote in server.remotes))
    return servers


async def busy(driver: ipd.IPyDriver) -> None:
    """Defines and updates its device, so that something is under way whenever it ends."""
    for number in range(50):
        driver["X"]["name"].label = f"name {number}"
        await driver["X"]["name"].send_defVector()
        driver["X"]["pos"]["n"] = number
        await driver["X"]["pos"].send_setVector()
        await asyncio.sleep(0)


@asynchronous
async def test_a_device_that_goes_is_gone_on_all_servers_that_take_it_from_each_other() -> None:
    for count in (2, 3):
        async with contextlib.AsyncExitStack() as stack:
            servers = await each_others(stack, "X", count=count)
            clients = [await stack.enter_async_context(IndiClient(server.port)) for server in servers]
            for client in clients:
                await client.get_properties()
            for _ in range(5):
                driver = echo_driver("X")
                servers[0].add_driver(driver)
                for client in clients:
                    await client.expect(match("defNumberVector", device="X", name="pos"))
                await busy(driver)
                await clients[-1].send(new_vector("Number", "X", "pos", n=77))
                await clients[-1].expect(match("setNumberVector", device="X", values={"n": "77"}))
                assert len(driver.executed) == 1
                await servers[0].remove(driver)
                await quiet(*servers)
                assert all("X" not in server.board.router.devices for server in servers)
                await clients[0].send(new_vector("Number", "X", "pos", n=78))
                await quiet(*servers)
                for client in clients:
                    await client.settle()


@asynchronous
async def test_a_message_without_device_does_not_circulate_through_links_for_one_device() -> None:
    async with contextlib.AsyncExitStack() as stack:
        servers = await each_others(stack, "X", "Y")
        client = await stack.enter_async_context(IndiClient(servers[0].port))
        await client.settle()
        await servers[0].send_message("to everybody")
        await servers[1].send_message("to everybody else")
        await quiet(*servers)
        heard = [e.get("message") for e in client.received if e.tag == "message"]
        assert heard.count("to everybody") == 1


@asynchronous
async def test_a_server_that_takes_a_device_from_itself_is_quiet() -> None:
    async with contextlib.AsyncExitStack() as stack:
        (server,) = await each_others(stack, "X", count=1)
        driver = echo_driver("X")
        server.add_driver(driver)
        client = await stack.enter_async_context(IndiClient(server.port))
        await client.get_properties()
        await client.expect(match("defNumberVector", device="X", name="pos"))
        await busy(driver)
        await client.send(new_vector("Number", "X", "pos", n=77))
        await client.expect(match("setNumberVector", device="X", values={"n": "77"}))
        await server.remove(driver)
        await quiet(server)
        assert "X" not in server.board.router.devices
