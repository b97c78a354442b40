"""What others may try: foreign pages, other names, guessed passwords, old logins, and large requests."""

import sqlite3
import stat
import time

import pytest

pytest.importorskip("starlette", reason="the web client needs the extra web")

from hashlib import scrypt

from indipyweb.app import build_app
from indipyweb.context import Web
from indipyweb.running import _make_admin
from indipyweb.security.limits import Buckets, LoginThrottle, network_of
from indipyweb.security.origin import is_own_origin, knows_host
from indipyweb.security.passwords import Passwords, problem_of
from indipyweb.security.permissions import Role
from indipyweb.security.sessions import Sessions
from indipyweb.settings import Settings, clean_base
from indipyweb.store.database import Database
from indipyweb.store.users import Refusal, Users
from indipyweb.views import dumps
from tests.support import asynchronous

from .parts import AWKWARD, FORM, PASSWORD, Site, website

LOGIN = {"name": "user", "password": PASSWORD}


class Clock:
    """Stands still unless it is told."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


# Where a request comes from


@pytest.mark.parametrize(
    ("headers", "identified", "ok"),
    [
        ({"sec-fetch-site": "same-origin"}, True, True),
        ({"sec-fetch-site": "none"}, True, True),
        ({"sec-fetch-site": "same-site", "origin": "http://host:8000"}, True, False),
        ({"sec-fetch-site": "cross-site"}, False, False),
        ({"origin": "http://host:8000"}, True, True),
        ({"origin": "http://host:8001"}, True, False),
        ({"origin": "https://host:8000"}, True, False),
        ({"origin": "null"}, True, False),
        ({"origin": "null"}, False, False),
        ({}, True, False),
        ({}, False, True),
    ],
)
def test_origins(headers, identified, ok):
    assert is_own_origin("POST", headers, {"http://host:8000"}, identified=identified) is ok
    assert is_own_origin("GET", headers, {"http://host:8000"}, identified=identified)


@pytest.mark.parametrize(
    ("host", "ok"),
    [
        ("localhost:8000", True),
        ("127.0.0.1:8000", True),
        ("192.168.1.20", True),
        ("[::1]:8000", True),
        ("obs1", True),
        ("OBS1.:8000", True),
        ("evil.example:8000", False),
        ("obs1.evil.example", False),
        ("", False),
        ("evil@127.0.0.1", False),
        ("127.0.0.1/x", False),
        ("[::1", False),
        ("127.0.0.1.nip.io", False),
    ],
)
def test_hosts(host, ok):
    assert knows_host(host, {"localhost", "obs1"}) is ok


@asynchronous
async def test_a_foreign_page_changes_nothing(tmp_path):
    async with website(tmp_path) as site:
        sent = {"d": AWKWARD, "p": "NUM", "m.N": "7"}
        for headers in (
            {"origin": "http://evil.example"},
            {"origin": "http://localhost:8001"},
            {"origin": "null"},
            {"origin": "http://localhost:8000", "sec-fetch-site": "cross-site"},
        ):
            async with site.browser("admin", headers=headers) as browser:
                assert (await browser.post("/set", data=sent)).status_code == 403
                assert (await browser.post("/logout")).status_code == 403
        async with site.browser("admin") as browser:
            del browser.headers["origin"]
            assert (await browser.post("/set", data=sent)).status_code == 403
        assert site.driver.got == []


@asynchronous
async def test_a_foreign_name_for_our_address_is_refused(tmp_path):
    async with website(tmp_path, host_names=("obs",)) as site:
        async with site.browser(host="evil.example:8000") as browser:
            for path in ("/", "/api", "/static/panel.js", "/health"):
                assert (await browser.get(path)).status_code == 421
        async with site.browser(host="obs:8000") as browser:
            assert (await browser.get("/")).status_code == 200


@asynchronous
async def test_every_answer_has_the_headers(tmp_path):
    async with website(tmp_path) as site, site.browser("admin") as browser:
        for path in (
            "/",
            "/nothing",
            "/static/panel.js",
            "/static/nothing",
            "/api",
            "/api/x",
            "/login",
            "/audit",
            "/part",
        ):
            answer = await browser.get(path)
            assert "default-src 'none'" in answer.headers["content-security-policy"], path
            assert "unsafe" not in answer.headers["content-security-policy"]
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert "server" not in answer.headers
            assert "strict-transport-security" not in answer.headers
        assert (await browser.get("/nothing")).status_code == 404
        assert (await browser.put("/")).status_code == 405
        page = (await browser.get("/device", params={"d": AWKWARD})).text
        assert " style=" not in page
        assert "<script>" not in page
        assert " onclick" not in page
        assert "http://" not in page.replace("http://www.w3.org", "")
        assert "https://" not in page


@asynchronous
async def test_cookies(tmp_path):
    async with website(tmp_path) as site, site.browser() as browser:
        answer = await browser.post("/login", data=LOGIN)
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("indipyweb_8000=")
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
        assert "Secure" not in cookie
    async with website(tmp_path, people=False, public_url="https://obs.example/x", basepath="/x", hsts=True) as site:
        async with site.browser(host="obs.example", headers={"origin": "https://obs.example"}) as browser:
            answer = await browser.post("/x/login", data=LOGIN)
            cookie = answer.headers["set-cookie"]
            assert cookie.startswith("__Host-indipyweb-https-obs-example-x=")  # another path is another web server
            assert "Secure" in cookie
            assert "Path=/;" in cookie
            assert answer.headers["location"] == "/x/"
            assert answer.headers["strict-transport-security"]
            assert (await browser.get("/other")).status_code == 404


# Logging in


@asynchronous
async def test_login_gives_a_new_session_and_logout_ends_it(tmp_path):
    async with website(tmp_path) as site, site.browser() as browser:
        browser.cookies.set("indipyweb_8000", "fixed-by-somebody", domain="localhost.local")
        answer = await browser.post("/login", data={**LOGIN, "next": "/device?d=x"})
        assert answer.status_code == 303
        assert answer.headers["location"] == "/device?d=x"
        token = browser.cookies["indipyweb_8000"]
        assert token != "fixed-by-somebody"
        assert len(token) > 40
        assert (await browser.get("/account")).status_code == 200
        assert token not in dumps([str(deed) for deed in site.web.audit.last()])
        await browser.post("/logout")
        browser.cookies.set("indipyweb_8000", token, domain="localhost.local")
        assert (await browser.get("/account")).status_code == 303


@pytest.mark.parametrize(
    "target", ["//evil.example", "/\\evil.example", "https://evil.example", "/a\r\nSet-Cookie: x=1", "javascript:x", ""]
)
@asynchronous
async def test_login_leads_nowhere_else(target, tmp_path):
    async with website(tmp_path) as site, site.browser() as browser:
        answer = await browser.post("/login", data={**LOGIN, "next": target})
        assert answer.headers["location"] == "/"
        assert answer.headers.get("set-cookie", "").count("=") < 6


@asynchronous
async def test_guessing_is_slowed_down_and_never_locks_for_good(tmp_path):
    clock = Clock()
    async with website(tmp_path, clock=clock) as site, site.browser() as browser:
        wrong = {"name": "user", "password": "wrong"}
        for _ in range(5):
            answer = await browser.post("/login", data=wrong)
            assert answer.status_code == 403
        unknown = await browser.post("/login", data={"name": "nobody", "password": "wrong"})
        text = answer.text.replace('value="user"', "")
        assert unknown.text.replace('value="nobody"', "") == text  # one text for all failures
        assert (await browser.post("/login", data=LOGIN)).status_code == 429
        clock.now += 1.1
        assert (await browser.post("/login", data=LOGIN)).status_code == 303
        for _ in range(40):
            answer = await browser.post("/login", data={"name": "admin", "password": "x"})
        assert answer.status_code == 429
        clock.now += 61
        async with site.browser() as other:
            assert (await other.post("/login", data={"name": "admin", "password": PASSWORD})).status_code == 303
        outcomes = [deed.outcome for deed in site.web.audit.last() if deed.what == "login"]
        assert {"ok", "refused", "too many tries"} == set(outcomes)


def test_the_throttle_counts_networks_and_forgets():
    throttle = LoginThrottle()
    for n in range(20):
        assert throttle.wait(f"name{n}", f"2001:db8::{n:x}", 0.0) == 0
    assert throttle.wait("another", "2001:db8::ffff", 0.0) > 50
    assert throttle.wait("another", "2001:db8:0:1::1", 0.0) == 0
    assert throttle.wait("another", "2001:db8::ffff", 61.0) == 0
    assert network_of("::ffff:10.0.0.1") == "10.0.0.1"
    buckets = Buckets(1.0, 2.0)
    assert [buckets.take("a", 0.0) for _ in range(3)] == [True, True, False]
    assert buckets.take("a", 1.0)


def test_sessions_end_by_themselves():
    clock = Clock()
    sessions = Sessions(clock)
    token, session = sessions.begin("ann", "::1")
    clock.now += 3500
    assert sessions.get(token) is session
    clock.now += 3500
    assert sessions.get(token, use=False) is session
    clock.now += 200
    assert sessions.get(token) is None
    token, _ = sessions.begin("ann", "::1")
    for _ in range(12 * 2 + 1):
        clock.now += 1800
        alive = sessions.get(token)
    assert alive is None
    for _ in range(50):
        sessions.begin("ann", "::1")
    assert len(sessions.of("ann")) == 20


@asynchronous
async def test_a_new_password_ends_other_logins(tmp_path):
    async with website(tmp_path) as site, site.browser("user") as one, site.browser("user") as other:
        new = "a much better battery"
        bad = await one.post("/account/password", data={"old": "wrong", "password": new, "again": new})
        assert bad.status_code == 422
        good = await one.post("/account/password", data={"old": PASSWORD, "password": new, "again": new})
        assert good.status_code == 200
        assert (await one.get("/account")).status_code == 200
        assert (await other.get("/account")).status_code == 303


@pytest.mark.parametrize(
    ("password", "ok"),
    [
        ("correct horse battery", True),
        ("short", False),
        ("x" * 300, False),
        ("aaaaaaaaaaaaaa", False),
        ("123456789012", False),
        ("password1234", False),
        ("admin12345678", False),
        ("qwertyqwerty1!", False),
        ("пароль обсерватории", True),
    ],
)
def test_which_passwords_are_taken(password, ok):
    assert (problem_of(password, "admin") == "") is ok


# The database


@asynchronous
async def test_the_database_of_pypis_program_is_taken_over(tmp_path):
    salt = b"0123456789abcdef"
    con = sqlite3.connect(tmp_path / "indipyweb.db")
    con.execute(
        "CREATE TABLE users(username PRIMARY KEY, password NOT NULL, auth NOT NULL, salt NOT NULL, fullname) WITHOUT ROWID"
    )
    con.execute("CREATE TABLE parameters(host, port, indihost, indiport, blobfolder)")
    con.execute("INSERT INTO parameters VALUES('localhost', 8001, 'obs1', 7625, NULL)")
    for name, password, auth in (("admin", "password!", "admin"), ("annie", "old secret 9", "user")):
        kept = scrypt(password.encode(), salt=salt, n=2048, r=8, p=1, maxmem=0, dklen=64)
        con.execute("INSERT INTO users VALUES(?, ?, ?, ?, ?)", (name, kept, auth, salt, "Somebody"))
    con.commit()
    con.close()
    web = Web(Settings(tmp_path), passwords=Passwords(1, 8))
    assert (web.parameters.port, web.parameters.indihost, web.parameters.indiport) == (8001, "obs1", 7625)
    assert web.needs_setup  # the administrator has the password that everybody knows
    assert stat.S_IMODE((tmp_path / "indipyweb.db").stat().st_mode) == 0o600
    site = Site(web, build_app(web), None, None)
    await web.start()
    async with site.browser() as browser:
        assert (await browser.post("/login", data={"name": "admin", "password": "password!"})).status_code == 403
        assert (await browser.post("/login", data={"name": "annie", "password": "old secret 9"})).status_code == 303
        assert isinstance(web.users.get("annie").password, str)  # it was hashed anew
        await browser.post("/logout")
        assert (await browser.post("/login", data={"name": "annie", "password": "old secret 9"})).status_code == 303
    await web.aclose()


@asynchronous
async def test_the_link_of_the_first_start_holds_once(tmp_path):
    clock = Clock()
    async with website(tmp_path, people=False, clock=clock) as site, site.browser() as browser:
        token = site.web.new_setup_token()
        form = {"token": token, "name": "ann", "password": PASSWORD, "again": PASSWORD}
        assert (await browser.get("/setup")).status_code == 403
        assert (await browser.post("/setup", data={**form, "token": "x"})).status_code == 403
        assert (await browser.get("/setup", params={"token": token})).status_code == 200
        assert (await browser.post("/setup", data={**form, "again": "y"})).status_code == 422
        assert (await browser.post("/setup", data={**form, "name": "<b>"})).status_code == 422
        assert (await browser.post("/setup", data=form)).status_code == 303
        assert (await browser.get("/users")).status_code == 200
        assert (await browser.get("/setup", params={"token": token})).status_code == 403
    clock.now += 10_000
    web = Web(Settings(tmp_path / "x"), clock=clock) if (tmp_path / "x").mkdir() is None else None
    token = web.new_setup_token()
    assert web.is_setup_token(token)
    clock.now += 1801
    assert not web.is_setup_token(token)
    web.db.close()


def test_files_are_their_owners(tmp_path):
    database = Database(tmp_path)
    database.write("INSERT INTO options VALUES('a', 'b')")
    for file in tmp_path.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    database.backup(tmp_path / "copy")
    assert stat.S_IMODE((tmp_path / "copy").stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        database.backup(tmp_path / "copy")
    database.close()


def test_the_last_administrator_stays(tmp_path):
    database = Database(tmp_path)
    users = Users(database)
    users.add("ann", Role.ADMIN, "$argon2x")
    users.add("bob", Role.ADMIN, "!")  # cannot log in
    for attempt in (lambda: users.delete("ann"), lambda: users.set_role("ann", Role.USER)):
        with pytest.raises(Refusal):
            attempt()
    with pytest.raises(Refusal):
        users.add("ANN", Role.USER, "x")
    database.close()


def test_tokens_are_kept_as_hashes_and_expire(tmp_path):
    now = [time.time()]
    database = Database(tmp_path)
    users = Users(database, lambda: now[0])
    users.add("ann", Role.USER, "x")
    token = users.new_token("ann", "t", True, 1)
    assert users.of_token(token)[0].name == "ann"
    assert users.of_token("indi_nothing") is None
    database.close()
    assert token.encode() not in b"".join(file.read_bytes() for file in tmp_path.iterdir())
    database = Database(tmp_path)
    now[0] += 86401
    assert Users(database, lambda: now[0]).of_token(token) is None
    database.close()


@asynchronous
async def test_the_backup_is_a_database_and_leaves_nothing_behind(tmp_path):
    async with website(tmp_path) as site, site.browser("admin") as browser:
        answer = await browser.get("/system/backup")
        assert answer.content.startswith(b"SQLite format 3")
        assert "attachment" in answer.headers["content-disposition"]
        assert {file.name.partition("-")[0] for file in tmp_path.iterdir()} == {"indipyweb.db"}


# Large and broken requests


@asynchronous
async def test_what_is_too_large_is_refused(tmp_path):
    async with website(tmp_path) as site, site.browser("admin") as browser:
        assert (await browser.post("/set", content=b"x" * (2 << 20), headers=FORM)).status_code == 413

        async def pieces():
            for _ in range(3 << 4):
                yield b"x" * (1 << 16)

        answer = await browser.post("/set", content=pieces(), headers=FORM)
        assert answer.status_code in (400, 413)
        answer = await browser.post("/set", content="&".join(f"m.{n}=1" for n in range(300)), headers=FORM)
        assert answer.status_code == 400
        answer = await browser.post("/set", content=b"\xff%ff=%zz&&&=", headers=FORM)
        assert answer.status_code in (400, 404)
        broken = {"content-type": "multipart/form-data; boundary=x"}
        answer = await browser.post("/set", content=b"--y\r\nnonsense", headers=broken)
        assert answer.status_code in (400, 404)
        assert (await browser.get("/", headers={"content-length": "-1"})).status_code == 413


@pytest.mark.parametrize("path", ["/..", "a?b", "a#b", 'a"b', "a b", "/é", "/观", "a\tb", "//evil"])
def test_odd_base_paths_are_refused(path):
    if path == "//evil":
        assert clean_base(path) == "/evil"
        return
    with pytest.raises(ValueError, match="not a path"):
        clean_base(path)


# What happens while a password is looked at


def meanwhile(site, monkeypatch, name, action):
    """Something is done while a password is hashed or checked."""
    before = getattr(site.web.passwords, name)

    async def slow(*given):
        found = await before(*given)
        action()
        return found

    monkeypatch.setattr(site.web.passwords, name, slow)


@pytest.mark.parametrize("step", ["check", "hash"])
@asynchronous
async def test_a_login_with_the_old_password_does_not_bring_it_back(tmp_path, monkeypatch, step):
    async with website(tmp_path) as site, site.browser() as browser:
        new = site.web.passwords.hash_now("a much better battery")
        monkeypatch.setattr(site.web.passwords, "is_old", lambda kept: True)
        meanwhile(site, monkeypatch, step, lambda: site.web.users.set_password("user", new))
        answer = await browser.post("/login", data=LOGIN)
        assert answer.status_code == 403
        assert site.web.users.get("user").password == new
        assert site.web.sessions.of("user") == []


@pytest.mark.parametrize("step", ["check", "hash"])
@asynchronous
async def test_an_account_that_is_stopped_meanwhile_sets_no_password(tmp_path, monkeypatch, step):
    async with website(tmp_path) as site, site.browser("user") as browser, site.browser("admin") as admin:
        own = site.web.passwords.hash_now("what the administrator set")

        def stopped():
            site.web.users.set_password("user", own)
            site.web.sessions.end("user")

        with monkeypatch.context() as patch:
            meanwhile(site, patch, step, stopped)
            new = "a much better battery"
            answer = await browser.post("/account/password", data={"old": PASSWORD, "password": new, "again": new})
        assert answer.status_code == 403
        assert site.web.users.get("user").password == own
        if step == "hash":
            site.web.users.add("admin2", Role.ADMIN, own)
            meanwhile(site, monkeypatch, step, lambda: site.web.users.set_role("admin", Role.USER))
            data = {"name": "helper", "password": "a much better battery", "role": "admin"}
            assert (await admin.post("/users/add", data=data)).status_code == 403
            assert site.web.users.get("helper") is None
            site.web.users.set_role("admin", Role.ADMIN)
            assert (await admin.post("/users/password", data={**data, "name": "viewer"})).status_code == 403
            assert site.web.users.get("viewer").password != own


@asynchronous
async def test_a_page_of_which_nobody_can_say_where_it_is(tmp_path):
    async with website(tmp_path) as site, site.browser() as browser:
        answer = await browser.post("/theme", data={"theme": "dark"}, headers={"referer": "http://[::/"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/")


@asynchronous
async def test_a_password_from_a_file_of_notepad_is_the_one_that_is_typed(tmp_path):
    file = tmp_path / "password"
    file.write_text("another battery staple\r\n", encoding="utf-8-sig")
    async with website(tmp_path) as site:
        web = site.web
        _make_admin(web, str(file))
        assert await web.passwords.check("another battery staple", web.users.get("admin").password)
