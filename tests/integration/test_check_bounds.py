"""What a check keeps and writes is bounded, whatever it is shown, and its report can always be read."""

import asyncio
import base64
import os
import socket
import subprocess
import sys
import textwrap
import tracemalloc
import zlib
from pathlib import Path

import pytest

from indipydriver.errors import RemoteProtocolError
from indipydriver.protocol.frame import Frame
from indipydriver.protocol.framer import Framer, Limits
from indipydriver.protocol.messages import NewVector, OneMember
from indipydriver.protocol.tags import VectorKind
from indipyserver.check.checker import Checker
from indipyserver.check.run import check
from indipyserver.check.subjects import CannotRun, open_subject
from indipyserver.spec import parse_spec
from tests.support import ROOT, allowed, asynchronous


def program(path: Path, text: str) -> str:
    path.write_text(f"#!{sys.executable}\n{textwrap.dedent(text)}", encoding="utf-8")
    path.chmod(0o755)
    return str(path)


DEFINITION = (
    "<defTextVector device='{}' name='{}' state='Ok' perm='ro' label='l' group='g'><defText name='t'/></defTextVector>"
)
UPDATE = "<setTextVector device='{}' name='{}' state='Ok'><oneText name='t'/></setTextVector>"
MESSAGE = "<message device='{}' message='x'/>"


@pytest.mark.parametrize(
    ("element", "device", "name", "says"),
    [
        (DEFINITION, "D", "T%d", "more than 2000 properties of 'D'"),
        (UPDATE, "D", "T%d", "more than 2000 properties of 'D'"),
        (DEFINITION, "D%d", "T", "more than 500 devices"),
        (MESSAGE, "D%d", "", "more than 500 devices"),
    ],
)
@asynchronous
async def test_a_driver_with_names_without_end_is_left_alone_soon(
    tmp_path: Path, element: str, device: str, name: str, says: str
) -> None:
    path = program(
        tmp_path / "endless",
        f"""
        import itertools
        print("{DEFINITION.format("D", "T")}")
        for number in itertools.count():
            print("{element.format(device, name)}" % number)
        """,
    )
    async with asyncio.timeout(30):
        report = await check(path, timeout=0.5)
    assert [finding.seen for finding in report.findings if finding.code == "too-many"] == [
        f"{says}; the check ends there"
    ]
    assert report.status == 1
    assert report.frames < 5000


REDEFINED = (
    "<def{0}Vector device='D' name='N' state='Ok' perm='rw' rule='AnyOfMany' label='l' group='g'>{1}</def{0}Vector>"
)
NUMBER = "<defNumber name='{}' label='l' format='%g' min='0' max='9' step='1'>5</defNumber>"


@pytest.mark.parametrize(
    "later",
    [
        REDEFINED.format("Number", NUMBER.format("other")),
        REDEFINED.format("Number", ""),
        REDEFINED.format("Light", "<defLight name='n' label='l'>Ok</defLight>"),
        REDEFINED.format("BLOB", "<defBLOB name='n' label='l'/>"),
    ],
)
@pytest.mark.parametrize("commands", [1, 3])
@asynchronous
async def test_a_property_may_be_another_after_any_command(tmp_path: Path, later: str, commands: int) -> None:
    path = program(
        tmp_path / "changing",
        f"""
        import os, re
        first = "{REDEFINED.format("Number", NUMBER.format("n"))}"
        before = "{DEFINITION.format("D", "A")}".replace("'ro'", "'rw'")
        data, commands = "", 0
        while piece := os.read(0, 65536).decode():
            data += piece
            while match := re.search("<getProperties.*?/>|<newTextVector.*?</newTextVector>|<newN.*?</newN.*?>", data, re.S):
                data = data[match.end():]
                commands += match[0].startswith("<new")
                print(before + first if commands < {commands} else before + "{later}", flush=True)
                if match[0].startswith("<new"):
                    print("<setTextVector device='D' name='A' state='Ok'><oneText name='t'/></setTextVector>", flush=True)
        """,
    )
    async with asyncio.timeout(60):
        report = await check(path, timeout=0.2)
    assert report.status == 1
    assert report.startup is not None


