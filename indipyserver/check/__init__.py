"""``indipyserver --check WORD``: is this driver right?  Plays a strict client and reports what it saw."""

from .checkreport import as_json, as_text
from .checkrun import CannotRun, check
from .rules import Finding, Severity

__all__ = ["CannotRun", "Finding", "Severity", "as_json", "as_text", "check"]
