import indipydriver as ipd
from indipyserver import IPyServer


class LEDDriver(ipd.IPyDriver):
    async def rxevent(self, event):
        match event:
            case ipd.newSwitchVector(devicename="LED", vectorname="LIGHT"):
                event.vector["LAMP"] = event["LAMP"]  # switch the hardware here
                await event.vector.send_setVector(state="Ok")


lamp = ipd.SwitchMember("LAMP", label="Lamp")
light = ipd.SwitchVector("LIGHT", "Light", "Main Control", "rw", "AnyOfMany", "Ok", [lamp])
driver = LEDDriver(ipd.Device("LED", [light]))

IPyServer(driver).run()
