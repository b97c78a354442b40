"""The model: what is applied is known, changes are numbered, readers miss nothing."""

import re
import sys

import pytest

from indipyclient import Client, SyncClient
from indipyclient.model import kept
from indipyclient.model import model as module
from indipyclient.model.history import History, Point
from indipyclient.model.model import Model, What
from indipyclient.model.properties import Pending
from indipydriver.protocol.messages import OneBlob, OneMember, SetVector
from indipydriver.protocol.tags import State, VectorKind

from .site import define, delete, say, update


@pytest.fixture
def model():
    model = Model()
    model.link_made()
    return model


def test_an_update_changes_the_members_it_names_and_leaves_the_others(model):
    model.apply(define(RA="1", DEC="2"))
    before = model.get("Mount", "EQ")
    change = model.apply(update(RA=5.5, state=State.BUSY), 3.0)
    after = model.get("Mount", "EQ")
    assert (after["RA"].number, after["DEC"].number, after.state, after.at) == (5.5, 2.0, State.BUSY, 3.0)
    assert (before["RA"].value, before.state) == ("1", State.IDLE), "what was read before has not changed"
    assert (change.what, change.prop) == (What.SET, after)


def test_limits_in_an_update_count(model):
    model.apply(define(RA=("1", 0, 24, 0.1)))
    model.apply(SetVector(VectorKind.NUMBER, "Mount", "EQ", (OneMember("RA", "3", max="12"),)))
    assert model.get("Mount", "EQ")["RA"].range == (0, 12)


@pytest.mark.parametrize(
    "message",
    [
        update(device="Dome"),
        update(name="OTHER"),
        update(kind=VectorKind.TEXT, RA="x"),
        delete("Dome"),
        delete(name="X"),
    ],
    ids=["device", "name", "kind", "deleted device", "deleted property"],
)
def test_what_was_never_defined_is_counted_and_ignored(model, message):
    model.apply(define())
    rev = model.rev
    assert model.apply(message) is None
    assert (model.unknown, model.rev) == (1, rev)


def test_an_unknown_member_is_ignored_and_the_others_count(model):
    model.apply(define(RA="1"))
    model.apply(update(RA=2, NEVER_DEFINED=3))
    assert model.get("Mount", "EQ").values == {"RA": "2"}
    assert model.unknown == 1


def test_a_reader_gets_each_property_once_in_the_order_of_last_change(model):
    model.apply(define(name="A"))
    model.apply(define(name="B"))
    seen = model.since(0)
    assert seen.reset
    assert [prop.name for prop in seen.properties] == ["A", "B"]
    for value in range(100):
        model.apply(update(name="B", RA=value))
    model.apply(update(name="A", RA=1))
    delta = model.since(seen.rev)
    assert not delta.reset
    assert [(prop.name, prop["RA"].value) for prop in delta.properties] == [("B", "99"), ("A", "1")]
    assert not model.since(delta.rev)


def test_readers_in_step_share_one_delta(model):
    model.apply(define())
    assert model.since(1) is model.since(1)


def test_states_passed_between_two_looks_are_told(model):
    model.apply(define(state=State.OK))
    rev = model.rev
    for state in (State.BUSY, State.ALERT, State.OK):
        model.apply(update(state=state))
    delta = model.since(rev)
    [prop] = delta.properties
    assert delta.passed(prop) == {State.OK, State.BUSY, State.ALERT}
    model.apply(update(RA=4))
    delta = model.since(delta.rev)
    assert delta.passed(delta.properties[0]) == {State.OK}


def test_deletions_are_told_and_a_device_without_properties_is_none(model):
    model.apply(define(name="A"))
    model.apply(define(name="B"))
    rev = model.rev
    model.apply(delete(name="A"))
    assert [(g.device, g.name) for g in model.since(rev).deleted] == [("Mount", "A")]
    model.apply(delete(name="B", message="off"))
    assert [(g.device, g.name) for g in model.since(rev).deleted] == [("Mount", "A"), ("Mount", None)]
    assert model.names() == []
    assert [note.text for note in model.notes()] == ["off"]


def test_who_is_too_far_behind_the_deletions_gets_everything(model, monkeypatch):
    monkeypatch.setattr(module, "GRAVES", 3)
    model.apply(define(name="KEPT"))
    rev = model.rev
    for n in range(4):
        model.apply(define(name=f"N{n}"))
        model.apply(delete(name=f"N{n}"))
    delta = model.since(rev)
    assert delta.reset
    assert [prop.name for prop in delta.properties] == ["KEPT"]
    assert not model.since(delta.rev)
    assert model.since(delta.rev, "another epoch").reset


def test_a_lost_link_makes_everything_stale_and_deletes_nothing(model):
    model.apply(define(name="A"))
    model.apply(define(name="B"))
    model.link_lost()
    prop = model.get("Mount", "A")
    assert model.is_stale(prop)
    assert model.since(0).is_stale(prop)
    model.link_made()
    assert model.is_stale(prop)
    model.apply(define(name="A"))
    assert not model.is_stale(model.get("Mount", "A"))
    assert model.has_stale
    rev = model.rev
    assert model.sweep() == 1
    assert [g.name for g in model.since(rev).deleted] == ["B"]
    assert not model.has_stale


