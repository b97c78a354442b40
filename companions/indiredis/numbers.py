"""Numbers as INDI writes them, and as a display shows them.  Pure."""

from __future__ import annotations

from indipydriver.errors import ValueFormatError
from indipydriver.protocol.values import format_number as _format
from indipydriver.protocol.values import getfloat

__all__ = ["format_number", "number_to_float"]


def number_to_float(value: str | float) -> float:
    """The number in an INDI text, which may be sexagesimal: ``12:30:36`` is 12.51.

    Raises:
        ValueError: It is not a number.
    """
    return getfloat(value)


def format_number(value: str | float, indi_format: str) -> str:
    """A number as a display shows it, by a printf format or INDI's ``%<w>.<f>m``.

    Raises:
        ValueError: It is not a number, or the format is invalid.
    """
    number = getfloat(value)
    try:
        return _format(indi_format, number)
    except ValueFormatError:
        raise
    except (TypeError, OverflowError) as error:
        raise ValueError(f"{indi_format!r} is not a number format") from error
