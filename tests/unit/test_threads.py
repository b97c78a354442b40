"""Threads for large BLOBs."""

import os
import subprocess
import sys

import pytest

FORKING = """
import asyncio, os, signal
from indipydriver.transport.threads import in_thread

assert asyncio.run(in_thread(lambda: 1)) == 1
child = os.fork()
if child == 0:
    signal.alarm(10)
    os._exit(asyncio.run(in_thread(lambda: 2)))
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX")
def test_a_forked_process_has_threads_of_its_own() -> None:
    """As one of multiprocessing's, which runs a driver while its parent runs another."""
    subprocess.run([sys.executable, "-c", FORKING], check=True, timeout=60)
