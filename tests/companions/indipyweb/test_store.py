"""What is kept: the audit behind a slow disk, logins over a restart, copies, and accounts that go as a whole."""

import contextlib
import os
import sqlite3
import threading
import time

import pytest

pytest.importorskip("starlette", reason="the web client needs the extra web")

from indipyweb.context import Web
from indipyweb.security.permissions import Role
from indipyweb.security.sessions import Sessions
from indipyweb.settings import Settings
from indipyweb.store import audit as auditing
from indipyweb.store.audit import Audit
from indipyweb.store.database import NAME, Database
from indipyweb.store.logins import Boot, Logins
from indipyweb.store.users import Users
from tests.support import asynchronous

from .parts import soon, website


@pytest.fixture
def database(tmp_path):
    made = Database(tmp_path)
    yield made
    made.close()


@contextlib.contextmanager
def locked(folder):
    """Another program writes to the database, and takes its time."""
    with contextlib.closing(sqlite3.connect(folder / NAME, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


# The audit


def test_deeds_are_kept_in_their_order_and_the_last_ones_too(database, tmp_path):
    audit = Audit(database)
    for n in range(2000):
        audit.note("ann", "::1", "set", f"{n}")
    audit.note("ann", "::1", "half \ud800 a character")
    audit.close()
    with contextlib.closing(sqlite3.connect(tmp_path / NAME)) as other:
        rows = other.execute("SELECT subject, what FROM audit ORDER BY id").fetchall()
    assert rows == [*((f"{n}", "set") for n in range(2000)), ("", "half ? a character")]


def test_noting_waits_for_no_disk_and_loses_nothing(database, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(auditing, "AGAIN", 0.05)
    audit = Audit(database)
    with locked(tmp_path):
        for n in range(10):
            audit.note("ann", "::1", "set", f"{n}")
        while "trying again" not in caplog.text:  # by the thread, and not by who notes
            time.sleep(0.01)
        audit.note("ann", "::1", "set", "10")
        assert database.read("SELECT count(*) FROM audit") == [(0,)]
    assert [deed.subject for deed in audit.last()] == [f"{n}" for n in range(10, -1, -1)]
    audit.close()
    assert caplog.text.count("trying again") == 1


def test_what_cannot_be_kept_is_in_the_log(database, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(auditing, "WAITING", 3)
    monkeypatch.setattr(auditing, "GRACE", 0.05)
    audit = Audit(database)
    with locked(tmp_path):
        for n in range(5):
            audit.note("ann", "::1", "set", f"number {n}\nERROR: no line of its own")
        assert "number 3" in caplog.text  # more than may wait
        assert "number 4" in caplog.text
        assert "number 2" not in caplog.text
        audit.close()
    assert all(f"number {n}" in caplog.text for n in range(5))
    assert "\nERROR: no line" not in caplog.text
    audit.note("ann", "::1", "set", "after the end")
    assert "after the end" in caplog.text


def test_what_fails_does_not_stop_the_audit(database, monkeypatch, caplog):
    write = database.write_apart

    def fails_once(*statements):
        monkeypatch.setattr(database, "write_apart", write)
        raise MemoryError

    monkeypatch.setattr(database, "write_apart", fails_once)
    audit = Audit(database)
    audit.note("ann", "", "lost")
    assert audit.last() == []
    audit.note("ann", "", "kept")
    assert [deed.what for deed in audit.last()] == ["kept"]
    audit.close()
    assert "not in the audit: 'ann  lost" in caplog.text


def test_a_database_that_is_locked_is_not_asked_for_each_deed(database, monkeypatch):
    monkeypatch.setattr(auditing, "AGAIN", 60.0)
    monkeypatch.setattr(auditing, "GRACE", 0.0)
    tries = []

    def locked(*statements):
        tries.append(len(statements))
        raise sqlite3.OperationalError("locked")

    monkeypatch.setattr(database, "write_apart", locked)
    audit = Audit(database)
    for n in range(100):
        audit.note("ann", "", f"{n}")
        time.sleep(0.001)
    assert len(tries) <= 2
    audit.close()


def test_old_deeds_are_forgotten_and_there_are_never_too_many(database, monkeypatch):
    now = [1e9]
    monkeypatch.setattr(auditing, "MOST", 50)
    audit = Audit(database, lambda: now[0])
    audit.note("ann", "", "old")
    assert [deed.what for deed in audit.last()] == ["old"]
    now[0] += auditing.KEPT + 1
    audit.note("ann", "", "new")
    assert [deed.what for deed in audit.last()] == ["new"]
    for n in range(100):
        audit.note("ann", "", f"{n}")
    audit.last()
    now[0] += 3601
    audit.note("ann", "", "the last")
    assert [deed.what for deed in audit.last()] == ["the last", *(f"{n}" for n in range(99, 50, -1))]
    audit.close()


def test_other_threads_that_write_wait_for_each_other(database):
    audit = Audit(database)
    users = Users(database)
    users.add("ann", Role.USER, "x")
    for n in range(300):
        audit.note("ann", "", "set", f"{n}")
        users.set_fullname("ann", f"{n}")
    audit.close()
    assert users.get("ann").fullname == "299"
    assert database.read("SELECT count(*) FROM audit") == [(300,)]


@asynchronous
async def test_who_guesses_passwords_does_not_fill_the_disk(tmp_path):
    async with website(tmp_path, clock=lambda: 1000.0) as site, site.browser() as browser:
        for n in range(60):
            await browser.post("/login", data={"name": f"guess{n}", "password": "x"})
        deeds = [deed.outcome for deed in site.web.audit.last(1000)]
        assert deeds == ["too many tries", *["refused"] * 20]


# Copies, and accounts as a whole


def test_a_copy_holds_up_nobody(database, tmp_path):
    Users(database).add("ann", Role.USER, "x")
    made = threading.Event()

    def copy():
        database.backup(tmp_path / "copy.db")
        made.set()

    with database._lock:  # as if somebody was reading
        threading.Thread(target=copy, daemon=True).start()
        assert made.wait(30)
    with contextlib.closing(sqlite3.connect(tmp_path / "copy.db")) as other:
        assert other.execute("SELECT username FROM users").fetchall() == [("ann",)]


@asynchronous
async def test_a_copy_whose_download_was_cut_off_does_not_stay(tmp_path):
    old, new = tmp_path / ".indipyweb-0.backup", tmp_path / ".indipyweb-1.backup"
    for path in (old, new):
        path.write_text("a copy")
    os.utime(old, (1e9, 1e9))
    async with website(tmp_path) as site, site.browser("admin") as browser:
        assert (await browser.get("/system/backup")).content.startswith(b"SQLite format 3")
    assert [path.name for path in tmp_path.glob(".indipyweb-*")] == [new.name]


def test_an_account_goes_with_its_tokens_or_not_at_all(database):
    users = Users(database)
    users.add("ann", Role.USER, "x")
    token = users.new_token("ann", "script", True, 30)
    database.write("CREATE TRIGGER full BEFORE DELETE ON tokens BEGIN SELECT RAISE(ABORT, 'full'); END")
    with pytest.raises(sqlite3.Error):
        users.delete("ann")
    assert users.get("ann") is not None
    database.write("DROP TRIGGER full")
    users.delete("ann")
    users.add("ann", Role.ADMIN, "y")  # another person
    assert users.of_token(token) is None


# Logins


def web_of(folder):
    return Web(Settings(folder))


def test_logins_survive_a_restart_and_are_in_no_copy(tmp_path):
    web = web_of(tmp_path)
    web.users.add("ann", Role.USER, "x")
    token, session = web.sessions.begin("ann", "::1", "browser")
    ended, _ = web.sessions.begin("ann", "::1")
    web.sessions.end("ann", but=session.id)
    web.db.backup(tmp_path / "copy.db")
    web.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
        assert copy.execute("SELECT count(*) FROM logins").fetchone() == (0,)
    assert token not in (tmp_path / NAME).read_bytes().decode("latin-1")
    web = web_of(tmp_path)
    if Boot.present().id:  # elsewhere people log in again
        assert web.sessions.get(token).id == session.id
        assert web.sessions.get(token).agent == "browser"
    assert web.sessions.get(ended) is None
    assert web.db.read("SELECT * FROM logins") == []  # what ends from now on does not come back
    web.close()


@pytest.mark.parametrize(
    ("boot", "changed", "there"),
    [
        (Boot("a", 5000.0), "", True),
        (Boot("a", 1000.0 + 3599.0), "", True),
        (Boot("a", 1000.0 + 3601.0), "", True),  # it was used at 2000
        (Boot("a", 2000.0 + 3601.0), "", False),
        (Boot("a", 900.0), "", False),
        (Boot("b", 5000.0), "", False),
        (Boot("", 5000.0), "", False),
        (Boot("a", 5000.0), "UPDATE users SET password = 'y'", False),
        (Boot("a", 5000.0), "DELETE FROM users", False),
    ],
)
def test_which_logins_go_on(database, boot, changed, there):
    Users(database).add("ann", Role.USER, "x")
    clock = [1000.0]
    before = Sessions(lambda: clock[0])
    token, _ = before.begin("ann", "::1")
    clock[0] = 2000.0
    before.get(token)
    Logins(database).keep(before, Boot("a", 2000.0))
    if changed:
        database.write(changed)
    after = Sessions(lambda: 7.0)
    Logins(database).take(after, boot)
    assert (after.get(token) is not None) is there
    again = Sessions(lambda: 7.0)
    Logins(database).take(again, boot)
    assert again.get(token) is None


def test_a_login_of_before_ends_after_a_night_all_the_same(database):
    Users(database).add("ann", Role.USER, "x")
    clock = [0.0]
    before = Sessions(lambda: clock[0])
    token, _ = before.begin("ann", "::1")
    for _ in range(23):
        clock[0] += 1800
        assert before.get(token)
    Logins(database).keep(before, Boot("a", clock[0]))
    after = Sessions(lambda: clock[0])
    Logins(database).take(after, Boot("a", clock[0] + 60))
    clock[0] += 1700
    assert after.get(token)
    clock[0] += 100
    assert after.get(token) is None


def test_logins_that_cannot_be_forgotten_are_not_taken(database, tmp_path):
    Users(database).add("ann", Role.USER, "x")
    before = Sessions(lambda: 0.0)
    token, _ = before.begin("ann", "::1")
    Logins(database).keep(before, Boot("a", 0.0))
    after = Sessions(lambda: 0.0)
    with locked(tmp_path):
        Logins(database).take(after, Boot("a", 1.0))
    assert after.get(token) is None


@asynchronous
async def test_a_browser_goes_on_after_a_restart(tmp_path):
    async with website(tmp_path) as site, site.browser("admin") as browser:
        assert (await browser.get("/users")).status_code == 200
        cookies = dict(browser.cookies)
    async with website(tmp_path, people=False) as site, site.browser() as browser:
        for name, value in cookies.items():
            browser.cookies.set(name, value, domain="localhost.local")
        answer = await browser.get("/users")
        if Boot.present().id:
            assert answer.status_code == 200
            await browser.post("/users/delete", data={"name": "user"})
            await soon(lambda: site.web.users.get("user") is None)
