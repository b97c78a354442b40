#!/usr/bin/env python3
"""A driver that another server runs, over its standard input and output.

    indiserver examples/stdio_driver.py

It has one vector of every kind, counts all the time, and sends 5 MB on request:

    indi_setprop Echo.SEND.SEND=On
    indi_getprop -t 5 Echo.BLOB.DATA

Standard output belongs to the protocol, so such a program logs instead of printing.
"""

import asyncio
import random
import sys
from pathlib import Path

if not __package__:  # started as a file: use the packages of the checkout that it lies in
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import indipydriver as ipd

PAYLOAD_SIZE = 5_000_000


def payload():
    """The bytes that are sent on request: random, but the same every time."""
    return random.Random(7624).randbytes(PAYLOAD_SIZE)


class EchoDriver(ipd.IPyDriver):
    """Sends back what it receives."""

    async def rxevent(self, event):
        match event:
            case ipd.newTextVector() | ipd.newNumberVector():
                event.vector.update(event)
                await event.vector.send_setVector(state="Ok")
            case ipd.newSwitchVector(vectorname="SWITCH"):
                event.vector.update(event)
                await event.vector.send_setVector(state="Ok")
                # Clients cannot set lights. This one shows whether both switches are on.
                light = self["Echo"]["LIGHT"]
                light["BOTH"] = "Ok" if set(event.vector.values()) == {"On"} else "Idle"
                await light.send_setVector()
            case ipd.newSwitchVector(vectorname="SEND"):
                await event.vector.send_setVector(state="Busy")
                await self.send_blob(payload(), ".bin")
                await event.vector.send_setVector(state="Ok")  # the switch itself stays Off
            case ipd.newBLOBVector():
                _size, suffix = event.sizeformat["DATA"]
                await self.send_blob(event["DATA"], suffix)

    async def send_blob(self, data, suffix):
        blob = self["Echo"]["BLOB"]
        blob.data["DATA"].blobformat = suffix  # .data holds the members themselves
        blob["DATA"] = data
        await blob.send_setVectorMembers(state="Ok", members=["DATA"])

    async def hardware(self):
        """Count twenty times a second, to show that a large BLOB does not hold up other vectors."""
        counter = self["Echo"]["COUNTER"]
        while not self.stop:
            await asyncio.sleep(0.05)
            counter["COUNT"] = int(counter.getfloatvalue("COUNT")) + 1
            await counter.send_setVector()


def make_driver():
    """One device "Echo"."""
    vectors = [
        ipd.TextVector("TEXT", "Text", "Main Control", "rw", "Ok", [ipd.TextMember("TEXT", "Text", "hello")]),
        ipd.NumberVector(
            "NUMBER",
            "Number",
            "Main Control",
            "rw",
            "Ok",
            [ipd.NumberMember("NUMBER", "Number", "%.3f", -100, 100, 0, 1.5)],
        ),
        ipd.SwitchVector(
            "SWITCH",
            "Switches",
            "Main Control",
            "rw",
            "AnyOfMany",
            "Ok",
            [ipd.SwitchMember("A"), ipd.SwitchMember("B")],
        ),
        ipd.LightVector("LIGHT", "Light", "Main Control", "Ok", [ipd.LightMember("BOTH", "Both switches")]),
        ipd.BLOBVector("BLOB", "BLOB", "Main Control", "rw", "Ok", [ipd.BLOBMember("DATA", "Data")]),
        ipd.SwitchVector(
            "SEND", "Send 5 MB", "Main Control", "rw", "AtMostOne", "Ok", [ipd.SwitchMember("SEND", "Send")]
        ),
        ipd.NumberVector(
            "COUNTER", "Counter", "Main Control", "ro", "Ok", [ipd.NumberMember("COUNT", "Count", "%.0f")]
        ),
    ]
    return EchoDriver(ipd.Device("Echo", vectors))


def main():
    make_driver().run()


if __name__ == "__main__":
    main()
