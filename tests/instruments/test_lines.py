"""Questions to an instrument, and answers that come late, or never."""

import asyncio
import contextlib
import os
import pty
import termios

import pytest

from indipydriver.instruments import Focuser, Network, lines
from indipydriver.instruments.lines import Line
from indipydriver.testing import driver_test
from tests.instruments.sessions import Session


class Device(asyncio.WriteTransport):
    """Answers each question in order, after the seconds that the question names; `lost` ones never."""

    def __init__(self):
        self.incoming = lines._Incoming()
        self.asked, self.waiting, self.work = [], [], None

    def write(self, data):
        for question in data.splitlines():
            self.asked.append(question.decode())
            self.waiting.append(question.decode())
        if self.work is None or self.work.done():
            self.work = asyncio.ensure_future(self.answer())

    async def answer(self):
        while self.waiting:
            word, _, seconds = self.waiting.pop(0).partition(" ")
            await asyncio.sleep(float(seconds or 0))
            if word != "lost":
                self.incoming.data_received(f"{word}!\n".encode())

    def get_write_buffer_size(self):
        return 0

    def is_closing(self):
        return False

    def abort(self):
        self.incoming.connection_lost(None)


def opened():
    device = Device()
    return device, Line(device.incoming, [device], "it")


@pytest.mark.parametrize("late", [5.1, 5.5, 8])
@driver_test
async def test_an_answer_that_is_too_late_is_not_taken_for_the_next(late):
    _, line = opened()
    with pytest.raises(TimeoutError, match="no answer to b'first "):
        await line.ask(f"first {late - 0.05}\n".encode())
    assert await line.ask(b"second 0.5\n") == b"second!"
    assert await line.ask(b"third\n") == b"third!"


@driver_test
async def test_the_answer_to_a_question_that_was_cancelled_is_not_taken_for_the_next():
    _, line = opened()
    moving = asyncio.ensure_future(line.ask(b"move 0.2\n"))
    await asyncio.sleep(0.1)
    moving.cancel()
    await asyncio.wait([moving])
    begin = asyncio.get_running_loop().time()
    assert await line.ask(b"stop 0.2\n") == b"stop!"
    assert asyncio.get_running_loop().time() - begin == pytest.approx(0.3)


@driver_test
async def test_an_answer_that_is_lost_costs_a_second_and_nothing_else():
    _, line = opened()
    clock = asyncio.get_running_loop().time
    with pytest.raises(TimeoutError):
        await line.ask(b"lost\n")
    begin = clock()
    assert await line.ask(b"second 0.2\n") == b"second!"
    assert clock() - begin == pytest.approx(1.2)
    begin = clock()
    assert await line.ask(b"third 0.2\n") == b"third!"
    assert clock() - begin == pytest.approx(0.2)


@driver_test
async def test_many_late_answers_are_left_out():
    _, line = opened()
    for n in range(5):
        with pytest.raises(TimeoutError):
            await line.ask(f"q{n} {0.5 if n else 30}\n".encode(), timeout=5)
    await asyncio.sleep(4.9)
    assert await line.ask(b"next 0.5\n", timeout=10) == b"next!"
    assert await line.ask(b"other\n") == b"other!"


@driver_test
async def test_one_that_never_answers_is_not_remembered_for_ever():
    device, line = opened()
    for _ in range(100):
        with pytest.raises(TimeoutError):
            await line.ask(b"lost\n")
    assert len(line._due) < 20
    assert await line.ask(b"next\n") == b"next!"
    assert len(device.asked) == 101


@driver_test
async def test_answers_may_end_differently():
    device, line = opened()
    with pytest.raises(TimeoutError):
        await line.ask(b"lost\n", end=b"#")
    assert await line.ask(b"second\n", end=b"!") == b"second"
    late = asyncio.ensure_future(line.ask(b"lost\n", end=b"#", timeout=1))
    await asyncio.wait([late])
    device.incoming.data_received(b"part")
    asking = asyncio.ensure_future(line.ask(b"lost\n", end=b"!", timeout=3))
    await asyncio.sleep(0.5)
    device.incoming.data_received(b"ly#ours!")
    assert await asking == b"ours"


