"""Sphinx configuration. The build needs no network, except where the site is hosted."""

import os
from base64 import b64decode
from importlib.metadata import version as installed_version
from pathlib import Path

import nbformat

project = "scgan_perturb"
author = "The scgan_perturb developers"
project_copyright = author
version = release = installed_version("scgan_perturb")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx_autodoc_typehints",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinxcontrib.bibtex",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "_templates"]
html_theme = "sphinx_book_theme"
html_title = f"{project} {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True

# Links to other packages are read from their sites.
intersphinx_mapping = {
    "anndata": ("https://anndata.scverse.org/en/stable/", None),
    "matplotlib": ("https://matplotlib.org/stable/", None),
    "numpy": ("https://numpy.org/doc/stable/", None),
    "pandas": ("https://pandas.pydata.org/docs/", None),
    "python": ("https://docs.python.org/3/", None),
    "scanpy": ("https://scanpy.scverse.org/en/stable/", None),
    "scipy": ("https://docs.scipy.org/doc/scipy/", None),
    "torch": ("https://pytorch.org/docs/stable/", None),
}
if "READTHEDOCS" not in os.environ:
    intersphinx_mapping = {}

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
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


# Which figure of a notebook stands on its card, if not the first: they shall not look alike.
ON_CARD = {"quickstart": 2, "tissues": 1, "kidney_tumour": 2, "interferon": 1}


def copy_tutorials() -> None:
    """Bring the notebooks in, which lie beside this folder, with links that hold from here.

    A figure of each is written beside it, for the card that leads to it.
    """
    here = Path(__file__).parent
    (here / "tutorials").mkdir(exist_ok=True)
    for notebook in (here.parent / "tutorials").glob("*.ipynb"):
        text = notebook.read_text(encoding="utf-8").replace("(../docs/", "(../")
        copied = here / "tutorials" / notebook.name
        if not copied.is_file() or copied.read_text(encoding="utf-8") != text:
            copied.write_text(text, encoding="utf-8")
        copied.with_suffix(".png").write_bytes(figures(text)[ON_CARD.get(notebook.stem, 0)])


def figures(text: str) -> list[bytes]:
    """The images in the outputs of a notebook."""
    return [
        b64decode(output["data"]["image/png"])
        for cell in nbformat.reads(text, as_version=4).cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]


copy_tutorials()


def drop_colon(*event):
    """Take out the colon that sphinx_autodoc_typehints puts below "Returns" for napoleon."""
    lines = event[-1]
    lines[:] = [line for line in lines if line != ":"]


def setup(app):
    """Run after sphinx_autodoc_typehints (499, connected earlier) and before napoleon (500)."""
    app.connect("autodoc-process-docstring", drop_colon, priority=499)
