"""A session that is cut, reset or stalled at any of its bytes: the client is right again by itself."""

import asyncio
import base64
import socket

import pytest

from indipyclient import Client, Retry
from indipydriver.transport.descriptor import DescriptorLink
from tests.support import asynchronous

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
    for size in range(0, len(SESSION) - len(numbers("Ok", RA=4)), 1 if end == "cut" else 5):
        assert await played((SESSION[:size], end), (SESSION, "")) == wanted, f"cut after {size} bytes"


@asynchronous
async def test_reset_at_any_byte():
    """By TCP, as a machine does that has been restarted."""
    wanted, _ = await played((SESSION, ""))
    async with scripted() as server:
        for size in range(0, len(SESSION) - len(numbers("Ok", RA=4)), 23):
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
    sizes = range(defined, len(SESSION) - len(numbers("Ok", RA=4)), 3)

    async def stalled(size):
        found = await played((SESSION[:size], ""), (SESSION, ""), idle=0.1, unanswered=0.25)
        assert found == wanted, f"stalled after {size} bytes"

    for start in range(0, len(sizes), 100):
        await asyncio.gather(*map(stalled, sizes[start : start + 100]))
