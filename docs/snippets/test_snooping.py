from examples.snooping import make_roof
from indipydriver.protocol.messages import OneMember, SetVector
from indipydriver.protocol.tags import VectorKind
from indipydriver.testing import DriverHarness, driver_test


def rain(light):
    members = (OneMember("RAIN", light),)
    return SetVector(VectorKind.LIGHT, "Rain Sensor", "WEATHER_STATUS", members)


@driver_test
async def test_rain_closes_the_roof():
    async with DriverHarness(make_roof()) as harness:
        await harness.send(rain("Ok"))
        await harness.set_switch("Roof", "DOME_SHUTTER", SHUTTER_OPEN="On")
        await harness.wait_for("Roof", "DOME_SHUTTER", state="Ok", timeout=60)
        await harness.send(rain("Alert"))
        harness.assert_values("Roof", "DOME_SHUTTER", SHUTTER_CLOSE="On")
        assert "Rain: closing the roof" in harness.texts


@driver_test
async def test_silence_closes_the_roof():
    async with DriverHarness(make_roof()) as harness:
        await harness.send(rain("Ok"))
        await harness.set_switch("Roof", "DOME_SHUTTER", SHUTTER_OPEN="On")
        await harness.advance(60)
        harness.assert_values("Roof", "ROOF_POSITION", OPEN="100")
        await harness.advance(60)
        harness.assert_values("Roof", "ROOF_POSITION", OPEN="0")
        assert "The rain sensor is silent: closing the roof" in harness.texts
