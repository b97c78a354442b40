"""Drivers of another maker: `python -m tests.soak.programs camera|snooper DEVICE DIRECTORY [watched ...]`.

They share no code with what is tested.  The camera has one socket as input and output and hands most of its pictures
over as descriptors, as libindi does.
"""

import array
import base64
import os
import random
import re
import select
import socket
import sys
import time

from .pictures import number_of, picture

ELEMENT = re.compile(
    rb"<getProperties[^>]*/>|<(new|set|def)([A-Za-z]+)Vector.*?</\1\2Vector>|<delProperty[^>]*/>", re.DOTALL
)
DEVICE, NAME = re.compile(rb"\sdevice=[\"']([^\"']*)"), re.compile(rb"\sname=[\"']([^\"']*)")
PAUSE = (0.2, 1.2)  # seconds between two pictures


class Program:
    """What both have in common: elements in, text out."""

    def __init__(self, device: str, directory: str) -> None:
        self.device, self.directory = device, directory
        self.held = b""

    def out(self, text: str) -> None:
        data = text.encode()
        while data:
            data = data[os.write(1, data) :]

    def serve(self) -> None:
        while True:
            due = self.due()
            if due is None or due > 0:
                ready, _, _ = select.select([0], [], [], due)
                if ready:
                    data = os.read(0, 1 << 18)
                    if not data:
                        return
                    self.held += data
                    self._take()
            else:
                self.act()

    def _take(self) -> None:
        end = 0
        for match in ELEMENT.finditer(self.held):
            end = match.end()
            self.element(match[0])
        self.held = self.held[end:]

    def due(self) -> float | None:
        return None

    def act(self) -> None: ...

    def element(self, element: bytes) -> None:
        raise NotImplementedError


