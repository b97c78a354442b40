"""Who may import whom in the companions: the standard library, what the core offers, and layers of their own."""

import sys

import pytest

from tests.unit.test_import_contracts import NOT_EVERYWHERE, ROOT, Import, collect, does_io, is_within

# What companions may know of the core: its public names, the way of frames, and its read-only mapping.
CORE = ("indipydriver.protocol", "indipydriver.transport", "indipydriver.errors", "indipydriver.fixed")
PUBLIC = ("indipydriver", "indipyserver")

# The layers of each companion, lowest first; a module imports from layers below its own, or its own folder.
LAYERS = {
    "indipyclient": (
        "errors lazy images",
        "model",
        "addresses eventline reconnect streams quick stats turns",
        "reaching",
        "connect look",
        "session",
        "bloblink",
        "engine",
        "blobs commanding listening waiting",
        "client",
        "sync recording",
        "propertymembers",
        "snapshots",
        "propertyvectors",
        "events devices",
        "devicestore",
        "ipyclient",
        "queclient",
        "",
        "cli",
        "__main__",
    ),
    "indipyterm": (
        "",
        "words keymap",
        "settings values search pictures plots edits received",
        "aim orders layout receiving",
        "paint browser session",
        "workspace themes inorder hangup",
        "widgets",
        "screens commands",
        "app",
        "cli",
        "__main__",
    ),
    "indipyweb": (
        "",
        (
            "security.permissions security.limits security.sessions security.origin security.passwords "
            "store.database histories unsaved svgplot views settings listening disk"
        ),
        "store.keeping store.users store.audit store.logins",
        "site",
        "commands",
        "events",
        "serving driverlist store.profiles",
        "launcher",
        "context",
        "visit",
        "pages",
        "api",
        "routes",
        "app webmanager connections",
        "running",
        "cli",
        "__main__",
        "security store",
    ),
    "indiredis": (
        "errors servers keys numbers inbox",
        "records logs requests feed",
        "plan blobfolder connection sources tools answering",
        "store",
        "commands fromindi toindi",
        "run",
        "mqtt",
        "mqttrun",
        "blocking",
        "",
        "web",
        "indiwsgi",
        "cli",
        "__main__",
    ),
    "indimqttredis": ("", "indiredis", "indimqtt mqttredis toxml fromxml"),
}
# What the extras bring, and which modules may know of it: those that draw.
EXTRAS = {
    "rich": (
        "indipyterm.words",
        "indipyterm.themes",
        "indipyterm.widgets",
        "indipyterm.screens",
        "indipyterm.commands",
    ),
    "textual": (
        "indipyterm.themes",
        "indipyterm.widgets",
        "indipyterm.screens",
        "indipyterm.commands",
        "indipyterm.inorder",
        "indipyterm.app",
    ),
    "starlette": tuple(f"indipyweb.{part}" for part in "app api context events visit pages webmanager".split()),
    "jinja2": ("indipyweb.context",),
    "uvicorn": ("indipyweb.connections", "indipyweb.running"),
    "argon2": ("indipyweb.security.passwords",),
}
# What stands on the client library knows no frame, no message and no link: its names, its model, its addresses.
ON_THE_CLIENT = {
    "indipyterm": (
        *("indipyclient.model", "indipyclient.addresses", "indipyclient.images", "indipyclient.blobs"),
        "indipyclient.cli.main",
    ),
    "indipyweb": ("indipyclient.model", "indipyclient.addresses", "indipyclient.images", "indipyclient.blobs"),
}
# Puts an INDI server and the web into one process, on the public names of the server.
SERVES = "indipyweb.serving"
# Asks the system what a browser has taken, as links do.
ASKS = ("indipyweb.connections", "indipydriver.transport.sockets")
# What a companion may know of another one.  Packages of others are imported by `indiredis.errors.need` alone.
USES = {"indiredis": ("indipyclient",), "indimqttredis": ("indiredis",)}
# The command opens the terminal client where that is installed.
HANDS_ON = {("indipyclient.cli.main", "indipyterm.__main__")}
SANS_IO = (
    "indipyclient.model",
    "indipyclient.recording.form",
    "indipyclient.addresses",
    "indipyclient.reconnect",
    "indipyclient.errors",
    *(f"indipyclient.images.{part}" for part in "fits picture png".split()),
    *(
        f"indipyterm.{part}"
        for part in "words keymap settings values search pictures plots edits received aim layout paint browser".split()
    ),
    *(f"indipyweb.{part}" for part in "histories unsaved svgplot views security.limits security.permissions".split()),
    *(
        f"indiredis.{part}"
        for part in "keys numbers records logs plan requests mqtt.topics mqtt.snoop mqtt.owners mqtt.tree mqtt.discovery".split()
    ),
)


