import asyncio

import indipyclient as ipc


class MyClient(ipc.IPyClient):
    async def rxevent(self, event):
        match event:
            case ipc.setNumberVector(devicename="Thermostat", vectorname="TEMPERATURE"):
                print(event.vector.getformattedvalue("ROOM"))
            case ipc.ConnectionLost():
                print("the server is gone")


myclient = MyClient(indihost="localhost", indiport=7624)
asyncio.run(myclient.asyncrun())
