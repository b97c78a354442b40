"""Form data of a request, with its bounds.  Pure."""

from __future__ import annotations

from collections.abc import Mapping
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl

__all__ = ["BadForm", "Form", "Upload", "read_form"]

FIELDS: Final = 500
BODY: Final = 1 << 20
UPLOAD: Final = 64 << 20


class BadForm(ValueError):
    """It cannot be read, or is too large."""


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
        environ: Of the request.
        uploads: It may hold files.

    Raises:
        BadForm: It is none.
    """
    kind = str(environ.get("CONTENT_TYPE", ""))
    is_upload = uploads and kind.startswith("multipart/form-data")
    try:
        length = int(environ.get("CONTENT_LENGTH") or 0)
    except ValueError:
        raise BadForm("no length") from None
    if not 0 <= length <= (UPLOAD if is_upload else BODY):
        raise BadForm(f"more than {(UPLOAD if is_upload else BODY) >> 20} MiB")
    body: bytes = environ["wsgi.input"].read(length)
    if is_upload:
        return _parts(kind, body)
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=FIELDS, strict_parsing=bool(body))
    except ValueError as error:
        raise BadForm(str(error)) from None
    return Form(dict(pairs), {})


def _parts(kind: str, body: bytes) -> Form:
    message = BytesParser(policy=HTTP).parsebytes(b"Content-Type: " + kind.encode("latin-1") + b"\r\n\r\n" + body)
    fields: dict[str, str] = {}
    files: dict[str, Upload] = {}
    if not message.is_multipart():
        raise BadForm("no parts")
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        found = part.get_payload(decode=True)
        payload = found if isinstance(found, bytes) else b""
        filename = part.get_filename()
        if not isinstance(name, str) or len(fields) + len(files) >= FIELDS:
            raise BadForm("a part without a name, or too many of them")
        if filename is not None:
            files[name] = Upload(filename, payload)
        else:
            fields[name] = payload.decode(errors="replace")
    return Form(fields, files)
