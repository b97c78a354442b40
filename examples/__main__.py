"""Serve example instruments: a thermostat, a camera and an LED.

python3 -m examples [--host HOST] [--port PORT]
"""

import argparse
import asyncio
import contextlib
import sys

from examples import camera, led, thermostat
from indipyserver import IPyServer

GREETING = """\
Serving three INDI devices on {host}:{port}

  Thermostat   set TARGET, and watch the room warm up
  Camera       connect it, take an image of the stars, or abort the exposure
  LED          switch LIGHT

To try them, in another terminal, with the commands that "pip install ." installs:

  indipyclient watch -p {port}                     all values, as they change
  indipyclient set -p {port} Thermostat.TARGET.TARGET=22
  indi_getprop -p {port} -m                        the same with libindi's tools (Debian: apt install indi-bin)
  indipyterm --port {port}                         a terminal client (pip install '.[term]')
  KStars: Tools, Devices, Device Manager, Client; add the host {host} with port {port}, and connect

Press Ctrl-C to stop.
"""


async def serve(host, port):
    """Serve the three drivers until the program is interrupted."""
    server = IPyServer(thermostat.make_driver(), camera.make_driver(), led.make_driver(), host=host, port=port)
    running = asyncio.create_task(server.asyncrun())
    started = asyncio.create_task(server.started.wait())
    await asyncio.wait([running, started], return_when=asyncio.FIRST_COMPLETED)
    if started.done():
        print(GREETING.format(host=host, port=server.port), flush=True)
    started.cancel()
    await running


def main():
    parser = argparse.ArgumentParser(prog="python3 -m examples", description=__doc__.splitlines()[0])
    parser.add_argument("--host", default="localhost", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", default=7624, type=int, help="port to listen on, 0 for any (default: %(default)s)")
    arguments = parser.parse_args()
    try:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(serve(arguments.host, arguments.port))
    except ValueError as error:
        parser.error(str(error))
    except OSError as error:
        sys.exit(f"{error.strerror or error}; to use another port: python3 -m examples --port 7625")


if __name__ == "__main__":
    main()
