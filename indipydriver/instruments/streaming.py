"""Video of a camera: a preview, frame by frame."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import replace
from typing import Any, Final

from ..protocol.tags import State
from ..standard import Interface, find
from .chips import MAIN_CHIP, Chip, Chips
from .operations import End, Operation, Refused
from .propertydevice import Bound
from .shots import Shot
from .standarddevice import optional
from .subframes import cut_frame, frame_in, limit_frame
from .watched import watched

__all__ = ["Streaming"]

_STREAM, _ON, _OFF = "CCD_VIDEO_STREAM", "STREAM_ON", "STREAM_OFF"
_EXPOSURE, _SECONDS = "STREAMING_EXPOSURE", "STREAMING_EXPOSURE_VALUE"
_FPS, _FRAME, _LIMITS, _MOST = "FPS", "CCD_STREAM_FRAME", "LIMITS", "LIMITS_PREVIEW_FPS"
_STREAM_ENDS: Final = {End.DONE: State.IDLE, End.CANCELLED: State.IDLE, End.FAILED: State.ALERT}
_AVERAGED: Final = 20  # frames
_LONGEST_FRAME: Final = 60.0  # seconds that clients may set


class Streaming(Chips):
    """A camera that may have a video preview. Override :meth:`capture_frame`."""

    @optional
    async def capture_frame(self, shot: Shot) -> bytes | bytearray | memoryview:
        """Take one frame of a video: the pixels, one byte for each, without binning."""
        raise NotImplementedError

    @property
    def streaming(self) -> bool:
        """Whether a video is being sent."""
        return _STREAM in self._operations

    def _streaming_bounds(self) -> list[Bound]:
        if not self._implements("capture_frame"):
            return []
        table = Interface.CCD
        frame = self._on_stream_frame if self._sensor(MAIN_CHIP).has_subframes else None
        return [
            self._bind(find(_STREAM, table), self._on_stream),
            self._bind(find(_EXPOSURE, table), self._on_stream_exposure),
            self._bind(find(_FPS, table)),
            self._bind(find(_FRAME, table), frame),
            self._bind(find(_LIMITS, table), self._on_stream_limits),
        ]

    def _prepare_stream(self) -> None:
        if not self._has(_STREAM):
            return
        sensor = self._sensor(MAIN_CHIP)
        limit_frame(self._vector(_FRAME), sensor.width, sensor.height)
        self._copy_frame()

    def _after_interruption(self) -> None:
        if self._has(_STREAM):
            self._choose(_STREAM, _OFF)
        super()._after_interruption()

    def _copy_frame(self) -> None:
        self._vector(_FRAME).update(dict(self._vector(MAIN_CHIP.frame)))

    async def _frame_has_changed(self, chip: Chip) -> None:
        if chip is MAIN_CHIP and self._has(_STREAM):
            self._copy_frame()
            await self._send(_FRAME, State.OK)

    def _check_exposure(self, chip: Chip) -> None:
        if chip is MAIN_CHIP and self.streaming:
            raise Refused("The camera is sending a video: stop that first")

    def _exposure_waits_for(self, chip: Chip) -> list[Operation]:
        ending = self._operations.drop(_STREAM) if chip is MAIN_CHIP else []
        return super()._exposure_waits_for(chip) + ending

    async def _on_stream(self, values: dict[str, Any]) -> None:
        member = await self._pick(_STREAM, values)
        if member is None:
            return
        if member == _OFF:
            if not await self._operations.cancel(_STREAM):
                self._choose(_STREAM, _OFF)
                await self._send(_STREAM, State.IDLE)
            return
        if MAIN_CHIP.exposure in self._operations:
            raise Refused("The camera exposes")
        if self.streaming:
            await self._send(_STREAM)
            return
        self._choose(_STREAM, _ON)

        def rest() -> None:
            self._choose(_STREAM, _OFF)

        after = self._operations.running(MAIN_CHIP.abort) + self._operations.drop(MAIN_CHIP.exposure)
        how: dict[str, Any] = {"ends": _STREAM_ENDS, "after": after, "takes": _LONGEST_FRAME}
        await self._perform(_STREAM, self._stream(), accept=rest, revoke=rest, waits=False, **how)

    async def _stream(self) -> None:
        """Send frames until it is cancelled."""
        clock = asyncio.get_running_loop().time
        taken: deque[float] = deque(maxlen=_AVERAGED)
        while True:
            begin = clock()
            shot = self._shot(MAIN_CHIP, self._get(_EXPOSURE, _SECONDS))
            x, y, width, height = frame_in(self._vector(_FRAME))
            shot = replace(shot, x=x, y=y, width=width, height=height, binning=(1, 1), bits=8)
            pixels = bytes(await watched(self.capture_frame(shot), f"{type(self).__name__}.capture_frame"))
            self._check_going_on(_STREAM)
            if len(pixels) not in (width * height, 3 * width * height):
                raise ValueError(f"{len(pixels)} bytes are not a frame of {width} by {height} pixels with 8 bits")
            self._operations.progressed(_STREAM)
            await self._send_image(MAIN_CHIP, pixels, ".stream", self._is_on(MAIN_CHIP.compression, "INDI_ENABLED"))
            taken.append(clock())
            pause = 1 / self._get(_LIMITS, _MOST) - (clock() - begin)
            await asyncio.sleep(max(0.0, pause))
            if len(taken) > 1 and taken[-1] > taken[0]:
                last, mean = 1 / max(1e-3, taken[-1] - taken[-2]), (len(taken) - 1) / (taken[-1] - taken[0])
                self._put(_FPS, {"EST_FPS": round(min(999, last), 2), "AVG_FPS": round(min(999, mean), 2)}, State.OK)

    async def _on_stream_exposure(self, values: dict[str, Any]) -> None:
        await self._store(_EXPOSURE, values)

    async def _on_stream_limits(self, values: dict[str, Any]) -> None:
        await self._store(_LIMITS, values)

    async def _on_stream_frame(self, values: dict[str, Any]) -> None:
        sensor = self._sensor(MAIN_CHIP)
        await self._store(_FRAME, cut_frame(self._vector(_FRAME), values, sensor.width, sensor.height))
