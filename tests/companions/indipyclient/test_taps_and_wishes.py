"""Queues that say what they lost; wishes for BLOBs that outlive a connection."""

import os
from datetime import UTC, datetime

import pytest

from indipyclient import Client
from indipyclient.blobs import write_new
from indipyclient.model.model import Model
from indipyclient.model.tap import Overflow, TapQueue, weight
from indipyclient.model.wishes import BlobWishes
from indipydriver import Device, IPyDriver
from indipydriver.propertymembers import BLOBMember
from indipydriver.propertyvectors import BLOBVector
from indipydriver.protocol.messages import EnableBlob
from indipydriver.protocol.tags import BlobMode, VectorKind
from tests.support import asynchronous, eventually, running_server

from .scripted import scripted
from .site import define, say, update

TIME = datetime(2026, 11, 23, tzinfo=UTC)


def test_a_tap_drops_the_oldest_and_counts():
    tap = TapQueue(limit=3)
    for n in range(5):
        tap.put(n)
    assert [tap.take() for _ in range(4)] == [2, 3, 4, None]
    assert (tap.lost, tap.delivered) == (2, 3)


def test_a_tap_is_bounded_by_bytes_and_takes_one_that_is_larger():
    tap = TapQueue(limit_bytes=100)
    tap.put("a", 60)
    tap.put("b", 60)
    assert (tap.bytes, tap.lost) == (60, 1)
    tap.put("c", 1000)
    assert (tap.take(), tap.take(), tap.lost) == ("c", None, 2)


def test_a_tap_that_closes_keeps_what_it_has_and_takes_no_more():
    tap = TapQueue(limit=1, overflow=Overflow.CLOSE)
    tap.put(1)
    tap.put(2)
    tap.take()
    tap.put(3)
    assert (tap.overrun, tap.take(), tap.lost) == (True, None, 2)


def test_a_tap_that_waits_says_that_it_is_full_and_loses_nothing():
    tap = TapQueue(limit=1, overflow=Overflow.WAIT)
    tap.put(1)
    assert tap.full
    tap.put(2)
    assert [tap.take(), tap.take(), tap.lost] == [1, 2, 0]


def blob(name="CCD1"):
    return Model().apply(define("CCD", name, VectorKind.BLOB, B="")).prop


def test_nothing_is_sent_unless_somebody_wishes():
    wishes = BlobWishes()
    assert wishes.defined(blob()) is None
    wishes.wish("CCD", "CCD1", BlobMode.ONLY)
    assert wishes.defined(blob()) == EnableBlob("CCD", "CCD1", BlobMode.ONLY)
    assert wishes.defined(blob("CCD2")) is None
    wishes.wish("CCD", None, BlobMode.NEVER)
    assert wishes.defined(blob()) == EnableBlob("CCD", "CCD1", BlobMode.NEVER), "the whole device overrides"


def test_the_default_holds_for_what_nothing_was_said_of():
    wishes = BlobWishes(BlobMode.ALSO)
    assert wishes.defined(blob()) == EnableBlob("CCD", "CCD1", BlobMode.ALSO)
    assert wishes.defined(Model().apply(define()).prop) is None, "it is no BLOB"


def test_streams_ask_once_and_the_last_one_ends_it():
    wishes = BlobWishes()
    assert wishes.hold("CCD", "CCD1") == EnableBlob("CCD", "CCD1", BlobMode.ALSO)
    wishes.hold("CCD", "CCD1")
    assert wishes.defined(blob()).mode is BlobMode.ALSO
    assert wishes.release("CCD", "CCD1") is None
    assert wishes.release("CCD", "CCD1") == EnableBlob("CCD", "CCD1", BlobMode.NEVER)


def test_a_stream_does_not_end_what_was_wished_for():
    wishes = BlobWishes()
    wishes.wish("CCD", None, BlobMode.ALSO)
    assert wishes.hold("CCD", "CCD1") is None
    assert wishes.release("CCD", "CCD1") is None


@pytest.mark.parametrize("limits", [{"limit": 0}, {"limit_bytes": 0}])
def test_a_tap_holds_something(limits):
    with pytest.raises(ValueError, match="holds something"):
        TapQueue(**limits)


