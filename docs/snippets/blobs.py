"""A file store: sends files, and keeps those that clients send."""

import asyncio
import zlib
from pathlib import Path

import indipydriver as ipd
from indipyserver import IPyServer


class DriveDriver(ipd.IPyDriver):
    # sending
    async def send_bytes(self, data):
        blob = self["Drive"]["GIVE"]
        blob["FILE"] = data
        await blob.send_setVectorMembers(state="Ok", members=["FILE"])

    async def send_file(self, path):
        await self.send_bytes(Path(path))  # read when it is sent

    async def send_compressed(self, data):
        blob = self["Drive"]["GIVE"]
        blob.set_blobsize("FILE", len(data))
        blob.data["FILE"].blobformat = ".bin.z"
        await self.send_bytes(zlib.compress(data))
        blob.set_blobsize("FILE", 0)  # from now on, the length of the data again
        blob.data["FILE"].blobformat = ""

    # receiving
    async def rxevent(self, event):
        match event:
            case ipd.newBLOBVector(vectorname="TAKE"):
                size, format = event.sizeformat["FILE"]
                suffix = "".join(char for char in format if char.isalnum() or char == ".")
                await asyncio.to_thread(Path("received" + suffix).write_bytes, event["FILE"])
                await event.vector.send_setVectorMembers(state="Ok", message=f"{size} bytes saved")


# the vectors
def make_driver():
    give = ipd.BLOBVector("GIVE", "Give", "Main Control", "ro", "Idle", [ipd.BLOBMember("FILE", "File")])
    take = ipd.BLOBVector("TAKE", "Take", "Main Control", "wo", "Idle", [ipd.BLOBMember("FILE", "File")])
    return DriveDriver(ipd.Device("Drive", [give, take]))


if __name__ == "__main__":
    IPyServer(make_driver()).run()
