"""The sensors of a camera: the main one, and the guide head if there is one."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from ..propertymembers import BLOBMember
from ..protocol.tags import State
from ..standard import INTERFACES, Interface
from ..transport.threads import in_thread
from .instrument import Instrument
from .operations import End, Operation, Refused
from .propertydevice import Bound
from .shots import FrameType, Shot
from .standarddevice import optional
from .standardvectors import set_limits
from .subframes import cut_frame, frame_in, limit_frame

__all__ = ["GUIDE_HEAD", "MAIN_CHIP", "Chip", "Chips", "Sensor"]

_COMPRESSION_LEVEL: Final = 1


@dataclass(frozen=True, slots=True)
class Sensor:
    """A sensor.

    Attributes:
        width: Pixels in a row.
        height: Rows.
        pixel_size: Width and height of a pixel in micrometres.
        bits: Of a pixel: 8, 16 or 32.
        largest_binning: 1 if the sensor cannot bin.
        has_subframes: A part of the sensor can be read.
    """

    width: int
    height: int
    pixel_size: tuple[float, float]
    bits: int = 16
    largest_binning: int = 1
    has_subframes: bool = False


class Chip:
    """The names of the properties of one sensor."""

    def __init__(self, prefix: str, image: str) -> None:
        self.exposure, self.seconds = f"{prefix}_EXPOSURE", f"{prefix}_EXPOSURE_VALUE"
        self.abort = f"{prefix}_ABORT_EXPOSURE"
        self.frame, self.reset = f"{prefix}_FRAME", f"{prefix}_FRAME_RESET"
        self.binning, self.kind = f"{prefix}_BINNING", f"{prefix}_FRAME_TYPE"
        self.info, self.compression = f"{prefix}_INFO", f"{prefix}_COMPRESSION"
        self.image = image


MAIN_CHIP: Final = Chip("CCD", "CCD1")
GUIDE_HEAD: Final = Chip("GUIDER", "CCD2")


class Chips(Instrument):
    """A device that takes exposures.

    Attributes:
        guide_head: The sensor of the guide head, if there is one: override :meth:`expose_guide_head`.
        shortest: The shortest exposure in seconds.
        longest: The longest exposure in seconds.
    """

    guide_head: Sensor | None = None
    shortest: float = 0.01
    longest: float = 3600.0

    @optional
    async def expose_guide_head(self, shot: Shot) -> bytes | bytearray | memoryview:
        """Like expose(), with the sensor of the guide head."""
        raise NotImplementedError

    @optional
    async def abort_guide_head(self) -> None:
        """End the exposure of the guide head in the hardware; expose_guide_head() has already been cancelled."""

    # --- what a camera says ---

    def _sensor(self, chip: Chip) -> Sensor:
        """The sensor, as it is now."""
        assert self.guide_head is not None
        return self.guide_head

    async def _take(self, chip: Chip, shot: Shot) -> bytes | bytearray | memoryview:
        """Expose, and return the pixels."""
        return await self.expose_guide_head(shot)

    async def _end_exposure(self, chip: Chip) -> None:
        await self.abort_guide_head()

    def _make_file(self, chip: Chip, shot: Shot) -> Callable[[bytes | bytearray | memoryview], bytes]:
        """A function that makes a file of pixels, with everything known at the beginning of the exposure."""
        raise NotImplementedError

    async def _keep_file(self, chip: Chip, data: bytes) -> bool:
        """Save the file on this machine if requested; False if clients do not want to receive it."""
        return True

    def _check_exposure(self, chip: Chip) -> None:
        """Raise Refused if it cannot expose now."""

    def _exposure_waits_for(self, chip: Chip) -> list[Operation]:
        """What must have ended before it exposes, besides the previous exposure."""
        return self._operations.running(chip.abort)

    def _gains(self, chip: Chip) -> tuple[int | None, int | None]:
        """Gain and offset."""
        return None, None

    # --- properties ---

    def _chip_bounds(self, chip: Chip) -> list[Bound]:
        sensor = self._sensor(chip)
        self._found_frames: dict[str, tuple[int, int]] = {}
        bins, cuts = sensor.largest_binning > 1, sensor.has_subframes
        handlers: dict[str, tuple[Callable[[Chip, dict[str, Any]], Awaitable[None]] | None, bool]] = {
            chip.exposure: (self._on_exposure, True),
            chip.abort: (self._on_exposure_abort, True),
            chip.frame: (self._on_frame if cuts else None, True),
            chip.reset: (self._on_frame_reset, (bins or cuts) and chip is MAIN_CHIP),
            chip.binning: (self._on_binning, bins),
            chip.compression: (self._on_compression, True),
            chip.info: (None, True),
            chip.image: (None, True),
            chip.kind: (self._on_frame_type, True),
        }
        table = [standard for standard in INTERFACES[Interface.CCD] if standard.name in handlers]
        made = []
        for standard in table:
            handler, is_there = handlers[standard.name]
            if is_there:
                made.append(self._bind(standard, partial(handler, chip) if handler is not None else None))
        for bound in made:
            member = bound.vector.data.get(chip.image)
            if isinstance(member, BLOBMember):
                member.blobformat = ".fits"
        return made

    def _prepare_chip(self, chip: Chip) -> None:
        """Limits and values of the sensor that has been found."""
        sensor = self._sensor(chip)
        width, height = sensor.width, sensor.height
        frame = self._vector(chip.frame)
        if self._found_frames.get(chip.frame) != (width, height):
            self._found_frames[chip.frame] = (width, height)
            frame.update({"X": "0", "Y": "0", "WIDTH": str(width), "HEIGHT": str(height)})
        self._limit_exposure(chip)
        limit_frame(frame, width, height)
        if self._has(chip.binning):
            for member in self._vector(chip.binning):
                set_limits(self._vector(chip.binning), member, 1, sensor.largest_binning)
        info: dict[str, float] = {"CCD_MAX_X": width, "CCD_MAX_Y": height, "CCD_BITSPERPIXEL": sensor.bits}
        info |= {"CCD_PIXEL_SIZE_X": sensor.pixel_size[0], "CCD_PIXEL_SIZE_Y": sensor.pixel_size[1]}
        self._vector(chip.info).update({**info, "CCD_PIXEL_SIZE": sensor.pixel_size[0]})

    def _after_interruption(self) -> None:
        for chip in (MAIN_CHIP, GUIDE_HEAD):
            if self._has(chip.exposure) and self._vector(chip.exposure).state == State.BUSY:
                self._vector(chip.exposure)[chip.seconds] = "0"
        super()._after_interruption()

    # --- exposing ---

    async def _on_exposure(self, chip: Chip, values: dict[str, Any]) -> None:
        self._check_exposure(chip)
        shot = self._shot(chip, values[chip.seconds])
        if shot.columns < 1 or shot.rows < 1:
            raise Refused("The frame is smaller than one pixel of the image, with this binning")
        self._vector(chip.exposure)[chip.seconds] = f"{shot.seconds:g}"

        def rest() -> None:
            self._vector(chip.exposure)[chip.seconds] = "0"

        async def then(end: End) -> None:
            await self._exposures_are_over(chip)

        work = self._expose(chip, shot)  # a running one is replaced
        how: dict[str, Any] = {"then": then, "after": self._exposure_waits_for(chip)}
        await self._perform(chip.exposure, work, revoke=rest, waits=False, **how)

    def _shot(self, chip: Chip, seconds: float) -> Shot:
        """The exposure that is requested now."""
        binning = (1, 1)
        if self._has(chip.binning):
            binning = round(self._get(chip.binning, "HOR_BIN")), round(self._get(chip.binning, "VER_BIN"))
        x, y, width, height = frame_in(self._vector(chip.frame))
        kind = FrameType[(self._chosen(chip.kind) or "FRAME_LIGHT").removeprefix("FRAME_")]
        seconds = self.shortest if kind is FrameType.BIAS else seconds
        bits = self._sensor(chip).bits
        return Shot(seconds, x, y, width, height, binning, kind, *self._gains(chip), bits, datetime.now(UTC))

    def _more_exposures(self, chip: Chip) -> int:
        """How many exposures follow automatically."""
        return 0

    async def _exposures_are_over(self, chip: Chip) -> None:
        """The last exposure has ended."""

    async def _expose(self, chip: Chip, shot: Shot) -> None:
        shot = replace(shot, began=datetime.now(UTC))  # it may have waited for the end of something else
        while True:
            await self._expose_once(chip, shot)
            if not self._more_exposures(chip):
                return
            await self._send(chip.exposure, State.OK, {chip.seconds: "0"})
            shot = self._shot(chip, shot.seconds)
            await self._send(chip.exposure, State.BUSY, {chip.seconds: f"{shot.seconds:g}"})

    async def _expose_once(self, chip: Chip, shot: Shot) -> None:
        make_file = self._make_file(chip, shot)
        is_compressed = self._is_on(chip.compression, "INDI_ENABLED")
        counting = asyncio.create_task(self._count_down(chip.exposure, chip.seconds, shot.seconds))
        try:
            pixels = await self._take(chip, shot)
        finally:
            counting.cancel()
        self._check_going_on(chip.exposure)
        self._put(chip.exposure, {chip.seconds: "0"})
        data = await in_thread(lambda: make_file(pixels))
        if await self._keep_file(chip, data):
            await self._send_image(chip, data, ".fits", is_compressed)

    async def _send_image(self, chip: Chip, data: bytes, suffix: str, is_compressed: bool) -> None:
        image = self._vector(chip.image)
        member: BLOBMember = image.data[chip.image]
        size = 0
        if is_compressed:
            size, suffix = len(data), f"{suffix}.z"
            plain = data
            data = await in_thread(lambda: zlib.compress(plain, _COMPRESSION_LEVEL))
        member.blobsize, member.blobformat = size, suffix
        image[chip.image] = data
        try:
            await image.send_setVectorMembers(state=State.OK, members=[chip.image])
        finally:
            image[chip.image] = None  # it need not stay in memory

    async def _on_exposure_abort(self, chip: Chip, values: dict[str, Any]) -> None:
        name = chip.abort
        if not values.get("ABORT") or self._is_already_stopped(chip.exposure):
            await self._button(name)
            return
        after = self._abandon(chip.exposure)
        await self._perform(name, self._end_exposure(chip), accept=lambda: self._choose(name, None), after=after)
        if chip.exposure not in self._operations:
            state = State.ALERT if self._vector(name).state == State.ALERT else State.IDLE
            await self._send(chip.exposure, state, {chip.seconds: "0"})
            await self._exposures_are_over(chip)

    # --- settings ---

    async def _on_frame(self, chip: Chip, values: dict[str, Any]) -> None:
        sensor = self._sensor(chip)
        wanted = cut_frame(self._vector(chip.frame), values, sensor.width, sensor.height)
        if wanted["WIDTH"] < 1 or wanted["HEIGHT"] < 1:
            raise Refused("The frame has no size")
        await self._store(chip.frame, wanted)
        await self._frame_has_changed(chip)

    async def _frame_has_changed(self, chip: Chip) -> None:
        """Read another part of the sensor from now on."""

    async def _on_frame_reset(self, chip: Chip, values: dict[str, Any]) -> None:
        if values.get("RESET"):
            sensor = self._sensor(chip)
            self._vector(chip.frame).update({"X": 0, "Y": 0, "WIDTH": sensor.width, "HEIGHT": sensor.height})
            if self._has(chip.binning):
                await self._store(chip.binning, {"HOR_BIN": 1, "VER_BIN": 1})
            await self._store(chip.frame, {})
            await self._frame_has_changed(chip)
        await self._button(chip.reset)

    async def _on_binning(self, chip: Chip, values: dict[str, Any]) -> None:
        await self._store(chip.binning, {member: round(value) for member, value in values.items()})

    async def _on_frame_type(self, chip: Chip, values: dict[str, Any]) -> None:
        await self._store_choice(chip.kind, values)
        self._limit_exposure(chip)

    def _limit_exposure(self, chip: Chip) -> None:
        """A bias frame takes the shortest time, whatever time is requested."""
        shortest = 0.0 if self._is_on(chip.kind, "FRAME_BIAS") else self.shortest
        set_limits(self._vector(chip.exposure), chip.seconds, shortest, self.longest)

    async def _on_compression(self, chip: Chip, values: dict[str, Any]) -> None:
        await self._store_choice(chip.compression, values)
