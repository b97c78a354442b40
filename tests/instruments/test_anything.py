"""Whatever clients, faults and disconnections come in whatever order: nothing stays Busy for ever, no rule is broken."""

import asyncio
import os
import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from indipydriver.instruments import Refused
from indipydriver.instruments.simulators import (
    CCDSimulator,
    DomeSimulator,
    DustCapSimulator,
    Fault,
    FilterSimulator,
    FocuserSimulator,
    GPSSimulator,
    LightPanelSimulator,
    PowerBoxSimulator,
    RollOffSimulator,
    RotatorSimulator,
    TelescopeSimulator,
    WeatherSimulator,
)
from indipydriver.protocol.messages import NewVector, OneMember
from indipydriver.protocol.tags import VectorKind
from indipydriver.testing import run
from indipyserver.check.checker import Checker
from indipyserver.check.interfaces import judge_interfaces
from tests.instruments.sessions import Session


class SmallCamera(CCDSimulator):
    default_name = "Camera"
    width, height = 32, 24
    guide_head = None
    longest = 60.0

    async def expose(self, shot):
        await self.hardware(shot.seconds)
        return bytes(2 * shot.columns * shot.rows)

    async def capture_frame(self, shot):
        await self.hardware(shot.seconds)
        return bytes(shot.width * shot.height)


class HandFocuser(FocuserSimulator):
    pass


class Whole(TelescopeSimulator):
    default_name = "Whole"
    parts = (HandFocuser,)


KINDS = [
    SmallCamera,
    DomeSimulator,
    DustCapSimulator,
    FilterSimulator,
    FocuserSimulator,
    GPSSimulator,
    LightPanelSimulator,
    PowerBoxSimulator,
    RollOffSimulator,
    RotatorSimulator,
    TelescopeSimulator,
    WeatherSimulator,
    Whole,
]

ON_WHILE_BUSY = {
    "TELESCOPE_TRACK_STATE",  # it tracks
    "WEATHER_OVERRIDE",  # it is overridden
    "WEATHER_STATUS",  # a warning
    "SAFETY_STATUS",
    "CCD_VIDEO_STREAM",  # until it is stopped
    "TELESCOPE_MOTION_NS",
    "TELESCOPE_MOTION_WE",
    "DOME_MOTION",
}
"""What may be Busy as long as nobody ends it."""

LEFT_ALONE = {
    *("SIMULATED_FAULT", "CONNECTION", "DEBUG"),  # these have steps of their own, or tests
    *("UPLOAD_SETTINGS", "UPLOAD_MODE"),  # files anywhere
    *("POLLING_PERIOD", "CCD_TEMP_RAMP", "CCD_FAST_TOGGLE", "LIMITS"),  # what takes hours is right then
}
LONGEST = 150.0  # seconds in which all ends by itself

number = st.one_of(
    st.floats(-400, 100_000), st.integers(-2, 20), st.sampled_from([0, 1, 90, 360, 1e9, float("nan"), float("inf")])
)
word = st.one_of(st.sampled_from(["", "0", "5.5", "2026-11-22T07:30:00", "Other", "/", "XXX"]), st.text(max_size=5))
step = st.one_of(
    st.tuples(
        st.just("command"),
        st.integers(0, 999),
        st.lists(st.tuples(number, st.booleans(), word), min_size=1, max_size=4),
    ),
    st.tuples(
        st.just("command"),
        st.integers(0, 999),
        st.lists(st.tuples(number, st.booleans(), word), min_size=1, max_size=4),
    ),
    st.tuples(
        st.just("command"),
        st.integers(0, 999),
        st.lists(st.tuples(number, st.booleans(), word), min_size=1, max_size=4),
    ),
    st.tuples(st.just("wait"), st.sampled_from([0.01, 0.3, 1, 4, 20])),
    st.tuples(st.just("fault"), st.sampled_from(list(Fault))),
    st.tuples(st.just("connect"), st.booleans()),
)


async def command(client, number, values):
    """Write something into one of the properties, legal or not."""
    known = [
        definition
        for (device, _), seen in client._properties.items()
        if seen.defined and (definition := seen.definition) is not None and definition.perm != "ro"
        if definition.name not in LEFT_ALONE
        if definition.kind in (VectorKind.NUMBER, VectorKind.SWITCH, VectorKind.TEXT)
    ]
    definition = known[number % len(known)]
    members = []
    for member, (figure, on, text) in zip(definition.members, values, strict=False):
        made = {VectorKind.NUMBER: f"{figure}", VectorKind.SWITCH: "On" if on else "Off", VectorKind.TEXT: text}
        members.append(OneMember(member.name, made[definition.kind]))
    await client.send(NewVector(definition.kind, client.name, definition.name, tuple(members)))


