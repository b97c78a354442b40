"""The log on standard error: lines come in order and at once, and nobody waits for a reader that does not come."""

import contextlib
import io
import logging
import os
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from indipyserver.cli import logstream
from indipyserver.cli.console import attach
from indipyserver.cli.logstream import LogStream
from tests.support import ROOT, allowed

posix = pytest.mark.skipif(sys.platform == "win32", reason="its pipes are other ones")
PLAIN = logging.Formatter("%(message)s")
MISSING = "lines of this log that could not be written here in time: "


class Pipe:
    """A pipe with a stream to write to, as standard error is one."""

    def __init__(self):
        self.reader, writer = os.pipe()
        self.stream = open(writer, "w", encoding="utf-8", errors="backslashreplace")  # noqa: SIM115

    def fill(self):
        """Until nothing more goes in; returns how much is in it."""
        fd = self.stream.fileno()
        os.set_blocking(fd, False)
        total = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                total += os.write(fd, b"-" * 512)
        os.set_blocking(fd, True)
        return total

    def skip(self, count):
        while count:
            count -= len(os.read(self.reader, count))

    def lines(self, count):
        """So many lines from it."""
        data = b""
        while data.count(b"\n") < count:
            data += os.read(self.reader, 1 << 16)
        return data.decode().splitlines()

    def rest(self):
        """What comes until the stream is closed."""
        self.stream.close()
        data = b""
        while more := os.read(self.reader, 1 << 16):
            data += more
        return data.decode().splitlines()

    def close(self):
        with contextlib.suppress(OSError):
            os.close(self.reader)
        with contextlib.suppress(OSError):
            self.stream.close()


@pytest.fixture
def pipe():
    made = Pipe()
    yield made
    made.close()


@pytest.fixture
def log_to():
    """Handlers whose threads end with the test."""
    made = []

    def make(stream, **options):
        made.append(LogStream(stream, PLAIN, **options))
        return made[-1]

    yield make
    for log in made:
        log.close()
        if log._thread.ident is not None:
            log._thread.join(5)


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """However busy this machine is."""
    monkeypatch.setattr(logstream, "READER_FLUSH", 20.0)


@pytest.fixture
def short_flush(monkeypatch):
    monkeypatch.setattr(logstream, "READER_FLUSH", 0.1)


def record(text, *args):
    return logging.LogRecord("name", logging.INFO, "file.py", 7, text, args, None)


def run_python(program, stderr):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stderr=stderr,
        text=True,
        timeout=20,
        check=False,
    )


class Disk(io.StringIO):
    """A stream that can fail."""

    failure = None

    def write(self, text):
        if self.failure:
            raise self.failure
        return super().write(text)


def test_lines_come_in_order_and_whole(pipe, log_to):
    log = log_to(pipe.stream)
    sent = [f"{n} \N{SNOWMAN} {'x' * (n % 300)}" for n in range(2000)]

    def write():
        for line in sent:
            log.handle(record("%s", line))
        log.close()
        pipe.stream.close()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert pipe.lines(len(sent)) == sent
    finally:
        writer.join()


def test_a_line_comes_without_a_flush(pipe, log_to):
    log = log_to(pipe.stream)
    log.handle(record("now"))
    assert pipe.lines(1) == ["now"]


def test_records_are_formatted_by_whoever_logs_them(log_to):
    """Their arguments may change later, and may be bound to a thread."""
    log = log_to(io.StringIO())
    seen = []

    class Argument:
        def __str__(self):
            seen.append(threading.current_thread())
            return "x"

    log.handle(record("%s", Argument()))
    assert seen == [threading.current_thread()]


@posix
@pytest.mark.parametrize("bound", [{"most_lines": 10}, {"most": 60}], ids=["lines", "characters"])
def test_what_nobody_reads_is_dropped_and_counted_at_its_place(pipe, log_to, bound):
    log = log_to(pipe.stream, **bound)
    filled = pipe.fill()
    for n in range(25):
        log.handle(record("line%d", n % 10))  # six characters with its end
    pipe.skip(filled)
    assert pipe.lines(11) == [f"line{n}" for n in range(10)] + [f"{MISSING}15"]
    log.flush()
    log.handle(record("again"))
    assert pipe.lines(1) == ["again"]
    log.flush()
    assert (log._size, log._lines, log._dropped) == (0, 0, 0)


@posix
def test_a_line_above_the_bound_is_taken_if_nothing_waits(pipe, log_to):
    log = log_to(pipe.stream, most=100)
    long = "x" * 1000
    log.handle(record(long))
    assert pipe.lines(1) == [long]


@posix
@pytest.mark.measured
def test_a_flush_ends_though_nobody_reads(pipe, log_to, short_flush):
    log = log_to(pipe.stream)
    pipe.fill()
    log.handle(record("lost"))
    begin = time.monotonic()
    log.flush()
    log.close()
    log.close()
    log.flush()
    assert 0.2 <= time.monotonic() - begin < allowed(1)
    os.close(pipe.reader)  # the thread's write fails, and it ends
    log._thread.join(5)
    assert not log._thread.is_alive()


def test_all_that_waits_is_written_at_the_end(pipe, log_to):
    log = log_to(pipe.stream)
    for n in range(100):
        log.handle(record("%d", n))
    log.close()
    assert pipe.rest() == [str(n) for n in range(100)]
    assert not log._thread.is_alive()


@posix
def test_a_stream_that_does_not_block_gets_everything(pipe, log_to):
    os.set_blocking(pipe.stream.fileno(), False)
    log = log_to(pipe.stream)
    sent = ["x" * 50_000 + str(n) for n in range(10)]  # more than a pipe takes
    for line in sent:
        log.handle(record(line))
    assert pipe.lines(len(sent)) == sent


