"""What ``indipyserver ctl`` prints."""

from typing import Any

import pytest

from indipyserver.cli.ctltext import client_lines, driver_lines, event_line, log_lines, span, status_lines
from indipyserver.control.client import _MOST_EVENTS_KEPT, Control
from tests.support.servers import asynchronous

DRIVER: dict[str, Any] = {
    "id": 1, "state": "running", "since": 1000.0, "restarts": 2, "pid": 77, "label": "driver indi_a", "devices": ["A", "B"]
}  # fmt: skip
CLIENT: dict[str, Any] = {
    "id": 3, "since": 0.0, "bytes_waiting": 12, "dropped": 0, "label": "client 127.0.0.1:5", "read_only": True,
    "everything": False, "devices": [],
}  # fmt: skip


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0 s"), (0.9, "0 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (86400 * 2.5, "2 d")],
)
def test_spans(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_tables() -> None:
    assert driver_lines([DRIVER, {**DRIVER, "id": 12, "pid": None, "devices": []}], now=1010.0) == [
        "id  state    for   restarts  pid  what           devices",
        "1   running  10 s  2         77   driver indi_a  A, B",
        "12  running  10 s  2         -    driver indi_a  -",
    ]
    assert driver_lines([]) == ["nothing is served"]
    assert client_lines([CLIENT, {**CLIENT, "everything": True, "read_only": False}], now=5.0) == [
        "id  for  waiting   dropped  who                             interested in",
        "3   5 s  12 bytes  0        client 127.0.0.1:5 (read only)  nothing",
        "3   5 s  12 bytes  0        client 127.0.0.1:5              everything",
    ]
    assert client_lines([]) == ["nobody is connected"]


def test_nothing_commands_the_terminal() -> None:
    nasty = "a\x1b[2J\x9b\u202e\u200f\rb"
    record = {**DRIVER, "label": nasty, "devices": [nasty]}
    texts = [
        *driver_lines([record], now=0.0),
        *client_lines([{**CLIENT, "label": nasty, "devices": [nasty]}], now=0.0),
        *log_lines([{"time": 0, "level": "info", "text": nasty}]),
        event_line({"event": "driver", "driver": record}),
        event_line({"event": "client", "client": record}),
        event_line({"event": "left", "client": record}),
        event_line({"event": "removed", "driver": record}),
        event_line({"event": "log", "line": {"time": 0, "level": "info", "text": nasty}}),
    ]
    assert all(text.isprintable() for text in texts)


def test_a_traceback_stays_below_its_line() -> None:
    assert log_lines([{"time": 0, "level": "error", "text": "one\ntwo"}]) == ["1970-01-01T00:00:00 error: one\n    two"]


def test_other_events_are_named() -> None:
    assert event_line({"event": "missed", "count": 4}).endswith(" 4 events were dropped")
    assert event_line({"event": "now", "drivers": [1], "remotes": [2], "clients": []}).endswith(
        " 2 drivers and links, 0 clients"
    )
    assert event_line({"event": "of a later version"}).endswith(" of a later version")


def test_the_figures() -> None:
    status = {
        "version": "4", "pid": 5, "stopping": False, "uptime": 60.0, "listening": ["here"], "running": 1, "drivers": 2,
        "clients": 3, "most_clients": 4, "clients_served": 5, "clients_refused": 6, "messages_in": 7, "bytes_in": 8,
        "messages_out": 9, "bytes_out": 10,
    }  # fmt: skip
    assert status_lines(status) == [
        "indipyserver 4, process 5, running for 60 s",
        "listening on here",
        "1 of 2 drivers and links running",
        "3 of at most 4 clients connected, 5 so far, 6 refused",
        "in: 7 messages, 8 bytes; out: 9 messages, 10 bytes",
    ]


@asynchronous
async def test_events_that_nobody_takes_are_counted_and_not_kept() -> None:
    control = Control("nowhere")
    for number in range(2 * _MOST_EVENTS_KEPT):
        control._keep({"event": "driver", "n": number})
    kept = [control._events.get_nowait() for _ in range(control._events.qsize())]
    assert len(kept) <= _MOST_EVENTS_KEPT
    assert kept[0] is not None
    assert kept[0]["event"] == "missed"
    assert kept[0]["count"] + len(kept) - 1 == 2 * _MOST_EVENTS_KEPT
