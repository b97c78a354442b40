"""``python3 -m indiredis [options] blobdirectorypath``: INDI to redis, and the web page, in one program."""

from __future__ import annotations

import argparse
import logging
import sys
import threading
from collections.abc import Sequence

from indipydriver import version

from .blobfolder import open_folder
from .cli.main import run_until_told
from .errors import MissingPackage, need
from .indiwsgi import make_wsgi_app
from .run import run_inditoredis
from .servers import indi_server, redis_server
from .web.forms import UPLOAD


def parser_of() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(
        prog="python3 -m indiredis",
        description="INDI client that stores what it receives in redis, and a web page that shows it.",
    )
    add = parser.add_argument
    add("blobdirectorypath", help="folder for BLOBs; created if it does not exist")
    add("-p", "--port", type=int, default=8000, help="port of the web page (8000)")
    add("--host", default="localhost", help="address on which the web page listens (localhost)")
    add("--clientonly", action="store_true", help="only the web page: another program connects to INDI")
    add("--iport", type=int, default=7624, help="port of the INDI server (7624)")
    add("--ihost", default="localhost", help="host of the INDI server (localhost)")
    add("--rport", type=int, default=6379, help="port of the redis server (6379)")
    add("--rhost", default="localhost", help="host of the redis server (localhost)")
    add("--prefix", default="indi_", help="prefix of all keys (indi_)")
    add("--toindipub", default="to_indi", help="channel for commands (to_indi)")
    add("--fromindipub", default="from_indi", help="channel for messages of devices (from_indi)")
    add("--version", action="version", version=version)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until ended; returns the exit status."""
    parser = parser_of()
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for noisy in ("indipyserver", "waitress.queue"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    try:
        folder = open_folder(options.blobdirectorypath)
        redis = redis_server(
            options.rhost,
            options.rport,
            keyprefix=options.prefix,
            to_indi_channel=options.toindipub,
            from_indi_channel=options.fromindipub,
        )
        indi = indi_server(options.ihost, options.iport)
        application = make_wsgi_app(redis, blob_folder=folder, hosts=[options.host])
        server = need("waitress.server", "redis").create_server(
            application, host=options.host, port=options.port, threads=8, max_request_body_size=UPLOAD
        )
    except (MissingPackage, ValueError, OSError) as error:
        sys.stderr.write(f"indiredis: {error}\n")
        return 2
    sys.stdout.write(f"http://{options.host}:{options.port}\n")
    sys.stdout.flush()
    if options.host not in ("localhost", "127.0.0.1", "::1"):
        logging.getLogger("indiredis").warning("the page is open to everybody who can reach %s", options.host)
    try:
        if options.clientonly:
            server.run()
        else:
            threading.Thread(target=server.run, daemon=True).start()
            return run_until_told(lambda stop: run_inditoredis(indi, redis, stop, blob_folder=folder))
    except KeyboardInterrupt:
        pass
    finally:
        server.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
