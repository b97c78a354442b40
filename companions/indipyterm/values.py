"""Edits of values: whether they can be sent, hints about them, and steps up and down."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from indipyclient import BadValue, ClientError, Property, SwitchRule, VectorKind
from indipyclient.model.commands import press, texts
from indipyclient.model.properties import Member, number_of

__all__ = ["Hint", "becomes", "hint", "limits", "needs_page", "pressed", "shown_number", "stepped"]


LONG_TEXT: Final = 300


class Hint(NamedTuple):
    """A hint about an edit.

    Attributes:
        text: The hint.
        wrong: The edit cannot be sent as it is.
    """

    text: str
    wrong: bool = False


def shown_number(text: str) -> str:
    """A limit for display, without insignificant digits."""
    number = number_of(text)
    if not math.isfinite(number):
        return text.strip()
    return f"{int(number)}" if number.is_integer() and abs(number) < 1e15 else f"{number:.10g}"


def limits(member: Member) -> str:
    """``0 .. 24 step 0.1``; empty for a number without any."""
    found = f"{shown_number(member.min)} .. {shown_number(member.max)}" if member.range else ""
    step = number_of(member.step)
    if math.isfinite(step) and step > 0:
        found += f"{' ' if found else ''}step {shown_number(member.step)}"
    return found


def hint(prop: Property, member: Member, text: str) -> Hint:
    """What the user should know about the text typed so far."""
    if prop.kind is not VectorKind.NUMBER:
        return Hint(f"{len(text)} characters" if len(text) > 60 else "")
    bounds = member.range
    if not text.strip():
        return Hint("not a number", True)
    try:
        texts(prop, {member.name: text})
    except BadValue as error:
        if error.min is None or bounds is None:
            return Hint("not a number", True)
        over = number_of(text) > bounds[1]
        return Hint(f"max {shown_number(member.max)}" if over else f"min {shown_number(member.min)}", True)
    except ClientError as error:
        return Hint(str(error), True)
    number, step = number_of(text), number_of(member.step)
    parts = [limits(member)]
    if not _is_plain(text):
        parts.insert(0, f"= {number:.6g}")
    if math.isfinite(step) and step > 0:
        base = bounds[0] if bounds else 0.0
        steps = (number - base) / step
        if math.isfinite(steps) and abs(steps - round(steps)) > 1e-6:
            low, high = base + math.floor(steps) * step, base + math.ceil(steps) * step
            parts.append(f"between {low:.10g} and {high:.10g}")
    return Hint(" ".join(filter(None, parts)))


def _is_plain(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def needs_page(prop: Property, text: str) -> bool:
    """Whether a value is edited on a page: a single line would show it without its ends of lines, or cut off."""
    return prop.kind is VectorKind.TEXT and (len(text) > LONG_TEXT or not {"\n", "\r", "\t"}.isdisjoint(text))


def stepped(member: Member, text: str, steps: int) -> str | None:
    """The number this many steps further, within its limits; None if it is not a number.

    A number without a step goes by a hundredth of its range, or by one.
    """
    number, step = number_of(text), number_of(member.step)
    bounds = member.range
    if not math.isfinite(number):
        return None
    if not math.isfinite(step) or step <= 0:
        step = (bounds[1] - bounds[0]) / 100 if bounds and math.isfinite(bounds[1] - bounds[0]) else 1.0
    wanted = number + steps * step
    if bounds:
        wanted = min(max(wanted, bounds[0]), bounds[1]) if bounds[0] <= number <= bounds[1] else wanted
    found = [f"{wanted:.{digits}g}" for digits in (12, 15, 17)]
    return next((text for text in found if abs(float(text) - wanted) <= max(step / 100, math.ulp(wanted))), found[-1])


def becomes(prop: Property, member: Member) -> str:
    """What pressing a switch makes of it: On or Off.

    Of switches of which any number may be On, this one changes. Of several of which none need be On, one that is On
    goes Off. Else it goes On: a switch that is alone is a button.
    """
    if prop.rule is SwitchRule.ANY_OF_MANY:
        return "Off" if member.on else "On"
    return "Off" if prop.rule is SwitchRule.AT_MOST_ONE and member.on and len(prop.members) > 1 else "On"


def pressed(prop: Property, name: str) -> dict[str, str]:
    """What to send when this switch is pressed; where one goes On of which only one can be, the others go Off."""
    wanted = becomes(prop, prop.members[name])
    if prop.rule is SwitchRule.ANY_OF_MANY or wanted == "Off":
        return {name: wanted}
    return {key: str(value) for key, value in press(prop, name).items()}
