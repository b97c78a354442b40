"""A driver for tests about everything around drivers: it does what it is told, and says what it was told."""

from typing import Any

import indipydriver as ipd


class Echo(ipd.IPyDriver):
    """Each device has ``pos`` (number n), ``name`` (text t), ``lamp`` (switch s), ``image`` (BLOB b); commands are
    executed at once and kept in ``executed`` as (device, vector, values)."""

    def __init__(self, *devices: ipd.Device, **data: Any) -> None:
        super().__init__(*devices, **data)
        self.executed: list[tuple[str, str, dict[str, str]]] = []
        self.log_dir: str | None = None  # a directory with a file for each device, of the values of `pos`

    async def rxevent(self, event: Any) -> None:
        if not isinstance(event, ipd.getProperties) and event.vector is not None:
            self.executed.append((event.devicename, event.vectorname, {name: str(event[name]) for name in event}))
            if self.log_dir is not None and event.vectorname == "pos":
                with open(f"{self.log_dir}/{event.devicename}", "a") as file:
                    file.write(f"{event['n']}\n")
            if isinstance(event, ipd.newBLOBVector):
                event.vector.state = "Ok"
                await event.vector.send_setVectorMembers(state="Ok")
                return
            for name in event:
                event.vector[name] = event[name]
            await event.vector.send_setVector(state="Ok")


def echo_device(name: str) -> ipd.Device:
    number = ipd.NumberMember("n", format="%.0f", min=0, max=0, step=1, membervalue=0)
    return ipd.Device(
        name,
        [
            ipd.NumberVector("pos", "Position", "Main", "rw", "Ok", [number]),
            ipd.TextVector("name", "Name", "Main", "rw", "Ok", [ipd.TextMember("t", membervalue="")]),
            ipd.SwitchVector(
                "lamp", "Lamp", "Main", "rw", "AnyOfMany", "Ok", [ipd.SwitchMember("s", membervalue="Off")]
            ),
            ipd.BLOBVector("image", "Image", "Main", "rw", "Ok", [ipd.BLOBMember("b", blobformat=".bin")]),
        ],
    )


def echo_driver(*names: str) -> Echo:
    """An Echo with these devices."""
    return Echo(*map(echo_device, names or ("A",)))
