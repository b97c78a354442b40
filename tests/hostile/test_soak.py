"""Half a minute of the soak, see tests/soak; the long one is a command of its own."""

import pytest

from tests.soak.night import Night
from tests.support import asynchronous


@pytest.mark.measured
@pytest.mark.timeout(180)
@asynchronous
async def test_half_a_minute_of_a_rough_night():
    report = await Night(30, seed=4).run()
    assert not report.wrong, report.text()
    assert report.certain > 500
    assert sum(report.faults.values()) > 20
