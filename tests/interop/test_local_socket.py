"""What a client on the local socket gets from this server is what it gets from indiserver."""

from __future__ import annotations

import base64
import os
import sys
import xml.etree.ElementTree as ET
import zlib
from pathlib import Path
from typing import Any

import pytest

from tests.support import require
from tests.support.puppet import stage

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="descriptors are passed on Linux")

DEFINITION = (
    b"<defBLOBVector device='f' name='t' state='Idle' perm='ro' timeout='0' label='t' group='g'>"
    b"<defBLOB name='a' label='a'/><defBLOB name='b' label='b'/></defBLOBVector>\n"
)
DATA = bytes(range(256)) * 4
SMALL = zlib.compress(b"x" * 5000)
EMPTY = b"<oneBLOB name='b' size='0' enclen='0' format=''></oneBLOB>"


def one(name: str, data: bytes, more: bytes = b"", *, size: int | None = None) -> bytes:
    text = base64.b64encode(data)
    size = len(data) if size is None else size
    return b"<oneBLOB name='%s' size='%d'%s format='.fits'>%s</oneBLOB>" % (name.encode(), size, more, text)


CASES = {
    "plain": one("a", DATA),
    "with len": one("a", DATA, b" len='1024'"),
    "in lines of 72": one("a", b"")
    .replace(b"size='0'", b"size='1024'")
    .replace(b"></", b">%s</" % base64.encodebytes(DATA)),
    "compressed": one("a", SMALL, b" len='%d'" % len(SMALL), size=5000).replace(b".fits", b".fits.z"),
    "two": one("a", b"ABC") + one("b", b"DEFG"),
    "one without news beside it": one("a", b"ABC") + EMPTY,
    "only one without news": EMPTY,
}


def as_seen(directory: Path, command: list[str], members: bytes) -> tuple[list[Any], list[bytes]]:
    """The members that a client gets, and the beginning of its files."""
    with stage(directory, command=command) as on:
        on.driver.send(DEFINITION)
        client = on.local()
        client.send(b"<getProperties version='1.7'/><enableBLOB device='f'>Also</enableBLOB>\n")
        client.ping()
        on.driver.until(b"getProperties")
        on.driver.send(DEFINITION)
        on.driver.ping()
        on.driver.send(b"<setBLOBVector device='f' name='t' state='Ok'>" + members + b"</setBLOBVector>\n")
        got = client.until(b"<setBLOBVector")[-14:] + client.until(b"</setBLOBVector>")
        vector = ET.fromstring(got)
        members_seen = [(child.tag, child.attrib, (child.text or "").strip()) for child in vector]
        return members_seen, [os.pread(fd, 1024, 0).rstrip(b"\0") for fd in client.descriptors]


@pytest.mark.parametrize("case", CASES)
def test_every_blob_comes_as_a_descriptor_with_the_same_tags(case: str, tmp_path: Path) -> None:
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    theirs.mkdir()
    ours.mkdir()
    expected = as_seen(theirs, [require("indiserver")], CASES[case])
    assert as_seen(ours, [], CASES[case]) == expected
