"""The requests of the control socket and what is answered, without a socket."""

import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest

import indipydriver as ipd
from indipydriver.protocol.framer import Framer
from indipyserver.control.desk import REQUESTS
from indipyserver.control.log import LONGEST_LOG_LINE, MOST_LOG_LINES, RecentLog
from indipyserver.control.watch import MOST_NAMES
from indipyserver.control.wire import LONGEST_TEXT, Code, ControlError, encode, failure, read_request, success
from indipyserver.lines import CommandError, Lines
from indipyserver.relay.peer import Peer
from indipyserver.routing.endpoint import Role
from indipyserver.routing.outbox import OutboxLimits
from indipyserver.sources.recent import LONGEST_KEPT, MOST_KEPT, LogLine, RecentLines
from tests.support.controlled import Site
from tests.support.drivers import echo_driver
from tests.support.links import FakeLink
from tests.support.servers import asynchronous

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "control.md"

# Lines


@pytest.mark.parametrize(
    ("line", "do", "arguments", "number"),
    [
        ('{"do": "status"}', "status", {}, None),
        ('{"do": "stop", "driver": 3, "id": 7}', "stop", {"driver": 3}, 7),
        ('  {"v": 1, "do": "add", "spec": "a b", "name": null, "id": "x"} ', "add", {"spec": "a b", "name": None}, "x"),
        ('{"do": "log", "driver": "Kuppel \\u00e4"}', "log", {"driver": "Kuppel ä"}, None),
        ('{"do": "status", "id": [1]}', "status", {}, None),
        ('{"do": "status", "id": true}', "status", {}, None),
    ],
)
def test_a_request(line: str, do: str, arguments: dict[str, Any], number: object) -> None:
    request = read_request(line)
    assert (request.do, dict(request.arguments), request.id) == (do, arguments, number)


@pytest.mark.parametrize(
    ("line", "code", "says", "number"),
    [
        ("", "request", "JSON", None),
        ("status", "request", "JSON", None),
        ("[]", "request", "an object", None),
        ('"status"', "request", "an object", None),
        ("{}", "request", "what to do", None),
        ('{"do": 1, "id": 4}', "request", "what to do", 4),
        ('{"do": "status"} {}', "request", "JSON", None),
        ('{"do": "status", "do": "stop"}', "request", "twice", None),
        ('{"do": "status", "v": 2, "id": 9}', "version", "version 1", 9),
        ('{"do": "status", "v": true}', "version", "version 1", None),
        ('{"do": "status", "x": NaN}', "request", "JSON", None),
        ('{"do": "status", "x": 1.5}', "request", "point", None),
        ('{"do": "status", "x": 1e999}', "request", "point", None),
        ('{"do": "status", "x": [1]}', "request", "must be a text", None),
        ('{"do": "status", "x": {"y": 1}}', "request", "must be a text", None),
        ('{"do": "status", "x": "a\\u0000b"}', "request", "control characters", None),
        ('{"do": "status", "x": "a\\nb"}', "request", "control characters", None),
        ('{"do": "status", "x": "\\ud800"}', "request", "control characters", None),
        ('{"do": "status", "x": "' + "a" * (LONGEST_TEXT + 1) + '"}', "request", "characters", None),
        ('{"x": ' + "[" * 8000, "request", "deep|JSON", None),
        ("[" * 100_000, "request", "deep|JSON", None),
        ('{"do": ' + "9" * 8000 + "}", "request", "JSON", None),
    ],
)
def test_what_is_no_request(line: str, code: str, says: str, number: object) -> None:
    with pytest.raises(ControlError, match=says) as caught:
        read_request(line)
    assert (caught.value.code, caught.value.id) == (code, number)
    encode(failure(caught.value.id, caught.value.code, caught.value.text))


def test_an_answer_is_one_line_whatever_is_in_it() -> None:
    texts = "a\nb\r\u2028\x00\ud800\U0001f52d"
    for message in (success(1, {"text": texts}), failure("\n", "refused", texts), {"event": "log", "text": texts}):
        line = encode(message)
        assert line.count(b"\n") == 1
        assert line.endswith(b"\n")
        assert line.isascii()
        assert json.loads(line) == message


