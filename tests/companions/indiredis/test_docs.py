"""The reference of keys and topics names what the code has, and nothing else."""

import re
import shlex

import indiredis
from indipyclient.model.model import Model
from indipydriver.protocol.tags import SwitchRule, VectorKind
from indiredis import tools
from indiredis.cli.main import parser_of
from indiredis.keys import _CURRENT
from indiredis.logs import DEFAULTS
from indiredis.mqtt.topics import Topics
from indiredis.records import Overlay, element_fields, property_fields
from tests.companions.indipyclient.site import define
from tests.support import ROOT

PAGE = (ROOT / "docs/reference/redis-and-mqtt.md").read_text(encoding="utf-8")


def section(title):
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_keys():
    named = {key.partition(":")[0] for key in re.findall(r"^\| `([\w:<>]+)` \|", section("Keys"), re.M)}
    assert named == {*_CURRENT, "cookies", "sent"}


def test_fields():
    said = set(re.findall(r"`(\w+)`", section("Keys")))
    model = Model()
    for kind in VectorKind:
        rule = {"rule": SwitchRule.ANY_OF_MANY} if kind is VectorKind.SWITCH else {}
        members = {} if kind is VectorKind.NUMBER else {"A": "Ok" if kind is VectorKind.LIGHT else "On"}
        prop = model.apply(define("D", f"P{kind}", kind, **rule, **members)).prop
        overlay = Overlay("2026-01-01T00:00:00")
        fields = set(property_fields(prop, overlay))
        for member in prop.members.values():
            fields |= set(element_fields(prop, member, overlay))
        assert fields <= said, fields - said


def test_logs():
    table = {name: int(count) for name, count in re.findall(r"^\| `(\w+)` \| (\d+) \|", section("Histories"), re.M)}
    assert table == DEFAULTS


def test_topics():
    named = {name.partition("/")[0] for name in re.findall(r"^\| `([\w/<>]+)` \|", section("Topics"), re.M)}
    topics = Topics("x", indiredis.mqtt_server())
    used = [
        topics.to_indi,
        topics.from_indi,
        topics.snoop_control,
        topics.snoop_data,
        topics.blobs,
        topics.status,
        topics.count,
    ]
    assert named == {topic.partition("/")[0] for topic in used}


def test_all_tools_are_there():
    for name in tools.__all__:
        assert getattr(tools, name).__doc__


def test_commands_of_the_guide_are_understood(capsys):
    pages = [ROOT / "docs/how-to/bridges.md", ROOT / "docs/tutorials/two-sites.md"]
    text = "".join(page.read_text(encoding="utf-8") for page in pages)
    lines = re.findall(r"^(?:ExecStart=\S*/)?(?:indiredis) (.*)$", text, re.M)
    lines += re.findall(r"^ExecStart=\S*/indiredis (.*)$", text, re.M)
    assert len(lines) > 5
    for line in lines:
        words = shlex.split(line.rstrip(" &"))
        if "--config" in words:
            continue
        assert parser_of().parse_args(words).command == words[0]
