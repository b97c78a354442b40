import asyncio

from indipyserver import Control, ControlError


async def main() -> None:
    async with Control() as control:  # the server on port 7624
        for driver in await control.drivers():
            print(driver["label"], driver["state"], driver["devices"])
        for client in await control.clients():
            print(client["label"], client["bytes_waiting"], "bytes wait")
        try:
            await control.restart("CCD Simulator")
        except ControlError as error:
            print(error)


if __name__ == "__main__":
    asyncio.run(main())