def busy(client):
    return sorted(
        name
        for (_, name), seen in client._properties.items()
        if seen.defined and seen.state == "Busy" and name not in ON_WHILE_BUSY
    )


class Strict(Session):
    """A client that believes nothing."""

    def __init__(self, device):
        super().__init__(device)
        self.checker = Checker(clock=lambda: datetime.now(UTC))

    def frames_received(self, frames):
        super().frames_received(frames)
        for frame in frames:
            self.checker.received(frame)

    def broken_rules(self):
        bits = int(self.values("DRIVER_INFO")["DRIVER_INTERFACE"])
        found = [
            str(finding)
            for finding in self.checker.findings
            # What was stopped half way is neither parked nor unparked, as with libindi's drivers.
            if finding.severity != "note"
            and not (finding.code in ("none-on", "rule-at-start") and finding.name.endswith("_PARK"))
        ]
        return found + list(judge_interfaces(self.name, bits, self.checker.properties))


async def play(client, steps):
    """Send commands, switch faults on, connect and disconnect."""
    for what, *how in steps:
        match what:
            case "command":
                await command(client, *how)
            case "wait":
                await client.advance(*how)
            case "fault":
                await client.press("SIMULATED_FAULT", how[0].name)
            case "connect":
                await client.press("CONNECTION", "CONNECT" if how[0] else "DISCONNECT")


async def assert_as_good_as_new(client):
    """Nothing is busy for ever, and it can be connected again."""
    await client.press("SIMULATED_FAULT", "NONE")
    await client.advance(LONGEST)
    assert busy(client) == []
    await client.press("CONNECTION", "DISCONNECT")
    await client.until("CONNECTION", None, 70, CONNECT="Off")
    assert not client.device.connected
    await client.connect()
    await client.advance(10)  # a GPS receiver finds its place
    assert busy(client) == []
    assert client.broken_rules() == []


def any_steps(examples):
    """Run a test with random steps."""

    def decorate(test):
        with_settings = settings(
            max_examples=int(os.environ.get("INSTRUMENT_EXAMPLES", examples)),
            deadline=timedelta(seconds=20),
            derandomize="INSTRUMENT_EXAMPLES" not in os.environ,
            database=None,
            phases=[Phase.explicit, Phase.generate] + [Phase.shrink] * ("INSTRUMENT_SHRINK" in os.environ),
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
        )
        return with_settings(given(steps=st.lists(step, min_size=1, max_size=25), seed=st.integers(0, 1 << 30))(test))

    return decorate


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@any_steps(12)
def test_nothing_is_busy_for_ever(kind, home, steps, seed):
    for file in (home / ".indi").glob("*"):
        file.unlink()

    async def session():
        async with Strict(kind()) as client:
            await client.connect()
            await play(client, steps)
            await assert_as_good_as_new(client)

    run(session)


class Unruly:
    """Its coroutines end as they like when they are cancelled, and it does not always want to be disconnected."""

    chance = None  # while it behaves well
    polls = most = 0  # how often it is being polled now, and has been at most

    async def hardware(self, seconds=0.0):
        try:
            await super().hardware(seconds)
        except asyncio.CancelledError:
            match self.chance.choice(["return", "slow", "fail", "lose", "refuse", ""]) if self.chance else "":
                case "return":
                    return
                case "slow":
                    await asyncio.sleep(self.chance.uniform(0, 7))
                case "fail":
                    raise OSError("cleaning up") from None
                case "lose":
                    raise ConnectionResetError("too late") from None
                case "refuse":
                    raise Refused("too late") from None
            raise

    async def poll(self):
        self.polls += 1
        self.most = max(self.most, self.polls)
        try:
            await super().poll()
        finally:
            self.polls -= 1

    async def disconnect(self):
        if self.chance:
            if self.chance.random() < 0.3:
                raise Refused("Not now")
            await asyncio.sleep(self.chance.uniform(0, 3))
        await super().disconnect()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@any_steps(5)
def test_whatever_authors_do_when_they_are_cancelled(kind, home, steps, seed):
    for file in (home / ".indi").glob("*"):
        file.unlink()
    unruly = type(kind.__name__, (Unruly, kind), {})

    async def session():
        async with Strict(unruly()) as client:
            await client.connect()
            client.device.chance = random.Random(seed)
            await play(client, steps)
            client.device.chance = None
            await assert_as_good_as_new(client)
            assert client.device.most <= 1

    run(session)
