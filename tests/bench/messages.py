"""What is sent in the benchmarks: the device "Mount", its coordinates, its camera, and a crowd of other devices."""

import base64
import os
import re

STAMP = "2026-01-02T03:04:05.678"
GET = b'<getProperties version="1.7"/>\n'
GO = b'<newSwitchVector device="Mount" name="GO"><oneSwitch name="GO">On</oneSwitch></newSwitchVector>\n'
WANT_BLOBS = b'<enableBLOB device="Mount">Also</enableBLOB>\n'

END_OF_GO = b"</newSwitchVector>"
END_OF_NUMBER = b"</setNumberVector>"
END_OF_COMMAND = b"</newNumberVector>"
END_OF_BLOB = b"</setBLOBVector>"
END_OF_DEFINITION = b"</defNumberVector>"
END_OF_MOUNT = b"</defSwitchVector>"  # of its definitions GO comes last

MOUNT = (
    f'<defNumberVector device="Mount" name="COORD" label="Position" group="Main" state="Ok" perm="rw" timeout="60" '
    f'timestamp="{STAMP}">'
    '<defNumber name="SERIAL" label="Serial" format="%.0f" min="0" max="0" step="0">0</defNumber>'
    '<defNumber name="RA" label="RA" format="%10.6m" min="0" max="24" step="0">0</defNumber>'
    '<defNumber name="DEC" label="Dec" format="%10.6m" min="-90" max="90" step="0">0</defNumber>'
    "</defNumberVector>\n"
    f'<defBLOBVector device="Mount" name="IMAGE" label="Image" group="Main" state="Ok" perm="ro" timeout="60" '
    f'timestamp="{STAMP}"><defBLOB name="DATA" label="Data"/></defBLOBVector>\n'
    f'<defSwitchVector device="Mount" name="GO" label="Go" group="Main" state="Ok" perm="rw" rule="AtMostOne" '
    f'timeout="60" timestamp="{STAMP}"><defSwitch name="GO" label="Go">Off</defSwitch></defSwitchVector>\n'
).encode()

_SERIAL = re.compile(rb"name=[\"']SERIAL[\"'][^>]*>\s*(\d+)")


def update(serial: int, style: str = "python") -> bytes:
    """A setNumberVector of three members: 265 bytes as Python drivers write it, 430 in the lines of C drivers."""
    values = {"SERIAL": f"{serial:09d}", "RA": "13.39872541667", "DEC": "54.92536183333"}
    if style == "c":
        text = (
            "<setNumberVector\n  device='Mount'\n  name='COORD'\n  state='Ok'\n  timeout='60'\n"
            f"  timestamp='{STAMP}'\n>\n"
        )
        for name, value in values.items():
            text += f"  <oneNumber name='{name}'\n    min='0'\n    max='0'\n    step='0'\n>\n"
            text += f"      {value}\n  </oneNumber>\n"
        return (text + "</setNumberVector>\n").encode()
    text = f'<setNumberVector device="Mount" name="COORD" state="Ok" timeout="60" timestamp="{STAMP}">'
    for name, value in values.items():
        text += f'<oneNumber name="{name}">{value}</oneNumber>'
    return (text + "</setNumberVector>\n").encode()


def updates(first: int, count: int, style: str = "python") -> bytes:
    """Several of them, with rising serial numbers."""
    return b"".join(update(serial, style) for serial in range(first, first + count))


def serial_of(data: bytes) -> int | None:
    """The serial number of the last update in some bytes."""
    found = _SERIAL.findall(data)
    return int(found[-1]) if found else None


def command(serial: int) -> bytes:
    """A newNumberVector."""
    return (
        '<newNumberVector device="Mount" name="COORD">'
        f'<oneNumber name="SERIAL">{serial}</oneNumber></newNumberVector>\n'
    ).encode()


def blob(size: int, lines: bool) -> bytes:
    """A setBLOBVector: base64 in lines of 72 as C drivers write it, or in one line as Python drivers do."""
    data = base64.b64encode(os.urandom(size))
    length = len(data)
    if lines:
        data = b"\n".join(data[begin : begin + 72] for begin in range(0, length, 72)) + b"\n"
    head = (
        f'<setBLOBVector device="Mount" name="IMAGE" state="Ok" timeout="60" timestamp="{STAMP}">\n'
        f'<oneBLOB name="DATA" size="{size}" enclen="{length}" format=".fits">\n'
    )
    return head.encode() + data + b"</oneBLOB>\n</setBLOBVector>\n"


def attached_blob(size: int) -> bytes:
    """The element that goes along with a descriptor."""
    return (
        f'<setBLOBVector device="Mount" name="IMAGE" state="Ok" timeout="60" timestamp="{STAMP}">'
        f'<oneBLOB name="DATA" size="{size}" format=".fits" len="{size}" attached="true"></oneBLOB></setBLOBVector>\n'
    ).encode()


def of_device(data: bytes, device: str) -> bytes:
    """The same for another device than "Mount"."""
    return data.replace(b'device="Mount"', b'device="%s"' % device.encode())


def changes(device: int, properties: int) -> bytes:
    """An update of each property of one of the devices of :func:`definitions`."""
    return b"".join(
        (
            f'<setNumberVector device="Device {device}" name="PROPERTY_{index}" state="Ok" timestamp="{STAMP}">'
            '<oneNumber name="A">12.3456</oneNumber><oneNumber name="B">23.4567</oneNumber></setNumberVector>\n'
        ).encode()
        for index in range(properties)
    )


def definitions(count: int, each: int = 20, first: int = 0) -> bytes:
    """Definitions of number vectors with two members, so many to each device, from this device on."""
    return b"".join(
        (
            f'<defNumberVector device="Device {first + index // each}" name="PROPERTY_{index % each}" label="Property" '
            f'group="Main" state="Ok" perm="rw" timeout="60" timestamp="{STAMP}">'
            '<defNumber name="A" label="First" format="%9.4f" min="0" max="90" step="0">1.5</defNumber>'
            '<defNumber name="B" label="Second" format="%9.4f" min="0" max="90" step="0">2.5</defNumber>'
            "</defNumberVector>\n"
        ).encode()
        for index in range(count)
    )
