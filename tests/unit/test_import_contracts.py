"""Who may import whom, read off the sources of both packages.

The rules are the tables at the top; each has a test of its own below, on a planted source that
breaks it, so that the check is known to be able to fail.

An import below ``if TYPE_CHECKING:`` counts like any other.
"""

import ast
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("indipydriver", "indipyserver")

# The layers, lowest first: modules, and folders with all that is in them. A module imports from layers below its own.
# Names in one line are siblings, which do not import each other; inside a folder only circles are forbidden.
LAYERS: tuple[frozenset[str], ...] = tuple(
    frozenset(layer.split())
    for layer in (
        "indipydriver.errors",
        "indipydriver.protocol",
        "indipydriver.transport indipydriver.standard indipydriver.locks",
        "indipydriver.arguments",
        "indipydriver.propertymembers indipydriver.fixed indipydriver.shapes",
        "indipydriver.vectorbase",
        "indipydriver.valuevector",
        "indipydriver.propertyvectors",
        "indipydriver.device indipydriver.events",
        "indipydriver.runtime",
        "indipydriver.ipydriver",
        "indipydriver",
        "indipydriver.instruments",
        "indipydriver.testing",
        (
            "indipyserver.arguments indipyserver.certificates indipyserver.lines "
            "indipyserver.process indipyserver.release indipyserver.runevent indipyserver.signals indipyserver.spec"
        ),
        "indipyserver.loading",
        "indipyserver.routing",
        "indipyserver.relay",
        "indipyserver.sources indipyserver.clients indipyserver.observers indipyserver.check",
        "indipyserver.stats indipyserver.settings indipyserver.services indipyserver.exdriver indipyserver.remote",
        "indipyserver.control",
        "indipyserver.blocking",
        "indipyserver.ipyserver",
        "indipyserver",
        "indipyserver.cli",
        "indipyserver.__main__",
    )
)

# What the server may know of the other package: it takes drivers by their shape.
SERVER_MAY_IMPORT = (
    "indipydriver.protocol",
    "indipydriver.transport",
    "indipydriver.errors",
    "indipydriver.standard",
)
# The one place where the other direction is allowed, inside a function: the lazy IPyServer.
LAZY_SERVER = "indipydriver"

# Parts that do no I/O and know no event loop, and what they must therefore not reach: neither by their own imports, nor
# by those of what they import.
SANS_IO = (
    "indipydriver.protocol",
    "indipydriver.standard",
    "indipydriver.runtime.snooping",
    "indipyserver.routing",
    "indipyserver.sources.backoff",
    "indipyserver.lines",
    "indipyserver.spec",
    "indipyserver.control.log",
    "indipyserver.control.wire",
    "indipyserver.cli.ctltext",
    *(
        f"indipyserver.check.{part}"
        for part in "rules model numbers blobs wire commands interfaces checker report".split()
    ),
)
IO_MODULES = frozenset(
    (
        "asyncio concurrent ftplib http imaplib multiprocessing poplib queue sched select selectors signal smtplib socket "
        "socketserver ssl subprocess threading urllib xmlrpc _asyncio _socket _thread"
    ).split()
)
# Parts of such modules that only work on text.
NO_IO_AFTER_ALL = frozenset(("urllib.parse",))
IO_PARTS = ("indipydriver.transport",)
# Its judging half does no I/O; its front offers both halves.
FRONTS = ("indipyserver.check",)
# They look at what does I/O, such as peers and sources, and tell it what to do; they import no I/O of their own.
NO_IO_OF_THEIR_OWN = ("indipyserver.control.desk", "indipyserver.control.watch")
NO_LOGGING = ("indipydriver.protocol",)

# Ends of the graph: nothing imports these, but for the named exceptions.
ENDS = {
    "indipydriver.testing": (),
    "indipyserver.cli": ("indipyserver.__main__",),
    "tests": (),
    "examples": (),
}

