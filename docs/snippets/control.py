import asyncio

from indipyserver import Control, ControlError


async def main() -> None:
    async with Control() as control:  # the server on port 7624
        for driver in await control.drivers():
            print(driver["label"], driver["state"], driver["devices"])
        try:
            await control.restart("CCD Simulator")
        except ControlError as error:
            print(error)
        async for event in control.follow():
            if event["event"] == "driver":
                print(event["driver"]["label"], event["driver"]["state"])


if __name__ == "__main__":
    asyncio.run(main())
