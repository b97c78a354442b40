"""A Python driver under Debian's indiserver, which passes on what its clients send."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support import ROOT, IndiClient, asynchronous, free_port, match, new_vector, require, started, wait_for_port

pytestmark = [pytest.mark.interop, pytest.mark.timeout(60)]

LARGE = "x" * 20_000
ONE = '<oneBLOB name="DATA" size="3" format=".bin">QUJD</oneBLOB>'
UPLOAD = f'<newBLOBVector device="Echo" name="BLOB">{ONE}%s</newBLOBVector>'
TOO_LARGE = {
    "elements that are none of INDI": '<foo device="Echo">words</foo>\n' * 3000,
    "an element": new_vector("Text", "Echo", "TEXT", TEXT=100 * LARGE),
    "a start tag": new_vector("Text", "Echo", "TEXT", TEXT="no").replace(" name", f' label="{LARGE}" name', 1),
    "a tag in a BLOB": UPLOAD % f'<x a="{LARGE}"/>',
}


@asynchronous
async def test_no_client_ends_the_driver_by_what_is_too_large(tmp_path: Path) -> None:
    port = free_port()
    driver = tmp_path / "driver"
    driver.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{ROOT / "examples" / "stdio_driver.py"}"\n')
    driver.chmod(0o755)
    name = f"/tests/indiserver/{port}"
    with started(require("indiserver"), "-p", str(port), "-u", name, "-r", "0", str(driver)) as server:
        await wait_for_port(port, server)
        async with IndiClient(port) as client:
            await client.get_properties()
            await client.expect(match("defBLOBVector", device="Echo", name="BLOB"), 15)
            await client.enable_blob("Echo")
            for what, text in TOO_LARGE.items():
                await client.send(text)
                await client.send(new_vector("Text", "Echo", "TEXT", TEXT=what))
                await client.expect(match("setTextVector", name="TEXT", values={"TEXT": what}))
                await client.send(UPLOAD % "")
                await client.expect(match("setBLOBVector", name="BLOB", values={"DATA": "QUJD"}))


@asynchronous
async def test_blobs_come_and_go_when_the_output_passes_through_tee(tmp_path: Path) -> None:
    port = free_port()
    driver, log = tmp_path / "driver", tmp_path / "log"
    program = f'"{sys.executable}" "{ROOT / "examples" / "stdio_driver.py"}"'
    driver.write_text(f'#!/bin/sh\nexec {program} | tee "{log}"\n')
    driver.chmod(0o755)
    name = f"/tests/indiserver/{port}"
    with started(require("indiserver"), "-p", str(port), "-u", name, "-r", "0", str(driver)) as server:
        await wait_for_port(port, server)
        async with IndiClient(port) as client:
            await client.get_properties()
            await client.expect(match("defBLOBVector", device="Echo", name="BLOB"), 15)
            await client.enable_blob("Echo")
            for _ in range(3):
                await client.send(UPLOAD % "")
                await client.expect(match("setBLOBVector", name="BLOB", values={"DATA": "QUJD"}))
    assert log.read_bytes().count(b"QUJD") == 3
