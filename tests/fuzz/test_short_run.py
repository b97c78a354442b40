"""A few seconds of the fuzzers, always the same; the long runs are a command of their own."""

import pytest

from .loop import fuzz, shrunk
from .streams import framer

COUNTS = {"framer": 1500, "decoder": 1500, "router": 600, "driver": 100, "cost": 2}


@pytest.mark.parametrize(
    "target", [pytest.param(each, marks=pytest.mark.measured) if each == "cost" else each for each in COUNTS]
)
def test_nothing_is_found_in_a_short_run(target: str) -> None:
    outcome = fuzz(target, COUNTS[target], seed=1)
    found = [f"{each.kind}: {each.words}\n{each.data!r}" for each in outcome.findings.values()]
    assert not found, "\n".join(found)
    assert outcome.tried == COUNTS[target]


def test_a_finding_is_made_smaller() -> None:
    def fails_on_an_x(data: bytes) -> None:
        framer(data)
        assert b"x" not in data

    try:
        fails_on_an_x(b"x")
    except AssertionError as error:
        from .loop import kind_of

        kind = kind_of(error)
    assert shrunk(fails_on_an_x, b"\0one\0two x\0three" * 20, kind) == b"x"
