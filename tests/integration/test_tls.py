"""TLS: who gets in, that all of INDI goes through it, and that old clients go on beside it."""

import asyncio
import contextlib
import logging
import os
import re
import ssl
import subprocess
import threading
import warnings

import pytest

from indipyserver import IPyServer
from indipyserver.certificates import client_context, server_context
from tests.support import IndiClient, asynchronous, eventually, match, new_vector, running, running_server
from tests.support.certificates import certificates, trusting
from tests.support.drivers import echo_driver


def of_server(client_ca=None):
    directory = certificates()
    return server_context(directory / "server.pem", directory / "server.key", client_ca and directory / client_ca)


@asynchronous
async def test_commands_and_answers_go_through_tls():
    driver = echo_driver("A")
    async with (
        running_server(driver, ssl=of_server()) as server,
        IndiClient(server.port, "localhost", ssl=trusting()) as client,
    ):
        await client.get_properties()
        await client.expect(match("defNumberVector", device="A", name="pos"))
        await client.send(new_vector("Number", "A", "pos", n=7))
        await client.expect(match("setNumberVector", name="pos", values={"n": "7"}))
    assert driver.executed == [("A", "pos", {"n": "7"})]


@asynchronous
async def test_a_large_blob_goes_through_tls_both_ways():
    import base64

    driver = echo_driver("A")
    async with (
        running_server(driver, ssl=of_server()) as server,
        IndiClient(server.port, "localhost", ssl=trusting()) as client,
    ):
        data = base64.b64encode(bytes(range(256)) * 16384).decode()  # 4 MiB
        await client.get_properties()
        await client.expect(match("defBLOBVector"))
        await client.send(
            "<newBLOBVector device='A' name='image'>"
            f"<oneBLOB name='b' size='{4 << 20}' format='.bin'>{data}</oneBLOB></newBLOBVector>"
        )
        await client.expect(match("setBLOBVector", name="image", state="Ok"))
        await client.enable_blob("A")
        await client.settle()
        vector = driver["A"]["image"]
        vector["b"] = bytes(range(256)) * 16384
        await vector.send_setVectorMembers(members=["b"])
        element = await client.expect(match("setBLOBVector", name="image"), timeout=20)
        assert base64.b64decode(element[0].text) == bytes(range(256)) * 16384


@asynchronous
async def test_a_plain_listener_for_old_clients_stands_beside_it():
    server = IPyServer(echo_driver("A"), host="127.0.0.1", port=0, ssl=of_server())
    plain = server.add_listener("127.0.0.1")
    async with running(server):
        assert plain.port != server.port
        async with IndiClient(server.port, "localhost", ssl=trusting()) as new, IndiClient(plain.port) as old:
            await new.get_properties()
            await new.expect(match("defTextVector"))
            await old.get_properties()
            await old.expect(match("defTextVector"))
            await old.send(new_vector("Text", "A", "name", t="x"))
            await new.expect(match("setTextVector", values={"t": "x"}))


@asynchronous
async def test_a_client_without_tls_is_refused_and_the_others_are_served():
    async with running_server(echo_driver("A"), ssl=of_server()) as server:
        async with IndiClient(server.port) as plain:
            await plain.send("<getProperties version='1.7'/>")
            await asyncio.wait_for(plain.closed.wait(), 5)
            assert plain.received == []
        async with IndiClient(server.port, "localhost", ssl=trusting()) as client:
            await client.get_properties()
            await client.expect(match("defTextVector"))


@pytest.mark.parametrize("name", [None, "stranger"])
@asynchronous
async def test_with_a_client_ca_only_its_clients_get_in(name):
    async with running_server(echo_driver("A"), ssl=of_server("ca.pem")) as server:
        with contextlib.suppress(ssl.SSLError, ConnectionError):  # seen by TLS 1.2 at once, by 1.3 later
            async with IndiClient(server.port, "localhost", ssl=trusting(name)) as refused:
                with contextlib.suppress(ssl.SSLError, ConnectionError):
                    await refused.get_properties()
                await asyncio.wait_for(refused.closed.wait(), 5)
                assert refused.received == []
        assert server.stats().clients_served == 0
        async with IndiClient(server.port, "localhost", ssl=trusting("client")) as client:
            await client.get_properties()
            await client.expect(match("defTextVector"))


@asynchronous
async def test_less_than_tls_1_2_is_refused():
    assert of_server().minimum_version is ssl.TLSVersion.TLSv1_2
    assert client_context().minimum_version is ssl.TLSVersion.TLSv1_2
    async with running_server(echo_driver("A"), ssl=of_server()) as server:
        context = trusting()
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection("localhost", server.port, ssl=context)


@asynchronous
async def test_a_remote_over_tls_with_a_client_certificate():
    directory = certificates()
    driver = echo_driver("A")
    context = client_context(directory / "ca.pem", directory / "client.pem", directory / "client.key")
    async with running_server(driver, ssl=of_server("ca.pem")) as below:
        above = IPyServer(host="127.0.0.1", port=0)
        remote = above.add_remote("localhost", below.port, blob_enable=True, ssl=context)
        async with running(above), IndiClient(above.port) as client:
            await eventually(lambda: remote.connected and remote.devices == ["A"])
            await client.get_properties()
            await client.expect(match("defNumberVector", device="A", name="pos"))
            await client.send(new_vector("Number", "A", "pos", n=3))
            await client.expect(match("setNumberVector", values={"n": "3"}))


