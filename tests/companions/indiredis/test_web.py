"""The page over redis: as WSGI wants it, safe from other sites, and what is set there arrives in the driver."""

import asyncio
import concurrent.futures
import contextlib
import gzip
import hashlib
import html
import io
import os
import re
import sys
import threading
import time
import urllib.parse
from wsgiref.validate import validator

import pytest

import indiredis
from indipydriver import Device, IPyDriver
from indipydriver.propertymembers import BLOBMember, LightMember, NumberMember, SwitchMember, TextMember
from indipydriver.propertyvectors import BLOBVector, LightVector, NumberVector, SwitchVector, TextVector
from indiredis import indiwsgi, tools
from indiredis.web import forms
from indiredis.web.forms import BadForm, Form, TooLarge, Upload, read_form
from indiredis.web.security import check_password, cookie_of, hash_password
from tests.support import asynchronous, free_port, running_server, started

from .parts import PATH, bridge, redis_running, soon

pytest.importorskip("jinja2")


class Everything(IPyDriver):
    """One property of each kind, with names that are awkward in a page."""

    def __init__(self):
        self.got = []
        switches = lambda: [SwitchMember(name, name) for name in ("A", "B <i>", "C")]  # noqa: E731
        vectors = [
            NumberVector(
                "NUM", "Num <b>", "G/1 &", "rw", "Ok", [NumberMember("N", "x 10", "%.1f", "0", "10", "0", "1")]
            ),
            TextVector("TEXT", "Text", "G/1 &", "rw", "Ok", [TextMember("T", membervalue="<script>alert(1)</script>")]),
            SwitchVector("ONE", "One", "G/1 &", "rw", "OneOfMany", "Ok", switches()),
            SwitchVector("MOST", "Most", "G/1 &", "rw", "AtMostOne", "Ok", switches()),
            SwitchVector("ANY", "Any", "G/1 &", "wo", "AnyOfMany", "Ok", switches()),
            LightVector("LIGHT", "Light", "G/1 &", "Ok", [LightMember("L", membervalue="Alert")]),
            BLOBVector("BLOB", "Blob", "Other", "rw", "Ok", [BLOBMember("X")]),
            NumberVector(
                "TWO",
                "Two",
                "Pairs",
                "rw",
                "Ok",
                [NumberMember(name, membervalue=value) for name, value in (("RA", "1"), ("DEC", "2"))],
            ),
            TextVector(
                "NOTES",
                "Notes",
                "Pairs",
                "rw",
                "Ok",
                [TextMember("WHO", membervalue="I"), TextMember("WHAT", membervalue="many\nlines")],
            ),
            SwitchVector("ANY2", "Any", "Pairs", "rw", "AnyOfMany", "Ok", [SwitchMember("A"), SwitchMember("B")]),
        ]
        super().__init__(Device("Dev <1>", vectors))

    async def rxevent(self, event):
        self.got.append((event.vectorname, dict(event.items()) if hasattr(event, "items") else event))
        if event.vectorname == "NUM":
            event.vector["N"] = event["N"]
            await event.vector.send_setVector(state="Ok")


class Browser:
    """Requests to a WSGI application, checked by the standard library."""

    def __init__(self, application):
        self.application = validator(application)
        self.cookie = ""

    def ask(self, method, url, body=b"", **headers):
        path, _, query = url.partition("?")
        environ = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": "",
            "PATH_INFO": urllib.parse.unquote(path),
            "QUERY_STRING": query,
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "HTTP_HOST": "localhost",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            **headers,
        }
        if body:
            environ.setdefault("CONTENT_TYPE", "application/x-www-form-urlencoded")
        if self.cookie:
            environ["HTTP_COOKIE"] = self.cookie
        found = {}

        def start(status, headers, error=None):
            found.update(status=int(status[:3]), headers=dict(headers))

        chunks = self.application(environ, start)
        found["body"] = b"".join(chunks)
        chunks.close()
        if "Set-Cookie" in found["headers"]:
            self.cookie = found["headers"]["Set-Cookie"].partition(";")[0]
        return found

    def page(self, url):
        return self.ask("GET", url)["body"].decode()

    def token(self, url="/"):
        return re.search(r'name="token" value="(\w+)"', self.page(url))[1]

    def post(self, url, **fields):
        body = urllib.parse.urlencode(fields).encode()
        return self.ask("POST", url, body)


