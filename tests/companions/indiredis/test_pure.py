"""What needs no server: keys, numbers, plans, file names, requests, snoop tables, forms."""

import math
import os
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indipyclient.model.model import Model
from indipydriver.protocol.messages import Message, OneBlob, SetVector
from indipydriver.protocol.tags import VectorKind
from indiredis import logs
from indiredis.blobfolder import blob_name, remove_parts, write_blob
from indiredis.keys import Keys
from indiredis.logs import Logs, log_lengths
from indiredis.mqtt.snoop import SnoopTable
from indiredis.mqtt.topics import Topics, check_id
from indiredis.numbers import format_number, number_to_float
from indiredis.plan import Planner
from indiredis.requests import NotUnderstood, request
from indiredis.servers import mqtt_server
from tests.companions.indipyclient.site import define, delete, update


def test_nothing_is_kept_of_properties_that_come_and_go_at_once():
    model, planner = Model(), Planner(Keys("p_"), Logs())
    for number in range(10):
        before = model.rev
        changes = [model.apply(define("D", f"P{number}")), model.apply(delete("D", f"P{number}"))]
        delta = model.since(before)
        planner.update(delta.properties, [(grave.device, grave.name) for grave in delta.deleted], changes)
    assert not planner._overlays


def test_enabled_blobs_are_shown_as_such_whenever_their_property_comes():
    """The client asks for them until it is told otherwise, also when a driver starts later, or again."""
    model, planner, held = Model(), Planner(Keys("p_"), Logs()), {}

    def take(message):
        before = model.rev
        change = model.apply(message)
        delta = model.since(before)
        deleted = [(grave.device, grave.name) for grave in delta.deleted]
        apply(held, planner.update(delta.properties, deleted, [change]))

    def shown(name):
        return held[f"p_attributes:{name}:CCD"]["blobs"]

    apply(held, planner.mark_blobs("CCD", None, True))
    apply(held, planner.mark_blobs("CCD", "VIDEO", False))
    for _ in range(2):
        for name in ("IMAGE", "VIDEO"):
            take(define("CCD", name, VectorKind.BLOB, M=""))
        assert (shown("IMAGE"), shown("VIDEO")) == ("Enabled", "Disabled")
        take(delete("CCD"))
    apply(held, planner.mark_blobs("CCD", None, False))
    take(define("CCD", "IMAGE", VectorKind.BLOB, M=""))
    assert shown("IMAGE") == "Disabled"
    for number in range(2000):
        planner.mark_blobs(f"D{number}", None, True)
    assert len(planner._blobs) <= 1000


def test_names_that_a_driver_makes_up_fill_no_memory(monkeypatch):
    monkeypatch.setattr(logs, "GONE", 100)
    model, planner, held = Model(), Planner(Keys("p_"), Logs()), set()
    log = planner.keys.log(planner.keys.attributes("P", "Stays"))

    def write(commands):
        for name, *keys in commands:
            if name == "DEL":
                held.difference_update(keys)
            elif name not in ("SADD", "SREM"):  # redis deletes a set by itself that is empty
                held.add(keys[0])

    def take(*messages):
        before = model.rev
        changes = [change for message in messages if (change := model.apply(message)) is not None]
        delta = model.since(before)
        deleted = [(grave.device, grave.name) for grave in delta.deleted]
        write(planner.update(delta.properties, deleted, changes, messages))

    take(define("Stays", "P"))
    for number in range(300):
        device = f"D{number}"
        take(define(device, "P"))
        take(delete(device, "P"))
        take(define(device, "Q"), delete(device, None))
        take(Message(f"No {number}", "x"))
    write(planner.rewrite(list(model), [], [key for key in held if "logdata" not in key]))
    assert 100 < len(held) < 150
    assert len(planner.logs.newest) < 150
    assert len(planner._redis.strings) < 150
    monkeypatch.setattr(logs, "GONE_SIZE", 0)
    take(update("Stays", "P"))
    assert log in held
    assert len(held) < 20


@given(st.text(), st.text(), st.text(), st.text())
def test_two_names_never_make_one_key(a, b, c, d):
    keys = Keys("p_")
    assert (keys.attributes(a, b) == keys.attributes(c, d)) == ((a, b) == (c, d))


