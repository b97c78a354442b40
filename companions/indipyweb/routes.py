"""The handler of each route; :mod:`indipyweb.security.permissions` says who may use it."""

from __future__ import annotations

from typing import Final

from . import api
from .pages import accounts, assets, blobs, images, panel, plots, server, system
from .visit import Handler

__all__ = ["HANDLERS"]

HANDLERS: Final[list[tuple[str, str, Handler]]] = [
    ("GET", "/", panel.home),
    ("GET", "/device", panel.device),
    ("GET", "/part", panel.part),
    ("GET", "/events", panel.events),
    ("GET", "/alerts", panel.alerts),
    ("GET", "/messages", panel.messages),
    ("POST", "/set", panel.send),
    ("GET", "/overview", panel.overview),
    ("POST", "/pin", panel.pin),
    ("GET", "/plot", plots.plot),
    ("GET", "/plot.csv", plots.table),
    ("GET", "/image", images.image),
    ("GET", "/image.png", images.preview),
    ("GET", "/image/file", images.download),
    ("GET", "/blobs", blobs.listing),
    ("GET", "/blobs/file", blobs.download),
    ("GET", "/blobs/thumbnail", blobs.thumbnail),
    ("POST", "/blobs/delete", blobs.delete),
    ("GET", "/login", accounts.login),
    ("POST", "/login", accounts.log_in),
    ("POST", "/logout", accounts.log_out),
    ("GET", "/setup", accounts.setup),
    ("POST", "/setup", accounts.make_first),
    ("POST", "/theme", accounts.theme),
    ("GET", "/account", accounts.account),
    ("POST", "/account/name", accounts.rename),
    ("POST", "/account/password", accounts.set_own_password),
    ("POST", "/account/token", accounts.make_token),
    ("POST", "/account/token/delete", accounts.delete_token),
    ("POST", "/account/session/end", accounts.end_session),
    ("POST", "/account/delete", accounts.delete_own),
    ("GET", "/users", accounts.users),
    ("POST", "/users/add", accounts.add_user),
    ("POST", "/users/role", accounts.change_role),
    ("POST", "/users/password", accounts.set_password),
    ("POST", "/users/delete", accounts.delete_user),
    ("GET", "/system", system.system),
    ("POST", "/system", system.save_system),
    ("GET", "/system/backup", system.backup),
    ("GET", "/audit", system.audit),
    ("GET", "/server", server.server),
    ("POST", "/server", server.change),
    ("GET", "/health", api.health),
    ("GET", "/metrics", api.metrics),
    ("GET", "/api", api.get),
    ("GET", "/api/{rest:path}", api.get),
    ("POST", "/api/{rest:path}", api.post),
    ("GET", "/static/{name}", assets.static),
    ("GET", "/favicon.ico", assets.favicon),
]
