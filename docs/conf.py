"""How Sphinx builds the site: ``make -C docs html``, with the extra ``docs``."""

import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path[:0] = [str(HERE / "_ext"), str(ROOT / "src"), str(ROOT / "tests" / "support")]

project = "nbgrad"
author = copyright = "the nbgrad developers"
version = release = re.search(  # read, not imported: the package says it in one place
    r'__version__ = "(.+)"', (ROOT / "src" / "nbgrad" / "__init__.py").read_text()
)[1]
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "reference",
    "gallery",
    "outside",
]
exclude_patterns = ["_build", "README.md"]  # the table of pages for who reads the folder itself

html_theme = "furo"
html_title = f"nbgrad {version}"
html_copy_source = False

myst_heading_anchors = 4
myst_links_external_new_tab = False

autodoc_typehints = "none"
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_param = False
napoleon_use_ivar = True
nitpicky = True
# Types in docstrings are words for readers; other packages' objects are not on this site.
nitpick_ignore_regex = [("py:class", ".*"), ("py:.*", r"(numpy|scipy|lmfit)\..*")]
