"""How the pages are built; .ci/run builds them with every warning an error."""

import doctest
import re
from importlib.metadata import version as installed_version
from pathlib import Path

from sphinx.application import Sphinx

project = "ringlet"
author = "the ringlet developers"
project_copyright = "the ringlet developers"
version = release = installed_version("ringlet")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.doctest"]
exclude_patterns = ["_build"]
myst_enable_extensions = ["deflist", "fieldlist"]
myst_heading_anchors = 3
nitpicky = False

html_theme = "furo"
html_title = "ringlet"

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"

# The examples in the pages run where the reader would run them: in the folder of the project.
PROJECT = Path(__file__).resolve().parents[1]
# The text of an error is part of what the pages promise.
doctest_default_flags = doctest.ELLIPSIS | doctest.DONT_ACCEPT_TRUE_FOR_1
doctest_path = [str(PROJECT)]
doctest_global_setup = f"import os; os.chdir({str(PROJECT)!r})"


def as_plain_text(
    app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]
) -> None:
    """Docstrings are plain sentences with `code` in backticks: keep *args from being emphasis."""
    for number, line in enumerate(lines):
        pieces = re.split(r"`+([^`]+)`+", line)
        pieces[0::2] = [re.sub(r"([*|\\_])", r"\\\1", text) for text in pieces[0::2]]
        pieces[1::2] = [f"``{code}``" for code in pieces[1::2]]
        lines[number] = "".join(pieces)


def setup(app: Sphinx) -> None:
    app.connect("autodoc-process-docstring", as_plain_text)
