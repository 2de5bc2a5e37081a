"""How the pages are built; .ci/run builds them with every warning an error."""

from importlib.metadata import version as installed_version

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
doctest_path = [".."]
doctest_global_setup = f"""
import os, sys
os.chdir(os.path.dirname(os.path.dirname(os.path.abspath({__file__!r}))))
"""