def submit(name, group="Other"):
    return "/submit?" + urllib.parse.urlencode({"d": "Dev <1>", "p": name, "g": group})


@asynchronous
async def test_each_kind_of_property_is_shown_and_set(tmp_path):
    driver = Everything()
    async with redis_running() as redis, running_server(driver) as server:
        there = indiredis.indi_server("127.0.0.1", server.port)
        async with bridge(indiredis.run_inditoredis, there, redis.server, blob_folder=tmp_path):
            await soon(lambda: "BLOB" in tools.properties(redis.rconn, redis.server, "Dev <1>"))
            app = indiwsgi.make_wsgi_app(redis.server, blob_folder=tmp_path)
            assert app is not None
            browser = Browser(app)

            def visit():
                assert "Dev &lt;1&gt;" in browser.page("/")
                text = browser.page("/properties?d=Dev+%3C1%3E")
                assert "Num &lt;b&gt;" in text
                assert "<script>alert" not in text
                assert "<i>" not in text
                token = browser.token()
                for name, fields, told in [
                    ("NUM", {"m.N": "2,5"}, "has been submitted"),  # some phones offer no point
                    ("NUM", {"m.N": "2 30"}, "has been submitted"),  # drivers of libindi read it as 230
                    ("NUM", {"m.N": "1,250"}, "is not a number"),
                    ("NUM", {"m.N": "1 250"}, "is not a number"),
                    ("NUM", {"m.N": "12"}, "12 is not from 0 to 10"),
                    ("NUM", {"m.N": "much"}, "is not a number"),
                    ("NUM", {"m.N": "-"}, "a number is needed"),  # drivers would read 0
                    ("TEXT", {"m.T": "né <x>"}, "has been submitted"),
                    ("ONE", {"choice": "B <i>"}, "has been submitted"),
                    ("MOST", {"choice": ""}, "has been submitted"),
                    ("ANY", {"m.A": "on", "m.C": "on"}, "has been submitted"),
                    ("LIGHT", {"m.L": "Ok"}, "read-only"),
                    ("NO", {}, "no property"),
                ]:
                    answer = browser.post(submit(name), token=token, **fields)
                    assert answer["status"] == 303, (name, answer)
                    assert told in urllib.parse.unquote_plus(answer["headers"]["Location"]), name
                boundary = "xyz"
                data = bytes(range(256)) * 3
                body = b"".join(
                    [
                        f'--{boundary}\r\nContent-Disposition: form-data; name="token"\r\n\r\n{token}\r\n'.encode(),
                        f'--{boundary}\r\nContent-Disposition: form-data; name="zip"\r\n\r\non\r\n'.encode(),
                        f'--{boundary}\r\nContent-Disposition: form-data; name="m.X"; filename="a.tar.dat"\r\n'
                        "Content-Type: application/octet-stream\r\n\r\n".encode(),
                        data,
                        f"\r\n--{boundary}--\r\n".encode(),
                    ]
                )
                kind = f"multipart/form-data; boundary={boundary}"
                assert browser.ask("POST", submit("BLOB"), body, CONTENT_TYPE=kind)["status"] == 303
                assert browser.post(submit("BLOB"), token=token, blobs="Also")["status"] == 303
                return data

            data = await asyncio.to_thread(visit)
            await soon(lambda: len(driver.got) >= 7)
            got = {name: values for name, values in driver.got if isinstance(values, dict)}
            assert [str(values["N"]) for name, values in driver.got if name == "NUM"] == ["2.5", "2:30"]
            assert got["TEXT"] == {"T": "né <x>"}
            assert got["ONE"] == {"A": "Off", "B <i>": "On", "C": "Off"}
            assert set(got["MOST"].values()) == {"Off"}
            assert got["ANY"] == {"A": "On", "B <i>": "Off", "C": "On"}
            value, _size, _format = (
                got["BLOB"]["X"] if isinstance(got["BLOB"]["X"], tuple) else (got["BLOB"]["X"], 0, "")
            )
            assert gzip.decompress(value) == data
            await soon(
                lambda: tools.attributes_dict(redis.rconn, redis.server, "BLOB", "Dev <1>")["blobs"] == "Enabled"
            )


