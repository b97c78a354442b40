"""Saved settings: the XML file that libindi's drivers keep for each device."""

from __future__ import annotations

import contextlib
import io
import os
import secrets
import stat
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Final
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape, quoteattr

from ..propertymembers import NumberMember
from ..propertyvectors import NumberVector, PropertyVector, SwitchVector, TextVector
from ..protocol.tags import Permission, SwitchRule
from ..protocol.values import clean_text, getfloat

__all__ = [
    "LOADING",
    "DamagedFile",
    "Saved",
    "Settings",
    "SettingsError",
    "config_folder",
    "locked",
    "read_xml",
    "saved_now",
    "saved_values",
    "write_atomically",
]

LOADING: Final = ContextVar("LOADING", default=False)
"""True while values are restored from a file: these need not be saved, but what clients set meanwhile must be."""

_ROOT: Final = "INDIDriver"
_SAVED_KINDS: Final[dict[str, type[PropertyVector]]] = {
    "Switch": SwitchVector,
    "Number": NumberVector,
    "Text": TextVector,
}
_LARGEST_SETTINGS: Final = 1 << 24
_DEEPEST: Final = 20
_LOCK_TRIES, _LOCK_PAUSE = 500, 0.01  # attempts to get another driver's lock, and seconds between them
_lock: Final = Lock()  # one for all files: devices may share one, and each keeps the entries of the others


class DamagedFile(OSError):
    """The content of a file is not what was written."""


class SettingsError(OSError):
    """A file of settings cannot be read."""


@dataclass(frozen=True, slots=True)
class Saved:
    """One property in a file.

    Attributes:
        name: Its name.
        kind: The class of its vector.
        values: The text of each member, trimmed.
    """

    name: str
    kind: type[PropertyVector]
    values: Mapping[str, str]


def config_folder() -> Path:
    """The folder in which drivers save their data."""
    return Path.home() / ".indi"


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other threads and other drivers from changing the files in a folder. Blocks."""
    folder.mkdir(mode=0o775, parents=True, exist_ok=True)
    with _lock, contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError, ImportError):  # not every platform and file system can lock
            import fcntl

            descriptor = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, descriptor)
            for _ in range(_LOCK_TRIES):
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    time.sleep(_LOCK_PAUSE)
        yield


class Settings:
    """The saved settings of one device.

    Args:
        device: Its name.

    Attributes:
        path: The file: INDICONFIG if that is set, otherwise one in ``~/.indi``.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        configured = os.environ.get("INDICONFIG")
        name = f"{device.replace('/', '_')}_config.xml"
        self.path = Path(configured).expanduser() if configured else config_folder() / name

    @property
    def default_path(self) -> Path:
        """The first settings that were saved or loaded."""
        return self.path.with_name(self.path.name + ".default")

    def load(self, path: Path | None = None) -> list[Saved]:
        """What is saved for this device; blocks.

        Args:
            path: Another file.

        Raises:
            FileNotFoundError: There is no such file.
            SettingsError: It is not a file of settings, or cannot be read.
        """
        path = path or self.path
        root = _read(path)
        found = [_saved(element) for element in root if element.get("device") == self._device]
        with contextlib.suppress(OSError), _lock:
            if path == self.path and not self.default_path.exists():
                write_atomically(self.default_path, self.path.read_bytes())
        return [saved for saved in found if saved is not None]

    def save(self, elements: Mapping[str, str], kept: Collection[str] = (), unknown: Collection[str] = ()) -> None:
        """Write the settings of some properties; all other entries of the file stay as they are. Blocks.

        Args:
            elements: The element of each property, made by :meth:`element`.
            kept: Names of properties whose entries, if any, stay as they are.
            unknown: Names among them that only the file of the first settings needs, if it does not exist yet.

        Raises:
            OSError: The file cannot be written.
        """
        with locked(self.path.parent):
            texts: list[str] = []
            missing = dict(elements)
            try:
                root: Iterable[ET.Element] = _read(self.path)
            except FileNotFoundError:
                root = ()
            except SettingsError as error:
                if not isinstance(error.__cause__, DamagedFile):
                    raise  # it may be readable next time, so it stays as it is
                os.replace(self.path, self.path.with_name(self.path.name + ".unreadable"))
                root = ()
            for element in root:
                name = element.get("name", "")
                if element.get("device") != self._device or name not in elements:
                    texts.append(_text(element))
                elif name in kept:
                    texts.append(_text(element))
                    missing.pop(name, None)
                elif name in missing:
                    texts.append(missing.pop(name))
            known = [element for name, element in missing.items() if name not in unknown]
            write_atomically(self.path, _file([*texts, *known]))
            if not self.default_path.exists():
                write_atomically(self.default_path, _file([*texts, *missing.values()]))

    def purge(self) -> None:
        """Remove the file; entries of other devices stay. Blocks.

        Raises:
            OSError: The file cannot be removed, or written.
        """
        with locked(self.path.parent):
            others: list[str] = []
            try:
                others = [_text(element) for element in _read(self.path) if element.get("device") != self._device]
            except FileNotFoundError:
                return
            except SettingsError as error:
                if not isinstance(error.__cause__, DamagedFile):
                    raise  # it may have entries of other devices
            if others:
                write_atomically(self.path, _file(others))
            else:
                self.path.unlink(missing_ok=True)

    def element(self, vector: PropertyVector) -> str:
        """The element that saves a vector as it is now."""
        saved = saved_now(vector)
        kind = next(kind for kind, known in _SAVED_KINDS.items() if saved.kind is known)
        lines = [f"<new{kind}Vector device={quoteattr(self._device)} name={quoteattr(vector.name)}>"]
        for name, value in saved.values.items():
            lines.append(f"  <one{kind} name={quoteattr(name)}>\n      {escape(clean_text(value))}\n  </one{kind}>")
        return "\n".join([*lines, f"</new{kind}Vector>"])


