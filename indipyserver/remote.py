"""The module that scripts for the package on PyPI know: see :mod:`indipyserver.sources.remote`."""

from .sources.remote import RemoteConnection

__all__ = ["RemoteConnection"]