def test_a_line_that_is_too_long_is_skipped_and_costs_no_memory() -> None:
    lines = Lines(100)
    found: list[str | CommandError] = []
    for _ in range(1000):
        found += lines.feed(b"x" * 10_000)
    assert len(found) == 1
    assert isinstance(found[0], CommandError)
    assert lines.feed(b"\nnext\n") == ["next"]


# Answers


@asynchronous
async def test_what_is_served() -> None:
    site = Site(echo_driver("Dome"))
    part = site.server.add_exdriver("indi_none", "-v", name="Guider")
    site.server.add_remote("example.org", 7625, device="Mount")
    drivers = (await site.ask("drivers"))["drivers"]
    assert [each["id"] for each in drivers] == [1, 2]
    assert drivers[0]["label"] == "Echo (Dome)"
    assert drivers[0]["kind"] == "python"
    assert drivers[0]["devices"] == ["Dome"]
    assert drivers[1]["command"] == ["indi_none", "-v"]
    assert drivers[1]["most_restarts"] == 10
    assert drivers[1]["pid"] is None
    (remote,) = (await site.ask("remotes"))["remotes"]
    assert (remote["id"], remote["host"], remote["port"], remote["device"]) == (3, "example.org", 7625, "Mount")
    assert remote["connected"] is False
    await site.server.remove(part)
    assert [each["id"] for each in (await site.ask("drivers"))["drivers"]] == [1]
    site.server.add_exdriver("indi_none")
    assert [each["id"] for each in (await site.ask("drivers"))["drivers"]] == [1, 4], "no number is used twice"


@asynchronous
async def test_who_is_connected_and_what_waits_for_them() -> None:
    site = Site()
    peer, link = site.client()
    driver = Peer(site.server.board, FakeLink("driver"), Role.DRIVER, limits=OutboxLimits())
    site.server.board.add(driver)
    peer.frames_received(Framer().feed(b"<getProperties version='1.7' device='A'/>"))
    peer.frames_received(Framer().feed(b"<getProperties version='1.7' device='B' name='x'/>"))
    text = b"<message device='A' message='" + b"x" * 1000 + b"'/>"
    count = 400
    for _ in range(count):
        driver.frames_received(Framer().feed(text))
    (client,) = (await site.ask("clients"))["clients"]
    assert (client["label"], client["address"]) == ("client 127.0.0.1:5", "127.0.0.1:5")
    assert client["devices"] == ["A", "B"]
    assert client["everything"] is False
    assert client["bytes_waiting"] == count * (len(text) + 1)
    in_link = sum(batch.size for batch in link.written) // (len(text) + 1)
    assert client["messages_waiting"] == count - in_link > 0
    while link.unsent:
        link.take(link.unsent)
    (client,) = (await site.ask("clients"))["clients"]
    assert (client["messages_waiting"], client["bytes_waiting"]) == (0, 0)
    assert client["messages_in"] == 2
    status = await site.ask("status")
    assert status["messages_in"] == 2 + count
    site.server.board.remove(peer, None)
    site.server.board.remove(peer, None)
    assert (await site.ask("status"))["messages_in"] == 2 + count, "of those who have gone, too, and once"
    assert (await site.ask("clients"))["clients"] == []


@asynchronous
async def test_a_client_that_asks_for_everything_under_the_sun_has_a_short_record() -> None:
    site = Site()
    peer, _ = site.client()
    for number in range(3 * MOST_NAMES):
        peer.frames_received(Framer().feed(b"<getProperties version='1.7' device='D%d'/>" % number))
    (client,) = (await site.ask("clients"))["clients"]
    assert len(client["devices"]) == MOST_NAMES


@asynchronous
async def test_the_names_by_which_a_driver_is_found() -> None:
    site = Site(echo_driver("Dome", "Shutter"))
    services = site.server.services
    services.start("/opt/indi_a")
    services.start("indi_b", name="Left")
    services.start("indi_b", name="Right")
    services.start("@example.org")

    async def found(name: object) -> int:
        (record,) = (await site.ask("stop", driver=name))["drivers"]
        number: int = record["id"]
        return number

    for name, number in {
        1: 1, "1": 1, "Dome": 1, "Shutter": 1, "Echo (Dome, Shutter)": 1, "/opt/indi_a": 2, "indi_a": 2,
        "driver /opt/indi_a": 2, "Left": 3, "Right": 4, "@example.org": 5, "example.org:7624": 5,
    }.items():  # fmt: skip
        assert await found(name) == number, name
    code, text = await site.refused("stop", driver="indi_b")
    assert (code, "3, 4" in text) == ("ambiguous", True)
    for nothing in ("nothing", "9", 9, -1, 10**30, "", "example.org"):
        code, text = await site.refused("stop", driver=nothing)
        assert code == "unknown"


