"""The documentation site: `make docs` builds it with warnings as errors."""

from __future__ import annotations

import os
import sys
from functools import partialmethod
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "_ext"), str(HERE.parent)]  # the generators, and the benchmarks with their record

from nbclient import NotebookClient  # noqa: E402

from zeldo.version import __version__  # noqa: E402

# What commands print in a notebook: whole lines, without colours, as wide as a page.
NotebookClient.__init__ = partialmethod(NotebookClient.__init__, coalesce_streams=True)
os.environ.update(TTY_COMPATIBLE="0", COLUMNS="100")

project = "zeldo"
author = "The zeldo developers"
copyright = author
release = version = __version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "numpydoc",
    "sphinx_copybutton",
    "mathml",
    "generated_pages",
]
exclude_patterns = ["_build"]
source_suffix = {".md": "myst-nb", ".rst": "restructuredtext"}

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
suppress_warnings = [
    "toc.empty_glob",  # some pages come with the parts that they describe
]

nb_execution_mode = "cache"
nb_execution_cache_path = str(HERE.parent / "build" / "docs" / "notebooks")
nb_execution_in_temp = True  # what a notebook writes is gone after it
nb_execution_timeout = 600
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_merge_streams = True

smartquotes_action = "qe"  # quotes and ellipses; two dashes begin an option
default_role = "py:obj"  # of single backticks in docstrings
autodoc_typehints = "none"  # numpydoc's entries say the types
autodoc_member_order = "bysource"
numpydoc_show_class_members = False

html_theme = "furo"
html_title = "zeldo"
html_static_path = ["_static"]
html_favicon = "_static/favicon.svg"
html_css_files = ["zeldo.css"]
html_math_renderer = "mathml"
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {"navigation_with_keys": True}
copybutton_exclude = ".linenos, .gp, .go"

linkcheck_timeout = 20
linkcheck_anchors = False
