"""The web client: instruments in the browser, on a desktop and on a phone at the telescope.

``indipyweb`` serves it; :func:`make_app` returns it as an ASGI application for a server of your own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .app import get_dbhost, get_dbport, make_app

__all__ = ["get_dbhost", "get_dbport", "make_app", "version"]

version = "4.0.0"


def __getattr__(name: str) -> Any:
    if name in ("get_dbhost", "get_dbport", "make_app"):
        from . import app

        return getattr(app, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
