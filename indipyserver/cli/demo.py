"""Where the example instrument is: in the checkout, or in the installed wheel."""

from __future__ import annotations

from pathlib import Path
from typing import Final

__all__ = ["demo_words"]

_EXAMPLES: Final = ("thermostat", "camera", "led")


def demo_words(package: Path | None = None) -> list[str]:
    """The words that serve a thermostat, a camera and an LED.

    Args:
        package: The folder of this package.

    Raises:
        FileNotFoundError: The examples are not there.
    """
    package = package or Path(__file__).parents[1]
    for base in (package / "_demo", package.parent):  # as the wheel has it, as the checkout has it
        files = [base / "examples" / f"{name}.py" for name in _EXAMPLES]
        if all(file.is_file() for file in files):
            return [f"{file}:make_driver" for file in files]
    raise FileNotFoundError("the examples are not installed with this copy of indipyserver")
