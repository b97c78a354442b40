"""The memory of one batch serves the next: the system need not clear new pages for it each time."""

import os
import subprocess
import sys

import pytest

from tests.support import allowed

GLIBC = "CS_GNU_LIBC_VERSION" in getattr(os, "confstr_names", {})

BATCHES = """
import resource
import {module}
from indipydriver.transport.link import SLICE

received = memoryview(bytes([1]) * (SLICE - 100))

def pass_on():
    return [bytes(received) for _ in range(6)]  # what is read, held, joined and queued of a batch

pass_on()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(100):
    pass_on()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.measured
@pytest.mark.skipif(not GLIBC, reason="other C libraries decide otherwise when to return memory")
@pytest.mark.parametrize("module", ["indipydriver.transport.descriptor", "indipyserver"])
def test_a_flood_costs_no_new_pages(module):
    tuned = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run(
        [sys.executable, "-c", BATCHES.format(module=module)],
        env=tuned,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    assert int(done.stdout) < allowed(1000)  # 35,000, were each batch to pay for its pages
