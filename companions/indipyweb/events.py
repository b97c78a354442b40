"""Server-sent events: one stream a tab, bounded, cut when nobody reads it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from starlette.types import Receive, Scope, Send

from .commands import Commands
from .security.limits import network_of
from .security.permissions import Actor
from .site import Filter, Site
from .views import dumps

__all__ = ["EventStream", "StreamCounts", "TooManyStreams"]

logger = logging.getLogger("indipyweb")

PING: Final = 5.0
STUCK: Final = 20.0
"""Seconds in which nothing of a stream could be sent after which it is cut."""
OF_ONE: Final = 8
IN_ALL: Final = 64
OF_GUESTS: Final = 48
"""Where guests get no more, so that they leave room for those who have an account."""


class TooManyStreams(Exception):
    """There are so many already."""


class StreamCounts:
    """How many streams there are."""

    def __init__(self) -> None:
        self._of: Counter[str] = Counter()
        self.cut = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self._of.total()

    def add(self, whose: str, *, is_guest: bool = False) -> None:
        """One more.

        Raises:
            TooManyStreams: That is one too many.
        """
        if self._of[whose] >= OF_ONE or self.total >= (OF_GUESTS if is_guest else IN_ALL):
            raise TooManyStreams
        self._of[whose] += 1

    def remove(self, whose: str) -> None:
        """One less."""
        self._of[whose] -= 1
        if self._of[whose] <= 0:
            del self._of[whose]


class EventStream:
    """An answer that goes on: what has changed, what came of commands, and whether the link is up.

    Args:
        site: What is followed.
        wanted: What of it.
        since: What the page knows; None for nothing.
        commands: Of which those of the session are told.
        counts: Counts the streams.
        actor: Who follows.
        is_valid: Whether they still may.

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
        counts.add(self._whose, is_guest=not actor.name)
        self._counted = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
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
            if error is not None and not isinstance(error, OSError):
                logger.error("a stream has failed", exc_info=error)
            if not leaving.done() and not pouring.cancelled() and pouring.exception() is None:
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            leaving.cancel()
            self.release()

    def release(self) -> None:
        """It does not count any more."""
        if self._counted:
            self._counted = False
            self._counts.remove(self._whose)

    async def _pour(self, send: Send) -> None:
        site = self._site

        async def say(text: str) -> None:
            try:
                async with asyncio.timeout(STUCK):
                    await send(
                        {"type": "http.response.body", "body": text.encode("utf-8", "replace"), "more_body": True}
                    )
            except TimeoutError:
                self._counts.cut += 1
                raise ConnectionAbortedError("nobody reads this stream") from None

        with site.news() as news:
            reset = self._since is None or self._since > site.rev
            since = site.rev if self._since is None or reset else self._since
            hello: dict[str, Any] = {
                "v": 1,
                "epoch": site.model.epoch,
                "rev": since,
                "reset": reset,
                "role": int(self._actor.role),
            }
            # What came of commands while the page had no stream.
            hello["done"] = [command.facts() for command in self._commands.lately(site.name, self._whose)]
            await say(f"retry: 2000\n{_event('hello', {**hello, 'link': site.link(), 'alerts': site.alert_facts()})}")
            link: dict[str, Any] = site.link()
            loop = asyncio.get_running_loop()
            ping = loop.time() + PING
            alerts, ended = site.alerts_rev, self._commands.ended
            while True:
                if site.closing:
                    await say(_event("bye", {"why": "restart"}))
                    return
                out = []
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
                if loop.time() >= ping:
                    ping = loop.time() + PING
                    if not self._is_valid():
                        await say(_event("session", {"why": "over"}))
                        return
                    out.append("event: ping\ndata: 1\n\n")
                if out:
                    await say("".join(out))
                news.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout_at(ping):
                        await news.wait()


def _event(name: str, data: Any) -> str:
    return f"event: {name}\ndata: {dumps(data)}\n\n"


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
