"""The pages name every option and route, with who may use it, and the pictures are shown."""

import asyncio
import re
import sys

import pytest

pytest.importorskip("starlette", reason="the web client needs the extra web")

import httpx

from indipyweb.cli import build_parser
from indipyweb.security.permissions import RULES
from indipyweb.store.database import Database
from indipyweb.store.users import Users
from tests.support import ROOT, asynchronous

from .parts import PASSWORD, poll
from .test_command import ENVIRONMENT, Running

REFERENCE = (ROOT / "docs/reference/web.md").read_text(encoding="utf-8")
PICTURES = ROOT / "docs/how-to/web"
PAGES = [ROOT / "docs/how-to/web.md", ROOT / "docs/tutorials/web.md"]


def test_every_option_is_in_the_reference():
    for action in build_parser()._actions:
        for option in action.option_strings:
            assert f"`{option}" in REFERENCE, option


def test_every_route_is_in_the_reference_with_its_rule():
    rows = re.findall(r"^\| `(GET|POST) (\S+)` \| (\w+) \| .+ \|$", REFERENCE, re.M)
    assert {(method, path): need for method, path, need in rows} == {key: need.value for key, need in RULES.items()}
    assert len(rows) == len(RULES)


def test_every_picture_is_there_and_shown():
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    shown = set(re.findall(r"\]\((?:\.\./how-to/)?web/([\w-]+\.(?:png|jpg))\)", text))
    assert shown == {path.name for path in PICTURES.iterdir()}
    for path in PICTURES.iterdir():
        assert path.stat().st_size < 150_000


@asynchronous
async def test_the_script_of_the_guide_runs(tmp_path):
    (tmp_path / "password").write_text(PASSWORD)
    words = ["--dbfolder", tmp_path, "--port", 0, "--indi-port", 0, "--admin-password-file", tmp_path / "password"]
    web = await Running.start(*words, "--serve", "indipydriver.instruments.simulators:make_observatory")
    try:
        base = (await web.hear(r"serving localhost:\d+ on (http://\S+)"))[1]
        database = Database(tmp_path)
        token = Users(database).new_token("admin", "guide", True, 1)
        database.close()
        async with httpx.AsyncClient(base_url=base, headers={"authorization": f"Bearer {token}"}) as client:

            async def connected():
                body = {"members": {"CONNECT": "On"}, "wait": 30}
                return (
                    await client.post("/api/Filter%20Simulator/CONNECTION", json=body, timeout=40)
                ).status_code == 200

            await poll(connected)
        command = [sys.executable, ROOT / "docs/snippets/web/api.py", base, token]
        pipe = asyncio.subprocess.PIPE
        script = await asyncio.create_subprocess_exec(*command, env=ENVIRONMENT, stdout=pipe, stderr=pipe)
        said, errors = await asyncio.wait_for(script.communicate(), 50)
    finally:
        await web.end()
    assert errors.decode() == ""
    told, value = said.decode().splitlines()
    assert told.startswith("Done")
    assert float(value) == 3
