"""One test for each threat that INDI over a network brings: what it does here is what its name says.

After each, a client that behaves is served as before: `still_served`.
"""

import asyncio
import base64
import contextlib
import logging
import time
import zlib

import pytest

from indipydriver.protocol.framer import Framer, Limits
from indipydriver.protocol.limits import VIA_ROOM
from indipyserver import IPyServer
from indipyserver.routing.devices import MAX_DEVICES, MAX_PROPERTIES
from indipyserver.routing.outbox import OutboxLimits
from tests.support import (
    IndiClient,
    allowed,
    asynchronous,
    eventually,
    match,
    new_vector,
    running,
    running_server,
    still_served,
)
from tests.support.drivers import echo_driver
from tests.support.victim import MIB, victim


async def send_until_cut(client: IndiClient, data: bytes, most: int) -> int:
    """Send the same bytes again and again until the server ends the connection; returns how many went out."""
    count = 0
    with contextlib.suppress(ConnectionError):
        while count < most and not client.closed.is_set():
            await client.send(data)
            count += len(data)
            await asyncio.sleep(0)
    return count


def text_of(size: int, **extra: str) -> bytes:
    """A newTextVector of exactly so many bytes."""
    attributes = "".join(f" {k}='{v}'" for k, v in extra.items())
    head = f"<newTextVector device='A' name='name'{attributes}><oneText name='t'>".encode()
    tail = b"</oneText></newTextVector>"
    return head + b"x" * (size - len(head) - len(tail)) + tail


# Web pages

COMMAND = b"<newTextVector device='A' name='name'><oneText name='t'>by a web page</oneText></newTextVector>"


@pytest.mark.parametrize(
    "start",
    [
        b"POST / HTTP/1.1\r\nHost: localhost:7624\r\nContent-Type: text/plain\r\nContent-Length: 95\r\n\r\n",
        b"GET /?",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(32),  # a session ticket may be of any content
    ],
    ids=["form", "address", "ticket"],
)
@asynchronous
async def test_no_web_page_commands_a_device_through_a_browser(start):
    driver = echo_driver("A")
    async with running_server(driver, client_limits=Limits()) as server:
        async with IndiClient(server.port) as browser:
            await browser.send(start + COMMAND)
            await asyncio.wait_for(browser.closed.wait(), 5)
        assert not driver.executed
        await still_served(server.port)


# Entities

BOMBS: list[tuple[bytes, list[str]]] = [  # and what texts the driver gets
    (b"<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;'>]>", []),
    (
        b"<newTextVector device='A' name='name'><!DOCTYPE x [<!ENTITY a 'b'>]><oneText name='t'>&a;</oneText></newTextVector>",
        [],
    ),
    (b"<newTextVector device='A' name='name'><oneText name='t'>&undefined;</oneText></newTextVector>", ["&undefined;"]),
    (b"<newTextVector device='A' name='name'><oneText name='t'><![CDATA[x]]></oneText></newTextVector>", []),
    (
        b"<!DOCTYPE x SYSTEM 'file:///etc/passwd'><newTextVector device='A' name='name'><oneText name='t'>&x;</oneText></newTextVector>",
        ["&x;"],
    ),
]


@pytest.mark.parametrize(("bomb", "texts"), BOMBS)
@asynchronous
async def test_entities_are_never_expanded(bomb, texts):
    driver = echo_driver("A")
    async with running_server(driver) as server:
        async with IndiClient(server.port) as client:
            await client.send(bomb * 3)
            with contextlib.suppress(AssertionError, ConnectionError):
                await client.settle()
        await still_served(server.port)
    assert [values["t"] for _, name, values in driver.executed if name == "name"] == texts * 3


# Sizes


@pytest.mark.parametrize(
    ("excess", "outcome"),
    [(-VIA_ROOM, "taken"), (1 - VIA_ROOM, "dropped"), (0, "dropped"), (1, "cut"), (1000, "cut")],
)
@asynchronous
async def test_an_element_may_have_1_mib_less_the_room_for_its_way_and_not_a_byte_more(excess, outcome):
    driver = echo_driver("A")
    async with running_server(driver) as server:
        async with IndiClient(server.port) as client:
            with contextlib.suppress(ConnectionError):
                await client.send(text_of(MIB + excess))
            if outcome == "cut":
                await asyncio.wait_for(client.closed.wait(), 5)
            else:
                await client.settle()
            if outcome == "taken":
                await eventually(lambda: len(driver.executed) == 1)
            else:
                assert driver.executed == []
        await still_served(server.port)


