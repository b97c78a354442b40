"""The terminal client: watch and control instruments from any terminal.

``IPyTerm("observatory", 7624).run()`` opens it; so does the command ``indipyterm``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .app import IPyTerm

__all__ = ["IPyTerm", "version"]

version = "4.0.0"


def __getattr__(name: str) -> Any:
    if name == "IPyTerm":
        from .app import IPyTerm

        return IPyTerm
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
