"""The order in which commands arrived: one that was sent before a stop command must not move anything after it.

Nor does one that waits for its turn use what clients have chosen meanwhile for the next one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from .operations import Refused

__all__ = ["CommandOrder", "Overtaken"]

_MOST_CHANGES: Final = 1000  # changes of one property that are remembered for commands that wait for their turn


class Overtaken(Exception):
    """A command is not carried out: a stop command arrived after it, and was handled first."""


class CommandOrder:
    """Which commands of one device were overtaken by a stop command.

    Each property has a queue of its own, so that a stop command waits for nothing. It must not be followed by what
    clients sent before it, which still waits in the queues of other properties.
    """

    def __init__(self) -> None:
        self._handled: dict[asyncio.Task[object] | None, int] = {}  # what each task handles
        self._stopped: dict[str, int] = {}  # by property: the last command that stopped it
        self._begun: dict[str, int] = {}  # by property: the command that has begun last
        self._changes: dict[str, deque[tuple[int, Mapping[str, Any]]]] = {}  # when, and what it was before

    @contextlib.contextmanager
    def handled(self, name: str, arrival: int) -> Iterator[None]:
        """Note that this task handles a command while the block lasts.

        Args:
            name: The property.
            arrival: Its place in the order of arrival; 0 if that is not known.

        Raises:
            Overtaken: It must not be handled any more.
        """
        task = asyncio.current_task()
        self._handled[task] = arrival
        try:
            self.check(name)
            yield
        finally:
            self._handled.pop(task, None)

    def changes(self, name: str, before: Mapping[str, Any]) -> None:
        """Note that the command of this task changes a property, and what that was before."""
        self._changes.setdefault(name, deque(maxlen=_MOST_CHANGES)).append((self._arrival(), before))

    def then(self, name: str, now: Mapping[str, Any]) -> Mapping[str, Any]:
        """What a property, if its changes are noted, was when the command of this task arrived.

        Raises:
            Refused: That is not known any more.
        """
        arrival = self._arrival()
        later = [before for at, before in self._changes.get(name, ()) if at > arrival > 0]
        if len(later) == _MOST_CHANGES:
            raise Refused(f"{name} was changed too often while this command waited")
        return later[0] if later else now

    def _arrival(self) -> int:
        """The place of this task's command in the order of arrival; 0 if it has none."""
        return self._handled.get(asyncio.current_task(), 0)

    def stop(self, names: Iterable[str]) -> None:
        """Note that the command of this task stops these properties: no earlier command for them begins any more."""
        arrival = self._arrival()
        for name in names:
            self._stopped[name] = max(arrival, self._stopped.get(name, 0))

    def begins(self, name: str) -> None:
        """Note that the command of this task begins under this name."""
        self._begun[name] = self._arrival()

    def has_come_before(self, name: str) -> bool:
        """Whether the command of this task arrived before that which has begun last under this name."""
        return 0 < self._arrival() < self._begun.get(name, 0)

    def check(self, name: str) -> None:
        """Raise Overtaken if the command of this task must not begin; a task without a command always may."""
        if 0 < self._arrival() < self._stopped.get(name, 0):
            raise Overtaken
