"""The options of the command for access: TLS, further listeners with other rights, the audit log."""

from __future__ import annotations

import argparse
import logging
import ssl
from typing import TYPE_CHECKING, Final, NamedTuple

from ..certificates import client_context, server_context
from ..routing.rights import Rights
from ..spec import TLS, split_host_and_port

if TYPE_CHECKING:
    from ..ipyserver import IPyServer

__all__ = ["Access", "Listen", "add_options", "context_to_other_servers"]

_READ_ONLY: Final = "read-only"
_DEVICE: Final = "device="


class Listen(NamedTuple):
    """The content of one ``--listen``.

    Attributes:
        host: Name or address, "" for all interfaces.
        port: TCP port.
        tls: Its clients must use TLS.
        rights: What its clients may see and do.
    """

    host: str
    port: int
    tls: bool
    rights: Rights

    @classmethod
    def parse(cls, text: str) -> Listen:
        """``[tls://]HOST:PORT[,read-only][,device=PATTERN]...``.

        Raises:
            ValueError: It is not of this form.
        """
        where, *words = text.split(",")
        tls = where.startswith(TLS)
        try:
            host, port = split_host_and_port(where.removeprefix(TLS), None)
        except ValueError as error:
            raise ValueError(f"{text!r}: {error}") from None
        patterns = [word.removeprefix(_DEVICE) for word in words if word.startswith(_DEVICE)]
        unknown = [word for word in words if word != _READ_ONLY and not word.startswith(_DEVICE)]
        if unknown:
            raise ValueError(f"{text!r}: {unknown[0]!r} is neither {_READ_ONLY} nor {_DEVICE}PATTERN")
        return cls("" if host == "*" else host, port, tls, Rights.of(_READ_ONLY in words, patterns or None))


def _listen(text: str) -> Listen:
    try:
        return Listen.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add these options to the command."""
    add = parser.add_argument_group("access").add_argument
    add("--tls-cert", metavar="FILE",
        help="clients must use TLS on --host and -p; this PEM file has the server's certificate")  # fmt: skip
    add("--tls-key", metavar="FILE", help="the server's private key (default: in the same file)")
    add("--tls-client-ca", metavar="FILE", help="clients also need a certificate of this CA")
    add("--tls-ca", metavar="FILE",
        help="the CA of other servers that are named @tls://HOST:PORT (default: those that this machine trusts); "
        "to them, --tls-cert is our certificate")  # fmt: skip
    add("--listen", metavar="ADDRESS", action="append", type=_listen, default=[],
        help="also listen there: [tls://]HOST:PORT[,read-only][,device=PATTERN]...; for example localhost:7625 for "
        "clients without TLS, or '*:7626,read-only,device=Weather*'; may be repeated")  # fmt: skip
    add("--audit", action="store_true", help="log who commands what")


class Access:
    """The settings that result from the options.

    Args:
        options: From the parser.

    Attributes:
        context: For the server's own listeners, or None for plain TCP.
        audit: Log who commands what.

    Raises:
        ValueError: The options are inconsistent, or a file does not have the right content.
        OSError: A file cannot be read.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self.audit: bool = options.audit
        self._cert, self._key = options.tls_cert, options.tls_key
        self._listens: list[Listen] = options.listen
        for name in ("tls_key", "tls_client_ca"):
            if getattr(options, name) is not None and self._cert is None:
                raise ValueError(f"--{name.replace('_', '-')} needs --tls-cert")
        if self._cert is None and any(listen.tls for listen in self._listens):
            raise ValueError("--listen tls://... needs --tls-cert")
        self.context: ssl.SSLContext | None = None
        if self._cert is not None:
            try:
                self.context = server_context(self._cert, self._key, options.tls_client_ca)
            except OSError as error:  # SSLError is one
                raise ValueError(f"the TLS files cannot be used: {_why(error)}") from None
        if self.audit:
            logging.getLogger("indipyserver.audit").setLevel(logging.INFO)

    def add_listeners(self, server: IPyServer) -> None:
        """Make the server listen where ``--listen`` says."""
        for listen in self._listens:
            rights = listen.rights
            server.add_listener(
                listen.host,
                listen.port,
                ssl=self.context if listen.tls else None,
                read_only=rights.read_only,
                devices=rights.devices or None,
            )


def context_to_other_servers(options: argparse.Namespace) -> ssl.SSLContext:
    """The TLS context for links to servers that are named ``@tls://``.

    Args:
        options: From the parser.

    Raises:
        ValueError: A file cannot be read, or does not have the right content.
    """
    try:
        return client_context(options.tls_ca, options.tls_cert, options.tls_key)
    except OSError as error:  # SSLError is one
        raise ValueError(f"the TLS files cannot be used: {_why(error)}") from None


def _why(error: OSError) -> str:
    text = error.strerror or getattr(error, "reason", None) or str(error)
    return text.replace("name the file that does", "name the file that does with --tls-key")
