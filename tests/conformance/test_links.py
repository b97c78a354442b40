"""One suite of checks for every way of moving frames."""

import asyncio

import pytest

from indipydriver.errors import FrameTooLarge, MalformedFrame
from indipydriver.protocol.frame import Batch
from indipydriver.transport.link import LOW_WATER

from .links import KINDS, LENIENT, OF_BYTES, Pair, blob, conforming, number, text, turns

every_link = pytest.mark.parametrize("kind", KINDS)
every_link_of_bytes = pytest.mark.parametrize("kind", OF_BYTES)
A_LOT = 32 << 20  # bytes: more than all buffers of a kernel


@every_link
def test_frames_go_both_ways_in_order(kind):
    async def check(pair: Pair) -> None:
        pair.open()
        sent = [number(i) for i in range(300)]
        for i in range(0, 300, 7):
            for link in (pair.link, pair.peer):
                link.write(pair.batch(*sent[i : i + 7]))
                if i % 2:
                    link.flush()
            if i % 5 == 0:
                await asyncio.sleep(0)
        pair.link.flush()
        pair.peer.flush()
        for recorder in (pair.here, pair.there):
            await recorder.until(lambda recorder=recorder: len(recorder.frames) == 300)
            assert recorder.frames == sent
            assert recorder.faults == []

    conforming(kind, check)


@every_link
def test_a_big_blob_arrives_whole_while_others_go_the_other_way(kind):
    async def check(pair: Pair) -> None:
        pair.open()
        image = blob(8 << 20)
        pair.link.write(pair.batch(image))
        pair.link.write(pair.batch(number(1)))
        pair.link.flush()
        for i in range(100):
            pair.peer.write(pair.batch(number(i)))
            pair.peer.flush()
            await asyncio.sleep(0)
        await pair.there.until(lambda: len(pair.there.frames) == 2)
        await pair.here.until(lambda: len(pair.here.frames) == 100)
        assert pair.there.frames == [image, number(1)]
        assert pair.there.frames[0].raw == image.raw
        assert pair.here.frames == [number(i) for i in range(100)]

    conforming(kind, check)


@every_link
def test_bytes_are_accounted_for(kind):
    async def check(pair: Pair) -> None:
        pair.open()
        batches = [pair.batch(number(i), text(i)) for i in range(50)]
        total = sum(batch.size for batch in batches)
        for batch in batches:
            pair.link.write(batch)
        assert pair.link.unsent == total
        assert pair.link.bytes_sent == 0
        pair.link.flush()
        await pair.there.until(lambda: len(pair.there.frames) == 100)
        # The newline behind the last frame may come later.
        await pair.here.until(lambda: pair.here.drained)
        while pair.link.unsent:
            await asyncio.sleep(0)
        assert pair.link.bytes_sent == total
        assert total - 1 <= pair.peer.bytes_received <= total
        assert pair.here.drained == 1
        assert pair.link.bytes_received == pair.peer.bytes_sent == 0

    conforming(kind, check)


@every_link
def test_nothing_is_asked_for_while_the_peer_does_not_read(kind):
    async def check(pair: Pair) -> None:
        pair.open()
        pair.peer.pause_reading()
        pair.there.may_read = False
        frames = [text(i) for i in range(16)]
        batch = pair.batch(*frames)
        count = A_LOT // batch.size
        for _ in range(count):
            pair.link.write(batch)
            pair.link.flush()
        waiting = -1
        while waiting != pair.link.unsent:  # until the buffers on the way are full
            waiting = pair.link.unsent
            await asyncio.sleep(0.05)
        assert pair.link.unsent > LOW_WATER
        before = pair.here.drained  # while there was room in those buffers
        await asyncio.sleep(0.05)
        assert pair.here.drained == before

        more = [3]

        def write_more() -> None:
            """Somebody has a queue of his own, and writes as much as is asked for."""
            assert pair.link.unsent <= LOW_WATER
            if more[0]:
                more[0] -= 1
                pair.link.write(batch)
                pair.link.flush()

        pair.here.on_drained = write_more
        pair.there.may_read = True
        pair.peer.resume_reading()
        await pair.there.until(lambda: len(pair.there.frames) == (count + 3) * len(frames))
        await pair.here.until(lambda: pair.here.drained == before + 4)
        assert pair.there.frames == frames * (count + 3)
        await turns()
        assert pair.here.drained == before + 4

    conforming(kind, check)


