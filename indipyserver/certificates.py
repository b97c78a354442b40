"""TLS contexts from files: for a server's listeners, and for its links to other servers."""

from __future__ import annotations

import os
import ssl
from typing import TypeAlias

__all__ = ["client_context", "server_context"]

File: TypeAlias = str | os.PathLike[str]


def server_context(cert: File, key: File | None = None, client_ca: File | None = None) -> ssl.SSLContext:
    """For a listener: TLS 1.2 at least.

    Args:
        cert: PEM file with the server's certificate, and those between it and its CA.
        key: PEM file with its private key; by default in the same file.
        client_ca: PEM file with the CA of the clients' certificates: then a client without one is refused.

    Raises:
        OSError: A file cannot be read.
        ssl.SSLError: A file does not hold what it should.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(cert, key, _no_password)
    if client_ca is not None:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(ca: File | None = None, cert: File | None = None, key: File | None = None) -> ssl.SSLContext:
    """For a link to another server, whose certificate must be valid for its name: TLS 1.2 at least.

    Args:
        ca: PEM file with the CA of its certificate, or with the certificate itself; by default what this
            machine trusts.
        cert: PEM file with our own certificate, if the other server wants one.
        key: PEM file with its private key; by default in the same file.

    Raises:
        OSError: A file cannot be read.
        ssl.SSLError: A file does not hold what it should.
    """
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca is not None:
        # As of Python 3.13 the certificate itself will do, but a CA without an extension for its key usage, as many
        # that people have made for themselves, will not.  Both are the same with every version here.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if cert is not None:
        context.load_cert_chain(cert, key, _no_password)
    return context


def _no_password() -> str:
    """A server starts without anybody at the keyboard: a key with a password is refused, not asked for."""
    return ""
