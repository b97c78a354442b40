"""Logging in and out, the first account, one's own account, and those of others."""

from __future__ import annotations

import contextlib
import sqlite3

from starlette.responses import Response

from ..security.passwords import problem_of
from ..security.permissions import Role
from ..store.users import NAME_RULE, Refusal
from ..visit import THEMES, Answer, Problem, Visit

__all__ = [
    "account",
    "add_user",
    "change_role",
    "delete_own",
    "delete_token",
    "delete_user",
    "end_session",
    "log_in",
    "log_out",
    "login",
    "make_first",
    "make_token",
    "rename",
    "set_own_password",
    "set_password",
    "setup",
    "theme",
    "users",
]

WRONG = "The name or the password is wrong."


def _remember(visit: Visit, response: Response, token: str) -> Response:
    settings = visit.web.settings
    path = "/" if settings.is_https else f"{settings.basepath}/"
    response.set_cookie(settings.cookie, token, path=path, httponly=True, samesite="lax", secure=settings.is_https)
    return response


def _forget(visit: Visit, response: Response) -> Response:
    settings = visit.web.settings
    path = "/" if settings.is_https else f"{settings.basepath}/"
    response.delete_cookie(settings.cookie, path=path, httponly=True, samesite="lax", secure=settings.is_https)
    return response


def _local(target: str) -> str:
    """A path of ours, or the first page: never another site."""
    ok = target.startswith("/") and not target.startswith(("//", "/\\")) and "\\" not in target
    return target if ok and target.isprintable() else "/"


def _log_in_now(visit: Visit, name: str, target: str = "/") -> Response:
    web = visit.web
    web.sessions.end(visit.actor.name, visit.actor.session) if visit.actor.session else None
    token, _ = web.sessions.begin(name, visit.actor.address, visit.request.headers.get("user-agent", ""))
    path, _, query = _local(target).partition("?")
    response = visit.redirect(path)
    if query and "location" in response.headers:
        response.headers["location"] += f"?{query}".encode("ascii", "ignore").decode()
    return _remember(visit, response, token)


async def login(visit: Visit) -> Answer:
    """The login form."""
    return visit.render("login.html", title="Log in", name="", problem="", next=_local(visit.query("next", "/")))


async def log_in(visit: Visit) -> Answer:
    """Log in with a name and a password."""
    web = visit.web
    form = await visit.form()
    name, password, target = form.get("name", "")[:64], form.get("password", ""), _local(form.get("next", "/"))

    def again(status: int, problem: str) -> Response:
        return visit.render("login.html", status, title="Log in", name=name, problem=problem, next=target)

    wait = web.throttle.wait(name, visit.actor.address, web.clock())
    if wait > 0:
        if web.throttle.note_wait(visit.actor.address, web.clock()):
            visit.note("login", name, outcome="too many tries")
        response = again(
            429, f"Too many attempts; wait {wait:.0f} s." if wait >= 1 else "Too many attempts; wait a second."
        )
        response.headers["retry-after"] = str(int(wait) + 1)
        return response
    user = web.users.get(name)
    kept, salt = (user.password, user.salt) if user is not None else (None, b"")
    if not await web.passwords.check(password, kept, salt) or user is None:
        web.throttle.failed(name, visit.actor.address, web.clock())
        visit.note("login", name, outcome="refused")
        return again(403, WRONG)
    hashed = await web.passwords.hash(password) if web.passwords.is_old(user.password) else ""
    known = web.users.get(name)
    if known is None or known.password != user.password:  # it was changed meanwhile, with good reason
        visit.note("login", name, outcome="refused")
        return again(403, WRONG)
    web.throttle.succeeded(name, visit.actor.address)
    if hashed:
        with contextlib.suppress(sqlite3.Error):  # the next login will do it; a full disk must keep nobody out
            web.users.set_hash(user.name, hashed)
    visit.note("login", user.name, outcome="ok")
    return _log_in_now(visit, user.name, target)


async def log_out(visit: Visit) -> Answer:
    """End this login."""
    if visit.actor.session:
        visit.web.sessions.end(visit.actor.name, visit.actor.session)
        visit.note("logout", visit.actor.name)
    return _forget(visit, visit.redirect("/"))


