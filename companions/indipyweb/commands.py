"""Commands of users: checked, sent, and followed until their outcome is known."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from indipyclient import (
    BadValue,
    Blob,
    ClientError,
    LinkLost,
    NotConnected,
    NotWritable,
    Outcome,
    Permission,
    Property,
    PropertyGone,
    Refused,
    SwitchRule,
    TimedOut,
    Unknown,
    VectorKind,
)
from indipyclient.model.commands import Value, press, switched_on, texts, with_point

from .security.limits import Buckets
from .security.permissions import Actor
from .site import Site
from .store.audit import Audit
from .views import is_secret

__all__ = ["Command", "Commands", "Denied", "values_of_form"]

MOST: Final = 200
MOST_OF_ONE: Final = 40
"""Of one account, so that a script that waits for a dead device leaves room for a user who must stop another."""
BYTES: Final = 256 << 20
"""Bytes of files that wait for their answers, and are held until then."""
_KEPT: Final = 300


class Denied(Exception):
    """A command is not sent.

    Attributes:
        status: Of HTTP.
        text: Why.
    """

    def __init__(self, status: int, text: str) -> None:
        self.status = status
        self.text = text
        super().__init__(text)


@dataclass(slots=True, eq=False)
class Command:
    """A command that was sent.

    Attributes:
        id: Its number.
        site: The name of its INDI server.
        prop: The number by which pages name the property.
        session: Its session.
        state: ``sent``, and then ``ok``, ``refused``, ``late``, ``lost`` or ``bad``.
        text: The text for the user.
        status: Of HTTP, for programs.
        done: Set when the outcome is known.
        outcome: The outcome, for programs.
        at: When the outcome was known.
        other: It was accepted, and the property shows another value.
    """

    id: int
    site: str
    prop: int
    session: str
    state: str
    text: str
    status: int
    done: asyncio.Event
    outcome: dict[str, Any]
    at: float = 0.0
    other: bool = False

    def facts(self) -> dict[str, Any]:
        """The outcome for the page."""
        found = {"id": self.id, "p": self.prop, "state": self.state, "text": self.text}
        return {**found, "other": True} if self.other else found


class Commands:
    """The commands in progress, and the last finished ones.

    Args:
        audit: Keeps who did what.
    """

    def __init__(self, audit: Audit) -> None:
        self._audit = audit
        self._rate = Buckets(20.0, 40.0)
        self._last = 0
        self._known: OrderedDict[int, Command] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: Counter[str] = Counter()
        self._bytes = 0  # of files that wait
        self._newest: OrderedDict[tuple[str, ...], int] = OrderedDict()  # command of a page for a device
        self._ended: list[Command] = []
        self._forgotten = 0

    async def aclose(self) -> None:
        """Stop waiting for outcomes."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def release(self) -> None:
        """Answer requests that wait for an outcome with what is known."""
        for command in self._known.values():
            command.done.set()

    def get(self, id: int, site: str, session: str) -> Command | None:
        """A command of this session to this INDI server; others have other properties with the same numbers."""
        found = self._known.get(id)
        return found if found is not None and (found.site, found.session) == (site, session) else None

    def since(self, id: int, site: str, session: str) -> list[Command]:
        """Those of a session to one INDI server that have ended since; see :attr:`ended`."""
        ended = self._ended[max(0, id - self._forgotten) :]
        return [command for command in ended if (command.site, command.session) == (site, session)]

    def lately(self, site: str, session: str, seconds: float = 300.0) -> list[Command]:
        """Those of a session to one INDI server that have ended in the last seconds."""
        begin = time.monotonic() - seconds
        return [c for c in self._ended if (c.site, c.session) == (site, session) and c.at >= begin]

    @property
    def ended(self) -> int:
        """How many have ended so far."""
        return self._forgotten + len(self._ended)

    def check_order(self, site: Site, prop: Property, session: str, page: str, number: str) -> None:
        """Check that no later command of a page for the device has come: what stops it may overtake what moves it.

        Args:
            site: The INDI server.
            prop: The property.
            session: The session of the page.
            page: Its name; "" if it gives none.
            number: The number of the command, counted by the page.

        Raises:
            Denied: One has come, or this one has come twice.
        """
        if not page or not number.isdecimal() or len(number) > 16:
            return
        key = (site.name, prop.device, session, page)
        newest = self._newest.get(key, 0)
        if int(number) == newest:  # the browser has lost its connection before the answer, and sends it again by itself
            raise Denied(409, "Not sent again: it has come already.")
        if int(number) < newest:
            raise Denied(409, "Not sent: a later command has come before it.")
        self._newest[key] = int(number)
        self._newest.move_to_end(key)
        while len(self._newest) > _KEPT:
            self._newest.popitem(last=False)

    def start(
        self, site: Site, prop: Property, values: Mapping[str, Value], actor: Actor, timeout: float | None = None
    ) -> Command:
        """Check it, and send it.

        Raises:
            Denied: Nothing is sent.
        """
        whose = actor.session or f"{actor.name} {actor.address}"
        if not self._rate.take(whose, time.monotonic()):
            raise Denied(429, "Too many commands; try again in a moment.")
        if len(self._tasks) >= MOST or self._waiting[actor.name] >= MOST_OF_ONE:
            raise Denied(429, "Too many commands wait for their answers.")
        size = sum(len(value.data) for value in values.values() if isinstance(value, Blob))
        if self._bytes and self._bytes + size > BYTES:
            raise Denied(429, "Too many files wait to be sent; try again in a moment.")
        if not site.model.connected:
            raise Denied(503, "Not sent: there is no connection to the INDI server.")
        now = site.model.get(*prop.key)
        if now is not None and site.model.is_stale(now):  # or it would wait, and move the telescope when nobody looks
            raise Denied(503, "Not sent: the connection has come back, but the INDI server has not defined it again.")
        try:
            asked = texts(prop, values)
        except BadValue as error:
            raise Denied(422, f"Not sent: {_plain(error)}.") from None
        except NotWritable:
            raise Denied(403, "Not sent: this property is read-only.") from None
        except Unknown as error:
            raise Denied(404, f"Not sent: {error}.") from None
        self._last += 1
        done = asyncio.Event()
        command = Command(self._last, site.name, site.id_of(prop.key), whose, "sent", "Sent …", 202, done, {})
        self._known[command.id] = command
        while len(self._known) > _KEPT:
            self._known.popitem(last=False)
        is_secret = prop.perm is Permission.WRITE_ONLY
        detail = ", ".join(f"{name}={'…' if is_secret else value}" for name, value in asked.items())
        on = switched_on(prop, asked)
        send = partial(site.client.press, member=on) if on is not None else partial(site.client.set, values=values)
        task = asyncio.create_task(self._run(command, site, prop, send, actor, timeout, detail))
        self._tasks.add(task)
        self._waiting[actor.name] += 1
        self._bytes += size
        task.add_done_callback(lambda done: self._ended_for(actor.name, size, done))
        return command

    def _ended_for(self, name: str, size: int, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._bytes -= size
        self._waiting[name] -= 1
        if not self._waiting[name]:
            del self._waiting[name]

    async def _run(
        self,
        command: Command,
        site: Site,
        prop: Property,
        send: Callable[..., Coroutine[Any, Any, Outcome]],
        actor: Actor,
        timeout: float | None,
        detail: str,
    ) -> None:
        try:
            outcome = await send(prop.device, prop.name, who=actor.name, timeout=timeout)
        except (ClientError, ValueError, OSError) as error:
            self._failed(command, error)
        else:
            command.state, command.status = "ok", 200
            seconds = f" after {outcome.elapsed:.1f} s" if outcome.elapsed >= 1 else ""
            command.other = not outcome.confirmed and not is_secret(prop)  # whose values are not said again
            command.text = f"Accepted{seconds}; it shows another value." if command.other else f"Done{seconds}."
            command.outcome = {
                "state": outcome.prop.state.value,
                "confirmed": outcome.confirmed,
                "elapsed": round(outcome.elapsed, 3),
                "messages": list(outcome.messages),
            }
        finally:
            if command.state == "sent":
                command.state, command.text = "lost", "The web server has stopped waiting for the answer."
            command.at = time.monotonic()
            command.done.set()
            self._ended.append(command)
            if len(self._ended) > 2 * _KEPT:
                del self._ended[:_KEPT]
                self._forgotten += _KEPT
            where = f"{prop.device}.{prop.name}"
            self._audit.note(actor.name, actor.address, "set", where, detail, f"{command.state}: {command.text}")
            site.wake()

    def _failed(self, command: Command, error: Exception) -> None:
        command.outcome = {"error": str(error)}
        if isinstance(error, Refused):
            command.state, command.status = "refused", 409
            command.text = f"Refused: {error.message}" if error.message else "Refused (Alert)."
            command.outcome = {"error": "refused", "message": error.message}
        elif isinstance(error, TimedOut) and not error.sent:
            command.state, command.status = "bad", 503
            command.text = f"Not sent: the INDI server has not defined it again in {error.elapsed:.0f} s."
        elif isinstance(error, TimedOut):
            command.state, command.status = "late", 504
            busy = error.state is not None and error.state.value == "Busy"
            what = "It is still Busy" if busy else "No answer"
            command.text = f"{what} after {error.elapsed:.0f} s."
            command.status = 202 if busy else 504
        elif isinstance(error, NotConnected):
            command.state, command.status = "lost", 503
            command.text = "Not sent: there is no connection to the INDI server."
        elif isinstance(error, LinkLost):
            command.state, command.status = "lost", 504
            command.text = "The connection was lost: it is not known whether it was carried out."
        elif isinstance(error, PropertyGone):
            command.state, command.status, command.text = "lost", 410, "The property was deleted meanwhile."
        else:
            command.state, command.status, command.text = "bad", 422, f"Not sent: {_plain(error)}."


def _plain(error: Exception) -> str:
    return str(error).rstrip(".")


def _in_a_line(text: str | None) -> str | None:
    """The value as browsers show it in a field of one line."""
    return text.replace("\r", "").replace("\n", "") if text is not None else None


def values_of_form(prop: Property, fields: Mapping[str, str]) -> dict[str, Value]:
    """What a form says about a property: ``press`` names a switch and ``to`` what it is to be, ``m.NAME`` is a value,
    ``o.NAME`` what it was.

    Raises:
        Denied: It says nothing.
    """
    if not prop.writable:
        raise Denied(403, "Not sent: this property is read-only.")
    if prop.kind is VectorKind.SWITCH:
        name = fields.get("press")
        member = prop.members.get(name) if name is not None else None
        if member is None:
            raise Denied(422, "Not sent: there is no such switch.")
        wanted = fields.get("to")
        if wanted not in ("On", "Off"):
            wanted = "Off" if member.on else "On"
        is_abort = len(prop) == 1 and "ABORT" in f"{prop.name} {name}".upper()
        if is_abort:  # some drivers leave it On, and do nothing when it goes Off
            wanted = "On"
        if prop.rule is SwitchRule.ANY_OF_MANY or (prop.rule is SwitchRule.AT_MOST_ONE and wanted == "Off"):
            return {member.name: wanted}
        return press(prop, member.name)
    given = {name.removeprefix("m."): value for name, value in fields.items() if name.startswith("m.")}
    if prop.kind is VectorKind.NUMBER:
        found: dict[str, Value] = {name: with_point(text) for name, value in given.items() if (text := value.strip())}
    else:
        changed = {name: value for name, value in given.items() if _in_a_line(fields.get(f"o.{name}")) != value}
        # A field of one line has lost the line breaks of an unchanged text.  A write-only one,
        # such as a password, is not shown: an empty field means no change.
        is_shown = prop.perm is not Permission.WRITE_ONLY
        same = {name: fields.get(f"o.{name}") or value for name, value in given.items() if is_shown}
        found = {name: value.replace("\r\n", "\n") for name, value in (changed or same).items()}
    if not found:
        raise Denied(422, "Not sent: there is no new value.")
    return found
