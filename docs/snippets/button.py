"""A limit switch on a pin, shown as a light."""

import asyncio

import indipydriver as ipd
from indipyserver import IPyServer


def open_button():
    from gpiozero import Button

    return Button(4)


class ButtonDriver(ipd.IPyDriver):
    async def hardware(self):
        loop = asyncio.get_running_loop()
        pressed = asyncio.Queue()
        button = self.driverdata["open_button"]()
        button.when_pressed = lambda: loop.call_soon_threadsafe(pressed.put_nowait, True)
        button.when_released = lambda: loop.call_soon_threadsafe(pressed.put_nowait, False)
        pressed.put_nowait(button.is_pressed)  # as it is now: it calls back when that changes
        limit = self["Slit"]["LIMIT"]
        while not self.stop:
            limit["OPEN"] = "Alert" if await pressed.get() else "Ok"
            await limit.send_setVector()


def make_driver(open_button=open_button):
    vector = ipd.LightVector("LIMIT", "Limit", "Main Control", "Ok", [ipd.LightMember("OPEN", "Fully open")])
    return ButtonDriver(ipd.Device("Slit", [vector]), open_button=open_button)


if __name__ == "__main__":
    IPyServer(make_driver()).run()