@pytest.mark.measured
@asynchronous
async def test_an_element_without_end_is_cut_and_its_memory_is_bounded():
    async with victim() as server:
        before = server.memory()
        async with IndiClient(server.port) as client:
            await client.send(b"<newTextVector device='A' name='name'><oneText name='t'>")
            sent = await send_until_cut(client, b"x" * 65536, 200 * MIB)
        assert sent < 64 * MIB  # what the kernel took before the connection ended
        assert server.peak() - before < allowed(8)
        await eventually(lambda: "the limit is 1048576" in server.log)  # written behind the reset
        await still_served(server.port)


@pytest.mark.parametrize(("size", "taken"), [(65536, True), (65537, False), (1 << 22, False)])
@asynchronous
async def test_a_blob_of_a_client_has_a_limit(size, taken):
    driver = echo_driver("A")
    async with running_server(driver, client_limits=Limits(blob=65536)) as server:
        async with IndiClient(server.port) as client:
            head, tail = (
                b"<newBLOBVector device='A' name='image'><oneBLOB name='b' size='%07d' format='.x'>",
                b"</oneBLOB></newBLOBVector>",
            )
            fill = size - len(head % 0) - len(tail)
            head %= fill // 4 * 3
            with contextlib.suppress(ConnectionError):
                await client.send(head + b" " * (fill % 4) + b"A" * (fill - fill % 4) + tail)
            if taken:
                await eventually(lambda: len(driver.executed) == 1)
            else:
                await asyncio.wait_for(client.closed.wait(), 5)
                assert driver.executed == []
        await still_served(server.port)


@pytest.mark.measured
@asynchronous
async def test_a_blob_without_end_is_cut_at_64_mib():
    async with victim() as server:
        before = server.memory()
        async with IndiClient(server.port) as client:
            await client.send(b"<newBLOBVector device='A' name='image'><oneBLOB name='b' size='1' format='.x'>")
            sent = await send_until_cut(client, b"A" * 262144, 400 * MIB)
        assert 64 * MIB <= sent < 128 * MIB
        assert server.peak() - before < 64 + allowed(64 * 0.3 + 8)
        await still_served(server.port)
        await eventually(lambda: server.memory() - before < allowed(24))


@pytest.mark.parametrize(
    ("size", "taken", "goes_on"),
    [
        (16384 - VIA_ROOM, True, True),
        (16385 - VIA_ROOM, False, True),
        (16384, False, True),
        (16385, False, False),
        (1 << 20, False, False),
    ],
)
@asynchronous
async def test_a_start_tag_may_have_16_kib_less_the_room_for_its_way(size, taken, goes_on):
    start = b"<getProperties version='1.7'"
    tag = start
    while size - len(tag) > 3000:
        tag += f" a{len(tag)}='{'x' * 2000}'".encode()
        if tag.count(b"=") > 20 and size < 1 << 20:
            break
    tag += b" " * (size - len(tag) - 2) + b"/>"
    framer = Framer()
    frames = framer.feed(tag)
    assert (len(frames) == 1) is taken
    assert (framer.failed is None) is goes_on


