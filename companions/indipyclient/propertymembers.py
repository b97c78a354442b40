"""The members of vectors, as the class :class:`indipyclient.IPyClient` shows them."""

from __future__ import annotations

import base64
import math
import os
from typing import Any, BinaryIO, Final
from xml.etree import ElementTree as ET

from indipydriver.errors import ValueFormatError
from indipydriver.protocol.values import encode_base64, file_format, format_number
from indipydriver.protocol.values import getfloat as _getfloat

from .blobs import bytes_of

__all__ = [
    "BLOBMember",
    "LightMember",
    "Member",
    "NumberMember",
    "SnapBLOBMember",
    "SnapMember",
    "SnapNumberMember",
    "SwitchMember",
    "TextMember",
    "getfloat",
]

LIGHT_VALUES: Final = ("Idle", "Ok", "Busy", "Alert")


def getfloat(value: Any) -> float:
    """The float that a text of INDI, an int or a float stands for; empty text is 0.0.

    Raises:
        TypeError: It is not a number.
    """
    try:
        return _getfloat(value)
    except ValueFormatError as error:
        if isinstance(value, str):
            try:
                number = float(value)
            except ValueError:
                raise error from None
            if not math.isfinite(number):
                return number
        raise


def formatted(format: str, value: Any) -> str:
    """A number in its format; unchanged if the format does not fit."""
    try:
        return format_number(format, getfloat(value))
    except ValueFormatError:
        return str(value)


class Member:
    """The base of all members.

    Attributes:
        name: Unique in the vector.
        label: Human-readable.
        user_string: For your own use.
        itemid: A number that no other item of this client has.
    """

    def __init__(self, name: str, label: str | None = None, membervalue: Any = None) -> None:
        self.name = name
        self.label = label or name
        self._membervalue = membervalue
        self.user_string = ""
        self.itemid = 0

    @property
    def membervalue(self) -> Any:
        """The value: text, or bytes of a BLOB."""
        return self._membervalue

    @membervalue.setter
    def membervalue(self, value: Any) -> None:
        self._membervalue = self.checked(value)

    def received(self, value: Any) -> None:
        """Take a value from the device, unchecked."""
        self._membervalue = value

    def keep(self, before: Member) -> None:
        """Handle a new definition: keep what a definition does not contain."""

    def checked(self, value: Any) -> Any:
        """The value, if it is allowed.

        Raises:
            ValueError: It is not.
        """
        return value

    def snapshot(self) -> SnapMember:
        """A copy that does not change."""
        return SnapMember(self.name, self.label, self._membervalue, self.user_string, self.itemid)

    def _one(self, tag: str, value: str) -> ET.Element:
        element = ET.Element(tag, name=self.name)
        element.text = value
        return element


class SwitchMember(Member):
    """A switch, ``On`` or ``Off``."""

    def __init__(self, name: str, label: str | None = None, membervalue: str = "Off") -> None:
        super().__init__(name, label, membervalue)

    def checked(self, value: Any) -> Any:
        if value not in ("On", "Off"):
            raise ValueError(f"a switch is On or Off, not {value!r}")
        return value

    def oneswitch(self, newvalue: str) -> ET.Element:
        """The element of a command."""
        return self._one("oneSwitch", self.checked(newvalue))


class LightMember(Member):
    """A light: ``Idle``, ``Ok``, ``Busy`` or ``Alert``."""

    def __init__(self, name: str, label: str | None = None, membervalue: str = "Idle") -> None:
        super().__init__(name, label, membervalue)

    def checked(self, value: Any) -> Any:
        if value not in LIGHT_VALUES:
            raise ValueError(f"a light is one of {', '.join(LIGHT_VALUES)}, not {value!r}")
        return value


class TextMember(Member):
    """A text."""

    def __init__(self, name: str, label: str | None = None, membervalue: str = "") -> None:
        super().__init__(name, label, membervalue)

    def onetext(self, newvalue: str) -> ET.Element:
        """The element of a command."""
        return self._one("oneText", str(newvalue))


class _Number:
    """The common base of a number and its snapshot."""

    format: str
    _membervalue: Any

    def getfloat(self, value: Any) -> float:
        """The float that a value stands for."""
        return getfloat(value)

    def getfloatvalue(self) -> float:
        """The value as a float."""
        return getfloat(self._membervalue)

    def getformattedvalue(self) -> str:
        """The value in the format of the member."""
        return formatted(self.format, self._membervalue)

    def getformattedstring(self, value: Any) -> str:
        """Some other value in that format."""
        return formatted(self.format, value)


class NumberMember(_Number, Member):
    """A number, as the text that was received.

    Attributes:
        format: How to show it.
        min: Smallest value, as text.
        max: Largest value, as text.
        step: Step, as text; 0 for none.
    """

    def __init__(
        self,
        name: str,
        label: str | None = None,
        format: str = "",
        min: str = "0",
        max: str = "0",
        step: str = "0",
        membervalue: str = "0",
    ) -> None:
        super().__init__(name, label, membervalue)
        self.format = format
        self.min = min
        self.max = max
        self.step = step

    def checked(self, value: Any) -> Any:
        getfloat(value)
        return value if isinstance(value, str) else str(value)

    def onenumber(self, newvalue: Any) -> ET.Element:
        """The element of a command."""
        return self._one("oneNumber", self.checked(newvalue))

    def snapshot(self) -> SnapMember:
        return SnapNumberMember(
            self.name,
            self.label,
            self.format,
            self.min,
            self.max,
            self.step,
            self._membervalue,
            self.user_string,
            self.itemid,
        )


