"""What the command says: where it serves, what is wrong with a file, which call holds it up."""

import re
import signal
import ssl
import sys
import textwrap

import pytest

from indipyserver.certificates import client_context, server_context
from tests.support import ROOT, asynchronous, eventually, free_port, run, started
from tests.support.certificates import certificates

COMMAND = [sys.executable, "-m", "indipyserver", "--no-unix-socket", "-p", "0"]
LED = f"{ROOT}/examples/led.py:make_driver"


@asynchronous
async def test_there_is_a_line_for_each_listener():
    files, other, third = certificates(), free_port(), free_port()
    with started(
        *COMMAND, "--tls-cert", f"{files}/server.pem", "--tls-key", f"{files}/server.key",
        "--listen", f"127.0.0.1:{other}", "--listen", f"tls://*:{third},read-only,device=L*", LED, cwd=ROOT,
    ) as program:  # fmt: skip
        await eventually(lambda: "and on all interfaces" in program.stderr(), timeout=15)
        said = program.stderr()
    assert re.search(r"serving \S+ on localhost port \d+, with TLS, for this machine only \(see --host\); ", said)
    assert f"and on 127.0.0.1 port {other}, for this machine only\n" in said
    assert f"and on all interfaces port {third}, with TLS, read only; devices L*\n" in said


TLS_FILES = [
    (("server.pem", None), "server.pem holds no private key: name the file that does"),
    (("server.key", None), "server.key holds no certificate"),
    (("server.pem", "ca.key"), "ca.key is not the key of .*server.pem"),
    (("server.pem", "nowhere.key"), "nowhere.key cannot be read: No such file or directory"),
    ((".", None), "is a directory"),
]


@pytest.mark.parametrize(("files", "says"), TLS_FILES)
def test_a_file_for_tls_is_named(files, says):
    cert, key = (name and certificates() / name for name in files)
    for make in (lambda: server_context(cert, key), lambda: client_context(None, cert, key)):
        with pytest.raises(OSError, match=says) as raised:
            make()
        assert isinstance(raised.value, ssl.SSLError) == ("holds" in says or "is not" in says)


def test_a_file_of_a_ca_is_named():
    folder = certificates()
    for make in (
        lambda: client_context(folder / "server.key"),
        lambda: server_context(folder / "server.pem", folder / "server.key", folder / "server.key"),
    ):
        with pytest.raises(ssl.SSLError, match=r"server\.key holds no certificate of a CA"):
            make()


@asynchronous
async def test_the_command_says_which_flag_names_the_key():
    done = await run(*COMMAND, "--tls-cert", f"{certificates()}/server.pem", LED, cwd=ROOT)
    assert done.returncode == 2
    assert "holds no private key: name the file that does with --tls-key" in done.stderr


@asynchronous
async def test_it_ends_without_a_call_that_does_not_return(tmp_path):
    (tmp_path / "slow.py").write_text(
        textwrap.dedent("""
        import asyncio, threading
        import indipydriver as ipd

        def read_the_port():
            print("begun", flush=True)
            threading.Event().wait()

        class Slow(ipd.IPyDriver):
            shutdown_grace = 0.1

            async def hardware(self):
                await asyncio.to_thread(read_the_port)

        def make_driver():
            return Slow(ipd.Device("Slow", []))
        """),
        encoding="utf-8",
    )
    with started(*COMMAND, "slow.py:make_driver", cwd=tmp_path, PYTHONPATH=str(ROOT)) as program:
        await eventually(lambda: "begun" in program.stdout(), timeout=15)
        program.signal(signal.SIGTERM)
        assert await program.wait(20) == 143
        said = program.stderr()
    assert re.search(r"a call in a thread has not returned: slow\.py:\d+ in read_the_port; ending without it", said)
