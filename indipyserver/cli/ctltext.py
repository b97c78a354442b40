"""What ``indipyserver ctl`` prints: the answers of the control socket as text.  Sans-I/O."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

from indipydriver.protocol.texts import printable, printable_lines

__all__ = ["client_lines", "driver_lines", "event_line", "log_lines", "span", "status_lines"]

Record = dict[str, Any]


def span(seconds: float) -> str:
    """A time in one or two words."""
    for size, word in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {word}"
    return f"{max(0, int(seconds))} s"


def status_lines(status: Record) -> list[str]:
    """The status of the server."""
    what = "stopping" if status["stopping"] else f"running for {span(status['uptime'])}"
    served = f"{status['clients_served']} so far, {status['clients_refused']} refused"
    came, went = (f"{status[f'messages_{way}']} messages, {status[f'bytes_{way}']} bytes" for way in ("in", "out"))
    return [
        f"indipyserver {status['version']}, process {status['pid']}, {what}",
        *(f"listening on {place}" for place in status["listening"]),
        f"{status['running']} of {status['drivers']} drivers and links running",
        f"{status['clients']} of at most {status['most_clients']} clients connected, {served}",
        f"in: {came}; out: {went}",
    ]


def driver_lines(drivers: Sequence[Record], now: float | None = None) -> list[str]:
    """A table of what is served."""
    if not drivers:
        return ["nothing is served"]
    now = time.time() if now is None else now
    rows = [("id", "state", "for", "restarts", "pid", "what", "devices")]
    rows += [
        (
            str(each["id"]),
            each["state"],
            span(now - each["since"]),
            str(each["restarts"]),
            str(each.get("pid") or "-"),
            each["label"],
            ", ".join(each["devices"]) or "-",
        )
        for each in drivers
    ]
    return _table(rows)


def client_lines(clients: Sequence[Record], now: float | None = None) -> list[str]:
    """A table of who is connected."""
    if not clients:
        return ["nobody is connected"]
    now = time.time() if now is None else now
    rows = [("id", "for", "waiting", "dropped", "who", "interested in")]
    rows += [
        (
            str(each["id"]),
            span(now - each["since"]),
            f"{each['bytes_waiting']} bytes",
            str(each["dropped"]),
            each["label"] + (" (read only)" if each["read_only"] else ""),
            "everything" if each["everything"] else ", ".join(each["devices"]) or "nothing",
        )
        for each in clients
    ]
    return _table(rows)


def log_lines(lines: Iterable[Record]) -> list[str]:
    """Lines of a log."""
    return [f"{_when(line['time'])} {line['level']}: {printable_lines(line['text'])}" for line in lines]


def event_line(event: Record) -> str:
    """A change."""
    kind = event["event"]
    if kind == "log":
        return log_lines([event["line"]])[0]
    now = _when(time.time())
    if kind == "driver":
        driver = event["driver"]
        devices = ", ".join(driver["devices"])
        return printable_lines(f"{now} {driver['label']}: {driver['state']}" + (f" ({devices})" if devices else ""))
    if kind == "removed":
        return printable_lines(f"{now} {event['driver']['label']}: removed")
    if kind == "client":
        return printable_lines(f"{now} {event['client']['label']}: connected")
    if kind == "left":
        return printable_lines(f"{now} {event['client']['label']}: gone")
    if kind == "now":
        served = len(event["drivers"]) + len(event["remotes"])
        return f"{now} {served} drivers and links, {len(event['clients'])} clients"
    if kind == "missed":
        return f"{now} {event['count']} events were dropped"
    return f"{now} {kind}"


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    shown = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in shown]