async def theme(visit: Visit) -> Answer:
    """Choose a theme."""
    chosen = (await visit.form()).get("theme", "")
    response = visit.back()
    settings = visit.web.settings
    path = f"{settings.basepath}/"
    if chosen in THEMES:
        response.set_cookie("indipyweb_theme", chosen, path=path, samesite="lax", max_age=31536000)
    else:
        response.delete_cookie("indipyweb_theme", path=path, samesite="lax")
    return response


# The first account


async def setup(visit: Visit) -> Answer:
    """The form of the one-time link."""
    token = visit.query("token")
    if not visit.web.is_setup_token(token):
        raise Problem(403, "This link is no longer valid. Restart indipyweb for a new one, which is in its log.")
    return visit.render("setup.html", title="The first account", token=token, name="admin", problem="", rule=NAME_RULE)


async def make_first(visit: Visit) -> Answer:
    """Create the first account, and log in with it."""
    web = visit.web
    form = await visit.form()
    token, name, password = form.get("token", ""), form.get("name", "").strip(), form.get("password", "")
    if not web.is_setup_token(token):
        raise Problem(403, "This link is no longer valid. Restart indipyweb for a new one, which is in its log.")
    problem = problem_of(password, name)
    if not problem and password != form.get("again", ""):
        problem = "The two passwords differ."
    if not problem:
        hashed = await web.passwords.hash(password)
        if not web.is_setup_token(token):
            raise Problem(403, "This link was used already.")
        known = web.users.get(name)
        try:
            if known is not None and known.role is Role.ADMIN:  # of PyPI's program, with the well-known password
                web.users.set_password(name, hashed)
            else:
                web.users.add(name, Role.ADMIN, hashed, form.get("fullname", ""))
        except Refusal as refusal:
            problem = str(refusal)
    if problem:
        return visit.render(
            "setup.html", 422, title="The first account", token=token, name=name, problem=problem, rule=NAME_RULE
        )
    web.end_setup()
    visit.note("first account", name)
    return _log_in_now(visit, name, "/")


# One's own account


def _account(visit: Visit, status: int = 200, problem: str = "", done: str = "", token: str = "") -> Response:
    web, name = visit.web, visit.actor.name
    user = web.users.get(name)
    if user is None:
        raise Problem(403, "This account no longer exists.")
    sessions = sorted(web.sessions.of(name), key=lambda session: -session.used)
    return visit.render(
        "account.html",
        status,
        title="Your account",
        user=user,
        sessions=sessions,
        tokens=web.users.tokens(name),
        now=web.clock(),
        problem=problem,
        done=done,
        token=token,
    )


async def account(visit: Visit) -> Answer:
    """One's own account."""
    return _account(visit)


async def rename(visit: Visit) -> Answer:
    """Set one's full name."""
    visit.web.users.set_fullname(visit.actor.name, (await visit.form()).get("fullname", "").strip())
    return _account(visit, done="Your name has been changed.")


async def _check_own(visit: Visit, password: str) -> bool:
    """Whether it is one's own password, which is required again for important changes."""
    web, name = visit.web, visit.actor.name
    if web.throttle.wait(name, visit.actor.address, web.clock()) > 0:
        raise Problem(429, "Too many attempts; wait a moment.")
    user = web.users.get(name)
    ok = user is not None and await web.passwords.check(password, user.password, user.salt)
    if ok:
        web.throttle.succeeded(name, visit.actor.address)
    else:
        web.throttle.failed(name, visit.actor.address, web.clock())
    visit.check_again()
    return ok


async def set_own_password(visit: Visit) -> Answer:
    """Set one's own password; other logins and all tokens end."""
    web, name = visit.web, visit.actor.name
    form = await visit.form()
    new = form.get("password", "")
    problem = problem_of(new, name) or ("The two passwords differ." if new != form.get("again", "") else "")
    if not problem and not await _check_own(visit, form.get("old", "")):
        problem = "The old password is wrong."
    if problem:
        return _account(visit, 422, problem=problem)
    hashed = await web.passwords.hash(new)
    visit.check_again()
    web.users.set_password(name, hashed)
    web.sessions.end(name, but=visit.actor.session)
    visit.note("password", name)
    return _account(visit, done="Your password has been changed; your other logins and your tokens have ended.")


