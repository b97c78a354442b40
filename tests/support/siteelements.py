"""The elements that endpoints of a :class:`tests.support.site.Site` send, each with a serial in its timestamp."""

from __future__ import annotations

import base64

from .siterules import Said
from .sitesocket import memory_file

__all__ = ["Elements"]


class Elements:
    """Makes elements, and keeps them by serial.

    Args:
        name: The name of its memory files.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.serial = 0
        self.said: dict[int, Said] = {}

    def element(
        self,
        verb: str,
        device: str | None = None,
        name: str | None = None,
        *,
        state: str | None = None,
        value: str | None = None,
        size: int = 0,
        suffix: str = "",
        empty: bool = False,
    ) -> Said:
        """An element with the next serial.

        Args:
            verb: See :class:`Said`.
            device: Its device.
            name: Its name; BLOBs have names that begin with "img".
            state: Its state, if any.
            value: What it says; None for an element without members. Of enableBLOB, the mode.
            size: Length of what is added to the value, to make it long.
            suffix: The format of a BLOB with data.
            empty: It has no members, but an end tag.
        """
        self.serial += 1
        attributes = "" if device is None else f' device="{device}"'
        attributes += "" if name is None else f' name="{name}"'
        time = f' timestamp="2026-01-01T00:00:00.{self.serial:06d}"'
        kind = "BLOB" if (name or "").startswith("img") else "Text"
        payloads: tuple[bytes, ...] = ()
        if verb == "get":
            text = f'<getProperties version="1.7"{attributes}/>'
        elif verb == "mode":
            text = f"<enableBLOB{attributes}>{value}</enableBLOB>"
        elif verb == "ping":
            text = f'<pingRequest uid="{self.serial}"/>'
        elif verb == "del":
            text = f"<delProperty{attributes}{time}/>"
        elif verb == "message":
            text = f'<message{attributes}{time} message="{"m" * (size % 3000)}"/>'
        elif verb == "def":
            members = (
                f'<defText name="m" label="m">{value}</defText>' if kind == "Text" else '<defBLOB name="m" label="m"/>'
            )
            text = (
                f'<def{kind}Vector{attributes} label="x" group="" state="{state}" perm="rw" timeout="0"{time}>'
                f"{members}</def{kind}Vector>"
            )
        else:
            word = f"{verb}{kind}Vector"
            attributes += f' state="{state}"' if state and verb == "set" else ""
            if suffix:
                payload = self.picture(size)
                payloads = (payload,)
                data = base64.b64encode(payload).decode()
                members = f'<oneBLOB name="m" size="{len(payload)}" format="{suffix}">{data}</oneBLOB>'
            elif value is not None:
                members = f'<oneText name="m">{value} {"x" * size}</oneText>'
            else:
                members = ""
            text = (
                f"<{word}{attributes}{time}>{members}</{word}>" if members or empty else f"<{word}{attributes}{time}/>"
            )
        said = Said(
            verb, device, name, self.serial, text.encode(), bool(suffix), "stream" in suffix, state, value, payloads
        )
        self.said[self.serial] = said
        return said

    def picture(self, size: int) -> bytes:
        """About so many bytes, unlike those of any other element."""
        return f"{self.serial:012d}".encode() * (1 + size // 16)

    def attached(self, device: str, name: str, members: list[str], suffix: str, size: int) -> Said:
        """A BLOB vector with some members attached.

        Args:
            device: Its device.
            name: Its name.
            members: What each is: "attached", "inline", "empty"; "short", a file that is shorter than is said, or
                "stray", with text beside it, which both make the element void; "unreadable".
            suffix: The format.
            size: Bytes of each.
        """
        self.serial += 1
        time = f' timestamp="2026-01-01T00:00:00.{self.serial:06d}"'
        text = f'<setBLOBVector device="{device}" name="{name}" state="Ok"{time}>'
        payloads, files = [], []
        for number, what in enumerate(members):
            data = b"" if what == "empty" else f"{number}".encode() + self.picture(size)
            child = f'<oneBLOB name="m{number}" format="{suffix}" size="{len(data)}"'
            if what in ("inline", "empty"):
                text += f"{child}>{base64.b64encode(data).decode()}</oneBLOB>"
            else:
                files.append(memory_file(self.name, data, readable=what != "unreadable"))
                length = len(data) + (1_000_000 if what == "short" else 0)
                text += f'{child} len="{length}" attached="true"></oneBLOB>{"stray" if what == "stray" else ""}'
            payloads.append(b"unreadable" if what == "unreadable" else data)
        text += "</setBLOBVector>"
        said = Said(
            "set", device, name, self.serial, text.encode(), True, "stream" in suffix, "Ok", None,
            tuple(payloads), tuple(files), "unreadable" in members,
        )  # fmt: skip
        self.said[self.serial] = said
        return said
