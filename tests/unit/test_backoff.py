"""Pauses between tries."""

import pytest

from indipyserver.sources.backoff import Backoff


def test_pauses_grow_to_the_longest():
    backoff = Backoff(0.5, 30.0)
    assert [backoff.next(0.0) for _ in range(9)] == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert backoff.tries == 9
    assert all(backoff.next(0.0) == 30.0 for _ in range(2000))


def test_a_healthy_life_starts_the_count_again():
    backoff = Backoff(0.5, 30.0, 60.0)
    assert [backoff.next(lived) for lived in (0, 59.9, 60.0, 0)] == [0.5, 1, 0.5, 1]
    assert backoff.tries == 2


def test_a_fresh_one_has_the_same_times_and_no_failures():
    backoff = Backoff(0.25, 1.0, 5.0)
    assert [backoff.next(0.0) for _ in range(3)] == [0.25, 0.5, 1.0]
    fresh = backoff.fresh()
    assert [fresh.next(lived) for lived in (0, 0, 5.0)] == [0.25, 0.5, 0.25]
    assert backoff.tries == 3


@pytest.mark.parametrize(
    ("times", "error", "says"),
    [
        ((-1,), ValueError, "first must be a finite number of seconds, 0 or more"),
        ((float("inf"),), ValueError, "first"),
        (("1",), TypeError, "first must be a number of seconds, not str"),
        ((True,), TypeError, "first"),
        ((1, -1), ValueError, "longest"),
        ((1, float("nan")), ValueError, "longest"),
        ((1, 2, None), TypeError, "healthy"),
    ],
)
def test_times_that_are_none_are_refused(times, error, says):
    with pytest.raises(error, match=says):
        Backoff(*times)


def test_a_wait_may_have_no_upper_bound_and_no_run_be_healthy():
    backoff = Backoff(1, float("inf"), float("inf"))
    assert [backoff.next(1e9) for _ in range(3)] == [1, 2, 4]
