"""TLS contexts for a server's listeners, and for its links to other servers: made from files, or checked."""

from __future__ import annotations

import contextlib
import errno
import os
import ssl
from collections.abc import Iterator
from typing import TypeAlias

__all__ = ["checked_context", "client_context", "server_context"]

File: TypeAlias = str | os.PathLike[str]


def server_context(cert: File, key: File | None = None, client_ca: File | None = None) -> ssl.SSLContext:
    """For a listener: TLS 1.2 at least.

    Args:
        cert: PEM file with the server's certificate, and those between it and its CA.
        key: PEM file with its private key; by default in the same file.
        client_ca: PEM file with the CA of the clients' certificates; clients without one are then refused.

    Raises:
        OSError: A file cannot be read.
        ssl.SSLError: A file does not hold what it should.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load_own(context, cert, key)
    if client_ca is not None:
        _check_readable(client_ca)
        with _explained(f"{os.fspath(client_ca)} holds no certificate of a CA"):
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
    if ca is not None:
        _check_readable(ca)
    with _explained(f"{os.fspath(ca)} holds no certificate of a CA" if ca is not None else ""):
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca is not None:
        # As of Python 3.13 the certificate itself will do, but a CA without an extension for its key usage, as many
        # that people have made for themselves, will not.  Both are the same with every version here.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if cert is not None:
        _load_own(context, cert, key)
    return context


def checked_context(context: ssl.SSLContext | None) -> ssl.SSLContext | None:
    """The context for TLS, or None.

    Raises:
        TypeError: It is something else.
    """
    if context is not None and not isinstance(context, ssl.SSLContext):
        raise TypeError(f"ssl must be an ssl.SSLContext, not {type(context).__name__}")
    return context


def checked_certificate_name(name: str | None, context: ssl.SSLContext | None) -> str | None:
    """The name that the other end's certificate must hold, or None.

    Raises:
        ValueError: No certificate can hold that name.
    """
    if name is not None and context is not None:
        try:
            context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname=name)
        except (TypeError, ValueError):  # TypeError: a null character
            raise ValueError(f"server_hostname: no certificate is for {name!r:.80}") from None
    return name


def _load_own(context: ssl.SSLContext, cert: File, key: File | None) -> None:
    """The certificate of this side, and its key.

    Raises:
        OSError: A file cannot be read.
        ssl.SSLError: A file does not have the right content; the text says which, and what to do.
    """
    for file in (cert, key):
        if file is not None:
            _check_readable(file)
    if not _holds(cert, "CERTIFICATE"):
        raise ssl.SSLError(ssl.SSL_ERROR_SSL, f"{os.fspath(cert)} holds no certificate")
    with_key = cert if key is None else key
    if not _holds(with_key, "PRIVATE KEY"):
        hint = f"{os.fspath(with_key)} holds no private key" + (": name the file that does" if key is None else "")
        raise ssl.SSLError(ssl.SSL_ERROR_SSL, hint)
    try:
        context.load_cert_chain(cert, key, _no_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            text = f"{os.fspath(with_key)} is not the key of {os.fspath(cert)}"
        else:
            why = error.reason or str(error)
            text = (
                f"{os.fspath(cert)} and {os.fspath(with_key)} cannot be used: {why} (a key with a password cannot be)"
            )
        raise ssl.SSLError(ssl.SSL_ERROR_SSL, text) from error


def _check_readable(file: File) -> None:
    """Raise OSError, with the name of the file, if it cannot be read. A pipe, readable only once, is not tried."""
    if os.path.isdir(file):
        raise IsADirectoryError(errno.EISDIR, f"{os.fspath(file)} is a directory")
    if os.path.exists(file) and not os.path.isfile(file):
        return
    try:
        with open(file, "rb"):
            pass
    except OSError as error:
        raise OSError(error.errno, f"{os.fspath(file)} cannot be read: {error.strerror}") from None


def _holds(file: File, what: str) -> bool:
    if not os.path.isfile(file):
        return True  # as far as can be known
    with open(file, "rb") as opened:
        return f"{what}-----".encode() in opened.read()


@contextlib.contextmanager
def _explained(text: str) -> Iterator[None]:
    """Give an SSLError this text."""
    try:
        yield
    except ssl.SSLError as error:
        if not text:
            raise
        raise ssl.SSLError(ssl.SSL_ERROR_SSL, text) from error


def _no_password() -> str:
    """Refuse a key with a password: a server starts without anybody at the keyboard."""
    return ""
