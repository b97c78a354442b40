"""Pictures that say which they are: every BLOB of the soak can be judged by itself.  Standard library only."""

import hashlib
import random

_MAGIC = b"PICT"
_NAME = 16
_HEAD = len(_MAGIC) + _NAME + 8 + 32
SIZES = ((0.5, 100, 5_000), (0.4, 5_000, 60_000), (0.1, 200_000, 900_000))  # share, smallest, largest in bytes


def picture(device: str, serial: int, rng: random.Random) -> bytes:
    """The picture of a device with this number, of random size and content."""
    _, least, most = rng.choices(SIZES, [share for share, _, _ in SIZES])[0]
    body = rng.randbytes(rng.randint(least, most))
    return _MAGIC + device.encode().ljust(_NAME) + serial.to_bytes(8, "big") + hashlib.sha256(body).digest() + body


def number_of(device: str, data: bytes) -> int:
    """Its number.

    Raises:
        ValueError: It is not a whole picture of this device.
    """
    if data[:4] != _MAGIC:
        raise ValueError(f"{len(data)} bytes that are no picture: {data[:40]!r}")
    of = data[4 : 4 + _NAME].decode(errors="replace").strip()
    serial = int.from_bytes(data[4 + _NAME : 12 + _NAME], "big")
    if of != device:
        raise ValueError(f"picture {serial} of {of}, given as one of {device}")
    if hashlib.sha256(data[_HEAD:]).digest() != data[_HEAD - 32 : _HEAD]:
        raise ValueError(f"picture {serial} of {of} is damaged: {len(data)} bytes")
    return serial


class Album:
    """Judges the pictures that one receiver gets.

    Args:
        complete: Devices of which it must get every picture, once it has got one.

    Attributes:
        good: How many were right.
        replaced: How many of streams were left out.
        wrong: What was not.
    """

    def __init__(self, complete: set[str]) -> None:
        self.complete = complete
        self.good = 0
        self.replaced = 0
        self.wrong: list[str] = []
        self._last: dict[tuple[str, str], int] = {}

    def add(self, device: str, vector: str, data: bytes) -> None:
        try:
            serial = number_of(device, data)
        except ValueError as error:
            self.wrong.append(f"{device} {vector}: {error}")
            return
        self.good += 1
        last = self._last.get((device, vector))
        self._last[device, vector] = serial
        if last is None:
            return
        if serial <= last:
            self.wrong.append(f"{device} {vector}: picture {serial} after {last}")
        elif vector == "video":
            self.replaced += serial - last - 1
        elif serial != last + 1 and device in self.complete:
            self.wrong.append(f"{device} {vector}: pictures {last + 1} to {serial - 1} are lost")

    def told(self, device: str, vector: str, serial: int) -> None:
        """The device says that it has sent this picture, which has to be here by now."""
        last = self._last.get((device, vector))
        if last is not None and device in self.complete and last != serial:
            self.wrong.append(f"{device} {vector}: picture {serial} is announced, the last one here is {last}")

    def forget(self) -> None:
        """From now on others may be missing: it has been away."""
        self._last.clear()
