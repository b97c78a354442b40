"""The reference of classes and functions as plain Markdown, from their docstrings."""

import ast
import contextlib
import enum
import importlib
import inspect
import itertools
import re
import sys
import textwrap

_DIRECTIVE = re.compile(r"^\.\. auto(\w+):: *(\S+)\n((?: +:.*\n)*)", re.M)
_OPTION = re.compile(r"^ +:([\w-]+): *(.*)$", re.M)
_ROLE = re.compile(r":\w+:`(?:[^`<]+<([^`>]+)>|[~.]*([^`]+))`")
_SECTIONS = {
    "Args": "Arguments",
    "Attributes": "Attributes",
    "Returns": "Returns",
    "Raises": "Raises",
    "Yields": "Yields",
}
_SECTION = re.compile(rf"^({'|'.join(_SECTIONS)}|Note|Notes|Example|Examples):$")


def markdown(directives):
    """What directives of autodoc show.

    Args:
        directives: As they stand in a page.
    """
    parts = []
    for kind, path, options in _DIRECTIVE.findall(directives if directives.endswith("\n") else directives + "\n"):
        parts += _documented(kind, path, dict(_OPTION.findall(options)))
    return "\n\n".join(parts)


def _documented(kind, path, options):
    if kind == "module":
        module = importlib.import_module(path)
        names = _names(options.get("members")) or list(module.__all__)
        parts = [] if "members" in options and _names(options["members"]) else [_text(inspect.getdoc(module) or "")]
        for name in names:
            thing = getattr(module, name)
            each = "class" if inspect.isclass(thing) else "function" if callable(thing) else "data"
            parts += _documented(each, f"{path}.{name}", {"members": ""} if each == "class" else {})
        return parts
    owner, name, thing = _locate(path)
    if kind == "data":
        return [f"#### `{name}`", _text(_variables(owner).get(name, ""))]
    if kind == "method":
        return _member(owner, name)
    if kind == "function":
        return [f"#### `{name}`", _callable(name, thing), _text(inspect.getdoc(thing) or "")]
    parts = [f"#### `{name}`", _callable(name, thing, "class "), _text(_class_doc(thing))]
    bases = [base.__name__ for base in thing.__bases__ if base is not object]
    if "show-inheritance" in options or issubclass(thing, BaseException):
        parts.append(f"Base: {', '.join(f'`{base}`' for base in bases)}")
    if "members" in options:
        excluded = _names(options.get("exclude-members"))
        for member in _names(options["members"]) or _all_members(thing, options.get("inherited-members")):
            if member not in excluded:
                parts += _member(thing, member)
    for member in _names(options.get("special-members")):
        parts += _member(thing, member)
    return [part for part in parts if part]


def _names(text):
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def _locate(path):
    """What holds something, its name, and the thing itself."""
    parts = path.split(".")
    for split in range(len(parts) - 1, 0, -1):
        try:
            owner = importlib.import_module(".".join(parts[:split]))
        except ImportError:
            continue
        for name in parts[split:-1]:
            owner = getattr(owner, name)
        return owner, parts[-1], getattr(owner, parts[-1])
    raise ImportError(path)


def _own(kind):
    """The public members that a class defines itself, with docstrings, in their order."""
    variables = _variables(kind)
    names = [name for name in [*vars(kind), *variables] if not name.startswith("_")]
    return [name for name in dict.fromkeys(names) if name in variables or _doc(kind, name)]


def _all_members(kind, without):
    """The public members of a class, then those that it inherits.

    Args:
        kind: The class.
        without: The base class whose members, and those of its own bases, are left out; None: all that is inherited.
    """
    names = dict.fromkeys(_own(kind))
    if without is not None:
        left_out = {one for base in kind.__mro__ if base.__name__ == without for one in base.__mro__}
        for base in kind.__mro__[1:]:
            if base not in left_out:
                names |= dict.fromkeys(_own(base))
    return list(names)


def _doc(kind, name):
    value = inspect.getattr_static(kind, name, None)
    if isinstance(value, staticmethod | classmethod):
        value = value.__func__
    if inspect.isfunction(value) or isinstance(value, property):
        return inspect.getdoc(getattr(kind, name)) or inspect.getdoc(value) or ""
    own = getattr(value, "__doc__", None)
    return inspect.cleandoc(own) if own and own != type(value).__doc__ and not isinstance(value, type) else ""


def _class_doc(kind):
    doc = vars(kind).get("__doc__") or ""
    return inspect.cleandoc(doc)


