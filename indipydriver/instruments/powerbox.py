"""Power boxes: outputs for instruments and dew heaters, and what they draw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final

from ..protocol.tags import State
from ..standard import Interface, StandardMember, find
from .instrument import Instrument
from .operations import End
from .propertydevice import Bound
from .standarddevice import optional

__all__ = ["PowerBox"]

_SENSORS: Final = "POWER_SENSORS"
_CHANNELS, _CURRENTS, _LABELS = "POWER_CHANNELS", "POWER_CURRENTS", "POWER_LABELS"
_DEW, _DUTY, _DEW_CURRENTS, _DEW_LABELS = "DEW_CHANNELS", "DEW_DUTY_CYCLES", "DEW_CURRENTS", "DEW_LABELS"
_USB, _USB_LABELS = "USB_PORTS", "USB_LABELS"
_ENDS: Final = {End.DONE: State.OK, End.CANCELLED: State.IDLE, End.FAILED: State.ALERT}


class PowerBox(Instrument):
    """A power box. Say in `channels`, `heaters` and `usb_ports` what it has; override what switches them.

    Outputs are counted from 1. Clients may give them other labels, which are kept.

    Attributes:
        channels: Labels of the outputs for instruments.
        heaters: Labels of the outputs for dew heaters.
        usb_ports: Labels of the USB ports that can be switched.
        sensors: Which of VOLTAGE, CURRENT and POWER it measures; assign :attr:`voltage` and so on.
        measures_channels: It measures each output; call :meth:`show_current`.
    """

    interface = Interface.POWER
    channels: ClassVar[Sequence[str]] = ()
    heaters: ClassVar[Sequence[str]] = ()
    usb_ports: ClassVar[Sequence[str]] = ()
    sensors: ClassVar[Sequence[str]] = ()
    measures_channels: ClassVar[bool] = False

    # --- what an author overrides ---

    @optional
    async def set_channel(self, number: int, on: bool) -> None:
        """Switch an output on or off."""

    @optional
    async def set_heater(self, number: int, on: bool) -> None:
        """Switch a dew heater on or off."""

    @optional
    async def set_duty(self, number: int, percent: float) -> None:
        """How much a dew heater heats."""

    @optional
    async def set_usb_port(self, number: int, on: bool) -> None:
        """Switch a USB port on or off."""

    # --- what an author reads and assigns ---

    @property
    def voltage(self) -> float:
        """Of the input, in volts."""
        return self._get(_SENSORS, "SENSOR_VOLTAGE")

    @voltage.setter
    def voltage(self, volts: float) -> None:
        self._put(_SENSORS, {"SENSOR_VOLTAGE": round(volts, 3)}, State.OK)

    @property
    def current(self) -> float:
        """Of all outputs, in amperes."""
        return self._get(_SENSORS, "SENSOR_CURRENT")

    @current.setter
    def current(self, amperes: float) -> None:
        self._put(_SENSORS, {"SENSOR_CURRENT": round(amperes, 3)}, State.OK)

    @property
    def power(self) -> float:
        """Of all outputs, in watts."""
        return self._get(_SENSORS, "SENSOR_POWER")

    @power.setter
    def power(self, watts: float) -> None:
        self._put(_SENSORS, {"SENSOR_POWER": round(watts, 3)}, State.OK)

    def channel(self, number: int) -> bool:
        """An output is on."""
        return self._is_on(_CHANNELS, f"POWER_CHANNEL_{number}")

    def show_channel(self, number: int, on: bool) -> None:
        """An output has been switched by something else."""
        self._put(_CHANNELS, {f"POWER_CHANNEL_{number}": on})

    def show_current(self, number: int, amperes: float) -> None:
        """What an output draws."""
        self._put(_CURRENTS, {f"POWER_CHANNEL_{number}": round(amperes, 3)}, State.OK)

    # --- its properties ---

    def _standard(self) -> list[Bound]:
        made = []
        table = Interface.POWER
        for labels, method in (
            (self.channels, "set_channel"),
            (self.heaters, "set_heater"),
            (self.usb_ports, "set_usb_port"),
        ):
            if labels:
                self._require(method)
        if self.sensors:
            names = [f"SENSOR_{sensor}" for sensor in self.sensors]
            made.append(self._bind(find(_SENSORS, table), only=names))
        for names_of, switched, labels, prefix, handler, label_handler in (
            (_LABELS, _CHANNELS, self.channels, "POWER_CHANNEL", self._on_channels, self._on_channel_labels),
            (_DEW_LABELS, _DEW, self.heaters, "DEW_CHANNEL", self._on_heaters, self._on_heater_labels),
            (_USB_LABELS, _USB, self.usb_ports, "USB_PORT", self._on_usb_ports, self._on_usb_labels),
        ):
            if not labels:
                continue
            outputs = [StandardMember(f"{prefix}_{n}", label, "Off") for n, label in enumerate(labels, 1)]
            made.append(self._bind(find(switched, table), handler, members=outputs))
            if prefix == "DEW_CHANNEL" and self._implements("set_duty"):
                cycles = [StandardMember(one.name, one.label, "0", "%.0f", 0, 100, 10) for one in outputs]
                made.append(self._bind(find(_DUTY, table), self._on_duty, members=cycles))
            if prefix == "POWER_CHANNEL" and self.measures_channels:
                currents = [StandardMember(one.name, one.label, "0", "%.2f", 0, 999) for one in outputs]
                made.append(self._bind(find(_CURRENTS, table), members=currents))
            texts = [StandardMember(one.name, one.name.replace("_", " ").capitalize(), one.label) for one in outputs]
            made.append(self._bind(find(names_of, table), label_handler, members=texts, permanent=True))
        return [*made, *super()._standard()]

    async def _prepare(self) -> None:
        for names, others in ((_LABELS, (_CHANNELS, _CURRENTS)), (_DEW_LABELS, (_DEW, _DUTY)), (_USB_LABELS, (_USB,))):
            if not self._has(names):
                continue
            for other in others:
                if self._has(other):
                    for member, label in self._vector(names).items():
                        self._vector(other).data[member].label = label
        await super()._prepare()

    # --- commands ---

    async def _switch(self, name: str, values: dict[str, Any], method: Any) -> None:
        """Switch some outputs, one after the other; those that have been switched are shown."""

        async def work() -> None:
            for member, on in values.items():
                await method(int(member.rpartition("_")[2]), on)
                self._put(name, {member: on})

        await self._perform(name, work(), ends=_ENDS)

    async def _on_channels(self, values: dict[str, Any]) -> None:
        await self._switch(_CHANNELS, values, self.set_channel)

    async def _on_heaters(self, values: dict[str, Any]) -> None:
        await self._switch(_DEW, values, self.set_heater)

    async def _on_usb_ports(self, values: dict[str, Any]) -> None:
        await self._switch(_USB, values, self.set_usb_port)

    async def _on_duty(self, values: dict[str, Any]) -> None:
        await self._switch(_DUTY, values, self.set_duty)

    async def _relabel(self, name: str, values: dict[str, Any]) -> None:
        """Labels are shown when it is next connected, as clients do not take them anew."""
        await self._send(name, State.OK, values)
        await self._save_one(name)

    async def _on_channel_labels(self, values: dict[str, Any]) -> None:
        await self._relabel(_LABELS, values)

    async def _on_heater_labels(self, values: dict[str, Any]) -> None:
        await self._relabel(_DEW_LABELS, values)

    async def _on_usb_labels(self, values: dict[str, Any]) -> None:
        await self._relabel(_USB_LABELS, values)
