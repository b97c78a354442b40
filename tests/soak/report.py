"""What a night has brought."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Report:
    """What happened, and what was wrong: nothing, it is hoped."""

    seed: int
    seconds: float
    clients: int = 0
    commands: int = 0
    certain: int = 0
    executed: int = 0
    elements: int = 0
    compared: int = 0
    forbidden: int = 0
    uploads: int = 0
    pictures: int = 0
    replaced: int = 0
    snooped: int = 0
    viewers: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    servers: dict[str, dict[str, float]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def text(self) -> str:
        lines = [
            f"seed {self.seed}, {self.seconds:.0f} s",
            f"{self.clients} clients came and went; they received {self.elements} elements",
            f"{self.commands} commands, {self.certain} of them on healthy ways; {self.executed} executed",
            f"{self.compared} values that clients knew at the end compared with the drivers'",
            f"{self.forbidden} commands that had to be refused; {self.uploads} pictures sent to cameras on healthy ways",
            f"{self.pictures} pictures were right, {self.replaced} of streams were replaced; "
            f"{sum(self.viewers.values())} viewers: " + ", ".join(f"{n} {k}" for k, n in sorted(self.viewers.items())),
            f"{self.snooped} values that snoopers knew at the end compared with the drivers'",
            f"{sum(self.faults.values())} faults: " + ", ".join(f"{n} {k}" for k, n in sorted(self.faults.items())),
        ]
        lines += [
            f"{name}: " + ", ".join(f"{k} {v:g}" for k, v in sorted(each.items()))
            for name, each in self.servers.items()
        ]
        return "\n".join([*lines, f"{len(self.wrong)} things went wrong", *self.wrong[:40]])
