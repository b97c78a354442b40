"""How clients choose the way in which an instrument is connected."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from ..protocol.tags import State
from ..standard import StandardMember, find
from .lines import BAUD_RATES, Line, Network, Serial, open_network, open_serial
from .options import Options
from .propertydevice import Bound

__all__ = ["Connecting"]

_MODE_MEMBERS: Final = {Serial: "CONNECTION_SERIAL", Network: "CONNECTION_TCP"}
_LABELS: Final = {Serial: "Serial", Network: "Network"}
_OF_MODE: Final = {"CONNECTION_SERIAL": ("DEVICE_PORT", "DEVICE_BAUD_RATE"), "CONNECTION_TCP": ("DEVICE_ADDRESS",)}


class Connecting(Options):
    """A device that is connected through a serial port or the network, as clients choose; or in a way of its own.

    Attributes:
        connections: The ways in which it may be connected; the first is chosen at first.
        line: The open connection, if there are `connections`; else None.
    """

    connections: ClassVar[tuple[Serial | Network, ...]] = ()
    line: Line | None = None

    def _ways(self) -> list[Bound]:
        """The properties of the ways in which it may be connected."""
        if not self.connections:
            return []
        for way in self.connections:
            if type(way) not in _MODE_MEMBERS:
                kind = type(self).__name__
                raise TypeError(f"{kind}.connections is a tuple of Serial(...) and Network(...), without {way!r:.80}")
        modes = [StandardMember(_MODE_MEMBERS[type(way)], _LABELS[type(way)], "Off") for way in self.connections]
        first = _MODE_MEMBERS[type(self.connections[0])]
        made = [self._bind(find("CONNECTION_MODE"), self._on_mode, permanent=True, members=modes, values={first: "On"})]
        for way in self.connections:
            shown = way is self.connections[0]
            if isinstance(way, Serial):
                rates = [
                    StandardMember(str(rate), str(rate), "On" if rate == way.baud else "Off")
                    for rate in sorted({*BAUD_RATES, way.baud})
                ]
                port = {"PORT": way.port}
                made += [
                    self._bind(find("DEVICE_PORT"), self._on_port, permanent=True, shown=shown, values=port),
                    self._bind(find("DEVICE_BAUD_RATE"), self._on_rate, permanent=True, shown=shown, members=rates),
                ]
            else:
                address = {"ADDRESS": way.host, "PORT": way.port or ""}
                made.append(
                    self._bind(find("DEVICE_ADDRESS"), self._on_address, permanent=True, shown=shown, values=address)
                )
        return made

    async def _on_mode(self, values: dict[str, Any]) -> None:
        member = await self._pick("CONNECTION_MODE", values)
        if member is None:
            return
        self._choose("CONNECTION_MODE", member)
        await self._send("CONNECTION_MODE", State.OK)
        for mode, names in _OF_MODE.items():
            for name in names:
                if name in self._bound:
                    await self._show(name, mode == member)
        self._save_one("CONNECTION_MODE")

    async def _on_port(self, values: dict[str, Any]) -> None:
        await self._send("DEVICE_PORT", State.OK, values)

    async def _on_rate(self, values: dict[str, Any]) -> None:
        if (member := await self._pick("DEVICE_BAUD_RATE", values)) is not None:
            self._choose("DEVICE_BAUD_RATE", member)
            await self._send("DEVICE_BAUD_RATE", State.OK)

    async def _on_address(self, values: dict[str, Any]) -> None:
        await self._send("DEVICE_ADDRESS", State.OK, values)

    async def _open_line(self) -> None:
        """Open the connection that clients have chosen; OSError if that fails."""
        if not self.connections or self.simulated:
            return
        if self._chosen("CONNECTION_MODE") == "CONNECTION_SERIAL":
            rate = self._chosen("DEVICE_BAUD_RATE")
            assert rate is not None
            self.line = await open_serial(self._vector("DEVICE_PORT")["PORT"], int(rate))
        else:
            address = self._vector("DEVICE_ADDRESS")
            port = address["PORT"].strip()
            if not port.isdecimal():
                raise OSError(f"{port!r} is not a port: use a number from 1 to 65535")
            self.line = await open_network(address["ADDRESS"].strip(), int(port))

    def _close_line(self) -> None:
        if self.line is not None:
            self.line.close()
            self._share_line(None)

    def _share_line(self, line: Line | None) -> None:
        """Give this connection to everything that talks to the hardware."""
        self.line = line

    async def _save_ways(self) -> None:
        """Save the settings of a connection that has worked."""
        if self.connections:
            names = ("CONNECTION_MODE", *_OF_MODE[self._chosen("CONNECTION_MODE") or ""])
            await self._save([self._bound[name] for name in names])