def height(package: str, module: str) -> tuple[int, str] | None:
    """Of a module in its package: its layer, and the name it stands under."""
    rest = module.removeprefix(package).lstrip(".")
    for number, layer in enumerate(LAYERS[package]):
        for name in layer.split() or [""]:
            if rest == name or (name and is_within(rest, name)):
                return number, name
    return None


def project() -> tuple[dict[str, str], list[Import]]:
    sources: dict[str, str] = {}
    packages: set[str] = set()
    for package in LAYERS:
        for file in sorted((ROOT / "companions" / package).rglob("*.py")):
            name = ".".join(file.relative_to(ROOT / "companions").with_suffix("").parts)
            if file.name == "__init__.py":
                name = name.removesuffix(".__init__")
                packages.add(name)
            sources[name] = file.read_text(encoding="utf-8")
    return sources, collect(sources, packages)


def broken(sources: dict[str, str], imports: list[Import]) -> list[str]:
    faults = []
    for module, text in sources.items():
        if height(module.partition(".")[0], module) is None:
            faults.append(f"{module} is in no layer")
        if text.count("\n") > 500:
            faults.append(f"{module} has more than 500 lines")
    for item in imports:
        root = item.target.partition(".")[0]
        package = item.importer.partition(".")[0]
        if (item.importer, item.target) in HANDS_ON and item.guarded:
            continue
        if package in ON_THE_CLIENT and root == "indipyclient":
            if item.target != root and not is_within(item.target, *ON_THE_CLIENT[package]):
                faults.append(f"{item}, which is not public")
            continue
        if (item.importer == SERVES and item.target == "indipyserver") or (item.importer, item.target) == ASKS:
            continue
        if package in ON_THE_CLIENT and root in PUBLIC:
            faults.append(f"{item}; it knows the model only")
        if root in EXTRAS:
            if not is_within(item.importer, *EXTRAS[root]):
                faults.append(f"{item}, which draws nothing")
            continue
        if root not in sys.stdlib_module_names and root not in (*PUBLIC, package, *USES.get(package, ())):
            faults.append(f"{item}, which is not in the standard library")
        if root in PUBLIC and item.target not in PUBLIC and not is_within(item.target, *CORE):
            faults.append(f"{item}, which is not public")
        if root in NOT_EVERYWHERE and not (item.in_function or item.guarded):
            faults.append(f"{item}, which not every platform has")
        if is_within(item.importer, *SANS_IO) and (does_io(item.target) or root == "indipyserver"):
            faults.append(f"{item}; this part does no I/O")
        if root == package:
            here, there = height(package, item.importer), height(package, item.target)
            lazy = item.in_function or item.typing_only
            if here and there and there[1] != here[1] and there[0] >= here[0] and not lazy:
                faults.append(f"{item}, which is not below it")
    return faults


def test_the_companions_keep_the_rules():
    sources, imports = project()
    assert len(sources) > 5
    assert broken(sources, imports) == []


@pytest.mark.parametrize(
    ("module", "text", "says"),
    [
        ("indipyclient.model.model", "import asyncio", "does no I/O"),
        ("indipyclient.model.model", "from ..client import Client", "not below it"),
        ("indipyclient.client", "import requests", "not in the standard library"),
        ("indipyclient.client", "from indipyserver.routing import router", "not public"),
        ("indipyclient.client", "import fcntl", "not every platform"),
        ("indipyclient.unheard_of", "", "in no layer"),
        ("indipyclient.client", "\n" * 501, "more than 500 lines"),
        ("indipyclient.client", "import textual", "draws nothing"),
        ("indipyterm.paint", "import textual", "draws nothing"),
        ("indipyterm.paint", "from .widgets.lines import Lines", "not below it"),
        ("indipyterm.paint", "import asyncio", "does no I/O"),
        ("indipyterm.session", "from indipydriver.protocol.messages import NewVector", "the model only"),
        ("indipyterm.session", "from indipyclient.engine import Engine", "not public"),
    ],
)
def test_what_breaks_a_rule_is_found(module, text, says):
    sources = {module: text, "indipyclient.client": "", "indipyclient.model.model": ""} | {module: text}
    assert any(says in fault for fault in broken(sources, collect(sources)))
