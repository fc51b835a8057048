"""Configure Sphinx for the site. CONTRIBUTING.md has the command. The build and the pages load nothing from outside."""

import layerbits

project = "layerbits"
version = release = layerbits.__version__
copyright = "the authors of layerbits"

extensions = ["myst_parser", "sphinx.ext.autodoc", "numpydoc"]
default_role = "py:obj"
autodoc_mock_imports = ["accelerate", "lightning", "transformers"]  # their import takes long
autodoc_typehints = "none"  # docstrings have the types
numpydoc_show_class_members = False
myst_heading_anchors = 3  # links to headings, as on GitHub

html_theme = "pydata_sphinx_theme"
html_title = "layerbits"
html_show_sourcelink = False
html_theme_options = {"navigation_with_keys": False, "navbar_center": [], "footer_start": [], "footer_end": []}
html_sidebars = {"**": ["globaltoc.html"]}
