"""What Ekos is to know beforehand: a profile, an optical train, the sequences of images."""

import json
import re
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .desk import Desk
from .subjects import KINDS, Served, drivers_xml

NAME = "Simulated"
_NUMBER = 2  # KStars makes the first profile itself
_MODULES = 8  # that keep the optical train they use
_TEXT = re.compile(r"'((?:[^']|'')*)'")  # in a header
_TELESCOPE = "Sample Primary 700@F/5.8"


def write_drivers(desk: Desk, served: Served) -> None:
    (desk.drivers / "simulated.xml").write_text(drivers_xml(served))


def write_profile(desk: Desk, served: Served, port: int, manager: int) -> None:
    """A profile of a remote observatory which connects nothing by itself; the drivers run, or a web manager starts them."""
    devices = served.devices
    with sqlite3.connect(desk.home / ".local/share/kstars/userdb.sqlite", timeout=10) as database:
        database.execute(
            "INSERT INTO profile (id, name, host, port, indiwebmanagerport, autoconnect, guidertype, portselector)"
            " VALUES (?, ?, ?, ?, ?, 0, 0, 0)",
            (_NUMBER, NAME, "127.0.0.1", port, manager or None),
        )
        roles = {device: KINDS[kind].role for kind, device in reversed(devices.items()) if KINDS[kind].role}
        for device, role in roles.items():
            database.execute("INSERT INTO driver (label, role, profile) VALUES (?, ?, ?)", (device, role, _NUMBER))
        fields = {"mount": "mount", "dustcap": "cap", "lightbox": "light", "rotator": "rotator", "focuser": "focuser"}
        fields |= {"filterwheel": "wheel", "camera": "camera", "guider": "mount"}
        train = {"profile": _NUMBER, "name": "Primary", "scope": _TELESCOPE, "reducer": 1.0}
        train |= {field: devices.get(kind, "--") for field, kind in fields.items()}
        names = ", ".join(train)
        database.execute(
            f"INSERT INTO opticaltrains ({names}) VALUES ({', '.join('?' * len(train))})", [*train.values()]
        )
        used = json.dumps({str(module): 1 for module in range(_MODULES)})
        database.execute("INSERT INTO profilesettings (profile, settings) VALUES (?, ?)", (_NUMBER, used.encode()))
    database.close()


@dataclass(frozen=True)
class Job:
    """Some images of a sequence."""

    count: int = 1
    seconds: float = 1.0
    filter: str = ""
    binning: int = 1
    frame: tuple[int, int, int, int] = (0, 0, 1280, 1024)
    frame_type: str = "Light"
    temperature: float | None = None
    rotation: float | None = None
    gain: float | None = None

    def xml(self, folder: Path) -> str:
        x, y, width, height = self.frame
        lines = [
            f"<Exposure>{self.seconds:g}</Exposure><Format>Mono</Format><Encoding>FITS</Encoding>",
            f"<Binning><X>{self.binning}</X><Y>{self.binning}</Y></Binning>",
            f"<Frame><X>{x}</X><Y>{y}</Y><W>{width}</W><H>{height}</H></Frame>",
        ]
        if self.temperature is not None:
            lines.append(f"<Temperature force='true'>{self.temperature:g}</Temperature>")
        if self.filter:
            lines.append(f"<Filter>{self.filter}</Filter>")
        lines.append(f"<Type>{self.frame_type}</Type><Count>{self.count}</Count><Delay>0</Delay>")
        if self.rotation is not None:
            lines.append(f"<Rotation>{self.rotation:g}</Rotation>")
        lines += [
            f"<FITSDirectory>{folder}</FITSDirectory><PlaceholderFormat>/%T/%F/%T_%F_%e</PlaceholderFormat>",
            "<PlaceholderSuffix>3</PlaceholderSuffix><UploadMode>0</UploadMode>",
            f"<Properties>{self._gain()}</Properties>",
            "<Calibration><FlatSource><Type>Manual</Type></FlatSource><FlatDuration><Type>Manual</Type></FlatDuration>",
            "<PreMountPark>False</PreMountPark><PreDomePark>False</PreDomePark></Calibration>",
        ]
        return "<Job>" + "\n".join(lines) + "</Job>"

    def _gain(self) -> str:
        if self.gain is None:
            return ""
        member = f"<OneElement name='GAIN'>{self.gain:g}</OneElement>"
        return f"<PropertyVector name='CCD_GAIN'>{member}</PropertyVector>"


def sequence(folder: Path, observer: str, jobs: Iterable[Job]) -> str:
    """A file of a sequence as Ekos saves it."""
    head = [
        f"<?xml version='1.0' encoding='UTF-8'?>\n<SequenceQueue version='2.5'><Observer>{observer}</Observer>",
        "<GuideDeviation enabled='false'>2</GuideDeviation><GuideStartDeviation enabled='false'>2</GuideStartDeviation>",
        "<Autofocus enabled='false'>0</Autofocus>",
        "<RefocusOnTemperatureDelta enabled='false'>1</RefocusOnTemperatureDelta>",
        "<RefocusEveryN enabled='false'>60</RefocusEveryN><RefocusOnMeridianFlip enabled='false'/>",
    ]
    return "\n".join([*head, *(job.xml(folder) for job in jobs), "</SequenceQueue>", ""])


def headers(file: Path) -> dict[str, str]:
    """The header of a FITS file; texts without their quotes."""
    found = {}
    with file.open("rb") as data:
        while (card := data.read(80).decode("latin-1")) and not card.startswith("END "):
            if card[8:10] == "= ":
                value = card[10:].strip()
                text = _TEXT.match(value)
                value = text[1].replace("''", "'") if text else value.partition("/")[0]
                found[card[:8].strip()] = value.strip()
    return found
