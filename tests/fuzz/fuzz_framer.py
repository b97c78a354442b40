"""A coverage-guided fuzzer for what comes in from a peer.

Invariant: whatever the bytes and however they are cut, the framer raises nothing, holds no more than its limits,
gives frames of which each is well-formed, one element, and either decoded or refused with a RemoteProtocolError, and
gives the same frames however the bytes are cut.

    pip install atheris
    python tests/fuzz/fuzz_framer.py                      for ever
    python tests/fuzz/fuzz_framer.py -max_total_time=300  for five minutes

The captures of real drivers are its first corpus; what it learns goes to a directory of its own in the system's
temporary one. A finding becomes a case of tests/hostile/test_findings.py.
"""

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))


def check(data: bytes) -> None:
    """AssertionError if these bytes break the invariant. The first two choose how the rest is cut."""
    from xml.parsers import expat

    from indipydriver.errors import RemoteProtocolError
    from indipydriver.protocol.decode import decode
    from indipydriver.protocol.framer import Framer, Limits

    if len(data) < 2:
        return
    limits = Limits(
        frame=4096, blob=8192, start_tag=1024, junk=2048, attributes=8, attribute_value=256, name=64, members=16,
        strict_blobs=True,
    )  # fmt: skip
    step, text = data[0] % 64 + 1, data[2:]
    whole, cut = Framer(limits), Framer(limits)
    frames = whole.feed(text)
    pieces = []
    for start in range(0, len(text), step):
        pieces += cut.feed(text[start : start + step])
        assert cut.unfinished <= limits.blob + step + limits.start_tag
    assert [f.raw for f in pieces] == [f.raw for f in frames], "other frames when cut"
    assert bool(whole.failed) == bool(cut.failed), "fails only when cut, or only whole"
    for frame in frames:
        raw = frame.raw
        parser = expat.ParserCreate("utf-8")
        parser.Parse(raw, True)  # raises when it is not one well-formed element
        assert raw.startswith(b"<" + frame.tag.text.encode())
        assert b"<!" not in raw
        try:
            decode(frame)
        except RemoteProtocolError:
            pass


def seeds(directory: Path) -> None:
    """The captures, cut into elements and pieces of some kilobytes, each with two bytes in front."""
    number = 0
    for path in sorted((ROOT / "tests/fixtures/captures").rglob("*.*")):
        if path.suffix not in (".xml", ".raw"):
            continue
        data = path.read_bytes()
        for start in range(0, min(len(data), 60_000), 3000):
            (directory / f"{number:05}").write_bytes(b"\x07\x00" + data[start : start + 3000])
            number += 1
    for element in data.split(b"\n<"):
        (directory / f"{number:05}").write_bytes(b"\x01\x00<" + element[:2000])
        number += 1


def main() -> None:
    import atheris

    with atheris.instrument_imports(include=["indipydriver"]):
        import indipydriver.protocol.decode
        import indipydriver.protocol.framer  # noqa: F401
    atheris.enabled_hooks.add("RegEx")
    corpus = Path(tempfile.gettempdir()) / "indipydriver-fuzz-corpus"
    corpus.mkdir(exist_ok=True)
    first = Path(tempfile.mkdtemp(prefix="indipydriver-fuzz-seeds"))
    seeds(first)
    atheris.Setup([sys.argv[0], "-max_len=4096", *sys.argv[1:], str(corpus), str(first)], check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