@asynchronous
async def test_blobs_that_nobody_fetches_count_also_when_the_model_does_not_keep_them():
    blob = BLOBVector("BLOB", "Blob", "G", "ro", "Ok", [BLOBMember("B", blobformat=".bin")])
    async with running_server(IPyDriver(Device("Camera", [blob]))) as server:
        client = Client("127.0.0.1", server.port, blobs="Also")
        client.model = Model(keep_blobs=False)
        async with client:
            await client.wait_property("Camera", "BLOB")
            tap = client.tap(limit_bytes=4 << 20)
            for _ in range(12):
                blob["B"] = bytes(1 << 20)
                await blob.send_setVectorMembers(members=["B"])
            await eventually(lambda: tap.lost)
            assert tap.waiting <= 5


TEXTS = '<defTextVector device="D" name="T" state="Ok" perm="ro"><defText name="A">a</defText></defTextVector>'


@asynchronous
async def test_long_texts_that_nobody_fetches_count():
    async with scripted() as server, Client("127.0.0.1", server.port) as client:
        connection = await server.client(TEXTS)
        await client.wait_property("D", "T")
        tap = client.tap(limit_bytes=1 << 20)
        for n in range(12):
            one = f'<oneText name="A">{n}{"x" * (256 << 10)}</oneText>'
            await connection.send(f'<setTextVector device="D" name="T">{one}</setTextVector>')
        await client.wait_property("D", "T", where=lambda prop: prop["A"].value.startswith("11x"))
        assert tap.waiting <= 4
        assert (await tap.next()).count == 12 - tap.waiting


@asynchronous
async def test_all_members_of_a_vector_count_though_one_has_changed():
    """Each change holds the property as it was then."""
    many = "".join(f'<defText name="m{n}"/>' for n in range(1000))
    async with scripted() as server, Client("127.0.0.1", server.port) as client:
        connection = await server.client(TEXTS.replace('<defText name="A">a</defText>', many))
        await client.wait_property("D", "T")
        tap = client.tap(limit_bytes=1 << 20)
        for n in range(100):
            one = f'<oneText name="m1">{n}</oneText>'
            await connection.send(f'<setTextVector device="D" name="T">{one}</setTextVector>')
        await client.wait_property("D", "T", where=lambda prop: prop["m1"].value == "99")
        assert 0 < tap.waiting < 50


def test_a_message_weighs_what_its_texts_and_members_take():
    short = update("Mount", "EQ", RA=1)
    assert weight(short, 100) < 1000
    assert weight(update("D", "T", VectorKind.TEXT, **{f"m{n}": "x" for n in range(1000)}), 30_000) > 200_000
    assert weight(update("D", "B", VectorKind.BLOB, A=bytes(1 << 20)), 1) >= 1 << 20
    assert weight(say("a" * 1000), 1040) == 1040


def test_a_stream_of_a_whole_device_wants_also_what_was_forbidden():
    wishes = BlobWishes()
    wishes.wish("CCD", None, BlobMode.ALSO)
    wishes.wish("CCD", "CCD1", BlobMode.NEVER)
    assert wishes.hold("CCD", None) == EnableBlob("CCD", None, BlobMode.ALSO)
    assert wishes.others("CCD") == [EnableBlob("CCD", "CCD1", BlobMode.ALSO)]
    assert wishes.release("CCD", None) == EnableBlob("CCD", None, BlobMode.ALSO)
    assert wishes.others("CCD") == [EnableBlob("CCD", "CCD1", BlobMode.NEVER)]


def test_the_same_bytes_are_written_twice_at_the_same_time(tmp_path, monkeypatch):
    """Two streams of one device."""
    data = b"SIMPLE  ="
    link = os.link

    def twin(part, path):
        monkeypatch.setattr(os, "link", link)
        write_new(tmp_path, "CCD1", ".fits", data, TIME)
        link(part, path)

    monkeypatch.setattr(os, "link", twin)
    write_new(tmp_path, "CCD1", ".fits", data, TIME)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "CCD1_20261123_00_00_00.fits", "CCD1_20261123_00_00_00_1.fits",
    ]  # fmt: skip
    assert {path.read_bytes() for path in tmp_path.iterdir()} == {data}


def test_a_file_that_cannot_be_finished_leaves_nothing(tmp_path, monkeypatch):
    def fails(*_):
        raise PermissionError("no")

    monkeypatch.setattr(os, "link", fails)
    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(PermissionError):
        write_new(tmp_path, "CCD1", ".fits", b"SIMPLE  =", TIME)
    assert not list(tmp_path.iterdir())