# Modules that some supported platform lacks.
NOT_EVERYWHERE = frozenset(
    "fcntl grp msvcrt nt posix pty pwd resource spwd syslog termios tty winreg winsound _winapi".split()
)


@dataclass(frozen=True)
class Import:
    """One imported module, and the circumstances."""

    importer: str
    target: str
    line: int
    in_function: bool = False
    guarded: bool = False  # by try/except ImportError, or by a look at the platform
    typing_only: bool = False

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.target}"


def is_within(name: str, *parents: str) -> bool:
    """`name` is one of `parents`, or lies inside one."""
    return any(name == parent or name.startswith(parent + ".") for parent in parents)


class Collector(ast.NodeVisitor):
    """Collects the imports of one module, of any kind and at any depth."""

    def __init__(self, module: str, is_package: bool, modules: frozenset[str]) -> None:
        self.module = module
        self.package = module if is_package else module.rpartition(".")[0]
        self.modules = modules
        self.found: list[Import] = []
        self.in_function = self.guarded = self.typing_only = False

    def add(self, target: str, node: ast.AST) -> None:
        self.found.append(Import(self.module, target, node.lineno, self.in_function, self.guarded, self.typing_only))

    def within(self, nodes: Iterable[ast.AST], **flags: bool) -> None:
        before = {name: getattr(self, name) for name in flags}
        for name, value in flags.items():
            setattr(self, name, value or before[name])
        for node in nodes:
            self.visit(node)
        for name, value in before.items():
            setattr(self, name, value)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.add(alias.name, node)

    def relative(self, level: int, name: str | None, package: str) -> str:
        """The whole name of what stands behind so many dots."""
        parents = package.split(".")
        return ".".join([*parents[: len(parents) - level + 1], *filter(None, [name])])

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        base = self.relative(node.level, node.module, self.package) if node.level else node.module or ""
        for alias in node.names:  # `from package import module` means the module
            name = f"{base}.{alias.name}"
            self.add(name if name in self.modules else base, node)

    def visit_Call(self, node: ast.Call) -> None:
        if ast.unparse(node.func).rpartition(".")[2] in ("__import__", "import_module"):
            given = dict(zip(("name", "package"), node.args, strict=False))
            given |= {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg}
            texts = {
                key: value.value
                for key, value in given.items()
                if isinstance(value, ast.Constant) and isinstance(value.value, str)
            }
            if name := texts.get("name"):
                bare = name.lstrip(".")
                is_name = ast.unparse(given.get("package", node)) == "__name__"
                package = self.module if is_name else texts.get("package", self.package)
                self.add(self.relative(len(name) - len(bare), bare, package) if bare != name else name, node)
        self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> None:
        self.within(ast.iter_child_nodes(node), in_function=True)

    visit_AsyncFunctionDef = visit_FunctionDef
    visit_Lambda = visit_FunctionDef

    def visit_Try(self, node: ast.Try) -> None:
        caught = " ".join(ast.unparse(handler.type) for handler in node.handlers if handler.type)
        self.within(node.body, guarded="ImportError" in caught or "ModuleNotFoundError" in caught)
        self.within([*node.handlers, *node.orelse, *node.finalbody])

    def visit_If(self, node: ast.If) -> None:
        test = ast.unparse(node.test)
        guarded = any(word in test for word in ("sys.platform", "os.name", "hasattr("))
        self.within(node.body, guarded=guarded, typing_only=test in ("TYPE_CHECKING", "typing.TYPE_CHECKING"))
        self.within(node.orelse, guarded=guarded)


def collect(sources: dict[str, str], packages: Iterable[str] = ()) -> list[Import]:
    """Every import in `sources` (module name to text); `packages` names those that are `__init__.py`."""
    modules = frozenset(sources)
    found: list[Import] = []
    for module, text in sources.items():
        collector = Collector(module, module in packages, modules)
        collector.visit(ast.parse(text))
        found += collector.found
    return found


