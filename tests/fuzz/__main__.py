"""The command: `python -m tests.fuzz --target router --count 100000 --seed 1`; status 0 if nothing was found."""

import argparse
import sys
import tempfile
from pathlib import Path

from .loop import Outcome, fuzz
from .targets import SHARES, TARGETS


def tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def show(outcome: Outcome, directory: Path) -> None:
    """The figures, and each finding with the file that holds its input."""
    tell(outcome.line())
    for number, finding in enumerate(outcome.findings.values()):
        path = directory / f"{outcome.target}-{outcome.seed}-{number}"
        path.write_bytes(finding.data)
        tell(f"  {finding.count} times: {finding.kind}: {finding.words}\n    {finding.data[:400]!r}\n    {path}")


def replay(target: str, path: Path) -> int:
    """One input again; what it raises is shown as it is."""
    TARGETS[target](path.read_bytes())
    tell(f"{target}: {path} shows nothing")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--target", choices=[*TARGETS, "all"], default="all", help="(default: %(default)s)")
    parser.add_argument("--count", type=int, default=100_000, help="inputs, at most (default: %(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=float("inf"), help="for each target, at most (default: no limit)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of all inputs (default: %(default)s)")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="run one input again")
    options = parser.parse_args()
    if options.replay is not None:
        if options.target == "all":
            parser.error("--replay needs a --target")
        return replay(options.target, options.replay)
    directory = Path(tempfile.gettempdir()) / "indipydriver-fuzz-findings"
    directory.mkdir(exist_ok=True)
    shares = SHARES if options.target == "all" else {options.target: 1.0}
    outcomes = []
    for target, share in shares.items():
        outcome = fuzz(target, max(1, round(options.count * share)), options.seed, options.seconds)
        show(outcome, directory)
        outcomes.append(outcome)
    if len(outcomes) > 1:
        tried, cpu = sum(each.tried for each in outcomes), sum(each.cpu for each in outcomes)
        tell(f"all: {tried} inputs in {cpu:.0f} s of CPU ({tried / cpu:.0f}/s)")
    return 1 if any(outcome.findings for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
