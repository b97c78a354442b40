"""Whatever clients send, at whatever moment: two motions are never made at once, and none once it is to be still."""

import asyncio
import os
import random

import pytest

from indipydriver.instruments import Dome, Focuser, Mount, Refused, Rotator
from indipydriver.testing import run
from tests.instruments.sessions import Session

SEEDS = int(os.environ.get("INDI_MOTION_SEEDS", "8"))
BUSY_OTHERWISE = {"TELESCOPE_TRACK_STATE"}  # while it tracks
MOVING = ("ABORT", "PARK", "EOD", "ABS", "REL", "MOTION", "HOME", "SHUTTER", "ON_COORD", "TRACK_STATE")
LEFT_OUT = ("CONNECTION", "CONFIG_PROCESS", "DEBUG", "POLLING_PERIOD", "DOME_POLICY", "MOUNT_POLICY")


class Hardware:
    """Takes its time to move and to stop, fails now and then, and notes what it should not have been asked for."""

    def __init__(self, chance):
        self.chance, self.moves, self.wrong = chance, [], []
        super().__init__("X")

    async def move(self, what, axis="", unparked=True):
        moving = [move for move in self.moves if move[0] == axis]
        if moving or not self.connected or (unparked and getattr(self, "parked", False)):
            self.wrong.append(f"{what} begins; {moving=}, connected={self.connected}")
        self.moves.append((axis, what))
        try:
            await asyncio.sleep(self.chance.choice([0, 0.01, 1, 20]))
            if self.chance.random() < 0.1:
                raise self.chance.choice([OSError("fails"), Refused("no"), ValueError("wrong"), TimeoutError("late")])
        finally:
            try:
                await asyncio.sleep(self.chance.choice([0, 0, 0.01, 0.5]))  # it stops
            finally:
                self.moves.remove((axis, what))

    async def abort(self):
        if any(axis != "tracking" for axis, _ in self.moves):
            self.wrong.append(f"abort() while {self.moves}")
        await asyncio.sleep(self.chance.choice([0, 0.01, 1]))
        if self.chance.random() < 0.1:
            raise OSError("fails")


class AnyMount(Hardware, Mount):
    park_axes = "RA_DEC"

    async def slew_to(self, ra, dec):
        await self.move("slew")

    async def set_tracking(self, on):
        await self.move("track", "tracking")

    async def park(self):
        await self.move("park", unparked=False)

    async def unpark(self):
        await self.move("unpark", unparked=False)

    async def go_home(self):
        await self.move("home")

    async def start_motion(self, direction, rate):
        await self.move("start", direction)

    async def stop_motion(self, direction):
        await asyncio.sleep(self.chance.choice([0, 0.01, 1]))


class AnyDome(Hardware, Dome):
    async def turn_to(self, azimuth):
        await self.move("turn")

    async def start_turning(self, clockwise):
        await self.move("start")

    async def open_shutter(self):
        await self.move("open", "shutter", unparked=False)

    async def close_shutter(self):
        await self.move("close", "shutter", unparked=False)

    async def abort(self):
        if any(axis == "" for axis, _ in self.moves):
            self.wrong.append(f"abort() while {self.moves}")
        await asyncio.sleep(self.chance.choice([0, 0.01, 1]))


class AnyFocuser(Hardware, Focuser):
    async def move_to(self, position):
        await self.move("move")


class AnyRotator(Hardware, Rotator):
    async def turn_to(self, angle):
        await self.move("turn")

    async def home(self):
        await self.move("home")


def values(chance, vector):
    """What a client may send for a vector."""
    if "Switch" in type(vector).__name__:
        return {chance.choice(list(vector)): "On" if chance.random() < 0.8 else "Off"}
    limits = {name: (float(member.min), float(member.max)) for name, member in vector.data.items()}
    return {name: chance.choice([low, high, (low + high) / 2]) for name, (low, high) in limits.items()}


async def play(kind, seed):
    chance = random.Random(f"{kind.__name__} {seed}")
    device = kind(chance)
    async with Session(device) as client:
        await client.connect()
        known = [vector for vector in device.data.values() if vector.perm != "ro" and vector.name not in LEFT_OUT]
        known = [vector for vector in known if type(vector).__name__ in ("SwitchVector", "NumberVector")]
        moving = [vector for vector in known if any(word in vector.name for word in MOVING)]
        sent = []
        for _ in range(chance.randint(5, 40)):
            if chance.random() < 0.04:
                await client.press("CONNECTION", "DISCONNECT")
                await client.advance(chance.choice([0, 1, 6]))
                await client.press("CONNECTION", "CONNECT")
                await client.advance(1)
            vector = chance.choice(moving if chance.random() < 0.85 else known)
            sent.append((vector.name, values(chance, vector)))
            send = client.set_switch if "Switch" in type(vector).__name__ else client.set_number
            await send("X", *sent[-1])
            await client.advance(chance.choice([0, 0, 0.005, 0.1, 0.6, 3, 30]))
        abort = next(vector.name for vector in known if "ABORT" in vector.name)
        for _ in range(20):
            await client.press(abort, "ABORT")
            await client.advance(70)
            busy = {name for name in client.defined() if client.state(name) == "Busy"} - BUSY_OTHERWISE
            if not busy:
                break
        assert (device.wrong, device.moves, busy) == ([], [], set()), str(sent[-8:])


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Nothing is read from, or written to, the home of whoever runs this."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("INDICONFIG", "INDIDEV"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("kind", [AnyMount, AnyDome, AnyFocuser, AnyRotator])
def test_one_motion_at_a_time(kind, seed, home):
    run(play, kind, seed)