@pytest.mark.parametrize(
    ("element", "taken"),
    [
        ("<message {}/>".format(" ".join(f"a{i}='x'" for i in range(32))), True),
        ("<message {}/>".format(" ".join(f"a{i}='x'" for i in range(33))), False),
        ("<message {}/>".format(" ".join(f"a{i}=''" for i in range(1500))), False),
        (f"<message message='{'x' * 4096}'/>", True),
        (f"<message message='{'x' * 4097}'/>", False),
        (f"<message device='{'x' * 256}'/>", True),
        (f"<message device='{'x' * 257}'/>", False),
        (f"<message device='{'x' * 16000}'/>", False),
        ("<newTextVector device='A' name='n'>%s</newTextVector>" % ("<oneText name='t'>x</oneText>" * 1024), True),
        ("<newTextVector device='A' name='n'>%s</newTextVector>" % ("<oneText name='t'>x</oneText>" * 1025), False),
        ("<newTextVector device='A' name='n'>%s</newTextVector>" % ("<oneText name='t'/>" * 50000), False),
    ],
)
def test_attributes_names_and_members_have_limits(element, taken):
    framer = Framer()
    assert (len(framer.feed(element.encode() + b"\n")) == 1) is taken
    assert bool(framer.faults) is not taken
    assert [f.tag.text for f in framer.feed(b"<getProperties version='1.7'/>")] == ["getProperties"]


@pytest.mark.measured
@asynchronous
async def test_an_attribute_bomb_costs_little():
    """300 000 attributes in one tag: cut at 16 KiB, long before expat would have seen it."""
    async with victim() as server:
        async with IndiClient(server.port) as client:
            bomb = b"<newTextVector device='A' name='name' " + b"".join(b"a%d='' " % i for i in range(300_000))
            with contextlib.suppress(ConnectionError):
                await client.send(bomb)
            await asyncio.wait_for(client.closed.wait(), 5)
        assert server.cpu() < allowed(2)
        await still_served(server.port)


def definition(device: str, name: str) -> bytes:
    return f"<defTextVector device='{device}' name='{name}' state='Ok' perm='rw'><defText name='t'>x</defText></defTextVector>\n".encode()


@asynchronous
async def test_devices_and_properties_of_one_party_are_counted():
    async with running(IPyServer(host="127.0.0.1", port=0)) as server:
        async with IndiClient(server.port) as upstream:
            await upstream.send(b"<getProperties version='1.7' device='*'/>")
            for start in range(0, MAX_PROPERTIES + 50, 250):
                await upstream.send(b"".join(definition("D0", f"p{i}") for i in range(start, start + 250)))
                await upstream.settle()
            await upstream.send(b"".join(definition(f"D{i}", "p") for i in range(1, MAX_DEVICES + 50)))
            await upstream.settle()
            devices = server.board.router.devices
            assert len(devices.get("D0").properties) == MAX_PROPERTIES
            assert len(list(devices)) == MAX_DEVICES
            upstream.writer.transport.abort()
            await upstream.closed.wait()
        await eventually(lambda: not list(devices), timeout=8)  # it may still have wanted answers


@pytest.mark.parametrize("depth", [2, 3, 3000, 200_000])
@asynchronous
async def test_depth_is_two(depth):
    driver = echo_driver("A")
    async with running_server(driver) as server:
        async with IndiClient(server.port) as client:
            inner = b"<oneText name='t'>" * (depth - 1) + b"x" + b"</oneText>" * (depth - 1)
            with contextlib.suppress(ConnectionError):
                await client.send(b"<newTextVector device='A' name='name'>" + inner + b"</newTextVector>")
                with contextlib.suppress(AssertionError):
                    await client.settle()
        await still_served(server.port)
    assert [name for _, name, _ in driver.executed] == (["name"] if depth == 2 else []) + ["pos"]


@pytest.mark.parametrize(("size", "taken"), [(65536, True), (65537, False), (1 << 24, False)])
@asynchronous
async def test_junk_in_a_row_is_limited_to_64_kib(size, taken):
    async with running_server(echo_driver("A")) as server:
        async with IndiClient(server.port) as client:
            with contextlib.suppress(ConnectionError):
                await client.send(b"j" * size)
            if taken:
                await client.settle()
            else:
                await asyncio.wait_for(client.closed.wait(), 5)
        await still_served(server.port)


# Time


