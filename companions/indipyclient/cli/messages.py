"""``indipyclient messages``: print what devices say."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Sequence

from ..model.delta import Note
from ..model.dump import iso
from ..waiting import within
from .link import Status, client_of, run
from .main import amount, common, seconds
from .output import print_json, print_line

EXAMPLES = """\
  indipyclient messages
  indipyclient messages Telescope --for 60
  indipyclient messages --json --count 10"""


def main(arguments: Sequence[str]) -> int:
    """Run the verb; returns the exit status."""
    parser = common("messages", "Print what devices say, from now on.  A lost connection is restored.", EXAMPLES)
    parser.add_argument("device", nargs="?", help="only this device")
    parser.add_argument("--count", type=amount, help="end after this many")
    parser.add_argument("--for", type=seconds, dest="duration", help="end after this many seconds")
    parser.add_argument("--json", action="store_true", help="print one JSON object per line")
    options = parser.parse_args(arguments)
    return run(lambda: _messages(options))


async def _messages(options: argparse.Namespace) -> int:
    printed = 0
    async with (
        client_of(options, reconnect=True) as client,
        within(options.duration),
        contextlib.aclosing(client.messages(options.device, initial=True)) as messages,
    ):
        async for note in messages:
            _print(note, options.json)
            printed += 1
            if printed == options.count:
                break
    return Status.DONE


def _print(note: Note, as_json: bool) -> None:
    time = iso(note.timestamp) or ""
    if as_json:
        print_json({"t": time, "device": note.device, "property": note.name, "message": note.text})
    else:
        where = f"{note.device}:" if note.device else ""
        print_line(" ".join(filter(None, (time, where, note.text))))