@asynchronous
async def test_a_remote_whose_certificate_is_of_another_authority_is_not_believed(caplog):
    async with running_server(echo_driver("A"), ssl=of_server()) as below:
        above = IPyServer(host="127.0.0.1", port=0)
        remote = above.add_remote("localhost", below.port, ssl=client_context(certificates() / "other_ca.pem"))
        async with running(above):
            await eventually(lambda: "certificate verify failed" in caplog.text)
            assert not remote.connected


@asynchronous
async def test_handshakes_that_do_not_come_hold_up_nobody_for_long(caplog):
    """More silent connections than handshakes are made at once: who comes later waits until they are given up."""
    async with running_server(echo_driver("A"), ssl=of_server()) as server:
        silent = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(70)]
        for _, writer in silent:
            writer.close()
        async with IndiClient(server.port, "localhost", ssl=trusting()) as client:
            await client.get_properties()
            await client.expect(match("defTextVector"))
        assert server.stats().clients_served == 1


@pytest.mark.parametrize("trusted", ["its certificate itself", "its CA", "a CA without key usage"])
@asynchronous
async def test_what_may_be_trusted_is_the_same_with_every_version_of_python(trusted, tmp_path):
    """Python 3.13 takes the certificate itself, whoever has issued it, and no CA of before without an extension."""
    directory = certificates()
    context, ca = of_server(), directory / "ca.pem"
    if trusted == "its certificate itself":
        ca = directory / "server.pem"
    elif trusted == "a CA without key usage":
        ca, server = plain_certificates(tmp_path)
        context = server_context(server)
    async with running_server(echo_driver("A"), ssl=context) as server:
        async with IndiClient(server.port, "localhost", ssl=client_context(ca)) as client:
            await client.get_properties()
            await client.expect(match("defTextVector"))
        for other in ("other_ca.pem", "client.pem"):
            with pytest.raises(ssl.SSLCertVerificationError):
                async with IndiClient(server.port, "localhost", ssl=client_context(directory / other)):
                    pass
    strict = getattr(ssl, "VERIFY_X509_STRICT", 0)
    assert not client_context(ca).verify_flags & strict  # as on 3.11, so that this test says something there too
    assert client_context().verify_flags == ssl.create_default_context().verify_flags


def plain_certificates(directory):
    """A CA as people make it by hand, and a server's certificate with its key in one file."""

    def openssl(*words):
        subprocess.run(["openssl", *words], cwd=directory, check=True, capture_output=True)

    (directory / "ext").write_text("subjectAltName=DNS:localhost")
    for name in ("ca", "server"):
        kind = ["-x509"] if name == "ca" else []
        openssl("req", *kind, "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", f"{name}.key",
            "-out", f"{name}.csr")  # fmt: skip
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.csr", "-CAkey", "ca.key", "-set_serial", "7", "-extfile",
        "ext", "-out", "server.crt")  # fmt: skip
    together = directory / "server.pem"
    together.write_bytes((directory / "server.crt").read_bytes() + (directory / "server.key").read_bytes())
    return directory / "ca.csr", together


def test_a_key_with_a_password_is_refused_and_not_asked_for(tmp_path):
    path = tmp_path / "locked.key"
    subprocess.run(
        ["openssl", "ec", "-in", certificates() / "server.key", "-aes256", "-passout", "pass:x", "-out", path],
        check=True,
        capture_output=True,
    )
    with pytest.raises(ssl.SSLError):
        server_context(certificates() / "server.pem", path)


@pytest.mark.parametrize(("host", "warnings"), [("127.0.0.1", 0), ("localhost", 0), ("0.0.0.0", 1)])
@asynchronous
async def test_one_warning_when_it_is_open_to_others_without_tls(host, warnings, caplog):
    async with running(IPyServer(host=host, port=0)):
        pass
    found = [r.getMessage() for r in caplog.records if "without encryption" in r.getMessage()]
    assert len(found) == warnings
    assert all("0.0.0.0 port" in text and "command every device" in text for text in found)


@pytest.mark.parametrize(
    ("read_only", "devices", "may"),
    [
        (False, None, "command every device"),
        (True, None, "watch every device"),
        (True, "Dew*", r"watch the devices Dew\*"),
        (False, ["B", "A*"], r"command the devices A\*, B"),
    ],
)
@asynchronous
async def test_the_warning_knows_the_rights(read_only, devices, may, caplog):
    server = IPyServer(host="127.0.0.1", port=0)
    server.add_listener("0.0.0.0", 0, read_only=read_only, devices=devices)
    async with running(server):
        pass
    assert re.search(f"connects can {may};", caplog.text)


@asynchronous
async def test_no_warning_with_tls(caplog):
    caplog.set_level(logging.WARNING)
    async with running(IPyServer(host="0.0.0.0", port=0, ssl=of_server())):
        pass
    assert "without encryption" not in caplog.text


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_certificate_and_key_may_come_from_pipes(tmp_path):
    """As in `--tls-cert <(cat ...)`; what has been read from a pipe is not there a second time."""
    writers = []
    for name in ("server.pem", "server.key"):
        os.mkfifo(tmp_path / name)
        data = (certificates() / name).read_bytes()
        writers.append(threading.Thread(target=(tmp_path / name).write_bytes, args=(data,), daemon=True))
    for writer in writers:
        writer.start()
    server_context(tmp_path / "server.pem", tmp_path / "server.key")
    for writer in writers:
        writer.join(10)
