"""Power boxes: outputs for instruments and dew heaters, and their currents."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar, Final, NamedTuple

from ..protocol.tags import State
from ..standard import Interface, StandardMember, find
from .instrument import Instrument
from .propertydevice import Bound
from .standarddevice import optional
from .standardvectors import rounded

__all__ = ["PowerBox"]

_SENSORS, _LEDS = "POWER_SENSORS", "LED_CONTROL"


class _Outputs(NamedTuple):
    """Outputs of one kind.

    Attributes:
        labels: The name of the attribute that has the labels.
        switched: The property of the switches.
        member: How the names of its members begin.
        named: The property of the labels.
        method: The method that switches an output.
        others: Further properties, with the method that sets each, or the attribute that says whether it is measured.
    """

    labels: str
    switched: str
    member: str
    named: str
    method: str
    others: tuple[tuple[str, str], ...]


_OUTPUT_KINDS: Final = (
    _Outputs(
        *("channels", "POWER_CHANNELS", "POWER_CHANNEL", "POWER_LABELS", "set_channel"),
        (("POWER_CURRENTS", "measures_channels"),),
    ),
    _Outputs(
        *("heaters", "DEW_CHANNELS", "DEW_CHANNEL", "DEW_LABELS", "set_heater"),
        (
            ("DEW_DUTY_CYCLES", "set_duty"),
            ("DEW_CURRENTS", "measures_heaters"),
            ("AUTO_DEW_CONTROL", "set_auto_heater"),
        ),
    ),
    _Outputs(
        *("variable", "VARIABLE_CHANNELS", "VAR_CHANNEL", "VARIABLE_LABELS", "set_variable"),
        (("VARIABLE_VOLTAGES", "set_voltage"),),
    ),
    _Outputs(*("usb_ports", "USB_PORTS", "USB_PORT", "USB_LABELS", "set_usb_port"), ()),
)
_SWITCHED: Final = frozenset(kind.switched for kind in _OUTPUT_KINDS)


class PowerBox(Instrument):
    """A power box. List what it has in `channels`, `heaters`, `variable` and `usb_ports`; override what switches them.

    Outputs are numbered from 1. Clients may change their labels, which are saved.

    Attributes:
        channels: Labels of the outputs for instruments.
        heaters: Labels of the outputs for dew heaters.
        variable: Labels of the outputs whose voltage can be set.
        usb_ports: Labels of the USB ports that can be switched.
        sensors: Which of VOLTAGE, CURRENT and POWER it measures; assign :attr:`voltage` and so on.
        measures_channels: The box measures each output; call :meth:`show_current`.
        measures_heaters: The box measures each heater; call :meth:`show_heater_current`.
    """

    interface = Interface.POWER
    channels: ClassVar[Sequence[str]] = ()
    heaters: ClassVar[Sequence[str]] = ()
    variable: ClassVar[Sequence[str]] = ()
    usb_ports: ClassVar[Sequence[str]] = ()
    sensors: ClassVar[Sequence[str]] = ()
    measures_channels: ClassVar[bool] = False
    measures_heaters: ClassVar[bool] = False

    # --- what an author overrides ---

    @optional
    async def set_channel(self, number: int, on: bool) -> None:
        """Turn an output on or off."""

    @optional
    async def set_heater(self, number: int, on: bool) -> None:
        """Turn a dew heater on or off."""

    @optional
    async def set_duty(self, number: int, percent: float) -> None:
        """Set the power of a dew heater."""

    @optional
    async def set_auto_heater(self, number: int, on: bool) -> None:
        """Turn the automatic control of a dew heater, by the box itself, on or off."""

    @optional
    async def set_variable(self, number: int, on: bool) -> None:
        """Turn an output of variable voltage on or off."""

    @optional
    async def set_voltage(self, number: int, volts: float) -> None:
        """Set the voltage of such an output."""

    @optional
    async def set_usb_port(self, number: int, on: bool) -> None:
        """Turn a USB port on or off."""

    @optional
    async def set_leds(self, on: bool) -> None:
        """Turn the lamps of the box on or off."""

    # --- what an author reads and assigns ---

    @property
    def voltage(self) -> float:
        """The input voltage, in volts."""
        return self._get(_SENSORS, "SENSOR_VOLTAGE")

    @voltage.setter
    def voltage(self, volts: float) -> None:
        self._put(_SENSORS, {"SENSOR_VOLTAGE": rounded(volts, 3)}, State.OK)

    @property
    def current(self) -> float:
        """The current of all outputs, in amperes."""
        return self._get(_SENSORS, "SENSOR_CURRENT")

    @current.setter
    def current(self, amperes: float) -> None:
        self._put(_SENSORS, {"SENSOR_CURRENT": rounded(amperes, 3)}, State.OK)

    @property
    def power(self) -> float:
        """The power of all outputs, in watts."""
        return self._get(_SENSORS, "SENSOR_POWER")

    @power.setter
    def power(self, watts: float) -> None:
        self._put(_SENSORS, {"SENSOR_POWER": rounded(watts, 3)}, State.OK)

    def channel(self, number: int) -> bool:
        """Whether an output is on."""
        return self._is_on("POWER_CHANNELS", f"POWER_CHANNEL_{number}")

    def show_channel(self, number: int, on: bool) -> None:
        """Report that something else has switched an output."""
        self._put("POWER_CHANNELS", {f"POWER_CHANNEL_{number}": on})

    def show_current(self, number: int, amperes: float) -> None:
        """Report the current of an output."""
        self._put("POWER_CURRENTS", {f"POWER_CHANNEL_{number}": rounded(amperes, 3)}, State.OK)

    def show_heater_current(self, number: int, amperes: float) -> None:
        """Report the current of a dew heater."""
        self._put("DEW_CURRENTS", {f"DEW_CHANNEL_{number}": rounded(amperes, 3)}, State.OK)

    # --- its properties ---

    def _standard(self) -> list[Bound]:
        table = Interface.POWER
        self._box_told: dict[str, tuple[Any, dict[str, Any]]] = {}  # by property: its method, and what has been set
        made = []
        if self.sensors:
            made.append(self._bind(find(_SENSORS, table), only=[f"SENSOR_{sensor}" for sensor in self.sensors]))
        if self._implements("set_leds"):
            made.append(self._bind(find(_LEDS, table), self._on_leds))
        for kind in _OUTPUT_KINDS:
            if getattr(self, kind.labels):
                made += self._outputs(kind)
        return [*made, *super()._standard()]

    def _outputs(self, kind: _Outputs) -> list[Bound]:
        """The properties of outputs of one kind."""
        self._require(kind.method)
        names = {f"{kind.member}_{n}": label for n, label in enumerate(getattr(self, kind.labels), 1)}
        made = []
        for name, method in ((kind.switched, kind.method), *kind.others):
            standard = find(name, Interface.POWER)
            form = standard.members[0]
            limits = (form.format, form.min, form.max, form.step)
            members = [StandardMember(member, label, form.value, *limits) for member, label in names.items()]
            if method.startswith("measures"):
                if getattr(self, method):
                    made.append(self._bind(standard, members=members))
            elif self._implements(method):
                made.append(self._bind(standard, partial(self._switch, name, getattr(self, method)), members=members))
        texts = [StandardMember(name, name.replace("_", " ").capitalize(), label) for name, label in names.items()]
        labels = find(kind.named, Interface.POWER)
        made.append(self._bind(labels, partial(self._store, kind.named), members=texts, permanent=True))
        return made

    def _forget(self) -> None:
        for kind in _OUTPUT_KINDS:
            if self._has(kind.switched):
                self._choose(kind.switched, None)
        super()._forget()

    async def _prepare(self) -> None:
        """Save new labels. They are shown at the next connection, because clients do not update labels."""
        for kind in _OUTPUT_KINDS:
            for name in (kind.switched, *(other for other, _ in kind.others)):
                if self._has(kind.named) and self._has(name):
                    for member, label in self._vector(kind.named).items():
                        self._vector(name).data[member].label = label
        await super()._prepare()

    async def _after_definitions(self) -> None:
        """Set again what clients have set, such as a voltage: the box may have been switched off."""
        for name, (method, values) in self._box_told.items():
            await self._switch(name, method, dict(values))
        await super()._after_definitions()

    # --- commands ---

    async def _switch(self, name: str, method: Any, values: dict[str, Any]) -> None:
        """Set some outputs in turn; those that have been set are shown."""

        async def work() -> None:
            for member, value in values.items():
                await method(int(member.rpartition("_")[2]), value)
                self._check_going_on(name)
                self._put(name, {member: value})
                if name not in _SWITCHED:
                    self._box_told.setdefault(name, (method, {}))[1][member] = value

        await self._perform(name, work())

    async def _on_leds(self, values: dict[str, Any]) -> None:
        await self._set_up(_LEDS, values, self.set_leds, "INDI_ENABLED")