@driver_test
async def test_what_has_arrived_before_a_question_is_not_its_answer():
    device, line = opened()
    with pytest.raises(TimeoutError):
        await line.ask(b"first\n", end=b"$")  # a mistake: it ends with another character
    asking = asyncio.ensure_future(line.ask(b"second 1\n", end=b"\n"))
    assert await asking == b"second!"
    with pytest.raises(TimeoutError):
        await line.ask(b"lost\n", end=b"\r\n")
    device.incoming.data_received(b"half\r")
    asking = asyncio.ensure_future(line.ask(b"lost\n", end=b"\r\n"))
    await asyncio.sleep(0.5)
    device.incoming.data_received(b"\nwhole\r\n")
    assert await asking == b"whole"


@driver_test
async def test_a_line_that_is_lost_with_an_answer_due_is_lost():
    device, line = opened()
    with pytest.raises(TimeoutError):
        await line.ask(b"lost\n")
    asking = asyncio.ensure_future(line.ask(b"lost\n"))
    await asyncio.sleep(1)
    device.abort()
    with pytest.raises(ConnectionError, match="it is lost: the connection was closed"):
        await asking


@driver_test
async def test_a_focuser_knows_where_it_is_after_an_abort(monkeypatch):
    device, line = opened()

    async def open_network(host, port):
        return line

    monkeypatch.setattr("indipydriver.instruments.connecting.open_network", open_network)
    where = []

    class Tube(Focuser):
        connections = (Network("h", 1),)

        async def move_to(self, position):
            await self.line.ask(b"move 0.5\n")

        async def abort(self):
            where.append(await self.line.ask(b"where 0.1\n"))

    async with Session(Tube()) as client:
        await client.connect()
        await client.number("ABS_FOCUS_POSITION", FOCUS_ABSOLUTE_POSITION=5)
        await client.advance(0.1)
        await client.press("FOCUS_ABORT_MOTION", "ABORT")
        await client.until("FOCUS_ABORT_MOTION", "Ok", 3)
    assert (where, device.asked) == ([b"where!"], ["move 0.5", "where 0.1"])


def test_two_drivers_do_not_share_a_serial_port():
    async def check(name):
        first = await lines.open_serial(name, 9600)
        with pytest.raises(OSError, match="in use by another driver"):
            await lines.open_serial(name, 9600)
        first.close()
        for _ in range(100):  # the event loop closes it soon
            await asyncio.sleep(0)
        (await lines.open_serial(name, 9600)).close()
        await asyncio.sleep(0)

    controller, port = pty.openpty()
    try:
        asyncio.run(check(os.ttyname(port)))
    finally:
        os.close(controller)
        os.close(port)


def test_a_serial_port_that_is_not_opened_after_all_is_free():
    async def check(name):
        for steps in range(12):  # clients may disconnect at any moment
            opening = asyncio.create_task(lines.open_serial(name, 9600))
            for _ in range(steps):
                await asyncio.sleep(0)
            opening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                (await opening).close()
            for _ in range(100):
                await asyncio.sleep(0)
            (await lines.open_serial(name, 9600)).close()
            for _ in range(100):
                await asyncio.sleep(0)

    controller, port = pty.openpty()
    try:
        asyncio.run(check(os.ttyname(port)))
    finally:
        os.close(controller)
        os.close(port)


def test_a_serial_port_has_the_settings_of_this_driver_whatever_another_program_has_left():
    controller, port = pty.openpty()
    try:
        left = termios.tcgetattr(port)
        left[0] |= termios.IGNCR | termios.INLCR | termios.PARMRK | termios.IXOFF  # as Python before 3.12 leaves them
        left[2] |= termios.CSTOPB | termios.CRTSCTS | termios.PARENB
        termios.tcsetattr(port, termios.TCSANOW, left)

        async def answered():
            line = await lines.open_serial(os.ttyname(port), 9600)
            asking = asyncio.create_task(line.ask(b"?", b"!"))
            await asyncio.sleep(0)
            os.write(controller, b"\xff\r\n!")
            answer = await asking
            found = termios.tcgetattr(port)
            line.close()
            return answer, found[2] & (termios.CSTOPB | termios.CRTSCTS | termios.PARENB | termios.CSIZE)

        assert asyncio.run(answered()) == (b"\xff\r\n", termios.CS8)
    finally:
        os.close(controller)
        os.close(port)
