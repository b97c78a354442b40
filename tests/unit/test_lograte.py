"""What a peer that comes back again and again may write into the log."""

import logging

import pytest

from indipyserver.clients.lograte import ALL_LINES, LINES_A_PERIOD, PERIOD, LogRate, network_of


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_one_address_gets_a_few_lines_and_the_others_theirs(caplog):
    rate = LogRate(Clock())
    allowed = [rate.count_line("10.0.0.1") for _ in range(1000)]
    assert allowed == [True] * LINES_A_PERIOD + [False] * (1000 - LINES_A_PERIOD)
    assert rate.count_line("10.0.0.2")
    assert caplog.records == []


def test_many_addresses_together_get_a_limited_number_and_are_not_all_remembered():
    rate = LogRate(Clock())
    assert sum(rate.count_line(f"10.0.{i // 250}.{i % 250}") for i in range(10_000)) == ALL_LINES
    assert len(rate._lines) <= ALL_LINES


def test_after_a_while_there_is_room_again_and_the_count_of_what_was_left_out_is_logged_once(caplog):
    caplog.set_level(logging.WARNING)
    clock = Clock()
    rate = LogRate(clock)
    for _ in range(LINES_A_PERIOD + 7):
        rate.count_line("10.0.0.1")
    clock.now += PERIOD - 0.1
    assert not rate.count_line("10.0.0.1")
    clock.now += 0.2
    assert rate.count_line("10.0.0.1")
    assert [record.getMessage().split()[0] for record in caplog.records] == ["8"]
    clock.now += 2 * PERIOD
    assert rate.count_line("10.0.0.1")
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2"),
        ("2001:db8:1:2::6", "2001:db8:1:2"),
        ("2001:db8::6", "2001:db8::"),
        ("fe80::1%eth0", "fe80::"),
        ("::1", "::"),
        ("::ffff:192.0.2.7", "::ffff:192.0.2.7"),
        ("user 1000", "user 1000"),
        ("", ""),
    ],
)
def test_what_counts_as_one_address(host, network):
    assert network_of(host) == network
