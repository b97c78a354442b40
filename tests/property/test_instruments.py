"""Whatever clients send, and whatever fails, no instrument stays Busy for ever, and none breaks a rule of INDI."""

import os
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from indipydriver.instruments import simulators
from indipydriver.protocol.messages import NewVector, OneMember
from indipydriver.protocol.tags import VectorKind
from indipydriver.testing import run
from indipyserver.check.checker import Checker
from tests.instruments.sessions import Session

KINDS = [getattr(simulators, name) for name in simulators.__all__ if name.endswith("Simulator")]
EXAMPLES = int(os.environ.get("INDI_INSTRUMENT_EXAMPLES", "5"))


@pytest.fixture(scope="module", autouse=True)
def elsewhere(tmp_path_factory):
    """Cameras that are told to save images in any folder do so here."""
    here = os.getcwd()
    os.chdir(tmp_path_factory.mktemp("images"))
    yield
    os.chdir(here)


number = st.integers(0, 10**6)
command = st.tuples(st.just("command"), number, number, number)
step = st.one_of(
    command,
    command,
    command,
    command,
    st.tuples(st.just("wrong"), number, number, number),
    st.tuples(st.just("wait"), st.sampled_from([0.0, 0.01, 0.1, 1.0, 7.0, 70.0])),
    st.tuples(st.just("connect"), st.sampled_from(["CONNECT", "CONNECT", "CONNECT", "DISCONNECT"])),
    st.tuples(st.just("fault"), st.sampled_from(["NONE", "NONE", *simulators.Fault.__members__])),
    st.tuples(st.just("ask")),
)


def pick(options, seed):
    return options[seed % len(options)]


def legal(definition, seed, values):
    """Values that a client may send."""
    names = [member.name for member in definition.members]
    match definition.kind:
        case VectorKind.SWITCH if definition.rule == "AnyOfMany":
            return {name: "On" if seed >> n & 1 else "Off" for n, name in enumerate(names)}
        case VectorKind.SWITCH:
            on = pick([*names, None] if definition.rule == "AtMostOne" else names, seed)
            return {name: "On" if name == on else "Off" for name in names}
        case VectorKind.NUMBER:
            found = {}
            for n, member in enumerate(definition.members):
                low, high = float(member.min), float(member.max)
                part = pick([0, 1, 0.5, 0.01, 0.99, 0.3], seed + n)
                high = min(high, 100) if definition.name == "CCD_EXPOSURE" else high  # seconds: the test waits for it
                found[member.name] = str(low + (high - low) * part) if low < high else str(seed % 100)
            return found
        case _:
            return {name: pick(["", "abc", "12", "x" * 100, "CCD Simulator"], seed + n) for n, name in enumerate(names)}


def wrong(definition, seed):
    """Values that no client should send."""
    name = pick(definition.members, seed).name
    match definition.kind:
        case VectorKind.SWITCH:
            return pick([{"NOBODY": "On"}, {m.name: "On" for m in definition.members}, {name: "Off"}], seed)
        case VectorKind.NUMBER:
            return pick([{name: "1e300"}, {name: "-1e300"}, {name: "abc"}, {"NOBODY": "1"}, {name: "0"}], seed)
        case _:
            return pick([{"NOBODY": "x"}, {name: "\n"}], seed)


def is_steady(client, name):
    """It is Busy as long as it goes on, or as a warning: a mount that tracks, or moves until a client stops it."""
    moving = ("TELESCOPE_TRACK_STATE", "TELESCOPE_MOTION_NS", "TELESCOPE_MOTION_WE", "DOME_MOTION", "WEATHER_OVERRIDE")
    warning = ("WEATHER_STATUS", "SAFETY_STATUS")
    return name in warning or (name in moving and client.on(name) not in ([], ["TRACK_OFF"]))


async def play(kind, steps):
    async with Session(kind()) as client:
        await client.connect()
        for what, *how in steps:
            match what:
                case "wait":
                    await client.advance(how[0])
                case "connect":
                    await client.press("CONNECTION", how[0])
                case "fault":
                    await client.press("SIMULATED_FAULT", how[0])
                case "ask":
                    await client.get_properties()
                case _:
                    names = [
                        n for n in client.defined() if (client.property(client.name, n).definition.perm or "ro") != "ro"
                    ]
                    definition = client.property(client.name, pick(names, how[0])).definition
                    if definition.name in ("SIMULATED_FAULT", "CONNECTION") or definition.kind is VectorKind.BLOB:
                        continue
                    known = client.values(definition.name)
                    values = legal(definition, how[1], known) if what == "command" else wrong(definition, how[1])
                    members = tuple(OneMember(name, value) for name, value in values.items())
                    if how[2] % 4 == 0 and what == "command":
                        members = members[: 1 + how[2] % len(members)]  # as clients do that send what has changed
                    await client._send_command(NewVector(definition.kind, client.name, definition.name, members, None))
        await client.press("SIMULATED_FAULT", "NONE")
        await client.advance(400)
        busy = [name for name in client.defined() if client.state(name) == "Busy" and not is_steady(client, name)]
        assert busy == [], f"Busy for ever: {busy}"
        await client.press("CONNECTION", "DISCONNECT")
        await client.advance(70)
        assert client.state("CONNECTION") == "Idle"
        client.property(client.name, "CONNECTION").state = "-"
        await client.press("CONNECTION", "CONNECT")
        await client.until("CONNECTION", "Ok", 70)
        assert client.faults == []
    return client.frames


def judge(frames):
    """What the checker finds in what was sent; of what is parked, neither may be on when that is not known."""
    checker = Checker(server=False, clock=lambda: datetime.now(UTC))
    for frame in frames:
        checker.received(frame)
    return [
        f"{f.code}: {f.where}: {f.seen}"
        for f in checker.findings
        if f.severity != "note" and not (f.code in ("none-on", "rule-at-start") and f.name.endswith("_PARK"))
    ]


@pytest.fixture(autouse=True)
def home(tmp_path_factory, monkeypatch):
    """A home of its own for each test."""
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.delenv("INDICONFIG", raising=False)
    monkeypatch.delenv("INDIDEV", raising=False)


@pytest.mark.parametrize("fault", list(simulators.Fault.__members__))
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_each_command_ends_under_each_fault(kind, fault):
    steps = [("fault", fault)]
    for position in range(30):
        steps += [("command", position, position, 1), ("wait", 0.05)]
    steps += [("fault", "NONE"), ("command", 3, 0, 1), ("wait", 0.05), ("connect", "DISCONNECT")]
    assert judge(run(play, kind, steps)) == []


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_nothing_stays_busy(kind):
    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
    @given(st.lists(step, min_size=12, max_size=30))
    def play_all(steps):
        assert judge(run(play, kind, steps)) == []

    play_all()