@asynchronous
async def test_commands_of_a_page_are_sent_in_their_order_and_each_of_them_once(tmp_path, monkeypatch):
    """A weak link delivers several at once, or loses an answer, so that the browser sends the command again."""
    driver, read = Everything(), tools.attributes_dict
    async with redis_running() as redis, running_server(driver) as server:
        there = indiredis.indi_server("127.0.0.1", server.port)
        async with bridge(indiredis.run_inditoredis, there, redis.server, blob_folder=tmp_path):
            await soon(lambda: "NUM" in tools.properties(redis.rconn, redis.server, "Dev <1>"))
            browser = Browser(indiwsgi.make_wsgi_app(redis.server))
            token = await asyncio.to_thread(browser.token)

            def send(number):
                answer = browser.post(submit("NUM"), token=token, n=f"{number} tab", **{"m.N": str(number)})
                return urllib.parse.unquote_plus(answer["headers"]["Location"])

            second = threading.Thread(target=send, args=(2,))

            def slowly(*args):
                if not second.ident:
                    second.start()
                    second.join(0.5)
                return read(*args)

            monkeypatch.setattr(tools, "attributes_dict", slowly)
            assert "has been submitted" in await asyncio.to_thread(send, 1)
            await asyncio.to_thread(second.join)
            assert "was not sent again: it has come already" in await asyncio.to_thread(send, 2)
            assert "was not sent: a later command has come before it" in await asyncio.to_thread(send, 1)
            assert "has been submitted" in await asyncio.to_thread(send, 3)
            await soon(lambda: len(driver.got) >= 3)
            assert [str(values["N"]) for _, values in driver.got] == ["1", "2", "3"]
            monkeypatch.setattr(indiwsgi, "LATE", 0.2)
            waited = []
            second = threading.Thread(target=lambda: waited.append(send(5)))
            assert "has been submitted" in await asyncio.to_thread(send, 4)
            await asyncio.to_thread(second.join)
            assert "was not sent: redis did not answer for more than 0.2 s" in waited[0]
        told = "was not sent: the bridge to INDI is not running"
        assert told in await asyncio.to_thread(send, 6)
        redis.rconn.execute_command("ACL", "SETUSER", "default", "-pubsub|numsub")  # then nobody can tell
        assert "has been submitted" in await asyncio.to_thread(send, 7)


@asynchronous
async def test_what_nobody_has_touched_on_the_page_stays_as_it_is_now(tmp_path):
    """Somebody else has switched on, or moved, something since it was loaded."""
    driver = Everything()
    async with redis_running() as redis, running_server(driver) as server:
        there, rconn, rs = indiredis.indi_server("127.0.0.1", server.port), redis.rconn, redis.server
        async with bridge(indiredis.run_inditoredis, there, rs, blob_folder=tmp_path):
            await soon(lambda: "TWO" in tools.properties(rconn, rs, "Dev <1>"))
            browser = Browser(indiwsgi.make_wsgi_app(rs))

            def fields(name):
                text = browser.page("/properties?d=Dev+%3C1%3E&g=Pairs")
                [form] = [one for one in re.findall("<form.*?</form>", text, re.DOTALL) if f"p={name}&" in one]
                found = re.findall(r"<input[^>]*", form)
                shown = [one for one in found if "checkbox" not in one or one.endswith("checked")]
                pairs = [(re.search('name="(.*?)"', one)[1], re.search('value="(.*?)"', one)) for one in shown]
                return {name: value[1] if value else "on" for name, value in pairs}

            before = {name: await asyncio.to_thread(fields, name) for name in ("TWO", "ANY2")}
            driver["Dev <1>"]["TWO"]["DEC"] = "5"
            driver["Dev <1>"]["ANY2"]["A"] = "On"
            await driver["Dev <1>"]["TWO"].send_setVector()
            await driver["Dev <1>"]["ANY2"].send_setVector()
            await soon(lambda: tools.elements_dict(rconn, rs, "A", "ANY2", "Dev <1>")["value"] == "On")
            for name, more in (("TWO", {"m.RA": "7"}), ("ANY2", {"m.B": "on"})):
                answer = await asyncio.to_thread(browser.post, submit(name, "Pairs"), **before[name] | more)
                assert answer["status"] == 303
            await soon(lambda: len(driver.got) == 2)
            assert {key: str(value) for key, value in driver.got[0][1].items()} == {"RA": "7", "DEC": "5"}
            assert driver.got[1] == ("ANY2", {"B": "On"})
            answer = await asyncio.to_thread(browser.post, submit("TWO", "Pairs"), **before["TWO"])
            await soon(lambda: len(driver.got) == 3)  # it is wanted once more as it was
            assert {key: str(value) for key, value in driver.got[2][1].items()} == {"RA": "1", "DEC": "2"}


