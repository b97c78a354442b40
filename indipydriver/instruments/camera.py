"""Cameras."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from numbers import Real
from pathlib import Path
from typing import Any, ClassVar, Final

from ..protocol.tags import State
from ..standard import INTERFACES, Interface, find
from .chips import GUIDE_HEAD, MAIN_CHIP, Chip, Sensor
from .filterwheel import FilterWheel
from .fits import Card, fits_file
from .operations import End, Refused
from .propertydevice import Bound
from .shots import FrameType, Shot, header, keep, keyword_cards, sky_cards, wcs_cards
from .sky import is_on_earth, is_on_sky
from .standarddevice import optional
from .standardvectors import rounded, set_limits
from .streaming import Streaming
from .threads import IMAGES

__all__ = ["Camera"]

_TEMPERATURE, _CELSIUS, _COOLER = "CCD_TEMPERATURE", "CCD_TEMPERATURE_VALUE", "CCD_COOLER"
_RAMP, _SLOPE, _THRESHOLD = "CCD_TEMP_RAMP", "RAMP_SLOPE", "RAMP_THRESHOLD"
_POWER, _GAIN, _OFFSET = "CCD_COOLER_POWER", "CCD_GAIN", "CCD_OFFSET"
_HEADER, _UPLOAD, _WHERE, _FILE = "FITS_HEADER", "UPLOAD_MODE", "UPLOAD_SETTINGS", "CCD_FILE_PATH"
_WCS, _ROTATION, _ANGLE = "WCS_CONTROL", "CCD_ROTATION", "CCD_ROTATION_VALUE"
_FAST, _COUNT = "CCD_FAST_TOGGLE", "CCD_FAST_COUNT"
_MOST_KEYWORDS: Final = 1000  # in the headers of images, at the request of clients
_LONGEST_CARD: Final = 80
_RESERVED: Final = re.compile(r"END|SIMPLE|BITPIX|NAXIS[0-9]*|EXTEND|BZERO|BSCALE")  # required by readers
_LONGEST_KEEPING: Final = 30.0  # seconds after which a folder, which may be remote, counts as not responding
_RAMP_STEP: Final = 5.0  # seconds between two set points on the way to a temperature


class Camera(Streaming):
    """A camera. Override :meth:`expose`. The size of the sensor is in class attributes, or assigned in connect().

    The images become FITS files, with headers that are composed of what clients say and what the partners in
    ACTIVE_DEVICES report. An exposure is cancelled by an abort, by the next one, and when the device is disconnected.

    Attributes:
        width: Pixels in a row of the sensor.
        height: Rows of the sensor.
        pixel_size: Width and height of a pixel in micrometres.
        bits: Of a pixel: 8, 16 or 32.
        bayer: The matrix of a colour sensor, such as "RGGB"; None for a monochrome one.
        shortest: The shortest exposure in seconds.
        longest: The longest exposure in seconds.
        guide_head: The sensor of the guide head, if there is one: override :meth:`expose_guide_head`.
        largest_binning: 1 if the camera cannot bin.
        has_subframes: The camera can read a part of the sensor.
        gains: Smallest and largest gain; None if it has none.
        offsets: Smallest and largest offset; None if it has none.
        has_thermometer: The camera measures its temperature; assign :attr:`temperature`.
    """

    interface = Interface.CCD
    width: int = 1280
    height: int = 1024
    pixel_size: tuple[float, float] = (3.75, 3.75)
    bits: int = 16
    bayer: str | None = None
    largest_binning: ClassVar[int] = 1
    has_subframes: ClassVar[bool] = False
    gains: ClassVar[tuple[int, int] | None] = None
    offsets: ClassVar[tuple[int, int] | None] = None
    has_thermometer: ClassVar[bool] = False
    partners: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "ACTIVE_TELESCOPE": ("EQUATORIAL_EOD_COORD", "GEOGRAPHIC_COORD", "TELESCOPE_PIER_SIDE"),
        "ACTIVE_ROTATOR": ("ABS_ROTATOR_ANGLE",),
        "ACTIVE_FOCUSER": ("ABS_FOCUS_POSITION", "FOCUS_TEMPERATURE"),
        "ACTIVE_FILTER": ("FILTER_SLOT", "FILTER_NAME"),
        "ACTIVE_SKYQUALITY": ("SKY_QUALITY",),
    }

    # --- what an author overrides ---

    @optional
    async def expose(self, shot: Shot) -> bytes | bytearray | memoryview:
        """Expose, and return the pixels, row by row from the top, in the order of this machine's bytes.

        There are `shot.columns` times `shot.rows` of them; three times as many, plane by plane, for a colour image.
        """
        raise NotImplementedError

    @optional
    async def abort(self) -> None:
        """End the exposure in the hardware. expose() has already been cancelled."""

    @optional
    async def set_temperature(self, celsius: float) -> None:
        """Begin to cool, or to warm, to a temperature. Assign :attr:`temperature` in poll().

        A cooler that is off is switched on before, by :meth:`set_cooler`.
        """

    @optional
    async def set_cooler(self, on: bool) -> None:
        """Switch the cooler on or off."""

    # --- what an author reads and assigns ---

    @property
    def temperature(self) -> float:
        """The temperature of the sensor in degrees Celsius. Assign it in poll()."""
        return self._get(_TEMPERATURE, _CELSIUS)

    @temperature.setter
    def temperature(self, celsius: float) -> None:
        is_known = isinstance(celsius, Real) and _TEMPERATURE not in self._unread
        is_read = is_known and abs(celsius - self.temperature) < 0.1
        if not is_read or self._vector(_TEMPERATURE).state == State.BUSY:
            self._put(_TEMPERATURE, {_CELSIUS: rounded(celsius, 2)})
        self._colder.set()
        self._operations.progressed(_TEMPERATURE)  # the last tenth of a degree may take long

    @property
    def cooler_power(self) -> float:
        """How hard the cooler works, in percent. Assign it in poll()."""
        return self._get(_POWER, "CCD_COOLER_VALUE")

    @cooler_power.setter
    def cooler_power(self, percent: float) -> None:
        self._put(_POWER, {"CCD_COOLER_VALUE": rounded(percent, 1)}, State.OK)

    # --- its properties ---

    def _standard(self) -> list[Bound]:
        self._require("expose")
        self._colder = asyncio.Event()
        self._keywords: dict[str, tuple[str, str]] = {}
        self._sends_rotation = False
        self._is_cooler_told = False  # it has been switched on since it was connected
        self._is_cooler_due = False  # it is shown as on, because the sensor is to be cooled, but is not switched on yet
        cools = self._implements("set_temperature")
        names: list[tuple[str, Any, bool, dict[str, Any]]] = [
            (_HEADER, self._on_header, True, {}),
            (_TEMPERATURE, self._on_temperature if cools else None, cools or self.has_thermometer, {}),
            (_RAMP, self._on_ramp, cools, {}),
            (_COOLER, self._on_cooler, self._implements("set_cooler"), {}),
            (_POWER, None, self._implements("set_cooler"), {}),
            (_GAIN, self._on_gain, self.gains is not None, {}),
            (_OFFSET, self._on_offset, self.offsets is not None, {}),
            ("CCD_CAPTURE_FORMAT", self._on_capture_format, True, {}),
            ("CCD_TRANSFER_FORMAT", self._on_transfer_format, True, {}),
            ("CCD_CFA", None, self.bayer is not None, {"values": {"CFA_TYPE": self.bayer}}),
            ("SCOPE_INFO", self._on_scope, True, {}),
            (_WCS, self._on_wcs, True, {}),
            (_ROTATION, self._on_rotation, True, {}),
            (_UPLOAD, self._on_upload, True, {}),
            (_FAST, self._on_fast, True, {}),
            (_COUNT, self._on_fast_count, True, {}),
            (_WHERE, self._on_where, True, {"values": {"UPLOAD_DIR": str(Path.home())}}),
        ]
        table = Interface.CCD
        made = [self._bind(find(name, table), handle, **how) for name, handle, there, how in names if there]
        made.append(self._bind(find(_FILE, table), shown=False))
        made += self._chip_bounds(MAIN_CHIP)
        if self.guide_head is not None:
            self._require("expose_guide_head")
            made += self._chip_bounds(GUIDE_HEAD)
        made += self._streaming_bounds()
        for bound in made:
            bound.saved = bound.saved and bound.vector.name != "CCD_CFA"
            bound.is_shown = bound.is_shown and bound.vector.name != _ROTATION
        order = [standard.name for standard in INTERFACES[table]]
        made.sort(key=lambda bound: order.index(bound.vector.name))
        return [*made, *super()._standard()]

    def _before_connecting(self) -> None:
        self._is_cooler_told = False
        super()._before_connecting()

    async def _prepare(self) -> None:
        self._colder = asyncio.Event()  # in the time of this event loop
        self._prepare_chip(MAIN_CHIP)
        if self.guide_head is not None:
            self._prepare_chip(GUIDE_HEAD)
        self._prepare_stream()
        for name, member, limits in ((_GAIN, "GAIN", self.gains), (_OFFSET, "OFFSET", self.offsets)):
            if limits is not None:
                set_limits(self._vector(name), member, *limits)
                self._vector(name)[member] = max(limits[0], min(limits[1], round(self._get(name, member))))
        await super()._prepare()

    def _after_interruption(self) -> None:
        if self._vector(_COUNT).state == State.BUSY:
            self._put(_COUNT, {}, State.IDLE)
        self._drop_cooler()
        super()._after_interruption()

    def _forget(self) -> None:
        if self._has(_COOLER):
            self._choose(_COOLER, "COOLER_OFF")
            self._vector(_POWER)["CCD_COOLER_VALUE"] = 0
        super()._forget()

    # --- exposing ---

    def _sensor(self, chip: Chip) -> Sensor:
        if chip is not MAIN_CHIP:
            return super()._sensor(chip)
        size = self.width, self.height, self.pixel_size
        return Sensor(*size, self.bits, self.largest_binning, self.has_subframes)

    def _gains(self, chip: Chip) -> tuple[int | None, int | None]:
        if chip is not MAIN_CHIP:
            return super()._gains(chip)
        gain = round(self._get(_GAIN, "GAIN")) if self.gains is not None else None
        return gain, round(self._get(_OFFSET, "OFFSET")) if self.offsets is not None else None

    async def _take(self, chip: Chip, shot: Shot) -> bytes | bytearray | memoryview:
        return await (self.expose(shot) if chip is MAIN_CHIP else super()._take(chip, shot))

    async def _end_exposure(self, chip: Chip) -> None:
        await (self.abort() if chip is MAIN_CHIP else super()._end_exposure(chip))

    def _make_file(self, chip: Chip, shot: Shot) -> Callable[[bytes | bytearray | memoryview], bytes]:
        about = self._known_for_header(chip)
        cards = [*header(shot, about), *self._sky(shot, about), *keyword_cards(self._keywords, shot)]
        return lambda pixels: fits_file(pixels, shot.columns, shot.rows, shot.bits, cards)

    async def _keep_file(self, chip: Chip, data: bytes) -> bool:
        mode = self._chosen(_UPLOAD)
        if chip is not MAIN_CHIP or mode == "UPLOAD_CLIENT":
            return True
        try:
            async with asyncio.timeout(min(_LONGEST_KEEPING, (self.patience or math.inf) / 2)):
                path = await IMAGES.run(self._keep, data)
        except Exception as error:  # RuntimeError: the home directory of a user who does not exist
            if mode == "UPLOAD_BOTH":  # the image must not be lost
                await self._send_image(chip, data, ".fits", self._is_on(chip.compression, "INDI_ENABLED"))
            await self._send(_FILE, State.ALERT)
            if isinstance(error, TimeoutError):
                raise TimeoutError("The folder for images does not respond") from None
            raise
        await self._send(_FILE, State.OK, {"FILE_PATH": str(path)})
        return mode != "UPLOAD_LOCAL"

    def _keep(self, data: bytes) -> Path:
        """Save a file on this machine."""
        where = self._vector(_WHERE)
        return keep(data, where["UPLOAD_DIR"], where["UPLOAD_PREFIX"], ".fits", lambda: datetime.now().astimezone())

    def _more_exposures(self, chip: Chip) -> int:
        if chip is not MAIN_CHIP or not self._is_on(_FAST, "INDI_ENABLED"):
            return 0
        left = max(0, round(self._get(_COUNT, "FRAMES")) - 1)
        self._put(_COUNT, {"FRAMES": left}, State.BUSY if left else State.IDLE)
        return left

    async def _exposures_are_over(self, chip: Chip) -> None:
        if chip is MAIN_CHIP and self._vector(_COUNT).state == State.BUSY:
            await self._send(_COUNT, State.IDLE)

    async def _on_fast(self, values: dict[str, Any]) -> None:
        await self._store_choice(_FAST, values)

    async def _on_fast_count(self, values: dict[str, Any]) -> None:
        await self._store(_COUNT, {"FRAMES": round(values["FRAMES"])})

    # --- the header ---

    def _known_for_header(self, chip: Chip) -> dict[str, Any]:
        """The facts for the header of an image."""
        return {
            "instrument": self.devicename,
            "telescope": self._partner("ACTIVE_TELESCOPE"),
            "temperature": self.temperature if self._has(_TEMPERATURE) and chip is MAIN_CHIP else None,
            "pixel": self._sensor(chip).pixel_size,
            "filter": self._filter(),
            "bayer": self.bayer if chip is MAIN_CHIP else None,
            "focal_length": self._get("SCOPE_INFO", "FOCAL_LENGTH"),
            "aperture": self._get("SCOPE_INFO", "APERTURE"),
            "rotation": self._seen_number("ACTIVE_ROTATOR", "ABS_ROTATOR_ANGLE", "ANGLE"),
            "focus": self._seen_number("ACTIVE_FOCUSER", "ABS_FOCUS_POSITION", "FOCUS_ABSOLUTE_POSITION"),
            "focus_temperature": self._seen_number("ACTIVE_FOCUSER", "FOCUS_TEMPERATURE", "TEMPERATURE"),
            "brightness": self._seen_number("ACTIVE_SKYQUALITY", "SKY_QUALITY", "SKY_BRIGHTNESS"),
        }

    def _filter(self) -> str | None:
        slot = self._seen_number("ACTIVE_FILTER", "FILTER_SLOT", "FILTER_SLOT_VALUE")
        names = self._seen("ACTIVE_FILTER", "FILTER_NAME")
        if slot is not None:
            return names.get(f"FILTER_SLOT_NAME_{slot:.0f}")
        wheel = next((one for one in self._fellows() if isinstance(one, FilterWheel)), None)
        if wheel is None or not 1 <= wheel.slot <= len(wheel.names):  # some report 0 while they turn
            return None
        return wheel.names[wheel.slot - 1]

    def _sky(self, shot: Shot, about: Mapping[str, Any]) -> list[Card]:
        mount = "ACTIVE_TELESCOPE"
        ra = self._seen_number(mount, "EQUATORIAL_EOD_COORD", "RA")
        dec = self._seen_number(mount, "EQUATORIAL_EOD_COORD", "DEC")
        if shot.frame_type is not FrameType.LIGHT or ra is None or dec is None or not is_on_sky(ra, dec):
            return []
        latitude = self._seen_number(mount, "GEOGRAPHIC_COORD", "LAT")
        longitude = self._seen_number(mount, "GEOGRAPHIC_COORD", "LONG")
        place = None
        if latitude is not None and longitude is not None and (latitude or longitude):
            place = (latitude, longitude) if is_on_earth(latitude, longitude) else None
        sides = self._seen(mount, "TELESCOPE_PIER_SIDE")
        pier = next((name.removeprefix("PIER_") for name, value in sides.items() if value == "On"), None)
        cards = list(sky_cards(ra, dec, place, pier, shot.began))
        if self._is_on(_WCS, "WCS_ENABLE") and self._sends_rotation and about["focal_length"]:
            size = (about["pixel"][0], about["pixel"][1], about["focal_length"])
            cards += wcs_cards(ra, dec, shot, size, self._get(_ROTATION, _ANGLE))
        return cards

    async def _on_header(self, values: dict[str, Any]) -> None:
        keyword, text, comment = (
            str(values.get(f"KEYWORD_{part}", "")).strip() for part in ("NAME", "VALUE", "COMMENT")
        )
        for member, word in (("FITS_OBSERVER", "OBSERVER"), ("FITS_OBJECT", "OBJECT")):
            if told := str(values.get(member, "")).strip():
                self._keywords[word] = (told, word.capitalize())
        keyword = keyword.upper()
        if keyword == "INDI_CLEAR":
            self._keywords.clear()
        elif _RESERVED.fullmatch(keyword[:8].strip()):
            raise Refused(f"{keyword} describes the data, so clients cannot set it")
        elif keyword or text or comment:
            if keyword not in self._keywords and len(self._keywords) >= _MOST_KEYWORDS:
                raise Refused(f"There are {_MOST_KEYWORDS} keywords already")
            self._keywords[keyword[:8] or "COMMENT"] = (text[:_LONGEST_CARD], comment[:_LONGEST_CARD])
        await self._send(_HEADER, State.OK, values)

    # --- settings ---

    async def _on_gain(self, values: dict[str, Any]) -> None:
        await self._store(_GAIN, {"GAIN": round(values["GAIN"])})

    async def _on_offset(self, values: dict[str, Any]) -> None:
        await self._store(_OFFSET, {"OFFSET": round(values["OFFSET"])})

    async def _on_scope(self, values: dict[str, Any]) -> None:
        await self._store("SCOPE_INFO", values)

    async def _on_where(self, values: dict[str, Any]) -> None:
        await self._store(_WHERE, values)

    async def _on_capture_format(self, values: dict[str, Any]) -> None:
        await self._store_choice("CCD_CAPTURE_FORMAT", values)

    async def _on_transfer_format(self, values: dict[str, Any]) -> None:
        await self._store_choice("CCD_TRANSFER_FORMAT", values)

    async def _on_upload(self, values: dict[str, Any]) -> None:
        await self._store_choice(_UPLOAD, values)
        await self._show(_FILE, self._chosen(_UPLOAD) != "UPLOAD_CLIENT")

    async def _on_wcs(self, values: dict[str, Any]) -> None:
        await self._store_choice(_WCS, values)
        await self._show(_ROTATION, self._is_on(_WCS, "WCS_ENABLE"))

    async def _on_rotation(self, values: dict[str, Any]) -> None:
        self._sends_rotation = True
        await self._store(_ROTATION, values)

    # --- cooling ---

    async def _on_temperature(self, values: dict[str, Any]) -> None:
        celsius = values[_CELSIUS]
        announce = []
        if self._has(_COOLER) and not self._is_on(_COOLER, "COOLER_ON"):
            self._choose(_COOLER, "COOLER_ON")
            self._vector(_COOLER).state = State.OK
            self._is_cooler_due = True
            announce = [_COOLER]
        work = self._cool(celsius)
        after = self._operations.running(_COOLER)
        how: dict[str, Any] = {"after": after, "announce": announce, "takes": self._period}
        await self._perform(_TEMPERATURE, work, accept=lambda: None, revoke=self._drop_cooler, waits=False, **how)

    async def _cool(self, celsius: float) -> None:
        if self._has(_COOLER) and not self._is_cooler_told:
            try:
                await self.set_cooler(True)
            except Exception:
                self._drop_cooler()
                await self._send(_COOLER, State.ALERT)
                raise
            self._check_going_on(_TEMPERATURE)
            self._is_cooler_told = True
            self._choose(_COOLER, "COOLER_ON")
            await self._send(_COOLER, State.OK)
        self._is_cooler_due = False
        slope = self._get(_RAMP, _SLOPE) * _RAMP_STEP / 60  # degrees per step
        point = self.temperature
        while slope and abs(celsius - point) > slope:
            point += slope if celsius > point else -slope
            await self.set_temperature(round(point, 3))
            self._check_going_on(_TEMPERATURE)
            await asyncio.sleep(_RAMP_STEP)
            self._operations.progressed(_TEMPERATURE)
        await self.set_temperature(celsius)
        self._check_going_on(_TEMPERATURE)
        while abs(self.temperature - celsius) > self._get(_RAMP, _THRESHOLD):
            self._colder.clear()
            await self._colder.wait()

    def _drop_cooler(self) -> None:
        """Show that it is off, if what was to switch it on has been cancelled before it did."""
        if self._is_cooler_due:
            self._is_cooler_due = False
            self._put(_COOLER, {"COOLER_ON": False, "COOLER_OFF": True}, State.IDLE)

    async def _on_ramp(self, values: dict[str, Any]) -> None:
        await self._store(_RAMP, values)

    async def _on_cooler(self, values: dict[str, Any]) -> None:
        member = await self._pick(_COOLER, values)
        if member is None:
            return
        after = self._operations.drop(_TEMPERATURE) if member == "COOLER_OFF" else []
        if member == "COOLER_OFF":
            self._is_cooler_told = False
            self._drop_cooler()

        def accept() -> None:
            self._is_cooler_told = member == "COOLER_ON"
            self._choose(_COOLER, member)

        ends = {End.DONE: State.OK if member == "COOLER_ON" else State.IDLE, End.CANCELLED: State.IDLE}
        ends[End.FAILED] = State.ALERT
        work = self.set_cooler(member == "COOLER_ON")
        announce = []
        if member == "COOLER_OFF" and self._has(_TEMPERATURE):
            self._vector(_TEMPERATURE).state = State.IDLE
            announce = [_TEMPERATURE]
        how: dict[str, Any] = {"ends": ends, "after": after, "announce": announce}
        await self._perform(_COOLER, work, accept=accept, **how)
