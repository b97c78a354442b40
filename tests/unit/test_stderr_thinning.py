"""Which lines of a program's standard error are logged: a rate is kept, and what follows a flood is not lost."""

import logging
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indipyserver.sources.stderrlog import LINES_PER_SECOND, LONGEST_STDERR_LINE, Thinner
from tests.support import allowed


def texts(lines):
    return [text for _, text in lines]


def in_reads(thinner, data, now, size=8192):
    """What is logged of data that comes at once."""
    return [line for at in range(0, len(data), size) for line in thinner.feed(data[at : at + size], now)]


def flood(count, start=0):
    return b"".join(b"flood %d\n" % n for n in range(start, start + count))


def test_lines_come_out_whole_however_they_come_in():
    data = b"one\n\ntwo \r\nthree\nrest"
    for size in range(1, len(data) + 1):
        thinner = Thinner()
        lines = texts(in_reads(thinner, data, 0.0, size))
        assert lines == ["one", "two", "three"]
        assert thinner.tail == ("one", "two", "three")
        assert texts(thinner.end(0.0)) == ["rest"]


@pytest.mark.parametrize(
    ("line", "level"),
    [
        (b"[DEBUG] x", logging.DEBUG),
        (b"an ERROR", logging.ERROR),
        (b"Info: x", logging.INFO),
        (b"x", logging.WARNING),
    ],
)
def test_each_line_has_the_level_it_deserves(line, level):
    assert Thinner().feed(line + b"\n", 0.0) == [(level, line.decode())]


def test_a_flood_is_cut_to_the_rate():
    thinner = Thinner()
    logged = []
    for step in range(1000):  # ten seconds, 100 000 lines a second
        logged += in_reads(thinner, flood(1000, step * 1000), 100.0 + step / 100)
    assert 10 * LINES_PER_SECOND < len(logged) <= 11 * LINES_PER_SECOND + 10
    counted = sum(int(text.split()[0]) for text in texts(logged) if "were not logged" in text)
    seen = sum("flood" in text for text in texts(logged))
    assert counted + seen + thinner.left_out == 1_000_000
    assert sum("were not logged" in text for text in texts(logged)) < 60, "the log is about the log"


@pytest.mark.parametrize("pause", [0.03, 0.1, 0.9, 5.0])
@pytest.mark.parametrize("when", [0.0, 0.3, 0.999])
def test_a_line_after_a_flood_is_logged_whenever_it_comes(when, pause):
    """All lines of the second in which the flood was were lost, the reason why the driver gave up among them."""
    thinner = Thinner()
    in_reads(thinner, flood(50_000), 1000.0 + when)
    after = texts(thinner.feed(b"cannot find the camera\n", 1000.0 + when + pause))
    if not after:  # there is no room yet; it is kept, and comes without anything that follows it
        after = texts(thinner.flush())
    assert after[-1] == "cannot find the camera"
    assert "were not logged" in after[0]
    assert "flood 49999" in after


def test_what_stands_at_the_end_of_a_flood_is_logged_with_its_end():
    thinner = Thinner()
    logged = in_reads(thinner, flood(50_000) + b"one\ntwo\nthree\nfour\nthe reason\n", 7.0) + thinner.end(7.0)
    assert texts(logged)[-6:] == [
        f"{50_000 - LINES_PER_SECOND} further lines on its standard error were not logged",
        "one",
        "two",
        "three",
        "four",
        "the reason",
    ]
    assert thinner.tail == ("one", "two", "three", "four", "the reason")


def test_a_quiet_second_gives_all_the_room_back():
    thinner = Thinner()
    in_reads(thinner, flood(10_000), 0.0)
    thinner.flush()
    lines = texts(thinner.feed(flood(LINES_PER_SECOND - 10), 2.0))
    assert lines[-1] == f"flood {LINES_PER_SECOND - 11}"
    assert thinner.left_out == 0


def test_a_driver_that_talks_just_too_much_loses_just_that():
    thinner = Thinner()
    logged = []
    for n in range(4000):  # 400 lines a second for ten seconds, one by one
        logged += thinner.feed(b"line %d\n" % n, n / 400)
    assert 0.9 * 11 * LINES_PER_SECOND < len(logged) <= 11 * LINES_PER_SECOND + 6


def test_a_line_without_end_is_cut_once():
    thinner = Thinner()
    logged = in_reads(thinner, b"x" * 1_000_000 + b" end\nnext\n", 0.0)
    assert texts(logged) == ["x" * LONGEST_STDERR_LINE, "next"]


def test_nothing_unprintable_is_logged():
    thinner = Thinner()
    (line,) = texts(thinner.feed(b"\xff\x00\x1b[31m caf\xc3\xa9\n", 0.0))
    assert line == "\ufffd\\x00\\x1b[31m café"


@pytest.mark.measured
@pytest.mark.parametrize("line", [b"a\n", b"\n", b"x" * 100 + b"\n", bytes(range(256)) * 40 + b"\n", b"y" * 8192])
def test_lines_that_are_only_counted_cost_next_to_nothing(line):
    data = (line * (8192 // len(line) + 1))[:8192]
    thinner = Thinner()
    for _ in range(400):
        thinner.feed(data, 0.0)
    begin = time.process_time()
    for _ in range(1000):
        thinner.feed(data, 0.0)
    assert time.process_time() - begin < allowed(0.5)  # of a second for 8 MB: some 20 ms are usual


reads = st.tuples(st.binary(max_size=20), st.sampled_from([0, 1, 20, 300]), st.sampled_from([0.0, 0.01, 0.5, 3.0]))


def test_every_line_is_logged_or_counted():
    floods = 0

    @given(st.lists(reads, min_size=1, max_size=20))
    def logged_or_counted(steps):
        nonlocal floods
        thinner = Thinner()
        now, logged = 0.0, []
        pieces = [(data.replace(b"\xff", b"\n") + b"\n") * times + data for data, times, _ in steps]
        for piece, (_, _, pause) in zip(pieces, steps, strict=True):
            now += pause
            logged += thinner.feed(piece, now)
        logged += thinner.end(now)
        lines = b"".join(pieces).split(b"\n")
        lines = lines if lines[-1] else lines[:-1]
        blank = sum(
            not line[:LONGEST_STDERR_LINE].decode("utf-8", "replace").strip() for line in lines
        )  # these are not said
        said = [text for text in texts(logged) if not text.endswith("were not logged")]
        counted = sum(int(text.split()[0]) for text in texts(logged) if text.endswith("were not logged"))
        assert len(lines) - blank <= len(said) + counted <= len(lines)
        assert thinner.left_out == 0
        assert all(text.isprintable() for text in said)
        floods += bool(counted)

    logged_or_counted()
    assert floods >= 10
