"""Keeps the pages readable as plain Markdown: `python3 docs/_ext/readable.py` writes into them what they show.

Code of files, the reference of classes, the flags of the command and drawings are made by Sphinx when the documentation
is a website. A code host, or `less`, shows the Markdown itself. So each such directive stands in a comment, and what it
shows stands below it:

    <!-- literalinclude ../snippets/led1.py
    :language: python
    -->
    ```python
    ...
    ```

For the website, the comment becomes the directive again, and what is below it is dropped. A directive that is written
as such (`:::{literalinclude} ...`) is turned into this form.
"""

import ast
import re
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
sys.path[:0] = [str(DOCS / "_ext"), str(ROOT), str(ROOT / "companions")]

import plainapi  # noqa: E402

_SHOWN = re.compile(
    r"^<!-- (?P<kind>literalinclude|commandline|toctree|eval-rst)(?P<argument>[^\n]*)\n(?P<options>.*?)^-->\n"
    r"(?:(?P<fence>```+)\w*\n.*?^(?P=fence)\n|(?P<plain>.*?)^<!-- /(?P=kind) -->\n)?",
    re.M | re.S,
)
_COLONS = re.compile(
    r"^:::\{(?P<kind>literalinclude|commandline|toctree)\}(?P<argument>[^\n]*)\n(?P<options>.*?)^:::$\n?", re.M | re.S
)
_RST = re.compile(r"^```\{eval-rst\}\n(?P<options>.*?)^```$\n?", re.M | re.S)
_OPTION = re.compile(r"^:([\w-]+): *(.*)$", re.M)


def pages():
    """The Markdown files of the documentation."""
    return sorted(path for path in DOCS.rglob("*.md") if not {"_build", ".ruff_cache"} & set(path.parts))


def refreshed(text, folder):
    """A page with what it shows, as that is now.

    Args:
        text: The page.
        folder: Where it lies.
    """
    text = _COLONS.sub(lambda found: f"<!-- {found['kind']}{found['argument']}\n{found['options']}-->\n", text)
    text = _RST.sub(lambda found: f"<!-- eval-rst\n{found['options']}-->\n", text)
    return _SHOWN.sub(lambda found: _head(found) + _body(found, folder), text)


def for_sphinx(text):
    """A page with the directives in place of what they show."""

    def directive(found):
        if found["kind"] == "eval-rst":
            return f"```{{eval-rst}}\n{found['options']}```\n"
        return f":::{{{found['kind']}}}{found['argument']}\n{found['options']}:::\n"

    return _SHOWN.sub(directive, text)


def without_shown(text):
    """A page without what its directives show."""
    return _SHOWN.sub("", text)


def _head(found):
    return f"<!-- {found['kind']}{found['argument']}\n{found['options']}-->\n"


def _body(found, folder):
    kind, argument = found["kind"], found["argument"].strip()
    if kind == "literalinclude":
        options = dict(_OPTION.findall(found["options"]))
        code = extract((folder / argument).read_text(encoding="utf-8"), options)
        return f"```{options.get('language', 'text')}\n{code}\n```\n"
    if kind == "toctree":
        return ""
    if kind == "commandline":
        import commandline

        body = commandline.PARTS[argument]().replace("```{code-block} text\n:class: small\n\n", "```text\n")
    else:
        body = plainapi.markdown(found["options"])
    return f"\n{body.strip()}\n\n<!-- /{kind} -->\n"


def extract(text, options):
    """The part of a file that a literalinclude shows."""
    lines = text.splitlines()
    if "pyobject" in options:
        lines = _object(text, options["pyobject"].split("."))
    for name, offset in (("start-after", 1), ("start-at", 0)):
        if name in options:
            lines = lines[_find(lines, options[name]) + offset :]
    for name, offset in (("end-before", 0), ("end-at", 1)):
        if name in options:
            first = 1 if "start-at" in options else 0
            lines = lines[: first + _find(lines[first:], options[name]) + offset]
    if "dedent" in options:
        lines = textwrap.dedent("\n".join(lines)).splitlines()
    return "\n".join(lines).strip("\n").rstrip()


def _find(lines, value):
    wanted = value.strip('"')
    return next(number for number, line in enumerate(lines) if wanted in line)


def _object(text, names):
    node = ast.parse(text)
    for name in names:
        node = next(child for child in node.body if getattr(child, "name", None) == name)
    first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
    return text.splitlines()[first - 1 : node.end_lineno]


def main():
    """Write all pages anew, and draw the diagrams that are not current."""
    import diagram

    for path in pages():
        old = path.read_text(encoding="utf-8")
        new = refreshed(old, path.parent)
        if new != old:
            path.write_text(new, encoding="utf-8")
            sys.stdout.write(f"{path.relative_to(ROOT)}\n")
    for path in diagram.draw_all():
        sys.stdout.write(f"{path.relative_to(ROOT)}\n")


def setup(app):
    app.connect("source-read", lambda app, name, source: source.__setitem__(0, for_sphinx(source[0])))
    return {"parallel_read_safe": True}


if __name__ == "__main__":
    main()