@pytest.mark.parametrize("other", ['prefs={"a": 1}', "user[name]=x", "a=b c", "flag", 'a="b', "é=1", "=x"])
def test_a_session_is_found_beside_cookies_of_other_programs(other):
    assert cookie_of({"HTTP_COOKIE": f"{other}; ours=session"}, "ours") == "session"
    assert cookie_of({"HTTP_COOKIE": f"ours=session; {other}"}, "ours") == "session"
    assert cookie_of({"HTTP_COOKIE": other}, "ours") == ""


@asynchronous
async def test_other_sites_cannot_send_forms_and_files_stay_in_their_folder(tmp_path):
    (tmp_path / "blobs").mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "blobs" / "a b.fits").write_bytes(b"picture")
    async with redis_running() as redis:
        browser = Browser(indiwsgi.make_wsgi_app(redis.server, blob_folder=tmp_path / "blobs"))

        def visit():
            token = browser.token()
            body = urllib.parse.urlencode({"token": token}).encode()
            assert browser.ask("POST", "/refresh", body)["status"] == 303
            assert browser.ask("POST", "/refresh", body, HTTP_ORIGIN="http://localhost")["status"] == 303
            assert browser.ask("POST", "/refresh", body, HTTP_ORIGIN="http://evil")["status"] == 403
            assert browser.ask("POST", "/refresh", body, HTTP_ORIGIN="http://localhost:81")["status"] == 403
            assert browser.ask("POST", "/refresh", body, HTTP_SEC_FETCH_SITE="cross-site")["status"] == 403
            beyond = {"HTTP_ORIGIN": "https://localhost"}  # a web server in between speaks TLS
            assert browser.ask("POST", "/refresh", body, HTTP_SEC_FETCH_SITE="same-origin", **beyond)["status"] == 303
            assert browser.ask("POST", "/refresh", body, HTTP_SEC_FETCH_SITE="none", **beyond)["status"] == 403
            assert browser.post("/refresh", token="other")["status"] == 403
            browser.cookie = ""
            assert browser.ask("POST", "/refresh", body)["status"] == 403
            assert browser.ask("PUT", "/")["status"] == 405
            assert browser.ask("POST", "/refresh", b"x", CONTENT_LENGTH=str(1 << 30))["status"] == 413
            for site, is_shown in (("same-origin", True), ("cross-site", False), ("same-site", False)):
                page = browser.ask("GET", "/?told=The+dome+is+closed", HTTP_SEC_FETCH_SITE=site)["body"]
                assert (b"The dome is closed" in page) is is_shown
            assert "a b.fits" in browser.page("/blobfolder")
            answer = browser.ask("GET", "/blobs/a%20b.fits")
            assert answer["body"] == b"picture"
            assert answer["headers"]["Content-Type"] == "application/octet-stream"
            for name in ("../secret.txt", "%2e%2e/secret.txt", "..%2fsecret.txt", "/etc/passwd", ".", "", "%00"):
                assert browser.ask("GET", f"/blobs/{name}")["status"] == 404, name
            for url in ("/", "/nothing", "/static/panel.js", "/static/../indiwsgi.py", "/blobs/x", "/changes"):
                headers = browser.ask("GET", url)["headers"]
                assert "default-src 'none'" in headers["Content-Security-Policy"], url
                assert headers["X-Content-Type-Options"] == "nosniff"
            first = browser.ask("GET", "/changes")
            assert browser.ask("GET", "/changes", HTTP_IF_NONE_MATCH=first["headers"]["ETag"])["status"] == 304

        await asyncio.to_thread(visit)


def multipart(*parts, boundary="b"):
    """A form with files: a head and a content each."""
    pieces = [f"--{boundary}\r\n{head}\r\n\r\n".encode() + content + b"\r\n" for head, content in parts]
    return b"".join(pieces) + f"--{boundary}--\r\n".encode()


def form_of(body, length=None, kind="multipart/form-data; boundary=b", **more):
    environ = {"CONTENT_TYPE": kind, "wsgi.input": io.BytesIO(body), **more}
    if length is not None:
        environ["CONTENT_LENGTH"] = length
    return read_form(environ)


