"""How one step of a session is run and what is kept of it."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .bus import Bus, BusError
from .desk import Desk
from .requests import Requests
from .subjects import Served
from .tap import Tap

EKOS = "org.kde.kstars.Ekos"
INDI = "org.kde.kstars.INDI"
_LINES = 6  # of each log


class Failed(Exception):
    """A step has not done what it should; the text says what was missing."""


class NotThere(Exception):
    """What the step needs is not there."""


@dataclass
class Step:
    """What came of a step."""

    name: str
    result: str
    seconds: float
    detail: str
    states: dict[str, str] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)


@dataclass
class Context:
    """What a step has at hand."""

    desk: Desk
    served: Served
    tap: Tap
    requests: Requests
    began: float = 0.0  # the step
    begin: float = 0.0  # what it looks at
    end: float = 0.0
    shown: list[tuple[str, str]] = field(default_factory=list)

    @property
    def bus(self) -> Bus:
        return self.desk.bus

    def device(self, kind: str, *properties: str) -> str:
        """The name of the device of a kind; the states of the properties are shown with the step."""
        if kind not in self.served.devices:
            raise NotThere(f"no {kind}")
        name = self.served.devices[kind]
        self.shown += [(name, each) for each in properties]
        return name

    def need(self, kind: str, *properties: str) -> None:
        """These properties are defined, else the step has nothing to do."""
        device = self.device(kind)
        absent = [name for name in properties if not self.tap.state(device, name)]
        if absent:
            raise NotThere(f"{device} has no {', '.join(absent)}")

    def wait(self, what: str, condition: Callable[[], Any], seconds: float | None = None) -> Any:
        """The first true value of a condition, until the step's time is over."""
        end = self.end if seconds is None else min(self.end, time.monotonic() + seconds)
        while True:
            if value := condition():
                return value
            if time.monotonic() > end:
                raise Failed(f"waited for: {what}")
            if self.desk.kstars.poll() is not None:
                raise Failed(f"KStars has ended with status {self.desk.kstars.returncode}")
            time.sleep(0.25)

    def module(self, name: str, method: str, *arguments: object) -> Any:
        """Call a module of Ekos."""
        return self.bus.call(f"/KStars/Ekos/{name}", f"{EKOS}.{name}.{method}", *arguments)

    def get(self, name: str, prop: str) -> Any:
        """A property of a module of Ekos."""
        return self.bus.get(f"/KStars/Ekos/{name}", f"{EKOS}.{name}", prop)

    def object(self, kind: str, interface: str) -> str:
        """The path of a device under an interface of KStars such as Dome."""
        name = self.device(kind)
        for path in self.bus.children(f"/KStars/INDI/{interface}"):
            if self.bus.get(path, f"{INDI}.{interface}", "name") == name:
                return path
        raise Failed(f"KStars has made no {interface} of {name}")

    def send_number(self, device: str, name: str, **values: float) -> None:
        """Change numbers as KStars does from its control panel."""
        for member, value in values.items():
            self.bus.call("/KStars/INDI", f"{INDI}.setNumber", device, name, member, value)
        self.bus.call("/KStars/INDI", f"{INDI}.sendProperty", device, name)

    def send_switch(self, device: str, name: str, member: str, value: str = "On") -> None:
        self.bus.call("/KStars/INDI", f"{INDI}.setSwitch", device, name, member, value)
        self.bus.call("/KStars/INDI", f"{INDI}.sendProperty", device, name)

    def went_through(self, device: str, name: str, *states: str) -> bool:
        """Whether a property had these states in this order since the step began."""
        left = list(states)
        for passed in self.tap.since(self.begin, device, name):
            if left and passed.state == left[0]:
                left.pop(0)
        return not left

    def logs(self) -> list[str]:
        """What Ekos has written since the step began, as far as it can be told; oldest first."""
        found: list[str] = []
        begin = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() - (time.monotonic() - self.began) - 1))
        for name in ("", "/Mount", "/Capture", "/Focus"):
            interface = EKOS + name.replace("/", ".")
            try:
                lines = self.bus.get(f"/KStars/Ekos{name}", interface, "logText")
                found += [line for line in lines[:_LINES] if line >= begin]
            except (BusError, ValueError, SyntaxError, TypeError):
                continue
        return sorted(found)


def run(name: str, limit: float, context: Context, action: Callable[[Context], str | None]) -> Step:
    """Run a step; whatever happens comes back as its result."""
    context.began = context.begin = time.monotonic()
    context.end = context.began + limit
    context.shown = []
    result, detail = "ok", ""
    try:
        detail = action(context) or ""
    except NotThere as missing:
        result, detail = "not there", str(missing)
    except Failed as failure:
        result, detail = "failed", str(failure)
    except (BusError, ValueError, SyntaxError, TypeError, OSError, KeyError, IndexError) as error:
        result, detail = "failed", f"{type(error).__name__}: {error}"
    seconds = time.monotonic() - context.began
    states = {prop: context.tap.state(device, prop) or "-" for device, prop in context.shown}
    logs = context.logs() if result == "failed" else []
    return Step(name, result, seconds, detail, states, logs)
