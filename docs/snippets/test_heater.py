# what is needed
import pytest

from heater import make_driver
from indipydriver.testing import DriverHarness, run


# the first test
def test_it_defines_its_properties():
    async def session():
        async with DriverHarness(make_driver()) as harness:
            harness.assert_state("Dew Heater", "TARGET", "Ok")
            harness.assert_values("Dew Heater", "TARGET", WARMER="0")

    run(session)


# time
def test_it_warms_up():
    async def session():
        async with DriverHarness(make_driver()) as harness:
            await harness.set_number("Dew Heater", "TARGET", WARMER=4)
            harness.assert_state("Dew Heater", "TARGET", "Busy")
            await harness.wait_for("Dew Heater", "TARGET", state="Ok", timeout=60)
            glass = float(harness.property("Dew Heater", "TEMPERATURE").values["GLASS"])
            assert 13.5 <= glass <= 14.5

    run(session)


# refused values
def test_it_does_not_fry_the_glass():
    async def session():
        async with DriverHarness(make_driver()) as harness:
            await harness.set_number("Dew Heater", "TARGET", WARMER=80)
            harness.assert_state("Dew Heater", "TARGET", "Alert")
            harness.assert_values("Dew Heater", "TARGET", WARMER="0")
            assert "outside 0 to 10" in harness.texts[-1]

    run(session)


# a fault
def test_a_broken_thermometer_ends_the_driver_and_the_heating():
    class BrokenHeater:
        air, glass, on = 10.0, 9.0, False

        def pass_time(self, seconds):
            assert self.on
            raise OSError("the thermometer does not answer")

    driver = make_driver()
    driver.driverdata["heater"] = BrokenHeater()

    async def session():
        async with DriverHarness(driver) as harness:
            await harness.advance(2)

    with pytest.raises(ExceptionGroup) as caught:
        run(session)
    assert "does not answer" in str(caught.value.exceptions[0])
    assert not driver.driverdata["heater"].on


# the end
