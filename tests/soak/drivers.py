"""Drivers of this package for the soak: a camera, and one that snoops."""

import asyncio
import random
from typing import Any

import indipydriver as ipd

from .pictures import Album, number_of, picture
from .programs import PAUSE


class Camera(ipd.IPyDriver):
    """Takes pictures while its switch is on; after each it says in `head` which that was."""

    def __init__(self, name: str, directory: str) -> None:
        blobs = [
            ipd.BLOBVector("image", "Image", "Main", "ro", "Ok", [ipd.BLOBMember("a", blobformat=".bin")]),
            ipd.BLOBVector("video", "Video", "Main", "ro", "Ok", [ipd.BLOBMember("a", blobformat=".stream")]),
            ipd.BLOBVector("upload", "Upload", "Main", "rw", "Ok", [ipd.BLOBMember("a", blobformat=".bin")]),
        ]
        head = ipd.TextVector("head", "Head", "Main", "ro", "Ok", [ipd.TextMember("vector"), ipd.TextMember("serial")])
        run = ipd.SwitchVector(
            "run", "Run", "Main", "rw", "AnyOfMany", "Ok", [ipd.SwitchMember("s", membervalue="Off")]
        )
        super().__init__(ipd.Device(name, [*blobs, head, run]))
        self.name, self.directory = name, directory
        self.rng = random.Random(name)

    async def rxevent(self, event: Any) -> None:
        if isinstance(event, ipd.newSwitchVector) and event.vectorname == "run":
            event.vector["s"] = event["s"]
            await event.vector.send_setVector(state="Ok")
        elif isinstance(event, ipd.newBLOBVector) and event.vectorname == "upload":
            try:
                line = str(number_of(self.name, event["a"]))
            except ValueError as error:
                line = f"damaged: {error}"
            with open(f"{self.directory}/{self.name}.uploads", "a") as file:
                file.write(line + "\n")
            await event.vector.send_setVectorMembers(state="Ok")

    async def hardware(self) -> None:
        device = self[self.name]
        serials = {"image": 0, "video": 0}
        while not self.stop:
            await asyncio.sleep(self.rng.uniform(*PAUSE))
            if device["run"]["s"] != "On":
                continue
            vector = self.rng.choice(["image", "image", "video"])
            serials[vector] += 1
            device[vector]["a"] = picture(self.name, serials[vector], self.rng)
            await device[vector].send_setVectorMembers(state="Ok", members=["a"])
            device["head"]["vector"], device["head"]["serial"] = vector, str(serials[vector])
            await device["head"].send_setVector()


class Snooper(ipd.IPyDriver):
    """Shows what it has last heard of the number `pos` of other devices, and judges the pictures of cameras."""

    def __init__(self, name: str, watched: list[str], cameras: list[str]) -> None:
        seen = ipd.TextVector(
            "seen", "Seen", "Main", "ro", "Ok", [ipd.TextMember(each, membervalue="?") for each in watched]
        )
        album = ipd.TextVector(
            "album", "Album", "Main", "ro", "Ok", [ipd.TextMember("good", membervalue="0"), ipd.TextMember("wrong")]
        )
        super().__init__(ipd.Device(name, [seen, album]))
        self.name, self.watched, self.cameras = name, watched, cameras
        self.album = Album(set(cameras))

    async def hardware(self) -> None:
        for device in self.watched:
            self.snoop(device, "pos", 5)
        for camera in self.cameras:
            await self.send_getProperties(camera, "image")

    async def snoopevent(self, event: Any) -> None:
        device = self[self.name]
        if isinstance(event, ipd.defNumberVector | ipd.setNumberVector) and "n" in event:
            if device["seen"][event.devicename] != event["n"]:
                device["seen"][event.devicename] = event["n"]
                await device["seen"].send_setVector()
        elif isinstance(event, ipd.setBLOBVector):
            for member in event:
                self.album.add(event.devicename, event.vectorname, event[member])
            device["album"]["good"] = str(self.album.good)
            device["album"]["wrong"] = "; ".join(self.album.wrong)[:300]
            await device["album"].send_setVector()
