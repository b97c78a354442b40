import asyncio

from indipyclient import Client, ClientError, Refused, TimedOut


async def main():
    async with Client("localhost") as client:
        await client.wait_property("Thermostat", "TARGET")
        try:
            outcome = await client.set("Thermostat", "TARGET", TARGET=19.5, timeout=60)
        except Refused as error:
            print("no:", error.message)
        except TimedOut as error:
            print("still", error.state, "after", round(error.elapsed), "s")
        except ClientError as error:
            print(error, "- sent" if error.sent else "- not sent")
        else:
            print(outcome.prop["TARGET"].shown, "after", round(outcome.elapsed), "s", *outcome.messages)


asyncio.run(main())
