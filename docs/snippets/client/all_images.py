import asyncio
import contextlib

from indipyclient import Client


def tell(image, path):
    print(image.member, image.size, path)


async def main():
    async with Client("localhost") as client:
        await client.save_blobs("images", "Camera", "CCD1", saved=tell)


with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C ends it
    asyncio.run(main())