def test_a_pending_command_is_shown_as_busy_and_survives_updates(model):
    model.apply(define(state=State.OK))
    rev = model.rev
    model.set_pending(("Mount", "EQ"), Pending({"RA": "3"}, 0.0, "me"))
    model.apply(update(RA=2))
    prop = model.get("Mount", "EQ")
    assert (prop.state, prop.shown_state, prop.pending.values) == (State.OK, State.BUSY, {"RA": "3"})
    model.set_pending(("Mount", "EQ"), None)
    assert model.get("Mount", "EQ").shown_state is State.OK
    assert len(model.since(rev).properties) == 1


def test_what_was_said_is_kept_up_to_a_bound(model, monkeypatch):
    model.apply(define())
    for n in range(module.NOTES + 10):
        model.apply(say(f"{n}", "Mount" if n % 2 else None))
    notes = model.notes()
    assert (len(notes), notes[-1].text) == (module.NOTES, str(module.NOTES + 9))
    assert len(model.notes("Mount")) == module.NOTES_OF_A_DEVICE
    assert [n.text for n in model.since(model.rev - 2).notes] == [str(module.NOTES + 8), str(module.NOTES + 9)]


def test_definitions_beyond_the_bound_are_refused_and_counted(model, monkeypatch):
    monkeypatch.setattr(module, "MAX_PROPERTIES", 2)
    for n in range(3):
        model.apply(define(name=f"N{n}"))
    assert (len(model), model.refused) == (2, 1)
    model.apply(define(name="N0", state=State.ALERT))
    assert model.get("Mount", "N0").state is State.ALERT, "what is known may still be defined again"


def test_texts_beyond_the_bound_are_refused_and_counted(model, monkeypatch):
    monkeypatch.setattr(kept, "TEXT_BYTES", 10_000)
    model.apply(define(name="A", kind=VectorKind.TEXT, T="x" * 4000))
    assert model.apply(define(name="B", kind=VectorKind.TEXT, T="x" * 6000)) is None
    assert model.apply(define("Dome", "B", VectorKind.TEXT, T="x" * 6000)) is None
    assert (model.names(), model.names("Mount"), model.refused) == (["Mount"], ["A"], 2)
    assert model.apply(update(name="A", kind=VectorKind.TEXT, T="y" * 9600)) is None
    assert model.get("Mount", "A")["T"].value == "x" * 4000
    model.apply(update(name="A", kind=VectorKind.TEXT, T="y"))
    model.apply(define("Dome", "B", VectorKind.TEXT, T="x" * 6000))
    for n in range(100):
        model.apply(say(f"{n}" * 40, "Dome"))
    assert [note.text for note in model.notes("Dome")][-1] == "99" * 40
    assert 5 < len(model.notes("Dome")) < 30
    assert len(model.notes()) == 100, "which are bounded by their number"
    model.apply(delete("Dome"))
    assert model.apply(define(name="C", kind=VectorKind.TEXT, T="x" * 6000))


@pytest.mark.parametrize("kind", [VectorKind.TEXT, VectorKind.BLOB])
def test_what_properties_say_counts_among_the_texts(model, monkeypatch, kind):
    monkeypatch.setattr(kept, "TEXT_BYTES", 10_000)
    value = b"x" if kind is VectorKind.BLOB else "x"
    for n in range(10):
        model.apply(define(name=f"P{n}", kind=kind, T=""))
        model.apply(update(name=f"P{n}", kind=kind, T=value)._replace(message=f"{n}" * 3000, timeout="9" * 3000))
        model.apply(update(name=f"P{n}", kind=kind, T=value)._replace(timestamp="2" * 3000))
    assert 3000 <= sum(len(prop.message) for prop in model) <= 9000
    assert model.refused
    assert not any(len(prop.timestamp or "") + len(prop.timeout or "") > 100 for prop in model)
    model.apply(update(name="P0", kind=kind, T=value)._replace(message="short"))
    assert model.get("Mount", "P0").message == "short"
    model.apply(define(name="P1", kind=kind, T="")._replace(message="said"))
    model.apply(define(name="P1", kind=kind, T=""))
    model.apply(delete())
    assert model._texts.bytes == 0


def test_the_format_of_a_blob_that_is_none_is_not_kept(model):
    model.apply(define(name="A", kind=VectorKind.BLOB, PIC=""))
    for format in (".fits", ".x" * 2000):
        model.apply(SetVector(VectorKind.BLOB, "Mount", "A", (OneBlob("PIC", b"x", 1, format),)))
        assert model.get("Mount", "A")["PIC"].format == ("" if len(format) > 100 else format)


