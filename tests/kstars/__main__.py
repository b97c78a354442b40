"""Run a session of KStars with simulated instruments; status 0 if no step has failed.

    python -m tests.kstars                          with the simulators of this project
    python -m tests.kstars --subjects libindi       with those of libindi, under this server
    python -m tests.kstars --subjects indiserver    the same under indiserver
    python -m tests.kstars --subjects our-camera    what watches others is of this project, what is watched of libindi
    python -m tests.kstars --subjects our-mount     the other way round
    python -m tests.kstars --subjects web-manager   Ekos starts and stops the simulators of libindi through indipyweb

It needs Debian's packages kstars, xvfb, dbus, xdotool and imagemagick. The screen, the session bus and the home directory
are made for the session; nothing but this machine is talked to.
"""

import argparse
import signal
import sys
import tempfile
import time
from pathlib import Path

from . import managed
from .desk import Desk, missing
from .requests import Requests
from .session import steps
from .steps import Context, Step, run
from .subjects import SUBJECTS, serve
from .tap import Tap


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.kstars", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--subjects", choices=SUBJECTS, default="ours", help="default: %(default)s")
    parser.add_argument(
        "--folder", type=Path, help="a new folder for screenshots, images and logs; else a temporary one"
    )
    parser.add_argument("--only", default="", help="after the connection, only steps that begin like this")
    options = parser.parse_args()
    absent = missing()
    if absent:
        parser.error(f"not installed: apt-get install {' '.join(absent)}")
    folder = options.folder or Path(tempfile.mkdtemp(prefix="kstars-"))
    folder.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by a signal"))  # with all that was started
    with Desk(folder.resolve()) as desk:
        served = serve(options.subjects, desk)
        with (
            Tap(served.port, folder / "traffic.log") as tap,
            Requests(served.manager, folder / "requests.log") as requests,
        ):
            done = _session(Context(desk, served, tap, requests), options.only)
    report = _report(options.subjects, done)
    (folder / "report.txt").write_text(report)
    tell(f"\n{report}\nScreenshots, images and logs: {folder}")
    return 1 if any(step.result == "failed" for step in done) else 0


def _session(context: Context, only: str) -> list[Step]:
    done: list[Step] = []
    for number, (name, limit, action) in enumerate(managed.steps() if context.served.manager else steps()):
        if only and number > 5 and not name.startswith(only):
            continue
        step = run(name, limit, context, action)
        done.append(step)
        tell(f"{time.strftime('%H:%M:%S')} {step.result:9} {step.seconds:5.1f} s  {name}: {step.detail}")
        if step.result != "not there":
            context.desk.screenshot("".join(c if c.isalnum() else "-" for c in name)[:40], "Ekos")
        if step.result == "failed" and number < 4:
            break  # nothing can follow
    return done


def _report(subjects: str, done: list[Step]) -> str:
    wide = max(len(step.name) for step in done)
    lines = [f"Subjects: {subjects}", ""]
    for step in done:
        states = ", ".join(f"{name} {state}" for name, state in step.states.items())
        lines.append(f"{step.name:{wide}}  {step.result:9} {step.seconds:5.1f} s  {step.detail}  [{states}]")
        lines += [f"{'':{wide}}    Ekos: {line}" for line in step.log]
    counts = {result: sum(step.result == result for step in done) for result in ("ok", "failed", "not there")}
    lines += ["", ", ".join(f"{count} {result}" for result, count in counts.items()), ""]
    return "\n".join(lines)


def tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
