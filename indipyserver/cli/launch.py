"""Runs one Python driver over standard input and output for another server. --register makes programs start it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys

from ..loading import load_drivers
from ..spec import PythonSpec, parse_spec

__all__ = ["main"]


def main() -> int:
    """Run the driver that the only argument names, until the server is gone."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    try:
        spec = parse_spec(sys.argv[1]) if len(sys.argv) == 2 else None
        if not isinstance(spec, PythonSpec):
            sys.stderr.write("usage: python3 -m indipyserver.cli.launch FILE.py:CALLABLE\n")
            return 2
        (driver,) = load_drivers(spec)
    except (ImportError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(driver.asyncrun())
    return 0


if __name__ == "__main__":
    sys.exit(main())