def layer_of(module: str) -> tuple[int, str] | None:
    """Height of a module and the name it stands under in the table, or None when it is not in it."""
    found = [
        (height, entry)
        for height, layer in enumerate(LAYERS)
        for entry in layer
        if module == entry or (entry not in PACKAGES and is_within(module, entry))
    ]
    return found[0] if found else None


def broken_layers(sources: dict[str, str], imports: Iterable[Import]) -> Iterator[str]:
    """Arrows point down only, for type checkers too."""
    for module in sources:
        if layer_of(module) is None:
            yield f"{module} is in no layer: put it into LAYERS of {Path(__file__).name}"
    for item in imports:
        here, there = layer_of(item.importer), layer_of(item.target)
        lazy = item.importer == LAZY_SERVER and (item.in_function or item.typing_only)
        if here and there and here[1] != there[1] and not lazy and there[0] >= here[0]:
            yield f"{item}, which is not below it"


def broken_packages(sources: dict[str, str], imports: Iterable[Import]) -> Iterator[str]:
    """The server knows four parts of the other package, which knows nothing of the server."""
    for item in imports:
        from_server = is_within(item.importer, "indipyserver")
        if from_server and is_within(item.target, "indipydriver") and not is_within(item.target, *SERVER_MAY_IMPORT):
            yield f"{item}; the server takes drivers by their shape"
        if (
            not from_server
            and is_within(item.target, "indipyserver")
            and not (item.importer == LAZY_SERVER and (item.in_function or item.typing_only))
        ):
            yield f"{item}; only its __init__ may, and only inside a function"


def does_io(target: str) -> bool:
    return (target.partition(".")[0] in IO_MODULES and target not in NO_IO_AFTER_ALL) or is_within(target, *IO_PARTS)


def reached(module: str, needs: dict[str, list[Import]]) -> Iterator[list[Import]]:
    """Each chain of imports that leads from this module to something that does I/O, the shortest one for each."""
    parents = module.split(".")
    begins = [".".join(parents[:length]) for length in range(2, len(parents) + 1)]  # its packages, and itself
    chains: list[list[Import]] = [[item] for each in begins if each not in FRONTS for item in needs.get(each, ())]
    seen = {module}
    for chain in chains:
        target = chain[-1].target
        if does_io(target):
            yield chain
        elif target not in seen and target not in PACKAGES:  # see broken_cycles
            seen.add(target)
            parts = target.split(".")
            # Its packages run first, too; what holds the module itself has run before anything of it.
            runs = (".".join(parts[:length]) for length in range(2, len(parts) + 1))
            chains += [[*chain, item] for each in runs if not is_within(module, each) for item in needs.get(each, ())]


def broken_sans_io(sources: dict[str, str], imports: Iterable[Import]) -> Iterator[str]:
    """What does no I/O reaches nothing that could."""
    needs: dict[str, list[Import]] = {}
    for item in imports:
        needs.setdefault(item.importer, []).append(item)
        if is_within(item.importer, *NO_IO_OF_THEIR_OWN) and does_io(item.target):
            yield f"{item}; this part does no I/O of its own"
        if is_within(item.importer, *NO_LOGGING) and item.target.partition(".")[0] == "logging":
            yield f"{item}; this part returns what is to be logged"
    for module in sources:
        if is_within(module, *SANS_IO):
            for chain in reached(module, needs):
                way = ", which ".join([str(chain[0]), *(f"imports {item.target}" for item in chain[1:])])
                yield f"{way}; this part does no I/O"
        elif "Sans-I/O" in (ast.get_docstring(ast.parse(sources[module])) or ""):
            yield f"{module} calls itself Sans-I/O: put it into SANS_IO of {Path(__file__).name}"


