"""A session that is cut, reset or stalled at any of its bytes: the client is right again by itself."""

import asyncio
import base64
import contextlib
import socket
from pathlib import Path

import pytest

from indipyclient import Client, IPyClient, LinkLost, NotConnected, Retry
from indipyclient.addresses import Endpoint
from indipyclient.look import Look
from indipyclient.model.model import Model
from indipyclient.quick import read
from indipydriver.errors import RemoteProtocolError
from indipydriver.protocol.framer import Framer
from indipydriver.transport.descriptor import DescriptorLink
from tests.support import asynchronous, match

from .scripted import BLOB, DEFINE, SWITCHES, numbers, scripted

PICTURE = f'<oneBLOB name="CCD1" size="30" format=".x">{base64.b64encode(bytes(range(30))).decode()}</oneBLOB>'
SESSION = "\n".join(
    [
        DEFINE,
        BLOB,
        numbers("Busy", RA=3, message="a &lt;b&gt;"),
        f'<setBLOBVector device="CCD" name="CCD1" state="Ok">{PICTURE}</setBLOBVector>',
        SWITCHES,
        '<delProperty device="Mount" name="CONNECTION"/>',
        '<message device="Mount" message="end"/>',
        numbers("Ok", RA=4),
    ]
).encode()


def facts(client):
    """What a person would see."""
    return {
        p.key: (p.state, p.label, p.values, {n: m.data for n, m in p.members.items()}, client.is_stale(p))
        for p in client.model
    }


class Server:
    """Gives each new link the bytes that come next in `plays`; an empty end means the link stays open."""

    def __init__(self, *plays: tuple[bytes, str]) -> None:
        self.plays = list(plays)
        self.ends: list[socket.socket] = []

    async def connect(self) -> DescriptorLink:
        data, end = self.plays.pop(0)
        ours, theirs = socket.socketpair()
        for sock in (ours, theirs):
            sock.setblocking(False)
        ours.send(data)
        if end == "cut":
            ours.close()
        elif end == "half":
            ours.shutdown(socket.SHUT_WR)
            self.ends.append(ours)
        else:
            self.ends.append(ours)
        return DescriptorLink("test", sock=theirs)

    def close(self) -> None:
        for sock in self.ends:
            sock.close()


async def played(*plays, idle=20.0, unanswered=40.0):
    """What the client knows after these links."""
    server = Server(*plays)
    client = Client(connect=server.connect, retry=Retry.every(0.0))
    await client.start(wait=False)
    client._engine.idle, client._engine.unanswered = idle, unanswered
    try:
        await client.wait_property("Mount", "EQ", where=lambda p: p["RA"].number == 4)
        client.model.sweep()  # what takes 5 s otherwise
        return facts(client), [note.text for note in client.notes("Mount")][-1:]
    finally:
        await client.aclose()
        server.close()


@pytest.mark.parametrize("end", ["cut", "half"])
@pytest.mark.timeout(120)
@asynchronous
async def test_cut_at_any_byte(end):
    wanted = await played((SESSION, ""))
    assert len(wanted[0]) == 2
    for size in range(len(SESSION) - len(numbers("Ok", RA=4))):
        assert await played((SESSION[:size], end), (SESSION, "")) == wanted, f"cut after {size} bytes"


@asynchronous
async def test_reset_at_any_byte():
    """By TCP, as a machine does that has been restarted."""
    wanted, _ = await played((SESSION, ""))
    async with scripted() as server:
        for size in range(len(SESSION) - len(numbers("Ok", RA=4))):
            async with Client("127.0.0.1", server.port, retry=Retry.every(0.0)) as client:
                first = await server.client(SESSION[:size])
                first.reset()
                await server.client(SESSION)
                await client.wait_property("Mount", "EQ", where=lambda p: p["RA"].number == 4)
                client.model.sweep()
                assert facts(client) == wanted, f"reset after {size} bytes"


@pytest.mark.timeout(120)
@asynchronous
async def test_stalled_at_any_byte():
    """The link stays open and says nothing more; as it takes a moment each, several are tried at once."""
    wanted = await played((SESSION, ""))
    defined = len(DEFINE) + 1  # before that a client only asks again
    sizes = range(defined, len(SESSION) - len(numbers("Ok", RA=4)))

    async def stalled(size):
        found = await played((SESSION[:size], ""), (SESSION, ""), idle=0.3, unanswered=1.5)
        assert found == wanted, f"stalled after {size} bytes"

    for start in range(0, len(sizes), 100):
        await asyncio.gather(*map(stalled, sizes[start : start + 100]))


