"""One server: what is known about it, unsent edits, and the outcomes of commands."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

from indipyclient import (
    BadValue,
    Blob,
    BlobMode,
    Client,
    ClientError,
    Delta,
    LinkLost,
    LinkState,
    Outcome,
    Property,
    PropertyGone,
    Refused,
    Retry,
    State,
    TimedOut,
)
from indipyclient.blobs import bytes_of
from indipyclient.model.commands import file_format, switched_on

from .aim import Meaning, Spot, meaning_of
from .edits import Edits, Fate, Told
from .orders import Order, order_of
from .plots import Sample
from .receiving import Receiver
from .words import clean, span

__all__ = ["INTERVAL", "Listener", "Session"]

Key = tuple[str, str]
INTERVAL: Final = 0.1
"""Seconds between two checks for changes."""
LAST: Final = 1.0
"""Seconds for sends in progress when nobody waits any longer."""
FAILURES: Final = 100
"""The most failures that are listed while the user quits."""
_LOGGER = logging.getLogger(__name__)


class Listener(Protocol):
    """The display of a session."""

    def changed(self, session: Session, delta: Delta) -> None:
        """Called when something has changed on the server, or the link has come or gone."""

    def told(self, session: Session, key: Key) -> None:
        """Called when there is news about a property that is not a change of it."""

    def lost(self, session: Session, key: Key, why: str) -> None:
        """Called when a BLOB of this property has been lost."""


class Session:
    """One server; use it in the loop in which it was started.

    Args:
        client: A client that has not been started.
        listener: Is told about changes.
        folder: The folder for BLOBs.
        receive: Receive the BLOBs of all devices.

    Attributes:
        client: The client, with its model.
        edits: Values that were typed and not sent.
        fates: The outcome of the last command, by property.
        receiver: BLOBs.
        pinned: Properties that stay at the top.
    """

    def __init__(
        self, client: Client, listener: Listener, *, folder: Path | None = None, receive: bool = False
    ) -> None:
        self.client = client
        self.edits = Edits()
        self.fates: dict[Key, Told] = {}
        self.pinned: list[Key] = []
        self._meant: dict[Spot, Meaning] = {}
        self.receiver = Receiver(
            client,
            folder,
            everything=receive,
            told=lambda key: self._listener.told(self, key),
            lost=self._lost,
        )
        self._listener = listener
        self._tasks: set[asyncio.Task[None]] = set()
        self._files: dict[asyncio.Task[Any], tuple[str, Key]] = {}
        self._commands: dict[asyncio.Task[None], tuple[Key, float]] = {}  # and since when
        self._failed: list[str] | None = None
        self._following: asyncio.Task[None] | None = None

    @classmethod
    def to(
        cls, address: str, port: int, listener: Listener, *, folder: Path | None = None, history: int = 600
    ) -> Session:
        """A session with the server at this address.

        Raises:
            ValueError: The address is invalid.
        """
        client = Client(address, port, history=history, blobs=BlobMode.NEVER, retry=Retry())
        return cls(client, listener, folder=folder, receive=folder is not None)

    @property
    def name(self) -> str:
        """The address of the server as text."""
        return str(self.client.endpoint)

    @property
    def live(self) -> bool:
        """The link is up."""
        return self.client.connected

    async def start(self) -> None:
        """Begin to connect; returns at once."""
        await self.client.start(wait=False)
        self._following = asyncio.create_task(self._follow(), name=f"changes of {self.name}")

    def watch(self, on: bool) -> None:
        """Count failures as unfinished from now on, because a user who quits may not see them; or stop that."""
        self._failed = (self._failed or []) if on else None

    def _fail(self, text: str) -> None:
        if self._failed is not None and len(self._failed) < FAILURES:
            self._failed.append(text)

    def unfinished(self) -> list[str]:
        """Descriptions of what would be lost if it ended now: BLOBs not written, commands and files not sent."""
        return [*_unwritten(self.receiver.unwritten()), *self._unsent(), *(self._failed or ())]

    def _unsent(self) -> list[str]:
        return [*self._unsent_commands(), *self._unsent_files()]

    def _unsent_commands(self) -> list[str]:
        """Commands that wait until the device has answered an earlier one."""
        props = [(self.client.get(*key), since) for key, since in self._commands.values()]
        return [
            f"{clean(prop.device)} {clean(prop.name)} not sent"
            for prop, since in props
            if prop is not None and (prop.pending is None or prop.pending.since < since)
        ]

    def _unsent_files(self) -> list[str]:
        """Files in transit, unless the device has confirmed them."""
        props = [(name, self.client.get(*key)) for name, key in self._files.values()]
        return [f"{clean(name)} not sent" for name, prop in props if prop is None or not self.acknowledged(prop)]

    async def finish(self, patience: float) -> None:
        """Receive no more, and wait at most this many seconds until nothing is in transit."""
        self.watch(True)
        self.receiver.stop()
        until = asyncio.get_running_loop().time() + patience
        for task in (*self.receiver.tasks(), *self._commands, *self._files):
            wait = until - asyncio.get_running_loop().time()
            while wait > 0 and not task.done() and self.unfinished():
                await asyncio.wait([task], timeout=min(wait, 0.1))  # a command goes out, a device confirms a file
                wait = until - asyncio.get_running_loop().time()

    async def aclose(self) -> list[str]:
        """End the connection, without waiting for answers.  Returns descriptions of what is unfinished."""
        unsent = self._unsent()
        tasks = [task for task in (self._following, *self._tasks) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        unwritten = await self.receiver.aclose()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST):  # what still waits is behind a file that is given up
                await self.client.aclose()
        return [*_unwritten(unwritten), *unsent, *(self._failed or ())]

    async def _follow(self) -> None:
        async with self.client.changes(interval=INTERVAL, initial=True) as cursor:
            async for delta in cursor:
                gone = self._unknown() if delta.reset else [(grave.device, grave.name) for grave in delta.deleted]
                for device, name in gone:
                    self._bury(device, name)
                for prop in delta.properties:
                    if delta.is_new(prop):
                        self._defined(prop)
                self._listener.changed(self, delta)

    def _unknown(self) -> list[tuple[str, str | None]]:
        """What is kept of properties that are gone; after very many it is not said which."""
        keys = {*self.edits, *self.fates, *self.receiver.awaited()}
        return [key for key in keys if self.client.get(*key) is None]

    def _defined(self, prop: Property) -> None:
        self.receiver.defined(prop)
        changed = self._changed(prop)
        for member in changed:
            self.edits.undo(prop.key, member)
        if changed:
            text = "what you had typed is dropped: the device has defined something else"
            self._tell(prop.key, Told(Fate.NOT_SENT, text, asyncio.get_running_loop().time()))

    def _changed(self, prop: Property) -> list[str]:
        """Members with edits whose meaning has changed since they were typed."""
        return [
            name
            for name in self.edits.of(prop.key)
            if name not in prop.members or self._meant.get((prop.key, name)) != meaning_of(prop, prop.members[name])
        ]

    def _bury(self, device: str, name: str | None) -> None:
        self.receiver.deleted(device, name)
        keys = [key for key in (*self.edits, *self.fates) if key[0] == device] if name is None else [(device, name)]
        for key in keys:
            if self.client.get(*key) is None:  # otherwise it was defined again at once, which is handled as a change
                self.edits.forget(key)
            if key in self.fates and not self.fates[key].bad:
                del self.fates[key]

    # What the user is told

    def messages(self) -> int:
        """How many elements were understood so far."""
        return self.client.stats.messages if self._following is not None else 0

    def why_not(self) -> str:
        """Why nothing can be sent; "" if it can."""
        if self.live:
            return ""
        status = self.client.status
        if status.state is LinkState.LOST:
            return f"not connected: {status.reason}" if status.reason else "not connected"
        return f"connecting to {self.name}: {status.reason}" if status.reason else f"connecting to {self.name}"

    def next_try(self) -> float | None:
        """Seconds until the next attempt to connect; None if none is planned."""
        status = self.client.status
        if status.next_try is None:
            return None
        return max(status.next_try - asyncio.get_running_loop().time(), 0.0)

    def since(self) -> float:
        """Seconds since the state of the link last changed."""
        return max(asyncio.get_running_loop().time() - self.client.status.since, 0.0)

    def samples(self, key: Key, member: str) -> list[Sample]:
        """The recent values of a number."""
        return [Sample(*point) for point in self.client.history(*key, member)]

    def acknowledged(self, prop: Property) -> bool:
        """Whether the device has answered the waiting command with Busy."""
        return prop.pending is not None and prop.state is State.BUSY and prop.at >= prop.pending.since

    def is_bad(self, prop: Property) -> bool:
        """Whether there is something to show about it that needs a line of its own."""
        fate = self.fates.get(prop.key)
        return (fate is not None and fate.bad) or (prop.state is State.ALERT and bool(prop.message))

    def bad(self, props: Iterable[Property]) -> set[Key]:
        """The properties that need such a line."""
        found = {prop.key for prop in props if prop.state is State.ALERT and prop.message}
        return found | {key for key, fate in self.fates.items() if fate.bad}

    def dismiss(self, key: Key) -> bool:
        """Note that the user has seen what was shown; False if there was nothing."""
        fate = self.fates.get(key)
        if fate is None:
            return False
        del self.fates[key]
        return fate.bad

    # Commands

    def edit(self, prop: Property, member: str, text: str) -> None:
        """Keep what the user has typed for this member, as they have seen it."""
        self.edits.put(prop.key, member, text)
        self._meant[prop.key, member] = meaning_of(prop, prop.members[member])

    def send(self, key: Key) -> str:
        """Send the edits of a property; returns the reason if nothing is sent."""
        prop = self.client.get(*key)
        if prop is None or not self.edits.of(key):
            return "nothing to send: Enter edits"
        if self._changed(prop):
            return f"{prop.label} has changed meanwhile: nothing was sent"
        return self._command(key, self.edits.take(key), edited=True)

    def send_all(self) -> str:
        """Send the edits of all properties."""
        if not len(self.edits):
            return "nothing to send: Enter edits"
        return next(filter(None, [self.send(key) for key in self.edits]), "")

    def carry_out(self, order: Order) -> str:
        """Send exactly what was composed; everything, or the reason why nothing was sent."""
        why = self.why_not() or order.why_not(self.client)
        if not why:
            for key, values in order:
                self._command(key, values)
        return why

    def send_file(self, prop: Property, member: str, path: Path, said: Callable[[str, str], None]) -> None:
        """Send a file as the BLOB that was chosen.

        Args:
            prop: The property, as it was when it was chosen.
            member: Its member.
            path: The file.
            said: Called with the reason why nothing is sent and "", or with "" and what is done.
        """
        self._run(self._send_file(prop, member, path, said))

    async def _send_file(self, prop: Property, member: str, path: Path, said: Callable[[str, str], None]) -> None:
        on_its_way = asyncio.current_task()
        assert on_its_way is not None
        self._files[on_its_way] = path.name, prop.key
        why = ""
        try:
            data = await asyncio.to_thread(bytes_of, path)
            order = order_of(prop, {member: Blob(data, file_format(path))})
            why = f"{path.name} is empty" if not data else self.why_not() or order.why_not(self.client)
            said(why, f"sending {path.name}" if not why else "")
            for key, values in order if not why else ():
                told = await self._settle(key, values, edited=False)
                why = told.text if told.bad else ""
        except OSError as error:
            why = f"{path.name}: {error.strerror or error}"
            said(why, "")
        except (BadValue, MemoryError) as error:
            why = str(error) or f"{path.name} is too large for the memory"
            said(why, "")
        finally:
            if why:
                self._fail(f"{clean(path.name)} not sent: {clean(why)}")
            del self._files[on_its_way]

    def ask(self, device: str | None) -> str:
        """Ask for definitions again."""
        why = self.why_not()
        if not why:
            self._run(self.client.ask(device))
        return why

    def _command(self, key: Key, values: Mapping[str, Any], *, edited: bool = False) -> str:
        why = self.why_not()
        prop = self.client.get(*key)
        if not why and prop is not None and self.client.is_stale(prop):
            why = f"{prop.label} is not defined again yet: nothing was sent"
        if why:
            if edited:
                self.edits.put_back(key, values)
            return why
        task = self._run(self._send(key, values, edited))
        self._commands[task] = key, asyncio.get_running_loop().time()
        return ""

    def _run(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._over)
        return task

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._commands.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, ClientError):
            _LOGGER.error("a command failed", exc_info=error)

    def _request(self, key: Key, values: Mapping[str, Any]) -> Coroutine[Any, Any, Outcome]:
        prop = self.client.get(*key)
        on = switched_on(prop, values) if prop is not None else None
        if on is not None:
            return self.client.press(*key, on, who="indipyterm")
        return self.client.set(*key, values, who="indipyterm")

    async def _send(self, key: Key, values: Mapping[str, Any], edited: bool) -> None:
        told = await self._settle(key, values, edited=edited)
        if told.fate is Fate.NOT_SENT:
            self._fail(f"{clean(key[0])} {clean(key[1])} not sent: {clean(told.text)}")

    async def _settle(self, key: Key, values: Mapping[str, Any], *, edited: bool) -> Told:
        loop = asyncio.get_running_loop()
        self._tell(key, Told(Fate.SENT, "sent", loop.time()))
        try:
            outcome = await self._request(key, values)
        except Refused as error:
            told = Told(Fate.REFUSED, error.message or "the device answered with Alert", loop.time())
        except (LinkLost, PropertyGone) as error:
            told = Told(Fate.UNKNOWN, f"sent, and nobody knows whether it was carried out: {error}", loop.time())
        except (ClientError, ValueError) as error:
            sent = isinstance(error, TimedOut) and error.sent  # not if it has only waited for an earlier command
            if edited and not sent:
                self.edits.put_back(key, values)
            fate = Fate.NO_ANSWER if sent else Fate.NOT_SENT
            told = Told(fate, _without_names(str(error), key), loop.time())
        except Exception as error:
            _LOGGER.exception("a command failed")
            told = Told(Fate.UNKNOWN, f"{type(error).__name__}: {error}", loop.time())
        else:
            text = f"accepted after {span(outcome.elapsed)}"
            if not outcome.confirmed:
                text += ", values differ"
            told = Told(Fate.ACCEPTED, text, loop.time())
        self._tell(key, told)
        return told

    def _lost(self, key: Key, why: str) -> None:
        self._fail(f"BLOB LOST: {clean(key[0])} {clean(key[1])}: {clean(why)}")
        self._listener.lost(self, key, why)

    def _tell(self, key: Key, told: Told) -> None:
        self.fates[key] = told
        self._listener.told(self, key)


def _unwritten(blobs: Mapping[Key, int]) -> list[str]:
    return [
        f"{count} BLOB{'s' * (count != 1)} of {clean(device)} {clean(name)} not written"
        for (device, name), count in blobs.items()
    ]


def _without_names(text: str, key: Key) -> str:
    """The text of an error without the address, which is shown above it."""
    for prefix in (f"{key[0]}.{key[1]}: ", f"{key[0]}.{key[1]}.", f"{key[0]}.{key[1]} "):
        text = text.removeprefix(prefix)
    return text
