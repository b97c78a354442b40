import asyncio

from indipyclient import Client, LinkLost, NotConnected


async def hold(client, target):
    """Set the target, and set it again when nobody knows whether it arrived: for this property that does no harm."""
    while True:
        try:
            return await client.set("Thermostat", "TARGET", TARGET=target, confirm="answered")
        except (NotConnected, LinkLost) as error:
            print(error)
            await client.wait_link()
            await client.wait_property("Thermostat", "TARGET", timeout=None)


async def main():
    client = Client("localhost")
    await client.start(wait=False)  # the server may come later
    try:
        await client.wait_property("Thermostat", "TARGET", timeout=None)
        outcome = await hold(client, 19.5)
        print(outcome.prop["TARGET"].shown)
    finally:
        await client.aclose()


asyncio.run(main())
