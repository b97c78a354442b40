import asyncio

from indipyclient import Client


async def main():
    async with Client("localhost") as client:
        await client.wait_device("Thermostat")
        room = client.need("Thermostat", "TEMPERATURE")["ROOM"]
        print(f"{room.label}: {room.shown}")
        async for delta in client.changes("Thermostat", "TEMPERATURE", interval=0.5):
            for prop in delta.properties:
                print(f"{prop['ROOM'].number:.2f} ({prop.state})")
            if not delta.connected:
                print(client.status.reason)


asyncio.run(main())
