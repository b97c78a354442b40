"""Numbers, their formats and limits.  Sans-I/O."""

from __future__ import annotations

import math
import re
from typing import Final

from indipydriver.errors import ValueFormatError
from indipydriver.protocol.values import format_number

from .model import Member, number
from .rules import Findings

__all__ = ["judge_format", "judge_number", "judge_range"]

_LONGEST_NUMBER_FORMAT: Final = 63
_ROUNDING: Final = 1e-6  # of the range: limits are written with fewer digits than values
_INTEGER_FORMAT: Final = re.compile(r"%[-+ #0-9.]*(?:hh|h|ll|l|L)?[diu]")


def judge_format(findings: Findings, format: str, where: tuple[str, str, str]) -> None:
    """Can the format of a defNumber be given to printf, with a double?"""
    if not format.strip():
        findings.add("number-format-empty", "format=''", *where)
        return
    if len(format.encode()) > _LONGEST_NUMBER_FORMAT:
        findings.add("label-too-long", f"the format has {len(format.encode())} bytes", *where)
    try:
        format_number(format, 1.0)
    except ValueFormatError:
        findings.add("number-format", f"format={format[:40]!r}", *where)
        return
    if _INTEGER_FORMAT.search(format.replace("%%", "")):
        findings.add("number-format-integer", f"format={format[:40]!r}", *where)


def judge_number(findings: Findings, text: str, what: str, where: tuple[str, str, str]) -> None:
    """Is this a number?"""
    text = text.strip()
    if not text:
        findings.add("number-empty", f"the {what} is empty", *where)
    elif number(text) is None:
        code = "number-not-finite" if _is_infinite(text) else "number-unreadable"
        findings.add(code, f"the {what} is {text[:40]!r}", *where)


def judge_range(findings: Findings, member: Member, where: tuple[str, str, str]) -> None:
    """Are limits and value consistent?"""
    if member.min is not None and member.max is not None and member.min > member.max:
        findings.add("range-reversed", f"min {member.min:g} is above max {member.max:g}", *where)
    if member.step is not None and member.step < 0:
        findings.add("step-negative", f"step {member.step:g}", *where)
    value, limits = number(member.value), member.range
    if value is not None and limits is not None:
        least, most = limits
        margin = (most - least) * _ROUNDING
        if not least - margin <= value <= most + margin:
            findings.add("value-outside-range", f"{value:g} is not from {least:g} to {most:g}", *where)


def _is_infinite(text: str) -> bool:
    try:
        return not math.isfinite(float(text))
    except ValueError:
        return False