class BLOBMember(Member):
    """A BLOB: bytes, or None until there are any.

    Attributes:
        blobsize: As the device said it.
        blobformat: Suffixes, such as ``.fits``.
        filename: Of the file in BLOBfolder, if it was saved.
    """

    def __init__(
        self,
        name: str,
        label: str | None = None,
        blobsize: int = 0,
        blobformat: str = "",
        membervalue: bytes | None = None,
    ) -> None:
        super().__init__(name, label, membervalue)
        self.blobsize = blobsize
        self.blobformat = blobformat
        self.filename = ""

    def keep(self, before: Member) -> None:
        if isinstance(before, BLOBMember):
            self._membervalue, self.filename = before.membervalue, before.filename
            self.blobsize, self.blobformat = before.blobsize, before.blobformat

    def oneblob(self, newvalue: Any, newsize: int = 0, newformat: str = "") -> ET.Element:
        """The element of a command."""
        data, size, format = self.contents(newvalue, newsize, newformat)
        element = self._one("oneBLOB", encode_base64(data).decode("ascii"))
        element.set("size", str(size))
        element.set("format", format)
        return element

    def contents(self, value: Any, size: int = 0, format: str = "") -> tuple[bytes, int, str]:
        """What to send: bytes, their size if none is given, and the format of a path if none is given."""
        data = self.getbytes(value)
        if not format and isinstance(value, (str, os.PathLike)):
            format = file_format(value)
        return data, int(size) or len(data), format

    @staticmethod
    def getbytes(value: bytes | str | os.PathLike[str] | BinaryIO) -> bytes:
        """The bytes of a value: bytes, a path, or an open binary file; may block.

        Raises:
            TypeError: It is none of these.
            OSError: The file cannot be read.
            BadValue: The path is not that of a file, or of more than a server takes.
        """
        if isinstance(value, (bytes, bytearray, memoryview)):
            return bytes(value)
        if isinstance(value, (str, os.PathLike)):
            return bytes_of(value)
        if hasattr(value, "read"):
            data = value.read()
            if isinstance(data, bytes):
                return data
        raise TypeError(f"a BLOB is bytes, a path or a binary file, not {type(value).__name__}")

    def snapshot(self) -> SnapMember:
        return SnapBLOBMember(
            self.name,
            self.label,
            self.blobsize,
            self.blobformat,
            self._membervalue,
            self.user_string,
            self.itemid,
            self.filename,
        )


class SnapMember:
    """A snapshot of a member."""

    def __init__(self, name: str, label: str, membervalue: Any, user_string: str, itemid: int) -> None:
        self.name = name
        self.label = label
        self._membervalue = membervalue
        self.user_string = user_string
        self.itemid = itemid

    @property
    def membervalue(self) -> Any:
        """The value: text, or bytes of a BLOB."""
        return self._membervalue

    def dictdump(
        self, inc_blob: bool = False, inc_user_string: bool = False, inc_itemid: bool = False
    ) -> dict[str, Any]:
        """A dict that can be dumped as JSON."""
        found: dict[str, Any] = {"label": self.label, **self._more(inc_blob)}
        if inc_user_string:
            found["user_string"] = self.user_string
        if inc_itemid:
            found["itemid"] = self.itemid
        return found

    def _more(self, inc_blob: bool) -> dict[str, Any]:
        return {"value": self._membervalue}


class SnapNumberMember(_Number, SnapMember):
    """A snapshot of a number."""

    def __init__(
        self,
        name: str,
        label: str,
        format: str,
        min: str,
        max: str,
        step: str,
        membervalue: str,
        user_string: str,
        itemid: int,
    ) -> None:
        super().__init__(name, label, membervalue, user_string, itemid)
        self.format = format
        self.min = min
        self.max = max
        self.step = step

    def _more(self, inc_blob: bool) -> dict[str, Any]:
        try:
            number: float | None = self.getfloatvalue()
        except TypeError:
            number = None
        if number is not None and not math.isfinite(number):
            number = None  # JSON has no nan
        return {
            "format": self.format,
            "min": self.min,
            "max": self.max,
            "step": self.step,
            "value": self._membervalue,
            "floatvalue": number,
            "formattedvalue": self.getformattedvalue(),
        }


class SnapBLOBMember(SnapMember):
    """A snapshot of a BLOB."""

    def __init__(
        self,
        name: str,
        label: str,
        blobsize: int,
        blobformat: str,
        membervalue: bytes | None,
        user_string: str,
        itemid: int,
        filename: str,
    ) -> None:
        super().__init__(name, label, membervalue, user_string, itemid)
        self.blobsize = blobsize
        self.blobformat = blobformat
        self.filename = filename

    def _more(self, inc_blob: bool) -> dict[str, Any]:
        data = self._membervalue if inc_blob else None
        return {
            "filename": self.filename,
            "blobsize": self.blobsize,
            "blobformat": self.blobformat,
            "value": base64.b64encode(data).decode("ascii") if data is not None else None,
        }