class Deaf:
    """Somebody who hears what comes, and minds nothing of it."""

    def bytes_received(self, data: bytes) -> None: ...
    def frames_received(self, frames: list[Frame]) -> None: ...
    def fault_received(self, fault: RemoteProtocolError) -> None: ...
    def closed(self, unfinished: int) -> None: ...


@pytest.mark.measured
@asynchronous
async def test_what_is_checked_and_takes_nothing_is_sent_no_more_than_a_few_megabytes() -> None:
    """Whoever asks for the answers to pings without end, for example."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        subject = open_subject(parse_spec(f"@127.0.0.1:{deaf.getsockname()[1]}"))
        await subject.start(Deaf())
        tracemalloc.start()
        try:
            for _ in range(100):
                subject.send(NewVector(VectorKind.TEXT, "D", "T", (OneMember("t", "x" * 1_000_000),)))
            assert tracemalloc.get_traced_memory()[0] < allowed(30 << 20)
        finally:
            tracemalloc.stop()
            await subject.finish(0.0)


def judged(size: int, data: bytes) -> dict[str, str]:
    """What is said of a compressed BLOB that says that it has so many bytes."""
    checker = Checker()
    text = (
        "<defBLOBVector device='D' name='B' state='Ok' perm='ro' label='l' group='g'><defBLOB name='b'/></defBLOBVector>"
        f"<setBLOBVector device='D' name='B' state='Ok'><oneBLOB name='b' size='{size}' format='.x.z'>"
        f"{base64.b64encode(data).decode()}</oneBLOB></setBLOBVector>"
    )
    for frame in Framer(Limits(blob=1 << 30), as_sent=True).feed(text.encode()):
        checker.received(frame)
    return {finding.code: finding.seen for finding in checker.findings}


@pytest.mark.parametrize("size", [0, 1, 65536, 1 << 20, 5_000_000])
def test_the_size_of_a_compressed_blob_is_counted(size: int) -> None:
    for data in (bytes(size), os.urandom(size)):
        compressed = zlib.compress(data)
        assert judged(size, compressed) == {}
        assert judged(size, compressed + b"\0\0") == {}
        assert judged(size + 1, compressed) == {"blob-size": f"size={size + 1}, but it inflates to {size} bytes"}
        assert judged(size, compressed[:-1]) == {"blob-inflate": "a zlib stream without its end"}


@pytest.mark.measured
def test_a_few_bytes_that_stand_for_many_take_no_memory() -> None:
    packer = zlib.compressobj(1)
    bomb = b"".join([*(packer.compress(bytes(1 << 20)) for _ in range(200)), packer.flush()])
    tracemalloc.start()
    try:
        assert judged(10**15, bomb) == {"blob-size": f"size={10**15}, but it inflates to {200 << 20} bytes"}
        assert judged(1000, bomb) == {"blob-inflate": "a zlib stream of more than 2097152 bytes"}
        assert tracemalloc.get_traced_memory()[1] < allowed(30 << 20)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_names_that_the_terminal_cannot_show_are_escaped(tmp_path: Path, encoding: str) -> None:
    path = program(
        tmp_path / "foreign",
        """
        import sys
        name = "B\\u00fcro \\u65e5"
        text = f"<defTextVector device='{name}' name='T' state='Ok' perm='ro' label='l' group='g'><defText name='t'/></defTextVector>"
        sys.stdout.buffer.write(text.encode())
        sys.stdout.flush()
        sys.stdin.read()
        """,
    )
    done = subprocess.run(
        [sys.executable, "-m", "indipyserver", "--check", path, "--timeout", "0.2"],
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        timeout=50,
        check=False,
    )
    assert done.stderr == b""
    assert "device    B\u00fcro \u65e5: 1 property".encode(encoding, "backslashreplace") in done.stdout


ANSWERING = """
    import sys
    for line in sys.stdin:
        if "getProperties" in line:
            sys.stdout.write({text})
            sys.stdout.flush()
