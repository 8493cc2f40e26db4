"""What the genes that a perturbation moves are known for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from .._checks import check_count
from .._keys import ALL, TSPG, tspg_keys
from .._messages import check_choice, examples, logger, warn
from .._seeds import Rng, resolve_seed
from ..data._gene_sets import (
    enrichr_library,
    is_gene_set_file,
    msigdb_collection,
    name_kind_hint,
    read_gmt,
)
from ..data._labels import single
from ..evaluation._gene_set_tests import empty_table, over_represented, preranked
from ..get import rank_genes_df
from ..storage._arguments import copy_if_asked
from ..storage._free_names import check_free, holds

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    import pandas as pd
    from anndata import AnnData

    from ..data._gene_sets import GeneSets

METHODS = ("ora", "prerank")
DIRECTIONS = ("up", "down")
SEED_LIMIT = 2**32  # gseapy's seeds are small


def enrich(
    adata: AnnData,
    gene_sets: str | Path | Mapping[str, Sequence[str]],
    *,
    group: object = ALL,
    direction: Literal["up", "down"] = "up",
    method: Literal["ora", "prerank"] = "ora",
    n_genes: int = 20,
    background: Sequence[str] | None = None,
    min_size: int = 5,
    version: str | None = None,
    n_permutations: int = 1000,
    rng: Rng = 0,
    key_added: str | None = None,
    key: str = TSPG,
    copy: bool = False,
) -> AnnData | None:
    """Find gene sets that hold more of the perturbed genes than chance would (paper, section 3).

    Works on what :func:`~scgan_perturb.tl.rank_genes` wrote. Each set is cut to the background
    before it is tested.

    Parameters
    ----------
    adata
        AnnData with ranked genes.
    gene_sets
        Path of a GMT file, plain or compressed with gzip; or genes of each set by its name; or the name of an Enrichr library,
        or, with `version`, of a collection of MSigDB. These are downloaded once and kept in
        `sp.settings.dataset_dir`.
    group
        Source class, or `"all"` for all samples together.
    direction
        For `"ora"`: the most increased (`"up"`) or the most decreased genes (`"down"`).
        `"prerank"` looks at both ends, and the sign of `nes` says which.
    method
        `"ora"`: over-representation among the first `n_genes`, by the hypergeometric test;
        `"prerank"`: gene set enrichment analysis of the whole ranking by mean perturbation.
    n_genes
        For `"ora"`: number of genes (the paper takes 20), at most: none that moves the other way.
    background
        For `"ora"`: the genes that could have been found. None for those that the model could
        perturb; wider ones make p-values too small, as genes outside had no chance.
    min_size
        Sets with fewer genes in the background are not tested.
    version
        Version of MSigDB, such as `"2023.1.Hs"`, for a collection such as `"h.all"`.
    n_permutations
        For `"prerank"`: number of random sets.
    rng
        For `"prerank"`: seed or generator; None for another each time.
    key_added
        Name in `uns` of what is added; None for `f"{key}_enrichment"`.
    key
        Name of the fit.
    copy
        Return a copy instead of writing to `adata`.

    Returns
    -------
    Returns `None` if `copy=False`, else an `AnnData`. Sets the following fields:

    `adata.uns['tspg_enrichment' | f'{key}_enrichment' | key_added]` : :class:`dict`
        `params`, and `table`, a :class:`pandas.DataFrame` with a row a set, by rising p-value:

        `term`, `set_size`
            The set and its number of genes in the background.
        `overlap`, `genes`
            The genes found in it, joined by `;`, and their number; for `"prerank"` those of the
            leading edge.
        `p_value`
            Hypergeometric; for `"prerank"` by permutation, not below 1 / `n_permutations`.
        `q_value`
            Benjamini-Hochberg over all sets tested: those that share no gene, which are not
            listed, count as well (p = 1).
        `odds_ratio` or `nes`
            For `"ora"` the odds ratio with 0.5 added to each cell of the two-by-two table, for
            `"prerank"` the normalised enrichment score.

    Raises
    ------
    KeyError
        If genes were not ranked, or there is no such group.
    ValueError
        If an argument is none of the above, or the gene sets are none.
    TypeError
        If the gene sets are of another kind.
    FileNotFoundError
        If there is no such file.
    ConnectionError
        If a library or collection cannot be downloaded.

    Examples
    --------
    >>> import scgan_perturb as sp
    >>> adata = sp.datasets.pbmc68k()
    >>> sp.tl.fit_tspg(adata, "bulk_labels", "CD19+ B")
    >>> sp.tl.rank_genes(adata)
    >>> sets = {"B cell": ["CD79A", "CD79B", "MS4A1"], "T cell": ["CD3D", "CD3E", "IL32"]}
    >>> sp.tl.enrich(adata, sets, n_genes=300, min_size=2)
    >>> list(sp.get.enrichment_df(adata).columns)
    ['term', 'overlap', 'set_size', 'p_value', 'q_value', 'odds_ratio', 'genes']
    """
    _check(method, direction, background)
    for name, value in (("n_genes", n_genes), ("min_size", min_size)):
        check_count(name, value)
    check_count("n_permutations", n_permutations)
    name = tspg_keys(key).enrichment if key_added is None else key_added
    adata = copy_if_asked(adata, copy=copy)
    check_free(adata, name, lambda stored: holds(stored, "params", "table"))
    ranked = rank_genes_df(adata, single(group, "group"), key=key)
    group, ranking = str(ranked["group"].iloc[0]), ranked.set_index("gene")["mean"]
    seed = resolve_seed(rng) % SEED_LIMIT
    universe = list(ranking.index) if background is None else _unique(background)
    given = _read_sets(gene_sets, version, universe)
    sets = _cut(given, universe, min_size)
    params: dict[str, Any] = {
        "fit": key,
        "group": group,
        "method": method,
        "gene_sets": _name(gene_sets),
    }
    params |= {"version": version} if version else {}
    stored = adata.uns[tspg_keys(key).rank_genes].get("params", {})
    params |= {"target": stored["target"]} if "target" in stored else {}
    params |= {"min_size": min_size, "n_background": len(universe), "n_tested": len(sets)}
    if method == "ora":
        genes = _select(ranking, direction, n_genes, universe)
        table = over_represented(genes, sets, universe)
        params |= {"direction": direction, "n_genes": len(genes)}
    else:
        table = preranked(ranking, sets, n_permutations=n_permutations, seed=seed)
        params |= {"n_permutations": n_permutations, "seed": seed}
    if table.empty:
        warn(f"The table is empty: {_why_empty(given, sets, universe, min_size)}")
        table = empty_table(method)
    adata.uns[name] = {"params": params, "table": table}
    logger.info(
        "Tested %s gene sets against a background of %s genes: %s with q < 0.05.\n"
        "    added: adata.uns[%r]",
        f"{len(sets):,}",
        f"{len(universe):,}",
        f"{(table['q_value'] < 0.05).sum():,}",
        name,
    )
    return adata if copy else None


def _check(method: str, direction: str, background: Sequence[str] | None) -> None:
    check_choice("method", method, METHODS)
    check_choice("direction", direction, DIRECTIONS)
    if background is not None and (method != "ora" or isinstance(background, (str, int))):
        msg = (
            f"background must be a list of genes, for method 'ora' only, not {background!r:.60} "
            f"for method {method!r}."
        )
        raise ValueError(msg)


def _read_sets(
    gene_sets: str | Path | Mapping[str, Sequence[str]],
    version: str | None,
    background: Sequence[str],
) -> GeneSets:
    """Gene sets as they were given."""
    if isinstance(gene_sets, Mapping):
        for term, genes in gene_sets.items():
            if isinstance(genes, str):
                msg = f"Gene set {term!r} must be a list of genes, not the text {genes!r}."
                raise TypeError(msg)
        return {str(term): [str(gene) for gene in genes] for term, genes in gene_sets.items()}
    if not isinstance(gene_sets, (str, Path)):
        msg = f"gene_sets must be a path, a dict or a name, not {type(gene_sets).__name__}."
        raise TypeError(msg)
    if is_gene_set_file(gene_sets):
        return read_gmt(gene_sets, background)
    gene_sets = str(gene_sets)
    if version is not None:
        return msigdb_collection(gene_sets, version)
    return enrichr_library(gene_sets)


def _name(gene_sets: str | Path | Mapping[str, Sequence[str]]) -> str:
    """What to call the gene sets: no folder of this machine."""
    return "dict" if isinstance(gene_sets, Mapping) else Path(gene_sets).name


def _unique(genes: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(str(gene) for gene in genes))


def _cut(sets: GeneSets, background: Sequence[str], min_size: int) -> GeneSets:
    """The sets, each gene once and in the background, without those that are then too small."""
    known = set(background)
    everything = {gene for genes in sets.values() for gene in genes}
    cut = {term: [gene for gene in _unique(sets[term]) if gene in known] for term in sets}
    kept = {term: genes for term, genes in cut.items() if len(genes) >= min_size}
    repeated = sum(len(genes) - len(set(genes)) for genes in sets.values())
    logger.info(
        "Gene sets: %s of %s have at least %d genes in the background; %s of their %s genes are "
        "not in it%s.",
        f"{len(kept):,}",
        f"{len(sets):,}",
        min_size,
        f"{len(everything - known):,}",
        f"{len(everything):,}",
        f"; {repeated:,} repeated genes were dropped" if repeated else "",
    )
    return kept


def _why_empty(given: GeneSets, sets: GeneSets, background: Sequence[str], min_size: int) -> str:
    if sets:
        return f"none of the {len(sets):,} gene sets tested shares a gene with the list."
    hint = name_kind_hint({gene for genes in given.values() for gene in genes}, background)
    return (
        f"none of the {len(given):,} gene sets has {min_size} genes in the background "
        f"({examples(list(background)[:3])}). {hint}"
    )


def _select(
    ranking: pd.Series, direction: str, n_genes: int, background: Sequence[str]
) -> list[str]:
    """The most increased or decreased genes that are in the background, the strongest first."""
    ordered = ranking[ranking > 0] if direction == "up" else ranking[ranking < 0][::-1]
    strongest = ordered.index[:n_genes]
    inside = strongest[strongest.isin(background)]
    if len(inside) < len(strongest):
        outside = strongest.difference(inside)
        warn(
            f"{len(outside):,} of the {len(strongest):,} genes are not in the background and "
            f"were left out: {examples(outside)}."
        )
    return [str(gene) for gene in inside]