def broken_ends(sources: dict[str, str], imports: Iterable[Import]) -> Iterator[str]:
    """Nothing depends on the testing kit, the command, the tests or the examples."""
    for item in imports:
        for end, exceptions in ENDS.items():
            if is_within(item.target, end) and not is_within(item.importer, end) and item.importer not in exceptions:
                yield f"{item}; nothing may"


def broken_standard_library(sources: dict[str, str], imports: Iterable[Import]) -> Iterator[str]:
    """Nothing from outside; nothing at import time that some platform lacks."""
    for item in imports:
        root = item.target.partition(".")[0]
        if root not in sys.stdlib_module_names and root not in PACKAGES:
            yield f"{item}, which is not in the standard library"
        if root in NOT_EVERYWHERE and not (item.in_function or item.guarded or item.typing_only):
            yield f"{item}, which not every platform has; import it where it is needed"


def broken_cycles(sources: dict[str, str], imports: Iterable[Import]) -> Iterator[str]:
    """No circles, those for type checkers included."""
    needs: dict[str, set[str]] = {module: set() for module in sources}
    for item in imports:
        # A package's __init__ is not counted: importing anything inside it runs it first anyway.
        if item.target in needs and not item.in_function and item.target not in PACKAGES:
            needs[item.importer].add(item.target)
    done: set[str] = set()
    path: list[str] = []

    def walk(module: str) -> Iterator[str]:
        if module in path:
            yield "a cycle of imports: " + " -> ".join([*path[path.index(module) :], module])
        elif module not in done:
            path.append(module)
            for target in sorted(needs[module]):
                yield from walk(target)
            path.pop()
            done.add(module)

    for module in sorted(needs):
        yield from walk(module)


RULES = [
    broken_layers,
    broken_packages,
    broken_sans_io,
    broken_ends,
    broken_standard_library,
    broken_cycles,
]


def project() -> tuple[dict[str, str], list[Import]]:
    """The sources of both packages and what they import."""
    sources: dict[str, str] = {}
    packages: set[str] = set()
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(file.relative_to(ROOT).with_suffix("").parts)
            if file.name == "__init__.py":
                name = name.removesuffix(".__init__")
                packages.add(name)
            sources[name] = file.read_text(encoding="utf-8")
    return sources, collect(sources, packages)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_project_keeps(rule):
    sources, imports = project()
    assert len(sources) > 10
    assert list(rule(sources, imports)) == []


def planted(text: str, module: str, *others: str) -> list[str]:
    """Everything the rules say about a module with this text, next to empty `others`."""
    sources = {module: text, **dict.fromkeys(others, "")}
    imports = collect(sources, {name for name in sources if "." not in name})
    return [fault for rule in RULES for fault in rule(sources, imports)]


