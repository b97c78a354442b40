"""Specs that name another server: hosts as people write them, and what cannot be one."""

import pytest

from indipyserver.spec import RemoteSpec, parse_spec


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("@dome", "dome", 7624),
        ("Roof@dome.example.org:7000", "dome.example.org", 7000),
        ("@[::1]:7000", "::1", 7000),
        ("@[fe80::1%eth0]", "fe80::1%eth0", 7624),
        ("@tls://[fe80::1%25]:1", "fe80::1%25", 1),
        ("@b\xfccher.example", "b\xfccher.example", 7624),
        ("a@b@c", "c", 7624),
    ],
)
def test_hosts(text, host, port):
    spec = parse_spec(text)
    assert isinstance(spec, RemoteSpec)
    assert (spec.host, spec.port) == (host, port)


@pytest.mark.parametrize(
    "text", ["@", "@ a", "@a b", "@a\x1b[31m", "@\udcff", "@a\u202eb", "@\x7f:1", "@::1", "@[::1", "@a:0"]
)
def test_what_cannot_be_a_host_is_refused_at_once(text):
    with pytest.raises(ValueError):  # noqa: PT011 - each in its own words
        parse_spec(text)
