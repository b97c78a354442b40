"""BLOBs that are handed over as descriptors: by drivers on a local socket, to clients on a local socket."""

from __future__ import annotations

import array
import asyncio
import base64
import os
import socket
import sys
from collections.abc import Callable

import pytest

from indipydriver.protocol.decode import decode
from indipydriver.protocol.frame import Batch, BlobFrame, Frame
from indipydriver.protocol.messages import OneBlob, SetVector
from indipydriver.transport.attached import AttachedFrame, PassingLink
from indipyserver import IPyServer
from tests.support import IndiClient, asynchronous, eventually, match, running
from tests.support.links import Recorder

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="descriptors are passed on Linux")

# A driver that, on each getProperties, sends one BLOB as a descriptor and then a text, as libindi does.
DRIVER = """
import array, os, socket, sys
sock = socket.socket(fileno=os.dup(1))
size, tell = int(sys.argv[1]), int(sys.argv[2])
data = bytes(i * 7 % 251 for i in range(size))
DEF = (b"<defBLOBVector device='C' name='CCD1' state='Ok' perm='ro'><defBLOB name='IMG'/></defBLOBVector>"
       b"<defTextVector device='C' name='after' state='Ok' perm='ro'><defText name='t'>-</defText></defTextVector>")
while True:
    got = os.read(0, 65536)
    if not got:
        break
    if b"getProperties" in got:
        os.write(1, DEF)
    if b"newText" in got:
        fd = os.memfd_create("x")
        os.write(fd, data)
        os.ftruncate(fd, 1 << 20 if size < 1 << 20 else size)
        head = b"<setBLOBVector device='C' name='CCD1' state='Ok'><oneBLOB name='IMG' size='%d' format='.bin' enclen='0' len='%d' attached='true'/></setBLOBVector>" % (tell, tell)
        if b"nothing" in got:
            os.write(1, head)
        else:
            sock.sendmsg([head[:30]])
            sock.sendmsg([head[30:]], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))])
        os.close(fd)
        os.write(1, b"<setTextVector device='C' name='after' state='Ok'><oneText name='t'>x</oneText></setTextVector>")
"""


def data(size: int) -> bytes:
    return bytes(i * 7 % 251 for i in range(size))


def count_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("size", [1, 3, 5760, 196_608, 196_609, 3_000_000])
@asynchronous
async def test_a_client_on_tcp_gets_base64_and_what_came_after_it_afterwards(size: int) -> None:
    server = IPyServer(host="127.0.0.1", port=0)
    server.add_exdriver(sys.executable, "-c", DRIVER, str(size), str(size))
    async with running(server), IndiClient(server.port) as client:
        await client.get_properties()
        await client.enable_blob("C")
        await client.expect(match("defBLOBVector"))
        before = count_descriptors()
        for _ in range(3):
            await client.send("<newTextVector device='C' name='go'><oneText name='t'>x</oneText></newTextVector>")
            blob = await client.expect(match("setBLOBVector"))
            assert base64.b64decode(blob[0].text or "", validate=True) == data(size)
            assert blob[0].get("size") == blob[0].get("len") == str(size)
            assert blob[0].get("attached") is None
            assert blob[0].get("enclen") is None
            await client.expect(match("setTextVector", name="after"))
        tags = [element.tag for element in client.received if element.tag.startswith("set")]
        assert tags == ["setBLOBVector", "setTextVector"] * 3
        await eventually(lambda: count_descriptors() <= before)


@asynchronous
async def test_a_file_that_is_too_short_costs_only_its_blob() -> None:
    server = IPyServer(host="127.0.0.1", port=0)
    server.add_exdriver(sys.executable, "-c", DRIVER, "5760", str(10**9))
    async with running(server), IndiClient(server.port) as client:
        await client.get_properties()
        await client.enable_blob("C")
        await client.expect(match("defBLOBVector"))
        await client.send("<newTextVector device='C' name='go'><oneText name='t'>x</oneText></newTextVector>")
        await client.expect(match("setTextVector", name="after"))
        assert not any(element.tag == "setBLOBVector" for element in client.received)


@asynchronous
async def test_a_driver_that_forgets_a_descriptor_is_started_again() -> None:
    server = IPyServer(host="127.0.0.1", port=0)
    server.add_exdriver(sys.executable, "-c", DRIVER, "5760", "5760")
    async with running(server), IndiClient(server.port) as client:
        await client.get_properties()
        await client.enable_blob("C")
        await client.expect(match("defBLOBVector"))
        await client.send("<newTextVector device='C' name='go'><oneText name='t'>nothing</oneText></newTextVector>")
        await client.expect(match("delProperty", device="C"))
        await client.expect(match("defBLOBVector"))
        assert not any(element.tag == "setBLOBVector" for element in client.received)