@every_link
def test_pausing_loses_nothing(kind):
    async def check(pair: Pair) -> None:
        loop = asyncio.get_running_loop()
        pauses = [0]

        def resume() -> None:
            pair.there.may_read = True
            pair.peer.resume_reading()

        def pause(_: object) -> None:
            if pauses[0] < 20:
                pauses[0] += 1
                pair.there.may_read = False
                pair.peer.pause_reading()
                loop.call_later(0.005, resume)

        pair.there.on_frames = pause
        pair.peer.pause_reading()  # also before it is opened
        pair.there.may_read = False
        pair.open()
        pair.link.write(pair.batch(number(0)))
        pair.link.flush()
        await asyncio.sleep(0.02)
        assert pair.there.frames == []
        resume()
        resume()  # once more does no harm
        sent = [number(0)]
        for i in range(1, 200):
            frame = text(i, 20_000)
            sent.append(frame)
            pair.link.write(pair.batch(frame))
            pair.link.flush()
            await asyncio.sleep(0)
        await pair.there.until(lambda: len(pair.there.frames) == 200)
        assert pair.there.frames == sent

    conforming(kind, check)


@every_link
@pytest.mark.parametrize("size", [1, 64])
def test_close_sends_what_is_queued(kind, size):
    async def check(pair: Pair) -> None:
        pair.open()
        sent = [text(i) for i in range(size)]
        for frame in sent:
            pair.link.write(pair.batch(frame))
        pair.link.close()
        pair.link.close()  # once more does no harm
        pair.link.write(pair.batch(number(1)))  # is dropped
        pair.link.flush()
        assert await pair.here.until_closed() is None
        assert await pair.there.until_closed() is None
        assert pair.there.frames == sent
        for link in (pair.link, pair.peer):
            link.write(pair.batch(number(1)))
            link.flush()
            link.resume_reading()
            link.pause_reading()
            link.close()
            link.abort()
            assert link.unsent == 0

    conforming(kind, check)


@every_link
def test_what_was_not_read_does_not_cost_the_peer_what_was_sent(kind):
    async def check(pair: Pair) -> None:
        pair.link.pause_reading()
        pair.here.may_read = False
        pair.open()
        pair.peer.write(pair.batch(*[number(i) for i in range(100)]))
        pair.peer.flush()
        await asyncio.sleep(0.02)
        sent = [text(i) for i in range(20)]
        pair.link.write(pair.batch(*sent))
        pair.link.close()
        await pair.there.until_closed()
        await pair.here.until_closed()
        assert pair.there.frames == sent

    conforming(kind, check)


