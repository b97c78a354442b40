"""Serves INDI drivers, of this process, of other makers and of other servers, to INDI clients."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - it tells the user of an older Python
    raise ImportError("indipyserver needs Python 3.11 or later")

from indipydriver.protocol.framer import Limits

from .certificates import client_context, server_context
from .clients.acceptor import CLIENT_LIMITS
from .clients.listener import Listener
from .clients.sockets import bind_unix
from .ipyserver import IPyServer
from .relay.observer import Observer
from .routing.outbox import OutboxLimits
from .sources.backoff import Backoff
from .sources.exdriver import ExDriver
from .sources.localdriver import LocalDriver
from .sources.remote import RemoteConnection
from .stats import DriverStats, PeerStats, ServerStats

version = "4.0.0"

__all__ = [
    "CLIENT_LIMITS",
    "Backoff",
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
    "bind_unix",
    "client_context",
    "server_context",
    "version",
]
