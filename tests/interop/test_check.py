"""``indipyserver --check`` over real drivers: the simulators of indilib, in C++.

Their known deviations are warnings or notes, never errors; some of what is found here are faults of libindi 1.9.9.
"""

import asyncio
import shutil

import pytest

from indipyserver.check import Severity, check
from tests.support import ROOT, asynchronous, free_port, require, serving

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]

SIMULATORS = "ccd dome focus gps guide lightpanel receiver rotator sqm telescope weather wheel".split()


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """The reports on all simulators, by name; a few are made side by side, as they mostly wait."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))  # libindi keeps its settings there

        async def all_of_them():
            few = asyncio.Semaphore(4)

            async def one(name):
                async with few:
                    return name, await check(f"indi_simulator_{name}")

            found = [name for name in SIMULATORS if shutil.which(f"indi_simulator_{name}")]
            return dict(await asyncio.gather(*(one(name) for name in found)))

        return asyncio.run(all_of_them())


@pytest.mark.parametrize("name", SIMULATORS)
def test_a_simulator_has_no_error(name, reports):
    require(f"indi_simulator_{name}")
    report = reports[name]
    assert report.of(Severity.ERROR) == []
    assert report.connected
    assert report.commands >= report.answered > 1
    assert "xml-declaration" in {finding.code for finding in report.findings}


@pytest.mark.parametrize(
    ("name", "code", "where"),
    [
        ("focus", "rule-at-start", "Focuser Simulator.Goto"),
        ("focus", "answered-by-message", "Focuser Simulator.POLLING_PERIOD"),
        ("telescope", "switch-write-only", "Telescope Simulator.MOUNT_TYPE"),
        ("telescope", "range-not-enforced", "Telescope Simulator.GEOGRAPHIC_COORD.LAT"),
        ("gps", "get-foreign", "GPS Simulator"),
        ("receiver", "name-empty", ""),
        ("weather", "get-name-unanswered", "Weather Simulator.WEATHER_STATUS"),
        ("guide", "range-not-enforced", "Guide Simulator.CCD_BINNING.HOR_BIN"),
        ("guide", "dies-of-unknown-member", ""),
    ],
)
def test_what_is_known_of_libindi_is_found(name, code, where, reports):
    require(f"indi_simulator_{name}")
    assert (code, where) in [(finding.code, finding.where) for finding in reports[name].findings]


@asynchronous
async def test_an_exposure_of_a_camera(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    report = await check(require("indi_simulator_guide"), act=True)
    assert report.of(Severity.ERROR) == []
    assert (("Guide Simulator", "CCD1"), 2626560) in report.blobs


@asynchronous
async def test_a_driver_behind_indiserver(tmp_path):
    port = free_port()
    require("indi_simulator_wheel")
    options = {"HOME": str(tmp_path)}
    async with serving(
        require("indiserver"), "-p", str(port), "-u", str(tmp_path / "s"), "indi_simulator_wheel",
        port=port, cwd=ROOT, **options,
    ):  # fmt: skip
        report = await check(f"Filter Simulator@127.0.0.1:{port}")
    assert report.of(Severity.ERROR) == []
    assert report.devices == {"Filter Simulator": 7}
