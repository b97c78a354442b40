"""Form data of a request, with limits."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl

__all__ = ["UPLOAD", "BadForm", "Form", "TooLarge", "Upload", "read_form"]

FIELDS: Final = 1000
BODY: Final = 1 << 20
"""Bytes of a form without files."""
UPLOAD: Final = 64 << 20
"""Bytes of a form with files."""
PIECE: Final = 1 << 20
HEAD: Final = 8 << 10
"""Bytes before the content of a part."""
_BOUNDARY: Final = re.compile(r';\s*boundary=(?:"([^"]{1,200})"|([^\s";]{1,200}))', re.IGNORECASE)
_DISPOSITION: Final = re.compile(rb"^content-disposition:[ \t]*form-data(.*)$", re.IGNORECASE | re.MULTILINE)
_PARAMETER: Final = re.compile(rb';[ \t]*(name|filename)=(?:"((?:\\"|[^"])*)"|([^\s";]+))', re.IGNORECASE)


class BadForm(ValueError):
    """It cannot be read."""


class TooLarge(BadForm):
    """It has more bytes than are accepted."""


class Upload(NamedTuple):
    """A file."""

    filename: str
    data: bytes


class Form(NamedTuple):
    """The fields, and the files."""

    fields: dict[str, str]
    files: dict[str, Upload]


def read_form(environ: Mapping[str, Any], uploads: bool = True) -> Form:
    """The form in the body of a request.

    Args:
        environ: The environment of the request.
        uploads: The form may hold files.

    Raises:
        BadForm: It is not a valid form.
        TooLarge: It has more than :data:`UPLOAD` bytes, or without files more than :data:`BODY`.
    """
    kind = str(environ.get("CONTENT_TYPE", ""))
    is_upload = uploads and kind.startswith("multipart/form-data")
    body = _body(environ, UPLOAD if is_upload else BODY)
    if is_upload:
        return _parts(kind, body)
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=FIELDS, strict_parsing=bool(body))
    except ValueError as error:
        raise BadForm(str(error)) from None
    return Form(dict(pairs), {})


def _body(environ: Mapping[str, Any], most: int) -> bytes:
    """The body of a request: as long as its header says, or in pieces to the end if the web server knows where that is.

    Raises:
        BadForm: Nobody knows its length, or it ends early.
        TooLarge: It is longer than `most` bytes; no more than that is kept, whatever the header says.
    """
    given = str(environ.get("CONTENT_LENGTH") or "")
    if given and not (given.isascii() and given.isdigit()):
        raise BadForm(f"{given[:50]!r} is not a length")
    length = int(given[:20]) if given else None
    if length is None and not environ.get("wsgi.input_terminated"):
        if environ.get("HTTP_TRANSFER_ENCODING"):
            raise BadForm("this web server does not say where a form without a length ends")
        length = 0
    if length is not None and length > most:
        raise TooLarge(_too_large(most))
    left = most + 1 if length is None else length
    pieces: list[bytes] = []
    try:
        while left and (piece := environ["wsgi.input"].read(min(left, PIECE))):
            pieces.append(piece)
            left -= len(piece)
    except OSError as error:
        raise BadForm(f"it did not arrive: {error}") from None
    if length is None and not left:
        raise TooLarge(_too_large(most))
    if length is not None and left:
        raise BadForm(f"it ends {left} bytes too early")
    return b"".join(pieces)


def _too_large(most: int) -> str:
    return f"A form may have {most >> 20} MiB, with all of its files, and this one has more: it was not read"


def _parts(kind: str, body: bytes) -> Form:
    """The parts of a form with files, as browsers send them; one pass over the bytes, whatever they are."""
    given = _BOUNDARY.search(kind)
    if given is None:
        raise BadForm("no boundary between parts is named")
    delimiter = b"\r\n--" + (given[1] or given[2]).encode("latin-1", "replace")
    fields: dict[str, str] = {}
    files: dict[str, Upload] = {}
    at = len(delimiter) - 2 if body.startswith(delimiter[2:]) else _after(body, delimiter, 0)
    for _ in range(FIELDS + 1):
        if body.startswith(b"--", at):
            return Form(fields, files)
        head = body.find(b"\r\n\r\n", at, at + HEAD)
        if head < 0:
            raise BadForm("a part without a head, or with one that is too long")
        names = _names(body[at:head])
        at = _after(body, delimiter, head + 2)
        content = body[head + 4 : at - len(delimiter)]
        if "name" not in names:
            raise BadForm("a part without a name")
        if "filename" in names:
            files[names["name"]] = Upload(names["filename"], content)
        else:
            fields[names["name"]] = content.decode(errors="replace")
    raise BadForm(f"more than {FIELDS} parts")


def _after(body: bytes, delimiter: bytes, begin: int) -> int:
    """Where the next delimiter ends."""
    found = body.find(delimiter, begin)
    if found < 0:
        raise BadForm("a part has no end")
    return found + len(delimiter)


def _names(head: bytes) -> dict[str, str]:
    """Name and file name of a part."""
    line = _DISPOSITION.search(head)
    found: dict[str, str] = {}
    for key, quoted, plain in _PARAMETER.findall(line[1]) if line is not None else ():
        text = (quoted or plain).decode(errors="replace")
        for sign, meant in (("%22", '"'), ('\\"', '"'), ("%0D", "\r"), ("%0A", "\n")):  # as browsers write them
            text = text.replace(sign, meant)
        found.setdefault(key.decode().lower(), text)
    return found
