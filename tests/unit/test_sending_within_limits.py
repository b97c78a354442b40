"""What no server takes is not sent: it is refused where it is written."""

import pytest

from indipydriver.errors import LocalProtocolError
from indipydriver.protocol.encode import encode
from indipydriver.protocol.framer import Framer, Limits
from indipydriver.protocol.messages import DefMember, DefVector, Message, NewVector, OneBlob, OneMember, SetVector
from indipydriver.protocol.tags import Permission, State, VectorKind

LIMITS = Limits()


def update(members, device="D", name="v", message=None):
    return SetVector(VectorKind.TEXT, device, name, members, State.OK, message=message)


def text(value="x", name="t"):
    return (OneMember(name, value),)


def definition(members, label="", group=""):
    return DefVector(VectorKind.TEXT, "D", "v", State.OK, members, label, group, Permission.READ_ONLY)


def blob(data=b"x", size=None, format=".x"):
    return SetVector(VectorKind.BLOB, "D", "v", (OneBlob("b", data, size, format),), State.OK)


ROOM = LIMITS.passing_frame - len(encode(update(text("x"))).raw) + 1

WITHIN = [
    update(text("x" * ROOM)),
    update(text("é" * (ROOM // 2))),
    update(text(), device="x" * 256),
    update(text(), name="é" * 128),
    update(text(name="&" * 256)),
    update(text(), message="x" * 4096),
    update(text(), message="<" * 3000),
    update(tuple(OneMember(str(n), "") for n in range(1024))),
    definition((DefMember("m", label="x" * 4096),), label="x" * 4096),
    Message("D", "m" * 4096),
    blob(size=(1 << 31) - 1, format=".z"),
    blob(format="." + "x" * 62),
]

BEYOND = [
    update(text("x" * (ROOM + 1))),
    update(text("é" * (ROOM // 2 + 1))),
    update(text("&" * (ROOM // 4))),
    update(text(), device="x" * 257),
    update(text(), name="é" * 129),
    update(text(name="x" * 257)),
    update(text(), message="x" * 4097),
    update(text(), message="é" * 2049),
    update(text(), message='"' * 4000),
    update(tuple(OneMember(str(n), "") for n in range(1025))),
    NewVector(VectorKind.TEXT, "D", "v", tuple(OneMember(str(n), "") for n in range(1025))),
    definition((DefMember("m", label="x" * 4097),)),
    definition((DefMember("m"),), label="<" * 4000),
    definition((DefMember("m"),), group="x" * 4097),
    Message("D", "m" * 4097),
    blob(size=1 << 31, format=".z"),
    blob(size=-1),
    blob(format="." + "x" * 63),
    SetVector(VectorKind.BLOB, "D", "v", tuple(OneBlob(str(n), b"x") for n in range(1025))),
    SetVector(VectorKind.BLOB, "D" * 257, "v", (OneBlob("b", b"x"),)),
]


@pytest.mark.parametrize("message", WITHIN, ids=range(len(WITHIN)))
def test_what_is_within_the_limits_is_sent_and_taken(message):
    frame = encode(message)
    framer = Framer()
    assert framer.feed(frame.raw) == [frame]
    assert not framer.faults


@pytest.mark.parametrize("message", BEYOND, ids=range(len(BEYOND)))
def test_what_is_beyond_them_is_refused(message):
    with pytest.raises(LocalProtocolError):
        encode(message)


@pytest.mark.parametrize(
    ("message", "where"),
    [
        (update(text(name="x" * 257)), "setTextVector 'D' 'v'"),
        (Message("D", "m" * 4097), "message 'D'"),
        (Message(None, "m" * 4097), "message "),
        (update(text(), device="x" * 257), "setTextVector '" + "x" * 79),
    ],
)
def test_a_refusal_names_what_it_is_about(message, where):
    with pytest.raises(LocalProtocolError) as caught:
        encode(message)
    assert str(caught.value).startswith(f"{where}: receivers would refuse it: the attribute ")


def test_the_limit_of_blobs_is_that_of_receivers(monkeypatch):
    monkeypatch.setattr("indipydriver.protocol.encode._LIMITS", Limits(frame=1000, blob=5000))
    for module in ("encode", "forms"):
        monkeypatch.setattr(f"indipydriver.protocol.{module}.PASSING", 1000)
    size = encode(blob(b"x" * 3000)).size
    monkeypatch.setattr("indipydriver.protocol.encode._LIMITS", Limits(frame=1000, blob=size))
    assert encode(blob(b"x" * 3000)).size == size
    with pytest.raises(LocalProtocolError, match=f"more than {size}"):
        encode(blob(b"x" * 3001))


@pytest.mark.parametrize("size", [None, 0, 7, 99])
def test_the_size_of_a_blob_is_true(size):
    assert b'size="7"' in encode(blob(b"x" * 7, size)).raw
    assert (b'size="99"' if size == 99 else b'size="7"') in encode(blob(b"x" * 7, size, ".z")).raw
