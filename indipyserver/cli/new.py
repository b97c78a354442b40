"""The beginning of a new driver: a file that works as it is, and its test."""

from __future__ import annotations

import keyword
import sys
import sysconfig
import textwrap
from importlib.machinery import PathFinder
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

from indipydriver.protocol.limits import LIBINDI_NAME

__all__ = ["KINDS", "write_driver"]

_TAKEN: Final = ("indipydriver", "indipyserver", "indipyclient", "pytest", "conftest")
"""Modules that the driver or its test needs, and a file name that pytest uses itself."""


class _Kind(NamedTuple):
    """What is special about one kind of instrument.

    Attributes:
        base: Its class.
        body: The body of the class.
        test: What the test does when it is connected.
        imports: Further imports of the driver.
        also: What else it needs from `indipydriver.instruments`.
        connect: The end of its connect().
        words: What the instrument is called; None: the name of the kind.
    """

    base: str
    body: str
    test: str
    imports: str = ""
    also: tuple[str, ...] = ()
    connect: str = ""
    words: str | None = None


KINDS: Final = {
    "focuser": _Kind(
        "Focuser",
        '''\
        maximum = 50_000  # steps

        async def move_to(self, position):
            """Move to a position; return when the focuser has arrived."""
            while self.position != position:  # replace this by what your hardware needs
                await asyncio.sleep(0.1)
                self.position += max(-500, min(500, position - self.position))

        async def abort(self):
            """Stop the hardware. move_to() has already been cancelled."""
        ''',
        """\
        await client.set_number(NAME, "ABS_FOCUS_POSITION", FOCUS_ABSOLUTE_POSITION=2000)
        await client.wait_for(NAME, "ABS_FOCUS_POSITION", state="Ok", timeout=60)
        assert client.driver[NAME].position == 2000
        """,
    ),
    "wheel": _Kind(
        "FilterWheel",
        '''\
        filters = ("Luminance", "Red", "Green", "Blue", "H_Alpha")

        async def select(self, slot):
            """Turn to a slot, from 1; return when the wheel has arrived."""
            await asyncio.sleep(1)  # replace this by what your hardware needs
        ''',
        """\
        await client.set_number(NAME, "FILTER_SLOT", FILTER_SLOT_VALUE=3)
        await client.wait_for(NAME, "FILTER_SLOT", state="Ok", timeout=60)
        assert client.driver[NAME].slot == 3
        """,
        words="filter wheel",
    ),
    "rotator": _Kind(
        "Rotator",
        '''\
        async def turn_to(self, angle):
            """Turn to an angle in degrees; return when the rotator has arrived."""
            while self.angle != angle:  # replace this by what your hardware needs
                await asyncio.sleep(0.1)
                self.angle += max(-1, min(1, angle - self.angle))

        async def abort(self):
            """Stop the hardware. turn_to() has been cancelled before."""
        ''',
        """\
        await client.set_number(NAME, "ABS_ROTATOR_ANGLE", ANGLE=10)
        await client.wait_for(NAME, "ABS_ROTATOR_ANGLE", state="Ok", timeout=60)
        assert client.driver[NAME].angle == 10
        """,
    ),
    "mount": _Kind(
        "Mount",
        '''\
        async def poll(self):
            """Ask the hardware where it points: self.coordinates = hours, degrees."""

        async def slew_to(self, ra, dec):
            """Slew to coordinates (JNow); return when the mount has arrived."""
            await asyncio.sleep(5)  # replace this by what your hardware needs

        async def abort(self):
            """Stop the hardware. slew_to() has already been cancelled."""

        async def set_tracking(self, on):
            """Start or stop following the sky."""
        ''',
        """\
        await client.set_number(NAME, "EQUATORIAL_EOD_COORD", RA=5, DEC=20)
        await client.wait_for(NAME, "EQUATORIAL_EOD_COORD", state="Ok", timeout=60)
        assert client.driver[NAME].tracking
        """,
    ),
    "camera": _Kind(
        "Camera",
        '''\
        width, height, bits = 640, 480, 16
        pixel_size = (5.2, 5.2)  # micrometres

        async def expose(self, shot):
            """Expose, and return the pixels, row by row. An abort cancels this."""
            await asyncio.sleep(shot.seconds)  # replace this by what your hardware needs
            return random.randbytes(shot.columns * shot.rows * shot.bits // 8)
        ''',
        """\
        await client.set_number(NAME, "CCD_EXPOSURE", CCD_EXPOSURE_VALUE=2)
        await client.wait_for(NAME, "CCD_EXPOSURE", state="Ok", timeout=60)
        assert client.property(NAME, "CCD1").values["CCD1"].startswith(b"SIMPLE")
        """,
        "import random\n",
    ),
    "guider": _Kind(
        "Guider",
        '''\
        async def guide(self, direction, seconds):
            """Move slowly for a time; return when it is over."""
            try:  # replace this with what your hardware needs: close the relay of this direction here
                await asyncio.sleep(seconds)
            finally:
                """Open the relay, even if the pulse was cancelled."""
        ''',
        """\
        await client.set_number(NAME, "TELESCOPE_TIMED_GUIDE_NS", TIMED_GUIDE_N=500, TIMED_GUIDE_S=0)
        await client.wait_for(NAME, "TELESCOPE_TIMED_GUIDE_NS", state="Idle", timeout=60)
        """,
        words="guide port",
    ),
    "dome": _Kind(
        "Dome",
        '''\
        async def turn_to(self, azimuth):
            """Turn to an azimuth in degrees; return when the dome has arrived."""
            while abs(way := (azimuth - self.azimuth + 180) % 360 - 180) > 0.1:  # replace this
                await asyncio.sleep(0.1)
                self.azimuth += max(-1, min(1, way))

        async def abort(self):
            """Stop the hardware. turn_to() has been cancelled before."""
        ''',
        """\
        await client.set_number(NAME, "ABS_DOME_POSITION", DOME_ABSOLUTE_POSITION=10)
        await client.wait_for(NAME, "ABS_DOME_POSITION", state="Ok", timeout=60)
        assert abs(client.driver[NAME].azimuth - 10) < 0.2
        """,
    ),
    "roof": _Kind(
        "Dome",
        '''\
        async def open_roof(self):
            """Roll the roof off; return when it is open."""
            await asyncio.sleep(10)  # replace this by what your hardware needs

        async def close_roof(self):
            """Close the roof; return when it is closed."""
            await asyncio.sleep(10)

        async def abort(self):
            """Stop the motor. What moves the roof has already been cancelled."""
        ''',
        """\
        await client.set_switch(NAME, "DOME_PARK", PARK="On")
        await client.wait_for(NAME, "DOME_PARK", state="Ok", timeout=60)
        assert client.driver[NAME].parked
        """,
    ),
    "cap": _Kind(
        "DustCap",
        '''\
        async def close_cap(self):
            """Close it; return when it is closed."""
            await asyncio.sleep(3)  # replace this by what your hardware needs

        async def open_cap(self):
            """Open it; return when it is open."""
            await asyncio.sleep(3)

        async def abort(self):
            """Stop the motor. What moves the cap has already been cancelled."""
        ''',
        """\
        await client.set_switch(NAME, "CAP_PARK", UNPARK="On")
        await client.wait_for(NAME, "CAP_PARK", state="Ok", timeout=60)
        assert client.driver[NAME].closed is False
        """,
        connect="self.closed = True  # replace this: ask the hardware",
        words="dust cap",
    ),
    "light": _Kind(
        "LightBox",
        '''\
        async def set_light(self, on):
            """Turn it on or off."""

        async def set_brightness(self, value):
            """Set the brightness, from 0 to 255. Remove this if it cannot be dimmed."""
        ''',
        """\
        await client.set_switch(NAME, "FLAT_LIGHT_CONTROL", FLAT_LIGHT_ON="On")
        await client.wait_for(NAME, "FLAT_LIGHT_CONTROL", state="Ok", timeout=60)
        assert client.driver[NAME].light
        """,
        words="light box",
    ),
    "weather": _Kind(
        "WeatherStation",
        '''\
        readings = (
            Reading("WEATHER_TEMPERATURE", "Temperature (C)", -10, 30),  # with the range in which it is safe
            Reading("WEATHER_WIND_SPEED", "Wind (kph)", 0, 20),
            Reading("WEATHER_RAIN_HOUR", "Precip (mm)", 0, 0.1),
        )

        async def read_weather(self):
            """Read the instruments; return the values by their names."""
            return {"WEATHER_TEMPERATURE": 12.5, "WEATHER_WIND_SPEED": 7, "WEATHER_RAIN_HOUR": 0}  # replace this
        ''',
        """\
        await client.wait_for(NAME, "WEATHER_STATUS", state="Ok", timeout=60)
        assert client.driver[NAME].safe
        """,
        also=("Reading",),
        words="weather station",
    ),
    "gps": _Kind(
        "GPS",
        '''\
        async def read_fix(self):
            """Ask the receiver; None while it does not know where it is."""
            return Fix(latitude=50.9, longitude=11.7, elevation=360)  # replace this by what your hardware needs
        ''',
        """\
        await client.wait_for(NAME, "TIME_UTC", state="Ok", timeout=60)
        assert client.property(NAME, "GEOGRAPHIC_COORD").values["LAT"] == "50.9"
        """,
        also=("Fix",),
        words="GPS receiver",
    ),
    "power": _Kind(
        "PowerBox",
        '''\
        channels = ("Mount", "Camera", "Focuser")
        sensors = ("VOLTAGE",)

        async def poll(self):
            """Ask the hardware."""
            self.voltage = 12.6  # replace this by what your hardware needs

        async def set_channel(self, number, on):
            """Switch an output, from 1, on or off."""
        ''',
        """\
        await client.set_switch(NAME, "POWER_CHANNELS", POWER_CHANNEL_1="On")
        await client.wait_for(NAME, "POWER_CHANNELS", state="Ok", timeout=60)
        assert client.driver[NAME].channel(1)
        """,
        words="power box",
    ),
    "outputs": _Kind(
        "Outputs",
        '''\
        outputs = ("Heater", "Fan")

        async def set_output(self, number, on):
            """Switch an output, from 1, on or off."""
        ''',
        """\
        await client.set_switch(NAME, "DIGITAL_OUTPUT_1", ON="On")
        await client.wait_for(NAME, "DIGITAL_OUTPUT_1", state="Ok", timeout=60)
        assert client.driver[NAME].output(1)
        """,
        words="board with outputs",
    ),
    "inputs": _Kind(
        "Inputs",
        '''\
        inputs = ("Door",)

        async def poll(self):
            """Ask the hardware."""
            self.show_input(1, False)  # replace this by what your hardware needs
        ''',
        """\
        await client.wait_for(NAME, "DIGITAL_INPUT_1", state="Ok", timeout=60)
        assert client.property(NAME, "DIGITAL_INPUT_1").values["ON"] == "Off"
        """,
        words="board with inputs",
    ),
}
"""The kinds of instruments for which there is a beginning."""

