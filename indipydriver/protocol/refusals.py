"""What a server says to a client whose command it does not pass on.

INDI has no element for that, so it is a message of the device, which a client can tell from others by its text alone.
"""

from __future__ import annotations

from typing import Final

__all__ = ["READ_ONLY", "commanded_above", "is_refusal"]

READ_ONLY: Final = "This connection is read only: the command is refused"
_ABOVE: Final = " belongs to a server above this one; it can only be commanded there"


def commanded_above(device: str) -> str:
    """The text for a device that the server has from a server above it."""
    return f"{device}{_ABOVE}"


def is_refusal(text: str) -> bool:
    """Whether a server refuses a command with this text."""
    return text == READ_ONLY or text.endswith(_ABOVE)
