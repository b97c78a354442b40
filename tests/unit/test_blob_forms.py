"""A BLOB vector attached and inline: the same data, tags as indiserver writes them."""

from __future__ import annotations

import base64
import copy
import fcntl
import mmap
import os
import pickle
import sys

import pytest

import indipydriver as ipd
from indipydriver.errors import MalformedFrame
from indipydriver.protocol.decode import decode
from indipydriver.protocol.encode import encode
from indipydriver.protocol.frame import Batch, BlobFrame, Frame
from indipydriver.protocol.framer import Framer
from indipydriver.protocol.messages import Message, OneBlob, SetVector
from indipydriver.testing import DriverHarness, driver_test
from indipydriver.transport.memoryfile import (
    FILE_WEIGHT,
    MAX_DESCRIPTORS,
    AttachedFrame,
    Descriptor,
    attach,
    attachable,
)

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory files are Linux's")

DATA = bytes(range(256)) * 5


def inline(*children: bytes) -> BlobFrame:
    (frame,) = Framer(as_sent=True).feed(
        b"<setBLOBVector device='D' name='p' state='Ok'>" + b"".join(children) + b"</setBLOBVector>"
    )
    assert isinstance(frame, BlobFrame)
    return frame


def member(text: bytes, *, name: str = "b", more: bytes = b"size='1280' format='.x'") -> bytes:
    return b"<oneBLOB name='%s' %s>%s</oneBLOB>" % (name.encode(), more, text)


def content(frame: AttachedFrame) -> list[bytes]:
    return [os.pread(d.fd, length, 0) for d, length in zip(frame.descriptors, frame.lengths, strict=True)]


def members_of(frame: Frame) -> list[tuple[str, bytes]]:
    message = decode(frame)
    assert isinstance(message, SetVector)
    return [(one.name, one.data) for one in message.members if isinstance(one, OneBlob)]


def attached_form(frame: BlobFrame) -> AttachedFrame:
    assert attachable(frame)
    form = attach(frame)
    assert isinstance(form, AttachedFrame)
    return form


TEXTS = {
    "in one line": base64.b64encode(DATA),
    "in lines of 72": base64.encodebytes(DATA),
    "indented": b"\n    " + base64.b64encode(DATA) + b"\n  ",
}


@pytest.mark.parametrize("text", TEXTS)
def test_the_attached_form_has_the_data_and_becomes_inline_again(text: str) -> None:
    frame = attached_form(inline(member(TEXTS[text])))
    assert content(frame) == [DATA]
    assert frame.raw == (
        b"<setBLOBVector device='D' name='p' state='Ok'>"
        b"<oneBLOB name='b' size='1280' format='.x' attached=\"true\"/></setBLOBVector>"
    )
    assert members_of(frame.inline()) == [("b", DATA)]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (b"size='1280' enclen='1708' format='.x'", b"size='1280' format='.x'"),
        (b"size='1280' len='1280' format='.x'", b"size='1280' len='1280' format='.x'"),
        (b"size='9' len='7' format='.x'", b"size='9' format='.x' len=\"1280\""),
        (b"size='5000' len='1280' format='.x.z'", b"size='5000' len='1280' format='.x.z'"),
        (b"format='.x'", b"format='.x' size=\"1280\""),
        (b"size='x' format='.x'", b"format='.x' size=\"1280\""),
    ],
)
def test_attributes_of_the_attached_form(more: bytes, expected: bytes) -> None:
    frame = attached_form(inline(member(base64.b64encode(DATA), more=more)))
    assert b"<oneBLOB name='b' " + expected + b' attached="true"/>' in frame.raw


def test_a_word_of_a_tag_is_not_mistaken_for_an_attribute() -> None:
    odd = b"label=\" attached='true' enclen='3'\" size='1280' format='.x'"
    frame = attached_form(inline(member(base64.b64encode(DATA), more=odd)))
    assert odd in frame.raw
    assert frame.raw.count(b'attached="true"') == 1
    assert members_of(frame.inline()) == [("b", DATA)]


def test_members_without_data_stay_as_they_are() -> None:
    empty = b"<oneBLOB name='e' size='0' enclen='0' format=''></oneBLOB>"
    frame = attached_form(inline(empty, member(b"QUJD", more=b"size='3' format='.x'"), empty))
    assert frame.raw.count(empty) == 2
    assert content(frame) == [b"ABC"]
    assert members_of(frame.inline()) == [("b", b"ABC")]
    assert not attachable(inline(empty, empty))
    blank = inline(member(b"\n  "))
    assert attach(blank) is blank


def test_several_members() -> None:
    children = [member(base64.b64encode(bytes([n]) * n), name=f"m{n}", more=b"format='.x'") for n in range(1, 17)]
    frame = attached_form(inline(*children))
    assert content(frame) == [bytes([n]) * n for n in range(1, 17)]
    assert members_of(frame.inline()) == [(f"m{n}", bytes([n]) * n) for n in range(1, 17)]


