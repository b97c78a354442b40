"""A plugin of pytest for tests/cover.py: traces in each process that runs tests.

Only tests of the directories COUNTS are traced, and none that is marked `measured` or is in a file of LARGE: the others
run at full speed.
"""

import os
from collections.abc import Iterator

import coverage
import pytest

from tests.cover import ROOT, measuring

COUNTS = ("unit",)
# Files of tests that do the same very many times, and take three times as long when they are traced.
LARGE = ("test_command_floods", "test_framer_bounds", "test_router_bounds", "test_stream_turns")
TIMEOUT = 600  # seconds for one test: those that feed bytes one by one take many times longer when they are traced


def is_traced(item: pytest.Item) -> bool:
    """Whether a test counts."""
    directory = item.path.relative_to(ROOT / "tests").parts[0]
    return directory in COUNTS and item.path.stem not in LARGE and not item.get_closest_marker("measured")


class Tracing:
    """Traces while modules are imported, and in those tests that count."""

    def __init__(self, what: coverage.Coverage) -> None:
        self._measuring = what
        what.start()

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            if is_traced(item):
                item.add_marker(pytest.mark.timeout(TIMEOUT))

    def pytest_collection_finish(self) -> None:
        self._measuring.stop()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        if not is_traced(item):
            return (yield)
        self._measuring.start()
        try:
            return (yield)
        finally:
            self._measuring.stop()

    def pytest_unconfigure(self) -> None:
        self._measuring.stop()
        self._measuring.save()


def pytest_configure(config: pytest.Config) -> None:
    """Trace, unless other processes run the tests."""
    if not config.getoption("numprocesses", None):
        config.pluginmanager.register(Tracing(measuring(f".{os.getpid()}")))
