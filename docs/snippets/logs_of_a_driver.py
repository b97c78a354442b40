"""A driver that logs what it sends and receives."""

import logging

import led
from indipyserver import IPyServer

logging.basicConfig()
logging.getLogger("indipydriver.ipydriver").setLevel(logging.DEBUG)
driver = led.make_driver()
driver.debug_enable = True

if __name__ == "__main__":
    IPyServer(driver).run()
