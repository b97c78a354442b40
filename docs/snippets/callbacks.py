"""A sensor whose library calls back, in a thread of its own."""

import asyncio
import threading

import indipydriver as ipd
from indipyserver import IPyServer


class Library:
    """As its vendor ships it."""

    def start(self, callback):
        threading.Thread(target=lambda: [callback(20.0 + n) for n in range(3)], daemon=True).start()


class SensorDriver(ipd.IPyDriver):
    async def hardware(self):
        loop = asyncio.get_running_loop()
        values = asyncio.Queue()

        def callback(value):  # in the thread of the library
            loop.call_soon_threadsafe(values.put_nowait, value)

        self.driverdata["library"].start(callback)
        temperature = self["Sensor"]["TEMPERATURE"]
        while not self.stop:
            temperature["AIR"] = await values.get()
            await temperature.send_setVector(state="Ok")


def make_driver(library=None):
    air = ipd.NumberMember("AIR", "Air, °C", "%.1f")
    vector = ipd.NumberVector("TEMPERATURE", "Temperature", "Main Control", "ro", "Idle", [air])
    return SensorDriver(ipd.Device("Sensor", [vector]), library=library or Library())


if __name__ == "__main__":
    IPyServer(make_driver()).run()
