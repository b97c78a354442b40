"""Certificates for tests: one CA, a server "localhost", a client, and a stranger of another CA."""

import functools
import ssl
import subprocess
import tempfile
from pathlib import Path

from .programs import require

_directory: "tempfile.TemporaryDirectory[str] | None" = None


def _openssl(*arguments: str | Path) -> None:
    subprocess.run([require("openssl"), *map(str, arguments)], check=True, capture_output=True, timeout=30)


def _key(path: Path) -> list[str]:
    return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", str(path)]


def _authority(directory: Path, name: str) -> None:
    _openssl(
        "req", "-x509", *_key(directory / f"{name}.key"), "-out", directory / f"{name}.pem",
        "-subj", f"/CN={name}", "-days", "30", "-addext", "keyUsage=critical,keyCertSign,cRLSign",
    )  # fmt: skip


def _issue(directory: Path, name: str, authority: str, extension: str) -> None:
    request, extensions = directory / f"{name}.csr", directory / f"{name}.ext"
    _openssl("req", "-new", *_key(directory / f"{name}.key"), "-out", request, "-subj", f"/CN={name}")
    extensions.write_text(extension)
    _openssl(
        "x509", "-req", "-in", request, "-CA", directory / f"{authority}.pem", "-CAkey", directory / f"{authority}.key",
        "-set_serial", str(abs(hash(name)) % 10**9 + 1), "-days", "30", "-out", directory / f"{name}.pem",
        "-extfile", extensions,
    )  # fmt: skip


@functools.cache
def certificates() -> Path:
    """A directory with ca, server, client, other_ca and stranger, each as .pem and .key; made once in a test run."""
    global _directory  # noqa: PLW0603  # it lives as long as the process
    _directory = tempfile.TemporaryDirectory(prefix="certificates")
    directory = Path(_directory.name)
    _authority(directory, "ca")
    _authority(directory, "other_ca")
    _issue(directory, "server", "ca", "subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    _issue(directory, "client", "ca", "extendedKeyUsage=clientAuth\n")
    _issue(directory, "stranger", "other_ca", "extendedKeyUsage=clientAuth\n")
    return directory


def trusting(name: str | None = None) -> ssl.SSLContext:
    """For a client that trusts the CA, and shows a certificate if named; made without the code under test."""
    directory = certificates()
    context = ssl.create_default_context(cafile=str(directory / "ca.pem"))
    if name is not None:
        context.load_cert_chain(directory / f"{name}.pem", directory / f"{name}.key")
    return context
