"""What brings indiserver down, makes it hang or loses something there: here it does none of these."""

import asyncio
import base64
import contextlib
import os
import signal
import socket
import sys
import time

import pytest

from indipyserver import IPyServer
from tests.support import (
    IndiClient,
    allowed,
    asynchronous,
    eventually,
    gone,
    match,
    new_vector,
    running,
    running_server,
    still_served,
)
from tests.support.drivers import echo_driver
from tests.support.faults import echo_program, misbehaving
from tests.support.victim import MIB, victim


@asynchronous
async def test_versions_end_no_driver():
    strict = misbehaving(
        "define('S')\n"
        "held = b''\n"
        "while True:\n"
        " data = os.read(0, 65536)\n"
        " if not data: break\n"
        " held += data\n"
        " if b'<getProperties' in held and b'version=\"1.7\"' not in held: sys.exit(9)\n"
        " if held.rstrip().endswith(b'>'): held = b''\n"
        " define('S')"
    )
    async with victim(exdrivers=[strict]) as server, IndiClient(server.port) as client:
        await client.get_properties()
        await client.expect(match("defNumberVector", device="S"))
        for version in ("", "version='1.8'", "version='99'", "version=''"):
            await client.send(f"<getProperties {version}/><getProperties {version} device='S'/>")
        await client.settle()
        await still_served(server.port)
        assert "restart" not in server.log


BLOBS = {  # indiserver aborts, exits, overruns its memory or swallows what comes next
    "size is no number": "size='many' format='.x'>QUJD",
    "size out of range": "size='99999999999999999999999' format='.x'>QUJD",
    "size is negative": "size='-5' format='.x'>QUJD",
    "enclen smaller than the data": "size='300' enclen='4' format='.x'>" + base64.b64encode(b"x" * 300).decode(),
    "enclen negative": "size='3' enclen='-4' format='.x'>QUJD",
    "enclen is no number": "size='3' enclen='x' format='.x'>QUJD",
    "true enclen, unwrapped": "size='300' enclen='400' format='.x'>" + base64.b64encode(b"x" * 300).decode(),
    "no size at all": "format='.x'>QUJD",
    "no format": "size='3'>QUJD",
}


@pytest.mark.parametrize("what", BLOBS)
@pytest.mark.parametrize("pieces", [0, 7])
@asynchronous
async def test_wrong_blob_attributes_end_nothing(what, pieces):
    """The server relays or drops them; behind them everything is understood as before."""
    driver = echo_driver("A")
    async with running_server(driver) as server:
        async with IndiClient(server.port) as client, IndiClient(server.port) as other:
            await other.get_properties()
            await other.enable_blob("A")
            await other.settle()
            blob = f"<newBLOBVector device='A' name='image'><oneBLOB name='b' {BLOBS[what]}</oneBLOB></newBLOBVector>"
            text = (blob + new_vector("Number", "A", "pos", n=41)).encode()
            for i in range(0, len(text), pieces or len(text)):
                await client.send(text[i : i + (pieces or len(text))])
                await asyncio.sleep(0)
            await other.expect(match("setNumberVector", values={"n": "41"}))
        await still_served(server.port)


