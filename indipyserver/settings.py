"""The arguments of a server, as attributes that stay fixed while it runs."""

from __future__ import annotations

import socket
import ssl as tls
from collections.abc import Callable, Iterable
from typing import Any, Final, Generic, TypeVar, overload

from indipydriver.protocol.framer import Limits

from .arguments import (
    checked_control,
    checked_flag,
    checked_host,
    checked_integer,
    checked_port,
    checked_seconds,
    checked_type,
)
from .certificates import checked_context
from .routing.outbox import OutboxLimits

__all__ = ["ServerSettings"]

_T = TypeVar("_T")
_CONTENTS: Final = frozenset(("board", "devices", "drivers", "exdrivers", "remotes", "services", "started", "stopped"))
"""Attributes in which a server keeps what it serves and how it runs."""


class _Setting(Generic[_T]):
    """An attribute that is checked when it is set, and cannot be set while its server runs.

    A running server would not notice a change: its parts were given the value at the start.

    Args:
        check: Returns the value to keep, or raises what is wrong with it.
        name: The name that scripts use, if not that of the attribute.
        any_time: It can also be set while the server runs.
    """

    def __init__(self, check: Callable[[Any], _T], name: str = "", *, any_time: bool = False) -> None:
        self._check = check
        self._name = name
        self._any_time = any_time
        self._key = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self._key = name
        self._name = self._name or name

    @overload
    def __get__(self, server: None, owner: type) -> _Setting[_T]: ...
    @overload
    def __get__(self, server: ServerSettings, owner: type) -> _T: ...
    def __get__(self, server: ServerSettings | None, owner: type) -> _T | _Setting[_T]:
        if server is None:
            return self
        value: _T = vars(server)[self._key]
        return value

    def __set__(self, server: ServerSettings, value: _T) -> None:
        if server.running and not self._any_time:
            raise RuntimeError(f"{self._name} cannot be changed while the server runs")
        vars(server)[self._key] = self._check(value)


class ServerSettings:
    """The base of a server: :class:`.IPyServer` says what each of them means."""

    host = _Setting[str | Iterable[str]](checked_host)
    _wanted_port = _Setting[int](checked_port, "port")
    maxconnections = _Setting[int](lambda value: checked_integer("maxconnections", value, 1))
    limits = _Setting[OutboxLimits](lambda value: checked_type("limits", value, OutboxLimits))
    client_limits = _Setting[Limits](lambda value: checked_type("client_limits", value, Limits))
    hang_time = _Setting[float](lambda value: checked_seconds("hang_time", value))
    shutdown_grace = _Setting[float](lambda value: checked_seconds("shutdown_grace", value), any_time=True)
    unix_socket = _Setting[str | socket.socket | None](
        lambda value: checked_type("unix_socket", value, str, socket.socket, type(None))
    )
    unix_any_user = _Setting[bool](lambda value: checked_flag("unix_any_user", value))
    ssl = _Setting[tls.SSLContext | None](checked_context)
    progress_time = _Setting[float](lambda value: checked_seconds("progress_time", value))
    unfinished_total = _Setting[int](lambda value: checked_integer("unfinished_total", value, 1))
    control = _Setting[bool | str](checked_control)

    def __setattr__(self, name: str, value: object) -> None:
        if name in _CONTENTS and self.running:
            raise RuntimeError(f"{name} cannot be changed while the server runs")
        super().__setattr__(name, value)

    @property
    def running(self) -> bool:
        """Whether they cannot be changed now."""
        raise NotImplementedError
