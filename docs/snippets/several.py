"""An LED, a heater, one of libindi's drivers, and everything that another computer serves."""

import heater
import led
from indipyserver import IPyServer

server = IPyServer(led.make_driver(), heater.make_driver())
server.add_exdriver("indi_simulator_ccd")
server.add_remote("dome.local", 7624, blob_enable=True)

if __name__ == "__main__":
    server.run()
