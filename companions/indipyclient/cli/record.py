"""``indipyclient record``: write what a server sends to a file."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from ..recording.files import Writer
from ..recording.recorder import record
from .link import Status, client_of, ended_by_sigterm, run, say
from .main import common, seconds

EXAMPLES = """\
  indipyclient record night.indi
  indipyclient record night.indi --blobs --for 28800
  indipyclient record test.indi -s observatory.local --for 60"""


def main(arguments: Sequence[str]) -> int:
    """Run the verb; returns the exit status."""
    parser = common(
        "record", "Write what a server sends to a file, until Ctrl-C; indipyclient replay serves it again.", EXAMPLES
    )
    parser.add_argument("file", metavar="FILE", help="the file, which must not exist yet")
    parser.add_argument("--blobs", action="store_true", help="record BLOBs too, in a folder FILE.blobs")
    parser.add_argument("--for", type=seconds, dest="duration", help="end after this many seconds")
    options = parser.parse_args(arguments)
    return run(lambda: _record(options))


async def _record(options: argparse.Namespace) -> int:
    seen: Writer | None = None

    def progress(writer: Writer) -> None:
        nonlocal seen
        seen = writer

    try:
        async with client_of(options, reconnect=True) as client:
            with ended_by_sigterm():
                seen = await record(
                    client, options.file, blobs=options.blobs, duration=options.duration, progress=progress
                )
    finally:  # a recording usually ends with Ctrl-C
        if seen is not None:
            say(f"{seen.lines} lines in {options.file}")
            if seen.lost:
                say(f"{seen.lost} messages are missing: the disk is too slow")
    return Status.DONE
