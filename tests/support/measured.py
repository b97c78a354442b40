"""Thresholds of time, processor and memory: all of them can be loosened here at once.

A test with such a threshold has the mark ``measured``, so that it can be left out: ``-m "not measured"``.
What merely keeps a test from hanging is a timeout, and none of this.
"""

import os

__all__ = ["allowed"]

# How many times slower than usual this machine may be. The environment variable INDI_SLOW says it, else 1.0;
# with INDI_SLOW=3 a test fails at three times what it promises.
SCALE = float(os.environ.get("INDI_SLOW", "1.0"))


def allowed(threshold: float) -> float:
    """The most that a test may measure on this machine: the threshold, times INDI_SLOW."""
    return threshold * SCALE
