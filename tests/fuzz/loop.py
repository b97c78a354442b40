"""The plain loop: inputs from a seed, findings collected by kind, each made as small as it gets."""

from __future__ import annotations

import random
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from .inputs import SEPARATOR, generate
from .targets import TARGETS

__all__ = ["Finding", "Outcome", "fuzz", "kind_of", "shrunk"]

_SHRINKING: Final = 5.0  # seconds for one finding
_BURST: Final = 100  # inputs between two looks at the clock


@dataclass
class Finding:
    """One kind of failure, and the smallest input that has shown it."""

    kind: str
    data: bytes
    number: int
    words: str
    count: int = 1


@dataclass
class Outcome:
    """What one target has said to its inputs."""

    target: str
    seed: int
    tried: int = 0
    seconds: float = 0.0
    cpu: float = 0.0
    findings: dict[str, Finding] = field(default_factory=dict)

    def line(self) -> str:
        rate = self.tried / self.cpu if self.cpu else 0.0
        found = f"{len(self.findings)} kinds of findings" if self.findings else "nothing found"
        return (
            f"{self.target}: {self.tried} inputs of seed {self.seed} in {self.seconds:.1f} s "
            f"({self.cpu:.1f} s of CPU, {rate:.0f}/s): {found}"
        )


def kind_of(error: BaseException) -> str:
    """The same for failures that are probably one: the exception, and where it was raised."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {place.name}, {Path(place.filename).name}:{place.lineno}"


def fuzz(target: str, count: int, seed: int, seconds: float = float("inf")) -> Outcome:
    """Try inputs until so many have been tried, or so much time has passed."""
    one = TARGETS[target]
    rng = random.Random(f"{target} {seed}")
    outcome = Outcome(target, seed)
    begin, cpu = time.monotonic(), time.process_time()
    while outcome.tried < count and time.monotonic() - begin < seconds:
        for _ in range(min(_BURST if target != "cost" else 1, count - outcome.tried)):
            data = generate(target, rng)
            outcome.tried += 1
            try:
                one(data)
            except Exception as error:
                _note(outcome, data, error)
    outcome.seconds, outcome.cpu = time.monotonic() - begin, time.process_time() - cpu
    for finding in outcome.findings.values():
        finding.data = shrunk(one, finding.data, finding.kind)
    return outcome


def _note(outcome: Outcome, data: bytes, error: Exception) -> None:
    kind = kind_of(error)
    finding = outcome.findings.get(kind)
    if finding is None:
        outcome.findings[kind] = Finding(kind, data, outcome.tried, str(error)[:300])
        return
    finding.count += 1
    if len(data) < len(finding.data):
        finding.data = data


def shrunk(one: Callable[[bytes], None], data: bytes, kind: str) -> bytes:
    """A smaller input that fails in the same way, as far as it is found in a few seconds."""
    end = time.monotonic() + _SHRINKING

    def fails(candidate: bytes) -> bool:
        try:
            one(candidate)
        except Exception as error:
            return kind_of(error) == kind
        return False

    records = data.split(SEPARATOR)
    index = len(records) - 1
    while index > 0 and time.monotonic() < end:
        fewer = records[:index] + records[index + 1 :]
        if fails(SEPARATOR.join(fewer)):
            records = fewer
        index -= 1
    data = SEPARATOR.join(records)
    size = max(1, len(data) // 2)
    while size and time.monotonic() < end:
        start = 0
        while start < len(data) and time.monotonic() < end:
            less = data[:start] + data[start + size :]
            if fails(less):
                data = less
            else:
                start += size
        size //= 2
    return data