@asynchronous
async def test_what_was_stopped_by_the_name_of_a_device_is_started_by_it() -> None:
    site = Site(echo_driver("Dome"))
    (program,) = site.server.services.start("indi_a")
    program.peer = peer = Peer(site.server.board, FakeLink("driver"), Role.DRIVER, limits=OutboxLimits())
    site.server.board.add(peer)
    peer.frames_received(Framer().feed(b"<defLightVector device='CCD Simulator' name='x' state='Ok'/>"))
    assert list(program.devices) == ["CCD Simulator"]
    for do in ("stop", "start", "stop"):
        (record,) = (await site.ask(do, driver="CCD Simulator"))["drivers"]
        assert record["id"] == 2
        program.peer = None  # nothing runs here
    assert (await site.ask("remove", driver="CCD Simulator"))["removed"][0]["id"] == 2
    code, _ = await site.refused("start", driver="CCD Simulator")
    assert code == "unknown"


@asynchronous
async def test_code_that_returns_several_drivers_is_one_name(tmp_path: Path) -> None:
    (tmp_path / "pair.py").write_text(
        "from tests.support.drivers import echo_driver\ndef both(): return [echo_driver('One'), echo_driver('Two')]\n"
    )
    site = Site()
    added = (await site.ask("add", spec=f"{tmp_path}/pair.py:both"))["drivers"]
    assert [each["devices"] for each in added] == [["One"], ["Two"]]
    code, text = await site.refused("add", spec=f"{tmp_path}/pair.py:both")
    assert (code, "already a device named 'One'" in text) == ("refused", True)
    (one,) = (await site.ask("remove", driver="One"))["removed"]
    assert one == {"id": 1, "label": "Echo (One)"}
    removed = (await site.ask("remove", driver="pair.py:both"))["removed"]
    assert [each["id"] for each in removed] == [2]
    assert site.server.services.specs == []
    assert site.server.devices == {}


@pytest.mark.parametrize(
    ("do", "arguments", "says"),
    [
        ("dance", {}, "'dance' cannot be done"),
        ("", {}, "cannot be done"),
        ("status", {"driver": 1}, "takes no 'driver'"),
        ("stop", {}, "needs 'driver'"),
        ("stop", {"driver": None}, "needs 'driver'"),
        ("stop", {"driver": True}, "must be a text or a whole number, not true or false"),
        ("add", {"spec": 1}, "must be a text"),
        ("add", {"name": "x"}, "needs 'spec'"),
        ("add", {"spec": "x", "prefix": True}, "must be a text"),
        ("log", {"lines": 0}, "1 or more"),
        ("log", {"lines": -5}, "1 or more"),
        ("log", {"lines": "5"}, "must be a whole number"),
        ("log", {"lines": True}, "must be a whole number"),
        ("follow", {"log": 1}, "must be true or false"),
    ],
)
@asynchronous
async def test_requests_that_make_no_sense(do: str, arguments: dict[str, Any], says: str) -> None:
    code, text = await Site().refused(do, **arguments)
    assert code == "request"
    assert says in text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"spec": ""}, "needs a name"),
        ({"spec": "localhost:7624"}, "looks like another server"),
        ({"spec": "@host:x"}, "not a port"),
        ({"spec": "nowhere.py:make"}, "no file"),
        ({"spec": "no.such.module:make"}, "does not provide a driver"),
        ({"spec": "@host", "name": "x"}, "takes no options"),
    ],
)
@asynchronous
async def test_what_cannot_be_added(arguments: dict[str, Any], says: str) -> None:
    site = Site()
    code, text = await site.refused("add", **arguments)
    assert code == "refused"
    assert says in text
    assert (await site.ask("drivers"))["drivers"] == []


@asynchronous
async def test_a_server_that_is_stopping_starts_nothing() -> None:
    site = Site(echo_driver("Dome"))
    site.server.shutdown()
    assert (await site.ask("status"))["stopping"] is True
    for do, arguments in {"add": {"spec": "x"}, "start": {"driver": 1}, "restart": {"driver": 1}}.items():
        code, text = await site.refused(do, **arguments)
        assert (code, "stopping" in text) == ("refused", True)


