"""One client under measurement, in a process of its own; it knows all clients, and needs the package of one.

    python clientworker.py ours|classic|pyindi ADDRESS PROPERTIES

It prints a JSON object: seconds until all properties were known, from the first update to the last, and the processor
time and memory of that.
"""

import asyncio
import json
import os
import sys
import time


def memory() -> float:
    """The most that it ever was, in MB; getrusage counts that of the parent, too."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))


class Watch:
    """Takes the times."""

    def __init__(self, properties: int) -> None:
        self.properties = properties
        self.begin = time.perf_counter()
        self.defined = self.first = self.last = 0.0
        self.cpu = 0.0
        self.memory = 0.0

    def know(self, count: int) -> None:
        if not self.defined and count >= self.properties:
            self.defined = time.perf_counter() - self.begin
            self.memory = memory()

    def update(self, state: str) -> bool:
        """True when it was the last one."""
        if not self.first:
            self.first = time.perf_counter()
            self.cpu = time.process_time()
        if state != "Alert":
            return False
        self.last = time.perf_counter()
        self.cpu = time.process_time() - self.cpu
        return True

    def show(self) -> None:
        seconds = self.last - self.first
        figures = {"complete": self.defined, "seconds": seconds, "cpu": self.cpu, "memory": self.memory}
        print(json.dumps({**figures, "memory_at_end": memory()}))


async def ours(address: str, watch: Watch) -> None:
    from indipyclient import BlobMode, Client, What

    async with Client(address, blobs=BlobMode.ALSO) as client:
        tap = client.tap(limit=1_000_000, limit_bytes=1 << 30)
        known = len(client.model)
        async for change in tap:
            if change.what is What.DEFINED:
                known += 1
                watch.know(known)
            elif change.what is What.SET and watch.update(change.prop.state):
                return


async def classic(address: str, watch: Watch) -> None:
    import indipyclient as ipc

    class Client(ipc.IPyClient):
        known = 0

        async def rxevent(self, event):
            if event.eventtype in ("Define", "DefineBLOB"):
                self.known += 1
                watch.know(self.known)
            elif event.eventtype in ("Set", "SetBLOB") and watch.update(event.state or ""):
                self.shutdown()

    host, _, port = address.partition(":")
    client = Client(host, int(port)) if port else Client(address)
    client.enableBLOBdefault = "Also"
    await client.asyncrun()


async def pyindi(address: str, watch: Watch) -> None:
    import PyIndi

    loop = asyncio.get_running_loop()
    over = asyncio.Event()

    class Client(PyIndi.BaseClient):  # called in a thread of its own
        known = 0

        def newProperty(self, prop):
            self.known += 1
            watch.know(self.known)

        def updateProperty(self, prop):
            if watch.update("Alert" if prop.getState() == PyIndi.IPS_ALERT else ""):
                loop.call_soon_threadsafe(over.set)

    client = Client()
    host, port = address.split(":")
    client.setServer(host, int(port))
    client.setBLOBMode(PyIndi.B_ALSO, "CCD", None)
    if not client.connectServer():
        raise SystemExit("no connection")
    await over.wait()


def main() -> None:
    kind, address, properties = sys.argv[1], sys.argv[2], int(sys.argv[3])
    watch = Watch(properties)
    asyncio.run({"ours": ours, "classic": classic, "pyindi": pyindi}[kind](address, watch))
    watch.show()
    sys.stdout.flush()
    os._exit(0)  # pyindi-client's threads may hang at the end


if __name__ == "__main__":
    main()