async def make_token(visit: Visit) -> Answer:
    """Create a token for scripts."""
    form = await visit.form()
    days = form.get("days", "30")
    if not days.isdecimal() or len(days) > 6 or not 1 <= int(days) <= 3650:
        return _account(visit, 422, problem="A token is valid for 1 to 3650 days.")
    writes = form.get("writes") == "1" and visit.actor.role >= Role.USER
    try:
        token = visit.web.users.new_token(visit.actor.name, form.get("label", "").strip(), writes, int(days))
    except Refusal as refusal:
        return _account(visit, 422, problem=str(refusal))
    visit.note("token", form.get("label", ""), "may set values" if writes else "may look")
    return _account(visit, token=token)


async def delete_token(visit: Visit) -> Answer:
    """Delete one of one's tokens."""
    id = (await visit.form()).get("id", "")
    if not visit.web.users.delete_token(visit.actor.name, id):
        raise Problem(404, "There is no such token.")
    visit.note("token deleted", id)
    return visit.redirect("/account")


async def end_session(visit: Visit) -> Answer:
    """End one of one's logins."""
    visit.web.sessions.end(visit.actor.name, (await visit.form()).get("id", "-"))
    return visit.redirect("/account")


async def delete_own(visit: Visit) -> Answer:
    """Delete one's own account."""
    web, name = visit.web, visit.actor.name
    if not await _check_own(visit, (await visit.form()).get("old", "")):
        return _account(visit, 422, problem="The password is wrong.")
    try:
        web.users.delete(name)
    except Refusal as refusal:
        return _account(visit, 422, problem=str(refusal))
    web.sessions.end(name)
    visit.note("account deleted", name)
    return _forget(visit, visit.redirect("/"))


# Those of others


def _users(visit: Visit, status: int = 200, problem: str = "", done: str = "") -> Response:
    known = visit.web.users.all()
    return visit.render("users.html", status, title="Accounts", users=known, problem=problem, done=done, rule=NAME_RULE)


def _role_of(text: str) -> Role:
    found = {"viewer": Role.VIEWER, "user": Role.USER, "admin": Role.ADMIN}.get(text)
    if found is None:
        raise Problem(422, "A role must be viewer, user or admin.")
    return found


async def users(visit: Visit) -> Answer:
    """All accounts."""
    return _users(visit)


async def add_user(visit: Visit) -> Answer:
    """Create an account."""
    web = visit.web
    form = await visit.form()
    name, password, role = form.get("name", "").strip(), form.get("password", ""), _role_of(form.get("role", ""))
    problem = problem_of(password, name)
    if not problem:
        hashed = await web.passwords.hash(password)
        visit.check_again()
        try:
            web.users.add(name, role, hashed, form.get("fullname", "").strip())
        except Refusal as refusal:
            problem = str(refusal)
    if problem:
        return _users(visit, 422, problem)
    visit.note("account", name, role.name.lower())
    return _users(visit, done=f"The account {name} has been created.")


async def _other(visit: Visit) -> tuple[str, dict[str, str]]:
    form = await visit.form()
    name = form.get("name", "")
    if visit.web.users.get(name) is None:
        raise Problem(404, f"There is no account {name}.")
    return name, form


async def change_role(visit: Visit) -> Answer:
    """Change the role of an account; its logins end, and as a viewer also its tokens that may set values."""
    name, form = await _other(visit)
    role = _role_of(form.get("role", ""))
    try:
        visit.web.users.set_role(name, role)
    except Refusal as refusal:
        return _users(visit, 422, str(refusal))
    if name != visit.actor.name:
        visit.web.sessions.end(name)
    visit.note("role", name, role.name.lower())
    return visit.redirect("/users")


async def set_password(visit: Visit) -> Answer:
    """Give an account another password; its logins and tokens end."""
    name, form = await _other(visit)
    problem = problem_of(form.get("password", ""), name)
    if problem:
        return _users(visit, 422, problem)
    hashed = await visit.web.passwords.hash(form["password"])
    visit.check_again()
    visit.web.users.set_password(name, hashed)
    visit.web.sessions.end(name, but=visit.actor.session)
    visit.note("password", name)
    return _users(visit, done=f"The password of {name} has been changed; its logins and tokens have ended.")


async def delete_user(visit: Visit) -> Answer:
    """Delete an account."""
    name, _ = await _other(visit)
    try:
        visit.web.users.delete(name)
    except Refusal as refusal:
        return _users(visit, 422, str(refusal))
    visit.web.sessions.end(name)
    visit.note("account deleted", name)
    return visit.redirect("/users")