@pytest.mark.measured
@asynchronous
async def test_slow_loris_is_cut_and_idle_clients_are_not():
    """Three that hold half an element open (silent, one byte now and then, and one that goes on), and one idle."""
    async with running_server(echo_driver("A"), progress_time=0.4) as server, contextlib.AsyncExitStack() as stack:
        silent, drip, honest, idle = [await stack.enter_async_context(IndiClient(server.port)) for _ in range(4)]
        half = b"<newTextVector device='A' name='name'><oneText name='t'>"
        for client in (silent, drip, honest):
            await client.send(half)
        begin = time.monotonic()
        while time.monotonic() - begin < allowed(2) and not (silent.closed.is_set() and drip.closed.is_set()):
            if not drip.closed.is_set():
                with contextlib.suppress(ConnectionError):
                    await drip.send(b"x")
            await honest.send(b"y" * 600)
            await asyncio.sleep(0.05)
        assert silent.closed.is_set()
        assert drip.closed.is_set()
        assert 0.3 < time.monotonic() - begin < allowed(2)
        await honest.send(b"</oneText></newTextVector>")
        await honest.settle()
        await idle.settle()
        assert not idle.closed.is_set()


@asynchronous
async def test_no_timer_runs_between_elements():
    async with running_server(echo_driver("A"), progress_time=0.2) as server, IndiClient(server.port) as client:
        await client.get_properties()
        await client.settle()
        (peer,) = server.board.clients
        assert peer.link._progress._timer is None
        await client.send(b"<getProp")
        await eventually(lambda: peer.link._progress._timer is not None)
        await client.send(b"erties version='1.7'/>")
        await client.settle()
        assert peer.link._progress._timer is None


@pytest.mark.measured
def test_framing_is_linear_whatever_the_pieces():
    """Pieces of 8 bytes, as libindi's indiserver reads and writes: twice the bytes cost twice the time, not four times."""

    def cost(size: int) -> float:
        framer = Framer(Limits(frame=1 << 24))
        data = text_of(size)
        begin = time.process_time()
        count = 0
        for i in range(0, len(data), 8):
            count += len(framer.feed(data[i : i + 8]))
        assert count == 1
        return time.process_time() - begin

    cost(100_000)
    assert min(cost(1 << 20) for _ in range(3)) < allowed(3.2) * min(cost(1 << 19) for _ in range(3)) + 0.01


def test_a_whole_element_is_never_held_back():
    """Expat since 2.6 may wait for more before it parses; here an element comes out with its last byte."""
    for element in (b"<getProperties version='1.7'/>", text_of(200), text_of(5000, timestamp="2026-01-01T00:00:00")):
        framer = Framer()
        for i in range(len(element) - 1):
            assert framer.feed(element[i : i + 1]) == []
        assert len(framer.feed(element[-1:])) == 1


# Readers that do not read


@asynchronous
async def test_a_client_that_does_not_read_is_cut_at_its_limit_and_the_others_get_everything():
    driver = echo_driver("A")
    limits = OutboxLimits(total=4 * MIB)
    async with running_server(driver, limits=limits) as server, IndiClient(server.port) as good:
        await good.get_properties()
        await good.expect(match("defTextVector"))
        _, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1)
        writer.transport.pause_reading()
        writer.write(b"<getProperties version='1.7'/>")
        await eventually(lambda: len(server.board.clients) == 2)
        await good.settle()
        vector = driver["A"]["name"]
        worst = 0
        for i in range(400):
            vector["t"] = f"{i:06}" + "x" * 30_000
            await vector.send_setVector()
            worst = max(worst, *(peer.queued for peer in server.board.peers))
            await good.expect(match("setTextVector"))
        await eventually(lambda: len(server.board.clients) == 1)
        assert worst < 5 * MIB
        assert sum(e.tag == "setTextVector" for e in good.received) == 400
        writer.transport.abort()


# Values


@asynchronous
async def test_a_compressed_blob_is_handed_on_as_it_is():
    """Nothing here inflates: a bomb of 1 MiB that would become 1 GiB reaches the driver as 1 MiB."""
    driver = echo_driver("A")
    got = []

    async def rxevent(event):
        got.append(event["b"])

    driver.rxevent = rxevent
    bomb = zlib.compress(bytes(64 * MIB), 9)
    async with running_server(driver) as server, IndiClient(server.port) as client:
        data = base64.b64encode(bomb).decode()
        await client.send(
            f"<newBLOBVector device='A' name='image'><oneBLOB name='b' size='{64 << 20}' format='.fits.z'>{data}</oneBLOB></newBLOBVector>"
        )
        await eventually(lambda: got)
    value = got[0][0] if isinstance(got[0], tuple) else got[0]
    assert bytes(value) == bomb


