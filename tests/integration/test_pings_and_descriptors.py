"""Seen from outside: a ping is answered when what was before it is done, and no descriptor is left behind."""

from __future__ import annotations

import base64
import os
import sys
from pathlib import Path

import pytest

from tests.support.puppet import Stage, stage, wait_for_exit

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc, and descriptors are passed")

DEFINITION = b"<defBLOBVector device='C' name='IMG' state='Ok' perm='ro'><defBLOB name='b'/></defBLOBVector>\n"
SIZE = 2_000_000
ELEMENT = (
    b"<setBLOBVector device='C' name='IMG' state='Ok'><oneBLOB name='b' size='%d' len='%d' format='.x'"
    b" attached='true'/></setBLOBVector>\n" % (SIZE, SIZE)
)


def picture(n: int) -> bytes:
    return bytes([n]) * SIZE


def send_picture(on: Stage, n: int) -> None:
    fd = os.memfd_create("blob")
    os.write(fd, picture(n))
    on.driver.send(ELEMENT, [fd])
    os.close(fd)


@pytest.mark.parametrize("kind", ["local", "tcp"])
def test_the_answer_comes_after_connections_that_were_made_and_closed_before(tmp_path: Path, kind: str) -> None:
    """The loop may be told of the ping before it is told of the connection that was made earlier."""
    with stage(tmp_path) as on:
        on.driver.send(DEFINITION)
        on.driver.ping()
        idle = on.open_files()
        for _ in range(50):
            client = getattr(on, kind)()
            on.driver.ping()
            assert on.open_files() == idle + 1
            client.close()
            on.driver.ping()
            assert on.open_files() == idle


def test_a_local_client_that_has_said_something_is_gone_when_it_has_closed(tmp_path: Path) -> None:
    with stage(tmp_path) as on:
        on.driver.ping()
        idle = on.open_files()
        with on.local() as client:
            client.ping()
        on.driver.ping()
        assert on.open_files() == idle


@pytest.mark.parametrize("receivers", ["", "local", "tcp", "local local tcp tcp"])
def test_the_answer_comes_after_the_descriptors_of_a_blob_are_closed(tmp_path: Path, receivers: str) -> None:
    with stage(tmp_path) as on:
        on.driver.send(DEFINITION)
        clients = [getattr(on, kind)() for kind in receivers.split()]
        for client in clients:
            client.send(b"<getProperties version='1.7'/><enableBLOB device='C'>Also</enableBLOB>")
            client.ping()
        on.driver.send(DEFINITION)  # the answer to them
        on.driver.ping()
        idle = on.open_files()
        for n in range(5):
            send_picture(on, n)
            on.driver.ping()
            assert on.open_files() <= idle  # a client that reads
            for kind, client in zip(receivers.split(), clients, strict=True):
                got = client.until(b"</setBLOBVector>")
                if kind == "local":
                    assert os.pread(client.descriptors[-1], SIZE + 1, 0) == picture(n)
                else:
                    text = got[got.rindex(b"'>" if b"'>" in got else b'">') + 2 : got.rindex(b"</oneBLOB")]
                    assert base64.b64decode(text) == picture(n)
        for client in clients:
            client.close()


def test_a_local_client_gets_base64_as_descriptors_and_all_in_order(tmp_path: Path) -> None:
    with stage(tmp_path) as on, on.local() as local, on.tcp() as tcp:
        on.driver.send(DEFINITION)
        for client in (local, tcp):
            client.send(b"<getProperties version='1.7'/><enableBLOB device='C'>Also</enableBLOB>")
            client.ping()
        on.driver.send(DEFINITION)  # the answer to them
        on.driver.ping()
        idle = on.open_files()
        for n, size in enumerate((10, 400_000, 20, 3_000_000)):
            data = bytes([n]) * size
            on.driver.send(
                b"<setBLOBVector device='C' name='IMG' state='Ok'><oneBLOB name='b' size='%d' format='.x'>%s</oneBLOB>"
                b"</setBLOBVector>\n<message device='C' message='after %d'/>\n" % (size, base64.b64encode(data), n)
            )
            on.driver.ping()
            assert on.open_files() <= idle
            got = local.until(b"after %d" % n)
            assert got.index(b"attached") < got.index(b"</setBLOBVector>")
            assert b"enclen" not in got
            assert os.pread(local.descriptors[n], size + 1, 0) == data
            assert base64.b64encode(data) in tcp.until(b"after %d" % n)


def test_the_command_ends_with_status_1_when_its_only_driver_cannot_be_trusted(tmp_path: Path) -> None:
    with stage(tmp_path) as on, on.tcp() as client:
        on.driver.send(DEFINITION)
        client.send(b"<getProperties version='1.7'/><enableBLOB device='C'>Also</enableBLOB>")
        client.ping()
        on.driver.send(ELEMENT)
        assert wait_for_exit(on.server) == 1
        assert "an attached BLOB without its descriptor" in on.server.stderr()