def _file(elements: Iterable[str]) -> str:
    return "\n".join([f"<{_ROOT}>", *elements, f"</{_ROOT}>", ""])


def _text(element: ET.Element) -> str:
    return ET.tostring(element, encoding="unicode").strip()


def _read(path: Path) -> ET.Element:
    try:
        return read_xml(path)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error}") from error


def read_xml(path: Path) -> ET.Element:
    """The root of a file. Blocks.

    Raises:
        FileNotFoundError: There is no such file.
        DamagedFile: It is not a regular file, is too large, or is not XML of a few levels.
        OSError: It cannot be read now.
    """
    if path.exists() and not path.is_file():  # a FIFO would be read for ever
        raise DamagedFile("it is not a regular file")
    if path.stat().st_size > _LARGEST_SETTINGS:
        raise DamagedFile(f"it has more than {_LARGEST_SETTINGS} bytes")
    data = path.read_bytes()
    depth = 0
    try:
        for event, _ in ET.iterparse(io.BytesIO(data), ("start", "end")):
            depth += 1 if event == "start" else -1
            if depth > _DEEPEST:
                raise DamagedFile(f"it has more than {_DEEPEST} levels")
        return ET.fromstring(data)
    except (ET.ParseError, ValueError, LookupError) as error:
        raise DamagedFile(str(error)) from error


def _saved(element: ET.Element) -> Saved | None:
    kind = element.tag.removeprefix("new").removesuffix("Vector")
    name = element.get("name")
    if kind not in _SAVED_KINDS or not name:
        return None
    values = {child.get("name", ""): (child.text or "").strip() for child in element if child.tag == f"one{kind}"}
    return Saved(name, _SAVED_KINDS[kind], values)


def saved_now(vector: PropertyVector) -> Saved:
    """What would be saved of a vector now."""
    kind = next(known for known in _SAVED_KINDS.values() if isinstance(vector, known))
    values = {
        name: f"{member.getfloatvalue():.20g}" if isinstance(member, NumberMember) else member.membervalue
        for name, member in vector.data.items()
    }
    return Saved(vector.name, kind, values)


def saved_values(vector: PropertyVector, saved: Saved) -> dict[str, Any]:
    """The values that a file has for a vector, as a client would send them; empty if the vector does not allow them."""
    values: dict[str, Any] = {}
    if not isinstance(vector, saved.kind) or vector.perm == Permission.READ_ONLY:
        return values
    for name, text in saved.values.items():
        member = vector.data.get(name)
        if isinstance(member, NumberMember):
            try:
                number, low, high = getfloat(text), getfloat(member.min), getfloat(member.max)
            except TypeError:
                continue
            if low >= high or low <= number <= high:
                values[name] = number
        elif member is not None:
            values[name] = text == "On" if isinstance(vector, SwitchVector) else text
    if isinstance(vector, SwitchVector) and vector.rule != SwitchRule.ANY_OF_MANY:
        on = [name for name, value in values.items() if value]
        if len(on) > 1 or (not on and vector.rule == SwitchRule.ONE_OF_MANY):
            return {}
    return values


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file so that either the old or the new one exists, whatever happens. Blocks."""
    data = content.encode() if isinstance(content, str) else content
    path.parent.mkdir(mode=0o775, parents=True, exist_ok=True)
    descriptor, temporary = _new_file(path)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(OSError):  # there is no old file, or its file system has no permissions
            os.chmod(temporary, stat.S_IMODE(os.stat(path).st_mode))
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _new_file(path: Path) -> tuple[int, Path]:
    """An open, empty file with another name in the same folder, with the permissions that the user wants."""
    how = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    while True:
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        with contextlib.suppress(FileExistsError):
            return os.open(temporary, how, 0o666), temporary
