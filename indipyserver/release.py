"""The version of this package, for the parts below its top."""

from typing import Final

__all__ = ["RELEASE"]

RELEASE: Final = "4.0.0"
