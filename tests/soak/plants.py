"""Faults put into a server on purpose, to see that the soak notices them."""

import asyncio
import os
from typing import Any

from indipydriver.protocol.frame import BlobFrame, Frame
from indipydriver.protocol.tags import Verb
from indipydriver.transport.attached import AttachedFrame
from indipyserver import Observer
from indipyserver.relay.peer import Peer

_EVERY = 40  # the how manieth case is spoilt


def plant_fault(name: str, server: Any) -> None:
    """Spoil every fortieth BLOB or command that passes, or something else of the server."""
    if name == "rights":
        _without_rights(server)
    elif name in ("descriptors", "tasks"):
        _leak(name, server)
    else:
        _spoil(name, server)


def _spoil(name: str, server: Any) -> None:
    router = server.board.router
    process = router.process
    seen = 0
    held: list[Frame] = []

    def spoilt(source: Any, frames: list[Frame]) -> Any:
        nonlocal seen
        wanted: list[Frame] = []
        for frame in frames:
            is_picture = isinstance(frame, BlobFrame) and frame.tag.verb is Verb.SET and bool(frame.spans)
            is_command = frame.tag.verb is Verb.NEW and frame.name == "pos"
            if name in ("drop command", "twice"):
                seen += is_command
                due = is_command and seen % _EVERY == 0
                wanted += [] if due and name == "drop command" else [frame, frame] if due else [frame]
                continue
            seen += is_picture
            due = is_picture and seen % _EVERY == 0
            if due and name == "drop picture":
                continue
            if due and name == "mix" and not isinstance(frame, AttachedFrame):
                frame = BlobFrame(frame.address, [_other_data(b"".join(frame.chunks))], frame.skeleton, frame.spans)
            if is_picture and name == "swap" and (due or held):
                if not held:
                    held.append(frame)
                    continue
                if held[0].address == frame.address:
                    wanted += [frame, held.pop()]
                    continue
            wanted.append(frame)
        return process(source, wanted)

    router.process = spoilt


def _other_data(raw: bytes) -> bytes:
    middle = len(raw) // 2
    changed = b"A" if raw[middle : middle + 1] != b"A" else b"B"
    return raw[:middle] + changed + raw[middle + 1 :]


def _without_rights(server: Any) -> None:
    from indipyserver.routing.rights import EVERYTHING

    for entrance in server._listeners:
        entrance.rights = EVERYTHING


def _leak(name: str, server: Any) -> None:
    kept: list[Any] = []

    class Leak(Observer):
        def peer_added(self, peer: Peer) -> None:
            kept.append(os.dup(2) if name == "descriptors" else asyncio.ensure_future(asyncio.sleep(1e6)))

    server.add_observer(Leak())
