"""What tests share: a client of few words, servers that come and go, and other people's programs.

It needs no fixtures and no plugin; a test imports what it uses:

    from tests.support import IndiClient, asynchronous, match, running_server

    @asynchronous
    async def test_the_lamp_goes_on():
        async with running_server(driver) as server, IndiClient(server.port) as client:
            await client.send("<getProperties version='1.7'/>")
            await client.expect(match("defSwitchVector", device="LED"))

A test that is a coroutine is decorated: with `asynchronous` where sockets and processes take their time, with
`indipydriver.testing.driver_test` where time is virtual. Only a test of what outlives an event loop calls asyncio.run.
"""

from .client import IndiClient, match, new_vector, parse, still_served, values_of
from .measured import allowed
from .programs import ROOT, Finished, Program, free_port, gone, require, run, serving, started, wait_for_port
from .servers import asynchronous, eventually, quiet, running, running_server

__all__ = [
    "ROOT",
    "Finished",
    "IndiClient",
    "Program",
    "allowed",
    "asynchronous",
    "eventually",
    "free_port",
    "gone",
    "match",
    "new_vector",
    "parse",
    "quiet",
    "require",
    "run",
    "running",
    "running_server",
    "serving",
    "started",
    "still_served",
    "values_of",
    "wait_for_port",
]
