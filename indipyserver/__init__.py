"""Serves INDI drivers, in this process, in programs and on other servers, to INDI clients."""

import sys
from typing import TYPE_CHECKING

if sys.version_info < (3, 11):  # noqa: UP036 - it tells the user of an older Python
    raise ImportError("indipyserver needs Python 3.11 or later")

from indipydriver.protocol.framer import Limits

from .certificates import client_context, server_context
from .clients.acceptor import CLIENT_LIMITS
from .clients.listener import Listener
from .clients.sockets import bind_unix
from .ipyserver import IPyServer
from .relay.observer import Observer
from .release import RELEASE
from .routing.outbox import OutboxLimits
from .services import Services
from .sources.backoff import Backoff
from .sources.exdriver import ExDriver
from .sources.localdriver import LocalDriver
from .sources.remote import RemoteConnection
from .stats import DriverStats, PeerStats, ServerStats

if TYPE_CHECKING:
    from .control.client import Control
    from .control.wire import ControlError

version = RELEASE

__all__ = [
    "CLIENT_LIMITS",
    "Backoff",
    "Control",
    "ControlError",
    "DriverStats",
    "ExDriver",
    "IPyServer",
    "Limits",
    "Listener",
    "LocalDriver",
    "Observer",
    "OutboxLimits",
    "PeerStats",
    "RemoteConnection",
    "ServerStats",
    "Services",
    "bind_unix",
    "client_context",
    "server_context",
    "version",
]


def __getattr__(name: str) -> object:
    """Names that few programs need are loaded on first use."""
    if name == "Control":
        from .control.client import Control

        return Control
    if name == "ControlError":
        from .control.wire import ControlError

        return ControlError
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
