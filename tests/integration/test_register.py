"""Python drivers in the lists of KStars and INDI Web Manager: the entry, the program that it names, and its removal."""

import os
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest

from indipyserver.cli.main import main
from indipyserver.cli.register import Places, register, unregister
from indipyserver.spec import parse_spec
from tests.support import ROOT

FOCUSER = """
import os
from indipydriver.instruments import Focuser, InstrumentDriver

class NiceFocuser(Focuser):
    version = "2.5"

    async def move_to(self, position):
        pass

def make_driver():
    return InstrumentDriver(NiceFocuser())

def make_two():
    return InstrumentDriver(NiceFocuser("One"), NiceFocuser("Two"))

def make_drivers():
    return [make_driver(), make_driver()]
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("INDIDEV", raising=False)
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def driver(tmp_path):
    file = tmp_path / "it's nice.py"
    file.write_text(FOCUSER)
    return file


@pytest.fixture
def places(tmp_path):
    system = tmp_path / "system"
    system.mkdir()
    (system / "drivers.xml").write_text(
        '<driversList><devGroup group="CCDs"><device label="Theirs"/></devGroup></driversList>'
    )
    (system / "indi_other.xml").write_text("<driversList/>")
    return Places(tmp_path / "home/.local/share/indi", tmp_path / "home/.local/bin", system)


def spec(driver, name="make_driver"):
    return parse_spec(f"{driver}:{name}")


def everything(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def ask(program, **environment):
    """What a driver program answers to getProperties."""
    asked = subprocess.run(
        [program],
        input='<getProperties version="1.7"/>\n',
        capture_output=True,
        text=True,
        timeout=30,
        env={**os.environ, **environment},
        cwd="/",
        check=True,
    )
    root = ET.fromstring(f"<all>{asked.stdout}</all>")
    info = next(one for one in root if one.get("name") == "DRIVER_INFO")
    return {one.get("device") for one in root}, {one.get("name"): one.text.strip() for one in info}


def test_an_entry_names_a_program_that_starts_the_driver_with_this_python(home, driver, places):
    (one,) = register(spec(driver), places)
    device = ET.parse(one.list).getroot().find("devGroup/device")
    assert one.list.name == "indi_nice_focuser.xml"
    assert ET.parse(one.list).getroot().find("devGroup").get("group") == "Focusers"
    assert (device.get("label"), device.find("driver").get("name"), device.find("version").text) == (
        *("Nice Focuser", "Nice Focuser"),
        "2.5",
    )
    assert device.find("driver").text == one.program.name
    assert sys.executable in one.program.read_text()
    devices, info = ask(one.program)
    assert devices == {"Nice Focuser"}
    assert info["DRIVER_NAME"] == "Nice Focuser"
    devices, info = ask(one.program, INDIDEV="As the server says")
    assert devices == {"As the server says"}
    assert info["DRIVER_NAME"] == "Nice Focuser"


@pytest.mark.parametrize("word", ["its/driver.py:make_driver", "its.driver:make_driver"])
def test_a_driver_that_goes_to_its_own_folder_is_found(home, places, tmp_path, monkeypatch, word):
    """Its path was taken to count from there, and a module was looked for there."""
    (tmp_path / "its").mkdir()
    (tmp_path / "its/driver.py").write_text(FOCUSER + "os.chdir(os.path.dirname(os.path.abspath(__file__)))\n")
    monkeypatch.chdir(tmp_path)
    (one,) = register(parse_spec(word), places)
    assert ask(one.program)[0] == {"Nice Focuser"}


def test_a_driver_is_registered_from_a_folder_that_only_somebody_else_may_enter(home, driver, places, monkeypatch):
    """As with `sudo -u somebody` in one's own home: who is there may stay, but could not go there."""

    def refuse(path):
        raise PermissionError(path)

    monkeypatch.setattr(os, "chdir", refuse)
    (one,) = register(spec(driver), places)
    assert ask(one.program)[0] == {"Nice Focuser"}


def test_a_program_that_a_checkout_has_made_starts_the_driver(home, driver, places, monkeypatch):
    """It could not import this package, as nothing is installed."""
    monkeypatch.delenv("PYTHONPATH")
    (one,) = register(spec(driver), places)
    made = one.program.read_text()
    one.program.write_text(made.replace(" -P ", " -S -P "))  # here something may be installed
    assert ask(one.program)[0] == {"Nice Focuser"}


def test_several_instruments_of_one_file(home, driver, places):
    made = register(spec(driver), places, ["Left's", 'Right "2"'])
    for one, label in zip(made, ("Left's", 'Right "2"'), strict=True):
        devices, info = ask(one.program)
        assert (devices, info["DRIVER_NAME"]) == ({label}, label)
    with pytest.raises(ValueError, match="differ only in characters"):
        register(spec(driver), places, ["A-B", "A B"])
    before = made[0].list.read_bytes(), made[0].program.read_bytes()
    with pytest.raises(ValueError, match=r"""'left-s' and "Left's" would have the same program"""):
        register(spec(driver), places, ["left-s"])
    assert (made[0].list.read_bytes(), made[0].program.read_bytes()) == before
    assert register(spec(driver), places, ["Left's"]) == made[:1]


