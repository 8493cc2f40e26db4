"""Sets of genes by name: from GMT files, and from the collections of MSigDB and Enrichr."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from .._messages import warn
from .._settings import settings
from ._text_files import DamagedError, read_lines, split_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

GeneSets = dict[str, list[str]]

MSIGDB_NAMES = "Collections are named like 'h.all' or 'c5.go.bp', versions like '2023.1.Hs'."
ENRICHR_NAMES = "gseapy.get_library_name() lists the libraries."
FILE = re.compile(r"\.(gmt|txt|tsv)(\.gz)?$", re.IGNORECASE)
ENSEMBL = re.compile(r"ENS[A-Z]*G\d+(\.\d+)?(_PAR_Y)?$")


def is_gene_set_file(source: str | Path) -> bool:
    """Whether gene sets are named by the path of a file, rather than by the name of a library."""
    if isinstance(source, Path) or FILE.search(source):
        return True
    return Path(source).expanduser().is_file()


def read_gmt(path: str | Path, known_genes: Collection[str] = ()) -> GeneSets:
    """The gene sets of a GMT file, plain or compressed with gzip, by name.

    Parameters
    ----------
    path
        The file. Each line is a name, a description and genes, separated by tabs. Files without
        descriptions are recognised by the genes in their second column.
    known_genes
        Names that are genes, besides those in the file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If a line has too few fields, a name stands for two sets, or the file is not text.

    Warns
    -----
    UserWarning
        If the file has no descriptions.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        msg = f"There is no GMT file {str(path)!r}."
        raise FileNotFoundError(msg)
    try:
        lines = read_lines(path)
    except DamagedError as error:
        msg = f"{str(path)!r} is not a text file, so not a GMT file. {error}"
        raise ValueError(msg) from error
    rows = {n: split_fields(line) for n, line in enumerate(lines, start=1) if line.strip()}
    first_gene = 2 if _has_descriptions(path, list(rows.values()), known_genes) else 1
    sets: GeneSets = {}
    for number, row in rows.items():
        genes = [gene for gene in map(_gene, row[first_gene:]) if gene]
        if not any(field.strip() for field in row[first_gene:]):
            msg = (
                f"Line {number} of {str(path)!r} is not of a GMT file: name, description and "
                f"genes, tab-separated, are expected, not {lines[number - 1][:60]!r}."
            )
            raise ValueError(msg)
        name = row[0].strip()
        if sets.get(name, genes) != genes:
            msg = (
                f"Line {number} of {str(path)!r} names the set {name!r} again, with other genes. "
                "Rename one of the two sets, or unite their lines."
            )
            raise ValueError(msg)
        sets[name] = genes
    if not sets:
        msg = f"{str(path)!r} holds no gene set."
        raise ValueError(msg)
    return sets


def _gene(field: str) -> str:
    """A gene of a GMT file, without the weight behind a comma that Enrichr's files can carry."""
    return field.split(",", maxsplit=1)[0].strip()


def _has_descriptions(path: Path, rows: list[list[str]], known_genes: Collection[str]) -> bool:
    """Whether the second fields describe the sets; a warning if most of them are genes."""
    genes = {_gene(field) for row in rows for field in row[2:]}.union(known_genes) - {""}
    second = [row[1].strip() for row in rows if len(row) > 1 and row[1] != row[0]]
    n_genes = sum(_gene(field) in genes for field in second)
    if n_genes <= len(rows) / 2:
        return True
    warn(
        f"{str(path)!r} has no descriptions: in {n_genes:,} of its {len(rows):,} lines the second "
        "field is a gene, so it is read as one. Where it is a description, as GMT files have it, "
        "write other words there."
    )
    return False


