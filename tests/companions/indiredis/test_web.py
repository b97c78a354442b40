"""The page over redis: as WSGI wants it, safe from other sites, and what is set there arrives in the driver."""

import asyncio
import concurrent.futures
import gzip
import hashlib
import html
import io
import os
import re
import sys
import time
import urllib.parse
from wsgiref.validate import validator

import pytest

import indiredis
from indipydriver import Device, IPyDriver
from indipydriver.propertymembers import BLOBMember, LightMember, NumberMember, SwitchMember, TextMember
from indipydriver.propertyvectors import BLOBVector, LightVector, NumberVector, SwitchVector, TextVector
from indiredis import indiwsgi, tools
from indiredis.web.security import check_password, hash_password
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
                    ("NUM", {"m.N": "2.5"}, "has been submitted"),
                    ("NUM", {"m.N": "12"}, "12 is not from 0 to 10"),
                    ("NUM", {"m.N": "much"}, "is not a number"),
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
            await soon(lambda: len(driver.got) >= 6)
            got = {name: values for name, values in driver.got if isinstance(values, dict)}
            assert str(got["NUM"]["N"]) == "2.5"
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
            assert browser.ask("POST", "/refresh", b"x", CONTENT_LENGTH=str(1 << 30))["status"] == 400
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
            for path, status in (("submit?d=D&p=P", 403), ("login", 400)):
                assert browser.ask("POST", f"/obs/{path}", bytes(2 << 20), **upload)["status"] == status
            begin = time.monotonic()
            assert "not+the+password" in browser.post("/obs/login", token=token, password="x")["headers"]["Location"]
            assert time.monotonic() - begin >= 1
            assert "This is not the password" in browser.page("/obs/?told=This+is+not+the+password")
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
async def test_redis_away_is_told(tmp_path):
    server = indiredis.redis_server("127.0.0.1", free_port())
    browser = Browser(indiwsgi.make_wsgi_app(server))
    assert (await asyncio.to_thread(browser.ask, "GET", "/"))["status"] == 503


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
