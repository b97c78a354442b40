"""Clients of the soak that look at pictures, on all ways into a server and with all rights."""

import array
import asyncio
import base64
import contextlib
import os
import random
import re
import socket
import ssl
from collections import deque

from .crowd import Client, Ledger, command
from .pictures import Album, picture

FORBIDDEN = 900_000_000  # added to the values of commands that must be refused
DEVICE = re.compile(rb"^<[A-Za-z]+[^>]*?\sdevice=[\"']([^\"']+)[\"']")
NAME = re.compile(rb"^<[A-Za-z]+[^>]*?\sname=[\"']([^\"']+)[\"']")
ONE_BLOB = re.compile(rb"<oneBLOB\s([^>]*?)(?:/>|>([^<]*)</oneBLOB>)")
SIZE = re.compile(rb"\b(?:len|size)=[\"'](\d+)")
TEXT = re.compile(rb"\smessage=[\"']([^\"']*)")
ONE_TEXT = re.compile(rb"<oneText name=[\"'](\w+)[\"']>\s*([^<\s]*)")
VALUE = re.compile(rb"<one\w+[^>]*>\s*([^<\s]*)")


class Viewer(Client):
    """As a Client, but it enables BLOBs, sends some, and minds what it is shown.

    Args:
        port: Where; or the name of a local socket.
        ssl: For TLS.
        read_only: All its commands must be refused.
        visible: The devices that exist for it, or None for all.
        cameras: Devices with pictures.
        complete: Those of which it must get all.
    """

    def __init__(
        self,
        port: int | str,
        safe: list[str],
        unsafe: list[str],
        ledger: Ledger,
        rng: random.Random,
        *,
        tls: ssl.SSLContext | None = None,
        read_only: bool = False,
        visible: set[str] | None = None,
        hidden: set[str] = frozenset(),  # type: ignore[assignment]
        cameras: list[str],
        complete: set[str],
    ) -> None:
        super().__init__(port, safe, unsafe, ledger, rng)  # type: ignore[arg-type]
        self.tls, self.read_only, self.visible, self.hidden = tls, read_only, visible, hidden
        self.cameras = [camera for camera in cameras if visible is None or camera in visible]
        self.refused_by_choice = rng.choice(self.cameras) if len(self.cameras) > 1 else ""
        self.album = Album(complete)
        self.wrong: list[str] = []
        self._held = bytearray()
        self._descriptors: deque[int] = deque()
        self._local: socket.socket | None = None
        self._hidden_names = (
            re.compile(rb"\b(" + b"|".join(name.encode() for name in hidden) + rb")\b") if hidden else None
        )

    # Ways

    async def __aenter__(self) -> "Viewer":
        loop = asyncio.get_running_loop()
        if isinstance(self.port, str):
            self._local = socket.socket(socket.AF_UNIX)
            self._local.setblocking(False)
            await loop.sock_connect(self._local, "\0" + self.port)
            self._over = asyncio.Event()
            loop.add_reader(self._local, self._readable)
            self._task = asyncio.create_task(self._until_over())
        else:
            self.reader, self.writer = await asyncio.open_connection(
                "127.0.0.1", self.port, limit=1 << 20, ssl=self.tls, server_hostname="localhost" if self.tls else None
            )
            self._task = asyncio.create_task(self._receive())
        modes = [
            f"<enableBLOB device='{camera}'>{'Never' if camera == self.refused_by_choice else 'Also'}</enableBLOB>\n"
            for camera in self.cameras
        ]
        await self.send(b"<getProperties version='1.7'/>\n" + "".join(modes).encode())
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._local is None:
            await super().__aexit__(*error)
        else:
            self._over.set()
            await asyncio.gather(self._task, return_exceptions=True)
            asyncio.get_running_loop().remove_reader(self._local)
            self._local.close()
        while self._descriptors:
            os.close(self._descriptors.popleft())

    async def _until_over(self) -> None:
        await self._over.wait()

    async def send(self, data: bytes) -> None:
        if self._local is None:
            await super().send(data)
        else:
            await asyncio.get_running_loop().sock_sendall(self._local, data)

    def _readable(self) -> None:
        assert self._local is not None
        try:
            data, ancillary, _, _ = self._local.recvmsg(1 << 18, socket.CMSG_SPACE(16 * 4))
        except BlockingIOError:
            return
        except OSError as error:
            data, ancillary = b"", []
            self.lost = repr(error)
        for _, _, payload in ancillary:
            files = array.array("i")
            files.frombytes(payload[: len(payload) - len(payload) % 4])
            self._descriptors += files
        if data:
            self.received(data)
        else:
            self.lost = self.lost or "the server has closed the connection"
            asyncio.get_running_loop().remove_reader(self._local)

    def unsent(self) -> int:
        return 0 if self._local is not None else super().unsent()

    # What comes

    def received(self, data: bytes) -> None:
        self._held += data
        if b"\n" not in data:
            return
        *lines, rest = bytes(self._held).split(b"\n")
        self._held = bytearray(rest)
        for line in lines:
            self._line(line)

    def _line(self, line: bytes) -> None:
        if match := DEVICE.match(line):
            device = match[1].decode()
            if self.visible is not None and device not in self.visible:
                self.wrong.append(f"sees {line[:200]!r}")
        else:
            device = ""
        if line.startswith((b"<setBLOBVector", b"<newBLOBVector")):
            self.elements += 1
            self._pictures(device, line)
            return
        if self._hidden_names and (text := TEXT.search(line)) and self._hidden_names.search(text[1]):
            self.wrong.append(f"is told of devices that it may not see: {line[:200]!r}")
        if (
            line.startswith(b"<new")
            and (value := VALUE.search(line))
            and value[1].isdigit()
            and int(value[1]) >= FORBIDDEN
        ):
            self.wrong.append(f"hears of a command that was refused: {line[:200]!r}")
        if line.startswith(b"<setTextVector") and b"head" in line[:80]:
            said = {match[1]: match[2].decode() for match in ONE_TEXT.finditer(line)}
            if said.get(b"vector") in ("image", "pair") and device != self.refused_by_choice:
                self.album.told(device, said[b"vector"], int(said[b"serial"]))
        self._take(line)

    def _pictures(self, device: str, line: bytes) -> None:
        name = NAME.match(line)
        vector = name[1].decode() if name else ""
        found = list(ONE_BLOB.finditer(line))
        serials = []
        for one in found:
            size = SIZE.search(one[1])
            if b"attached=" in one[1]:
                data = self._attached(int(size[1]) if size else 0)
            else:
                data = base64.b64decode(one[2] or b"")
            if not data:
                continue
            if size is None or int(size[1]) != len(data):
                self.wrong.append(f"{device} {vector}: {len(data)} bytes, said to be {one[1]!r}")
            serials.append(data)
        if serials and device == self.refused_by_choice:
            self.wrong.append(f"has not enabled BLOBs of {device} and gets {vector}")
        elif vector == "upload":  # what another client sends; there may be many at the same time
            for data in serials:
                judge = Album(set())
                judge.add(device, vector, data)
                self.wrong += judge.wrong
        elif vector == "pair":
            if len(serials) != 2:
                self.wrong.append(f"{device} pair: {len(serials)} pictures")
            for member, data in zip("ab", serials, strict=False):
                self.album.add(device, f"pair.{member}", data)
        else:
            for data in serials:
                self.album.add(device, vector, data)

    def _attached(self, size: int) -> bytes:
        if not self._descriptors:
            self.wrong.append("an attached BLOB has come without its descriptor")
            return b""
        file = self._descriptors.popleft()
        try:
            return os.pread(file, size, 0)
        finally:
            os.close(file)

    # What it says

    async def say(self) -> None:
        if self.read_only:
            await self._forbidden(self.rng.choice(self.safe + self.unsafe))
            return
        if self.hidden and self.rng.random() < 0.3:
            await self._forbidden(self.rng.choice(sorted(self.hidden)))
        await super().say()
        if self.rng.random() < 0.15:
            await self._upload()

    async def _forbidden(self, device: str) -> None:
        self._serial += 1
        self.ledger.forbidden += 1
        await self.send(command(device, FORBIDDEN + self.id * 1000 + self._serial % 1000))

    async def _upload(self) -> None:
        """Send a picture to a camera: as text, or on a local socket half of the time as a file."""
        camera = self.rng.choice(self.cameras)
        certain = camera in self.album.complete
        self._serial += 1
        serial = self.id * 100_000 + self._serial
        data = picture(camera, serial, self.rng)
        self.ledger.uploads.setdefault((camera, certain), []).append(serial)
        start = f"<newBLOBVector device='{camera}' name='upload'><oneBLOB name='a' size='{len(data)}' format='.bin'"
        if self._local is None or self.rng.random() < 0.5:
            await self.send((start + ">" + base64.b64encode(data).decode() + "</oneBLOB></newBLOBVector>\n").encode())
            return
        file = os.memfd_create("upload")
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(file, left) :]
            text = (start + f" len='{len(data)}' attached='true'/></newBLOBVector>\n").encode()
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [file]))]
            sent = 0
            with contextlib.suppress(BlockingIOError):
                sent = self._local.sendmsg([text], rights)
            if sent:
                await self.send(text[sent:])
            else:  # full: as if it had not been tried
                self.ledger.uploads[camera, certain].pop()
        finally:
            os.close(file)
