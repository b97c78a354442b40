"""The lines of the control protocol: one JSON object each.  Sans-I/O."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

__all__ = [
    "LONGEST_TEXT",
    "MAX_REQUEST",
    "VERSION",
    "Code",
    "ControlError",
    "Request",
    "Value",
    "encode",
    "failure",
    "read_request",
    "success",
]

VERSION: Final = 1
"""The version of the protocol. Additions do not change it, because readers ignore what they do not know."""
MAX_REQUEST: Final = 16384
"""Bytes of one request."""
LONGEST_TEXT: Final = 4096
"""Characters of a text in a request: a path is not longer."""

Value = str | int | bool | None
"""The types that an argument of a request may have."""


class Code:
    """Why a request was refused, for programs."""

    REQUEST: Final = "request"
    """It is not a request, or one of its arguments is wrong."""
    VERSION: Final = "version"
    """It is for another version of the protocol."""
    UNKNOWN: Final = "unknown"
    """Nothing of that name, or with that number, is served."""
    AMBIGUOUS: Final = "ambiguous"
    """Several things of that name are served."""
    REFUSED: Final = "refused"
    """It is not possible; the text says why."""
    FAILED: Final = "failed"
    """A fault in the server; its log has more."""
    BUSY: Final = "busy"
    """There are too many connections."""
    DENIED: Final = "denied"
    """Another user has connected."""


class ControlError(Exception):
    """What a server answers to a request that it does not carry out.

    Attributes:
        code: Why, in one word: ``request``, ``version``, ``unknown``, ``ambiguous``, ``refused``, ``failed``, ``busy``
            or ``denied``.
        text: Why, in a sentence.
        id: The id of the request, if it could be read.
    """

    def __init__(self, code: str, text: str, id: Value = None) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.id = id


@dataclass(frozen=True, slots=True)
class Request:
    """One request.

    Attributes:
        do: The name of the request.
        arguments: Its arguments.
        id: The id that the answer repeats.
    """

    do: str
    arguments: Mapping[str, Value] = field(default_factory=dict)
    id: Value = None


def read_request(line: str) -> Request:
    """Read one line.

    Raises:
        ControlError: It is not a request.
    """
    try:
        found = json.loads(line, object_pairs_hook=_object, parse_constant=_no_constant, parse_float=_no_float)
    except RecursionError:
        raise ControlError(Code.REQUEST, "it is nested too deeply") from None
    except ValueError as error:
        raise ControlError(Code.REQUEST, f"it is not acceptable JSON: {error!s:.100}") from None
    if not isinstance(found, dict):
        raise ControlError(Code.REQUEST, 'a request is an object, such as {"do": "status"}')
    arguments = dict(found)
    number = _checked_id(arguments.pop("id", None))
    try:
        version = arguments.pop("v", VERSION)
        if version != VERSION or isinstance(version, bool):
            raise ControlError(
                Code.VERSION, f"this server speaks version {VERSION} of the protocol, not {version!r:.40}"
            )
        do = arguments.pop("do", None)
        if not isinstance(do, str):
            raise ControlError(Code.REQUEST, 'a request says what to do, as in {"do": "status"}')
        for key, value in arguments.items():
            _check(key, value)
    except ControlError as error:
        error.id = number
        raise
    return Request(do, arguments, number)


def _checked_id(number: object) -> Value:
    if number is None or isinstance(number, bool) or not isinstance(number, int | str):
        return None
    return number if isinstance(number, int) or len(number) <= 100 else None


def _check(key: str, value: object) -> None:
    if not isinstance(value, str | int | None):
        raise ControlError(Code.REQUEST, f"{key!r:.80} must be a text, a whole number, true, false or null")
    if isinstance(value, str):
        if len(value) > LONGEST_TEXT:
            raise ControlError(Code.REQUEST, f"{key!r:.80} has more than {LONGEST_TEXT} characters")
        if not value.isprintable():
            raise ControlError(Code.REQUEST, f"{key!r:.80} contains control characters")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is given twice")
    return found


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


def _no_float(text: str) -> None:
    raise ValueError("no request has a number with a point")


def success(number: Value, result: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to a request that has been carried out."""
    return {"id": number, "ok": True, "result": result}


def failure(number: Value, code: str, text: str) -> dict[str, Any]:
    """The answer to a request that has not been carried out."""
    return {"id": number, "ok": False, "error": {"code": code, "text": text}}


def encode(message: Mapping[str, Any]) -> bytes:
    """An answer or an event as a line. It is ASCII, so that nothing in it can be mistaken for a line end."""
    return json.dumps(message, ensure_ascii=True, separators=(",", ":")).encode("ascii") + b"\n"
