"""Slips of those who write a driver: one sentence that says what was meant."""

import functools
import logging
from collections import UserDict

import pytest

import indipydriver as ipd
import indipydriver.instruments.simulators as simulators
from indipydriver.instruments import Focuser, InstrumentDriver, Mount
from indipydriver.runtime import slips
from indipydriver.testing import DriverHarness, driver_test


def light(perm="rw"):
    return ipd.SwitchVector("LIGHT", "Light", "Main", perm, "AnyOfMany", "Ok", [ipd.SwitchMember("LAMP")])


class Deaf(ipd.IPyDriver):
    pass


class Misspelt(ipd.IPyDriver):
    async def rxEvent(self, event):
        pass


class Plain(ipd.IPyDriver):
    def rxevent(self, event):
        pass


class PlainDevice(ipd.Device):
    def devrxevent(self, event):
        pass

    def devhardware(self):
        return None


class Right(ipd.IPyDriver):
    async def rxevent(self, event):
        pass


@pytest.mark.parametrize(
    ("kind", "perm", "texts"),
    [
        (Deaf, "rw", ["clients may set LED.LIGHT, but Deaf has no rxevent, so their commands are not answered"]),
        (Deaf, "ro", []),
        (Misspelt, "ro", ["Misspelt.rxEvent is never called: the name of the handler is rxevent"]),
        (Plain, "rw", ["Plain.rxevent must be a coroutine: write async def rxevent"]),
        (Right, "rw", []),
    ],
)
def test_what_would_go_unnoticed_is_logged_at_the_start(kind, perm, texts, caplog):
    @driver_test
    async def session():
        async with DriverHarness(kind(ipd.Device("LED", [light(perm)]))):
            pass

    with caplog.at_level(logging.WARNING, "indipydriver.ipydriver"):
        session()
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == len(texts)
    assert all(text in each for text, each in zip(texts, said, strict=True))


@pytest.mark.parametrize("parts", [[{"name": "mirror"}], property(lambda self: 1 / 0)], ids=["a list", "a property"])
def test_a_device_may_have_parts_of_its_authors_own(parts, caplog):
    """The driver did not start."""

    class Rig(ipd.Device):
        pass

    Rig.parts = parts

    @driver_test
    async def session():
        async with DriverHarness(Right(Rig("Rig", []))):
            pass

    with caplog.at_level(logging.WARNING, "indipydriver.ipydriver"):
        session()
    assert not caplog.records


def test_a_method_of_a_device_that_must_be_a_coroutine_is_named(caplog):
    class Ports(ipd.Device):
        parts = property(lambda self: ())  # it has nothing to do with an instrument's

    @driver_test
    async def session():
        async with DriverHarness(Right(PlainDevice("One", []), PlainDevice("Two", []), Ports("Three", []))):
            pass

    with caplog.at_level(logging.WARNING, "indipydriver.ipydriver"):
        session()
    said = [record.getMessage().partition(" (")[0] for record in caplog.records]
    assert said == [
        f"PlainDevice.{name} must be a coroutine: write async def {name}" for name in ("devhardware", "devrxevent")
    ]


@pytest.mark.parametrize(("count", "says"), [(1, "set LED.V0, "), (2, "set LED.V0 and 1 more, ")])
def test_vectors_that_nobody_answers_for_are_counted(count, says, caplog):
    @driver_test
    async def session():
        vectors = [ipd.TextVector(f"V{n}", "", "", "rw", "Ok", [ipd.TextMember("t")]) for n in range(count)]
        async with DriverHarness(Deaf(ipd.Device("LED", vectors))):
            pass

    with caplog.at_level(logging.WARNING, "indipydriver.ipydriver"):
        session()
    (record,) = caplog.records
    assert says in record.getMessage()


def test_a_list_is_meant():
    with pytest.raises(TypeError, match=r"the vectors of 'LED' must be in a list: \[LIGHT\]"):
        ipd.Device("LED", light())
    with pytest.raises(TypeError, match="must be property vectors, not SwitchMember"):
        ipd.Device("LED", [ipd.SwitchMember("LAMP")])
    with pytest.raises(TypeError, match=r"the members of 'LIGHT' must be in a list: \[LAMP\]"):
        ipd.SwitchVector("LIGHT", "Light", "Main", "rw", "AnyOfMany", "Ok", ipd.SwitchMember("LAMP"))


class Busy(ipd.IPyDriver):
    expect_run = False

    def serve(self, table):
        """Of tennis."""

    def run(self):
        """Only its author calls it."""


class BusyAgain(Busy):
    def _shutdown_on_signals(self):
        """Nor this."""


