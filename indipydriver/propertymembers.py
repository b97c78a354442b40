"""The members of property vectors: one switch, light, text, number or BLOB each."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable
from typing import Any, ClassVar, Final

from .arguments import attribute, shown
from .errors import DefinitionError, LocalProtocolError, NameTypeError, ValueFormatError
from .locks import TOGETHER, open_files
from .protocol.limits import Limits
from .protocol.messages import DefMember, OneBlob
from .protocol.tags import State, SwitchState
from .protocol.values import file_format, format_number, getfloat, plain_number

__all__ = [
    "BLOBMember",
    "BLOBSource",
    "LightMember",
    "NumberMember",
    "PropertyMember",
    "SwitchMember",
    "TextMember",
    "as_text",
    "check_length",
    "check_name",
    "getfloat",
]


def check_name(what: str, name: object) -> str:
    """The name of a device, vector or member, checked.

    Raises:
        DefinitionError: It is blank, too long, or not printable ASCII; for anything but a str, it is an AttributeError
            too.
    """
    if not isinstance(name, str):
        raise NameTypeError(f"the name of a {what} must be a str, not {type(name).__name__}")
    text = as_text(name)
    if not (text and text.isascii() and text.isprintable()) or text.isspace():
        raise DefinitionError(f"the name of a {what} must be printable ASCII, not {shown(text)}")
    if len(text) > _LONGEST_NAME:
        raise DefinitionError(f"the name of a {what} must have at most {_LONGEST_NAME} characters, not {len(text)}")
    if what == "device" and text == "*":
        raise DefinitionError("a device cannot be named '*', which stands for all devices in requests")
    return text


def _number(what: str, name: str, value: object) -> tuple[str, float]:
    """A number as text and as float; ValueError if it is not a finite number."""
    if value is not None:
        text = as_text(value)
        try:
            return text, getfloat(text)
        except ValueFormatError:
            pass
    raise ValueError(f"the {what} of {name!r} must be a finite number, not {shown(value)}")


def as_text(value: object) -> str:
    """The value as it is sent."""
    if type(value) is str:
        return value
    if value is None:
        return ""
    if isinstance(value, str):
        return str.__str__(value)  # str() of an enumeration member would include the name of its class
    if isinstance(value, bool):
        return str(int(value))
    return str(value)


_LONGEST_NAME: Final = Limits().name
_LONGEST_BLOB: Final = Limits().blob // 4 * 3  # as base64 it takes a third more
_PLAIN_BELOW: Final = 1e15  # a format that can show zero can show smaller numbers


def _try_format(name: str, format: str, number: float) -> None:
    """ValueError if a format cannot show a number."""
    try:
        format_number(format, number)
    except ValueFormatError as error:
        raise ValueError(f"the format of {name!r}: {error}") from None


class PropertyMember:
    """What all members have in common.

    Args:
        name: Printable ASCII, unique in its vector.
        label: Human-readable text; by default the name.

    Attributes:
        name: As given.
        label: As given, or the name.
        changed: The value differs from what was last sent; True for a new member.

    Raises:
        DefinitionError: The name is blank, too long, or not printable ASCII.
    """

    def __init__(self, name: str, label: str | None = None, membervalue: Any = None) -> None:
        self.name = check_name("member", name)
        self._description: DefMember | None = None
        self.label = label
        self.changed = True
        self._membervalue = self._checked(membervalue)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {self._membervalue!r})"

    @property
    def label(self) -> str:
        """Human-readable text; by default the name."""
        return self._label

    @label.setter
    def label(self, value: str | None) -> None:
        self._label = attribute(as_text(value), "label", self.name) or self.name
        self._description = None

    @property
    def membervalue(self) -> Any:
        """The value."""
        return self._membervalue

    @membervalue.setter
    def membervalue(self, value: Any) -> None:
        value = self._checked(value)
        if value != self._membervalue:
            self._membervalue = value
            self.changed = True  # set last: a thread may do this while the value is being sent

    def _checked(self, value: Any) -> Any:
        """The value in the form in which it is kept; ValueError if it is not a valid one."""
        return as_text(value)

    def check(self, value: Any) -> None:
        """Raise ValueError if this cannot be its value."""
        self._checked(value)

    @property
    def description(self) -> DefMember:
        """What a definition says about it, except the value; the same object until that changes."""
        description = self._description
        if description is None or description.name != self.name:
            description = self._description = self._described()
        return description

    def _described(self) -> DefMember:
        return DefMember(self.name, "", self._label)


class _WordMember(PropertyMember):
    """A member whose value is one of a few words."""

    _words: ClassVar[tuple[str, ...]]

    def _checked(self, value: Any) -> str:
        if not (isinstance(value, str) and value in self._words):
            raise ValueError(f"{self.name!r} must be one of {', '.join(self._words)}, not {value!r}")
        return as_text(value)


class SwitchMember(_WordMember):
    """A switch.

    Args:
        membervalue: "On" or "Off"; anything else raises ValueError, now and later.
    """

    _words = tuple(word.value for word in SwitchState)

    def __init__(self, name: str, label: str | None = None, membervalue: str = "Off") -> None:
        self.before_on: Callable[[str], None] | None = None  # its vector turns others Off
        super().__init__(name, label, membervalue)

    def __getstate__(self) -> dict[str, Any]:
        """A copy does not belong to a vector."""
        return {**self.__dict__, "before_on": None}

    @property
    def membervalue(self) -> Any:
        """The value. Assigning "On" turns others Off where at most one may be On."""
        return self._membervalue

    @membervalue.setter
    def membervalue(self, value: Any) -> None:
        value = self._checked(value)
        with TOGETHER:
            if value == "On" and self.before_on is not None:
                self.before_on(self.name)
            if value != self._membervalue:
                self._membervalue = value
                self.changed = True  # set last, as in other members


class LightMember(_WordMember):
    """A light.

    Args:
        membervalue: "Idle", "Ok", "Busy" or "Alert"; anything else raises ValueError, now and later.
    """

    _words = tuple(word.value for word in State)

    def __init__(self, name: str, label: str | None = None, membervalue: str = "Idle") -> None:
        super().__init__(name, label, membervalue)


class TextMember(PropertyMember):
    """A text; any other value is converted by ``str``, and None is the empty text."""

    def __init__(self, name: str, label: str | None = None, membervalue: str = "") -> None:
        super().__init__(name, label, membervalue)


class NumberMember(PropertyMember):
    """A number, kept as text in the form in which it was given.

    Text that is not a plain decimal, as "12:30:00", is sent as one, 12.5, because clients such as KStars read only the
    first component of sexagesimal updates.

    Args:
        format: How clients show it: one printf conversion of a double such as "%.2f", or INDI's
            "%<w>.<f>m" for degrees and hours. "" is sent as "%g".
        min: Smallest value a client may set.
        max: Largest value; there is a range only when min < max.
        step: Step of the value; 0 for none.
        membervalue: A str, which may be sexagesimal, or anything that ``str`` turns into a number.

    Raises:
        ValueError: A number is not finite or cannot be read, or the format cannot show it; now and later.
    """

    def __init__(
        self,
        name: str,
        label: str | None = None,
        format: str = "",
        min: str | float = "0",
        max: str | float = "0",
        step: str | float = "0",
        membervalue: str | float = "0",
    ) -> None:
        self._format = ""
        super().__init__(name, label, membervalue)
        self.format = format
        self.min = min
        self.max = max
        self.step = step

    @property
    def format(self) -> str:
        """How clients show it; a format that cannot show its value raises ValueError."""
        return self._format

    @format.setter
    def format(self, value: str) -> None:
        text = attribute(as_text(value), "format", self.name)
        for number in (0.0, self.getfloatvalue()):
            _try_format(self.name, text, number)
        self._format = text
        self._description = None

    @property
    def min(self) -> str:
        """Smallest value a client may set, as str; anything but a finite number raises ValueError."""
        return self._min

    @min.setter
    def min(self, value: str | float) -> None:
        self._min, _ = _number("min", self.name, value)
        self._description = None

    @property
    def max(self) -> str:
        """Largest value, as str; anything but a finite number raises ValueError."""
        return self._max

    @max.setter
    def max(self, value: str | float) -> None:
        self._max, _ = _number("max", self.name, value)
        self._description = None

    @property
    def step(self) -> str:
        """Step of the value, as str; anything but a finite number raises ValueError."""
        return self._step

    @step.setter
    def step(self, value: str | float) -> None:
        self._step, _ = _number("step", self.name, value)
        self._description = None

    def _checked(self, value: Any) -> str:
        kind = type(value)
        if (
            kind is float or kind is int
        ) and -_PLAIN_BELOW < value < _PLAIN_BELOW:  # neither nan nor an infinity passes
            return str(value)
        text, number = _number("value", self.name, value)
        if not -_PLAIN_BELOW < number < _PLAIN_BELOW:
            _try_format(self.name, self._format, number)
        return text

    def getfloatvalue(self) -> float:
        """The value as float."""
        return getfloat(self._membervalue)

    def getformattedvalue(self) -> str:
        """The value as clients show it."""
        return self.format_number(self.getfloatvalue())

    def format_number(self, value: float) -> str:
        """Any number as clients show it in this member; an invalid format raises ValueFormatError."""
        return format_number(self._format, value)

    def _described(self) -> DefMember:
        # An empty format would be printed as nothing by clients in C.
        limits = map(plain_number, (self._min, self._max, self._step))
        return DefMember(self.name, "", self._label, self._format or "%g", *limits)

    def allowed_range(self) -> tuple[float, float] | None:
        """The values that a client may set; None for any."""
        low, high = getfloat(self._min), getfloat(self._max)
        return (low, high) if low < high else None


def _source(value: object) -> str:
    """The source of a BLOB, for an error message; anything but a path may be an array of millions."""
    return f"{value!r:.300}" if isinstance(value, (str, os.PathLike, io.IOBase)) else f"of type {type(value).__name__}"


class BLOBMember(PropertyMember):
    """A BLOB: bytes, a file, or where to find one.

    Args:
        blobsize: The size that is sent: that of the data after inflating. 0: the length of the data.
        blobformat: Suffix such as ".fits". "": the suffix of the file name, with the one before it
            if it stands for compression, as .fz does.
        membervalue: bytes, a path (str or PathLike), a binary file open for reading, or None. Files
            are read when they are sent; a bytearray or memoryview is copied when the send is called.
    """

    def __init__(
        self,
        name: str,
        label: str | None = None,
        blobsize: int = 0,
        blobformat: str = "",
        membervalue: Any = None,
    ) -> None:
        super().__init__(name, label, membervalue)
        self.blobsize = blobsize
        self.blobformat = as_text(blobformat)

    def __repr__(self) -> str:
        value = self._membervalue
        shown = f"{len(value)} bytes" if isinstance(value, (bytes, bytearray, memoryview)) else repr(value)
        return f"{type(self).__name__}({self.name!r}, {shown})"

    @property
    def blobsize(self) -> int:
        """The size that is sent; 0: the length of the data. Anything but an integer, 0 or more, raises ValueError."""
        return self._blobsize

    @blobsize.setter
    def blobsize(self, value: int) -> None:
        if not isinstance(value, int) or value < 0:
            raise ValueError(f"the blobsize of {self.name!r} must be an integer, 0 or more, not {shown(value)}")
        self._blobsize = int(value)

    @property
    def membervalue(self) -> Any:
        """The value. Assigning one leaves `changed` alone: each send names the members that it sends."""
        return self._membervalue

    @membervalue.setter
    def membervalue(self, value: Any) -> None:
        self._membervalue = self._checked(value)

    @staticmethod
    def getbytes(value: Any) -> bytes:
        """The bytes of a value; those of a file are read from its start, and an open file is left open.

        Raises:
            ValueError: It cannot be read, is empty, or holds something else.
        """
        data: object
        if isinstance(value, (bytes, bytearray, memoryview)):
            data = bytes(value)
        else:
            try:
                if hasattr(value, "seek") and hasattr(value, "read"):
                    with open_files.lock(value):
                        value.seek(0)
                        data = value.read()
                else:
                    with open(os.fspath(value), "rb") as file:
                        data = file.read()
            except Exception as error:
                raise ValueError(f"the BLOB {_source(value)} cannot be read: {error}") from error
        if not isinstance(data, bytes):
            raise ValueError(f"reading the BLOB {_source(value)} gives {type(data).__name__}, not bytes")
        if not data:
            raise ValueError("an empty BLOB cannot be sent" if data is value else f"the BLOB {value!r} is empty")
        return data

    def _checked(self, value: Any) -> Any:
        with contextlib.suppress(ValueError):  # which an array of numpy raises
            if value is None or value:
                return value
        raise ValueError(f"the BLOB {self.name!r} must be bytes, a path, a file or None, not {shown(value)}")

    def _format(self) -> str:
        """What is sent as its format."""
        value = self._membervalue
        if self.blobformat or not isinstance(value, (str, os.PathLike)):
            return as_text(self.blobformat)
        return file_format(value)

    def as_source(self) -> BLOBSource:
        """Everything that is needed to send it as it is now; data that could be modified meanwhile is copied."""
        value = self._membervalue
        if isinstance(value, (bytearray, memoryview)):
            value = bytes(value)
        return BLOBSource(self.name, value, self.blobsize, self._format())


def check_length(length: int) -> None:
    """Raise LocalProtocolError if all receivers would refuse BLOBs of this length."""
    if length > _LONGEST_BLOB:
        raise LocalProtocolError(f"a BLOB of {length} bytes cannot be sent: receivers take at most {_LONGEST_BLOB}")


class BLOBSource:
    """A BLOB being sent: it may be read and encoded in a thread while the member gets its next value."""

    def __init__(self, name: str, value: Any, size: int, format: str) -> None:
        self._name = name
        self._value = value
        self._size = size
        self._format = format

    @property
    def is_file(self) -> bool:
        """Whether it has to be read from a file."""
        return not isinstance(self._value, bytes)

    def length(self) -> int:
        """The length of the data in bytes, 0 if that is unknown before it is read; blocks."""
        value = self._value
        if isinstance(value, bytes):
            return len(value)
        try:
            status = os.stat(value.fileno() if isinstance(value, (io.FileIO, io.BufferedReader)) else os.fspath(value))
        except Exception:  # reading it will show why
            return 0
        return status.st_size

    def read(self) -> OneBlob:
        """The BLOB as it is sent; blocks. ValueError if there is nothing to be read."""
        data = BLOBMember.getbytes(self._value)
        return OneBlob(self._name, data, self._size or len(data), self._format)