_DRIVER: Final = '''\
"""A driver for {article} {kind}. Serve it with: indipyserver {file}:make_driver"""

import asyncio
{imports}
from indipydriver.instruments import {names}


class {name}({base}):
    async def connect(self):
        """Open the hardware and check that it answers; an exception says why it cannot be connected."""{connect}

    async def disconnect(self):
        """Close the hardware."""

{body}

def make_driver():
    return InstrumentDriver({name}())


if __name__ == "__main__":  # started by a server: over standard input and output
    asyncio.run(make_driver().asyncrun())
'''

_TEST: Final = '''\
"""Run it with: python3 -m pytest {file}"""

from indipydriver.testing import DriverHarness, run

from {module} import make_driver

NAME = "{device}"


def test_it_works(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))  # where settings are saved

    async def session():
        async with DriverHarness(make_driver()) as client:
            await client.set_switch(NAME, "CONNECTION", CONNECT="On")
            await client.wait_for(NAME, "CONNECTION", state="Ok")
{test}

    run(session)
'''


def write_driver(kind: str, path: Path) -> Path:
    """Write a driver and its test.

    Args:
        kind: One of KINDS.
        path: The file of the driver; its test is written beside it.

    Returns:
        The file of the test.

    Raises:
        ValueError: There is no such kind, or the file's name is not that of a module, or that of an existing module.
        OSError: A file exists already, or cannot be written.
    """
    if kind not in KINDS:
        raise ValueError(f"{kind!r} must be one of {', '.join(KINDS)}")
    module = path.stem
    if path.suffix != ".py" or not module.isidentifier() or not module.isascii() or keyword.iskeyword(module):
        raise ValueError(f"{path.name!r} must be a name such as my_{kind}.py, so that Python can import it")
    if _is_taken(module):
        raise ValueError(f"{path.name!r} would hide the module {module!r}; choose a name such as my_{kind}.py")
    words = [word for word in module.split("_") if word]
    name = "".join(word[0].upper() + word[1:] for word in words) or "Driver"
    about = KINDS[kind]
    if name in ("InstrumentDriver", about.base, *about.also) or keyword.iskeyword(name) or not name.isidentifier():
        name = f"My{name}"
    device = _device_name(name)
    if len(device) > LIBINDI_NAME:
        raise ValueError(f"{path.name!r} is too long: the name of a device has at most {LIBINDI_NAME} characters")
    test = path.with_name(f"test_{path.name}")
    names = sorted([about.base, "InstrumentDriver", *about.also], key=lambda one: (not one.isupper(), one))
    values = {
        "article": "a",
        "kind": about.words or kind,
        "file": path.name,
        "imports": about.imports,
        "names": ", ".join(names),
        "connect": f"\n        {about.connect}" if about.connect else "",
        "name": name,
        "base": about.base,
        "body": textwrap.indent(textwrap.dedent(about.body), "    "),
    }
    made = _DRIVER.format(**values)
    tested = _TEST.format(
        file=test.name,
        module=module,
        device=device,
        test=textwrap.indent(textwrap.dedent(about.test).rstrip(), " " * 12),
    )
    for file in (path, test):
        if file.exists():
            raise FileExistsError(f"{file} exists already")
    path.write_text(made, encoding="utf-8")
    test.write_text(tested, encoding="utf-8")
    return test


def _is_taken(module: str) -> bool:
    """Is there another module of this name, which the driver would hide?"""
    if module in _TAKEN or module in sys.stdlib_module_names or module.startswith("__"):
        return True
    installed = PathFinder.find_spec(module, [sysconfig.get_path(where) for where in ("purelib", "platlib")])
    return installed is not None and installed.loader is not None


def _device_name(name: str) -> str:
    """The name of the device, as instruments derive it from the name of their class."""
    made = name[:1]
    for before, letter in pairwise(name):
        made += f" {letter}" if letter.isupper() and (before.islower() or before.isdigit()) else letter
    return made
