"""A camera: connect it, take an image of the stars, watch the countdown, abort an exposure.

    python3 examples/camera.py
    indi_setprop Camera.CONNECTION.CONNECT=On
    indi_setprop Camera.CCD_EXPOSURE.CCD_EXPOSURE_VALUE=2
    indi_getprop -t 5 Camera.CCD1.CCD1        writes the next image to Camera.CCD1.CCD1.fits

The properties have the standard names of INDI cameras, so KStars and other clients recognise them.
"""

import asyncio
import contextlib
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

if not __package__:  # started as a file: use the packages of the checkout that it lies in
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import indipydriver as ipd
from examples import pictures
from indipyserver import IPyServer

WIDTH, HEIGHT = 640, 480


class CameraDriver(ipd.IPyDriver):
    abort = None  # during an exposure: the event that ends it early

    async def rxevent(self, event):
        match event.vectorname:
            case "CONNECTION":
                await self.connect(event.vector, event.get("CONNECT") == "On")
            case "CCD_EXPOSURE" if self.abort is None:
                # In the background, so that further commands are handled during the exposure.
                self.abort = asyncio.Event()
                self.add_background(self.expose(event.getfloatvalue("CCD_EXPOSURE_VALUE")))
            case "CCD_EXPOSURE":
                await event.vector.send_setVector(message="An exposure is in progress: abort it first")
            case "CCD_ABORT_EXPOSURE":
                if self.abort:
                    self.abort.set()
                # The switch is a button: it goes back to Off at once.
                event.vector["ABORT"] = "Off"
                await event.vector.send_setVector(state="Ok")

    async def connect(self, connection, wanted):
        """Define the other vectors when a client connects the device, and delete them when it disconnects."""
        connection["CONNECT"], connection["DISCONNECT"] = ("On", "Off") if wanted else ("Off", "On")
        await connection.send_setVector(state="Ok" if wanted else "Idle")
        if not wanted and self.abort:
            self.abort.set()
        for vector in self["Camera"].values():
            if vector.group != "Main" or vector.enable == wanted:
                continue
            if wanted:
                vector.enable = True
                await vector.send_defVector()
            else:
                await vector.send_delProperty()

    async def expose(self, seconds):
        """Count down to the end of the exposure, and send the image."""
        exposure = self["Camera"]["CCD_EXPOSURE"]
        begin, abort = datetime.now(UTC), self.abort
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not abort.is_set() and not self.stop:
            exposure["CCD_EXPOSURE_VALUE"] = f"{left:.2f}"
            await exposure.send_setVector(state="Busy")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(abort.wait(), min(left, 0.5))
        exposure["CCD_EXPOSURE_VALUE"] = 0
        if abort.is_set() or self.stop:
            await exposure.send_setVector(state="Idle", message="The exposure has been aborted")
        else:
            image = self["Camera"]["CCD1"]
            # A long computation belongs in a thread, so that nothing else has to wait.
            image["CCD1"] = await asyncio.to_thread(take_picture, seconds, begin)
            await image.send_setVectorMembers(state="Ok", members=["CCD1"])
            await exposure.send_setVector(state="Ok")
        self.abort = None


def take_picture(seconds, begin):
    """What a real driver would read from its hardware, as a FITS file."""
    pixels = pictures.star_field(WIDTH, HEIGHT, seconds)
    return pictures.fits(
        pixels,
        WIDTH,
        HEIGHT,
        EXPTIME=seconds,
        DATE_OBS=begin.replace(tzinfo=None).isoformat(timespec="milliseconds"),
        INSTRUME="Camera",
    )


def make_driver():
    """One device "Camera", not yet connected."""
    connection = ipd.SwitchVector(
        "CONNECTION",
        label="Connection",
        group="General",
        perm="rw",
        rule="OneOfMany",
        state="Idle",
        switchmembers=[
            ipd.SwitchMember("CONNECT", label="Connect", membervalue="Off"),
            ipd.SwitchMember("DISCONNECT", label="Disconnect", membervalue="On"),
        ],
    )
    driver_info = ipd.TextVector(
        "DRIVER_INFO",
        label="Driver",
        group="General",
        perm="ro",
        state="Idle",
        textmembers=[
            ipd.TextMember("DRIVER_NAME", label="Name", membervalue="Camera"),
            ipd.TextMember("DRIVER_EXEC", label="Program", membervalue="camera.py"),
            ipd.TextMember("DRIVER_VERSION", label="Version", membervalue="1.0"),
            ipd.TextMember("DRIVER_INTERFACE", label="Interface", membervalue="2"),  # 2 stands for a camera
        ],
    )
    exposure = ipd.NumberVector(
        "CCD_EXPOSURE",
        label="Exposure",
        group="Main",
        perm="rw",
        state="Idle",
        numbermembers=[
            ipd.NumberMember(
                "CCD_EXPOSURE_VALUE", label="Duration, s", format="%.2f", min=0.01, max=3600, membervalue=1
            )
        ],
    )
    abort = ipd.SwitchVector(
        "CCD_ABORT_EXPOSURE",
        label="Abort",
        group="Main",
        perm="rw",
        rule="AtMostOne",
        state="Idle",
        switchmembers=[ipd.SwitchMember("ABORT", label="Abort")],
    )
    info = ipd.NumberVector(
        "CCD_INFO",
        label="Sensor",
        group="Main",
        perm="ro",
        state="Ok",
        numbermembers=[
            ipd.NumberMember("CCD_MAX_X", label="Width", format="%.0f", membervalue=WIDTH),
            ipd.NumberMember("CCD_MAX_Y", label="Height", format="%.0f", membervalue=HEIGHT),
            ipd.NumberMember("CCD_PIXEL_SIZE", label="Pixel, µm", format="%.2f", membervalue=3.75),
            ipd.NumberMember("CCD_PIXEL_SIZE_X", label="Pixel width, µm", format="%.2f", membervalue=3.75),
            ipd.NumberMember("CCD_PIXEL_SIZE_Y", label="Pixel height, µm", format="%.2f", membervalue=3.75),
            ipd.NumberMember("CCD_BITSPERPIXEL", label="Bits per pixel", format="%.0f", membervalue=16),
        ],
    )
    image = ipd.BLOBVector(
        "CCD1",
        label="Image",
        group="Main",
        perm="ro",
        state="Idle",
        blobmembers=[ipd.BLOBMember("CCD1", label="Image", blobformat=".fits")],
    )
    for vector in (exposure, abort, info, image):
        vector.enable = False  # until a client connects the device
    return CameraDriver(ipd.Device("Camera", [connection, driver_info, exposure, abort, info, image]))


def main():
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 7624
    server = IPyServer(make_driver(), host="localhost", port=port)
    print(f"The camera is served on localhost:{port}; connect it: indi_setprop -p {port} Camera.CONNECTION.CONNECT=On")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(server.asyncrun())


if __name__ == "__main__":
    main()