def _member(kind, name):
    value = inspect.getattr_static(kind, name, None)
    doc = _variables(kind).get(name) or _doc(kind, name)
    if isinstance(value, staticmethod | classmethod):
        value = value.__func__
    if inspect.isfunction(value):
        head = f"**`{name}{_signature(value, drop_first=not isinstance(vars(kind).get(name), staticmethod))}`**"
        kind_of = "coroutine" if inspect.iscoroutinefunction(value) else ""
        head += f" *({kind_of})*" if kind_of else ""
    else:
        head = f"**`{name}`**"
    return [head, _text(doc)] if doc else [head]


def _callable(name, thing, word=""):
    signature = ""
    if not isinstance(thing, enum.EnumType):  # a member is found by its value; Python's own signature changes
        with contextlib.suppress(TypeError, ValueError):
            signature = _signature(thing)
    word = word or ("async def " if inspect.iscoroutinefunction(thing) else "def ")
    return f"```python\n{_wrapped(word + name + signature)}\n```"


def _signature(thing, *, drop_first=False):
    signature = inspect.signature(thing)
    parameters = list(signature.parameters.values())
    if drop_first and parameters and parameters[0].name in ("self", "cls"):
        parameters = parameters[1:]
    shown = []
    for parameter in parameters:
        if parameter.name.startswith("_") and parameter.default is not parameter.empty:
            continue
        text = str(parameter.replace(annotation=parameter.empty))
        if " at 0x" in text or text.count("<") > 0:
            text = f"{parameter.name}=..."
        shown.append((parameter.kind, text))
    words = []
    star = False
    kinds = [kind for kind, _ in shown]
    for number, (kind, text) in enumerate(shown):
        if kind is inspect.Parameter.KEYWORD_ONLY and not star and inspect.Parameter.VAR_POSITIONAL not in kinds:
            words.append("*")
            star = True
        words.append(text)
        is_last = number + 1 == len(shown) or kinds[number + 1] is not inspect.Parameter.POSITIONAL_ONLY
        if kind is inspect.Parameter.POSITIONAL_ONLY and is_last:
            words.append("/")
    return f"({', '.join(words)})"


def _wrapped(line):
    if len(line) <= 100:
        return line
    head, _, rest = line.partition("(")
    return (
        head
        + "(\n"
        + textwrap.fill(rest.removesuffix(")"), 96, initial_indent="    ", subsequent_indent="    ")
        + "\n)"
    )


def _variables(owner):
    """The variables of a module or a class that have a text below them, with that text."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(owner)))
    except (OSError, TypeError):
        return {}
    body = tree.body if inspect.ismodule(owner) else tree.body[0].body
    found = {}
    for node, after in itertools.pairwise(body):
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(target, ast.Name) and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            found[target.id] = inspect.cleandoc(str(after.value.value))
    return found


def _text(doc):
    """A docstring as Markdown."""
    doc = _ROLE.sub(lambda found: f"`{(found[1] or found[2]).strip()}`", doc).replace("``", "`")
    lines, out, number = doc.splitlines(), [], 0
    while number < len(lines):
        line = lines[number]
        number += 1
        section = _SECTION.fullmatch(line)
        if section or line.endswith("::"):
            block = []
            while number < len(lines) and (not lines[number].strip() or lines[number].startswith("    ")):
                block.append(lines[number])
                number += 1
            inner = textwrap.dedent("\n".join(block)).strip("\n")
            if section:
                out += ["", f"*{_SECTIONS.get(section[1], section[1])}*", "", _entries(inner, section[1]), ""]
            else:
                head = line.removesuffix("::").strip()
                out += [f"{head}:" if head else "", "", "```python", inner, "```", ""]
        else:
            out.append(line)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(out)).strip()


def _entries(text, section):
    """The entries of a section as a list."""
    if section in ("Returns", "Yields", "Note", "Notes", "Example", "Examples"):
        return text
    entries = []
    for line in text.splitlines():
        if line.startswith(" ") and entries:
            entries[-1] += " " + line.strip()
        elif line.strip():
            entries.append(line)
    shown = []
    for entry in entries:
        name, colon, rest = entry.partition(":")
        shown.append(f"- `{name}`:{rest}" if colon and " " not in name else f"- {entry}")
    return "\n".join(shown)


if __name__ == "__main__":
    sys.stdout.write(markdown("\n".join(f".. autoclass:: {path}\n   :members:\n" for path in sys.argv[1:])))
