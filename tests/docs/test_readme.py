"""The code in the README works as it stands, but for the port, which may be taken."""

import re
import sys

from tests.support import ROOT, IndiClient, asynchronous, free_port, match, new_vector, serving

README = (ROOT / "README.md").read_text(encoding="utf-8")


@asynchronous
async def test_the_driver_in_the_readme(tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    port = free_port()
    assert code.count("IPyServer(driver)") == 1
    program = tmp_path / "driver.py"
    program.write_text(code.replace("IPyServer(driver)", f"IPyServer(driver, port={port})"), encoding="utf-8")
    command = [sys.executable, str(program)]
    async with serving(*command, port=port, cwd=tmp_path, PYTHONPATH=str(ROOT)), IndiClient(port) as client:
        await client.get_properties()
        await client.expect(match("defSwitchVector", device="LED", name="LIGHT"))
        await client.send(new_vector("Switch", "LED", "LIGHT", LAMP="On"))
        await client.expect(match("setSwitchVector", name="LIGHT", state="Ok", values={"LAMP": "On"}))


def test_what_it_links_to_is_there():
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert len(links) >= 9
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_commands_it_names_exist():
    modules = set(re.findall(r"^python3 -m (\w+)", README, re.MULTILINE))
    assert modules == {"examples", "sphinx", "tests", "venv"}
    assert all((ROOT / module / "__main__.py").exists() for module in modules - {"sphinx", "venv"})