def msigdb_collection(name: str, version: str) -> GeneSets:
    """The gene sets of a collection of MSigDB, downloaded once and kept in the cache folder.

    Parameters
    ----------
    name
        As MSigDB's files are named: `"h.all"`, `"c2.cp.reactome"`.
    version
        As MSigDB's releases are named: `"2023.1.Hs"`, `"7.0"`.

    Raises
    ------
    ConnectionError
        If the collection is not in the cache and cannot be downloaded.
    ValueError
        If MSigDB has no such collection or version.
    """

    def download() -> GeneSets | None:
        from gseapy import Msigdb  # noqa: PLC0415 (slow, and not needed for files)

        return Msigdb.get_gmt(category=name, dbver=version)

    file = f"{_file_name(name)}.v{_file_name(version)}.symbols.gmt"
    what = f"MSigDB's collection {name!r} of version {version!r}"
    return _cached(Path(settings.dataset_dir) / "msigdb" / file, download, what, MSIGDB_NAMES)


def enrichr_library(name: str) -> GeneSets:
    """The gene sets of an Enrichr library, downloaded once and kept in the cache folder.

    Raises
    ------
    ConnectionError
        If the library is not in the cache and cannot be downloaded.
    ValueError
        If Enrichr has no library of that name.
    """

    def download() -> GeneSets:
        import gseapy  # noqa: PLC0415 (slow, and not needed for files)

        return gseapy.get_library(name, organism="Human", max_size=10**9)

    path = Path(settings.dataset_dir) / "enrichr" / f"{_file_name(name)}.gmt"
    return _cached(path, download, f"Enrichr's library {name!r}", ENRICHR_NAMES)


def _file_name(name: str) -> str:
    """A name as part of a file's name, which must not lead elsewhere."""
    return name.replace("/", "_").replace("\\", "_")


def _cached(path: Path, download: Callable[[], GeneSets | None], what: str, names: str) -> GeneSets:
    """The gene sets of a file in the cache, made by `download` where it is not there yet."""
    path = path.expanduser()
    if path.is_file():
        return read_gmt(path)
    import requests  # noqa: PLC0415 (not needed for files)

    try:
        sets = download() or {}
    except requests.exceptions.RequestException as error:
        msg = (
            f"{what} could not be downloaded ({type(error).__name__}). Is there a network? Without "
            f"one, give the path of a .gmt file that you have, or put it at {path}."
        )
        raise ConnectionError(msg) from error
    except ValueError as error:  # how gseapy says that there is no such library
        msg = f"{what} is not there. {names}"
        raise ValueError(msg) from error
    sets = {term: [gene for gene in genes if gene] for term, genes in sets.items()}
    sets = {term: genes for term, genes in sets.items() if genes}
    if not sets:
        msg = f"{what} is not there, or its server sent no gene sets. {names}"
        raise ValueError(msg)
    write_gmt(path, sets)
    return sets


def write_gmt(path: Path, sets: GeneSets) -> None:
    """Write a GMT file, whole or not at all; the folder is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["\t".join([name, "", *genes]) for name, genes in sets.items()]
    part = path.with_name(f"{path.name}.part")
    part.write_text("\n".join(lines) + "\n", encoding="utf-8")
    part.replace(path)


def name_kind_hint(genes: Collection[str], var_names: Collection[str]) -> str:
    """What to do where one side has Ensembl ids and the other has not, or versions differ."""
    theirs, ours = (_share_ensembl(names) > 0.5 for names in (genes, var_names))
    if theirs == ours:
        versioned = ours and any("." in name for name in var_names)
        return (
            "Both look like Ensembl ids; drop their versions: "
            "adata.var_names = adata.var_names.str.split('.').str[0]."
            if versioned
            else "Check that both name genes of the same species in the same way."
        )
    if ours:
        return (
            "The genes of adata look like Ensembl ids, those of the gene set like symbols. If "
            "symbols stand in a column of adata.var, call adata.var_names = adata.var[column] and "
            "adata.var_names_make_unique() before the fit, or take a gene set of Ensembl ids."
        )
    return (
        "The gene set looks like Ensembl ids, the genes of adata like symbols. Take the file of "
        "symbols ('.symbols.gmt' at MSigDB), or use Ensembl ids in adata.var_names."
    )


def _share_ensembl(names: Collection[str]) -> float:
    return sum(bool(ENSEMBL.match(str(name))) for name in names) / max(len(names), 1)
