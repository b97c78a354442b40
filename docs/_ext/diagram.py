"""The drawings: ``diagrams/*.dot``, and the layers, as SVG files that a page shows like any other picture.

`python3 docs/_ext/readable.py` draws those that are not current; that needs graphviz. On the website they are part of
the page, in its colours. Nodes and edges may have the classes that ``_static/pages.css`` defines: ``driver``,
``server``, ``client``, ``quiet``, and ``strong`` for edges.
"""

import hashlib
import re
import subprocess
from html import escape
from pathlib import Path

import clientpanel
import layers

FOLDER = Path(__file__).resolve().parents[1] / "diagrams"
# The colours where the drawing stands alone: as in pages.css.
STYLE = """\
<style>
text { fill: #222; font-family: Helvetica, Arial, sans-serif; }
.edge text, .cluster text, .quiet text { fill: #666; }
.edge path, .edge polygon { stroke: #777; } .edge polygon { fill: #777; }
.edge.strong path, .edge.strong polygon { stroke: #1d5f8a; } .edge.strong polygon { fill: #1d5f8a; }
.cluster path, .cluster polygon { fill: #8881; stroke: #ccc; }
.node path, .node polygon, .node ellipse { fill: #fff; stroke: #999; }
.server path, .server polygon { fill: #dbe8f1; stroke: #3d8fc4; }
.driver path, .driver polygon { fill: #deecdf; stroke: #55a65a; }
.client path, .client polygon { fill: #f5e7d3; stroke: #d08a2b; }
.quiet path, .quiet polygon { fill: none; stroke: none; }
@media (prefers-color-scheme: dark) {
  .edge text, .cluster text, .quiet text { fill: #aaa; }
}
</style>
"""


def sources():
    """What is drawn: the name of each drawing, and its graph."""
    graphs = {path.stem: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.dot"))}
    return {**graphs, "layers": layers.graph(), "panel": clientpanel.svg()}


def mark(graph):
    """The comment by which a drawing is known to be current."""
    digest = hashlib.sha256((graph + STYLE).encode()).hexdigest()[:16]
    return f"<!-- drawn by docs/_ext/readable.py, {digest} -->"


def is_current(name, graph):
    """Does the file show this graph?"""
    path = FOLDER / f"{name}.svg"
    return path.exists() and path.read_text(encoding="utf-8").startswith(mark(graph))


def draw(source: str) -> str:
    """The SVG of a graph, without colours, comments, titles and ids.

    Raises:
        FileNotFoundError: graphviz is not installed.
        subprocess.CalledProcessError: The source is not a valid graph.
    """
    graph = source.replace("{", '{ bgcolor="transparent"; fontname="Helvetica"; ', 1)
    done = subprocess.run(["dot", "-Tsvg"], input=graph, capture_output=True, text=True, check=True)
    svg = done.stdout[done.stdout.index("<svg") :]
    svg = re.sub(r"<!--.*?-->\n?", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<title>.*?</title>\n?", "", svg)
    svg = re.sub(r' id="[^"]*"', "", svg)
    return re.sub(r' (?:fill|stroke|font-family)="(?!none|transparent)[^"]*"', "", svg)


def draw_all():
    """Draw what is not current; the files that were written."""
    written = []
    for name, graph in sources().items():
        if not is_current(name, graph):
            path = FOLDER / f"{name}.svg"
            if name == "panel":
                svg = graph
            else:
                head, end, rest = draw(graph).partition(">\n")
                svg = f"{head}{end}{STYLE}{rest}"
            path.write_text(f"{mark(graph)}\n{svg}", encoding="utf-8")
            written.append(path)
    return written


def setup(app):
    from docutils import nodes

    def inline(app, doctree):
        """Put the drawings into the page, so that they have its colours."""
        for image in list(doctree.findall(nodes.image)):
            path = FOLDER / Path(image["uri"]).name
            if "diagrams/" in image["uri"] and path.suffix == ".svg" and path.stem != "panel":  # which is drawn in full
                caption = image.get("alt", "")
                svg = path.read_text(encoding="utf-8").replace(STYLE, "")
                svg = svg[svg.index("<svg") :]
                svg = svg.replace("<svg ", f'<svg role="img" aria-label="{escape(caption, quote=True)}" ', 1)
                html = f'<figure class="diagram">{svg}<figcaption>{escape(caption)}</figcaption></figure>'
                parent = image.parent
                raw = nodes.raw("", html, format="html")
                if isinstance(parent, nodes.paragraph) and len(parent) == 1:
                    parent.replace_self(raw)
                else:
                    image.replace_self(raw)

    app.connect("doctree-read", inline, priority=100)
    return {"parallel_read_safe": True}