class Endless(io.RawIOBase):
    """Bytes without end; counts what is taken."""

    taken = 0

    def read(self, size=-1):
        assert size > 0
        self.taken += size
        return b"x" * size


@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=b", "application/x-www-form-urlencoded"])
def test_no_more_is_read_of_a_form_than_is_accepted_whatever_its_length_is_said_to_be(kind):
    most = forms.UPLOAD if "multipart" in kind else forms.BODY
    for length in (str(most + 1), "9" * 5000, ""):
        endless = Endless()
        with pytest.raises(TooLarge, match=f"may have {most >> 20} MiB"):
            form_of(b"", length, kind, **{"wsgi.input": endless, "wsgi.input_terminated": True})
        assert endless.taken <= (0 if length else most + 1)
    for length in ("-1", "1e3", "x", "\u0663", "0x10"):
        with pytest.raises(BadForm, match="is not a length"):
            form_of(b"", length, kind)


def test_a_form_without_a_length_is_read_to_its_end_if_the_server_knows_it():
    body = multipart(('Content-Disposition: form-data; name="x"', b"1"))
    assert form_of(body, **{"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}).fields == {"x": "1"}
    with pytest.raises(BadForm, match="does not say where"):
        form_of(body, HTTP_TRANSFER_ENCODING="chunked")
    with pytest.raises(BadForm, match="too early"):
        form_of(body, str(len(body) + 1))

    class Lost(io.RawIOBase):
        def read(self, size=-1):
            raise ConnectionResetError("by peer")

    with pytest.raises(BadForm, match="did not arrive: by peer"):
        form_of(body, "9", **{"wsgi.input": Lost()})


def test_parts_of_a_form_as_browsers_send_them():
    data = bytes(range(256)) * 5 + b"\r\n--a\r\n--\r\n"
    body = multipart(
        ('Content-Disposition: form-data; name="token"', b"t"),
        (
            'content-disposition: form-data; name="m.a %22\u00e9"; filename="x\\\u00fc;y.fits"\r\nContent-Type: x/y',
            data,
        ),
        ("Content-Disposition: form-data; name=empty; filename=", b""),
        ('Content-Disposition: form-data; filename="f"; name="order"', b""),
    )
    for before in (b"", b"\r\n", b"for old readers\r\n"):
        found = form_of(before + body, str(len(before + body)))
        assert found.fields == {"token": "t", "empty": ""}
        assert found.files == {'m.a "\u00e9': Upload("x\\\u00fc;y.fits", data), "order": Upload("f", b"")}
    assert form_of(b"--b--", "5") == Form({}, {})
    assert form_of(b"--a b--", "7", 'multipart/form-data; boundary="a b"') == Form({}, {})


NAMED = "Content-Disposition: form-data; name=x"
NESTED = "".join(f"--b{n}\r\n{NAMED}\r\nContent-Type: multipart/mixed; boundary=b{n + 1}\r\n\r\n" for n in range(3000))


@pytest.mark.parametrize(
    "body",
    [
        NESTED.replace("--b0", "--b", 1).encode(),
        b"--b\r\n" + b"\n" * (8 << 20),
        b"--b\r\n" + b"A: b\r\n" * 500_000,
        multipart(*[(NAMED, b"1")] * 100_000),
        multipart(("Content-Disposition: form-data; name=" + "((" * 2000, b"")) * 1000,
        multipart(("X: y", b"")),
        b"--b\r\n" + NAMED.encode() + b"\r\n\r\nno end",
        b"x",
        b"",
        b"\r\n--b",
    ],
    ids=["nested", "lines", "heads", "many", "brackets", "nameless", "endless", "other", "empty", "cut"],
)
def test_a_form_that_is_meant_to_hold_up_the_page_is_refused_at_once(body):
    begin = time.process_time()
    try:
        form_of(body, str(len(body)))
    except BadForm:
        pass
    assert time.process_time() - begin < 0.5


@asynchronous
async def test_a_password(tmp_path):
    assert check_password("p", hashlib.sha512(b"p").hexdigest())
    async with redis_running() as redis:
        browser = Browser(indiwsgi.make_wsgi_app(redis.server, url="/obs", hashedpassword=hash_password("open!")))

        def visit():
            assert "Log in" in browser.page("/obs/")
            assert browser.ask("GET", "/obs/changes")["status"] == 403
            token, before = browser.token("/obs/"), browser.cookie
            assert browser.post("/obs/refresh", token=token)["status"] == 403
            upload = {"CONTENT_TYPE": "multipart/form-data; boundary=x", "wsgi.input": NotRead()}
            for path, status in (("submit?d=D&p=P", 403), ("login", 413)):
                assert browser.ask("POST", f"/obs/{path}", bytes(2 << 20), **upload)["status"] == status
            begin = time.monotonic()
            assert "not+the+password" in browser.post("/obs/login", token=token, password="x")["headers"]["Location"]
            assert time.monotonic() - begin >= 1
            assert "This is not the password" in browser.page("/obs/?told=This+is+not+the+password")
            assert "Log out" not in browser.page("/obs/")
            assert "send it" not in browser.page("/obs/?told=Your+password+has+expired:+send+it+to+us")
            browser.post("/obs/login", token=browser.token("/obs/"), password="open!")
            assert browser.cookie != before
            assert "Awaiting device information" in browser.page("/obs/")
            assert redis.rconn.zcard("indi_cookies") == 1
            browser.post("/obs/logout", token=browser.token("/obs/"))
            assert redis.rconn.zcard("indi_cookies") == 0
            assert "Log in" in browser.page("/obs/")

        await asyncio.to_thread(visit)


class NotRead(io.BytesIO):
    """A body that is left where it is."""

    def read(self, *_):
        raise AssertionError("somebody who is not logged in sends much")


@asynchronous
async def test_those_who_guess_passwords_hold_up_nobody_else():
    async with redis_running() as redis:
        app = indiwsgi.make_wsgi_app(redis.server, hashedpassword=hash_password("open!"))

        def guess(_):
            browser = Browser(app)
            return browser.post("/login", token=browser.token(), password="x")["status"]

        with concurrent.futures.ThreadPoolExecutor(8) as threads:
            begin = time.monotonic()
            answers = await asyncio.to_thread(lambda: sorted(threads.map(guess, range(8))))
        assert answers == [303] * indiwsgi.LOGINS + [429] * (8 - indiwsgi.LOGINS)
        assert time.monotonic() - begin < 30


@asynchronous
async def test_a_file_that_goes_while_they_are_listed_is_left_out(tmp_path, monkeypatch):
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    page = indiwsgi.make_wsgi_app(indiredis.redis_server(), blob_folder=tmp_path)
    scandir = os.scandir

    def tidied(folder):
        entries = [*scandir(folder)]
        assert all(entry.is_file(follow_symlinks=False) for entry in entries)
        (tmp_path / "a").unlink()
        return entries

    monkeypatch.setattr(indiwsgi.os, "scandir", tidied)
    assert [name for name, _ in page._files()] == ["b"]


@asynchronous
async def test_a_folder_that_is_gone_is_not_taken_for_redis(tmp_path):
    async with redis_running() as redis:
        browser = Browser(indiwsgi.make_wsgi_app(redis.server, blob_folder=tmp_path / "blobs"))
        (tmp_path / "blobs").rmdir()
        answer = await asyncio.to_thread(browser.ask, "GET", "/blobfolder")
        assert (answer["status"], b"folder" in answer["body"]) == (503, True)


@asynchronous
async def test_redis_away_is_told(tmp_path):
    server = indiredis.redis_server("127.0.0.1", free_port())
    browser = Browser(indiwsgi.make_wsgi_app(server))
    found = await asyncio.to_thread(browser.ask, "GET", "/")
    assert (found["status"], found["headers"]["Refresh"]) == (503, "5")
    for form, page in {  # so a browser asks again after a form
        submit("NUM"): "/properties?d=Dev+%3C1%3E&g=Other",
        "/refresh?d=Dev": "/properties?d=Dev",
        **dict.fromkeys(["/refresh", "/login", "/logout"], "/"),
    }.items():
        found = await asyncio.to_thread(browser.ask, "GET", form)
        assert (found["status"], found["headers"]["Location"]) == (303, page)


@asynchronous
async def test_requests_do_not_wait_for_redis_one_after_the_other(monkeypatch):
    """A command behind them would be published when redis comes back, long after somebody has pressed a button."""
    asked = []
    monkeypatch.setattr(tools, "open_redis", asked.append)
    browser = Browser(indiwsgi.make_wsgi_app(indiredis.redis_server("127.0.0.1", free_port())))
    assert [browser.ask("GET", "/")["status"] for _ in range(9)] == [503] * 9
    assert len(asked) == 1
    monkeypatch.setattr(indiwsgi, "TRY_AGAIN", 0.0)
    assert browser.ask("GET", "/")["status"] == 503
    assert len(asked) == 2


@asynchronous
async def test_a_property_of_which_redis_has_lost_something_is_left_out():
    async with redis_running() as redis:
        for name in "PQ":
            redis.rconn.sadd("indi_properties:D", name)
            redis.rconn.hset(f"indi_attributes:{name}:D", "state", "Ok")  # what has come since then
        fields = {"name": "Q", "label": "Still here", "group": "G", "vector": "LightVector", "perm": "ro"}
        redis.rconn.hset("indi_attributes:Q:D", mapping=fields)
        browser = Browser(indiwsgi.make_wsgi_app(redis.server))
        found = await asyncio.to_thread(browser.ask, "GET", "/properties?d=D")
        assert (found["status"], b"Still here" in found["body"]) == (200, True)


@asynchronous
async def test_elements_are_in_the_order_of_their_labels_however_long_a_number_in_one_is():
    async with redis_running() as redis:
        for name, label in (("a", "x 10"), ("b", "x " + "9" * 5000), ("c", "x 2")):
            redis.rconn.sadd("indi_elements:P:D", name)
            redis.rconn.hset(f"indi_elementattributes:{name}:P:D", mapping={"name": name, "label": label})
        found = tools.property_elements(redis.rconn, redis.server, "P", "D")
        assert [one["name"] for one in found] == ["c", "a", "b"]


@asynchronous
async def test_the_module_as_a_program(tmp_path):
    command = [sys.executable, "-m", "indiredis"]
    with started(*command, "-h", PYTHONPATH=PATH) as program:
        assert await program.wait() == 0
        text = program.stdout()
    for option in (
        "blobdirectorypath -h -p --port --host --clientonly --iport --ihost --rport --rhost --prefix --toindipub "
        "--fromindipub --version"
    ).split():
        assert option in text
    port = free_port()
    async with redis_running() as redis, running_server(Everything()) as server:
        more = ["--rport", str(redis.port), "--rhost", "127.0.0.1", "--host", "127.0.0.1", "-p", str(port)]
        indi = ["--iport", str(server.port), "--ihost", "127.0.0.1"]
        with started(*command, *more, *indi, str(tmp_path / "blobs"), PYTHONPATH=PATH) as program:
            await soon(lambda: "BLOB" in tools.properties(redis.rconn, redis.server, "Dev <1>"))
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET / HTTP/1.0\r\n\r\n")
            assert html.escape("Dev <1>") in (await reader.read()).decode()
            writer.close()
            for length in ("Content-Length: 67108865", "Transfer-Encoding: chunked"):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                kind = "Content-Type: multipart/form-data; boundary=b"
                writer.write(f"POST /submit HTTP/1.1\r\nHost: localhost\r\n{kind}\r\n{length}\r\n\r\n".encode())
                if "chunked" in length:
                    writer.write(b"4100000\r\n" + b"x" * 0x4100000)
                answer = b""
                with contextlib.suppress(ConnectionError):
                    while piece := await reader.read(1000):
                        answer += piece
                assert b" 413 " in answer
                writer.close()
            program.interrupt()
            assert await program.wait() == 0
        assert os.path.isdir(tmp_path / "blobs")


@asynchronous
async def test_another_name_of_this_machine_is_not_served_without_a_password():
    async with redis_running() as redis:
        page = Browser(indiwsgi.make_wsgi_app(redis.server, hosts=["observatory.example"]))
        for host in (
            "localhost:8000",
            "127.0.0.1",
            "[::1]:8000",
            "192.168.1.5:80",
            "observatory.example",
            "a.localhost",
        ):
            assert page.ask("GET", "/", HTTP_HOST=host)["status"] == 200, host
        for host in ("evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example", ""):
            assert page.ask("GET", "/", HTTP_HOST=host)["status"] == 403, host
        page = Browser(indiwsgi.make_wsgi_app(redis.server, hashedpassword=hash_password("x")))
        assert page.ask("GET", "/", HTTP_HOST="behind.a.proxy")["status"] == 200
