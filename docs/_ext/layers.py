"""The drawing of the layers: from the very table that the test of the imports keeps, so that it cannot lie."""

import importlib.util
from itertools import pairwise
from pathlib import Path

TABLE = Path(__file__).parents[2] / "tests" / "unit" / "test_import_contracts.py"
_FOLDED = 3  # siblings beyond so many share one box
_ENDS = ("indipydriver", "indipyserver", "indipyserver.__main__")


def _contracts():
    spec = importlib.util.spec_from_file_location("import_contracts", TABLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def graph() -> str:
    """The layers of both packages as a graph, an arrow from each to the next one below."""
    table = _contracts()
    lines = ["digraph layers {", "rankdir=TB; ranksep=0.3; nodesep=0.2; compound=true;"]
    lines.append('node [shape=box, style=rounded, fontsize=11, margin="0.16,0.08"]; edge [arrowsize=0.7];')
    for package in table.PACKAGES:
        layers = [sorted(entry for entry in layer if table.is_within(entry, package)) for layer in table.LAYERS]
        layers = [[entry for entry in layer if entry not in _ENDS] for layer in layers]
        layers = [layer for layer in layers if layer]
        lines.append(f'subgraph cluster_{package} {{ label="{package}"; fontsize=11; style=rounded;')
        tops = [_row(lines, package, number, layer) for number, layer in enumerate(layers)]
        lines += [f"{above} -> {below};" for below, above in pairwise(tops)]
        lines.append("}")
    lines.append("indipyserver_0 -> indipydriver_2 [class=strong];")
    return "\n".join([*lines, "}"])


def _row(lines: list[str], package: str, number: int, layer: list[str]) -> str:
    """The boxes of one layer; returns the one that its arrows begin and end at."""
    kind = "driver" if package == "indipydriver" else "server"
    names = [entry.removeprefix(f"{package}.") for entry in layer]
    if len(names) > _FOLDED + 1:
        half = (len(names) + 1) // 2
        names = [", ".join(names[:half]) + ",\\n" + ", ".join(names[half:])]
    nodes = [f"{package}_{number}" + (f"_{index}" if index else "") for index in range(len(names))]
    lines.append(
        "{ rank=same; "
        + " ".join(f'{node} [class={kind}, label="{name}"];' for node, name in zip(nodes, names, strict=True))
        + " }"
    )
    return nodes[0]
