"""The options of the command that say who may come in."""

import contextlib
import re
import signal
import sys

import pytest

from indipyserver.cli.access import Listen
from indipyserver.routing.rights import Rights
from indipyserver.spec import RemoteSpec, parse_spec
from tests.support import ROOT, IndiClient, asynchronous, eventually, match, new_vector, run, started
from tests.support.certificates import certificates, trusting

COMMAND = [sys.executable, "-m", "indipyserver", "-v", "--no-unix-socket", "-p", "0"]
LED = f"{ROOT}/examples/led.py:make_driver"


async def port_of(program, pattern):
    found = []
    await eventually(lambda: found.extend(re.findall(pattern, program.stderr())) or found, timeout=15)
    return int(found[0])


@asynchronous
async def test_tls_with_client_certificates_a_plain_listener_a_read_only_one_and_the_audit_log():
    files = certificates()
    from tests.support import free_port

    plain, window = free_port(), free_port()
    with started(
        *COMMAND, "--tls-cert", f"{files}/server.pem", "--tls-key", f"{files}/server.key",
        "--tls-client-ca", f"{files}/ca.pem", "--listen", f"127.0.0.1:{plain}",
        "--listen", f"127.0.0.1:{window},read-only,device=L*", "--audit", LED, cwd=ROOT,
    ) as program:  # fmt: skip
        port = await port_of(program, r"listening on 127\.0\.0\.1 port (\d+) with TLS")
        async with contextlib.AsyncExitStack() as stack:
            secure = await stack.enter_async_context(IndiClient(port, "localhost", ssl=trusting("client")))
            old = await stack.enter_async_context(IndiClient(plain))
            guest = await stack.enter_async_context(IndiClient(window))
            for client in (secure, old, guest):
                await client.get_properties()
                await client.expect(match("defSwitchVector", device="LED"), timeout=15)
            await guest.send(new_vector("Switch", "LED", "LIGHT", LAMP="On"))
            await guest.expect(match("message", device="LED"))
            await secure.send(new_vector("Switch", "LED", "LIGHT", LAMP="On"))
            await old.expect(match("setSwitchVector", values={"LAMP": "On"}))
        # another server, over TLS, that shows this certificate as its own
        with started(
            *COMMAND, "--tls-cert", f"{files}/client.pem", "--tls-key", f"{files}/client.key", "--tls-ca",
            f"{files}/ca.pem", "--listen", f"127.0.0.1:{(above := free_port())}", f"LED@tls://localhost:{port}", cwd=ROOT,
        ) as other:  # fmt: skip
            await port_of(other, rf"listening on 127\.0\.0\.1 port ({above})")
            async with IndiClient(above) as client:
                await client.get_properties()
                await client.expect(match("defSwitchVector", device="LED"), timeout=15)
        assert "LED.LIGHT LAMP='On'" in program.stderr()
        assert program.stderr().count("LED.LIGHT LAMP") == 1
        program.signal(signal.SIGUSR1)
        await eventually(lambda: "clients so far" in program.stderr())
        program.interrupt()
        assert await program.wait() == 130


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--tls-key", "x"], "--tls-key needs --tls-cert"),
        (["--tls-client-ca", "x"], "--tls-client-ca needs --tls-cert"),
        (["--tls-cert", "/nowhere.pem"], "cannot be read"),
        (["--tls-cert", __file__], "holds no certificate"),
        (["--listen", "tls://localhost:1"], "needs --tls-cert"),
        (["--listen", "localhost"], "where to listen is written HOST:PORT"),
        (["--listen", ":7624"], "where to listen is written HOST:PORT"),
        (["--listen", "localhost:"], "is not a port"),
        (["--listen", "::1"], "in brackets, [ADDRESS]:PORT"),
        (["--listen", "localhost:1,write-only"], "neither read-only nor device="),
    ],
)
@asynchronous
async def test_wrong_options_are_explained(options, says):
    finished = await run(*COMMAND, *options, LED, cwd=ROOT)
    assert finished.returncode == 2
    assert says in finished.stderr
    assert "Traceback" not in finished.stderr


def test_the_forms_of_listen():
    assert Listen.parse("tls://*:7625") == Listen("", 7625, True, Rights())
    assert Listen.parse("[::1]:7626,device=A*,read-only,device=B") == Listen(
        "::1", 7626, False, Rights(True, ("A*", "B"))
    )


def test_tls_in_words():
    assert parse_spec("@tls://dome:7625") == RemoteSpec("@tls://dome:7625", None, "dome", 7625, True)
    assert parse_spec("Cam@tls://[::1]") == RemoteSpec("Cam@tls://[::1]", "Cam", "::1", 7624, True)
