"""Who may do what: each route for each role, generated from the table of routes."""

import pytest

pytest.importorskip("starlette", reason="the web client needs the extra web")

from indipyweb.routes import HANDLERS
from indipyweb.security import permissions
from indipyweb.security.permissions import RULES, Actor, Need, Role, allows, rule_of
from indipyweb.store.database import Database
from indipyweb.store.users import Users
from tests.support import asynchronous

from .parts import AWKWARD, FORM, PASSWORD, website

ROLES = ("nobody", "guest", "viewer", "user", "admin", "reading token", "writing token")
RANK = {
    "nobody": Role.NOBODY,
    "guest": Role.VIEWER,
    "viewer": Role.VIEWER,
    "user": Role.USER,
    "admin": Role.ADMIN,
    "reading token": Role.VIEWER,
    "writing token": Role.USER,
}


def is_let_in(role, need, path):
    """What the table says, in other words."""
    is_token = role.endswith("token")
    if is_token and not (path.startswith("/api") or path == "/metrics"):
        role, is_token = "guest", False  # a token opens nothing but what programs use
    if need is Need.OPEN:
        return True
    if need is Need.ACCOUNT:
        return role not in ("nobody", "guest")
    return RANK[role] >= {Need.READ: Role.VIEWER, Need.SET: Role.USER, Need.ADMIN: Role.ADMIN}[need]


def test_each_route_has_a_rule_and_each_rule_a_route():
    routes = {(method, path) for method, path, _ in HANDLERS}
    assert routes == set(RULES)
    assert len(routes) == len(HANDLERS)


def test_a_route_without_a_rule_is_not_served(monkeypatch, tmp_path):
    from indipyweb import app
    from indipyweb.context import Web
    from indipyweb.settings import Settings

    monkeypatch.setattr(app, "HANDLERS", [*HANDLERS, ("GET", "/new", None)])
    web = Web(Settings(tmp_path))
    with pytest.raises(LookupError, match="/new has no rule"):
        app.build_app(web)
    web.db.close()


def test_what_changes_something_is_no_get():
    for method, path in RULES:
        assert method == "POST" or not any(word in path for word in ("delete", "logout", "add", "set/", "end"))
    assert rule_of("POST", "/logout") is Need.OPEN


def test_the_order_of_roles():
    assert not allows(Need.READ, Actor("", Role.NOBODY))
    assert allows(Need.ADMIN, Actor("a", Role.ADMIN))
    assert not allows(Need.ACCOUNT, Actor("", Role.VIEWER))
    assert permissions.Role.ADMIN > Role.USER > Role.VIEWER > Role.NOBODY


@pytest.mark.parametrize("role", ROLES)
@asynchronous
async def test_the_matrix(role, tmp_path, monkeypatch):
    async with website(tmp_path) as site:
        asked = []
        # What handlers do is not the question here: who comes through is.
        monkeypatch.setattr("indipyweb.app.allows", lambda need, actor: asked.append(need) or allows(need, actor))
        site.web.options.set_flag("guests", role != "nobody")
        headers = {}
        name = role if role in ("viewer", "user", "admin") else ""
        if role.endswith("token"):
            token = site.web.users.new_token("admin", "t", role.startswith("writing"), 1)
            headers["authorization"] = f"Bearer {token}"
        for method, path, _ in HANDLERS:
            if path in ("/account/delete", "/logout", "/events"):
                continue  # the first two end the login, and the stream has no end: see below
            asked.clear()
            async with site.browser(name, headers=headers) as browser:
                url = path.replace("{rest:path}", "x").replace("{name}", "panel.css")
                answer = await browser.request(method, url, content=b"" if method == "POST" else None, headers=FORM)
            need = RULES[method, path]
            assert asked == [need], (method, path)
            went_to_login = answer.status_code == 303 and "/login" in answer.headers["location"]
            refused = answer.status_code == 401 or went_to_login
            refused = refused or (answer.status_code == 403 and ("may not do this" in answer.text))
            assert refused is not is_let_in(role, need, path), (
                role,
                method,
                path,
                answer.status_code,
                answer.text[:200],
            )
            assert answer.status_code < 500, (method, path, answer.text)


