"""The examples of the documents that the first versions were published with run as they stand, but for the places."""

import asyncio
import http.client
import re
import signal
import sys

import pytest

import indimqttredis
import indiredis
from examples import thermostat
from indiredis import tools
from indiredis.cli.main import parser_of
from indiredis.cli.options import from_file, mqtt_of
from tests.support import asynchronous, free_port, require, running_server, started

from .parts import PATH, bridge, broker_running, redis_running, soon

HOSTS = """
from indiredis import {names}
"""
INDI = "indi_host = indi_server(host='localhost', port=7624)\n"
REDIS = "redis_host = redis_server(host='localhost', port=6379)\n"
MQTT = "mqtt_host = mqtt_server(host='10.34.167.1', port=1883)\n"
BLOBS = "blob_folder='/path/to/blob_folder'"

SCRIPTS = {
    "inditoredis": HOSTS.format(names="inditoredis, indi_server, redis_server")
    + INDI
    + REDIS
    + f"inditoredis(indi_host, redis_host, {BLOBS})",
    "driverstoredis": HOSTS.format(names="driverstoredis, redis_server")
    + REDIS
    + f'driverstoredis(["indi_simulator_telescope", "indi_simulator_ccd"], redis_host, {BLOBS})',
    "inditomqtt": HOSTS.format(names="inditomqtt, indi_server, mqtt_server")
    + INDI
    + MQTT
    + "inditomqtt(indi_host, 'indi_server01', mqtt_host)",
    "driverstomqtt": HOSTS.format(names="driverstomqtt, mqtt_server")
    + MQTT
    + 'driverstomqtt(["indi_simulator_telescope", "indi_simulator_ccd"], \'indi_drivers01\', mqtt_host)',
    "mqtttoredis": HOSTS.format(names="mqtttoredis, mqtt_server, redis_server")
    + MQTT
    + REDIS
    + f"mqtttoredis('indi_client01', mqtt_host, redis_host, {BLOBS})",
    "mqtttoport": HOSTS.format(names="mqtttoport, mqtt_server")
    + MQTT
    + 'mqtttoport("indi_port01", mqtt_host, port=7624)',
    "web": """
import threading, os, sys
from indiredis import inditoredis, indi_server, redis_server, indiwsgi
from waitress import serve
indi_host = indi_server(host='localhost', port=7624)
redis_host = redis_server(host='localhost', port=6379)
BLOBS = '/path/to/blob_folder'
application = indiwsgi.make_wsgi_app(redis_host, blob_folder=BLOBS)
if application is None:
    print("Are you sure the skipole framework is installed?")
    sys.exit(1)
webapp = threading.Thread(target=serve, args=(application,), kwargs={'host':'127.0.0.1', 'port':8000})
webapp.start()
inditoredis(indi_host, redis_host, blob_folder=BLOBS)
""",
    "web_alone": """
import sys
from indiredis import redis_server, indiwsgi
from waitress import serve
redis_host = redis_server(host='localhost', port=6379)
application = indiwsgi.make_wsgi_app(redis_host, blob_folder='/path/to/blob_folder')
if application is None:
    print("Are you sure the skipole framework is installed?")
    sys.exit(1)
serve(application, host='127.0.0.1', port=8000)
""",
    "web_drivers": """
import threading, os, sys
from indiredis import driverstoredis, redis_server, indiwsgi
from waitress import serve
redis_host = redis_server(host='localhost', port=6379)
BLOBS = '/path/to/blob_folder'
application = indiwsgi.make_wsgi_app(redis_host, blob_folder=BLOBS)
if application is None:
    print("Are you sure the skipole framework is installed?")
    sys.exit(1)
webapp = threading.Thread(target=serve, args=(application,), kwargs={'host':'127.0.0.1', 'port':8000})
webapp.start()
driverstoredis(["indi_simulator_telescope", "indi_simulator_ccd"], redis_host, blob_folder=BLOBS)
""",
    "old_indiredis": """
from indimqttredis import indiredis, indi_server, redis_server
indi_host = indi_server(host='localhost', port=7624)
redis_host = redis_server(host='localhost', port=6379, db=0, password='', keyprefix='indi_')
indiredis.run(indi_host, redis_host)
""",
    "old_indimqtt": """
from indimqttredis import indimqtt, indi_server, mqtt_server
indi_host = indi_server(host='localhost', port=7624)
mqtt_host = mqtt_server(host='10.34.167.1', port=1883, username='', password='', to_indi_topic='to_indi', from_indi_topic='from_indi')
indimqtt.run(indi_host, mqtt_host)
""",
    "old_mqttredis": """
from indimqttredis import mqttredis, mqtt_server, redis_server
mqtt_host = mqtt_server(host='10.34.167.1', port=1883, username='', password='', to_indi_topic='to_indi', from_indi_topic='from_indi')
redis_host = redis_server(host='localhost', port=6379, db=0, password='', keyprefix='indi_')
mqttredis.run(mqtt_host, redis_host)
""",
}


