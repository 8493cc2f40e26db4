"""Sphinx configuration. The build needs no network."""

from importlib.metadata import version as installed_version
from pathlib import Path

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
    "sphinxcontrib.bibtex",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "_templates"]
html_theme = "sphinx_book_theme"
html_title = f"{project} {version}"

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 2
nb_execution_mode = "off"  # notebooks are shown with the outputs that are stored in them

bibtex_bibfiles = ["references.bib"]
bibtex_reference_style = "author_year"

default_role = "code"  # docstrings mark code with single backticks
autosummary_generate = True
# The value of sp.settings holds a folder of the machine that builds.
autodoc_default_options = {"no-value": True}
autodoc_member_order = "bysource"
# The alias is written as text, which cannot be resolved outside its own module.
autodoc_type_aliases = {"Matrix": "numpy.ndarray | scipy.sparse.csr_matrix"}
napoleon_google_docstring = False
napoleon_use_ivar = True
# "Returns" is prose and a list of the fields that are set, not a type with its description.
napoleon_custom_sections = ["Returns"]
typehints_defaults = "comma"
typehints_document_rtype = False


def copy_tutorials() -> None:
    """Bring the notebooks in, which lie beside this folder, with links that hold from here."""
    here = Path(__file__).parent
    (here / "tutorials").mkdir(exist_ok=True)
    for notebook in (here.parent / "tutorials").glob("*.ipynb"):
        text = notebook.read_text(encoding="utf-8").replace("(../docs/", "(../")
        copied = here / "tutorials" / notebook.name
        if not copied.is_file() or copied.read_text(encoding="utf-8") != text:
            copied.write_text(text, encoding="utf-8")


copy_tutorials()


def drop_colon(*event):
    """Take out the colon that sphinx_autodoc_typehints puts below "Returns" for napoleon."""
    lines = event[-1]
    lines[:] = [line for line in lines if line != ":"]


def setup(app):
    """Run after sphinx_autodoc_typehints (499, connected earlier) and before napoleon (500)."""
    app.connect("autodoc-process-docstring", drop_colon, priority=499)
