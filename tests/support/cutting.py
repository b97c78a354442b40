"""Feeding a framer in pieces of every size."""

from collections.abc import Iterable
from dataclasses import dataclass

from indipydriver.errors import FrameTooLarge, RemoteProtocolError
from indipydriver.protocol.frame import BlobFrame, Frame
from indipydriver.protocol.framer import Framer, Limits

PIECES = (1 << 30, 1, 8, 300)
NUMBER = b'<setNumberVector device="D" name="N" state="Ok"><oneNumber name="x">1</oneNumber></setNumberVector>'
BLOB_START = b"<setBLOBVector device='D' name='B'><oneBLOB name='b' size='1' format='.z'>"
BLOB_END = b"</oneBLOB></setBLOBVector>"
TAIL = b"\n<pingReply uid='the tail'/>"


@dataclass
class Outcome:
    """What came out, in a shape that can be compared."""

    frames: list[Frame]
    faults: list[tuple[type[RemoteProtocolError], str, str]]
    dropped: int
    unfinished: int

    @property
    def raws(self) -> list[bytes]:
        return [frame.raw for frame in self.frames]

    @property
    def reasons(self) -> list[str]:
        return [reason for _, reason, _ in self.faults]


def text_vector(content: bytes, attributes: bytes = b"") -> bytes:
    return (
        b'<setTextVector device="D" name="T"'
        + attributes
        + b'><oneText name="t">'
        + content
        + b"</oneText></setTextVector>"
    )


def in_pieces(data: bytes, size: int) -> list[bytes]:
    return [data[i : i + size] for i in range(0, len(data), size)]


def outcome_of(pieces: Iterable[bytes], limits: Limits | None = None, *, lenient: bool = False) -> Outcome:
    framer = Framer(limits, lenient=lenient)
    frames: list[Frame] = []
    for piece in pieces:
        frames += framer.feed(piece)
    faults = []
    for fault in framer.faults:
        # How much had come in when a limit was passed depends on the pieces, and nothing else does.
        known = "too large" if isinstance(fault, FrameTooLarge) else fault.reason
        faults.append((type(fault), known, "" if isinstance(fault, FrameTooLarge) else fault.excerpt))
    return Outcome(frames, faults, framer.dropped, framer.unfinished)


def alike(data: bytes, limits: Limits | None = None, *, lenient: bool = False) -> Outcome:
    """The outcome, which must not depend on how the bytes are cut."""
    first = outcome_of([data], limits, lenient=lenient)
    for size in PIECES[1:]:
        other = outcome_of(in_pieces(data, size), limits, lenient=lenient)
        assert [f.address for f in other.frames] == [f.address for f in first.frames], size
        assert other.raws == first.raws, size
        assert [spans(f) for f in other.frames] == [spans(f) for f in first.frames], size
        assert (other.faults, other.dropped) == (first.faults, first.dropped), size
        if not any(kind is FrameTooLarge for kind, _, _ in first.faults):
            assert bool(other.unfinished) == bool(first.unfinished), size
    return first


def spans(frame: Frame) -> object:
    return (frame.spans, frame.skeleton, frame.is_stream) if isinstance(frame, BlobFrame) else None


def texts(frame: BlobFrame) -> list[bytes]:
    """The base64 texts of a BLOB."""
    return [frame.raw[begin:end] for begin, end in frame.spans]
