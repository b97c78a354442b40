"""Server-sent events: one stream per tab, bounded, closed when nobody reads it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable
from typing import Any, Final, Protocol

from starlette.types import Receive, Scope, Send

from .commands import Commands
from .security.limits import network_of
from .security.permissions import Actor
from .site import TICK, Filter, Site
from .views import dumps

__all__ = ["EventStream", "StreamCounts", "TooManyStreams"]

logger = logging.getLogger("indipyweb")

CONNECTION: Final = "connection"
"""The name of a request's connection in ``scope["state"]``, if the server tells."""
PING: Final = 5.0
STUCK: Final = 20.0
"""Seconds after which a stream is closed if nothing of what was sent was taken."""
QUIET: Final = 10.0
"""Seconds after which it makes room for another one: two pings."""
BEHIND: Final = 16 << 10
"""Bytes that wait to be taken; beyond that, a stream sends nothing more until it can send the newest values."""
OF_ONE: Final = 8
OF_BROWSER: Final = 5
"""The limit for a login.  A browser has six connections to a web server over http: without one that is free, it could
send no command."""
IN_ALL: Final = 64
OF_GUESTS: Final = 48
"""The limit for guests, which leaves room for those who have an account."""


class TooManyStreams(Exception):
    """There are too many streams already."""


class Link(Protocol):
    """The connection of a stream."""

    def untaken(self) -> int:
        """Bytes that were sent, and not taken."""

    def cut(self) -> None:
        """End it at once."""


class StreamCounts:
    """Counts the streams.

    Attributes:
        cut: How many were closed because nobody read them.
    """

    def __init__(self) -> None:
        self._of: Counter[str] = Counter()
        self._streams: dict[EventStream, str] = {}
        self._tabs: dict[tuple[str, str], EventStream] = {}
        self.cut = 0

    @property
    def total(self) -> int:
        """The number of streams."""
        return self._of.total()

    def replace(self, whose: str, tab: str, stream: EventStream) -> None:
        """Register the new stream of a tab and end its old one, whose connection may be dead unnoticed."""
        old = self._tabs.pop((whose, tab), None)
        if old is not None:
            old.end()
        self._tabs[whose, tab] = stream

    def forget(self, whose: str, tab: str, stream: EventStream) -> None:
        """Remove the stream of a tab, unless the tab has a newer one."""
        if self._tabs.get((whose, tab)) is stream:
            del self._tabs[whose, tab]

    def add(self, whose: str, *, is_guest: bool = False, stream: EventStream | None = None) -> None:
        """Count one more.  If there are too many, one whose browser is gone makes room.

        Args:
            whose: The login, or the address of a guest.
            is_guest: It has no account.
            stream: The stream; None for a request that waits.

        Raises:
            TooManyStreams: The limit is reached, and all are read.
        """
        most = OF_GUESTS if is_guest else IN_ALL
        if self._of[whose] >= (OF_BROWSER if stream is not None and not is_guest else OF_ONE):
            self._make_room([known for known, owner in self._streams.items() if owner == whose])
        if self.total >= most:
            self._make_room(list(self._streams))
        self._of[whose] += 1
        if stream is not None:
            self._streams[stream] = whose

    def _make_room(self, streams: list[EventStream]) -> None:
        quiet = max(streams, key=EventStream.silence, default=None)
        if quiet is None or quiet.silence() <= QUIET:
            raise TooManyStreams
        quiet.cut()

    def remove(self, whose: str, stream: EventStream | None = None) -> None:
        """Count one less."""
        if stream is not None:
            self._streams.pop(stream, None)
        self._of[whose] -= 1
        if self._of[whose] <= 0:
            del self._of[whose]