@asynchronous
async def test_one_that_is_being_stopped_is_left_alone() -> None:
    site = Site(echo_driver("Dome"))
    (source,) = site.watch.sources()
    with site.server.services._alone(source):
        for do in ("start", "stop", "restart", "remove"):
            code, text = await site.refused(do, driver="Dome")
            assert (code, "just being stopped" in text) == ("refused", True)
    await site.ask("stop", driver="Dome")


# Events


@asynchronous
async def test_what_has_changed_is_told_once() -> None:
    site = Site(echo_driver("Dome"))
    assert site.watch.look() == [], "what was there before is no news"
    before = site.touched
    peer, _ = site.client()
    site.server.add_exdriver("indi_none")
    assert site.touched > before
    events = site.watch.look()
    assert [(each["event"], each.get("client", each.get("driver"))["id"]) for each in events] == [
        ("driver", 2),
        ("client", 1),
    ]
    assert site.watch.look() == []
    site.server.board.remove(peer, None)
    await site.ask("remove", driver=2)
    assert site.watch.look() == [
        {"event": "removed", "driver": {"id": 2, "label": "driver indi_none"}},
        {"event": "left", "client": {"id": 1, "label": "client 127.0.0.1:5"}},
    ]
    await site.ask("stop", driver=1)
    site.now = 1001.0
    (event,) = site.watch.look()
    assert (event["event"], event["driver"]["state"]) == ("driver", "stopped")


@asynchronous
async def test_a_device_that_comes_or_goes_is_a_change() -> None:
    site = Site()
    driver = Peer(site.server.board, FakeLink("driver"), Role.DRIVER, limits=OutboxLimits())
    site.server.board.add(driver)
    before = site.touched
    driver.frames_received(Framer().feed(b"<defLightVector device='D' name='x' state='Ok'/>"))
    assert site.touched == before + 1
    driver.frames_received(Framer().feed(b"<defLightVector device='D' name='y' state='Ok'/>"))
    assert site.touched == before + 1, "a property is none"
    site.server.board.remove(driver, None)
    assert site.touched > before + 1


@asynchronous
async def test_a_client_that_is_listed_before_it_was_told_of_is_told_of() -> None:
    site = Site()
    site.client()
    (client,) = (await site.ask("clients"))["clients"]
    (event,) = site.watch.look()
    assert event["client"]["id"] == client["id"]


@asynchronous
async def test_nothing_is_left_behind() -> None:
    site = Site()
    site.watch.end()
    site.client()
    site.server.add_exdriver("indi_none")
    assert site.touched == 0


@asynchronous
async def test_follow_answers_with_what_is_there() -> None:
    site = Site(echo_driver("Dome"))
    found = await site.ask("follow", log=True)
    assert [each["id"] for each in found["drivers"]] == [1]
    assert found["remotes"] == found["clients"] == []
    assert site.asked.followed == [True]


# Logs


def test_the_last_lines_are_kept_and_no_more() -> None:
    came: list[LogLine] = []
    log = RecentLog(came.append)
    logger = logging.getLogger("tests.control")
    logger.propagate = False
    logger.addHandler(log)
    try:
        for number in range(MOST_LOG_LINES + 10):
            logger.warning("line %d", number)
        logger.warning("x" * (2 * LONGEST_LOG_LINE))
        logger.warning("%d", "what cannot be formatted")
        try:
            raise ValueError("the reason")
        except ValueError:
            logger.exception("it failed")
    finally:
        logger.removeHandler(log)
        logger.propagate = True
    lines = log.last(MOST_LOG_LINES)
    assert len(lines) == MOST_LOG_LINES
    assert lines[0].text == "line 12"
    assert len(lines[-2].text) == LONGEST_LOG_LINE
    assert "the reason" in lines[-1].text
    assert log.last(2) == lines[-2:] == came[-2:]
    assert log.last(0) == []


