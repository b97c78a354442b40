"""One device that is several instruments, each with a class of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

from .lines import Line
from .operations import Operation, words_of
from .partners import Partners
from .watched import watched

__all__ = ["Parts"]

logger = logging.getLogger("indipydriver.instruments")

_I = TypeVar("_I")


class Parts(Partners):
    """A device that may have parts, or be one.

    Classes that have no method in common are combined by inheriting from both: ``class MyMount(Mount, Guider)``. Any
    others are combined by naming one of them as a part of the other: a mount and its focuser, for example, each have
    their own :meth:`abort`.

    ::

        class MyFocuser(Focuser):
            async def move_to(self, position): ...

        class MyMount(Mount):
            parts = (MyFocuser,)

    Parts have no life cycle of their own: they are connected, polled and disconnected with the whole device. Their
    driver has only the one device.

    Attributes:
        parts: The classes of the parts. Each is also a device that works alone.
        whole: The device of which this is a part; itself if it is not a part.
    """

    parts: ClassVar[Sequence[type[Parts]]] = ()
    whole: Any
    _members: tuple[Any, ...]
    _has_forgotten = False  # it may have been switched off since it was last told its settings

    def __init_subclass__(cls, **how: Any) -> None:
        super().__init_subclass__(**how)
        for name, owner, other in _clashes(cls):
            raise TypeError(
                f"{cls.__name__}: {name}() of {owner} and of {other} cannot be told apart in one class: write two "
                f"classes, and name one of them in `parts` of the other"
            )

    def part(self, kind: type[_I]) -> _I:
        """The part of this class: ``self.part(MyFocuser).position``.

        Raises:
            LookupError: There is none.
        """
        for one in self._fellows():
            if isinstance(one, kind):
                return one
        raise LookupError(f"{type(self.whole).__name__} has no part that is a {kind.__name__}")

    def _fellows(self) -> Iterator[Any]:
        """The device and all its parts."""
        yield from self.whole._everything()

    def _may_have_forgotten(self) -> bool:
        """Whether the hardware was disconnected or lost, and has not been told again how clients have set it."""
        forgotten: bool = self.whole._has_forgotten
        return forgotten

    def _is_already_stopped(self, *names: str, moving: Iterable[str] = ()) -> bool:
        """Whether all that runs under these names arrived after the present command, which stops what came before.

        That has waited for its turn while another stop command was handled. What is `moving` counts as running.
        """
        running = [*moving, *(name for name in names if name in self._operations)]
        return bool(running) and all(self.whole._order.has_come_before(name) for name in running)

    def _check_guiding(self) -> None:
        """Raise Refused if it cannot guide now."""

    def _guiding_waits_for(self) -> list[Operation]:
        """What must have ended before it guides."""
        return []

    def _check_all_guiding(self) -> list[Operation]:
        """Raise Refused if the device or a part of it cannot guide now. Returns what must have ended before that."""
        for one in self._fellows():
            one._check_guiding()
        return [operation for one in self._fellows() for operation in one._guiding_waits_for()]

    async def _stop_moving(self) -> None:
        """Called before it is disconnected, and when it is connected again, as that may have been in vain: stop what
        has been started and goes on until it is stopped."""

    async def _stop_motion(self, *, is_connecting: bool = False) -> None:
        """Stop such things in the device and all its parts; clients are told what fails.

        Raises:
            ConnectionError: The hardware does not answer, although it is just being connected.
        """
        for one in self._fellows():
            try:
                async with asyncio.timeout(one.patience):
                    await watched(one._stop_moving(), f"{type(one).__name__}, stopping what moves,")
            except (Exception, SystemExit) as error:
                if is_connecting and isinstance(error, ConnectionError):
                    raise
                one.error(f"It could not be stopped, and may go on: {words_of(error)}")
                logger.warning("%s could not be stopped", type(one).__name__, exc_info=error)

    def _everything(self) -> Iterator[Any]:
        yield self
        for part in self._members:
            yield from part._everything()

    # --- making one device of them ---

    def _make_parts(self) -> None:
        """Make the parts, whose properties this device takes over."""
        self.whole = self
        self._members = tuple(kind(self.own_name()) for kind in self.parts)
        for part in self._members:
            for bound in part._bound.values():
                bound.vector.devicename = None
            part.data.clear()

    def _adopt_parts(self) -> None:
        """Make them parts of this device."""
        for part in self._everything():
            if part is not self:
                part._become_part(self)

    def _become_part(self, whole: Any) -> None:
        self.whole = whole
        self.devicename = whole.devicename
        self.settings, self._set_by_clients = whole.settings, whole._set_by_clients
        self._updates, self._operations, self._versions = whole._updates, whole._operations, whole._versions
        self._bound = whole._bound
        for attribute, vector in self._vectors.items():
            self._vectors[attribute] = shared = whole._bound[vector.name].vector
            if attribute in self._groups:
                self._groups[attribute] = self._declarations[attribute].bind(shared, self._assign)  # type: ignore[attr-defined]

    def _share_line(self, line: Line | None) -> None:
        for part in self._everything():
            part.line = line

    # --- what a part leaves to the device ---

    def _save_one(self, name: str) -> None:
        if self.whole is self:
            super()._save_one(name)
        else:
            self.whole._save_one(name)

    async def _all_saved(self) -> None:
        if self.whole is self:
            await super()._all_saved()
        else:
            await self.whole._all_saved()

    def _change_partners(self, values: Mapping[str, Any]) -> None:
        fellows = list(self._fellows())
        before = [one._watched() for one in fellows]
        self._vector("ACTIVE_DEVICES").update(values)
        for one, keys in zip(fellows, before, strict=True):
            one._watch(keys)

    def _watched_in_driver(self) -> set[tuple[str, str]]:
        devices = self.driver.devices() if self.driver is not None else ()
        found = [device for device in devices if isinstance(device, Parts)]
        return {key for device in found for one in device._fellows() for key in one._watched()}

    async def devsnoopevent(self, event: Any, *args: Any, **kwargs: Any) -> None:
        await super().devsnoopevent(event, *args, **kwargs)
        for part in self._members:
            await part.devsnoopevent(event, *args, **kwargs)


def _clashes(cls: type[Any]) -> Iterator[tuple[str, str, str]]:
    """Methods that belong to two kinds of instruments, neither of which inherits from the other."""
    owners: dict[str, type[Any]] = {}
    for kind in cls.__mro__:
        for name, value in vars(kind).items():
            if not hasattr(value, "_indi_optional"):
                continue
            owner = owners.setdefault(name, kind)
            if owner is not kind and not issubclass(owner, kind):
                yield name, owner.__name__, kind.__name__
