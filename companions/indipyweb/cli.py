"""The command ``indipyweb``: its options, and the web server."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Final

from . import version

__all__ = ["build_parser", "main"]

NEEDED: Final = ("starlette", "uvicorn", "jinja2", "python_multipart", "argon2")
INSTALL: Final = "indipyweb needs more packages: pip install 'indipydriver[web]'"


def build_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(
        prog="indipyweb",
        usage="indipyweb [options]",
        description="Web server to communicate to an INDI service.",
        epilog="The host and port set here have priority over values set in the database. If not given, and not set in"
        " the database, 'localhost:8000' is used. The first start prints a link that creates the first account.",
    )
    parser.add_argument("--port", type=int, help="Listening port of the web server.")
    parser.add_argument("--host", help="Hostname/IP of the web server.")
    parser.add_argument("--dbfolder", help="Folder where the database will be set.")
    parser.add_argument("--securecookie", default="False", help="Set True to enforce https only for cookies.")
    parser.add_argument("--basepath", default="", help="Path below which everything is served, for a reverse proxy.")
    parser.add_argument(
        "--indi",
        action="append",
        metavar="HOST:PORT",
        help="INDI server, or the path of its local socket; several times for several servers.",
    )
    parser.add_argument("--blobfolder", help="Folder where BLOBs are saved.")
    parser.add_argument("--no-blobs", action="store_true", help="Ask the INDI server for no BLOBs.")
    parser.add_argument("--public-url", default="", metavar="URL", help="Address at which a reverse proxy serves it.")
    parser.add_argument(
        "--host-name", action="append", default=[], metavar="NAME", help="One more name of this machine in browsers."
    )
    parser.add_argument("--hsts", action="store_true", help="Tell browsers to use https only.")
    parser.add_argument(
        "--admin-password-file", metavar="FILE", help="Create the first account, 'admin', its password from a file."
    )
    parser.add_argument(
        "--serve",
        nargs="+",
        metavar="DRIVER",
        help="Serve these drivers in this process, as indipyserver does, and show them.",
    )
    parser.add_argument("--indi-port", type=int, metavar="PORT", help="With --serve: port for other INDI clients.")
    parser.add_argument(
        "--web-manager",
        nargs="?",
        const="8624",
        metavar="[HOST:]PORT",
        help="Start profiles for Ekos as INDI Web Manager does, without a password (default port 8624).",
    )
    parser.add_argument("--version", action="version", version=version)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    options = build_parser().parse_args(arguments)
    if any(find_spec(name) is None for name in NEEDED):
        sys.stderr.write(f"{INSTALL}\n")
        return 2
    running = import_module(".running", __package__)
    status: int = running.run(options)
    return status
