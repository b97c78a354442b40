"""``indipyclient blob``: save BLOBs to files, or send one."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from indipydriver.protocol.tags import VectorKind

from ..addresses import Pattern, parse_pattern
from ..blobs import ReceivedBlob
from ..client import Client
from ..errors import NoSuchDevice, NoSuchMember, NoSuchProperty, WrongKind
from ..model.commands import Blob
from .link import QUIET, Status, client_of, run, say
from .main import amount, common, seconds
from .output import print_json, print_line

EXAMPLES = """\
  indipyclient blob 'Camera.CCD1' -o images --count 1
  indipyclient blob Camera -o images --for 3600
  indipyclient blob Echo.BLOB.DATA --send frame.fits"""

_SETTLED: Final = 2.0
"""Seconds after which definitions may still come; BLOBs wait meanwhile."""


def main(arguments: Sequence[str]) -> int:
    """Returns the exit status."""
    parser = common("blob", "Save BLOBs as they come, and print the paths of the files; or send one.", EXAMPLES)
    parser.add_argument("address", metavar="ADDRESS", help="DEVICE, DEVICE.PROPERTY or DEVICE.PROPERTY.MEMBER")
    parser.add_argument("-o", "--output", metavar="DIR", default=".", help="where the files go (default: here)")
    parser.add_argument("--count", type=amount, help="end after so many")
    parser.add_argument("--for", type=seconds, dest="duration", help="end after so many seconds")
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")
    parser.add_argument("--send", metavar="FILE", help="send this file, and wait for what comes of it")
    parser.add_argument("--format", help="with --send: suffixes such as .fits (default: those of the file)")
    parser.add_argument("-t", "--timeout", type=seconds, help="with --send: seconds for all")
    options = parser.parse_args(arguments)
    return run(lambda: _send(options) if options.send else _save(options))


async def _save(options: argparse.Namespace) -> int:
    pattern = parse_pattern(options.address)
    device = pattern.only_device
    if device is None:
        raise ValueError("the device of a BLOB is written without * and ?")
    found = 0
    async with (
        client_of(options, reconnect=True) as client,
        client.blobs(device, pattern.only_name, member=pattern.only_member) as stream,
    ):
        try:
            async with asyncio.timeout(options.duration):
                await client.settle(quiet=QUIET, timeout=_SETTLED)
                _look(client, device, pattern.only_name)
                async for blob in stream:
                    if not isinstance(blob, ReceivedBlob):
                        say(f"{blob.count} BLOBs were lost: the disk is too slow")
                        continue
                    if not pattern.covers(blob.device, blob.name, blob.member):
                        continue
                    path = await asyncio.to_thread(blob.write_to, options.output)
                    _print(blob, path, options.json)
                    found += 1
                    if found == options.count:
                        break
        except TimeoutError:
            pass
    if options.count is not None and found < options.count:
        return Status.TIMED_OUT
    return Status.DONE if found else Status.NOT_FOUND


def _look(client: Client, device: str, name: str | None) -> None:
    """Say what is not there, which may come, and refuse what never sends a BLOB."""
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
    data = await asyncio.to_thread(path.read_bytes)
    async with client_of(options) as client:
        member = await _member(client, device, name, pattern)
        format = options.format if options.format is not None else "".join(path.suffixes)
        outcome = await client.set(device, name, {member: Blob(data, format)}, timeout=options.timeout)
        for text in outcome.messages:
            say(f"{device}: {text}")
    return Status.DONE


async def _member(client: Client, device: str, name: str, pattern: Pattern) -> str:
    prop = await client.wait_property(device, name, timeout=5)
    if pattern.only_member is not None:
        return pattern.only_member
    found = pattern.members(prop)
    if len(found) != 1:
        raise NoSuchMember("", prop, f"{device}.{name}, which has {len(prop)}")
    return found[0]