class EventStream:
    """A continuing answer: changes, outcomes of commands, and the state of the link.

    Args:
        site: The site to follow.
        wanted: The part of it to follow.
        since: The last change that the page knows; None for nothing.
        commands: The commands; those of the session are reported.
        counts: Counts the streams.
        actor: The user.
        is_valid: Returns whether they still may follow.
        tab: Name that the page gives itself; "" for none.

    Attributes:
        headers: Sent with it.
    """

    def __init__(
        self,
        site: Site,
        wanted: Filter,
        since: int | None,
        commands: Commands,
        counts: StreamCounts,
        actor: Actor,
        is_valid: Callable[[], bool],
        tab: str = "",
    ) -> None:
        self._site = site
        self._wanted = wanted
        self._since = since
        self._commands = commands
        self._counts = counts
        self._actor = actor
        self._is_valid = is_valid
        self._whose = actor.session or f"guest {network_of(actor.address)}"
        self.headers = {
            "content-type": "text/event-stream; charset=utf-8",
            "cache-control": "no-store",
            "x-accel-buffering": "no",
        }
        self._tab = tab
        self._is_lost = False
        self._link: Link | None = None
        self._untaken = 0  # after the last look
        self._moved = asyncio.get_running_loop().time()  # when some of it was taken, or nothing waited
        if tab:
            counts.replace(self._whose, tab, self)
        try:
            counts.add(self._whose, is_guest=not actor.name, stream=self)
        except TooManyStreams:
            counts.forget(self._whose, tab, self)
            raise
        self._counted = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._link = scope.get("state", {}).get(CONNECTION)
        raw = [(name.encode(), value.encode()) for name, value in self.headers.items()]
        leaving = asyncio.create_task(_until_gone(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": raw})
            pouring = asyncio.create_task(self._pour(send))
            await asyncio.wait([leaving, pouring], return_when=asyncio.FIRST_COMPLETED)
            if not pouring.done():
                pouring.cancel()
            await asyncio.gather(pouring, return_exceptions=True)
            error = None if pouring.cancelled() else pouring.exception()
            if isinstance(error, OSError):
                self.cut()
                await asyncio.wait([leaving], timeout=1.0)  # until the connection has ended, if that can be cut
            elif error is not None:
                logger.error("a stream has failed", exc_info=error)
            if not leaving.done() and not pouring.cancelled() and pouring.exception() is None:
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            leaving.cancel()
            self.release()

    def release(self) -> None:
        """Stop counting it."""
        if self._counted:
            self._counted = False
            self._counts.remove(self._whose, self)
            self._counts.forget(self._whose, self._tab, self)

    def end(self) -> None:
        """End it, as its page has a newer one."""
        self._is_lost = True
        self.release()
        self._site.wake()

    def cut(self) -> None:
        """End it with its connection, as nobody reads it."""
        if not self._is_lost:
            self._counts.cut += 1
            self.end()
        if self._link is not None:
            self._link.cut()

    def silence(self) -> float:
        """Seconds since some of what was sent was taken; 0 if nothing waits."""
        untaken = self._link.untaken() if self._link is not None else 0
        now = asyncio.get_running_loop().time()
        if not untaken or untaken < self._untaken:
            self._moved = now
        self._untaken = untaken
        return now - self._moved

    async def _pour(self, send: Send) -> None:
        site, loop = self._site, asyncio.get_running_loop()

        async def say(text: str) -> None:
            try:
                async with asyncio.timeout(STUCK):
                    await send(
                        {"type": "http.response.body", "body": text.encode("utf-8", "replace"), "more_body": True}
                    )
            except TimeoutError:
                raise ConnectionAbortedError("nobody reads this stream") from None
            if self._link is not None:
                self._untaken = self._link.untaken()

        with site.news() as news:
            reset = self._since is None or self._since > site.rev
            since = site.rev if self._since is None or reset else self._since
            hello: dict[str, Any] = {
                "v": 1,
                "epoch": site.model.epoch,
                "rev": since,
                "reset": reset,
                "behind": site.rev > since,  # what has changed comes next, and over a weak link later
                "role": int(self._actor.role),
                "at": loop.time(),
            }
            # Outcomes of commands while the page had no stream.
            hello["done"] = [command.facts() for command in self._commands.lately(site.name, self._whose)]
            link: dict[str, Any] = site.link()
            alerts, ended = site.alerts_rev, self._commands.ended
            await say(f"retry: 2000\n{_event('hello', {**hello, 'link': link, 'alerts': site.alert_facts()})}")
            ping = loop.time() + PING
            is_due = False
            while True:
                if self._is_lost:
                    return
                if site.closing:
                    await say(_event("bye", {"why": "restart"}))
                    return
                if loop.time() >= ping:
                    ping, is_due = loop.time() + PING, True
                    if not self._is_valid():
                        await say(_event("session", {"why": "over"}))
                        return
                if self.silence() > STUCK:
                    raise ConnectionAbortedError("nobody reads this stream")
                if self._untaken > BEHIND:
                    await asyncio.sleep(TICK)
                    continue
                out = []
                news.clear()  # before looking: what comes while this is being sent is news again
                now = site.link()
                if (now["up"], now["n"], now.get("why")) != (link["up"], link["n"], link.get("why")):
                    link = now
                    out.append(_event("link", link))
                if site.rev > since:
                    since, text = site.delta(self._wanted, since)
                    out.append(f"id: {site.model.epoch}.{since}\nevent: delta\ndata: {text}\n\n")
                if site.alerts_rev != alerts:
                    alerts = site.alerts_rev
                    out.append(_event("alerts", site.alert_facts()))
                if self._commands.ended != ended:
                    for command in self._commands.since(ended, site.name, self._whose):
                        out.append(_event("outcome", command.facts()))  # noqa: PERF401
                    ended = self._commands.ended
                if is_due:
                    is_due = False
                    out.append(_event("ping", loop.time()))
                if out:
                    await say("".join(out))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout_at(ping):
                        await news.wait()


def _event(name: str, data: Any) -> str:
    return f"event: {name}\ndata: {dumps(data)}\n\n"


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
