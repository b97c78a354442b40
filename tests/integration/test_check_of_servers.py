"""``--check`` of other servers: over TLS, and of peers that are no INDI servers at all."""

import asyncio
import logging
import socket
import ssl
import sys
import threading

import pytest

import indipydriver as ipd
from indipyserver import Observer
from indipyserver.certificates import server_context
from indipyserver.check import subjects
from indipyserver.check.run import check
from indipyserver.check.subjects import CannotRun, open_subject
from indipyserver.routing.endpoint import Role
from indipyserver.spec import RemoteSpec
from tests.support import asynchronous, run, running_server
from tests.support.certificates import certificates
from tests.support.drivers import echo_driver


def of_server(client_ca: str | None = None) -> ssl.SSLContext:
    directory = certificates()
    return server_context(directory / "server.pem", directory / "server.key", client_ca and directory / client_ca)


def files(*options: str) -> list[str]:
    """Options with the files of the test's certificates in them."""
    return [option if option.startswith("--") else str(certificates() / option) for option in options]


async def command(port: int, *options: str) -> tuple[int, str]:
    """Exit status and output of the command's check of a server that speaks TLS."""
    arguments = ("-m", "indipyserver", "--check", f"@tls://localhost:{port}", "--timeout", "2", *options)
    done = await run(sys.executable, *arguments)
    return done.returncode, done.stdout + done.stderr


@asynchronous
async def test_a_server_is_checked_over_tls():
    async with running_server(echo_driver("A"), ssl=of_server()) as server:
        status, text = await command(server.port, *files("--tls-ca", "ca.pem"))
    assert status in (0, 1), text  # whatever it thinks of the driver
    assert "A.pos" in text or "properties" in text


@asynchronous
async def test_a_server_that_wants_a_certificate_gets_ours():
    async with running_server(echo_driver("A"), ssl=of_server("ca.pem")) as server:
        wanted = files("--tls-ca", "ca.pem", "--tls-cert", "client.pem", "--tls-key", "client.key")
        assert (await command(server.port, *wanted))[0] in (0, 1)
        status, text = await command(server.port, *files("--tls-ca", "ca.pem"))
        assert status in (1, 2)
        assert "Traceback" not in text


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ([], "certificate verify failed"),
        (["--tls-ca", "other_ca.pem"], "certificate verify failed"),
        (["--tls-ca", "there-is-none.pem"], "TLS files cannot be used"),
        (["--tls-ca", "server.key"], "TLS files cannot be used"),
    ],
)
@asynchronous
async def test_a_server_that_cannot_be_believed_is_not_checked(options, says):
    async with running_server(echo_driver("A"), ssl=of_server()) as server:
        status, text = await command(server.port, *files(*options))
    assert status == 2
    assert says in text
    assert "Traceback" not in text


@pytest.mark.parametrize("host", ["a..b", ".", "x" * 64, "name.that.does.not.exist.invalid"])
@asynchronous
async def test_a_name_that_is_none_is_said_to_be_unreachable(host):
    for scheme in ("", "tls://"):
        done = await run(sys.executable, "-m", "indipyserver", "--check", f"@{scheme}{host}")
        assert done.returncode == 2
        assert "cannot be reached" in done.stderr
        assert "Traceback" not in done.stderr


@asynchronous
async def test_all_addresses_of_a_server_count(monkeypatch):
    """The first refuses; without the second the check would say that the server cannot be reached."""
    async with running_server(echo_driver("A")) as server:

        def two(host, port, *_, **__):
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in ("127.0.0.3", "127.0.0.1")]

        monkeypatch.setattr(socket, "getaddrinfo", two)
        subject = open_subject(RemoteSpec("@two", None, "two", server.port))
        await subject.start(Nobody())
        await subject.finish(1.0)


@asynchronous
async def test_a_look_up_without_answer_keeps_neither_the_check_nor_the_end_of_the_process(monkeypatch):
    monkeypatch.setattr(subjects, "_SUBJECT_TIMEOUT", 0.2)
    answered = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answered.wait(30) and [])
    try:
        async with asyncio.timeout(5):
            with pytest.raises(CannotRun, match="does not answer"):
                await open_subject(RemoteSpec("@slow", None, "slow", 7624)).start(Nobody())
            await asyncio.get_running_loop().shutdown_default_executor()  # as at the end of asyncio.run()
    finally:
        answered.set()


