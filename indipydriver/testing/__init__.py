"""For the tests of those who write drivers: a client without server, sockets or waiting.

::

    def test_goto():
        async def goto():
            async with DriverHarness(make_driver()) as harness:
                await harness.set_number("Mount", "EQUATORIAL_COORD", RA=5.5, DEC=20)
                await harness.wait_for("Mount", "EQUATORIAL_COORD", state="Ok", timeout=60)
                harness.assert_values("Mount", "EQUATORIAL_COORD", RA="5.5")

        run(goto)

Under :func:`run` the time is virtual: a minute of asyncio.sleep in hardware() takes no time, and the
test fails or passes in the same way on any machine.
"""

from .harness import DriverHarness, Property, driver_test, run
from .virtualtime import VirtualTimeLoop

__all__ = ["DriverHarness", "Property", "VirtualTimeLoop", "driver_test", "run"]
