"""The state shared by all requests: the INDI servers, the accounts, and the counters."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import time
import zlib
from collections.abc import Callable
from importlib.resources import files
from typing import Any, Final
from urllib.parse import quote, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from indipyclient import BlobMode, Client
from indipyclient.images.previews import Previews

from . import version
from .commands import Commands
from .disk import Disk
from .events import StreamCounts
from .launcher import Launcher
from .security.limits import Buckets, LoginThrottle
from .security.origin import host_of, machine_names
from .security.passwords import Passwords, is_default
from .security.permissions import Actor, Need, Role, allows
from .security.sessions import Sessions
from .serving import LOCAL, Controlled
from .settings import Settings
from .site import Site
from .store.audit import Audit
from .store.database import Database
from .store.keeping import Options, Parameters, Pins
from .store.logins import Logins
from .store.profiles import Profiles
from .store.users import Users
from .views import (
    MARKS,
    asked_text,
    clock_text,
    keyboard_of,
    limits_text,
    meaning_of,
    member_texts,
    message_text,
    size_text,
)

__all__ = ["Web"]

SETUP_TIME: Final = 1800.0
"""Seconds for which the one-time link of the first start is valid."""


class Web:
    """The parts of one web server.

    Args:
        settings: Its settings.
        clock: A monotonic clock in seconds, for logins.
        passwords: Hashes them.
        client: Creates the client of an INDI server from its address.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.monotonic,
        passwords: Passwords | None = None,
        client: Callable[[str], Client] | None = None,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.db = Database(settings.dbfolder)
        self.users = Users(self.db)
        self.audit = Audit(self.db)
        self.options = Options(self.db)
        self.pins = Pins(self.db)
        self.profiles = Profiles(self.db)
        self.launcher: Launcher | None = None  # where profiles are started
        self.parameters = Parameters.load(self.db)
        self.passwords = passwords or Passwords()
        self.sessions = Sessions(clock)
        self.logins = Logins(self.db)
        self.throttle = LoginThrottle()
        self.commands = Commands(self.audit)
        self.streams = StreamCounts()
        self.uploads = 0  # being received over the API
        self.api_rate = Buckets(50.0, 100.0)
        self.started = time.time()
        self.is_ending = False
        self.controlled: dict[str, Controlled] = {}
        self.disk = Disk()
        self.previews = Previews()
        self.thumbnails = Previews(self.disk.soon)  # separate, because files may be on a disk that does not respond
        make = client or self._client
        self.sites = {name: Site(name, make(name), settings.blobfolder, self.disk) for name in settings.servers}
        self.host_names = machine_names() | {name.lower() for name in settings.host_names} | {settings.host.lower()}
        if settings.public_origin:
            self.host_names |= {host_of(settings.public_origin.partition("//")[2])}
        for name, site in self.sites.items():
            if site.client.endpoint.host in LOCAL:
                self.controlled[name] = Controlled(None, site.client.endpoint.port)
        self._setup_token = ""
        self._setup_until = 0.0
        self._marks: dict[str, str] = {}
        for user in self.users.all():
            if is_default(user.password, user.salt):
                self.users.disable(user.name)
        self.logins.take(self.sessions)
        self.templates = self._environment()

    def _client(self, name: str) -> Client:
        mode = BlobMode.ALSO if self.settings.blobs else BlobMode.NEVER
        return Client(name, blobs=mode, blob_link=self.settings.blobs)

    def _environment(self) -> Environment:
        environment = Environment(
            loader=PackageLoader(__package__ or "indipyweb"),
            autoescape=select_autoescape(default=True, default_for_string=True),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.globals |= {
            "base": self.settings.basepath,
            "version": version,
            "MARKS": MARKS,
            "keyboard_of": keyboard_of,
            "meaning_of": meaning_of,
            "member_texts": member_texts,
            "limits_text": limits_text,
            "message_text": message_text,
            "asked_text": asked_text,
            "clock_text": clock_text,
            "url": self.url,
            "Need": Need,
            "allows": allows,
            "Role": Role,
            "day": lambda seconds: time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds)),
        }
        environment.globals["asset"] = self._asset
        environment.filters["size"] = size_text
        environment.filters["plain_json"] = lambda value: json.dumps(list(value))
        return environment

    def url(self, path: str, **query: Any) -> str:
        """A link to a page of ours."""
        text = self.settings.basepath + quote(path)
        return f"{text}?{urlencode(query, errors='replace')}" if query else text

    def _asset(self, name: str) -> str:
        """A link to a static file, which changes with the file."""
        found = self._marks.get(name)
        if found is None:
            data = (files(__package__ or "indipyweb") / "static" / name).read_bytes()
            found = self._marks[name] = f"{zlib.crc32(data):08x}"
        return self.url(f"/static/{name}", v=found)

    @property
    def first(self) -> Site:
        """The INDI server that is shown when none is named."""
        return next(iter(self.sites.values()))

    # Life

    async def start(self) -> None:
        """Begin to follow the INDI servers."""
        for site in self.sites.values():
            await site.start()

    def close_streams(self) -> None:
        """End streams and waits for outcomes, so that the server can end."""
        self.is_ending = True
        self.commands.release()
        for site in self.sites.values():
            site.close_streams()

    async def aclose(self) -> None:
        """End."""
        await self.commands.aclose()
        await asyncio.gather(*(site.aclose() for site in self.sites.values()))
        await self.disk.aclose()
        for previews in (self.previews, self.thumbnails):
            with contextlib.suppress(Exception):
                previews.close()
        await asyncio.to_thread(self.close)

    def close(self) -> None:
        """Save what must be saved, and close the database; blocks."""
        if not self.db.is_closed:
            self.audit.close()
            self.logins.keep(self.sessions)
            self.db.close()

    # The first account

    @property
    def needs_setup(self) -> bool:
        """Whether no administrator can log in."""
        return not self.users.has_admin()

    def new_setup_token(self) -> str:
        """The token for creating the first account, once."""
        self._setup_token = secrets.token_urlsafe(32)
        self._setup_until = self.clock() + SETUP_TIME
        return self._setup_token

    def is_setup_token(self, token: str) -> bool:
        """Whether the token is right and still valid."""
        known = self._setup_token
        in_time = bool(known) and self.clock() < self._setup_until and self.needs_setup
        return secrets.compare_digest(token.encode("utf-8", "replace"), known.encode()) and in_time

    def end_setup(self) -> None:
        """Note that it was used."""
        self._setup_token = ""

    # Who it is

    def guest(self, address: str) -> Actor:
        """A user who has not logged in."""
        role = Role.VIEWER if self.options.flag("guests", True) else Role.NOBODY
        return Actor("", role, address)

    def actor_of_session(self, token: str, address: str, *, use: bool = True) -> Actor:
        """The user of a browser's login."""
        session = self.sessions.get(token, use=use)
        user = self.users.get(session.user) if session is not None else None
        if session is None or user is None:
            return self.guest(address)
        return Actor(user.name, user.role, address, session.id)

    def actor_of_token(self, token: str, address: str) -> Actor | None:
        """The user of a token, which never has the rights of an administrator."""
        found = self.users.of_token(token)
        if found is None:
            return None
        user, known = found
        role = min(user.role, Role.USER if known.writes else Role.VIEWER)
        return Actor(user.name, Role(role), address, by_token=True)

    def still_may(self, actor: Actor, need: Need) -> bool:
        """Whether they may still do it."""
        if not actor.name:
            return allows(need, self.guest(actor.address))
        user = self.users.get(actor.name)
        if user is None or (actor.session and not self.sessions.is_alive(actor.session)):
            return False
        return allows(need, Actor(user.name, min(user.role, actor.role) if actor.by_token else user.role))
