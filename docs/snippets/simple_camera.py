"""A camera that takes images of a grey wedge."""

import asyncio
import sys
from array import array

import indipydriver as ipd
from indipyserver import IPyServer

WIDTH, HEIGHT = 320, 240


# an image
def take_picture(seconds):
    """What the sensor would deliver, as a FITS file of 16-bit numbers."""
    step = int(200 * seconds)
    line = [min(65535, 1000 + step * (column % 64)) for column in range(WIDTH)]
    pixels = line * HEIGHT
    cards = [
        f"{'SIMPLE':8}= {'T':>20}",
        f"{'BITPIX':8}= {16:>20}",
        f"{'NAXIS':8}= {2:>20}",
        f"{'NAXIS1':8}= {WIDTH:>20}",
        f"{'NAXIS2':8}= {HEIGHT:>20}",
        f"{'BZERO':8}= {32768:>20}",
        f"{'BSCALE':8}= {1:>20}",
        f"{'EXPTIME':8}= {seconds:>20}",
        "END",
    ]
    header = "".join(card.ljust(80) for card in cards).encode("ascii")
    data = array("h", [pixel - 32768 for pixel in pixels])
    if sys.byteorder == "little":  # FITS stores the high byte first
        data.byteswap()
    return fill(header, b" ") + fill(data.tobytes(), b"\0")


def fill(data, filler):
    """FITS files consist of blocks of 2880 bytes."""
    return data + filler * (-len(data) % 2880)


# the driver
class CameraDriver(ipd.IPyDriver):
    exposing = False

    async def rxevent(self, event):
        match event.vectorname:
            case "CONNECTION":
                await self.connect(event.get("CONNECT") == "On")
            case "CCD_EXPOSURE" if not self.exposing:
                self.exposing = True
                self.add_background(self.expose(event.getfloatvalue("CCD_EXPOSURE_VALUE")))
            case "CCD_EXPOSURE":
                await event.vector.send_setVector(message="An exposure is already in progress")

    # the connection
    async def connect(self, wanted):
        device = self["My Camera"]
        connection = device["CONNECTION"]
        connection["CONNECT"] = "On" if wanted else "Off"
        connection["DISCONNECT"] = "Off" if wanted else "On"
        await connection.send_setVector(state="Ok" if wanted else "Idle")
        for vector in (device["CCD_EXPOSURE"], device["CCD_INFO"], device["CCD1"]):
            if wanted and not vector.enable:
                vector.enable = True
                await vector.send_defVector()
            elif not wanted and vector.enable:
                await vector.send_delProperty()

    # the exposure
    async def expose(self, seconds):
        device = self["My Camera"]
        exposure, image = device["CCD_EXPOSURE"], device["CCD1"]
        left = seconds
        while left > 0:
            exposure["CCD_EXPOSURE_VALUE"] = f"{left:.2f}"
            await exposure.send_setVector(state="Busy")
            await asyncio.sleep(min(left, 1))
            left -= 1
        image["CCD1"] = await asyncio.to_thread(take_picture, seconds)
        await image.send_setVectorMembers(state="Ok", members=["CCD1"])
        exposure["CCD_EXPOSURE_VALUE"] = 0
        await exposure.send_setVector(state="Ok")
        self.exposing = False


# the vectors
def make_driver():
    connection = ipd.SwitchVector(
        "CONNECTION",
        label="Connection",
        group="Main Control",
        perm="rw",
        rule="OneOfMany",
        state="Idle",
        switchmembers=[
            ipd.SwitchMember("CONNECT", label="Connect"),
            ipd.SwitchMember("DISCONNECT", label="Disconnect", membervalue="On"),
        ],
    )
    info = ipd.TextVector(
        "DRIVER_INFO",
        label="Driver",
        group="Main Control",
        perm="ro",
        state="Idle",
        textmembers=[
            ipd.TextMember("DRIVER_NAME", membervalue="My Camera"),
            ipd.TextMember("DRIVER_EXEC", membervalue="simple_camera.py"),
            ipd.TextMember("DRIVER_VERSION", membervalue="1.0"),
            ipd.TextMember("DRIVER_INTERFACE", membervalue="2"),
        ],
    )
    exposure = ipd.NumberVector(
        "CCD_EXPOSURE",
        label="Exposure",
        group="Main Control",
        perm="rw",
        state="Idle",
        numbermembers=[
            ipd.NumberMember(
                "CCD_EXPOSURE_VALUE",
                label="Duration, s",
                format="%.2f",
                min=0.01,
                max=60,
                membervalue=1,
            )
        ],
    )
    sensor = ipd.NumberVector(
        "CCD_INFO",
        label="Sensor",
        group="Main Control",
        perm="ro",
        state="Ok",
        numbermembers=[
            ipd.NumberMember("CCD_MAX_X", format="%.0f", membervalue=WIDTH),
            ipd.NumberMember("CCD_MAX_Y", format="%.0f", membervalue=HEIGHT),
            ipd.NumberMember("CCD_PIXEL_SIZE", format="%.2f", membervalue=5),
            ipd.NumberMember("CCD_PIXEL_SIZE_X", format="%.2f", membervalue=5),
            ipd.NumberMember("CCD_PIXEL_SIZE_Y", format="%.2f", membervalue=5),
            ipd.NumberMember("CCD_BITSPERPIXEL", format="%.0f", membervalue=16),
        ],
    )
    image = ipd.BLOBVector(
        "CCD1",
        label="Image",
        group="Main Control",
        perm="ro",
        state="Idle",
        blobmembers=[ipd.BLOBMember("CCD1", label="Image", blobformat=".fits")],
    )
    for vector in (exposure, sensor, image):
        vector.enable = False  # until a client connects the device
    return CameraDriver(ipd.Device("My Camera", [connection, info, exposure, sensor, image]))


# the start
if __name__ == "__main__":
    IPyServer(make_driver()).run()
