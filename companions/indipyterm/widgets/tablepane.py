"""The property table with the field for editing over it."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.containers import Container
from textual.message import Message
from textual.widgets import Input

from indipyclient import Member, Property, VectorKind

from ..aim import Meaning, meaning_of
from ..session import Session
from ..values import hint, needs_page, stepped
from ..words import clean, shorten, width
from .editor import ValueEditor
from .proptable import PropTable

__all__ = ["TablePane"]

_STEPS = {"next": 1, "previous": -1}
GONE = "what you were editing has gone, and nothing is sent: Esc leaves the editor"


class TablePane(Container):
    """A table, and an editor in the line of the member that is edited."""

    DEFAULT_CSS = """
    TablePane { layers: below above; }
    TablePane PropTable { layer: below; }
    """

    class Say(Message):
        """Asks to show a message."""

        def __init__(self, text: str, *, bad: bool = False) -> None:
            super().__init__()
            self.text, self.bad = text, bad

    class SendWanted(Message):
        """Asks to send the edits of this property."""

        def __init__(self, session: Session, key: tuple[str, str]) -> None:
            super().__init__()
            self.session, self.key = session, key

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.table = PropTable(id="table")
        self.editor = ValueEditor(id="editor")
        self._before = ""
        self._meant: Meaning | None = None

    def compose(self) -> ComposeResult:
        yield self.table
        yield self.editor

    @property
    def editing(self) -> bool:
        """Whether something is being typed."""
        return self.table.editing is not None

    def _target(self) -> tuple[Property, Member] | None:
        """The edited member as it is now; None if it has gone, or means something else."""
        table = self.table
        if table.editing is None or table.session is None or self.editor.dead:
            return None
        key, name = table.editing
        prop = table.session.client.get(*key)
        member = prop.members.get(name) if prop else None
        if prop is None or member is None or meaning_of(prop, member) != self._meant:
            self._die()
            return None
        return prop, member

    def _die(self) -> None:
        self.editor.die()
        self.table.hint = ("", False)
        self.post_message(self.Say(GONE, bad=True))

    def begin(self, prop: Property, member: Member) -> None:
        """Edit this member."""
        table = self.table
        assert table.session is not None
        # With the number as the device shows it: users change hours and minutes, not fractions.
        shown = member.shown.strip() if prop.kind is VectorKind.NUMBER else member.value
        # Control characters are not shown; leaving the text as it is changes nothing.
        value = clean(table.session.edits.of(prop.key).get(member.name, shown))
        self._before, self._meant = value, meaning_of(prop, member)
        self.editor.remove_class("-dead")
        table.editing = (prop.key, member.name)
        self._hint(value)
        self.place()
        self.editor.begin(value)
        table.told(prop.key)

    def place(self) -> None:
        """Put the editor where its line is."""
        table = self.table
        if table.editing is None:
            return
        found = self._target()
        spot = table.sheet.spot_of(*table.editing)
        if found is None or spot is None:
            return  # stay where it is
        y, index = table.sheet.place_of(spot)
        place = table.sheet.lines[y].places[index]
        columns = table.sheet.columns
        prop, member = found
        alone = place.width == columns.total - columns.indent
        if alone and prop.kind is VectorKind.TEXT:
            x, wide = columns.value, columns.total - columns.value
        elif alone:
            x, wide = columns.edit, columns.edit_width
        else:
            label = min(width(clean(member.label)), max(min(24, place.width - 8), 1))
            x, wide = place.x + label + 1, max(place.width - label - 1, 12)
        x = min(x, max(columns.total - wide, 0))
        line = y - table.scroll_offset.y
        self.editor.visible = 0 <= line < table.size.height
        self.editor.put(x, line, wide)

    def _hint(self, text: str) -> None:
        table = self.table
        found = self._target()
        if found is None:
            return
        prop, member = found
        said = hint(prop, member, text)
        table.hint = (said.text, said.wrong)
        self.editor.set_class(said.wrong, "-wrong")
        table.told(prop.key)
        spot = table.sheet.spot_of(prop.key, member.name)
        crowded = (
            spot is not None
            and table.sheet.lines[table.sheet.place_of(spot)[0]].places[0].width
            < table.sheet.columns.total - table.sheet.columns.indent
        )
        if (
            prop.kind is VectorKind.TEXT or crowded or table.sheet.columns.total - table.sheet.columns.limits < 12
        ) and said.text:
            self.post_message(self.Say(said.text, bad=said.wrong))
        elif said.wrong:
            self.post_message(self.Say(f"{shorten(clean(member.label), 30)}: {said.text}", bad=True))
        else:
            self.post_message(self.Say(""))

    @on(Input.Changed, "#editor")
    def _changed(self, event: Input.Changed) -> None:
        event.stop()
        if self.editing:
            self._hint(event.value)
            self.place()

    @on(ValueEditor.Cut)
    def _cut(self, event: ValueEditor.Cut) -> None:
        event.stop()
        self.post_message(self.Say("only the first line of what you pasted was taken", bad=True))

    @on(ValueEditor.Step)
    def _step(self, event: ValueEditor.Step) -> None:
        event.stop()
        found = self._target()
        if found is None or found[0].kind is not VectorKind.NUMBER:
            return
        value = stepped(found[1], self.editor.value, event.steps)
        if value is not None:
            self.editor.value = value
            self.editor.cursor_position = len(value)

    @on(ValueEditor.Done)
    def _done(self, event: ValueEditor.Done) -> None:
        event.stop()
        self._finish(event.then)

    def _finish(self, then: str) -> None:
        table = self.table
        if then == "leave" or (then == "blur" and self.editor.dead):
            self._end()
            return
        found = self._target()
        if found is None or table.session is None:
            if self.editing:
                self.post_message(self.Say(GONE, bad=True))
            return
        prop, member = found
        text = self.editor.value
        said = hint(prop, member, text)
        if said.wrong:
            if then == "blur":
                self._end()
                self.post_message(self.Say(f"not kept: {said.text}", bad=True))
            else:
                self._hint(text)
            return
        if text != self._before:  # otherwise an existing edit stays, including what cannot be shown of it
            table.session.edit(prop, member.name, text)
        if then in _STEPS and self._turn(prop, member, _STEPS[then]):
            return
        self._end()
        if then == "send":
            self.post_message(self.SendWanted(table.session, prop.key))

    def _turn(self, prop: Property, member: Member, steps: int) -> bool:
        """Edit the next or the previous member, if there is one."""
        names = list(prop.members)
        at = names.index(member.name) + steps
        spot = self.table.sheet.spot_of(prop.key, names[at]) if 0 <= at < len(names) else None
        if spot is None:
            return False
        self.table.browser.put(self.table.sheet, spot)
        self.table.moved()
        following = prop.members[names[at]]
        session = self.table.session
        if session is not None and needs_page(prop, session.edits.of(prop.key).get(following.name, following.value)):
            self._end()
            self.post_message(PropTable.Activated())
        else:
            self.begin(prop, following)
        return True

    @property
    def typed(self) -> bool:
        """Whether something has been typed that is not kept yet."""
        return self.editing and not self.editor.dead and self.editor.value != self._before

    def put_down(self) -> None:
        """Keep what has been typed, if possible, when the user turns to something else.

        An editor that stayed would be on a line that it is not for.
        """
        if self.editing:
            self._finish("blur")
        if self.editing:  # the edited member has gone
            self._end()

    def _end(self) -> None:
        table = self.table
        key = table.editing[0] if table.editing else None
        had_focus = self.editor.has_focus
        table.editing, table.hint = None, ("", False)
        self.editor.end()
        if had_focus:
            table.focus()
        self.post_message(self.Say(""))
        if key is not None:
            table.told(key)
        table.repaint()
