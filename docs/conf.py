"""Sphinx's settings for the site: `make docs` builds it from these pages and the headers' comments."""

import pathlib
import sys

ROOT = pathlib.Path(__file__).parents[1]
sys.path.append(str(ROOT / "tools"))
import shared  # noqa: E402

project = "ndtorch"
version = release = shared.version()
extensions = ["myst_parser", "breathe"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["snippets", "static"]

# Headings are link targets under the names that GitHub gives them.
myst_heading_anchors = 3

breathe_projects = {"ndtorch": str(ROOT / "build/docs/xml")}
breathe_default_project = "ndtorch"

html_theme = "furo"
html_title = f"ndtorch {release}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