@pytest.mark.parametrize("text", ["QUJD*", "QUJ", "Q=JD", "QUJD=QUJD", "&amp;&amp;", "\xe9\xe9\xe9\xe9", "<b/>"])
@asynchronous
async def test_base64_garbage_never_reaches_a_driver(text):
    driver = echo_driver("A")
    async with running_server(driver) as server:
        async with IndiClient(server.port) as client:
            await client.send(
                f"<newBLOBVector device='A' name='image'><oneBLOB name='b' size='3' format='.x'>{text}</oneBLOB></newBLOBVector>".encode()
            )
            with contextlib.suppress(AssertionError):
                await client.settle()
        await still_served(server.port)
    assert [name for _, name, _ in driver.executed] == ["pos"]


@pytest.mark.parametrize(
    "number", ["nan", "inf", "-Infinity", "1e400", "0x10", "1_000", "9" * 129, "12:99:xx", "", "1e", "\u0661"]
)
@asynchronous
async def test_no_number_that_is_none_reaches_a_driver(number):
    driver = echo_driver("A")
    async with running_server(driver) as server:
        async with IndiClient(server.port) as client:
            await client.get_properties()
            await client.expect(match("defNumberVector"))
            await client.send(new_vector("Number", "A", "pos", n=number))
            await client.expect(match("setNumberVector", state="Alert"))
        await still_served(server.port)
    assert len(driver.executed) == 1


@pytest.mark.parametrize("version", ["", " version='9.9'", " version='1.8'", " version='x'"])
@asynchronous
async def test_a_version_never_reaches_a_driver(version):
    seen = []
    async with running_server(echo_driver("A")) as server:
        (driver,) = server.board.peers
        driver.trace = lambda direction, frame: seen.append(frame.raw) if direction == "to" else None
        async with IndiClient(server.port) as client:
            await client.send(f"<getProperties{version}/>")
            await client.expect(match("defNumberVector"))
    assert [raw.replace(b" /", b"/") for raw in seen] == [b'<getProperties version="1.7"/>']


# Whom to believe

FORGERIES = [
    "<setNumberVector device='A' name='pos' state='Ok'><oneNumber name='n'>99</oneNumber></setNumberVector>",
    "<defTextVector device='A' name='forged' state='Ok' perm='rw'><defText name='t'>x</defText></defTextVector>",
    "<defTextVector device='Forged' name='forged' state='Ok' perm='rw'><defText name='t'>x</defText></defTextVector>",
    "<delProperty device='A'/>",
    "<delProperty device='A' name='pos'/>",
    "<delProperty/>",
    "<message device='A' message='forged'/>",
    "<message message='forged'/>",
]


@pytest.mark.parametrize("forgery", FORGERIES)
@pytest.mark.parametrize("introduced", [False, True])
@asynchronous
async def test_nobody_speaks_for_the_device_of_another(forgery, introduced):
    async with running_server(echo_driver("A")) as server, IndiClient(server.port) as client:
        await client.get_properties()
        await client.expect(match("defBLOBVector"))
        async with IndiClient(server.port) as forger:
            if introduced:
                await forger.send("<getProperties version='1.7' device='*'/>")
            await forger.send(forgery)
            await forger.settle()
            news = [e for e in await client.settle() if e.tag != "defTextVector" or e.get("device") != "Forged"]
            if introduced:  # a server above may speak for itself
                news = [e for e in news if e.get("message") != "forged" or e.get("device")]
                news = [e for e in news if "already served" not in e.get("message", "")]
            assert [e for e in news if e.tag not in ("defNumberVector", "defSwitchVector", "defBLOBVector")] == []


