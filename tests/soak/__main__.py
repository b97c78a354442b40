"""Run the soak: `python -m tests.soak --minutes 15 --seed 1`; status 0 if nothing went wrong."""

import argparse
import asyncio
import sys

from .night import Night
from .server import PLANTS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=15.0, help="how long (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of all choices (default: %(default)s)")
    parser.add_argument("--plant", choices=PLANTS, default="", help="a fault to plant, to see that it is noticed")
    options = parser.parse_args()
    if not 0 < options.minutes <= 24 * 60:
        parser.error("minutes must be more than 0, and a day at most")

    def tell(line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    report = asyncio.run(Night(options.minutes * 60, options.seed, tell, options.plant).run())
    tell(report.text())
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