def test_seconds_are_seconds():
    assert number_to_float("12:30:36") == pytest.approx(12.51)
    assert format_number(number_to_float("23:36:49"), "%9.6m").strip() == "23:36:49"
    for fraction in (3, 5, 6, 8, 9):
        for _ in range(200):
            value = random.Random(fraction).uniform(-359, 359)
            text = format_number(value, f"%12.{fraction}m")
            unit = {3: 1 / 60, 5: 1 / 600, 6: 1 / 3600, 8: 1 / 36000, 9: 1 / 360000}[fraction]
            assert math.isclose(number_to_float(text), value, abs_tol=unit)


HOSTILE = [
    "../esc", "..", ".", "/etc/passwd", "a/../../b", "a\x00b", "..\\..\\x", "\\\\server\\x", "C:\\x", "~", "~root/x",
    "$(x)", "`x`", "a\nb", "-rf", "CON", "%2e%2e%2f", "\u2025/x", "\u202eexe", "a" * 5000, "", " ", "....//....//x",
    "./.", "/", "//", "/dev/null", "file:///x", "x/..", "..x/..y", "\t", "é/../ü",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_files_stay_in_their_folder(name, tmp_path):
    folder = tmp_path / "blobs"
    folder.mkdir()
    for timestamp, format in ((name, ".txt"), ("2026-01-01T00:00:00", name), (name, name), (None, name)):
        one = OneBlob("B", b"data", 4, format)
        message = SetVector(VectorKind.BLOB, "D", "P", (one,), None, None, timestamp)
        stored = write_blob(folder, message, one)
        assert stored.filepath.startswith(f"{folder}/")
        assert "/" not in stored.filepath[len(str(folder)) + 1 :]
    assert [path.name for path in tmp_path.iterdir()] == ["blobs"]


def test_a_name_that_is_taken_gets_a_number(tmp_path):
    one = OneBlob("B", b"data", 4, ".csv")
    message = SetVector(VectorKind.BLOB, "D", "P", (one,), None, None, "2026-11-20T23:37:19.057623")
    names = [write_blob(tmp_path, message, one).filepath.rpartition("/")[2] for _ in range(3)]
    assert names == [f"2026-11-20T23_37_19.057623{tail}.csv" for tail in ("", "_1", "_2")]
    assert blob_name("2026-11-20T23:37:19", "fits") == ("2026-11-20T23_37_19", ".fits")


def test_what_a_bridge_that_was_killed_has_left_is_removed_and_nothing_else(tmp_path):
    old = [".17.7f0b.part", ".17.7f0b.part.fits", "17.7f0b.part", ".part", "a.fits"]
    for name in (*old, ".18.7f0c.part"):
        (tmp_path / name).write_bytes(b"")
    for name in old:
        os.utime(tmp_path / name, (0, 0))
    (tmp_path / ".19.0.part").mkdir()
    os.utime(tmp_path / ".19.0.part", (0, 0))
    remove_parts(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*old[1:], ".18.7f0c.part", ".19.0.part"])
    remove_parts(tmp_path / "nothing")


def apply(held, commands):
    """What redis does with these commands."""
    for command in commands:
        word, key, *rest = command
        if word == "HSET":
            held.setdefault(key, {}).update(zip(rest[::2], rest[1::2], strict=True))
        elif word == "HDEL":
            for field in rest:
                held[key].pop(field, None)
        elif word == "SADD":
            held.setdefault(key, set()).update(rest)
        elif word == "SREM":
            held[key] -= set(rest)
            if not held[key]:
                del held[key]
        elif word == "SET":
            held[key] = rest[0]
        elif word == "DEL":
            for each in (key, *rest):
                held.pop(each, None)


STEPS = st.lists(
    st.tuples(st.sampled_from("dust"), st.sampled_from("AB"), st.sampled_from("PQ"), st.integers(0, 3)), max_size=30
)