def receive_with_descriptors(sock: socket.socket, done: Callable[[bytes], bool]) -> tuple[bytes, list[int]]:
    got, fds = b"", []
    while not done(got):
        more, ancillary, _, _ = sock.recvmsg(1 << 16, socket.CMSG_SPACE(64))
        assert more, got
        got += more
        for _, _, payload in ancillary:
            found = array.array("i")
            found.frombytes(payload)
            fds += found
    return got, fds


@asynchronous
async def test_a_client_on_the_local_socket_gets_the_descriptor_and_one_on_tcp_base64() -> None:
    name = f"indi-test-{os.getpid()}"
    server = IPyServer(host="127.0.0.1", port=0, unix_socket=name)
    server.add_exdriver(sys.executable, "-c", DRIVER, "300000", "300000")
    async with running(server), IndiClient(server.port) as remote:
        await remote.get_properties()
        await remote.enable_blob("C")
        await remote.expect(match("defBLOBVector"))
        with socket.socket(socket.AF_UNIX) as local:
            local.settimeout(5)
            local.connect("\0" + name)
            local.sendall(
                b"<getProperties version='1.7'/><enableBLOB device='C'>Also</enableBLOB><pingRequest uid='1'/>"
            )
            await asyncio.to_thread(receive_with_descriptors, local, lambda got: b"pingReply" in got)
            local.sendall(b"<newTextVector device='C' name='go'><oneText name='t'>x</oneText></newTextVector>")
            got, fds = await asyncio.to_thread(receive_with_descriptors, local, lambda got: b"<setTextVector" in got)
            assert b"attached='true'" in got
            assert os.pread(fds[0], 300_001, 0)[:300_000] == data(300_000)
            for fd in fds:
                os.close(fd)
        blob = await remote.expect(match("setBLOBVector"))
        assert base64.b64decode(blob[0].text or "") == data(300_000)


@asynchronous
async def test_descriptors_go_along_with_their_element_among_others() -> None:
    ends = socket.socketpair()
    for end in ends:
        end.setblocking(False)
    here, there = PassingLink("there", ends[0]), PassingLink("here", ends[1])
    inbox, other = Recorder(), Recorder()
    here.open(other)
    there.open(inbox)
    before = count_descriptors()
    frames: list[Frame] = []
    for number in range(5):
        fd = os.memfd_create("blob")
        os.write(fd, bytes([number]) * 1000)
        os.lseek(fd, 0, os.SEEK_SET)
        raw = b'<setBLOBVector device="D" name="p" state="Ok"><oneBLOB name="m" size="1000" format=".x" attached="true"></oneBLOB></setBLOBVector>'
        from indipydriver.protocol.frame import address
        from indipydriver.transport.attached import Descriptor

        frames.append(AttachedFrame(address("setBLOBVector", "D", "p"), raw, [Descriptor(fd)], [1000]))
        frames.append(Frame(address("message", "D"), b'<message device="D" message="x"/>'))
    for frame in frames:
        here.write(Batch([frame], sealed=True))
    here.flush()
    await eventually(lambda: len(inbox.frames) == 10)
    for number, frame in enumerate(inbox.frames[::2]):
        assert isinstance(frame, AttachedFrame)
        inline = frame.inline()
        assert isinstance(inline, BlobFrame)
        message = decode(inline)
        assert isinstance(message, SetVector)
        (one,) = message.members
        assert isinstance(one, OneBlob)
        assert one.data == bytes([number]) * 1000
        assert b"".join(inline.chunks) == inline.raw
    assert not inbox.faults
    here.close()
    await inbox.until_closed()
    frames.clear()
    inbox.frames.clear()
    await eventually(lambda: count_descriptors() <= before)


@asynchronous
async def test_a_file_that_is_shortened_meanwhile_kills_nobody() -> None:
    from indipydriver.errors import MalformedFrame
    from indipydriver.protocol.frame import address
    from indipydriver.transport.attached import Descriptor

    fd = os.memfd_create("blob")
    os.write(fd, b"x" * 1000)
    raw = b'<setBLOBVector device="D" name="p"><oneBLOB name="m" size="1000" format=".x" attached="true"/></setBLOBVector>'
    frame = AttachedFrame(address("setBLOBVector", "D", "p"), raw, [Descriptor(fd)], [1000])
    os.ftruncate(fd, 10)
    with pytest.raises(MalformedFrame, match="ends after 10 of 1000"):
        frame.inline()
