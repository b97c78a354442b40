"""``indipyclient replay``: serve a recording again."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
from collections.abc import Sequence

from ..recording.files import Recording
from ..recording.replay import serve
from .link import Status, run, say
from .main import EPILOG

EXAMPLES = """\
  indipyclient replay night.indi
  indipyclient replay night.indi --speed 60 --port 7625
  indipyclient replay test.indi --loop"""


def main(arguments: Sequence[str]) -> int:
    """Run the verb; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="indipyclient replay",
        description="Serve the devices of a recording; commands are answered with Ok.",
        epilog=f"examples:\n{EXAMPLES}\n\n{EPILOG[EPILOG.index('exit status') :]}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", metavar="FILE", help="what indipyclient record has written")
    parser.add_argument("--speed", type=float, default=1.0, help="seconds of the recording per second (default: 1)")
    parser.add_argument("--port", "-p", type=int, default=7624, help="port to listen on (default: 7624; 0 for any)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--loop", action="store_true", help="begin again at the end")
    options = parser.parse_args(arguments)
    return run(lambda: _replay(options))


async def _replay(options: argparse.Namespace) -> int:
    recording = Recording(options.file)
    started, stop = asyncio.Event(), asyncio.Event()
    told: list[int] = []
    serving = asyncio.create_task(
        serve(
            options.file,
            host=options.host,
            port=options.port,
            speed=options.speed,
            loop=options.loop,
            started=started,
            told=told,
            stop=stop,
        )
    )
    with contextlib.suppress(NotImplementedError):  # of an event loop without signals
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    waiting = asyncio.create_task(started.wait())
    await asyncio.wait([serving, waiting], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if told:
        say(f"{recording.server} of {recording.started} is served on {options.host}:{told[0]}")
    await serving
    return Status.DONE
