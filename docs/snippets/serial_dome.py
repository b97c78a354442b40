"""A dome on a serial port, which answers questions such as "AZ?" with "123.4"."""

import asyncio

import indipydriver as ipd
from indipyserver import IPyServer


def open_port():
    import serial

    return serial.Serial("/dev/ttyUSB0", 9600, timeout=2)


class DomeDriver(ipd.IPyDriver):
    port = target = None

    async def ask(self, question):
        """Send one question and return its answer; nothing else is sent in between."""
        async with self.driverdata["lock"]:
            return await asyncio.to_thread(self.ask_and_block, question)

    def ask_and_block(self, question):
        self.port.reset_input_buffer()  # an answer that came too late is not the answer to this question
        self.port.write(question.encode("ascii") + b"\r")
        answer = self.port.read_until(b"\r")
        if not answer.endswith(b"\r"):
            raise TimeoutError(f"the dome does not answer {question!r}")
        return answer.decode("ascii").strip()

    async def hardware(self):
        self.port = await asyncio.to_thread(self.driverdata["open_port"])
        azimuth = self["Dome"]["ABS_DOME_POSITION"]
        while not self.stop:
            try:
                here = float(await self.ask("AZ?"))
                turning = self.target is not None and abs((here - self.target + 180) % 360 - 180) > 0.2
                azimuth["DOME_ABSOLUTE_POSITION"] = here
                await azimuth.send_setVector(state="Busy" if turning else "Ok", allvalues=False)
            except (TimeoutError, ValueError) as error:
                await azimuth.send_setVector(state="Alert", message=str(error))
            await asyncio.sleep(1)

    async def rxevent(self, event):
        match event:
            case ipd.newNumberVector(vectorname="ABS_DOME_POSITION"):
                self.target = event.getfloatvalue("DOME_ABSOLUTE_POSITION")
                await event.vector.send_setVector(state="Busy")
                try:
                    await self.ask(f"GOTO {self.target:.1f}")
                except TimeoutError:
                    self.target = None  # it does not turn
                    raise


def make_driver(open_port=open_port):
    position = ipd.NumberMember("DOME_ABSOLUTE_POSITION", "Azimuth, °", "%.1f", 0, 360, 1)
    vector = ipd.NumberVector("ABS_DOME_POSITION", "Position", "Main Control", "rw", "Idle", [position])
    return DomeDriver(ipd.Device("Dome", [vector]), open_port=open_port, lock=asyncio.Lock())


if __name__ == "__main__":
    IPyServer(make_driver()).run()
