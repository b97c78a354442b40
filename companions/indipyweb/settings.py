"""The settings of the web server."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

__all__ = ["Settings", "clean_base", "whole_path"]


def clean_base(path: str) -> str:
    """The path below which everything is served, without a slash at its end; "" for none.

    Raises:
        ValueError: It is not a path.
    """
    path = "/" + path.strip("/") if path.strip("/") else ""
    is_plain = path.isascii() and path.isprintable() and not any(char in path for char in "?#\\\"'<> %")
    if not is_plain or "//" in path or ".." in path:
        raise ValueError(f"not a path: {path!r}")
    return path


def whole_path(text: str) -> Path:
    """The absolute path of a file or folder as users write it, with ``~`` for a home folder.

    Raises:
        ValueError: That home folder, or the working directory, is not known.
    """
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError:  # no HOME and no such user, as in some containers and services
        raise ValueError(f"{text}: this home folder is not known; write the whole path") from None
    except OSError:
        raise ValueError(f"{text}: the working directory no longer exists; write the whole path") from None


@dataclass(frozen=True, slots=True)
class Settings:
    """Where things are, and how they are reached.

    Attributes:
        dbfolder: Holds the database.
        host: The address on which it listens.
        port: Its port.
        servers: INDI servers, each as ``host:port`` or the path of a local socket; the first one is shown first.
        blobfolder: The folder for BLOBs; None: they are not saved.
        blobs: Request BLOBs.
        secure: Cookies go over https only.
        basepath: The path below which everything is served, without a slash at its end.
        public_url: The address under which a proxy serves it; "" for none.
        host_names: More names of this machine.
        hsts: Tell browsers to use https only.
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
        """Whether browsers reach it over https."""
        return self.secure or self.public_origin.startswith("https:")

    @property
    def cookie(self) -> str:
        """Name of the cookie of a login: ports of a host share cookies."""
        if not self.is_https:
            return f"indipyweb_{self.port}"
        where = f"-{self.public_origin or self.port}{self.basepath}"  # this one is for all paths of the host
        return f"__Host-indipyweb{re.sub('[^A-Za-z0-9]+', '-', where)}"
