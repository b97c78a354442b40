"""The module that scripts for the package on PyPI know: see :mod:`indipyserver.sources.exdriver`."""

from .sources.exdriver import ExDriver

__all__ = ["ExDriver"]
