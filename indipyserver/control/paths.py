"""Where the control socket of a server is."""

from __future__ import annotations

import os
from typing import Final

__all__ = ["ELSEWHERE", "default_path", "possible_paths"]

ELSEWHERE: Final = "/tmp"
"""The folder of indiserver's local socket, for services, which have no directory of a user."""


def possible_paths(port: int) -> list[str]:
    """Where the server on this port may have its control socket, best place first."""
    own = os.environ.get("XDG_RUNTIME_DIR", "")
    directories = [own] if os.path.isabs(own) and os.path.isdir(own) else []
    return [os.path.join(directory, f"indipyserver-{port}.control") for directory in (*directories, ELSEWHERE)]


def default_path(port: int) -> str:
    """Where the server on this port has it by default."""
    return possible_paths(port)[0]
