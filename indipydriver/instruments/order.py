"""The order in which commands arrived: one that was sent before a stop command must not move anything after it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Iterator

__all__ = ["CommandOrder", "Overtaken"]


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

    def arrival(self) -> int:
        """The place of this task's command in the order of arrival; 0 if it has none."""
        return self._handled.get(asyncio.current_task(), 0)

    def stop(self, names: Iterable[str]) -> None:
        """Note that the command of this task stops these properties: no earlier command for them begins any more."""
        arrival = self.arrival()
        for name in names:
            self._stopped[name] = max(arrival, self._stopped.get(name, 0))

    def check(self, name: str) -> None:
        """Raise Overtaken if the command of this task must not begin; a task without a command always may."""
        if 0 < self.arrival() < self._stopped.get(name, 0):
            raise Overtaken
