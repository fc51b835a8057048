"""Configure Sphinx for the site. CONTRIBUTING.md has the command. The build and the pages load nothing from outside."""

import re

import layerbits

project = "layerbits"
version = release = layerbits.__version__
copyright = "the authors of layerbits"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
default_role = "py:obj"
# Their import takes long.
autodoc_mock_imports = ["accelerate", "lightning", "transformers"]
autodoc_typehints = "none"  # docstrings have the types
# tools/release_check.sh executes the scripts, with -D plot_gallery=1.
plot_gallery = "False"
sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "executed_gallery",
    "filename_pattern": "/",
    "capture_repr": (),
    "abort_on_example_error": True,
    "download_all_examples": False,
    # Seconds: pages state no time of the machine that built them.
    "min_reported_time": 10**6,
    "write_computation_times": False,
    "show_memory": False,
    "show_signature": False,
}
numpydoc_show_class_members = False
myst_heading_anchors = 3  # links to headings, as on GitHub

exclude_patterns = ["gallery"]  # copied to executed_gallery
html_theme = "pydata_sphinx_theme"
html_title = "layerbits"
html_static_path = ["_static"]
html_css_files = ["site.css"]
highlight_language = "none"  # blocks name their language
html_show_sourcelink = False
html_theme_options = {
    "navigation_with_keys": False,
    "navbar_center": [],
    "footer_start": [],
    "footer_end": [],
}
html_sidebars = {"**": ["globaltoc.html"]}


def escape_bars(app, what, name, documented, options, lines):
    """Escape the bars of norms such as |s| in a docstring, which reStructuredText takes for names of substitutions."""
    lines[:] = [
        line if "``" in line else re.sub(r"(?<!\w)\|(?=\S)", r"\|", line)
        for line in lines
    ]


def setup(app):
    """Connect the functions of this file to Sphinx."""
    # Before numpydoc.
    app.connect("autodoc-process-docstring", escape_bars, priority=100)
