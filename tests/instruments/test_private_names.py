"""A private attribute that an author and the package both use breaks one of them, so it is logged."""

import logging

import pytest

from indipydriver.instruments import Focuser, InstrumentDriver, Mount, Number, PropertyDevice, Rotator
from indipydriver.testing import DriverHarness, driver_test
from tests.instruments.sessions import Session


def warnings(caplog):
    return [record.getMessage() for record in caplog.records if "needs by this name" in record.getMessage()]


class Tube(Focuser):
    async def move_to(self, position): ...


def test_what_is_assigned_in_the_constructor_is_told_once(caplog):
    class Mine(Tube):
        def __init__(self, name=None):
            super().__init__(name)
            self._due = 5.0
            self._my_own = 1

    Mine("A")
    Mine("B")
    assert warnings(caplog) == ["Mine._due replaces what every such device needs by this name: choose another"]
    assert caplog.records[0].levelno == logging.WARNING


def test_what_is_assigned_before_the_constructor_of_the_class_is_told(caplog):
    class Mine(Tube):
        def __init__(self):
            self._loops = "two"
            super().__init__()

    Mine()
    assert [text.split()[0] for text in warnings(caplog)] == ["Mine._loops"]


def test_what_the_class_has_is_told(caplog):
    class Mine(Rotator):
        _away = 4.0

        def _vectors(self): ...

        async def turn_to(self, angle): ...

    assert warnings(caplog) == []
    Mine()
    assert [text.split()[0] for text in warnings(caplog)] == ["Mine._away", "Mine._vectors"]


@driver_test
async def test_what_is_assigned_while_it_runs_is_told(caplog):
    class Mine(Mount):
        async def connect(self):
            self._is_parked = "no"
            setattr(self, "_follows", 3)  # noqa: B010  # as by somebody who makes names

    async with Session(Mine()) as client:
        await client.connect()
    assert [text.split()[0] for text in warnings(caplog)] == ["Mine._is_parked", "Mine._follows"]


@driver_test
async def test_a_device_that_is_no_instrument_is_told_of_too(caplog):
    class Lamp(PropertyDevice):
        level = Number(1, writable=True)

        def __init__(self):
            super().__init__()
            self._operations = []

    Lamp()
    PropertyDevice("plain")
    assert [text.split()[0] for text in warnings(caplog)] == ["Lamp._operations"]


@pytest.mark.parametrize("overrides", [False, True])
@driver_test
async def test_names_that_only_the_author_uses_are_not_told(overrides, caplog):
    class Mixin:
        _shared = 3

        def _help(self):
            self._helped = True

    class Mine(Mixin, Tube):
        _x = 1

        def __init__(self, name=None):
            self._before = 1
            super().__init__(name)
            self._x, self._port, self.__hidden = 2, object(), 3
            self._help()

        async def connect(self):
            self._x, self._before = 3, 4

    class Further(Mine):
        if overrides:

            def __setattr__(self, name, value):
                super().__setattr__(name, value)

        _x = 5

    async with DriverHarness(InstrumentDriver(Further("A"), Mine("B"))) as client:
        for name in "AB":
            await client.set_switch(name, "CONNECTION", CONNECT="On")
            await client.wait_for(name, "CONNECTION", state="Ok")
            await client.set_number(name, "ABS_FOCUS_POSITION", FOCUS_ABSOLUTE_POSITION=5)
            await client.set_switch(name, "CONNECTION", DISCONNECT="On")
            await client.wait_for(name, "CONNECTION", state="Idle")
    assert warnings(caplog) == []