def test_more_members_than_descriptors_fit_in_a_message_stay_inline() -> None:
    assert not attachable(inline(*[member(b"QUJD")] * (MAX_DESCRIPTORS + 1)))


def test_what_is_compressed_can_be_mapped_in_its_full_length() -> None:
    """libindi's clients map `size` bytes, which is the length after inflating."""
    frame = attached_form(inline(member(b"QUJD", more=b"size='70000' len='3' format='.z'")))
    assert os.fstat(frame.descriptors[0].fd).st_size == 70000
    assert content(frame) == [b"ABC"]


def test_a_receiver_can_read_the_file_and_not_change_it() -> None:
    """All clients get the same one."""
    (descriptor,) = attached_form(inline(member(base64.b64encode(DATA)))).descriptors
    with mmap.mmap(descriptor.fd, len(DATA), mmap.MAP_SHARED, mmap.PROT_READ) as view:
        assert view[:] == DATA
    with pytest.raises(PermissionError):
        os.ftruncate(descriptor.fd, 1)
    seals = fcntl.fcntl(descriptor.fd, fcntl.F_GET_SEALS)
    if seals & 0x10:
        with pytest.raises(PermissionError):
            os.pwrite(descriptor.fd, b"x", 0)


@pytest.mark.parametrize("text", [b"QUJ", b"Q!JD", b"QQ==QUJD"])
def test_what_is_not_base64_is_refused(text: bytes) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(MalformedFrame):
        attach(inline(member(b"QUJD"), member(text)))
    assert len(os.listdir("/proc/self/fd")) == before


def test_files_weigh_and_nothing_else_does() -> None:
    frame = attached_form(inline(member(b"QUJD"), member(b"QUJD", name="c")))
    batch = Batch([frame], sealed=True)
    assert batch.weight == batch.size + 2 * FILE_WEIGHT
    plain = Batch([inline(member(b"QUJD"))], sealed=True)
    assert plain.weight == plain.size
    message = Batch([encode(Message("D", "x"))])
    assert message.weight == message.size
    assert Batch.of_bytes(b"abc").weight == 3


def test_a_file_weighs_what_it_holds_or_says() -> None:
    fd = os.memfd_create("b")
    os.ftruncate(fd, 5 << 20)
    raw = b"<setBLOBVector device='D' name='p'><oneBLOB name='b' size='5242880' attached='true'/></setBLOBVector>"
    frame = AttachedFrame(inline().address, raw, [Descriptor(fd)], [5 << 20])
    assert frame.in_files == 5 << 20


def test_video_frames_are_known_in_both_forms() -> None:
    frame = inline(member(b"QUJD", more=b"size='3' format='.stream_jpg'"))
    assert frame.is_stream
    assert attached_form(frame).is_stream
    assert not attached_form(inline(member(b"QUJD"))).is_stream


def test_the_inline_form_is_kept_as_long_as_somebody_needs_it() -> None:
    """Who waits for the attached form has not counted it."""
    frame = attached_form(inline(member(base64.b64encode(DATA))))
    form = frame.inline()
    assert frame.inline() is form
    assert frame.encoded is form
    del form
    assert frame.encoded is None
    assert members_of(frame.inline()) == [("b", DATA)]


def test_a_copy_of_the_attached_form_is_inline_and_leaves_the_files_alone() -> None:
    form = attached_form(inline(member(b"QUJD")))
    copied = copy.deepcopy(form)
    assert type(copied) is BlobFrame
    assert decode(copied) == decode(form.inline())
    del copied
    assert content(form) == [b"ABC"]


def test_a_large_picture_that_came_attached_can_be_copied_and_pickled() -> None:
    """Its base64 lies in memory of its own."""
    form = attach(inline(member(base64.b64encode(bytes(range(256)) * 1000))))
    assert isinstance(form, AttachedFrame)
    for copied in (copy.deepcopy(form), pickle.loads(pickle.dumps(form)), copy.deepcopy(form.inline())):
        assert members_of(copied) == members_of(form.inline())


@driver_test
async def test_a_driver_gets_the_data_of_a_blob_that_comes_attached() -> None:
    class Viewer(ipd.IPyDriver):
        async def snoopevent(self, event: ipd.Event) -> None:
            assert isinstance(event, ipd.setBLOBVector)
            seen.append(event["b"])

    seen: list[object] = []
    driver = Viewer()
    driver.snoopall = True
    async with DriverHarness(driver) as h:
        h._link.write(Batch([attached_form(inline(member(base64.b64encode(DATA))))]))
        h._link.flush()
        await h.settle()
        assert seen == [DATA]