@every_link
def test_abort_drops_what_is_queued(kind):
    async def check(pair: Pair) -> None:
        pair.peer.pause_reading()
        pair.open()
        batch = pair.batch(*[text(i) for i in range(16)])
        for _ in range(A_LOT // batch.size):
            pair.link.write(batch)
        pair.link.flush()
        pair.link.abort()
        pair.link.abort()
        assert await pair.here.until_closed() is None
        assert pair.link.unsent == 0
        pair.peer.resume_reading()
        await pair.there.until_closed()
        assert len(pair.there.frames) < A_LOT // batch.size * 16
        before = pair.here.drained
        await turns()
        assert pair.here.drained == before

    conforming(kind, check)


@every_link
def test_nothing_but_the_end_follows_abort(kind):
    async def check(pair: Pair) -> None:
        pair.open()
        pair.peer.write(pair.batch(number(1)))
        pair.peer.flush()
        pair.link.abort()
        await pair.here.until_closed()
        assert pair.here.frames == []

    conforming(kind, check)


@every_link
@pytest.mark.parametrize("how", ["close", "abort"])
def test_the_end_from_the_other_side(kind, how):
    async def check(pair: Pair) -> None:
        pair.open()
        pair.peer.write(pair.batch(number(1)))
        pair.peer.flush()
        await pair.here.until(lambda: pair.here.frames)
        getattr(pair.peer, how)()
        error = await pair.here.until_closed()
        assert error is None or isinstance(error, ConnectionError)
        if how == "close":
            assert error is None
        await pair.there.until_closed()

    conforming(kind, check)


@every_link
@pytest.mark.parametrize("pausing", [False, True])
def test_all_that_was_sent_comes_before_the_end(kind, pausing):
    async def check(pair: Pair) -> None:
        loop = asyncio.get_running_loop()
        frames = [number(i) for i in range(10_000)]
        pauses = [0]

        def resume() -> None:
            pair.here.may_read = True
            pair.link.resume_reading()

        def pause(_: object) -> None:
            if pausing and pauses[0] < 20:
                pauses[0] += 1
                pair.here.may_read = False
                pair.link.pause_reading()
                loop.call_later(0.002, resume)

        pair.here.on_frames = pause
        pair.open()
        pair.peer.write(pair.batch(*frames))
        pair.peer.close()
        assert await pair.here.until_closed() is None
        assert pair.here.frames == frames

    conforming(kind, check)


@every_link
@pytest.mark.parametrize("how", ["close", "abort"])
def test_the_end_from_within_a_delivery(kind, how):
    async def check(pair: Pair) -> None:
        pair.here.on_frames = lambda _: getattr(pair.link, how)()
        pair.open()
        pair.peer.write(pair.batch(number(1)))
        pair.peer.flush()
        assert await pair.here.until_closed() is None
        await pair.there.until_closed()
        assert pair.here.frames == [number(1)]

    conforming(kind, check)


@every_link
@pytest.mark.parametrize("how", ["close", "abort"])
@pytest.mark.parametrize("queued", [False, True])
def test_the_end_before_the_beginning(kind, how, queued):
    async def check(pair: Pair) -> None:
        pair.open_peer()
        if queued:
            pair.link.write(pair.batch(number(1)))
        getattr(pair.link, how)()
        pair.open_link()
        assert await pair.here.until_closed() is None
        await pair.there.until_closed()

    conforming(kind, check)


@every_link
def test_what_comes_before_the_link_is_opened_is_kept(kind):
    async def check(pair: Pair) -> None:
        pair.open_peer()
        pair.peer.write(pair.batch(number(1)))
        pair.peer.flush()
        await asyncio.sleep(0.02)
        pair.open_link()
        await pair.here.until(lambda: pair.here.frames)
        assert pair.here.frames == [number(1)]

    conforming(kind, check)


@every_link
def test_both_ends_at_once(kind):
    async def check(pair: Pair) -> None:
        pair.open()
        pair.link.write(pair.batch(number(1)))
        pair.peer.write(pair.batch(number(2)))
        pair.link.close()
        pair.peer.close()
        await pair.here.until_closed()
        await pair.there.until_closed()

    conforming(kind, check)


@every_link_of_bytes
def test_a_fault_is_told(kind):
    async def check(pair: Pair) -> None:
        pair.open()
        pair.peer.write(Batch.of_bytes(b"<message message=broken/>\n" + number(1).raw))
        pair.peer.write(Batch.of_bytes(b""))  # nothing at all does no harm
        pair.peer.flush()
        await pair.here.until(lambda: pair.here.frames and pair.here.faults)
        assert pair.here.frames == [number(1)]
        assert [type(fault) for fault in pair.here.faults] == [MalformedFrame]
        assert pair.here.closed == []

    conforming(kind, check)


@pytest.mark.parametrize("kind", sorted(set(OF_BYTES) - set(LENIENT)))
def test_too_much_ends_the_link(kind):
    async def check(pair: Pair) -> None:
        pair.open()
        pair.peer.write(Batch.of_bytes(number(1).raw + b"junk" * 40_000))
        pair.peer.flush()
        error = await pair.here.until_closed()
        assert isinstance(error, FrameTooLarge)
        assert pair.here.faults == [error]
        assert pair.here.frames == [number(1)]
        await pair.there.until_closed()

    conforming(kind, check)


@pytest.mark.parametrize("kind", LENIENT)
def test_too_much_is_skipped_by_links_whose_peer_passes_on_what_others_send(kind):
    async def check(pair: Pair) -> None:
        pair.open()
        pair.peer.write(Batch.of_bytes(number(1).raw + b"junk" * 40_000 + number(2).raw))
        pair.peer.flush()
        await pair.here.until(lambda: len(pair.here.frames) == 2 and pair.here.faults)
        assert pair.here.frames == [number(1), number(2)]
        assert [type(fault) for fault in pair.here.faults] == [FrameTooLarge]
        assert pair.here.closed == []

    conforming(kind, check)


@every_link_of_bytes
def test_half_an_element_is_lost_with_the_link(kind):
    async def check(pair: Pair) -> None:
        pair.open()
        pair.peer.write(Batch.of_bytes(number(1).raw + number(2).raw[:50]))
        pair.peer.close()
        assert await pair.here.until_closed() is None
        assert pair.here.frames == [number(1)]
        assert pair.here.faults == []

    conforming(kind, check)