@posix
def test_while_a_stream_that_does_not_block_is_full_nothing_is_tried(pipe, log_to):
    os.set_blocking(pipe.stream.fileno(), False)
    log = log_to(pipe.stream)
    tried = threading.Semaphore(0)

    class Raw:
        count = 0

        def fileno(self):
            return pipe.stream.fileno()

        def write(self, data):
            Raw.count += 1
            tried.release()
            return raw.write(data)

    raw, log._raw = log._raw, Raw()
    filled = pipe.fill()
    os.set_blocking(pipe.stream.fileno(), False)
    log.handle(record("waits"))
    assert tried.acquire(timeout=5)
    assert not tried.acquire(timeout=0.3)
    pipe.skip(filled)
    assert pipe.lines(1) == ["waits"]
    assert Raw.count == 2


def test_lines_that_a_full_disk_refuses_are_counted(log_to):
    disk = Disk()
    log = log_to(disk)
    log.handle(record("one"))
    log.flush()
    disk.failure = OSError(28, "No space left on device")
    for _ in range(3):
        log.handle(record("refused"))
        log.flush()
    disk.failure = None
    log.handle(record("two"))
    log.flush()
    assert disk.getvalue().splitlines() == ["one", f"{MISSING}3", "two"]


def test_a_closed_stream_harms_nobody(log_to, capfd):
    stream = io.StringIO()
    log = log_to(stream)
    stream.close()
    log.handle(record("nowhere"))
    log.flush()
    assert (log._size, log._lines) == (0, 0)
    assert log._thread.is_alive()
    assert capfd.readouterr().err == ""


@posix
def test_a_reader_that_has_gone_harms_nobody(pipe, log_to, capfd):
    log = log_to(pipe.stream)
    os.close(pipe.reader)
    for _ in range(3):
        log.handle(record("nowhere"))
        log.flush()
    assert (log._size, log._lines) == (0, 0)
    assert capfd.readouterr().err == ""


def test_a_record_that_cannot_be_formatted_is_told_in_the_log(log_to):
    """And not on standard error, where whoever logs it would wait."""
    stream = io.StringIO()
    log = log_to(stream)
    log.handle(record("%d", "no number"))
    log.flush()
    lines = stream.getvalue().splitlines()
    assert lines[0] == "what is logged at file.py:7 cannot be written"
    assert lines[-1].startswith("TypeError: ")


def test_what_is_logged_while_a_line_is_taken_comes_too(log_to):
    """A signal handler and the end of an object may log in between any two steps of the same thread."""
    stream = io.StringIO()
    log = log_to(stream)
    with log._guard:
        log.handle(record("within"))
    log.flush()
    assert stream.getvalue() == "within\n"


def test_without_a_thread_lines_are_written_all_the_same(monkeypatch, log_to):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    stream = io.StringIO()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        log = log_to(stream)
    log.handle(record("text"))
    log.flush()
    log.close()
    assert stream.getvalue() == "text\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_writes_its_lines_itself():
    program = """
        import logging, os, sys, warnings
        from indipyserver.cli.console import attach
        warnings.simplefilter("ignore")  # Python 3.12 warns of forks beside threads
        with attach(sys.stderr, logging.INFO):
            logging.info("parent")
            child = os.fork()
            if not child:
                logging.info("child")
                os._exit(0)
            os.waitpid(child, 0)
    """
    done = run_python(program, stderr=subprocess.PIPE)
    assert sorted(line.rpartition(" ")[2] for line in done.stderr.splitlines()) == ["child", "parent"]


def test_attach_leaves_logging_as_it_was(pipe):
    top = logging.getLogger()
    before = (top.level, list(top.handlers))
    with attach(pipe.stream, logging.INFO):
        logging.getLogger("x").info("text")
    assert (top.level, top.handlers) == before
    (line,) = pipe.rest()
    assert line.endswith(": text")


def test_the_last_lines_come_before_a_traceback():
    program = """
        import logging, sys
        from indipyserver.cli.console import attach
        with attach(sys.stderr, logging.INFO):
            logging.info("last")
            raise ValueError("failed")
    """
    done = run_python(program, stderr=subprocess.PIPE)
    lines = done.stderr.splitlines()
    assert lines[0].endswith(": last")
    assert lines[1].startswith("Traceback")
    assert lines[-1] == "ValueError: failed"


@posix
def test_a_process_whose_log_nobody_reads_ends_by_itself(pipe):
    """A thread that waits within the buffers of standard error would make Python abort."""
    program = """
        import logging, sys
        from indipyserver.cli.console import attach
        with attach(sys.stderr, logging.INFO):
            logging.info("unread")
    """
    pipe.fill()
    assert run_python(program, stderr=pipe.stream).returncode == 0


@posix
@pytest.mark.measured
def test_an_idle_log_takes_no_time(pipe, log_to):
    log = log_to(pipe.stream)
    log.handle(record("text"))
    log.flush()
    before = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - before < allowed(0.02)


@posix
@pytest.mark.measured
def test_a_signal_handler_can_flush_wherever_it_comes():
    program = """
        import logging, os, signal, sys, threading, time
        from indipyserver.cli.console import attach

        def end(number, frame):
            log.flush()
            os._exit(3)

        signal.signal(signal.SIGALRM, end)
        with attach(sys.stderr, logging.INFO) as log:
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            while True:
                logging.info("x" * 50)
    """
    for _ in range(3):
        begin = time.monotonic()
        with open(os.devnull, "w") as nowhere:
            assert run_python(program, stderr=nowhere).returncode == 3
        assert time.monotonic() - begin < allowed(5)