@asynchronous
async def test_a_name_is_never_a_path(tmp_path):
    """The only names that become files are days: a timestamp that is no date, or a path, does not."""
    inside = tmp_path / "log"
    inside.mkdir()
    script = (
        "import sys,time\n"
        "for t in ('../../evil','2026-01-01/../../evil','/etc/passwd','....-..-..'):\n"
        " print(f\"<defTextVector device='../evil' name='../../x' state='Ok' perm='ro' timestamp='{t}' message='m'>"
        "<defText name='/etc'>x</defText></defTextVector>\", flush=True)\n"
        "sys.stdin.read()"
    )
    import sys

    async with victim(exdrivers=[[sys.executable, "-c", script]], log_dir=str(inside)) as server:
        await eventually(lambda: sum(f.read_text().count("\n") for f in inside.iterdir()) == 4)
        await still_served(server.port)
    assert [path.name for path in tmp_path.iterdir()] == ["log"]
    assert all(path.suffix == ".islog" and path.stem[:4].isdigit() for path in inside.iterdir())


@asynchronous
async def test_log_lines_cannot_be_forged(caplog):
    caplog.set_level(logging.DEBUG)
    evil = "x&#10;ERROR forged line&#27;[31m\n\x1b[2J"
    async with running_server(echo_driver("A"), audit=True) as server, IndiClient(server.port) as client:
        await client.get_properties()
        await client.send(f"{evil}<setTextVector device='A&#10;B' name='{evil}'/>")
        await client.send(f"<newTextVector device='A' name='name'><oneText name='t'>{evil}</oneText></newTextVector>")
        await client.settle()
    ours = [r for r in caplog.records if r.name.startswith("indipy")]
    assert ours
    for record in ours:
        assert "\x1b" not in record.getMessage()
        assert "\n" not in record.getMessage()


@pytest.mark.measured
@pytest.mark.parametrize(
    "text", ["%999999f", "%n", "%s%s%s", "%*d", "%.999999999f", "%9999999999999m", "%9.99999999m", "", "%"]
)
def test_a_number_format_is_data_and_not_printf(text):
    from indipydriver.protocol.values import format_number

    begin = time.process_time()
    try:
        shown = format_number(text, 1.5)
    except (ValueError, TypeError):
        shown = ""
    assert len(shown) <= 1024
    assert time.process_time() - begin < allowed(0.5)


# Connections


@asynchronous
async def test_one_client_too_many_is_closed_at_once():
    async with running_server(echo_driver("A"), maxconnections=3) as server, contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(IndiClient(server.port)) for _ in range(3)]
        for client in clients:
            await client.settle()
        async with IndiClient(server.port) as fourth:
            await asyncio.wait_for(fourth.closed.wait(), 5)
        for client in clients:
            await client.settle()
        assert server.stats().clients_refused == 1
        await stack.aclose()
        await eventually(lambda: not server.connectionpool)
        await still_served(server.port)


@pytest.mark.measured
@asynchronous
async def test_a_connection_flood_pauses_at_the_descriptor_limit_and_recovers():
    async with victim(maxconnections=10_000, nofile=64) as server, IndiClient(server.port) as early:
        await early.get_properties()
        await early.expect(match("defTextVector", device="A"))
        crowd = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(150)]
        await eventually(lambda: "no clients are accepted" in server.log)
        cpu = server.cpu()
        await early.send(new_vector("Number", "A", "pos", n=5))
        await early.expect(match("setNumberVector", values={"n": "5"}))
        await asyncio.sleep(1.2)
        assert server.cpu() - cpu < allowed(0.5)  # it does not spin
        for _, writer in crowd:
            writer.close()
        await still_served(server.port)
        await eventually(lambda: server.descriptors() < 20, timeout=10)


@pytest.mark.measured
@asynchronous
async def test_many_thousand_short_connections_leave_nothing_behind():
    async with victim() as server:
        await still_served(server.port)
        memory, descriptors = 0.0, server.descriptors()
        for turn in range(40):
            if turn == 15:  # what is kept for the next ones is there now
                memory = server.memory()
            pairs = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", server.port) for _ in range(50)))
            for number, (_, writer) in enumerate(pairs):
                if number % 2:
                    writer.write(b"<getProperties version='1.7'/><new")
                writer.transport.abort()
        await still_served(server.port)
        await eventually(lambda: server.descriptors() <= descriptors, timeout=10)
        assert server.memory() - memory < allowed(12)
