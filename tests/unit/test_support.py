"""The test client is itself tested, without a server; and that tests keep to what they share."""

import ast
import asyncio

import pytest

from tests.support import ROOT, IndiClient, asynchronous, match, new_vector, parse, values_of
from tests.support.client import Cutter

STREAM = (
    b"<?xml version='1.0'?>\n<message device='a>b' message=\"it's\"/> junk "
    b"<setNumberVector device='D' name='N' state='Ok'>\n <oneNumber name='x'>\n1.5\n</oneNumber></setNumberVector>"
    b"<delProperty device='D'/>"
)


@pytest.mark.parametrize("size", [1, 2, 7, 8, len(STREAM)])
def test_it_cuts_a_stream_however_it_comes(size):
    cutter = Cutter()
    pieces = [STREAM[at : at + size] for at in range(0, len(STREAM), size)]
    elements = [element for piece in pieces for element in cutter.feed(piece)]
    assert [element.tag for element in elements] == ["message", "setNumberVector", "delProperty"]
    assert elements[0].attrib == {"device": "a>b", "message": "it's"}
    assert values_of(elements[1]) == {"x": "1.5"}
    assert not cutter.buffer


def test_matching():
    (element,) = parse(new_vector("Number", "D", "N", x=1, y=2).encode())
    assert match("newNumberVector", device="D", values={"x": "1"})(element)
    assert match("(new|set)NumberVector", state=None)(element)
    assert not match("setNumberVector")(element)
    assert not match(device="E")(element)
    assert not match(values={"x": "2"})(element)
    assert "device='D'" in match(device="D").__name__


@asynchronous
async def test_expecting():
    async def serve(reader, writer):
        writer.write(STREAM)
        await reader.readline()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, IndiClient(server.sockets[0].getsockname()[1]) as client:
        await client.expect(match("setNumberVector"))
        with pytest.raises(AssertionError, match=r"match\('message'\).*did not come(.|\n)*delProperty"):
            await client.expect(match("message"), timeout=0.05)  # it is past that one
        await client.send("enough\n")
        with pytest.raises(AssertionError, match="closed the connection"):
            await client.expect(match("message"))
    assert len(client.received) == 3


def test_what_has_a_threshold_is_marked_as_measured_and_nothing_else():
    marked, with_threshold = set(), set()
    for path in (ROOT / "tests").glob("*/test_*.py"):
        for test in ast.parse(path.read_text()).body:
            if isinstance(test, ast.FunctionDef | ast.AsyncFunctionDef):
                name = f"{path.parent.name}/{path.name}::{test.name}"
                if any(ast.unparse(each) == "pytest.mark.measured" for each in test.decorator_list):
                    marked.add(name)
                if any(isinstance(each, ast.Call) and ast.unparse(each.func) == "allowed" for each in ast.walk(test)):
                    with_threshold.add(name)
    assert with_threshold
    assert marked - with_threshold == {"hostile/test_soak.py::test_half_a_minute_of_a_rough_night"}  # in its helpers
    assert with_threshold - marked == set()
