"""What every test shares: where it has to, a test that is skipped counts as failed.

Property tests draw the same examples in each run; with INDI_LONG set they search for new ones.  A test that fails now
and then, on somebody else's change, teaches nobody anything.
"""

import os
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, database=None, deadline=None)
settings.register_profile("search", deadline=None)
settings.load_profile("search" if os.environ.get("INDI_LONG") else "repeatable")

# The example LED works with gpiozero's mock pins, and says nothing about missing ones. Programs that tests start inherit it.
os.environ["GPIOZERO_PIN_FACTORY"] = "mock"

# A shell has a job in the background ignore Ctrl-C, and nohup the loss of the terminal. Programs that tests start would
# inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)  # goes on, but what it starts does not inherit that

NOTHING_MAY_BE_SKIPPED = bool(os.environ.get("INDI_REQUIRE_INTEROP"))

# Tests in these directories start no programs and wait for nobody: what fails there fails again.
SANS_IO = ("conformance", "docs", "fuzz", "property", "typing", "unit")


def pytest_collection_modifyitems(items):
    """In CI a test that starts programs or measures is tried again when it fails, once.

    Such a machine may stand still for seconds. Failing twice fails the run, and whatever was tried again is listed
    at its end. Nowhere else is anything tried again.
    """
    if os.environ.get("CI") != "true":
        return
    tests = Path(__file__).parent
    for item in items:
        if item.path.relative_to(tests).parts[0] not in SANS_IO or item.get_closest_marker("measured"):
            item.add_marker(pytest.mark.flaky(reruns=1, reruns_delay=1))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """With INDI_REQUIRE_INTEROP set, as in CI, turn a skip into a failure that says why."""
    report = yield
    # What a test has printed or logged goes to another process, which takes no half characters.
    report.sections = [(name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections]
    if NOTHING_MAY_BE_SKIPPED and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, but nothing may be skipped here: {report.longrepr[2]}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    """The same for whole modules, which importorskip leaves out before there is a test."""
    report = yield
    if NOTHING_MAY_BE_SKIPPED and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"skipped, but nothing may be skipped here: {report.longrepr[2]}"
    return report


@pytest.fixture(autouse=True)
def _pins_are_free():
    """The mock pins belong to the process: whatever a test leaves on them, the next one may use them."""
    yield
    gpiozero = sys.modules.get("gpiozero")
    factory = getattr(getattr(gpiozero, "Device", None), "pin_factory", None)
    if hasattr(factory, "reset"):
        factory.reset()
