"""What a benchmark is, and what comes out of it."""

import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from .processes import Contender, Failed


@dataclass
class Result:
    """The figures of one run, or the medians of several.

    Attributes:
        rate: Units per second of wall time (of processor time if nothing is sent).
        cpu: Microseconds of processor time of the server process for one unit.
        memory: The most resident memory of the server process, in MB.
        p50: Round trips only: the median, in ms.
        p99: Round trips only: slower are one in a hundred, in ms.
        seconds: Wall time of the measurement.
        sent: Storm only: bytes that went to all clients.
        spread: How far apart the runs are, as part of the median: of the processor time.
        note: What else there is to say.
        failure: Why there are no figures.
    """

    rate: float | None = None
    cpu: float | None = None
    memory: float | None = None
    p50: float | None = None
    p99: float | None = None
    seconds: float | None = None
    sent: int | None = None
    spread: float | None = None
    note: str = ""
    failure: str = ""

    def as_dict(self) -> dict[str, Any]:
        return {key: value for key, value in asdict(self).items() if value not in (None, "")}


@dataclass(frozen=True)
class Scale:
    """How much is measured.

    Attributes:
        size: Factor for the number of messages.
        limit: Seconds that one measurement may take.
        profile: A file for the profile of the server, or "".
    """

    size: float = 1.0
    limit: float = 60.0
    profile: str = ""

    def of(self, count: int, least: int = 1) -> int:
        return max(least, round(count * self.size))

    def of_bytes(self, size: int) -> int:
        """Of BLOBs there are fewer in a quick run, and smaller ones only to see whether it runs at all."""
        return max(4096, round(size * min(1.0, self.size * 10)))

    @property
    def pause(self) -> float:
        """Seconds without traffic after which everything has been said."""
        return 0.3 if self.size >= 0.1 else 0.03


Measure = Callable[[Contender, Scale], Result]


@dataclass(frozen=True)
class Benchmark:
    """Something to measure.

    Attributes:
        name: What the command line calls it.
        title: What the table calls it.
        unit: What is counted.
        measure: Runs it once.
        of: Who is measured: "parts" of ours without a server; "servers": ours and indiserver; "python":
            ours and other Python packages, as the driver is inside; "all" of these servers.
        runs: No more runs than this.
    """

    name: str
    title: str
    unit: str
    measure: Measure
    of: str = "servers"
    runs: int = field(default=99)

    def suits(self, contender: Contender) -> bool:
        if contender.loop:  # this server
            return self.of != "parts"
        others = {"parts": False, "all": True, "python": contender.is_python, "servers": not contender.is_python}
        return contender.name == "ours" or others[self.of]

    def run(self, contender: Contender, scale: Scale) -> Result:
        """Measure once; what goes wrong is in the result."""
        try:
            return self.measure(contender, scale)
        except (Failed, OSError) as error:
            return Result(failure=str(error) or type(error).__name__)


def median(results: list[Result]) -> Result:
    """The median of each figure, of those runs that came to their end."""
    good = [result for result in results if not result.failure]
    if not good:
        return results[0]
    merged = Result(note=good[-1].note)
    for key in ("rate", "cpu", "memory", "p50", "p99", "seconds", "sent"):
        values = [value for result in good if (value := getattr(result, key)) is not None]
        if values:
            setattr(merged, key, statistics.median(values))
    costs = [result.cpu for result in good if result.cpu]
    if len(costs) > 1:
        merged.spread = (max(costs) - min(costs)) / statistics.median(costs)
    if len(good) < len(results):
        merged.note = f"{len(results) - len(good)} of {len(results)} runs failed; {merged.note}".rstrip("; ")
    return merged