@pytest.mark.parametrize("size", [MIB, 3 * MIB - 1, 20 * MIB])
@asynchronous
async def test_wrapped_blobs_of_awkward_sizes_arrive_whole(size, tmp_path):
    script = misbehaving(
        "import base64\n"
        f"data = base64.encodebytes(bytes(range(256)) * ({size} // 256) + b'z' * ({size} % 256))\n"
        "held = b''\n"
        "while b'new' not in held:\n"
        "    held = os.read(0, 4096)\n"
        "    if b'getProperties' in held:\n"
        "        out(\"<defBLOBVector device='C' name='img' state='Ok' perm='ro'><defBLOB name='b'/></defBLOBVector>\\n\")\n"
        f"out(\"<setBLOBVector device='C' name='img' state='Ok'><oneBLOB name='b' size='{size}' format='.x'>\")\n"
        "view = memoryview(data)\n"
        "while view: view = view[os.write(1, view[:262144]):]\n"
        "out('</oneBLOB></setBLOBVector>')\n"
        "sys.stdin.read()"
    )
    server = IPyServer(host="127.0.0.1", port=0, unix_socket=f"/tmp/test-{os.getpid()}-{size}")
    server.add_exdriver(*script)
    async with running(server), IndiClient(server.port) as client:
        local = socket.socket(socket.AF_UNIX)
        local.settimeout(20)
        local.connect(f"\0/tmp/test-{os.getpid()}-{size}")
        local.sendall(b"<getProperties version='1.7'/><enableBLOB device='C'>Also</enableBLOB>")
        await client.get_properties()
        await client.expect(match("defBLOBVector"))
        await client.enable_blob("C")
        await client.settle()
        await client.send("<newTextVector device='C' name='go'><oneText name='x'>1</oneText></newTextVector>")
        element = await client.expect(match("setBLOBVector"), timeout=30)
        assert len(base64.b64decode(element[0].text)) == size
        with local:
            element, files = await asyncio.to_thread(attached_by, local)
        assert b'attached="true"' in element
        (file,) = files
        with os.fdopen(file, "rb") as data:
            data.seek(0)
            assert data.read(size) == bytes(range(256)) * (size // 256) + b"z" * (size % 256)


def attached_by(sock: socket.socket) -> tuple[bytes, list[int]]:
    """What has come until the end of a BLOB vector, and the descriptors that came along."""
    held, files = b"", []
    while b"</setBLOBVector>" not in held[-100:]:
        data, fds, _, _ = socket.recv_fds(sock, 65536, 16)
        held += data
        files += fds
    return held, files


@asynchronous
async def test_a_driver_that_snoops_its_own_device():
    selfish = misbehaving(
        "define('Me')\n"
        "out(\"<getProperties version='1.7' device='Me'/>\")\n"
        "count = 0\n"
        "while True:\n"
        " data = os.read(0, 65536)\n"
        " if not data: break\n"
        " if b'getProperties' in data: define('Me')\n"
        " for _ in range(data.count(b'<newNumberVector')):\n"
        "  count += 1\n"
        "  out(f\"<setNumberVector device='Me' name='pos' state='Ok'><oneNumber name='n'>{count}</oneNumber></setNumberVector>\")\n"
    )
    async with victim(exdrivers=[selfish]) as server, IndiClient(server.port) as client:
        await client.get_properties()
        await client.expect(match("defNumberVector", device="Me"))
        await client.send(new_vector("Number", "Me", "pos", n=1) * 50)
        await client.expect(match("setNumberVector", device="Me", values={"n": "50"}))
        await client.settle()
        assert max(int(e[0].text) for e in client.received if e.tag == "setNumberVector") == 50  # each once
        await still_served(server.port)


@asynchronous
async def test_a_remote_that_stops_or_has_no_name():
    async with victim(devices=["Far"]) as far, victim(remotes=[far.port]) as server, IndiClient(server.port) as client:
        await client.get_properties()
        await client.expect(match("defNumberVector", device="Far", name="pos"))
        far.program.signal(signal.SIGKILL)
        await client.expect(match("delProperty", device="Far"))
        await still_served(server.port)
    server = IPyServer(echo_driver("A"), host="127.0.0.1", port=0)
    server.add_remote("no-such-host.invalid", 7624)
    async with running(server):
        await still_served(server.port)


# More clients than descriptors: test_threats.py, the connection flood.


@pytest.mark.measured
@asynchronous
async def test_deep_nesting_costs_no_time():
    async with victim() as server:
        async with IndiClient(server.port) as client:
            with contextlib.suppress(ConnectionError):
                for _ in range(20):
                    await client.send(b"<newTextVector device='A' name='name'>" + b"<a>" * 20_000 + b"</newTextVector>")
        await still_served(server.port)
        assert server.cpu() < allowed(2)


@pytest.mark.parametrize(
    "broken",
    ["<newTextVector device='A' name='name'><oneText name='t'>x", "<getProperties & device=", "a & b", "<", "</"],
)
@asynchronous
async def test_something_unterminated_does_not_make_a_connection_mute(broken, caplog):
    async with running_server(echo_driver("A")) as server, IndiClient(server.port) as client:
        await client.send(f"{broken}\n")
        await client.get_properties()
        await client.expect(match("defNumberVector"))
    assert "skipped" in caplog.text


@asynchronous
async def test_long_and_binary_lines_on_stderr_are_logged_and_read_on(caplog):
    driver = misbehaving(
        "define('E')\n"
        "os.write(2, b'y' * 1023 + b'\\n' + b'z' * 200_000 + b'\\n')\n"
        "os.write(2, bytes(range(256)) * 4 + b'\\n')\n"
        "os.write(2, b'the last line\\n')\n"
        "sys.stdin.read()"
    )
    server = IPyServer(host="127.0.0.1", port=0)
    server.add_exdriver(*driver)
    async with running(server):
        await eventually(lambda: "the last line" in caplog.text)
    for record in caplog.records:
        assert len(record.getMessage()) < 20_000
        assert record.getMessage().isprintable()


@pytest.mark.measured
@asynchronous
async def test_a_long_backlog_costs_linear_time():
    """A client that is 40 MiB behind and then reads on: no time goes into the length of its queue."""
    driver = echo_driver("A")
    async with running_server(driver) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1 << 20)
        writer.transport.pause_reading()
        writer.write(b"<getProperties version='1.7'/>")
        await eventually(lambda: server.board.clients and server.board.clients[0].interest)
        vector = driver["A"]["name"]
        times = []
        for _ in range(4):
            begin = time.process_time()
            for i in range(5000):
                vector["t"] = f"{i}" + "x" * 2000
                await vector.send_setVector()
            times.append(time.process_time() - begin)
        assert server.board.clients[0].queued > 30 * MIB
        assert times[-1] < allowed(2.5) * times[0] + 0.1
        writer.transport.resume_reading()
        size = 0
        tail = b""
        async with asyncio.timeout(30):
            while b">4999x" not in tail or not tail.endswith(b"</setTextVector>\n"):
                data = await reader.read(1 << 20)
                size += len(data)
                tail = (tail + data)[-4096:]
        assert size > 40_000_000 - 1_000_000
        writer.close()