class Places:
    """Where things really are."""

    def __init__(self, tmp_path, indi=0, redis=0, mqtt=0):
        self.folder, self.indi, self.redis, self.mqtt = tmp_path, indi, redis, mqtt
        self.port, self.web = free_port(), free_port()

    def run(self, name):
        text = (
            SCRIPTS[name].replace("/path/to/blob_folder", str(self.folder / name)).replace("10.34.167.1", "127.0.0.1")
        )
        text = text.replace("'localhost'", "'127.0.0.1'").replace("'port':8000", f"'port':{self.web}")
        text = text.replace("port=8000", f"port={self.web}")
        text = re.sub(r"port=7624\)$", f"port={self.port if name == 'mqtttoport' else self.indi})", text, flags=re.M)
        text = text.replace("port=6379", f"port={self.redis}").replace("port=1883", f"port={self.mqtt}")
        return started(sys.executable, "-c", text, PYTHONPATH=PATH, HOME=str(self.folder))

    def page(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.web, timeout=5)
        try:
            connection.request("GET", "/")
            return connection.getresponse().read().decode()
        finally:
            connection.close()


@pytest.mark.parametrize("name", ["inditoredis", "web", "old_indiredis"])
@asynchronous
async def test_indi_to_redis(name, tmp_path):
    async with redis_running() as redis, running_server(thermostat.make_driver(0.1)) as server:
        places = Places(tmp_path, server.port, redis.port)
        with places.run(name) as program:
            await soon(lambda: tools.devices(redis.rconn, redis.server) == ["Thermostat"])
            if name == "web":
                await soon(lambda: "Thermostat" in places.page())
            if name == "inditoredis":
                with places.run("web_alone"):
                    await soon(lambda: "Thermostat" in places.page())
            program.signal(signal.SIGKILL)


@pytest.mark.interop
@pytest.mark.parametrize("name", ["driverstoredis", "driverstomqtt", "web_drivers"])
@asynchronous
async def test_drivers(name, tmp_path):
    require("indi_simulator_telescope")
    async with redis_running() as redis, broker_running() as (mqtt, _):
        places = Places(tmp_path, 0, redis.port, mqtt.port)
        with places.run(name):
            if name == "driverstomqtt":
                with Places(tmp_path, 0, redis.port, mqtt.port).run("mqtttoredis"):
                    await soon(lambda: "CCD Simulator" in tools.devices(redis.rconn, redis.server), 15)
            else:
                await soon(lambda: "CCD Simulator" in tools.devices(redis.rconn, redis.server), 15)
            if name == "web_drivers":
                await soon(lambda: "CCD Simulator" in places.page())


@pytest.mark.parametrize(("near", "far"), [("inditomqtt", "mqtttoredis"), ("old_indimqtt", "old_mqttredis")])
@asynchronous
async def test_over_mqtt_to_redis(near, far, tmp_path):
    async with redis_running() as redis, broker_running() as (mqtt, _):
        async with running_server(thermostat.make_driver(0.1)) as server:
            places = Places(tmp_path, server.port, redis.port, mqtt.port)
            with places.run(near), places.run(far):
                await soon(lambda: tools.devices(redis.rconn, redis.server) == ["Thermostat"])


@asynchronous
async def test_over_mqtt_to_a_port(tmp_path):
    from indipyclient import Client

    async with broker_running() as (mqtt, _), running_server(thermostat.make_driver(0.1)) as server:
        places = Places(tmp_path, server.port, 0, mqtt.port)
        with places.run("inditomqtt"), places.run("mqtttoport"):
            client = Client("127.0.0.1", places.port)
            await client.start(wait=False)
            await client.wait_device("Thermostat", timeout=15)
            await client.aclose()