class Camera(Program):
    def __init__(self, device: str, directory: str) -> None:
        super().__init__(device, directory)
        self.rng = random.Random(device)
        self.sock = socket.socket(fileno=os.dup(1))
        self.serials = {"image": 0, "pair": 0, "video": 0}
        self.next: float | None = None

    def due(self) -> float | None:
        return None if self.next is None else max(0.0, self.next - time.monotonic())

    def act(self) -> None:
        self.next = time.monotonic() + self.rng.uniform(*PAUSE)
        vector = self.rng.choice(["image", "image", "image", "pair", "video"])
        serial = self.serials[vector] = self.serials[vector] + 1
        data = [picture(self.device, serial, self.rng) for _ in range(2 if vector == "pair" else 1)]
        (self.attached if self.rng.random() < 0.7 else self.inline)(vector, data)
        self.head(vector, serial)

    def head(self, vector: str, serial: int) -> None:
        self.out(
            f"<setTextVector device='{self.device}' name='head' state='Ok'>"
            f"<oneText name='vector'>{vector}</oneText><oneText name='serial'>{serial}</oneText></setTextVector>\n"
        )

    def start(self, vector: str) -> str:
        return f"<setBLOBVector device='{self.device}' name='{vector}' state='Ok'>"

    def inline(self, vector: str, pictures: list[bytes]) -> None:
        ones = [
            f"<oneBLOB name='{name}' size='{len(data)}' format='{self.format(vector)}'>{base64.b64encode(data).decode()}</oneBLOB>"
            for name, data in zip("ab", pictures, strict=False)
        ]
        self.out(self.start(vector) + "".join(ones) + "</setBLOBVector>\n")

    @staticmethod
    def format(vector: str) -> str:
        return ".stream" if vector == "video" else ".bin"

    def attached(self, vector: str, pictures: list[bytes]) -> None:
        files = [os.memfd_create("picture") for _ in pictures]
        for file, data in zip(files, pictures, strict=True):
            left = memoryview(data)
            while left:
                left = left[os.write(file, left) :]
        ones = [
            f"<oneBLOB name='{name}' size='{len(data)}' format='{self.format(vector)}' enclen='0' len='{len(data)}' attached='true'/>"
            for name, data in zip("ab", pictures, strict=False)
        ]
        text = (self.start(vector) + "".join(ones) + "</setBLOBVector>\n").encode()
        first = text[: len(text) // 2]
        sent = self.sock.sendmsg([first], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files))])
        self.sock.sendall(text[sent:])
        for file in files:
            os.close(file)

    def element(self, element: bytes) -> None:
        name = NAME.search(element)
        if element.startswith(b"<getProperties"):
            self.define()
        elif b"newSwitchVector" in element[:20] and name and name[1] == b"run":
            running = re.search(rb">\s*On\s*<", element) is not None
            self.next = time.monotonic() if running else None
            self.out(
                f"<setSwitchVector device='{self.device}' name='run' state='Ok'><oneSwitch name='s'>{'On' if running else 'Off'}"
                "</oneSwitch></setSwitchVector>\n"
            )
        elif b"newBLOBVector" in element[:20] and name and name[1] == b"upload":
            self.uploaded(element)

    def uploaded(self, element: bytes) -> None:
        text = re.search(rb"<oneBLOB[^>]*>([^<]*)<", element)
        data = base64.b64decode(text[1]) if text else b""
        try:
            line = str(number_of(self.device, data))
        except ValueError as error:
            line = f"damaged: {error}"
        with open(f"{self.directory}/{self.device}.uploads", "a") as file:
            file.write(line + "\n")
        self.out(f"<setBLOBVector device='{self.device}' name='upload' state='Ok'></setBLOBVector>\n")

    def define(self) -> None:
        for vector, perm, names in (
            ("image", "ro", "a"),
            ("pair", "ro", "ab"),
            ("video", "ro", "a"),
            ("upload", "rw", "a"),
        ):
            members = "".join(f"<defBLOB name='{name}'/>" for name in names)
            self.out(
                f"<defBLOBVector device='{self.device}' name='{vector}' state='Ok' perm='{perm}'>{members}</defBLOBVector>\n"
            )
        self.out(
            f"<defTextVector device='{self.device}' name='head' state='Ok' perm='ro'><defText name='vector'></defText>"
            f"<defText name='serial'>0</defText></defTextVector>\n"
            f"<defSwitchVector device='{self.device}' name='run' state='Ok' perm='rw' rule='AnyOfMany'>"
            "<defSwitch name='s'>Off</defSwitch></defSwitchVector>\n"
        )


class Snooper(Program):
    """Shows what it has last heard of the number `pos` of other devices."""

    def __init__(self, device: str, directory: str, watched: list[str]) -> None:
        super().__init__(device, directory)
        self.seen = dict.fromkeys(watched, "?")
        self.asked = False

    def due(self) -> float | None:
        return None if self.asked else 0

    def act(self) -> None:
        self.asked = True
        for device in self.seen:
            self.out(f"<getProperties version='1.7' device='{device}' name='pos'/>\n")

    def element(self, element: bytes) -> None:
        device = DEVICE.search(element)
        of = device[1].decode() if device else ""
        if element.startswith(b"<getProperties"):
            if of in ("", self.device):
                members = "".join(f"<defText name='{name}'>{value}</defText>" for name, value in self.seen.items())
                self.out(
                    f"<defTextVector device='{self.device}' name='seen' state='Ok' perm='ro'>{members}</defTextVector>\n"
                )
        elif of in self.seen and (value := re.search(rb"<(?:def|one)Number\s[^>]*>\s*([^<\s]*)", element)):
            self.seen[of] = value[1].decode()
            self.out(
                f"<setTextVector device='{self.device}' name='seen' state='Ok'><oneText name='{of}'>{self.seen[of]}</oneText></setTextVector>\n"
            )


def main() -> None:
    kind, device, directory, *watched = sys.argv[1:]
    (Camera(device, directory) if kind == "camera" else Snooper(device, directory, watched)).serve()


if __name__ == "__main__":
    main()
