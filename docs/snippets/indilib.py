"""Two simulated cameras, one with its own configuration."""

from indipyserver import IPyServer

server = IPyServer()
server.add_exdriver("indi_simulator_ccd", name="Main Camera")
server.add_exdriver(
    "indi_simulator_ccd",
    name="Guide Camera",
    config="/etc/observatory/guider.xml",
    env={"TZ": "UTC"},
    restarts=100,
)

if __name__ == "__main__":
    server.run()
