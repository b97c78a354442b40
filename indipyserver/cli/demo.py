"""What --demo serves: simulators, or the example instruments, from the checkout or from the wheel."""

from __future__ import annotations

import os
from typing import Final

__all__ = ["demo_words"]

_EXAMPLES: Final = ("thermostat", "camera", "led")


def demo_words(what: str = "examples", package: str | os.PathLike[str] | None = None) -> list[str]:
    """The DRIVER arguments that serve a demonstration.

    Args:
        what: "examples": a thermostat, a camera and an LED; "observatory": a simulator of each instrument.
        package: The folder of this package.

    Raises:
        FileNotFoundError: The examples are not there.
    """
    if what == "observatory":
        return ["indipydriver.instruments.simulators:make_observatory"]
    package = package or os.path.dirname(os.path.dirname(__file__))
    for base in (os.path.join(package, "_demo"), os.path.dirname(package)):  # in the wheel, in the checkout
        files = [os.path.join(base, "examples", f"{name}.py") for name in _EXAMPLES]
        if all(map(os.path.isfile, files)):
            return [f"{file}:make_driver" for file in files]
    raise FileNotFoundError("the examples are not installed with this copy of indipyserver")
