"""Records everything that happens to a mount."""

import indipydriver as ipd
from indipyserver import IPyServer


class Recorder(ipd.IPyDriver):
    async def hardware(self):
        await self.send_getProperties("Telescope Simulator")  # without a name: everything

    async def snoopevent(self, event):
        log = self["Recorder"]["LOG"]
        log["LAST"] = f"{type(event).__name__} {event.vectorname or ''}"
        await log.send_setVector(state="Ok")


def make_driver():
    vector = ipd.TextVector("LOG", "Log", "Main Control", "ro", "Idle", [ipd.TextMember("LAST", "Last event")])
    return Recorder(ipd.Device("Recorder", [vector]))


if __name__ == "__main__":
    IPyServer(make_driver()).run()
