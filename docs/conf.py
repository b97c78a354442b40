"""The configuration of Sphinx: ``python3 -m sphinx -W docs docs/_build/html`` builds the documentation."""

import sys
import tomllib
from pathlib import Path

_here = Path(__file__).parent
sys.path[:0] = [str(_here / "_ext"), str(_here.parent), str(_here.parent / "companions")]

_metadata = tomllib.loads((_here.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]

project = "indipydriver"
author = "the indipydriver authors"
copyright = f"2026, {author}"
version = release = _metadata["version"]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "commandline", "diagram", "readable"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["_build", "snippets", "diagrams"]
nitpicky = False

myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_class_signature = "mixed"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
napoleon_use_ivar = True

html_theme = "furo"
html_title = f"{project} {release}"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_js_files = ["copy.js"]
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#1d5f8a", "color-brand-content": "#1d5f8a"},
    "dark_css_variables": {"color-brand-primary": "#7dbde8", "color-brand-content": "#7dbde8"},
}
pygments_style = "friendly"
pygments_dark_style = "nord-darker"


def tidy(app, doctree):
    """Remove the blank lines at the end of included parts of files."""
    from docutils import nodes

    for block in doctree.findall(nodes.literal_block):
        text = block.astext().rstrip()
        block.rawsource = text
        block[:] = [nodes.Text(text)]


def setup(app):
    from sphinx.domains.python import PyObject

    for field in PyObject.doc_field_types:
        if field.name == "variable":
            field.label = "Attributes"
    app.connect("doctree-read", tidy)
