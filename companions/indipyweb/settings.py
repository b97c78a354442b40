"""What the web server was told to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

__all__ = ["Settings", "clean_base"]


def clean_base(path: str) -> str:
    """A path below which everything is, without a slash at its end; "" for none.

    Raises:
        ValueError: It is no path.
    """
    path = "/" + path.strip("/") if path.strip("/") else ""
    is_plain = path.isascii() and path.isprintable() and not any(char in path for char in "?#\\\"'<> %")
    if not is_plain or "//" in path or ".." in path:
        raise ValueError(f"not a path: {path!r}")
    return path


@dataclass(frozen=True, slots=True)
class Settings:
    """Where things are, and how they are reached.

    Attributes:
        dbfolder: Holds the database.
        host: On which address it listens.
        port: On which port.
        servers: INDI servers, each as ``host:port`` or the path of a local socket; the first one is shown first.
        blobfolder: Where BLOBs are saved; None for nowhere.
        blobs: BLOBs are asked for.
        secure: Cookies go over https only.
        basepath: The path below which everything is, without a slash at its end.
        public_url: Under which a proxy shows it; "" for none.
        host_names: More names of this machine.
        hsts: Browsers are told to use https only.
    """

    dbfolder: Path
    host: str = "localhost"
    port: int = 8000
    servers: tuple[str, ...] = ("localhost:7624",)
    blobfolder: Path | None = None
    blobs: bool = True
    secure: bool = False
    basepath: str = ""
    public_url: str = ""
    host_names: tuple[str, ...] = ()
    hsts: bool = False

    @property
    def public_origin(self) -> str:
        """Scheme, host and port that browsers see behind a proxy; "" without one."""
        parts = urlsplit(self.public_url)
        return f"{parts.scheme}://{parts.netloc}".lower() if parts.netloc else ""

    @property
    def is_https(self) -> bool:
        """Browsers reach it over https."""
        return self.secure or self.public_origin.startswith("https:")

    @property
    def cookie(self) -> str:
        """Name of the cookie of a login: ports of a host share cookies."""
        return "__Host-indipyweb" if self.is_https else f"indipyweb_{self.port}"
