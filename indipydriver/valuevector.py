"""What the vectors have in common whose updates hold values: all but that of BLOBs."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from .arguments import Call, named
from .errors import LocalProtocolError
from .locks import TOGETHER
from .propertymembers import PropertyMember
from .protocol.frame import Frame
from .protocol.messages import OneMember, SetVector
from .protocol.tags import State
from .vectorbase import PropertyVector

__all__ = ["ValueVector"]

logger = logging.getLogger("indipydriver.propertyvectors")


class ValueVector(PropertyVector):
    """A vector whose updates hold values: all but BLOBs."""

    async def send_setVector(
        self,
        message: str = "",
        timestamp: datetime | None = None,
        timeout: Any = None,
        state: str | None = None,
        allvalues: bool = True,
    ) -> None:
        """Send the values to the clients.

        Args:
            message: Human-readable text.
            timestamp: By default, now.
            timeout: By default, unchanged.
            state: By default, unchanged.
            allvalues: False: only members that have changed since they were last sent; and nothing
                at all if none of them has, nor the state, timeout or message, and no client
                waits for an answer to a command. While rxevent handles one, only what rxevent
                sends is its answer.

        Raises:
            ValueError: An argument is wrong; nothing has been changed or sent.
            NotRunning: The driver does not run yet.
        """
        self._check_content()
        await self._send_all(message, timestamp, timeout, state, allvalues)

    async def _send_all(self, message: str, timestamp: Any, timeout: Any, state: Any, allvalues: bool = True) -> None:
        outlet = self._outlet()
        is_news = True
        with outlet.in_order:
            call = self._checked(message, timestamp, timeout, state)
            if self._is_enabled():
                with TOGETHER:
                    members = [member for member in self.data.values() if allvalues or member.changed]
                    is_news = bool(allvalues or members or self._is_answer() or self._is_news(call))
                    frame = self._update_frame(members, call) if is_news else None
                if frame is not None:
                    outlet.emit(frame)
        if not is_news and self.driver is not None and self.driver.debug_enable:
            logger.debug("%s %s: nothing to send, because nothing has changed", self.devicename, self.name)
        await outlet.pace()  # even if nothing has been sent: a loop may do nothing else

    async def send_setVectorMembers(
        self,
        message: str = "",
        timestamp: datetime | None = None,
        timeout: Any = None,
        state: str | None = None,
        members: Sequence[str] = (),
    ) -> None:
        """Send some members to the clients; with none, only the state.

        Args:
            message: Human-readable text.
            timestamp: By default, now.
            timeout: By default, unchanged.
            state: By default, unchanged.
            members: Their names; unknown ones are ignored.

        Raises:
            ValueError: An argument is wrong; nothing has been changed or sent.
            NotRunning: The driver does not run yet.
        """
        self._check_content()
        outlet = self._outlet()
        with outlet.in_order:
            call = self._checked(message, timestamp, timeout, state)
            if self._is_enabled():
                with TOGETHER:
                    frame = self._update_frame(named(self.data, members), call)
                outlet.emit(frame)
        await outlet.pace()

    def _update_frame(self, members: Sequence[PropertyMember], call: Call) -> Frame:
        """What is to be sent: encoding it may raise; only then is anything changed.

        The flags are cleared first: what a thread assigns meanwhile belongs to the next send.
        """
        changed = [member for member in members if member.changed]
        for member in changed:
            member.changed = False
        before = self._begin()
        was_commanded, self._is_commanded = self._is_commanded, False
        try:
            frame = self._set_frame(self._in_order(members), call)
        except BaseException:
            for member in changed:
                member.changed = True
            self._give_up(before)
            self._is_commanded = was_commanded or self._is_commanded
            raise
        self._apply(call)
        return frame

    def _set_frame(self, members: Sequence[PropertyMember], call: Call) -> Frame:
        state, timeout = call.state or self._state, self._sent_timeout(call)
        names = [member.name for member in members]
        values = self._sent_values(members)
        what = ("set", self.devicename, self.name, timeout, *names)

        def message() -> SetVector:
            assert self.devicename is not None
            ones = tuple([OneMember(name, value) for name, value in zip(names, values, strict=True)])
            return SetVector(
                self.vectorkind, self.devicename, self.name, ones, state, timeout, call.timestamp, call.message
            )

        return self._forms.encode(what, state, call.timestamp, call.message, values, message)

    def _in_order(self, members: Sequence[PropertyMember]) -> Sequence[PropertyMember]:
        """The members in the order in which they are sent."""
        return members

    async def answer_command(self, state: State, message: str) -> None:
        try:
            await self._send_all(message, None, None, state)
        except LocalProtocolError:  # a value cannot be sent, but clients must get an answer
            outlet = self._outlet()
            with outlet.in_order:
                outlet.emit(self._update_frame((), self._checked(message, None, None, state)))
            await outlet.pace()
