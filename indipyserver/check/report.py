"""What a check has found, as human-readable text and as JSON for programs."""

from __future__ import annotations

import json
import textwrap
from dataclasses import dataclass, field
from typing import Any, Final

from indipydriver.protocol.texts import printable

from .model import Key
from .rules import Finding, Severity

__all__ = ["Report", "as_json", "as_text"]

_WIDTH: Final = 110
_PLACES_SHOWN: Final = 8  # places that are shown for one kind of fault
_SEVERITY_COLOURS: Final = {Severity.ERROR: "\x1b[31m", Severity.WARNING: "\x1b[33m", Severity.NOTE: "\x1b[2m"}
_RESET: Final = "\x1b[0m"


@dataclass(slots=True)
class Report:
    """What was seen in one check.

    Attributes:
        subject: What was checked.
        kind: A program, a server, or Python.
        findings: The faults, worst first.
        devices: How many properties each device has defined, connected or not.
        connected: The devices that could be connected.
        commands: How many commands were sent.
        answered: How many of them were answered.
        unanswered: Properties that have not answered a command.
        spared: Properties that were not commanded, with the reason.
        frames: How many elements were received.
        bytes: How many bytes were received; of BLOBs of drivers in this process, only their tags are counted.
        blobs: Property and size of each BLOB.
        startup: Seconds to the first definition.
        median: The usual time to the answer to a command, in seconds.
        slowest: The longest time, and the property.
        duration: Seconds that the check took.
        stderr: The last lines on standard error.
    """

    subject: str
    kind: str
    findings: list[Finding] = field(default_factory=list)
    devices: dict[str, int] = field(default_factory=dict)
    connected: list[str] = field(default_factory=list)
    commands: int = 0
    answered: int = 0
    unanswered: list[Key] = field(default_factory=list)
    spared: list[tuple[Key, str]] = field(default_factory=list)
    frames: int = 0
    bytes: int = 0
    blobs: list[tuple[Key, int]] = field(default_factory=list)
    startup: float | None = None
    median: float | None = None
    slowest: tuple[float, Key] | None = None
    duration: float = 0.0
    stderr: list[str] = field(default_factory=list)

    def of(self, severity: Severity) -> list[Finding]:
        """The findings of one severity."""
        return [finding for finding in self.findings if finding.severity is severity]

    @property
    def status(self) -> int:
        """The exit status: 1 if there is an error or a warning, else 0."""
        return 1 if self.of(Severity.ERROR) or self.of(Severity.WARNING) else 0


def as_json(report: Report) -> str:
    """The report for programs: one JSON object; keys may be added, but do not change."""
    found = [
        {
            "code": finding.code,
            "severity": finding.severity.value,
            "device": finding.device,
            "property": finding.name,
            "member": finding.member,
            "seen": finding.seen,
            "count": finding.count,
            "expected": finding.rule.expected,
            "advice": finding.rule.advice,
            "source": finding.rule.source,
        }
        for finding in report.findings
    ]
    slowest: dict[str, Any] | None = None
    if report.slowest is not None:
        seconds, (device, name) = report.slowest
        slowest = {"seconds": round(seconds, 6), "device": device, "property": name}
    result = {
        "version": 1,
        "subject": report.subject,
        "kind": report.kind,
        "status": report.status,
        "counts": {f"{severity.value}s": len(report.of(severity)) for severity in Severity},
        "findings": found,
        "devices": report.devices,
        "connected": report.connected,
        "commands": {"sent": report.commands, "answered": report.answered},
        "not_commanded": [{"device": d, "property": n, "reason": why} for (d, n), why in report.spared],
        "received": {"elements": report.frames, "bytes": report.bytes},
        "blobs": [{"device": d, "property": n, "bytes": size} for (d, n), size in report.blobs],
        "timing": {"startup": report.startup, "median": report.median, "slowest": slowest, "check": report.duration},
        "stderr": report.stderr,
    }
    return json.dumps(result, indent=2)


def as_text(report: Report, *, colour: bool = False) -> str:
    """The report as text.

    Args:
        report: What was found.
        colour: Show severities by colour.
    """
    lines = [f"{report.subject} ({report.kind}), checked as by a strict INDI 1.7 client and by KStars", ""]
    if report.stderr:
        lines += ["Its last words on standard error:", *(f"  {printable(line)}" for line in report.stderr), ""]
    groups: dict[str, list[Finding]] = {}
    for finding in report.findings:
        groups.setdefault(finding.code, []).append(finding)
    for group in groups.values():
        lines += [*_group(group, colour), ""]
    lines += _summary(report)
    return "\n".join(lines) + "\n"


def _group(group: list[Finding], colour: bool) -> list[str]:
    rule = group[0].rule
    title = f"{rule.severity.value}: {rule.code}"
    if colour:
        title = f"{_SEVERITY_COLOURS[rule.severity]}{title}{_RESET}"
    lines = [title]
    for finding in group[:_PLACES_SHOWN]:
        where = f"{finding.where}: " if finding.where else ""
        times = f" ({finding.count} times)" if finding.count > 1 else ""
        lines += _wrapped("  seen      ", printable(f"{where}{finding.seen}{times}"))
    if len(group) > _PLACES_SHOWN:
        lines.append(f"            and in {len(group) - _PLACES_SHOWN} more places (all of them: --json)")
    lines += _wrapped("  expected  ", f"{rule.expected} [{rule.source}]")
    lines += _wrapped("  to do     ", rule.advice)
    return lines


def _wrapped(head: str, text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=head, subsequent_indent=" " * len(head), break_on_hyphens=False)


def _summary(report: Report) -> list[str]:
    lines = []
    for device, count in report.devices.items():
        connected = ", connected" if device in report.connected else ""
        lines.append(f"device    {printable(device)}: {_number(count, 'property', 'properties')}{connected}")
    lines.append(f"commands  {report.commands} sent, {report.answered} answered")
    if report.median is not None and report.slowest is not None:
        seconds, key = report.slowest
        where = printable(".".join(key))
        lines[-1] += f"; usually in {_seconds(report.median)}, slowest {_seconds(seconds)} ({where})"
    if report.unanswered:
        lines += _wrapped("silent    ", printable(", ".join(".".join(key) for key in report.unanswered)))
    lines.append(f"received  {_number(report.frames, 'element')}, {report.bytes} bytes, in {report.duration:.1f} s")
    if report.startup is not None:
        lines[-1] += f"; the first definition after {_seconds(report.startup)}"
    if report.blobs:
        sizes = ", ".join(f"{'.'.join(key)} {size} bytes" for key, size in report.blobs[:_PLACES_SHOWN])
        lines.append(f"BLOBs     {printable(sizes)}")
    if report.spared:
        reasons: dict[str, list[str]] = {}
        for (_, name), why in report.spared:
            reasons.setdefault(why, []).append(name)
        for why, names in reasons.items():
            lines += _wrapped("spared    ", printable(f"{', '.join(dict.fromkeys(names))}: {why}"))
    counts = ", ".join(_number(len(report.of(severity)), severity.value) for severity in Severity)
    verdict = "not right" if report.of(Severity.ERROR) else "could be better" if report.status else "fine"
    lines += ["", f"{verdict}: {counts}"]
    return lines


def _number(count: int, one: str, more: str = "") -> str:
    return f"{count} {one if count == 1 else more or one + 's'}"


def _seconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
