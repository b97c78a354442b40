"""Make the pictures of KStars in the documentation: its control panel, with the LED and the thermostat of the examples.

    python -m tests.kstars.pictures [FOLDER]

It needs what `python -m tests.kstars` needs. FOLDER is where the pictures go, by default docs/tutorials/kstars.
"""

import socket
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.support import ROOT, free_port

from .bus import BusError
from .desk import Desk, missing

INDI = "org.kde.kstars.INDI"
PANEL = "INDI Control Panel"
SIZE = ("860", "400")


def main() -> int:
    absent = missing()
    if absent:
        sys.stderr.write(f"not installed: apt-get install {' '.join(absent)}\n")
        return 2
    pictures = Path(sys.argv[1] if sys.argv[1:] else ROOT / "docs/tutorials/kstars")
    pictures.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, Desk(Path(folder)) as desk:
        port = free_port()
        desk.start(sys.executable, "-m", "indipyserver", "-p", str(port), "--no-unix-socket",
                   "examples.led:make_driver", "examples.thermostat:make_driver", log="server.log", cwd=ROOT)  # fmt: skip
        _wait(lambda: not socket.socket().connect_ex(("127.0.0.1", port)))
        desk.start_kstars()
        _wait(lambda: desk.bus.is_there() and "/KStars/INDI" in desk.bus.children("/KStars"))
        desk.close("Tip of the Day")
        desk.bus.call("/KStars/INDI", f"{INDI}.connect", "127.0.0.1", port)
        _wait(lambda: len(desk.bus.call("/KStars/INDI", f"{INDI}.getDevices")) == 2)
        _wait(lambda: any(title.startswith(PANEL) for title in desk.windows().values()))
        for name, key in (("led", "alt+e"), ("thermostat", "alt+t")):  # KStars underlines these letters in the tabs
            _take(desk, key, pictures / f"{name}.png")
    return 0


def _take(desk: Desk, key: str, path: Path) -> None:
    """The control panel, after a key that chooses a device."""
    window = next(number for number, title in desk.windows().items() if title.startswith(PANEL))
    desk.tool("xdotool", "windowsize", "--sync", window, *SIZE)
    desk.tool("xdotool", "windowfocus", "--sync", window, "key", key)
    time.sleep(1)  # it paints
    desk.tool("import", "-window", window, str(path))


def _wait(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 90
    while time.monotonic() < end:
        try:
            if condition():
                return
        except BusError:
            pass
        time.sleep(0.3)
    raise TimeoutError


if __name__ == "__main__":
    sys.exit(main())
