"""``indipyclient blob``: save BLOBs to files, or send one."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from indipydriver.protocol.tags import VectorKind

from ..addresses import Pattern, parse_pattern
from ..blobs import ReceivedBlob, bytes_of, save_each, take_piece
from ..client import Client
from ..errors import NoSuchDevice, NoSuchMember, NoSuchProperty, TimedOut, WrongKind
from ..model.commands import Blob, file_format
from ..model.tap import Overflow
from ..streams import Tap
from ..waiting import within
from .link import QUIET, Status, client_of, ended_by_sigterm, run, say
from .main import amount, common, seconds
from .output import print_json, print_line

EXAMPLES = """\
  indipyclient blob 'Camera.CCD1' -o images --count 1
  indipyclient blob Camera -o images --for 3600
  indipyclient blob Echo.BLOB.DATA --send frame.fits"""

_SETTLED: Final = 2.0
"""Seconds for definitions to arrive; BLOBs wait meanwhile."""
_PIPE: Final = 60.0
"""Seconds for a pipe to say all that is to be sent."""
_PIECE: Final = 1 << 20


def main(arguments: Sequence[str]) -> int:
    """Run the verb; returns the exit status."""
    parser = common("blob", "Save BLOBs as they arrive, and print the paths of the files; or send one.", EXAMPLES)
    parser.add_argument("address", metavar="ADDRESS", help="DEVICE, DEVICE.PROPERTY or DEVICE.PROPERTY.MEMBER")
    parser.add_argument("-o", "--output", metavar="DIR", default=".", help="folder for the files (default: here)")
    parser.add_argument("--count", type=amount, help="end after this many")
    parser.add_argument("--for", type=seconds, dest="duration", help="end after this many seconds")
    parser.add_argument("--json", action="store_true", help="print one JSON object per line")
    parser.add_argument("--send", metavar="FILE", help="send this file, and wait for the outcome")
    parser.add_argument("--format", help="with --send: suffix such as .fits (default: that of the file)")
    parser.add_argument("-t", "--timeout", type=seconds, help="with --send: seconds for everything")
    options = parser.parse_args(arguments)
    return run(lambda: _send(options) if options.send else _save(options))


async def _save(options: argparse.Namespace) -> int:
    pattern = parse_pattern(options.address)
    device = pattern.only_device
    if device is None:
        raise ValueError("the device of a BLOB is written without * and ?")
    found = 0

    def saved(blob: ReceivedBlob, path: Path) -> None:
        nonlocal found
        found += 1
        _print(blob, path, options.json)

    async with client_of(options, reconnect=True) as client:
        blobs = client.blobs(device, pattern.only_name, member=pattern.only_member, overflow=Overflow.WAIT)
        with ended_by_sigterm():
            async with blobs as stream, within(options.duration):
                looking = asyncio.ensure_future(_look(client, device, pattern.only_name, stream))
                try:
                    await save_each(stream, options.output, saved, options.count, lambda blob: _is_meant(pattern, blob))
                finally:
                    looking.cancel()
                if not looking.cancelled() and looking.done():
                    looking.result()
    if options.count is not None and found < options.count:
        return Status.TIMED_OUT
    return Status.DONE if found else Status.NOT_FOUND


def _is_meant(pattern: Pattern, blob: ReceivedBlob) -> bool:
    return pattern.covers(blob.device, blob.name, blob.member)


async def _look(client: Client, device: str, name: str | None, stream: Tap[ReceivedBlob]) -> None:
    """Report what is missing, which may still appear, and refuse a property without BLOBs: then nothing is saved."""
    await client.settle(quiet=QUIET, timeout=_SETTLED)
    try:
        if device not in client.devices:
            raise NoSuchDevice(device, client.devices)
        if name is None:
            return
        prop = client.need(device, name)
    except (NoSuchDevice, NoSuchProperty) as error:
        say(f"waiting: {error}")
    else:
        if prop.kind is not VectorKind.BLOB:
            stream.close()
            raise WrongKind(f"{device}.{name} has no BLOBs: it is {prop.kind}")


def _print(blob: ReceivedBlob, path: Path, as_json: bool) -> None:
    if as_json:
        found = {"device": blob.device, "property": blob.name, "member": blob.member, "path": str(path)}
        print_json({**found, "bytes": len(blob.data), "format": blob.format, "timestamp": blob.timestamp})
    else:
        print_line(str(path))


async def _send(options: argparse.Namespace) -> int:
    pattern = parse_pattern(options.address)
    device, name = pattern.only_device, pattern.only_name
    if device is None or name is None:
        raise ValueError("to send, write DEVICE.PROPERTY or DEVICE.PROPERTY.MEMBER")
    path = Path(options.send)
    data = await _bytes_of(path, _PIPE if options.timeout is None else options.timeout)
    async with client_of(options) as client:
        member = await _member(client, device, name, pattern)
        format = options.format if options.format is not None else file_format(path)
        outcome = await client.set(device, name, {member: Blob(data, format)}, timeout=options.timeout)
        for text in outcome.messages:
            say(f"{device}: {text}")
    return Status.DONE


async def _bytes_of(path: Path, seconds: float) -> bytes:
    """The bytes of a file, or all that comes through a pipe in this time."""
    if not await asyncio.to_thread(path.is_fifo):
        return await asyncio.to_thread(bytes_of, path)
    found = io.BytesIO()
    reader = asyncio.StreamReader(limit=_PIECE)
    try:
        async with asyncio.timeout(seconds):
            pipe = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0)  # waits for no writer
            loop = asyncio.get_running_loop()
            transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
            with contextlib.closing(transport):
                while piece := await reader.read(_PIECE):
                    take_piece(found, piece, path.name)
    except TimeoutError:
        raise TimedOut(f"{path.name} has not come to its end in {seconds:g} s") from None
    return found.getvalue()


async def _member(client: Client, device: str, name: str, pattern: Pattern) -> str:
    prop = await client.wait_property(device, name, timeout=5)
    if pattern.only_member is not None:
        return pattern.only_member
    found = pattern.members(prop)
    if len(found) != 1:
        raise NoSuchMember("", prop, f"{device}.{name}, which has {len(prop)}")
    return found[0]
