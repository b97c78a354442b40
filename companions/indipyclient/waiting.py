"""Waiting until something exists, or meets conditions."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import TypeAlias

from indipydriver.protocol.tags import State

from .engine import Engine, Watcher
from .errors import NotConnected, TimedOut
from .model.model import Change
from .model.properties import Property
from .model.site import Device
from .reconnect import LinkState

__all__ = ["Where", "settle", "wait_device", "wait_property", "within"]

Where: TypeAlias = Callable[[Property], bool]
"""A condition on a property."""


@contextlib.asynccontextmanager
async def within(seconds: float | None) -> AsyncIterator[None]:
    """The block ends, and that is no error, when its time is over; a disk that does not answer in time is one."""
    try:
        async with asyncio.timeout(seconds) as limit:
            yield
    except TimeoutError:
        if not limit.expired():
            raise


async def wait_device(engine: Engine, name: str, connected: bool, timeout: float | None) -> Device:
    """See :meth:`indipyclient.client.Client.wait_device`."""
    model = engine.model

    found: list[Device] = []  # it may be gone again by then

    def look() -> bool:
        device = None if found else model.device(name)
        if device is None or (connected and not device.connected):
            return bool(found)
        if not all(map(model.is_stale, device.properties.values())):
            found.append(device)
        return bool(found)

    what = f"device {name!r}{' connected' if connected else ''}"
    await _wait(engine, look, timeout, what, None)
    return found[0]


async def wait_property(
    engine: Engine, device: str, name: str, state: State | None, where: Where | None, timeout: float | None
) -> Property:
    """See :meth:`indipyclient.client.Client.wait_property`."""
    model = engine.model

    def good(prop: Property) -> bool:
        return (state is None or prop.state is state) and (where is None or where(prop))

    prop = model.get(device, name)
    if prop is not None and not model.is_stale(prop) and good(prop):
        return prop
    watcher = _PropertyWatcher(lambda prop: not model.is_stale(prop) and good(prop))
    what = f"{device}.{name}{f' in state {state}' if state else ''}{' as wanted' if where else ''}"
    with engine.watching((device, name), watcher):
        await _wait(engine, lambda: watcher.over, timeout, what, (device, name))
    if watcher.error is not None:
        raise watcher.error
    assert watcher.found is not None
    return watcher.found


async def _wait(
    engine: Engine, check: Callable[[], bool], timeout: float | None, what: str, key: tuple[str, str] | None
) -> None:
    model = engine.model
    began = asyncio.get_running_loop().time()
    await engine.until(lambda: check() or engine.status.state is LinkState.CLOSED, timeout)
    if check():
        return
    if engine.status.state is LinkState.CLOSED:
        raise NotConnected(engine.status.reason or "the client is closed")
    elapsed = asyncio.get_running_loop().time() - began
    prop = model.get(*key) if key is not None else None
    if not model.connected:
        text = f"{what}: no connection to {engine.endpoint}: {engine.status.reason}"
    elif prop is not None:
        text = f"{what}: still {prop.state} after {elapsed:.3g} s"
    else:
        known = (model.names(key[0]) if key is not None else []) or model.names()
        text = f"no {what} after {elapsed:.3g} s; there is {', '.join(known[:8]) or 'nothing'}"
    raise TimedOut(text, elapsed=elapsed, last=prop)


async def settle(engine: Engine, quiet: float, timeout: float) -> bool:
    """See :meth:`indipyclient.client.Client.settle`."""
    loop, model = asyncio.get_running_loop(), engine.model
    began = loop.time()
    end = began + timeout
    while (now := loop.time()) < end and engine.status.state is not LinkState.CLOSED:
        since = max(model.defined_at, began)
        if now - since >= quiet and not all(map(model.is_stale, model)):
            return True
        await asyncio.sleep(max(0.01, min(since + quiet - now if now - since < quiet else quiet, end - now)))
    return False


class _PropertyWatcher(Watcher):
    """Finds the first change after which something is true."""

    def __init__(self, good: Where) -> None:
        self.found: Property | None = None
        self.error: BaseException | None = None
        self._good = good

    @property
    def over(self) -> bool:
        return self.found is not None or self.error is not None

    def changed(self, change: Change) -> None:
        if self.over or change.prop is None:
            return
        try:
            if self._good(change.prop):
                self.found = change.prop
        except (Exception, asyncio.CancelledError) as error:  # of the user: it is for the waiting call, not the link
            self.error = error
