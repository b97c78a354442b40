"""The saved settings of a device: what clients set is kept, and restored, in their order."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from ..device import Device
from ..propertyvectors import PropertyVector
from ..protocol.tags import State
from .operations import Operations
from .settings import LOADING, Saved, Settings, SettingsError, saved_now, saved_values
from .threads import SETTINGS

__all__ = ["LONGEST_LOAD", "Bound", "Saving"]

_ALSO_TOLD: Final = frozenset({"DOME_SPEED", "FOCUS_SPEED", "GUIDE_RATE"})
"""Settings that are not saved, but that the hardware forgets when it is switched off."""

LONGEST_LOAD: Final = 10.0
"""Seconds after which a disk that hangs is not waited for: a device can be connected without its saved settings."""


@dataclass(slots=True, eq=False)
class Bound:
    """A property of one device.

    Attributes:
        vector: Its vector.
        handle: Handles the values that a client sent, and answers; None if clients cannot set it.
        saved: It is kept from run to run.
        state: Its state at first.
        is_permanent: It is defined all the time; else while the device is connected. Only instruments connect.
        is_shown: It is not defined while this is False.
        moves: To restore it may move something, so only clients do that.
    """

    vector: PropertyVector
    handle: Callable[[dict[str, Any]], Awaitable[None]] | None = None
    saved: bool = False
    state: str = State.IDLE
    is_permanent: bool = False
    is_shown: bool = True
    moves: bool = False


class _Commands:
    """Which properties clients set: their values take precedence, even if they arrive while saved ones are being read.

    Attributes:
        of_run: The names of those that they have set in this run.
        restored: The names of those that were restored in this run.
    """

    def __init__(self) -> None:
        self.of_run: set[str] = set()
        self.restored: set[str] = set()
        self._handled: list[str] = []
        self._loads: list[set[str]] = []

    @contextlib.contextmanager
    def handled(self, name: str) -> Iterator[None]:
        """Note that a command for a property is handled while the block lasts."""
        for newer in (self.of_run, *self._loads):
            newer.add(name)
        self._handled.append(name)
        try:
            yield
        finally:
            self._handled.remove(name)

    @contextlib.contextmanager
    def newer(self) -> Iterator[set[str]]:
        """The names of those that are set from now on, or just now."""
        names = set(self._handled)
        self._loads.append(names)
        try:
            yield names
        finally:
            self._loads = [others for others in self._loads if others is not names]


class Saving(Device):
    """A device that keeps what clients have set.

    Attributes:
        settings: Where saved properties are kept.
    """

    _bound: dict[str, Bound]
    _operations: Operations
    error: Callable[[str], None]
    warning: Callable[[str], None]
    _failed: Callable[[str, BaseException], str]

    def _begin_saving(self) -> None:
        self.settings = Settings(self.devicename)
        self._set_by_clients = _Commands()
        self._settings_unsaved: dict[str, None] = {}
        self._settings_saver: asyncio.Task[None] | None = None

    def _save_one(self, name: str) -> None:
        """Save a property that a client has set, if it is one to be saved. Nothing waits for that: a disk may be slow,
        and the next command be for what moves."""
        if LOADING.get() or not self._bound[name].saved:
            return
        self._settings_unsaved[name] = None
        if self._settings_saver is None or self._settings_saver.done():
            self._settings_saver = self._operations.spawn(self._save_unsaved())

    async def _save_unsaved(self) -> None:
        failed: dict[str, None] = {}
        while self._settings_unsaved:
            names = failed | self._settings_unsaved
            self._settings_unsaved.clear()
            try:
                is_there = await SETTINGS.run(self.settings.path.exists)
            except OSError:  # the folder is not ours
                is_there = True
            is_saved = await self._save([self._bound[name] for name in names] if is_there else None)
            failed = {} if is_saved else names
        self._settings_unsaved.update(failed)  # they are saved with what is set next

    async def _all_saved(self) -> None:
        """Wait until what has been set is in the file."""
        if self._settings_saver is not None and not self._settings_saver.done():
            await asyncio.wait([self._settings_saver])

    async def _save(self, which: Iterable[Bound] | None = None) -> bool:
        """Save some properties, or all that are to be saved; False if that fails."""
        chosen = [bound for bound in self._bound.values() if bound.saved] if which is None else [*which]
        elements = {bound.vector.name: self.settings.element(bound.vector) for bound in chosen}
        # What has perhaps not been restored is not overwritten: what is in the file counts.
        hidden = [bound for bound in chosen if which is None and not self._is_known(bound)]
        kept = {bound.vector.name for bound in hidden}
        unknown = {bound.vector.name for bound in hidden if not bound.is_permanent}
        try:
            await SETTINGS.run(self.settings.save, elements, kept, unknown)
        except OSError as error:
            self.error(f"The settings could not be saved: {error}")
            return False
        return True

    def _is_known(self, bound: Bound) -> bool:
        """Whether a property has the value that counts, and not only that in a file that has not been restored."""
        return bound.vector.enable

    async def _load(self, accept: Callable[[Bound], bool] = lambda bound: True) -> bool:
        """Apply the saved settings, if there are any, as if a client had sent them; False if they cannot be read."""
        try:
            await self._restore(accept)
        except FileNotFoundError:
            return True
        except SettingsError as error:
            self.error(str(error))
            return False
        return True

    async def _restore(self, accept: Callable[[Bound], bool], of_default: bool = False) -> None:
        """Read a file, and apply what clients do not set meanwhile.

        Args:
            accept: Says which properties.
            of_default: It is the file of the first settings that were saved.

        Raises:
            FileNotFoundError: There is no such file.
            SettingsError: It cannot be read.
        """
        with self._set_by_clients.newer() as newer:
            path = self.settings.default_path if of_default else self.settings.path
            try:
                async with asyncio.timeout(LONGEST_LOAD):
                    await self._all_saved()
                    found = await SETTINGS.run(self.settings.load, path)
            except TimeoutError:
                raise SettingsError(f"{path} cannot be read: it takes too long") from None
            await self._apply(found, lambda one: one.saved and one.vector.name not in newer and accept(one))

    async def _tell_again(self, accept: Callable[[Bound], bool]) -> None:
        """Apply what has been set in this run, or restored, once more, except what clients set meanwhile."""
        commands = self._set_by_clients
        told = commands.of_run | commands.restored  # of others, the hardware knows best
        with commands.newer() as newer:
            kept = [one.vector for one in self._bound.values() if one.saved or one.vector.name in _ALSO_TOLD]
            found = [saved_now(vector) for vector in kept if vector.name in told]
            await self._apply(found, lambda bound: bound.vector.name not in newer and accept(bound))

    async def _apply(self, found: Iterable[Saved], accept: Callable[[Bound], bool]) -> None:
        loading = LOADING.set(True)
        try:
            for saved in found:
                bound = self._bound.get(saved.name)
                if bound is None or bound.handle is None or not accept(bound):
                    continue  # a file cannot connect it, or move something
                if not (bound.vector.enable or bound.is_permanent):
                    continue
                values = saved_values(bound.vector, saved)
                try:
                    if values:
                        self._set_by_clients.restored.add(saved.name)
                        await bound.handle(values)
                except (Exception, SystemExit) as error:  # the others can be restored nevertheless
                    self.warning(f"{saved.name} could not be restored: {self._failed(saved.name, error)}")
        finally:
            LOADING.reset(loading)