@pytest.mark.parametrize(
    ("module", "text", "says"),
    [
        ("indipydriver.protocol.framer", "import asyncio", "does no I/O"),
        ("indipydriver.protocol.framer", "from asyncio.streams import StreamReader", "does no I/O"),
        ("indipyserver.routing.router", "def f():\n    import socket", "does no I/O"),
        ("indipydriver.runtime.snooping", "import threading", "does no I/O"),
        ("indipydriver.protocol.frame", "import urllib.request", "does no I/O"),
        ("indipydriver.protocol.frame", "import _thread", "does no I/O"),
        ("indipydriver.vectorbase", "import importlib as il\nil.import_module('indipydriver.device')", "not below"),
        ("indipydriver.protocol.framer", "from ..transport import link", "does no I/O"),
        ("indipydriver.standard.mount", "from ..transport.link import Link", "does no I/O"),
        ("indipydriver.runtime.snooping", "from ..transport.link import Link", "does no I/O"),
        ("indipyserver.routing.router", "from indipydriver.transport.link import Link", "does no I/O"),
        ("indipyserver.check.checker", "from indipydriver.transport import link", "does no I/O"),
        ("indipyserver.spec", "import ssl", "does no I/O"),
        ("indipyserver.control.desk", "import asyncio", "does no I/O of its own"),
        ("indipyserver.relay.peer", "'''Peers.  Sans-I/O.'''", "put it into SANS_IO"),
        ("indipydriver.protocol.framer", "import_module('..transport.link', __package__)", "does no I/O"),
        (
            "indipydriver.protocol.framer",
            "import_module(name='.link', package='indipydriver.transport')",
            "does no I/O",
        ),
        ("indipyserver.relay.peer", "importlib.import_module('...cli', __name__)", "nothing may"),
        ("indipydriver.protocol.decode", "import logging", "to be logged"),
        ("indipyserver.relay.peer", "from indipydriver import IPyDriver", "by their shape"),
        ("indipyserver.relay.peer", "import indipydriver.device", "by their shape"),
        ("indipyserver.relay.peer", "if TYPE_CHECKING:\n    from indipydriver.device import Device", "by their shape"),
        ("indipydriver.device", "import indipyserver.relay.peer", "only its __init__"),
        ("indipydriver.device", "def f():\n    import indipyserver", "only its __init__"),
        ("indipydriver", "import indipyserver", "only inside a function"),
        ("indipydriver.ipydriver", "from . import testing", "nothing may"),
        ("indipyserver.ipyserver", "from .cli import main", "nothing may"),
        ("indipyserver.cli", "import examples.led", "nothing may"),
        ("indipyserver.check.run", "from ..cli.fifo import Fifo", "nothing may"),
        ("indipyserver.check.checker", "import asyncio", "does no I/O"),
        ("indipyserver.cli", "from tests.support import client", "nothing may"),
        ("indipydriver.device", "import numpy", "not in the standard library"),
        ("indipydriver.device", "def f():\n    import gpiozero", "not in the standard library"),
        ("indipydriver.device", "importlib.import_module('serial')", "not in the standard library"),
        ("indipydriver.transport.stdio", "import fcntl", "not every platform"),
        ("indipydriver.transport.stdio", "from termios import tcgetattr", "not every platform"),
        ("indipydriver.transport.stdio", "try:\n    import pwd\nexcept KeyError:\n    pass", "not every platform"),
        ("indipydriver.transport.stdio", "try:\n    pass\nexcept ImportError:\n    import grp", "not every platform"),
        ("indipydriver.errors", "from .protocol import tags", "not below"),
        ("indipydriver.protocol.tags", "from ..transport.link import Link", "not below"),
        ("indipydriver.protocol.tags", "from indipydriver.transport import link", "not below"),
        ("indipydriver.events", "from .device import Device", "not below"),
        ("indipydriver.propertyvectors", "from .ipydriver import IPyDriver", "not below"),
        ("indipydriver.propertyvectors", "from . import IPyDriver", "not below"),
        ("indipydriver.vectorbase", "if TYPE_CHECKING:\n    from .ipydriver import IPyDriver", "not below"),
        ("indipydriver.vectorbase", "if TYPE_CHECKING:\n    from .device import Device", "not below"),
        ("indipydriver.runtime.engine", "if TYPE_CHECKING:\n    from ..ipydriver import IPyDriver", "not below"),
        ("indipyserver.sources.remote", "from ..clients.listener import Acceptor", "not below"),
        ("indipyserver.routing.outbox", "from ..relay.peer import Peer", "not below"),
        ("indipyserver.routing.interest", "if TYPE_CHECKING:\n    from ..relay.peer import Peer", "not below"),
        ("indipydriver.ipydriver", "from .instruments.driver import InstrumentDriver", "not below"),
        ("indipydriver.instruments.driver", "import serial", "not in the standard library"),
        ("indipydriver.instruments.driver", "from indipyserver import IPyServer", "only its __init__"),
        ("indipyserver.surprise", "", "in no layer"),
    ],
)
def test_a_broken_rule_is_found(module, text, says):
    others = [
        "indipydriver.testing",
        "indipydriver.device",
        "indipydriver.ipydriver",
        "indipydriver.instruments.driver",
        "indipydriver.transport.link",
        "indipydriver.protocol.tags",
    ]
    faults = planted(text, module, *(name for name in others if name != module))
    assert [fault for fault in faults if says in fault and module in fault], faults


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("indipydriver.protocol.framer", "from .tags import TAGS\nfrom ..errors import IndiError\nimport re"),
        ("indipydriver", "from .ipydriver import IPyDriver\ndef __getattr__(name):\n    import indipyserver"),
        ("indipydriver.transport.stdio", "def f():\n    import fcntl"),
        ("indipydriver.transport.stdio", "try:\n    import fcntl\nexcept ImportError:\n    fcntl = None"),
        ("indipydriver.transport.stdio", "if sys.platform != 'win32':\n    import termios"),
        ("indipydriver.transport.stdio", "if os.name == 'nt':\n    pass\nelse:\n    import pwd"),
        (
            "indipyserver.relay.peer",
            "from indipydriver.transport import link\nfrom indipydriver.errors import SlowPeer",
        ),
        ("indipyserver.__main__", "from .cli import main"),
        (
            "indipyserver.ipyserver",
            "import asyncio, ssl\nfrom .sources.remote import Remote\nfrom .relay.peer import Peer",
        ),
    ],
)
def test_a_rightful_import_is_left_alone(module, text):
    assert planted(text, module) == []


