"""What can go wrong for a bridge."""

from __future__ import annotations

import importlib
from types import ModuleType

from indipydriver.errors import IndiError

__all__ = ["BridgeError", "MissingPackage", "need"]


class BridgeError(IndiError):
    """The base class of the bridges' exceptions."""


class MissingPackage(BridgeError, ImportError):
    """A package is not installed; the text says how to install it."""


def need(module: str, extra: str) -> ModuleType:
    """Import a module of another package.

    Args:
        module: Its name.
        extra: The extra of this project that installs it.

    Raises:
        MissingPackage: It is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        if error.name is not None and error.name.partition(".")[0] != module.partition(".")[0]:
            raise
        raise MissingPackage(f"indiredis needs more packages: pip install 'indipydriver[{extra}]'") from None
