import pytest

from heater import make_driver
from indipydriver.testing import DriverHarness, driver_test


@pytest.mark.parametrize("warmer", [1, 4, 10])
@driver_test
async def test_it_reaches(warmer):
    async with DriverHarness(make_driver()) as harness:
        await harness.set_number("Dew Heater", "TARGET", WARMER=warmer)
        await harness.wait_for("Dew Heater", "TARGET", state="Ok", timeout=120)
