"""Runs the web server."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import signal
import socket
import sqlite3
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

import uvicorn

from indipyclient.addresses import PORT as INDI_PORT
from indipyclient.addresses import parse_endpoint

from .app import build_app
from .connections import Connection
from .context import Web
from .launcher import Launcher
from .listening import LOOPBACK, NoAddress, listen, manager_address, plain_host, shown
from .security.origin import host_of, knows_host
from .security.passwords import Passwords, problem_of
from .security.permissions import Role
from .serving import Controlled, serve
from .settings import Settings, clean_base, whole_path
from .store.database import Database
from .store.keeping import Parameters
from .webmanager import build_manager

__all__ = ["run", "settings_of"]

logger = logging.getLogger("indipyweb")


class Wrong(Exception):
    """The command cannot be executed; the text says why."""


def settings_of(options: argparse.Namespace) -> Settings:
    """The settings from the options, and from the database for what they leave open.

    Raises:
        Wrong: They are invalid.
    """
    folder = _path("--dbfolder", options.dbfolder or ".")
    if not folder.is_dir():
        raise Wrong(f"--dbfolder: {folder} is not a folder")
    try:
        database = Database(folder)
    except (OSError, sqlite3.Error) as error:
        raise Wrong(f"the database in {folder} cannot be used: {error}") from None
    known = Parameters.load(database)
    database.close()
    if options.port is not None and not 0 <= options.port < 65536:
        raise Wrong(f"--port: not a port: {options.port}; use 1 to 65535")
    servers = []
    for text in options.indi or [known.indihost]:
        try:
            servers.append(str(parse_endpoint(text, INDI_PORT if options.indi else known.indiport)))
        except ValueError as error:
            raise Wrong(f"--indi: {error}") from None
    blobs = _path("--blobfolder", options.blobfolder) if options.blobfolder else None  # drivers may go elsewhere
    if blobs is not None and not blobs.is_dir():
        raise Wrong(f"--blobfolder: {blobs} is not a folder")
    if blobs is None and known.blobfolder:
        blobs = _folder_of_set_up(known.blobfolder)
    try:
        base = clean_base(options.basepath)
    except ValueError as error:
        raise Wrong(f"--basepath: {error}") from None
    try:
        manager_address(options.web_manager or "")
    except ValueError as error:
        raise Wrong(f"--web-manager: {error}") from None
    url = options.public_url.rstrip("/")
    try:
        parts = urlsplit(url)
        is_address = not url or (parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0)
    except ValueError:
        is_address = False
    if not is_address:
        raise Wrong(f"--public-url: not an address: {options.public_url}; it begins with http:// or https://")
    for name in options.host_name:
        if not knows_host(name, (host_of(name),)):
            raise Wrong(f"--host-name: not a name: {name}; write it without http:// and without a path")
    if str(options.securecookie).lower() not in ("true", "false"):
        logger.warning("--securecookie %s counts as False: only True has cookies go over https", options.securecookie)
    return Settings(
        dbfolder=folder,
        host=plain_host(options.host or known.host),
        port=known.port if options.port is None else options.port,
        servers=tuple(dict.fromkeys(servers)),
        blobfolder=blobs,
        blobs=not options.no_blobs,
        secure=str(options.securecookie).lower() == "true",
        basepath=base,
        public_url=url,
        host_names=tuple(options.host_name),
        hsts=options.hsts,
    )


def _path(option: str, text: str) -> Path:
    """The path that an option gives.

    Raises:
        Wrong: It is not known.
    """
    try:
        return whole_path(text)
    except ValueError as error:
        raise Wrong(f"{option}: {error}") from None


def _folder_of_set_up(text: str) -> Path | None:
    """The folder for BLOBs that Set-up names: what is wrong with it keeps nobody from the page where it is changed."""
    try:
        folder = whole_path(text)
    except ValueError as error:
        logger.warning("BLOBs are not saved: the folder of Set-up, %s", error)
        return None
    if not folder.is_dir():
        logger.warning("the folder for BLOBs of Set-up, %s, does not exist; it is created when a BLOB arrives", folder)
    return folder


class _Server(uvicorn.Server):
    """A server that leaves signals to the command, and ends streams before it waits for answers to end."""

    web: Web | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.web is not None:
            self.web.close_streams()
        super().handle_exit(sig, frame)


class _Signals:
    """Ends the server on a signal, or the start-up if there is no server yet.

    It is installed before the INDI server in this process, which then leaves signals alone.
    """

    def __init__(self) -> None:
        self.server: _Server | None = None
        self._task = asyncio.current_task()
        loop = asyncio.get_running_loop()
        wanted = [signal.SIGINT, signal.SIGTERM]
        if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # else nohup has it ignored
            wanted.append(signal.SIGHUP)  # the terminal is closed
        for number in wanted:
            with contextlib.suppress(NotImplementedError, RuntimeError):  # not on this platform: Ctrl-C works there
                loop.add_signal_handler(number, self._came, number)

    def _came(self, number: int) -> None:
        if self.server is not None:
            self.server.handle_exit(number, None)
        elif self._task is not None:
            self._task.cancel()


def run(options: argparse.Namespace) -> int:
    """Serve, until a signal ends it; returns the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s: %(message)s", stream=sys.stderr)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    try:
        settings = settings_of(options)
        return asyncio.run(_run(settings, options))
    except Wrong as error:
        sys.stderr.write(f"indipyweb: {error}\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"indipyweb: {error.strerror or error}\n")
        return 1
    except sqlite3.Error as error:
        sys.stderr.write(f"indipyweb: the database cannot be used: {error}\n")
        return 1
    except asyncio.CancelledError:
        return 0
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


async def _run(settings: Settings, options: argparse.Namespace) -> int:
    """Run, with the INDI server in this process if requested."""
    signals = _Signals()
    if not options.serve:
        return await _serve(settings, options, signals, None)
    try:
        async with serve(options.serve, INDI_PORT if options.indi_port is None else options.indi_port) as (server, own):
            name = str(parse_endpoint("localhost", server.port))
            others = settings.servers if options.indi else ()
            servers = tuple(dict.fromkeys((name, *others)))
            return await _serve(replace(settings, servers=servers), options, signals, (name, own))
    except (ValueError, ImportError) as error:
        raise Wrong(f"--serve: {error}") from None


async def _serve(
    settings: Settings, options: argparse.Namespace, signals: _Signals, own: tuple[str, Controlled] | None
) -> int:
    web_settings, sock = _listening(settings, options)
    with contextlib.ExitStack() as stack:
        stack.callback(sock.close)
        web = Web(web_settings, passwords=Passwords())
        stack.callback(web.close)
        if own is not None:
            web.controlled[own[0]] = own[1]
        if options.admin_password_file and web.needs_setup:
            _make_admin(web, options.admin_password_file)
        if web.needs_setup and web_settings.host not in LOOPBACK:
            sock.close()
            logger.warning("nobody can log in yet: only this machine may connect until there is an account")
            web_settings, sock = _listening(replace(web_settings, host="localhost"), options)
            stack.callback(sock.close)
            web.settings = web_settings
        return await _answer(web, sock, options, signals, own)


async def _answer(
    web: Web,
    sock: socket.socket,
    options: argparse.Namespace,
    signals: _Signals,
    own: tuple[str, Controlled] | None,
) -> int:
    """Answer requests until the end."""
    settings = web.settings
    config = uvicorn.Config(
        build_app(web),
        http=Connection,
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=bool(settings.public_url),
        forwarded_allow_ips="127.0.0.1,::1",
        timeout_graceful_shutdown=3,
        timeout_keep_alive=30,
        h11_max_incomplete_event_size=32768,
        limit_concurrency=400,
        ws="none",
        lifespan="on",
    )
    server = _Server(config)
    server.web = web
    signals.server = server
    more = _manager(web, options, own)
    where = f"http://{shown(settings.host)}:{settings.port}{settings.basepath}"
    logger.info("serving %s on %s", ", ".join(settings.servers), settings.public_url or where)
    if web.needs_setup:
        logger.info(
            "to make the first account, once, in the next half hour:\n    %s/setup?token=%s",
            where,
            web.new_setup_token(),
        )
    try:
        await server.serve(sockets=[sock])
    finally:
        for task in more:
            task.cancel()
        await asyncio.gather(*more, return_exceptions=True)
    return 0 if server.started else 1


def _manager(web: Web, options: argparse.Namespace, own: tuple[str, Controlled] | None) -> list[asyncio.Task[None]]:
    """Profiles, and the interface of INDI Web Manager if requested.

    Raises:
        Wrong: There is no server on this machine, or the address is not one of this machine.
        OSError: It cannot listen.
    """
    controlled = own[1] if own is not None else next(iter(web.controlled.values()), None)
    starting = web.profiles.at_boot()
    if controlled is None:
        if options.web_manager:
            raise Wrong("--web-manager: drivers are started on this machine only: --indi localhost:PORT, or --serve")
        if starting is not None:
            logger.warning("profile %s is not started: no INDI server shown here is on this machine", starting.name)
        return []
    launcher = web.launcher = Launcher(controlled)
    tasks = []
    if options.web_manager:
        host, port = manager_address(options.web_manager)
        web.host_names |= {host.lower()}
        try:
            sock = listen(host, port)
        except NoAddress as error:
            raise Wrong(f"--web-manager: {error}") from None
        config = uvicorn.Config(
            build_manager(web, launcher),
            http=Connection,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=3,
            limit_concurrency=50,
            ws="none",
            lifespan="off",
        )
        logger.info("for Ekos: INDI Web Manager on port %d", sock.getsockname()[1])
        tasks.append(asyncio.create_task(_Server(config).serve([sock]), name="web manager"))
    if starting is not None:
        tasks.append(asyncio.create_task(launcher.start_at_boot(web.profiles.at_boot), name="profile at boot"))
    return tasks


def _listening(settings: Settings, options: argparse.Namespace) -> tuple[Settings, socket.socket]:
    """A listening socket, and the settings with its port.

    A wrong address in Set-up does not keep users from the page where it can be corrected.

    Raises:
        Wrong: The address on the command line is not one of this machine.
        OSError: The address is not available.
    """
    try:
        sock = listen(settings.host, settings.port)
    except NoAddress as error:
        if options.host or settings.host in LOOPBACK:
            raise Wrong(f"--host: {error}") from None
        logger.warning("Set-up says where to listen, and %s: only this machine may connect", error)
        return _listening(replace(settings, host="localhost"), options)
    except OSError as error:
        hint = "" if options.port is not None else "; --port PORT wins over the port of Set-up"
        raise OSError(error.errno, f"{error.strerror}{hint}") from None
    return replace(settings, port=sock.getsockname()[1]), sock


def _make_admin(web: Web, file: str) -> None:
    """Create the first account with the password in a file.

    Raises:
        Wrong: The file cannot be read, or the password cannot be used.
    """
    try:
        text = _path("--admin-password-file", file).read_text(encoding="utf-8-sig").strip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise Wrong(f"--admin-password-file: {error}") from None
    problem = problem_of(text, "admin")
    if problem:
        raise Wrong(f"--admin-password-file: {problem}")
    hashed = web.passwords.hash_now(text)
    if web.users.get("admin") is None:
        web.users.add("admin", Role.ADMIN, hashed)
    else:
        web.users.set_password("admin", hashed)
        web.users.set_role("admin", Role.ADMIN)
    web.audit.note("admin", "", "first account", "admin")