CAPTURES = sorted((Path(__file__).parents[2] / "fixtures" / "captures").glob("*.xml"))


def model_facts(model):
    return {p.key: (p.state, p.label, p.members, model.is_stale(p)) for p in model}


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda path: path.stem)
def test_a_recorded_session_that_is_cut_at_any_byte(capture):
    """What real drivers said, without sockets: what was cut counts as far as it was whole, and the rest comes again."""
    data = capture.read_bytes()
    whole = Framer(lenient=True).feed(data)
    framer, complete = Framer(lenient=True), 0
    for index in range(len(data)):
        for frame in framer.feed(data[index : index + 1]):
            assert frame.raw == whole[complete].raw, f"after {index + 1} bytes"
            complete += 1
    assert complete == len(whole)
    messages = []
    for frame in whole:
        with contextlib.suppress(RemoteProtocolError):  # real drivers also send what means nothing
            messages.append(read(frame))
    assert len(messages) > 1
    model = Model()
    model.link_made()
    for message in messages:
        model.apply(message)
    wanted = model_facts(model)
    for size in range(len(messages) + 1):
        model = Model()
        for part in (messages[:size], messages):
            model.link_made()
            for message in part:
                model.apply(message)
            model.link_lost()
            assert all(map(model.is_stale, model))
        model.connected = True
        model.sweep()
        assert model_facts(model) == wanted, f"cut after {size} elements"


@pytest.mark.timeout(120)
@asynchronous
async def test_a_command_whose_answer_is_cut_at_any_byte():
    """It is told that nobody knows what became of it, unless the answer was whole; and it never hangs."""
    answer = numbers("Busy", RA=3, DEC=2).encode() + numbers("Ok", RA=3, DEC=2).encode()
    async with scripted() as server:
        for size in range(len(answer) + 1):
            async with Client("127.0.0.1", server.port, reconnect=False) as client:
                link = await server.client(DEFINE)
                await client.wait_property("Mount", "EQ")
                task = asyncio.create_task(client.set("Mount", "EQ", RA=3))
                await link.expect(match("newNumberVector"))
                await link.send(answer[:size])
                link.close()
                if size == len(answer):
                    assert (await asyncio.wait_for(task, 5)).confirmed
                else:
                    with pytest.raises(LinkLost):
                        await asyncio.wait_for(task, 5)


class Follower(IPyClient):
    """PyPI's API, which forgets everything with the connection."""

    def __init__(self, port):
        super().__init__("127.0.0.1", port)
        self.enable_reports = False
        self.right = asyncio.Event()

    async def rxevent(self, event):
        if event.eventtype == "Set" and event.get("RA") == "4":
            self.right.set()


@pytest.mark.parametrize("end", ["cut", "reset", "stalled"])
@pytest.mark.timeout(120)
@asynchronous
async def test_the_client_with_the_api_of_pypi(end, monkeypatch):
    monkeypatch.setattr("indipyclient.ipyclient.RETRY", 0.0)
    wanted = None
    async with scripted() as server:
        first = len(DEFINE) + 1 if end == "stalled" else 0
        for size in [None, *range(first, len(SESSION) - len(numbers("Ok", RA=4)), 7)]:
            client = Follower(server.port)
            client.idle_timeout, client.respond_timeout = (0.03, 0.06) if end == "stalled" else (20, 40)
            running = asyncio.create_task(client.asyncrun())
            if size is not None:
                link = await server.client(SESSION[:size])
                if end != "stalled":
                    link.close() if end == "cut" else link.reset()
            await server.client(SESSION)
            await asyncio.wait_for(client.right.wait(), 5)
            found = {
                (device, name): (vector.state, dict(vector), vector.enable)
                for device, vectors in client.items()
                for name, vector in vectors.items()
            }
            wanted = wanted or found
            assert found == wanted, f"{end} after {size} bytes"
            client.shutdown()
            await running


@pytest.mark.timeout(120)
@asynchronous
async def test_a_look_that_is_cut_at_any_byte():
    """It has what it looked for, or says that the server has gone."""

    def look(port):
        try:
            with Look(Endpoint("127.0.0.1", port)) as made:
                made.ask()
                return made.until(lambda: made.model.get("Mount", "EQ") is not None, 5)
        except NotConnected:
            return False

    async with scripted() as server:
        for size in range(len(DEFINE) + 3):
            task = asyncio.create_task(asyncio.to_thread(look, server.port))
            link = await server.client((DEFINE + "\n\n\n").encode()[:size])
            link.close() if size % 2 else link.reset()
            found = await task
            assert size < len(DEFINE) or found or not size % 2, size
            assert not found or size >= len(DEFINE), size
