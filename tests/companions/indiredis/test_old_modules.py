"""The modules that scripts of old versions import: `fromindi`, `toindi`, and those of indimqttredis."""

import pytest

from indimqttredis import fromxml, toxml
from indiredis import fromindi, tools
from indiredis.toindi import SenderLoop
from tests.support import asynchronous

from .parts import redis_running

DEFINES = b"""<defNumberVector device="D" name="P" state="Ok" perm="rw"><defNumber name="N" format="%g" min="0" max="9"
 step="1">1</defNumber></defNumberVector>"""
UPDATE = b'<setNumberVector device="D" name="P" state="Ok"><oneNumber name="N">2</oneNumber></setNumberVector>'
COMMAND = b'<newNumberVector device="D" name="P"><oneNumber name="N">2</oneNumber></newNumberVector>'


@asynchronous
async def test_a_command_shows_busy_until_the_device_has_answered():
    async with redis_running() as redis:
        rconn, server, sent = redis.rconn, redis.server, []
        fromindi.setup_redis(server.keyprefix, "to_indi", "from_indi")
        loop = SenderLoop(sent, rconn, server)

        def state():
            return tools.attributes_dict(rconn, server, "P", "D").get("state")

        loop.take(COMMAND)  # of what nobody has defined
        assert not redis.everything()
        assert fromxml.receive_from_indiserver(DEFINES[:50], rconn) == []
        assert fromxml.receive_from_indiserver(DEFINES[50:], rconn) == ["D"]
        assert state() == "Ok"
        loop.take(COMMAND)
        assert state() == "Busy"
        fromindi.receive_from_indiserver(UPDATE, None, rconn)
        assert state() == "Ok"
        assert tools.elements_dict(rconn, server, "N", "P", "D")["value"] == "2"
        loop.take(b"<getProperties version='1.7'/>")
        loop.take(b"nothing")
        assert tools.getproperties_timestamp(rconn, server)
        assert sent[:2] == [COMMAND, COMMAND]
        assert len(sent) == 3
        assert fromindi.NumberVector.read(rconn, "D", "P")["N"]["value"] == "2"
        assert fromindi.TextVector.read(rconn, "D", "P") is None
        fromxml.receive_from_indiserver(b"<delProperty device='D'/>", rconn)
        assert not tools.devices(rconn, server)


@asynchronous
async def test_a_folder_that_is_full_or_gone_ends_no_loop_that_receives(tmp_path, caplog):
    async with redis_running() as redis:
        server, folder = redis.server, tmp_path / "blobs"
        fromindi.setup_redis(server.keyprefix, "to_indi", "from_indi", None, str(folder))
        folder.rmdir()
        define = b"<defBLOBVector device='D' name='P' state='Ok' perm='ro'><defBLOB name='B'/></defBLOBVector>"
        blob = b"<setBLOBVector device='D' name='P' state='Ok'><oneBLOB name='B' size='3' format='.x'>YWJj</oneBLOB>"
        assert fromindi.receive_stream(define, redis.rconn) == ["D"]
        fromindi.receive_stream(blob + b"</setBLOBVector>" + DEFINES, redis.rconn)
        assert tools.attributes_dict(redis.rconn, server, "P", "D")["vector"] == "NumberVector"
    assert "a BLOB of D cannot be written" in caplog.text


def test_elements_are_sent_by_the_function_of_the_script(monkeypatch):
    monkeypatch.setattr(toxml, "_transmit", [])
    monkeypatch.setattr(toxml, "PAUSE", 0)
    assert not toxml.transmit_to_indiserver(toxml.getProperties())
    sent = []
    toxml.sender(sent.append)
    toxml.loop()
    assert sent == [b'<getProperties version="1.7" />']


@pytest.fixture(autouse=True)
def _state_of_the_module():
    before = fromindi._state
    yield
    fromindi._state = before