def test_what_nobody_handles_still_appears_on_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two servers in one script that has set up no logging; then it does."""
    written: list[str] = []
    last = logging.Handler(logging.WARNING)
    last.emit = lambda record: written.append(record.getMessage())  # type: ignore[method-assign]
    kept = [RecentLog(lambda line: None), RecentLog(lambda line: None)]
    monkeypatch.setattr(logging, "lastResort", last)
    monkeypatch.setattr(logging.getLogger(), "handlers", list(kept))
    logger = logging.getLogger("tests.control.of_a_script")
    logger.warning("the camera is on fire")
    logger.info("it is warm")
    assert written == ["the camera is on fire"]
    own = logging.NullHandler()
    logger.addHandler(own)
    logger.warning("the script sees to that")
    logger.removeHandler(own)
    assert written == ["the camera is on fire"]
    logging.getLogger().addHandler(own)
    logger.warning("and to that")
    assert written == ["the camera is on fire"]
    assert [line.text for line in kept[1].last(9)][-2:] == ["the script sees to that", "and to that"]


def test_the_lines_about_one_driver_are_bounded() -> None:
    recent = RecentLines()
    for number in range(MOST_KEPT + 5):
        recent.add(logging.INFO, f"{number} " + "x" * 2 * LONGEST_KEPT)
    assert len(recent.last(1000)) == MOST_KEPT
    assert recent.last(1)[0].text.startswith(f"{MOST_KEPT + 4} ")
    assert len(recent.last(1)[0].text) == LONGEST_KEPT
    assert recent.last(0) == []


@asynchronous
async def test_what_the_driver_library_says_of_a_device_is_in_the_log_of_its_driver() -> None:
    site = Site(echo_driver("Dome"), echo_driver("Mount"))
    events = logging.getLogger("indipydriver.events")
    events.addHandler(site.log)
    try:
        events.error("rxevent of Dome failed")
    finally:
        events.removeHandler(site.log)
    (line,) = (await site.ask("log", driver="Dome"))["lines"]
    assert (line["level"], line["text"]) == ("error", "rxevent of Dome failed")
    assert (await site.ask("log", driver="Mount"))["lines"] == []
    assert len((await site.ask("log"))["lines"]) == 1


@asynchronous
async def test_a_device_whose_name_is_part_of_a_word_is_not_meant() -> None:
    site = Site(echo_driver("A", "B+ (1)"), ipd.IPyDriver())
    events = logging.getLogger("indipydriver.events")
    events.addHandler(site.log)
    try:
        events.error("ABC of B failed")
        events.error("'A' failed")
        events.error("B+ (1).pos failed")
    finally:
        events.removeHandler(site.log)
    assert [line["text"] for line in (await site.ask("log", driver=1))["lines"]] == ["'A' failed", "B+ (1).pos failed"]
    assert (await site.ask("log", driver=2))["lines"] == []


# The reference


def rows(heading: str) -> dict[str, list[str]]:
    """The table below a heading of the reference, by its first column."""
    text = REFERENCE.read_text(encoding="utf-8")
    part = text.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    found = {}
    for line in part.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        for name in re.findall(r"`(\w+)`", cells[0]) if line.startswith("| `") else []:
            found[name] = cells[1:]
    return found


def test_the_reference_has_all_requests_and_their_arguments() -> None:
    table = rows("Requests")
    assert set(table) == set(REQUESTS)
    for name, arguments in REQUESTS.items():
        assert set(re.findall(r"`(\w+)`", table[name][0])) == set(arguments), name


def test_the_reference_has_all_codes() -> None:
    assert set(rows("Errors")) == {value for name, value in vars(Code).items() if not name.startswith("_")}


@asynchronous
async def test_the_reference_has_all_that_is_told() -> None:
    site = Site(echo_driver("Dome"))
    site.server.add_exdriver("indi_none")
    site.server.add_remote("example.org")
    site.client()
    drivers, remotes = (await site.ask("drivers"))["drivers"], (await site.ask("remotes"))["remotes"]
    (client,) = (await site.ask("clients"))["clients"]
    assert set(rows("Drivers and remotes")) == {name for each in drivers + remotes for name in each}
    assert set(rows("Clients")) == set(client)
    assert set(rows("Status")) == set(await site.ask("status"))
    states = REFERENCE.read_text(encoding="utf-8").split("\n## States\n", 1)[1].split("\n## ", 1)[0]
    assert set(re.findall(r"^\| `(\w+)`", states, re.M)) == {"running", "waiting", "stopping", "stopped", "ended"}
    assert set(rows("Events")) == {"driver", "removed", "client", "left", "log", "missed"}
