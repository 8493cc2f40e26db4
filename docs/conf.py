"""Sphinx configuration. Builds without a network."""

from importlib.metadata import version as installed_version

project = "scgan_perturb"
author = "The scgan_perturb developers"
project_copyright = author
version = release = installed_version("scgan_perturb")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx_autodoc_typehints",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "_templates"]

html_theme = "sphinx_book_theme"
html_title = project

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"

# Docstrings mark code with single backticks.
default_role = "code"

autosummary_generate = True
autosummary_imported_members = False
autodoc_member_order = "bysource"

napoleon_google_docstring = False
napoleon_use_ivar = True
# "Returns" is prose and a list of the fields that are set, not a type and its description.
napoleon_custom_sections = ["Returns"]
typehints_document_rtype = False
typehints_defaults = "comma"
