"""Digital outputs, and digital and analogue inputs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

from ..protocol.tags import State
from ..protocol.values import getfloat
from ..standard import Interface, StandardMember, find
from .instrument import Instrument
from .operations import End, Refused
from .propertydevice import Bound
from .standarddevice import optional
from .standardvectors import rounded

__all__ = ["Inputs", "Outputs"]

_OUTPUT, _INPUT, _ANALOG = "DIGITAL_OUTPUT_{}", "DIGITAL_INPUT_{}", "ANALOG_INPUT_{}"
_PULSE, _DURATION = "PULSE_{}", "DURATION"


class _Labelled(Instrument):
    """Numbered properties. Clients may change their labels; new labels are shown after the next connection."""

    def _counted(self, interface: Interface, names: str, labels: Sequence[str], handle: Any = None) -> list[Bound]:
        """One property for each label, and one that holds the labels."""
        made = []
        first = find(names.format(1), interface)
        for n, label in enumerate(labels, 1):
            name = names.format(n)
            one = replace(first, name=name, label=label)
            if len(one.members) == 1:  # its member has its own name
                one = replace(one, members=(replace(one.members[0], name=name, label=label),))
            made.append(self._bind(one, None if handle is None else partial(handle, n)))
        if labels:
            standard = find(names.format("LABELS"), interface)
            texts = [
                StandardMember(names.format(n), names.format(n).replace("_", " ").capitalize(), label)
                for n, label in enumerate(labels, 1)
            ]
            store = partial(self._store, standard.name)
            made.append(self._bind(standard, store, members=texts, permanent=True))
        return made

    def _take_labels(self, names: str) -> None:
        if (labels := self._bound.get(names.format("LABELS"))) is not None:
            for name, label in labels.vector.items():
                vector = self._vector(name)
                vector.label = label
                if len(vector) == 1:
                    vector.data[name].label = label


class Outputs(_Labelled):
    """Digital outputs. List them in `outputs`, and override :meth:`set_output`. They are numbered from 1.

    Clients may set how long each of them stays on.

    Attributes:
        outputs: Labels.
    """

    interface = Interface.OUTPUT
    outputs: ClassVar[Sequence[str]] = ()
    _to_turn_off: set[int]  # the time of these is over, but they may still be on

    @optional
    async def set_output(self, number: int, on: bool) -> None:
        """Turn an output on or off."""

    def output(self, number: int) -> bool:
        """Whether an output is on."""
        return self._is_on(_OUTPUT.format(number), "ON")

    def show_output(self, number: int, on: bool) -> None:
        """Report that something else has switched an output."""
        self._put(_OUTPUT.format(number), {"OFF": not on, "ON": on}, State.OK)

    def _standard(self) -> list[Bound]:
        self._require("set_output")
        if not self.outputs:
            raise TypeError(f"{type(self).__name__} does not say in `outputs` what there is")
        table = Interface.OUTPUT
        self._to_turn_off = set()
        made = self._counted(table, _OUTPUT, self.outputs, self._on_output)
        pulse = find(_PULSE.format(0), table)
        for n, label in enumerate(self.outputs):
            one = replace(pulse, name=_PULSE.format(n), label=label)
            made.append(self._bind(one, partial(self._on_pulse, one.name)))
        return [*made, *super()._standard()]

    async def _prepare(self) -> None:
        self._take_labels(_OUTPUT)
        await super()._prepare()

    def _forget(self) -> None:
        for n in range(1, len(self.outputs) + 1):
            self._choose(_OUTPUT.format(n), "OFF")
        super()._forget()

    async def _stop_moving(self) -> None:
        for number in [*self._to_turn_off]:
            await self._set(number, False)
            self._choose(_OUTPUT.format(number), "OFF")
        await super()._stop_moving()

    async def _set(self, number: int, on: bool) -> None:
        await self.set_output(number, on)
        self._to_turn_off.discard(number)

    async def _on_pulse(self, name: str, values: dict[str, Any]) -> None:
        self._changes(name)
        await self._store(name, values)

    async def _on_output(self, number: int, values: dict[str, Any]) -> None:
        name, pulse = _OUTPUT.format(number), _PULSE.format(number - 1)
        member = await self._pick(name, values)
        if member is None:
            return
        before = self._chosen(name)
        after = self._operations.drop(pulse, quietly=False)
        milliseconds = getfloat(self._then(pulse)[_DURATION])
        if member == "OFF" or milliseconds <= 0:
            work = self._set(number, member == "ON")
            await self._perform(name, work, accept=lambda: self._choose(name, member), after=after)
            return

        async def switch() -> None:
            is_to_end = True
            try:
                await self._set(number, True)
                self._check_going_on(pulse)
                self._choose(name, "ON")
                await self._send(name, State.OK)
                await asyncio.sleep(milliseconds / 1000)
            except Refused:
                is_to_end = False
                raise
            finally:
                if is_to_end:  # even if that has failed: it may be on
                    self._to_turn_off.add(number)
                    await self._set(number, False)
                    self._choose(name, "OFF")

        def revoke() -> None:
            if not self.output(number):
                self._choose(name, before if before != "ON" else "OFF")

        async def then(end: End) -> None:
            await self._send(name, State.ALERT if end is End.FAILED else State.OK)

        work = switch()
        how: dict[str, Any] = {"then": then, "after": after, "takes": milliseconds / 1000}
        await self._perform(pulse, work, accept=lambda: None, revoke=revoke, waits=False, **how)


class Inputs(_Labelled):
    """Inputs. List them in `inputs` and `analog_inputs`; call :meth:`show_input` in poll().

    Attributes:
        inputs: Labels of the digital inputs.
        analog_inputs: Labels of the analogue inputs.
    """

    interface = Interface.INPUT
    inputs: ClassVar[Sequence[str]] = ()
    analog_inputs: ClassVar[Sequence[str]] = ()

    def show_input(self, number: int, on: bool) -> None:
        """Report the state of a digital input; they are numbered from 1."""
        self._put(_INPUT.format(number), {"OFF": not on, "ON": on}, State.OK)

    def show_analog_input(self, number: int, value: float) -> None:
        """Report what an analogue input measures; they are numbered from 1."""
        name = _ANALOG.format(number)
        self._put(name, {name: rounded(value, 6)}, State.OK)

    def _standard(self) -> list[Bound]:
        if not self.inputs and not self.analog_inputs:
            raise TypeError(f"{type(self).__name__} does not say in `inputs` or `analog_inputs` what there is")
        table = Interface.INPUT
        made = [*self._counted(table, _INPUT, self.inputs), *self._counted(table, _ANALOG, self.analog_inputs)]
        return [*made, *super()._standard()]

    async def _prepare(self) -> None:
        self._take_labels(_INPUT)
        self._take_labels(_ANALOG)
        await super()._prepare()
