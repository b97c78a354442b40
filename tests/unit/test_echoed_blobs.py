"""What a device says of a command with a BLOB goes, with its data, only to those who have enabled it."""

import pytest

from indipydriver.protocol.frame import Frame
from indipydriver.protocol.framer import Framer
from indipyserver.routing.endpoint import Endpoint, Role
from indipyserver.routing.router import Router

DEFINITION = b"<defBLOBVector device='A' name='b' state='Ok' perm='rw'><defBLOB name='m'/></defBLOBVector>"
COMMAND = b"<newBLOBVector device='A' name='b'><oneBLOB name='m' size='3' format='.x'>QUJD</oneBLOB></newBLOBVector>"


def frames(text: bytes) -> list[Frame]:
    return Framer().feed(text)


def test_no_echo_with_data_crosses_a_link_without_blobs() -> None:
    router = Router("here")
    remote, client = Endpoint("remote", Role.REMOTE, takes_blobs=False), Endpoint("client", Role.CLIENT)
    router.attach(remote)
    router.attach(client)
    router.route(client, frames(b"<getProperties version='1.7'/><enableBLOB device='A'>Also</enableBLOB>"))
    router.route(remote, frames(DEFINITION))
    assert router.route(remote, frames(COMMAND)) == []


@pytest.mark.parametrize("role", [Role.DRIVER, Role.REMOTE])
@pytest.mark.parametrize("mode", ["Also", "Only", "Never", None])
def test_the_echo_of_a_command_with_a_blob_goes_to_those_who_have_enabled_it(role: Role, mode: str | None) -> None:
    router = Router("here")
    owner, client = Endpoint("owner", role), Endpoint("client", Role.CLIENT)
    router.attach(owner)
    router.attach(client)
    router.route(client, frames(b"<getProperties version='1.7'/>"))
    router.route(owner, frames(DEFINITION))
    if mode is not None:
        router.route(client, frames(f"<enableBLOB device='A'>{mode}</enableBLOB>".encode()))
    for _ in range(2):  # also when it is remembered
        heard = [endpoint for _, receivers in router.route(owner, frames(COMMAND)) for endpoint in receivers]
        assert heard == ([client] if mode in ("Also", "Only") else [])
