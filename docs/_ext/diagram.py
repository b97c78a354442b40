"""The directive ``diagram``: draws a graphviz file as inline SVG, in the colours of the page.

Its argument is a file in the folder ``diagrams``, or ``layers``; its content is the caption. Nodes and edges may have
the classes that ``_static/pages.css`` defines: ``driver``, ``server``, ``client``, ``quiet``, and ``strong`` for edges.
"""

import re
import subprocess
from html import escape
from pathlib import Path

import layers

FOLDER = Path(__file__).parents[1] / "diagrams"


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


def setup(app):
    from docutils import nodes
    from sphinx.util.docutils import SphinxDirective

    class Diagram(SphinxDirective):
        """A drawing with its caption."""

        required_arguments = 1
        has_content = True

        def run(self):
            is_drawn = self.arguments[0] == "layers"
            path = layers.TABLE if is_drawn else FOLDER / self.arguments[0]
            self.env.note_dependency(str(path))
            caption = " ".join(self.content)
            try:
                svg = draw(layers.graph() if is_drawn else path.read_text(encoding="utf-8"))
            except FileNotFoundError:
                raise self.error("drawing this needs graphviz: apt-get install graphviz") from None
            except subprocess.CalledProcessError as error:
                raise self.error(f"{path.name}: {error.stderr}") from None
            svg = svg.replace("<svg ", f'<svg role="img" aria-label="{escape(caption, quote=True)}" ', 1)
            html = f'<figure class="diagram">{svg}<figcaption>{escape(caption)}</figcaption></figure>'
            return [nodes.raw("", html, format="html")]

    app.add_directive("diagram", Diagram)
    return {"parallel_read_safe": True}