@asynchronous
async def test_a_server_that_has_stopped_reading_does_not_keep_the_check(caplog):
    """What we have sent and it has not taken is given up."""
    caplog.set_level(logging.CRITICAL)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        subject = open_subject(RemoteSpec(f"@127.0.0.1:{port}", None, "127.0.0.1", port))
        await subject.start(Nobody())
        deaf, _ = listening.accept()
        with deaf:
            subject._writer.write(b" " * (16 << 20))
            async with asyncio.timeout(5):
                await subject.finish(1.0)


class Nobody:
    """Hears what comes, and makes nothing of it."""

    def bytes_received(self, data: bytes) -> None: ...
    def frames_received(self, frames: list[object]) -> None: ...
    def fault_received(self, fault: object) -> None: ...
    def closed(self, unfinished: int) -> None: ...


class _Dome(ipd.IPyDriver):
    """Does what it is told, which includes connecting."""

    async def rxevent(self, event):
        for name, value in event.items():
            event.vector[name] = value
        if event.vectorname == "CONNECTION" and event.get("DISCONNECT") == "On":
            event.vector["CONNECT"] = "Off"
        elif event.vectorname == "CONNECTION":
            event.vector["DISCONNECT"] = "Off"
        await event.vector.send_setVector(state="Ok")


class _Heard(Observer):
    """Keeps what clients have said, and calls something as the first property is requested by its name."""

    def __init__(self, then=lambda: None):
        self.text = b""
        self.then = then

    def received(self, peer, frames):
        if peer.role is Role.CLIENT:
            self.text += b"".join(frame.raw for frame in frames)
            if any(frame.name for frame in frames):
                then, self.then = self.then, lambda: None
                then()


def _dome(connected, rule="OneOfMany"):
    on, off = ("On", "Off") if connected else ("Off", "On")
    switches = [ipd.SwitchMember("CONNECT", "", on), ipd.SwitchMember("DISCONNECT", "", off)]
    return _Dome(
        ipd.Device(
            "Dome",
            [
                ipd.SwitchVector("CONNECTION", "", "", "rw", rule, "Ok", switches),
                ipd.NumberVector("speed", "", "", "rw", "Ok", [ipd.NumberMember("n", "", "%g", 0, 10, 1, 5)]),
                ipd.TextVector("about", "", "", "ro", "Ok", [ipd.TextMember("t", "", "x")]),
            ],
        )
    )


_WRONG = (b"NO_SUCH_MEMBER", b"not a number", b"newTextVector")


@pytest.mark.parametrize("rule", ["OneOfMany", "AtMostOne"])
@pytest.mark.parametrize("connected", [True, False])
@asynchronous
async def test_a_device_that_another_client_may_be_using_is_sent_nothing_wrong(connected, rule):
    """Some of libindi's cameras die of a member that they have not defined."""
    heard = _Heard()
    async with running_server(_dome(connected, rule)) as server:
        server.add_observer(heard)
        report = await check(f"@127.0.0.1:{server.port}", timeout=1)
    assert [each in heard.text for each in _WRONG] == [not connected] * 3
    assert heard.text.count(b'"speed"') >= 2, "its present value is sent, in any case"
    assert any(key == ("Dome", "CONNECTION") for key, _ in report.spared) is connected


@asynchronous
async def test_a_device_that_is_slow_to_answer_and_in_use_is_sent_nothing_wrong():
    """Its driver may be busy with what another client has asked for."""
    heard = _Heard(lambda: server.add_driver(_dome(connected=True)))
    first = ipd.Device("Lamp", [ipd.TextVector("about", "", "", "ro", "Ok", [ipd.TextMember("t", "", "x")])])
    async with running_server(_Dome(first)) as server:
        server.add_observer(heard)
        report = await check(f"@127.0.0.1:{server.port}", timeout=1)
    assert b"newNumberVector" in heard.text, "its present value is sent, in any case"
    assert [each in heard.text.replace(b'"Lamp"', b"") for each in _WRONG[:2]] == [False] * 2
    assert heard.text.count(b"<newTextVector") == 1, "to the lamp alone"
    assert any(key == ("Dome", "CONNECTION") for key, _ in report.spared)