@pytest.mark.parametrize("label", ["Sky Meter", "My Skywatcher SK", "Task"])
def test_no_list_looks_like_a_skeleton(home, driver, places, label):
    (one,) = register(spec(driver), places, [label])
    assert "_sk" not in one.list.name, "INDI Web Manager skips it"
    assert one.program.exists()
    assert unregister(label, places) == one
    assert not one.program.exists()


@pytest.mark.parametrize("label", ["A } B", "$HOME", "`id`", "C:\\x", '"', "-n A", "A  B"])
def test_an_odd_name_is_that_of_the_device(home, driver, places, label):
    label = f"{label} 1"
    (one,) = register(spec(driver), places, [label])
    devices, info = ask(one.program)
    assert (devices, info["DRIVER_NAME"]) == ({label}, label)


def test_a_driver_of_several_devices_keeps_their_names(home, driver, places):
    (one,) = register(spec(driver, "make_two"), places)
    assert 'mdpd="true"' in one.list.read_text()
    assert ask(one.program, INDIDEV="One and all")[0] == {"One", "Two"}
    with pytest.raises(ValueError, match="cannot be registered twice"):
        register(spec(driver, "make_two"), places, ["A", "B"])
    with pytest.raises(ValueError, match="makes 2 drivers"):
        register(spec(driver, "make_drivers"), places)


def test_it_is_removed_without_a_trace(home, driver, places):
    before = everything(home)
    register(spec(driver), places, ["A", "B"])
    assert "drivers.xml" in os.listdir(places.lists), "KStars looks into one folder only"
    unregister("A", places)
    assert {"indi_b.xml", "drivers.xml", "indi_other.xml"} <= set(os.listdir(places.lists))
    with pytest.raises(ValueError, match=r"'A' is not registered in .*, but 'B'$"):
        unregister("A", places)
    unregister("B", places)
    with pytest.raises(ValueError, match=r"'B' is not registered in .*, nor is anything else$"):
        unregister("B", places)
    assert everything(home) == [*before, ".local", ".local/share"]
    assert not places.programs.exists()
    assert not places.lists.exists()


def test_it_is_removed_though_the_folder_of_its_program_has_gone(home, driver, places):
    (one,) = register(spec(driver), places)
    one.program.unlink()
    places.programs.rmdir()
    unregister(one.label, places)
    assert not places.lists.exists()


def test_nothing_of_others_is_touched(home, driver, places):
    places.programs.mkdir(parents=True)
    (places.programs / "indi_nice_focuser").write_text("#!/bin/sh\n")
    with pytest.raises(ValueError, match="was not made by this program"):
        register(spec(driver), places)
    with pytest.raises(ValueError, match=r"'Theirs' is already in .*drivers\.xml"):
        register(spec(driver), places, ["Theirs"])
    (places.system / "broken.xml").write_bytes(b'<?xml version="1.0" encoding="nowhere"?><a')
    (one,) = register(spec(driver), places, ["Mine"])
    (again,) = register(spec(driver), places, ["Mine"], "Auxiliary")
    assert one == again
    assert 'group="Auxiliary"' in again.list.read_text()
    for label in ("", "a/b", "x" * 64, "Größe", "***"):
        with pytest.raises(ValueError, match=r"cannot be the name|no letter"):
            register(spec(driver), places, [label])
    unregister("Mine", places)
    assert os.listdir(places.programs) == ["indi_nice_focuser"]


def test_lists_that_the_user_has_put_there_stay(home, driver, places, tmp_path):
    places.lists.mkdir(parents=True)
    own, elsewhere = places.lists / "drivers.xml", tmp_path / "elsewhere.xml"
    own.write_text("<driversList><!-- mine --></driversList>")
    elsewhere.write_text("<driversList><!-- elsewhere --></driversList>")
    (places.lists / "indi_other.xml").symlink_to(elsewhere)
    for _ in range(2):
        register(spec(driver), places, ["Mine"])
        assert "mine" in own.read_text()
        assert "elsewhere" in elsewhere.read_text()
    unregister("Mine", places)
    assert own.exists()
    assert (places.lists / "indi_other.xml").is_symlink()


def test_copies_follow_the_lists_of_the_system(home, driver, places):
    register(spec(driver), places, ["Mine"])
    (places.system / "indi_other.xml").write_text("<driversList><!-- newer --></driversList>")
    register(spec(driver), places, ["Mine"])
    assert "newer" in (places.lists / "indi_other.xml").read_text()


def test_the_command(home, driver, capsys):
    assert main(["--register", f"{driver}:make_driver", "--label", "My Own Focuser"]) == 0
    told = capsys.readouterr().out
    assert "INDI drivers XML directory" in told
    assert "not on PATH" in told
    assert told.endswith("to remove it:  indipyserver --unregister 'My Own Focuser'\n")
    assert main(["--unregister", "My Own Focuser"]) == 0
    assert main(["--unregister", "My Own Focuser"]) == 2
    assert "not registered" in capsys.readouterr().err
    assert main(["--register", f"{driver}:make_driver", "--label", "East", "--label", "West"]) == 0
    told = capsys.readouterr().out
    for label in ("East", "West"):
        assert f"to remove it:  indipyserver --unregister {label}\n" in told
        assert main(["--unregister", label]) == 0
    assert main(["--register", "indi_simulator_ccd"]) == 2
    assert main(["--register", f"{driver}:nothing"]) == 2
    for wrong in (["--label", "A"], ["--system"], ["--register", "a.py:b", "--demo"], ["--unregister", "A", "b.py:c"]):
        assert main(wrong) == 2