def test_tuples_and_what_they_refuse():
    assert indiredis.indi_server() == ("localhost", 7624)
    assert indiredis.redis_server() == ("localhost", 6379, 0, "", "indi_", "to_indi", "from_indi")
    assert indiredis.mqtt_server() == (
        *("localhost", 1883, "", ""),
        *("to_indi", "from_indi", "snoop_control", "snoop_data"),
    )
    assert indiredis.mqtt_server()._fields == (
        *("host", "port", "username", "password"),
        *("to_indi_topic", "from_indi_topic", "snoop_control_topic", "snoop_data_topic"),
    )
    assert indimqttredis.redis_server() == ("localhost", 6379, 0, "", "indi_")
    assert indimqttredis.mqtt_server(to_indi_topic="a", from_indi_topic="b")[-2:] == ("a", "b")
    for wrong in (0, None, "7624", 1.5, "", -1, 70000):
        for make in (indiredis.indi_server, indiredis.redis_server, indiredis.mqtt_server, indimqttredis.mqtt_server):
            with pytest.raises(ValueError, match="port"):
                make(port=wrong)
    with pytest.raises(ValueError, match="channel"):
        indiredis.redis_server(to_indi_channel="x", from_indi_channel="x")
    for topics in ({"to_indi_topic": ""}, {"snoop_data_topic": "to_indi"}, {"snoop_control_topic": 5}):
        with pytest.raises(ValueError, match="topics"):
            indiredis.mqtt_server(**topics)
    with pytest.raises(ValueError, match="topics"):
        indimqttredis.mqtt_server(to_indi_topic="x", from_indi_topic="x")


@asynchronous
async def test_wrong_arguments_are_exceptions(tmp_path):
    indi, redis, mqtt = indiredis.indi_server(), indiredis.redis_server(), indiredis.mqtt_server()
    with pytest.raises(ValueError, match="blob_folder"):
        await indiredis.run_inditoredis(indi, redis)
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="is a file"):
        await indiredis.run_inditoredis(indi, redis, blob_folder=tmp_path / "file")
    for wrong in ("", None, "a/b", "a+", 5):
        with pytest.raises(ValueError, match="mqtt_id"):
            await indiredis.run_inditomqtt(indi, wrong, mqtt)


@asynchronous
async def test_the_command_with_a_configuration_file(tmp_path):
    async with redis_running() as redis, running_server(thermostat.make_driver(0.1)) as server:
        config = tmp_path / "bridge.conf"
        config.write_text(
            f"[indiredis]\nihost = 127.0.0.1\niport = {server.port}\nrhost = 127.0.0.1\nrport = {redis.port}\n"
            f"blobfolder = {tmp_path / 'blobs'}\nprefix = conf_\n"
        )
        command = [sys.executable, "-m", "indiredis.cli.main", "indi-redis", "--config", str(config)]
        with started(*command, PYTHONPATH=PATH) as program:
            await soon(lambda: tools.devices(redis.rconn, redis.server._replace(keyprefix="conf_")) == ["Thermostat"])
            program.signal(signal.SIGTERM)
            assert await program.wait() == 0


def test_a_password_in_a_file_at_home(tmp_path, monkeypatch):
    """No shell looks at a configuration file. Some editors mark UTF-8."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "password").write_text("\ufeffsecret\r\n", "utf-8")
    config = tmp_path / "bridge.conf"
    config.write_text("\ufeff[indiredis]\nid = pier\npassword-file = ~/password\n", "utf-8")
    parser = parser_of()
    options = parser.parse_args(from_file(parser, ["indi-mqtt", "--config", str(config)]))
    assert mqtt_of(options).password == "secret"


def test_yes_and_no_in_a_configuration_file(tmp_path, capsys):
    config = tmp_path / "bridge.conf"

    def options(text):
        config.write_text(f"[indiredis]\nid = -pier\n{text}\n")
        return parser_of().parse_args(from_file(parser_of(), ["indi-mqtt", "--config", str(config)]))

    for yes in ("yes", "Yes", "1", "on", "true", ""):
        assert options(f"tls = {yes}").tls is True
        assert options(f"verbose = {yes}").verbose is True
    assert options("tls = no").tls is False
    assert options("subscribe = a b").subscribe == ["a", "b"]
    assert options("").id == "-pier"
    ports = {text: mqtt_of(options(text)).port for text in ("", "tls = no", "tls = yes", "cafile = x", "mport = 9")}
    assert ports == {"": 1883, "tls = no": 1883, "tls = yes": 8883, "cafile = x": 8883, "mport = 9": 9}
    for unclear in ("y", "enabled", "2"):  # which should not end in a connection that is not encrypted
        with pytest.raises(SystemExit):
            options(f"tls = {unclear}")
        assert f"tls must be yes or no, not '{unclear}'" in capsys.readouterr().err
    config.write_bytes(b"[indiredis]\nid = f\xfcr\n")
    with pytest.raises(SystemExit):
        from_file(parser_of(), ["indi-mqtt", "--config", str(config)])


@asynchronous
async def test_stopping_takes_everything_along(tmp_path):
    before = asyncio.all_tasks()
    async with redis_running() as redis, broker_running() as (mqtt, _):
        async with bridge(indiredis.run_mqtttoredis, "web", mqtt, redis.server, blob_folder=tmp_path):
            pass
        await asyncio.sleep(0.1)
        assert asyncio.all_tasks() == before
