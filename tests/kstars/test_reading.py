"""What the session reads is read rightly; no KStars is needed for that."""

import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from .bus import parsed
from .profile import headers
from .requests import Request, Requests
from .stars import stars
from .tap import number


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("()", ()),
        ("(true,)", (True,)),
        ("(<uint32 2>,)", (2,)),
        ("(<(3,)>,)", ((3,),)),
        ("(<[5.5, -70.0]>,)", ([5.5, -70.0],)),
        ("(@as [],)", ([],)),
        ("(['a <b> true', \"it's\"],)", (["a <b> true", "it's"],)),
        ("({'name': <'CCD Simulator'>, 'connected': <false>},)", ({"name": "CCD Simulator", "connected": False},)),
    ],
)
def test_what_gdbus_prints(text, value):
    assert parsed(text) == value


def test_a_header(tmp_path):
    cards = [
        "SIMPLE  =                    T / it is",
        "FILTER  = 'O''III a/b'        / filter",
        "EXPTIME =  1.0 / s",
        "END",
    ]
    file = tmp_path / "image.fits"
    file.write_bytes("".join(card.ljust(80) for card in cards).encode().ljust(2880))
    assert headers(file) == {"SIMPLE": "T", "FILTER": "O'III a/b", "EXPTIME": "1.0"}


@pytest.mark.parametrize(
    ("text", "value"), [("5.5", 5.5), ("-0:30:00", -0.5), ("12 30 36", 12.51), ("", 0.0), ("Unknown", None)]
)
def test_numbers(text, value):
    assert number(text) == pytest.approx(value)


def test_the_stars_are_always_the_same():
    seen = stars(80.0, 70.0, 0.3)
    assert seen == stars(80.0, 70.0, 0.3)
    assert set(stars(80.0, 70.0, 0.1)) < set(seen)


class Answering(BaseHTTPRequestHandler):
    """Reads what comes, and says what it thinks of it."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length", "0")))
        self.send_response(404 if "bad" in self.path else 200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    do_GET = do_POST

    def log_message(self, *_):
        pass


def test_requests_and_their_answers(tmp_path):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        with Requests(server.server_address[1], tmp_path / "log") as relay:
            client = http.client.HTTPConnection("127.0.0.1", relay.port, timeout=30)
            for method, path, body in (("GET", "/a", None), ("POST", "/bad", '[{"label":\n "x"}]'), ("POST", "/b", "")):
                client.request(method, path, body)
                assert client.getresponse().read() == b"{}"
            client.close()
        assert relay.seen == [
            Request("GET", "/a", "", 200),
            Request("POST", "/bad", '[{"label": "x"}]', 404),
            Request("POST", "/b", "", 200),
        ]
        assert (tmp_path / "log").read_text().splitlines()[1] == '404 POST /bad [{"label": "x"}]'
    finally:
        server.shutdown()
        server.server_close()
