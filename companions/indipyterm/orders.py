"""Commands that are composed before they are sent, so that the question and the command agree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from indipyclient import Client, Property, VectorKind
from indipyclient.model.commands import press

from .values import pressed

__all__ = ["Order", "abort_of", "order_of", "press_of"]

Key = tuple[str, str]


class _Command(NamedTuple):
    key: Key
    values: Mapping[str, Any]
    whatever: bool  # even when switches have changed since
    sense: tuple[object, ...]

    @classmethod
    def of(cls, prop: Property, values: Mapping[str, Any], whatever: bool) -> _Command:
        return cls(prop.key, dict(values), whatever, _sense_of(prop, values, whatever))


def _sense_of(prop: Property, values: Mapping[str, Any], whatever: bool) -> tuple[object, ...]:
    """What the values mean: kind, label, permission and rule, labels of members, and the states of switches."""
    members = tuple((name, prop.members[name].label) for name in values if name in prop.members)
    switches = () if whatever or prop.kind is not VectorKind.SWITCH else tuple(prop.values.items())
    return (prop.kind, prop.label, prop.perm, prop.rule, members, switches)


class Order:
    """An order for exactly these commands.  It lapses when a property is gone, or means something else."""

    def __init__(self, commands: list[_Command]) -> None:
        self._commands = tuple(commands)

    def __len__(self) -> int:
        return len(self._commands)

    def __iter__(self) -> Iterator[tuple[Key, Mapping[str, Any]]]:
        return ((command.key, command.values) for command in self._commands)

    def why_not(self, client: Client) -> str:
        """Why it must no longer be carried out; "" if it may."""
        for key, values, whatever, sense in self._commands:
            prop = client.get(*key)
            if prop is None:
                return f"{key[1]} is gone: nothing was sent"
            if _sense_of(prop, values, whatever) != sense:
                return f"{prop.label} has changed meanwhile: nothing was sent"
            if client.connected and client.is_stale(prop):
                return f"{prop.label} is not defined again yet: nothing was sent"
        return ""


def order_of(prop: Property, values: Mapping[str, Any]) -> Order:
    """An order to set these values."""
    return Order([_Command.of(prop, values, False)])


def press_of(prop: Property, member: str) -> Order:
    """An order to press a switch."""
    return order_of(prop, pressed(prop, member))


def abort_of(client: Client, device: str) -> Order:
    """An order to press every switch of a device that is named ABORT, whatever the others are by then.

    A switch that the server has not defined again does not keep the others from being pressed.
    """
    seen = client.devices.get(device)
    commands: list[_Command] = []
    for prop in seen.properties.values() if seen else ():
        if prop.kind is not VectorKind.SWITCH or not prop.writable or client.is_stale(prop):
            continue
        name = next((name for name in prop.members if "ABORT" in prop.name.upper() or "ABORT" in name.upper()), None)
        if name is not None:
            commands.append(_Command.of(prop, press(prop, name), True))
    return Order(commands)