def test_what_was_asked_of_something_is_gone_with_it_when_everything_is_written_anew():
    model, planner, held = Model(), Planner(Keys("p_"), Logs()), {}
    for device in "AB":
        model.apply(define(device, "P", N0=1))
        apply(held, planner.asked("P", device) + planner.asked("", device) + planner.asked())
    apply(held, planner.update([*model], ()))
    model.apply(delete("A", None))
    apply(held, planner.rewrite([*model], (), list(held)))
    asked = {"getProperties", "getProperties:device:B", "getProperties:property:P:B"}
    assert {key for key in held if "getProperties" in key} == {f"p_{key}" for key in asked}


@given(STEPS, st.integers(1, 5))
def test_differences_lead_to_what_writing_everything_anew_leads_to(steps, at_once):
    model, planner = Model(), Planner(Keys("p_"), Logs(), lambda: "2026-01-01T00:00:00")
    held, rev, changes = {}, 0, []
    for number, (step, device, name, value) in enumerate([*steps, ("u", "A", "P", 0)]):
        if step == "d":
            message = define(device, name, **{"N0": value, f"N{value}": value}, timestamp="t", group=str(value))
        elif step == "u":
            message = update(device, name, N0=value, timestamp="t")
        else:
            message = delete(device, name if step == "s" else None)
        change = model.apply(message)
        if change is not None:
            changes.append(change)
        if number % at_once == 0 or number == len(steps):
            delta = model.since(rev)
            rev = delta.rev
            deleted = [(grave.device, grave.name) for grave in delta.deleted]
            apply(held, planner.update(delta.properties, deleted, changes))
            changes = []
    fresh = {}
    other = Planner(Keys("p_"), Logs(), lambda: "2026-01-01T00:00:00")
    apply(fresh, other.rewrite([*model], (), ()))
    clean = lambda shown: {k: v for k, v in shown.items() if "logdata" not in k and "messages" not in k}  # noqa: E731
    assert clean(held) == clean(fresh)
    apply(held, planner.rewrite([*model], (), list(held)))
    assert clean(held) == clean(fresh)


def test_only_a_log_of_the_other_form_is_replaced():
    kept = Logs()
    assert not kept.seed("a", Exception("WRONGTYPE Operation against a key holding the wrong kind of value"))
    with pytest.raises(OSError, match="BUSY"):
        kept.seed("a", OSError("BUSY Redis is busy running a script"))


def test_lengths_of_logs():
    assert log_lengths({"devices": 0})["devices"] == 1
    with pytest.raises(ValueError, match="no log"):
        log_lengths({"device": 5})
    logs = Logs({"devices": 3})
    assert logs.add("devices", "k", ["a"], "t")
    assert not logs.add("devices", "k", ["a"], "later")


@pytest.mark.parametrize(
    "payload",
    [b"", b"x", b"<getProperties", b"<a/><b/>", b"<getProperties version='1.7'/><getProperties version='1.7'/>",
     b"<setNumberVector device='a' name='b'><oneNumber name='c'>1</oneNumber></setNumberVector>", b"\xff"],
)  # fmt: skip
def test_what_is_not_one_request_is_refused(payload):
    with pytest.raises(NotUnderstood):
        request(payload)


def test_snoop_table():
    table = SnoopTable()
    assert not table.add("x", None, "P")
    assert table.add("x", "D", "P")
    assert table.add("y", "D", None)
    assert list(table.who_wants("D", "P")) == ["x", "y"]
    assert list(table.who_wants("D", "Q")) == ["y"]
    assert list(table.who_wants("D", None)) == ["x", "y"]
    table.deleted("D", None)
    assert len(table) == 0
    assert sum(table.add("z", "D", str(number)) for number in range(2000)) == 1000
    table.forget("z")
    assert len(table) == 0


def test_topics():
    topics = Topics("me", mqtt_server(), ["a", "b"])
    assert topics.of_a_site == ["to_indi/a", "to_indi/b", "snoop_control/#", "snoop_data/me", "status/#"]
    assert Topics("me", mqtt_server()).of_a_listener == ["from_indi/#", "status/#", "count/#", "blobs/me"]
    assert topics.split("from_indi/x") == ("from_indi", "x")
    assert topics.split("from_indi") == ("from_indi", "")
    assert check_id("indi_server01") == "indi_server01"
