"""A server that writes a log."""

import logging

import led
from indipyserver import IPyServer

logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.WARNING)
logging.getLogger("indipyserver").setLevel(logging.INFO)

if __name__ == "__main__":
    IPyServer(led.make_driver()).run()