def test_the_newest_blobs_are_kept_up_to_a_bound(model, monkeypatch):
    monkeypatch.setattr(kept, "BLOB_BYTES", 250)
    for n in "ABC":
        model.apply(define(name=n, kind=VectorKind.BLOB, PIC=""))
        model.apply(update(name=n, kind=VectorKind.BLOB, PIC=bytes(100)))
    have = {prop.name: prop["PIC"].data is not None for prop in model}
    assert have == {"A": False, "B": True, "C": True}
    model.apply(delete(name="B"))
    model.apply(define(name="A", kind=VectorKind.BLOB, PIC=""))
    model.apply(update(name="A", kind=VectorKind.BLOB, PIC=bytes(100)))
    assert model.get("Mount", "C")["PIC"].data is not None, "what was deleted makes room"


def test_snapshots_share_what_has_not_changed(model):
    model.apply(define())
    model.apply(define(device="Dome"))
    before = model.site()
    assert model.site() is before
    model.apply(update(RA=4))
    after = model.site()
    assert after["Dome"] is before["Dome"]
    assert before["Mount"]["EQ"]["RA"].value == "1"
    assert after["Mount"]["EQ"]["RA"].value == "4"


@pytest.mark.parametrize("kept", [1, 2, 3, 7])
def test_a_ring_of_points_is_the_end_of_a_list(kept):
    ring, everything = History(kept, 1.0), []
    for n in range(20):
        now = n * 0.7
        ring.add(now, float(n))
        begin = now - now % 1.0
        if everything and everything[-1].time == begin:
            last = everything.pop()
            everything.append(Point(begin, min(last.min, n), max(last.max, n), float(n)))
        else:
            everything.append(Point(begin, float(n), float(n), float(n)))
        assert ring.points() == everything[-kept:]
        assert len(ring) == min(len(everything), kept)


def test_a_history_takes_no_memory_for_points_that_it_does_not_have():
    many = [History(100_000) for _ in range(100)]
    for ring in many:
        ring.add(0.0, 1.0)
    assert sum(sys.getsizeof(field) for ring in many for field in ring._fields) < 100_000


def test_history_keeps_the_last_points_of_each_number():
    model = Model(history=3, span=1.0)
    model.link_made()
    model.apply(define(RA="1"), 0.0)
    for now, value in ((1.0, 5), (1.5, 2), (2.0, 7), (3.0, "x"), (3.0, 8), (4.0, 9)):
        model.apply(update(RA=value), now)
    points = model.history("Mount", "EQ", "RA")
    assert [(p.time, p.min, p.max, p.last) for p in points] == [(2, 7, 7, 7), (3, 8, 8, 8), (4, 9, 9, 9)]
    model.apply(delete())
    assert model.history("Mount", "EQ", "RA") == []


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: Model(history=-1), "-1"),
        (lambda: Model(history=float("nan")), "nan"),
        (lambda: Client(history=-600), "-600"),
        (lambda: SyncClient("127.0.0.1", 1, history=-600), "-600"),
        (lambda: Model(history=3).keep_history(-2), "-2"),
        (lambda: Model(span=0.0), "0.0 s"),
        (lambda: Model(span=-1.5), "-1.5 s"),
    ],
)
def test_a_history_of_less_than_nothing_is_refused_at_once(make, named):
    """And not when the first number comes, which would cost the connection."""
    with pytest.raises(ValueError, match=re.escape(named)):
        make()


def test_histories_have_a_bound_for_all_numbers(monkeypatch):
    monkeypatch.setattr("indipyclient.model.history.POINTS", 100)
    model = Model(history=50, span=1.0)
    model.link_made()
    names = "abc"
    model.apply(define(**dict.fromkeys(names, "0")), 0.0)
    for n in range(1, 100):
        model.apply(update(**dict.fromkeys(names, str(n))), float(n))
    kept = {name: [point.last for point in model.history("Mount", "EQ", name)] for name in names}
    assert [len(points) for points in kept.values()] == [14, 13, 13], "with 20 for each"
    assert all(points == list(range(100 - len(points), 100)) for points in kept.values())
    model.apply(define(name="OTHER", d="0"), 100.0)
    assert not model.history("Mount", "OTHER", "d")
    model.apply(delete())
    model.apply(define(name="OTHER", d="0"), 101.0)
    assert len(model.history("Mount", "OTHER", "d")) == 1, "what was deleted makes room"


def test_the_members_of_a_property_can_be_shown(model):
    model.apply(define(RA=("12.5", 0, 24, 0)))
    member = model.get("Mount", "EQ")["RA"]
    assert member._replace(format="%8.4m").shown.strip() == "12:30"
    assert member._replace(value="rubbish").shown == "rubbish"


def test_histories_go_with_their_members():
    model = Model(history=10)
    model.link_made()
    model.apply(define(a="1", b="2"))
    model.apply(update(a="3"))
    model.apply(define(a="4", c="5"))
    assert model.history("Mount", "EQ", "a")
    assert model.history("Mount", "EQ", "b") == []
    model.apply(define(kind=VectorKind.TEXT, a="x"))
    assert model.history("Mount", "EQ", "a") == []
    model.apply(define(a="1"))
    model.apply(delete())
    assert not model._histories
