"""Mark the genes of a gene set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from .._keys import GENE_SET
from .._messages import examples, logger, unknown_name
from ..data._adata import check_adata
from ..data._gene_sets import is_gene_set_file, msigdb_collection, name_kind_hint, read_gmt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData


def gene_set(
    adata: AnnData,
    name_or_genes: str | Sequence[str],
    *,
    gmt: str | Path | None = None,
    version: str | None = None,
    key_added: str = GENE_SET,
    copy: bool = False,
) -> AnnData | None:
    """Mark the genes of a set in `adata.var`, for use as `mask_var`.

    Parameters
    ----------
    adata
        AnnData whose `var_names` are gene names.
    name_or_genes
        A list of genes; or the path of a GMT file, whose sets are united; or, with `gmt`, the name of
        one set in that file, or a list of names whose sets are united.
    gmt
        Path of a GMT file, the format of MSigDB and Enrichr. Each line is a set: its name, a
        description and its genes, separated by tabs; it may be compressed with gzip.
    version
        Version of MSigDB, such as `"2023.1.Hs"`. Then give the name of a collection, such as
        `"h.all"`, in place of the path of a GMT file. The collection is downloaded once and kept in
        `sp.settings.dataset_dir`.
    key_added
        Name of the column.
    copy
        Return a copy instead of writing to `adata`.

    Returns
    -------
    Returns `None` if `copy=False`, else an `AnnData`. Sets the following fields:

    `adata.var['gene_set' | key_added]` : :class:`pandas.Series` (dtype bool)
        Whether a gene belongs to the set.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    KeyError
        If the file or collection has no set of that name.
    ValueError
        If the file is not a GMT file, there is no such collection or version, or none of the
        genes is in `adata.var_names`.
    ConnectionError
        If a collection cannot be downloaded.

    Examples
    --------
    >>> import scgan_perturb as sp
    >>> adata = sp.datasets.pbmc68k()
    >>> sp.pp.gene_set(adata, ["CD79A", "MS4A1", "LYZ"])
    >>> int(adata.var["gene_set"].sum())
    3

    All Hallmark sets of MSigDB, and one of them:

    >>> sp.pp.gene_set(adata, "h.all", version="2023.1.Hs")  # doctest: +SKIP
    >>> sp.pp.gene_set(
    ...     adata, "HALLMARK_HYPOXIA", gmt="h.all", version="2023.1.Hs"
    ... )  # doctest: +SKIP
    """
    check_adata(adata)
    if key_added in adata.var and not pd.api.types.is_bool_dtype(adata.var[key_added]):
        msg = (
            f"adata.var[{key_added!r}] holds {adata.var[key_added].dtype} and is no earlier gene set, "
            "so it is not overwritten. Choose another key_added."
        )
        raise ValueError(msg)
    genes = _resolve_genes(name_or_genes, gmt, version, adata.var_names)
    marked = adata.var_names.isin(genes)
    found = set(adata.var_names[marked])
    missing = [gene for gene in genes if gene not in found]
    if not found:
        file = name_or_genes if gmt is None else gmt
        of = f" of {file}" if isinstance(file, (str, Path)) else ""
        msg = (
            f"None of the {len(genes):,} genes{of} ({examples(genes)}) is in adata.var_names "
            f"({examples(adata.var_names[:3])}). {name_kind_hint(genes, adata.var_names)}"
        )
        raise ValueError(msg)
    adata = adata.copy() if copy else adata
    adata.var[key_added] = marked
    logger.info(
        "Gene set: %s of %s genes found%s.\n    added: adata.var[%r]",
        f"{len(found):,}",
        f"{len(genes):,}",
        f"; not found: {examples(missing)}" if missing else "",
        key_added,
    )
    return adata if copy else None


def _resolve_genes(
    name_or_genes: str | Sequence[str],
    gmt: str | Path | None,
    version: str | None,
    var_names: pd.Index,
) -> list[str]:
    """The genes of the list or the named sets, each once."""
    if gmt is not None:
        sets = _read_sets(gmt, version, var_names)
        names = [name_or_genes] if isinstance(name_or_genes, str) else list(name_or_genes)
        for name in names:
            if name not in sets:
                raise unknown_name("Gene set", name, sets)
        chosen = [sets[name] for name in names]
    elif isinstance(name_or_genes, (str, Path)):
        if version is None and not is_gene_set_file(name_or_genes):
            msg = (
                f"{str(name_or_genes)!r} is neither a list of genes nor the path of a .gmt file. "
                "For a set by its name, also give gmt=, the path of its file. For a collection of "
                "MSigDB, also give version=."
            )
            raise ValueError(msg)
        chosen = list(_read_sets(name_or_genes, version, var_names).values())
    elif version is not None:
        msg = f"version={version!r} needs the name of a collection: gmt='h.all'."
        raise ValueError(msg)
    else:
        chosen = [[str(gene) for gene in name_or_genes]]
    return list(dict.fromkeys(gene for genes in chosen for gene in genes))


def _read_sets(
    source: str | Path, version: str | None, var_names: pd.Index
) -> dict[str, list[str]]:
    """The sets of a GMT file, or of a collection of MSigDB."""
    if version is None:
        return read_gmt(source, var_names)
    return msigdb_collection(str(source), version)
