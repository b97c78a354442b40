"""A screen, a session bus and a home of their own, and KStars on them."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from .bus import Bus

PROGRAMS = {
    "kstars": "kstars",
    "Xvfb": "xvfb",
    "dbus-daemon": "dbus",
    "gdbus": "libglib2.0-bin",
    "xdotool": "xdotool",
    "import": "imagemagick",
}
"""The programs that are needed, and the packages of Debian that have them."""

_SETTINGS = """[GUI]
RunStartupWizard=false
WindowWidth=1500
WindowHeight=900

[General]
SpeakNotifications=false

[indi]
messageNotificationINDI=true
fitsDir={pictures}
indiDriversDir={drivers}
indiDriversAreInternal=false

[DarkLibrary]
shutterfulCCDs=CCD Simulator

[Ekos]
independentWindowEkos=false
"""


def missing() -> list[str]:
    """The packages of Debian that are missing."""
    return sorted(package for program, package in PROGRAMS.items() if shutil.which(program) is None)


class Desk:
    """Everything that KStars needs; all of it ends with the context.

    What is here:
        folder: Where the screenshots, logs and images are.
        bus: How to call KStars.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.pictures = folder / "images"
        self.drivers = folder / "drivers"
        self._ends = contextlib.ExitStack()
        self._shots = 0

    def __enter__(self) -> "Desk":
        for directory in (self.home / ".config", self.pictures, self.drivers, self.folder / "run"):
            directory.mkdir(parents=True)
        (self.folder / "run").chmod(0o700)
        (self.home / ".config/kstarsrc").write_text(_SETTINGS.format(pictures=self.pictures, drivers=self.drivers))
        kept = {name: os.environ[name] for name in ("PATH",) if name in os.environ}
        self.environment = kept | {
            "HOME": str(self.home),
            "XDG_CONFIG_HOME": str(self.home / ".config"),
            "XDG_DATA_HOME": str(self.home / ".local/share"),
            "XDG_CACHE_HOME": str(self.home / ".cache"),
            "XDG_RUNTIME_DIR": str(self.folder / "run"),
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "QT_QPA_PLATFORM": "xcb",
            "LIBGL_ALWAYS_SOFTWARE": "1",
            "no_proxy": "*",
        }
        try:
            self.environment["DISPLAY"] = self._screen()
            self.environment["DBUS_SESSION_BUS_ADDRESS"] = self._session_bus()
        except BaseException:
            self._ends.close()
            raise
        self.bus = Bus(self.environment)
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.close()

    def start(self, *command: str, log: str, **options: object) -> subprocess.Popen[bytes]:
        """A program that ends with the desk, with all programs that it starts."""
        output = self._ends.enter_context((self.folder / log).open("wb"))
        process = subprocess.Popen(
            command,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            **options,
        )
        self._ends.callback(ended, process)
        return process

    def _screen(self) -> str:
        reading, writing = os.pipe()
        try:
            size = ["-screen", "0", "1600x1000x24", "-nolisten", "tcp"]
            self.start("Xvfb", "-displayfd", str(writing), *size, log="xvfb.log", pass_fds=(writing,))
        finally:
            os.close(writing)
        with open(reading) as numbers:
            return f":{numbers.readline().strip()}"

    def _session_bus(self) -> str:
        address = f"unix:path={self.folder}/run/bus"
        self.start("dbus-daemon", "--session", f"--address={address}", "--nofork", "--nopidfile", log="bus.log")
        until((self.folder / "run/bus").exists, 10)
        return address

    def start_kstars(self) -> None:
        self.kstars = self.start("kstars", log="kstars.log")

    def end_kstars(self) -> None:
        ended(self.kstars)

    def screenshot(self, name: str, title: str = "") -> None:
        """The whole screen, with the window of this title in front."""
        self._shots += 1
        for window in [number for number, its in self.windows().items() if title and its.startswith(title)][:1]:
            self.tool("xdotool", "windowraise", window)
            time.sleep(0.5)
        file = self.folder / f"{self._shots:02}-{name}.png"
        self.tool("import", "-window", "root", str(file))

    def windows(self) -> dict[str, str]:
        """The visible windows: their numbers, and their titles."""
        found = self.tool("xdotool", "search", "--onlyvisible", "--name", ".").split()
        return {window: self.tool("xdotool", "getwindowname", window).strip() for window in found}

    def close(self, title: str) -> None:
        """Close the windows whose titles begin like this."""
        for window in [number for number, its in self.windows().items() if its.startswith(title)]:
            self.tool("xdotool", "windowfocus", "--sync", window, "key", "Escape")

    def tool(self, *command: str) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            done = subprocess.run(
                command, check=False, env=self.environment, capture_output=True, text=True, timeout=15
            )
            return done.stdout
        return ""


def ended(process: subprocess.Popen[bytes]) -> None:
    """End a program that leads a process group of its own, and all that belong to the group."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
            break
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def until(condition: Callable[[], object], seconds: float, pause: float = 0.2) -> bool:
    """Whether a condition has become true in some seconds."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(pause)
    return True
