"""Cameras."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Final

from ..propertymembers import BLOBMember
from ..protocol.tags import State
from ..standard import Interface, find
from .filterwheel import FilterWheel
from .fits import fits_file
from .instrument import Instrument
from .operations import End, Refused
from .propertydevice import Bound
from .settings import write_atomically
from .shots import FrameType, Shot, file_for, header, keyword_cards, sky_cards
from .standarddevice import optional
from .standardvectors import set_limits

__all__ = ["Camera"]

_EXPOSURE, _SECONDS = "CCD_EXPOSURE", "CCD_EXPOSURE_VALUE"
_ABORT, _FRAME, _BINNING, _TYPE = "CCD_ABORT_EXPOSURE", "CCD_FRAME", "CCD_BINNING", "CCD_FRAME_TYPE"
_TEMPERATURE, _CELSIUS, _COOLER = "CCD_TEMPERATURE", "CCD_TEMPERATURE_VALUE", "CCD_COOLER"
_POWER, _GAIN, _OFFSET, _INFO, _IMAGE = "CCD_COOLER_POWER", "CCD_GAIN", "CCD_OFFSET", "CCD_INFO", "CCD1"
_HEADER, _UPLOAD, _WHERE, _FILE = "FITS_HEADER", "UPLOAD_MODE", "UPLOAD_SETTINGS", "CCD_FILE_PATH"
_NEAR: Final = 0.2  # degrees from the target at which a sensor is as cold as wanted
_ENDS: Final = {End.DONE: State.OK, End.CANCELLED: State.IDLE, End.FAILED: State.ALERT}


class Camera(Instrument):
    """A camera. Override :meth:`expose`. The size of the sensor is in class attributes, or assigned in connect().

    The images become FITS files, with headers that are joined from what clients say and what the partners in
    ACTIVE_DEVICES tell. An exposure is cancelled by an abort, by the next one, and when the device is disconnected.

    Attributes:
        width: Pixels in a row of the sensor.
        height: Rows of the sensor.
        pixel_size: Width and height of a pixel in micrometres.
        bits: Of a pixel: 8, 16 or 32.
        bayer: The matrix of a colour sensor, such as "RGGB"; None for a monochrome one.
        shortest: The shortest exposure in seconds.
        longest: The longest exposure in seconds.
        largest_binning: 1 if it cannot bin.
        has_subframes: It can read a part of the sensor.
        gains: Smallest and largest gain; None if it has none.
        offsets: Smallest and largest offset; None if it has none.
        has_thermometer: It has a temperature; assign :attr:`temperature`.
    """

    interface = Interface.CCD
    width: int = 1280
    height: int = 1024
    pixel_size: tuple[float, float] = (3.75, 3.75)
    bits: int = 16
    bayer: str | None = None
    shortest: float = 0.01
    longest: float = 3600.0
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
        """End the exposure in the hardware. expose() has been cancelled before."""

    @optional
    async def set_temperature(self, celsius: float) -> None:
        """Begin to cool, or to warm, to a temperature. Assign :attr:`temperature` in poll()."""

    @optional
    async def set_cooler(self, on: bool) -> None:
        """Switch the cooler on or off."""

    # --- what an author reads and assigns ---

    @property
    def temperature(self) -> float:
        """Of the sensor, in degrees Celsius. Assign it in poll()."""
        return self._get(_TEMPERATURE, _CELSIUS)

    @temperature.setter
    def temperature(self, celsius: float) -> None:
        self._colder.set()
        if abs(celsius - self.temperature) >= 0.1 or self._vector(_TEMPERATURE).state == State.BUSY:
            self._put(_TEMPERATURE, {_CELSIUS: round(celsius, 2)})

    @property
    def cooler_power(self) -> float:
        """How hard the cooler works, in percent. Assign it in poll()."""
        return self._get(_POWER, "CCD_COOLER_VALUE")

    @cooler_power.setter
    def cooler_power(self, percent: float) -> None:
        self._put(_POWER, {"CCD_COOLER_VALUE": round(percent, 1)}, State.OK)

    # --- its properties ---

    def _standard(self) -> list[Bound]:
        self._require("expose")
        self._colder = asyncio.Event()
        self._keywords: dict[str, tuple[str, str]] = {}
        self._found_frame: tuple[int, int] | None = None
        cools = self._implements("set_temperature")
        frame = self._on_frame if self.has_subframes else None
        names: list[tuple[str, Any, bool, dict[str, Any]]] = [
            (_EXPOSURE, self._on_exposure, True, {}),
            (_ABORT, self._on_camera_abort, True, {}),
            (_FRAME, frame, True, {}),
            (_BINNING, self._on_binning, self.largest_binning > 1, {}),
            (_HEADER, self._on_header, True, {}),
            (_TEMPERATURE, self._on_temperature if cools else None, cools or self.has_thermometer, {}),
            (_COOLER, self._on_cooler, self._implements("set_cooler"), {}),
            (_POWER, None, self._implements("set_cooler"), {}),
            (_GAIN, self._on_gain, self.gains is not None, {}),
            (_OFFSET, self._on_offset, self.offsets is not None, {}),
            ("CCD_CAPTURE_FORMAT", self._on_capture_format, True, {}),
            ("CCD_TRANSFER_FORMAT", self._on_transfer_format, True, {}),
            (_INFO, None, True, {}),
            (_IMAGE, None, True, {}),
            (_TYPE, self._on_frame_type, True, {}),
            ("CCD_CFA", None, self.bayer is not None, {"values": {"CFA_TYPE": self.bayer}}),
            ("SCOPE_INFO", self._on_scope, True, {}),
            (_UPLOAD, self._on_upload, True, {}),
            (_WHERE, self._on_where, True, {"values": {"UPLOAD_DIR": str(Path.home())}}),
        ]
        table = Interface.CCD
        made = [self._bind(find(name, table), handle, **how) for name, handle, there, how in names if there]
        made.append(self._bind(find(_FILE, table), shown=False))
        for bound in made:
            member = bound.vector.data.get(_IMAGE)
            if isinstance(member, BLOBMember):
                member.blobformat = ".fits"
            bound.saved = bound.saved and bound.vector.name != "CCD_CFA"
        return [*made, *super()._standard()]

    async def _prepare(self) -> None:
        self._colder = asyncio.Event()  # of this event loop
        width, height = self.width, self.height
        frame = self._vector(_FRAME)
        if self._found_frame != (width, height):
            self._found_frame = (width, height)
            frame.update({"X": "0", "Y": "0", "WIDTH": str(width), "HEIGHT": str(height)})
        set_limits(self._vector(_EXPOSURE), _SECONDS, self.shortest, self.longest)
        for member, low, high in (
            ("X", 0, width - 1),
            ("Y", 0, height - 1),
            ("WIDTH", 1, width),
            ("HEIGHT", 1, height),
        ):
            set_limits(frame, member, low, high)
        if self._has(_BINNING):
            for member in self._vector(_BINNING):
                set_limits(self._vector(_BINNING), member, 1, self.largest_binning)
        for name, member, limits in ((_GAIN, "GAIN", self.gains), (_OFFSET, "OFFSET", self.offsets)):
            if limits is not None:
                set_limits(self._vector(name), member, *limits)
                self._vector(name)[member] = max(limits[0], min(limits[1], round(self._get(name, member))))
        info: dict[str, float] = {"CCD_MAX_X": width, "CCD_MAX_Y": height, "CCD_BITSPERPIXEL": self.bits}
        info |= {"CCD_PIXEL_SIZE_X": self.pixel_size[0], "CCD_PIXEL_SIZE_Y": self.pixel_size[1]}
        self._vector(_INFO).update({**info, "CCD_PIXEL_SIZE": self.pixel_size[0]})
        await super()._prepare()

    # --- exposing ---

    async def _on_exposure(self, values: dict[str, Any]) -> None:
        shot = self._shot(values[_SECONDS])
        # One that runs is replaced.
        self._vector(_EXPOSURE)[_SECONDS] = f"{shot.seconds:g}"

        def rest() -> None:
            self._vector(_EXPOSURE)[_SECONDS] = "0"

        await self._perform(_EXPOSURE, self._expose(shot), accept=None, revoke=rest, waits=False, ends=_ENDS)

    def _shot(self, seconds: float) -> Shot:
        """What is wanted now."""
        binning = (1, 1)
        if self._has(_BINNING):
            binning = round(self._get(_BINNING, "HOR_BIN")), round(self._get(_BINNING, "VER_BIN"))
        x, y, width, height = (round(self._get(_FRAME, member)) for member in ("X", "Y", "WIDTH", "HEIGHT"))
        kind = FrameType[(self._chosen(_TYPE) or "FRAME_LIGHT").removeprefix("FRAME_")]
        gain = round(self._get(_GAIN, "GAIN")) if self.gains is not None else None
        offset = round(self._get(_OFFSET, "OFFSET")) if self.offsets is not None else None
        seconds = self.shortest if kind is FrameType.BIAS else seconds
        return Shot(seconds, x, y, width, height, binning, kind, gain, offset, self.bits, datetime.now(UTC))

    async def _expose(self, shot: Shot) -> None:
        cards = [*header(shot, self._known_for_header()), *self._sky(shot), *keyword_cards(self._keywords, shot)]
        counting = asyncio.create_task(self._count_down(shot.seconds))
        try:
            pixels = await self.expose(shot)
        finally:
            counting.cancel()
        self._put(_EXPOSURE, {_SECONDS: "0"})
        data = await asyncio.to_thread(fits_file, pixels, shot.columns, shot.rows, shot.bits, cards)
        mode = self._chosen(_UPLOAD)
        if mode != "UPLOAD_CLIENT":
            path = await asyncio.to_thread(self._keep, data)
            await self._send(_FILE, State.OK, {"FILE_PATH": str(path)})
        if mode != "UPLOAD_LOCAL":
            image = self._vector(_IMAGE)
            image[_IMAGE] = data
            await image.send_setVectorMembers(state=State.OK, members=[_IMAGE])
            image[_IMAGE] = None  # it need not stay in memory

    async def _count_down(self, seconds: float) -> None:
        """Tell how long it still takes, at least once a second."""
        clock = asyncio.get_running_loop().time
        end = clock() + seconds
        while (left := end - clock()) > 0:
            self._put(_EXPOSURE, {_SECONDS: f"{left:.3g}" if left < 10 else f"{left:.1f}"})
            await asyncio.sleep(min(left, 1.0, max(self._period, 0.1)))
        self._put(_EXPOSURE, {_SECONDS: "0"})

    def _keep(self, data: bytes) -> Path:
        """Keep a file on this machine."""
        where = self._vector(_WHERE)
        path = file_for(where["UPLOAD_DIR"], where["UPLOAD_PREFIX"], ".fits", lambda: datetime.now().astimezone())
        write_atomically(path, data)
        return path

    async def _on_camera_abort(self, values: dict[str, Any]) -> None:
        if not values.get("ABORT"):
            await self._button(_ABORT)
            return
        await self._operations.cancel(_EXPOSURE, quietly=True)
        await self._perform(_ABORT, self.abort(), accept=lambda: self._choose(_ABORT, None))
        if _EXPOSURE not in self._operations:
            state = State.ALERT if self._vector(_ABORT).state == State.ALERT else State.IDLE
            await self._send(_EXPOSURE, state, {_SECONDS: "0"})

    # --- the header ---

    def _known_for_header(self) -> dict[str, Any]:
        """What is known for the header of an image."""
        return {
            "instrument": self.devicename,
            "telescope": self._partner("ACTIVE_TELESCOPE"),
            "temperature": self.temperature if self._has(_TEMPERATURE) else None,
            "pixel": self.pixel_size,
            "filter": self._filter(),
            "bayer": self.bayer,
            "focal_length": self._get("SCOPE_INFO", "FOCAL_LENGTH"),
            "aperture": self._get("SCOPE_INFO", "APERTURE"),
            "rotation": self._seen_number("ACTIVE_ROTATOR", "ABS_ROTATOR_ANGLE", "ANGLE"),
            "focus": self._seen_number("ACTIVE_FOCUSER", "ABS_FOCUS_POSITION", "FOCUS_ABSOLUTE_POSITION"),
            "focus_temperature": self._seen_number("ACTIVE_FOCUSER", "FOCUS_TEMPERATURE", "TEMPERATURE"),
        }

    def _filter(self) -> str | None:
        slot = self._seen_number("ACTIVE_FILTER", "FILTER_SLOT", "FILTER_SLOT_VALUE")
        names = self._seen("ACTIVE_FILTER", "FILTER_NAME")
        if slot is not None:
            return names.get(f"FILTER_SLOT_NAME_{slot:.0f}")
        wheel = next((one for one in self._fellows() if isinstance(one, FilterWheel)), None)
        if wheel is None or wheel.slot > len(wheel.names):
            return None
        return wheel.names[wheel.slot - 1]

    def _sky(self, shot: Shot) -> list[Any]:
        mount = "ACTIVE_TELESCOPE"
        ra = self._seen_number(mount, "EQUATORIAL_EOD_COORD", "RA")
        dec = self._seen_number(mount, "EQUATORIAL_EOD_COORD", "DEC")
        if shot.frame_type is not FrameType.LIGHT or ra is None or dec is None:
            return []
        latitude = self._seen_number(mount, "GEOGRAPHIC_COORD", "LAT")
        longitude = self._seen_number(mount, "GEOGRAPHIC_COORD", "LONG")
        place = None if latitude is None or longitude is None or not (latitude or longitude) else (latitude, longitude)
        sides = self._seen(mount, "TELESCOPE_PIER_SIDE")
        pier = next((name.removeprefix("PIER_") for name, value in sides.items() if value == "On"), None)
        return list(sky_cards(ra, dec, place, pier, shot.began))

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
        elif keyword or text or comment:
            self._keywords[keyword or "COMMENT"] = (text, comment)
        await self._send(_HEADER, State.OK, values)

    # --- settings ---

    async def _on_frame(self, values: dict[str, Any]) -> None:
        wanted = {member: round(values.get(member, self._get(_FRAME, member))) for member in self._vector(_FRAME)}
        if wanted["WIDTH"] < 1 or wanted["HEIGHT"] < 1:
            raise Refused("The frame has no size")
        wanted["WIDTH"] = min(wanted["WIDTH"], self.width - wanted["X"])
        wanted["HEIGHT"] = min(wanted["HEIGHT"], self.height - wanted["Y"])
        await self._store(_FRAME, wanted)

    async def _on_binning(self, values: dict[str, Any]) -> None:
        await self._store(_BINNING, {member: round(value) for member, value in values.items()})

    async def _on_gain(self, values: dict[str, Any]) -> None:
        await self._store(_GAIN, {"GAIN": round(values["GAIN"])})

    async def _on_offset(self, values: dict[str, Any]) -> None:
        await self._store(_OFFSET, {"OFFSET": round(values["OFFSET"])})

    async def _on_scope(self, values: dict[str, Any]) -> None:
        await self._store("SCOPE_INFO", values)

    async def _on_where(self, values: dict[str, Any]) -> None:
        await self._store(_WHERE, values)

    async def _on_frame_type(self, values: dict[str, Any]) -> None:
        await self._store_choice(_TYPE, values)

    async def _on_capture_format(self, values: dict[str, Any]) -> None:
        await self._store_choice("CCD_CAPTURE_FORMAT", values)

    async def _on_transfer_format(self, values: dict[str, Any]) -> None:
        await self._store_choice("CCD_TRANSFER_FORMAT", values)

    async def _on_upload(self, values: dict[str, Any]) -> None:
        await self._store_choice(_UPLOAD, values)
        bound = self._bound[_FILE]
        bound.is_shown = self._chosen(_UPLOAD) != "UPLOAD_CLIENT"
        if bound.is_shown and not bound.vector.enable and self.connected:
            bound.vector.enable = True
            await bound.vector.send_defVector()
        elif not bound.is_shown and bound.vector.enable:
            await bound.vector.send_delProperty()

    # --- cooling ---

    async def _on_temperature(self, values: dict[str, Any]) -> None:
        celsius = values[_CELSIUS]
        if self._has(_COOLER) and not self._is_on(_COOLER, "COOLER_ON"):
            self._choose(_COOLER, "COOLER_ON")
            await self._send(_COOLER, State.OK)
        await self._perform(_TEMPERATURE, self._cool(celsius), accept=lambda: None, waits=False, ends=_ENDS)

    async def _cool(self, celsius: float) -> None:
        await self.set_temperature(celsius)
        while abs(self.temperature - celsius) > _NEAR:
            self._colder.clear()
            await self._colder.wait()

    async def _on_cooler(self, values: dict[str, Any]) -> None:
        member = await self._pick(_COOLER, values)
        if member is None:
            return
        if member == "COOLER_OFF" and self._has(_TEMPERATURE):
            await self._operations.cancel(_TEMPERATURE)
        ends = {End.DONE: State.OK if member == "COOLER_ON" else State.IDLE, End.CANCELLED: State.IDLE}
        ends[End.FAILED] = State.ALERT
        work = self.set_cooler(member == "COOLER_ON")
        await self._perform(_COOLER, work, accept=lambda: self._choose(_COOLER, member), ends=ends)
