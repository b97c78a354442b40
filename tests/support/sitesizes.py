"""What a router keeps."""

from __future__ import annotations

import types
from collections.abc import Iterator

__all__ = ["sizes"]


def sizes(root: object) -> Iterator[tuple[str, int]]:
    """The containers that can be reached from an object, with their lengths."""
    seen: set[int] = set()
    todo: list[tuple[str, object]] = [("router", root)]
    while todo:
        name, thing = todo.pop()
        if id(thing) in seen or isinstance(thing, (type, types.ModuleType, types.FunctionType, str, bytes, int)):
            continue
        seen.add(id(thing))
        if isinstance(thing, (dict, list, set, tuple)):
            yield name, len(thing)
            inner = [*thing.keys(), *thing.values()] if isinstance(thing, dict) else list(thing)
            todo += [(name, each) for each in inner]
        elif type(thing).__module__.startswith("indipyserver"):
            for key in (*getattr(thing, "__dict__", ()), *getattr(type(thing), "__slots__", ())):
                todo.append((f"{name}.{key}", getattr(thing, key, None)))
