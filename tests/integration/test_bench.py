"""The benchmarks still run: each of them once, with next to nothing to do; no figure is looked at."""

import json
import signal
import sys

import pytest

from tests.bench import __main__ as bench
from tests.bench import table
from tests.bench.benchmark import Benchmark, Scale
from tests.bench.processes import contender, ours
from tests.support import require

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the process clock of others is Linux's")

TINY = Scale(size=0.001, limit=20.0)
NAMES = [benchmark.name for benchmark in bench.BENCHMARKS]


def named(name: str) -> Benchmark:
    (found,) = [benchmark for benchmark in bench.BENCHMARKS if benchmark.name == name]
    return found


@pytest.fixture(autouse=True)
def sigterm():
    """The command handles it as a whole program does."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("name", NAMES)
def test_it_runs(name):
    result = named(name).run(ours(), TINY)
    assert not result.failure
    assert result.rate > 0
    assert result.cpu > 0 or result.seconds < 0.05, "the kernel counts in hundredths of a second"


@pytest.mark.interop
@pytest.mark.parametrize("name", ["relay-1", "trip", "definitions-500"])
def test_it_runs_with_the_other_server(name):
    require("indiserver")
    result = named(name).run(contender("indiserver"), TINY)
    assert not result.failure
    assert result.cpu > 0


@pytest.mark.parametrize("name", ["relay-10", "trip", "inside", "blob-attached-4", "tree", "beside-attached", "life"])
def test_the_server_runs_on_uvloop_unchanged(name):
    pytest.importorskip("uvloop")
    result = named(name).run(contender(f"uvloop={sys.executable}"), TINY)
    assert not result.failure
    assert result.cpu > 0


def test_clients_in_a_storm_get_what_they_need_and_no_more():
    result = named("storm-10").run(ours(), Scale(size=0.05, limit=20.0))
    assert not result.failure
    assert "sent 1.0" in result.note


def test_names_are_told_apart():
    assert len(set(NAMES)) == len(NAMES)
    assert [benchmark.name for benchmark in bench.chosen(["relay-1"])] == ["relay-1"]
    assert {benchmark.name for benchmark in bench.chosen(["storm"])} == {
        "storm-10",
        "storm-25",
        "storm-50",
        "storm-few",
    }
    with pytest.raises(ValueError, match="nonsense"):
        bench.chosen(["nonsense"])


def test_the_command_writes_figures_and_compares_them(tmp_path, capsys):
    file = tmp_path / "figures.json"
    assert bench.main(["router-1", "--scale", "0.01", "--runs", "2", "--json", str(file)]) == 0
    assert "| router: batches of 100 for 1 client" in capsys.readouterr().out
    assert bench.main(["encode-set", "--quick", "--json", str(file)]) == 0
    capsys.readouterr()
    assert list(json.loads(file.read_text())["benchmarks"]) == ["encode-set", "router-1"]
    assert bench.main(["router-1", "--scale", "0.01", "--compare", str(file)]) == 0
    assert "CPU/earlier" in capsys.readouterr().out


def test_a_wrong_word_is_a_matter_of_usage(capsys):
    assert bench.main(["nonsense"]) == 2
    assert bench.main(["--against", "nonsense"]) == 2
    assert "nonsense" in capsys.readouterr().err


def test_a_failure_stands_in_the_table():
    report = {
        "contenders": ["ours", "other"],
        "benchmarks": {
            "relay-1": {
                "title": "relay",
                "unit": "message",
                "figures": {"ours": {"cpu": 2.0, "rate": 5.0}, "other": {"failure": "it has ended"}},
            }
        },
    }
    lines = table.tables(report).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert "it has ended" in lines[-1]
