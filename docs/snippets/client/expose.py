import asyncio
from pathlib import Path

from indipyclient import Client


async def main():
    folder = Path("images")
    async with Client("localhost") as client:
        await client.wait_property("Camera", "CONNECTION")
        await client.press("Camera", "CONNECTION", "CONNECT")
        await client.wait_property("Camera", "CCD_EXPOSURE")  # it is defined when the camera is connected
        async with client.blobs("Camera", "CCD1") as images:  # from now on they are sent to us
            await client.set("Camera", "CCD_EXPOSURE", CCD_EXPOSURE_VALUE=0.5)
            image = await images.next()
        print(image.write_to(folder))


asyncio.run(main())
