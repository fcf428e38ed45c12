"""Settings of the documentation; `make docs` builds it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))
# commands of the tutorials are those of this environment
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"

from xtalshift import __version__  # noqa: E402

project = "xtalshift"
author = "The xtalshift developers"
copyright = author  # noqa: A001 - the name that Sphinx reads
release = version = __version__

extensions = [
    "docstrings",
    "generated",
    "mathml",
    "myst_nb",
    "numpydoc",
    "own_host",
    "sphinx_copybutton",
    "sphinx_design",
    "tutorials",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "_ext", "_templates"]
smartquotes = False  # it would turn --option into a dash
default_role = "code"
nitpicky = True
# types of other packages, and of this one where no page has them
nitpick_ignore_regex = [("py:(class|obj)", ".*")]
suppress_warnings = ["config.cache"]  # of options that hold functions

myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 4
html_math_renderer = "mathml"

nb_execution_mode = "cache"
nb_execution_cache_path = str(HERE / "_build" / ".jupyter_cache")
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 1800
nb_merge_streams = True
nb_code_prompt_hide = "Hide what this build printed"
nb_code_prompt_show = "Show what this build printed"

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # `docstrings` writes them
numpydoc_show_class_members = False
python_maximum_signature_line_length = 88
copybutton_prompt_text = "$ "
copybutton_line_continuation_character = "\\"
copybutton_exclude = ".linenos, .gp, .go"

# doi.org answers programs with errors; addresses of examples do not exist
linkcheck_ignore = [r"https://doi\.org/", r"http://127\.0\.0\.1"]
linkcheck_anchors = False

html_theme = "pydata_sphinx_theme"
html_title = "xtalshift"
html_static_path = ["_static"]
html_favicon = "_static/icon.svg"
html_css_files = ["xtalshift.css"]
html_copy_source = False
html_show_sphinx = False
html_sidebars = {"**": ["sidebar-nav-bs"], "index": [], "start": []}
html_theme_options = {
    "logo": {"text": "xtalshift"},
    "show_prev_next": False,
    "collapse_navigation": True,
    "navigation_depth": 3,
    "header_links_before_dropdown": 7,
    "navbar_persistent": ["search-button"],
    "navbar_end": ["version-switcher", "theme-switcher"],
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
    # beside the folders of all versions; written by tools/docs_versions.py
    "switcher": {"json_url": "../versions.json", "version_match": version},
    "check_switcher": False,
}