"""
CONNECTION = (
    "<defSwitchVector device='D' name='CONNECTION' state='Ok' perm='rw' rule='OneOfMany' label='l' group='g'>"
    "<defSwitch name='CONNECT'>{}</defSwitch><defSwitch name='DISCONNECT'>{}</defSwitch></defSwitchVector>\n"
)
TEXT = "<defTextVector device='D' name='T' state='Ok' perm='{}' label='l' group='g'>{}</defTextVector>\n"
LARGE = "<defText name='b'>{}</defText>".format(">" * 600_000)


@pytest.mark.parametrize(
    ("definition", "spared"),
    [
        (TEXT.format("rw", LARGE), ("D", "T")),
        (TEXT.format("ro", "<defText name='a'>x</defText>" + LARGE), ("D", "T")),
    ],
    ids=["values", "read-only values"],
)
@asynchronous
async def test_what_grows_too_large_when_it_is_sent_back_is_spared(
    tmp_path: Path, definition: str, spared: tuple[str, str]
) -> None:
    """What a driver may write as it is, such as >, is escaped in a command."""
    path = program(tmp_path / "large", ANSWERING.format(text=repr(definition + CONNECTION.format("Off", "On"))))
    async with asyncio.timeout(30):
        report = await check(path, timeout=0.3)
    (reason,) = [why for key, why in report.spared if key == spared]
    assert reason.startswith("it cannot be sent: ")
    assert len(reason) < 300
    wrong = {finding.code for finding in report.findings if (finding.device, finding.name) == spared}
    # Nor is a busy machine blamed that lets the driver answer late.
    assert wrong <= {"name-too-long", "connection-missing", "get-unanswered"}


@asynchronous
async def test_a_sum_of_interfaces_with_thousands_of_digits_is_none(tmp_path: Path) -> None:
    members = {"DRIVER_NAME": "D", "DRIVER_EXEC": "D", "DRIVER_VERSION": "1", "DRIVER_INTERFACE": "9" * 5000}
    info = TEXT.format("ro", "".join(f"<defText name='{name}'>{text}</defText>" for name, text in members.items()))
    text = info.replace("'T'", "'DRIVER_INFO'") + CONNECTION.format("On", "Off")
    path = program(tmp_path / "interfaces", ANSWERING.format(text=repr(text)))
    async with asyncio.timeout(30):
        report = await check(path, timeout=0.3)
    (finding,) = [finding for finding in report.findings if finding.code == "driver-info-form"]
    assert finding.seen == f"DRIVER_INTERFACE {'9' * 40!r}"


@asynchronous
async def test_a_ping_that_cannot_be_answered_does_not_end_the_listening(tmp_path: Path) -> None:
    text = TEXT.format("ro", "<defText name='a'>x</defText>") + f"<pingRequest uid='{'>' * 4000}'/>"
    path = program(tmp_path / "pinging", ANSWERING.format(text=repr(text)))
    async with asyncio.timeout(30):
        report = await check(path, timeout=0.3)
    codes = {finding.code for finding in report.findings}
    assert "ping-uid" in codes
    assert codes.isdisjoint({"get-unanswered", "get-name-unanswered", "ignores-end"})


@asynchronous
async def test_a_device_that_no_server_can_have_is_not_looked_for() -> None:
    with pytest.raises(CannotRun, match="getProperties"):
        await check(f"{'x' * 300}@127.0.0.1:1")


@asynchronous
async def test_a_read_only_value_that_was_taken_is_put_back(tmp_path: Path) -> None:
    path = program(
        tmp_path / "taking",
        """
        import re, sys
        VECTOR = "<{}TextVector device='D' name='T' state='Ok' {}>{}</{}TextVector>\\n"
        value = "before"
        for line in sys.stdin:
            for taken in re.findall("<oneText name=.m.>([^<]*)", line):
                value = taken
                with open(__file__ + ".taken", "a") as file:
                    file.write(value + "\\n")
                one = f"<oneText name='m'>{value}</oneText>"
                sys.stdout.write(VECTOR.format("set", "", one, "set"))
            if "getProperties" in line:
                member = f"<defText name='m' label='m'>{value}</defText>"
                sys.stdout.write(VECTOR.format("def", "perm='ro' label='T' group='G'", member, "def"))
            sys.stdout.flush()
        """,
    )
    async with asyncio.timeout(30):
        report = await check(path, timeout=1.0)
    assert "read-only-changed" in {finding.code for finding in report.findings}
    taken = (tmp_path / "taking.taken").read_text(encoding="utf-8").splitlines()
    assert [taken[0] != "before", taken[-1]] == [True, "before"]