@asynchronous
async def test_guests_see_no_stream_when_they_are_switched_off(tmp_path):
    async with website(tmp_path) as site:
        site.web.options.set_flag("guests", False)
        async with site.browser() as browser:
            assert (await browser.get("/events")).status_code == 401
            assert (await browser.get("/")).headers["location"].startswith("/login?next=%2F")
            assert (await browser.get("/health")).status_code == 200
            assert "name" not in (await browser.get("/health")).json()["servers"][0]


@asynchronous
async def test_a_guest_sees_values_and_no_way_to_set_them(tmp_path):
    async with website(tmp_path) as site:
        async with site.browser() as browser:
            page = await browser.get("/device", params={"d": AWKWARD})
            assert "Num &lt;b&gt;" in page.text
            assert ">Set<" not in page.text
            answer = await browser.post("/set", data={"d": AWKWARD, "p": "NUM", "m.N": "5"})
            assert answer.status_code == 401
        async with site.browser("user") as browser:
            page = await browser.get("/device", params={"d": AWKWARD})
            assert ">Set<" in page.text
        assert site.driver.got == []


@asynchronous
async def test_an_account_that_is_deleted_or_loses_its_role_loses_its_logins_and_tokens(tmp_path):
    async with website(tmp_path) as site:
        token = site.web.users.new_token("user", "t", True, 1)
        async with site.browser("admin") as admin, site.browser("user") as user, site.browser() as script:
            script.headers["authorization"] = f"Bearer {token}"
            assert (await user.get("/account")).status_code == 200
            assert (await script.get("/api")).status_code == 200
            reading = site.web.users.new_token("user", "t", False, 1)
            for role in ("viewer", "user"):  # what has ended does not come back
                assert (await admin.post("/users/role", data={"name": "user", "role": role})).status_code == 303
                assert (await user.get("/account")).status_code == 303
                assert (await script.get("/api")).status_code == 401
                assert (await script.post("/api/x/y", json={"members": {"a": 1}})).status_code == 401
            script.headers["authorization"] = f"Bearer {reading}"
            assert (await script.get("/api")).status_code == 200
            assert (await admin.post("/users/role", data={"name": "user", "role": "admin"})).status_code == 303
            assert (await script.get("/api")).status_code == 200
            assert (await admin.post("/users/delete", data={"name": "user"})).status_code == 303
            assert (await script.get("/api")).status_code == 401


@asynchronous
async def test_tokens_end_with_the_password(tmp_path):
    new = f"{PASSWORD} and more"
    async with website(tmp_path) as site, site.browser("admin") as admin, site.browser("user") as user:

        async def is_known(token):
            async with site.browser(headers={"authorization": f"Bearer {token}"}) as script:
                return (await script.get("/api")).status_code == 200

        users = site.web.users
        own, others = users.new_token("user", "t", True, 1), users.new_token("viewer", "t", False, 1)
        form = {"old": "wrong", "password": new, "again": new}
        assert (await user.post("/account/password", data=form)).status_code == 422
        assert await is_known(own)
        answer = await user.post("/account/password", data={**form, "old": PASSWORD})
        assert "your tokens have ended" in answer.text
        assert not await is_known(own)
        assert await is_known(others)
        own = users.new_token("user", "t", True, 1)
        users.set_hash("user", users.get("user").password)  # as a login does that hashes a known password better
        assert await is_known(own)
        assert (await admin.post("/users/password", data={"name": "user", "password": PASSWORD})).status_code == 200
        assert not await is_known(own)


def test_an_account_does_not_get_the_tokens_of_an_earlier_one(tmp_path):
    database = Database(tmp_path)
    users = Users(database)
    users.add("ann", Role.USER, "x")
    token = users.new_token("ann", "t", True, 1)
    database.write("DELETE FROM users")  # by PyPI's program, which knows of no tokens
    assert users.of_token(token) is None
    users.add("ann", Role.USER, "y")
    assert users.of_token(token) is None
    database.close()