def hangs(element) -> bool:
    return "hangs" in element.get("message", "")


@pytest.mark.measured
@asynchronous
async def test_a_stuck_driver_costs_bounded_memory_and_is_ended():
    stuck = misbehaving("asked(2)\ndefine('Stuck')\ntime.sleep(1000)")
    async with (
        victim(exdrivers=[stuck], driver_options={"restarts": 100}, hang_time=1.0) as server,
        IndiClient(server.port) as flooder,
        IndiClient(server.port) as witness,
    ):
        await witness.get_properties()
        await witness.expect(match("defNumberVector", device="Stuck"))
        before = server.memory()
        command = "<newTextVector device='Stuck' name='x'><oneText name='t'>%s</oneText></newTextVector>" % (
            "x" * 60_000
        )

        async def flood() -> None:
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                for _ in range(1000):
                    await flooder.send(command)

        task = asyncio.create_task(flood())
        await witness.expect(hangs, timeout=10)
        await witness.expect(match("delProperty", device="Stuck"), timeout=10)
        assert server.peak() - before < allowed(40)
        await still_served(server.port)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


# Anybody commands everything: test_rights.py, test_tls.py, and the forgeries in test_threats.py.


@asynchronous
async def test_a_crash_loop_is_slowed_down_and_comes_back(tmp_path):
    flag = tmp_path / "healthy"
    driver = misbehaving(f"if not os.path.exists({str(flag)!r}): sys.exit(3)\ndefine('Back')\nsys.stdin.read()")
    async with (
        victim(exdrivers=[driver], driver_options={"restarts": 1000}, first_wait=0.1) as server,
        IndiClient(server.port) as client,
    ):
        await client.get_properties()
        begin = time.monotonic()
        await eventually(lambda: server.log.count("ended with status 3") >= 4, timeout=20)
        assert time.monotonic() - begin > 0.3  # 0.1 + 0.2 + 0.4 at least, less what was before
        flag.touch()
        await client.expect(match("defNumberVector", device="Back"), timeout=20)


@asynchronous
async def test_a_half_closed_client_gets_its_answers():
    async with running_server(echo_driver("A")) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"<getProperties version='1.7'/>")
        writer.write_eof()
        async with asyncio.timeout(15):
            answer = await reader.read(-1)
        assert answer.count(b"</def") >= 4
        writer.close()
        await still_served(server.port)


@asynchronous
async def test_two_servers_on_one_machine():
    from tests.support import started

    name = f"/tmp/test-two-{os.getpid()}"
    command = [sys.executable, "-m", "indipyserver", "-p", "0", "-u", name, "-f"]
    import tempfile

    with tempfile.TemporaryDirectory() as directory:
        os.mkfifo(f"{directory}/a")
        os.mkfifo(f"{directory}/b")
        with started(*command, f"{directory}/a") as one:
            await eventually(lambda: "serving" in one.stderr(), timeout=15)
            with started(*command, f"{directory}/b") as two:
                await eventually(lambda: "serving" in two.stderr(), timeout=15)
                assert "clients can reach this server by TCP only" in two.stderr()
                assert one.process.poll() is None


@asynchronous
async def test_blob_modes_of_two_clients_of_a_chain_do_not_disturb_each_other():
    driver = echo_driver("Far")
    async with running_server(driver) as below:
        above = IPyServer(host="127.0.0.1", port=0)
        above.add_remote("127.0.0.1", below.port, blob_enable=True)
        async with running(above), contextlib.AsyncExitStack() as stack:
            also, never, only = [await stack.enter_async_context(IndiClient(above.port)) for _ in range(3)]
            for client in (also, never, only):
                await client.get_properties()
                await client.expect(match("defBLOBVector", device="Far"))
            await also.enable_blob("Far", "Also")
            await also.settle()
            await only.enable_blob("Far", "Only")
            await only.settle()
            await never.enable_blob("Far", "Never")
            await never.settle()
            await eventually(lambda: any(p.interest.wants_blob("Far", "image") for p in below.board.clients))
            image = driver["Far"]["image"]
            image["b"] = b"picture"
            await image.send_setVectorMembers(members=["b"])
            driver["Far"]["name"]["t"] = "after it"
            await driver["Far"]["name"].send_setVector()
            await also.expect(match("setBLOBVector"))
            await also.expect(match("setTextVector", values={"t": "after it"}))
            await only.expect(match("setBLOBVector"))
            await never.expect(match("setTextVector", values={"t": "after it"}))
            assert not any(e.tag == "setBLOBVector" and len(e) for e in never.received)


@asynchronous
async def test_killed_servers_leave_no_driver_behind():
    async with victim(exdrivers=[echo_program("E")]) as server:
        await still_served(server.port, "E")
        (child,) = server.program.children()
        server.program.signal(signal.SIGKILL)
        await server.program.wait()
        await eventually(lambda: gone(child))
