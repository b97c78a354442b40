"""``indipyserver --check DRIVER``: is this driver correct?  Plays a strict client and reports what it saw."""

from .report import Report, as_json, as_text
from .rules import Finding, Severity
from .run import CannotRun, check

__all__ = ["CannotRun", "Finding", "Report", "Severity", "as_json", "as_text", "check"]