@pytest.mark.parametrize(
    "between",
    [
        {"indipyserver.arguments": "import ssl"},
        {"indipyserver.arguments": "from .spec import Spec", "indipyserver.spec": "def f():\n    import socket"},
        {"indipyserver.arguments": "from indipydriver.transport.link import Link"},
        {
            "indipyserver.arguments": "from . import lines",
            "indipyserver.lines": "if TYPE_CHECKING:\n    import asyncio",
        },
    ],
)
def test_what_is_reached_counts(between):
    sources = {"indipyserver.routing.router": "from ..arguments import checked_flag", **between}
    faults = list(broken_sans_io(sources, collect(sources, PACKAGES)))
    found = [fault for fault in faults if fault.startswith("indipyserver.routing.router:1")]
    assert len(found) == 1, faults
    assert "imports indipyserver.arguments, which imports" in found[0]


def test_the_package_of_what_is_reached_counts():
    sources = {
        "indipyserver.routing.router": "from ..sources.recent import LogLine",
        "indipyserver.sources": "import asyncio",
        "indipyserver.sources.recent": "",
    }
    (fault,) = broken_sans_io(sources, collect(sources, {"indipyserver.sources"}))
    assert "router:1 imports indipyserver.sources.recent, which imports asyncio" in fault


def test_the_package_that_holds_it_counts():
    sources = {"indipydriver.runtime": "import asyncio", "indipydriver.runtime.snooping": ""}
    (fault,) = broken_sans_io(sources, collect(sources, {"indipydriver.runtime"}))
    assert fault == "indipydriver.runtime:1 imports asyncio; this part does no I/O"


def test_a_cycle_for_type_checkers_is_found():
    sources = {
        "indipydriver.protocol.a": "if typing.TYPE_CHECKING:\n    from .b import B",
        "indipydriver.protocol.b": "from .a import A",
    }
    (fault,) = broken_cycles(sources, collect(sources))
    assert fault == "a cycle of imports: " + " -> ".join(f"indipydriver.protocol.{name}" for name in "aba")


def test_a_cycle_is_found():
    sources = {
        "indipydriver.protocol.a": "from . import b",
        "indipydriver.protocol.b": "from .c import x",
        "indipydriver.protocol.c": "from .a import y",
        "indipydriver.protocol.d": "def f():\n    from . import a",
    }
    faults = list(broken_cycles(sources, collect(sources)))
    assert len(faults) == 1
    assert "protocol.a -> indipydriver.protocol.b -> indipydriver.protocol.c -> indipydriver.protocol.a" in faults[0]