class Extended(ipd.IPyDriver):
    shutdown_grace = 2

    def shutdown(self):
        super().shutdown()

    async def serve(self, link, *, shutdown_grace=None):
        await super().serve(link, shutdown_grace=shutdown_grace)


class ExtendedByName(ipd.IPyDriver):
    def expect_run(self):
        ipd.IPyDriver.expect_run(self)


def logged(method):
    @functools.wraps(method)
    async def call(*args, **kwargs):
        return await method(*args, **kwargs)

    return call


class ExtendedWithADecorator(ipd.IPyDriver):
    shutdown_grace = property(lambda self: 2)

    @logged
    async def serve(self, link, *, shutdown_grace=None):
        await super().serve(link, shutdown_grace=shutdown_grace)


class ExtendedTwice(ExtendedByName):
    def expect_run(self):
        ExtendedByName.expect_run(self)


class Outlets(ipd.Device):
    parts = ()
    set_stop_flag = True

    def __init__(self, name):
        super().__init__(name, [])
        self._outlet = 3


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (Busy, ["Busy.expect_run", "Busy.serve"]),
        (BusyAgain, ["Busy.expect_run", "Busy.serve", "BusyAgain._shutdown_on_signals"]),
        (Extended, []),
        (ExtendedByName, []),
        (ExtendedWithADecorator, []),
        (ExtendedTwice, []),
        (lambda: Right(Outlets("A"), Outlets("B")), ["Outlets._outlet", "Outlets.set_stop_flag"]),
        (simulators.make_observatory, []),
    ],
)
def test_a_name_that_is_needed_is_warned_of_when_the_driver_is_created(make, names, caplog):
    with caplog.at_level(logging.WARNING, "indipydriver.ipydriver"):
        make()
    said = [record.getMessage() for record in caplog.records]
    assert sorted(text.partition(" replaces what ")[0] for text in said) == names
    assert all(text.endswith(" needs by this name: choose another") for text in said)


def test_the_public_names_that_are_not_free_are_these():
    """Those of the base classes that the packages of PyPI do not have, `run` aside, which nothing of ours calls."""
    names = {name for kind in (ipd.IPyDriver, ipd.Device) for each in kind.__mro__[:2] for name in vars(each)}
    names = {name for name in names if not name.startswith("_")} - set(dir(UserDict))
    assert names - slips._FREE == {
        *("serve", "expect_run", "expect_no_run", "shutdown_grace"),
        *("join_driver", "set_stop_flag", "take_backgrounds"),
    }


def test_the_names_that_there_are_are_shown():
    driver = Right(ipd.Device("LED", [light()]))
    with pytest.raises(KeyError, match="'X' is not among the devices of a driver: LED"):
        driver["X"]
    with pytest.raises(KeyError, match="'X' is not among the vectors of 'LED': LIGHT"):
        driver["LED"]["X"]
    with pytest.raises(KeyError, match="the vector 'LIGHT' has no member 'X'; it has LAMP"):
        driver["LED"]["LIGHT"]["X"]
    assert driver.get("X") is None
    assert driver["LED"].get("X") is None


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (ipd.NumberMember("X", format="%d"), "LED.N.X: clients show a number of C's type double, so use %.0f, not %d"),
        (ipd.NumberMember("X", min=10, max=0), "LED.N.X: min 10 is above max 0, so any number is accepted"),
    ],
)
def test_odd_numbers_are_logged_at_the_start(number, says, caplog):
    @driver_test
    async def session():
        vector = ipd.NumberVector("N", "N", "Main", "ro", "Ok", [number])
        async with DriverHarness(Right(ipd.Device("LED", [vector]))):
            pass

    with caplog.at_level(logging.WARNING, "indipydriver.ipydriver"):
        session()
    assert [record.getMessage() for record in caplog.records] == [says]


class NearlyFocuser(Focuser):
    async def move_to(self, position):
        await self.set_reversed(True)

    async def set_reversed(self, on):
        """The author calls it."""

    async def read_temprature(self):
        return 20.0

    async def wobble(self):
        """Nothing has a name like this."""


class NearlyMount(Mount):
    parts = (NearlyFocuser,)

    async def slew_to(self, ra, dec):
        pass

    async def set_tracking(self, on):
        pass

    async def set_trackin(self, on):
        """The right one is there."""


def test_a_method_of_an_instrument_that_is_nearly_named_right():
    texts = slips.slips(InstrumentDriver(NearlyMount()), ipd.IPyDriver)
    assert texts == ["NearlyFocuser.read_temprature is never called: is read_temperature meant?"]
