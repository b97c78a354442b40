"""What a peer may do, alone: which devices there are for it, and how that is told."""

import pytest

from indipyserver.routing import rights
from indipyserver.routing.rights import DeviceFilter, Rights


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (Rights(), "all rights"),
        (Rights(read_only=True), "read only"),
        (Rights(devices=("Mount*", "Dome")), "devices Mount*, Dome"),
        (Rights(True, ("Dome",)), "read only; devices Dome"),
    ],
)
def test_rights_are_told_in_words(given: Rights, text: str) -> None:
    assert str(given) == text
    assert given.limited is (given != Rights())


def test_a_device_is_judged_by_its_name_however_many_were_judged_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rights, "_REMEMBERED", 10)
    there = DeviceFilter(("Mount*", "[[]x]"))
    for _ in range(2):
        for n in range(25):
            assert there(f"Mount {n}")
            assert not there(f"Camera {n}")
    assert there("[x]")
    assert not there("mount")
    assert len(there._known) <= 10


def test_devices_are_given_as_one_pattern_several_or_none() -> None:
    assert Rights.of(True, None) == Rights(True)
    assert Rights.of(False, "Mount*") == Rights(devices=("Mount*",))
    assert Rights.of(False, ["Mount*", "Dome"]) == Rights(devices=("Mount*", "Dome"))
    for wrong in ([], "", ["Mount*", ""]):
        with pytest.raises(ValueError, match="None stands for all devices"):
            Rights.of(False, wrong)
