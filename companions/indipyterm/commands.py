"""The command palette: go to a property, set it, open a server, and everything that keys do."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from rich.text import Text
from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.markup import escape

from indipyclient import ClientError, Property
from indipyclient.addresses import parse_assignment, parse_endpoint, parse_pattern
from indipyclient.model.commands import texts

from .keymap import ACTIONS, Action, keys_shown
from .orders import Order, order_of
from .words import clean

if TYPE_CHECKING:
    from .screens.main import MainScreen
    from .session import Session

__all__ = ["Commands"]

MOST = 60
ASKED, NAMED, FOUND = 4.0, 3.0, 2.0
"""What comes first: a command with its words, an action that is named so, a property that has these words."""
_PLACES = ("move.", "edit.", "list.", "pane.")


class Commands(Provider):
    """The choices."""

    @property
    def _main(self) -> MainScreen:
        main: MainScreen = self.app.main  # type: ignore[attr-defined]
        return main

    def _actions(self) -> Iterator[Action]:
        for action in ACTIONS:
            if not action.id.startswith(_PLACES) and not action.id.rpartition(".")[2].isdigit():
                yield action

    async def _run(self, call: str) -> None:
        await self.app.run_action(call, default_namespace=self._main)

    def _text(self, action: Action) -> str:
        keys = getattr(self.app, "settings").keys  # noqa: B009  # the provider knows any app only
        return f"{action.text}  ({keys_shown(keys.get(action.id, action.keys), 1)})"

    async def discover(self) -> Hits:
        for action in self._actions():
            yield DiscoveryHit(self._text(action), partial(self._run, action.call))

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        verb, _, rest = query.strip().partition(" ")
        if verb == "set" and rest:
            hit = self._set(rest)
            if hit is not None:
                yield hit
        if verb in ("connect", "open") and rest:
            hit = self._connect(rest)
            if hit is not None:
                yield hit
        words = (rest if verb == "goto" else query).lower().split()
        for number, (text, prop) in enumerate(self._found(words)):
            if number >= MOST:
                break
            yield Hit(FOUND, Text(clean(text)), partial(self._go, prop), help=escape(clean(prop.name)))
        for action in self._actions():
            text = self._text(action)
            score = matcher.match(text)
            if score > 0:  # letters scattered over a text score less than a word, and that less than the first one
                at = text.lower().find(query.strip().lower())
                score = NAMED + (at == 0) / 2 if at >= 0 else score / (1 + score)
                yield Hit(score, matcher.highlight(text), partial(self._run, action.call))

    def _found(self, words: list[str]) -> Iterator[tuple[str, Property]]:
        session = self._main.session
        for prop in session.client.model if session and words else ():
            text = f"{prop.device}: {prop.label}"
            if all(word in f"{text} {prop.name}".lower() for word in words):
                yield f"go to {text}", prop

    def _go(self, prop: Property) -> None:
        self._main.go_to(prop)

    def _set(self, rest: str) -> Hit | None:
        """``set Telescope.EQ.RA=5.5``."""
        session = self._main.session
        try:
            address, value = parse_assignment(rest)
        except ValueError:
            address = value = ""
        if session is None or not address:
            return Hit(ASKED, Text("set DEVICE.PROPERTY.MEMBER=VALUE"), lambda: None)
        try:
            pattern = parse_pattern(address.strip(), list(session.client.model))
        except ValueError as error:
            return Hit(ASKED, Text(clean(str(error))), lambda: None)
        for prop in session.client.model:
            if not pattern.matches(prop):
                continue
            values: dict[str, Any] = {name: value.strip() for name in pattern.members(prop) if name in prop.members}
            try:
                values = dict(texts(prop, values))
            except ClientError as error:
                return Hit(ASKED, Text(clean(str(error))), lambda: None)
            what = ", ".join(f"{name}={text}" for name, text in values.items())
            order = order_of(prop, values)
            return Hit(ASKED, Text(clean(f"set {prop.device}.{prop.name} {what}")), partial(self._send, session, order))
        return Hit(ASKED, Text(clean(f"nothing is named {address.strip()}")), lambda: None)

    def _send(self, session: Session, order: Order) -> None:
        """What was shown, and no edits that wait."""
        why = session.carry_out(order)
        if why:
            self._main.say(why, bad=True)
        elif session is self._main.session:
            for key, values in order:
                prop = session.client.get(*key)
                if prop is not None:
                    self._main.go_to(prop, next(iter(values)))

    def _connect(self, rest: str) -> Hit | None:
        try:
            endpoint = parse_endpoint(rest)
        except ValueError as error:
            return Hit(ASKED, Text(clean(str(error))), lambda: None)
        opening: Any = self.app
        return Hit(ASKED, Text(f"connect to {endpoint}"), partial(opening.open_server, str(endpoint)))
