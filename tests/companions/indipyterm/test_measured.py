"""What the terminal client promises about time, with room for a busy machine."""

import asyncio
import sys

import pytest

pytest.importorskip("textual", reason="the terminal client needs the extra term")

from tests.support import allowed

pytestmark = [
    pytest.mark.measured,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads processor time from /proc"),
]


def test_the_first_picture_comes_soon():
    from .speed import first_picture

    found = min((asyncio.run(first_picture()) for _ in range(3)), key=lambda figures: figures["frame, s"])
    assert found["frame, s"] < allowed(1.2)


def test_keys_are_answered_quickly_with_five_thousand_members():
    from .speed import keys

    assert asyncio.run(keys())["key to screen, median ms"] < allowed(50)


def test_a_hundred_changes_of_five_thousand_members_are_drawn_without_a_stutter():
    from .speed import frames

    assert asyncio.run(frames())["frame, median ms"] < allowed(25)


def test_keys_are_answered_while_properties_of_a_large_device_come_and_go():
    from .speed import churn

    assert asyncio.run(churn(4.0))["key to screen, 200 properties come and go, ms"] < allowed(120)


def test_a_thousand_updates_a_second_take_a_part_of_a_core():
    from .speed import busy

    assert asyncio.run(busy(4.0))["1000 updates/s, %"] < allowed(35)


def test_an_idle_terminal_takes_next_to_nothing():
    from .speed import idle

    assert asyncio.run(idle(6.0, 5.0))["idle, %"] < allowed(1.5)
