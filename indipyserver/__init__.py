"""Serves INDI drivers, of this process, of other makers and of other servers, to INDI clients."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - it tells the user of an older Python
    raise ImportError("indipyserver needs Python 3.11 or later")

from .ipyserver import IPyServer

version = "4.0.0"

__all__ = ["IPyServer", "version"]
