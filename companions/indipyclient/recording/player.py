"""Plays a recording as a driver: messages are sent again at their times, and requests and commands are answered.

    python3 -m indipyclient.recording.player FILE [SPEED [loop]]

It speaks INDI over standard input and output, so any INDI server can run it.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from indipydriver.errors import IndiError, RemoteProtocolError
from indipydriver.protocol.decode import decode
from indipydriver.protocol.encode import encode
from indipydriver.protocol.frame import Batch, Frame
from indipydriver.protocol.messages import (
    AnyMessage,
    DefMember,
    DefVector,
    DelProperty,
    GetProperties,
    NewVector,
    OneMember,
    Ping,
    SetVector,
)
from indipydriver.protocol.tags import State, SwitchRule, VectorKind
from indipydriver.protocol.values import format_timestamp
from indipydriver.transport.stdio import open_stdio

from ..model.model import Model
from ..model.properties import Property
from .files import Line, Recording
from .form import LinkChange

__all__ = ["Player", "answer", "definition"]

UNSENT: Final = 1 << 20
"""Bytes that may wait for the server; beyond that, playing waits."""


def definition(prop: Property) -> DefVector:
    """The definition of a property as it is now."""
    definition = prop.definition
    is_light = prop.kind is VectorKind.LIGHT
    return DefVector(
        definition.kind,
        definition.device,
        definition.name,
        prop.state,
        tuple(DefMember(m.name, m.value, m.label, m.format, m.min, m.max, m.step) for m in prop.members.values()),
        definition.label,
        definition.group,
        None if is_light else definition.perm,
        definition.rule,
        None if is_light else prop.timeout,
        prop.timestamp,
    )


def answer(prop: Property, command: NewVector) -> SetVector | None:
    """The answer of an ideal device: the requested values, and Ok; None if it takes no commands."""
    if not prop.writable or prop.kind is not command.kind or prop.kind is VectorKind.BLOB:
        return None
    values = {one.name: one.value for one in command.members if isinstance(one, OneMember) and one.name in prop.members}
    if prop.kind is VectorKind.SWITCH and prop.rule is not SwitchRule.ANY_OF_MANY and "On" in values.values():
        on = next(name for name, value in values.items() if value == "On")
        values = {name: "On" if name == on else "Off" for name in prop.members}
    members = tuple(OneMember(name, value) for name, value in values.items())
    return SetVector(prop.kind, prop.device, prop.name, members, State.OK, None, format_timestamp(datetime.now(UTC)))


class Player:
    """Plays a recording once.

    Args:
        lines: The lines to play.
    """

    def __init__(self, lines: Iterator[Line]) -> None:
        self.model = Model()
        self.model.link_made()
        self._lines = lines
        self._link = open_stdio()
        self._over = asyncio.Event()
        self._drained = asyncio.Event()

    async def run(self, speed: float) -> None:
        """Play, and go on answering at the end, until nobody listens any more."""
        self._link.open(self)
        playing = asyncio.create_task(self._play(speed))
        over = asyncio.create_task(self._over.wait())
        await asyncio.wait([playing, over], return_when=asyncio.FIRST_COMPLETED)
        if playing.done():
            playing.result()
            await over
        playing.cancel()
        await asyncio.gather(playing, return_exceptions=True)

    async def _play(self, speed: float) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        for line in self._lines:
            wait = began + line.t / speed - loop.time()
            if wait > 0:
                await asyncio.sleep(wait)
            else:
                await asyncio.sleep(0)  # requests are answered
            while self._link.unsent > UNSENT:
                self._drained.clear()
                await self._drained.wait()
            if isinstance(line.message, LinkChange):
                self._link_changed(line.message)
            else:
                self._say(line.message)

    def _link_changed(self, change: LinkChange) -> None:
        """Delete everything from before the loss of the connection, until it is defined again."""
        if not change.connected:
            for device in self.model.names():
                self._say(DelProperty(device, message="the connection was lost here"))

    def _say(self, message: AnyMessage) -> None:
        if self.model.apply(message) is not None:
            self._send(message)

    def _send(self, message: AnyMessage) -> None:
        try:
            frame = encode(message)
        except IndiError as error:
            sys.stderr.write(f"ERROR a line cannot be said again: {error}\n")
            return
        self._link.write(Batch([frame]))
        self._link.flush()

    # Called by the link

    def frames_received(self, frames: list[Frame]) -> None:
        for frame in frames:
            try:
                self._received(decode(frame))
            except RemoteProtocolError as fault:
                self.fault_received(fault)

    def _received(self, message: AnyMessage) -> None:
        if isinstance(message, GetProperties):
            for prop in self.model:
                if message.device in (None, prop.device) and message.name in (None, prop.name):
                    self._send(definition(prop))
        elif isinstance(message, NewVector):
            known = self.model.get(message.device, message.name)
            said = answer(known, message) if known is not None else None
            if said is not None:
                self._say(said)
        elif isinstance(message, Ping) and not message.reply:
            self._send(Ping(message.uid, reply=True))

    def fault_received(self, fault: RemoteProtocolError) -> None:
        sys.stderr.write(f"WARNING {fault}\n")

    def link_drained(self) -> None:
        self._drained.set()

    def link_closed(self, error: Exception | None) -> None:
        self._over.set()


def endless(recording: Recording) -> Iterator[Line]:
    """The lines, again and again."""
    begin = 0.0
    while True:
        last = 0.0
        for line in recording:
            last = line.t
            yield Line(begin + line.t, line.message)
        begin += last + 1.0
        yield Line(begin, LinkChange(False))


def main(arguments: list[str]) -> int:
    """Play the named file."""
    recording = Recording(arguments[0])
    speed = float(arguments[1]) if len(arguments) > 1 else 1.0
    loop = arguments[2:] == ["loop"]

    async def play() -> None:
        await Player(endless(recording) if loop else iter(recording)).run(speed)

    try:
        asyncio.run(play())
    except (ValueError, OSError) as error:
        sys.stderr.write(f"ERROR {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
